"""Protocols, found by walking this folder: every class with a `name` that derives from `Protocol`."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.protocols.base import Protocol
from sigma.errors import DataError, did_you_mean


def load_protocols() -> dict[str, Protocol]:
    """All protocols by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f'{__name__}.{module.name}')
    return _defined()


def import_protocols(modules: Sequence[str]) -> None:
    """Import a user's modules, or files that end in .py, whose protocols (and suites) are then known.

    Raises:
        DataError: if one cannot be imported, or gives a protocol the name of one of ours.
    """
    for name in modules:
        try:
            if name.endswith('.py'):
                _import_file(Path(name))
            else:
                importlib.import_module(name)
        except Exception as error:  # whatever a user's file does
            raise DataError(f'--import {name}: cannot be imported: {type(error).__name__}: {error}') from error
    ours = '\n'.join(path.read_text() for path in Path(__path__[0]).glob('*.py'))
    for name, protocol in _defined().items():
        if not type(protocol).__module__.startswith(f'{__name__}.') and f"name = '{name}'" in ours:
            raise DataError(
                f'The protocol {name!r} of {type(protocol).__module__} has the name of one of ours; rename it.'
            )


def _import_file(path: Path) -> None:
    name = f'imported_{path.stem}'
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _defined() -> dict[str, Protocol]:
    return {cls.name: cls() for cls in _descendants(Protocol) if cls.name}


def get_protocol(name: str) -> Protocol:
    """A protocol by name; it does not wait for the imports of the others, where a file here says its name.

    Raises:
        DataError: with the nearest name.
    """
    protocols = _defined()
    if name not in protocols:
        for path in sorted(Path(__path__[0]).glob('*.py')):
            if f"    name = '{name}'\n" in path.read_text():
                importlib.import_module(f'{__name__}.{path.stem}')
        protocols = _defined()
    if name not in protocols:
        protocols = load_protocols()
    if name not in protocols:
        raise DataError(did_you_mean('protocol', name, protocols))
    return protocols[name]


def _descendants(cls: type) -> list[type]:
    return [d for child in cls.__subclasses__() for d in [child, *_descendants(child)]]
