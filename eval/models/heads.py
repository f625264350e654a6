"""Heads on the tokens of any encoder."""

import torch
from mmaction.models.heads import BaseHead
from torch import Tensor, nn

from eval.registry import MODELS


@MODELS.register_module()
class TokenHead(BaseHead):
    """Mean over tokens, LayerNorm, dropout, linear: the fine-tuning head of VideoMAE and SIGMA.

    Args:
        num_classes: C.
        in_channels: D.
        dropout: Before the linear layer.
        init_scale: Multiplies the initial linear weights. Published: 0.001.
        kwargs: Of mmaction2's `BaseHead` (label smoothing, loss, merging of views).

    Runs in fp32 whatever the encoder's precision; mmaction2's accuracy meter cannot read bf16.
    """

    def __init__(
        self, num_classes: int, in_channels: int, dropout: float = 0.0, init_scale: float = 0.001, **kwargs
    ) -> None:
        kwargs = {'loss_cls': {'type': 'mmaction.CrossEntropyLoss'}, 'topk': (1,)} | kwargs
        super().__init__(num_classes, in_channels, **kwargs)
        self.fc_norm = nn.LayerNorm(in_channels, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)
        self.init_scale = init_scale

    def init_weights(self) -> None:
        """Truncated normal (0.02), scaled."""
        nn.init.trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)
        self.fc.weight.data.mul_(self.init_scale)

    def forward(self, tokens: Tensor, **kwargs) -> Tensor:
        """(B, T', H', W', D) -> (B, C)."""
        with torch.autocast(tokens.device.type, enabled=False):
            pooled = tokens.float().flatten(1, -2).mean(dim=1)
            return self.fc(self.dropout(self.fc_norm(pooled)))
