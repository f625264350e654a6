"""Protocols, found by walking this folder: every class with a `name` that derives from `Protocol`."""

import importlib
import pkgutil

from eval.protocols.base import Protocol
from eval.records import did_you_mean
from sigma.data.index import DataError


def load_protocols() -> dict[str, Protocol]:
    """All protocols by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f'{__name__}.{module.name}')
    return {cls.name: cls() for cls in _descendants(Protocol) if cls.name}


def get_protocol(name: str) -> Protocol:
    """A protocol by name.

    Raises:
        DataError: with the nearest name.
    """
    protocols = load_protocols()
    if name not in protocols:
        raise DataError(did_you_mean('protocol', name, protocols))
    return protocols[name]


def _descendants(cls: type) -> list[type]:
    return [d for child in cls.__subclasses__() for d in [child, *_descendants(child)]]
