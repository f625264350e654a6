"""Altered test videos: sets made of pictures known by hand, and whole cells of a trained one shown another set."""

import gzip
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from eval.cells.cell import Cell, ResolvedCell
from eval.matrix.suites import SUITES
from eval.metrics import load_predictions
from eval.protocols import get_protocol, out_of_context
from eval.protocols.applied import Applied
from eval.protocols.out_of_context import classes_of
from eval.protocols.showing import Showing
from eval.records import read_record
from sigma.data import index as index_module
from sigma.data.cards import find_card, load_dataset_card, read_card
from sigma.datasets import published, scenes
from sigma.datasets.scenes import Item, pasted, pictures, read_items, read_pairs
from sigma.errors import DataError
from sigma.video import READERS
from tests.eval.measured import measured
from tests.eval.protocols.test_robustness import write_recipe
from tests.tools.test_prepare_published import prepare

FPS = 25.0

# --- lists -----

UCF = 'YoYo/v_YoYo_g01_c01.avi 100\nArchery/v_Archery_g01_c01.avi 2\nArchery/v_Archery_g01_c02.avi 2\n'


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Test lists of a base, as they come with the project."""

    monkeypatch.setattr(published, 'SHIPPED', tmp_path / 'shipped')
    for name, text in (
        ('ucf101/test', UCF),
        ('k400/test', 'aaaaaaaaaaa_000001_000011.mp4 5\nb_c_000002_000012.mp4 20\n'),
    ):
        file = tmp_path / 'shipped' / f'{name}.txt.gz'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()))
    return tmp_path


def write(path, text) -> str:
    path.write_text(text)
    return path


def test_labels_are_those_of_the_base_whatever_the_numbering(shipped):
    # Copies of one video are told apart by a number; this list counts its classes from 1.
    listed = write(
        shipped / 'list.txt', 'v_YoYo_g01_c01__0 31 101\nv_YoYo_g01_c01__4 31 101\nv_Archery_g01_c02__1 7 3\n'
    )
    assert read_items(load_dataset_card('scuba_ucf101_stripe'), listed) == [
        Item('v_YoYo_g01_c01__0.mp4', 100, 31, 'v_YoYo_g01_c01__0'),
        Item('v_YoYo_g01_c01__4.mp4', 100, 31, 'v_YoYo_g01_c01__4'),
        Item('v_Archery_g01_c02__1.mp4', 2, 7, 'v_Archery_g01_c02__1'),
    ]


HAT = 'archery/aaaaaaaaaaa_000001_000011 150 5\nbending back/b_c_000002_000012 300 20'


def test_names_with_spaces_and_the_class_of_the_background(shipped):
    listed, pairs = write(shipped / 'list.txt', HAT), shipped / 'actionswap_far_1.pickle'
    rows = {
        'archery/aaaaaaaaaaa_000001_000011': ['bending back/b_c_000002_000012', 300, 20],
        'bending back/b_c_000002_000012': ['archery/other', np.int64(9), np.int64(5)],
    }
    pairs.write_bytes(pickle.dumps(rows))
    first, second = read_items(load_dataset_card('hat_k400_swap'), listed, pairs)
    assert (first.label, first.other, first.other_label) == (5, 'bending back/b_c_000002_000012', 20)
    assert (second.video, second.num_frames) == ('bending back/b_c_000002_000012.mp4', 300)
    assert (second.other, second.other_label) == ('archery/other', 5)


def test_a_pickle_that_would_call_a_function_is_not_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / 'made'), 'w'))

    file = tmp_path / 'pairs.pickle'
    file.write_bytes(pickle.dumps({'a': Evil()}))
    with pytest.raises(DataError, match='is not a pickle of background pairs .it names .*open'):
        read_pairs(file)
    assert not (tmp_path / 'made').exists()
    for content in (b'', b'no pickle', pickle.dumps([1]), pickle.dumps({'a': 3}), pickle.dumps({'a': ['b', 1]})):
        file.write_bytes(content)
        with pytest.raises(DataError, match='is not a pickle of background pairs'):
            read_pairs(file)
    with pytest.raises(DataError, match='--pairs: .*absent.pickle. does not exist'):
        read_pairs(tmp_path / 'absent.pickle')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('v_YoYo_g01_c01__0 31\n', 'line 1: expected `name frames class`'),
        ('v_YoYo_g01_c01__0 31 x\n', 'line 1: expected'),
        ('v_Else_g01_c01__0 31 1\n', 'v_Else_g01_c01__0 is not in the test list of ucf101'),
        (
            'v_YoYo_g01_c01__0 31 1\nv_Archery_g01_c01__0 3 1\n',
            'two classes of ucf101, 100 and 2',
        ),
        ('v_Archery_g01_c01__0 31 1\nv_Archery_g01_c02__0 3 2\n', 'several of its classes are one of ucf101'),
        ('v_YoYo_g01_c01__0 31 1\nv_YoYo_g01_c01__0 31 1\n', 'v_YoYo_g01_c01__0 is listed twice'),
        ('\n', 'lists no video'),
    ],
)
def test_a_list_of_another_form_ends_in_a_sentence(shipped, text, words):
    with pytest.raises(DataError, match=words):
        read_items(load_dataset_card('scuba_ucf101_stripe'), write(shipped / 'list.txt', text))


def test_pairs_go_with_the_swap_alone(shipped):
    listed, pairs = write(shipped / 'list.txt', HAT), shipped / 'pairs.pickle'
    pairs.write_bytes(pickle.dumps({'archery/aaaaaaaaaaa_000001_000011': ['x', 3, 5]}))
    with pytest.raises(DataError, match='hat_k400_swap needs --pairs'):
        read_items(load_dataset_card('hat_k400_swap'), listed)
    with pytest.raises(DataError, match='leave out --pairs'):
        read_items(load_dataset_card('hat_k400_human'), listed, pairs)
    with pytest.raises(DataError, match='has no background for bending back'):
        read_items(load_dataset_card('hat_k400_swap'), listed, pairs)
    pairs.write_bytes(pickle.dumps({line.rsplit(maxsplit=2)[0]: ['x', 3, 7] for line in HAT.splitlines()}))
    with pytest.raises(DataError, match='the background of archery/.* has class 7, which no listed video has'):
        read_items(load_dataset_card('hat_k400_swap'), listed, pairs)
    with pytest.raises(DataError, match='list file .*absent.txt. does not exist'):
        read_items(load_dataset_card('hat_k400_human'), shipped / 'absent.txt')


# --- videos -----


def lay_pictures(folder, frames, form='{:06d}.png') -> None:
    """Pictures (T, H, W, 3) RGB or (T, H, W) as numbered files from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / form.format(number))


def colour(*rgb: int, num_frames: int = 3, height: int = 40, width: int = 48) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, dtype=np.uint8), (num_frames, height, width, 3)).copy()


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        (tmp_path / f'frame{number}.jpg').touch()
    (tmp_path / 'note.txt').touch()
    assert [path.name for path in pictures(tmp_path, 3)] == ['frame1.jpg', 'frame9.jpg', 'frame10.jpg']
    with pytest.raises(ValueError, match='3 pictures, its list says 4'):
        pictures(tmp_path, 4)
    with pytest.raises(ValueError, match='absent: 0 pictures'):
        pictures(tmp_path / 'absent')


def test_all_but_the_human_has_one_colour(tmp_path):
    mask = np.zeros((3, 40, 48), np.uint8)
    mask[:, 5:15, 6:20], mask[:, 20:, :] = 129, 128  # human begins above 128
    lay_pictures(tmp_path / 'ori' / 'a', colour(10, 200, 30))
    lay_pictures(tmp_path / 'seg' / 'a', mask)
    found = np.stack(list(scenes.human_only(Item('a.mp4', 0, 3, 'a'), tmp_path)))
    human = mask == 129
    assert (found[human] == (10, 200, 30)).all()
    assert (found[~human] == (123, 116, 103)).all()


def test_the_human_moves_to_where_the_background_had_its_own(tmp_path):
    # Human of 10 x 10 around (10, 10) in 40 x 48; the background, twice as large, had its own around (50, 60).
    mask = np.zeros((4, 40, 48), np.uint8)
    mask[0, 5:15, 5:15], mask[1:, 5:15, 8:18] = 255, 255
    theirs = np.zeros((2, 80, 96), np.uint8)
    theirs[:, 45:55, 55:65] = 255
    lay_pictures(tmp_path / 'ori' / 'a', colour(250, 0, 0, num_frames=4))
    lay_pictures(tmp_path / 'seg' / 'a', mask)
    lay_pictures(tmp_path / 'seg' / 'b', theirs)
    lay_pictures(
        tmp_path / 'inp' / 'b', np.concatenate([colour(0, 0, g, num_frames=1, height=80, width=96) for g in (99, 199)])
    )
    found = list(scenes.swapped(Item('a.mp4', 0, 4, 'a', 'b', 1), tmp_path))
    assert {frame.shape for frame in found} == {(40, 48, 3)}  # the short side of the human's video
    # Centres (9.5, 9.5) and, resized, (24.5, 29.5): the human moves by 15 and 20.
    for number, (frame, shift) in enumerate(zip(found, (0, 3, 3, 3))):
        red = (frame == (250, 0, 0)).all(axis=2)
        rows, columns = np.nonzero(red)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 29, 25 + shift, 34 + shift), number
        # Frame 0 of 4 shows frame 0 of 2, frame 1 place 0.5 rounded to even, then 1, then the last.
        assert set(frame[~red][:, 2].tolist()) == {(99, 99, 199, 199)[number]}


def test_what_leaves_the_picture_is_cut():
    frame, human = colour(9, 9, 9, num_frames=1)[0], np.zeros((40, 48), bool)
    human[0:4, 0:4] = True
    out = pasted(np.zeros((40, 48, 3), np.uint8), frame, human, (-2, 46))
    assert np.argwhere(out[..., 0]).tolist() == [[0, 46], [0, 47], [1, 46], [1, 47]]


@pytest.fixture
def at_home(monkeypatch):
    """Videos are made and read in this process."""
    in_here = lambda do, jobs, workers=None, **_: ((job, do(job)) for job in jobs)  # noqa: E731
    monkeypatch.setattr(scenes, 'in_processes', in_here)
    monkeypatch.setattr(index_module, 'in_processes', in_here)


def test_prepare_makes_videos_and_a_card_of_pictures(shipped, at_home, capsys):
    root, out = shipped / 'frames', shipped / 'out'
    lay_pictures(root / 'v_YoYo_g01_c01__0', colour(200, 30, 60, num_frames=5, height=39, width=51), 'frame{:06d}.jpg')
    lay_pictures(root / 'v_Archery_g01_c01__0', colour(0, 0, 0, num_frames=2))
    listed = write(shipped / 'list.txt', 'v_YoYo_g01_c01__0 5 7\nv_Archery_g01_c01__0 3 1\n')
    arguments = ['scuba_ucf101_stripe', '--root', str(root), '--annotations', str(listed), '--out', str(out)]
    assert prepare.main(arguments) == 1
    said = capsys.readouterr()
    assert 'not made: v_Archery_g01_c01__0.mp4' in said.out
    assert '2 pictures, its list says 3' in said.out
    assert '1 video (v_Archery_g01_c01__0.mp4) is missing of 2 listed' in said.err
    lay_pictures(root / 'v_Archery_g01_c01__0', colour(0, 0, 0, num_frames=3))
    first = (out / 'videos' / 'v_YoYo_g01_c01__0.mp4').stat().st_mtime_ns
    assert prepare.main(arguments) == 0
    assert (out / 'videos' / 'v_YoYo_g01_c01__0.mp4').stat().st_mtime_ns == first  # made once
    assert not (out / 'missing.txt').exists()
    capsys.readouterr()
    for fps, words in (('12', 'made with another fps: choose another --out'), ('0', 'choose 1 to 240')):
        assert prepare.main([*arguments, '--fps', fps]) == 2
        assert words in capsys.readouterr().err
    (shipped / 'other').mkdir()
    write(shipped / 'other' / 'dataset.py', 'another dataset')
    assert prepare.main([*arguments, '--out', str(shipped / 'other')]) == 2
    assert 'holds a dataset other than scuba_ucf101_stripe: choose another --out' in capsys.readouterr().err
    assert [file.name for file in (shipped / 'other').iterdir()] == ['dataset.py']
    card = load_dataset_card(str(out))
    assert (card.name, card.info['trained_on'], card.num_classes) == ('scuba_ucf101_stripe', 'ucf101', 101)
    assert card.entries('train') == []
    one, two = card.entries('test')
    assert (one['video'], one['label'], one['total_frames'], one['fps']) == ('v_YoYo_g01_c01__0.mp4', 100, 5, FPS)
    assert (two['label'], two['total_frames']) == (2, 3)
    frames = READERS['decord'](one['filename']).frames(np.arange(5))
    assert frames.shape == (5, 40, 52, 3)  # even, as H.264 needs
    assert np.abs(frames.astype(int) - (200, 30, 60)).max() < 6


def test_prepare_a_swap_is_a_set_of_its_pairs_name(shipped, at_home, monkeypatch, capsys):
    monkeypatch.setenv('SIGMA_DATA', str(shipped / 'data'))
    root, names = shipped / 'hat', ['archery/aaaaaaaaaaa_000001_000011', 'bending back/b_c_000002_000012']
    for name in names:
        lay_pictures(root / 'ori' / name, colour(200, 0, 0, num_frames=2))
        lay_pictures(root / 'seg' / name, np.full((2, 40, 48), 255, np.uint8))
        lay_pictures(root / 'inp' / name, colour(0, 0, 200, num_frames=2))
    listed = write(shipped / 'list.txt', HAT.replace(' 150 ', ' 2 ').replace(' 300 ', ' 2 '))
    pairs = shipped / 'actionswap_far_1.pickle'
    pairs.write_bytes(pickle.dumps({names[0]: [names[1], 2, 20], names[1]: [names[0], 2, 5]}))
    arguments = ['--root', str(root), '--annotations', str(listed), '--pairs', str(pairs)]
    assert prepare.main(['hat_k400_swap', *arguments]) == 0
    card = load_dataset_card(str(shipped / 'data' / 'hat_k400_swap_actionswap_far_1'))
    assert card.name == 'hat_k400_swap_actionswap_far_1'
    assert [(e['label'], e['annotation']['background']) for e in card.entries('test')] == [(5, 20), (20, 5)]
    assert prepare.main(['hat_k400_swap', *arguments[:4]]) == 2
    assert 'needs --pairs FILE' in capsys.readouterr().err
    (root / 'inp').rename(root / 'elsewhere')
    assert prepare.main(['hat_k400_background', *arguments[:4], '--out', str(shipped / 'o')]) == 2
    assert 'has no folder inp; hat_k400_background is made of inp' in capsys.readouterr().err
    assert prepare.main(['hat_k400_background', '--root', str(root / 'no'), '--annotations', 'x']) == 2
    assert 'is not a folder' in capsys.readouterr().err


def test_pictures_of_another_size_are_no_video(tmp_path):
    frames = iter([colour(0, 0, 0)[0], colour(0, 0, 0, height=42)[0]])
    with pytest.raises(ValueError, match='the first was'):
        scenes.write_video(frames, tmp_path / 'v.mp4', FPS)
    lay_pictures(tmp_path / 'v', colour(0, 0, 0, num_frames=1))
    (tmp_path / 'v' / '000002.png').write_bytes(b'no picture')
    reason = scenes._make_job(('frames', Item('v.mp4', 0, 2, 'v'), tmp_path, tmp_path / 'out' / 'v.mp4', FPS))
    assert '000002.png cannot be read' in reason
    assert list((tmp_path / 'out').iterdir()) == []


# --- cells -----


@pytest.fixture(scope='module')
def shown(toy, tmp_path_factory):
    """Half of the toy's test videos, of five of its classes, under a card of their own that names the toy."""
    out = tmp_path_factory.mktemp('shown')
    card = load_dataset_card(str(toy))
    rows = [(e['video'], e['label']) for e in card.entries('test') if e['label'] % 2]
    (out / 'train.txt').write_text('')
    (out / 'test.txt').write_text(''.join(f'{video} {label}\n' for video, label in rows))

    (out / 'annotations.json').write_text(
        json.dumps({video: {'background': (label + 1) % 10} for video, label in rows})
    )
    info = card.info | {
        'name': 'shown',
        'trained_on': str(toy),
        'restricted': True,
        'splits': {split: {'list': f'{split}.txt', 'sha256': None} for split in ('train', 'test')},
        'index': str(toy / 'index.jsonl'),
        'video_root': str(toy / 'videos'),
        'annotations': 'annotations.json',
    }
    info.pop('data_root')
    (out / 'dataset.py').write_text(f'data_root = {str(out)!r}\ndataset_info = {info!r}\n')
    return out


def resolve(dataset, recipe, protocol='out_of_context') -> ResolvedCell:
    return ResolvedCell(Cell(protocol, str(dataset), str(recipe), 'random', 0), get_protocol(protocol))


@pytest.fixture
def recipes(tmp_path):
    """The fine-tuned and the frozen recipe, of cells that train in seconds."""
    trained = write_recipe(tmp_path, 'finetune_tiny', 'finetune_demo', epochs=1, num_steps=None, batch_size=20)
    own = write_recipe(tmp_path, 'own', 'out_of_context', trained=trained, block_videos=4)
    return own, write_recipe(tmp_path, 'own_frozen', 'out_of_context_frozen', trained='frozen_demo')


def test_a_fine_tuned_cell_is_shown_another_set(toy, shown, recipes, tmp_path, monkeypatch):
    resolved, work = resolve(shown, recipes[0]), tmp_path / 'work'
    record = measured(resolved, work)
    trained = resolved.protocol.trained(resolved)
    assert trained.dataset.name == load_dataset_card(str(toy)).name
    assert (record.dataset['num_listed'], record.dataset['num_scored'], record.dataset['num_classes']) == (10, 10, 5)
    assert record.dataset['num_train'] == 40
    assert record.dataset['name'] == 'shown'
    predictions = load_predictions(record)
    assert predictions.scores.shape == (10, 5)
    assert sorted(set(predictions.label.tolist())) == [0, 1, 2, 3, 4]
    # Each number from the scores in the trained cell's own record, whose videos these are.
    own = load_predictions(read_record(trained.record_path(work)))
    rows = dict(zip(own.video.tolist(), own.scores))
    of_all = np.stack([rows[video] for video in predictions.video.tolist()])
    assert of_all[:, 1::2] == pytest.approx(predictions.scores, abs=1e-5)
    labels = 2 * predictions.label + 1
    others = record.score['others']
    assert others['top1_of_all_classes'] == pytest.approx(100 * (of_all.argmax(axis=1) == labels).mean())
    assert record.score['value'] == pytest.approx(100 * (of_all[:, 1::2].argmax(axis=1) == predictions.label).mean())
    assert 0 <= others['right_by_motion'] <= record.score['value']
    assert others['one_frame'] >= record.score['value'] - others['right_by_motion'] - 1e-6
    assert 'among the 5 classes of the list' in record.selection['how']
    # Again, from the store.
    monkeypatch.setattr(Showing, 'block', lambda *_: pytest.fail('computed again'))
    assert measured(resolved, work).score == record.score


def test_numbers_known_by_hand(shown, recipes, tmp_path, monkeypatch):
    """Scores that are given: the video is told by its list position, its single frame as class 1, always."""
    resolved = resolve(shown, recipes[0])
    entries = resolved.dataset.entries('test')
    training = {'num_train': 4, 'num_train_skipped': 0, 'selection': {'epoch': 1, 'how': 'last'}, 'subset': None}
    trained = SimpleNamespace(resolved=resolved.protocol.trained(resolved), note='', **training)
    said = np.eye(10, dtype=np.float32)

    def scores(self, variants, store):
        self.failed[9] = 'no moov'
        positions = np.arange(9)
        right = [entry['label'] for entry in entries[:9]]
        answers = [right[0], right[1], 0, right[3], (right[4] + 1) % 10, *[1] * 4]
        yield variants[0], positions, said[answers]
        yield variants[1], positions, said[[1] * 9]

    monkeypatch.setattr(out_of_context, 'load_trained', lambda *_: trained)
    monkeypatch.setitem(out_of_context.APPLY, 'finetune', lambda trained: Applied(None, 'weights'))
    monkeypatch.setattr(Showing, 'scores', scores)
    outcome = resolved.protocol.run(resolved, tmp_path)
    labels = [entry['label'] for entry in entries]
    assert labels[:9] == [1, 1, 3, 3, 5, 5, 7, 7, 9]
    assert outcome.unscored == [{'video': entries[9]['video'], 'reason': 'no moov'}]
    # Answers 1 1 0 3 6 1 1 1 1: over all classes three of nine are right.
    assert outcome.others['top1_of_all_classes'] == pytest.approx(100 * 3 / 9)
    # Frames are all called 1: right for the first two.
    assert outcome.others['one_frame'] == pytest.approx(100 * 2 / 9)
    # Backgrounds are of even classes, which are not among those that are asked.
    assert outcome.others['background_class'] == 0
    # Among classes 1 3 5 7 9 an answer outside leaves equal scores, of which none is right alone.
    right = outcome.scores.argmax(axis=1) == outcome.labels
    assert right[[0, 1, 3]].all()
    assert outcome.num_listed == 10


def test_a_frozen_encoder_is_shown_another_set(toy, shown, recipes, tmp_path):
    resolved, work = resolve(shown, recipes[1], 'out_of_context_frozen'), tmp_path / 'work'
    record = measured(resolved, work)
    trained = resolved.protocol.trained(resolved)
    own = trained.protocol.run(trained, work)
    of_all = dict(zip(own.videos, own.scores))
    labels = {entry['video']: entry['label'] for entry in resolved.dataset.entries('test')}
    right = [of_all[video].argmax() == label for video, label in labels.items()]
    assert record.score['others']['top1_of_all_classes'] == pytest.approx(100 * np.mean(right))
    assert classes_of(resolved.dataset).tolist() == [1, 3, 5, 7, 9]


def test_a_set_that_names_no_training_or_has_other_classes_is_refused(toy, shown, recipes, tmp_path):
    with pytest.raises(DataError, match='names no dataset under `trained_on`'):
        resolve(toy, recipes[0])
    text = (shown / 'dataset.py').read_text()
    for name in ('train.txt', 'test.txt', 'annotations.json'):
        (tmp_path / name).write_text((shown / name).read_text())
    first = load_dataset_card(str(toy)).info['classes'][0]
    (tmp_path / 'dataset.py').write_text(
        text.replace(repr(str(shown)), repr(str(tmp_path))).replace(repr(first), "'other'")
    )
    with pytest.raises(DataError, match='shown has other classes than'):
        resolve(tmp_path, recipes[0])


def test_entries_of_suites_name_sets_and_recipes_that_are_there():
    for suite in ('out_of_context', 'out_of_context_k400', 'out_of_context_frozen'):
        for entry in SUITES[suite]:
            assert (
                read_card(find_card('recipes', entry.recipe), 'recipe')['protocol']
                == entry.protocol
                == ('out_of_context_frozen' if suite.endswith('frozen') else 'out_of_context')
            )
            assert (load_dataset_card(entry.dataset).info['trained_on'] == 'k400') == suite.endswith('k400')


def test_every_set_has_a_card_and_every_base_a_list():
    sets = [name for name in published.published_cards() if name.startswith(('scuba_', 'hat_'))]
    assert len(sets) == 15
    for name in sets:
        card = load_dataset_card(name)
        scene = scenes.scenes_of(card)
        assert card.info['trained_on'] == scene.base
        assert card.info['classes'] == load_dataset_card(scene.base).info['classes']
        assert scene.base_list().is_file()
    assert load_dataset_card('mimetics').info['classes'] == load_dataset_card('k400').info['classes']
