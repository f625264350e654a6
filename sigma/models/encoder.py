"""The video transformer, on all tokens of a clip or only on the visible ones.

B clips, T frames, H and W pixels, T' H' W' tubelet grid, N = T'H'W' tokens (time, row, column), V visible tokens,
D width, P values of one tubelet.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from sigma.architectures import ARCHITECTURES as ARCHITECTURES
from sigma.architectures import architecture
from sigma.models.attention import VideoAttention
from sigma.positions import sinusoid_positions
from sigma.registry import MODELS


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """(B, N, D), (B, V) -> (B, V, D). Unlike a boolean mask, it has static shapes and does not wait for the device."""
    return torch.gather(tokens, 1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def make_blocks(width: int, depth: int, num_heads: int, drop_path_rate: float = 0.0) -> nn.ModuleList:
    """Pre-norm transformer blocks with VideoMAE's initialisation; drop path grows linearly with depth.

    The published attention has a bias on q and v but not on k; timm's has one on all three. We start k's bias at zero
    and keep it there. (It cancels in the softmax anyway.)
    """
    rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]
    norm: Any = partial(nn.LayerNorm, eps=1e-6)
    blocks = [
        Block(width, num_heads, qkv_bias=True, drop_path=rate, norm_layer=norm, attn_layer=VideoAttention)
        for rate in rates
    ]
    for block in blocks:
        block.apply(init_linear)
        block.get_parameter('attn.qkv.bias').register_hook(_without_key_part)
    return nn.ModuleList(blocks)


def _without_key_part(grad: Tensor) -> Tensor:
    query, key, value = grad.chunk(3)
    return torch.cat([query, torch.zeros_like(key), value])


def init_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for Linear layers; LayerNorm keeps ones and zeros."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class TubeletEmbedding(nn.Module):
    """Linear map of each tubelet; its weights have the shape of the published Conv3d, where kernel = stride."""

    def __init__(self, width: int, tubelet: tuple[int, int, int]) -> None:
        super().__init__()
        self.tubelet = tubelet
        self.proj = nn.Conv3d(3, width, kernel_size=tubelet, stride=tubelet)

    def forward(self, clip: Tensor, index: Tensor | None = None) -> Tensor:
        """(B, 3, T, H, W) -> (B, N, D), or (B, V, D) of the tokens `index` (B, V)."""
        patches = tubelets(clip, self.tubelet)
        if index is not None:
            patches = gather_tokens(patches, index)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def tubelets(clip: Tensor, tubelet: tuple[int, int, int]) -> Tensor:
    """(B, C, T, H, W) -> (B, N, C * t * h * w), values ordered channel, time, row, column, as in Conv3d weights."""
    b, c, frames, height, width = clip.shape
    t, h, w = tubelet
    grid = clip.reshape(b, c, frames // t, t, height // h, h, width // w, w)
    return grid.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(b, -1, c * t * h * w)


@MODELS.register_module()
class VideoViT(nn.Module):
    """Plain video transformer of VideoMAE and SIGMA: no class token, fixed positions, pre-norm blocks.

    Args:
        arch: `tiny`, `small`, `base`, `large`, or a dict with `embed_dims`, `depth`, `num_heads`.
        image_size: Side length in pixels; a multiple of `patch_size`.
        num_frames: Frames per clip; a multiple of `tubelet_size`. Other clip lengths work too: a shorter clip takes the
            first positions, a longer one continues the sinusoid.
        patch_size, tubelet_size: Side length in pixels and length in frames of a tubelet.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        final_norm: LayerNorm after the last block, as in pretraining. Fine-tuning on the mean token drops it; its head
            has its own norm.

    Raises:
        ValueError: if the architecture is unknown, or tubelets do not fill the clip.

    Source: VideoMAE (arXiv:2203.12602); SIGMA uses it unchanged. The blocks are timm's with our choice of attention
    kernel (sigma/models/attention.py).
    """

    positions: Tensor  # (N, D)

    def __init__(
        self,
        arch: str | dict = 'base',
        image_size: int = 224,
        num_frames: int = 16,
        patch_size: int = 16,
        tubelet_size: int = 2,
        drop_path_rate: float = 0.0,
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        size = architecture(arch)
        if image_size % patch_size or num_frames % tubelet_size:
            raise ValueError(
                f'VideoViT was asked for {num_frames} frames of {image_size} pixels, but tubelets have {tubelet_size} '
                f'frames of {patch_size} pixels; choose multiples of these.'
            )
        self.embed_dims = size['embed_dims']
        self.tubelet = (tubelet_size, patch_size, patch_size)
        self.grid = (num_frames // tubelet_size, image_size // patch_size, image_size // patch_size)
        self.patch_embed = TubeletEmbedding(self.embed_dims, self.tubelet)
        self.blocks = make_blocks(self.embed_dims, size['depth'], size['num_heads'], drop_path_rate)
        self.norm = nn.LayerNorm(self.embed_dims, eps=1e-6) if final_norm else nn.Identity()
        positions = sinusoid_positions(self.num_tokens, self.embed_dims)
        self.register_buffer('positions', positions, persistent=False)
        self.fixed_length = False  # True if the weights came with their own positions, which cannot be extended

    def set_positions(self, positions: Tensor) -> None:
        """Use positions (N, D) that came with the weights. From now on they are saved and loaded with the weights."""
        self.register_buffer('positions', positions.to(self.positions, copy=True))
        self.fixed_length = True

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        found = state_dict.get(f'{prefix}positions')
        if found is not None and found.shape == self.positions.shape:
            self.set_positions(found)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip of the declared shape."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    def forward(self, clip: Tensor) -> Tensor:
        """Normalised clip (B, 3, T, H, W) float -> tokens (B, T', H', W', D).

        Raises:
            ValueError: if height or width differ from those declared, or the frames do not fill tubelets.
        """
        frames, height, width = clip.shape[2:]
        grid = tuple(side // step for side, step in zip((frames, height, width), self.tubelet))
        if frames % self.tubelet[0] or (height, width) != tuple(g * p for g, p in zip(self.grid[1:], self.tubelet[1:])):
            raise ValueError(
                f'VideoViT was given a clip of {frames} frames of {height}x{width}; it is built for multiples of '
                f'{self.tubelet[0]} frames of {self.grid[1] * self.tubelet[1]}x{self.grid[2] * self.tubelet[2]}.'
            )
        return self.encode(clip).unflatten(1, grid)

    def encode(self, clip: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens (B, N, D) of the whole clip, or (B, V, D) computed from the tokens `visible` (B, V) alone.

        With R masks per clip, `visible` (B, R, V) gives (B*R, V, D): each mask is its own sequence.

        Raises:
            ValueError: if `visible` is given and the clip has another shape than declared: token numbers would differ.
        """
        if visible is None:
            tokens = self.patch_embed(clip)
            tokens = tokens + self._positions(tokens.shape[1])
        else:
            declared = tuple(cells * step for cells, step in zip(self.grid, self.tubelet))
            if tuple(clip.shape[2:]) != declared:
                raise ValueError(
                    f'VideoViT was given clips of {_shape(clip.shape[2:])} with a mask; it is built for '
                    f'{_shape(declared)}. Change the pipeline, or the num_frames and image_size of the encoder.'
                )
            tokens = self.patch_embed(clip, visible.flatten(1)) + self.positions[visible.flatten(1)]
            tokens = tokens.reshape(-1, visible.shape[-1], self.embed_dims)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def _positions(self, num_tokens: int) -> Tensor:
        if num_tokens > self.positions.shape[0]:  # the clip is longer than declared
            if self.fixed_length:
                raise ValueError(
                    f'VideoViT was given {num_tokens} tokens, but its weights have positions for only '
                    f'{self.positions.shape[0]}.'
                )
            return sinusoid_positions(num_tokens, self.embed_dims).to(self.positions.device)
        return self.positions[:num_tokens]


def _shape(sides) -> str:
    return '{} frames of {}x{}'.format(*sides)
