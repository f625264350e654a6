"""A rotated or shifted camera. Pixels that come into view are black."""

from __future__ import annotations

import cv2
import numpy as np

from eval.corruptions.corruption import Draws, register

UCF_P = 'UCF101-P, Maddy12/ActionRecognitionRobustnessEval, core/video_perturb.py'


def rotated(frame: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate counter-clockwise about the middle, with nearest pixels; the corners are cut off."""
    height, width = frame.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_NEAREST)


@register('camera', (7.5, 15, 30, 45, 90), UCF_P, shared=None, suites=('ucf-p',))
def camera_rotation(frames: np.ndarray, degrees: float, draws: Draws) -> np.ndarray:
    """Rotates all frames by the same angle; level: degrees."""
    return np.stack([rotated(frame, degrees) for frame in frames])


@register('camera', (7, 13, 19, 25, 31), UCF_P, shared=False, suites=('ucf-p',))
def random_rotation(frames: np.ndarray, most_degrees: int, draws: Draws) -> np.ndarray:
    """Rotates each frame by its own random angle; level: largest whole number of degrees, either way."""
    angles = [draws.frame(t).integers(-most_degrees, most_degrees, endpoint=True) for t in range(len(frames))]
    return np.stack([rotated(frame, float(angle)) for frame, angle in zip(frames, angles)])


@register(
    'camera',
    (8, 16, 24, 32, 40),
    # Drawn for every frame, as a jitter. The published code, as we read it, draws once per clip.
    UCF_P + '; there the crop of the model moves, here the picture, so black comes in at right and bottom',
    shared=False,
    suites=('ucf-p',),
)
def translation(frames: np.ndarray, bound: int, draws: Draws) -> np.ndarray:
    """Shifts each frame left and up by its own random offsets; level: pixels, which each offset stays below."""
    out = np.zeros_like(frames)
    height, width = frames.shape[1:3]
    for t, frame in enumerate(frames):
        right, down = (int(n) for n in draws.frame(t).integers(0, bound, 2))
        right, down = min(right, width), min(down, height)
        out[t, : height - down, : width - right] = frame[down:, right:]
    return out
