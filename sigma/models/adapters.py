"""Adapters for other backbones: a normalised clip goes in, tokens (B, T', H', W', D) come out."""

from torch import Tensor, nn

from sigma.registry import MODELS


@MODELS.register_module()
class FeatureMapTokens(nn.Module):
    """Turns the feature map (B, D, T', H', W') of any backbone into tokens.

    Args:
        backbone: Config with its scope, for example `mmaction.VisionTransformer` with `return_feat_map=True`, or
            `mmaction.ResNet3d`.
        embed_dims: D; default: the `embed_dims` or `feat_dim` of the backbone.

    Raises:
        ValueError: at the first clip, if the backbone returns anything but a five-dimensional map.
    """

    def __init__(self, backbone: dict, embed_dims: int | None = None) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.embed_dims = embed_dims or getattr(self.backbone, 'embed_dims', None) or self.backbone.feat_dim

    def init_weights(self) -> None:
        """Initialise the backbone by its own method."""
        if hasattr(self.backbone, 'init_weights'):
            self.backbone.init_weights()

    def forward(self, clip: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, T', H', W', D)."""
        maps = self.backbone(clip)
        if not isinstance(maps, Tensor) or maps.dim() != 5:
            found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise ValueError(
                f'{type(self.backbone).__name__} returned {found} for a clip, but FeatureMapTokens needs a feature map '
                "(B, D, T', H', W'). Most backbones return one with return_feat_map=True, or without their pooling."
            )
        return maps.permute(0, 2, 3, 4, 1)
