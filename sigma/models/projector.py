"""What the masked tubelets are to be predicted as: pixels, a learnt projection of them, or image features.

B clips, M masked of N tokens, T frames, H and W pixels, E feature width, P = t*h*w*3 values of a tubelet.
A projector is called with the clip in [0, 1], the same clip normalised, and the masked index.
"""

import math

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sigma.models.attention import choose_attention
from sigma.models.encoder import gather_tokens
from sigma.models.packed import pack_linears
from sigma.registry import MODELS

STANDARDISE = ('tubelet', 'clip')


@MODELS.register_module()
class PixelTargets(nn.Module):
    """Standardised pixels of each masked tubelet.

    Args:
        tubelet: (frames, rows, columns) of a tubelet.
        standardise: `tubelet` (published), or `clip`: with one mean and deviation a channel for the whole clip. The
            published way makes a calm tubelet's coding noise as large as a moving edge; on rendered clips with calm
            backgrounds, `clip` let features tell motion that the published way did not (docs/small-scale.md).

    Source: VideoMAE's "norm-pix": per tubelet and channel, zero mean and unit deviation over its pixels
    (unbiased variance; 1e-6 added to the deviation).
    """

    def __init__(self, tubelet: tuple[int, int, int] = (2, 16, 16), standardise: str = 'tubelet') -> None:
        super().__init__()
        if standardise not in STANDARDISE:
            raise ValueError(f'PixelTargets was asked to standardise by {standardise!r}; it knows {STANDARDISE}.')
        self.tubelet, self.standardise = tuple(tubelet), standardise

    @property
    def feature_dim(self) -> int:
        """P."""
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
        # (B, 1, 1, 3) of the clip, or (B, M, 1, 3) of each tubelet
        whole, axes = (pixels, (2, 3, 4)) if self.standardise == 'clip' else (values, (2,))
        mean, variance = whole.mean(dim=axes), whole.var(dim=axes, unbiased=True)
        if self.standardise == 'clip':
            mean, variance = mean[:, None], variance[:, None]
        return ((values - mean[:, :, None]) / (variance[:, :, None].sqrt() + 1e-6)).flatten(2)


@MODELS.register_module()
class MLPProjector(nn.Module):
    """Per-tubelet MLP on standardised pixels, trained together with the video model (SIGMA-MLP).

    Args:
        out_dims: E. Published: 256.
        hidden_dims: Widths between. Published: 1024, 1024, 512.
        tubelet: (frames, rows, columns) of a tubelet.
        standardise: As in `PixelTargets`.

    Source: SIGMA's released code: four Linear layers with GELU between (the paper speaks of three), no norm.
    """

    def __init__(
        self,
        out_dims: int = 256,
        hidden_dims: tuple[int, ...] = (1024, 1024, 512),
        tubelet: tuple[int, int, int] = (2, 16, 16),
        standardise: str = 'tubelet',
    ) -> None:
        super().__init__()
        self.targets = PixelTargets(tubelet, standardise)
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
        model: Name of any timm image encoder. Published: DINO ViT-B/16 (`vit_base_patch16_224.dino`), for the
            ViT-S student too.
        checkpoint: Local file with its weights in timm's layout (safetensors, or a plain state dict). Nothing is
            downloaded.
        grid: (T', H', W') of the video encoder; features of another spatial grid (14-pixel patches) are
            resampled bilinearly.
        tubelet_size: Frames of a tubelet.
        image_size: Pixels of a side.
        random_weights: Build without weights, for tests and for measuring speed.

    Raises:
        ValueError: if there is neither a checkpoint nor `random_weights`, if the file does not fit, or timm does
            not know the name.

    Source: SIGMA's released code: last block's patch tokens after the final norm, then standardised for each clip
    and channel over all tokens (unbiased variance, 1e-6), before the masked ones are taken. There the teacher runs
    in fp32; here it follows the precision of the step.
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
        self.encoder = _timm_encoder(model, image_size)
        if checkpoint is not None:
            _load_teacher(self.encoder, model, checkpoint)
        elif not random_weights:
            raise ValueError(
                f'ImageProjector was asked for {model} without weights, and none are downloaded here; give '
                "checkpoint='FILE' in timm's layout (for tests alone: random_weights=True)."
            )
        self.feature_dim = self.encoder.num_features
        self.encoder.requires_grad_(False)
        self.encoder.eval()
        pack_linears(self.encoder)

    def train(self, mode: bool = True) -> 'ImageProjector':
        """The image encoder stays in eval mode whatever the video model does."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, pixels: Tensor, clip: Tensor, masked: Tensor) -> Tensor:
        """Normalised clip (B, 3, T, H, W) -> features (B, M, E), no gradient."""
        return self.select(self.features(clip), masked)

    @torch.no_grad()
    def features(self, clip: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, N, E): patch tokens of the first frame of every tubelet."""
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
        """Standardise features (B, N, E) over tokens, then take the masked ones (B, M, E)."""
        features = features.float()
        mean = features.mean(dim=1, keepdim=True)
        variance = features.var(dim=1, unbiased=True, keepdim=True)
        return gather_tokens((features - mean) / (variance + 1e-6).sqrt(), masked)


def _timm_encoder(model: str, image_size: int) -> nn.Module:
    if not timm.is_model(model):
        near = timm.list_models(f'*{model.split(".")[0].split("_")[0]}*')[:3]
        raise ValueError(f'timm {timm.__version__} does not know the image encoder {model!r}. Near: {", ".join(near)}.')
    try:
        return timm.create_model(model, pretrained=False, num_classes=0, img_size=image_size)
    except TypeError:  # convolutional encoders take any size and no such argument
        return timm.create_model(model, pretrained=False, num_classes=0)


def _load_teacher(encoder: nn.Module, name: str, checkpoint: str) -> None:
    from sigma.checkpoints.files import read_weights
    from sigma.errors import CheckpointError

    tensors = read_weights(checkpoint).tensors
    tensors = {k: v for k, v in tensors.items() if not k.startswith(('head.', 'fc.', 'classifier.'))}
    if 'pos_embed' in tensors and hasattr(encoder, 'pos_embed'):
        from timm.layers import resample_abs_pos_embed

        if tensors['pos_embed'].shape != encoder.pos_embed.shape:
            tensors['pos_embed'] = resample_abs_pos_embed(
                tensors['pos_embed'],
                new_size=encoder.patch_embed.grid_size,
                num_prefix_tokens=0 if getattr(encoder, 'no_embed_class', False) else encoder.num_prefix_tokens,
            )
    try:
        encoder.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f'{checkpoint} does not hold {name} in the layout of timm: {error}') from error
