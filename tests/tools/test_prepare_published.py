"""tools/prepare.py on every published dataset, laid out as it is downloaded, with a few clips and small annotations."""

import gzip
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from eval.protocols.subsets import examples_of_all
from sigma import configs
from sigma.data import cards
from sigma.data import index as index_module
from sigma.data.cards import load_dataset_card
from sigma.data.index import VideoInfo
from sigma.datasets import published
from tests.conftest import ROOT, call_main
from tests.sigma.data.test_index import write_video

spec = importlib.util.spec_from_file_location('prepare', ROOT / 'tools' / 'prepare.py')
prepare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare)


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp('clip') / 'clip.mp4'
    write_video(path, num_frames=4)
    return path.read_bytes()


@pytest.fixture
def lay(tmp_path, clip):
    """Lays copies of a clip under `videos`, each with other bytes at its end."""

    def lay(*paths: str) -> Path:
        for path in paths:
            file = tmp_path / 'videos' / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(clip + b'\0\0\0\x18free' + path.encode()[-16:].rjust(16))
        return tmp_path / 'videos'

    return lay


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Cards that take lists of any length, shipped lists of our own, and videos read in this process."""
    monkeypatch.setenv('SIGMA_DATA', str(tmp_path / 'data'))
    shipped = tmp_path / 'shipped'
    monkeypatch.setattr(published, 'SHIPPED', shipped)
    monkeypatch.setattr(index_module, 'in_processes', lambda do, jobs, workers, **_: ((job, do(job)) for job in jobs))

    def open_card(name: str):
        card = load_dataset_card(name)
        splits = {split: entry | {'sha256': None, 'num_videos': None} for split, entry in card.info['splits'].items()}
        return replace(card, info=card.info | {'splits': splits})

    monkeypatch.setattr(prepare, 'load_dataset_card', open_card)

    def ship(**lists: str) -> None:
        for name, text in lists.items():
            file = shipped / f'{name.replace("__", "/")}.txt.gz'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.compress(text.encode(), mtime=0))

    return ship


def mat(*bounds: int) -> bytes:
    """A struct as UCFRep has one a video."""
    file = io.BytesIO()
    label = {'temporal_bound': np.array(bounds)[:, None], 'start_frame': bounds[0], 'end_frame': bounds[-1]}
    scipy.io.savemat(file, {'label': label})
    return file.getvalue()


def files(folder: Path, **contents: str | bytes) -> Path:
    for name, content in contents.items():
        path = folder / name.replace('__', '/').replace('DOT', '.')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


GYM = 'A0xAXXysHUo_E_002184_002237_A_0035_0036'
GYM2 = 'AZ4wWG6Rcak_E_003643_003675_A_0024_0026'
SSV2 = '[{{"id": "{}", "label": "pushing a cup", "template": "Pushing [something] from left to right"}}]'
DIVING = '[{{"vid_name": "{}", "label": 47, "start_frame": 0, "end_frame": 78}}]'

# dataset: shipped lists; the user's annotation files; train and test video on the disk; their lines in the lists
LAYOUTS = {
    'ucf101': (
        {'ucf101__train': 'Archery/v_Archery_g08_c01.avi 2\n', 'ucf101__test': 'YoYo/v_YoYo_g01_c01.avi 100\n'},
        {},
        ('UCF-101/Archery/v_Archery_g08_c01.avi', 'UCF-101/YoYo/v_YoYo_g01_c01.avi'),
        ('Archery/v_Archery_g08_c01.avi 2', 'YoYo/v_YoYo_g01_c01.avi 100'),
    ),
    **{
        name: (
            {f'hmdb51__split{n}_train': 'wave/a!_wave.avi 50\n', f'hmdb51__split{n}_test': 'chew/b_(x).avi 3\n'},
            {},
            ('wave/a!_wave.avi', 'chew/b_(x).avi'),
            ('wave/a!_wave.avi 50', 'chew/b_(x).avi 3'),
        )
        for n, name in ((1, 'hmdb51'), (2, 'hmdb51_split2'), (3, 'hmdb51_split3'))
    },
    **{
        name: (
            {'gym99__train': f'{GYM}.mp4 {label}\nother.mp4 73\n', 'gym99__test': f'{GYM2}.mp4 {label + 1}\n'},
            {},
            (f'elements/{GYM}.avi', f'{GYM2}.mp4'),
            (f'{GYM}.mp4 {label - first}', f'{GYM2}.mp4 {label + 1 - first}'),
        )
        for name, label, first in (
            ('gym_fx_s1', 15, 6),
            ('gym_ub_s1', 87, 74),
            ('gym_vault', 4, 0),
            ('gym_floor', 39, 6),
        )
    },
    'gym99': (
        {'gym99__train': f'{GYM}.mp4 98\n', 'gym99__test': f'{GYM2}.mp4 0\n'},
        {},
        (f'{GYM}.mkv', f'{GYM2}.webm'),
        (f'{GYM}.mp4 98', f'{GYM2}.mp4 0'),
    ),
    'gym288': (
        {'gym288__train': f'{GYM}.mp4 287\n', 'gym288__test': f'{GYM2}.mp4 138\n'},
        {},
        (f'{GYM}.mp4', f'{GYM2}.mp4'),
        (f'{GYM}.mp4 287', f'{GYM2}.mp4 138'),
    ),
    'k400': (
        {'k400__test': '0wR5jVB-WPk_000417_000427.mp4 0\n'},
        {'trainDOTcsv': 'label,youtube_id,time_start,time_end,split\nzumba,-abcdefghij,7,17,train\n'},
        ('train/zumba/-abcdefghij_000007_000017.mp4', 'val/abseiling/0wR5jVB-WPk_000417_000427.mkv'),
        ('-abcdefghij_000007_000017.mp4 399', '0wR5jVB-WPk_000417_000427.mp4 0'),
    ),
    'ssv2': (
        {},
        {
            'something-something-v2-trainDOTjson': SSV2.format(7),
            'labels__something-something-v2-validationDOTjson': SSV2.format(12),
        },
        ('20bn-something-something-v2/7.webm', '20bn-something-something-v2/12.mp4'),
        ('7.webm 93', '12.webm 93'),
    ),
    'diving48': (
        {},
        {
            'Diving48_V2_trainDOTjson': DIVING.format('_8qKunCjtY_0001'),
            'Diving48_V2_testDOTjson': DIVING.format('-a_1'),
        },
        ('rgb/_8qKunCjtY_0001.mp4', 'rgb/-a_1.mp4'),
        ('_8qKunCjtY_0001.mp4 47', '-a_1.mp4 47'),
    ),
    'ntu60': (
        {},
        {
            'trainlist01DOTtxt': 'drop/S001C001P001R001A005_rgb.avi \n',
            'testlist01DOTtxt': 'drop/S001C001P003R001A005_rgb.avi \n',
        },
        ('nturgb+d_rgb/S001C001P001R001A005_rgb.avi', 'nturgb+d_rgb/S001C001P003R001A005_rgb.avi'),
        ('S001C001P001R001A005_rgb.avi 4', 'S001C001P003R001A005_rgb.avi 4'),
    ),
    'charades': (
        {},
        {
            'Charades__Charades_v1_trainDOTcsv': 'id,actions\nAB12X,c092 11.90 21.20;c001 0.00 12.60\n',
            'Charades__Charades_v1_testDOTcsv': 'id,actions\nCD34Y,\n',
        },
        ('Charades_v1_480/AB12X.mp4', 'Charades_v1_480/CD34Y.mp4'),
        ('AB12X.mp4 1 92', 'CD34Y.mp4'),
    ),
    'thumos14': (
        {},
        {
            'thumos_14_annoDOTjson': '{"database": {"video_validation_0000051": {"subset": "training", "annotations": '
            '[{"segment": [67.5, 75.9], "label": "Billiards"}, {"segment": ["1", "2"], "label": "Ambiguous"}]}, '
            '"video_test_0000004": {"subset": "validation", "annotations": []}}}',
        },
        ('TH14_validation_set_mp4/video_validation_0000051.mp4', 'TH14_test_set_mp4/video_test_0000004.mp4'),
        ('video_validation_0000051.mp4 2', 'video_test_0000004.mp4'),
    ),
    'activitynet': (
        {},
        {
            'anet_anno_actionDOTjson': '{"v_QOlSCBRmfWY": {"annotations": [{"segment": [6.2, 77.7], "label": "Ballet"}]'
            '}, "v_ehGHCYKzyZ8": {"annotations": []}, "v_test": {"annotations": []}}',
            'video_info_newDOTcsv': 'video,subset\nv_QOlSCBRmfWY,training\nv_ehGHCYKzyZ8,validation\nv_test,testing\n',
        },
        ('train/v_QOlSCBRmfWY.mp4', 'val/v_ehGHCYKzyZ8.mp4'),
        ('v_QOlSCBRmfWY.mp4 176', 'v_ehGHCYKzyZ8.mp4'),
    ),
    'ucfrep': (
        {},
        {
            'annotations__train__v_Biking_g01_c01DOTmat': mat(1, 3, 4, 5),
            'annotations__val__v_HulaHoop_g02_c01DOTmat': mat(1, 2, 4),
        },
        ('UCF-101/Biking/v_Biking_g01_c01.avi', 'UCF-101/HulaHoop/v_HulaHoop_g02_c01.avi'),
        ('v_Biking_g01_c01.avi 3', 'v_HulaHoop_g02_c01.avi 2'),
    ),
}


WITH_TIMES = ('charades', 'ucfrep', 'thumos14', 'activitynet')


def test_every_published_dataset_has_its_layout_here():
    given = {name: published.prepare_from(load_dataset_card(name)) for name in published.published_cards()}
    # mimetics has nothing to train on, see below; tests/sigma/datasets/test_stills.py prepares the images
    assert {*LAYOUTS, 'mimetics', 'imagenet1k', 'cifar100'} == {name for name in given if 'pictures' not in given[name]}


@pytest.mark.parametrize('name', LAYOUTS)
def test_as_downloaded(name, small, lay, tmp_path, capsys):
    shipped, annotations, videos, lines = LAYOUTS[name]
    small(**shipped)
    root = lay(*videos, 'other/readme.mp4')
    where = ['--annotations', files(tmp_path / 'labels', **annotations)] if annotations else []
    done = call_main(prepare.main, capsys, name, '--root', root, *where)
    assert done.returncode == 0, done.stderr
    assert '2 of 2 videos are readable' in done.stdout
    out = tmp_path / 'data' / name
    wanted = {'dataset.py', 'index.jsonl', 'test.txt', 'train.txt'}
    if name in WITH_TIMES:
        wanted.add('annotations.json')
    assert {path.name for path in out.iterdir()} == wanted
    assert (out / 'train.txt').read_text() == lines[0] + '\n'
    assert (out / 'test.txt').read_text() == lines[1] + '\n'
    published_card, written = load_dataset_card(name), load_dataset_card(str(out))
    for key in (
        'name',
        'task',
        'metric',
        'flips_change_label',
        'source',
        'licence',
        'obtain',
        'sampling',
        'annotations',
    ):
        assert written.info.get(key) == published_card.info.get(key)
    assert written.info.get('classes') == published_card.info.get('classes')
    for split, video in zip(('train', 'test'), videos):
        (entry,) = written.entries(split)
        assert entry['filename'] == str(root / video)
        assert (entry['total_frames'], entry['fps'], entry['reason']) == (4, 25, None)
        assert (entry['annotation'] is not None) == (name in WITH_TIMES)


MIMETICS = 'label,youtube_id,time_start,time_end,split,is_cc\n{},-abcdefghij,7,17,test,0\n{},b_c,0,10,test,1\n'


def test_mimetics_is_for_testing_alone(small, lay, tmp_path, capsys):
    small()
    root = lay('playing_guitar/-abcdefghij_000007_000017.mp4', 'b_c_0_10.mp4')  # times as some download them
    labels = files(tmp_path / 'labels', mimetics_v1DOT0DOTcsv=MIMETICS.format('playing guitar', 'archery'))
    done = call_main(prepare.main, capsys, 'mimetics', '--root', root, '--annotations', labels)
    assert done.returncode == 0, done.stderr
    card = load_dataset_card(str(tmp_path / 'data' / 'mimetics'))
    assert (card.info['trained_on'], card.info['restricted'], card.num_classes) == ('k400', True, 400)
    assert card.pairs('train') == []
    assert card.pairs('test') == [('-abcdefghij_000007_000017.mp4', 232), ('b_c_000000_000010.mp4', 5)]
    assert card.info['classes'][232] == 'playing guitar'
    assert [entry['reason'] for entry in card.entries('test')] == [None, None]
    (labels / 'mimetics_v1.0.csv').write_text(MIMETICS.format('playing guitar', 'miming'))
    done = call_main(prepare.main, capsys, 'mimetics', '--root', root, '--annotations', labels)
    assert done.returncode == 2
    assert "is not as mimetics was published (no such field or class: 'miming')" in done.stderr


def test_times_and_cycles_stand_beside_the_lists(small, lay, tmp_path, capsys):
    for name in ('charades', 'ucfrep'):
        _, annotations, videos, _ = LAYOUTS[name]
        arguments = ['--root', lay(*videos), '--annotations', files(tmp_path / name, **annotations)]
        assert call_main(prepare.main, capsys, name, *arguments).returncode == 0
    times = json.loads((tmp_path / 'data' / 'charades' / 'annotations.json').read_text())
    assert times == {'AB12X.mp4': {'actions': [[11.9, 21.2, 92], [0.0, 12.6, 1]]}, 'CD34Y.mp4': {'actions': []}}
    cycles = json.loads((tmp_path / 'data' / 'ucfrep' / 'annotations.json').read_text())
    assert cycles == {  # C1: with the section that is counted in
        'v_Biking_g01_c01.avi': {'cycles': [0, 2, 3, 4], 'section': [0, 4]},
        'v_HulaHoop_g02_c01.avi': {'cycles': [0, 1, 3], 'section': [0, 3]},
    }


def test_cycles_behind_the_last_frame_are_told(small, lay, tmp_path, capsys):
    videos = LAYOUTS['ucfrep'][2]
    labels = files(
        tmp_path / 'labels', train__v_Biking_g01_c01DOTmat=mat(1, 3, 6), val__v_HulaHoop_g02_c01DOTmat=mat(1, 2, 5)
    )
    done = call_main(prepare.main, capsys, 'ucfrep', '--root', lay(*videos), '--annotations', labels)
    assert done.returncode == 0
    assert '1 video (v_Biking_g01_c01.avi) is shorter than the frame of the last' in done.stderr


# --- missing and unreadable videos ---------------------------------------------------------------------------------


def four_of_gym(small, lay) -> Path:
    small(gym99__train='a.mp4 0\nb.mp4 1\nc.mp4 0\n', gym99__test='d.mp4 1\n')
    return lay('a.mp4', 'x/c.avi', 'd.mp4')


def test_missing_videos_are_named_and_nothing_else_is_written(small, lay, tmp_path, capsys):
    root, out = four_of_gym(small, lay), tmp_path / 'out'
    done = call_main(prepare.main, capsys, 'gym99', '--root', root, '--out', out)
    assert done.returncode == 1
    assert '1 video (b.mp4) is missing of 4 listed' in done.stderr
    assert 'Get them from: videos named in the lists' in done.stderr
    assert {path.name for path in out.iterdir()} == {'index.jsonl', 'missing.txt'}
    assert (out / 'missing.txt').read_text() == 'b.mp4\n'


def test_missing_videos_may_stay_in_the_lists_and_come_later(small, lay, tmp_path, capsys):
    root, out = four_of_gym(small, lay), tmp_path / 'out'
    (root / 'd.mp4').write_bytes(b'')
    arguments = ['gym99', '--root', root, '--out', out, '--allow-unreadable']
    done = call_main(prepare.main, capsys, *arguments)
    assert done.returncode == 0
    assert 'train: 3 videos, 2 readable' in done.stdout
    assert '  unreadable: d.mp4: the file is empty' in done.stdout
    card = load_dataset_card(str(out))
    assert [video for video, _ in card.pairs('train')] == ['a.mp4', 'b.mp4', 'c.mp4']
    assert [entry['reason'] for entry in card.entries('train')] == [None, 'no such file', None]
    assert card.entries('test')[0]['reason'] == 'the file is empty'

    lay('late/b.webm', 'd.mp4')
    shutil.move(root / 'x' / 'c.avi', root / 'c.avi')
    assert call_main(prepare.main, capsys, *arguments).returncode == 0
    assert not (out / 'missing.txt').exists()
    entries = load_dataset_card(str(out)).entries('train')
    assert [Path(entry['filename']).relative_to(root).as_posix() for entry in entries] == [
        'a.mp4',
        'late/b.webm',
        'c.avi',
    ]
    assert {entry['reason'] for entry in entries} == {None}


def test_a_second_run_reads_no_video_again(small, lay, tmp_path, capsys, monkeypatch):
    root, out = four_of_gym(small, lay), tmp_path / 'out'
    arguments = ['gym99', '--root', root, '--out', out, '--allow-unreadable']
    assert call_main(prepare.main, capsys, *arguments).returncode == 0
    read = []
    monkeypatch.setattr(index_module, 'in_processes', lambda do, jobs, workers, **_: read.extend(jobs) or [])
    assert call_main(prepare.main, capsys, *arguments).returncode == 0
    assert read == []


def test_half_of_the_videos_missing_changes_neither_list_nor_draw(monkeypatch, lay, tmp_path, capsys):
    """With the real lists; reading the videos is left out."""

    def unread(_do, jobs, _workers, **_):
        for job in jobs:
            yield job, VideoInfo(job[0], readable=True, frames=4, fps=25.0, sha256=job[0], file=job[2])

    monkeypatch.setattr(index_module, 'in_processes', unread)
    card = load_dataset_card('gym_vault')
    whole = published.source_of(card).read(Path(), card, []).splits
    listed = whole['train'] + whole['test']
    root, out = lay(*(video for video, _ in listed[::2])), tmp_path / 'out'
    arguments = ['gym_vault', '--root', root, '--out', out, '--allow-unreadable']
    done = call_main(prepare.main, capsys, *arguments)
    assert done.returncode == 0
    assert f'{len(listed) // 2} of {len(listed)} videos are readable' in done.stdout
    written = load_dataset_card(str(out))
    assert written.list_sha256('train') == card.split('train')['sha256']
    labels = [label for _, label in written.pairs('train')]
    assert written.pairs('train') == whole['train']
    drawn = [examples_of_all(some, 30, 6, seed=0) for some in (labels, [label for _, label in whole['train']])]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 30
    reasons = [written.entries('train')[position]['reason'] for position in drawn[0]]
    assert {None, 'no such file'} == set(reasons)


# --- bad input -----------------------------------------------------------------------------------------------------


def assert_refused(done, out: Path, *words: str) -> None:
    assert done.returncode == 2
    assert done.stderr.startswith('prepare: ')
    assert done.stderr.count('\n') == 1
    for word in words:
        assert word in done.stderr
    assert not out.exists()


def test_another_list_is_refused_before_anything_is_written(small, lay, monkeypatch, tmp_path, capsys):
    _, annotations, videos, _ = LAYOUTS['diving48']
    monkeypatch.setattr(prepare, 'load_dataset_card', load_dataset_card)
    labels, out = files(tmp_path / 'labels', **annotations), tmp_path / 'out'
    done = call_main(prepare.main, capsys, 'diving48', '--root', lay(*videos), '--annotations', labels, '--out', out)
    entry = load_dataset_card('diving48').split('train')
    assert_refused(done, out, 'list 1 videos, sha256', f'says 15027, sha256 {entry["sha256"]}', 'svcl.ucsd.edu')


def test_two_files_of_one_name_are_refused(small, lay, tmp_path, capsys):
    root, out = four_of_gym(small, lay), tmp_path / 'out'
    lay('x/a.avi', 'y/a.avi')
    (root / 'a.mp4').unlink()
    done = call_main(prepare.main, capsys, 'gym99', '--root', root, '--out', out)
    assert_refused(done, out, '2 files may be a.mp4: x/a.avi, y/a.avi')


def test_a_root_without_these_videos_is_refused(small, lay, tmp_path, capsys):
    four_of_gym(small, lay)
    out = tmp_path / 'out'
    (tmp_path / 'elsewhere').mkdir()
    done = call_main(prepare.main, capsys, 'gym99', '--root', tmp_path / 'elsewhere', '--out', out)
    assert_refused(done, out, 'None of the 4 videos of gym99 (such as a.mp4)', 'sdolivia.github.io')
    done = call_main(prepare.main, capsys, 'gym99', '--root', tmp_path / 'gone', '--out', out)
    assert_refused(done, out, '--root', 'gone', 'is not a folder')


def test_malformed_annotations_are_refused(small, lay, tmp_path, capsys):
    labels, out = files(tmp_path / 'labels', trainDOTcsv='label;youtube_id\n1;2\n'), tmp_path / 'out'
    small(k400__test='0wR5jVB-WPk_000417_000427.mp4 0\n')
    done = call_main(prepare.main, capsys, 'k400', '--root', lay('a.mp4'), '--annotations', labels, '--out', out)
    assert_refused(done, out, 'train.csv', 'not as k400 was published')


# --- a dataset of one's own ----------------------------------------------------------------------------------------

OWN_CARD = """'''Kitchen: two actions, filmed at home.'''

data_root = '{{$SIGMA_DATA:data}}/kitchen'
dataset_info = dict(
    name='kitchen',
    task='action_recognition',
    classes=['cut', 'stir'],
    splits=dict(
        train=dict(list='train.txt', sha256=None, num_videos=2),
        test=dict(list='test.txt', sha256=None, num_videos=None),
    ),
    delimiter=' ',
    index='index.jsonl',
    metric='top1',
    flips_change_label=False,
    source='our own kitchen',
    licence='none',
    obtain='the kitchen',
    prepare='python tools/prepare.py kitchen.py --root VIDEOS --annotations LABELS',
)
prepare_from = dict(
    needs='kitchen.csv',
    train=dict(files=['kitchen.csv'], video='take_{take:03d}.mp4', label='verb', where=dict(part='a')),
    test=dict(files=['kitchen.csv'], video='take_{take:03d}.mp4', label='verb', where=dict(part='b')),
)
"""
OWN_ROWS = 'take,verb,part\n7,stir,a\n12,cut,a\n3,stir,b\n'


@pytest.mark.parametrize('is_dropped_in', [False, True])
def test_a_new_published_dataset_is_one_file(is_dropped_in, lay, monkeypatch, tmp_path, capsys):
    """A card alone: given by its path, or put beside the others and found there by name."""
    monkeypatch.setenv('SIGMA_DATA', str(tmp_path / 'data'))
    monkeypatch.setattr(index_module, 'in_processes', lambda do, jobs, workers, **_: ((job, do(job)) for job in jobs))
    name = card = tmp_path / 'kitchen.py'
    if is_dropped_in:
        for module in (cards, configs):
            monkeypatch.setattr(module, 'CONFIG_ROOT', tmp_path / 'configs')
        name, card = 'kitchen', files(tmp_path / 'configs', datasets__kitchenDOTpy=OWN_CARD) / 'datasets' / 'kitchen.py'
        assert published.published_cards() == {'kitchen': 'Kitchen: two actions, filmed at home.'}
    card.write_text(OWN_CARD)
    root = lay('day/take_007.mp4', 'take_012.mkv', 'take_003.mp4')
    labels = files(tmp_path / 'labels', kitchenDOTcsv=OWN_ROWS)
    done = call_main(prepare.main, capsys, name, '--root', root, '--annotations', labels)
    assert done.returncode == 0, done.stderr
    written = load_dataset_card(str(tmp_path / 'data' / 'kitchen'))
    assert written.pairs('train') == [('take_007.mp4', 1), ('take_012.mp4', 0)]
    assert written.pairs('test') == [('take_003.mp4', 1)]
    assert written.entries('train')[1]['filename'] == str(root / 'take_012.mkv')
    assert (written.name, written.info['classes']) == ('kitchen', ['cut', 'stir'])

    (labels / 'kitchen.csv').write_text(OWN_ROWS.replace('stir', 'stirr'))
    done = call_main(prepare.main, capsys, name, '--root', root, '--annotations', labels)
    assert done.returncode == 2
    assert "kitchen.csv' is not as kitchen was published (no such field or class: 'stirr')" in done.stderr


@pytest.mark.parametrize(
    'old, new, words',
    [
        ("needs='kitchen.csv'", "reader='tabel'", ("Unknown reader 'tabel'. Did you mean 'table'?", 'charades')),
        ("needs='kitchen.csv'", 'trian=1', ("Unknown setting of prepare_from 'trian'. Did you mean 'train'?",)),
        ('prepare_from =', 'prepared_from =', ("Unknown variable 'prepared_from'. Did you mean 'prepare_from'",)),
        ("needs='kitchen.csv'", "pictures='all', base='k400'", ('prepare_from must have `pictures` and `base`',)),
    ],
)
def test_a_card_that_does_not_fit_is_refused(old, new, words, lay, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('SIGMA_DATA', str(tmp_path / 'data'))
    (tmp_path / 'kitchen.py').write_text(OWN_CARD.replace(old, new))
    done = call_main(prepare.main, capsys, tmp_path / 'kitchen.py', '--root', lay('take_007.mp4'))
    assert_refused(done, tmp_path / 'data', *words)


def test_help_lists_every_published_dataset_and_loads_no_library():
    code = (
        'import runpy, sys\n'
        "sys.argv = ['prepare', '--help']\n"
        'try:\n    runpy.run_path("tools/prepare.py", run_name="__main__")\nexcept SystemExit:\n    pass\n'
        "print([m for m in ('av', 'cv2', 'decord', 'mmengine', 'numpy', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith('[]\n')
    names = done.stdout.partition('describes one):')[2].replace('[]', '').replace(',', ' ').split()
    assert names == list(published.published_cards())  # each once
    assert len(done.stdout.splitlines()) < 50


def test_the_help_of_a_published_dataset_says_what_it_is(capsys):
    with pytest.raises(SystemExit):
        prepare.main(['ucf101', '--help'])
    assert 'UCF101, fold 1: 101 classes' in capsys.readouterr().out


def test_an_unknown_name_is_answered_with_the_nearest(capsys):
    done = call_main(prepare.main, capsys, 'ucf10', '--root', 'x')
    assert done.returncode == 2
    assert "'ucf10'. Did you mean 'ucf101'?" in done.stderr
