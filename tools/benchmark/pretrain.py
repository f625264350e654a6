"""`python -m tools.benchmark pretrain` and `sinkhorn`: our pretraining step against a plain version of the same step.

Both sides start from the same weights. Ours takes uint8 clips and includes their normalisation. The plain one
(tools/benchmark/plain.py) gets normalised clips and boolean masks. The two sides take steps in turn, so that other load
on the machine affects both. On a CPU the report also gives processor time, which excludes waiting. Its ratio holds on a
busy machine, but only with a single thread (several threads wait for one another, and that wait counts). Peak memory is
measured in a separate process per side.

Each side has its own precision. On a GPU both run in bf16. On a CPU ours runs in bf16, as with `tools/train.py --amp`,
and the plain one in fp32, torch's default. `--plain-precision bf16` gives the plain one autocast too; its image encoder
stays in fp32, as released.

The report ends with a bound. Both sides multiply nearly the same matrices. If a step consisted only of these products,
at the rate at which this machine multiplies large matrices, the two sides would have some ratio: the bound. A measured
ratio below it comes from everything other than matrix products.
"""

import argparse
import copy
import gc
import json
import statistics

from tools.benchmark.common import (
    add_device,
    check_counts,
    choose_device,
    device_name,
    held_bytes,
    memory_in_own_process,
    peak_bytes,
    timed_in_turn,
)

SIDES = ('ours', 'plain')
PRECISIONS = ('fp32', 'bf16')
GOALS = {('cpu', 'mlp'): 0.5, ('cpu', 'dino'): 0.33, ('cuda', 'mlp'): 0.33, ('cuda', 'dino'): 0.33}
# Published settings. Decoder width and number of heads follow the encoder; K and E follow the targets.
DECODERS = {'tiny': (64, 2), 'small': (192, 3), 'base': (384, 6), 'large': (512, 8)}
NUM_PROTOTYPES = {'mlp': 4000, 'dino': 3000}
TEACHERS = {'tiny': 'vit_tiny_patch16_224', 'small': 'vit_small_patch16_224.dino', 'base': 'vit_base_patch16_224.dino'}
# Dense bf16 TFLOP/s from the data sheets. For other devices no share of the peak is printed.
PEAK_TFLOPS = {'H100': 990, 'H200': 990, 'A100': 312}
SINKHORN_GOAL = 3.0
SETTINGS = (
    *('variant', 'arch', 'teacher', 'frames', 'size', 'batch', 'prototypes', 'device', 'precision'),
    *('plain_precision', 'compile'),
)


# --- the command line -----


def add_pretrain(commands) -> None:
    """Add the sub-command `pretrain`."""
    parser = commands.add_parser('pretrain', help='one pretraining step against a plain version of it')
    add = parser.add_argument
    add('--variant', choices=('mlp', 'dino'), default='mlp', help='projector: an MLP or a frozen image encoder')
    add('--arch', default='base', choices=list(DECODERS), help='size of the video encoder')
    add('--teacher', default='base', choices=list(TEACHERS), help='size of the image encoder, with random weights')
    add('--frames', type=int, default=16, help='frames per clip')
    add('--size', type=int, default=224, help='height and width of a frame, in pixels')
    add('--batch', type=int, default=8, help='clips per step')
    add('--prototypes', type=int, help='number of prototypes K (default: 4000 for mlp, 3000 for dino)')
    add('--steps', type=int, default=10, help='timed steps per side')
    add('--compile', action='store_true', help='torch.compile our blocks, as tools/train.py does')
    add_device(add)
    add('--precision', choices=PRECISIONS, default='bf16', help='precision of our step')
    add(
        '--plain-precision', choices=PRECISIONS, help='precision of the plain step (default: fp32 on cpu, bf16 on cuda)'
    )
    add('--memory-of', choices=SIDES, help=argparse.SUPPRESS)
    parser.set_defaults(run=run_pretrain)


def add_sinkhorn(commands) -> None:
    """Add the sub-command `sinkhorn`."""
    parser = commands.add_parser('sinkhorn', help='only Sinkhorn, against the form with an explicit plan')
    add = parser.add_argument
    add('--samples', type=int, default=56_320, help='number of samples S (default: 1408 masked tokens of 40 clips)')
    add('--prototypes', type=int, default=3000, help='number of prototypes K')
    add('--iterations', type=int, default=10, help='Sinkhorn iterations')
    add('--steps', type=int, default=3, help='timed runs per side')
    add_device(add)
    add('--precision', choices=('fp32',), default='fp32', help='Sinkhorn always runs in fp32')
    parser.set_defaults(run=run_sinkhorn)


# --- the step -----


def run_pretrain(args: argparse.Namespace) -> None:
    """Measure both sides and print the report. With --memory-of, print only the memory of one side, as JSON."""
    args.prototypes = NUM_PROTOTYPES[args.variant] if args.prototypes is None else args.prototypes
    choose_device(args)
    args.plain_precision = args.plain_precision or ('bf16' if args.device == 'cuda' else 'fp32')
    check_counts(args, 'batch', 'steps', 'prototypes')
    if args.memory_of:
        print(json.dumps(memory_of(args, args.memory_of)))
    else:
        print_pretrain(args, compare(args))


def compare(args: argparse.Namespace) -> dict:
    """Measure both sides.

    Returns:
        `seconds`, `processor`: side -> one value per step; `memory`: side -> what `memory_of` returns; `flops`: part ->
        operations per clip; `rates`: precision -> operations per second of this machine; `losses`: side -> loss of the
        first step.
    """
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
        'memory': {side: memory_in_own_process('pretrain', side, args, SETTINGS) for side in SIDES},
        'flops': parts,
        'losses': first,
    }


def build(args: argparse.Namespace):
    """The `SIGMA` that the arguments describe, on the device, with random weights from a fixed seed."""
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
    """A batch as a loader gives it, on the device: uint8 clips of noise, and visible tubes (a tenth, as published)."""
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
    """part -> operations of our step per clip, by the formula of sigma/flops.py."""
    from sigma.flops import pretraining_flops

    batch = model.data_preprocessor(data)
    return pretraining_flops(model, batch['visible'].shape[-1], batch['masked'].shape[-1])


def by_precision(parts: dict[str, float], side: str, args: argparse.Namespace) -> dict[str, float]:
    """precision -> operations per clip of a side's step.

    Both sides compute scores in fp32. The plain one also computes their gradients in fp32, embeds all tokens, and runs
    its image encoder in fp32.

    Args:
        parts: Operations of our step, from `count_flops`.
    """
    parts, precision = dict(parts), args.precision if side == 'ours' else args.plain_precision
    done = dict.fromkeys(PRECISIONS, 0.0)
    scores = parts.pop('prototypes')
    # Two of five products are scores if the targets are learned, two of four if not (sigma/flops.py).
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
    """Number of tokens of a clip, and of its visible tokens."""
    from sigma.data.masking import num_visible_cells

    side, slots = args.size // 16, args.frames // 2
    return slots * side**2, slots * num_visible_cells(side, side, 0.9)


def product_rate(device: str, precision: str) -> float:
    """Operations per second of a product of large square matrices, best of five. On a CPU, per processor second."""
    import torch

    dtype = {'fp32': torch.float32, 'bf16': torch.bfloat16}[precision]
    side = 1024 if device == 'cpu' else 8192
    matrix = torch.rand(side, side, device=device).to(dtype)
    seconds, processor = timed_in_turn({precision: lambda: matrix @ matrix}, 5, device)
    return 2 * side**3 / min((processor if device == 'cpu' else seconds)[precision])


def make_step(side: str, model, data: dict, args: argparse.Namespace) -> 'Step':
    """The training step of a side. It changes the model it is given."""
    return (OurStep if side == 'ours' else PlainStep)(model, data, args)


class Step:
    """Forward, backward and AdamW on one batch."""

    def __init__(self, model, data: dict, device: str, precision: str) -> None:
        import torch

        self.model, self.data = model, data
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == 'bf16')
        self.optimizer = self.make_optimizer()

    def make_optimizer(self):
        """AdamW of this side."""
        raise NotImplementedError

    def loss(self):
        """Loss of the batch, a scalar with gradient."""
        raise NotImplementedError

    def __call__(self) -> None:
        """Take one step."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class OurStep(Step):
    """The step of the trainer: `ParamGroups` builds the optimizer, the preprocessor takes uint8 clips."""

    def __init__(self, model, data: dict, args: argparse.Namespace) -> None:
        super().__init__(model, data, args.device, args.precision)
        if args.compile:
            from sigma.engine.runner import compilable_blocks

            for block in compilable_blocks(model):
                block.compile()

    def make_optimizer(self):
        """Built by the trainer's own constructor, so that its settings are measured too."""
        from sigma.engine.optim import ParamGroups

        config = {'optimizer': {'type': 'AdamW', 'lr': 1e-5, 'betas': (0.9, 0.95), 'weight_decay': 0.05}}
        return ParamGroups(config)(self.model).optimizer

    def loss(self):
        """Sum of both cross-entropies."""
        with self.autocast:
            losses = self.model(**self.model.data_preprocessor(self.data), mode='loss')
        return losses['loss_target'] + losses['loss_pred']


class PlainStep(Step):
    """The plain version, with torch's default AdamW."""

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
        """AdamW with one parameter group; more groups would cost no time."""
        import torch

        return torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-5, betas=(0.9, 0.95))

    def loss(self):
        """Sum of both cross-entropies."""
        with self.autocast:
            return self.model(self.clip, self.mask)


# --- memory -----


def memory_of(args: argparse.Namespace, side: str) -> dict[str, int]:
    """Bytes held at most during two steps of one side (`peak`), and before its model was built (`before`)."""
    small = {'arch': 'tiny', 'teacher': 'tiny', 'frames': 2, 'size': 64, 'batch': 1, 'prototypes': 8, 'compile': False}
    small_args = argparse.Namespace(**vars(args) | small)
    make_step(side, build(small_args), make_batch(small_args), small_args)()  # imports everything
    gc.collect()
    before = held_bytes(args.device)
    step = make_step(side, build(args), make_batch(args), args)
    for _ in range(2):  # the optimizer allocates its moments in the first
        step()
    return {'peak': peak_bytes(args.device), 'before': before}


# --- printing -----


def print_pretrain(args: argparse.Namespace, found: dict) -> None:
    """Print both sides, their ratio, and the share of the device's peak if that is known."""
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
            f'{own[side] / 2**20:8.0f} MiB   {own[side] / args.batch / 2**20:7.1f} MiB per clip'
        )
    goal = GOALS[args.device, args.variant]
    of_cpu = f'processor time {processor["ours"] / processor["plain"]:.2f}, ' if args.device == 'cpu' else ''
    print(
        f'  ratio: time {seconds["ours"] / seconds["plain"]:.2f} (goal {goal}), {of_cpu}'
        f'memory {own["ours"] / own["plain"]:.2f}'
    )
    flops = sum(found['flops'].values())
    done = flops * args.batch / seconds['ours'] / 1e12
    line = f'  ours: {flops / 1e9:.1f} GFLOP per clip by formula, {done:.2f} TFLOP/s'
    peak = next((value for key, value in PEAK_TFLOPS.items() if key in name), None)
    known = args.precision == 'bf16' and peak
    print(f'{line}, {done / peak:.1%} of {peak} (dense bf16)' if known else f'{line}, peak of this device not known')
    print_products(args, found, processor if args.device == 'cpu' else seconds)
    print(f'  first loss: ours {found["losses"]["ours"]:.5f}, plain {found["losses"]["plain"]:.5f}')


def print_products(args: argparse.Namespace, found: dict, seconds: dict[str, float]) -> None:
    """Print how long the matrix products alone would take on each side, and their share of the measured step."""
    rates, alone = found['rates'], {}
    for side in SIDES:
        done = by_precision(found['flops'], side, args)
        alone[side] = args.batch * sum(done[precision] / rates[precision] for precision in PRECISIONS)
        print(
            f'  products of {side}: {done["bf16"] / 1e9:.1f} GFLOP per clip in bf16, {done["fp32"] / 1e9:.1f} in fp32; '
            f'alone {alone[side]:.3f} s per step, {alone[side] / seconds[side]:.0%} of what it took'
        )
    print(
        f'  at {rates["bf16"] / 1e9:.0f} GFLOP/s in bf16 and {rates["fp32"] / 1e9:.0f} in fp32 (large matrices): '
        f'products alone have a ratio of {alone["ours"] / alone["plain"]:.2f}'
    )


# --- Sinkhorn alone -----


def run_sinkhorn(args: argparse.Namespace) -> None:
    """Time both forms on one score matrix and print the report."""
    import torch
    import torch.nn.functional as F

    from sigma.losses.sinkhorn import hard_codes
    from tools.benchmark.plain import plain_codes

    check_counts(args, 'samples', 'prototypes', 'iterations', 'steps')
    choose_device(args)
    generator = torch.Generator().manual_seed(0)
    unit = [F.normalize(torch.randn(n, 64, generator=generator), dim=1) for n in (args.samples, args.prototypes)]
    scores = (unit[0] @ unit[1].T).to(args.device)
    workspace = [torch.empty_like(scores)]  # in training it becomes the gradient of the scores
    codes: dict[str, torch.Tensor] = {}
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
