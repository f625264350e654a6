"""Protocols, found by file name: a protocol lies in the file with whose name its own begins.

`robustness_ucf-p` is in `robustness.py`, `localization_bmn_external` in `localization_bmn.py`: the longest file name
counts. So looking one up imports its file and no other, and a new protocol is one new file.
"""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.protocols.base import Protocol
from sigma.errors import DataError, did_you_mean


def get_protocol(name: str) -> Protocol:
    """A protocol by name. Imports only the file that defines it.

    Raises:
        DataError: if there is none, with the nearest name.
    """
    if (found := imported_protocols().get(name) or _in_its_file(name)) is None:
        raise DataError(did_you_mean('protocol', name, load_protocols()))
    return found


def load_protocols() -> dict[str, Protocol]:
    """All protocols by name; imports every file of this folder.

    Raises:
        DataError: if one does not lie in the file with whose name its own begins.
    """
    for stem in _files():
        importlib.import_module(f'{__name__}.{stem}')
    found = imported_protocols()
    for name, protocol in found.items():
        home = type(protocol).__module__
        if _is_ours(protocol) and _in_its_file(name) is None:
            raise DataError(
                f'The protocol {name!r} is defined in {home}; its name must begin with that of its file, '
                f'such as {home.rpartition(".")[2]}_{name}.'
            )
    return found


def import_protocols(modules: Sequence[str]) -> None:
    """Import a user's modules, or files that end in .py; their protocols (and suites) are then known.

    Raises:
        DataError: if one cannot be imported, or a protocol in it has the name of one of ours.
    """
    for name in modules:
        try:
            if name.endswith('.py'):
                _import_file(Path(name))
            else:
                importlib.import_module(name)
        except Exception as error:  # whatever a user's file does
            raise DataError(f'--import {name}: cannot be imported: {type(error).__name__}: {error}') from error
    for protocol in _instances():
        if not _is_ours(protocol) and _in_its_file(protocol.name) is not None:
            raise DataError(
                f'The protocol {protocol.name!r} of {type(protocol).__module__} has the name of one of ours; rename it.'
            )


def _import_file(path: Path) -> None:
    name = f'imported_{path.stem}'
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # it ends in .py
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _files() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _in_its_file(name: str) -> Protocol | None:
    """The protocol of this folder with this name, from the file with the longest name that begins it; or None."""
    for stem in sorted(_files(), key=len, reverse=True):
        if name == stem or name.startswith(f'{stem}_'):
            module = f'{__name__}.{stem}'
            importlib.import_module(module)
            for protocol in _instances():
                if protocol.name == name and type(protocol).__module__ == module:
                    return protocol
    return None


def imported_protocols() -> dict[str, Protocol]:
    """By name, what was imported so far: those of users, and ours where something needed them."""
    return {protocol.name: protocol for protocol in _instances()}


def _instances() -> Iterator[Protocol]:
    """One instance for each class with a name, several for a class with instances."""
    for cls in _descendants(Protocol):
        own = vars(cls)
        if own.get('instances'):
            yield from (cls(*arguments) for arguments in cls.instances.values())
        elif own.get('name'):
            yield cls()


def _is_ours(protocol: Protocol) -> bool:
    return type(protocol).__module__.startswith(f'{__name__}.')


def _descendants(cls: type[Protocol]) -> list[type[Protocol]]:
    return [d for child in cls.__subclasses__() for d in [child, *_descendants(child)]]
