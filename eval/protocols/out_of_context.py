"""A trained cell on altered or mimed test videos: does it look at the action, or at the place and the object?

The card of such a set (`mimetics`, `scuba_*`, `hat_*`) names under `trained_on` the dataset whose classes it has. The
trained cell is the ordinary one of that dataset, with the same encoder, seed and subset. It is needed, so a matrix runs
it first. Nothing is trained on the set. Every video is shown twice: as it is, and with one of its frames, drawn by its
name, held throughout (`one_frame`).

`out_of_context` measures a fine-tuned cell, `out_of_context_frozen` a frozen encoder with its linear probe.

The keys of a recipe (`mmaction_configs/recipes/out_of_context*.py`) are declared in `eval/settings/applied.py`.

The record is an ordinary one of accuracy, with these further numbers in percent:

    one_frame               top-1 where one frame stands for the video; for SCUBA this is SCUFO, which should be low
    right_by_motion         share right on the video and wrong on its frame (the contrasted accuracy of StillMix)
    background_class        share predicted as the class of the background, where it differs from the video's
    top1_of_all_classes     where the set has only some classes (`restricted`): top-1 without leaving out the others

Where the card says `restricted`, the head chooses among the classes in the list, and `num_classes` counts these.

Sources: Mimetics (IJCV 2021), StillMix (ICCV 2023), HAT (NeurIPS Datasets and Benchmarks 2022). They draw the one frame
again for each sampled clip; ours depends on the video alone.

Versions: 1 (2026-11-22).
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.cells.trained import load_trained
from eval.corruptions.shown import CLEAN, Variant
from eval.features.views import describe_sampling
from eval.metrics import top_k_correct
from eval.protocols.applied import APPLY, ENDING, trained_cell
from eval.protocols.base import Departure, Outcome, Protocol
from eval.protocols.showing import Showing
from eval.settings.applied import OUT_OF_CONTEXT
from sigma.data.cards import DatasetCard
from sigma.errors import DataError

ONE_FRAME = Variant('clip_freeze', 5)


class OutOfContext(Protocol):
    """Top-1 of a trained cell on altered or mimed test videos.

    Args:
        trained_protocol: Of the trained cell: `finetune` or `frozen_linear`.
    """

    version = 1
    source = 'Mimetics (IJCV 2021), SCUBA and SCUFO of StillMix (ICCV 2023), HAT (NeurIPS D&B 2022)'
    settings = OUT_OF_CONTEXT
    instances: ClassVar = {'out_of_context': ('finetune',), 'out_of_context_frozen': ('frozen_linear',)}
    told = 'Top-1 on altered or mimed test videos, with the weights of {trained_protocol} cells.'
    departures = (
        Departure(
            'The one frame of SCUFO',
            'drawn again from each sampled clip (StillMix)',
            'drawn once per video, by its name',
        ),
        Departure(
            'Pictures of SCUBA and HAT',
            'read as pictures',
            'made into H.264 videos with quantiser 10, at 25 frames per second unless `--fps` says otherwise',
        ),
        Departure(
            "HAT's human-only videos",
            'everything but the human is painted after the resize, in the data loader',
            'before the resize',
        ),
        Departure(
            "HAT's swapped videos",
            'the human is moved by the first sampled frame',
            'by the first frame of the video',
        ),
    )

    def __init__(self, trained_protocol: str = 'finetune') -> None:
        self.trained_protocol = trained_protocol
        self.name = self.name or f'out_of_context{ENDING[trained_protocol]}'

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Classes in the test list where the card restricts the head to them, else all of the dataset."""
        return len(classes_of(resolved.dataset)) if _is_restricted(resolved) else super().num_classes(resolved)

    def trained(self, resolved: ResolvedCell) -> ResolvedCell:
        """The trained cell, of the dataset that the card names.

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
                f'{resolved.dataset.name} has other classes than {found.dataset.name}, on which its cells are trained.'
            )
        return found

    def needs(self, resolved: ResolvedCell) -> list[ResolvedCell]:
        """The trained cell."""
        return [self.trained(resolved)]

    def config(self, resolved: ResolvedCell) -> dict:
        """What is shown, and to which trained cell."""
        trained = self.trained(resolved)
        return {
            'trained': {'name': trained.name, 'id': trained.id},
            'restricted': _is_restricted(resolved),
            'columns': [CLEAN, ONE_FRAME.name],
            'working_short_side': resolved.recipe['working_short_side'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Show the trained cell every video as it is and as one frame."""
        trained = load_trained(self.trained(resolved), work_dir)
        applied = APPLY[self.trained_protocol](trained)
        showing = Showing(resolved, trained.resolved, applied, resolved.dataset.entries('test'))
        entries = showing.entries
        whole, still = self._scores(showing, work_dir)
        scored = [position for position in range(len(entries)) if position not in showing.failed]
        labels = np.array([entries[position]['label'] for position in scored], dtype=np.int64)
        of_all = np.array([whole[position] for position in scored], dtype=np.float32).reshape(len(scored), -1)
        of_frame = np.array([still[position] for position in scored], dtype=np.float32).reshape(len(scored), -1)
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
            unscored=showing.unscored(),
            num_listed=len(entries),
            num_train=trained.num_train,
            num_train_skipped=trained.num_train_skipped,
            selection=trained.selection | {'how': self._how(resolved, trained.selection['how'])},
            subset=trained.subset,
            notes=[trained.note, *applied.notes],
            sampling=describe_sampling(trained.resolved),
            others=others,
        )

    def _how(self, resolved: ResolvedCell, trained: str) -> str:
        config = resolved.config
        among = f'among the {self.num_classes(resolved)} classes of the list' if config['restricted'] else 'all classes'
        return f'{trained}; {among}, working size {config["working_short_side"] or "of the file"}'

    @staticmethod
    def _scores(showing: Showing, work_dir: Path) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        """{position: scores} of the video, and of its one frame."""
        dataset = showing.resolved.dataset
        store = showing.store(work_dir, shown=[dataset.list_sha256('test'), dataset.content_sha256('test')])
        found: dict[str, dict[int, np.ndarray]] = {CLEAN: {}, ONE_FRAME.name: {}}
        for variant, where, scores in showing.scores([Variant(CLEAN), ONE_FRAME], store):
            found[variant.name] |= dict(zip(where.tolist(), scores))
        return found[CLEAN], found[ONE_FRAME.name]


def _is_restricted(resolved: ResolvedCell) -> bool:
    return bool(resolved.dataset.info.get('restricted'))


def classes_of(dataset: DatasetCard) -> np.ndarray:
    """Classes in the test list, in rising order."""
    return np.unique([label for _, label in dataset.pairs('test')])


def _percent(flags: np.ndarray) -> float:
    return 100 * float(np.mean(flags, dtype=np.float64))
