"""Metrics from stored per-video predictions, and the file that stores them. NumPy and SciPy: no GPU, no torch.

classification, multi_label, repetition, localization, corrupted, corrupted_localization
    -> metric (METRICS: all of them by name) -> predictions (the file beside a record)
"""

from eval.metrics.classification import mean_class_accuracy, mean_class_prefix, top_k_accuracy, top_k_correct
from eval.metrics.metric import METRICS, Metric, get_metric, other_metrics, score_predictions
from eval.metrics.multi_label import average_precision, mean_average_precision, num_classes_counted
from eval.metrics.predictions import (
    RESCORE_TOLERANCE,
    Predictions,
    load_predictions,
    read_predictions,
    rescore_tolerance,
    write_predictions,
)
from eval.metrics.repetition import count_errors, rounded_counts

__all__ = [
    'METRICS',
    'RESCORE_TOLERANCE',
    'Metric',
    'Predictions',
    'average_precision',
    'count_errors',
    'get_metric',
    'load_predictions',
    'mean_average_precision',
    'mean_class_accuracy',
    'mean_class_prefix',
    'num_classes_counted',
    'other_metrics',
    'read_predictions',
    'rescore_tolerance',
    'rounded_counts',
    'score_predictions',
    'top_k_accuracy',
    'top_k_correct',
    'write_predictions',
]
