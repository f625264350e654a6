"""Datasets that tools/prepare.py makes: published ones, rendered ones, folders, joined and re-encoded videos."""
