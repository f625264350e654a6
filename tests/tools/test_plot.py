"""tools/plot.py as a command: what it writes, what it refuses, and that it needs no torch."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / 'tests' / 'data' / 'records'
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT)}


def plot(*arguments, code=None) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        *(['-c', code] if code else [str(ROOT / 'tools' / 'plot.py')]),
        *map(str, arguments),
    ]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)


def test_png_and_svg_from_records_without_torch(tmp_path, capsys):
    code = (
        'import runpy, sys\n'
        f'try: runpy.run_path({str(ROOT / "tools" / "plot.py")!r}, run_name="__main__")\n'
        'except SystemExit as exit: assert exit.code == 0, exit.code\n'
        'heavy = {"torch", "mmengine", "mmaction", "mmcv", "sigma"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    done = plot('--records', COMMITTED, '--figure', 'bars', '--out', tmp_path / 'bars', code=code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f'{tmp_path}/bars{e}: bars from 8 records' for e in ('.png', '.svg')]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == ['bars.png', 'bars.svg']
    # Again, with each record given twice, in another process: the same bytes.
    assert run(capsys, '--records', COMMITTED, COMMITTED, '--out', tmp_path / 'bars') == (0, '')
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def run(capsys, *arguments) -> tuple[int, str]:
    """The command in this process; status and what it said on stderr."""
    main = runpy.run_path(str(ROOT / 'tools' / 'plot.py'))['main']
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as exit:
        status = exit.code
    return status, capsys.readouterr().err


def test_a_choice_of_records(tmp_path, capsys):
    choice = ['--encoders', 'sigma_mlp_toy', 'random', '--protocols', 'frozen_linear', '--datasets', 'toy']
    assert run(capsys, '--records', COMMITTED, '--out', tmp_path / 'a.svg', *choice) == (0, '')
    assert [path.name for path in tmp_path.iterdir()] == ['a.svg']


BAD = [
    (['--records', 'nowhere', '--out', 'F'], 'nowhere: no such folder'),
    (['--records', 'empty', '--out', 'F'], 'no result records; run eval/run_severe.py'),
    (['--records', 'broken', '--out', 'F'], 'cell.json: not a JSON file'),
    (['--records', COMMITTED, '--out', 'F', '--figure', 'bar'], "Unknown figure 'bar'. Did you mean 'bars'"),
    (['--records', COMMITTED, '--out', 'F', '--encoders', 'randm'], "Did you mean 'random'"),
    (['--records', COMMITTED, '--out', 'F.jpg'], 'F.jpg ends in .jpg'),
    (['--records', COMMITTED, '--out', 'empty'], 'empty is a folder'),
    (['--records', COMMITTED, '--out', 'file/F'], 'file/F cannot be written'),
    (['--records', 'unlike', '--out', 'F'], 'records differ in protocol.version: 1 in'),
    (['--records', 'partial', '--out', 'F'], 'scored 90 of 100 videos'),
    (['--out', 'F'], 'the following arguments are required: --records'),
]


@pytest.fixture(scope='module')
def bad_place(tmp_path_factory):
    sys.path.insert(0, str(COMMITTED))
    from build_records import add_record

    place = tmp_path_factory.mktemp('bad')
    (place / 'empty').mkdir()
    (place / 'file').write_text('')
    (place / 'broken').mkdir()
    (place / 'broken' / 'cell.json').write_text('{')
    add_record(place / 'unlike')
    add_record(place / 'unlike', encoder='b', changes={'protocol.version': 2})
    add_record(place / 'partial', num_unscored=10)
    return place


@pytest.mark.parametrize('arguments, sentence', BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(bad_place, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(bad_place)
    before = sorted(bad_place.rglob('*'))
    status, said = run(capsys, *arguments)
    assert status == 2
    assert said.startswith('plot: ')
    assert sentence in said
    assert said.count('\n') == 1
    assert sorted(bad_place.rglob('*')) == before


def test_partial_records_when_told(bad_place, tmp_path, capsys):
    out = tmp_path / 'p.png'
    assert run(capsys, '--records', bad_place / 'partial', '--out', out, '--allow-partial') == (0, '')
    assert out.stat().st_size > 10_000


def test_bad_input_from_the_shell_has_no_traceback(tmp_path):
    done = plot('--records', tmp_path / 'nowhere', '--out', tmp_path / 'F')
    assert (done.returncode, done.stdout) == (2, '')
    # matplotlib may speak first, of its font cache.
    assert 'Traceback' not in done.stderr
    assert done.stderr.endswith(
        f'plot: {tmp_path}/nowhere: no such folder; give a work directory of eval/run_severe.py\n'
    )
