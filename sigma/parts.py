"""The arguments of a class as settings, read from its source: names, types, defaults, sentences of its docstring.

So a config that names a class (`dict(type='sigma.VideoViT', arch='base')`) is checked without importing torch.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sigma.errors import nearest
from sigma.settings import REQUIRED, Setting, Settings

ROOT = Path(__file__).resolve().parents[1]

# Where the classes of a scope lie that a card may name as a model: package, folder in it.
_SCOPES = {'sigma': ('sigma', 'models'), 'eval': ('eval', 'models'), 'mmaction': ('mmaction', 'models')}
_PLAIN = {'int': int, 'float': float, 'bool': bool, 'str': str, 'dict': dict}


@functools.cache
def arguments(module: str, name: str, without: tuple[str, ...] = ()) -> Settings:
    """Arguments of a class of this project, such as `arguments('eval.models.actionformer', 'ActionFormer')`.

    Args:
        module, name: Of the class.
        without: Arguments that a config does not give.

    Raises:
        ValueError: if the class is not there, or takes `**kwargs`.
    """
    found = _arguments(ROOT.joinpath(*module.split('.')).with_suffix('.py'), name)
    if found is None:
        raise ValueError(f'{module}.{name} is not there, or does not say which arguments it takes')
    return found.without(*without)


class Part:
    """A dict that names a registered model class under `type`, with the arguments of that class.

    The names of the arguments are checked, and their types where the class is one of ours. Classes of scopes other than
    `sigma`, `eval` and `mmaction` are not looked at, nor are those that take any argument.

    Args:
        given: Arguments that the code adds.
    """

    told = 'dict with type'

    def __init__(self, *given: str) -> None:
        self._given = given

    def problems(self, value: dict, path: str) -> Iterator[str]:
        """A clause for each unknown class or argument."""
        kind = value.get('type')
        if not isinstance(kind, str):
            yield f'{path}.type is {kind!r}; it must be the name of a class with its scope, such as sigma.VideoViT'
            return
        scope, dot, name = kind.rpartition('.')
        if scope not in _SCOPES:
            return
        known = _classes(scope)
        if name not in known:
            guess = nearest(name, known)
            yield f'{path}.type is {kind!r}, which is not there' + (f'; did you mean {scope}.{guess}?' if guess else '')
            return
        settings = _arguments(known[name], name)
        if settings is None:
            return
        values = {key: one for key, one in value.items() if key not in ('type', 'init_cfg', '_scope_')}
        lacking = settings.without(*(key for key in self._given if key not in values))
        yield from lacking.problems(values, f'{path}.')
        for key, one in values.items():
            if isinstance(one, dict) and 'type' in one and key == 'backbone':
                yield from Part().problems(one, f'{path}.{key}')


@functools.cache
def _classes(scope: str) -> dict[str, Path]:
    """File of every class of a scope's models, by name; files are searched, not imported."""
    package, folder = _SCOPES[scope]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return {}
    found: dict[str, Path] = {}
    for path in sorted((Path(spec.origin).parent / folder).rglob('*.py')):
        for name in re.findall(r'^class (\w+)', path.read_text(encoding='utf-8'), re.MULTILINE):
            found.setdefault(name, path)
    return found


@functools.cache
def _arguments(path: Path, name: str) -> Settings | None:
    """Arguments of a class; None if it takes any, or they are not to be found."""
    classes = {node.name: node for node in _tree(path).body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        return None
    node = classes[name]
    own = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == '__init__']
    bases = [base.id if isinstance(base, ast.Name) else getattr(base, 'attr', '') for base in node.bases]
    if not own:
        inherited = [base for base in bases if base in classes]
        return _arguments(path, inherited[0]) if inherited else None
    kwargs = own[0].args.kwarg
    if kwargs is not None and any(isinstance(n, ast.Name) and n.id == kwargs.arg for n in ast.walk(own[0])):
        return None  # it hands them on; where nothing reads them, they are ignored without a word
    typed = path.is_relative_to(ROOT)  # those of others may be wrong: mmaction2 has `use_mean_pooling: int = True`
    found = tuple(_settings(own[0].args, _sentences(node, own[0]), typed))
    return Settings(found, told=f'dict of arguments of {name}')


def _settings(found: ast.arguments, sentences: dict[str, str], typed: bool) -> Iterator[Setting]:
    plain = [*found.posonlyargs, *found.args][1:]  # without self
    defaults = [None] * (len(plain) - len(found.defaults)) + list(found.defaults)
    pairs = [*zip(plain, defaults[-len(plain) :] if plain else []), *zip(found.kwonlyargs, found.kw_defaults)]
    for one, default in pairs:
        kinds = _kinds(one.annotation) if typed else (object,)
        if isinstance(default, ast.Constant) and isinstance(default.value, bool):
            kinds = (bool,)  # mmaction2 annotates a switch as int
        none = type(None) in kinds
        kinds = tuple(kind for kind in kinds if kind is not type(None))
        yield Setting(
            one.arg,
            kinds[0] if len(kinds) == 1 else kinds or object,
            sentences.get(one.arg, ''),
            REQUIRED if default is None else _literal(default),
            none=none or object in kinds,
        )


def _kinds(annotation: ast.expr | None) -> tuple:
    """Kinds of an annotation: `int | None` -> (int, NoneType); what is not understood is `object`."""
    if isinstance(annotation, ast.BinOp):
        return _kinds(annotation.left) + _kinds(annotation.right)
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return (type(None),)
    if isinstance(annotation, ast.Name) and annotation.id in _PLAIN:
        return (_PLAIN[annotation.id],)
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        if annotation.value.id in ('Sequence', 'list', 'tuple'):
            items = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            inner = _kinds(items[0])
            if len(inner) == 1:
                return ([inner[0]],)
        if annotation.value.id == 'dict':
            return (dict,)
    return (object,)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _sentences(node: ast.ClassDef, function: ast.FunctionDef) -> dict[str, str]:
    """First sentence of what the docstring says under `Args` of each argument."""
    text = ast.get_docstring(node) or ''
    if 'Args:' not in text:
        text = ast.get_docstring(function) or ''
    block = text.partition('Args:\n')[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in block.splitlines():
        if line and not line.startswith(' '):
            break
        head = re.match(r' {4}([\w, ]+?)(?: \([^)]*\))?: (.*)', line)
        if head:
            names = [name.strip() for name in head[1].split(',')]
            found |= dict.fromkeys(names, head[2].strip())
        elif line.strip():
            found |= {name: f'{found[name]} {line.strip()}' for name in names}
        else:
            names = []
    return {name: re.split(r'(?<=\.) ', sentence)[0] for name, sentence in found.items()}


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))
