"""Help, lists and bad arguments of every command are answered without importing anything that takes long."""

import json
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE, ROOT

HEAVY = ('torch', 'mmengine', 'mmcv', 'mmaction', 'matplotlib', 'pandas', 'sklearn', 'skimage', 'scipy.stats', 'timm')
COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for folder in ('eval', 'tools')
    for path in (ROOT / folder).glob('*.py')
    if "if __name__ == '__main__':" in path.read_text()
)
KINDS = ('suites', 'encoders', 'datasets', 'recipes', 'protocols', 'corruptions', 'probes', 'figures')
RUN_SEVERE = 'eval/run_severe.py'
# command -> bad arguments beyond an unknown option, and lists
CALLS = {
    RUN_SEVERE: [
        *([['--list', kind] for kind in KINDS]),
        ['--list', 'suite'],
        ['--suite', 'severe'],
        ['--suite', 'sever', '--encoders', 'vit_b', '--work-dir', 'nowhere'],
        ['--suite', 'severe', '--encoders', 'vit_b', '--work-dir', 'nowhere', '--jobs', '0'],
    ],
    'tools/plot.py': [['--list'], ['--figure', 'bar', '--records', 'nowhere', '--out', 'x'], ['--records', 'x']],
    'tools/records.py': [[], ['merge'], ['merge', 'nowhere', '--out', 'x'], ['merge', '--help'], ['card', 'x']],
    'tools/report.py': [['--records', 'nowhere', '--out', 'x.html']],
    'tools/rescore.py': [['nowhere'], ['nowhere', '--metric', 'top']],
    'tools/train.py': [['nowhere.py'], ['--resume']],
    'tools/prepare.py': [['nothing']],
    'tools/convert.py': [['nowhere.pth', 'x.safetensors', '--from', 'nothing']],
    'tools/benchmark': [['--help'], ['--nonsense'], ['report', '--help'], ['report', '--records', '0']],
}
# Runs the calls one after the other in one process, and prints what each of them had imported by its end.
CODE = """
import contextlib, io, json, runpy, sys
script, calls, heavy = json.loads(sys.argv[1])
for words in calls:
    sys.argv = [script, *words]
    status = 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            runpy.run_path(script, run_name='__main__')
        except SystemExit as exit:
            status = exit.code or 0
    print(json.dumps([words, status, said.getvalue(), [name for name in heavy if name in sys.modules]]))
"""


@pytest.mark.parametrize('script', [*COMMANDS, 'tools/benchmark'])
def test_nothing_heavy_is_imported(script, tmp_path):
    calls = [['--help'], ['--no-such-option'], *CALLS.get(script, [])]
    given = json.dumps([str(ROOT / script), calls, HEAVY])
    done = subprocess.run(
        [sys.executable, '-c', CODE, given],
        cwd=tmp_path,
        env={'PYTHONPATH': str(ROOT), 'PATH': '/usr/bin:/bin', 'HOME': str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(calls)
    for words, status, said, heavy in lines:
        assert heavy == [], words
        fine = '--help' in words or words == ['--list'] or (words[:1] == ['--list'] and words[1] in KINDS)
        assert status == (0 if fine and script != 'eval/serve_cells.py' else 2), (words, said)
        assert 'Traceback' not in said
    assert list(tmp_path.iterdir()) == []
