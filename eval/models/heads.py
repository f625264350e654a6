"""Heads on the tokens of any encoder. B clips, V views of a video, D width, C classes."""

import torch
import torch.nn.functional as F
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
        init_scale: Multiplies the initial linear weights. Published: 0.001. None leaves the linear layer as torch
            makes it, as in SEVERE's R(2+1)D-18.
        norm: Whether the pooled token passes a LayerNorm. Published: yes for transformers, no for R(2+1)D-18.
        kwargs: Of mmaction2's `BaseHead` (label smoothing, loss, merging of views).

    Runs in fp32 whatever the encoder's precision; mmaction2's accuracy meter cannot read bf16.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        dropout: float = 0.0,
        init_scale: float | None = 0.001,
        norm: bool = True,
        **kwargs,
    ) -> None:
        kwargs = {'loss_cls': {'type': 'mmaction.CrossEntropyLoss'}, 'topk': (1,)} | kwargs
        super().__init__(num_classes, in_channels, **kwargs)
        self.fc_norm = nn.LayerNorm(in_channels, eps=1e-6) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)
        self.init_scale = init_scale

    def init_weights(self) -> None:
        """Truncated normal (0.02), scaled; or torch's own."""
        if self.init_scale is None:
            self.fc.reset_parameters()
            return
        nn.init.trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)
        self.fc.weight.data.mul_(self.init_scale)

    def forward(self, tokens: Tensor, **kwargs) -> Tensor:
        """(B, T', H', W', D) -> (B, C)."""
        with torch.autocast(tokens.device.type, enabled=False):
            pooled = tokens.float().flatten(1, -2).mean(dim=1)
            return self.fc(self.dropout(self.fc_norm(pooled)))


@MODELS.register_module()
class MultiLabelHead(TokenHead):
    """As `TokenHead`, for videos of several labels or none: a binary cross-entropy for each class.

    Arguments as `TokenHead`; `label_smooth_eps` e moves targets to (1 - e) y + e / 2, the smoothing of two classes.
    Views are merged by the maximum of their sigmoid scores, as SlowFast and SEVERE do for Charades: an action need
    only be seen in one of them.
    """

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Mean over clips and classes of the binary cross-entropy of logits (B, C) and targets in [0, 1]."""
        targets = torch.stack([sample.gt_label for sample in data_samples]).to(cls_scores)
        targets = targets * (1 - self.label_smooth_eps) + self.label_smooth_eps / 2
        return {'loss_cls': F.binary_cross_entropy_with_logits(cls_scores, targets)}

    def average_clip(self, cls_scores: Tensor, num_segs: int = 1) -> Tensor:
        """Logits (B * V, C) -> (B, C): the maximum over views of sigmoid scores."""
        return cls_scores.sigmoid().unflatten(0, (-1, num_segs)).amax(dim=1)
