"""VideoMAE: the pixel baseline, on the same encoder and decoder."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sigma.losses.sinkhorn import feature_spread
from sigma.models.sigma import MaskedVideoModel
from sigma.registry import MODELS


@MODELS.register_module()
class VideoMAE(MaskedVideoModel):
    """Masked autoencoder that predicts standardised pixels.

    Args:
        encoder, decoder, data_preprocessor: As in `MaskedVideoModel`.
        projector: `PixelTargets` by default.

    Source: Tong et al., NeurIPS 2022 (arXiv:2203.12602).
    """

    def __init__(self, encoder: dict, decoder: dict, projector: dict | None = None, data_preprocessor=None) -> None:
        super().__init__(encoder, decoder, projector or {'type': 'sigma.PixelTargets'}, data_preprocessor)

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Mean squared error over the values of the masked tubelets.

        Returns:
            `loss_pixels` (scalar; predicting zero gives 1.0) and `feature_std` of the visible tokens.
        """
        tokens, predictions = self.predictions(clip, visible, masked)  # (B*R, V, D), (B*R, M, P)
        with torch.no_grad():
            targets = self.targets(pixels, clip, masked)  # (B*R, M, P)
        return {
            'loss_pixels': F.mse_loss(predictions.float(), targets),
            'feature_std': feature_spread(tokens),
        }
