"""A run's report as one HTML file, the same for this machine and for the platforms' pages."""
