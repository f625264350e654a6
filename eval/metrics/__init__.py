"""Metrics from stored per-video predictions, and the file that stores them. NumPy and SciPy: no GPU, no torch.

classification, multi_label, repetition, localization, corrupted, corrupted_localization
    -> metric (METRICS: all of them by name) -> predictions (the file beside a record)
"""

from eval.metrics.classification import top_k_correct
from eval.metrics.metric import METRICS, Metric, get_metric, other_metrics, score_predictions
from eval.metrics.predictions import (
    Predictions,
    checked_predictions,
    load_predictions,
    read_predictions,
    rescore_tolerance,
    write_predictions,
)

__all__ = [
    'METRICS',
    'Metric',
    'Predictions',
    'checked_predictions',
    'get_metric',
    'load_predictions',
    'other_metrics',
    'read_predictions',
    'rescore_tolerance',
    'score_predictions',
    'top_k_correct',
    'write_predictions',
]
