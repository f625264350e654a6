"""`sigma.load_encoder`: files of known layouts and cards become modules that give the same tokens."""

import pytest
import torch
from safetensors.torch import save_file

from sigma import load_encoder
from sigma.checkpoints.hf import to_hf
from sigma.checkpoints.layouts import to_ours
from sigma.checkpoints.mmaction import to_mmaction
from sigma.checkpoints.published import to_published
from sigma.errors import CheckpointError, DataError
from sigma.models import VideoViT
from tests.sigma.models.test_models import tiny_sigma

TINY = {'embed_dims': 128, 'depth': 2, 'num_heads': 4}  # a published width, so heads can be left out


def trained(**settings) -> VideoViT:
    torch.manual_seed(0)
    vit = VideoViT(TINY, image_size=32, num_frames=4, **settings)
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    for block in vit.blocks:
        block.attn.qkv.bias.data[128:256] = 0  # the bias on k, which other layouts do not hold
    return vit.eval()


def saved(tmp_path, tensors: dict, name: str = 'encoder.safetensors') -> str:
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, tmp_path / name)
    return str(tmp_path / name)


WAYS = {
    'sigma': lambda vit: vit.state_dict(),
    'published': lambda vit: {f'encoder.{k}': v for k, v in to_published(vit.state_dict()).items()},
    'mmaction': lambda vit: to_mmaction(vit.state_dict()),
    'hf': lambda vit: to_hf(to_ours(vit.state_dict()))[0],
}


@pytest.mark.parametrize('layout', WAYS)
def test_any_layout_becomes_the_same_encoder(tmp_path, layout):
    vit, clip = trained(), torch.randn(2, 3, 4, 32, 32)
    path = saved(tmp_path, WAYS[layout](vit))
    for arch in (TINY, None):
        found = load_encoder(path, arch=arch, image_size=32, num_frames=4)
        assert not found.training
        with torch.no_grad():
            torch.testing.assert_close(found(clip), vit(clip), atol=1e-5, rtol=1e-5)


def test_a_whole_pretraining_model_gives_its_encoder(tmp_path):
    model = tiny_sigma()
    path = saved(tmp_path, to_published(model.state_dict()))
    arch = {'embed_dims': 48, 'depth': 2, 'num_heads': 4}
    found = load_encoder(path, arch=arch, image_size=64, num_frames=4)
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    with pytest.raises(CheckpointError, match="width 48.*'embed_dims': 48, 'depth': 2"):
        load_encoder(path, image_size=64, num_frames=4)


def test_a_fine_tuned_model_leaves_its_classifier_and_has_no_final_norm(tmp_path):
    vit = trained(final_norm=False)
    classifier = {'head.weight': torch.ones(3, 128), 'fc_norm.weight': torch.ones(128)}
    found = load_encoder(saved(tmp_path, vit.state_dict() | classifier), image_size=32, num_frames=4)
    assert isinstance(found.norm, torch.nn.Identity)


def test_an_image_encoder_is_inflated(tmp_path):
    import timm

    torch.manual_seed(0)
    image = timm.create_model('vit_tiny_patch16_224', img_size=32, num_classes=0, class_token=False, global_pool='avg')
    found = load_encoder(saved(tmp_path, image.state_dict()), image_size=32, num_frames=2)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        tokens = found(pictures[:, :, None].expand(-1, -1, 2, -1, -1)).flatten(1, 3)
        expected = image.eval().forward_features(pictures)
    if 'norm.weight' in image.state_dict():
        torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(CheckpointError, match=r'positions for \d+ tokens'):
        load_encoder(str(tmp_path / 'encoder.safetensors'), image_size=64, num_frames=2)


def test_sizes_that_do_not_fit_are_named(tmp_path):
    path = saved(tmp_path, trained().state_dict())
    with pytest.raises(CheckpointError, match="'base'.*2 blocks of width 128.*12 blocks of width 768"):
        load_encoder(path, arch='base', image_size=32, num_frames=4)
    with pytest.raises(ValueError, match='3 frames of 32 pixels'):
        load_encoder(path, image_size=32, num_frames=3)
    with pytest.raises(CheckpointError, match='absent.pth is not there'):
        load_encoder(tmp_path / 'absent.pth')


def test_a_card_builds_its_backbone_and_loads_its_weights(tmp_path):
    vit, clip = trained(), torch.randn(1, 3, 4, 32, 32)
    path = saved(tmp_path, vit.state_dict())
    card = tmp_path / 'mine.py'
    backbone = {'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 32, 'num_frames': 4}
    settings = {'backbone': backbone, 'embed_dims': 128, 'checkpoint': path, 'sha256': None}
    card.write_text(f'encoder = {settings!r}\n')
    with torch.no_grad():
        torch.testing.assert_close(load_encoder(card)(clip), vit(clip))
    with pytest.raises(ValueError, match='mine.py.*num_frames'):
        load_encoder(card, num_frames=4)
    card.write_text(f'encoder = {settings | {"sha256": "0" * 64}!r}\n')
    with pytest.raises(CheckpointError, match='mine.py.*sha256.*0000'):
        load_encoder(card)
    assert load_encoder('random').embed_dims == 128
    with pytest.raises(DataError, match="'randon'.*random"):
        load_encoder('randon')
