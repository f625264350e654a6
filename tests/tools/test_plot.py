"""tools/plot.py as a command: what it writes, what it refuses, and that it needs no torch."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PATIENCE

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / 'tests' / 'data' / 'records'
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT)}


def plot(*arguments, code=None) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        *(['-c', code] if code else [str(ROOT / 'tools' / 'plot.py')]),
        *map(str, arguments),
    ]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60 * PATIENCE)


def test_png_and_svg_from_records_without_torch(tmp_path, capsys):
    code = (
        'import runpy, sys\n'
        f'try: runpy.run_path({str(ROOT / "tools" / "plot.py")!r}, run_name="__main__")\n'
        'except SystemExit as exit: assert exit.code == 0, exit.code\n'
        'heavy = {"torch", "mmengine", "mmaction", "mmcv"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    done = plot('--records', COMMITTED, '--figure', 'bars', '--out', tmp_path / 'bars', code=code)
    assert done.returncode == 0, done.stderr
    *said, told, caption = done.stdout.splitlines()
    assert said == [f'{tmp_path}/bars{e}: bars from 8 records' for e in ('.png', '.svg')]
    assert told == f'{tmp_path}/bars.caption.txt: its caption'
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == ['bars.caption.txt', 'bars.png', 'bars.svg']
    assert first['bars.caption.txt'].decode() == f'{caption}\n'
    # Again, with each record given twice, in another process: the same bytes.
    assert run(capsys, '--records', COMMITTED, COMMITTED, '--out', tmp_path / 'bars') == (0, '')
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_published_rows_stand_beside_ours(tmp_path, capsys):
    sys.path.insert(0, str(COMMITTED))
    from build_records import add_record

    ours = add_record(tmp_path, encoder='sigma_mlp_toy', dataset='ssv2', num_classes=174, num_listed=200)
    arguments = ['--records', tmp_path, '--published', 'sigma_severe', '--summary', 'severe', '--table']
    main = runpy.run_path(str(ROOT / 'tools' / 'plot.py'))['main']
    assert main([*map(str, arguments), 'text', '--datasets', 'ssv2']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split('  ')[0] for line in lines[4:10]] == [
        'sigma_mlp_toy',
        '',
        'published: SIGMA (arXiv:2407.15447), its table of SEVERE ^a',
        'SVT',
        'MVD',
        'VideoMAE',
    ]
    assert lines[4].split()[1] == f'{ours.score["value"]:.1f}'
    assert 'published: TrackMAE, its table of the same columns ^a' in lines
    assert main([*map(str, arguments), 'csv']) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith('SIGMA-DINO (published),mean of 8,'))
    assert row.startswith(
        'SIGMA-DINO (published),mean of 8,,,mean,percent,64.2625,,,1,100.0000,0,,,,mean of 8,"SIGMA ('
    )
    assert row.endswith('), its table of SEVERE","published, no interval",True')
    out = tmp_path / 'both.svg'
    assert main([*map(str, arguments), 'markdown', '--datasets', 'ssv2', '--out', str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith('|  ')
    assert f'{out}: bars from 9 records\n' in said
    assert 'left out' not in said.lower()


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.caption.txt', 'a.svg']


def test_widths_and_columns_that_only_papers_have(tmp_path, capsys):
    from PIL import Image

    sys.path.insert(0, str(COMMITTED))
    from build_records import add_record

    add_record(tmp_path / 'w', encoder='mine', dataset='ssv2', num_classes=174, num_listed=200)
    both = ['--records', tmp_path / 'w', '--published', 'sigma_severe', '--out']
    assert run(capsys, *both, tmp_path / 'a.png', '--width', 'column') == (0, '')
    assert run(capsys, *both, tmp_path / 'b.png', '--every-column') == (0, '')
    narrow, wide = (Image.open(tmp_path / name).size for name in ('a.png', 'b.png'))
    assert (narrow[0], wide[0]) == (1020, 2100)  # 3.4 and 7 inches at 300 dots
    assert wide[1] < 2760  # 9.2 inches; it was 9060 pixels
    assert 'Left out' in (tmp_path / 'a.caption.txt').read_text()


def test_a_figure_higher_than_a_page_says_so(tmp_path, capsys):
    sys.path.insert(0, str(COMMITTED))
    from build_records import add_record

    for number in range(70):
        add_record(tmp_path / 'w', encoder=f'e{number:02d}', num_listed=10)
    status, said = run(capsys, '--records', tmp_path / 'w', '--figure', 'heatmap', '--out', tmp_path / 'a.png')
    assert status == 0
    assert re.match(r'plot: the figure is 10\.\d inches high, more than a page of a paper \(9\.2\); choose rows', said)


def test_overlays_from_a_file_of_masks(tmp_path, capsys):
    import numpy as np

    masks = tmp_path / 'masks.npz'
    np.savez(masks, frames=np.zeros((2, 4, 4, 3), np.uint8), masks=np.ones((2, 4, 4), np.uint8))
    out = tmp_path / 'o.svg'
    assert run(capsys, '--figure', 'overlays', '--masks', masks, '--out', out) == (0, '')
    assert out.is_file()
    status, said = run(capsys, '--figure', 'overlays', '--masks', tmp_path / 'none.npz', '--out', tmp_path / 'p.svg')
    assert (status, said.count('\n')) == (2, 1)
    assert 'none.npz does not exist' in said
    assert not (tmp_path / 'p.svg').exists()


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
    (['--out', 'F'], 'give --records, --published, or both'),
    (['--records', COMMITTED], 'give --out for a figure, --table for a table, or both'),
    (['--published', 'sigma_sever', '--out', 'F'], "Did you mean 'sigma_severe'"),
    (['--records', COMMITTED, '--out', 'F', '--summary', 'sever'], "Unknown summary 'sever'. Did you mean 'severe'"),
    (['--records', COMMITTED, '--out', 'F', '--width', 'wide'], "invalid choice: 'wide'"),
    (['--records', COMMITTED, '--out', 'F', '--figure', 'shots_ladder'], 'No dataset has scores for two numbers'),
    (['--records', COMMITTED, '--out', 'F', '--figure', 'overlays'], '--figure overlays and --masks go together'),
    (['--masks', 'empty', '--out', 'F'], '--figure overlays and --masks go together'),
    (['--records', COMMITTED, '--table', 'html'], "invalid choice: 'html'"),
    (['--records', 'count', '--published', 'sigma_severe', '--table', 'text'], 'records differ in score.metric: '),
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
    add_record(place / 'count', dataset='gym_fx_s1', num_classes=11)  # top1, where papers have mean_class
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


def test_a_new_figure_is_one_file(tmp_path, capsys, monkeypatch):
    from eval.report import figures

    name = 'row_count_of_a_test'
    (tmp_path / f'{name}.py').write_text(
        'from matplotlib.figure import Figure\n'
        'def draw(table):\n'
        '    """How many rows there are."""\n'
        '    figure = Figure()\n'
        '    figure.subplots().set_title(", ".join(table.rows))\n'
        '    return figure\n'
    )
    monkeypatch.setattr(figures, '__path__', [*figures.__path__, str(tmp_path)])
    out = tmp_path / 'drawn.svg'
    try:
        assert run(capsys, '--records', COMMITTED, '--figure', name, '--out', out) == (0, '')
    finally:
        sys.modules.pop(f'{figures.__name__}.{name}', None)
    assert 'random, sigma_mlp_toy, videomae_toy' in out.read_text()  # matplotlib writes text as a comment, too
    assert run(capsys, '--records', COMMITTED, '--figure', name[:-1], '--out', out)[0] == 2
