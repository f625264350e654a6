"""The motion of a clip: dense optical flow from its pixels, or the motion vectors stored in its stream.

Both give, for every frame, the displacement of its pixels to the neighbouring frame on the side of the middle one.
`sigma.data.masking.motion_mask` warps a mask along it. T frames; H and W pixels of a frame, h and w of a map.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sigma.errors import DecodeError
from sigma.video import ToRGB, Turn, open_video, picture_type

BLOCK_PIXELS = 8  # FFmpeg exports vectors for blocks of 16 and 8 pixels
MOST_AHEAD = 32  # frames read after the last wanted one, to reach the vectors that span it


class NoMotion(DecodeError):
    """A stream without motion vectors between the wanted frames; names the file and the remedy."""


# --- optical flow ----------------------------------------------------------------------------------------------------


def dis_motion(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """DIS optical flow from each frame to its neighbour on the side of the middle one.

    Args:
        frames: (T, H, W, 3) uint8, as the encoder sees them.
        height, width: h and w, at least 16 (OpenCV's smallest); frames are resized to these first.

    Returns:
        (T, h, w, 2) fp32 displacements (x, y) in pixels of the map; zero at frame T // 2.

    Raises:
        ValueError: if the map is smaller than 16 pixels.

    Source: Kroeger et al. (arXiv:1603.03590), OpenCV's preset `FAST`. MGMAE's recipe uses RAFT-small. This is a
    departure: a separate network would cost a GPU pass per clip.
    """
    if min(height, width) < 16:
        raise ValueError(f'Optical flow at {height}x{width} is too small; use at least 16x16 (raise cell_pixels).')
    grey = [
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_AREA) for f in frames
    ]
    base = len(grey) // 2
    motion = np.zeros((len(grey), height, width, 2), np.float32)
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    for frame in range(len(grey)):
        if frame != base:
            neighbour = grey[frame + (1 if frame < base else -1)]
            if not np.array_equal(grey[frame], neighbour):  # short videos repeat frames
                motion[frame] = search.calc(grey[frame], neighbour, None)
    return motion


# --- motion vectors of the stream ------------------------------------------------------------------------------------


def frames_and_vectors(path: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a file and the motion between them from its stream, in one pass of PyAV.

    Args:
        path: A video whose decoder exports vectors: H.264, MPEG-4 part 2, MPEG-2 (not VP9, HEVC, AV1).
        indices: (T,) frame numbers in ascending order; they may repeat.

    Returns:
        frames (T, H, W, 3) uint8 RGB, upright, and steps (T, ceil(H/8), ceil(W/8), 2) fp32: the displacement of each
        block of 8 pixels of frame t to its place in frame t - 1 of the clip, in pixels (x, y). Zero for t = 0, and
        if a frame repeats.

    Raises:
        NoMotion: if no frame between the first and the last index has vectors (an intra-only stream, another codec).
        DecodeError: if the file cannot be opened or decoded, ends early, or has frames of several sizes.

    Only P frames are used: their vectors point to an earlier reference, usually the nearest. (FFmpeg does not export
    the reference of a B frame's vector.) The motion since that reference is spread evenly over the frames between.
    Between sampled frames it is summed at a fixed place, not along a path. Blocks coded without vectors count as still.
    Source: MGM (arXiv:2308.12962) also takes motion from the stream, but uses it differently (one moving block).
    """
    indices = np.asarray(indices)
    wanted, first, last = set(indices.tolist()), int(indices[0]), int(indices[-1])
    to_rgb = ToRGB()
    taken, reference = {}, 0
    explained, records, sizes = [], [], set()  # per P frame: the frames since its reference, its vectors
    kept_by = []  # frames since the last reference, which the next P frame explains
    turn = Turn()
    with open_video(path, strict_container=False, codec_options={'flags2': '+export_mvs'}) as video:
        codec = video.codec
        for number, frame in enumerate(video.frames()):
            if number in wanted:
                taken[number] = to_rgb(frame)
                turn = Turn.of(frame)
            kind = picture_type(frame)
            kept_by.append(number)
            if kind != 'B':
                vectors = frame.side_data.get('MOTION_VECTORS') if kind == 'P' else None
                if vectors is not None and number > first:
                    explained.append((kept_by, number - reference))
                    records.append(vectors.to_ndarray())
                    sizes.add((frame.width, frame.height))
                reference, kept_by = number, []
            if number >= last and (not kept_by or number >= last + MOST_AHEAD):
                break
    if len(taken) < len(wanted):
        raise DecodeError(f'{path}: ends before frame {last}')
    shape = taken[first].shape
    if any(f.shape != shape for f in taken.values()) or sizes - {turn.size(*shape[1::-1])}:
        raise DecodeError(f'{path}: its frames from {first} to {last} are of several sizes')
    if not records and last > first:
        raise NoMotion(
            f'{path}: its stream ({codec}) holds no motion vectors between frames {first} and {last}; re-encode it as '
            "H.264 with P frames, or set motion='dis' or without_motion='still'."
        )
    fields = block_fields(records, shape[0], shape[1], turn)
    for field, (_, num_frames) in zip(fields, explained):
        field /= num_frames
    of_frame = {number: field for field, (numbers, _) in zip(fields, explained) for number in numbers}
    steps = np.zeros((len(indices), *fields.shape[1:]), np.float32)
    for t in range(1, len(indices)):
        for number in range(indices[t - 1] + 1, indices[t] + 1):
            if number in of_frame:  # a key frame has no vectors and counts as still
                steps[t] += of_frame[number]
    return np.stack([taken[i] for i in indices.tolist()]), steps


def block_fields(records: Sequence[np.ndarray], height: int, width: int, turn: Turn | None = None) -> np.ndarray:
    """Motion vectors as fields of blocks of 8 pixels, for all frames at once.

    Args:
        records: FFmpeg's records of each frame: size `w`, `h` and centre `dst_x`, `dst_y` of a block, and the
            displacement of its source, `motion_x` and `motion_y` divided by `motion_scale`.
        height, width: Pixels of the upright frames.
        turn: What makes the coded frames upright; their vectors turn with them. None if they are.

    Returns:
        (frames, ceil(height/8), ceil(width/8), 2) fp32 pixels (x, y); zero without a vector.
    """
    rows, columns = -(-height // BLOCK_PIXELS), -(-width // BLOCK_PIXELS)
    fields = np.zeros((len(records), rows, columns, 2), np.float32)
    if not records:
        return fields
    vectors, frames = np.concatenate(records), np.repeat(np.arange(len(records)), [len(part) for part in records])
    forward = (vectors['source'] < 0) & (vectors['motion_scale'] > 0)
    vectors, frames = vectors[forward], frames[forward]
    motion = np.stack([vectors['motion_x'], vectors['motion_y']], axis=1) / vectors['motion_scale'][:, None]
    block_width, block_height = vectors['w'].astype(int), vectors['h'].astype(int)
    left, top = vectors['dst_x'] - block_width // 2, vectors['dst_y'] - block_height // 2
    if turn is not None and turn.transpose:
        left, top, block_width, block_height, motion = top, left, block_height, block_width, motion[:, ::-1]
    if turn is not None and turn.flip_columns:
        left, motion = width - left - block_width, motion * (-1, 1)
    if turn is not None and turn.flip_rows:
        top, motion = height - top - block_height, motion * (1, -1)
    for down in (0, BLOCK_PIXELS):
        for right in (0, BLOCK_PIXELS):
            row, column = (top + down) // BLOCK_PIXELS, (left + right) // BLOCK_PIXELS
            inside = (down < block_height) & (right < block_width)
            inside &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            fields[frames[inside], row[inside], column[inside]] = motion[inside]
    return fields


def codec_motion(steps: np.ndarray, crop: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """The stream's motion within the encoder's crop, from each frame towards the middle one.

    Args:
        steps: (T, rows, columns, 2) as `frames_and_vectors` gives.
        crop: (top, left, height, width) of the crop in pixels of the frame.
        height, width: h and w, to which the crop is resized.

    Returns:
        (T, h, w, 2) fp32 displacements (x, y) in pixels of the map; zero at frame T // 2. Before the middle, the
        motion towards the next frame is the negated motion of the next frame at the same place.
    """
    top, left, crop_height, crop_width = crop
    # Centres of the map's pixels, in blocks.
    x = (left + (np.arange(width) + 0.5) * crop_width / width) / BLOCK_PIXELS - 0.5
    y = (top + (np.arange(height) + 0.5) * crop_height / height) / BLOCK_PIXELS - 0.5
    columns, rows = (grid.astype(np.float32) for grid in np.meshgrid(x, y))
    scale = np.array([width / crop_width, height / crop_height], np.float32)
    base = len(steps) // 2
    motion = np.zeros((len(steps), height, width, 2), np.float32)
    for frame in range(len(steps)):
        if frame != base:
            step = -steps[frame + 1] if frame < base else steps[frame]
            motion[frame] = cv2.remap(step, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) * scale
    return motion
