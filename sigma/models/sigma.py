"""SIGMA: a video transformer and a projection network learn together through shared prototypes."""

import torch
from mmengine.model import BaseModel
from torch import Tensor

from sigma.models.encoder import VideoViT, gather_tokens
from sigma.registry import MODELS


class MaskedVideoModel(BaseModel):
    """What SIGMA and VideoMAE share: encoder on visible tubelets, decoder for the masked ones, targets for those.

    Args:
        encoder, decoder, projector: Configs. The decoder's `num_tokens`, `in_dims` and `out_dims` follow from the
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
        """Parts are initialised when built; a loaded teacher must not be drawn anew."""

    def forward(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor, mode: str = 'loss'):
        """`loss`: dict of losses and diagnostics. `tensor`: tokens (B, T', H', W', D) of the whole clip."""
        if mode == 'tensor':
            return self.encoder(clip)
        if mode == 'loss':
            return self.loss(pixels, clip, visible, masked)
        raise ValueError(f'{type(self).__name__} was called in mode {mode!r}; it has `loss` and `tensor`.')

    def predictions(self, clip: Tensor, visible: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder tokens (B, V, D) and what the decoder makes of the masked ones, (B, M, E).

        Several masks of a clip, (B, R, V) and (B, R, M), are sequences of their own: (B*R, V, D), (B*R, M, E).
        """
        tokens = self.encoder.encode(clip, visible)
        return tokens, self.decoder(tokens, visible.flatten(0, -2), masked.flatten(0, -2))

    def targets(self, pixels: Tensor, clip: Tensor, masked: Tensor) -> Tensor:
        """What the masked tokens (B, M) are to be predicted as, (B, M, E), from one pass of the projector.

        Several masks of a clip, (B, R, M), share that pass: all tokens are projected once, then taken for each mask,
        (B*R, M, E). A departure from SIGMA, which draws one mask a clip.
        """
        if masked.dim() == 2:
            return self.projector(pixels, clip, masked)
        everything = torch.arange(self.encoder.num_tokens, device=masked.device).expand(len(masked), -1)
        features = self.projector(pixels, clip, everything)  # (B, N, E)
        return gather_tokens(features, masked.flatten(1)).reshape(-1, masked.shape[-1], features.shape[-1])

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Losses of one batch; see the subclasses."""
        raise AssertionError('a subclass says what its loss is')


@MODELS.register_module()
class SIGMA(MaskedVideoModel):
    """Sinkhorn-guided masked video modelling.

    Args:
        encoder, decoder, projector, data_preprocessor: as in `MaskedVideoModel`; the projector is `MLPProjector`
            or `ImageProjector`.
        loss: Config of `SinkhornLoss`, or of `FeatureL2` for the ablation; its `feature_dim` follows from the
            projector.

    Source: Salehi et al., ECCV 2024 (arXiv:2407.15447).
    """

    def __init__(self, encoder: dict, decoder: dict, projector: dict, loss: dict, data_preprocessor=None) -> None:
        super().__init__(encoder, decoder, projector, data_preprocessor)
        self.sinkhorn_loss = MODELS.build({'feature_dim': self.projector.feature_dim} | dict(loss))

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Symmetric cross-entropy of the two branches over the prototypes.

        Args:
            pixels: (B, 3, T, H, W) in [0, 1].    clip: the same, normalised.
            visible: (B, V) and masked: (B, M) token indices, or (B, R, V) and (B, R, M) of R masks a clip.

        Returns:
            As `SinkhornLoss.forward`; Sinkhorn balances the tokens of all masks together.
        """
        _, predictions = self.predictions(clip, visible, masked)  # (B*R, M, E)
        return self.sinkhorn_loss(predictions, self.targets(pixels, clip, masked))
