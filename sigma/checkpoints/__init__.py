"""Checkpoints: the file format, and the layouts of keys of other code."""
