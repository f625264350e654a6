"""The arrows of DESIGN.md, drawn from the code."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What every room may import.
BASE = {
    *('sigma.architectures', 'sigma.errors', 'sigma.files', 'sigma.configs', 'sigma.parts', 'sigma.registry'),
    *('sigma.settings', 'sigma.text', 'sigma.video'),
}
# room: rooms of ours that it may import, besides itself and BASE
ALLOWED = {
    'sigma.architectures': set(),
    'sigma.errors': set(),
    'sigma.files': set(),
    'sigma.configs': set(),
    'sigma.settings': set(),
    'sigma.parts': set(),
    'sigma.processes': set(),
    'sigma.claims': set(),
    'sigma.positions': set(),
    'sigma.revision': set(),
    'sigma.mending': {'sigma.compat'},
    'sigma.video': set(),
    'sigma.losses': set(),
    'sigma.data': {'sigma.compat', 'sigma.processes'},
    'sigma.datasets': {'sigma.processes', 'sigma.data'},
    'sigma.checkpoints': {'sigma.positions'},
    'sigma.models': {'sigma.compat', 'sigma.losses', 'sigma.data', 'sigma.checkpoints', 'sigma.positions'},
    'sigma.engine': {
        *('sigma.compat', 'sigma.checkpoints', 'sigma.models', 'sigma.data', 'sigma.losses', 'sigma.revision'),
        *('sigma.processes', 'sigma.flops'),
    },
    'eval.records': set(),
    'eval.metrics': {'eval.records'},
    'eval.settings': {'eval.features', 'sigma'},
    'eval.report': {'eval.records', 'eval.metrics', 'eval.corruptions', 'sigma.__version__'},
    'eval.cells': {'eval.records', 'sigma'},
    'eval.models': {'eval.registry', 'eval.metrics', 'sigma'},
    'eval.probes': set(),
    'eval.features': {'eval.records', 'eval.registry', 'eval.cells', 'sigma'},
    'eval.corruptions': {'eval.records', 'eval.features', 'eval.cells', 'sigma'},
    'eval.protocols': {
        *('eval.records', 'eval.metrics', 'eval.features', 'eval.models', 'eval.corruptions', 'eval.cells'),
        *('eval.probes', 'eval.registry', 'eval.settings', 'sigma'),
    },
    'eval.matrix': {
        *('eval.records', 'eval.cells', 'eval.protocols', 'eval.corruptions', 'eval.models', 'eval.report'),
        *('eval.registry', 'eval.run_cell', 'sigma'),
    },
}


def imports_of(path: Path) -> set[str]:
    """Modules of ours that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module in ('sigma', 'eval')  # `from sigma import compat` names a module
            found |= {f'{node.module}.{alias.name}' for alias in node.names} if whole else {node.module}
    return {name for name in found if name.split('.')[0] in ('sigma', 'eval', 'tools')}


def files_of(room: str) -> list[Path]:
    base = ROOT / room.replace('.', '/')
    return sorted(base.rglob('*.py')) if base.is_dir() else [base.with_suffix('.py')]


@pytest.mark.parametrize('room', ALLOWED)
def test_room_imports_only_what_the_design_allows(room):
    for path in files_of(room):
        for name in imports_of(path):
            inside = name == room or name.startswith(f'{room}.')
            allowed = any(name == a or name.startswith(f'{a}.') for a in ALLOWED[room] | BASE)
            assert inside or allowed, f'{path.relative_to(ROOT)} imports {name}'


def test_losses_and_checkpoints_register_nothing():
    for room in ('sigma.losses', 'sigma.checkpoints', 'sigma.positions'):
        for path in files_of(room):
            assert 'sigma.registry' not in imports_of(path), path


def test_no_circle_in_sigma():
    """Imports in functions count too. A package stands for its `__init__` alone: its modules may import each other."""
    modules = {}
    for path in (ROOT / 'sigma').rglob('*.py'):
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
        modules[name] = imports_of(path) | {
            f'{base}.{alias}' for base, alias in names_from(path) if f'{base}.{alias}' != name
        }
    # sigma/__init__ names its parts for type checkers and imports them on first use.
    graph = {name: sorted(found & set(modules) - {name, 'sigma'}) for name, found in modules.items() if name != 'sigma'}
    assert circle_in(graph) == []


def test_a_circle_would_be_found():
    assert circle_in({'a': ['b'], 'b': ['c'], 'c': ['a'], 'd': ['a']}) == ['a', 'b', 'c', 'a']
    assert circle_in({'a': ['b', 'c'], 'b': ['c'], 'c': []}) == []


def names_from(path: Path) -> set[tuple[str, str]]:
    """(module, name) of every `from module import name`; the name may be a module itself."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.module]
    return {(node.module, alias.name) for node in nodes for alias in node.names}


def circle_in(graph: dict[str, list[str]]) -> list[str]:
    """The first circle of a graph, as a path that ends where it began; empty if there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in graph[node]:
            if found := visit(other, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in graph if (found := visit(node, []))), [])


def test_sigma_never_imports_eval():
    for path in (ROOT / 'sigma').rglob('*.py'):
        assert not [n for n in imports_of(path) if n.split('.')[0] in ('eval', 'tools')], path


def test_configs_import_nothing():
    for path in (ROOT / 'mmaction_configs').rglob('*.py'):
        text = path.read_text().replace('{{', '"').replace('}}', '"')
        assert 'import ' not in '\n'.join(line for line in text.splitlines() if line.startswith(('import', 'from'))), (
            path
        )


def test_no_file_bears_the_name_of_a_standard_module():
    for folder in ('eval', 'tools'):
        names = {p.stem for p in (ROOT / folder).glob('*.py')} - {'__init__'}
        assert not names & set(sys.stdlib_module_names)


def test_records_need_the_standard_library_alone():
    code = (
        'import sys; import eval.records; '
        'print([m for m in ("numpy", "torch", "mmengine", "pandas") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.slow
def test_a_protocol_does_not_wait_for_the_imports_of_the_others():
    code = (
        "import sys; from eval.protocols import get_protocol; get_protocol('multi_label'); "
        "print(sorted(m for m in sys.modules if m in ('sklearn', 'eval.protocols.frozen', 'eval.protocols.finetune')))"
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['eval.protocols.finetune']"


# --- all arrows between modules: no circle, and not many between the rooms of eval -----

MOST_ARROWS = 40


def modules(root: Path) -> dict[str, Path]:
    """Name -> file of every module of ours."""
    found = {}
    for path in sorted(path for top in ('sigma', 'eval', 'tools') for path in (root / top).rglob('*.py')):
        parts = path.relative_to(root).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node below, including functions, but not those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING'):
            children: list[ast.AST] = list(node.orelse)
        else:
            children = [node]
        for child in children:
            yield child
            yield from nodes_that_run(child)


def arrows(found: dict[str, Path]) -> dict[str, set[str]]:
    """Module -> those of the given modules that it imports anywhere.

    A package that Python runs on the way to one of its modules is no arrow.
    """
    drawn = {}
    for name, path in found.items():
        named = set()
        package = name if path.name == '__init__.py' else name.rpartition('.')[0]
        for node in nodes_that_run(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
                base = '.'.join([*above, *filter(None, [node.module])])
                # `from eval.matrix.executors import forks` names a module, `from eval.records import Record` a class.
                whole = {f'{base}.{alias.name}' for alias in node.names}
                named |= {one if one in found else base for one in whole}
        drawn[name] = (named & set(found)) - {name}
    return drawn


def circle(drawn: dict[str, set[str]]) -> list[str]:
    """Modules of one circle, each imported by the next; empty where there is none."""
    try:
        graphlib.TopologicalSorter(drawn).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_two_modules_import_each_other_even_through_others():
    assert not circle(arrows(modules(ROOT)))


def test_few_arrows_between_the_rooms_of_eval():
    def room(module: str) -> str:
        return '.'.join(module.split('.')[:2])

    drawn = {(room(a), room(b)) for a, others in arrows(modules(ROOT)).items() for b in others}
    between = sorted((a, b) for a, b in drawn if a != b and a.startswith('eval.') and b.startswith('eval.'))
    print(f'{len(between)} arrows between the rooms of eval (at most {MOST_ARROWS}):')
    print('\n'.join(f'  {a} -> {b}' for a, b in between))
    assert len(between) <= MOST_ARROWS


@pytest.mark.parametrize(
    ('last', 'expected'),
    [
        ('def late():\n    from eval import a\n', {'eval.a', 'eval.b', 'eval.c'}),
        ('def late():\n    from .a import x\n', {'eval.a', 'eval.b', 'eval.c'}),
        ('from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import eval.a\n', set()),
        ('import eval\n', set()),  # the package itself imports none of them
    ],
)
def test_a_circle_is_found_wherever_the_import_stands(tmp_path, last, expected):
    texts = {'__init__': '', 'a': 'from eval.b import x\n', 'b': 'import eval.c\n', 'c': last}
    (tmp_path / 'eval').mkdir()
    for name, text in texts.items():
        (tmp_path / 'eval' / f'{name}.py').write_text(text)
    assert set(circle(arrows(modules(tmp_path)))) == expected
