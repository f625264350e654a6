"""The decoder: a shallow transformer over visible tokens and mask tokens.

B clips, V visible and M masked tokens, D encoder width, E output width.
"""

import torch
from torch import Tensor, nn

from sigma.models.encoder import init_linear, make_blocks
from sigma.positions import sinusoid_positions
from sigma.registry import MODELS


@MODELS.register_module()
class MaskedDecoder(nn.Module):
    """Predicts a vector for every masked token.

    Args:
        num_tokens: Tokens of a whole clip in the encoder.
        in_dims: D.
        out_dims: E: 256 (SIGMA-MLP), the width of the teacher (SIGMA-DINO), or 1536 (pixels).
        embed_dims, depth, num_heads: Published: half the encoder's width, 4 blocks, half its heads.

    Source: VideoMAE (arXiv:2203.12602), unchanged in SIGMA. Visible tokens come first, masked ones last; only the
    masked ones go through the norm and the head.
    """

    positions: Tensor  # (N, D)

    def __init__(
        self,
        num_tokens: int,
        in_dims: int,
        out_dims: int,
        embed_dims: int,
        depth: int = 4,
        num_heads: int = 6,
    ) -> None:
        super().__init__()
        self.bridge = nn.Linear(in_dims, embed_dims, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.blocks = make_blocks(embed_dims, depth, num_heads)
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.head = nn.Linear(embed_dims, out_dims)
        self.head.apply(init_linear)
        self.register_buffer('positions', sinusoid_positions(num_tokens, embed_dims), persistent=False)

    def forward(self, tokens: Tensor, visible: Tensor, masked: Tensor) -> Tensor:
        """Encoder tokens (B, V, D), indices of visible (B, V) and masked (B, M) tokens -> predictions (B, M, E)."""
        known = self.bridge(tokens)
        known = known + self.positions[visible].to(known.dtype)
        unknown = self.mask_token + self.positions[masked]
        joined = torch.cat([known, unknown.to(known.dtype)], dim=1)
        for block in self.blocks:
            joined = block(joined)
        return self.head(self.norm(joined[:, -masked.shape[1] :]))
