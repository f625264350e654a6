"""Another corruption in every video: a member of UCF101-P's spatial or temporal lists, drawn by the video's name.

The published test draws its severity, 4 or 5, for each video, and its training 1 to 3, from other lists; here a
severity is one, and has the list of its side. So the published test is the mean of 4 and 5
(`mmaction_configs/recipes/robustness_ucf_p_mixed.py`). They are in no suite themselves, as a mean over its members
holds each of them already.
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
    """(severity of the member, names of the members) of severities 1 to 5."""
    return tuple((severity, trained if severity <= 3 else tested) for severity in (1, 2, 3, 4, 5))


def member_of(names: tuple[str, ...], draws: Draws) -> Corruption:
    """The one that this video gets; its severity has a draw of its own, as its key has.

    It is drawn 2^128 places from where the member begins to draw: from the same number, the frame that `freeze` holds
    would lie in one fifth of the video.
    """
    rng = np.random.Generator(draws.shared().bit_generator.jumped())
    return CORRUPTIONS[names[int(rng.integers(len(names)))]]


@register(
    'mixed', _levels(SPATIAL_TRAINED, SPATIAL_TESTED), UCF_P + '; severity drawn there', shared=True, monotone=False
)
def mixed_spatial(frames: np.ndarray, level: tuple[int, tuple[str, ...]], draws: Draws) -> np.ndarray:
    """One of noise and camera in each video; which is shared by its frames, the rest as in the member.

    Level is (severity, members).
    """
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
    """One of sampling, reverse sampling, jumble, box jumble and freeze in each video, at their published scales.

    Level is (severity, members).
    """
    severity, names = level
    member = member_of(names, draws)
    return member.function(num_frames, member.level(severity, SUITE), draws)
