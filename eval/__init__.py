"""Measure video encoders: `from eval import Clip, measure`.

Both load when they are first asked for, so that `eval.records` needs the standard library alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.matrix.measure import Clip, measure

__all__ = ['Clip', 'measure']


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module

    return getattr(import_module('eval.matrix.measure'), name)
