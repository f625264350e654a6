"""`python -m tools.benchmark localization`: the cost of temporal localization, part by part, against its goals.

`extraction`: clips per second of our sliding clips, which decode each frame once (eval/features/dense.py), against a
loop that reads every window from scratch with decord, from a video opened once. First reading alone is measured
(decode, convert, resize), then reading with an encoder. On a CPU the encoder takes most of the time, so look at the
first ratio; on a GPU, at the second. The rendered video has a key frame every `--gop` frames, which decides how much
reading a window costs. Goals: 3 times as many clips at step 4, and at most 1.1 decoded frames per needed frame.

`metric`: CPU seconds on one core for mAP and AR over many videos (goal: 30), and for the confidence interval of the
mAP.

`head`: peak memory of a process that reads THUMOS-14-like features from the store and trains the ActionFormer-type head
of `localization_thumos14` for a few steps (goal: 4 GB), and its memory before and after reading.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark.common import BenchmarkError, check_counts, memory_in_own_process, resident_bytes

PARTS = ('extraction', 'metric', 'head')
SPEED_GOAL, DECODED_GOAL, SECONDS_GOAL, GIGABYTES_GOAL = 3.0, 1.1, 30.0, 4.0
KEY = {'version': 0, 'encoder': 'benchmark'}


def add_localization(commands) -> None:
    """Add the options of `localization`."""
    parser = commands.add_parser('localization', help='extraction, metric and head of temporal localization')
    add = parser.add_argument
    add('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    add('--seconds', type=int, default=20, help='length of the rendered video, at 30 frames per second')
    add(
        '--source',
        type=int,
        nargs=2,
        default=(320, 240),
        metavar=('WIDTH', 'HEIGHT'),
        help='size of the rendered video in pixels',
    )
    add('--gop', type=int, nargs='+', default=[12, 250], help='frames from one key frame to the next')
    add('--frames', type=int, default=16, help='frames per clip')
    add('--stride', type=int, default=1, help='video frames from one frame of a clip to the next')
    add('--step', type=int, default=4, help='frames from the start of one clip to the next')
    add('--size', type=int, default=224, help='height and width of a clip in pixels')
    add('--arch', default='tiny', help='encoder: tiny, small, base or large')
    add('--encoded', type=int, default=32, help='clips that go through the encoder on a CPU (on a GPU: all)')
    add('--metric-videos', type=int, default=5000)
    add('--proposals', type=int, default=100, help='predictions per video')
    add('--videos', type=int, default=200, help='training videos of the head')
    add('--length', type=int, default=2304, help='feature steps of each of them')
    add('--width', type=int, default=768, help='feature width')
    add('--head-steps', type=int, default=3, help='training steps of the head')
    add('--scratch', metavar='DIR', help="folder for temporary files (default: the system's)")
    add('--memory-of', metavar='DIR', help=argparse.SUPPRESS)
    parser.set_defaults(run=run_localization, device=None, precision=None)


def run_localization(args: argparse.Namespace) -> None:
    """Measure and print the parts that were asked for."""
    counts = ('seconds', 'frames', 'stride', 'step', 'size', 'encoded', 'metric_videos', 'proposals', 'videos')
    check_counts(args, *counts, 'length', 'width', 'head_steps')
    if args.scratch and not Path(args.scratch).is_dir():
        raise BenchmarkError(f"--scratch '{args.scratch}' is not a folder.")
    if args.memory_of:
        print(json.dumps(memory_of_head(args, Path(args.memory_of))))
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        for part in args.parts:
            {'extraction': print_extraction, 'metric': print_metric, 'head': print_head}[part](args, Path(folder))


# --- extraction -----------------------------------------------------------------------------------------------------


def print_extraction(args: argparse.Namespace, folder: Path) -> None:
    """For each key-frame distance, print both rates: reading alone, then with an encoder."""
    from eval.features.dense import DenseView

    view = DenseView(args.frames, args.stride, args.step, args.size)
    width, height = args.source
    print(
        f'extraction: clips of {args.frames} frames, stride {args.stride}, step {args.step}, {args.size} pixels, from '
        f'{args.seconds} s of {width}x{height} at 30 frames per second, one pass each'
    )
    encode, where = random_encoder(args)
    for gop in args.gop:
        path = str(write_video(folder / f'{gop}.mp4', args.seconds * 30, width, height, gop))
        for limit, with_encoder in ((None, None), (None if where == 'cuda' else args.encoded, encode)):
            found = compare(path, view, args.seconds * 30, limit, with_encoder)
            after = f'with ViT {args.arch} on {where}' if with_encoder else 'reading alone'
            print(
                f'  key frame every {gop:>3}, {after}: {found["ours"]:8.1f} clips/s, each window again '
                f'{found["again"]:8.1f}: {found["ours"] / found["again"]:.1f} times (goal {SPEED_GOAL:g}), '
                f'{found["clips"]} clips, '
                f'{found["decoded"] / found["needed"]:.2f} decoded frames per needed frame (goal {DECODED_GOAL})'
            )
            print(f'    the first clips of both differ by {found["difference"]:.2f} of 255 on average')


def write_video(path: Path, num_frames: int, width: int, height: int, gop: int) -> Path:
    """Render an H.264 video like a downloaded one: x264 defaults except for key frames; a moving texture with noise."""
    import cv2

    from sigma.video import H264, VideoWriter

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 4, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    with VideoWriter(path, (width, height), 30, H264(gop=gop, b_frames=None, scene_cuts=True)) as writer:
        for number in range(num_frames):
            left = 2 * number % width
            frame = texture[:, left : left + width] + rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
            writer.write(np.clip(frame, 0, 255).astype(np.uint8))
    return path


def compare(path: str, view, num_frames: int, limit: int | None, encode=None, batch_size: int = 16) -> dict:
    """Measure both ways on the same clips, at most `limit` of them.

    Returns:
        `ours` and `again`: clips per second of our way, and of reading each window again; `clips`: their number;
        `decoded`: frames that our way decoded; `needed`: distinct frames from the first to the last frame of each clip;
        `difference`: mean difference of pixels (0 to 255) between the first clips of both.
    """
    from eval.features.dense import ahead, clip_batches
    from sigma.video import frames_of

    decoded = 0

    def counted() -> Iterator:
        nonlocal decoded
        for frame in frames_of(path):
            decoded += 1
            yield frame

    starts = view.starts(num_frames)[:limit]
    last = int(starts[-1]) + view.span
    first, rates, total = {}, {}, {}
    for side in ('ours', 'again'):
        frames = itertools.islice(counted(), last)  # stop after the last clip
        batches: Iterator[np.ndarray] = (clips for clips, _ in clip_batches(frames, view, batch_size))
        if side == 'ours' and encode is not None:
            batches = ahead(batches)  # like `encode_video`
        batches = batches if side == 'ours' else windows_again(path, view, starts, batch_size)
        begun, total[side] = time.perf_counter(), 0
        for clips in batches:
            if total[side] == 0:
                first[side] = clips[0].astype(np.int16)
            total[side] += len(clips)
            if encode is not None:
                encode(clips)
        rates[side] = total[side] / (time.perf_counter() - begun)
    if total['ours'] != total['again']:
        raise BenchmarkError(f'{total["ours"]} clips one way and {total["again"]} the other; they must be equal.')
    needed = len(np.unique(starts[:, None] + np.arange(view.span)))
    difference = float(np.abs(first['ours'] - first['again']).mean())
    return rates | {'clips': len(starts), 'decoded': decoded, 'needed': needed, 'difference': difference}


def windows_again(path: str, view, starts: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield batches of clips (B, T, size, size, 3); each clip is read and resized on its own."""
    from eval.features.dense import resized
    from sigma.video import DecordReader

    reader = DecordReader(path)
    places = np.arange(view.num_frames) * view.stride_frames
    for begin in range(0, len(starts), batch_size):
        clips = [reader.frames(start + places) for start in starts[begin : begin + batch_size]]
        yield np.stack([[resized(frame, view) for frame in clip] for clip in clips])


def random_encoder(args: argparse.Namespace) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """An encoder with random weights, clips (B, T, size, size, 3) -> features (B, D) on the CPU; and its device."""
    import torch

    from sigma.models import VideoViT

    where = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = VideoViT(args.arch, image_size=args.size, num_frames=args.frames).to(where).eval()

    @torch.no_grad()
    def encode(clips: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy(clips).to(where).permute(0, 4, 1, 2, 3).float() / 255
        return model(inputs).mean(dim=(1, 2, 3)).cpu().numpy()

    encode(np.zeros((1, args.frames, args.size, args.size, 3), np.uint8))  # the first call loads libraries
    return encode, where


# --- metric ---------------------------------------------------------------------------------------------------------


def print_metric(args: argparse.Namespace, _folder: Path) -> None:
    """Print the CPU seconds of each metric."""
    from eval.metrics.localization import average_recall, mean_average_precision, resampled_mean_average_precision
    from eval.report.bootstrap import NUM_RESCORED
    from eval.report.statistics import bootstrap_interval

    scores, labels = draw(args.metric_videos, args.proposals)
    print(f'metric: {args.metric_videos} videos of {args.proposals} proposals, 200 classes, CPU seconds on one core')

    def timed(what: str, function) -> float:
        begun = time.process_time()
        function()
        taken = time.process_time() - begun
        print(f'  {what:<36} {taken:7.2f} s')
        return taken

    both = timed('mAP, tIoU 0.50 to 0.95', lambda: mean_average_precision(scores, labels))
    both += timed('AR@AN and its area', lambda: average_recall(scores, labels))
    print(f'  {"both":<36} {both:7.2f} s (goal {SECONDS_GOAL:g})')
    timed(
        f'interval of the mAP, {NUM_RESCORED} resamples',
        lambda: bootstrap_interval([resampled_mean_average_precision(scores, labels)], len(labels)),
    )


def draw(num_videos: int, num_proposals: int, num_classes: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Draw predictions (N, P, 4) and ground truth (N, G, 3); half the predictions have a random class, no ties."""
    rng = np.random.default_rng(0)
    number = rng.integers(1, 4, num_videos)  # ActivityNet has 1.5 segments per video
    start = rng.uniform(0, 80, (num_videos, 3))
    labels = np.stack([start, start + rng.uniform(2, 40, start.shape), np.zeros(start.shape)], axis=2)
    labels[..., 2] = rng.integers(0, num_classes, (num_videos, 1))
    near = np.take_along_axis(labels, rng.integers(0, number[:, None, None], (num_videos, num_proposals, 1)), axis=1)
    near[..., :2] += rng.normal(0, 4, near[..., :2].shape)
    near[..., 1] = np.maximum(near[..., 1], near[..., 0] + 0.5)
    other = rng.random(near.shape[:2]) < 0.5
    near[other, 2] = rng.integers(0, num_classes, other.sum())
    labels[np.arange(3) >= number[:, None]] = (0, 0, -1)
    return np.concatenate([near, rng.random((*near.shape[:2], 1))], axis=2), labels


# --- head -----------------------------------------------------------------------------------------------------------


def print_head(args: argparse.Namespace, folder: Path) -> None:
    """Write features like the store's, train in a separate process, and print its memory."""
    write_noise(args, folder)
    sizes = ('videos', 'length', 'width', 'head_steps')
    found = memory_in_own_process('localization', str(folder), args, sizes, 'the head')
    on_disk = args.videos * args.length * args.width * 2 / 1e9
    print(
        f'head: localization_thumos14 on {args.videos} videos of {args.length} steps, width {args.width} '
        f'({on_disk:.2f} GB), {args.head_steps} steps of batch {found["batch"]} on {found["device"]}, '
        f'{found["seconds"]:.1f} s each'
    )
    gigabytes = {key: found[key] / 1e9 for key in ('before', 'listed', 'read', 'peak')}
    print(
        f'  resident: {gigabytes["before"]:.2f} GB after imports, {gigabytes["listed"]:.2f} with the features '
        f'listed, {gigabytes["read"]:.2f} with the training features read'
    )
    print(f'  peak: {gigabytes["peak"]:.2f} GB (goal {GIGABYTES_GOAL:g})')
    if found['on_device'] is not None:
        print(f'  peak on the device: {found["on_device"] / 1e9:.2f} GB')


def write_noise(args: argparse.Namespace, folder: Path) -> None:
    """Fill a store with features of noise."""
    from eval.features.dense import dense_path, write_dense

    rng = np.random.default_rng(0)
    noise = rng.standard_normal((args.length, args.width), dtype=np.float32).astype(np.float16)
    for number in range(args.videos):
        entry: dict[str, Any] = {'video': f'{number:04d}', 'filename': f'{number:04d}', 'sha256': None, 'fps': 30.0}
        parts = iter([(np.roll(noise, number, axis=0), 4 * (args.length - 1) + 16)])
        write_dense(dense_path(folder, entry['video']), entry, parts, KEY)


def memory_of_head(args: argparse.Namespace, folder: Path) -> dict:
    """Bytes this process holds: after imports, after listing files, after reading features, and at most in training."""
    import torch

    from eval.features.dense import DenseView, dense_path, read_dense
    from eval.models.actionformer import ActionFormer
    from eval.protocols.localization import fit_actionformer, sequence_of
    from sigma.data.cards import CONFIG_ROOT, read_card

    recipe = read_card(CONFIG_ROOT / 'recipes' / 'localization_thumos14.py', 'recipe')
    view = DenseView(num_frames=16, stride_frames=1, step_frames=4, size=224)
    found: dict[str, Any] = {'before': resident_bytes('VmRSS')}
    features = [read_dense(dense_path(folder, f'{number:04d}'), KEY, None) for number in range(args.videos)]
    found['listed'] = resident_bytes('VmRSS')
    sequences = [sequence_of(one, view, recipe['length'], recipe['standardise']) for one in features]
    rng = np.random.default_rng(0)
    targets = []
    for _ in sequences:  # THUMOS-14 has 15 segments of some seconds per video
        start = rng.uniform(0, max(args.length - 60, 1), 15)
        rows = np.stack([start, start + rng.uniform(5, 60, 15), rng.integers(0, 20, 15)], axis=1)
        targets.append(torch.from_numpy(rows).float())
    found['read'] = resident_bytes('VmRSS')
    batch = recipe['training']['batch_size']
    seen = batch * args.head_steps
    config = {'longest': recipe['longest'], 'training': recipe['training'] | {'epochs': 1, 'warmup_epochs': 0}}
    torch.manual_seed(0)
    head = ActionFormer(args.width, 20, **recipe['head'])
    begun = time.perf_counter()
    fit_actionformer(head, sequences[:seen], targets[:seen], config, seed=0, state=folder / 'state.safetensors')
    steps = -(-len(sequences[:seen]) // batch)
    cuda = torch.cuda.is_available()
    return found | {
        'peak': resident_bytes('VmHWM'),
        'seconds': (time.perf_counter() - begun) / steps,
        'batch': batch,
        'device': torch.cuda.get_device_name() if cuda else f'cpu, {torch.get_num_threads()} threads',
        'on_device': torch.cuda.max_memory_allocated() if cuda else None,
    }
