"""Transforms for motion-guided masks and for decoding fewer tokens; they come before `sigma.PackPretraining`."""

import numpy as np
from mmcv.transforms import BaseTransform

from sigma.data.masking import motion_mask
from sigma.data.motion import NoMotion, codec_motion, dis_motion, frames_and_vectors
from sigma.errors import DecodeError
from sigma.registry import TRANSFORMS

CELL_PHASES = 4  # phases of the running cell


@TRANSFORMS.register_module()
class DecodeFramesAndVectors(BaseTransform):
    """Read the frames of `frame_inds` and the motion vectors of the stream in one PyAV pass, for `MotionMask`.

    Replaces `DecodeFrames`. Streams without vectors (VP9, HEVC, AV1, intra-only) are never skipped silently.

    Args:
        without_motion: `raise` (default): such a video counts as undecodable; training names, counts and skips it.
            `still`: its mask does not move, and `sigma.MotionHook` names and counts it.
    """

    def __init__(self, without_motion: str = 'raise') -> None:
        if without_motion not in ('raise', 'still'):
            raise ValueError(f"without_motion is {without_motion!r}; it must be 'raise' or 'still'.")
        self.without_motion = without_motion

    def transform(self, results: dict) -> dict:
        """Adds `imgs` (list of H x W x 3 uint8 RGB), `original_shape`, `img_shape`, `motion_steps` (T, rows, columns,
        2; None for a still mask) and `without_motion` (the reason, or empty); removes `open_reader`.

        Raises:
            DecodeError: for a video that cannot be decoded, `NoMotion` for one without vectors.
        """
        open_reader = results.pop('open_reader')
        if results['decode_error'] is not None:
            raise DecodeError(f'{results["filename"]}: {results["decode_error"]}')
        reason = ''
        try:
            frames, steps = frames_and_vectors(results['filename'], results['frame_inds'])
        except NoMotion as error:
            if self.without_motion == 'raise':
                raise
            frames, steps, reason = open_reader().frames(results['frame_inds']), None, str(error)
        shape = frames.shape[1:3]
        added = {'imgs': list(frames), 'original_shape': shape, 'img_shape': shape}
        return results | added | {'motion_steps': steps, 'without_motion': reason}


@TRANSFORMS.register_module()
class MotionMask(BaseTransform):
    """Draw motion-guided masks for the clip: visible regions that follow what moves.

    Args:
        grid: (T', H', W') of the encoder's tokens.
        mask_ratio: Share of tokens masked in every time slot. Published: 0.9.
        motion: `dis` (optical flow between the cropped frames) or `codec` (motion vectors of the stream, nearly free;
            needs `DecodeFramesAndVectors` instead of `DecodeFrames`). `codec` follows the crops and flips of
            `MultiScaleCrop`, `ResizeSquare`, `ShortSideJitter` and `FlipClip`, not those of other libraries.
        cell_pixels: Side of a token in pixels of the map and of the optical flow.
        num_masks: R masks per clip that follow the same motion. Published: 1; more is a departure.

    Raises:
        ValueError: for an unknown kind of motion, or if a clip's vectors were not read.

    Source: MGMAE (arXiv:2308.10794), as the motion-guided rows of SIGMA use it: masks of the encoder alone.
    """

    def __init__(
        self,
        grid: tuple[int, int, int],
        mask_ratio: float = 0.9,
        motion: str = 'dis',
        cell_pixels: int = 8,
        num_masks: int = 1,
    ) -> None:
        if motion not in ('dis', 'codec'):
            raise ValueError(f"MotionMask has motion={motion!r}; it must be 'dis' or 'codec'.")
        self.grid, self.mask_ratio, self.motion = tuple(grid), mask_ratio, motion
        self.cell_pixels, self.num_masks = cell_pixels, num_masks

    def transform(self, results: dict) -> dict:
        """Adds `visible_tokens` int64: (V,), or (R, V) for several masks."""
        motion = self._motion(results)
        masks = [motion_mask(motion, self.grid, self.mask_ratio, results['rng']) for _ in range(self.num_masks)]
        return results | {'visible_tokens': masks[0] if self.num_masks == 1 else np.stack(masks)}

    def _motion(self, results: dict) -> np.ndarray:
        frames, size = np.asarray(results['imgs']), [self.cell_pixels * cells for cells in self.grid[1:]]
        if self.motion == 'dis':
            return dis_motion(frames, *size)
        if 'motion_steps' not in results:
            raise ValueError(
                "MotionMask has motion='codec', but no motion vectors were read; use "
                'sigma.DecodeFramesAndVectors instead of sigma.DecodeFrames.'
            )
        steps = results['motion_steps']
        if steps is None:
            return np.zeros((len(frames), *size, 2), np.float32)
        crop = results.get('crop_box', (0, 0, *results['original_shape']))
        motion = codec_motion(steps, crop, *size)
        return motion[:, :, ::-1] * np.array([-1, 1], np.float32) if results.get('flipped', False) else motion


@TRANSFORMS.register_module()
class RunningCell(BaseTransform):
    """Decode half of the masked tokens: two of every 2x2 cells, alternating over time.

    A departure from SIGMA, which decodes all of them.

    Args:
        num_masks: R of the mask transform.

    Source: VideoMAE V2 (arXiv:2303.16727), section 3.2. There, the decoder gets half of all tokens, and the loss uses
    those of them that the encoder did not see. Here it gets half of the masked tokens, the same number in every clip.
    """

    def __init__(self, num_masks: int = 1) -> None:
        self.num_masks = num_masks

    def transform(self, results: dict) -> dict:
        """Adds `decode_phase` int64 in [0, 4): scalar, or (R,) for several masks."""
        phases = results['rng'].integers(CELL_PHASES, size=self.num_masks)
        return results | {'decode_phase': phases[0] if self.num_masks == 1 else phases}
