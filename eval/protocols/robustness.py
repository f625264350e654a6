"""Robustness: a trained cell on corrupted test videos. Nothing is trained here.

The trained cell is an ordinary one of the same dataset, encoder, seed and subset; the recipe names its recipe under
`trained`. It is needed, so a matrix runs it first. The weights of a fine-tuned cell are the checkpoint in its folder. A
frozen encoder's probe is fitted again from the stored features of the training videos, which gives the same probe.

There are ten protocols: `robustness` and `robustness_<suite>` measure fine-tuned cells, the same names with `_frozen`
measure `frozen_linear` cells. Their numbers differ in kind, so their names differ.

The keys of a recipe (`mmaction_configs/recipes/robustness_*.py`) are declared in `eval/settings/applied.py`. The
published constants hold for a `working_short_side` of 256 pixels.

How videos are shown and scores are kept: `eval/protocols/showing.py`. Corruptions that need neighbouring frames hold
the whole video in memory.

The record: predictions are (N, K), 1 where right and 0 where wrong, with a column for clean and for each corruption and
severity (`eval/metrics/corrupted.py`); their names are under `columns` in the config. `score` is mPC. The clean
baseline of codecs, coded and decoded without damage, is a column (`reencoded`) outside the mean.

Versions: 1 (2026-11-22); 2 (2026-11-30) of `robustness_kinetics-c` and `robustness_ssv2-c`: one stream for one key from
the codecs, at other rates. In the others a codec has its own version, which is part of the config.
"""

import logging
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.cells.trained import Trained, load_trained
from eval.corruptions import CORRUPTIONS, get_corruption, suite_corruptions
from eval.corruptions.shown import CLEAN, REENCODED, Variant
from eval.features.views import describe_sampling
from eval.metrics import top_k_correct
from eval.protocols.applied import APPLY, ENDING, trained_cell
from eval.protocols.base import Departure, Outcome, Protocol
from eval.protocols.showing import Showing
from eval.records import TRAINED_WITH
from eval.settings.applied import ROBUSTNESS, ROBUSTNESS_SUITE
from sigma.errors import DataError

LOG = logging.getLogger(__name__)

# Last part of the type of a training transform -> corruptions that it resembles.
COLOURS = ('brightness', 'contrast', 'saturate')
RESEMBLES = {
    'RandAugment': (*COLOURS, 'camera_rotation', 'random_rotation', 'translation', 'mixed_spatial'),
    'PytorchVideoWrapper': (*COLOURS, 'camera_rotation', 'random_rotation', 'translation', 'mixed_spatial'),
    'JitterColours': COLOURS,
    'ColorJitter': COLOURS,
    'GaussianBlur': ('gaussian_blur', 'defocus_blur'),
    'FrameOrder': (
        *('shuffle', 'jumble', 'p-jumble', 'mixed_temporal'),
        *('clip_shuffle', 'clip_jumble', 'clip_p-jumble', 'clip_freeze', 'clip_mixed_temporal'),
    ),
    'PlayDirection': (
        *('reverse', 'reverse_sampling', 'mixed_temporal'),
        *('clip_reverse', 'clip_reverse_sampling', 'clip_mixed_temporal'),
    ),
}

DEPARTURES = (
    Departure(
        'Random draws',
        'the global generator without a seed',
        'keyed by corruption, severity, video and frame number',
        'none in the mean; the numbers repeat',
    ),
    Departure(
        'Floats to bytes',
        'truncated when a picture is stored',
        'rounded; truncated only in a step inside a corruption that truncates (glass blur, snow, frame average)',
        'up to half a grey level brighter on average',
    ),
    Departure(
        'What is corrupted',
        'the crop of 224 or the clip of the model',
        'whole frames with a short side of 256, before the views of the trained cell',
    ),
)
# Suite -> what is special to it.
OF_SUITE = {
    None: (
        Departure(
            'Choice of corruptions',
            'a suite',
            "the recipe's; what is said of a suite below holds for its corruptions here",
            'a mean of its own, compared with no published one',
        ),
    ),
    'imagenet-c': (
        Departure(
            'Frames of a video',
            'single pictures',
            'glass, fog, frost, snow, spatter and elastic are drawn once per video, noise and motion blur per frame',
        ),
        Departure(
            'Frost',
            'one of five photographs of frost',
            'a procedural texture, since they may not be shipped; named `frost_procedural`',
            'not comparable',
        ),
        Departure(
            'Defocus blur',
            'a filter with the kernel of the disk',
            'sums of boxes and a soft edge, which cost the same at every radius',
            'at most 2 grey levels',
        ),
        Departure(
            'Noise',
            'exact normal and Poisson draws',
            '65,536 quantiles (Poisson: 16,384), several times faster',
            'no deviate above 4.2 standard deviations',
        ),
    ),
    'ucf-p': (
        Departure(
            'Order of frames',
            'on the decoded test tensor of 4 clips x 32 frames',
            'on the source, before clips are sampled',
        ),
        Departure(
            'Translation',
            'the crop moves, by one offset per clip',
            'the picture moves, by an offset of its own per frame; black comes in at right and bottom',
        ),
        Departure(
            'Freeze',
            'frames before the first kept one are left out',
            'they show the first kept one, so the length stays',
        ),
        Departure(
            'Mixed perturbations',
            'severity 4 or 5 is drawn per clip',
            'both are measured in `robustness_ucf_p_mixed`; the member is drawn by the name of the video',
        ),
    ),
}
_CODED = (
    Departure(
        'Frames that are coded',
        'the file at its own size, odd sides cropped; loaded again afterwards',
        'decoded frames at the working size, odd sides padded and cut again',
    ),
    Departure(
        'Bit errors',
        "FFmpeg's `noise` filter on the original file, which picks bytes by a running sum",
        'each byte of our H.264 at CRF 23 with the same probability',
    ),
    Departure(
        'Lost packets',
        'packets of the original file (the code was not found)',
        'slices of at most 1400 bytes of our H.264 at CRF 23',
    ),
    Departure(
        'Bit rate of `h264_bitrate`',
        'a fraction of the rate of the file',
        'a fraction of the rate of our H.264 at CRF 23',
    ),
    Departure(
        'Settings of the encoders',
        "FFmpeg's defaults",
        'the same, one thread, x264 with `cpu-independent`; x265: narrower than 66 pixels is padded',
        'other streams, 0.5 % more bytes on one clip at CRF 23; they repeat',
    ),
    Departure(
        'Lower frame rates',
        'coded again with H.265 at CRF 28, if `-fps` changes the rate at all',
        'frames are left out, without coding',
    ),
    Departure(
        'Mean of neighbouring frames at the ends',
        'half a window of frames is dropped',
        'the window is cut off, so the length stays',
    ),
)
OF_SUITE |= {'kinetics-c': _CODED, 'ssv2-c': _CODED}


class Robustness(Protocol):
    """Mean top-1 over corruptions and severities (mPC), with the clean accuracy and every single one beside it.

    Args:
        suite: Published suite of `eval.corruptions.SUITES`; None where the recipe names the corruptions.
        trained_protocol: Of the trained cell: `finetune` or `frozen_linear`.
    """

    version = 1
    source = 'Mini Kinetics-C (NeurIPS D&B 2021) and UCF101-P (CVPR 2023) for mPC, rPC, gamma-a, gamma-r'
    # tal-c damages actions in untrimmed videos, which is another task: localization_robustness.py.
    settings = ROBUSTNESS
    instances: ClassVar = {'robustness': (None, 'finetune'), 'robustness_frozen': (None, 'frozen_linear')}
    told = (
        'Mean top-1 (mPC) on test videos under corruptions that the recipe names, with the weights of '
        '{trained_protocol} cells.'
    )

    def __init__(self, suite: str | None = None, trained_protocol: str = 'finetune') -> None:
        self.suite, self.trained_protocol = suite, trained_protocol
        self.version = 2 if suite in ('kinetics-c', 'ssv2-c') else 1  # those with codecs
        self.departures = DEPARTURES + OF_SUITE[suite]
        self.name = self.name or 'robustness' + (f'_{suite}' if suite else '') + ENDING[trained_protocol]

    # --- what is measured -----

    def metric_of(self, resolved: ResolvedCell) -> str:
        """mPC, under another name where a corruption cannot run here."""
        return 'mpc_available' if resolved.config['unavailable'] else 'mpc'

    def trained(self, resolved: ResolvedCell) -> ResolvedCell:
        """The cell whose weights are measured."""
        return trained_cell(resolved, self.trained_protocol)

    def needs(self, resolved: ResolvedCell) -> list[ResolvedCell]:
        """The trained cell."""
        return [self.trained(resolved)]

    def config(self, resolved: ResolvedCell) -> dict:
        """What is shown at which constants, and to which trained cell.

        Raises:
            DataError: on an unknown corruption (with the nearest name) or severity, on a dataset of another task, or
                if no corruption can run here.
        """
        if resolved.dataset.task != 'action_recognition':
            raise DataError(
                f'{resolved.dataset.name} is a dataset of the task {resolved.dataset.task}; '
                f'the protocol {self.name} measures action_recognition.'
            )
        recipe, trained = resolved.recipe, self.trained(resolved)
        names, severities = self._asked(recipe), list(recipe['severities'])
        diagnostics = [tuple(pair) for pair in recipe['diagnostics']]
        try:
            levels = {name: [get_corruption(name).level(s, self.suite) for s in severities] for name in names}
            beside = [Variant(*pair) for pair in diagnostics]
            beside_levels = {variant.name: variant.level for variant in beside}
        except ValueError as error:
            raise DataError(str(error)) from None
        reasons = {name: get_corruption(name).unavailable() for name in names}
        ran = [name for name in names if reasons[name] is None]
        if not ran or not severities:
            raise DataError(
                f'{resolved.cell.recipe}: no corruption to measure; '
                + ('; '.join(f'{name}: {reason}' for name, reason in reasons.items()) or 'it names none.')
            )
        if len(set(severities)) < len(severities):
            raise DataError(f'{resolved.cell.recipe}: the severities {severities} name one twice; each counts once.')
        coded = any(get_corruption(name).family == 'codec' for name in ran)
        # Only those above 1, so that a cell whose corruptions did not change keeps its identity.
        versions = versions_of(ran)
        return {
            'trained': {'name': trained.name, 'id': trained.id},
            'suite': self.suite,
            'corruptions': {name: levels[name] for name in ran},
            **({'versions': versions} if versions else {}),
            'severities': severities,
            'unavailable': {name: reason for name, reason in reasons.items() if reason is not None},
            'diagnostics': beside_levels,
            'working_short_side': working_size(resolved),
            'columns': [
                CLEAN,
                *(Variant(*pair).name for pair in product(ran, severities)),
                *beside_levels,
                *([REENCODED] if coded else []),
            ],
        }

    def _asked(self, recipe: dict) -> list[str]:
        if self.suite is not None:
            return [corruption.name for corruption in suite_corruptions(self.suite)]
        names = list(dict.fromkeys(recipe['corruptions']))
        clips = [name for name in names if name in CORRUPTIONS and CORRUPTIONS[name].acts_on == 'clip']
        if clips:
            raise DataError(
                f'{clips[0]} reorders a clip that was sampled already; that is a diagnostic and in no mean: name it '
                f'under `diagnostics`, or take {clips[0].removeprefix("clip_")}.'
            )
        return names

    def variants(self, resolved: ResolvedCell) -> list[Variant]:
        """In the order of the columns."""
        config = resolved.config
        found = [Variant(CLEAN)]
        found += [Variant(name, s, self.suite) for name, s in product(config['corruptions'], config['severities'])]
        found += [Variant(name, int(s)) for name, s in (pair.rsplit('-', 1) for pair in config['diagnostics'])]
        return found + ([Variant(REENCODED)] if REENCODED in config['columns'] else [])

    # --- measuring -----

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Show every variant of every video to the trained cell, and count what is right."""
        trained, variants = load_trained(self.trained(resolved), work_dir), self.variants(resolved)
        for name, reason in resolved.config['unavailable'].items():
            LOG.warning('%s is left out, and the mean has another name: %s', name, reason)
        for sentence in trained_with(trained.resolved.config, variants):
            LOG.warning('%s', sentence)
        applied = APPLY[self.trained_protocol](trained)
        showing = Showing(resolved, trained.resolved, applied, resolved.dataset.entries('test'))
        correct = self._correct(showing, variants, work_dir)
        scored, columns = showing.scored(), resolved.config['columns']
        shares = np.array([[correct[name][position] for name in columns] for position in scored], dtype=np.float32)
        counted = np.isin(columns, [v.name for v in variants if v.corruption in resolved.config['corruptions']])
        return Outcome(
            videos=[showing.entries[position]['video'] for position in scored],
            labels=np.tile(counted, (len(scored), 1)),
            scores=shares,
            unscored=showing.unscored(),
            num_listed=len(showing.entries),
            num_train=trained.num_train,
            num_train_skipped=trained.num_train_skipped,
            selection=trained.selection | {'how': self._how(resolved, trained.selection['how'])},
            subset=trained.subset,
            notes=[*self._notes(resolved, trained, variants), *applied.notes],
            sampling=describe_sampling(trained.resolved),
            others=_others(columns, shares),
        )

    @staticmethod
    def _correct(showing: Showing, variants: list[Variant], work_dir: Path) -> dict[str, dict[int, float]]:
        """{column: {position: 1.0 where right}} of the videos that could be shown."""
        correct: dict[str, dict[int, float]] = {variant.name: {} for variant in variants}
        labels = np.array([entry['label'] for entry in showing.entries])
        for variant, where, scores in showing.scores(variants, showing.store(work_dir)):
            correct[variant.name] |= dict(zip(where.tolist(), top_k_correct(scores, labels[where]).tolist()))
        return correct

    # --- what the record says -----

    def _how(self, resolved: ResolvedCell, trained: str) -> str:
        """How the number came about. Records of one column must agree on it, so it names what enters the mean."""
        config = resolved.config
        names, severities = list(config['corruptions']), config['severities']
        text = f'{trained}; mean over {len(names)} corruptions x {len(severities)} severities'
        side = config['working_short_side']
        text += f', working size {side or "of the file"}'
        standard = self.suite is not None and severities == [1, 2, 3, 4, 5] and not config['unavailable']
        return text if standard else f'{text}: {", ".join(names)} at {", ".join(map(str, severities))}'

    def _notes(self, resolved: ResolvedCell, trained: Trained, variants: list[Variant]) -> list[str]:
        config = resolved.config
        notes = [trained.note]
        notes += [f'{name} is left out of the mean: {reason}' for name, reason in config['unavailable'].items()]
        notes += trained_with(trained.resolved.config, variants)
        uneven = [name for name in config['corruptions'] if not get_corruption(name).monotone]
        if uneven:
            notes.append(f'severities do not rise strictly in damage, as published or by the draw: {", ".join(uneven)}')
        return notes


class RobustnessOfSuite(Robustness):
    """`robustness` with the corruptions of a published suite."""

    settings = ROBUSTNESS_SUITE
    instances: ClassVar = {
        'robustness_imagenet-c': ('imagenet-c', 'finetune'),
        'robustness_imagenet-c_frozen': ('imagenet-c', 'frozen_linear'),
        'robustness_kinetics-c': ('kinetics-c', 'finetune'),
        'robustness_kinetics-c_frozen': ('kinetics-c', 'frozen_linear'),
        'robustness_ssv2-c': ('ssv2-c', 'finetune'),
        'robustness_ssv2-c_frozen': ('ssv2-c', 'frozen_linear'),
        'robustness_ucf-p': ('ucf-p', 'finetune'),
        'robustness_ucf-p_frozen': ('ucf-p', 'frozen_linear'),
    }
    told = (
        'Mean top-1 (mPC) on test videos under the corruptions of {suite}, with the weights of {trained_protocol} '
        'cells.'
    )


def versions_of(corruptions: Sequence[str]) -> dict[str, int]:
    """Versions above 1 of these corruptions."""
    return {name: version for name in corruptions if (version := get_corruption(name).version) > 1}


def working_size(resolved: ResolvedCell) -> int | None:
    """Pixels to which the recipe resizes the short side before the corruption; None keeps the size of the file."""
    return resolved.recipe['working_short_side']


def trained_with(config: dict, variants: Sequence[Variant]) -> list[str]:
    """A sentence for each transform of the training pipeline that resembles a tested corruption."""
    if 'train_dataloader' not in config:
        return []
    tested = list(dict.fromkeys(variant.corruption for variant in variants))
    sentences = []
    for kind in dict.fromkeys(_types(config['train_dataloader']['dataset']['pipeline'])):
        met = [name for name in tested if name in RESEMBLES.get(kind.split('.')[-1], ())]
        if met:
            sentences.append(f'{TRAINED_WITH} {kind}, which resembles what is tested: {", ".join(met)}')
    return sentences


def _types(steps: list[dict]) -> list[str]:
    """Types of a pipeline and of those inside it."""
    return [kind for step in steps for kind in (step['type'], *_types(step.get('pipeline', [])))]


def _others(columns: list[str], shares: np.ndarray) -> dict[str, float]:
    """Top-1 of every column, percent; for diagnostics the difference to clean as well."""
    accuracy = dict(zip(columns, (100 * shares.mean(axis=0, dtype=np.float64)).tolist()))
    others = {'clean_top1': accuracy.pop(CLEAN)} | accuracy
    deltas = {
        f'delta_{name}': value - others['clean_top1'] for name, value in accuracy.items() if name.startswith('clip_')
    }
    return others | deltas
