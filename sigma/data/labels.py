"""Labels that depend on the clip: the actions it shows, and the direction in which it plays."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sigma.data.clips import VideoClips
from sigma.errors import DataError
from sigma.registry import DATASETS, TRANSFORMS
from sigma.video import times_of

DIRECTIONS = ('forwards', 'backwards')


def actions_within(actions: list, first_seconds: float, last_seconds: float) -> set[int]:
    """Classes of the actions [[start_seconds, end_seconds, class], ...] that overlap a clip, including its ends."""
    return {int(label) for start, end, label in actions if start <= last_seconds and end >= first_seconds}


@TRANSFORMS.register_module()
class MultiHot(BaseTransform):
    """The labels of a video, or of the clip alone, as a 0/1 vector.

    Args:
        num_classes: C.
        within_clip: Take only the actions that overlap the time between the first and the last sampled frame (for a
            clip that loops: between the lowest and the highest frame number), not the labels of the whole video.

    Raises:
        DataError: if `within_clip` needs an annotation or frame rate that is missing, or a label is out of range.

    Source: SlowFast's Charades loader, as in SEVERE: a training clip gets the union of its frames' labels, a test video
    that of all its frames.
    """

    def __init__(self, num_classes: int, within_clip: bool = False) -> None:
        self.num_classes, self.within_clip = num_classes, within_clip

    def transform(self, results: dict) -> dict:
        """Replaces `label` by (C,) float."""
        labels = self._within(results) if self.within_clip else results['label']
        outside = [label for label in labels if not 0 <= label < self.num_classes]
        if outside:
            raise DataError(f'{results["video"]} has label {outside[0]}, outside 0 to {self.num_classes - 1}.')
        vector = torch.zeros(self.num_classes)
        vector[list(labels)] = 1
        return results | {'label': vector}

    @staticmethod
    def _within(results: dict) -> set[int]:
        annotation, times = results.get('annotation'), times_of(results)
        if annotation is None or 'actions' not in annotation or times is None:
            lacks = 'frame rate' if annotation is not None and 'actions' in annotation else 'actions in its annotations'
            raise DataError(
                f'{results["video"]} has no {lacks}, which the labels of a clip need; prepare the dataset again.'
            )
        frames = results['frame_inds']
        first, last = (times.seconds(int(number)) for number in (frames.min(), frames.max()))
        return actions_within(annotation['actions'], first, last)


@TRANSFORMS.register_module()
class PlayDirection(BaseTransform):
    """Play the clip forwards (label 0) or backwards (label 1).

    Args:
        probability: Probability of playing backwards; None takes the entry's `backwards` (`sigma.BothDirections`).

    It comes between sampling and decoding, and reverses `frame_inds` clip by clip.
    """

    def __init__(self, probability: float | None = 0.5) -> None:
        self.probability = probability

    def transform(self, results: dict) -> dict:
        """Replaces `frame_inds` and `label`."""
        if self.probability is None:
            backwards = bool(results['backwards'])
        else:
            backwards = bool(results['rng'].random() < self.probability)
        frames = results['frame_inds']
        if backwards:
            frames = np.ascontiguousarray(frames.reshape(results['num_clips'], -1)[:, ::-1]).ravel()
        return results | {'frame_inds': frames, 'label': int(backwards)}


@DATASETS.register_module()
class BothDirections(VideoClips):
    """Lists every video of a split twice, for `sigma.PlayDirection` to play forwards and backwards.

    Arguments as in `VideoClips`. Entries alternate; `video` is the listed name followed by the direction.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.entries = [
            entry | {'video': f'{entry["video"]} {direction}', 'backwards': direction == 'backwards'}
            for entry in self.entries
            for direction in DIRECTIONS
        ]
        self.num_listed *= 2
        self.metainfo = {'num_listed': self.num_listed}
