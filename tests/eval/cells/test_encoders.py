"""How a user names an encoder, and what its row is called."""

import pytest
import torch

from eval import Clip
from eval.cells.cell import Cards
from eval.cells.encoders import Reference, load_encoder_card
from sigma.checkpoints.files import save_tensors
from sigma.errors import DataError
from sigma.models import VideoViT
from tests.sigma.checkpoints.test_described import ARCH, CARD, changed


@pytest.fixture(scope='module')
def tensors() -> dict:
    torch.manual_seed(0)
    return VideoViT(ARCH, image_size=32, num_frames=4).state_dict()


def write(folder, name: str, tensors: dict, card: dict | None = CARD) -> str:
    header = {'kind': 'encoder'} | ({'card': card} if card is not None else {})
    return str(save_tensors(folder / name, tensors, header))


@pytest.mark.parametrize(
    ('text', 'parts'),
    [
        ('vit_b', (None, 'vit_b', None)),
        ('vit_b@a/b.pth', (None, 'vit_b', 'a/b.pth')),
        ('ours=vit_b@a/b.pth', ('ours', 'vit_b', 'a/b.pth')),
        ('ours=a/b.safetensors', ('ours', None, 'a/b.safetensors')),
        ('a/b.safetensors', (None, None, 'a/b.safetensors')),
        ('x.py@a=b.safetensors', (None, 'x.py', 'a=b.safetensors')),
        ('runs/lr=3/x.safetensors', (None, None, 'runs/lr=3/x.safetensors')),
    ],
)
def test_a_reference_is_taken_apart(text, parts):
    found = Reference.parse(text)
    assert (found.alias, found.card, found.file) == parts


def test_paths_of_files_that_exist_may_hold_both_signs(tmp_path, tensors, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / 'lr=3@night', 'encoder.safetensors', tensors)
    for text in (path, 'lr=3@night/encoder.safetensors'):
        assert Reference.parse(text).file == text
    assert Reference.parse('ours=lr=3@night/encoder.safetensors').file == 'lr=3@night/encoder.safetensors'
    assert load_encoder_card('ours=lr=3@night/encoder.safetensors').name == 'ours'


@pytest.mark.parametrize('text', ['=x.safetensors', 'ours=', 'vit_b@', '@x.safetensors'])
def test_an_empty_part_is_refused(text):
    with pytest.raises(DataError, match=text):
        load_encoder_card(text)


@pytest.mark.parametrize(
    ('file', 'row'),
    [
        ('mine/encoder.safetensors', 'mine'),
        ('mine/model.safetensors', 'mine'),
        ('mine/pytorch_model.safetensors', 'mine'),
        ('mine/iter_300.safetensors', 'mine-iter_300'),
        ('mine/checkpoint-799.safetensors', 'mine-checkpoint-799'),
        ('mine/sigma.safetensors', 'sigma'),
    ],
)
def test_the_row_of_a_file_says_which_file_it_is(tmp_path, tensors, file, row):
    path = write(tmp_path, file, tensors)
    assert load_encoder_card(path).name == row
    assert load_encoder_card(f'ours={path}').name == 'ours'
    narrow = tmp_path / 'narrow.py'
    card = {key: value for key, value in changed().items() if key != 'version'} | {'embed_dims': 48}
    narrow.write_text(f'encoder = {card!r}\n')
    assert load_encoder_card(f'{narrow}@{path}').name == f'narrow-{row}'
    assert load_encoder_card(f'ours={narrow}@{path}').name == 'ours'


def test_a_file_that_describes_itself_needs_no_card(tmp_path, tensors):
    path = write(tmp_path / 'mine', 'encoder.safetensors', tensors)
    card = load_encoder_card(path)
    assert card.backbone() == CARD['backbone']
    assert card.backbone(finetune=True, drop_path_rate=0.1) == CARD['backbone'] | {
        'final_norm': False,
        'drop_path_rate': 0.1,
    }
    assert card.info['clip'] == {'num_frames': 4, 'stride_frames': 3, 'size': 32}
    assert (card.mean, card.std) == ((127.5, 127.5, 127.5), (50.0, 51.0, 52.0))
    assert card.info['pretraining_data'] == 'waves, train split, no labels'
    assert card.checkpoint == path
    assert len(card.sha256()) == 64
    assert Clip.of(path) == Clip(4, 3, 32, (127.5, 127.5, 127.5), (50.0, 51.0, 52.0))
    assert card.sentence() == f'mine: VideoViT (2 blocks, width 48), clips of 4 x 32 x 32, weights {path}'


def test_clips_without_a_fixed_stride_get_one(tmp_path, tensors):
    path = write(tmp_path / 'mine', 'encoder.safetensors', tensors, changed(clip__stride_frames=None))
    assert load_encoder_card(path).info['clip']['stride_frames'] == 2


def test_a_card_with_a_file_takes_what_the_file_says_of_its_training(tmp_path, tensors):
    narrow = tmp_path / 'narrow.py'
    card = {key: value for key, value in changed().items() if key != 'version'} | {'embed_dims': 48}
    narrow.write_text(f'encoder = {card!r}\n')
    path = write(tmp_path / 'mine', 'encoder.safetensors', tensors)
    assert load_encoder_card(f'{narrow}@{path}').info['pretraining_data'] == 'waves, train split, no labels'
    old = write(tmp_path / 'old', 'encoder.safetensors', tensors, None)
    assert load_encoder_card(f'{narrow}@{old}').info['pretraining_data'].startswith('not stated')
    card['backbone'] = changed(backbone__arch__num_heads=3)['backbone']
    narrow.write_text(f'encoder = {card!r}\n')
    with pytest.raises(DataError, match='num_heads 3.*mine/encoder.safetensors.*4'):
        load_encoder_card(f'{narrow}@{path}')
    with pytest.raises(DataError, match='vit_b has embed_dims 768.*48'):
        load_encoder_card(f'vit_b@{path}')


def test_a_file_that_does_not_describe_itself_says_what_to_do(tmp_path, tensors):
    old = write(tmp_path / 'old', 'encoder.safetensors', tensors, None)
    with pytest.raises(DataError) as caught:
        load_encoder_card(old)
    for word in (f'vit_b@{old}', 'tools/convert.py', '--card'):
        assert word in str(caught.value)
    (tmp_path / 'x.pth').write_bytes(b'x')
    with pytest.raises(DataError, match=r'x\.pth does not describe itself'):
        load_encoder_card(str(tmp_path / 'x.pth'))
    with pytest.raises(DataError, match='gone.safetensors is not there'):
        load_encoder_card(str(tmp_path / 'gone.safetensors'))
    with pytest.raises(DataError, match='old is a folder. Give .*old/encoder.safetensors'):
        load_encoder_card(str(tmp_path / 'old'))


def test_two_files_of_one_name_do_not_collide(tmp_path, tensors):
    paths = [write(tmp_path / a / 'run', 'model.safetensors', tensors) for a in 'xy']
    cards = Cards()
    assert cards.encoder(paths[0]).name == 'run'
    assert cards.encoder(paths[0]).name == 'run'
    with pytest.raises(DataError) as caught:
        cards.encoder(paths[1])
    assert all(word in str(caught.value) for word in (*paths, 'called run', f'NAME={paths[1]}'))
    assert cards.encoder(f'second={paths[1]}').name == 'second'


@pytest.mark.parametrize('alias', ['my model', 'a(1)', '-x', 'é'])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, tensors, alias):
    path = write(tmp_path / 'mine', 'encoder.safetensors', tensors)
    with pytest.raises(DataError, match='letters') as caught:
        load_encoder_card(f'{alias}={path}')
    assert f'ours={path}' in str(caught.value)
    odd = write(tmp_path / 'my runs (1)', 'encoder.safetensors', tensors)
    with pytest.raises(DataError, match=r'my runs \(1\)'):
        load_encoder_card(odd)
    assert load_encoder_card(f'ours={odd}').name == 'ours'


def test_the_name_of_a_card_is_not_given_to_other_weights(tmp_path, tensors):
    path = write(tmp_path / 'random', 'encoder.safetensors', tensors)
    for text in (path, f'vit_b={path}', 'random=vit_b', 'vit_b=vit_b@x.pth'):
        with pytest.raises(DataError, match='which is a card'):
            load_encoder_card(text)
    assert load_encoder_card('vit_b=vit_b').name == 'vit_b'


def test_random_weights_are_called_random():
    for name in ('random', 'vit_b'):
        assert 'RANDOM weights' in load_encoder_card(name).sentence()
    assert load_encoder_card('random').sentence() == (
        'random: tiny VideoViT, clips of 16 x 64 x 64, RANDOM weights (no pretraining)'
    )


def test_the_cards_say_which_positions_a_fine_tuned_file_has():
    """K5, K6: files as DeepSpeed writes them do not say it, and MVD's look like VideoMAE's."""
    assert load_encoder_card('vit_b@x.pth').loading()['positions'] == 'videomae'
    assert load_encoder_card('mvd_vit_b@x.pth').loading()['positions'] == 'mvd'
