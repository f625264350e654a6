"""Figures of pretraining, drawn from clips, weights and logs. Figures of results are in `eval.report.figures`."""
