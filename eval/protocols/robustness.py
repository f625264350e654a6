"""Robustness: a trained cell on corrupted test videos, with nothing trained anew.

The trained cell is an ordinary one of the same dataset, encoder, seed and subset, whose recipe this one names under
`trained`. Where it was not run yet it is run first, as `eval/run_cell.py` runs it, with a record of its own: then the
suite is one command, and the weights are always those of a cell that can be looked up. Fine-tuned weights are the
checkpoint that the cell left in its folder; a frozen encoder's probe is fitted again from the stored features of the
training videos, which gives the same probe.

A recipe (`mmaction_configs/recipes/robustness_*.py`) says:

    trained             recipe of the trained cell; `{family}` is the encoder's, or a dict family -> recipe
    corruptions         names, where the protocol is not that of a published suite
    severities          1 to 5 by default, the same for all, so that every corruption weighs the same
    working_short_side  pixels to which videos are brought before the corruption (256 by default, for which the
                        published constants hold); None keeps the size of the file
    diagnostics         (name, severity) of what is shown besides and in no mean: by default the sampled clip reversed,
                        shuffled and frozen
    block_videos        videos whose scores are kept together: what a kill costs at most

Every video is decoded once for all that is asked of it. Scores are kept in
`<work_dir>/robustness/<encoder>/<hash>/<corruption>-<severity>-<hash of its constant>/`, a file a block of videos, so a
sweep that was killed goes on where it was. One video in one form passes the encoder at a time, all its views together:
so no score depends on its neighbours in a batch, on workers, or on what a kill left undone. Whole videos are in memory
where a corruption needs neighbouring frames.

The record: predictions are (N, K) shares right (0 or 1), a column for clean and for each corruption and severity
(`eval/metrics/corrupted.py`), their names under `columns` in the config; `score` is mPC. A codec's clean baseline,
coded and decoded without damage, is a column (`reencoded`) outside the mean.

Versions: 1 (2026-11-22).
"""

import copy
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

import eval.registry  # noqa: F401 - opens the scopes that configs name
from eval.cells import claims
from eval.cells.cell import Cell, ResolvedCell
from eval.cells.machine import num_workers
from eval.corruptions import CORRUPTIONS, WORKING_SHORT_SIDE, get_corruption, suite_corruptions
from eval.corruptions.corruption import LEAST_SIDE
from eval.corruptions.shown import CLEAN, REENCODED, CorruptedClips, Store, Variant, as_batch, one, why_not_shown
from eval.features.clips import build_encoder
from eval.features.views import describe_sampling
from eval.metrics import top_k_correct
from eval.protocols.base import Outcome, Protocol
from eval.protocols.frozen import probabilities
from eval.records import TRAINED_WITH, RecordError, identity_hash, read_record
from sigma.checkpoints.files import load_strictly, read_weights
from sigma.engine.checkpoint import CheckpointHook
from sigma.errors import DataError
from sigma.files import sha256_file
from sigma.registry import MODELS

LOG = logging.getLogger(__name__)
RUN_CELL = Path(__file__).resolve().parents[1] / 'run_cell.py'
DIAGNOSTICS = (('clip_reverse', 1), ('clip_shuffle', 1), ('clip_freeze', 5))

# Transforms of a training pipeline, by the end of their type, and corruptions that they resemble.
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


class Robustness(Protocol):
    """Mean top-1 over corruptions and severities (mPC), with the clean one and every cell beside it.

    Attributes:
        suite: Published suite of `eval.corruptions.SUITES`; None where the recipe names the corruptions.
        trained_protocol: Of the trained cell.
    """

    version = 1
    source = 'Mini Kinetics-C (NeurIPS D&B 2021) and UCF101-P (CVPR 2023) for mPC, rPC, gamma-a, gamma-r'
    suite: str | None = None
    trained_protocol = 'finetune'

    # --- what is measured -----

    def metric_of(self, resolved: ResolvedCell) -> str:
        """mPC, by another name where a corruption cannot run here."""
        return 'mpc_available' if resolved.config['unavailable'] else 'mpc'

    def trained(self, resolved: ResolvedCell) -> ResolvedCell:
        """The cell whose weights are measured."""
        return trained_cell(resolved, self.trained_protocol)

    def config(self, resolved: ResolvedCell) -> dict:
        """What is shown, at which constants, of which trained cell.

        Raises:
            DataError: on an unknown corruption (with the nearest name) or severity, labels of another kind, or if no
                corruption can run here.
        """
        if resolved.dataset.task != 'action_recognition':
            raise DataError(
                f'{resolved.dataset.name} is a data set of the task {resolved.dataset.task}; '
                f'the protocol {self.name} measures action_recognition.'
            )
        recipe, trained = resolved.recipe, self.trained(resolved)
        names, severities = self._asked(recipe), list(recipe.get('severities', (1, 2, 3, 4, 5)))
        diagnostics = [tuple(pair) for pair in recipe.get('diagnostics', DIAGNOSTICS)]
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
        if not isinstance(blocks := recipe.get('block_videos', 200), int) or blocks < 1:
            raise DataError(f'{resolved.cell.recipe}: block_videos is {blocks!r}; it must be a whole number from 1.')
        coded = any(get_corruption(name).family == 'codec' for name in ran)
        return {
            'trained': {'name': trained.name, 'id': trained.id},
            'suite': self.suite,
            'corruptions': {name: levels[name] for name in ran},
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
        """Make sure of the trained cell, show it every variant of every video, and count what is right."""
        trained, variants = self.trained(resolved), self.variants(resolved)
        entries = resolved.dataset.entries('test')
        for name, reason in resolved.config['unavailable'].items():
            LOG.warning('%s is left out, and the mean has another name: %s', name, reason)
        for sentence in trained_with(trained.config, variants):
            LOG.warning('%s', sentence)
        apply, weights, training = self._applied(trained, work_dir)
        correct, failed = self._sweep(resolved, trained, entries, variants, apply, weights, work_dir)
        scored = scored_of(entries, failed, resolved.dataset.name)
        columns = resolved.config['columns']
        shares = np.array([[correct[name][position] for name in columns] for position in scored], dtype=np.float32)
        counted = np.isin(columns, [v.name for v in variants if v.corruption in resolved.config['corruptions']])
        return Outcome(
            videos=[entries[position]['video'] for position in scored],
            labels=np.tile(counted, (len(scored), 1)),
            scores=shares,
            unscored=[{'video': entries[position]['video'], 'reason': failed[position]} for position in sorted(failed)],
            num_listed=len(entries),
            num_train=training['num_train'],
            num_train_skipped=training['num_train_skipped'],
            selection=training['selection'] | {'how': self._how(resolved, training['selection']['how'])},
            subset=training.get('subset'),
            notes=[*self._notes(resolved, trained, variants), *training.get('notes', ())],
            sampling=describe_sampling(trained),
            others=_others(columns, shares),
        )

    def _applied(self, trained, work_dir: Path) -> tuple[Callable[[dict], np.ndarray], str, dict]:
        """Function from a packed sample to (C,) scores; what its weights are; and what the record says of training."""
        raise AssertionError('a protocol of this kind says how a trained cell is applied')

    def _sweep(
        self,
        resolved: ResolvedCell,
        trained,
        entries: list[dict],
        variants: list[Variant],
        apply: Callable,
        weights: str,
        work_dir,
    ) -> tuple[dict[str, dict[int, float]], dict[int, str]]:
        """{column: {position: 1.0 where right}} of the readable videos, and {position: reason} of the others."""
        side = resolved.config['working_short_side']
        size = resolved.recipe.get('block_videos', 200)
        key = {'version': self.version, 'trained': trained.id, 'weights': weights, 'short_side': side, 'block': size}
        store = Store(Path(work_dir) / 'robustness' / resolved.encoder.name / identity_hash(key)[:32])
        correct: dict[str, dict[int, float]] = {variant.name: {} for variant in variants}
        failed: dict[int, str] = {}
        labels = np.array([entry['label'] for entry in entries])
        for variant, where, scores in self._scores(resolved, trained, entries, variants, apply, store, failed):
            correct[variant.name] |= dict(zip(where.tolist(), top_k_correct(scores, labels[where]).tolist()))
        return correct, failed

    def _scores(
        self,
        resolved: ResolvedCell,
        trained,
        entries: list[dict],
        variants: list[Variant],
        apply,
        store: Store,
        failed: dict,
    ) -> Iterator[tuple[Variant, np.ndarray, np.ndarray]]:
        """(variant, positions (n,), scores (n, C)) block by block, from the store or by showing the videos.

        Positions that cannot be read, and why, are entered in `failed`.
        """
        size = resolved.recipe.get('block_videos', 200)
        reasons = ((position, why_not_shown(entry, variants)) for position, entry in enumerate(entries))
        failed |= {position: reason for position, reason in reasons if reason is not None}
        for start in range(0, len(entries), size):
            positions = range(start, min(start + size, len(entries)))
            left = [variant for variant in variants if not store.has(variant, start)]
            found, errors = ({}, {}) if not left else self._block(resolved, trained, entries, positions, left, apply)
            surprises = {position: reason for position, reason in errors.items() if position not in failed}
            failed |= surprises
            for variant in variants:
                if variant in left:
                    rows = found.get(variant.name, {})
                    where, scores = np.array(list(rows), dtype=np.int64), np.array(list(rows.values()), np.float32)
                    if not surprises:  # something failed that the index did not foresee: the next run tries again
                        store.write(variant, start, where, scores)
                else:
                    where, scores = store.read(variant, start)
                if len(where):
                    yield variant, where, scores
            LOG.info('%d of %d videos, %d of %d columns new', positions[-1] + 1, len(entries), len(left), len(variants))

    @staticmethod
    def _block(resolved: ResolvedCell, trained, entries, positions, variants, apply) -> tuple[dict, dict]:
        """{column: {position: scores}} in the order of the list, and {position: reason}."""
        clips = CorruptedClips(
            entries,
            positions,
            pipeline_of(trained.config),
            variants,
            resolved.config['working_short_side'],
            resolved.cell.seed,
        )
        found: dict[str, dict[int, np.ndarray]] = {variant.name: {} for variant in variants}
        errors = {}
        workers = num_workers()
        for position, name, sample, error in DataLoader(clips, batch_size=1, num_workers=workers, collate_fn=one):
            if error is not None:
                errors[position] = error
            else:
                found[name][position] = apply(sample)
        return {name: dict(sorted(rows.items())) for name, rows in found.items()}, errors

    # --- what the record says -----

    def _how(self, resolved: ResolvedCell, trained: str) -> str:
        """How the number came about; it must agree in a column, so what goes into the mean is in it."""
        config = resolved.config
        names, severities = list(config['corruptions']), config['severities']
        text = f'{trained}; mean over {len(names)} corruptions x {len(severities)} severities'
        side = config['working_short_side']
        text += f', working size {side or "of the file"}'
        standard = self.suite is not None and severities == [1, 2, 3, 4, 5] and not config['unavailable']
        return text if standard else f'{text}: {", ".join(names)} at {", ".join(map(str, severities))}'

    def _notes(self, resolved: ResolvedCell, trained, variants: list[Variant]) -> list[str]:
        config = resolved.config
        notes = [f'weights of the cell {trained.name} ({trained.id[:8]}), nothing trained anew']
        notes += [f'{name} is left out of the mean: {reason}' for name, reason in config['unavailable'].items()]
        notes += trained_with(trained.config, variants)
        uneven = [name for name in config['corruptions'] if not get_corruption(name).monotone]
        if uneven:
            notes.append(f'severities do not rise strictly in damage, as published or by the draw: {", ".join(uneven)}')
        return notes


class OfFinetuned(Robustness):
    """Weights of a fine-tuned cell, from the checkpoint that it left."""

    def _applied(self, trained, work_dir: Path) -> tuple[Callable[[dict], np.ndarray], str, dict]:
        make(trained, work_dir)
        path = checkpoint_of(trained, work_dir)
        model = MODELS.build(copy.deepcopy(trained.config['model']))
        load_strictly(model, read_weights(path).tensors, str(path))
        model = model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()

        @torch.no_grad()
        def apply(sample: dict) -> np.ndarray:
            (scored,) = model.test_step(as_batch(sample))
            return scored.pred_score.float().cpu().numpy()

        record = read_record(trained.record_path(work_dir))
        training = {
            'num_train': record.dataset['num_train'],
            'num_train_skipped': record.dataset['num_train_skipped'],
            'selection': dict(record.selection),
            'subset': record.subset,
        }
        if record.score['metric'] == 'top1':
            training['notes'] = [f'top-1 in its own record, without a working size: {record.score["value"]:.1f}']
        return apply, sha256_file(path), training


class OfFrozen(Robustness):
    """A frozen encoder with the linear probe of a `frozen_linear` cell, fitted again on the same stored features."""

    trained_protocol = 'frozen_linear'

    def _applied(self, trained, work_dir: Path) -> tuple[Callable[[dict], np.ndarray], str, dict]:
        probe, train, strength, _ = trained.protocol.fitted(trained, work_dir)
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        encoder = build_encoder(trained).to(device)
        mean, std = (
            torch.tensor(v, device=device).view(1, 3, 1, 1, 1) for v in (trained.encoder.mean, trained.encoder.std)
        )

        @torch.no_grad()
        def apply(sample: dict) -> np.ndarray:
            clips = (sample['inputs'].to(device).float() - mean) / std  # (V, 3, T, H, W)
            pooled = encoder(clips).float().mean(dim=(2, 3)).mean(dim=0)  # (T', D): over space, then over views
            return probabilities(probe, pooled.cpu().numpy().reshape(1, -1), trained.dataset.num_classes)[0]

        training = {
            'num_train': len(train.videos),
            'num_train_skipped': len(train.unscored),
            'selection': {'epoch': None, 'how': 'regularisation chosen on a held-out part of train'},
            'notes': [f'inverse strength {strength:g}'],
        }
        return apply, 'probe fitted again', training


def _define(suite: str | None, kind: type, ending: str) -> type:
    """The protocol of a suite and kind of trained cell: a name of its own, as their numbers are other numbers."""
    name = 'robustness' + (f'_{suite}' if suite else '') + ending
    return type(f'{kind.__name__}_{suite}', (kind,), {'name': name, 'suite': suite, '__doc__': kind.__doc__})


# tal-c damages actions in untrimmed videos, which is another task.
PROTOCOLS = [
    _define(suite, kind, ending)
    for suite in (None, 'imagenet-c', 'kinetics-c', 'ssv2-c', 'ucf-p')
    for kind, ending in ((OfFinetuned, ''), (OfFrozen, '_frozen'))
]


# --- the trained cell -----


def working_size(resolved: ResolvedCell) -> int | None:
    """Pixels to which the short side is brought before the corruption, as the recipe says; None: the file's own.

    Raises:
        DataError: if it is neither.
    """
    side = resolved.recipe.get('working_short_side', WORKING_SHORT_SIDE)
    if side is not None and (not isinstance(side, int) or side < LEAST_SIDE):
        raise DataError(
            f'{resolved.cell.recipe}: working_short_side is {side!r}; it must be a whole number of pixels from '
            f'{LEAST_SIDE}, or None for the size of the file.'
        )
    return side


def trained_cell(resolved: ResolvedCell, protocol: str, dataset: str | None = None) -> ResolvedCell:
    """The cell of this protocol whose weights are measured: same encoder, seed, subset and, unless named, dataset.

    Raises:
        DataError: if the recipe names none for the encoder's family, or one of another protocol.
    """
    from eval.protocols import get_protocol

    cell, wanted, family = resolved.cell, resolved.recipe['trained'], resolved.encoder.family
    if isinstance(wanted, dict):
        if family not in wanted:
            raise DataError(f'{cell.recipe} names no trained recipe for the family {family}; add one.')
        wanted = wanted[family]
    recipe = wanted.replace('{family}', family)
    found = Cell(protocol, dataset or cell.dataset, recipe, cell.encoder, cell.seed, cell.shots, cell.examples)
    return ResolvedCell(found, get_protocol(protocol), resolved.cards)


def make(trained: ResolvedCell, work_dir: str | Path) -> None:
    """Run the trained cell in a process of its own where it has no record yet; one that runs elsewhere is waited for.

    Raises:
        DataError: if it ends without a record.
    """
    while not _is_done(trained, work_dir):
        LOG.info('%s comes first', trained.name)
        command = [sys.executable, str(RUN_CELL), '--work-dir', str(work_dir), '--id', trained.id]
        command += ['--folder', str(trained.folder(work_dir)), trained.cell.to_json()]
        paths = os.pathsep.join([str(RUN_CELL.parents[1]), *filter(None, [os.environ.get('PYTHONPATH')])])
        environment = os.environ | {'SIGMA_CELL_OF': str(os.getpid()), 'PYTHONPATH': paths}
        status = subprocess.run(command, env=environment, check=False).returncode
        if status == claims.ELSEWHERE:
            time.sleep(claims.BEAT_SECONDS)
        elif status or not _is_done(trained, work_dir):
            raise DataError(f'{trained.name}, whose weights are to be measured, could not be trained; see the log.')


def _is_done(trained: ResolvedCell, work_dir: str | Path) -> bool:
    path = trained.record_path(work_dir)
    try:
        return path.is_file() and read_record(path).cell['id'] == trained.id
    except RecordError:
        return False


def checkpoint_of(trained: ResolvedCell, work_dir: str | Path) -> Path:
    """The newest training state in the folder of a cell that has its record.

    Raises:
        DataError: if it was taken away.
    """
    folder = trained.folder(work_dir)
    files = CheckpointHook._files(folder) if folder.is_dir() else []
    if not files:
        raise DataError(
            f'{trained.name} has its record but no weights in {folder}; take {trained.record_path(work_dir)} away and '
            'run the command again to train it anew.'
        )
    return files[-1]


def scored_of(entries: list[dict], failed: dict[int, str], name: str) -> list[int]:
    """Positions of the videos that were shown.

    Raises:
        DataError: if there is none, with the reason of the first.
    """
    scored = [position for position in range(len(entries)) if position not in failed]
    if not scored:
        first = min(failed)
        raise DataError(
            f'{name}: none of {len(entries)} test videos could be shown, first {entries[first]["video"]}: '
            f'{failed[first]}.'
        )
    return scored


def pipeline_of(config: dict) -> list[dict]:
    """Evaluation pipeline of a fine-tuned or frozen cell."""
    return config['pipeline'] if 'pipeline' in config else config['test_dataloader']['dataset']['pipeline']


def trained_with(config: dict, variants: list[Variant]) -> list[str]:
    """A sentence for each transform of the training pipeline that resembles a corruption which is tested."""
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
