"""Mini Kinetics-C's corruptions on a cell fine-tuned on all of Kinetics-400."""

entries = [dict(protocol='robustness_kinetics-c', dataset='k400', recipe='robustness_kinetics_c_k400')]
