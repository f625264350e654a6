"""Frames of PyAV as pictures."""

import numpy as np


class ToRGB:
    """PyAV's frames as pictures, by one converter of its own.

    `frame.to_ndarray` prepares a converter anew for each frame: the same bytes in three times as long.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._converter = VideoReformatter()

    def __call__(self, frame) -> np.ndarray:
        """uint8 RGB (H, W, 3) of an av.VideoFrame."""
        return self._converter.reformat(frame, format='rgb24').to_ndarray()
