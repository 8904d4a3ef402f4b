"""The commands that use a pushed model: predict, serve, export."""
