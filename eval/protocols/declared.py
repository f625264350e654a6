"""Protocols by what their files say, without running them: names, sentences and the keys of their recipes.

Importing a protocol brings torch and takes seconds; listings, help and a first check of recipes need none of it. A
class of this folder therefore states `name` or `instances`, `told` and `settings` as literals or imported names.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sigma.configs import find_card, first_sentence, read_plain
from sigma.errors import DataError, did_you_mean
from sigma.settings import Settings

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Declared:
    """A protocol as its file declares it.

    Attributes:
        name: As in suites and records.
        sentence: What it measures.
        settings: Keys of its recipes.
        file: Where it is.
    """

    name: str
    sentence: str
    settings: Settings
    file: Path


@functools.cache
def declared_protocols() -> dict[str, Declared]:
    """Every protocol of this folder by name, sorted."""
    found = {one.name: one for path in FOLDER.glob('*.py') for one in _of_file(path)}
    return dict(sorted(found.items()))


def settings_of(protocol: str) -> Settings | None:
    """The keys of a protocol's recipes. Imports no protocol; one of a user must have been imported already.

    Returns:
        None for a protocol of a user that declares none.

    Raises:
        DataError: if there is no such protocol, with the nearest name.
    """
    from eval.protocols import imported_protocols

    if protocol in declared_protocols():
        return declared_protocols()[protocol].settings
    imported = imported_protocols()
    if protocol not in imported:
        raise DataError(did_you_mean('protocol', protocol, {*declared_protocols(), *imported}))
    return imported[protocol].settings


def check_recipe_file(protocol: str, recipe: str) -> None:
    """A first check of the keys of a recipe, which imports neither torch nor MMEngine.

    What cannot be read without them, or is not there, is left to whoever reads it whole.

    Args:
        protocol: Its name.
        recipe: Name or path of a recipe; nothing is checked where it has `{family}`.

    Raises:
        DataError: as `sigma.settings.Settings.check`.
    """
    if protocol not in declared_protocols() or '{' in recipe:
        return
    try:
        found = read_plain(find_card('recipes', recipe))
    except DataError:
        return
    values = found.get('recipe')
    if isinstance(values, dict) and values.get('protocol', protocol) == protocol:
        declared_protocols()[protocol].settings.check(f'Recipe {recipe}', values)


def _of_file(path: Path) -> Iterator[Declared]:
    for name, node in _classes(path).items():
        own = _assigned(node)
        told = _inherited(path, name, 'told')
        sentence = ast.literal_eval(told[1]) if told else first_sentence(ast.get_docstring(node))
        if 'instances' in own:
            instances = ast.literal_eval(own['instances'])
        elif 'name' in own:
            instances = {ast.literal_eval(own['name']): ()}
        else:
            continue
        if not all(instances):
            continue  # the base class, which has no name
        arguments = _constructor(path, name)
        for protocol, values in instances.items():
            words = sentence.format(**dict(zip(arguments, values))) if told else sentence
            yield Declared(protocol, words, _settings(path, name), path)


def _settings(path: Path, name: str) -> Settings:
    found = _inherited(path, name, 'settings')
    where, value = found or (path, None)
    if not isinstance(value, ast.Name):
        raise DataError(f'{path}: the protocol {name} declares no settings; import them from eval/settings.')
    module, imported = _imports(where)[value.id]
    return getattr(importlib.import_module(module), imported)


def _inherited(path: Path, name: str, attribute: str) -> tuple[Path, ast.expr] | None:
    """Where a class, or the nearest of its bases in this folder, assigns an attribute, and the value."""
    node = _classes(path)[name]
    if (value := _assigned(node).get(attribute)) is not None:
        return path, value
    for base in node.bases:
        if not isinstance(base, ast.Name):
            continue
        if base.id in _classes(path):
            found = _inherited(path, base.id, attribute)
        else:
            module, imported = _imports(path).get(base.id, ('', ''))
            file = FOLDER / f'{module.removeprefix("eval.protocols.")}.py'
            found = _inherited(file, imported, attribute) if file.is_file() and imported != 'Protocol' else None
        if found is not None:
            return found
    return None


def _constructor(path: Path, name: str) -> list[str]:
    """Arguments of the constructor of a class, or of its base in the same file."""
    for node in (_classes(path)[one] for one in _ancestry(path, name)):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == '__init__':
                return [argument.arg for argument in part.args.args[1:]]
    return []


def _ancestry(path: Path, name: str) -> list[str]:
    bases = [base.id for base in _classes(path)[name].bases if isinstance(base, ast.Name)]
    return [name, *(one for base in bases if base in _classes(path) for one in _ancestry(path, base))]


def _assigned(node: ast.ClassDef) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for part in node.body:
        if isinstance(part, ast.Assign):
            found |= {target.id: part.value for target in part.targets if isinstance(target, ast.Name)}
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and part.value is not None:
            found[part.target.id] = part.value
    return found


@functools.cache
def _classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _tree(path).body if isinstance(node, ast.ClassDef)}


@functools.cache
def _imports(path: Path) -> dict[str, tuple[str, str]]:
    nodes = [node for node in _tree(path).body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.asname or alias.name: (node.module or '', alias.name) for node in nodes for alias in node.names}


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))
