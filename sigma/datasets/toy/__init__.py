"""The rendered dataset: photographs that move over other photographs, from a seed.

    from sigma.datasets.toy import SETS, ToySpec, render_toy
    render_toy(ToySpec(form='speeds'), 'data/toy_speeds')

`render.py` explains what is drawn and why, `forms.py` the motions of each task, `scenes.py` the pictures, `prepare.py`
writes lists, index and card. OpenCV and PyAV are imported when one of these names is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sigma.datasets.toy.forms import FORMS
    from sigma.datasets.toy.prepare import prepare_sets, prepare_toy
    from sigma.datasets.toy.render import SETS, ToySpec, clip_frames, mover_places
    from sigma.datasets.toy.render import card as toy_card
    from sigma.datasets.toy.render import encode as encode_clip
    from sigma.datasets.toy.render import render as render_toy

__all__ = [
    'FORMS',
    'SETS',
    'ToySpec',
    'clip_frames',
    'encode_clip',
    'mover_places',
    'prepare_sets',
    'prepare_toy',
    'render_toy',
    'toy_card',
]

_PLACES = {
    'FORMS': 'forms',
    'prepare_sets': 'prepare',
    'prepare_toy': 'prepare',
    'encode_clip': 'render.encode',
    'render_toy': 'render.render',
    'toy_card': 'render.card',
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module, _, other = _PLACES.get(name, 'render').partition('.')
    return getattr(importlib.import_module(f'{__name__}.{module}'), other or name)
