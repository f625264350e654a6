"""Fine-tuning on videos with any number of labels.

Versions: 1 (2026-11-22).
"""

from eval.cells.cell import ResolvedCell
from eval.protocols.base import Departure
from eval.protocols.finetune import Finetune
from sigma.errors import DataError


class MultiLabel(Finetune):
    """Binary cross-entropy per class; a training clip has the labels of the actions that overlap it.

    If the dataset has annotations, `actions` [[start_seconds, end_seconds, class], ...] of a video say what a clip
    shows; otherwise the video's labels hold throughout. At test a video has all of its labels, and its score is the
    maximum of the sigmoid scores over views.
    """

    name = 'multi_label'
    version = 1
    source = 'Charades as in SEVERE (ECCV 2022), whose code is SlowFast; the head and pooling are those of finetune'
    task = 'multi_label'
    head = 'eval.MultiLabelHead'
    departures = (
        Departure(
            what='Labels of a training clip',
            published='the labels of its frames in a list of frames, from the first to the last (SlowFast)',
            ours='the actions whose annotated seconds overlap the time from its first to its last frame',
            effect='a frame at either end of an action',
        ),
        Departure(
            what='Test videos that cannot be read',
            published='the run stops (SlowFast)',
            ours='counted as not scored, and named in the record',
            effect='none where all videos can be read',
        ),
    )

    def check(self, resolved: ResolvedCell) -> None:
        """Raise DataError for another task, or for few-shot cells: clips with several labels belong to no one class."""
        super().check(resolved)
        if resolved.cell.shots or resolved.cell.examples:
            raise DataError(
                f'{resolved.dataset.name}: videos with several labels cannot be drawn per class; '
                'take the multi_label protocol on the whole list.'
            )

    def labels(self, resolved: ResolvedCell, training: bool) -> tuple[dict, ...]:
        """The labels of the clip in training, of the video at test."""
        within = training and bool(resolved.dataset.info.get('annotations'))
        return ({'type': 'sigma.MultiHot', 'num_classes': self.num_classes(resolved), 'within_clip': within},)
