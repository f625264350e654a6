"""Mixup and cutmix of whole clips, as the published fine-tuning code of VideoMAE and SIGMA draws and pairs them."""

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MessageHub
from torch import Tensor, nn

from eval.registry import MODELS


@MODELS.register_module()
class MixClips(nn.Module):
    """Mixup or cutmix, one of the two per group of clips, for the preprocessor's `blending`.

    A clip is mixed with its mirror in the group: clip i of n with clip n - 1 - i. The whole group has the same share
    and, with cutmix, the same rectangle, which goes through all frames.

    The published code draws once per device and forward pass. Here a group takes the place of a device: with
    `clips_together` = 4, a batch of 32 on one process has eight groups and eight draws, like eight devices of 4 clips.
    A draw depends only on `seed` and the number of the group, counted over all groups since training began. So an
    optimizer step sees the same pairs and the same shares, whether its clips are spread over processes, accumulated
    passes or neither, and a resumed training continues with the draws of an uninterrupted one.

    Args:
        num_classes: Classes K.
        mixup, cutmix: Alpha of the Beta distribution of the share; 0 leaves this kind out. Published: 0.8, 1.0.
        switch: Probability of cutmix, where both are used. Published: 0.5.
        clips_together: Clips per group, augmentations of one video included. Fewer clips than that are one group, and
            so is what remains of a batch.
        seed: Of the cell.

    Raises:
        ValueError: if neither kind is used, or a group has fewer than 2 clips.

    The middle clip of an odd group is its own mirror and stays as it is; the published code refuses odd groups. That
    happens only with very few clips.

    Source: mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) in the form of VideoMAE and SIGMA, whose rectangles
    have even sides. They descend from timm's `Mixup`, which cannot stand here: it cuts the third and fourth axis, which
    are frames and rows of a clip, and its rectangles have had odd sides too since.
    """

    def __init__(
        self,
        num_classes: int,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        switch: float = 0.5,
        clips_together: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not mixup > 0 and not cutmix > 0:
            raise ValueError(f'MixClips has mixup={mixup} and cutmix={cutmix}; at least one must be positive.')
        if clips_together < 2:
            raise ValueError(f'MixClips has clips_together={clips_together}; clips are mixed in groups of 2 or more.')
        self.num_classes, self.clips_together, self.seed = num_classes, clips_together, seed
        self.mixup, self.cutmix, self.switch = mixup, cutmix, switch

    def forward(self, clips: Tensor, samples: list) -> tuple[Tensor, list]:
        """Mixed clips (B, 1, 3, T, H, W), and the samples with shares of labels (K,) as `gt_label`."""
        labels = torch.cat([sample.gt_label for sample in samples]).to(clips.device)
        sizes = self._sizes(len(clips))
        # All processes take as many clips in every pass, and process r those after process r - 1.
        passes = MessageHub.get_current_instance().get_info('iter', 0) * get_world_size() + get_rank()
        mixed, shares = [], []
        for number, (part, of_part) in enumerate(zip(clips.split(sizes), labels.split(sizes))):
            words = np.random.SeedSequence((self.seed, passes * len(sizes) + number)).generate_state(4)
            part, share = self.mixed(part, of_part, np.random.RandomState(words))
            mixed.append(part)
            shares.append(share)
        for sample, share in zip(samples, torch.cat(shares)):
            sample.set_gt_label(share)
        return torch.cat(mixed), samples

    def mixed(self, clips: Tensor, labels: Tensor, rng: np.random.RandomState) -> tuple[Tensor, Tensor]:
        """One group: mixed clips (B, ..., H, W) and shares of labels (B, K), from (B,) int64. Neither is changed.

        Draws are made in the published order: whether to mix (always), the kind, the share, the rectangle.
        """
        rng.rand()
        cut = self.cutmix > 0 and (not self.mixup > 0 or rng.rand() < self.switch)
        alpha = self.cutmix if cut else self.mixup
        share = rng.beta(alpha, alpha)
        if cut:
            rows, columns = rectangle(clips.shape[-2], clips.shape[-1], share, rng)
            share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (clips.shape[-2] * clips.shape[-1])
            mirrored = clips.flip(0)[..., rows, columns]
            clips = clips.clone()
            clips[..., rows, columns] = mirrored
        else:
            clips = clips * share + clips.flip(0) * (1 - share)
        # Smoothing is the head's: of mixed labels it is the same as a mixture of smoothed ones.
        single = nn.functional.one_hot(labels, self.num_classes).float()
        return clips, single * share + single.flip(0) * (1 - share)

    def _sizes(self, num_clips: int) -> list[int]:
        """Clips of each group; a single clip at the end joins the group before it."""
        sizes = [self.clips_together] * (num_clips // self.clips_together)
        rest = num_clips - sum(sizes)
        if rest == 1 and sizes:
            sizes[-1] += 1
        elif rest:
            sizes.append(rest)
        return sizes


def rectangle(height: int, width: int, share: float, rng: np.random.RandomState) -> tuple[slice, slice]:
    """Rows and columns that cutmix replaces: about 1 - share of the area, cut off at the edges, around any pixel."""
    half_height, half_width = (int(side * np.sqrt(1 - share)) // 2 for side in (height, width))
    row, column = int(rng.randint(height)), int(rng.randint(width))
    return (
        slice(max(row - half_height, 0), min(row + half_height, height)),
        slice(max(column - half_width, 0), min(column + half_width, width)),
    )
