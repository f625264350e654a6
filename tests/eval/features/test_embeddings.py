"""`features.py embed`: what a row holds, and that a kill, shards and other formats change nothing."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from eval.features import embeddings
from eval.features.embeddings import Request, embed
from sigma import load_encoder
from sigma.data.cards import load_dataset_card
from sigma.errors import DataError
from sigma.video import READERS
from tests.conftest import PATIENCE, ROOT, assert_one_sentence, believe, call_main
from tests.eval.tiny_localization import ENCODER, write_long
from tools import features

LABELS = ['path', 'label', 'class', 'split']


TEST = ('--split', 'test', '--stride-frames', 1)  # 20 clips, in 5 parts


def run(toy, capsys, out, *more, encoder='random'):
    arguments = ['embed', '--dataset', toy, '--encoder', encoder, '--out', out, '--quiet', '--batch-size', 4, *more]
    return call_main(features.main, capsys, *arguments)


def csv_of(path) -> list[dict]:
    with open(path.with_suffix('.csv'), newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(embeddings, '_MOST_VIDEOS', 4)


@pytest.fixture(scope='module')
def whole(toy, tmp_path_factory):
    """The embeddings of the 20 test clips, made at once."""
    out = tmp_path_factory.mktemp('embedded') / 'whole.npy'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, '_MOST_VIDEOS', 4)
        request = Request(str(toy), 'random', out, splits=('test',), stride_frames=1, batch_size=4)
        found = embed(request, progress=False)
    assert (found.num_videos, found.unreadable, found.missing_parts) == (20, [], 0)
    return out


def test_rows_are_the_videos_of_the_lists_in_order(toy, whole):
    card = load_dataset_card(str(toy))
    classes = card.info['classes']
    assert csv_of(whole) == [
        dict(zip(LABELS, (e['video'], str(e['label']), classes[e['label']], 'test'))) for e in card.entries('test')
    ]
    values = np.load(whole)
    assert (values.shape, values.dtype) == ((20, 128), np.float32)
    said = json.loads(whole.with_suffix('.json').read_text())
    assert (said['num_videos'], said['unreadable'], said['shape']) == (20, [], [128])
    assert said['key']['encoder']['weights'] == 'random, seed 0'
    assert not whole.with_name('whole.npy.parts').exists()
    assert sorted(p.name for p in whole.parent.iterdir()) == ['whole.csv', 'whole.json', 'whole.npy']


def test_a_vector_is_the_mean_of_the_tokens_of_the_clips(toy, whole):
    """Computed again by hand: two evenly spaced clips of 16 frames at stride 1, of 64 pixels as rendered."""
    entry = load_dataset_card(str(toy)).entries('test')[3]
    torch.manual_seed(0)
    encoder = load_encoder('random')
    reader = READERS['pyav'](entry['filename'])
    clips = []
    for start in (0, entry['total_frames'] - 16):
        frames = np.stack(reader.frames(np.arange(start, start + 16)))
        clips.append(torch.from_numpy(frames).permute(3, 0, 1, 2).float())
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    with torch.no_grad():
        expected = encoder((torch.stack(clips) - mean) / std).mean(dim=(0, 1, 2, 3)).numpy()
    np.testing.assert_allclose(np.load(whole)[3], expected, atol=2e-3)


def test_time_steps_and_tokens_average_to_the_mean(toy, tmp_path, capsys):
    found = {}
    for pool in ('mean', 'time', 'none'):
        options = [*TEST, '--pool', pool, '--views', '1x1']
        assert run(toy, capsys, tmp_path / f'{pool}.npy', *options).returncode == 0
        found[pool] = np.load(tmp_path / f'{pool}.npy')
    assert [found[pool].shape for pool in found] == [(20, 128), (20, 8, 128), (20, 8, 4, 4, 128)]
    np.testing.assert_allclose(found['time'].mean(axis=1), found['mean'], atol=1e-5)
    np.testing.assert_allclose(found['none'].mean(axis=(2, 3)), found['time'], atol=1e-5)
    done = run(toy, capsys, tmp_path / 'two.npy', *TEST, '--pool', 'time', '--views', '2x1')
    assert done.returncode == 0
    assert np.load(tmp_path / 'two.npy').shape == (20, 16, 128)


def test_a_kill_changes_nothing(toy, whole, tmp_path, monkeypatch, capsys):
    out, written = tmp_path / 'whole.npy', []
    write = embeddings._Parts.write

    def interrupted(parts, number, part) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(number)
        write(parts, number, part)

    monkeypatch.setattr(embeddings._Parts, 'write', interrupted)
    done = run(toy, capsys, out, *TEST)
    assert_one_sentence(done, 'interrupted', 'same command', status=130)
    assert written == [0, 1, 2]
    assert not out.exists()
    (tmp_path / 'whole.npy.parts' / '000001.npz').write_bytes(b'damaged')
    monkeypatch.setattr(
        embeddings._Parts, 'write', lambda parts, number, part: (written.append(number), write(parts, number, part))
    )
    assert run(toy, capsys, out, *TEST).stdout == f'{out}: 20 videos\n'
    assert written == [0, 1, 2, 1, 3, 4]
    for suffix in ('.npy', '.csv', '.json'):
        assert out.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()


def test_shards_make_the_same_file(toy, whole, tmp_path, capsys):
    out = tmp_path / 'whole.npy'
    done = run(toy, capsys, out, *TEST, '--shard', '2/3')
    assert done.returncode == 0
    assert 'shard 2/3 is done' in done.stdout
    assert '3 of 5 parts are missing' in done.stdout
    assert run(toy, capsys, out, *TEST, '--shard', '1/3').returncode == 0
    assert not out.exists()
    assert run(toy, capsys, out, *TEST, '--shard', '3/3').stdout == f'{out}: 20 videos\n'
    for suffix in ('.npy', '.csv', '.json'):
        assert out.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()


def test_what_is_there_is_neither_made_again_nor_replaced(toy, whole, tmp_path, capsys, monkeypatch):
    for suffix in ('.npy', '.csv', '.json'):
        shutil.copy(whole.with_suffix(suffix), tmp_path)
    out = tmp_path / 'whole.npy'
    monkeypatch.setattr(embeddings, '_make', lambda *a: pytest.fail('made again'))
    assert run(toy, capsys, out, *TEST).stdout == f'{out}: 20 videos\n'
    before = out.read_bytes()
    assert_one_sentence(
        run(toy, capsys, out, *TEST, '--pool', 'time'), 'already exists', "pool ('mean' instead of 'time')"
    )
    assert_one_sentence(run(toy, capsys, out, *TEST, '--seed', 1), 'already exists', 'encoder.weights')
    assert_one_sentence(run(toy, capsys, out, '--split', 'train', 'test'), 'already exists')
    out.with_suffix('.json').unlink()
    assert_one_sentence(run(toy, capsys, out, *TEST), 'already exists')
    assert out.read_bytes() == before


def test_parts_of_another_request_are_kept(toy, tmp_path, capsys):
    out = tmp_path / 'x.npy'
    assert run(toy, capsys, out, *TEST, '--shard', '1/2').returncode == 0
    parts = {path: path.read_bytes() for path in (tmp_path / 'x.npy.parts').glob('*.npz')}
    assert_one_sentence(
        run(toy, capsys, out, *TEST, '--shard', '2/2', '--batch-size', 5), 'x.npy.parts', 'batch_size (4 instead'
    )
    assert {path: path.read_bytes() for path in (tmp_path / 'x.npy.parts').glob('*.npz')} == parts


def test_unreadable_videos_are_named_and_have_no_row(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(embeddings, 'DECODER', 'pyav')
    dataset = write_long(tmp_path / 'data')
    (tmp_path / 'small.py').write_text(ENCODER)
    video = dataset / 'test_1.mp4'
    video.write_bytes(video.read_bytes()[:200])
    believe(dataset)
    done = run(dataset, capsys, tmp_path / 'x.npy', encoder=tmp_path / 'small.py')
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith('  not read: test_1.mp4 (test): ')
    assert last == f'{tmp_path / "x.npy"}: 6 videos, 1 could not be read'
    rows = csv_of(tmp_path / 'x.npy')
    assert [row['path'] for row in rows] == [f'train_{i}.mp4' for i in range(4)] + ['test_0.mp4', 'test_2.mp4']
    assert len(np.load(tmp_path / 'x.npy')) == 6
    several = next(row for row in rows if ';' in row['label'])
    assert (several['label'], several['class']) == ('0;1', 'bright; striped')
    unread = json.loads((tmp_path / 'x.json').read_text())['unreadable']
    assert [(one['path'], one['split']) for one in unread] == [('test_1.mp4', 'test')]
    for video in dataset.glob('*.mp4'):
        video.write_bytes(b'nothing')
    believe(dataset)
    done = run(dataset, capsys, tmp_path / 'y.npy', encoder=tmp_path / 'small.py')
    assert_one_sentence(done, 'no video could be read', 'train_0.mp4')
    assert not list(tmp_path.glob('y.*'))


def test_parquet_holds_the_same(toy, whole, tmp_path, capsys):
    parquet = pytest.importorskip('pyarrow.parquet', reason='pyarrow is optional')
    assert run(toy, capsys, tmp_path / 'x.parquet', *TEST).returncode == 0
    table = parquet.read_table(tmp_path / 'x.parquet')
    assert table.column_names == [*LABELS, 'vector']
    rows = [{**row, 'label': str(row['label'])} for row in table.select(LABELS).to_pylist()]
    assert rows == csv_of(whole)
    assert np.array_equal(np.array(table['vector'].to_pylist(), np.float32), np.load(whole))
    said = json.loads(table.schema.metadata[b'sigma'])
    assert (said['num_videos'], said['key']['format']) == (20, '.parquet')
    assert run(toy, capsys, tmp_path / 'x.parquet', *TEST).returncode == 0  # it is known again
    assert run(toy, capsys, tmp_path / 't.parquet', *TEST, '--pool', 'time').returncode == 0
    steps = np.array(parquet.read_table(tmp_path / 't.parquet')['vector'].to_pylist(), np.float32)
    assert steps.shape == (20, 8, 128)
    shared = tmp_path / 'shared.parquet'
    for shard in ('1/2', '2/2'):
        assert run(toy, capsys, shared, *TEST, '--shard', shard).returncode == 0
    assert shared.read_bytes() == (tmp_path / 'x.parquet').read_bytes()


def test_without_pyarrow_the_sentence_says_what_works(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(embeddings.importlib.util, 'find_spec', lambda name: None)
    done = run(toy, capsys, tmp_path / 'x.parquet', *TEST)
    assert_one_sentence(done, 'pip install pyarrow', 'x.npy')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--out', 'x.csv'], ('.parquet', '.npy')),
        (['--pool', 'none', '--views', '2x1'], ('--views 2x1',)),
        (['--pool', 'time', '--views', '1x3'], ('--views 1x3',)),
        (['--views', '1x2'], ('1 or 3 crops',)),
        (['--batch-size', '0'], ('--batch-size is 0',)),
        (['--stride-frames', '0'], ('--stride-frames is 0',)),
        (['--split', 'val'], ("'val'", 'train, test')),
        (['--encoder', 'randon'], ('random',)),
        (['--encoder', 'gone.safetensors'], ('gone.safetensors is not there',)),
        (['--dataset', 'nowhere'], ('nowhere',)),
    ],
)
def test_bad_input_ends_in_one_sentence_and_writes_nothing(toy, tmp_path, capsys, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    assert_one_sentence(run(toy, capsys, 'x.npy', *options), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('option', 'text'), [('--shard', '0/2'), ('--shard', '3/2'), ('--shard', '2'), ('--views', '2')]
)
def test_a_shard_or_view_of_another_form_is_refused(toy, capsys, option, text):
    with pytest.raises(SystemExit):
        features.main(['embed', '--dataset', str(toy), '--encoder', 'random', '--out', 'x.npy', option, text])
    assert text in capsys.readouterr().err


def test_two_processes_do_not_do_the_same_work(toy, tmp_path):
    out = tmp_path / 'x.npy'
    out.with_name('x.npy.parts').mkdir()
    with embeddings.FileLock(out.with_name('x.npy.parts') / 'shard-1-of-1.lock'), pytest.raises(DataError, match='1/1'):
        embed(Request(str(toy), 'random', out, splits=('test',)), progress=False)


@pytest.mark.integration
def test_a_real_kill_changes_nothing(toy, whole, tmp_path, monkeypatch):
    out = tmp_path / 'whole.npy'
    code = (
        'import sys; from eval.features import embeddings; embeddings._MOST_VIDEOS = 4; '
        'from tools.features import main; sys.exit(main(sys.argv[1:]))'
    )
    command = [sys.executable, '-c', code, 'embed', '--dataset', str(toy), '--encoder', 'random', '--out', str(out)]
    command += [*map(str, TEST), '--batch-size', '4']
    env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120 * PATIENCE
    while not list(tmp_path.glob('*.parts/00000*.npz')) and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    assert subprocess.run(command, env=env, check=False).returncode == 0
    assert out.read_bytes() == whole.read_bytes()
