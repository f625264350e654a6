"""Blur by lens, glass, motion and zoom, frame by frame; and the average over neighbouring frames."""

from __future__ import annotations

import math

import cv2
import numpy as np

from eval.corruptions.corruption import Draws, register
from eval.corruptions.noise import IMAGENET_C


def gaussian_blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur in float32, cut at 4 sigma, edge pixels repeated (as in scikit-image). `sigma` is in pixels."""
    size = 2 * int(4 * sigma + 0.5) + 1
    return cv2.GaussianBlur(picture.astype(np.float32), (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


@register('blur', (1, 2, 3, 4, 6), IMAGENET_C, shared=None, suites=('imagenet-c',))
def gaussian_blur(frames: np.ndarray, sigma: float, draws: Draws) -> np.ndarray:
    """Gaussian blur; level: sigma in pixels."""
    return np.stack([np.rint(gaussian_blurred(frame, sigma)).astype(np.uint8) for frame in frames])


@register(
    'blur',
    ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    IMAGENET_C + '; the glass does not move, so all frames share its draws',
    shared=True,
    suites=('imagenet-c',),
    monotone=False,  # severity 4 has fewer rounds than 3
)
def glass_blur(frames: np.ndarray, level: tuple[float, int, int], draws: Draws) -> np.ndarray:
    """Blurs, moves pixels to nearby places, and blurs again; level: (sigma, largest shift in pixels, rounds)."""
    sigma, reach, rounds = level
    height, width = frames.shape[1:3]
    rng, seen = draws.shared(), np.arange(height * width)
    for _ in range(rounds):
        seen = seen[glass_round(rng.integers(-reach, reach, size=(2, height, width)), reach)]
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        blurred = gaussian_blurred(frame, sigma).astype(np.uint8).reshape(-1, 3)  # truncated, as published
        out[t] = np.rint(gaussian_blurred(blurred[seen].reshape(frame.shape), sigma)).astype(np.uint8)
    return out


def glass_round(shifts: np.ndarray, reach: int) -> np.ndarray:
    """Index of the pixel that each pixel shows after one round of the published loop.

    The loop runs from the last row and column backwards and assigns `x[h, w], x[h', w'] = x[h', w'], x[h, w]`. In numpy
    both sides are views, so nothing is swapped: a pixel only takes the value that its neighbour has at that moment. If
    the loop has already visited the neighbour, that value came from a third pixel, and so on. These chains lead to
    higher indices, so we follow them in doubling steps instead of pixel by pixel.

    Args:
        shifts: (2, H, W) integers from -reach to reach - 1: rows, columns.
        reach: Pixels in the first reach + 1 rows and columns, and beyond H - reach and W - reach, do not move.

    Returns:
        (H * W,) flat indices.
    """
    height, width = shifts.shape[1:]
    rows, columns = np.mgrid[:height, :width]
    visited = (rows > reach) & (rows <= height - reach) & (columns > reach) & (columns <= width - reach)
    index = rows * width + columns
    # The neighbour of each pixel. Pixels that are not visited show themselves.
    target = np.where(visited, (rows + shifts[0]) * width + columns + shifts[1], index).ravel()
    index, visited = index.ravel(), visited.ravel()
    # Where a chain goes on: the neighbour was visited before.
    jump = np.where((target > index) & visited[target], target, index)
    while not np.array_equal(further := jump[jump], jump):
        jump = further
    return target[jump]


@register(
    'blur',
    ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    IMAGENET_C,
    shared=None,
    suites=('imagenet-c', 'ucf-p'),
)
def defocus_blur(frames: np.ndarray, level: tuple[int, float], draws: Draws) -> np.ndarray:
    """Averages over a disk with a soft edge; level: (radius, sigma of the edge), both in pixels.

    The disk is computed as a sum and difference of centred boxes, as box filters cost the same at every size, and the
    edge is softened on the picture. The result is within two grey levels of the published kernel, within one up to
    severity 3.
    """
    radius, sigma = level
    size = 3 if radius <= 8 else 5
    boxes = disk_boxes(radius)
    gain = published_disk(radius, sigma).sum()
    area = sum(sign * width * height for sign, width, height in boxes) / gain
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        soft = cv2.GaussianBlur(frame.astype(np.float32), (size, size), sigma)
        total = np.zeros_like(soft)
        for sign, width, height in boxes:
            box = cv2.boxFilter(soft, cv2.CV_32F, (width, height), normalize=False)
            cv2.scaleAdd(box, sign / area, total, total)
        out[t] = cv2.convertScaleAbs(total)
    return out


def published_disk(radius: int, sigma: float) -> np.ndarray:
    """The kernel of ImageNet-C, (2 s + 1, 2 s + 1) with s = max(radius, 8).

    At radii 8 and 10 the disk fills its grid. The blur then mirrors its rim back in, so the kernel sums to slightly
    more than 1 and brightens the picture. We keep that gain.
    """
    side = max(radius, 8)
    y = np.arange(-side, side + 1)
    disk = (y[:, None] ** 2 + y**2 <= radius**2).astype(np.float32)
    size = 3 if radius <= 8 else 5
    return cv2.GaussianBlur(disk / disk.sum(), (size, size), sigmaX=sigma)


def disk_boxes(radius: int) -> list[tuple[int, int, int]]:
    """(sign, width, height) of centred boxes whose sum is the disk x^2 + y^2 <= radius^2.

    With half-widths w_1 > w_2 > ... and the largest half-heights h_1 < h_2 < ... that fit, the disk is the union of the
    boxes (w_i, h_i). Two neighbours overlap in (w_(i+1), h_i).
    """
    half_widths = [math.isqrt(radius**2 - y**2) for y in range(radius + 1)]
    steps = [(w, max(y for y, other in enumerate(half_widths) if other == w)) for w in dict.fromkeys(half_widths)]
    boxes = [(1, 2 * w + 1, 2 * h + 1) for w, h in steps]
    overlaps = [(-1, 2 * narrow + 1, 2 * low + 1) for (_, low), (narrow, _) in zip(steps, steps[1:])]
    return boxes + overlaps


@register(
    'blur',
    ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    IMAGENET_C + '; the angle is drawn for every frame, as there and in ucf-p',
    shared=False,
    suites=('imagenet-c', 'ucf-p'),
)
def motion_blur(frames: np.ndarray, level: tuple[int, float], draws: Draws) -> np.ndarray:
    """Smears along a direction within 45 degrees of the horizontal; level: ImageMagick's (radius, sigma) in pixels."""
    return np.stack([motion_blurred(frame, *level, draws.frame(t).uniform(-45, 45)) for t, frame in enumerate(frames)])


def motion_blurred(picture: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """Mean over a line that starts at each pixel, weighted by half a Gaussian.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        radius: The line has 2 * radius + 1 pixels, all on one side.
        sigma: Standard deviation of the weights in pixels.
        angle: Direction of the line in degrees.

    Source: ImageMagick's MotionBlurImage, which ImageNet-C calls. It steps by whole pixels and repeats edge pixels.
    """
    taps = np.arange(2 * radius + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    down = np.ceil(taps * math.sin(math.radians(angle)) - 0.5).astype(int)
    right = np.ceil(taps * math.cos(math.radians(angle)) - 0.5).astype(int)
    height, width = picture.shape[:2]
    top, left = max(0, -down.min()), max(0, -right.min())
    padded = cv2.copyMakeBorder(
        picture, top, max(0, down.max()), left, max(0, right.max()), borderType=cv2.BORDER_REPLICATE
    )
    mean = picture.astype(np.float32)  # tap 0
    share = weights / np.cumsum(weights)  # weight of the newest tap in the running mean
    for i in taps[1:]:
        y, x = top + down[i], left + right[i]
        cv2.accumulateWeighted(padded[y : y + height, x : x + width], mean, share[i])
    return np.rint(mean).astype(np.uint8)


@register(
    'blur',
    # (end, step) of the factors; the end is excluded
    ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    IMAGENET_C,
    shared=None,
    suites=('imagenet-c', 'ucf-p'),
)
def zoom_blur(frames: np.ndarray, level: tuple[float, float], draws: Draws) -> np.ndarray:
    """Mean of the frame and its enlargements by factors from 1 to an end; level: (end, step)."""
    factors = np.arange(1, *level)[1:]  # the first is the frame itself
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        total = 2 * frame.astype(np.float32)
        for factor in factors:
            cv2.accumulate(zoomed(frame, factor), total)
        out[t] = cv2.convertScaleAbs(total, alpha=1 / (len(factors) + 2))
    return out


def zoomed(picture: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge the middle of a picture to the size of the whole, bilinearly."""
    # As in the published `clipped_zoom`: a crop of ceil(side / factor) is stretched corner to corner, then trimmed.
    scale, offset = [], []
    for side in picture.shape[:2]:
        crop = math.ceil(side / factor)
        spread = round(crop * factor)
        step = (crop - 1) / max(spread - 1, 1)
        scale.append(step)
        offset.append((side - crop) // 2 + (spread - side) // 2 * step)
    matrix = np.array([[scale[1], 0, offset[1]], [0, scale[0], offset[0]]])
    return cv2.warpAffine(
        picture,
        matrix,
        picture.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


@register(
    'blur',
    (3, 5, 7, 9, 11),
    'Mini Kinetics-C, Newbeeyoung/Video-Corruption-Robustness, create_mini_kinetics_c.py',
    shared=None,
    suites={'kinetics-c': (3, 5, 7, 9, 11), 'ssv2-c': (1, 2, 3, 4, 6)},
    acts_on='video',
)
def frame_average(frames: np.ndarray, half_window: int, draws: Draws) -> np.ndarray:
    """Mean over a window of frames, t - h to t + h - 1; level: h in frames.

    The published code drops half a window at each end of the video. Here the window is cut off there, and T is kept.
    """
    num_frames = len(frames)
    out, total, low, high = np.empty_like(frames), np.zeros(frames.shape[1:], np.int32), 0, 0
    for t in range(num_frames):
        while high < min(num_frames, t + half_window):
            total += frames[high]
            high += 1
        while low < max(0, t - half_window):
            total -= frames[low]
            low += 1
        out[t] = total // (high - low)  # truncated, as published
    return out
