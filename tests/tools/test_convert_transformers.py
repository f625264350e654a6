"""Weights to and from transformers' VideoMAE: its models load ours completely and compute the same, and back."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from sigma.checkpoints.encoder import load_encoder_weights
from sigma.models import VideoMAE, VideoViT
from tests.conftest import assert_one_sentence, call_main
from tests.sigma.checkpoints.peers import VIDEOMAE_ARGUMENTS, clip, peer
from tests.sigma.checkpoints.test_layouts import moved
from tests.sigma.models.test_models import TINY, tiny_sigma, tiny_vit
from tools import convert

transformers = pytest.importorskip('transformers')  # after sigma.compat: it imports torchvision

HEADS = ('--heads', 4, '--decoder-heads', 2, '--num-frames', 4)
SIZES = {
    'num_frames': 4,
    'image_size': 64,
    'hidden_size': 48,
    'num_hidden_layers': 2,
    'num_attention_heads': 4,
    'intermediate_size': 192,
    'decoder_hidden_size': 32,
    'decoder_num_hidden_layers': 1,
    'decoder_num_attention_heads': 2,
    'decoder_intermediate_size': 128,
    'layer_norm_eps': 1e-6,
}


def folder_of(model, tmp_path, capsys, size: int):
    """The folder that `convert.py --to hf` makes of a model's weights."""
    save_file(dict(model.state_dict()), tmp_path / 'ours.safetensors')
    out = tmp_path / 'hub' / 'model.safetensors'
    arguments = (tmp_path / 'ours.safetensors', out, '--to', 'hf', '--image-size', size, *HEADS)
    done = call_main(convert.main, capsys, *arguments)
    assert done.returncode == 0, done.stderr
    return out.parent, done.stdout


def load(kind, folder):
    """A transformers model from a folder, and its loading report."""
    model, found = kind.from_pretrained(folder, output_loading_info=True)
    return model.eval(), {name: sorted(map(str, keys)) for name, keys in found.items() if keys}


def tiny_videomae() -> VideoMAE:
    torch.manual_seed(0)
    return VideoMAE(
        encoder={'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 64, 'num_frames': 4},
        decoder={'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2},
    )


@torch.no_grad()
def test_an_encoder_of_ours_is_theirs(tmp_path, capsys):
    vit, clip = moved(tiny_vit()), torch.randn(2, 3, 4, 32, 32)
    folder, _ = folder_of(vit, tmp_path, capsys, 32)
    model, found = load(transformers.VideoMAEModel, folder)
    assert not found
    assert model.config.layer_norm_eps == 1e-6
    theirs = model(clip.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(theirs, vit.encode(clip), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_videomae_of_ours_predicts_the_same_as_theirs(tmp_path, capsys):
    ours, clip = moved(tiny_videomae()), torch.randn(2, 3, 4, 64, 64)
    folder, said = folder_of(ours, tmp_path, capsys, 64)
    assert 'left out' not in said
    model, found = load(transformers.VideoMAEForPreTraining, folder)
    assert not found
    order = torch.randperm(32, generator=torch.Generator().manual_seed(2))
    visible, masked = order[:8].sort().values.expand(2, -1), order[8:].sort().values.expand(2, -1)
    _, predictions = ours.predictions(clip, visible, masked)
    hidden = torch.zeros(2, 32, dtype=torch.bool).scatter_(1, masked, True)
    theirs = model.videomae(clip.transpose(1, 2), bool_masked_pos=hidden)[0]
    full = model.encoder_to_decoder(theirs)
    positions = model.position_embeddings.expand(2, -1, -1)
    width = full.shape[2]
    joined = torch.cat(
        [
            full + positions[~hidden].reshape(2, -1, width),
            model.mask_token + positions[hidden].reshape(2, -1, width),
        ],
        dim=1,
    )
    logits = model.decoder(joined, masked.shape[1]).logits
    torch.testing.assert_close(logits, predictions, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_sigma_of_ours_loads_but_for_the_layer_that_predicts_features(tmp_path, capsys):
    ours, clip = moved(tiny_sigma()), torch.randn(1, 3, 4, 64, 64)
    folder, said = folder_of(ours, tmp_path, capsys, 64)
    assert 'prototypes, decoder.head.bias, decoder.head.weight' in said
    model, found = load(transformers.VideoMAEForPreTraining, folder)
    assert found == {
        'missing_keys': ['decoder.head.bias', 'decoder.head.weight']
    }  # initialised at random, and reported
    theirs = model.videomae(clip.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(theirs, ours.encoder.encode(clip), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('kind', ['VideoMAEModel', 'VideoMAEForPreTraining', 'VideoMAEForVideoClassification'])
@pytest.mark.parametrize('pooled', [False, True])
def test_what_they_save_is_ours(kind, pooled, tmp_path, capsys):
    config = transformers.VideoMAEConfig(**SIZES, use_mean_pooling=pooled)
    model = getattr(transformers, kind)(config).eval()
    generator = torch.Generator().manual_seed(4)
    for parameter in model.parameters():  # biases and norms too
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(tmp_path / 'theirs')
    source, out = tmp_path / 'theirs' / 'model.safetensors', tmp_path / 'ours.safetensors'
    done = call_main(convert.main, capsys, source, out)
    assert done.returncode == 0, done.stderr
    vit = VideoViT(TINY, image_size=64, num_frames=4, final_norm=not pooled).eval()
    load_encoder_weights(vit, str(out))
    clip = torch.randn(2, 3, 4, 64, 64)
    theirs = getattr(model, 'videomae', model)(clip.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(vit.encode(clip), theirs, atol=1e-5, rtol=1e-5)


def moved_from_hf(model):
    generator = torch.Generator().manual_seed(4)
    for parameter in model.parameters():  # biases and norms too
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@torch.no_grad()
def test_a_fine_tuned_file_becomes_their_classifier_and_theirs_goes_straight_into_a_card(tmp_path, capsys):
    theirs = peer('videomae_finetuned')
    file = theirs.save(tmp_path / 'x.pth', arguments=VIDEOMAE_ARGUMENTS)
    out = tmp_path / 'hub' / 'model.safetensors'
    line = ('--to', 'hf', '--heads', 4, '--num-frames', 4, '--image-size', 32)
    done = call_main(convert.main, capsys, file, out, *line)
    assert done.returncode == 0, done.stderr
    assert 'left out' not in done.stdout
    model, found = load(transformers.VideoMAEForVideoClassification, out.parent)
    assert not found
    assert model.config.num_labels == 7
    logits = model(clip().transpose(1, 2)).logits
    torch.testing.assert_close(logits, theirs.outputs['logits'], atol=1e-5, rtol=1e-5)
    vit = VideoViT(TINY, 32, 4).eval()
    load_encoder_weights(vit, out)
    torch.testing.assert_close(vit.encode(clip()), theirs.outputs['tokens'], atol=1e-5, rtol=1e-5)
    for layout in ('published', 'mmaction'):  # and back, with the head
        again = tmp_path / f'{layout}.safetensors'
        assert call_main(convert.main, capsys, out, again, '--to', layout).returncode == 0
        tensors = load_file(again)
        head = ('head.', 'fc_norm.') if layout == 'published' else ('cls_head.fc_cls.', 'backbone.fc_norm.')
        assert torch.equal(tensors[f'{head[0]}weight'], theirs.tensors['head.weight'])
        assert torch.equal(tensors[f'{head[1]}bias'], theirs.tensors['fc_norm.bias'])
    assert {n: t.tolist() for n, t in load_file(tmp_path / 'published.safetensors').items()} == {
        n: t.tolist() for n, t in theirs.tensors.items()
    }
    load_encoder_weights(vit, tmp_path / 'mmaction.safetensors')
    torch.testing.assert_close(vit.encode(clip()), theirs.outputs['tokens'], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('kind', ['ViT', 'Dinov2', 'Dinov2WithRegisters'])
def test_their_image_encoders_are_image_encoders(kind, tmp_path, capsys):
    import timm

    if not hasattr(transformers, f'{kind}Model'):
        pytest.skip(f'this transformers has no {kind}Model')
    sizes = {'hidden_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 4, 'image_size': 64, 'patch_size': 16}
    sizes |= {'intermediate_size': 192} if kind == 'ViT' else {'mlp_ratio': 4}
    model = moved_from_hf(getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(**sizes)))
    model.save_pretrained(tmp_path / 'theirs')
    source, out = tmp_path / 'theirs' / 'model.safetensors', tmp_path / 'o.safetensors'
    assert_one_sentence(call_main(convert.main, capsys, source, out), '--inflate FRAMES')
    done = call_main(convert.main, capsys, source, out, '--to', 'timm')
    assert done.returncode == 0, done.stderr
    more = {} if kind == 'ViT' else {'init_values': 1.0}
    more |= {'reg_tokens': 4, 'no_embed_class': True} if 'Registers' in kind else {}
    ours = timm.models.VisionTransformer(64, 16, num_classes=0, embed_dim=48, depth=2, num_heads=4, **more).eval()
    for module in ours.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = model.config.layer_norm_eps
    ours.load_state_dict(load_file(out), strict=True)
    image = torch.randn(2, 3, 64, 64)
    wanted = model(pixel_values=image).last_hidden_state[:, ours.num_prefix_tokens :]
    found = ours.forward_features(image)[:, ours.num_prefix_tokens :]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_their_vivit_is_another_network(tmp_path, capsys):
    sizes = {'hidden_size': 48, 'num_hidden_layers': 1, 'num_attention_heads': 4, 'intermediate_size': 96}
    config = transformers.VivitConfig(**sizes, image_size=32, num_frames=4, tubelet_size=[2, 16, 16])
    for model in (transformers.VivitModel(config), transformers.VivitForVideoClassification(config)):
        model.save_pretrained(tmp_path / 'theirs')
        for layout in ('sigma', 'timm', 'hf'):
            line = (tmp_path / 'theirs' / 'model.safetensors', tmp_path / 'o' / 'o.safetensors', '--to', layout)
            assert_one_sentence(call_main(convert.main, capsys, *line), 'model.safetensors')
        assert not (tmp_path / 'o').exists()
