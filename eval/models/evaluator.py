"""Keeps the scores of every video, so that metrics can be recomputed later without a GPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from eval.metrics import Predictions, score_predictions
from eval.registry import METRICS


@METRICS.register_module()
class KeepPredictions(BaseMetric):
    """Collects the scores of each video once, and the reason for each video without scores.

    After evaluation it has `videos`, `labels` and `scores` (N, C) of the scored videos in the order of the list, and
    `unscored`, a list of {video, reason}. Labels are (N,) int64 classes or counts, or (N, C) bool if samples carry a
    vector of floats (`sigma.MultiHot`).

    Args:
        metric: Name in `eval.metrics.METRICS` of the metric to log.
        collect_device: See MMEngine's `BaseMetric`.
    """

    default_prefix = ''  # the metric's own name is enough; without this, MMEngine warns in every log

    def __init__(self, metric: str = 'top1', collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        self.metric = metric

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect the scores of a batch."""
        for sample in data_samples:
            score = sample['pred_score']
            self.results.append(
                {
                    'position': sample['position'],
                    'video': sample['video'],
                    'label': _label(sample['gt_label']),
                    'score': score.float().cpu().numpy(),
                    'error': sample['decode_error'],
                }
            )

    def compute_metrics(self, results: list[dict]) -> dict:
        """Drop the repeats that samplers pad with, set undecoded videos apart, and score the rest."""
        unique = {result['position']: result for result in results}
        ordered = [unique[position] for position in sorted(unique)]
        scored = [result for result in ordered if result['error'] is None]
        self.unscored = [{'video': r['video'], 'reason': r['error']} for r in ordered if r['error'] is not None]
        self.videos = [result['video'] for result in scored]
        self.labels = np.array([result['label'] for result in scored])
        self.scores = np.array([result['score'] for result in scored], dtype=np.float32)
        if not scored:
            return {}
        predictions = Predictions(np.array(self.videos), self.labels, self.scores)
        return {self.metric: score_predictions(predictions, self.metric)}


def _label(label: torch.Tensor) -> np.ndarray | np.int64:
    """A class or count as int64; a multi-hot vector as bool."""
    if label.is_floating_point():
        return label.cpu().numpy() > 0.5
    return np.int64(label.item())
