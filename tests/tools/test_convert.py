"""Converting a whole model between layouts, from the command."""

import torch
from safetensors.torch import load_file

from sigma.checkpoints import to_mmaction, to_published
from tests.conftest import assert_one_sentence, call_main
from tests.sigma.test_models import tiny_sigma
from tools import convert


def test_a_released_file_becomes_an_encoder_of_either_kind(tmp_path, capsys):
    model = tiny_sigma()
    torch.save({'model': to_published(model.state_dict()), 'epoch': 3}, tmp_path / 'released.pth')
    wanted = model.encoder.state_dict()
    for layout, tensors in (('sigma', wanted), ('mmaction', to_mmaction(wanted))):
        out = tmp_path / f'{layout}.safetensors'
        done = call_main(convert.main, capsys, tmp_path / 'released.pth', out, '--to', layout)
        assert done.returncode == 0
        assert 'decoder.mask_token' in done.stdout  # what has no place is named
        found = load_file(out)
        assert set(found) == set(tensors)
        for name in found:
            torch.testing.assert_close(found[name], tensors[name])


def test_there_and_back_is_the_same_file(tmp_path, capsys):
    published = to_published(tiny_sigma().state_dict())
    torch.save({'model': published}, tmp_path / 'released.pth')
    out = tmp_path / 'again.safetensors'
    assert call_main(convert.main, capsys, tmp_path / 'released.pth', out, '--to', 'published').returncode == 0
    found = load_file(out)
    assert set(found) == set(published)
    assert all(torch.equal(found[name], published[name]) for name in found)


def test_a_fine_tuned_vit_loses_its_classifier_by_name(tmp_path, capsys):
    tensors = to_published(tiny_sigma().state_dict())
    vit = {k.removeprefix('encoder.'): v for k, v in tensors.items() if k.startswith('encoder.')}
    vit |= {'fc_norm.weight': torch.ones(48), 'head.weight': torch.ones(7, 48)}
    torch.save({'module': vit}, tmp_path / 'tuned.pth')
    done = call_main(convert.main, capsys, tmp_path / 'tuned.pth', tmp_path / 'x.safetensors')
    assert '2 tensors have no place there and were left out: fc_norm.weight, head.weight' in done.stdout


def test_bad_input_ends_in_one_sentence_and_writes_nothing(tmp_path, capsys):
    torch.save({'model': {'x': torch.ones(1)}}, tmp_path / 'x.pth')
    out = tmp_path / 'out.safetensors'
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'none.pth', out), 'none.pth is not there')
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'x.pth', out), 'no video transformer')
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'x.pth', tmp_path / 'o.pth'), 'must end in')
    assert not out.exists()
    out.write_bytes(b'mine')
    assert_one_sentence(call_main(convert.main, capsys, tmp_path / 'x.pth', out), 'is there already')
    assert out.read_bytes() == b'mine'
