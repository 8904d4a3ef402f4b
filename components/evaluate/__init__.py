"""The nodes that evaluate a model: metrics, verdict, baseline, and reports for the platforms' pages."""
