"""Both sides of the pretraining benchmark compute the same step, and the report prints what was measured.

No test depends on measured times.
"""

import argparse
import copy
import re

import pytest
import torch

from tests.conftest import assert_one_sentence, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark import common, pretrain
from tools.benchmark.plain import PlainSIGMA, plain_codes

TINY = {
    'arch': 'tiny',
    'teacher': 'tiny',
    'frames': 4,
    'size': 64,
    'batch': 2,
    'prototypes': 12,
    'steps': 1,
    'device': 'cpu',
    'precision': 'fp32',
    'plain_precision': 'fp32',
    'compile': False,
    'memory_of': None,
}
LINE = [
    word for key in ('arch', 'teacher', 'frames', 'size', 'batch', 'prototypes', 'steps', 'device', 'precision')
    for word in (f'--{key.replace("_", "-")}', str(TINY[key]))
]  # fmt: skip
MEMORY = {
    'ours': {'peak': 600 * 2**20, 'before': 400 * 2**20},
    'plain': {'peak': 800 * 2**20, 'before': 400 * 2**20},
}


def arguments(**changes) -> argparse.Namespace:
    return argparse.Namespace(**TINY | {'variant': 'mlp'} | changes)


@pytest.mark.parametrize('variant', ['mlp', 'dino'])
def test_both_sides_have_the_same_loss_and_gradients(variant):
    args = arguments(variant=variant)
    model, data = pretrain.build(args), pretrain.make_batch(args)
    steps = {side: pretrain.make_step(side, copy.deepcopy(model), data, args) for side in pretrain.SIDES}
    losses = {side: step.loss() for side, step in steps.items()}
    torch.testing.assert_close(losses['ours'], losses['plain'], rtol=1e-5, atol=1e-5)
    gradients = {}
    for side, loss in losses.items():
        loss.backward()
        gradients[side] = {n: p.grad for n, p in steps[side].model.named_parameters() if p.requires_grad}
    assert set(gradients['ours']) == set(gradients['plain'])
    for name, ours in gradients['ours'].items():
        # A bias on the keys has no gradient: ours sets it to 0, the plain one leaves rounding errors.
        torch.testing.assert_close(
            ours, gradients['plain'][name], rtol=1e-3, atol=2e-6, msg=lambda m, n=name: f'{n}: {m}'
        )


@pytest.mark.parametrize('side', pretrain.SIDES)
def test_a_step_changes_every_trained_parameter_and_nothing_else(side):
    args = arguments(variant='dino')
    step = pretrain.make_step(side, pretrain.build(args), pretrain.make_batch(args), args)
    before = {name: p.detach().clone() for name, p in step.model.named_parameters()}
    step()
    for name, parameter in step.model.named_parameters():
        assert bool((before[name] != parameter).any()) == parameter.requires_grad, name


def test_the_plain_step_embeds_all_tokens_by_convolution_and_forms_attention(monkeypatch):
    args = arguments()
    model, data = pretrain.build(args), pretrain.make_batch(args)
    plain = pretrain.make_step('plain', model, data, args)
    assert isinstance(plain.model, PlainSIGMA)
    seen = []
    model.encoder.patch_embed.proj.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape)))

    def refuse(*_, **__):
        raise AssertionError('fused attention in the plain step')

    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', refuse)
    plain()
    assert seen == [(2, 128, 2, 4, 4)]


def test_plain_codes_equal_those_of_the_published_code():
    from tests.sigma.losses.test_sinkhorn import cosine_scores, published_form

    scores = cosine_scores(300, 24)
    assert torch.equal(plain_codes(scores, 0.05, 10), published_form(scores, 0.05, 10).argmax(1))


@pytest.mark.parametrize('variant', ['mlp', 'dino'])
def test_the_report_has_both_sides_and_their_ratio(capsys, monkeypatch, variant):
    monkeypatch.setattr(pretrain, 'memory_in_own_process', lambda command, side, *_: MEMORY[side])
    done = call_main(benchmark.main, capsys, 'pretrain', '--variant', variant, *LINE)
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r'(ours|plain) +([\d.]+) s +[\d.]+ s of processor time +[\d.]+ clips/s +(\d+) MiB +([\d.]+) MiB per clip',
        done.stdout,
    )
    assert [(row[0], *row[2:]) for row in rows] == [('ours', '200', '100.0'), ('plain', '400', '200.0')]
    goal = {'mlp': 0.5, 'dino': 0.33}[variant]
    assert re.search(rf'ratio: time [\d.]+ \(goal {goal}\), processor time [\d.]+, memory 0.50', done.stdout)
    assert 'batch 2, K = 12, ours in fp32, plain in fp32, cpu' in done.stdout
    losses = re.search(r'first loss: ours ([\d.]+), plain ([\d.]+)', done.stdout)
    assert float(losses[1]) == pytest.approx(float(losses[2]), abs=1e-4)


def test_the_share_of_the_peak_follows_from_time_and_operations(capsys, monkeypatch):
    monkeypatch.setattr(pretrain, 'device_name', lambda device: 'NVIDIA H100 80GB HBM3, torch x')
    args = arguments(device='cuda', precision='bf16', plain_precision='bf16', batch=10)
    seconds = {'ours': [1.0, 2.0, 9.0], 'plain': [8.0]}
    flops = {'embedding': 0.5e12, 'encoder': 47e12, 'prototypes': 2e12}
    found = {'seconds': seconds, 'processor': seconds, 'memory': MEMORY, 'flops': flops}
    found['rates'] = {'fp32': 100e12, 'bf16': 600e12}
    pretrain.print_pretrain(args, found | {'losses': {'ours': 1.0, 'plain': 1.0}})
    out = capsys.readouterr().out
    assert 'ours: 49500.0 GFLOP per clip by formula, 247.50 TFLOP/s, 25.0% of 990' in out
    assert 'ratio: time 0.25 (goal 0.33), memory 0.50' in out


@pytest.mark.parametrize(
    ('variant', 'side', 'expected'),
    [
        # 4 frames of 64 pixels: 32 tokens, 4 of them visible (a tenth of 16 cells, rounded up, in 2 slots).
        ('mlp', 'ours', {'bf16': 1 + 40 + 6 + 30, 'fp32': 20}),
        ('mlp', 'plain', {'bf16': 8 + 40 + 6, 'fp32': 50}),
        ('dino', 'ours', {'bf16': 1 + 40 + 6 + 25, 'fp32': 25}),
        ('dino', 'plain', {'bf16': 8 + 40, 'fp32': 6 + 50}),
    ],
)
def test_operations_by_precision(variant, side, expected):
    args = arguments(variant=variant, precision='bf16', plain_precision='bf16')
    assert pretrain.num_tokens(args) == (32, 4)
    parts = {'embedding': 1.0, 'encoder': 40.0, 'projector': 6.0, 'prototypes': 50.0}
    assert pretrain.by_precision(parts, side, args) == expected
    assert parts['prototypes'] == 50.0  # the input is left as it was


def test_the_bound_follows_from_operations_and_rates(capsys):
    args = arguments(batch=2, precision='bf16', plain_precision='fp32')
    flops = {'encoder': 6e9, 'prototypes': 5e9, 'embedding': 0.0}
    found = {'flops': flops, 'rates': {'fp32': 1e9, 'bf16': 3e9}}
    pretrain.print_products(args, found, {'ours': 20.0, 'plain': 44.0})
    out = capsys.readouterr().out
    # Ours: 6 and 3 of the 5 in bf16, 2 in fp32: 2 clips of 3 + 2 s. Plain: 2 clips of 11 s.
    assert 'ours: 9.0 GFLOP per clip in bf16, 2.0 in fp32; alone 10.000 s per step, 50% of what it took' in out
    assert 'plain: 0.0 GFLOP per clip in bf16, 11.0 in fp32; alone 22.000 s per step, 50% of what it took' in out
    assert 'at 3 GFLOP/s in bf16 and 1 in fp32 (large matrices): products alone have a ratio of 0.45' in out


def test_sides_alternate_and_the_first_two_rounds_are_not_timed():
    calls = []
    forms = {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}
    seconds, processor = common.timed_in_turn(forms, 3, 'cpu')
    assert calls == ['b', 'a', 'a', 'b', 'b', 'a', 'a', 'b', 'b', 'a']
    assert [len(values) for values in (*seconds.values(), *processor.values())] == [3, 3, 3, 3]


def test_sinkhorn_is_compared_on_the_device_that_is_there(capsys):
    done = call_main(
        benchmark.main,
        capsys,
        *['sinkhorn', '--samples', '200', '--prototypes', '20', '--steps', '1'],
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r'[\d.]+ times as fast \(goal 3\).*\n  same codes: 100.0000%', done.stdout)
    assert ('by processor time' in done.stdout) == (not torch.cuda.is_available())


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (('--device', 'cuda'), ('no GPU',)),
        (('--steps', '0'), ('--steps 0', 'at least 1')),
        (('--prototypes', '0'), ('--prototypes 0', 'at least 1')),
        (('--size', '33'), ('33 pixels',)),
    ],
)
def test_an_impossible_request_is_refused_in_one_sentence(capsys, change, words):
    assert_one_sentence(call_main(benchmark.main, capsys, 'pretrain', *LINE, *change), *words)


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own():
    args = arguments(size=128, frames=16, batch=2, prototypes=4000)
    found = common.memory_in_own_process('pretrain', 'plain', args, pretrain.SETTINGS)
    assert found['peak'] > found['before'] + 2 * 2 * 4000 * 64 * 8 * 4 * 0.75  # both score matrices


@pytest.mark.slow
def test_the_side_whose_process_fails_is_named():
    with pytest.raises(common.BenchmarkError, match='the memory of ours could not be measured: .*33 pixels'):
        common.memory_in_own_process('pretrain', 'ours', arguments(size=33), pretrain.SETTINGS)


def test_the_trainers_adamw_is_fused_and_resumes_bit_for_bit():
    args = arguments()
    data = pretrain.make_batch(args)
    whole, resumed = (pretrain.make_step('ours', pretrain.build(args), data, args) for _ in range(2))
    assert whole.optimizer.defaults['fused']
    whole()
    resumed.model.load_state_dict(copy.deepcopy(whole.model.state_dict()))
    resumed.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    whole()
    resumed()
    for name, parameter in whole.model.state_dict().items():
        assert torch.equal(parameter, resumed.model.state_dict()[name]), name


def test_compile_affects_our_blocks_and_those_of_the_image_encoder(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda module, **_: compiled.append(module))
    for variant, num_parts in (('mlp', 0), ('dino', 12)):  # blocks of the image encoder
        args = arguments(variant=variant, compile=True)
        model = pretrain.build(args)
        compiled.clear()
        pretrain.make_step('plain', model, pretrain.make_batch(args), args)
        assert not compiled
        pretrain.make_step('ours', model, pretrain.make_batch(args), args)
        assert len(compiled) == 4 + 4 + num_parts
