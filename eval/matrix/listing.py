"""What `run_severe.py --list KIND` prints: each name with the first sentence of its docstring.

Files are parsed but not run, so a listing is fast; corruptions alone are imported, since they register themselves. With
`--verbose`, the lists of recipes, datasets and encoders end with the keys of such a card.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sigma.configs import CONFIG_ROOT, first_sentence, walk_sentences
from sigma.errors import DataError, did_you_mean
from sigma.settings import Settings
from sigma.text import align

EVAL = Path(__file__).resolve().parents[1]


def listing(kind: str, verbose: bool = False) -> str:
    """Aligned lines, one per name.

    Args:
        kind: One of `KINDS`.
        verbose: Also list the keys of such a card with type, range, default and sentence.

    Raises:
        DataError: if there is no such kind (with the nearest), a file is not Python, or `verbose` is asked for where
            cards have no declared keys.
    """
    if kind not in KINDS:
        raise DataError(did_you_mean('list', kind, KINDS))
    if verbose and kind not in KEYS:
        raise DataError(f'--verbose lists the keys of {", ".join(KEYS)}; {kind} have none.')
    found = KINDS[kind]()
    width = max(map(len, found), default=0)
    lines = [f'{name:<{width}}  {sentence}'.rstrip() for name, sentence in found.items()]
    for title, settings in KEYS[kind]() if verbose else ():
        lines += ['', f'{title}:', *('  ' + line for line in align(list(settings.rows())).splitlines())]
    return '\n'.join(lines)


def _cards(kind: str) -> Callable[[], dict[str, str]]:
    return lambda: dict(walk_sentences(CONFIG_ROOT / kind))


def _suites() -> dict[str, str]:
    """Suite cards, and suites that modules given to `--import` have added."""
    from eval.matrix.suites import SUITES

    added = dict.fromkeys(SUITES, 'Added by --import.')
    return added | _cards('suites')()


def _protocols() -> dict[str, str]:
    """Every protocol, also those of modules given to `--import`."""
    from eval.protocols import imported_protocols
    from eval.protocols.declared import declared_protocols

    found = {name: protocol.sentence() for name, protocol in imported_protocols().items()}
    return dict(sorted((found | {one.name: one.sentence for one in declared_protocols().values()}).items()))


def _corruptions() -> dict[str, str]:
    from eval.corruptions import CORRUPTIONS

    return {name: first_sentence(entry.function.__doc__) for name, entry in sorted(CORRUPTIONS.items())}


def recipe_keys() -> list[tuple[str, Settings]]:
    """(protocols, keys of their recipes), each set of keys once."""
    from eval.protocols.declared import declared_protocols

    groups: dict[int, tuple[list[str], Settings]] = {}
    for one in declared_protocols().values():
        groups.setdefault(id(one.settings), ([], one.settings))[0].append(one.name)
    return [(f'Keys of a recipe of {", ".join(names)}', settings) for names, settings in groups.values()]


def _card_keys(kind: str, section: str) -> Callable[[], list[tuple[str, Settings]]]:
    def found() -> list[tuple[str, Settings]]:
        from sigma.data.declared import SECTIONS

        return [(f'Keys of `{section}` in a card of {kind}', SECTIONS[section])]

    return found


def _figures() -> dict[str, str]:
    from eval.report.figures import all_figures

    return all_figures()


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
    'figures': _figures,
}
KEYS: dict[str, Callable[[], list[tuple[str, Settings]]]] = {
    'recipes': recipe_keys,
    'datasets': _card_keys('datasets', 'dataset_info'),
    'encoders': _card_keys('encoders', 'encoder'),
}
