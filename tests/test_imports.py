"""The arrows of DESIGN.md, drawn from the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What every room may import.
BASE = {'sigma.errors', 'sigma.files', 'sigma.registry', 'sigma.video'}
# room: rooms of ours that it may import, besides itself and BASE
ALLOWED = {
    'sigma.errors': set(),
    'sigma.files': set(),
    'sigma.processes': set(),
    'sigma.video': set(),
    'sigma.losses': set(),
    'sigma.data': {'sigma.processes'},
    'sigma.datasets': {'sigma.processes', 'sigma.data'},
    'sigma.checkpoints': {'sigma.models'},
    'sigma.models': {'sigma.compat', 'sigma.losses', 'sigma.data', 'sigma.checkpoints'},
    'sigma.engine': {'sigma.compat', 'sigma.checkpoints', 'sigma.models', 'sigma.data', 'sigma.losses'},
    'eval.records': set(),
    'eval.metrics': {'eval.records'},
    'eval.report': {'eval.records', 'eval.metrics', 'eval.corruptions'},
    'eval.cells': {'eval.records', 'sigma'},
    'eval.models': {'eval.registry', 'eval.metrics', 'sigma'},
    'eval.features': {'eval.records', 'eval.registry', 'eval.cells', 'sigma'},
    'eval.corruptions': {'eval.records', 'eval.features', 'eval.cells', 'sigma'},
    'eval.protocols': {
        *('eval.records', 'eval.metrics', 'eval.features', 'eval.models', 'eval.corruptions', 'eval.cells'),
        *('eval.registry', 'eval.report.sweeps', 'sigma'),
    },
    'eval.matrix': {'eval.records', 'eval.cells', 'eval.protocols', 'sigma'},
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
