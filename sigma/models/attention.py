"""The one place where the attention kernel is chosen, by device, precision and number of tokens.

B clips, A heads, N tokens, D width, d width of a head.
"""

import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import Tensor, nn

from sigma.models.cpu_kernels import attend_by_matrix, is_matrix_faster


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(d)) value: (B, A, N, d) each -> (B, A, N, d), without mask or dropout."""
    if is_matrix_faster(query.device.type, query.dtype, query.shape[2]):
        return attend_by_matrix(query, key, value)
    return F.scaled_dot_product_attention(query, key, value)


class VideoAttention(Attention):
    """timm's attention with the kernel that `attend` chooses."""

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens (B, N, D) -> (B, N, D). With a mask it is timm's own attention."""
        if attn_mask is not None or is_causal:
            return super().forward(x, attn_mask, is_causal)
        batch, num_tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, num_tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        out = attend(*qkv.unbind(0)).transpose(1, 2).reshape(batch, num_tokens, self.attn_dim)
        return self.proj(out)


def choose_attention(encoder: nn.Module, device: str, dtype: torch.dtype, num_tokens: int) -> None:
    """Make the same choice in a timm encoder, through the `fused_attn` switch of its attention layers.

    With that switch off, timm also forms the attention matrix.
    """
    for module in encoder.modules():
        if hasattr(module, 'fused_attn'):
            module.fused_attn = not is_matrix_faster(device, dtype, num_tokens)  # type: ignore[assignment]
