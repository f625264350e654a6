"""Augmentations for fine-tuning: the same for all frames of a clip, drawn from the sample's own seed.

Each takes and returns `imgs`, a list of uint8 RGB frames (H, W, 3). Transforms of other libraries (timm, torchvision)
draw from `random`, `numpy.random` and torch, which `sigma.VideoClips` seeds for each sample.
"""

import math
import random

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from sigma.data.transforms import known_resampling, resize_frames
from sigma.registry import TRANSFORMS  # patches what timm and torchvision need, so it comes first


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """timm's RandAugment with operations and strengths drawn once per clip.

    Args:
        policy: In timm's notation. Published: `rand-m7-n4-mstd0.5-inc1` (magnitude 7, 4 operations, deviation 0.5,
            operations that grow with the magnitude).

    Raises:
        ValueError: if timm does not understand the policy.

    Source: RandAugment (arXiv:1909.13719) as VideoMAE and SIGMA apply it: bicubic, filled with grey 128, before
    cropping. They use their own copy of timm's operations, which takes a list of frames.
    """

    def __init__(self, policy: str = 'rand-m7-n4-mstd0.5-inc1') -> None:
        from PIL import Image
        from timm.data.auto_augment import rand_augment_transform

        try:
            self.augment = rand_augment_transform(policy, {'interpolation': Image.Resampling.BICUBIC})
        except (AssertionError, ValueError) as error:
            raise ValueError(f'timm does not understand the RandAugment policy {policy!r} ({error}).') from None

    def transform(self, results: dict) -> dict:
        """Replaces `imgs`."""
        from PIL import Image

        states = random.getstate(), np.random.get_state()  # noqa: NPY002 - timm draws from these
        frames = []
        for frame in results['imgs']:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            frames.append(np.array(self.augment(Image.fromarray(frame))))
        return results | {'imgs': frames}


@TRANSFORMS.register_module()
class JitterColours(BaseTransform):
    """torchvision's ColorJitter, with factors and order drawn once per clip.

    Args:
        brightness, contrast, saturation, hue: Published for R(2+1)D-18: 0.4, 0.4, 0.4, 0.2.

    mmaction2's version draws the order once, when it is built, and rotates hue on a scale of 255, not OpenCV's 180.
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.2
    ) -> None:
        from torchvision.transforms import ColorJitter

        self.jitter = ColorJitter(brightness, contrast, saturation, hue)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs`."""
        clip = torch.from_numpy(np.stack(results['imgs'])).permute(0, 3, 1, 2)  # (T, H, W, 3) -> (T, 3, H, W)
        return results | {'imgs': list(self.jitter(clip).permute(0, 2, 3, 1).contiguous().numpy())}


@TRANSFORMS.register_module()
class FlipClip(BaseTransform):
    """Mirror the clip left to right.

    Args:
        probability: Published: 0.5 in fine-tuning on Kinetics; pretraining has no flip.

    Raises:
        ValueError: if a motion-guided mask was already drawn.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability

    def transform(self, results: dict) -> dict:
        """Replaces `imgs`; `flipped` tells whether they are mirrored."""
        if 'visible_tokens' in results:
            raise ValueError('sigma.FlipClip comes after sigma.MotionMask and would not flip its mask: swap them.')
        if results['rng'].random() >= self.probability:
            return results
        frames = [np.ascontiguousarray(frame[:, ::-1]) for frame in results['imgs']]
        return results | {'imgs': frames, 'flipped': not results.get('flipped', False)}


@TRANSFORMS.register_module()
class RandomAreaCrop(BaseTransform):
    """Crop of random area, shape and place, the same in all frames, resized to a square.

    Args:
        size: Side of the square in pixels.
        area: Smallest and largest share of the frame. Published: 0.08 or 0.25 to 1.
        resampling: See `sigma.data.transforms.resize_frames`. Published: `antialias` for R(2+1)D-18 (PIL), `opencv` for
            transformers (torch without antialiasing).
        aspect: Smallest width / height; the largest is its inverse.

    Source: torchvision's RandomResizedCrop as in SEVERE, VideoMAE and SIGMA: ten draws, each of an area and of the
    logarithm of an aspect ratio; if none fits the frame, the largest crop in the middle whose aspect ratio is allowed.
    """

    def __init__(
        self, size: int, area: tuple[float, float], resampling: str = 'antialias', aspect: float = 3 / 4
    ) -> None:
        self.size, self.aspect = size, aspect
        self.least, self.most = area
        self.resampling = known_resampling(resampling)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` and `img_shape`."""
        top, left, height, width = self.place(results['rng'], *results['img_shape'])
        crops = [frame[top : top + height, left : left + width] for frame in results['imgs']]
        return results | {
            'imgs': list(resize_frames(crops, self.size, resampling=self.resampling)),
            'img_shape': (self.size, self.size),
        }

    def place(self, rng: np.random.Generator, rows: int, columns: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a crop of a frame with so many rows and columns."""
        for _ in range(10):
            pixels = rng.uniform(self.least, self.most) * rows * columns
            aspect = math.exp(rng.uniform(math.log(self.aspect), -math.log(self.aspect)))
            width, height = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
            if 0 < width <= columns and 0 < height <= rows:
                return int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1)), height, width
        height = min(rows, round(columns / self.aspect))
        width = min(columns, round(rows / self.aspect))
        return (rows - height) // 2, (columns - width) // 2, height, width


@TRANSFORMS.register_module()
class ShortSideJitter(BaseTransform):
    """Resize to a random short side.

    Args:
        sides: Smallest and largest, in pixels. Published for Charades: 256 to 340.

    Source: SlowFast's loaders with inverse-uniform sampling: 1 / side is uniform.
    """

    def __init__(self, sides: tuple[int, int] = (256, 340)) -> None:
        self.sides = tuple(sides)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` and `img_shape`."""
        import cv2

        short = round(1 / results['rng'].uniform(1 / self.sides[1], 1 / self.sides[0]))
        height, width = results['img_shape']
        scale = short / min(height, width)
        height, width = max(short, math.floor(height * scale)), max(short, math.floor(width * scale))
        frames = [cv2.resize(f, (width, height), interpolation=cv2.INTER_LINEAR) for f in results['imgs']]
        return results | {'imgs': frames, 'img_shape': (height, width)}


@TRANSFORMS.register_module()
class EraseRectangle(BaseTransform):
    """Random erasing in `pixel` mode: noise in one rectangle, at the same place in all frames, drawn per pixel.

    Args:
        probability: Per clip. Published: 0.25.
        mean, std: Of the encoder's normalisation, in uint8 values; the noise is standard normal after it.
        area: Smallest and largest share of the frame. Published: 0.02 to 1/3.
        least_aspect: Height / width is in [least_aspect, 1 / least_aspect]. Published: 0.3.

    Source: random erasing (arXiv:1708.04896) in timm's form, as in VideoMAE and SIGMA. They erase after normalising;
    here frames are still uint8, so the noise is rounded and clipped to the range of pixels.
    """

    def __init__(
        self,
        probability: float = 0.25,
        mean: tuple[float, ...] = (123.675, 116.28, 103.53),
        std: tuple[float, ...] = (58.395, 57.12, 57.375),
        area: tuple[float, float] = (0.02, 1 / 3),
        least_aspect: float = 0.3,
    ) -> None:
        self.probability, self.area, self.least_aspect = probability, tuple(area), least_aspect
        self.mean, self.std = np.array(mean, np.float32), np.array(std, np.float32)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs`."""
        rng = results['rng']
        frames = np.stack(results['imgs'])
        if rng.random() >= self.probability:
            return results
        place = self._rectangle(rng, *frames.shape[1:3])
        if place is None:
            return results
        top, left, height, width = place
        noise = rng.standard_normal((len(frames), height, width, 3), np.float32) * self.std + self.mean
        frames[:, top : top + height, left : left + width] = np.clip(np.rint(noise), 0, 255)
        return results | {'imgs': list(frames)}

    def _rectangle(self, rng, rows: int, columns: int) -> tuple[int, int, int, int] | None:
        for _ in range(100):
            pixels = rng.uniform(*self.area) * rows * columns
            aspect = math.exp(rng.uniform(math.log(self.least_aspect), -math.log(self.least_aspect)))
            height, width = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
            if 0 < height < rows and 0 < width < columns:
                return int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1)), height, width
        return None


@TRANSFORMS.register_module()
class RepeatedAugmentation(BaseTransform):
    """Several augmentations of one clip in the batch; the clip is decoded once.

    Args:
        num_samples: Published: 2 if `num_sample` says so, else 1.
        pipeline: Augments and packs a clip; ends with `mmaction.PackActionInputs`.

    Returns a sample whose `inputs` (num_samples, 3, T, H, W) hold all of them; `eval.VideoPreprocessor` makes a batch
    of B * num_samples from B such samples.

    Source: repeated augmentation (arXiv:1901.09335) as in VideoMAE and SIGMA; the learning rate follows the number of
    videos in a batch, not of augmented clips.
    """

    def __init__(self, num_samples: int, pipeline: list[dict]) -> None:
        if num_samples < 1:
            raise ValueError(f'RepeatedAugmentation has num_samples={num_samples}; it must be at least 1.')
        self.num_samples = num_samples
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])

    def transform(self, results: dict) -> dict:
        """Returns `inputs` and `data_samples`."""
        packed = [
            self.pipeline(results | {'imgs': [frame.copy() for frame in results['imgs']]})
            for _ in range(self.num_samples)
        ]
        return packed[0] | {'inputs': torch.cat([sample['inputs'] for sample in packed])}
