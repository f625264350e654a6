"""Every dataset card is complete, and what it points to inside the project is there."""

import hashlib
import json
import re
import shlex
from pathlib import Path

import pytest

from sigma.data.cards import (
    CONFIG_ROOT,
    DatasetCard,
    NotPrepared,
    find_card,
    load_dataset_card,
    read_card,
    sentences,
)
from sigma.datasets.published import prepare_from, published_cards
from sigma.datasets.toy.render import SETS
from sigma.errors import DataError
from tests.eval.tiny_matrix import make

NAMES = sorted(path.stem for path in (CONFIG_ROOT / 'datasets').glob('*.py'))
PREPARED_FROM = {name: prepare_from(load_dataset_card(name)) for name in published_cards()}
SOURCES = {name: given for name, given in PREPARED_FROM.items() if 'pictures' not in given}
METRICS = {
    'action_recognition': {'top1', 'mean_class'},
    'multi_label': {'mean_average_precision'},
    'repetition': {'count_error'},
    'localization': {'map_50_95', 'map_30_70'},
}


@pytest.mark.parametrize('name', NAMES)
def test_a_card_is_complete(name):
    card = load_dataset_card(name)
    info = card.info
    assert info['name'] == name
    assert info['metric'] in METRICS[card.task]
    assert isinstance(info['flips_change_label'], bool)
    assert info['data_root'].endswith(f'/{name}')
    assert info['prepare'].startswith('python tools/prepare.py')
    for key in ('index', 'source', 'licence', 'delimiter'):
        assert info[key]
    if card.task == 'repetition':
        assert 'classes' not in info
        assert card.num_classes == 1
    else:
        assert len(info['classes']) == card.num_classes > 1
        assert all(isinstance(label, str) and label == label.strip() != '' for label in info['classes'])
    assert set(info['splits']) >= {'train', 'test'}
    for split, entry in info['splits'].items():
        assert entry['list'] == f'{split}.txt'
        assert entry['sha256'] is None or re.fullmatch('[0-9a-f]{64}', entry['sha256'])
        empty = split == 'train' and 'trained_on' in info  # nothing is trained on it
        assert entry['num_videos'] == 0 if empty else entry['num_videos'] is None or entry['num_videos'] > 0
        assert entry['num_videos'] is not None or not entry['sha256']  # who knows the list knows its length
    assert (name in PREPARED_FROM) != name.startswith('toy')


def test_resolved_cards_are_unmoved(monkeypatch):
    """Their fields enter records, but for the name that tables show.

    A card that is meant to change gets its new hash in tests/data/dataset_cards.json.
    """
    monkeypatch.setenv('SIGMA_DATA', '/data')
    found = {}
    for name in NAMES:
        info = {key: value for key, value in load_dataset_card(name).info.items() if key != 'short'}
        found[name] = hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()
    wanted = json.loads((Path(__file__).resolve().parents[2] / 'data' / 'dataset_cards.json').read_text())
    assert {name: found.get(name) for name in wanted} == wanted


# Spec: SEVERE's tables and code; Kinetics: its validation csv; the length of a train csv differs between copies.
COUNTS = {
    'ssv2': (174, 168913, 24777, 'top1'),
    'imagenet1k': (1000, 1281167, 50000, 'top1'),
    'cifar100': (100, 50000, 10000, 'top1'),
    'k400': (400, None, 19906, 'top1'),
    'mimetics': (400, 0, 713, 'top1'),
    'ucf101': (101, 9537, 3783, 'top1'),
    'hmdb51': (51, 3570, 1530, 'top1'),
    'hmdb51_split2': (51, 3570, 1530, 'top1'),
    'hmdb51_split3': (51, 3570, 1530, 'top1'),
    'gym99': (99, 20484, 8521, 'top1'),
    'gym288': (288, 22671, 9646, 'mean_class'),
    'gym_fx_s1': (11, 1882, 777, 'mean_class'),
    'gym_ub_s1': (15, 3511, 1471, 'mean_class'),
    'gym_vault': (6, 1074, 446, 'mean_class'),
    'gym_floor': (35, 5385, 2226, 'mean_class'),
    'diving48': (48, 15027, 1970, 'top1'),
    'ntu60': (60, 40320, 16560, 'top1'),
    'charades': (157, 7985, 1863, 'mean_average_precision'),
    'ucfrep': (1, 421, 105, 'count_error'),
    'thumos14': (20, 200, 211, 'map_30_70'),
    'activitynet': (200, None, None, 'map_50_95'),  # two published layouts list different videos
}


def test_counts_and_metrics_are_the_published_ones():
    found = {}
    for name in SOURCES:
        card = load_dataset_card(name)
        numbers = [card.split(split)['num_videos'] for split in ('train', 'test')]
        found[name] = (card.num_classes, *numbers, card.info['metric'])
    assert found == COUNTS


def test_only_where_a_class_names_a_side_do_flips_change_it():
    """Two cards of another split or subset have it from their base."""
    turned = {name for name in SOURCES if load_dataset_card(name).info['flips_change_label']}
    assert turned == {'ssv2'}
    for name in set(SOURCES) - turned:
        classes = load_dataset_card(name).info.get('classes', [])
        assert not [label for label in classes if re.search(r'\b(left|right)\b', label)]


def test_subsets_of_gym99_have_its_class_names_in_its_order():
    names = load_dataset_card('gym99').info['classes']
    for subset, first, last in (('gym_vault', 0, 5), ('gym_fx_s1', 6, 16), ('gym_floor', 6, 40), ('gym_ub_s1', 74, 88)):
        assert load_dataset_card(subset).info['classes'] == names[first : last + 1]


def test_published_cards_look_under_sigma_data_and_say_where_to_get_them(monkeypatch):
    monkeypatch.setenv('SIGMA_DATA', '/somewhere')
    for name in SOURCES:
        info = load_dataset_card(name).info
        assert info['data_root'] == f'/somewhere/{name}'
        assert re.match(f'python tools/prepare.py {name} --root (VIDEOS|IMAGES|FOLDER)', info['prepare'])
        may_do_without = ('ntu60', 'imagenet1k', 'cifar100')
        assert ('--annotations' in info['prepare']) == ('needs' in SOURCES[name] and name not in may_do_without)
        assert info['obtain']


def test_a_card_whose_classes_are_not_there_is_named(tmp_path):
    (tmp_path / 'mine.py').write_text("dataset_info = dict(name='mine', classes='classes.txt')\n")
    with pytest.raises(DataError, match=r'mine.py takes its classes from .*classes.txt.*not exist'):
        read_card(tmp_path / 'mine.py', 'dataset_info')
    (tmp_path / 'classes.txt').write_text('run\nhigh jump\n')
    assert read_card(tmp_path / 'mine.py', 'dataset_info')['classes'] == ['run', 'high jump']
    (tmp_path / 'mine.py').write_text("dataset_info = dict(name='mine', classes='classes.txt[1:2]')\n")
    assert read_card(tmp_path / 'mine.py', 'dataset_info')['classes'] == ['high jump']
    (tmp_path / 'mine.py').write_text("dataset_info = dict(name='mine', classes='classes.txt[1]')\n")
    with pytest.raises(DataError, match=re.escape('classes.txt[1]')):
        read_card(tmp_path / 'mine.py', 'dataset_info')


@pytest.mark.parametrize(('task', 'label'), [('action_recognition', '2'), ('multi_label', '0 2')])
def test_a_label_without_a_class_is_named(tmp_path, task, label):
    (tmp_path / 'mine.py').write_text(
        f"data_root = '{tmp_path}'\ndataset_info = dict(name='mine', task='{task}', classes=['left', 'right'],"
        " delimiter=' ', splits=dict(train=dict(list='train.txt', sha256=None, num_videos=None)))\n"
    )
    (tmp_path / 'train.txt').write_text(f'a.mp4 1\nb.mp4 {label}\n')
    with pytest.raises(DataError, match=r'train.txt gives b.mp4 the label 2, but .*mine.py has 2 classes'):
        load_dataset_card(str(tmp_path / 'mine.py')).pairs('train')


def test_an_unknown_dataset_is_answered_with_the_nearest(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"The dataset '.*/mine' does not exist; tools/prepare.py folder VIDEOS --out"):
        find_card('datasets', str(tmp_path / 'mine'))
    with pytest.raises(DataError, match=r"The dataset '.*' holds no dataset.py; tools/prepare.py folder"):
        find_card('datasets', str(tmp_path))
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"The dataset 'empty' holds no dataset.py; tools/prepare.py folder"):
        find_card('datasets', 'empty')
    with pytest.raises(DataError, match=r"The encoder '.*/mine.py' does not exist.$"):
        find_card('encoders', str(tmp_path / 'mine.py'))
    with pytest.raises(DataError, match="Unknown dataset 'gym98'. Did you mean 'gym99'?"):
        find_card('datasets', 'gym98')


def test_lists_are_read_once_in_the_life_of_a_card_and_stay_its_own(tmp_path):
    home = make(tmp_path)
    lines = (home / 'index.jsonl').read_text().replace('"v1.mp4", "readable": true', '"v1.mp4", "readable": false')
    (home / 'index.jsonl').write_text(lines)
    card = load_dataset_card(str(home))
    wanted = [(f'v{number}.mp4', number % 2) for number in range(4)]
    assert card.pairs('train') == wanted
    card.pairs('train').pop()
    card.entries('train')[0]['reason'] = 'changed'
    (home / 'train.txt').unlink()
    assert card.pairs('train') == wanted
    assert card.readable('train') == [True, False, True, True]
    with pytest.raises(DataError, match='1 of its 3 files are missing from .*: train.txt. Prepare it with: python'):
        load_dataset_card(str(home)).pairs('train')


def test_videos_that_are_gone_are_counted_and_the_first_named(tmp_path):
    home = make(tmp_path)
    for number in range(5, 10):
        (home / f'v{number}.mp4').unlink()
    words = r'names 5 videos that are no longer under .*, first v5.mp4, v6.mp4, v7.mp4 and 2 more. Prepare it with'
    with pytest.raises(DataError, match=words):
        load_dataset_card(str(home)).entries('test')


@pytest.mark.parametrize(('text', 'words'), [('{"a.mp4": ', 'is not a JSON file'), ('[1]', 'but a list')])
def test_annotations_that_cannot_be_read_are_named(tmp_path, text, words):
    (tmp_path / 'annotations.json').write_text(text)
    card = DatasetCard(tmp_path, {'data_root': str(tmp_path), 'annotations': 'annotations.json'})
    with pytest.raises(DataError, match=f'annotations.json.*{words}'):
        card._annotations()


def test_a_printed_command_has_resolved_paths_and_never_writes_to_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value, root in (('', tmp_path / 'data'), ("/my data/o'b", "/my data/o'b")):
        monkeypatch.setenv('SIGMA_DATA', value)
        for name in ('toy_shift', 'ucf101'):
            words = shlex.split(load_dataset_card(name).how_to_prepare().removeprefix('Prepare it with: '))
            assert words[words.index('--out') + 1] == f'{root}/{name}'


def test_sets_that_one_command_prepares_share_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv('SIGMA_DATA', str(tmp_path))
    errors = []
    for name in (*SETS, 'toy_localization', 'ucf101', 'toy'):
        with pytest.raises(NotPrepared) as caught:
            load_dataset_card(name).pairs('train')
        errors.append(caught.value)
    told = sentences([*errors, DataError('something else'), DataError('something else')])
    names = ', '.join(list(SETS)[:-1]) + f' and {list(SETS)[-1]}'
    assert told[0] == (
        f'{names} are not prepared. Prepare them with: python tools/prepare.py toy --form all --out {tmp_path}'
    )
    assert [text.split(' ')[0] for text in told[1:]] == ['toy_localization', 'ucf101', 'something']
    assert sentences(errors[:1]) == [str(errors[0])]  # one alone keeps its own command
