"""The rendered images `toy_stills`: a shape over a patch of a photograph; the shape is the class.

Four shapes, each of random place, size, turn and colour, over a blurred cut of a photograph of scikit-image (those of
`toy`, so no photograph is in two splits). A file is a PPM, so equal pixels are equal bytes.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from sigma.data.index import build_index
from sigma.datasets.prepared import all_paths, refuse_another, write_dataset
from sigma.datasets.toy.scenes import DOMAINS, photograph
from sigma.files import write_atomic

VERSION = 1  # raise it when the same seed gives other pictures
CLASSES = ('cross', 'disc', 'square', 'triangle')
CLIPS = (60, 20)  # images per class, train and test
NAME = 'toy_stills'


def still(split: str, label: str, number: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """(size, size, 3) uint8: one image."""
    rng = np.random.default_rng([seed, ('train', 'test').index(split), CLASSES.index(label), number, VERSION])
    names = DOMAINS['main'].photographs[split]
    image = photograph(names[rng.integers(len(names))])
    side = int(min(image.shape[:2]) * rng.uniform(0.3, 0.8))
    top, left = (int(rng.integers(0, length - side + 1)) for length in image.shape[:2])
    cut = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(cut, (0, 0), 2.0) // 2
    radius, turn = rng.uniform(0.16, 0.28) * size, rng.uniform(0, 2 * math.pi)
    centre = rng.uniform(radius, size - radius, 2)
    colour = tuple(int(value) for value in rng.integers(150, 256, 3))
    corners = np.rint(centre + radius * _turned(_outline(label), turn)).astype(np.int32)
    cv2.fillPoly(picture, [corners.reshape(-1, 1, 2)], colour)
    return picture


def prepare_stills(out: Path, size: int, seed: int, clips: tuple[int, int] | None, command: str, allow: bool) -> bool:
    """Draw the images into `out/images`, then write index, lists and card.

    Args:
        out: Folder to write to.
        size: Pixels per side.
        seed: Another seed draws other images.
        clips: Images per class, (train, test); None takes 60 and 20.
        command: The command that makes it, for the card.
        allow: Write the lists even if some images are unreadable.

    Returns:
        Whether the dataset was written.

    Raises:
        DataError: if `out` holds another dataset.
    """
    refuse_another(out, NAME)
    splits: dict = {}
    for split, count in zip(('train', 'test'), clips or CLIPS, strict=True):
        splits[split] = []
        for label in CLASSES:
            for number in range(count):
                name = f'{split}/{label}/{NAME}-v{VERSION}-s{seed}-{number:04d}.ppm'
                content = f'P6\n{size} {size}\n255\n'.encode() + still(split, label, number, size, seed).tobytes()
                write_atomic(out / 'images' / name, content, durable=False)
                splits[split].append((name, label))
    index = build_index(out / 'images', all_paths(splits), out / 'index.jsonl', stills=True)
    info = {
        'name': NAME,
        'short': 'toy stills',
        'task': 'action_recognition',
        'video_root': 'images',
        'metric': 'top1',
        'flips_change_label': False,
        'stills': True,
        'size': size,
        'source': 'rendered by sigma/datasets/toy/stills.py over photographs inside scikit-image',
        'licence': 'photographs: as scikit-image states beside each, mostly public domain or CC0',
        'prepare': command,
    }
    return write_dataset(out, info, splits, index, allow)


def _outline(label: str) -> np.ndarray:
    """(n, 2) corners of a shape in the unit circle."""
    if label == 'cross':
        arm = 0.28
        quarter = [(arm, 1), (arm, arm), (1, arm)]
        return np.array([point for turn in range(4) for point in _turned(np.array(quarter), -turn * math.pi / 2)])
    corners = {'disc': 48, 'square': 4, 'triangle': 3}[label]
    angles = 2 * math.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])
