"""Records of several machines: merged once and whole, and every kind of fault named by `verify`."""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.metrics import read_predictions, write_predictions
from eval.records import (
    RecordError,
    config_path,
    find_log,
    identity_hash,
    log_path,
    predictions_path,
    read_record,
    read_records,
    write_record,
)
from eval.report.sharing import merge as merging
from eval.report.sharing.merge import merge
from eval.report.sharing.verify import verify
from sigma.files import sha256_file

sys.path.insert(0, str(Path(__file__).parents[2] / 'data' / 'records'))
from build_records import add_record, make_record  # noqa: E402


def add_whole(root: Path, accuracy: float = 50.0, **kinds):
    """A record with predictions, config and log, as a cell leaves it."""
    text = f'config = {sorted(kinds.items())}\n'.encode()
    changes = kinds.pop('changes', {}) | {'config_sha256': hashlib.sha256(text).hexdigest()}
    record = add_record(root, accuracy, changes, **kinds)
    config_path(record.path).write_bytes(text)
    log = root / 'cells' / f'{record.name}-{record.cell["id"][:8]}' / 'cell.log'
    log.parent.mkdir(parents=True)
    log.write_text(f'log of {record.name}\n')
    return record


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def rewrite(record, **sections) -> None:
    """Change a record on disk, and its hash of the identity with it."""
    raw = json.loads(record.path.read_text())
    for section, change in sections.items():
        raw[section] = raw[section] | change if isinstance(change, dict) else change
    raw['cell']['id'] = identity_hash(raw['identity'])
    record.path.write_text(json.dumps(raw))


# --- merge -----------------------------------------------------------------------------------------------------------


def test_each_cell_is_copied_once_with_all_its_files(tmp_path):
    shared = add_whole(tmp_path / 'a')
    ours = add_whole(tmp_path / 'a', seed=1)
    theirs = add_whole(tmp_path / 'b', encoder='sigma_mlp_toy')
    shutil.copytree(tmp_path / 'a' / 'records' / 'random' / 'finetune-v1', tmp_path / 'c')
    for path in (tmp_path / 'c').glob(f'{ours.name}*'):
        path.unlink()
    (tmp_path / 'b' / 'records' / 'package.json').write_text('{}')
    told = []
    done = merge([tmp_path / 'a', tmp_path / 'b', tmp_path / 'c'], tmp_path / 'all', told.append)
    assert (len(done.copied), done.known, done.copies, done.notes) == (3, [], 1, [])
    assert [fault.partition(':')[0] for fault in done.faults] == [str(tmp_path / 'b' / 'records' / 'package.json')]
    assert told == done.copied
    for record in (shared, ours, theirs):
        path = tmp_path / 'all' / record.path.relative_to(record.path.parents[3])
        assert read_record(path) == record
        for beside in (Path, predictions_path, config_path):
            assert beside(path).read_bytes() == beside(record.path).read_bytes()
        assert log_path(path).read_text() == f'log of {record.name}\n'
        assert find_log(read_record(path)) == log_path(path)
        assert find_log(record).name == 'cell.log'
    first = tree(tmp_path / 'all')
    again = merge([tmp_path / 'a', tmp_path / 'c'], tmp_path / 'all')
    assert (again.copied, len(again.known), tree(tmp_path / 'all')) == ([], 3, first)


def test_a_killed_merge_goes_on_and_leaves_the_same_files(tmp_path, monkeypatch):
    for seed in range(3):
        add_whole(tmp_path / 'a', seed=seed)
    merge([tmp_path / 'a'], tmp_path / 'whole')
    writes, write = [], merging.write_atomic

    def dies(path, data):
        if len(writes) == 5:  # after the predictions of the second cell
            raise KeyboardInterrupt
        writes.append(write(path, data))

    monkeypatch.setattr(merging, 'write_atomic', dies)
    with pytest.raises(KeyboardInterrupt):
        merge([tmp_path / 'a'], tmp_path / 'all')
    assert len(read_records(tmp_path / 'all')) == 1
    assert len(tree(tmp_path / 'all')) == 5
    monkeypatch.undo()
    done = merge([tmp_path / 'a'], tmp_path / 'all')
    assert (len(done.copied), len(done.known)) == (2, 1)
    assert tree(tmp_path / 'all') == tree(tmp_path / 'whole')


def test_unlike_records_are_refused_and_nothing_is_written(tmp_path):
    a, b, out = tmp_path / 'a', tmp_path / 'b', tmp_path / 'all'
    record = add_whole(a)

    def refused(match):
        with pytest.raises(RecordError, match=match):
            merge([a, b], out)
        assert not out.exists()
        shutil.rmtree(b)

    add_whole(b, changes={'score.value': 41.0})
    refused(f'the same cell {record.name} scored')
    other = add_whole(b)
    rewrite(other, identity={'config': 'f' * 64})
    refused('two cells with one name; they differ in config; .*NAME=ENCODER')
    add_whole(b, encoder='sigma_mlp_toy', changes={'protocol.version': 2})
    refused(r'protocol\.version: 1 in random_finetune_toy_s0; 2 in sigma_mlp_toy')
    add_whole(b, encoder='sigma_mlp_toy', changes={'dataset.list_sha256': 'e' * 64})
    refused(r'dataset\.list_sha256')
    with pytest.raises(RecordError, match='is a file'):
        merge([a], record.path)


def test_a_damaged_copy_gives_way_to_a_whole_one(tmp_path):
    a, b = add_whole(tmp_path / 'a'), add_whole(tmp_path / 'b')
    lost = add_whole(tmp_path / 'a', seed=1)
    predictions_path(lost.path).unlink()
    whole = add_whole(tmp_path / 'b', seed=1)
    alone = add_whole(tmp_path / 'a', seed=2)
    config_path(alone.path).write_text('changed')
    bare = add_whole(tmp_path / 'a', seed=3)
    predictions_path(bare.path).unlink()
    predictions_path(a.path).write_bytes(b'damaged')
    done = merge([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'all')
    assert done.faults == [
        f'{config_path(alone.path)}: not the file that its record was written with; run the cell again'
    ]
    assert done.notes == [f'{bare.path}: has no predictions beside it, so intervals are less precise']
    for record in (b, whole):
        path = tmp_path / 'all' / record.path.relative_to(tmp_path / 'b')
        assert predictions_path(path).read_bytes() == predictions_path(record.path).read_bytes()
    assert sorted(path.stem[-1] for path in done.copied) == ['0', '1', '3']


def test_a_name_cannot_leave_the_folder(tmp_path):
    add_whole(tmp_path / 'a')
    record = make_record()
    raw = record.to_dict()
    raw['encoder'] = raw['encoder'] | {'name': '../../evil'}
    raw['cell'] = raw['cell'] | {'name': 'x'}
    path = tmp_path / 'b' / 'x.json'
    path.parent.mkdir()
    path.write_text(json.dumps(raw))
    done = merge([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'all')
    assert len(done.copied) == 1
    assert '../../evil' in done.faults[0]
    assert not (tmp_path / 'evil').exists()


# --- verify ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(tmp_path):
    """Two encoders with two seeds each, all right."""
    records = [add_whole(tmp_path, encoder=name, seed=seed) for name in ('random', 'sigma_mlp_toy') for seed in (0, 1)]
    assert verify([tmp_path]) == (records, [])
    return records


def spoil_predictions(record):
    """Other predictions under a right hash: the score no longer follows from them."""
    path = predictions_path(record.path)
    found = read_predictions(path)
    write_predictions(path, found.video, found.label, np.roll(found.scores, 1, axis=1))
    rewrite(record, predictions_sha256=sha256_file(path))


def change_label(record):
    path = predictions_path(record.path)
    found = read_predictions(path)
    wrong = int((found.scores.argmax(1) != found.label).argmax())  # still wrong, so that the score stays
    found.label[wrong] = next(c for c in range(10) if c not in (found.label[wrong], found.scores[wrong].argmax()))
    write_predictions(path, found.video, found.label, found.scores)
    rewrite(record, predictions_sha256=sha256_file(path), score={'others': {}})


def rename_video(record):
    path = predictions_path(record.path)
    found = read_predictions(path)
    video = ['elsewhere.mp4', *found.video[1:]]
    write_predictions(path, video, found.label, found.scores)
    rewrite(record, predictions_sha256=sha256_file(path))


def move(record):
    record.path.rename(record.path.with_name('other.json'))


FAULTS = [
    (lambda r: predictions_path(r.path).unlink(), ['no predictions']),
    (lambda r: predictions_path(r.path).write_bytes(b'x'), ['not the predictions that the record was written with']),
    (lambda r: config_path(r.path).unlink(), [r'config\.py is not beside it']),
    (lambda r: config_path(r.path).write_text('x'), [r'config\.py is not the config that it was written with']),
    (lambda r: r.path.write_text('{'), ['not a JSON file']),
    (lambda r: rewrite(r, score={'value': 12.0}), [r'top1 is 12\.0000, but its predictions give \d+\.0000']),
    (lambda r: rewrite(r, score={'others': {'top5': 7.0}}), [r'top5 is 7\.0000, but its predictions give']),
    (spoil_predictions, ['top1 is', 'top5 is']),
    (change_label, [r'the label of test/\d+\.mp4 is not that of random_finetune_toy_s0']),
    (rename_video, [r'has other videos than random_finetune_toy_s0 from the same list, such as elsewhere\.mp4']),
    (
        lambda r: rewrite(r, dataset={'list_sha256': 'e' * 64}),
        [r'records differ in dataset\.list_sha256'],
    ),
    (
        lambda r: rewrite(r, identity={'dataset': {'name': 'toy', 'lists': {'test': 'd' * 64}}, 'seed': 7}),
        ["dataset.list_sha256 is '66346a.* but its identity says 'dddd", 'seed is 1, but its identity says 7'],
    ),
    (
        lambda r: rewrite(r, identity={'encoder': {'name': 'x', 'weights': 'c' * 64}}),
        ["encoder.name is 'sigma_mlp_toy', but its identity says 'x'", 'encoder.sha256 is .* its identity says .cccc'],
    ),
    (move, ['the file holds the cell sigma_mlp_toy_finetune_toy_s1; it was renamed', 'config', 'no predictions']),
]


@pytest.mark.parametrize(('spoil', 'said'), FAULTS)
def test_every_fault_is_named_with_its_file(tmp_path, whole, spoil, said):
    spoil(whole[-1])
    records, faults = verify([tmp_path])
    assert len(faults) == len(said)
    for fault, pattern in zip(faults, said):
        assert re.search(pattern, fault), fault
        assert 'differ' in fault or str(whole[-1].path.parent) in fault
    assert len(records) == 4 - (said == ['not a JSON file'])


def test_unscored_videos_count_as_listed_and_papers_need_no_files(tmp_path):
    add_whole(tmp_path)
    add_whole(tmp_path, encoder='sigma_mlp_toy', num_unscored=1)
    paper = make_record('sigma', value=90.0)
    paper.published = True
    write_record(paper, tmp_path)
    assert verify([tmp_path])[1] == []
