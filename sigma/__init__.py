"""SIGMA: Sinkhorn-guided masked video modelling.

As a library:

    from sigma import SIGMA, SinkhornLoss, VideoMAE, VideoViT, load_encoder, sinkhorn

Names are imported on first use, so `import sigma` costs nothing. `sinkhorn` and `SinkhornLoss` need only torch; the
models also need timm, MMEngine and mmaction2.

With a CPU build of torch, `import sigma` first also makes `import torchvision` work, and so timm and transformers
(`from transformers import VideoMAEModel`): see `sigma.mending`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sigma.mending import watch

__version__ = '0.1.0'

if TYPE_CHECKING:
    from sigma.losses import SinkhornLoss, sinkhorn
    from sigma.models import SIGMA, VideoMAE, VideoViT, load_encoder

__all__ = ['SIGMA', 'SinkhornLoss', 'VideoMAE', 'VideoViT', 'load_encoder', 'sinkhorn']

_HOMES = {
    'SIGMA': 'sigma.models',
    'SinkhornLoss': 'sigma.losses',
    'VideoMAE': 'sigma.models',
    'VideoViT': 'sigma.models',
    'load_encoder': 'sigma.models',
    'sinkhorn': 'sigma.losses',
}

watch()


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
