"""The camera turned or moved; what comes into view is black."""

from __future__ import annotations

import cv2
import numpy as np

from eval.corruptions.corruption import Draws, register

UCF_P = 'UCF101-P, Maddy12/ActionRecognitionRobustnessEval, core/video_perturb.py'


def rotated(frame: np.ndarray, degrees: float) -> np.ndarray:
    """Turned counter-clockwise about its middle, nearest pixels, corners cut."""
    height, width = frame.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_NEAREST)


@register('camera', (7.5, 15, 30, 45, 90), UCF_P, shared=None, suites=('ucf-p',))
def camera_rotation(frames: np.ndarray, degrees: float, draws: Draws) -> np.ndarray:
    """Turns all frames by the same angle."""
    return np.stack([rotated(frame, degrees) for frame in frames])


@register('camera', (7, 13, 19, 25, 31), UCF_P, shared=False, suites=('ucf-p',))
def random_rotation(frames: np.ndarray, most_degrees: int, draws: Draws) -> np.ndarray:
    """Turns every frame by a whole angle of its own, from -(6 s + 1) to 6 s + 1 degrees at severity s."""
    angles = [draws.frame(t).integers(-most_degrees, most_degrees, endpoint=True) for t in range(len(frames))]
    return np.stack([rotated(frame, float(angle)) for frame, angle in zip(frames, angles)])


@register(
    'camera',
    (8, 16, 24, 32, 40),
    # A jitter, drawn for every frame; the published code, as read, draws once for the tensor of a clip.
    UCF_P + '; there the crop of the model moves, here the picture, so black comes in at right and bottom',
    shared=False,
    suites=('ucf-p',),
)
def translation(frames: np.ndarray, bound: int, draws: Draws) -> np.ndarray:
    """Moves every frame left and up by offsets of its own, 0 to 8 s - 1 pixels each at severity s."""
    out = np.zeros_like(frames)
    height, width = frames.shape[1:3]
    for t, frame in enumerate(frames):
        right, down = (int(n) for n in draws.frame(t).integers(0, bound, 2))
        right, down = min(right, width), min(down, height)
        out[t, : height - down, : width - right] = frame[down:, right:]
    return out
