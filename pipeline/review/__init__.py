"""The commands that look at finished runs: runs, show, logs, errors, diff, report."""
