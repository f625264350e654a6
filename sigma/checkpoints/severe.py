"""The R(2+1)D-18 of the self-supervised methods that SEVERE measures, under their own names.

    torchvision, Supervised      stem.0.weight, layer1.0.conv1.0.0.weight, ...
    GDT                          video_network.base.
    RSPNet                       encoder_q.encoder.base_network.{0 for stem, 1 to 4}.
    Pretext-Contrast             module.base_network.{0 for stem, 1 to 4}.
    MoCo, VideoMoCo              module.encoder_q.
    SeLaVi                       module.video_network.base.
    AVID-CMA                     module.video_model.
    CtP, Tubelet-Contrast        backbone.stem.conv_s, backbone.layer1.0.conv1.conv_s, ... (mmaction2's ResNet2Plus1d)

TCLR is another network, with a dilated last stage, and is refused.

Source: SEVERE-BENCHMARK (arXiv:2203.14221), `backbones.py`, whose loaders these renames follow.
"""

import re

from torch import Tensor

from sigma.checkpoints.names import rename
from sigma.errors import CheckpointError

# The prefix of the video network in each file; the first one found counts. `` stands for torchvision's own names.
_PREFIXES = (
    'module.video_network.base.',
    'video_network.base.',
    'encoder_q.encoder.base_network.',
    'module.base_network.',
    'module.encoder_q.',
    'module.video_model.',
    'module.backbone.',
    'backbone.',
    'module.0.',
    'module.',
    '',
)
_STAGES = ((r'^0\.', 'stem.'), (r'^([1-4])\.', r'layer\1.'))
_MMACTION = (
    (r'^stem\.conv_s\.', 'stem.0.'),
    (r'^stem\.bn_s\.', 'stem.1.'),
    (r'^stem\.conv_t\.', 'stem.3.'),
    (r'^stem\.bn_t\.', 'stem.4.'),
    (r'\.conv([12])\.conv_s\.', r'.conv\1.0.0.'),
    (r'\.conv([12])\.bn_s\.', r'.conv\1.0.1.'),
    (r'\.conv([12])\.conv_t\.', r'.conv\1.0.3.'),
    (r'\.bn([12])\.', r'.conv\1.1.'),
    (r'\.downsample_bn\.', '.downsample.1.'),
    (r'\.downsample\.bn\.', '.downsample.1.'),
    (r'\.downsample\.conv\.', '.downsample.0.'),
    (r'\.downsample\.(?=(weight|bias)$)', '.downsample.0.'),
)
_OURS = re.compile(r'(stem|layer[1-4])\.')


def is_r2plus1d(tensors: dict[str, Tensor]) -> bool:
    """Whether one of the prefixes gives a stem with the spatial convolution of R(2+1)D-18: kernel (45, 3, 1, 7, 7)."""
    return any(
        n.endswith(('stem.0.weight', 'stem.conv_s.weight', 'base_network.0.0.weight')) and t.dim() == 5
        for n, t in tensors.items()
    )


def from_severe(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Any of these files -> torchvision's names, which our `R2Plus1D18` has; and the names left out.

    Left out are classifiers, momentum encoders, queues and audio networks. Files of another network keep their names.

    Raises:
        CheckpointError: if it is TCLR's network.
    """
    prefix = next((p for p in _PREFIXES if _has_stem(tensors, p)), None)
    if prefix is None:
        return tensors, []
    inside = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    named = {}
    for name, tensor in inside.items():
        plain = name.removeprefix(prefix)
        named[plain] = tensor
    named = rename(rename(named, _STAGES), _MMACTION)
    if 'layer4.0.conv1.0.weight' in named:
        raise CheckpointError(
            "it is TCLR's R(2+1)D, whose last stage has dilated three-dimensional convolutions and four times the time "
            'steps: another network, which is not built here'
        )
    kept = {name: tensor for name, tensor in named.items() if _OURS.match(name) or not prefix}
    sources = dict(zip(named, inside))
    left_out = [name for name in tensors if name not in inside] + [sources[n] for n in named if n not in kept]
    return kept, left_out


def _has_stem(tensors: dict[str, Tensor], prefix: str) -> bool:
    return any(f'{prefix}{stem}.weight' in tensors for stem in ('stem.0', 'stem.conv_s', '0.0'))
