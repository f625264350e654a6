"""What tools/prepare.py makes: published datasets, rendered ones, folders, joined and re-encoded videos."""
