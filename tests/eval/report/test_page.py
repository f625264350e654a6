"""What the page holds, without a browser: the summary, details of cells, gaps, videos, escaping."""

import base64
import hashlib
import io
import json
import re
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from eval.metrics import write_predictions
from eval.records import RecordError, identity_hash, predictions_path, read_record
from eval.report.page import page
from eval.report.page.clips import MOST_VIDEOS, PER_SIDE, choose, disagreements
from eval.report.page.details import as_script, document, thinned
from eval.report.page.footage import Footage, Unseen, small_clip
from eval.report.page.gaps import fillings, find_gaps
from eval.report.page.matrix import in_groups, matrix
from eval.report.page.opening import find_leads, lead_parts, opening
from eval.report.page.parts import cell_link
from eval.report.page.places import command_of, encoder_argument, log_tail
from eval.report.page.settings import against, flat, from_recipe
from eval.report.statistics_text import conclusions
from eval.report.summaries import Summary
from eval.report.table import Table
from sigma.files import sha256_file
from tests.conftest import ROOT
from tests.tools.videos import tiny_clip

COMMITTED = ROOT / 'tests' / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import add_record  # noqa: E402


def answered(root: Path, encoder: str, label, answer, dataset: str = 'toy', seed: int = 0, changes=None):
    """A record whose encoder gave these answers to videos test/0000.mp4 and on."""
    record = add_record(root, encoder=encoder, dataset=dataset, num_listed=len(label), num_classes=3, seed=seed)
    path = predictions_path(record.path)
    scores = np.eye(3, dtype=np.float32)[answer]
    write_predictions(path, [f'test/{i:04d}.mp4' for i in range(len(label))], np.array(label), scores)
    raw = json.loads(record.path.read_text())
    raw['score'] |= {'value': 100 * float(np.mean(np.equal(label, answer))), 'others': {}}
    raw['predictions_sha256'] = sha256_file(path)
    for key, value in (changes or {}).items():
        section, _, leaf = key.partition('.')
        (raw[section] if leaf else raw)[leaf or section] = value
    raw['cell']['id'] = identity_hash(raw['identity'])
    record.path.write_text(json.dumps(raw))
    return record.path


LABEL = [0, 0, 1, 1, 2, 2, 0, 1, 2, 0]
GOOD = [0, 0, 1, 1, 2, 2, 0, 1, 0, 1]  # 8 of 10
POOR = [1, 0, 1, 0, 2, 0, 1, 1, 2, 1]  # 5 of 10


@pytest.fixture(scope='module')
def two(tmp_path_factory) -> Table:
    """Two encoders on ten videos of three classes."""
    root = tmp_path_factory.mktemp('two')
    answered(root, 'sigma_mlp_toy', LABEL, GOOD)
    answered(root, 'random', LABEL, POOR)
    return Table.read([root])


def test_scores_by_class_and_confusions(two):
    data = document(two, two.columns)
    assert data['columns'][0]['classes'] == {
        'score': 'right',
        'counted': 'videos',
        'names': ['class 0', 'class 1', 'class 2'],  # the card of toy has ten
        'counts': [4, 3, 3],
    }
    good = data['cells']['sigma_mlp_toy | finetune / toy']
    assert good['classes'] == [75.0, 100.0, 66.7]
    assert good['matrix'] == [3, 1, 0, 0, 3, 0, 1, 0, 2]
    assert good['confusions'] == [(0, 1, 1), (2, 0, 1)]
    assert (good['value'], good['mean'], good['seeds']) == ('80.0', 80.0, '1')


def test_multi_label_and_seeds_have_scores_by_class(tmp_path):
    for seed in (0, 1):
        answered(tmp_path, 'random', LABEL, GOOD if seed else POOR, seed=seed)
    data = document(table := Table.read([tmp_path]), table.columns)
    cell = data['cells']['random | finetune / toy']
    assert cell['classes'] == [50.0, 83.3, 66.7]  # means of (25, 75), (66.7, 100), (66.7, 66.7)
    assert sum(cell['matrix']) == 20
    assert [data['records'][i]['seed'] for i in cell['records']] == [0, 1]


def test_the_summary_begins_with_who_wins_and_ends_with_what_there_is(two):
    assert opening(two) == [*conclusions(two), '2 encoders in 1 column, from 2 records.']


def test_who_is_best_in_a_column_and_how_sure(tmp_path):
    label = [i % 3 for i in range(60)]
    answered(tmp_path, 'sigma_mlp_toy', label, label)
    answered(tmp_path, 'videomae_toy', label, [0] * 60)
    answered(tmp_path, 'random', label, [*label[:59], 0])  # random weights are no encoder
    (lead,) = find_leads(Table.read([tmp_path]))
    assert (lead.best, lead.second, lead.ties, lead.clear) == ('sigma_mlp_toy', 'videomae_toy', 0, False)
    assert lead.gap == pytest.approx(200 / 3)
    (grid,) = lead_parts([lead._replace(clear=True)])
    assert grid.lines[0][2] == '100.0'
    assert grid.lines[0][3].startswith('66.7 ahead of videomae_toy [')
    assert grid.lines[0][4] == 'clear'


def test_one_encoder_and_encoders_that_tie(two, tmp_path):
    (lead,) = find_leads(two)
    assert (lead.best, lead.second) == ('sigma_mlp_toy', None)
    assert lead_parts([lead]) == []
    for name in ('a', 'b'):
        answered(tmp_path, name, LABEL, GOOD)
    (grid,) = lead_parts(find_leads(Table.read([tmp_path])))
    assert grid.lines[0][1:] == ['2 encoders tie', '80.0', '-', '-']


def test_the_heat_table(two):
    shown = matrix(two)
    assert [line.name for line in shown.lines] == ['random', 'sigma_mlp_toy']
    poor, good = (line.entries[0] for line in shown.lines)
    assert (good.value, good.heat, good.seeds) == ('80.0', 100, '1')
    assert poor.heat == round(100 * (50 - 100 / 3) / (80 - 100 / 3))  # between chance and the best
    assert shown.chance == ['33.3']


def test_missing_cells_and_means_say_what_they_lack():
    summary = Summary('mean', (('finetune', 'toy', '5-a-class'), ('frozen_linear', 'toy', None)))
    table = Table.read([COMMITTED], summary=summary)
    lines = {line.name: line.entries for line in matrix(table).lines}
    assert [entry.missing for entry in lines['videomae_toy']] == [
        'not measured',
        'not measured',
        '',
        'lacks finetune / toy / 5-a-class',
    ]
    assert [column.is_summary for column in in_groups(table.columns)] == [False, False, False, True]
    data = document(table, in_groups(table.columns))
    mean = data['cells']['random | mean']
    assert mean['parts'] == ['random | finetune / toy / 5-a-class', 'random | frozen_linear / toy']


def test_gaps_and_the_command_that_fills_them():
    table = Table.read([COMMITTED])
    gaps = find_gaps(table)
    assert {(gap.row, gap.column.name, tuple(gap.seeds), gap.empty) for gap in gaps} == {
        ('random', 'finetune / toy_shift', (0,), True),
        ('videomae_toy', 'finetune / toy_shift', (0,), True),
        ('videomae_toy', 'finetune / toy / 5-a-class', (0, 1), True),
    }
    found = fillings(table, gaps)
    assert found[0].command == (
        'python eval/run_severe.py --suite severe_toy --protocols finetune --encoders random videomae_toy --seeds 0 '
        f'--work-dir {COMMITTED.parent}'
    )
    assert found[0].fills == '2 cells of the suite severe_toy'
    assert json.loads(found[1].command.partition(" '")[2].rstrip("'")) == {
        'protocol': 'finetune', 'dataset': 'toy', 'recipe': 'default', 'encoder': 'videomae_toy', 'seed': 0,
    }  # fmt: skip


def test_a_cell_with_fewer_seeds_is_a_gap(tmp_path):
    for seed in (0, 1, 2):
        add_record(tmp_path, encoder='sigma_mlp_toy', dataset='toy_shift', seed=seed)
    add_record(tmp_path, encoder='random', dataset='toy_shift', seed=1)
    (gap,) = find_gaps(table := Table.read([tmp_path]))
    assert (gap.row, gap.seeds, gap.empty) == ('random', [0, 2], False)
    assert '--encoders random --seeds 0 2 ' in fillings(table, [gap])[0].command


def test_commands_name_weights_as_a_user_gives_them():
    record = read_record(next(COMMITTED.rglob('random_frozen_linear_toy_s0.json')))
    assert encoder_argument(record) == 'random'
    record.encoder |= {'name': 'mine', 'checkpoint': 'runs/encoder.safetensors'}
    assert encoder_argument(record) == 'mine=runs/encoder.safetensors'
    record.encoder |= {'name': 'vit_b-mine', 'checkpoint': 'a.pth'}
    assert encoder_argument(record) == 'vit_b@a.pth'
    record.identity |= {'recipe': 'frozen_demo', 'changes': {'epochs': 5}, 'examples': 100}
    record.dataset['limit'] = 20
    assert json.loads(command_of(record).partition(" '")[2].rstrip("'")) == {
        'protocol': 'frozen_linear', 'dataset': 'toy#limit=20', 'recipe': 'frozen_demo', 'encoder': 'vit_b@a.pth',
        'seed': 0, 'examples': 100, 'changes': [['epochs', '5']],
    }  # fmt: skip
    record.run['command'] = 'python eval/run_cell.py x'
    assert command_of(record) == 'python eval/run_cell.py x'
    assert '"seed": 3' in command_of(record, seed=3)
    record.published = True
    assert command_of(record) == ''


def test_the_config_as_changes_from_the_recipe():
    record = read_record(next(COMMITTED.rglob('random_frozen_linear_toy_s0.json')))
    assert from_recipe(record) == []
    record.identity |= {'recipe': 'finetune_demo', 'changes': {'num_steps': 10, 'views.crops': 3, 'grad_clip': 1.0}}
    assert from_recipe(record) == [
        ('num_steps', '50', '10'),
        ('views.crops', '1', '3'),
        ('grad_clip', 'default', '1.0'),
    ]
    base = flat({'model': {'depth': 4}, 'pipeline': [{'type': 'A'}, {'type': 'B'}], 'mean': (1, 2)})
    assert base == {'model.depth': '4', 'pipeline.0.type': 'A', 'pipeline.1.type': 'B', 'mean': '(1, 2)'}
    assert against(base, {**base, 'model.depth': '5', 'new': '1'}) == {'model.depth': '5', 'new': '1'}
    assert against(base, {'model.depth': '4'}) == {'pipeline.0.type': None, 'pipeline.1.type': None, 'mean': None}
    assert flat({'subset': list(range(100))})['subset'].endswith('... (390 characters)')


def test_logs_and_curves_of_a_cell(tmp_path):
    path = add_record(tmp_path, encoder='random').path
    record = read_record(path)
    folder = tmp_path / 'cells' / f'{record.name}-{record.cell["id"][:8]}'
    folder.mkdir(parents=True)
    lines = [f'\x1b[31mline {i}\x1b[0m' for i in range(30)] + ['10 %\r20 %\r100 %', 'x' * 500]
    (folder / 'cell.log').write_text('\n'.join(lines))
    (folder / 'vis_data').mkdir()
    table = Table.read([tmp_path])
    data = document(
        table,
        table.columns,
        lambda found: {'loss': ([1, 2, 3], [3.0, float('nan'), 1.0]), 'empty': ([], []), 'acc': ([2], [50.0])},
    )
    tail = data['records'][0]['log']['tail'].split('\n')
    assert (len(tail), tail[0], tail[-2]) == (20, 'line 12', '100 %')
    assert tail[-1] == 'x' * 240 + ' ...'
    assert data['records'][0]['curves'] == {'loss': [[1, 3], [3.0, 1.0]], 'acc': [[2], [50.0]]}
    assert log_tail(tmp_path / 'none.log') is None

    def broken(_):
        raise ValueError('line 3 is cut')

    assert document(table, table.columns, broken)['records'][0]['curves'] == {}


def test_curves_have_at_most_80_points_and_keep_their_mean():
    steps, values = thinned(list(range(1, 161)), [float(i) for i in range(1, 161)])
    assert (len(steps), steps[:2], values[:2], steps[-1]) == (80, [2, 4], [1.5, 3.5], 160)


# --- videos on which encoders disagree -----


def test_counts_of_disagreements_and_the_videos_chosen(two, tmp_path):
    footage = Footage([tmp_path], use_cards=False)
    found = disagreements(two, two.columns, footage)
    (column,) = found['columns']
    assert column['rows'] == ['random', 'sigma_mlp_toy']
    assert column['pairs'] == [[0, 1], [4, 0]]  # random alone: 0008; sigma alone: 0000, 0003, 0005, 0006
    assert {item['video'] for item in column['items']} == {f'test/000{i}.mp4' for i in (0, 3, 5, 6, 8)}
    eighth = next(item for item in column['items'] if item['video'] == 'test/0008.mp4')
    assert (eighth['label'], eighth['given'], eighth['right']) == (2, [2, 0], [1, 0])
    assert eighth['why'] == f'not found under {tmp_path}'
    assert footage.missing == {f'not found under {tmp_path}': 5}


def test_each_pair_gets_its_share_of_the_videos():
    right = np.zeros((3, 400), dtype=int)
    right[0, :300], right[1, 100:], right[2, 399] = 1, 1, 1
    chosen = choose(right, [f'{i:03d}' for i in range(400)])
    serves = [right[a, i] > right[b, i] for a in range(3) for b in range(3) if a != b for i in [chosen]]
    assert [int(each.sum()) >= min(PER_SIDE, most) for each, most in zip(serves, (100, 300, 100, 299, 1, 0))] == [
        True
    ] * 6
    assert len(chosen) <= MOST_VIDEOS
    assert choose(np.ones((2, 5), dtype=int), list('abcde')) == []


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten videos under toy/test, as the records of `two` name them."""
    place = tmp_path / 'videos' / 'toy' / 'test'
    place.mkdir(parents=True)
    tiny_clip(place / '0000.mp4')
    for i in range(1, 10):
        shutil.copy(place / '0000.mp4', place / f'{i:04d}.mp4')
    return tmp_path / 'videos'


def test_clips_are_small_whole_and_the_same_each_time(folder):
    video = folder / 'toy' / 'test' / '0000.mp4'
    data = small_clip(video)
    assert data == small_clip(video)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ('h264', 64, 64)
        shades = [frame.to_ndarray(format='rgb24').mean() for frame in container.decode(stream)]
    assert shades == pytest.approx([0, 40, 80, 120], abs=4)


def test_a_long_wide_video_is_cut_to_its_middle(tmp_path):
    path = tmp_path / 'long.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=50)
        stream.width, stream.height, stream.pix_fmt = 224, 112, 'yuv420p'
        for i in range(200):  # four seconds
            frame = np.full((112, 224, 3), i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    with av.open(io.BytesIO(small_clip(path))) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (192, 96, 25)
        shades = [frame.to_ndarray(format='rgb24').mean() for frame in container.decode(stream)]
    assert shades == pytest.approx(list(range(25, 175, 2)), abs=4)  # every second frame of three seconds


def test_the_limit_on_clips_is_kept_and_told(two, folder):
    whole = Footage([folder])
    found = disagreements(two, two.columns, whole)
    assert all('clip' in item for item in found['columns'][0]['items'])
    assert len(whole.clips) == 5
    assert whole.used_bytes == sum(map(len, whole.clips))
    assert base64.b64decode(whole.clips[0])[4:8] == b'ftyp'
    small = Footage([folder], megabytes=2.5 * len(whole.clips[0]) / 1e6)
    text = page(two, footage=small)
    assert len(small.clips) == 2
    assert '3 videos are not shown: left out: the clips may take' in text


@pytest.mark.parametrize('name', ['../secret.mp4', '/etc/secret.mp4', 'a/../../secret.mp4'])
def test_a_name_that_leads_out_of_the_folder_is_refused(two, folder, name):
    tiny_clip(folder.parent / 'secret.mp4')
    with pytest.raises(Unseen, match='out of the folder'):
        Footage([folder]).clip(two.records[0], name)


def test_videos_are_found_through_the_card_if_the_list_is_the_one_scored(two, tmp_path, monkeypatch):
    home = tmp_path / 'data' / 'toy'
    (home / 'videos' / 'test').mkdir(parents=True)
    tiny_clip(home / 'videos' / 'test' / 'other.mp4')
    (home / 'test.txt').write_text('test/0000.mp4 0\n')
    lines = [{'version': 2, 'root': 'videos'}, {'path': 'test/0000.mp4', 'file': 'test/other.mp4'}]
    (home / 'index.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    monkeypatch.setenv('SIGMA_DATA', str(tmp_path / 'data'))
    from eval.report.page.places import card_values

    card_values.cache_clear()
    record = two.records[0]
    with pytest.raises(Unseen, match='not the list that was scored'):
        Footage().find(record, 'test/0000.mp4')
    monkeypatch.setitem(record.dataset, 'list_sha256', hashlib.sha256(b'test/0000.mp4 0\n').hexdigest())
    assert Footage().find(record, 'test/0000.mp4') == home / 'videos' / 'test' / 'other.mp4'
    (home / 'test.txt').unlink()
    with pytest.raises(Unseen, match='toy is not prepared'):
        Footage().find(record, 'test/0000.mp4')
    card_values.cache_clear()


def test_a_prepared_folder_may_be_given(two, tmp_path):
    (tmp_path / 'raw' / 'b').mkdir(parents=True)
    tiny_clip(tmp_path / 'raw' / 'b' / 'zero.mp4')
    lines = [{'version': 2, 'root': 'raw'}, {'path': 'test/0000.mp4', 'file': 'b/zero.mp4'}]
    (tmp_path / 'index.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    assert Footage([tmp_path]).find(two.records[0], 'test/0000.mp4') == tmp_path / 'raw' / 'b' / 'zero.mp4'


def test_a_damaged_video_is_named(tmp_path, two):
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    with pytest.raises(Unseen, match='cannot be read: .*bad.mp4'):
        Footage([tmp_path]).clip(two.records[0], 'bad.mp4')


# --- the file -----


def test_no_character_of_a_record_can_end_the_script():
    text = as_script({'a': '</script><!-- & <b>'})
    assert not re.search('[<>&]', text)
    assert json.loads(text) == {'a': '</script><!-- & <b>'}


def test_strange_names_are_escaped(tmp_path):
    name = '<img src=x onerror="hacked=1">'
    answered(tmp_path, 'random', LABEL, POOR, changes={'notes': [f'</script>{name}']})
    path = answered(tmp_path, 'sigma_mlp_toy', LABEL, GOOD, changes={'encoder.name': name, 'run.device': name})
    assert path.is_file()
    text = page(Table.read([tmp_path]), title=f'{name}</title>')
    assert '<img src=x' not in text
    assert text.count('<script') == text.count('</script') == 2
    assert '&lt;img src=x onerror=&#34;hacked=1&#34;&gt;' in text
    link = cell_link(name, 'finetune / toy', 'x')
    assert link.href == '#cell=%3Cimg%20src%3Dx%20onerror%3D%22hacked%3D1%22%3E%20%7C%20finetune%20%2F%20toy'


def test_the_same_records_give_the_same_bytes(two, folder):
    text = page(two, command='python tools/report.py', footage=Footage([folder]))
    assert text == page(two, command='python tools/report.py', footage=Footage([folder]))
    assert 'Newest record: 2026-01-01T00:00:00+00:00. Made with SIGMA 0.1.0.' in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)  # nothing is fetched


def test_published_rows_alone_make_a_page():
    table = Table.read([], ['sigma_severe'], encoders=['SIGMA-MLP', 'VideoMAE'], datasets=['gym99', 'ucf101'])
    text = page(table)
    assert opening(table)[-1].endswith('from 0 records, beside 2 published rows.')
    assert text.count(' published</small>') == len(table.cells)


def test_an_unknown_baseline_is_refused(two):
    with pytest.raises(RecordError, match="Did you mean 'random'"):
        page(two, baseline='randon')
