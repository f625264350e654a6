"""Layouts of other libraries: converting there and back loses nothing, and features stay equal."""

import json

import pytest
import torch
import torch.nn.functional as F

from sigma.checkpoints.encoder import load_encoder_weights
from sigma.checkpoints.hf import from_hf, hf_config, to_hf
from sigma.checkpoints.image import inflate, to_timm
from sigma.checkpoints.layouts import from_ours, layout_of, to_ours
from sigma.checkpoints.mmaction import to_mmaction
from sigma.checkpoints.published import to_published
from sigma.errors import CheckpointError
from sigma.models import VideoViT
from sigma.positions import sinusoid_positions
from tests.sigma.models.test_models import TINY, tiny_sigma, tiny_vit


def moved(model, scale: float = 0.05):
    """The model with every parameter changed, including biases and norms, so that no mistake stays hidden."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
        if name.endswith('qkv.bias'):
            parameter.data.chunk(3)[1].zero_()  # k has none in our video encoders
    return model.eval()


def hf_forward(tensors: dict, clip: torch.Tensor, heads: int, eps: float = 1e-6, prefix: str = '') -> torch.Tensor:
    """transformers' VideoMAEModel, written out from its description: separate q, k, v, no bias on k."""
    t = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    width = t['embeddings.patch_embeddings.projection.weight'].shape[0]
    kernel = t['embeddings.patch_embeddings.projection.weight']
    x = F.conv3d(clip, kernel, t['embeddings.patch_embeddings.projection.bias'], stride=kernel.shape[2:])
    x = x.flatten(2).transpose(1, 2)
    x = x + sinusoid_positions(x.shape[1], width)
    for i in range(sum(name.endswith('layernorm_before.weight') for name in t)):
        at = f'encoder.layer.{i}.'

        def norm(values, name, at=at):
            return F.layer_norm(values, (width,), t[f'{at}{name}.weight'], t[f'{at}{name}.bias'], eps)

        def linear(values, name, bias=None, at=at):
            return F.linear(values, t[f'{at}{name}.weight'], t.get(f'{at}{bias or name + ".bias"}'))

        h = norm(x, 'layernorm_before')
        q, k, v = (
            linear(h, f'attention.attention.{part}', f'attention.attention.{part[0]}_bias').unflatten(2, (heads, -1))
            for part in ('query', 'key', 'value')
        )
        weights = torch.einsum('bnhd,bmhd->bhnm', q, k).mul((width // heads) ** -0.5).softmax(-1)
        x = x + linear(torch.einsum('bhnm,bmhd->bnhd', weights, v).flatten(2), 'attention.output.dense')
        h = linear(norm(x, 'layernorm_after'), 'intermediate.dense')
        x = x + linear(F.gelu(h), 'output.dense')
    return F.layer_norm(x, (width,), t['layernorm.weight'], t['layernorm.bias'], eps)


def test_transformers_model_gives_our_features():
    vit, clip = moved(tiny_vit()), torch.randn(2, 3, 4, 32, 32)
    tensors, left_out = to_hf(to_ours(vit.state_dict()))
    assert not left_out
    assert {'embeddings.patch_embeddings.projection.bias', 'layernorm.weight'} <= set(tensors)
    assert 'encoder.layer.1.attention.attention.q_bias' in tensors
    assert len(tensors) == 2 + 2 + 2 * 15  # 15: q, k, v, two biases, and five layers with weight and bias
    torch.testing.assert_close(hf_forward(tensors, clip, 4), vit.encode(clip), atol=1e-5, rtol=1e-5)
    # The default eps of transformers visibly changes small activations.
    assert not torch.allclose(hf_forward(tensors, 0 * clip, 4, eps=1e-1), vit.encode(0 * clip), atol=1e-5)


def test_transformers_layout_comes_back_equal_bare_and_whole():
    for model in (moved(tiny_vit()), moved(tiny_sigma())):
        converted = to_ours(model.state_dict())
        tensors, left_out = to_hf(converted)
        back = to_ours(tensors)
        assert back.layout == 'hf'
        assert not back.left_out
        of_sigma = ('projector.', 'sinkhorn_loss.', 'decoder.head.')
        wanted = {k: v for k, v in converted.whole.items() if not k.startswith(of_sigma)}
        assert set(back.whole) == set(wanted)
        for name, tensor in wanted.items():
            torch.testing.assert_close(back.whole[name], tensor, rtol=0, atol=0, msg=name)
    network = ['head.0.bias', 'head.0.weight', 'head.2.bias', 'head.2.weight']
    assert sorted(left_out) == ['decoder.head.bias', 'decoder.head.weight', *network, 'prototypes']
    assert 'decoder.decoder_layers.0.attention.attention.key.weight' in tensors
    assert 'encoder_to_decoder.weight' in tensors


def test_transformers_files_that_lost_their_biases_are_refused():
    tensors, _ = to_hf(to_ours(tiny_vit().state_dict()))
    lost = {name: tensor for name, tensor in tensors.items() if not name.endswith('_bias')}
    with pytest.raises(CheckpointError, match='4 of 4 biases'):
        to_ours(lost)
    renamed = {
        n.replace('q_bias', 'query.bias').replace('v_bias', 'value.bias'): t for n, t in tensors.items()
    }  # plain Linear names
    assert set(from_hf(renamed)) == set(from_hf(tensors))


def test_config_beside_transformers_weights():
    sizes = {'image_size': 64, 'num_frames': 4, 'heads': 4}
    config = hf_config(to_ours(tiny_sigma().state_dict()), **sizes, decoder_heads=2)
    assert config['layer_norm_eps'] == 1e-6
    assert (config['hidden_size'], config['num_hidden_layers'], config['num_attention_heads']) == (48, 2, 4)
    assert (config['intermediate_size'], config['patch_size'], config['tubelet_size']) == (192, 16, 2)
    assert (config['decoder_hidden_size'], config['decoder_num_hidden_layers']) == (32, 1)
    assert config['decoder_num_attention_heads'] == 2
    assert config['use_mean_pooling'] is False
    json.dumps(config)
    with pytest.raises(CheckpointError, match='width 32 .*--decoder-heads'):
        hf_config(to_ours(tiny_sigma().state_dict()), **sizes)  # a guess would silently give other predictions
    with pytest.raises(CheckpointError, match='--decoder-heads 3 .*width 32'):
        hf_config(to_ours(tiny_sigma().state_dict()), **sizes, decoder_heads=3)
    with pytest.raises(CheckpointError, match='width 48 .*--heads'):
        hf_config(to_ours(tiny_vit().state_dict()))


@pytest.mark.parametrize(
    ('layout', 'more'),
    [
        ('published', {'blocks.0.attn.q_bias': torch.zeros(4)}),  # and no v_bias
        ('mvd', {'pos_embed': torch.tensor(1.0)}),
        ('hf', {'encoder.layer.0.attention.attention.query.weight': torch.zeros(4, 4)}),  # and no key, no value
    ],
)
def test_tensors_that_fit_no_layout_are_one_sentence(layout, more):
    if layout == 'hf':
        biases = {f'encoder.layer.0.attention.attention.{part}_bias': torch.zeros(4) for part in 'qv'}
        tensors = {'embeddings.patch_embeddings.projection.weight': torch.zeros(4, 3, 2, 16, 16)} | biases | more
    else:
        tensors = {'patch_embed.proj.weight': torch.zeros(4, 3, 2, 16, 16)} | more
    with pytest.raises(CheckpointError, match=f'layout {layout}'):
        to_ours(tensors)


def mvd_file(vit, positions) -> dict:
    tensors = to_published(vit.state_dict())
    extras = {'mask_token_img': torch.zeros(1, 1, 8), 'decoder_vid.norm.weight': torch.ones(8)}
    return tensors | {'pos_embed': positions[None], 'down_img.weight': torch.ones(8, 48)} | extras


def test_mvd_brings_its_own_positions(tmp_path):
    from safetensors.torch import save_file

    vit, clip = moved(tiny_vit()), torch.randn(2, 3, 4, 32, 32)
    positions = torch.randn(8, 48)
    tensors = mvd_file(vit, positions)
    assert layout_of(tensors) == 'mvd'
    converted = to_ours(tensors)
    assert converted.left_out == ['down_img.weight', 'mask_token_img', 'decoder_vid.norm.weight']
    torch.testing.assert_close(converted.encoder['positions'], positions)
    save_file({k: v.clone() for k, v in tensors.items()}, tmp_path / 'mvd.safetensors')
    loaded = tiny_vit()
    load_encoder_weights(loaded, str(tmp_path / 'mvd.safetensors'))
    by_hand = moved(tiny_vit())
    by_hand.load_state_dict(vit.state_dict())
    by_hand.positions.copy_(positions)
    torch.testing.assert_close(loaded.eval().encode(clip), by_hand.encode(clip), atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match='16 tokens.* 8'):
        loaded(torch.randn(1, 3, 8, 32, 32))
    with pytest.raises(CheckpointError, match='8 tokens.*VideoViT has 16'):
        load_encoder_weights(VideoViT(TINY, 32, 8), str(tmp_path / 'mvd.safetensors'))
    with pytest.raises(CheckpointError, match='positions of its own'):
        from_ours(converted, 'hf')
    with pytest.raises(CheckpointError, match='positions of its own'):
        from_ours(converted, 'published')
    theirs, _ = from_ours(converted, 'mmaction')
    torch.testing.assert_close(theirs['pos_embed'], positions[None])
    again = to_ours(theirs)
    torch.testing.assert_close(again.encoder['positions'], positions)


def test_mmactions_layout_comes_back_equal_and_its_sinusoid_is_not_kept():
    vit = moved(tiny_vit())
    tensors = to_mmaction(vit.state_dict()) | {'pos_embed': sinusoid_positions(8, 48)[None]}
    whole = {f'backbone.{name}': tensor for name, tensor in tensors.items()} | {'cls_head.fc.bias': torch.ones(3)}
    for given in (tensors, whole):
        back = to_ours(given)
        assert set(back.encoder) == set(vit.state_dict())
        for name, tensor in vit.state_dict().items():
            torch.testing.assert_close(back.encoder[name], tensor, rtol=0, atol=0)
    assert back.left_out == ['cls_head.fc.bias']


def test_published_layouts_come_back_equal():
    for model in (moved(tiny_sigma()), moved(tiny_vit())):
        published = to_published(model.state_dict())
        assert layout_of(published) == 'published'
        again, left_out = from_ours(to_ours(published), 'published')
        assert not left_out
        assert set(again) == set(published)
        assert all(torch.equal(again[name], published[name]) for name in published)


# --- image encoders --------------------------------------------------------------------------------------------------


def tiny_timm(**settings):
    import timm  # after sigma.compat

    torch.manual_seed(1)
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=16, embed_dim=48, depth=2, num_heads=4, num_classes=0, **settings
    )
    return moved(model)


def test_an_inflated_image_encoder_sees_a_still_clip_as_an_image():
    image = torch.randn(2, 3, 32, 32)
    model = tiny_timm(class_token=False, global_pool='avg', init_values=0.5, fc_norm=False)
    converted = to_ours(model.state_dict(), num_frames=2)
    assert converted.layout == 'image'
    assert not converted.left_out
    vit = VideoViT(TINY, 32, 2)
    vit.positions.copy_(converted.encoder.pop('positions'))
    vit.load_state_dict(converted.encoder)
    clip = image[:, :, None].expand(-1, -1, 2, -1, -1)
    torch.testing.assert_close(vit.eval().encode(clip), model.forward_features(image), atol=1e-5, rtol=1e-5)


def test_class_and_register_tokens_have_no_place_and_are_named():
    model = tiny_timm(reg_tokens=2, no_embed_class=True)
    converted = to_ours(model.state_dict(), num_frames=4)
    assert sorted(converted.left_out) == ['cls_token', 'reg_token']
    assert converted.encoder['positions'].shape == (8, 48)
    torch.testing.assert_close(converted.encoder['positions'][:4], converted.encoder['positions'][4:])
    with pytest.raises(CheckpointError, match='--inflate FRAMES'):
        to_ours(model.state_dict())
    for frames in (3, 0, -2):
        with pytest.raises(CheckpointError, match=f'multiple of 2 .found {frames}'):
            inflate(model.state_dict(), frames)


def test_positions_of_a_square_image_are_found_beside_those_of_other_tokens():
    state = tiny_timm(reg_tokens=4).state_dict()
    state['pos_embed'] = torch.randn(1, 5 + 16, 48)
    found = inflate(state, 4)['positions']
    torch.testing.assert_close(found, state['pos_embed'][0, 5:].repeat(2, 1))
    state['pos_embed'] = torch.randn(1, 22, 48)
    with pytest.raises(CheckpointError, match='22 positions .* 5 '):
        inflate(state, 4)


def test_what_training_alone_uses_is_named():
    state = tiny_timm().state_dict() | {'head.weight': torch.ones(3, 48), 'mask_token': torch.zeros(1, 48)}
    converted = to_ours({f'module.backbone.{name}': tensor for name, tensor in state.items()}, num_frames=4)
    assert [name.split('.')[-1] for name in converted.left_out] == ['weight', 'mask_token', 'cls_token']
    assert 'head.weight' in converted.left_out[0]


def test_dino_and_dinov2_become_timms():
    model = tiny_timm(reg_tokens=2, no_embed_class=True, init_values=0.5)
    state, image = model.state_dict(), torch.randn(1, 3, 32, 32)
    first = torch.randn(1, 1, 48)  # the position that DINOv2 gives its class token
    released = {name.replace('reg_token', 'register_tokens'): tensor for name, tensor in state.items()}
    released |= {'pos_embed': torch.cat([first, state['pos_embed']], 1), 'mask_token': torch.zeros(1, 48)}
    released['cls_token'] = state['cls_token'] - first
    found = to_timm(released)
    assert set(found) == set(state)
    wanted = model.forward_features(image)
    model.load_state_dict(found)
    torch.testing.assert_close(model.forward_features(image), wanted, atol=1e-5, rtol=1e-5)
    plain = tiny_timm().state_dict()  # DINO's own names are timm's
    assert set(to_timm({f'module.backbone.{k}': v for k, v in plain.items()})) == set(plain)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_decoder_with_gaps_is_refused_where_it_would_be_written():
    for name in ('encoder_to_decoder.weight', 'decoder.blocks.0.attn.proj.weight'):
        lacking = {k: v for k, v in to_published(tiny_sigma().state_dict()).items() if k != name}
        assert from_ours(to_ours(lacking), 'sigma')[0]
        for layout in ('hf', 'published'):
            with pytest.raises(CheckpointError, match='1 tensors of a decoder are missing, first b'):
                from_ours(to_ours(lacking), layout)
    without = {n: t for n, t in to_published(tiny_sigma().state_dict()).items() if 'decoder' not in n}
    converted = to_ours({n: t for n, t in without.items() if n != 'mask_token'})
    tensors, left_out = from_ours(converted, 'hf')
    assert 'embeddings.patch_embeddings.projection.weight' in tensors
    assert 'prototypes' in left_out
    assert hf_config(converted, heads=4)['architectures'] == ['VideoMAEModel']


def test_shapes_of_another_architecture_are_refused():
    gated = tiny_vit().state_dict() | {'blocks.0.mlp.fc2.weight': torch.zeros(48, 96)}
    with pytest.raises(CheckpointError, match=r'blocks.0.mlp.fc2.weight .*\(48, 96\).* \(48, 192\)'):
        to_ours(gated)
    wider = tiny_vit().state_dict() | {'blocks.1.attn.qkv.weight': torch.zeros(100, 48)}
    with pytest.raises(CheckpointError, match=r'blocks.1.attn.qkv.weight .*\(100, 48\).* \(144, 48\)'):
        to_ours(wider)


def test_a_teacher_in_our_checkpoint_has_no_place_in_other_layouts():
    from tests.sigma.data.test_many_masks import tiny

    state = tiny('image').state_dict()
    for layout in ('published', 'hf'):
        tensors, left_out = from_ours(to_ours(state), layout)
        assert not [name for name in tensors if name.startswith('projector')]
        assert set(left_out) >= {name for name in state if name.startswith('projector.')}


@pytest.mark.parametrize('wrapper', ['module.', '_orig_mod.', 'module._orig_mod.', 'model.'])
def test_names_that_wrappers_begin_with_are_understood(wrapper):
    for state in (to_published(tiny_sigma().state_dict()), to_hf(to_ours(tiny_sigma().state_dict()))[0]):
        plain, wrapped = to_ours(state), to_ours({wrapper + name: tensor for name, tensor in state.items()})
        assert set(wrapped.whole) == set(plain.whole)
        assert not wrapped.left_out


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_a_sinusoid_in_another_precision_is_still_one(dtype):
    state = to_mmaction(tiny_vit().state_dict()) | {'pos_embed': sinusoid_positions(8, 48)[None]}
    assert 'positions' not in to_ours({name: tensor.to(dtype) for name, tensor in state.items()}).encoder
    other = state | {'pos_embed': state['pos_embed'] + 0.05}
    assert 'positions' in to_ours({name: tensor.to(dtype) for name, tensor in other.items()}).encoder


def test_unknown_and_incomplete_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match='no patch embedding among its 1 keys, first x'):
        layout_of({'x': torch.ones(1)})
    tensors = tiny_vit().state_dict()
    del tensors['blocks.1.mlp.fc2.bias']
    with pytest.raises(CheckpointError, match='1 tensors .* missing, first blocks.1.mlp.fc2.bias'):
        to_ours(tensors)
    from safetensors.torch import save_file

    stray = tiny_vit().state_dict() | {'blocks.0.attn.gate': torch.ones(3)}
    save_file(stray, tmp_path / 'x.safetensors')
    with pytest.raises(CheckpointError, match=r'x.safetensors .* 1 .* keys .*, first blocks.0.attn.g'):
        load_encoder_weights(tiny_vit(), str(tmp_path / 'x.safetensors'))
    tuned = tiny_vit(final_norm=False).state_dict() | {'head.weight': torch.ones(2, 48)}
    save_file(tuned, tmp_path / 'tuned.safetensors')
    with pytest.raises(CheckpointError, match='first head.weight'):
        load_encoder_weights(tiny_vit(final_norm=False), str(tmp_path / 'tuned.safetensors'))
    load_encoder_weights(tiny_vit(final_norm=False), str(tmp_path / 'tuned.safetensors'), drop=('head.',))
