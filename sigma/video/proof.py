"""Which readers return the right frames of a file: their random access is compared with what the strict pass decoded.

PyAV's frames must have the checksums of the strict pass. The other readers convert to RGB themselves, so their frames
are compared as pictures with PyAV's: equal up to the rounding of converters, and nearer to the frame asked for than to
any other that was read. They must also agree on the number of frames and, where they tell, on the key frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from random import Random
from typing import Any

import numpy as np

from sigma.errors import DecodeError
from sigma.video.look import ToRGB
from sigma.video.opening import open_video
from sigma.video.readers import READERS, DecordReader, Proof, sought
from sigma.video.seeking import SeekTable
from sigma.video.whole import WholeVideo, signature_of

# Two converters of the same frame differ by less on average, two that disagree on its colours by more. In 8-bit levels.
MOST_LEVELS = 2.0
# (share of the file's frames that a reader decodes for its proof, most places). PyAV knows frames by their timestamps;
# other readers may be right beside key frames and wrong between them (torchcodec in AVI files).
_QUICK, _THOROUGH = (0.05, 8), (0.6, 32)
_LEAST_FRAMES = 10
_MOST_PIXELS = 48 * 2**20  # of all places; bounds the memory


def prove(path: str | os.PathLike, whole: WholeVideo, seed: str | int, readers: Iterable[str] = ('pyav',)) -> Proof:
    """Try the random access of readers on a file that was just read whole.

    Args:
        path: The file.
        whole: What the strict pass found.
        seed: For the random places; the hash of the file, so that a file is always tried at the same ones.
        readers: Names in `READERS`. PyAV is always tried, since the others are compared with it.
    """
    path = os.fspath(path)
    table = whole.seeking or SeekTable((0,), ((None, None),))
    others = [name for name in readers if name != 'pyav']
    places = places_to_try(whole, table, Random(seed), _THOROUGH if others else _QUICK)
    try:
        pictures = _seen_by_pyav(path, table, places, whole.signatures, bool(others))
    except DecodeError:
        return Proof(whole.frames)
    others = [name for name in others if _agrees(path, name, whole, places, pictures)]
    return Proof(whole.frames, ('pyav', *others), table.to_text() if whole.seeking else '')


def places_to_try(whole: WholeVideo, table: SeekTable, draw: Random, effort: tuple[float, int] = _QUICK) -> list[int]:
    """Frames on both sides of key frames and at random places, as many as cost a share of decoding the file whole."""
    share_of_file, most = effort
    budget = max(_LEAST_FRAMES, int(share_of_file * whole.frames))
    most = min(most, max(4, _MOST_PIXELS // (whole.width * whole.height)))
    keys = list(whole.key_frames)
    chosen = draw.sample(keys[1:], len(keys) - 1) if len(keys) > 1 else []
    borders = [(number - 1, number, number + 1) for number in chosen]
    # The borders of half the budget, then random places, then the start of the file if there is nothing else.
    signed = sorted(whole.signatures)
    draws = [(number,) for number in draw.sample(signed, len(signed))]
    places: set[int] = set()
    for wanted, share in ((borders, 0.6), (draws, 1.0), ([(0, 1, 2, 3)], 1.0)):
        for group in wanted:
            inside = {number for number in group if number in whole.signatures}
            for some in (inside, inside - {group[0]}) if len(group) == 3 else (inside,):  # the end of a GOP is dear
                if len(places | some) <= share * most and _cost(places | some, table) <= share * budget:
                    places |= some
                    break
    return sorted(places or {0})


def _cost(places: set[int], table: SeekTable) -> int:
    """Frames that are decoded to read some."""
    cost = 0
    for start, numbers in table.groups(sorted(places)):
        cost += numbers[-1] + 1 - (0 if start is None else table.numbers[start])
    return cost


def _seen_by_pyav(
    path: str, table: SeekTable, places: list[int], signatures: dict[int, int], as_rgb: bool
) -> list[np.ndarray]:
    """The frames at some places as RGB, if asked for, found by seeking.

    Raises:
        DecodeError: if one of them is not the frame asked for.
    """
    to_rgb, num_found = ToRGB(), 0
    pictures: list[np.ndarray] = []
    with open_video(path, strict_container=False, threads=1) as video:
        for number, frame in sought(video, table, places):
            if signature_of(frame) != signatures[number]:
                raise DecodeError(f'{path}: another frame than {number}')
            num_found += 1
            if as_rgb:
                pictures.append(to_rgb(frame))
    if num_found < len(places):
        raise DecodeError(f'{path}: {num_found} of {len(places)} frames')
    return pictures


def _agrees(path: str, name: str, whole: WholeVideo, places: list[int], pictures: list[np.ndarray]) -> bool:
    """Whether another reader finds the same frames."""
    try:
        reader: Any = READERS[name](path)
        if reader.num_frames != whole.frames:
            return False
        if isinstance(reader, DecordReader) and reader.key_frames != list(whole.key_frames):
            return False
        found = reader.frames(np.array(places))
    except DecodeError:
        return False
    return all(is_right(picture, place, pictures) for place, picture in enumerate(found))


def is_right(picture: np.ndarray, place: int, pictures: list[np.ndarray]) -> bool:
    """Whether a picture is `pictures[place]`, up to rounding, and none of the others that differ from that one.

    Args:
        picture: (H, W, 3) uint8.
        place: Index of the picture that it should be.
        pictures: (H, W, 3) uint8 each.
    """
    right = pictures[place]
    if picture.shape != right.shape:
        return False
    if np.array_equal(picture, right):
        return True
    distance = levels_apart(picture, right)
    others = (other for other in pictures if other is not right and not np.array_equal(other, right))
    return distance <= MOST_LEVELS and all(distance < levels_apart(picture, other) for other in others)


def levels_apart(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures of one shape."""
    import cv2

    return float(cv2.absdiff(first, second).mean())
