"""SIGMA: a video transformer and a projection network learn together through shared prototypes."""

import torch
from mmengine.model import BaseModel
from torch import Tensor

from sigma.models.encoder import VideoViT, gather_tokens
from sigma.registry import MODELS


class MaskedVideoModel(BaseModel):
    """What SIGMA and VideoMAE share: an encoder of visible tubelets, a decoder, and targets for the masked tubelets.

    Args:
        encoder, decoder, projector: Configs. The `num_tokens`, `in_dims` and `out_dims` of the decoder follow from the
            other two.
        data_preprocessor: Config; its grid follows from the encoder.
    """

    def __init__(self, encoder: dict, decoder: dict, projector: dict, data_preprocessor: dict | None = None) -> None:
        built: VideoViT = MODELS.build(encoder)
        preprocessor = {'type': 'sigma.ClipPreprocessor', 'grid': built.grid} | dict(data_preprocessor or {})
        super().__init__(data_preprocessor=preprocessor)
        self.encoder = built
        self.projector = MODELS.build(projector)
        follows = {
            'num_tokens': built.num_tokens,
            'in_dims': built.embed_dims,
            'out_dims': self.projector.feature_dim,
        }
        self.decoder = MODELS.build(follows | dict(decoder))

    def init_weights(self) -> None:
        """Do nothing: parts initialise themselves when built, and a loaded teacher must keep its weights."""

    def forward(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor, mode: str = 'loss'):
        """In mode `loss`, a dict of losses and diagnostics; in mode `tensor`, tokens (B, T', H', W', D) of the clip."""
        if mode == 'tensor':
            return self.encoder(clip)
        if mode == 'loss':
            return self.loss(pixels, clip, visible, masked)
        raise ValueError(f'{type(self).__name__} has no mode {mode!r}; it has `loss` and `tensor`.')

    def predictions(self, clip: Tensor, visible: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder tokens (B, V, D) and the decoder's predictions for the masked tokens (B, M, E).

        With R masks per clip, (B, R, V) and (B, R, M), each mask is its own sequence: (B*R, V, D), (B*R, M, E).
        """
        tokens = self.encoder.encode(clip, visible)
        return tokens, self.decoder(tokens, visible.flatten(0, -2), masked.flatten(0, -2))

    def targets(self, pixels: Tensor, clip: Tensor, masked: Tensor) -> Tensor:
        """Targets (B, M, E) of the masked tokens (B, M), from one pass of the projector.

        R masks per clip, (B, R, M), share that pass: all tokens are projected once, then picked for each mask,
        (B*R, M, E). SIGMA itself draws one mask per clip.
        """
        if masked.dim() == 2:
            return self.projector(pixels, clip, masked)
        everything = torch.arange(self.encoder.num_tokens, device=masked.device).expand(len(masked), -1)
        features = self.projector(pixels, clip, everything)  # (B, N, E)
        return gather_tokens(features, masked.flatten(1)).reshape(-1, masked.shape[-1], features.shape[-1])

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Losses of one batch; defined by the subclasses."""
        raise NotImplementedError


@MODELS.register_module()
class SIGMA(MaskedVideoModel):
    """Sinkhorn-guided masked video modelling.

    Args:
        encoder, decoder, projector, data_preprocessor: As in `MaskedVideoModel`; the projector is an `MLPProjector` or
            an `ImageProjector`.
        loss: Config of `SinkhornLoss`, or of `FeatureL2` for the ablation. Its `feature_dim` follows from the
            projector.

    Source: Salehi et al., ECCV 2024 (arXiv:2407.15447).
    """

    def __init__(self, encoder: dict, decoder: dict, projector: dict, loss: dict, data_preprocessor=None) -> None:
        super().__init__(encoder, decoder, projector, data_preprocessor)
        self.sinkhorn_loss = MODELS.build({'feature_dim': self.projector.feature_dim} | dict(loss))

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Symmetric cross-entropy of the two branches over the prototypes.

        Args:
            pixels: (B, 3, T, H, W) in [0, 1].
            clip: The same, normalised.
            visible, masked: (B, V) and (B, M) token indices, or (B, R, V) and (B, R, M) with R masks per clip.

        Returns:
            As `SinkhornLoss.forward`. Sinkhorn balances the tokens of all masks together.
        """
        _, predictions = self.predictions(clip, visible, masked)  # (B*R, M, E)
        return self.sinkhorn_loss(predictions, self.targets(pixels, clip, masked))
