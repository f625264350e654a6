"""Live pages: what they show while something runs and at its end, and that they never stop it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.records import read_records
from eval.report.live.curves import Alarms, Curves
from eval.report.live.matrix import MatrixPage, Running, State
from eval.report.live.page import LiveFile, live_path, many
from eval.report.live.training import KILLED, TrainingPage
from sigma.errors import DataError
from tests.browser import Tab, chromium
from tests.conftest import PATIENCE, ROOT

COMMITTED = ROOT / 'tests' / 'data' / 'records'
EVIL = '<script>hacked=1</script>'


def log_steps(folder: Path, steps: range, start: str = '20260101_000000', **more) -> None:
    path = folder / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        for step in steps:
            entry = {'loss': 10.0 - step, 'lr': 0.1, 'time': 1.0, 'iter': step, 'step': step} | more
            file.write(json.dumps(entry) + '\n')


# --- logs that grow --------------------------------------------------------------------------------------------------


def test_only_new_lines_are_read_and_half_a_line_waits(tmp_path):
    curves = Curves(tmp_path)
    assert not curves.read()
    log_steps(tmp_path, range(1, 4))
    path = tmp_path / '20260101_000000' / 'vis_data' / 'scalars.json'
    with open(path, 'a') as file:
        file.write('{"loss": 1.5, "it')
    assert curves.read()
    assert curves.points['loss'] == [(1, 9.0), (2, 8.0), (3, 7.0)]
    assert 'time' not in curves.points
    assert not curves.read()
    with open(path, 'a') as file:
        file.write('er": 4}\nnot json\n{"loss": NaN, "iter": 5}\n')
    assert curves.read()
    assert curves.points['loss'][-1] == (4, 1.5)
    assert (curves.step, curves.latest['loss']) == (5, 1.5)
    log_steps(tmp_path, range(3, 5), start='20260102_000000', loss=2.0)  # resumed after step 2
    curves.read()
    assert curves.points['loss'] == [(1, 9.0), (2, 8.0), (3, 2.0), (4, 2.0)]


def test_a_long_curve_keeps_few_points_over_all_of_it(tmp_path):
    log_steps(tmp_path, range(1, 5001))
    curves = Curves(tmp_path)
    curves.read()
    points = curves.points['loss']
    assert 100 <= len(points) <= 401
    assert points[0] == (1, 9.0)
    assert points[-1][0] > 4900
    assert all(value == 10.0 - step for step, value in points)
    (picture,) = curves.pictures(['loss'])
    assert picture.data.startswith(b'<svg')
    assert picture.alt.startswith('loss over 1 to ')


def test_alarms_are_the_warnings_of_the_log(tmp_path):
    log = tmp_path / '20260101' / '20260101.log'
    log.parent.mkdir()
    log.write_text(
        '2026/01/01 10:00:00 - mmengine - INFO - Epoch(train) [1][5/20]\n'
        f'2026/01/01 10:00:01 - mmengine - WARNING - features collapse - {EVIL}\n'
        '2026/01/01 10:00:02 - mmengine - ERROR - cut o'
    )
    alarms = Alarms(tmp_path)
    alarms.read()
    alarms.read()
    assert alarms.found == [f'2026/01/01 10:00:01: features collapse - {EVIL}']


# --- the pages -------------------------------------------------------------------------------------------------------


def test_the_page_of_a_training(tmp_path):
    page = TrainingPage(tmp_path, f'mine {EVIL}', 'python tools/train.py x')
    page.read()
    assert 'No step has been logged yet.' in page.make()
    log_steps(tmp_path, range(1, 6), data_wait_percent=80.0)
    page.total = 20
    page.read()
    html = page.make()
    assert 'Step 5 of 20 (25 %).' in html
    assert '80 % of the time goes into waiting for data.' in html
    assert 'data-refresh="2"' in html
    assert EVIL not in html
    assert 'alt="loss over 1 to 5 steps, 5 to 9, now 5"' in html
    last = page.make('finished')
    assert 'Finished at 20' in last
    assert 'data-refresh' not in last


def state(records=(), **more) -> State:
    return State('1 of 3 cells are done; elapsed 0:00:07.', more.pop('running', []), more.pop('alarms', []), 1, records)


def test_the_page_of_a_matrix_makes_its_table_once(tmp_path, monkeypatch):
    records = read_records(COMMITTED)
    page = MatrixPage('demo', 'python eval/run_severe.py x', tmp_path)
    cell = tmp_path / 'cell'
    log_steps(cell, range(1, 4))
    running = [Running(f'a_{EVIL}', 'step 3/9', '0:00:03', '0:00:06', cell)]
    html = page.make(state(records[:3], running=running, alarms=[f'b: FAILED: {EVIL}']))
    assert '1 cell did not end well:' in html
    assert EVIL not in html
    assert 'step 3/9' in html
    assert 'alt="loss over 1 to 3 steps' in html
    assert html.count('<tr data-row=') == 1  # random
    made = []
    monkeypatch.setattr('eval.report.live.matrix.matrix', lambda table: made.append(table))
    page.make(state(records[:3]))
    assert made == []  # nothing new
    page.make(state(records))
    assert [len(table.records) for table in made] == [8]
    assert all(record.path is not None for record in records)


def test_the_last_page_is_the_report(tmp_path):
    html = MatrixPage('demo', 'python x', tmp_path).last(state(read_records(COMMITTED)), 'finished')
    assert html.index('Finished at 20') < html.index('<section id="results">')
    assert '<script type="application/json" id="data">' in html
    assert 'data-refresh' not in html
    empty = MatrixPage('demo', 'python x', tmp_path).last(state(), 'stopped by SIGTERM')
    assert 'Stopped by SIGTERM at 20' in empty


def test_a_page_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    broken = LiveFile(tmp_path / 'file' / 'live.html', 'train')
    assert not broken.write(lambda: 'x')
    assert not broken.write(lambda: 'x')
    assert capsys.readouterr().err.count('train: the live page') == 1
    fine = LiveFile(tmp_path / 'live.html', 'train')
    assert not fine.write(lambda: 1 / 0)
    assert fine.write(lambda: 'x')
    assert (tmp_path / 'live.html').read_text() == 'x'


def test_the_file_must_be_html(tmp_path):
    assert live_path('', tmp_path / 'live.html') == tmp_path / 'live.html'
    assert live_path('a/b.html', tmp_path) == Path('a/b.html')
    with pytest.raises(DataError, match=r'config\.py was given'):
        live_path('config.py', tmp_path / 'live.html')
    assert (many(1, 'cell'), many(2, 'cell')) == ('1 cell', '2 cells')


# --- the process of a training ---------------------------------------------------------------------------------------


def start(work: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, '-m', 'eval.report.live.training', str(work), str(out), 'mine', 'python x']
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, env=os.environ | {'PYTHONPATH': str(ROOT)})


def wait_for(path: Path, text: str) -> str:
    deadline = time.monotonic() + 60 * PATIENCE
    while not path.is_file() or text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text() if path.is_file() else 'no page'
        time.sleep(0.05)
    return path.read_text()


@pytest.mark.integration
@pytest.mark.parametrize(
    ('order', 'said'), [(b'{"ending": "finished"}\n', 'Finished at 20'), (b'', KILLED[0].upper() + KILLED[1:])]
)
def test_the_process_follows_a_training_to_its_end(tmp_path, order, said):
    out = tmp_path / 'live.html'
    log_steps(tmp_path, range(1, 3))
    process = start(tmp_path, out)
    process.stdin.write(b'{"total": 40}\n')
    process.stdin.flush()
    wait_for(out, 'Step 2 of 40')
    process.send_signal(signal.SIGINT)  # a Ctrl-C in the terminal is for the training
    log_steps(tmp_path, range(3, 5))
    wait_for(out, 'Step 4 of 40')
    process.stdin.write(order)
    process.stdin.close()
    assert process.wait(timeout=60 * PATIENCE) == 0
    assert said in out.read_text()


@pytest.mark.integration
def test_a_browser_loads_it_again_at_the_same_place(tmp_path):
    out = tmp_path / 'live.html'
    page = TrainingPage(tmp_path, 'mine', 'python x')
    log_steps(tmp_path, range(1, 6), **{f'q{number}': 1.0 for number in range(60)})
    page.read()
    out.write_text(page.make())
    with chromium() as browser:
        tab = Tab(browser, out, size=(500, 400))
        tab.page.locator('summary').first.click()
        tab.page.evaluate('scrollTo(0, 600)')
        log_steps(tmp_path, range(6, 8))
        page.read()
        out.write_text(page.make())
        tab.page.get_by_text('Step 7.').wait_for(state='attached')
        assert tab.page.evaluate('scrollY') == 600
        assert tab.page.locator('details').first.evaluate('each => each.open')
        out.write_text(page.make('finished'))
        tab.page.get_by_text('Finished at').wait_for(state='attached')
        tab.shoot('live_training')
        tab.close()
