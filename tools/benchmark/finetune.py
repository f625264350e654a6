"""A fine-tuning step of our encoder and head against mmaction2's, with the same weights on the same batch."""

import argparse
import gc
import json
import statistics

from tools.benchmark.common import (
    BenchmarkError,
    add_device,
    check_counts,
    choose_device,
    device_name,
    held_bytes,
    memory_in_own_process,
    peak_bytes,
    timed_in_turn,
)

NUM_CLASSES = 174  # of Something-Something v2
TIME_GOAL, MEMORY_GOAL = 0.8, 0.6
SIDES = ('ours', 'mmaction2')
SETTINGS = ('arch', 'frames', 'size', 'batch', 'device', 'precision')


def add_finetune(commands) -> None:
    """Add the sub-command `finetune`."""
    parser = commands.add_parser('finetune', help="one fine-tuning step against mmaction2's")
    add = parser.add_argument
    add('--arch', default='base', help='size of the ViT: tiny, small, base or large')
    add('--frames', type=int, default=16, help='frames per clip')
    add('--size', type=int, default=224, help='height and width of a frame, in pixels')
    add('--batch', type=int, default=8, help='clips per step')
    add('--steps', type=int, default=10, help='timed steps per side')
    add_device(add)
    add('--precision', choices=('fp32', 'bf16'), help='default: bf16 on cuda, fp32 on cpu')
    add('--memory-of', choices=SIDES, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure and print. With --memory-of, print only the memory of one side, as JSON."""
    check_counts(args, 'batch', 'steps')
    choose_device(args)
    args.precision = args.precision or ('bf16' if args.device == 'cuda' else 'fp32')
    if args.memory_of:
        print(json.dumps(memory_of(args, args.memory_of)))
    else:
        print_report(args, compare(args))


def compare(args: argparse.Namespace) -> dict:
    """Measure both sides.

    Returns:
        `seconds`: side -> median seconds per step; `memory`: side -> what `memory_of` returns; `difference`: largest
        difference between the logits of the two.
    """
    models, batch = build(args), make_batch(args)
    difference = largest_difference(models, batch)
    steps = {side: Step(models[side], batch, args) for side in SIDES}
    seconds, _ = timed_in_turn(steps, args.steps, args.device)
    del models, steps, batch
    gc.collect()
    if args.device == 'cuda':
        import torch

        torch.cuda.empty_cache()
    return {
        'seconds': {side: statistics.median(values) for side, values in seconds.items()},
        'memory': {side: memory_in_own_process('finetune', side, args, SETTINGS) for side in SIDES},
        'difference': difference,
    }


# --- the two sides -----


def build(args: argparse.Namespace, sides: tuple[str, ...] = SIDES) -> dict:
    """side -> model on the device, in training mode; both have the same weights."""
    import torch

    import eval.registry  # noqa: F401 - patches what mmaction2 needs
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
    """Clips of noise (B, 3, T, H, W), float32, and labels (B,)."""
    import torch

    torch.manual_seed(1)
    clip = torch.randn(args.batch, 3, args.frames, args.size, args.size)
    return clip.to(args.device), torch.randint(NUM_CLASSES, (args.batch,)).to(args.device)


def largest_difference(models: dict, batch: tuple) -> float:
    """Largest absolute difference between the logits of both sides, in fp32."""
    import torch

    with torch.no_grad():
        ours, theirs = (models[side](batch[0][:1]) for side in SIDES)
    return float((ours - theirs).abs().max())


class Step:
    """A training step of one side: forward, backward, AdamW."""

    def __init__(self, model, batch: tuple, args: argparse.Namespace) -> None:
        import torch

        self.model, self.batch = model, batch
        self.autocast = torch.autocast(args.device, torch.bfloat16, enabled=args.precision == 'bf16')
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def __call__(self) -> None:
        """Take one step."""
        import torch.nn.functional as F

        clip, labels = self.batch
        with self.autocast:
            loss = F.cross_entropy(self.model(clip).float(), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


# --- memory -----


def memory_of(args: argparse.Namespace, side: str) -> dict[str, int]:
    """Bytes held at most during two steps of one side (`peak`), and before its model was built (`before`)."""
    build(argparse.Namespace(**vars(args) | {'arch': 'tiny', 'frames': 2, 'size': 16}), (side,))  # imports everything
    gc.collect()
    before = held_bytes(args.device)
    step = Step(build(args, (side,))[side], make_batch(args), args)
    for _ in range(2):  # the optimizer allocates its moments in the first
        step()
    return {'peak': peak_bytes(args.device), 'before': before}


# --- printing -----


def print_report(args: argparse.Namespace, found: dict) -> None:
    """Print both sides, then ours divided by theirs."""
    print(
        f'fine-tuning step, ViT {args.arch}, {args.frames} frames of {args.size}x{args.size}, batch {args.batch}, '
        f'{args.precision}, {device_name(args.device)}, median of {args.steps} steps'
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
