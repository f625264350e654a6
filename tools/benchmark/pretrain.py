"""`python -m tools.benchmark pretrain` and `sinkhorn`: our pretraining step against the same step written plainly.

Both start from the same weights. Ours begins at uint8 clips and includes their normalisation; the plain one
(tools/benchmark/plain.py) is given normalised clips and boolean masks. Steps of the two alternate in one run, so that
what else the machine does falls on both. On a CPU the processor time of a step is taken too: what waits for others has
none, so that its ratio holds on a busy machine (with one thread; several wait for one another in it). Peak memory is
that of a process of its own for each.

Each side has a precision of its own. On a CPU the plain step runs in fp32, as it does for whoever writes it down and
starts it, and ours in bf16, as `tools/train.py --amp` does; `--plain-precision bf16` gives the plain one autocast too
(its image encoder stays in fp32, as released). On a GPU both run in bf16.

The report ends with what arithmetic allows: both sides multiply nearly the same matrices, so that a step of products
alone, at the rate that this machine multiplies large matrices in each precision, has a ratio of its own. A ratio below
it was gained on what is no product; a goal below it needs more than that.
"""

import argparse
import copy
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIDES = ('ours', 'plain')
PRECISIONS = ('fp32', 'bf16')
GOALS = {('cpu', 'mlp'): 0.5, ('cpu', 'dino'): 0.33, ('cuda', 'mlp'): 0.33, ('cuda', 'dino'): 0.33}
# Published settings of each variant: width of the decoder and its heads follow the encoder, K and E the targets.
DECODERS = {'tiny': (64, 2), 'small': (192, 3), 'base': (384, 6), 'large': (512, 8)}
NUM_PROTOTYPES = {'mlp': 4000, 'dino': 3000}
TEACHERS = {'tiny': 'vit_tiny_patch16_224', 'small': 'vit_small_patch16_224.dino', 'base': 'vit_base_patch16_224.dino'}
# Dense bf16 TFLOP/s by the data sheets; of other devices the share of the peak is not said.
PEAK_TFLOPS = {'H100': 990, 'H200': 990, 'A100': 312}
SINKHORN_GOAL = 3.0


class BenchmarkError(ValueError):
    """What cannot be measured here; one sentence for the user."""


# --- the command line -----


def add_pretrain(commands) -> None:
    """Options of `pretrain`."""
    parser = commands.add_parser('pretrain', help='a pretraining step against the same step written plainly')
    add = parser.add_argument
    add('--variant', choices=('mlp', 'dino'), default='mlp', help='projector: MLP, or a frozen image encoder')
    add('--arch', default='base', choices=list(DECODERS), help='of the encoder')
    add('--teacher', default='base', choices=list(TEACHERS), help='size of the image encoder (random weights)')
    add('--frames', type=int, default=16)
    add('--size', type=int, default=224, help='pixels of a side')
    add('--batch', type=int, default=8, help='clips a step')
    add('--prototypes', type=int, help='K (default: 4000 for mlp, 3000 for dino)')
    add('--steps', type=int, default=10, help='timed steps of each')
    add('--compile', action='store_true', help='torch.compile our blocks, as tools/train.py does')
    _add_device(add)
    add('--precision', choices=PRECISIONS, default='bf16', help='of our step')
    add('--plain-precision', choices=PRECISIONS, help='of the plain step (default: fp32 on a cpu, bf16 on cuda)')
    add('--memory-of', choices=SIDES, help=argparse.SUPPRESS)
    parser.set_defaults(run=run_pretrain)


def add_sinkhorn(commands) -> None:
    """Options of `sinkhorn`."""
    parser = commands.add_parser('sinkhorn', help='Sinkhorn alone against the form with an explicit plan')
    add = parser.add_argument
    add('--samples', type=int, default=56_320, help='S: 1408 masked tokens of 40 clips')
    add('--prototypes', type=int, default=3000, help='K')
    add('--iterations', type=int, default=10)
    add('--steps', type=int, default=3, help='timed runs of each')
    _add_device(add)
    add('--precision', choices=('fp32',), default='fp32', help='Sinkhorn has no other')
    parser.set_defaults(run=run_sinkhorn)


def _add_device(add: Callable) -> None:
    add('--device', choices=('cuda', 'cpu'), help='default: cuda where there is one')


def check(args: argparse.Namespace, *names: str) -> None:
    """Refuse counts below 1 and a GPU that is not there."""
    import torch

    for name in names:
        if getattr(args, name) < 1:
            raise BenchmarkError(f'--{name} {getattr(args, name)} was asked; at least 1 is needed.')
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise BenchmarkError('--device cuda was asked, but torch finds no GPU; take --device cpu.')


# --- the step -----


def run_pretrain(args: argparse.Namespace) -> None:
    """Measure both sides and print the report."""
    args.prototypes = NUM_PROTOTYPES[args.variant] if args.prototypes is None else args.prototypes
    args.plain_precision = args.plain_precision or ('bf16' if args.device == 'cuda' else 'fp32')
    check(args, 'batch', 'steps', 'prototypes')
    if args.memory_of:
        print(json.dumps(memory_of(args, args.memory_of)))
    else:
        print_pretrain(args, compare(args))


def compare(args: argparse.Namespace) -> dict:
    """Seconds a step and bytes of both sides, operations of a clip by part, this machine's rates, the first losses."""
    import torch

    model, data = build(args), make_batch(args)
    parts = count_flops(model, data)
    steps = {side: make_step(side, copy.deepcopy(model), data, args) for side in SIDES}
    del model
    first = {side: float(steps[side].loss().detach()) for side in SIDES}
    seconds, processor = timed_in_turn(steps, args.steps, args.device)
    del steps
    gc.collect()
    if args.device == 'cuda':
        torch.cuda.empty_cache()
    return {
        'rates': {precision: product_rate(args.device, precision) for precision in PRECISIONS},
        'seconds': seconds,
        'processor': processor,
        'memory': {side: memory_in_its_own_process(args, side) for side in SIDES},
        'flops': parts,
        'losses': first,
    }


def timed_in_turn(
    steps: dict[str, Callable[[], None]], count: int, device: str, num_warmups: int = 2
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of `count` calls of each, and their processor time; in turn and in changing order, after some others."""
    import torch

    seconds: dict[str, list[float]] = {side: [] for side in steps}
    processor: dict[str, list[float]] = {side: [] for side in steps}
    for number in range(-num_warmups, count):
        for side in list(steps) if number % 2 else reversed(list(steps)):
            begun, begun_processor = time.perf_counter(), time.process_time()
            steps[side]()
            if device == 'cuda':
                torch.cuda.synchronize()
            if number >= 0:
                seconds[side].append(time.perf_counter() - begun)
                processor[side].append(time.process_time() - begun_processor)
    return seconds, processor


def build(args: argparse.Namespace):
    """The `SIGMA` of the arguments, random weights from a fixed seed, on the device."""
    import torch

    from sigma.models import SIGMA, VideoViT

    torch.manual_seed(0)
    width, heads = DECODERS[args.arch]
    encoder = {'type': 'sigma.VideoViT', 'arch': args.arch, 'image_size': args.size, 'num_frames': args.frames}
    grid = VideoViT('tiny', args.size, args.frames).grid
    projector: dict = {'type': 'sigma.MLPProjector'}
    if args.variant == 'dino':
        projector = {
            'type': 'sigma.ImageProjector',
            'model': TEACHERS[args.teacher],
            'grid': grid,
            'image_size': args.size,
            'random_weights': True,
        }
    model = SIGMA(
        encoder,
        {'type': 'sigma.MaskedDecoder', 'embed_dims': width, 'depth': 4, 'num_heads': heads},
        projector,
        {'type': 'sigma.SinkhornLoss', 'num_prototypes': args.prototypes},
    )
    return model.to(args.device).train()


def make_batch(args: argparse.Namespace) -> dict:
    """uint8 clips of noise on the device, and the published share of visible tubes, as a loader gives them."""
    import torch

    from sigma.data.masking import num_visible_cells

    generator = torch.Generator().manual_seed(1)
    side = args.size // 16
    num_visible = num_visible_cells(side, side, 0.9)
    shape = (3, args.frames, args.size, args.size)
    clips = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(args.batch)]
    tubes = [torch.randperm(side**2, generator=generator)[:num_visible].sort().values for _ in clips]
    return {'inputs': [c.to(args.device) for c in clips], 'visible_tubes': [t.to(args.device) for t in tubes]}


def count_flops(model, data: dict) -> dict[str, float]:
    """Operations of our step for one clip by part, by the formula of sigma/flops.py."""
    from sigma.flops import pretraining_flops

    batch = model.data_preprocessor(data)
    return pretraining_flops(model, batch['visible'].shape[-1], batch['masked'].shape[-1])


def by_precision(parts: dict[str, float], side: str, args: argparse.Namespace) -> dict[str, float]:
    """Operations of a side's step for one clip, those in fp32 and those in bf16.

    Scores are in fp32 on both sides; their gradients too on the plain one. That one embeds all tokens, and its image
    encoder is in fp32.
    """
    parts, precision = dict(parts), args.precision if side == 'ours' else args.plain_precision
    done = dict.fromkeys(PRECISIONS, 0.0)
    scores = parts.pop('prototypes')
    # Two products of five are scores where the targets are learnt, of four where they are not (sigma/flops.py).
    in_fp32 = scores if side == 'plain' else scores * 2 / (5 if args.variant == 'mlp' else 4)
    done['fp32'] += in_fp32
    parts['gradients of scores'] = scores - in_fp32
    if side == 'plain':
        tokens, visible = num_tokens(args)
        parts['embedding'] *= tokens / visible
        if args.variant == 'dino':
            done['fp32'] += parts.pop('projector')
    done[precision] += sum(parts.values())
    return done


def num_tokens(args: argparse.Namespace) -> tuple[int, int]:
    """All tokens of a clip, and the visible ones."""
    from sigma.data.masking import num_visible_cells

    side, slots = args.size // 16, args.frames // 2
    return slots * side**2, slots * num_visible_cells(side, side, 0.9)


def product_rate(device: str, precision: str) -> float:
    """Operations a second of a product of large square matrices, the best of five; on a CPU, of processor time."""
    import torch

    dtype = {'fp32': torch.float32, 'bf16': torch.bfloat16}[precision]
    side = 1024 if device == 'cpu' else 8192
    matrix = torch.rand(side, side, device=device).to(dtype)
    seconds, processor = timed_in_turn({precision: lambda: matrix @ matrix}, 5, device)
    return 2 * side**3 / min((processor if device == 'cpu' else seconds)[precision])


def make_step(side: str, model, data: dict, args: argparse.Namespace) -> 'Step':
    """The training step of a side; it takes the model over."""
    return (OurStep if side == 'ours' else PlainStep)(model, data, args)


class Step:
    """Forward, backward, AdamW on one batch."""

    def __init__(self, model, data: dict, device: str, precision: str) -> None:
        import torch

        self.model, self.data = model, data
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == 'bf16')
        self.optimizer = self.make_optimizer()

    def make_optimizer(self):
        """The side's AdamW."""
        raise AssertionError('a side says which')

    def loss(self):
        """Loss of the batch, a scalar with gradient."""
        raise AssertionError('a side says how')

    def __call__(self) -> None:
        """One step."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class OurStep(Step):
    """As the trainer does it: `ParamGroups` builds the optimizer, the preprocessor takes uint8."""

    def __init__(self, model, data: dict, args: argparse.Namespace) -> None:
        super().__init__(model, data, args.device, args.precision)
        if args.compile:
            from sigma.engine.runner import compilable_blocks

            for block in compilable_blocks(model):
                block.compile()

    def make_optimizer(self):
        """Through the trainer's own constructor, so that what it sets is measured."""
        from sigma.engine.optim import ParamGroups

        config = {'optimizer': {'type': 'AdamW', 'lr': 1e-5, 'betas': (0.9, 0.95), 'weight_decay': 0.05}}
        return ParamGroups(config)(self.model).optimizer

    def loss(self):
        """The sum that is trained on."""
        with self.autocast:
            losses = self.model(**self.model.data_preprocessor(self.data), mode='loss')
        return losses['loss_target'] + losses['loss_pred']


class PlainStep(Step):
    """Written plainly, with torch's AdamW as it comes."""

    def __init__(self, model, data: dict, args: argparse.Namespace) -> None:
        import torch

        from tools.benchmark.plain import PlainSIGMA

        batch = model.data_preprocessor(data)
        num_tokens = model.encoder.num_tokens
        self.clip = batch['clip']
        self.mask = torch.ones(len(self.clip), num_tokens, dtype=torch.bool, device=self.clip.device)
        self.mask.scatter_(1, batch['visible'], False)
        super().__init__(PlainSIGMA(model), data, args.device, args.plain_precision)

    def make_optimizer(self):
        """AdamW with one learning rate; which parameters decay costs no time."""
        import torch

        return torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-5, betas=(0.9, 0.95))

    def loss(self):
        """The sum that is trained on."""
        with self.autocast:
            return self.model(self.clip, self.mask)


# --- memory -----

SETTINGS = ('variant', 'arch', 'teacher', 'frames', 'size', 'batch', 'prototypes', 'device', 'precision')
SETTINGS += ('plain_precision',)


def memory_in_its_own_process(args: argparse.Namespace, side: str) -> dict[str, int]:
    """`memory_of` in a fresh process, where nothing else has been."""
    command = [sys.executable, str(Path(__file__).with_name('__main__.py')), 'pretrain', '--memory-of', side]
    for name in SETTINGS:
        command += [f'--{name.replace("_", "-")}', str(getattr(args, name))]
    command += ['--compile'] if args.compile else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f'exit status {done.returncode}, out of memory?']
        raise BenchmarkError(f'the memory of {side} could not be measured: {words[-1]}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def memory_of(args: argparse.Namespace, side: str) -> dict[str, int]:
    """Peak bytes of two steps of one side (`peak`), and what the process held before its model was built (`before`)."""
    import torch

    from tools.benchmark.common import resident_bytes

    small = {'arch': 'tiny', 'teacher': 'tiny', 'frames': 2, 'size': 64, 'batch': 1, 'prototypes': 8, 'compile': False}
    small_args = argparse.Namespace(**vars(args) | small)
    make_step(side, build(small_args), make_batch(small_args), small_args)()  # imports all
    gc.collect()
    before = resident_bytes('VmRSS') if args.device == 'cpu' else torch.cuda.memory_allocated()
    step = make_step(side, build(args), make_batch(args), args)
    for _ in range(2):  # the optimizer's moments are there from the second on
        step()
    peak = resident_bytes('VmHWM') if args.device == 'cpu' else torch.cuda.max_memory_allocated()
    return {'peak': peak, 'before': before}


# --- printing -----


def print_pretrain(args: argparse.Namespace, found: dict) -> None:
    """Both sides, their ratio, and operations a second against the device's peak where it is known."""
    name = device_name(args.device)
    what = 'SIGMA-MLP' if args.variant == 'mlp' else f'SIGMA-DINO (image encoder {args.teacher}, random weights)'
    print(
        f'pretraining step, {what}, ViT {args.arch}, {args.frames} frames of {args.size}x{args.size}, '
        f'batch {args.batch}, K = {args.prototypes}, ours in {args.precision}{", compiled" if args.compile else ""}, '
        f'plain in {args.plain_precision}, {name}, median of {args.steps} steps'
    )
    seconds, processor = (
        {side: statistics.median(values) for side, values in found[key].items()} for key in ('seconds', 'processor')
    )
    own = {side: memory['peak'] - memory['before'] for side, memory in found['memory'].items()}
    for side in SIDES:
        of_cpu = f'{processor[side]:8.3f} s of processor time   ' if args.device == 'cpu' else ''
        print(
            f'  {side:<6} {seconds[side]:8.3f} s   {of_cpu}{args.batch / seconds[side]:8.2f} clips/s   '
            f'{own[side] / 2**20:8.0f} MiB   {own[side] / args.batch / 2**20:7.1f} MiB a clip'
        )
    goal = GOALS[args.device, args.variant]
    of_cpu = f'processor time {processor["ours"] / processor["plain"]:.2f}, ' if args.device == 'cpu' else ''
    print(
        f'  ratio: time {seconds["ours"] / seconds["plain"]:.2f} (goal {goal}), {of_cpu}'
        f'memory {own["ours"] / own["plain"]:.2f}'
    )
    flops = sum(found['flops'].values())
    done = flops * args.batch / seconds['ours'] / 1e12
    line = f'  ours: {flops / 1e9:.1f} GFLOP a clip by formula, {done:.2f} TFLOP/s'
    peak = next((value for key, value in PEAK_TFLOPS.items() if key in name), None)
    known = args.precision == 'bf16' and peak
    print(f'{line}, {done / peak:.1%} of {peak} (dense bf16)' if known else f'{line}, share of the peak not known here')
    print_products(args, found, processor if args.device == 'cpu' else seconds)
    print(f'  first loss: ours {found["losses"]["ours"]:.5f}, plain {found["losses"]["plain"]:.5f}')


def print_products(args: argparse.Namespace, found: dict, seconds: dict[str, float]) -> None:
    """What a step of products alone would take on each side, and how far the steps are from it."""
    rates, alone = found['rates'], {}
    for side in SIDES:
        done = by_precision(found['flops'], side, args)
        alone[side] = args.batch * sum(done[precision] / rates[precision] for precision in PRECISIONS)
        print(
            f'  products of {side}: {done["bf16"] / 1e9:.1f} GFLOP a clip in bf16, {done["fp32"] / 1e9:.1f} in fp32; '
            f'alone {alone[side]:.3f} s a step, {alone[side] / seconds[side]:.0%} of what it took'
        )
    print(
        f'  at {rates["bf16"] / 1e9:.0f} GFLOP/s in bf16 and {rates["fp32"] / 1e9:.0f} in fp32 (large matrices): '
        f'products alone have a ratio of {alone["ours"] / alone["plain"]:.2f}'
    )


def device_name(device: str) -> str:
    """What it ran on, with torch's version."""
    import torch

    name = torch.cuda.get_device_name() if device == 'cuda' else f'cpu, {torch.get_num_threads()} threads'
    return f'{name}, torch {torch.__version__}'


# --- Sinkhorn alone -----


def run_sinkhorn(args: argparse.Namespace) -> None:
    """Codes of one score matrix, both forms in turn."""
    import torch
    import torch.nn.functional as F

    from sigma.losses.sinkhorn import hard_codes
    from tools.benchmark.plain import plain_codes

    check(args, 'samples', 'prototypes', 'iterations', 'steps')
    generator = torch.Generator().manual_seed(0)
    unit = [F.normalize(torch.randn(n, 64, generator=generator), dim=1) for n in (args.samples, args.prototypes)]
    scores = (unit[0] @ unit[1].T).to(args.device)
    workspace = [torch.empty_like(scores)]  # in a step it becomes the gradient of the scores
    codes = {}
    forms = {
        'ours': lambda: codes.update(ours=hard_codes([scores], 0.05, args.iterations, workspace)[0]),
        'plain': lambda: codes.update(plain=plain_codes(scores, 0.05, args.iterations)),
    }
    seconds, processor = (
        {side: statistics.median(values) for side, values in times.items()}
        for times in timed_in_turn(forms, args.steps, args.device, num_warmups=1)
    )
    print(
        f'Sinkhorn, {args.samples} x {args.prototypes}, {args.iterations} rounds, fp32, {device_name(args.device)}, '
        f'median of {args.steps}'
    )
    is_cpu = args.device == 'cpu'
    for side in SIDES:
        print(f'  {side:<6} {seconds[side]:8.3f} s' + (f'   {processor[side]:8.3f} s of processor time' * is_cpu))
    of_cpu = f', {processor["plain"] / processor["ours"]:.1f} by processor time' * is_cpu
    print(f'  {seconds["plain"] / seconds["ours"]:.1f} times as fast (goal {SINKHORN_GOAL:.0f}){of_cpu}')
    print(f'  same codes: {float((codes["ours"] == codes["plain"]).float().mean()):.4%}')
