"""Another corruption in every video: a member of UCF101-P's spatial or temporal ones, drawn by the video's name.

The published test draws severity 4 or 5 a video, its training 1 to 3; here a severity is one, so the published test is
the mean of 4 and 5 (`mmaction_configs/recipes/robustness_ucf_p_mixed.py`). The lists of members are not written out
where we could read them: these are all of the suite, in the order of their names. They are in no suite themselves, as a
mean over its members holds each of them already.
"""

from __future__ import annotations

import numpy as np

from eval.corruptions.camera import UCF_P
from eval.corruptions.registry import CORRUPTIONS, Corruption, Draws, register

SUITE = 'ucf-p'
SEVERITIES = (1, 2, 3, 4, 5)


def members(acts_on: str) -> list[Corruption]:
    """Corruptions of the suite that act on frames, or on the order."""
    found = [c for c in CORRUPTIONS.values() if SUITE in c.suites and c.acts_on == acts_on]
    return sorted(found, key=lambda corruption: corruption.name)


def member_of(acts_on: str, draws: Draws) -> Corruption:
    """The one that this video gets; its severity has a draw of its own, as its key has.

    It is drawn 2^128 places from where the member begins to draw: from the same number, the frame that `freeze` holds
    would lie in one fifth of the video.
    """
    found, rng = members(acts_on), np.random.Generator(draws.shared().bit_generator.jumped())
    return found[int(rng.integers(len(found)))]


@register('mixed', SEVERITIES, UCF_P + '; severity drawn there', shared=True)
def mixed_spatial(frames: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """One of noise, blur, JPEG and camera in each video; which is shared by its frames, the rest as in the member."""
    member = member_of('frame', draws)
    return member.function(frames, member.level(severity, SUITE), draws)


@register('mixed', SEVERITIES, UCF_P + '; severity drawn there', shared=True, acts_on='order', monotone=False)
def mixed_temporal(num_frames: int, severity: int, draws: Draws) -> np.ndarray:
    """One of sampling, reverse sampling, jumble, box jumble and freeze in each video, at their published scales."""
    member = member_of('order', draws)
    return member.function(num_frames, member.level(severity, SUITE), draws)
