"""Pretraining that starts from released files: which parts are taken, and that they compute what they did."""

import pytest
import torch
from safetensors.torch import load_file

from sigma.checkpoints.published import to_published
from sigma.engine.resume import check_fits
from sigma.engine.starting import start_from_others
from sigma.errors import CheckpointError
from sigma.models import VideoMAE
from tests.conftest import DEMO, call_main, demo_options
from tests.sigma.checkpoints.peers import clip, peer
from tests.sigma.checkpoints.test_layouts import moved
from tests.sigma.models.test_models import TINY, tiny_sigma
from tools import convert
from tools import train as train_tool


def started(model, file, caplog):
    """The model with what it takes of a file, and the sentence about it."""
    from sigma import compat  # noqa: F401
    from sigma.checkpoints.files import read_weights

    weights = read_weights(file)
    checkpoint = {'state_dict': weights.tensors, 'meta': {}, 'header': weights.header}
    start_from_others(model, checkpoint, str(file))
    check_fits(model, checkpoint['state_dict'], str(file))
    model.load_state_dict(checkpoint['state_dict'])
    return model.eval()


def tiny_videomae(frames: int = 16, size: int = 32) -> VideoMAE:
    torch.manual_seed(5)
    encoder = {'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': size, 'num_frames': frames}
    return VideoMAE(encoder, {'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2})


@torch.no_grad()
def test_videomaes_released_file_goes_on_with_its_predictions_raw_or_converted(tmp_path, capsys, caplog):
    theirs = peer('videomae_pretrained')
    raw = theirs.save(tmp_path / 'x.pth', arguments={'lr': 1e-3})
    files = [raw]
    for layout in ('published', 'pretraining'):
        files.append(tmp_path / f'{layout}.safetensors')
        assert call_main(convert.main, capsys, raw, files[-1], '--to', layout).returncode == 0
    masked = theirs.outputs['masked']
    hidden, visible = (torch.stack([row.nonzero()[:, 0] for row in rows]) for rows in (masked, ~masked))
    for file in files:
        model = started(tiny_videomae(), file, caplog)
        _, found = model.predictions(clip(16), visible, hidden)
        torch.testing.assert_close(found, theirs.outputs['predictions'], atol=1e-5, rtol=1e-5)


def test_a_sigma_takes_of_a_videomae_what_fits_and_starts_the_rest_new(tmp_path):
    model, other = tiny_sigma(), moved(tiny_videomae(4, 64))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.save({'model': to_published(other.state_dict())}, tmp_path / 'x.pth')
    model = started(model, tmp_path / 'x.pth', None)
    taken = {
        n for n, t in model.state_dict().items() if n in other.state_dict() and torch.equal(t, other.state_dict()[n])
    }
    new = {n for n, t in model.state_dict().items() if torch.equal(t, before[n])} - taken
    assert {n for n in model.state_dict() if n.startswith('encoder.')} <= taken
    assert {'decoder.bridge.weight', 'decoder.mask_token', 'decoder.norm.bias'} <= taken
    assert {n.split('.')[0] for n in new} == {'decoder', 'projector', 'sinkhorn_loss'}
    assert {n for n in new if n.startswith('decoder')} == {'decoder.head.weight', 'decoder.head.bias'}


def test_positions_of_mvd_go_on_and_another_encoder_is_refused(tmp_path):
    theirs = peer('mvd_pretrained')
    model = started(tiny_videomae(4, 32), theirs.save(tmp_path / 'x.pth'), None)
    torch.testing.assert_close(model.encoder.positions, theirs.tensors['pos_embed'][0])
    wide = VideoMAE(
        {'type': 'sigma.VideoViT', 'arch': TINY | {'embed_dims': 64}, 'image_size': 32, 'num_frames': 4},
        {'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2},
    )
    with pytest.raises(CheckpointError, match=r'x.pth does not fit the encoder .*\(48'):
        started(wide, tmp_path / 'x.pth', None)


@pytest.mark.integration
def test_training_starts_from_a_released_file_and_says_what_it_takes(toy, tmp_path, capsys):
    from sigma.data.cards import read_config
    from sigma.registry import MODELS

    model = moved(MODELS.build(read_config(DEMO)['model'].to_dict()))
    released = to_published(model.state_dict())
    del released['prototypes']
    torch.save({'model': released, 'epoch': 799}, tmp_path / 'released.pth')
    options = demo_options(toy, load_from=tmp_path / 'released.pth', train_cfg__max_epochs=1)
    options += ['optim_wrapper.optimizer.lr=0.0', 'optim_wrapper.optimizer.weight_decay=0.0']
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'run', *options)
    assert done.returncode == 0, done.stderr
    said = done.stderr + done.stdout
    assert 'taken: encoder, decoder, last layer of the decoder, projector; starting new: prototypes' in ' '.join(
        said.split()
    )
    encoder = load_file(tmp_path / 'run' / 'encoder.safetensors')
    assert all(torch.equal(tensor, model.encoder.state_dict()[name]) for name, tensor in encoder.items())
