"""Published datasets: lists and draws equal the published ones; which file is which video."""

import csv
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from eval.protocols.subsets import DRAW_SEEDS, examples_of_all
from sigma.data.cards import DatasetCard, load_dataset_card
from sigma.data.lists import list_text, read_list
from sigma.datasets import published
from sigma.datasets.published import Lists, check_lists, match_videos, read_lists
from sigma.datasets.published.ntu60 import TRAIN_SUBJECTS
from sigma.errors import DataError
from tests.conftest import SHARED

ANNOTATIONS = SHARED / 'data' / 'annotations'
GIVEN = {name: published.prepare_from(load_dataset_card(name)) for name in published.published_cards()}
SOURCES = [name for name, given in GIVEN.items() if 'pictures' not in given]
SHIPPED = [name for name in SOURCES if 'needs' not in GIVEN[name]]

needs_annotations = pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason='the annotations of ../shared are not here')


def open_card(name: str) -> DatasetCard:
    """The card of a dataset that takes lists of any length."""
    card = load_dataset_card(name)
    splits = {split: entry | {'sha256': None, 'num_videos': None} for split, entry in card.info['splits'].items()}
    return replace(card, info=card.info | {'splits': splits})


def sha256(pairs: list) -> str:
    return hashlib.sha256(list_text(pairs, ' ').encode()).hexdigest()


# --- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', SHIPPED)
def test_shipped_lists_are_those_of_the_card(name, tmp_path):
    card = load_dataset_card(name)
    lists = read_lists(card, None, tmp_path, [])
    for split, pairs in lists.splits.items():
        entry = card.split(split)
        assert (len(pairs), sha256(pairs)) == (entry['num_videos'], entry['sha256'])
        labels = {label for _, label in pairs}
        if (name, split) == ('gym288', 'train'):
            assert labels == set(range(288)) - {138}
        else:
            assert labels == set(range(card.num_classes))


@needs_annotations
@pytest.mark.parametrize(
    'name, train, test',
    [
        ('ucf101', 'ucf101_fold1_train', 'ucf101_fold1_test'),
        *((f'gym{n}', f'gym{n}_train', f'gym{n}_val') for n in ('99', '_fx_s1', '_ub_s1', '_vault', '_floor')),
        *((f'hmdb51{n}', f'hmdb51{m}_train', f'hmdb51{m}_test') for n, m in (
            ('', '_split1'), ('_split2', '_split2'), ('_split3', '_split3'),
        )),
    ],
)  # fmt: skip
def test_lists_equal_the_oracle_byte_for_byte(name, train, test, tmp_path):
    lists = read_lists(load_dataset_card(name), None, tmp_path, [])
    for split, oracle in (('train', train), ('test', test)):
        text = (ANNOTATIONS / 'severe_subsets' / f'{oracle}.txt').read_text()
        assert list_text(lists.splits[split], ' ') == text


@needs_annotations
def test_gym288_equals_the_published_list_with_another_ending(tmp_path):
    lists = read_lists(load_dataset_card('gym288'), None, tmp_path, [])
    for split, name in (('train', 'train'), ('test', 'val')):
        pairs = read_list(ANNOTATIONS / 'finegym' / f'gym288_{name}.txt')
        assert lists.splits[split] == [(video.replace('.avi', '.mp4'), label) for video, label in pairs]


@needs_annotations
@pytest.mark.parametrize('name, folder', [('diving48', 'diving48'), ('ntu60', 'ntu60'), ('ucfrep', 'ucf526')])
def test_lists_of_a_users_copy_are_those_of_the_card(name, folder, tmp_path):
    card = load_dataset_card(name)
    lists = read_lists(card, ANNOTATIONS / folder, tmp_path, [])  # refuses what is not the card's
    assert {split: sha256(pairs) for split, pairs in lists.splits.items()} == {
        split: card.split(split)['sha256'] for split in ('train', 'test')
    }


@needs_annotations
def test_counts_and_cycles_of_ucfrep_equal_the_oracle(tmp_path):
    oracle = json.loads((ANNOTATIONS / 'ucf526' / 'ucf526_counts.json').read_text())
    zipped = read_lists(load_dataset_card('ucfrep'), ANNOTATIONS / 'ucf526', tmp_path, [])
    with zipfile.ZipFile(ANNOTATIONS / 'ucf526' / 'ucf526_annotations.zip') as archive:
        archive.extractall(tmp_path)
    for lists in (zipped, read_lists(load_dataset_card('ucfrep'), tmp_path, tmp_path, [])):
        pairs = dict(lists.splits['train'] + lists.splits['test'])
        assert pairs == {f'{video}.avi': entry['count'] for video, entry in oracle.items()}
        for video, entry in oracle.items():  # ours count from 0
            cycles = lists.annotations[f'{video}.avi']['cycles']
            assert cycles == [bound - 1 for bound in entry['bounds']]
            assert len(cycles) == entry['count'] + 1
            assert lists.annotations[f'{video}.avi']['section'] == [cycles[0], cycles[-1]]  # C1: so are all of them


@needs_annotations
def test_the_test_list_of_ssv2_is_that_of_the_card(tmp_path):
    source = ANNOTATIONS / 'sthv2' / 'something-something-v2-validation.json'
    (tmp_path / source.name).symlink_to(source)
    rows = [{'id': '7', 'template': 'Pushing [something] from left to right'}]
    (tmp_path / 'something-something-v2-train.json').write_text(json.dumps(rows))
    card = load_dataset_card('ssv2')
    lists = published.source_of(card).read(tmp_path, card, [])
    assert sha256(lists.splits['test']) == card.split('test')['sha256']
    assert lists.splits['train'] == [('7.webm', card.info['classes'].index('Pushing something from left to right'))]
    with pytest.raises(DataError, match=r'ssv2 \(train\): these annotations list 1 videos.*says 168913'):
        read_lists(card, tmp_path, tmp_path, [])


@needs_annotations
def test_the_test_list_of_k400_is_the_published_csv():
    names = load_dataset_card('k400').info['classes']
    with (ANNOTATIONS / 'kinetics' / 'kinetics-400_val.csv').open() as file:
        rows = list(csv.DictReader(file))
    found = read_list(published.SHIPPED / 'k400' / 'test.txt.gz')
    assert [names[label] for _, label in found] == [row['label'] for row in rows]
    first = ('0wR5jVB-WPk_000417_000427.mp4', 0)  # abseiling, 417 to 427 s
    assert (found[0], rows[0]['youtube_id']) == (first, '0wR5jVB-WPk')


def test_a_train_csv_of_k400_becomes_a_list(tmp_path):
    header = 'label,youtube_id,time_start,time_end,split\n'
    (tmp_path / 'train.csv').write_text(header + 'zumba,-abcdefghij,7,17,train\n')
    lists = read_lists(load_dataset_card('k400'), tmp_path, tmp_path, [])
    assert lists.splits['train'] == [('-abcdefghij_000007_000017.mp4', 399)]
    assert len(lists.splits['test']) == 19906


CHARADES = 'id,subject,actions,length\n'


def test_charades_rows_become_labels_and_times(tmp_path):
    rows = 'AB12,X,c092 11.90 21.20;c147 0.00 12.60;c092 1 2,30\nCD34,X,,10\n'
    (tmp_path / 'Charades_v1_train.csv').write_text(CHARADES + rows)
    (tmp_path / 'Charades_v1_test.csv').write_text(CHARADES + 'EF56,Y,c000 0.00 5.00,9\n')
    lists = read_lists(open_card('charades'), tmp_path, tmp_path, [])
    assert lists.splits == {'train': [('AB12.mp4', (92, 147)), ('CD34.mp4', ())], 'test': [('EF56.mp4', (0,))]}
    assert lists.annotations['AB12.mp4'] == {'actions': [[11.9, 21.2, 92], [0.0, 12.6, 147], [1.0, 2.0, 92]]}
    assert lists.annotations['CD34.mp4'] == {'actions': []}


def test_names_of_ntu60_give_the_cross_subject_lists_once_all_videos_are_there(tmp_path):
    videos = [f'S001C001P{subject:03d}R001A{action:03d}_rgb.avi' for subject in (3, 1) for action in (60, 2)]
    others = ['nturgb+d_rgb/S001C001P003R001A061_rgb.avi', 'S018C001P001R001A001_rgb.avi', 'notes.avi']
    card = open_card('ntu60')
    for split in ('train', 'test'):
        card.info['splits'][split]['num_videos'] = 2
    lists = read_lists(card, None, tmp_path, videos + others)
    assert lists.splits == {
        'train': [('S001C001P001R001A002_rgb.avi', 1), ('S001C001P001R001A060_rgb.avi', 59)],
        'test': [('S001C001P003R001A002_rgb.avi', 1), ('S001C001P003R001A060_rgb.avi', 59)],
    }
    with pytest.raises(DataError, match='ntu60 needs all videos, or trainlist01.txt'):
        read_lists(card, None, tmp_path, videos[1:])


@needs_annotations
def test_the_train_subjects_of_ntu60_are_those_of_its_list():
    names = (ANNOTATIONS / 'ntu60' / 'trainlist01.txt').read_text().split()
    assert {int(name.split('P')[1][:3]) for name in (Path(n).name for n in names)} == TRAIN_SUBJECTS


# --- draws ---------------------------------------------------------------------------------------------------------


@needs_annotations
@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name, num_drawn', [('ucf101', 1010), ('gym99', 1089)])
def test_draws_of_1000_clips_equal_the_published_ones(name, num_drawn, seed, tmp_path):
    card = load_dataset_card(name)
    pairs = read_lists(card, None, tmp_path, []).splits['train']
    drawn = examples_of_all([label for _, label in pairs], 1000, card.num_classes, seed)
    oracle = read_list(ANNOTATIONS / 'severe_subsets' / f'{name}_1000_seed{DRAW_SEEDS[seed]}.txt')
    assert len(drawn) == num_drawn
    assert sorted(pairs[i] for i in drawn) == sorted(oracle)


# --- what is refused -----------------------------------------------------------------------------------------------


def test_another_list_is_refused_with_both_hashes_and_counts():
    card = load_dataset_card('gym_vault')
    lists = published.source_of(card).read(Path(), card, [])
    check_lists(card, lists)
    pairs = lists.splits['test']
    entry = card.split('test')
    for changed in (pairs[:-1], [(pairs[0][0], (pairs[0][1] + 1) % 6), *pairs[1:]], pairs[1:] + pairs[:1]):
        with pytest.raises(DataError) as caught:
            check_lists(card, Lists(lists.splits | {'test': changed}))
        message = str(caught.value)
        assert f'list {len(changed)} videos, sha256 {sha256(changed)}' in message
        assert f'says 446, sha256 {entry["sha256"]}' in message


def test_a_video_listed_twice_and_a_class_too_many_are_named():
    card = open_card('gym_vault')
    with pytest.raises(DataError, match='gym_vault: b.mp4 is listed twice'):
        check_lists(card, Lists({'train': [('a.mp4', 0), ('b.mp4', 1)], 'test': [('b.mp4', 1)]}))
    with pytest.raises(DataError, match='b.mp4 has a class above 5'):
        check_lists(card, Lists({'train': [('a.mp4', 0)], 'test': [('b.mp4', 6)]}))


@pytest.mark.parametrize(
    'name, file, text, words',
    [
        ('ssv2', 'train.json', '[{"id": "7"', 'not as ssv2 was published'),
        ('ssv2', 'train.json', '[{"id": "7", "template": "Doing [something]"}]', "class: 'Doing something'"),
        ('ssv2', 'train.json', '{"7": 1}', 'not as ssv2 was published'),
        ('k400', 'train.csv', 'label,id\nzumba,7\n', "no such field or class: 'youtube_id'"),
        ('k400', 'train.csv', 'label,youtube_id,time_start,time_end\nzumba,x,a,b\n', 'invalid literal'),
        ('k400', 'train.csv', b'\xff\xfe\xff', 'not as k400 was published'),
        ('diving48', 'Diving48_V2_train.json', '[{"vid_name": "a", "label": "x"}]', 'invalid literal'),
        ('charades', 'Charades_v1_train.csv', CHARADES + 'A,X,c092 1,30\n', 'not enough values'),
        ('charades', 'Charades_v1_train.csv', CHARADES + 'A,X,c157 1 2,30\n', "class: 'c157'"),
        ('charades', 'Charades_v1_train.csv', 'id,actions\nA\n', 'not as charades was published'),
        ('ntu60', 'trainlist01.txt', 'drink/S1C2.avi\n', 'not of the form S001C002P003R002A013'),
        ('ucfrep', 'ucf526_annotations.zip', 'no zip', 'not a zip file'),
        ('ucfrep', 'train/v_Biking_g01_c01.mat', 'no struct', 'a struct cannot be read'),
    ],
)
def test_malformed_annotations_end_in_one_sentence(tmp_path, name, file, text, words):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / 'testlist01.txt').write_text('')
    with pytest.raises(DataError) as caught:
        read_lists(open_card(name), tmp_path, tmp_path, [])
    message = str(caught.value)
    assert words in message
    assert f"'{path}'" in message
    assert '\n' not in message


# The labels of images are their folders; test_stills.py has what else imagenet1k may lack.
@pytest.mark.parametrize('name', [name for name in SOURCES if name not in (*SHIPPED, 'imagenet1k')])
def test_absent_annotations_are_named_with_where_to_get_them(tmp_path, name):
    card = load_dataset_card(name)
    with pytest.raises(DataError) as caught:
        read_lists(card, None, tmp_path, [])
    assert f'{name} needs {GIVEN[name]["needs"]}' in str(caught.value)
    assert card.info['obtain'] in str(caught.value)
    with pytest.raises(DataError, match="--annotations: '.*/gone' does not exist"):
        read_lists(card, tmp_path / 'gone', tmp_path, [])


def test_annotations_for_shipped_lists_are_refused(tmp_path):
    with pytest.raises(DataError, match='The lists of ucf101 come with the project: leave out --annotations'):
        read_lists(load_dataset_card('ucf101'), tmp_path, tmp_path, [])


# --- which file is which video -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'video, found, file',
    [
        ('run/a.avi', ['a.mp4'], 'a.mp4'),
        ('run/a.avi', ['UCF/deep/run/a.avi', 'UCF/deep/walk/b.avi'], 'UCF/deep/run/a.avi'),
        ('a.b-c.avi', ['x/a.b-c.webm', 'x/a.mkv'], 'x/a.b-c.webm'),
        ('run/a.avi', ['one/run/a.mp4', 'one/walk/a.mp4'], 'one/run/a.mp4'),  # folders tell
        ('run/a.avi', ['one/run/a.mp4', 'one/run/a.avi'], 'one/run/a.avi'),  # the ending tells
        ('a.mp4', ['old/a.mp4', 'a.mp4'], 'a.mp4'),  # the very name
        ('run/a.avi', ['A.avi', 'aa.avi', 'a/run.avi'], None),
    ],
)
def test_a_video_is_found_by_its_stem(video, found, file):
    assert match_videos([video], found) == ({video: file} if file else {})


@pytest.mark.parametrize('found', [['x/a.mp4', 'y/a.mp4'], ['x/run/a.avi', 'y/run/a.avi'], ['run/a.mp4', 'run/a.mkv']])
def test_two_files_for_one_video_are_named(found):
    with pytest.raises(DataError, match=f'2 files may be run/a.avi: {", ".join(sorted(found))}; keep one'):
        match_videos(['run/a.avi'], found)


@pytest.mark.parametrize(
    'name, video, file',
    [
        ('k400', '-abcdefghij_000007_000017.mp4', 'train/zumba/-abcdefghij.mkv'),
        ('ntu60', 'S001C001P001R001A002_rgb.avi', 'S001C001P001R001A002.mp4'),
    ],
)
def test_shorter_names_of_the_same_video(name, video, file):
    other_stem = published.source_of(load_dataset_card(name)).other_stem
    assert match_videos([video], [file], other_stem) == {video: file}
    own = f'other/{video}'
    assert match_videos([video], [file, own], other_stem) == {video: own}
    assert match_videos([video], [file]) == {}
