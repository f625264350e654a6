"""Encoders of other libraries by name: `timm:NAME` is a card that nobody has to write."""

from __future__ import annotations

import difflib
from typing import Any

from sigma.errors import DataError

PREFIX = 'timm:'
MOST_PIXELS = 224  # larger ones cost more than frames of video are worth; positions are resampled


def is_library(card: str) -> bool:
    """Whether a reference names a model of another library instead of a card."""
    return card.startswith(PREFIX)


def timm_info(reference: str) -> dict:
    """Fields of the card of a timm image encoder, run by frame: 8 frames over the span of 16 x 4.

    Its own normalisation and image size count, but at most 224 pixels.

    Args:
        reference: `timm:NAME`.

    Raises:
        DataError: if timm has no such model, with the nearest name.
    """
    timm = _timm()
    name = reference.removeprefix(PREFIX)
    plain, _, tag = name.partition('.')
    if not timm.is_model(plain):
        raise DataError(f'Encoder {reference}: {_nearest(plain, timm.list_models())}')
    if tag and name not in (known := timm.list_pretrained(f'{plain}.*')):
        raise DataError(f'Encoder {reference}: {_nearest(name, known)}')
    settings = timm.models.get_pretrained_cfg(name)
    given = settings.to_dict() if settings is not None else {}
    size = min(MOST_PIXELS, given.get('input_size', (3, MOST_PIXELS, MOST_PIXELS))[-1])
    return {
        'name': name,
        'backbone': {'type': 'sigma.ImageFrames', 'model': name, 'image_size': size},
        'embed_dims': _width(name, size),
        'clip': {'num_frames': 8, 'stride_frames': 8, 'size': size},
        'mean': tuple(round(255 * value, 3) for value in given.get('mean', (0.485, 0.456, 0.406))),
        'std': tuple(round(255 * value, 3) for value in given.get('std', (0.229, 0.224, 0.225))),
        'checkpoint': None,
        'sha256': None,
        'layout': 'own',
        'family': 'vit',
        'pretraining_data': None,
        'source': f'timm, {name}, run by frame',
    }


def _timm() -> Any:
    """The package, imported where torchvision's wheel can be."""
    from sigma import compat

    compat.fix_torchvision()
    import timm

    return timm


def _nearest(name: str, known: list[str]) -> str:
    """The sentence on an unknown name; timm has more than a thousand, so only the nearest are told."""
    timm = _timm()
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    advice = f'did you mean {" or ".join(near)}?' if near else 'timm.list_models() has the names.'
    return f'timm {timm.__version__} has no model {name!r}; {advice}'


def _width(name: str, size: int) -> int:
    """D, without memory for the weights."""
    import torch

    timm = _timm()
    with torch.device('meta'):
        try:
            model: Any = timm.create_model(name, pretrained=False, num_classes=0, img_size=size)
        except TypeError:  # convolutional encoders lack this argument
            model = timm.create_model(name, pretrained=False, num_classes=0)
    return model.num_features
