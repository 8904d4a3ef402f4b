"""The next item of a history: options, ranking, training rows, networks, counts and baselines."""
