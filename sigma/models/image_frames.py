"""Image encoders of timm, run frame by frame, and how their files are read.

B clips, T frames, D feature width.
"""

from typing import Any

import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from sigma.checkpoints.files import misfits, read_weights
from sigma.checkpoints.image import to_timm
from sigma.errors import CheckpointError
from sigma.models.attention import choose_attention
from sigma.registry import MODELS


@MODELS.register_module()
class ImageFrames(nn.Module):
    """A timm image encoder on every frame: one time step per frame, patch tokens or the last feature map.

    Tokens are those after the final norm, without class and register tokens.

    Args:
        model: Name of a timm model that gives a spatial map: a ViT, or a convolutional network.
        image_size: Side length in pixels.

    Raises:
        ValueError: if timm does not know the name.
    """

    def __init__(self, model: str, image_size: int = 224) -> None:
        super().__init__()
        self.model = model
        self.encoder: Any = build_timm(model, image_size)
        self.embed_dims = self.encoder.num_features

    def load_weights(self, checkpoint: str) -> None:
        """Load a file of timm, DINO, DINOv2 or transformers completely. Errors as `load_timm`."""
        plain_dinov2 = 'dinov2' in self.model and 'reg4' not in self.model
        load_timm(self.encoder, self.model, checkpoint, antialias=not plain_dinov2)

    def forward(self, clip: Tensor) -> Tensor:
        """Normalised clip (B, 3, T, H, W) -> tokens (B, T, H', W', D)."""
        images = clip.transpose(1, 2).flatten(0, 1)  # (B*T, 3, H, W)
        device = images.device.type
        if device != 'meta':  # a plan builds encoders there, to see which clips they take
            dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else images.dtype
            choose_attention(self.encoder, device, dtype, images.shape[-1] * images.shape[-2] // 196)
        (maps,) = self.encoder.forward_intermediates(
            images, indices=1, norm=True, output_fmt='NCHW', intermediates_only=True
        )
        return maps.permute(0, 2, 3, 1).unflatten(0, (len(clip), -1))  # (B, T, H', W', D)


def build_timm(model: str, image_size: int) -> nn.Module:
    """A timm image encoder without its classifier, for images of `image_size` pixels, with random weights.

    Raises:
        ValueError: if timm does not know the name, with similar ones.
    """
    if not timm.is_model(model):
        near = timm.list_models(f'*{model.split(".")[0].split("_")[0]}*')[:3]
        raise ValueError(f'timm {timm.__version__} has no image encoder {model!r}. Similar: {", ".join(near)}.')
    try:
        return timm.create_model(model, pretrained=False, num_classes=0, img_size=image_size)
    except TypeError:  # convolutional encoders take images of any size and lack this argument
        return timm.create_model(model, pretrained=False, num_classes=0)


def load_timm(encoder: Any, name: str, checkpoint: str, antialias: bool = True) -> None:
    """Load a file of timm, or of DINO, DINOv2 or transformers as released; positions are resampled to the image size.

    Args:
        encoder: From `build_timm`.
        name: Its name.
        checkpoint: The file.
        antialias: How positions are resampled; timm does, DINOv2 without registers does not.

    Raises:
        CheckpointError: if the file cannot be read or does not fit.
    """
    tensors = read_weights(checkpoint).tensors
    if any(key.endswith(('patch_embed.proj.weight', 'patch_embeddings.projection.weight')) for key in tensors):
        tensors = to_timm(tensors)
    tensors = {k: v for k, v in tensors.items() if not k.startswith(('head.', 'fc.', 'classifier.'))}
    try:
        _resample_positions(encoder, tensors, antialias)
        encoder.load_state_dict(tensors, strict=True)
    except (RuntimeError, KeyError, IndexError) as error:
        problems = misfits(encoder, tensors)
        raise CheckpointError(
            f"{checkpoint} does not hold {name} in timm's layout: {'; '.join(problems) or error}."
        ) from error


def _resample_positions(encoder: Any, tensors: dict[str, Tensor], antialias: bool) -> None:
    """Resample the positions in `tensors` to the image size of the encoder."""
    own = getattr(encoder, 'pos_embed', None)
    if own is not None and 'pos_embed' in tensors and tensors['pos_embed'].shape != own.shape:
        tensors['pos_embed'] = resample_abs_pos_embed(
            tensors['pos_embed'],
            new_size=encoder.patch_embed.grid_size,
            num_prefix_tokens=0 if getattr(encoder, 'no_embed_class', False) else encoder.num_prefix_tokens,
            antialias=antialias,
        )
