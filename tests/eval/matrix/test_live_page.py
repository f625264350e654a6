"""`run_severe.py --live`: a real matrix of tiny cells keeps its page, to the last state."""

import re
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE, ROOT, assert_one_sentence
from tests.eval.tiny_matrix import arguments, environment, make, order, popen

pytestmark = pytest.mark.integration
DONE = re.compile(r'(\d) of 4 cells are done')


def run_live(home, work, *more, encoders='ab'):
    """Run a matrix of two encoders and two columns; the states that its page had, and the output."""
    process = popen(home, work, '--jobs', '1', '--live', *more, encoders=encoders, seeds=(0,))
    page, seen = work / 'live.html', []
    while process.poll() is None:
        if page.is_file() and (found := DONE.search(page.read_text())) and found[1] not in seen[-1:]:
            seen.append(found[1])
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
    return seen, process.stdout.read(), process.returncode


def test_every_finished_cell_is_on_the_page_and_the_last_state_is_the_report(tmp_path):
    home, work = make(tmp_path / 'home', num_encoders=2), tmp_path / 'work'
    order(
        home,
        a_tiny_tiny_high_s0=['sleep', 1.0],
        b_tiny_tiny_high_s0=['sleep', 1.0],
        b_tiny_tiny_low_s0=['raise', '<b>broken</b>'],
    )
    seen, said, status = run_live(home, work)
    assert status == 1, said
    assert f'live page: {work / "live.html"}' in said
    assert seen[0] == '0'
    assert {'1', '2'} <= set(seen)
    assert seen[-1] == '3'
    html = (work / 'live.html').read_text()
    assert re.search(r'Finished at 20.* 3 of 4 cells are done, 1 did not end well', html)
    assert 'b_tiny_tiny_low_s0: FAILED' in html
    assert '&lt;b&gt;broken&lt;/b&gt;' in html
    assert 'id="data"' in html  # the whole report
    assert 'data-refresh' not in html


def test_a_page_that_cannot_be_written_stops_no_cell(tmp_path):
    home, work = make(tmp_path / 'home', num_encoders=2), tmp_path / 'work'
    (tmp_path / 'file').write_text('')
    _, said, status = run_live(home, work, str(tmp_path / 'file' / 'page.html'), encoders='a')
    assert status == 0, said
    assert said.count('run_severe: the live page') == 1
    assert len(list((work / 'records').rglob('*.json'))) == 2


def test_the_file_is_checked_before_anything_runs(tmp_path):
    home, work = make(tmp_path / 'home', num_encoders=2), tmp_path / 'work'
    words = arguments(home, work, '--live', 'page.txt', encoders='a')
    command = [sys.executable, str(ROOT / 'eval' / 'run_severe.py'), *words]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=60 * PATIENCE)
    assert_one_sentence(done, 'page.txt', '.html')
    assert not work.exists()
