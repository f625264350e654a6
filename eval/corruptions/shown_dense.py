"""Features of long videos whose actions are damaged. Each is read once; clips with damaged frames are encoded again.

Frames are damaged at the working size, in the source, before clips are cut. Memory holds the frames that one clip spans
and those that the damage looks at. Letters: S clips of a video, T frames of a clip, D feature width, k clips with
damaged frames.
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
from sigma.video import FrameTimes, ToRGB, frames_of

LOG = logging.getLogger(__name__)


@dataclass
class DamagedFeatures:
    """Features of one video, clean and under each damage.

    Attributes:
        clean: (S, D) float16.
        changed: column -> (k,) int64 clips with a damaged frame, and their features (k, D) float16.
    """

    clean: np.ndarray
    changed: dict[str, tuple[np.ndarray, np.ndarray]]

    def of(self, column: str) -> np.ndarray:
        """(S, D) float16 features of a column: `clean` or the name of a variant."""
        if column == CLEAN:
            return self.clean
        where, values = self.changed[column]
        found = self.clean.copy()
        found[where] = values
        return found


def action_frames(seconds: np.ndarray, times: FrameTimes) -> list[tuple[int, int]]:
    """Convert actions from seconds to frames: (first, last + 1), rounded and clipped to the video.

    Args:
        seconds: (G, 3) start, end, class.
        times: When the frames of the video are shown.
    """
    found = []
    for start, end, _ in np.asarray(seconds, dtype=np.float64).reshape(-1, 3).tolist():
        frames = times.frames_between(start, end)
        last = min(times.num_frames, max(frames.stop, frames.start + 1))  # shorter than a frame: takes that frame
        if frames.start < last:
            found.append((frames.start, last))
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
    """Features of one video, clean and under each variant. The file is read once from start to end.

    Args:
        entry: One of `DatasetCard.entries`, with the number of frames of the file.
        view: How clips are cut.
        encode: Maps clips (B, T, size, size, 3) uint8 to features (B, D).
        batch_size: Clips per call of `encode`.
        actions: From `action_frames`; nothing is damaged if there are none.
        variants: Corruptions of tal-c.
        short_side: Working size in pixels; None keeps the size of the file.

    Raises:
        DecodeError: if the video cannot be decoded or has another number of frames.
        DataError: if a feature is not finite in half precision.
    """
    total = entry['total_frames']
    places = _places(view, total)
    plan = {v: frozenset(damaged_frames(total, v.level, actions) if actions else ()) for v in variants}
    # The columns of each clip: the clean one, and those that damage one of its frames.
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
    """(S, T) frames of each clip. In a video shorter than a clip, the last frame reached repeats."""
    places = view.starts(total)[:, None] + np.arange(view.num_frames) * view.stride_frames
    if total < view.span:
        places = np.minimum(places, (total - 1) // view.stride_frames * view.stride_frames)
    return places


def _shown(
    entry: dict, view: DenseView, plan: dict[Variant, frozenset], needed: np.ndarray, short_side: int | None
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield (t, {column: picture (size, size, 3)}) of needed frames in order: clean, and variants that damage t."""
    total, wanted = entry['total_frames'], set(needed.tolist())
    reach = max([DAMAGES[variant.corruption].reach for variant in plan], default=0)
    convert = set(wanted)
    for variant, hit in plan.items():
        around = DAMAGES[variant.corruption].reach
        for t in hit & wanted:
            convert.update(range(max(0, t - around), min(total, t + around + 1)))
    held: dict[int, np.ndarray] = {}  # RGB at the working size

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
        if t in wanted and number < total:
            yield t, shown(t)
        held.pop(t - reach, None)
    if number + 1 != total:
        raise DecodeError(
            f'{entry["filename"]}: {number + 1} frames, the index says {total}; prepare the dataset again'
        )
    for t in range(max(0, total - reach), total):
        if t in wanted:
            yield t, shown(t)


def _at_working_size(frame: np.ndarray, short_side: int | None) -> np.ndarray:
    if short_side is not None:
        return to_working_size(frame[None], short_side)[0]
    check_frames(frame[None])
    return frame


def mean_encoder(resolved: ResolvedCell) -> Callable[[np.ndarray], np.ndarray]:
    """The cell's encoder as a function from clips (B, T, size, size, 3) uint8 to mean tokens (B, D) float32."""
    encode = encoder_of(resolved)
    return lambda clips: encode(clips).mean(axis=(1, 2, 3))


# --- what is kept -----


def write_damaged(path: Path, features: DamagedFeatures, header: dict) -> None:
    """Store the features of a video, whole or not at all. `header` names all that they depend on."""
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
    """Read what `write_damaged` stored, or None if the file is missing, damaged or has another header."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {key: file[key] for key in file.files}
        if str(stored['header']) != json.dumps(header, sort_keys=True):
            LOG.warning('%s holds features of other weights, settings or another video; it is made again', path)
            return None
        ends = np.cumsum(stored['counts'])[:-1]
        steps, values = np.split(stored['steps'], ends), np.split(stored['values'], ends)
        return DamagedFeatures(stored['clean'], dict(zip(stored['columns'].tolist(), zip(steps, values))))
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        LOG.warning('not whole, made again: %s: %s', path, error)
        return None
