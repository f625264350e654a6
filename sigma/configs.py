"""Config files: where they are, how to find one by name, and a light reader for plain ones.

MMEngine's `Config.fromfile` takes seconds to import, since it brings torch. Suite cards, listings and the report need
neither, so `read_plain` reads files that only assign values: dicts, lists, strings, numbers and comprehensions, with
`_base_`. Cards that name modules or need MMEngine's whole language go through `sigma.data.cards.read_card`.

Needs only the standard library.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sigma.errors import DataError, did_you_mean
from sigma.text import shell_join

CONFIG_ROOT = Path(__file__).resolve().parents[1] / 'mmaction_configs'

# What a plain file may call. There is no `open` and no `__import__`.
_BUILTINS = {
    function.__name__: function
    for function in (
        *(dict, list, tuple, set, frozenset, str, int, float, bool),
        *(range, zip, enumerate, sorted, reversed, len, min, max, sum, abs, round, any, all),
    )
}
_TEMPLATE = re.compile(r'\{\{\s*(\$?[\w.]+)(?::([^}]*))?\s*\}\}')


def card_names(kind: str) -> list[str]:
    """Names of the cards of a kind (a folder under `mmaction_configs`, such as `suites`), sorted."""
    return sorted(path.stem for path in (CONFIG_ROOT / kind).glob('*.py'))


def with_limit(dataset: str, limit: int | None) -> str:
    """The reference to a dataset of which only some videos are used: `toy` and 20 give `toy#limit=20`."""
    return dataset if limit is None else f'{split_limit(dataset)[0]}#limit={limit}'


def split_limit(dataset: str) -> tuple[str, int | None]:
    """Name and limit of a dataset's reference: `toy#limit=20` gives (`toy`, 20), and `toy` gives (`toy`, None)."""
    found = re.fullmatch(r'(.+)#limit=(\d+)', str(dataset), re.DOTALL)
    return (found[1], int(found[2])) if found else (str(dataset), None)


def find_card(kind: str, name: str) -> Path:
    """Path of a card.

    Args:
        kind: Folder under `mmaction_configs`: `datasets`, `encoders`, `recipes`, `suites`.
        name: File name without `.py`, or the path of a file. For datasets also a folder that `tools/prepare.py` wrote.

    Raises:
        DataError: naming the nearest known name.
    """
    if kind == 'datasets':
        name, _ = split_limit(name)
    path, one = Path(name), kind.removesuffix('s')
    if path.suffix == '.py' and path.is_file():
        return path.resolve()
    if kind == 'datasets' and (path / 'dataset.py').is_file():
        return (path / 'dataset.py').resolve()
    known = card_names(kind)
    if str(name) in known:
        return CONFIG_ROOT / kind / f'{name}.py'
    if len(path.parts) > 1 or path.suffix == '.py' or kind == 'datasets' and path.is_dir():
        found = 'holds no dataset.py' if path.is_dir() else 'does not exist'
        makes = f'tools/prepare.py folder VIDEOS --out {shell_join([str(path.absolute())])}'
        advice = f'; {makes} makes one of your videos' if kind == 'datasets' else ''
        raise DataError(f'The {one} {str(name)!r} {found}{advice}.')
    raise DataError(f'{did_you_mean(one, str(name), known)}; or give the path of a card.')


def own_recipe(dataset: str, protocol: str) -> str | None:
    """The recipe that a dataset's card names for a protocol under `recipes`; None if it names none, or is not there."""
    return own_recipes(dataset).get(protocol)


def own_recipes(dataset: str) -> dict[str, str]:
    """protocol -> recipe, as a dataset's card says under `recipes`; empty if it says nothing, or is not there.

    Args:
        dataset: Name, path or folder, as in `find_card`.

    Raises:
        DataError: if `recipes` is no dict of names.
    """
    try:
        path = find_card('datasets', dataset)
    except DataError:
        return {}  # whoever reads the card says what is missing
    recipes = read_plain(path).get('recipes', {})
    if not isinstance(recipes, dict) or not all(isinstance(recipe, str) for recipe in recipes.values()):
        raise DataError(f'{path}: `recipes` is {recipes!r}; write dict(PROTOCOL=RECIPE), such as dict(finetune=...).')
    return recipes


def sentence_of(path: str | Path) -> str:
    """First sentence of a file's docstring on one line; empty if it has none. Nothing is run.

    Raises:
        DataError: if the file is not Python.
    """
    return first_sentence(ast.get_docstring(_parse(Path(path), _read(Path(path)))))


def first_sentence(docstring: str | None) -> str:
    """First line of a docstring, and the lines after it if the first does not end a sentence."""
    words = ' '.join((docstring or '').strip().partition('\n\n')[0].split())
    first = (docstring or '').strip().partition('\n')[0].strip()
    if first.endswith(('.', ':')) or first == words:
        return first
    end = re.search(r'\.(?= [A-Z`(]|$)', words)
    return words[: end.end()] if end else words


def read_plain(path: str | Path) -> dict[str, Any]:
    """Names that a plain config file assigns, merged over its `_base_`; names with a leading underscore are left out.

    `_base_` merges as in MMEngine: dicts merge key by key, anything else is replaced, and `_delete_=True` in a dict
    drops what the base had. `{{_base_.name}}`, `{{$VARIABLE:default}}` and `{{fileDirname}}` are filled in.

    Raises:
        DataError: if the file is missing, is not Python, imports something, or fails when it runs.
    """
    return _values(Path(path).resolve(), ())


def _values(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path in above:
        raise DataError(f'{path} is its own _base_, through {above[-1].name}.')
    text = _read(path)
    names = _bases(_parse(path, _without_templates(text)), path)
    base: dict[str, Any] = {}
    for name in names:
        more = _values((path.parent / name).resolve(), (*above, path))
        if twice := sorted(base.keys() & more.keys()):
            raise DataError(f'{path}: two of its _base_ files set {", ".join(twice)}; only one may.')
        base |= more
    tree = _parse(path, _filled_in(text, path, base))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            raise DataError(f'{path}, line {node.lineno}: a card imports nothing; it only assigns values.')
    namespace: dict[str, Any] = {'__builtins__': _BUILTINS}
    try:
        exec(compile(tree, str(path), 'exec'), namespace)
    except Exception as error:  # a user's file may raise anything
        raise DataError(f'{path} cannot be read as a card: {type(error).__name__}: {error}.') from None
    own = {name: value for name, value in namespace.items() if not name.startswith('_')}
    return merged(base, own)


def check_top_level(path: str | Path, assigned: Iterable[str], known: Sequence[str] | None) -> None:
    """Check what a card assigns; names that begin with an underscore are the author's own.

    Raises:
        DataError: naming the first unknown one, and the nearest known one. `known` None checks nothing.
    """
    if known is None:
        return
    for name in assigned:
        if not name.startswith('_') and name not in known:
            raise DataError(
                f'{path} assigns something that nothing reads. {did_you_mean("variable", name, known)}; begin the name '
                f'with _ if it is a helper of yours.'
            )


def merged(base: dict, changes: dict) -> dict:
    """`base` with `changes` over it, as MMEngine merges `_base_` files."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict):
            value = dict(value)
            keep = not value.pop('_delete_', False) and isinstance(result.get(key), dict)
            value = merged(result[key] if keep else {}, value)
        result[key] = value
    return result


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path} cannot be read: {getattr(error, "strerror", None) or error}.') from None


def _parse(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text, str(path))
    except (SyntaxError, ValueError) as error:
        where = f', line {error.lineno}' if isinstance(error, SyntaxError) else ''
        raise DataError(f'{path}{where}: not valid Python: {getattr(error, "msg", error)}.') from None


def _bases(tree: ast.Module, path: Path) -> list[str]:
    """File names in `_base_`, which must be a literal."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == '_base_' for t in node.targets):
            try:
                found = ast.literal_eval(node.value)
            except ValueError:
                raise DataError(f'{path}, line {node.lineno}: _base_ is a file name or a list of file names.') from None
            return [found] if isinstance(found, str) else list(found)
    return []


def _without_templates(text: str) -> str:
    """The text with every template replaced by a plain name, so that it parses before its bases are read."""
    return _TEMPLATE.sub('_template_', text)


def _filled_in(text: str, path: Path, base: dict[str, Any]) -> str:
    files = {'fileDirname': path.parent.as_posix(), 'fileBasename': path.name, 'fileBasenameNoExtension': path.stem}

    def value_of(found: re.Match) -> str:
        name, default = found.groups()
        if name.startswith('$'):
            value = os.environ.get(name[1:]) or default  # empty counts as not set, or '/toy' would come of it
            if value is None:
                raise DataError(f'{path} needs the environment variable {name[1:]}, which is not set.')
            return value
        return files[name]

    def from_base(found: re.Match) -> str:
        try:
            return repr(_looked_up(base, found[1].removeprefix('_base_.').split('.')))
        except (KeyError, TypeError):
            raise DataError(f'{path} asks for {found[0]}, which its _base_ does not set.') from None

    own = re.compile(r'\{\{\s*(\$\w+|' + '|'.join(files) + r')(?::([^}]*))?\s*\}\}')
    return _TEMPLATE.sub(from_base, fill_templates(text, own, value_of))


def fill_templates(text: str, template: re.Pattern, value_of: Callable[[re.Match], str]) -> str:
    """A config's text with its templates replaced by values, such as the folder of the file.

    Inside a string of the config, quotes, backslashes and line breaks of the value are escaped, so a folder called
    `Anna's videos` stays a string. A template outside a string, such as `{{'$NUM_CLASSES:80'}}`, becomes code as it is.

    Args:
        template: Matches one template.
        value_of: Gives the value of a match.
    """
    matches = list(template.finditer(text))
    marks = [f'_template_{number}_' for number in range(len(matches))]
    try:
        parsed = ast.parse(_replaced(text, matches, marks))
        code = {node.id for node in ast.walk(parsed) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError):  # JSON or YAML, where every template is in a string
        code = set()
    values = [value_of(found) if mark in code else _escaped(value_of(found)) for found, mark in zip(matches, marks)]
    return _replaced(text, matches, values)


def _replaced(text: str, matches: list[re.Match], values: list[str]) -> str:
    parts, end = [], 0
    for found, value in zip(matches, values):
        parts += [text[end : found.start()], value]
        end = found.end()
    return ''.join([*parts, text[end:]])


def _escaped(value: str) -> str:
    """A value as it stands inside a string literal, whatever its quotes; it never looks like a template."""
    text = value.encode('unicode_escape').decode('ascii')
    return text.replace("'", "\\'").replace('"', '\\"').replace('{{', '{\\x7b')


def _looked_up(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values[name]
    return values


def walk_sentences(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, first sentence) of every Python file of a folder, sorted; those that begin with `_` are left out."""
    for path in sorted(folder.glob('*.py')):
        if not path.name.startswith('_'):
            yield path.stem, sentence_of(path)
