"""Classification heads on the tokens of any encoder.

Shape letters: B clips, V views of a video, T', H', W' token grid, D width, C classes.
"""

import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead
from torch import Tensor, nn

from eval.registry import MODELS


@MODELS.register_module()
class TokenHead(BaseHead):
    """Mean over tokens, LayerNorm, dropout, linear: the fine-tuning head of VideoMAE and SIGMA.

    It runs in fp32 whatever the encoder's precision, because mmaction2's accuracy meter cannot read bf16.

    Args:
        num_classes: C.
        in_channels: D.
        dropout: Dropout before the linear layer, from 0 to 1.
        init_scale: Factor on the initial weights of the linear layer. Published: 0.001. None keeps torch's own
            initialisation, as in SEVERE's R(2+1)D-18.
        norm: Whether the pooled token goes through a LayerNorm; `fixed` for one without weights. Published: yes for
            transformers, no for R(2+1)D-18.
        kwargs: Passed to mmaction2's `BaseHead` (label smoothing, loss, merging of views).

    Raises:
        ValueError: for another `norm`.

    Source: SIGMA's and VideoMAE's fine-tuning code; SEVERE (ECCV 2022) for R(2+1)D-18.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        dropout: float = 0.0,
        init_scale: float | None = 0.001,
        norm: bool | str = True,
        **kwargs,
    ) -> None:
        kwargs = {'loss_cls': {'type': 'mmaction.CrossEntropyLoss'}, 'topk': (1,)} | kwargs
        super().__init__(num_classes, in_channels, **kwargs)
        if norm not in (True, False, 'fixed'):
            raise ValueError(f"TokenHead has norm={norm!r}; it must be True, False or 'fixed'.")
        learns = norm is True
        self.fc_norm = nn.LayerNorm(in_channels, eps=1e-6, elementwise_affine=learns) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)
        self.init_scale = init_scale

    def init_weights(self) -> None:
        """Truncated normal (standard deviation 0.02) times `init_scale`, or torch's own initialisation."""
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
    """`TokenHead` for videos with any number of labels: a binary cross-entropy per class.

    Arguments as `TokenHead`. `label_smooth_eps` e moves targets y to (1 - e) y + e / 2, which is label smoothing for
    two classes. Views are merged by the maximum of their sigmoid scores, since one view that shows the action is
    enough.

    Source: SlowFast and SEVERE on Charades.
    """

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Binary cross-entropy of logits (B, C) and targets in [0, 1], averaged over clips and classes."""
        targets = torch.stack([sample.gt_label for sample in data_samples]).to(cls_scores)
        targets = targets * (1 - self.label_smooth_eps) + self.label_smooth_eps / 2
        return {'loss_cls': F.binary_cross_entropy_with_logits(cls_scores, targets)}

    def average_clip(self, cls_scores: Tensor, num_segs: int = 1) -> Tensor:
        """Logits (B * V, C) -> (B, C): the maximum over views of sigmoid scores."""
        return cls_scores.sigmoid().unflatten(0, (-1, num_segs)).amax(dim=1)
