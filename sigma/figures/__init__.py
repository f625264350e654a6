"""Figures of what the trainer sees, drawn from clips and weights; those of results are in `eval.report.figures`."""
