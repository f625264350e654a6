"""A trained cell on altered or mimed test videos: does it look at the action, or at the place and the object?

The card of such a set (`mimetics`, `scuba_*`, `hat_*`) names under `trained_on` the dataset whose classes it has. The
trained cell is the ordinary one of that dataset, of the same encoder, seed and subset; it is run first where it has no
record yet, and nothing is trained on the set. Every video is shown twice: as it is, and with one of its frames, drawn
by its name, held throughout (`one_frame`).

A recipe (`mmaction_configs/recipes/out_of_context*.py`) has `trained`, `working_short_side` and `block_videos`, as
explained in `eval/protocols/robustness.py`.

The record: an ordinary one of accuracy, with these numbers besides, in percent:

    one_frame               top-1 where one frame stands for the video; of SCUBA this is SCUFO, which should be low
    right_by_motion         share right on the video and wrong on its frame (the contrasted accuracy of StillMix)
    background_class        share taken for the class of the background, where the set's videos have another's
    top1_of_all_classes     where the set has some classes only (`restricted`): without leaving out the others

Where the card says `restricted`, a head is asked among the classes that the list has, and `num_classes` is theirs.

Sources: Mimetics (IJCV 2021), StillMix (ICCV 2023), HAT (NeurIPS Datasets and Benchmarks 2022). There one frame is
drawn anew from each sampled clip; ours depends on the video alone.

Versions: 1 (2026-11-22).
"""

import logging
from pathlib import Path

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.corruptions.shown import CLEAN, Store, Variant
from eval.features.views import describe_sampling
from eval.metrics import top_k_correct
from eval.protocols.base import Outcome
from eval.protocols.robustness import OfFinetuned, OfFrozen, trained_cell
from eval.records import identity_hash
from sigma.errors import DataError

LOG = logging.getLogger(__name__)
ONE_FRAME = Variant('clip_freeze', 5)


class _OutOfContext:
    """What both kinds of trained cell share; `Robustness` says the rest."""

    version = 1
    source = 'Mimetics (IJCV 2021), SCUBA and SCUFO of StillMix (ICCV 2023), HAT (NeurIPS D&B 2022)'

    def metric_of(self, resolved: ResolvedCell) -> str:
        """The card's."""
        return resolved.dataset.info['metric']

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Those that the list has, where the card restricts the head to them."""
        return (
            len(classes_of(resolved.dataset))
            if resolved.dataset.info.get('restricted')
            else super().num_classes(resolved)
        )

    def trained(self, resolved: ResolvedCell):
        """The cell of the dataset that the card names.

        Raises:
            DataError: if it names none, or has other classes.
        """
        info = resolved.dataset.info
        if not info.get('trained_on'):
            raise DataError(
                f'{resolved.dataset.name} names no dataset under `trained_on`, so no trained cell has its classes; '
                'such sets are mimetics, scuba_* and hat_*.'
            )
        found = trained_cell(resolved, self.trained_protocol, info['trained_on'])
        if found.dataset.info.get('classes') != info['classes']:
            raise DataError(
                f'{resolved.dataset.name} has other classes than {found.dataset.name}, on which it is asked.'
            )
        return found

    def config(self, resolved: ResolvedCell) -> dict:
        """What is shown, of which trained cell."""
        trained = self.trained(resolved)
        return {
            'trained': {'name': trained.name, 'id': trained.id},
            'restricted': bool(resolved.dataset.info.get('restricted')),
            'columns': [CLEAN, ONE_FRAME.name],
            'working_short_side': resolved.recipe.get('working_short_side'),
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Make sure of the trained cell, show it every video whole and as one frame."""
        trained, entries = self.trained(resolved), resolved.dataset.entries('test')
        apply, weights, training = self._applied(trained, work_dir)
        whole, frozen, failed = self._shown(resolved, trained, entries, apply, weights, work_dir)
        scored = [position for position in range(len(entries)) if position not in failed]
        labels = np.array([entries[position]['label'] for position in scored], dtype=np.int64)
        of_all = np.array([whole[position] for position in scored], dtype=np.float32).reshape(len(scored), -1)
        of_frame = np.array([frozen[position] for position in scored], dtype=np.float32).reshape(len(scored), -1)
        others, scores, kept = {}, of_all, np.arange(of_all.shape[1])
        if resolved.config['restricted'] and scored:
            kept = classes_of(resolved.dataset)
            others['top1_of_all_classes'] = _percent(top_k_correct(of_all, labels))
            labels, scores, of_frame = np.searchsorted(kept, labels), of_all[:, kept], of_frame[:, kept]
        if scored:
            right, right_still = top_k_correct(scores, labels), top_k_correct(of_frame, labels)
            others |= {
                'one_frame': _percent(right_still),
                'right_by_motion': _percent(right.astype(bool) & ~right_still.astype(bool)),
            }
            backgrounds = [(entries[position]['annotation'] or {}).get('background') for position in scored]
            if None not in backgrounds:
                others['background_class'] = _percent(kept[scores.argmax(axis=1)] == np.array(backgrounds))
        return Outcome(
            videos=[entries[position]['video'] for position in scored],
            labels=labels,
            scores=scores,
            unscored=[{'video': entries[position]['video'], 'reason': failed[position]} for position in sorted(failed)],
            num_listed=len(entries),
            num_train=training['num_train'],
            num_train_skipped=training['num_train_skipped'],
            selection=training['selection'] | {'how': self._how(resolved, training['selection']['how'])},
            subset=training.get('subset'),
            notes=[
                f'weights of the cell {trained.name} ({trained.id[:8]}), nothing trained anew',
                *training.get('notes', ()),
            ],
            sampling=describe_sampling(trained),
            others=others,
        )

    def _how(self, resolved: ResolvedCell, trained: str) -> str:
        config = resolved.config
        among = f'among the {self.num_classes(resolved)} classes of the list' if config['restricted'] else 'all classes'
        return f'{trained}; {among}, working size {config["working_short_side"] or "of the file"}'

    def _shown(
        self, resolved: ResolvedCell, trained, entries: list[dict], apply, weights: str, work_dir
    ) -> tuple[dict, dict, dict]:
        """{position: scores} of the video, of its one frame, and {position: reason} of what cannot be read."""
        key = {
            'version': self.version,
            'trained': trained.id,
            'weights': weights,
            'short_side': resolved.config['working_short_side'],
            'block': resolved.recipe.get('block_videos', 200),
            'shown': [resolved.dataset.list_sha256('test'), resolved.dataset.content_sha256('test')],
        }
        store = Store(Path(work_dir) / 'robustness' / resolved.encoder.name / identity_hash(key)[:32])
        found: dict[str, dict[int, np.ndarray]] = {CLEAN: {}, ONE_FRAME.name: {}}
        failed: dict[int, str] = {}
        variants = [Variant(CLEAN), ONE_FRAME]
        for variant, where, scores in self._scores(resolved, trained, entries, variants, apply, store, failed):
            found[variant.name] |= dict(zip(where.tolist(), scores))
        return found[CLEAN], found[ONE_FRAME.name], failed


class OutOfContext(_OutOfContext, OfFinetuned):
    """A fine-tuned cell on altered or mimed test videos."""

    name = 'out_of_context'


class OutOfContextFrozen(_OutOfContext, OfFrozen):
    """A frozen encoder with its linear probe on altered or mimed test videos."""

    name = 'out_of_context_frozen'


def classes_of(dataset) -> np.ndarray:
    """Classes that the test list has, in rising order."""
    return np.unique([label for _, label in dataset.pairs('test')])


def _percent(flags: np.ndarray) -> float:
    return 100 * float(np.mean(flags, dtype=np.float64))
