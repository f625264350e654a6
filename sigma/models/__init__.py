"""Models. Registers everything that a config may name as a model: `sigma.VideoViT`, `sigma.SinkhornLoss`, ..."""

from sigma import compat

compat.apply()  # before timm, which imports torchvision

from sigma.losses import FeatureL2, SinkhornLoss  # noqa: E402
from sigma.models.adapters import FeatureMapTokens  # noqa: E402
from sigma.models.decoder import MaskedDecoder  # noqa: E402
from sigma.models.encoder import VideoViT  # noqa: E402
from sigma.models.image_frames import ImageFrames  # noqa: E402
from sigma.models.pixels import GrayPixels  # noqa: E402
from sigma.models.preprocessor import ClipPreprocessor  # noqa: E402
from sigma.models.pretrained import load_encoder  # noqa: E402
from sigma.models.projector import ImageProjector, MLPProjector, PixelTargets  # noqa: E402
from sigma.models.r2plus1d import R2Plus1D18  # noqa: E402
from sigma.models.sigma import SIGMA  # noqa: E402
from sigma.models.videomae import VideoMAE  # noqa: E402
from sigma.registry import MODELS  # noqa: E402

# Here, because sigma.losses needs only torch.
for _loss in (SinkhornLoss, FeatureL2):
    MODELS.register_module(module=_loss)

__all__ = [
    'SIGMA',
    'ClipPreprocessor',
    'FeatureMapTokens',
    'GrayPixels',
    'ImageFrames',
    'ImageProjector',
    'MLPProjector',
    'MaskedDecoder',
    'PixelTargets',
    'R2Plus1D18',
    'VideoMAE',
    'VideoViT',
    'load_encoder',
]
