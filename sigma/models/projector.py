"""Targets for the masked tubelets: pixels, a learned projection of them, or features of an image encoder.

B clips, M masked of N tokens, T frames, H and W pixels, E feature width, P = t*h*w*3 values of a tubelet.
A projector takes the clip in [0, 1], the same clip normalised, and the indices of the masked tokens.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sigma.models.attention import choose_attention
from sigma.models.cpu_kernels import pack_linears
from sigma.models.encoder import gather_tokens
from sigma.models.image_frames import build_timm, load_timm
from sigma.registry import MODELS

STANDARDISE = ('tubelet', 'clip')


@MODELS.register_module()
class PixelTargets(nn.Module):
    """Standardised pixels of each masked tubelet.

    Args:
        tubelet: (frames, rows, columns) of a tubelet.
        standardise: `tubelet` (published), or `clip`: one mean and deviation per channel for the whole clip. With
            `tubelet`, the coding noise of a still tubelet becomes as large as a moving edge. On rendered clips with
            still backgrounds, features learned motion with `clip` but not with `tubelet` (docs/small-scale.md).
        floor: Added to the deviation as sqrt(variance + floor^2); pixels are in [0, 1], so 0.05 is 13 of 255 levels. 0
            is published. Above 0, coding noise of nearly flat tubelets stays small and moving edges keep their size.

    Raises:
        ValueError: if `standardise` is neither, or `floor` is below 0.

    Source: VideoMAE's "norm-pix": zero mean and unit deviation per tubelet and channel (unbiased variance; 1e-6 is
    added to the deviation).
    """

    def __init__(
        self, tubelet: tuple[int, int, int] = (2, 16, 16), standardise: str = 'tubelet', floor: float = 0.0
    ) -> None:
        super().__init__()
        if standardise not in STANDARDISE:
            raise ValueError(
                f'PixelTargets cannot standardise by {standardise!r}; choose one of {", ".join(STANDARDISE)}.'
            )
        if floor < 0:
            raise ValueError(f'The floor under the deviation of PixelTargets is {floor}; it must be 0 or more.')
        self.tubelet, self.standardise, self.floor = tuple(tubelet), standardise, floor

    @property
    def feature_dim(self) -> int:
        """P, the number of values per tubelet."""
        t, h, w = self.tubelet
        return t * h * w * 3

    def forward(self, pixels: Tensor, clip: Tensor, masked: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) in [0, 1] -> (B, M, P), values ordered time, row, column, channel."""
        b, c, frames, height, width = pixels.shape
        t, h, w = self.tubelet
        grid = pixels.reshape(b, c, frames // t, t, height // h, h, width // w, w)
        # (B, N, t*h*w, 3)
        values = grid.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, -1, t * h * w, c)
        values = gather_tokens(values.flatten(2), masked).unflatten(2, (t * h * w, c))  # (B, M, t*h*w, 3)
        # statistics (B, 3) of the clip, or (B, M, 3) of each tubelet
        whole, axes = (pixels, (2, 3, 4)) if self.standardise == 'clip' else (values, (2,))
        mean, variance = whole.mean(dim=axes), whole.var(dim=axes, unbiased=True)
        if self.standardise == 'clip':
            mean, variance = mean[:, None], variance[:, None]
        deviation = (variance[:, :, None] + self.floor**2).sqrt()
        return ((values - mean[:, :, None]) / (deviation + 1e-6)).flatten(2)


@MODELS.register_module()
class MLPProjector(nn.Module):
    """An MLP on the standardised pixels of each tubelet, trained together with the video model (SIGMA-MLP).

    Args:
        out_dims: E. Published: 256.
        hidden_dims: Hidden widths. Published: 1024, 1024, 512.
        tubelet: (frames, rows, columns) of a tubelet.
        standardise, floor: As in `PixelTargets`.

    Source: SIGMA's released code: four Linear layers with GELU between them (the paper says three), no norm.
    """

    def __init__(
        self,
        out_dims: int = 256,
        hidden_dims: tuple[int, ...] = (1024, 1024, 512),
        tubelet: tuple[int, int, int] = (2, 16, 16),
        standardise: str = 'tubelet',
        floor: float = 0.0,
    ) -> None:
        super().__init__()
        self.targets = PixelTargets(tubelet, standardise, floor)
        self.feature_dim = out_dims
        widths = [self.targets.feature_dim, *hidden_dims, out_dims]
        layers: list[nn.Module] = []
        for width_in, width_out in zip(widths, widths[1:]):
            layers += [nn.Linear(width_in, width_out), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, pixels: Tensor, clip: Tensor, masked: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) in [0, 1] -> features (B, M, E)."""
        return self.layers(self.targets(pixels, clip, masked))


@MODELS.register_module()
class ImageProjector(nn.Module):
    """Frozen image encoder on the first frame of every tubelet (SIGMA-DINO).

    Args:
        model: Name of any timm image encoder. Published: DINO ViT-B/16 (`vit_base_patch16_224.dino`), also for the
            ViT-S student.
        checkpoint: Local file with its weights in timm's layout (safetensors, or a plain state dict). Nothing is
            downloaded.
        grid: (T', H', W') of the video encoder; features on another spatial grid (14-pixel patches) are resampled
            bilinearly.
        tubelet_size: Frames per tubelet.
        image_size: Side length in pixels.
        random_weights: Build without weights, for tests and for measuring speed.

    Raises:
        ValueError: if there is neither a checkpoint nor `random_weights`, or timm does not know the name.
        CheckpointError: if the file cannot be read or does not fit.

    Source: SIGMA's released code: patch tokens of the last block after the final norm, standardised per clip and
    channel over all tokens (unbiased variance, 1e-6), before the masked ones are picked. There the teacher runs in
    fp32; here it runs in the precision of the step.
    """

    def __init__(
        self,
        model: str,
        checkpoint: str | None = None,
        grid: tuple[int, int, int] = (8, 14, 14),
        tubelet_size: int = 2,
        image_size: int = 224,
        random_weights: bool = False,
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.tubelet_size = tubelet_size
        self.encoder: Any = build_timm(model, image_size)
        if checkpoint is not None:
            load_timm(self.encoder, model, checkpoint)
        elif not random_weights:
            raise ValueError(
                f'ImageProjector needs weights for {model}, and downloads none; give '
                "checkpoint='FILE' in timm's layout (only for tests: random_weights=True)."
            )
        self.feature_dim = self.encoder.num_features
        self.encoder.requires_grad_(False)
        self.encoder.eval()
        pack_linears(self.encoder)

    def train(self, mode: bool = True) -> 'ImageProjector':
        """Set the mode; the image encoder always stays in eval mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, pixels: Tensor, clip: Tensor, masked: Tensor) -> Tensor:
        """Normalised clip (B, 3, T, H, W) -> features (B, M, E), no gradient."""
        return self.select(self.features(clip), masked)

    @torch.no_grad()
    def features(self, clip: Tensor) -> Tensor:
        """Patch tokens of the first frame of every tubelet: (B, 3, T, H, W) -> (B, N, E)."""
        b, _, frames = clip.shape[:3]
        images = clip[:, :, :: self.tubelet_size].transpose(1, 2).flatten(0, 1)  # (B*T', 3, H, W)
        device = images.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else images.dtype
        choose_attention(self.encoder, device, dtype, math.prod(self.grid[1:]))
        (maps,) = self.encoder.forward_intermediates(
            images, indices=1, norm=True, output_fmt='NCHW', intermediates_only=True
        )
        if maps.shape[-2:] != self.grid[1:]:
            maps = F.interpolate(maps, self.grid[1:], mode='bilinear', align_corners=False)
        return maps.flatten(2).transpose(1, 2).reshape(b, -1, maps.shape[1])

    @staticmethod
    @torch.no_grad()
    def select(features: Tensor, masked: Tensor) -> Tensor:
        """Standardise features (B, N, E) over tokens, then pick the masked ones (B, M, E)."""
        features = features.float()
        mean = features.mean(dim=1, keepdim=True)
        variance = features.var(dim=1, unbiased=True, keepdim=True)
        return gather_tokens((features - mean) / (variance + 1e-6).sqrt(), masked)
