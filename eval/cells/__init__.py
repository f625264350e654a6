"""Cells of the matrix: identity, encoder card, claim, machine settings, and weights that other cells need."""
