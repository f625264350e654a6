"""The rendered dataset: real photographs moving over others, from a seed."""
