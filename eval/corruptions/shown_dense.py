"""Features of long videos whose actions are damaged: each video read once, only clips that see a damaged frame anew.

Frames are damaged at the working size, on the source and before any clip is cut from them. At most as many frames as a
clip spans, and the reach of the damage, are in memory. Letters: S clips of a video, T frames of a clip, D feature
width, k clips that see damage.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.corruptions import check_frames, to_working_size
from eval.corruptions.block import DAMAGES, damage_frame, damaged_frames
from eval.corruptions.shown import CLEAN, Variant
from eval.features.dense import DenseView, encoder_of, resized
from sigma.errors import DataError, DecodeError
from sigma.files import write_atomic
from sigma.video import ToRGB, frames_of

LOG = logging.getLogger(__name__)


@dataclass
class DamagedFeatures:
    """Features of one video, clean and under each damage.

    Attributes:
        clean: (S, D) float16.
        changed: column -> (k,) clips that see a damaged frame, and their features (k, D) float16.
    """

    clean: np.ndarray
    changed: dict[str, tuple[np.ndarray, np.ndarray]]

    def of(self, column: str) -> np.ndarray:
        """(S, D) features of a column, `clean` or the name of a variant."""
        if column == CLEAN:
            return self.clean
        where, values = self.changed[column]
        found = self.clean.copy()
        found[where] = values
        return found


def action_frames(seconds: np.ndarray, fps: float, num_frames: int) -> list[tuple[int, int]]:
    """(first, last + 1) frames of actions in seconds, to the nearest; what lies beyond the video is cut off.

    Args:
        seconds: (G, 3) start, end, class.
    """
    found = []
    for start, end, _ in np.asarray(seconds, dtype=np.float64).reshape(-1, 3).tolist():
        first, last = max(0, round(start * fps)), min(num_frames, round(end * fps))
        if first < min(num_frames, max(last, first + 1)):  # shorter than a frame: that frame
            found.append((first, min(num_frames, max(last, first + 1))))
    return found


def encode_damaged(
    entry: dict,
    view: DenseView,
    encode: Callable,
    batch_size: int,
    actions: Sequence[tuple[int, int]],
    variants: Sequence[Variant],
    short_side: int | None = None,
) -> DamagedFeatures:
    """Features of one video under each variant, read once from start to end.

    Args:
        entry: Of `DatasetCard.entries`; its number of frames must be that of the file.
        encode: From clips (B, T, size, size, 3) uint8 to features (B, D).
        actions: Of `action_frames`; without any nothing is damaged.
        variants: Of tal-c.
        short_side: Working size, pixels; None for the size of the file.

    Raises:
        DecodeError: if it cannot be decoded, or has another number of frames.
        DataError: if a feature is not finite in half precision.
    """
    total = entry['total_frames']
    places = _places(view, total)
    plan = {v: frozenset(damaged_frames(total, v.level, actions) if actions else ()) for v in variants}
    # Which columns a clip has: the clean one, and those whose damage it sees.
    columns = [[CLEAN, *(v.name for v, hit in plan.items() if not hit.isdisjoint(clip.tolist()))] for clip in places]
    found: dict[str, list] = {name: [] for name in [CLEAN, *(v.name for v in variants)]}
    waiting: list[tuple[str, int, np.ndarray]] = []

    def flush() -> None:
        for (column, number, _), feature in zip(waiting, encode(np.stack([clip for *_, clip in waiting]))):
            found[column].append((number, feature))
        waiting.clear()

    kept: dict[int, dict[str, np.ndarray]] = {}
    number = 0
    for t, shown in _shown(entry, view, plan, np.unique(places), short_side):
        kept[t] = shown
        while number < len(places) and places[number][-1] == t:
            for column in columns[number]:
                clip = np.stack([kept[place].get(column, kept[place][CLEAN]) for place in places[number].tolist()])
                waiting.append((column, number, clip))
                if len(waiting) == batch_size:
                    flush()
            number += 1
        first = places[number][0] if number < len(places) else total
        kept = {place: pictures for place, pictures in kept.items() if place >= first}
    if waiting:
        flush()
    clean = np.stack([feature for _, feature in found.pop(CLEAN)]).astype(np.float16)
    changed = {}
    for column, rows in found.items():
        values = np.array([feature for _, feature in rows], dtype=np.float16).reshape(len(rows), clean.shape[1])
        changed[column] = np.array([step for step, _ in rows], dtype=np.int64), values
    if not all(np.isfinite(values).all() for values in (clean, *(values for _, values in changed.values()))):
        raise DataError(f'{entry["video"]}: its features are not finite in half precision, in which they are kept.')
    return DamagedFeatures(clean, changed)


def _places(view: DenseView, total: int) -> np.ndarray:
    """(S, T) frames of each clip; in a video shorter than a clip the last one that is reached repeats."""
    places = view.starts(total)[:, None] + np.arange(view.num_frames) * view.stride_frames
    if total < view.span:
        places = np.minimum(places, (total - 1) // view.stride_frames * view.stride_frames)
    return places


def _shown(
    entry: dict, view: DenseView, plan: dict[Variant, frozenset], needed: np.ndarray, short_side: int | None
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(t, {column: picture (size, size, 3)}) of the needed frames in order: clean, and each variant that damages it."""
    total, needed = entry['total_frames'], set(needed.tolist())
    reach = max([DAMAGES[variant.corruption].reach for variant in plan], default=0)
    convert = set(needed)
    for variant, hit in plan.items():
        around = DAMAGES[variant.corruption].reach
        for t in hit & needed:
            convert.update(range(max(0, t - around), min(total, t + around + 1)))
    held: dict[int, np.ndarray] = {}  # at the working size

    def shown(t: int) -> dict[str, np.ndarray]:
        pictures = {CLEAN: held[t]}
        for variant, hit in plan.items():
            if t in hit:
                around = DAMAGES[variant.corruption].reach
                numbers = range(max(0, t - around), min(total, t + around + 1))
                frames = np.stack([held[n] for n in numbers])
                pictures[variant.name] = damage_frame(
                    variant.corruption, frames, t - numbers[0], variant.severity, entry['video'], numbers
                )
        return {column: resized(picture, view) for column, picture in pictures.items()}

    number, to_rgb = -1, ToRGB()
    for number, frame in enumerate(frames_of(entry['filename'])):
        if number in convert:
            held[number] = _at_working_size(to_rgb(frame), short_side)
        t = number - reach
        if t in needed and number < total:
            yield t, shown(t)
        held.pop(t - reach, None)
    if number + 1 != total:
        raise DecodeError(f'{entry["filename"]}: {number + 1} frames, the index says {total}; prepare it anew')
    for t in range(max(0, total - reach), total):
        if t in needed:
            yield t, shown(t)


def _at_working_size(frame: np.ndarray, short_side: int | None) -> np.ndarray:
    if short_side is not None:
        return to_working_size(frame[None], short_side)[0]
    check_frames(frame[None])
    return frame


def mean_encoder(resolved: ResolvedCell) -> Callable[[np.ndarray], np.ndarray]:
    """From clips (B, T, size, size, 3) uint8 to the mean over all tokens (B, D) float32, by the cell's encoder."""
    encode = encoder_of(resolved)
    return lambda clips: encode(clips).mean(axis=(1, 2, 3))


# --- what is kept -----


def write_damaged(path: Path, features: DamagedFeatures, header: dict) -> None:
    """Store the features of a video, whole or not at all; `header` says what they depend on."""
    names = list(features.changed)
    counts = [len(features.changed[name][0]) for name in names]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        clean=features.clean,
        columns=np.array(names, dtype=np.str_),
        counts=np.array(counts, dtype=np.int64),
        steps=np.concatenate([features.changed[name][0] for name in names]),
        values=np.concatenate([features.changed[name][1] for name in names]),
        header=np.array(json.dumps(header, sort_keys=True)),
    )
    write_atomic(path, buffer.getvalue())


def read_damaged(path: Path, header: dict) -> DamagedFeatures | None:
    """What `write_damaged` stored under this header; None where there is none, or it is not whole."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {key: file[key] for key in file.files}
        if str(stored['header']) != json.dumps(header, sort_keys=True):
            LOG.warning('%s is of other weights, settings or another video; it is made again', path)
            return None
        ends = np.cumsum(stored['counts'])[:-1]
        steps, values = np.split(stored['steps'], ends), np.split(stored['values'], ends)
        return DamagedFeatures(stored['clean'], dict(zip(stored['columns'].tolist(), zip(steps, values))))
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        LOG.warning('not whole, made again: %s: %s', path, error)
        return None
