"""All metrics by name: label, unit, direction, chance, and what its confidence interval is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import eval.metrics.classification as classification  # not from the package, which imports this file
import eval.metrics.corrupted as corrupted
import eval.metrics.corrupted_localization as corrupted_localization
import eval.metrics.localization as localization
import eval.metrics.multi_label as multi_label
import eval.metrics.repetition as repetition
from eval.metrics.classification import top_k_accuracy, top_k_correct
from eval.metrics.multi_label import Resampled
from sigma.errors import SigmaError, did_you_mean

if TYPE_CHECKING:
    from eval.metrics.predictions import Predictions

# Unit -> digits that a table shows.
DIGITS = {'percent': 1, 'ratio': 3, 'classes': 0}
UNIFORM = 'a uniform guess'


def _unknown(num_classes: int, labels: np.ndarray | None = None) -> float | None:
    return None


def _no_commonest(labels: np.ndarray) -> float | None:
    return None


@dataclass(frozen=True)
class Metric:
    """A metric of one kind of predictions, and how its interval over test videos is computed.

    If the score is a mean over videos, the interval comes from `per_video` (and `weights`), else from a bootstrap with
    `resampled`. A metric with neither has no interval over videos.
    """

    name: str
    label: str  # as on an axis
    # action_recognition, multi_label, repetition or localization, as in a dataset card; or the kind of a sweep
    task: str
    # scores (N, C), labels -> score; localization: scores (N, P, 4), in a sweep (N, P, 5), labels (N, G, 3)
    function: Callable[[np.ndarray, np.ndarray], float]
    # same input -> (N,) values whose mean is the score (shares: times 100) and whose spread is its error over videos
    per_video: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    # labels -> (N,) weights that sum to 1, for a weighted mean of `per_video`; its videos are sampled within classes
    weights: Callable[[np.ndarray], np.ndarray] | None = None
    # same input -> a function from weights (N, B) to the (B,) scores of B resamples of the videos
    resampled: Callable[[np.ndarray, np.ndarray], Resampled] | None = None
    # number of classes, labels (None without stored predictions) -> score without looking at videos, or None
    chance: Callable[[int, np.ndarray | None], float | None] = _unknown
    chance_label: str = UNIFORM
    # labels -> score of always giving the answer that is commonest in the test videos, or None
    commonest: Callable[[np.ndarray], float | None] = _no_commonest
    min_classes: int = 1  # with fewer classes it says nothing
    unit: str = 'percent'
    higher_is_better: bool = True
    stored: bool = True  # in records of its task; others are computed on request (tools/rescore.py)

    @property
    def others(self) -> list[str]:
        """Further metrics that a record with this primary metric stores."""
        return [m.name for m in METRICS.values() if m.task == self.task and m.stored and m.name != self.name]


def _uniform(num_classes: int, labels: np.ndarray | None = None) -> float:
    return 100 / num_classes


def _uniform_top5(num_classes: int, labels: np.ndarray | None = None) -> float:
    return 100 * min(5, num_classes) / num_classes


def _commonest(labels: np.ndarray) -> float | None:
    return classification.commonest_share(labels)


def _commonest_five(labels: np.ndarray) -> float | None:
    return classification.commonest_share(labels, k=5)


def _one_class_of_all(labels: np.ndarray) -> float | None:
    return 100 / len(np.unique(labels))


def _mean_prevalence(num_classes: int, labels: np.ndarray | None = None) -> float | None:
    return None if labels is None else multi_label.mean_prevalence(labels)


def _best_constant(num_classes: int, labels: np.ndarray | None = None) -> float | None:
    return None if labels is None else repetition.best_constant_error(labels)


def _error(name: str, label: str, per_video: Callable[[np.ndarray, np.ndarray], np.ndarray], **more: Any) -> Metric:
    """A mean over videos of an error relative to the true count."""

    def mean(scores: np.ndarray, labels: np.ndarray) -> float:
        return float(per_video(scores, labels).mean())

    return Metric(name, label, 'repetition', mean, per_video=per_video, unit='ratio', higher_is_better=False, **more)


def _mean_ap(name: str, label: str, tiou: tuple[float, ...]) -> Metric:
    """mAP of localization over these thresholds."""
    return Metric(
        name,
        label,
        'localization',
        lambda scores, labels: localization.mean_average_precision(scores, labels, tiou),
        resampled=lambda scores, labels: localization.resampled_mean_average_precision(scores, labels, tiou),
    )


def _recall_at(number: int) -> Metric:
    return Metric(
        f'recall_at_{number}',
        f'AR@{number}',
        'localization',
        lambda scores, labels: localization.recall_at(scores, labels, number),
        resampled=lambda scores, labels: localization.resampled_recall_at(scores, labels, number),
    )


_ALL = (
    Metric(
        'top1',
        'top-1 accuracy',
        'action_recognition',
        top_k_accuracy,
        per_video=top_k_correct,
        chance=_uniform,
        commonest=_commonest,
    ),
    Metric(
        'top5',
        'top-5 accuracy',
        'action_recognition',
        lambda scores, labels: top_k_accuracy(scores, labels, k=5),
        per_video=lambda scores, labels: top_k_correct(scores, labels, k=5),
        chance=_uniform_top5,
        commonest=_commonest_five,
        min_classes=6,
    ),
    Metric(
        'mean_class',
        'mean class accuracy',
        'action_recognition',
        classification.mean_class_accuracy,
        per_video=top_k_correct,
        weights=classification.mean_class_weights,
        chance=_uniform,
        commonest=_one_class_of_all,
    ),
    Metric(
        'mean_class_prefix',
        'mean of prefix accuracies (reproduces a defect of published code)',
        'action_recognition',
        classification.mean_class_prefix,
        per_video=top_k_correct,
        weights=classification.mean_class_prefix_weights,
        chance=_uniform,
        stored=False,
    ),
    Metric(
        'episode_accuracy',
        'accuracy over episodes',
        'episodes',
        # (N, 1) shares of N episodes. No per_video: they share clips, so their spread says nothing about other videos.
        lambda scores, labels: 100 * float(scores.mean()),
        chance=_uniform,
    ),
    Metric(
        'mean_average_precision',
        'mAP',
        'multi_label',
        multi_label.mean_average_precision,
        resampled=multi_label.resampled_mean_average_precision,
        chance=_mean_prevalence,
        chance_label='the mean share of positive videos, which a random order reaches',
    ),
    Metric(
        'num_classes_counted',
        'classes with a positive video',
        'multi_label',
        multi_label.num_classes_counted,
        unit='classes',
    ),
    _error(
        'count_error',
        'count error',
        repetition.absolute_errors,
        chance=_best_constant,
        chance_label='the best constant count, chosen on the test labels',
    ),
    Metric(
        'count_error_std',
        'standard deviation of the count error',
        'repetition',
        lambda scores, labels: float(repetition.absolute_errors(scores, labels).std()),
        unit='ratio',
        higher_is_better=False,
    ),
    Metric(
        'off_by_one',
        'counts off by one at most',
        'repetition',
        lambda scores, labels: 100 * float(repetition.off_by_one(scores, labels).mean()),
        per_video=repetition.off_by_one,
    ),
    _error('over_count', 'over-count', repetition.over_counts),
    _error('under_count', 'under-count', repetition.under_counts),
    _error('count_error_transrac', 'count error as in TransRAC', repetition.transrac_errors),
    _mean_ap('map_50_95', 'mAP, tIoU 0.50 to 0.95', localization.ACTIVITYNET_TIOU),
    _mean_ap('map_30_70', 'mAP, tIoU 0.3 to 0.7', localization.THUMOS_TIOU),
    *(_mean_ap(f'map_{n}', f'mAP, tIoU {n / 100}', (n / 100,)) for n in (30, 40, 50, 60, 70, 75, 95)),
    *(_recall_at(number) for number in (1, 5, 10, 100)),
    Metric(
        'recall_area',
        'AUC of AR@AN',
        'localization',
        localization.recall_area,
        resampled=localization.resampled_recall_area,
    ),
)


def _of_corruptions(ending: str = '', words: str = '') -> tuple[Metric, ...]:
    """Metrics of a sweep over corruptions (eval/metrics/corrupted.py)."""
    task = f'robustness{ending}'
    return (
        Metric(
            f'mpc{ending}',
            f'mean corrupted top-1 (mPC){words}',
            task,
            corrupted.mean_corrupted,
            per_video=corrupted.corrupted_shares,
            chance=_uniform,
        ),
        Metric(f'rpc{ending}', f'mPC as percent of clean{words}', task, corrupted.relative_corrupted),
        Metric(f'gamma_a{ending}', f'gamma-a{words}', task, corrupted.absolute_robustness, unit='ratio'),
        Metric(f'gamma_r{ending}', f'gamma-r{words}', task, corrupted.relative_robustness, unit='ratio'),
        Metric(f'worst_cell{ending}', f'worst corruption{words}', task, corrupted.worst_cell),
    )


# If a corruption cannot run here, the mean over the others is another metric, with another name.
_CORRUPTED = (
    *_of_corruptions(),
    *_of_corruptions('_available', ', of the corruptions that ran'),
    Metric('clean_top1', 'top-1, not corrupted', 'robustness', corrupted.clean_accuracy, stored=False, chance=_uniform),
)


def _of_damage(name: str, words: str, tiou: tuple[float, ...]) -> tuple[Metric, ...]:
    """Metrics of a sweep over corrupted actions (eval/metrics/corrupted_localization.py)."""

    def over(function: Callable) -> Callable:
        return lambda scores, labels: function(scores, labels, tiou)

    task = f'localization_robustness_{name}'
    return (
        Metric(
            f'corrupted_{name}',
            f'mean corrupted {words}',
            task,
            over(corrupted_localization.mean_corrupted),
            resampled=over(corrupted_localization.resampled_mean_corrupted),
        ),
        Metric(f'clean_{name}', f'{words}, not corrupted', task, over(corrupted_localization.clean)),
        Metric(
            f'rpc_{name}',
            f'mean corrupted {words}, as percent of clean',
            task,
            over(corrupted_localization.relative_corrupted),
        ),
        Metric(f'worst_{name}', f'{words} under the worst corruption', task, over(corrupted_localization.worst)),
    )


_DAMAGED = (
    *_of_damage('map_50_95', 'mAP, tIoU 0.50 to 0.95', localization.ACTIVITYNET_TIOU),
    *_of_damage('map_30_70', 'mAP, tIoU 0.3 to 0.7', localization.THUMOS_TIOU),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_ALL, *_CORRUPTED, *_DAMAGED)}


def get_metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        SigmaError: if there is none (with the nearest name).
    """
    if name not in METRICS:
        raise SigmaError(did_you_mean('metric', name, METRICS))
    return METRICS[name]


def other_metrics(primary: str, num_classes: int | None = None) -> list[str]:
    """Further metrics that a record stores beside its primary one; raises like `get_metric`.

    Top-5 is not among them if there are five classes or fewer, where it is always 100; `num_classes` None: all.
    """
    others = get_metric(primary).others
    return others if num_classes is None else [name for name in others if num_classes >= METRICS[name].min_classes]


def score_predictions(predictions: Predictions, metric: str) -> float:
    """Score of stored predictions under a metric; raises like `get_metric`, and ValueError if there is no score."""
    return get_metric(metric).function(predictions.scores, predictions.label)
