"""Fine-tuning on videos of several labels or none.

Versions: 1 (2026-11-22).
"""

from eval.cells.cell import ResolvedCell
from eval.protocols.finetune import Finetune
from sigma.errors import DataError


class MultiLabel(Finetune):
    """Binary cross-entropy for each class; a training clip has the labels of the actions that overlap it.

    Where the card has annotations, `actions` [[start_seconds, end_seconds, class], ...] of a video say what a clip
    shows; else the video's labels hold throughout. At test a video has all its labels, and its score is the maximum
    over views of the sigmoid scores.
    """

    name = 'multi_label'
    version = 1
    source = 'Charades as in SEVERE (ECCV 2022), whose code is SlowFast; the head and pooling are those of finetune'
    task = 'multi_label'
    head = 'eval.MultiLabelHead'

    def check(self, resolved: ResolvedCell) -> None:
        """Nor draws of as many clips a class, which clips of several classes do not have."""
        super().check(resolved)
        if resolved.cell.shots or resolved.cell.examples:
            raise DataError(
                f'{resolved.dataset.name}: videos of several labels have no clips a class; '
                'take the multi_label protocol on the whole list.'
            )

    def labels(self, resolved: ResolvedCell, training: bool) -> tuple[dict, ...]:
        """Of the clip in training, of the video in testing."""
        within = training and bool(resolved.dataset.info.get('annotations'))
        return ({'type': 'sigma.MultiHot', 'num_classes': self.num_classes(resolved), 'within_clip': within},)
