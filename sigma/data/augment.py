"""What fine-tuning does to a clip: the same to all its frames, and by the sample's own randomness.

Each takes `imgs` (list of uint8 RGB frames H x W x 3) and gives such a list. Transforms of other houses (timm,
torchvision) draw from `random`, `numpy.random` and torch, which `sigma.VideoClips` seeds for each sample.
"""

import math
import random

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from sigma.registry import TRANSFORMS  # before timm and torchvision: applies sigma.compat


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """timm's RandAugment with the operations and strengths drawn once a clip.

    Args:
        policy: In timm's words. Published: `rand-m7-n4-mstd0.5-inc1` (magnitude 7, 4 operations, deviation 0.5,
            operations that grow with the magnitude).

    Raises:
        ValueError: if timm does not understand the policy.

    Source: RandAugment (arXiv:1909.13719) as VideoMAE and SIGMA apply it: bicubic, the rest filled with gray 128,
    before cropping. They use their own copy of timm's operations, which takes a list of frames.
    """

    def __init__(self, policy: str = 'rand-m7-n4-mstd0.5-inc1') -> None:
        from PIL import Image
        from timm.data.auto_augment import rand_augment_transform

        try:
            self.augment = rand_augment_transform(policy, {'interpolation': Image.Resampling.BICUBIC})
        except (AssertionError, ValueError) as error:
            raise ValueError(f'RandAugment was asked for {policy!r}, which timm does not read ({error}).') from None

    def transform(self, results: dict) -> dict:
        """Replaces `imgs`."""
        from PIL import Image

        states = random.getstate(), np.random.get_state()  # noqa: NPY002 - what timm draws from
        frames = []
        for frame in results['imgs']:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            frames.append(np.array(self.augment(Image.fromarray(frame))))
        return results | {'imgs': frames}


@TRANSFORMS.register_module()
class JitterColours(BaseTransform):
    """torchvision's ColorJitter, factors and order drawn once a clip.

    Args:
        brightness, contrast, saturation, hue: Published for R(2+1)D-18: 0.4, 0.4, 0.4, 0.2.

    mmaction2's own draws its order when it is built, and turns hue on a scale of 255 where OpenCV's has 180 steps.
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
        ValueError: if a mask that follows the motion was drawn already.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability

    def transform(self, results: dict) -> dict:
        """Replaces `imgs`; says in `flipped` whether they are mirrored."""
        if 'visible_tokens' in results:
            raise ValueError(
                'sigma.FlipClip stands after sigma.MotionMask, whose mask it would leave behind: swap them.'
            )
        if results['rng'].random() >= self.probability:
            return results
        frames = [np.ascontiguousarray(frame[:, ::-1]) for frame in results['imgs']]
        return results | {'imgs': frames, 'flipped': not results.get('flipped', False)}


@TRANSFORMS.register_module()
class ShortSideJitter(BaseTransform):
    """Resize to a random short side.

    Args:
        sides: Least and greatest, in pixels. Published for Charades: 256 to 340.

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
    """Random erasing in `pixel` mode: noise in one rectangle, at the same place in all frames, new for each pixel.

    Args:
        probability: Of a clip. Published: 0.25.
        mean, std: Of the encoder's normalisation, in uint8 values; the noise is standard normal after it.
        area: Least and greatest share of the frame. Published: 0.02 to 1/3.
        least_aspect: Height / width lies in [least_aspect, 1 / least_aspect]. Published: 0.3.

    Source: random erasing (arXiv:1708.04896) in timm's form, as in VideoMAE and SIGMA. They erase after normalising;
    here frames are still uint8, so the noise is rounded, and cut off at black and white.
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
    """Several augmentations of one decoded clip in the batch: decoding is paid once.

    Args:
        num_samples: Published: 2 where `num_sample` says so, else 1.
        pipeline: What augments and packs a clip, ending in `mmaction.PackActionInputs`.

    Returns a sample whose `inputs` hold all of them, (num_samples, 3, T, H, W); `eval.VideoPreprocessor` makes a batch
    of B * num_samples out of B such samples.

    Source: repeated augmentation (arXiv:1901.09335) as in VideoMAE and SIGMA; the learning rate follows the number of
    videos in a batch, not of augmented clips.
    """

    def __init__(self, num_samples: int, pipeline: list[dict]) -> None:
        if num_samples < 1:
            raise ValueError(f'RepeatedAugmentation was asked for {num_samples} samples; at least 1 is needed.')
        self.num_samples = num_samples
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])

    def transform(self, results: dict) -> dict:
        """Returns `inputs` and `data_samples`."""
        packed = [
            self.pipeline(results | {'imgs': [frame.copy() for frame in results['imgs']]})
            for _ in range(self.num_samples)
        ]
        return packed[0] | {'inputs': torch.cat([sample['inputs'] for sample in packed])}
