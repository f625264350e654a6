"""The ablation of SIGMA's loss: plain distance to features that are learned at the same time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sigma.losses.sinkhorn import feature_spread


class FeatureL2(nn.Module):
    """Mean squared error between predictions and targets, with gradient into both.

    With learned targets (SIGMA-MLP) it collapses, because a constant feature is predicted without error. Showing this
    is its purpose. With frozen targets (SIGMA-DINO) it is a plain regression.

    Args:
        feature_dim: D; every loss gets it from the model, this one ignores it.

    Source: SIGMA (arXiv:2407.15447), the ablation "L2 on features". Its released code refuses this loss with learned
    targets; ours does not.
    """

    def __init__(self, feature_dim: int | None = None) -> None:
        super().__init__()

    def forward(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Loss and diagnostics of one step.

        Args:
            predictions, targets: (B, M, D) of the two branches.

        Returns:
            `loss_l2` (scalar), and without gradient `feature_std` (as in `SinkhornLoss`) and `target_std` (standard
            deviation of the targets over tokens, averaged over channels; it goes to 0 in a collapse).
        """
        with torch.autocast(predictions.device.type, enabled=False):
            return {
                'loss_l2': F.mse_loss(predictions.float(), targets.float()),
                'feature_std': feature_spread(predictions),
                'target_std': targets.detach().float().flatten(0, 1).std(dim=0).mean(),
            }
