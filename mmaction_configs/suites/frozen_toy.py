"""A linear probe on `toy`; tools/toy_motion.py reads the features it leaves."""

entries = [dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo')]
