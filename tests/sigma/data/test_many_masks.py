"""Several masks a clip, half of the tokens decoded, and the L2 ablation: what is computed, and how often."""

import pytest
import torch

from sigma.losses import FeatureL2
from sigma.models import SIGMA, VideoMAE
from sigma.models.encoder import gather_tokens
from tests.conftest import DEMO, demo_options, run_tool

TINY = {'embed_dims': 48, 'depth': 2, 'num_heads': 4}
PROJECTORS = {
    'mlp': {'type': 'sigma.MLPProjector', 'out_dims': 24, 'hidden_dims': (64,)},
    'image': {
        'type': 'sigma.ImageProjector',
        'model': 'vit_tiny_patch16_224',
        'grid': (2, 4, 4),
        'image_size': 64,
        'random_weights': True,
    },
}


def tiny(projector: str, loss: dict | None = None, width: int = 32) -> torch.nn.Module:
    torch.manual_seed(0)
    parts = {
        'encoder': {'type': 'sigma.VideoViT', 'arch': TINY, 'image_size': 64, 'num_frames': 4},
        'decoder': {'type': 'sigma.MaskedDecoder', 'embed_dims': width, 'depth': 1, 'num_heads': 2},
    }
    if projector == 'pixels':
        return VideoMAE(**parts)
    return SIGMA(
        **parts,
        projector=PROJECTORS[projector],
        loss=loss or {'type': 'sigma.SinkhornLoss', 'num_prototypes': 20},
    )


def batch(num_masks: int | None, num_clips: int = 3, seed: int = 1, **more) -> dict:
    generator = torch.Generator().manual_seed(seed)

    def tubes():
        return torch.randperm(16, generator=generator)[:4].sort().values

    clips = [torch.randint(0, 256, (3, 4, 64, 64), dtype=torch.uint8, generator=generator) for _ in range(num_clips)]
    masks = [tubes() if num_masks is None else torch.stack([tubes() for _ in range(num_masks)]) for _ in clips]
    return {'inputs': clips, 'visible_tubes': masks} | more


class Count:
    """How often modules were called, and with how many sequences and tokens."""

    def __init__(self, **modules) -> None:
        self.shapes = {name: [] for name in modules}
        for name, module in modules.items():
            module.register_forward_hook(lambda _, inputs, __, name=name: self.shapes[name].append(inputs[0].shape))


@pytest.mark.parametrize('projector', ['mlp', 'image', 'pixels'])
def test_four_masks_cost_one_pass_of_the_projector(projector):
    model = tiny(projector)
    data = model.data_preprocessor(batch(4))
    network = {
        'mlp': lambda: model.projector.layers,
        'image': lambda: model.projector.encoder.blocks[0],
        'pixels': lambda: model.projector,
    }
    count = Count(block=model.encoder.blocks[0], decoder=model.decoder.blocks[0], projector=network[projector]())
    model(**data, mode='loss')
    assert count.shapes['block'] == [(12, 8, 48)]  # 3 clips x 4 masks, visible tokens alone
    assert count.shapes['decoder'] == [(12, 32, 32)]
    wanted = {'mlp': (3, 32, 1536), 'image': (6, 17, 192), 'pixels': (3, 3, 4, 64, 64)}[projector]
    assert count.shapes['projector'] == [wanted]  # each token (or frame) of 3 clips once


@pytest.mark.parametrize('projector', ['mlp', 'image', 'pixels'])
def test_several_masks_equal_the_clip_given_several_times(projector):
    model = tiny(projector)
    data = model.data_preprocessor(batch(3))
    repeated = {
        'pixels': data['pixels'].repeat_interleave(3, 0),
        'clip': data['clip'].repeat_interleave(3, 0),
        'visible': data['visible'].flatten(0, 1),
        'masked': data['masked'].flatten(0, 1),
    }
    parameters = [p for p in model.parameters() if p.requires_grad]

    def losses_and_gradients(inputs):
        losses = model(**inputs, mode='loss')
        total = sum(value for name, value in losses.items() if 'loss' in name)
        return losses, torch.autograd.grad(total, parameters, allow_unused=True)

    (together, gradients), (apart, gradients_apart) = losses_and_gradients(data), losses_and_gradients(repeated)
    assert set(together) == set(apart)
    for name in together:
        torch.testing.assert_close(together[name], apart[name], atol=2e-5, rtol=1e-5)
    for one, other in zip(gradients, gradients_apart):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)


def test_one_mask_is_computed_as_the_method_says_to_the_last_bit():
    model = tiny('mlp')
    data = model.data_preprocessor(batch(None))
    assert data['visible'].shape == (3, 8)
    model(**data, mode='loss')  # unit prototypes, which each call makes anew, move by a last bit the first time alone
    losses = model(**data, mode='loss')
    embedded = model.encoder.patch_embed(data['clip'], data['visible']) + model.encoder.positions[data['visible']]
    for block in model.encoder.blocks:
        embedded = block(embedded)
    predictions = model.decoder(model.encoder.norm(embedded), data['visible'], data['masked'])
    targets = model.projector(data['pixels'], data['clip'], data['masked'])
    by_hand = model.sinkhorn_loss(predictions, targets)
    assert all(torch.equal(losses[name], by_hand[name]) for name in losses)


def test_half_of_the_masked_tokens_are_decoded_and_scored():
    model = tiny('mlp')
    whole = model.data_preprocessor(batch(None))
    half = model.data_preprocessor(batch(None, decode_phase=[torch.tensor(p) for p in (0, 1, 3)]))
    assert torch.equal(half['visible'], whole['visible'])
    assert half['masked'].shape == (3, 12)
    count = Count(decoder=model.decoder.blocks[0], head=model.decoder.head, projector=model.projector.layers)
    losses = model(**half, mode='loss')
    assert count.shapes == {'decoder': [(3, 20, 32)], 'head': [(3, 12, 32)], 'projector': [(3, 12, 1536)]}
    targets = model.projector(whole['pixels'], whole['clip'], half['masked'])
    place = torch.stack([torch.searchsorted(w, h) for w, h in zip(whole['masked'], half['masked'])])
    everything = model.projector(whole['pixels'], whole['clip'], whole['masked'])
    torch.testing.assert_close(targets, gather_tokens(everything, place))
    assert torch.isfinite(losses['loss_pred'])


def test_masks_of_any_pattern_reach_the_encoder():
    model = tiny('pixels')
    tokens = torch.tensor([0, 5, 17, 31])
    data = model.data_preprocessor(
        {'inputs': batch(None, 1)['inputs'], 'visible_tokens': [torch.stack([tokens, torch.tensor([1, 2, 3, 4])])]}
    )
    assert data['visible'].shape == (1, 2, 4)
    assert data['masked'].shape == (1, 2, 28)
    embedded = model.encoder.patch_embed(data['clip'])[:, tokens] + model.encoder.positions[tokens]
    for block in model.encoder.blocks:
        embedded = block(embedded)
    first, _ = model.encoder.encode(data['clip'], data['visible'])
    torch.testing.assert_close(first[None], model.encoder.norm(embedded), atol=1e-5, rtol=1e-5)


# --- the ablation ----------------------------------------------------------------------------------------------------


def test_l2_is_the_mean_square_with_gradient_into_both():
    predictions, targets = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    found = FeatureL2()(predictions, targets)
    torch.testing.assert_close(found['loss_l2'], ((predictions - targets) ** 2).mean())
    torch.testing.assert_close(found['target_std'], targets.detach().reshape(6, 4).std(0).mean())
    found['loss_l2'].backward()
    torch.testing.assert_close(predictions.grad, -targets.grad)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert FeatureL2()(predictions.bfloat16(), targets.bfloat16())['loss_l2'].dtype == torch.float32


def test_l2_on_learnt_features_collapses_and_sinkhorn_does_not():
    spread = {}
    for name, loss in {
        'l2': {'type': 'sigma.FeatureL2'},
        'sinkhorn': {'type': 'sigma.SinkhornLoss', 'num_prototypes': 20},
    }.items():
        model = tiny('mlp', loss)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        for step in range(70):
            data = model.data_preprocessor(batch(None, 4, seed=step))
            losses = model(**data, mode='loss')
            optimizer.zero_grad()
            sum(value for key, value in losses.items() if 'loss' in key).backward()
            optimizer.step()
            if step in (0, 69):
                targets = model.targets(data['pixels'], data['clip'], data['masked']).flatten(0, 1)
                spread[name, step] = float(targets.detach().std(dim=0).mean())
    assert spread['l2', 69] < 0.1 * spread['l2', 0]
    assert spread['sinkhorn', 69] > spread['sinkhorn', 0]


@pytest.mark.slow
def test_a_run_with_moving_masks_trains_and_resumes_bit_for_bit(toy, tmp_path):
    steps = [
        {'type': 'sigma.OpenVideo'},
        {'type': 'sigma.SampleDense', 'num_frames': 16, 'stride_frames': 2},
        {'type': 'sigma.DecodeFramesAndVectors', 'without_motion': 'still'},
        {'type': 'sigma.ResizeSquare', 'size': 64},
        {'type': 'sigma.MotionMask', 'grid': (8, 4, 4), 'mask_ratio': 0.75, 'motion': 'codec', 'num_masks': 2},
        {'type': 'sigma.RunningCell', 'num_masks': 2},
        {'type': 'sigma.PackPretraining'},
    ]
    config = tmp_path / 'moving.py'
    config.write_text(f'_base_ = {str(DEMO)!r}\ntrain_dataloader = dict(dataset=dict(pipeline={steps!r}))\n')

    def train(work, *arguments, **options):
        done = run_tool('tools/train.py', config, '--work-dir', work, *arguments, *demo_options(toy, **options))
        assert done.returncode == 0, done.stderr
        return (work / 'iter_10.safetensors').read_bytes()

    whole = train(tmp_path / 'whole', default_hooks__checkpoint__keep=9)
    (scalars,) = (tmp_path / 'whole').glob('*/vis_data/scalars.json')
    assert scalars.read_text().count('"videos_without_motion": 0,') == 10
    (tmp_path / 'whole' / 'iter_10.safetensors').unlink()
    assert train(tmp_path / 'whole', '--resume', tmp_path / 'whole' / 'iter_5.safetensors') == whole
