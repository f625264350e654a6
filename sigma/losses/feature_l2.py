"""The ablation that SIGMA's Sinkhorn loss answers: plain distance to features that are learnt along."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sigma.losses.sinkhorn import feature_spread
from sigma.registry import MODELS


@MODELS.register_module()
class FeatureL2(nn.Module):
    """Mean squared error between predictions and targets, with gradient into both.

    With targets that are learnt (SIGMA-MLP) it collapses: a constant feature is predicted without error. That is what
    it is for; with frozen targets (SIGMA-DINO) it is a plain regression.

    Args:
        feature_dim: D, given by the model; of no use here.

    Source: SIGMA (arXiv:2407.15447), the ablation "L2 on features". Its released code refuses this loss with learnt
    targets; ours does not.
    """

    def __init__(self, feature_dim: int | None = None) -> None:
        super().__init__()

    def forward(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """(B, M, D) of both branches -> `loss_l2`, and without gradient `feature_std` as `SinkhornLoss` has it, and
        `target_std` (standard deviation of the targets over tokens, mean over channels: towards 0 in a collapse)."""
        with torch.autocast(predictions.device.type, enabled=False):
            return {
                'loss_l2': F.mse_loss(predictions.float(), targets.float()),
                'feature_std': feature_spread(predictions),
                'target_std': targets.detach().float().flatten(0, 1).std(dim=0).mean(),
            }
