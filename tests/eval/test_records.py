"""The record: what it refuses, what it keeps, and what compares."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval import records
from eval.records import (
    Record,
    RecordError,
    check_comparable,
    check_versions,
    config_path,
    coverage,
    differences,
    identity_hash,
    is_partial,
    predictions_path,
    read_record,
    read_records,
    readable_records,
    record_path,
    set_aside,
    spelled,
    subset_name,
    write_record,
)
from sigma.errors import did_you_mean
from sigma.files import open_atomic, sha256_file, write_atomic

COMMITTED = Path(__file__).parents[1] / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import make_record  # noqa: E402


def raw_of(record: Record) -> dict:
    return json.loads(json.dumps(record.to_dict()))


def test_identity_hash_is_sha256_of_canonical_json():
    text = '{"a":[1,2],"b":{"10":0,"9":0}}'
    assert identity_hash({'b': {10: 0, 9: 0}, 'a': (1, 2)}) == hashlib.sha256(text.encode()).hexdigest()
    assert identity_hash({'lr': 1e-3}) != identity_hash({'lr': 1e-4})


@pytest.mark.parametrize('part', [float('nan'), Path('x'), {1, 2}])
def test_identity_that_json_cannot_say(part):
    with pytest.raises(RecordError, match='identity of a cell'):
        identity_hash({'part': part})


def test_sha256_file(tmp_path):
    (tmp_path / 'f').write_bytes(b'abc')
    assert sha256_file(tmp_path / 'f') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


def test_written_record_reads_back_whole(tmp_path):
    record = make_record('sigma_mlp_toy', subset='5-a-class', seed=2, num_unscored=1)
    path = write_record(record, tmp_path)
    name = 'sigma_mlp_toy_finetune_toy_5-a-class_s2'
    assert path == tmp_path / 'records' / 'sigma_mlp_toy' / 'finetune-v1' / f'{name}.json' == record.path
    assert read_record(path) == record
    assert read_record(path).path == path
    assert predictions_path(path).name == f'{name}.predictions.npz'
    assert config_path(path).name == f'{name}.config.py'
    assert read_records(tmp_path) == read_records(tmp_path / 'records') == read_records(path) == [record]


def test_records_come_sorted_by_path(tmp_path):
    for encoder, seed in [('b', 1), ('a', 1), ('b', 0), ('a', 0)]:
        write_record(make_record(encoder, seed=seed), tmp_path)
    assert [record.name[0] + record.name[-1] for record in read_records(tmp_path)] == ['a0', 'a1', 'b0', 'b1']


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_atomic(tmp_path / 'f', b'old')

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        write_atomic(tmp_path / 'f', b'new')
    assert [path.name for path in tmp_path.iterdir()] == ['f']
    assert (tmp_path / 'f').read_bytes() == b'old'


def test_what_is_written_bit_by_bit_is_there_when_all_of_it_is(tmp_path):
    write_atomic(tmp_path / 'f', b'old')
    with open_atomic(tmp_path / 'f') as file:
        file.write(b'ne')
        file.flush()
        assert (tmp_path / 'f').read_bytes() == b'old'
        file.write(b'w')
    assert (tmp_path / 'f').read_bytes() == b'new'

    def stopped():
        with open_atomic(tmp_path / 'f') as file:
            file.write(b'half')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [path.name for path in tmp_path.iterdir()] == ['f']
    assert (tmp_path / 'f').read_bytes() == b'new'


def test_a_half_written_file_does_not_count_as_a_record(tmp_path):
    path = write_record(make_record(), tmp_path)
    path.with_name(f'.{path.name}.0123.tmp').write_text('{"cell": ')
    assert len(read_records(tmp_path)) == 1


def test_set_aside_keeps_what_another_identity_measured(tmp_path):
    path = write_record(make_record(), tmp_path)
    predictions_path(path).write_bytes(b'scores')
    kept = set_aside(path)
    assert kept.parent == tmp_path / 'superseded' / 'random' / 'finetune-v1'
    assert read_record(kept).name == make_record().name
    assert predictions_path(kept).read_bytes() == b'scores'
    assert not path.exists()
    assert not predictions_path(path).exists()
    assert set_aside(path) is None
    write_record(make_record(), tmp_path)
    assert len(read_records(tmp_path)) == 1


BROKEN = [
    (lambda raw: raw['score'].pop('value'), "'score.value' is missing"),
    (lambda raw: raw['score'].update(value='83'), r"'score.value' is '83' \(str\), wanted float"),
    (lambda raw: raw['score'].update(value=float('nan')), 'top1 is nan, wanted a finite number'),
    (lambda raw: raw['score'].update(value=101.0), 'top1 is 101.0, wanted percent from 0 to 100'),
    (lambda raw: raw['score'].update(others={'top5': None}), 'top5 is None'),
    (
        lambda raw: raw['protocol'].update(versoin=1),
        "Unknown key 'protocol.versoin'. Did you mean 'protocol.version'",
    ),
    (lambda raw: raw.update(sede=1), "Unknown key 'sede'"),
    (lambda raw: raw.update(seed=True), r"'seed' is True \(bool\), wanted int"),
    (lambda raw: raw.update(dataset=3), "'dataset' is 3, wanted a dict"),
    (lambda raw: raw.update(schema=99), 'has schema 99, but this code reads up to 1'),
    (lambda raw: raw['identity'].update(seed=5), "'cell.id' is not the hash of 'identity'"),
    (
        lambda raw: raw['dataset'].update(num_scored=98),
        '100 videos listed, but 98 scored and 0 named as unscored',
    ),
    (lambda raw: raw['dataset'].update(unscored=['a.mp4']), "'dataset.unscored' holds 'a.mp4'"),
    (lambda raw: raw.update(subset={'seed': 1}), "'subset.name' is missing"),
    (lambda raw: raw.update(published=True, encoder={'name': 'x'}), 'name its paper'),
]


@pytest.mark.parametrize('change, sentence', BROKEN)
def test_what_does_not_fit_the_schema_is_named(tmp_path, change, sentence):
    raw = raw_of(make_record())
    change(raw)
    path = tmp_path / 'records' / 'cell.json'
    path.parent.mkdir()
    path.write_text(json.dumps(raw))
    with pytest.raises(RecordError, match=sentence) as caught:
        read_records(tmp_path)
    assert str(path) in str(caught.value)
    if 'schema' in raw and set(raw) <= set(Record.__dataclass_fields__):
        with pytest.raises(RecordError, match=sentence):
            write_record(Record(**raw), tmp_path / 'out')
        assert not (tmp_path / 'out').exists()


def test_optional_keys_may_be_absent(tmp_path):
    raw = raw_of(make_record())
    del raw['run']['packages'], raw['recipe'], raw['score']['others']
    (tmp_path / 'cell.json').write_text(json.dumps(raw))
    record = read_record(tmp_path / 'cell.json')
    assert record.recipe == {'name': None}
    assert record.get('run.packages') is None


def test_files_that_are_no_records_are_named(tmp_path):
    with pytest.raises(RecordError, match='nowhere: no such folder'):
        read_records(tmp_path / 'nowhere')
    with pytest.raises(RecordError, match='no result records; run eval/run_severe.py'):
        read_records(tmp_path)
    (tmp_path / 'cut.json').write_text('{"cell": {"id"')
    with pytest.raises(RecordError, match=r'cut\.json: not a JSON file .* run its cell again'):
        read_records(tmp_path)
    (tmp_path / 'cut.json').write_text('{"lr": 1}')
    with pytest.raises(RecordError, match=r'cut\.json: not a result record'):
        read_records(tmp_path)


@pytest.mark.parametrize('name', ['../up', '', '.hidden', 'a/b', 'a b'])
def test_names_that_would_leave_their_folder_are_refused(tmp_path, name):
    with pytest.raises(RecordError, match='names a file'):
        record_path(tmp_path, name, 'finetune', 1, 'cell')


def test_coverage_and_its_threshold():
    assert coverage(make_record(num_listed=200, num_unscored=1)) == 99.5
    assert not is_partial(make_record(num_unscored=1))  # 99 % exactly
    partial = make_record(num_unscored=2)
    assert is_partial(partial)
    check_comparable([make_record(), partial])  # the table marks it


UNLIKE = [
    ('protocol.version', 2),
    ('protocol.evaluator_version', 2),
    ('dataset.list_sha256', 'f' * 64),
    ('dataset.split', 'val'),
    ('score.metric', 'mean_class'),
    ('selection.how', 'best on test'),
]


@pytest.mark.parametrize('key, value', UNLIKE)
def test_unlike_records_are_refused_with_field_and_values(key, value):
    a, b, c = make_record('a'), make_record('b'), make_record('c')
    section, leaf = key.split('.')
    was = a.get(key)
    getattr(c, section)[leaf] = value
    assert differences([a, b]) == []
    assert differences([a, b, c]) == [(key, {was: [a.name, b.name], value: [c.name]})]
    with pytest.raises(RecordError) as caught:
        check_comparable([a, b, c])
    assert f'{key}: {was!r} in {a.name}, {b.name}; {value!r} in {c.name}' in str(caught.value)


def test_subsets_compare_by_kind_and_not_by_draw():
    seeds = [make_record(subset='5-a-class', seed=seed) for seed in (0, 1)]
    assert seeds[0].subset['sha256'] != seeds[1].subset['sha256']
    assert differences(seeds) == []
    assert differences([seeds[0], make_record(subset='10-a-class')])[0][0] == 'subset.name'
    assert differences([seeds[0], make_record()])[0][1] == {
        '5-a-class': [seeds[0].name],
        None: [make_record().name],
    }


def test_published_numbers_may_leave_unsaid_what_papers_do_not_say(tmp_path):
    ours, theirs = make_record(), make_record('sigma_paper')
    theirs.published, theirs.seed, theirs.run, theirs.selection, theirs.config_sha256 = (
        True,
        None,
        {},
        {},
        None,
    )
    theirs.dataset = {'name': 'toy'}
    theirs.encoder['source'] = 'arXiv:2407.15447, table 1'
    assert read_record(write_record(theirs, tmp_path)) == theirs
    assert coverage(theirs) is None
    check_comparable([ours, theirs])
    theirs.protocol['version'] = 2
    assert differences([ours, theirs])[0][0] == 'protocol.version'


def test_a_published_number_names_no_version(tmp_path):
    theirs = make_record('sigma_paper')
    theirs.published, theirs.dataset, theirs.protocol = True, {'name': 'toy'}, {'name': 'finetune'}
    path = write_record(theirs, tmp_path)
    assert path.parent.name == 'finetune-published'
    assert read_record(path) == theirs
    theirs.protocol = {'version': 1}
    with pytest.raises(RecordError, match="'protocol.name' is missing"):
        write_record(theirs, tmp_path)
    ours = make_record()
    ours.protocol['version'] = None
    with pytest.raises(RecordError, match="'protocol.version' is missing"):
        write_record(ours, tmp_path)


def test_samplings_compare_by_name_where_both_say_it(tmp_path):
    old, dense, published = make_record('a'), make_record('b'), make_record('c')
    dense.sampling = {'name': 'dense', 'num_frames': 16, 'stride_frames': 4, 'views': '5x3'}
    published.sampling = {'name': 'published'}
    assert read_record(write_record(dense, tmp_path)).sampling == dense.sampling
    assert read_record(write_record(old, tmp_path)).sampling is None
    assert differences([old, dense]) == []
    assert differences([old, dense, published]) == [
        ('sampling.name', {'dense': [dense.name], 'published': [published.name]})
    ]
    with pytest.raises(RecordError, match=r"sampling\.name: 'dense' in b_finetune_toy_s0; 'published' in c_finetune"):
        check_comparable([dense, published])
    dense.sampling = {'stride_frames': 4}
    with pytest.raises(RecordError, match="'sampling.name' is missing"):
        write_record(dense, tmp_path)


def test_nearest_name():
    assert did_you_mean('figure', 'bar', ['lines', 'bars']) == (
        "Unknown figure 'bar'. Did you mean 'bars'? Known: bars, lines"
    )
    assert did_you_mean('figure', 'qqq', ['bars']) == "Unknown figure 'qqq'. Known: bars"


def test_reading_records_needs_the_standard_library_alone():
    code = f'import sys; sys.path.insert(0, {str(Path(records.__file__).parents[1])!r}); import eval.records'
    # -S: without site-packages there is nothing else to import.
    subprocess.run([sys.executable, '-S', '-I', '-c', code], check=True)


def test_committed_records_are_whole():
    assert len(read_records(COMMITTED)) == 8


@pytest.mark.parametrize('old', ['5_a_class', '5-a-class', '5 a class'])
def test_a_subset_has_one_spelling_whatever_an_older_record_says(old):
    assert make_record(subset=old).subset['name'] == '5-a-class' == subset_name(5, None)
    assert subset_name(None, 1000) == '1000-examples' == spelled('1000_examples')
    assert subset_name(None, None) is None
    assert spelled('hard_half') == 'hard_half'  # another protocol's own name stays


def test_a_record_counts_the_readers_that_serve_the_test_videos():
    from types import SimpleNamespace

    from eval.run_cell import readers_of
    from sigma.video import Proof

    proofs = [Proof(9, ('pyav', 'decord')), Proof(9, ('pyav',)), Proof(9), None]
    reasons = [None, None, None, 'the file is empty']
    entries = [{'proof': proof, 'reason': reason} for proof, reason in zip(proofs, reasons, strict=True)]
    dataset = SimpleNamespace(entries=lambda split: entries)

    def found(recipe):
        return readers_of(SimpleNamespace(recipe=recipe, dataset=dataset))

    assert found({'decoder': 'proved'}) == {'pyav': 2, 'pyav_from_start': 1}
    assert found({'decoder': 'decord'}) == {'decord': 1, 'none': 2}
    assert found({}) is None


FOREIGN = {
    'cut.json': b'{"cell": {"id": "12',
    'binary.json': bytes(range(256)),
    'deep.json': b'[' * 100_000,
    'empty.json': b'',
    'list.json': b'[1, 2]',
    'package.json': b'{"name": "left-pad", "version": "1.0.0"}',
    'utf16.json': '{"cell": {}}'.encode('utf-16'),
}


def test_damaged_and_foreign_files_are_named_and_left_out(tmp_path):
    kept = write_record(make_record(), tmp_path)
    for name, content in FOREIGN.items():
        (kept.parent / name).write_bytes(content)
    (kept.parent / 'folder.json').mkdir()
    found, faults = readable_records(tmp_path)
    assert [record.path for record in found] == [kept]
    names = sorted([*FOREIGN, 'folder.json'])
    assert [fault.partition(':')[0] for fault in faults] == [str(kept.parent / name) for name in names]
    kept.unlink()
    with pytest.raises(RecordError, match=r'binary\.json.* \(8 files, none is a record that can be read\)'):
        readable_records(tmp_path)


@pytest.mark.parametrize(
    'strange', [None, True, 'x', '', [], {}, [1], {'a': 1}, -1, 10**400, 1e300, float('nan')], ids=repr
)
def test_whatever_stands_under_a_key_the_file_is_read_or_refused(tmp_path, strange):
    path = tmp_path / 'cell.json'
    for key in (*records.SCHEMA, *records.SECTIONS):
        raw = raw_of(make_record(subset='5-a-class', num_unscored=1))
        section, _, leaf = key.partition('.')
        if leaf:
            raw[section] = raw.get(section) or {}
            raw[section][leaf] = strange
        else:
            raw[section] = strange
        path.write_text(json.dumps(raw))
        with contextlib.suppress(RecordError):
            read_record(path)


def test_several_versions_of_a_protocol_are_refused_even_in_different_columns():
    one, two, other = (
        make_record(),
        make_record('sigma_mlp_toy', dataset='toy_shift'),
        make_record(protocol='frozen_linear'),
    )
    two.protocol['version'], other.protocol['version'] = 2, 2
    check_versions([one, other])
    with pytest.raises(RecordError) as caught:
        check_versions([other, two, one])
    said = str(caught.value)
    assert f'protocol.version: 1 in {one.name}; 2 in {two.name}; show finetune v1 and finetune v2' in said
    assert other.name not in said
