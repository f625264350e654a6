"""A fine-tuning step of our encoder and head against mmaction2's, with the same weights on the same batch."""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tools.benchmark.common import BenchmarkError, resident_bytes

MAIN = Path(__file__).with_name('__main__.py')
NUM_CLASSES = 174  # of Something-Something v2
TIME_GOAL, MEMORY_GOAL = 0.8, 0.6
SIDES = ('ours', 'mmaction2')


def add_finetune(commands) -> None:
    """The sub-command."""
    finetune = commands.add_parser('finetune', help='a fine-tuning step against mmaction2')
    finetune.add_argument('--arch', default='base', help='tiny, small, base or large')
    finetune.add_argument('--frames', type=int, default=16)
    finetune.add_argument('--size', type=int, default=224, help='pixels of a side')
    finetune.add_argument('--batch', type=int, default=8)
    finetune.add_argument('--steps', type=int, default=10, help='timed steps of each')
    finetune.add_argument('--device', choices=('cuda', 'cpu'), help='default: cuda where there is one')
    finetune.add_argument('--precision', choices=('fp32', 'bf16'), help='default: bf16 on cuda, fp32 on a cpu')
    finetune.add_argument('--memory-of', choices=SIDES, help=argparse.SUPPRESS)
    finetune.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure and print; or, in a process of its own, the memory of one side."""
    import torch

    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    args.precision = args.precision or ('bf16' if args.device == 'cuda' else 'fp32')
    if args.memory_of:
        print(json.dumps(memory_of(args, args.memory_of)))
    else:
        print_report(args, compare(args))


def compare(args: argparse.Namespace) -> dict:
    """Seconds a step and bytes of both sides, and the largest difference of their logits."""
    import torch

    for name in ('batch', 'steps'):
        if getattr(args, name) < 1:
            raise BenchmarkError(f'--{name} {getattr(args, name)} was asked; at least 1 is needed.')
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise BenchmarkError('--device cuda was asked, but torch finds no GPU; take --device cpu.')
    models, batch = build(args), make_batch(args)
    difference = largest_difference(models, batch)
    steps = {side: Step(model, batch, args) for side, model in models.items()}
    seconds = {side: [] for side in SIDES}
    for number in range(-2, args.steps):  # two to warm up
        for side in SIDES if number % 2 else SIDES[::-1]:
            taken = steps[side].timed()
            if number >= 0:
                seconds[side].append(taken)
    del models, steps, batch
    gc.collect()
    if args.device == 'cuda':
        torch.cuda.empty_cache()
    return {
        'seconds': {side: statistics.median(values) for side, values in seconds.items()},
        'memory': {side: memory_in_its_own_process(args, side) for side in SIDES},
        'difference': difference,
    }


# --- the two sides -----


def build(args: argparse.Namespace, sides: tuple[str, ...] = SIDES) -> dict:
    """Both models with the same weights, by side."""
    import torch

    import eval.registry  # noqa: F401 - mends what is broken below mmaction2
    from sigma.checkpoints.mmaction import to_mmaction
    from sigma.models import VideoViT
    from sigma.models.encoder import ARCHITECTURES

    torch.manual_seed(0)
    encoder = VideoViT(args.arch, image_size=args.size, num_frames=args.frames, final_norm=False)
    head = _our_head(encoder.embed_dims)
    models = {}
    if 'mmaction2' in sides:
        from mmaction.models.backbones import VisionTransformer
        from mmaction.models.heads import TimeSformerHead

        backbone = VisionTransformer(img_size=args.size, num_frames=args.frames, **ARCHITECTURES[args.arch])
        weights = {name: tensor.clone() for name, tensor in to_mmaction(encoder.state_dict()).items()}
        left = backbone.load_state_dict(weights, strict=False)
        unexpected = left.unexpected_keys + [k for k in left.missing_keys if not k.startswith(('fc_norm', 'pos_embed'))]
        if unexpected:
            raise BenchmarkError(f"our weights do not fit mmaction2's VisionTransformer, first {unexpected[0]}")
        classifier = TimeSformerHead(NUM_CLASSES, encoder.embed_dims, loss_cls={'type': 'mmaction.CrossEntropyLoss'})
        classifier.fc_cls.load_state_dict(head.fc.state_dict())
        models['mmaction2'] = torch.nn.Sequential(backbone, classifier)
    if 'ours' in sides:
        models['ours'] = torch.nn.Sequential(encoder, head)
    return {side: model.to(args.device).train() for side, model in models.items()}


def _our_head(width: int):
    from eval.models import TokenHead

    head = TokenHead(NUM_CLASSES, width, init_scale=1.0)
    head.init_weights()
    return head


def make_batch(args: argparse.Namespace) -> tuple:
    """A normalised clip (B, 3, T, H, W) of noise and its labels."""
    import torch

    torch.manual_seed(1)
    clip = torch.randn(args.batch, 3, args.frames, args.size, args.size)
    return clip.to(args.device), torch.randint(NUM_CLASSES, (args.batch,)).to(args.device)


def largest_difference(models: dict, batch: tuple) -> float:
    """Between the logits of both sides, in fp32."""
    import torch

    with torch.no_grad():
        ours, theirs = (models[side](batch[0][:1]) for side in SIDES)
    return float((ours - theirs).abs().max())


class Step:
    """A training step of one side."""

    def __init__(self, model, batch: tuple, args: argparse.Namespace) -> None:
        import torch

        self.model, self.batch, self.device = model, batch, args.device
        self.autocast = torch.autocast(args.device, torch.bfloat16, enabled=args.precision == 'bf16')
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def timed(self) -> float:
        """Seconds of a step, until the device has done it."""
        begun = time.perf_counter()
        self()
        self._wait()
        return time.perf_counter() - begun

    def __call__(self) -> None:
        """Forward, backward, optimizer."""
        import torch.nn.functional as F

        clip, labels = self.batch
        with self.autocast:
            loss = F.cross_entropy(self.model(clip).float(), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _wait(self) -> None:
        if self.device == 'cuda':
            import torch

            torch.cuda.synchronize()


# --- memory -----


def memory_in_its_own_process(args: argparse.Namespace, side: str) -> dict[str, int]:
    """`memory_of` in a fresh process, where nothing else has been."""
    command = [sys.executable, str(MAIN.resolve()), 'finetune', '--memory-of', side]
    for name in ('arch', 'frames', 'size', 'batch', 'device', 'precision'):
        command += [f'--{name}', str(getattr(args, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f'exit status {done.returncode}, out of memory?']
        raise BenchmarkError(f'the memory of {side} could not be measured: {words[-1]}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def memory_of(args: argparse.Namespace, side: str) -> dict[str, int]:
    """Peak bytes of two steps of one side (`peak`), and what the process held before its model was built (`before`)."""
    import torch

    build(argparse.Namespace(**vars(args) | {'arch': 'tiny', 'frames': 2, 'size': 16}), (side,))  # imports all
    gc.collect()
    before = resident_bytes('VmRSS') if args.device == 'cpu' else torch.cuda.memory_allocated()
    step = Step(build(args, (side,))[side], make_batch(args), args)
    for _ in range(2):  # the optimizer's moments are there from the second on
        step()
    return {
        'peak': resident_bytes('VmHWM') if args.device == 'cpu' else torch.cuda.max_memory_allocated(),
        'before': before,
    }


# --- printing -----


def print_report(args: argparse.Namespace, found: dict) -> None:
    """Both sides, then ours divided by theirs."""
    import torch

    device = torch.cuda.get_device_name() if args.device == 'cuda' else f'cpu, {torch.get_num_threads()} threads'
    print(
        f'fine-tuning step, ViT {args.arch}, {args.frames} frames of {args.size}x{args.size}, batch {args.batch}, '
        f'{args.precision}, {device}, torch {torch.__version__}, median of {args.steps} steps'
    )
    seconds, memory = found['seconds'], found['memory']
    for side in SIDES:
        peak, own = memory[side]['peak'], memory[side]['peak'] - memory[side]['before']
        print(f'  {side:<10} {seconds[side]:8.3f} s   {peak / 2**20:8.0f} MiB   {own / 2**20:8.0f} MiB without imports')
    ratio = {
        'time': seconds['ours'] / seconds['mmaction2'],
        'memory': memory['ours']['peak'] / memory['mmaction2']['peak'],
        'without imports': (memory['ours']['peak'] - memory['ours']['before'])
        / (memory['mmaction2']['peak'] - memory['mmaction2']['before']),
    }
    print(
        f'  ratio: time {ratio["time"]:.2f} (goal {TIME_GOAL}), memory {ratio["memory"]:.2f} (goal {MEMORY_GOAL}), '
        f'memory without imports {ratio["without imports"]:.2f}'
    )
    print(f'  largest difference of logits: {found["difference"]:.1e}')
