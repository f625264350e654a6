"""Labels that depend on the clip: which actions it shows, and in which direction it plays."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sigma.data.clips import VideoClips
from sigma.errors import DataError
from sigma.registry import DATASETS, TRANSFORMS

DIRECTIONS = ('forwards', 'backwards')


def actions_within(actions: list, first_seconds: float, last_seconds: float) -> set[int]:
    """Classes of the actions [[start_seconds, end_seconds, class], ...] that overlap a clip, its ends included."""
    return {int(label) for start, end, label in actions if start <= last_seconds and end >= first_seconds}


@TRANSFORMS.register_module()
class MultiHot(BaseTransform):
    """The labels of a video, or of the clip alone, as a vector of 0 and 1.

    Args:
        num_classes: C.
        within_clip: Take the actions of the entry's annotation that overlap the time from the clip's first to its last
            sampled frame (a clip that loops: from its least to its greatest); else the labels of the whole video.

    Raises:
        DataError: if the annotation or the frame rate is absent where `within_clip` needs it, or a label is no class.

    Source: SlowFast's Charades loader, as in SEVERE: a training clip has the union of the labels of its frames, a test
    video that of all its frames.
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
        annotation, fps = results.get('annotation'), results.get('fps')
        if annotation is None or 'actions' not in annotation or not fps:
            lacks = 'frame rate' if annotation is not None and 'actions' in annotation else 'actions in its annotations'
            raise DataError(
                f'{results["video"]} has no {lacks}, which labels of a clip need; prepare the data set anew.'
            )
        frames = results['frame_inds']
        return actions_within(annotation['actions'], frames.min() / fps, frames.max() / fps)


@TRANSFORMS.register_module()
class PlayDirection(BaseTransform):
    """Play the clip forwards (label 0) or backwards (label 1).

    Args:
        probability: Of backwards; None takes the entry's `backwards` (`sigma.BothDirections`).

    Stands between sampling and decoding: it turns `frame_inds` around, clip by clip.
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
    """Every video of a split twice, to be played forwards and backwards by `sigma.PlayDirection`.

    Arguments as `VideoClips`. Entries alternate; their `video` is the listed name with the direction behind it.
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
