"""Speed, measured as ratios in one run: `python -m tools.benchmark --help`."""
