"""Every example of CONTRIBUTING.md, written to a folder and run as a new user would."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from eval import run_severe
from eval.corruptions.corruption import CORRUPTIONS
from eval.matrix.executors.in_process import InProcess
from eval.metrics import metric
from eval.metrics.metric import METRICS
from tests.conftest import PATIENCE, ROOT

PAGE = (ROOT / 'CONTRIBUTING.md').read_text()
FENCE = re.compile(r'(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)```', re.S)
SECTIONS = {
    part.partition('\n')[0]: [match.groups() for match in FENCE.finditer(part)] for part in PAGE.split('\n## ')[1:]
}
EXAMPLES = {name: text for blocks in SECTIONS.values() for name, language, text in blocks if name}


def commands(section: str) -> list[str]:
    """Shell commands of a section, continued lines joined."""
    blocks = [text for _, language, text in SECTIONS[section] if language == 'bash']
    return [line for text in blocks for line in text.replace('\\\n', ' ').splitlines() if line.strip()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    """A command of the page, from a folder that is not the repository."""
    words = shlex.split(command, comments=True)
    assert words[0] == 'python', command
    words = [sys.executable, str(ROOT / words[1]), *words[2:]]
    environment = os.environ | {
        'PYTHONPATH': str(ROOT),
        'SIGMA_DATA': str(folder / 'data'),
        'OMP_NUM_THREADS': '1',
        'PYTHONWARNINGS': 'ignore',
    }
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200 * PATIENCE
    )


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    """The folder, as the working directory; what examples register in this process is removed afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv('SIGMA_DATA', str(folder / 'data'))
    tables = (METRICS, CORRUPTIONS)
    before = [dict(table) for table in tables]
    yield folder
    for table, entries in zip(tables, before):
        table.clear()
        table.update(entries)


def measure(command: str, monkeypatch) -> int:
    """A command of the page with `eval/run_severe.py`, in this process: the imports of a cell take most of its time."""
    words, plans = shlex.split(command, comments=True), []
    assert words[:2] == ['python', 'eval/run_severe.py'], command
    make_plan = run_severe.make_plan

    def plan(args):
        plans.append(make_plan(args))
        return plans[-1]

    def backend(*_):
        return InProcess({item.resolved.id: item.resolved for item in plans[-1].cells})

    monkeypatch.setattr(run_severe, 'make_plan', plan)
    monkeypatch.setattr(run_severe, 'make_backend', backend)
    return run_severe.main(words[2:])


def load(path: Path):
    """The module of a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wave(path: Path, to_the_right: bool, brightness: int) -> None:
    """A bar that crosses the picture in 16 frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = 'yuv420p'
        for t in range(16):
            frame = np.full((64, 64, 3), brightness, np.uint8)
            x = 3 * t if to_the_right else 56 - 3 * t
            frame[20:40, x : x + 8] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())


@pytest.fixture(scope='module')
def examples(tmp_path_factory) -> Path:
    """A new user's folder with every example under its name."""
    home = tmp_path_factory.mktemp('contributing')
    for name, text in EXAMPLES.items():
        (home / name).write_text(text)
    return home


@pytest.fixture(scope='module')
def folder(examples) -> Path:
    """The same with ten videos, prepared as the page says."""
    home = examples
    for label in ('left', 'right'):
        for number in range(5):
            wave(home / 'VIDEOS' / label / f'{number}.mp4', label == 'right', 30 + 5 * number)
    (prepare,) = commands('Where things are')
    done = run(prepare, home)
    assert done.returncode == 0, done.stderr
    return home


def test_the_page_has_an_example_of_everything():
    kinds = ['dataset', 'encoder', 'recipe', 'suite', 'protocol', 'probe', 'corruption', 'metric', 'figure']
    assert list(SECTIONS)[2:-1] == [f'A{"n" if kind[0] in "aeiou" else ""} {kind}' for kind in kinds]
    for kind in list(SECTIONS)[2:-1]:
        assert any(name for name, _, _ in SECTIONS[kind]), kind


def test_examples_keep_our_own_rules(examples):
    files = [str(examples / name) for name in EXAMPLES]
    ruff = [sys.executable, '-m', 'ruff']
    config = ['--config', str(ROOT / 'ruff.toml'), '--ignore', 'C408']  # cards are dict(...) calls
    done = subprocess.run([*ruff, 'check', *config, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    done = subprocess.run(
        [*ruff, 'format', '--check', *config[:2], *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.integration
def test_dataset(here, monkeypatch, capsys):
    (command,) = commands('A dataset')
    assert measure(command, monkeypatch) == 0
    assert 'waves' in capsys.readouterr().out


@pytest.mark.integration
def test_encoder(here, monkeypatch, capsys):
    (command,) = commands('An encoder')
    assert measure(command, monkeypatch) == 0
    assert 'vit_narrow' in capsys.readouterr().out
    assert len(list((here / 'work_dirs').rglob('vit_narrow*_s0.json'))) == 1


@pytest.mark.integration
def test_recipe(here, monkeypatch, capsys):
    (here / 'two_views.py').write_text(
        '"""One and two views."""\n\n'
        "entries = [dict(protocol='frozen_linear', dataset='data/waves', recipe='frozen_two_views.py')]\n"
    )
    command = 'python eval/run_severe.py --suite two_views.py --encoders random --work-dir w --dry-run'
    assert measure(command, monkeypatch) == 0
    assert 'random_frozen_linear_waves' in capsys.readouterr().out


@pytest.mark.integration
def test_suite(here, monkeypatch, capsys):
    (command,) = commands('A suite')
    assert measure(command, monkeypatch) == 0
    assert '2 cells' in capsys.readouterr().out


@pytest.mark.integration
def test_protocol(folder):
    (command,) = commands('A protocol')
    done = run(command, folder)  # in processes of its own, as a user's
    assert done.returncode == 0, done.stderr + done.stdout
    assert '50.0' in done.stdout  # two classes of equal size


def test_probe(examples):
    module = load(examples / 'nearest_mean.py')
    values = np.array([[0.0, 0.0], [0.0, 2.0], [6.0, 0.0], [6.0, 2.0]])
    probe = module.NearestMean().fit(values, np.array([0, 0, 2, 2]))
    assert probe.predict(np.array([[1.0, 1.0], [5.0, 1.0]])).tolist() == [0, 2]
    scores = probe.probabilities(np.array([[3.0, 1.0], [0.0, 1.0]]), num_classes=3)
    np.testing.assert_allclose(scores[0], [0.5, 0, 0.5])  # half way between both
    np.testing.assert_allclose(scores.sum(axis=1), 1)


@pytest.mark.integration
def test_corruption(here, monkeypatch, capsys):
    (command,) = commands('A corruption')
    assert measure(command, monkeypatch) == 0
    assert 'posterise' in capsys.readouterr().out
    assert len(list((here / 'work_dirs').rglob('random_robustness_frozen_waves_*_s0.json'))) == 1
    frames = np.full((2, 32, 32, 3), 250, np.uint8)
    found = [int(CORRUPTIONS['posterise'](frames, severity, 'v').max()) for severity in range(1, 6)]
    assert found == [224, 240, 192, 192, 128]  # multiples of 32, 48, 64, 96, 128


def test_metric(examples, monkeypatch):
    monkeypatch.setattr(metric, 'METRICS', dict(METRICS))
    brier = load(examples / 'brier.py').METRICS['brier']
    scores = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    labels = np.array([0, 1, 0])
    np.testing.assert_allclose(brier.per_video(scores, labels), [0, 0.5, 2])
    assert brier.function(scores, labels) == pytest.approx(2.5 / 3)
    uniform = np.full((6, 3), 1 / 3)
    assert brier.function(uniform, np.arange(6) % 3) == pytest.approx(brier.chance(3, None))


@pytest.mark.integration
def test_metric_in_a_table(here, monkeypatch, capsys):
    (command,) = commands('A metric')
    assert measure(command, monkeypatch) == 0
    assert 'Brier score' in capsys.readouterr().out


def test_figure(examples, monkeypatch):
    from tools import plot

    (command,) = commands('A figure')
    words = shlex.split(command)[2:]
    words = [str(ROOT / word) if word.startswith('tests/') else word for word in words]
    monkeypatch.chdir(examples)
    assert plot.main(words) == 0
    assert (examples / 'dots.png').stat().st_size > 5000
