"""SIGMA: a video transformer and a projection network learn together through shared prototypes."""

from mmengine.model import BaseModel
from torch import Tensor

from sigma.models.encoder import VideoViT
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

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Losses of one batch; see the subclasses."""
        raise AssertionError('a subclass says what its loss is')


@MODELS.register_module()
class SIGMA(MaskedVideoModel):
    """Sinkhorn-guided masked video modelling.

    Args:
        encoder, decoder, projector, data_preprocessor: as in `MaskedVideoModel`; the projector is `MLPProjector`
            or `ImageProjector`.
        loss: Config of `SinkhornLoss`; its `feature_dim` follows from the projector.

    Source: Salehi et al., ECCV 2024 (arXiv:2407.15447).
    """

    def __init__(self, encoder: dict, decoder: dict, projector: dict, loss: dict, data_preprocessor=None) -> None:
        super().__init__(encoder, decoder, projector, data_preprocessor)
        self.sinkhorn_loss = MODELS.build({'feature_dim': self.projector.feature_dim} | dict(loss))

    def loss(self, pixels: Tensor, clip: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """Symmetric cross-entropy of the two branches over the prototypes.

        Args:
            pixels: (B, 3, T, H, W) in [0, 1].    clip: the same, normalised.
            visible: (B, V) and masked: (B, M) token indices.

        Returns:
            As `SinkhornLoss.forward`.
        """
        tokens = self.encoder.encode(clip, visible)  # (B, V, D)
        predictions = self.decoder(tokens, visible, masked)  # (B, M, E)
        targets = self.projector(pixels, clip, masked)  # (B, M, E)
        return self.sinkhorn_loss(predictions, targets)
