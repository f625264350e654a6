"""Models: shapes, parity with golden tensors and with mmaction2, gradients where they belong."""

import pytest
import torch
from torch import nn

from sigma.checkpoints.mmaction import to_mmaction
from sigma.errors import CheckpointError
from sigma.models import SIGMA, FeatureMapTokens, ImageProjector, MLPProjector, PixelTargets, VideoMAE, VideoViT
from sigma.models import image_frames as frames_module
from sigma.models.encoder import ARCHITECTURES, tubelets
from sigma.models.preprocessor import ClipPreprocessor, token_indices
from sigma.positions import sinusoid_positions

TINY = {'embed_dims': 48, 'depth': 2, 'num_heads': 4}


def tiny_vit(**settings) -> VideoViT:
    return VideoViT(TINY, image_size=32, num_frames=4, patch_size=16, **settings)


def tiny_sigma(**loss) -> SIGMA:
    torch.manual_seed(0)
    return SIGMA(
        encoder={'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 64, 'num_frames': 4},
        decoder={'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2},
        projector={'type': 'sigma.MLPProjector', 'out_dims': 24, 'hidden_dims': (64,)},
        loss={'type': 'sigma.SinkhornLoss', 'num_prototypes': 20} | loss,
    )


def tiny_batch(num_clips: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    return {
        'inputs': [
            torch.randint(0, 256, (3, 4, 64, 64), dtype=torch.uint8, generator=generator) for _ in range(num_clips)
        ],
        'visible_tubes': [torch.randperm(16, generator=generator)[:4].sort().values for _ in range(num_clips)],
    }


# --- encoder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('arch', 'millions'), [('small', 21.88), ('base', 86.23)])
def test_published_sizes_have_the_published_number_of_parameters(arch, millions):
    with torch.device('meta'):
        vit = VideoViT(arch)
    key_biases = vit.embed_dims * len(vit.blocks)  # timm's bias has a part for k, which stays zero
    total = sum(p.numel() for p in vit.parameters()) - key_biases
    assert total / 1e6 == pytest.approx(millions, abs=0.005)
    assert vit.num_tokens == 1568


def test_tokens_of_a_clip_have_the_shape_of_the_contract():
    assert tiny_vit()(torch.randn(2, 3, 4, 32, 32)).shape == (2, 2, 2, 2, 48)


def test_visible_tokens_are_embedded_alone_but_in_their_place():
    vit, clip = tiny_vit(), torch.randn(2, 3, 4, 32, 32)
    index = torch.tensor([[0, 3, 6], [1, 2, 7]])
    embedded = vit.patch_embed(clip) + vit.positions
    wanted = embedded[torch.arange(2)[:, None], index]
    found = vit.patch_embed(clip, index) + vit.positions[index]
    torch.testing.assert_close(found, wanted)
    everything = torch.arange(8).expand(2, -1)
    torch.testing.assert_close(vit.encode(clip, everything), vit.encode(clip))


def test_embedding_equals_the_published_convolution():
    vit, clip = tiny_vit(), torch.randn(2, 3, 4, 32, 32)
    convolved = vit.patch_embed.proj(clip).flatten(2).transpose(1, 2)
    torch.testing.assert_close(vit.patch_embed(clip), convolved, atol=1e-5, rtol=1e-5)


def test_tubelets_are_in_order_time_row_column():
    clip = torch.arange(4 * 4 * 4).view(1, 1, 4, 4, 4)
    first = tubelets(clip, (2, 2, 2))[0]
    assert first.shape == (8, 8)
    assert first[0].tolist() == [0, 1, 4, 5, 16, 17, 20, 21]
    assert first[1][0] == 2  # next column
    assert first[2][0] == 8  # next row
    assert first[4][0] == 32  # next slot


def test_positions_are_those_of_the_formula():
    table = sinusoid_positions(10, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert float(table[3, 2]) == pytest.approx(torch.sin(torch.tensor(3 / 10000 ** (2 / 6))).item(), abs=1e-6)
    torch.testing.assert_close(sinusoid_positions(20, 6)[:10], table)  # a shorter clip takes the first ones


def test_other_clip_lengths_work_and_other_sizes_are_refused():
    vit = tiny_vit()
    assert vit(torch.randn(1, 3, 2, 32, 32)).shape == (1, 1, 2, 2, 48)
    assert vit(torch.randn(1, 3, 8, 32, 32)).shape == (1, 4, 2, 2, 48)
    with pytest.raises(ValueError, match='4 frames of 48x32'):
        vit(torch.randn(1, 3, 4, 48, 32))
    with pytest.raises(ValueError, match='3 frames'):
        vit(torch.randn(1, 3, 3, 32, 32))
    with pytest.raises(ValueError, match='5 frames|multiples'):
        VideoViT('tiny', image_size=60)
    with pytest.raises(ValueError, match="Unknown VideoViT architecture 'huge'"):
        VideoViT('huge')


def test_key_bias_gets_no_gradient_and_changes_nothing():
    vit, clip = tiny_vit(), torch.randn(2, 3, 4, 32, 32)
    before = vit.encode(clip)
    before.square().sum().backward()
    query, key, value = vit.blocks[0].attn.qkv.bias.grad.chunk(3)
    assert not key.any()
    assert query.any()
    assert value.any()
    vit.blocks[0].attn.qkv.bias.data[48:96] = torch.randn(48)
    torch.testing.assert_close(vit.encode(clip), before, atol=1e-5, rtol=1e-5)


def test_drop_path_grows_linearly():
    rates = [b.drop_path1.drop_prob for b in list(VideoViT({**TINY, 'depth': 3}, 32, 4, drop_path_rate=0.2).blocks)[1:]]
    assert rates == pytest.approx([0.1, 0.2])


def test_mmactions_backbone_gives_the_same_features_with_the_same_weights():
    torch.manual_seed(0)
    ours = tiny_vit().eval()
    for parameter in ours.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    theirs = FeatureMapTokens(
        {
            'type': 'mmaction.VisionTransformer',
            'img_size': 32,
            'patch_size': 16,
            'embed_dims': 48,
            'depth': 2,
            'num_heads': 4,
            'num_frames': 4,
            'return_feat_map': True,
            'use_mean_pooling': False,
        }
    ).eval()
    missing = theirs.backbone.load_state_dict(to_mmaction(ours.state_dict()), strict=False)
    assert missing.missing_keys == ['pos_embed']
    assert not missing.unexpected_keys
    clip = torch.randn(2, 3, 4, 32, 32)
    assert theirs.embed_dims == 48
    torch.testing.assert_close(theirs(clip), ours(clip), atol=1e-5, rtol=1e-5)


def test_adapter_refuses_a_pooled_vector():
    class Pooled(nn.Module):
        embed_dims = 4

        def forward(self, clip):
            return clip.mean(dim=(2, 3, 4))

    adapter = FeatureMapTokens.__new__(FeatureMapTokens)
    nn.Module.__init__(adapter)
    adapter.backbone = Pooled()
    with pytest.raises(ValueError, match='return_feat_map'):
        adapter(torch.randn(1, 3, 4, 8, 8))


# --- masks, targets ------------------------------------------------------------------------------------------------


def test_token_indices_repeat_the_tubes_in_every_slot():
    visible, masked = token_indices(torch.tensor([[1, 2], [0, 3]]), (2, 2, 2))
    assert visible.tolist() == [[1, 2, 5, 6], [0, 3, 4, 7]]
    assert masked.tolist() == [[0, 3, 4, 7], [1, 2, 5, 6]]


def test_preprocessor_normalises_from_uint8():
    found = ClipPreprocessor((2, 4, 4))(tiny_batch())
    assert found['pixels'].min() >= 0
    assert found['pixels'].max() <= 1
    red = (tiny_batch()['inputs'][0][0].float() / 255 - 0.485) / 0.229
    torch.testing.assert_close(found['clip'][0, 0], red)
    assert found['visible'].shape == (3, 8)
    assert found['masked'].shape == (3, 24)


def test_pixel_targets_are_standardised_by_tubelet_and_channel():
    pixels = torch.rand(2, 3, 4, 32, 32)
    targets = PixelTargets((2, 16, 16))(pixels, pixels, torch.tensor([[0, 5], [2, 7]]))
    assert targets.shape == (2, 2, 1536)
    values = targets.view(2, 2, 512, 3)
    torch.testing.assert_close(values.mean(2), torch.zeros(2, 2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(2), torch.ones(2, 2, 3), atol=1e-4, rtol=0)
    block = pixels[0, 1, 2:4, 0:16, 16:32]  # token 5 of a 2x2x2 grid: slot 1, row 0, column 1
    by_hand = (block - block.mean()) / (block.std() + 1e-6)
    torch.testing.assert_close(values[0, 1, :, 1], by_hand.flatten())


def test_a_floor_keeps_noise_small_and_edges_as_they_are():
    noise = 0.5 + 0.004 * torch.randn(1, 3, 2, 16, 16, generator=torch.manual_seed(0))
    edge = torch.rand(1, 3, 2, 16, 16, generator=torch.manual_seed(1))
    pixels = torch.cat([noise, edge], dim=4)
    masked = torch.tensor([[0, 1]])
    published = PixelTargets((2, 16, 16))(pixels, pixels, masked).view(2, 512, 3)
    floored = PixelTargets((2, 16, 16), floor=0.05)(pixels, pixels, masked).view(2, 512, 3)
    deviation = torch.stack([noise, edge]).flatten(3).std(dim=3).view(2, 1, 3)
    expected = published * deviation / (deviation**2 + 0.05**2).sqrt()
    assert torch.allclose(floored, expected, atol=1e-4)
    assert floored[0].std() < 0.1
    assert floored[1].std() > 0.97
    assert torch.equal(MLPProjector(8, (16,), floor=0.05).targets(pixels, pixels, masked).view(2, 512, 3), floored)
    with pytest.raises(ValueError, match='-0.1'):
        PixelTargets(floor=-0.1)


def test_pixel_targets_may_be_standardised_by_clip():
    pixels = torch.rand(2, 3, 4, 32, 32)
    masked = torch.tensor([[0, 5], [2, 7]])
    values = PixelTargets((2, 16, 16), standardise='clip')(pixels, pixels, masked).view(2, 2, 512, 3)
    block = pixels[0, 1, 2:4, 0:16, 16:32]
    by_hand = (block - pixels[0, 1].mean()) / (pixels[0, 1].std() + 1e-6)
    torch.testing.assert_close(values[0, 1, :, 1], by_hand.flatten())
    projector = MLPProjector(8, (16,), standardise='clip')
    torch.testing.assert_close(projector.targets(pixels, pixels, masked).view(2, 2, 512, 3), values)
    with pytest.raises(ValueError, match="'frame'.*tubelet.*clip"):
        PixelTargets(standardise='frame')


def test_mlp_projector_has_the_published_layers():
    layers = [m for m in MLPProjector(256).layers if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [(1536, 1024), (1024, 1024), (1024, 512), (512, 256)]
    assert isinstance(MLPProjector(256).layers[-1], nn.Linear)


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224', 'vit_small_patch14_dinov2', 'resnet18'])
def test_image_projector_takes_any_timm_encoder(name):
    torch.manual_seed(0)
    size = 56 if 'patch14' in name else 64
    projector = ImageProjector(name, grid=(2, 4, 4), image_size=size, random_weights=True).train()
    clip = torch.randn(2, 3, 4, size, size)
    features = projector.features(clip)
    assert features.shape == (2, 32, projector.feature_dim)
    assert not projector.encoder.training
    assert not any(p.requires_grad for p in projector.parameters())
    other = clip.clone()
    other[:, :, 1::2] = 0  # only the first frame of a tubelet is seen
    torch.testing.assert_close(projector.features(other), features)
    targets = projector(clip, clip, torch.arange(32).expand(2, -1))
    torch.testing.assert_close(targets.mean(1), torch.zeros(2, projector.feature_dim), atol=1e-4, rtol=0)
    assert not targets.requires_grad


def test_image_projector_needs_weights_from_a_file(tmp_path):
    import timm
    from safetensors.torch import save_file

    with pytest.raises(ValueError, match="checkpoint='FILE'"):
        ImageProjector('vit_tiny_patch16_224')
    with pytest.raises(ValueError, match="'vit_tiny_patch17'"):
        ImageProjector('vit_tiny_patch17', random_weights=True)
    with pytest.raises(ValueError, match='not there'):
        ImageProjector('vit_tiny_patch16_224', checkpoint=str(tmp_path / 'none.safetensors'))
    weights = timm.create_model('vit_tiny_patch16_224', pretrained=False).state_dict()  # with its classifier, at 224
    save_file(weights, tmp_path / 'vit.safetensors')
    projector = ImageProjector('vit_tiny_patch16_224', str(tmp_path / 'vit.safetensors'), (2, 4, 4), image_size=64)
    torch.testing.assert_close(projector.encoder.blocks[0].attn.qkv.weight, weights['blocks.0.attn.qkv.weight'])
    with pytest.raises(ValueError, match='does not hold resnet18'):
        ImageProjector('resnet18', checkpoint=str(tmp_path / 'vit.safetensors'))


def test_a_released_dinov2_with_registers_is_a_teacher(tmp_path):
    from tests.sigma.checkpoints.peers import image, peer

    theirs, name = peer('dinov2_reg4'), 'vit_small_patch14_reg4_dinov2'
    # The peer has the names of DINOv2, and few blocks; the teacher of timm gets their sizes.
    small = {'embed_dim': 48, 'depth': 2, 'num_heads': 4}
    made, create = [], frames_module.timm.create_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            frames_module.timm, 'create_model', lambda *a, **k: made.append(create(*a, **k, **small)) or made[-1]
        )
        torch.save(theirs.tensors, tmp_path / 'dinov2_reg4.pth')
        projector = ImageProjector(name, str(tmp_path / 'dinov2_reg4.pth'), (1, 4, 4), image_size=56)
        features = projector.features(image(56)[:, :, None].expand(-1, -1, 2, -1, -1))
        torch.testing.assert_close(features, theirs.outputs['tokens'], atol=1e-5, rtol=1e-5)
        with pytest.raises(CheckpointError, match='does not hold vit_small_patch14_dinov2 .*reg_token'):
            ImageProjector('vit_small_patch14_dinov2', str(tmp_path / 'dinov2_reg4.pth'), (1, 4, 4), image_size=56)


def test_building_a_model_for_training_leaves_loaded_teacher_weights_alone(tmp_path):
    import timm
    from safetensors.torch import save_file

    weights = timm.create_model('vit_tiny_patch16_224', pretrained=False, img_size=64, num_classes=0).state_dict()
    save_file(weights, tmp_path / 'vit.safetensors')
    model = SIGMA(
        encoder={'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 64, 'num_frames': 4},
        decoder={'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2},
        projector={
            'type': 'sigma.ImageProjector',
            'model': 'vit_tiny_patch16_224',
            'checkpoint': str(tmp_path / 'vit.safetensors'),
            'grid': (2, 4, 4),
            'image_size': 64,
        },
        loss={'type': 'sigma.SinkhornLoss', 'num_prototypes': 20},
    )
    model.init_weights()  # MMEngine's runner calls this before training
    torch.testing.assert_close(model.projector.encoder.state_dict(), weights)
    assert model.decoder.head.out_features == 192


# --- whole models --------------------------------------------------------------------------------------------------


def test_gradients_go_where_the_method_says():
    model = tiny_sigma()
    data = model.data_preprocessor(tiny_batch())
    losses = model(**data, mode='loss')
    losses['loss_pred'].backward(retain_graph=True)
    assert model.sinkhorn_loss.prototypes.grad is None
    assert all(p.grad is None for p in model.projector.parameters())
    assert all(p.grad is not None for p in [*model.encoder.parameters(), *model.decoder.parameters()])
    model.zero_grad(set_to_none=True)
    losses['loss_target'].backward()
    assert all(p.grad is None for p in [*model.encoder.parameters(), *model.decoder.parameters()])
    assert all(p.grad is not None for p in [*model.projector.parameters(), model.sinkhorn_loss.prototypes])


def test_videomae_predicts_pixels():
    torch.manual_seed(0)
    model = VideoMAE(
        encoder={'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 64, 'num_frames': 4},
        decoder={'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2},
    )
    data = model.data_preprocessor(tiny_batch())
    loss = model(**data, mode='loss')['loss_pixels']
    tokens = model.encoder.encode(data['clip'], data['visible'])
    predictions = model.decoder(tokens, data['visible'], data['masked'])
    targets = model.projector(data['pixels'], data['clip'], data['masked'])
    torch.testing.assert_close(loss, (predictions - targets).square().mean())
    assert predictions.shape == (3, 24, 1536)


def test_an_unknown_mode_is_refused_and_tensor_gives_tokens():
    model = tiny_sigma()
    data = model.data_preprocessor(tiny_batch())
    assert model(**data, mode='tensor').shape == (3, 2, 4, 4, 48)
    with pytest.raises(ValueError, match="mode 'predict'"):
        model(**data, mode='predict')


def test_bf16_autocast_keeps_sinkhorn_in_fp32():
    model = tiny_sigma()
    data = model.data_preprocessor(tiny_batch())
    full = model(**data, mode='loss')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = model(**data, mode='loss')
    assert half['loss_pred'].dtype == torch.float32
    assert float(half['loss_pred']) == pytest.approx(float(full['loss_pred']), rel=0.1)


def test_every_architecture_builds_a_whole_model_on_the_meta_device():
    for arch in ARCHITECTURES:
        with torch.device('meta'):
            assert VideoViT(arch).num_tokens == 1568
