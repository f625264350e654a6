"""The corruptions of the robustness suite. They need numpy, OpenCV, SciPy and PyAV, but not torch.

    get_corruption('fog')(frames, 3, 'v_Archery_g01_c01')     corrupted frames; uint8 RGB (T, H, W, 3) in and out
    get_corruption('jumble').order(num_frames, 3, 'v_...')    source frames in the order to show them
    suite_corruptions('kinetics-c')                           those of a publication; then pass suite='kinetics-c'

One file per family. The constants and their source stand above each function. `shown.py` and `shown_dense.py` apply
corruptions to datasets; they need torch, and nothing here imports them.
"""

from eval.corruptions import block, blur, camera, codec, digital, mixed, noise, temporal, weather  # noqa: F401 - registers them
from eval.corruptions.codec import reencode
from eval.corruptions.corruption import (
    CORRUPTIONS,
    FAMILIES,
    SUITES,
    WORKING_SHORT_SIDE,
    Corruption,
    check_frames,
    get_corruption,
    register,
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
    'register',
    'suite_corruptions',
    'time_corruptions',
    'to_working_size',
]
