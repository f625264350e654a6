"""Probes that are trained on features of a frozen encoder: one file per probe."""
