"""Encoders of timm by name: their tokens are timm's own, their settings too, and wrong names get the nearest."""

import pytest
import torch
from safetensors.torch import save_file

from eval import run_severe
from eval.cells.cell import Cell, ResolvedCell
from eval.cells.encoders import load_encoder_card
from eval.cells.libraries import _timm
from eval.features.clips import build_backbone
from eval.protocols import get_protocol
from sigma.errors import CheckpointError, DataError
from tests.conftest import SHARED, call_main

timm = _timm()  # torchvision's wheel has to be mended first
DINOV2 = SHARED / 'data' / 'weights' / 'vit_small_patch14_dinov2.safetensors'


def build(reference: str) -> torch.nn.Module:
    card = load_encoder_card(reference)
    return build_backbone(card, card.backbone(), seed=0)


@pytest.mark.parametrize('name', ['test_vit', 'test_resnet'])
def test_tokens_are_those_of_timm_frame_by_frame(name, tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=0).eval()
    save_file(theirs.state_dict(), tmp_path / f'{name}_weights.safetensors')
    reference = f'timm:{name}@{tmp_path}/{name}_weights.safetensors'
    card = load_encoder_card(reference)
    clip = torch.rand(2, 3, 4, card.info['clip']['size'], card.info['clip']['size'])
    with torch.no_grad():
        tokens = build(reference)(clip)
        maps = theirs.forward_features(clip[1, :, 2][None])
    expected = theirs.forward_intermediates(clip[1, :, 2][None], norm=True, output_fmt='NCHW')[1][-1]
    assert tokens.shape[:2] == (2, 4)
    assert tokens.shape[-1] == card.info['embed_dims'] == theirs.num_features
    torch.testing.assert_close(tokens[1, 2].permute(2, 0, 1), expected[0], atol=1e-5, rtol=1e-5)
    if name == 'test_vit':  # and these are the patch tokens after the norm
        torch.testing.assert_close(
            tokens[1, 2].flatten(0, 1), maps[0, theirs.num_prefix_tokens :], atol=1e-5, rtol=1e-5
        )
    assert card.name == f'{name}-{name}_weights'


def test_normalisation_and_size_are_the_models_own():
    card = load_encoder_card('timm:vit_base_patch16_clip_224.openai')
    assert card.mean == pytest.approx([255 * v for v in (0.48145466, 0.4578275, 0.40821073)], abs=1e-3)
    assert card.info['clip'] == {'num_frames': 8, 'stride_frames': 8, 'size': 224}
    assert load_encoder_card('timm:vit_small_patch14_dinov2').info['clip']['size'] == 224  # its own is 518
    named = load_encoder_card('d=timm:test_vit')
    assert named.name == 'd'
    assert 'ImageFrames (test_vit)' in named.sentence()


@pytest.mark.parametrize(
    ('reference', 'words'),
    [
        ('timm:vit_smal_patch14_dinov2', 'did you mean vit_small_patch14_dinov2'),
        ('timm:vit_base_patch16_224.dinoo', 'did you mean vit_base_patch16_224.dino'),
        ('timm:', 'has no model'),
    ],
)
def test_an_unknown_name_gets_the_nearest(reference, words):
    with pytest.raises(DataError, match=words) as caught:
        load_encoder_card(reference)
    assert len(str(caught.value)) < 250


def test_a_file_of_another_model_is_refused(tmp_path):
    save_file(timm.create_model('test_resnet', num_classes=0).state_dict(), tmp_path / 'other.safetensors')
    with pytest.raises(CheckpointError, match='does not hold test_vit'):
        build(f'timm:test_vit@{tmp_path}/other.safetensors')


def test_a_cell_knows_weights_by_content_and_names_no_place(toy, tmp_path):
    file = tmp_path / 'mine.safetensors'
    save_file(timm.create_model('test_vit', num_classes=0).state_dict(), file)
    cell = Cell('frozen_linear', str(toy), 'frozen_demo', f'timm:test_vit@{file}', 0)
    resolved = ResolvedCell(cell, get_protocol('frozen_linear'))
    assert resolved.identity['encoder']['weights'] == load_encoder_card(f'timm:test_vit@{file}').sha256()
    assert str(tmp_path) not in str(resolved.identity)


def test_a_plan_builds_it_and_the_command_measures_it(toy, tmp_path, capsys):
    words = (
        '--suite',
        'probes_real',
        '--protocols',
        'frozen_centroid',
        '--datasets',
        toy,
        '--work-dir',
        tmp_path / 'w',
    )
    done = call_main(run_severe.main, capsys, *words, '--encoders', 'net=timm:test_resnet', '--no-forks', '--jobs', 1)
    assert done.returncode == 0, done.stderr
    assert 'net' in done.stdout


@pytest.mark.skipif(not DINOV2.is_file(), reason='no ../shared/data/weights beside the checkout')
def test_positions_of_dinov2_are_resampled_as_its_authors_do():
    encoder = build(f'timm:vit_small_patch14_dinov2@{DINOV2}').encoder
    from timm.layers import resample_abs_pos_embed

    from sigma.checkpoints.files import read_weights

    stored = read_weights(DINOV2).tensors['pos_embed'].float()
    expected = resample_abs_pos_embed(stored, [16, 16], num_prefix_tokens=1, antialias=False)
    torch.testing.assert_close(encoder.pos_embed, expected, atol=1e-3, rtol=0)
    assert not torch.allclose(encoder.pos_embed, resample_abs_pos_embed(stored, [16, 16]), atol=1e-3)
