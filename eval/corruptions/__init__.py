"""The corruptions of the robustness suite; numpy, OpenCV, SciPy and PyAV, no torch.

    get_corruption('fog')(frames, 3, 'v_Archery_g01_c01')     uint8 RGB (T, H, W, 3); the same shape comes back
    get_corruption('jumble').order(num_frames, 3, 'v_...')    which source frames, before sampling
    suite_corruptions('kinetics-c')                           those of a publication; pass suite='kinetics-c' on

One file a family; the constants stand at the head of each function, with their source.
"""

from eval.corruptions import block, blur, camera, codec, digital, mixed, noise, temporal, weather  # noqa: F401 - enters
from eval.corruptions.codec import reencode
from eval.corruptions.corruption import (
    CORRUPTIONS,
    FAMILIES,
    SUITES,
    WORKING_SHORT_SIDE,
    Corruption,
    check_frames,
    get_corruption,
    suite_corruptions,
    to_working_size,
)
from eval.corruptions.timing import time_corruptions

__all__ = [
    'CORRUPTIONS',
    'FAMILIES',
    'SUITES',
    'WORKING_SHORT_SIDE',
    'Corruption',
    'check_frames',
    'get_corruption',
    'reencode',
    'suite_corruptions',
    'time_corruptions',
    'to_working_size',
]
