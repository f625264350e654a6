"""R(2+1)D-18, the convolutional encoder of SEVERE."""

from torch import Tensor, nn

from sigma.registry import MODELS


@MODELS.register_module()
class R2Plus1D18(nn.Module):
    """torchvision's `r2plus1d_18` without its pooling and classifier; tensors keep torchvision's names.

    A clip of 32 frames of 112 x 112 pixels gives 4 x 7 x 7 tokens of width 512; in general
    (ceil(T / 8), ceil(H / 16), ceil(W / 16)) tokens.

    BatchNorm updates its running statistics in training, as in the published fine-tuning.

    Source: A Closer Look at Spatiotemporal Convolutions (arXiv:1711.11248).
    """

    embed_dims = 512

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.video import r2plus1d_18

        whole = r2plus1d_18(weights=None)
        self.stem = whole.stem
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4

    def forward(self, clip: Tensor) -> Tensor:
        """Normalised clip (B, 3, T, H, W) -> tokens (B, T', H', W', 512)."""
        maps = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clip)))))
        return maps.permute(0, 2, 3, 4, 1)
