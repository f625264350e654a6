"""How a clip moves: dense optical flow from its pixels, or the motion vectors that its stream already holds.

Both give, for every frame, where its pixels lie in the neighbouring frame on the side of the middle one: what
`sigma.data.masking.motion_mask` carries a mask along. T frames, H and W pixels of a frame, h and w of a map.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sigma.errors import DecodeError
from sigma.video import ToRGB, open_video, picture_type

BLOCK_PIXELS = 8  # FFmpeg exports vectors for blocks of 16 and 8 pixels
MOST_AHEAD = 32  # frames read after the last one wanted, to meet the vectors that pass over it


class NoMotion(DecodeError):
    """A stream between whose frames there are no motion vectors; names the file and what would help."""


# --- optical flow ----------------------------------------------------------------------------------------------------


def dis_motion(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Dense inverse search between neighbouring frames, each towards the middle one.

    Args:
        frames: (T, H, W, 3) uint8, as the encoder sees them.
        height, width: h and w, at least 16 (OpenCV's smallest); frames are resized to these first.

    Returns:
        (T, h, w, 2) fp32 displacements (x, y) in pixels of the map; zero at frame T // 2.

    Raises:
        ValueError: if the map is smaller than 16 pixels.

    Source: Kroeger et al. (arXiv:1603.03590), OpenCV's preset `FAST`. MGMAE's recipe has RAFT-small here: a departure,
    for a network of its own would cost a GPU pass of every clip.
    """
    if min(height, width) < 16:
        raise ValueError(f'Optical flow was asked for at {height}x{width}; give at least 16x16 (more cell_pixels).')
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
    """Frames of a file and the motion between them that its stream states, in one pass of PyAV.

    Args:
        path: Of a video whose decoder exports vectors: H.264, MPEG-4 part 2, MPEG-2 (not VP9, HEVC, AV1).
        indices: (T,) frame numbers, not falling.

    Returns:
        frames (T, H, W, 3) uint8 RGB, and steps (T, ceil(H/8), ceil(W/8), 2) fp32: for blocks of 8 pixels of frame t,
        where they lie in frame t - 1 of the clip, less their own place, in pixels (x, y); zero for t = 0, and where a
        frame repeats.

    Raises:
        NoMotion: if no frame between the first and the last index has vectors (an intra-only stream, another codec).
        DecodeError: if the file cannot be opened or decoded, ends early, or its frames are of several sizes.

    Only P frames are read: their vectors point to the reference before, mostly the nearest one, whereas the reference
    of a B frame's vector is not exported. The motion since that reference is shared evenly by the frames between;
    between sampled frames it is added up at a place, not along a path. Blocks coded without vectors count as still.
    Source: MGM (arXiv:2308.12962) takes its motion from there; what it does with it differs (a block that moves).
    """
    indices = np.asarray(indices)
    wanted, first, last = set(indices.tolist()), int(indices[0]), int(indices[-1])
    to_rgb = ToRGB()
    taken, reference = {}, 0
    explained, records, sizes = [], [], set()  # of each P frame: the frames since its reference, its vectors
    kept_by = []  # frames since the last reference, which the next P frame explains
    with open_video(path, codec_options={'flags2': '+export_mvs'}) as video:
        codec = video.codec
        for number, frame in enumerate(video.frames()):
            if number in wanted:
                taken[number] = to_rgb(frame)
            kind = picture_type(frame)
            kept_by.append(number)
            if kind != 'B':
                vectors = frame.side_data.get('MOTION_VECTORS') if kind == 'P' else None
                if vectors is not None and number > first:
                    explained.append((kept_by, number - reference))
                    records.append(vectors.to_ndarray())
                    sizes.add((frame.height, frame.width))
                reference, kept_by = number, []
            if number >= last and (not kept_by or number >= last + MOST_AHEAD):
                break
    if len(taken) < len(wanted):
        raise DecodeError(f'{path}: ends before frame {last}')
    shape = taken[first].shape
    if any(f.shape != shape for f in taken.values()) or sizes - {shape[:2]}:
        raise DecodeError(f'{path}: its frames from {first} to {last} are of several sizes')
    if not records and last > first:
        raise NoMotion(
            f'{path}: its stream ({codec}) holds no motion vectors between frames {first} and {last}; re-encode it as '
            "H.264 with P frames, take motion='dis', or say without_motion='still'."
        )
    fields = block_fields(records, *shape[:2])
    for field, (_, num_frames) in zip(fields, explained):
        field /= num_frames
    of_frame = {number: field for field, (numbers, _) in zip(fields, explained) for number in numbers}
    steps = np.zeros((len(indices), *fields.shape[1:]), np.float32)
    for t in range(1, len(indices)):
        for number in range(indices[t - 1] + 1, indices[t] + 1):
            if number in of_frame:  # a key frame states nothing, and counts as still
                steps[t] += of_frame[number]
    return np.stack([taken[i] for i in indices.tolist()]), steps


def block_fields(records: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Motion vectors of frames as fields on blocks of 8 pixels; all frames at once, each has few vectors.

    Args:
        records: Of each frame FFmpeg's records: `w`, `h` of a block, its centre `dst_x`, `dst_y`, and `motion_x`,
            `motion_y` over `motion_scale`, by which the source lies from there.
        height, width: Of the frames.

    Returns:
        (frames, ceil(height/8), ceil(width/8), 2) fp32 pixels (x, y); zero where there is no vector.
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
    for down in (0, BLOCK_PIXELS):
        for right in (0, BLOCK_PIXELS):
            row, column = (top + down) // BLOCK_PIXELS, (left + right) // BLOCK_PIXELS
            inside = (down < block_height) & (right < block_width)
            inside &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            fields[frames[inside], row[inside], column[inside]] = motion[inside]
    return fields


def codec_motion(steps: np.ndarray, crop: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """The stream's motion as the encoder's crop sees it, each frame towards the middle one.

    Args:
        steps: (T, rows, columns, 2) as `frames_and_vectors` gives.
        crop: (top, left, height, width) of the crop in pixels of the frame.
        height, width: h and w, to which the crop is resized.

    Returns:
        (T, h, w, 2) fp32 displacements (x, y) in pixels of the map; zero at frame T // 2. Before the middle, motion
        towards the next frame is taken as the opposite of the next frame's motion at the same place.
    """
    top, left, crop_height, crop_width = crop
    # Centre of every map pixel, in blocks.
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
