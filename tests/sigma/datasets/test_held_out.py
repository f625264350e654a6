"""A card whose test split is a part of another's train split: same videos and annotations, nothing of its test."""

import json

import pytest

from sigma.data.cards import load_dataset_card
from sigma.data.lists import list_sha256, read_list
from tests.conftest import assert_one_sentence, call_main
from tests.eval.tiny_localization import write_long
from tools import prepare


@pytest.fixture(scope='module')
def long(tmp_path_factory):
    return write_long(tmp_path_factory.mktemp('long'), note='drawn')


def test_every_second_training_video_is_the_test_split(long, tmp_path, capsys):
    out = tmp_path / 'chosen_on'
    done = call_main(prepare.main, capsys, 'holdout', long, '--every', 2, '--out', out)
    assert done.returncode == 0, done.stderr
    card, whole = load_dataset_card(str(out)), load_dataset_card(str(long))
    assert card.name == 'long_heldout2'
    assert (
        card.info['note'] == 'drawn; its test split is every second training video of long; its train split is the rest'
    )
    videos = {split: [entry['video'] for entry in card.entries(split)] for split in ('train', 'test')}
    assert videos == {'train': ['train_0.mp4', 'train_2.mp4'], 'test': ['train_1.mp4', 'train_3.mp4']}
    theirs = {entry['video']: entry for entry in whole.entries('train')}
    for split in videos:
        assert card.split(split)['sha256'] == list_sha256(out / f'{split}.txt')
        assert all(entry == theirs[entry['video']] for entry in card.entries(split))
    assert {key: card.info[key] for key in ('task', 'classes', 'metric')} == {
        key: whole.info[key] for key in ('task', 'classes', 'metric')
    }
    again = tmp_path / 'again'  # of a card that is held out itself
    assert call_main(prepare.main, capsys, 'holdout', out, '--every', 2, '--out', again).returncode == 0
    assert [video for video, _ in read_list(again / 'test.txt', ' ', True)] == ['train_2.mp4']
    assert json.dumps(load_dataset_card(str(again)).entries('test')[0]['annotation']) == '{"actions": []}'


def test_what_cannot_be_held_out_is_refused(long, tmp_path, capsys):
    def run(*arguments):
        return call_main(prepare.main, capsys, 'holdout', *arguments)

    for every in (1, 5):
        done = run(long, '--every', every, '--out', tmp_path / 'out')
        assert_one_sentence(done, f'--every {every} does not work with 4 training videos; choose 2 to 4')
    assert not (tmp_path / 'out').exists()
    assert_one_sentence(run(long, '--every', 2, '--out', long), 'is the folder of long itself')
    assert run(long, '--every', 2, '--out', tmp_path / 'taken').returncode == 0
    before = {file: file.read_bytes() for file in (tmp_path / 'taken').iterdir()}
    done = run(long, '--every', 3, '--out', tmp_path / 'taken')
    assert_one_sentence(done, 'holds the dataset long_heldout2, not long_heldout3: choose another --out')
    assert {file: file.read_bytes() for file in (tmp_path / 'taken').iterdir()} == before
    assert run(long, '--every', 2, '--out', tmp_path / 'taken').returncode == 0  # the same again
    assert_one_sentence(run('toy_lokalization', '--out', tmp_path / 'out'), "Did you mean 'toy_localization'")
