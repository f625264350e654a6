"""A random corruption for each video, from UCF101-P's spatial or temporal lists.

The published test draws a severity of 4 or 5 for each video; the published training draws 1 to 3, from other lists.
Here the severity is given, and picks the list it belongs to. So the published test is the mean of severities 4 and 5
(`mmaction_configs/recipes/robustness_ucf_p_mixed.py`). The mixed ones belong to no suite, because a mean over the suite
already contains each of their members.
"""

from __future__ import annotations

import numpy as np

from eval.corruptions.camera import UCF_P
from eval.corruptions.corruption import CORRUPTIONS, Corruption, Draws, register

SUITE = 'ucf-p'
SPATIAL_TRAINED = ('speckle_noise', 'gaussian_noise', 'random_rotation')
SPATIAL_TESTED = ('shot_noise', 'camera_rotation', 'translation', 'impulse_noise')
TEMPORAL_TRAINED = ('p-jumble', 'freeze', 'sampling')
TEMPORAL_TESTED = (*TEMPORAL_TRAINED, 'p-box_jumble', 'reverse_sampling')


def _levels(trained: tuple[str, ...], tested: tuple[str, ...]) -> tuple:
    """(severity, names of the members) for severities 1 to 5."""
    return tuple((severity, trained if severity <= 3 else tested) for severity in (1, 2, 3, 4, 5))


def member_of(names: tuple[str, ...], draws: Draws) -> Corruption:
    """The corruption that this video gets.

    It is drawn 2^128 numbers away from where the member starts to draw. With the same random number for both, the frame
    that `freeze` holds would always lie in the same fifth of the video.
    """
    rng = np.random.Generator(draws.shared().bit_generator.jumped())  # type: ignore[attr-defined]  # Philox has it
    return CORRUPTIONS[names[int(rng.integers(len(names)))]]


@register(
    'mixed', _levels(SPATIAL_TRAINED, SPATIAL_TESTED), UCF_P + '; severity drawn there', shared=True, monotone=False
)
def mixed_spatial(frames: np.ndarray, level: tuple[int, tuple[str, ...]], draws: Draws) -> np.ndarray:
    """A random noise or camera corruption for each video; level: (severity, names of members)."""
    severity, names = level
    member = member_of(names, draws)
    return member.function(frames, member.level(severity, SUITE), draws)


@register(
    'mixed',
    _levels(TEMPORAL_TRAINED, TEMPORAL_TESTED),
    UCF_P + '; severity drawn there',
    shared=True,
    acts_on='order',
    monotone=False,
)
def mixed_temporal(num_frames: int, level: tuple[int, tuple[str, ...]], draws: Draws) -> np.ndarray:
    """A random change of order for each video, at published levels; level: (severity, names of members)."""
    severity, names = level
    member = member_of(names, draws)
    return member.function(num_frames, member.level(severity, SUITE), draws)
