"""One global batch on one, two and four processes: the same codes, loss, gradients, and parameters after a step.

S masked tokens of the global batch (12,288 here, so that one code that differs is 0.008 %).
"""

import functools
import importlib

import pytest
import torch

from sigma.engine.optim import ParamGroups
from sigma.models import SIGMA
from tests.processes import run_processes

CLIPS, LEARNING_RATE = 32, 1e-3
loss_module = importlib.import_module('sigma.losses.sinkhorn')  # the package has a function of that name


IMAGE_ENCODER = {
    'type': 'sigma.ImageProjector',
    'model': 'vit_tiny_patch16_224',
    'grid': (8, 8, 8),
    'image_size': 128,
    'random_weights': True,
}


def model(kind: str = 'mlp') -> SIGMA:
    """SIGMA-MLP, or with a frozen image encoder (`masks`)."""
    torch.manual_seed(0)
    mlp = {'type': 'sigma.MLPProjector', 'out_dims': 24, 'hidden_dims': (64,)}
    return SIGMA(
        encoder={
            'type': 'sigma.VideoViT',
            'arch': {'embed_dims': 48, 'depth': 2, 'num_heads': 4},
            'image_size': 128,
            'num_frames': 16,
        },
        decoder={'type': 'sigma.MaskedDecoder', 'embed_dims': 32, 'depth': 1, 'num_heads': 2},
        projector=mlp if kind == 'mlp' else IMAGE_ENCODER,
        loss={'type': 'sigma.SinkhornLoss', 'num_prototypes': 64},
    )


def batch(rank: int, world_size: int, kind: str = 'mlp') -> dict:
    """This process's part of the global batch: 512 tokens a clip, 384 of them masked.

    Of `masks`: two masks a clip, half of whose masked tokens are decoded.
    """
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(CLIPS, 3, 4, 16, 16, generator=generator)  # blobs, not noise: tubelets that differ
    clips = torch.nn.functional.interpolate(coarse, (16, 128, 128), mode='trilinear').mul(255).to(torch.uint8)
    tubes = [torch.randperm(64, generator=generator)[:16].sort().values for _ in range(CLIPS)]
    own = slice(rank * CLIPS // world_size, (rank + 1) * CLIPS // world_size)
    data = {'inputs': list(clips[own]), 'visible_tubes': tubes[own]}
    if kind == 'masks':
        data['visible_tubes'] = [torch.stack([tube, (tube + 1) % 64]).sort(dim=1).values for tube in tubes[own]]
        phases = torch.randint(4, (CLIPS, 2), generator=generator)
        data['decode_phase'] = list(phases[own])
    return data


def step(rank: int, world_size: int, kind: str = 'mlp') -> dict:
    """Codes, losses, gradients and parameters of one optimiser step, as the trainer takes it."""
    trained = sigma = model(kind)
    if world_size > 1:
        trained = torch.nn.parallel.DistributedDataParallel(sigma, broadcast_buffers=False)
    codes, assign = [], loss_module.hard_codes_and_error

    def kept(*args):
        found, error = assign(*args)
        codes.extend(found)
        return found, error

    loss_module.hard_codes_and_error = kept
    try:
        wrapper = ParamGroups({'optimizer': {'type': 'AdamW', 'lr': LEARNING_RATE, 'weight_decay': 0.05}})(trained)
        losses = trained(**sigma.data_preprocessor(batch(rank, world_size, kind)), mode='loss')
    finally:
        loss_module.hard_codes_and_error = assign
    (losses['loss_pred'] + losses['loss_target']).backward()
    gradients = {name: p.grad.clone() for name, p in sigma.named_parameters() if p.grad is not None}
    wrapper.step()
    return {
        'pred': codes[0],
        'target': codes[1],
        'losses': torch.stack([losses['loss_pred'], losses['loss_target']]).detach().double(),
        'gradients': gradients,
        'parameters': {name: p.detach() for name, p in sigma.named_parameters()},
    }


@functools.cache
def alone(kind: str) -> dict:
    return step(0, 1, kind)


def relative(found: dict, wanted: dict) -> float:
    """Norm of the difference over the norm, over all tensors together."""
    assert found.keys() == wanted.keys()
    difference = sum(float((found[name] - wanted[name]).double().square().sum()) for name in wanted)
    return (difference / sum(float(tensor.double().square().sum()) for tensor in wanted.values())) ** 0.5


@pytest.mark.parametrize(('world_size', 'kind'), [(2, 'mlp'), (4, 'mlp'), (2, 'masks')])
def test_a_whole_step_on_several_processes_is_that_of_one(world_size, kind):
    wanted, found = alone(kind), run_processes(step, world_size, kind)
    codes = [torch.cat([part[branch] for part in found]) for branch in ('pred', 'target')]
    equal = [(now == before).float().mean() for now, before in zip(codes, (wanted['pred'], wanted['target']))]
    assert len(codes[0]) == CLIPS * 384
    losses = torch.stack([part['losses'] for part in found]).mean(dim=0)
    assert min(equal) >= 0.9999
    torch.testing.assert_close(losses, wanted['losses'], atol=1e-6, rtol=0)
    # fp32 adds up in another order. Measured: gradients 2e-7 of their norm, the step of AdamW 4e-8 of its length, and
    # no parameter further apart than 1e-3 of the learning rate, which is what one may move.
    assert relative(found[0]['gradients'], wanted['gradients']) < 2e-6
    start = {name: p.detach() for name, p in model(kind).named_parameters()}
    moved = {name: wanted['parameters'][name] - start[name] for name in start}
    here = {name: found[0]['parameters'][name] - start[name] for name in start}
    assert relative(here, moved) < 1e-6
    assert max(float((here[name] - moved[name]).abs().max()) for name in moved) < 0.01 * LEARNING_RATE
    for part in found[1:]:  # bit for bit, or the processes would drift apart
        for name, parameter in part['parameters'].items():
            assert torch.equal(parameter, found[0]['parameters'][name]), name
