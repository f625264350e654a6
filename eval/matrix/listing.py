"""What `run_severe.py --list KIND` prints: each name with the first sentence of its docstring.

Cards, probes and figures are parsed but not run, so a listing is fast. Protocols and corruptions are imported, since
one file may define several.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sigma.configs import CONFIG_ROOT, first_sentence, walk_sentences
from sigma.errors import DataError, did_you_mean

EVAL = Path(__file__).resolve().parents[1]


def listing(kind: str) -> str:
    """Aligned lines, one per name.

    Raises:
        DataError: if there is no such kind (with the nearest), or a file is not Python.
    """
    if kind not in KINDS:
        raise DataError(did_you_mean('list', kind, KINDS))
    found = KINDS[kind]()
    width = max(map(len, found), default=0)
    return '\n'.join(f'{name:<{width}}  {sentence}'.rstrip() for name, sentence in found.items())


def _cards(kind: str) -> Callable[[], dict[str, str]]:
    return lambda: dict(walk_sentences(CONFIG_ROOT / kind))


def _suites() -> dict[str, str]:
    """Suite cards, and suites that modules given to `--import` have added."""
    from eval.matrix.suites import SUITES

    added = dict.fromkeys(SUITES, 'Added by --import.')
    return added | _cards('suites')()


def _protocols() -> dict[str, str]:
    """Every protocol."""
    from eval.protocols import load_protocols

    return {name: protocol.sentence() for name, protocol in sorted(load_protocols().items())}


def _corruptions() -> dict[str, str]:
    from eval.corruptions import CORRUPTIONS

    return {name: first_sentence(entry.function.__doc__) for name, entry in sorted(CORRUPTIONS.items())}


def _files(folder: str) -> Callable[[], dict[str, str]]:
    return lambda: dict(walk_sentences(EVAL / folder))


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    'suites': _suites,
    'encoders': _cards('encoders'),
    'datasets': _cards('datasets'),
    'recipes': _cards('recipes'),
    'protocols': _protocols,
    'corruptions': _corruptions,
    'probes': _files('probes'),
    'figures': _files('report/figures'),
}
