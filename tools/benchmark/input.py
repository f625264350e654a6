"""`python -m tools.benchmark input`: how fast each decoder feeds a pretraining config, and what limits the training.

Each clip goes through the config's pipeline in this process, on one core and without a cache, as in one worker of the
loader. Time is split into decoding, cropping and resizing, and the rest. `--device-clips` says how many clips per
second the device takes (measure it with `python -m tools.benchmark pretrain`); by default, this is estimated from the
operations of a clip (sigma/flops.py).
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.benchmark.common import BenchmarkError, option

DECODING = ('OpenVideo', 'DecodeFrames', 'DecodeFramesAndVectors')
RESIZING = ('MultiScaleCrop', 'ResizeSquare')
MOST_CORES = 512  # per device; more are in no machine
MOST_LEVELS = 6  # of folders between a video and the folder of its data set
PARTS = ('decode', 'resize', 'other')


def add_input(commands) -> None:
    """Add the sub-command `input`."""
    parser = commands.add_parser('input', help='clips per second and core of a config, and what limits its training')
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='pretraining configs')
    add('--card', help="dataset card to read instead of the config's: a name or a path")
    names = ('proved', 'pyav', 'torchcodec', 'decord')
    add('--decoders', nargs='+', choices=names, default=['proved'], help='readers, in turn (default: proved)')
    add('--clips', type=int, default=32, help='clips to read per decoder')
    add('--cores', type=int, help='CPU cores for the loaders of one device (default: all that this process may use)')
    add('--device-clips', type=float, help='clips per second that the device takes (default: estimated for an H100)')
    parser.set_defaults(run=run_input, device=None, precision=None)


def run_input(args: argparse.Namespace) -> None:
    """Print, for each config, the rate of each decoder and what limits the training."""
    from sigma.data.cards import read_config
    from sigma.models import SIGMA  # noqa: F401 - registers what configs name
    from sigma.processes import num_cpus

    for name in ('clips', 'cores', 'device_clips'):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise BenchmarkError(f'{option(name)} {value:g} was asked for; it must be positive.')
    cores = args.cores or num_cpus()
    for path in args.configs:
        try:
            config = read_config(path)
            dataset = config.train_dataloader.dataset
        except (OSError, AttributeError) as error:
            raise BenchmarkError(f'{path} cannot be read as a pretraining config: {error}') from None
        wanted, reason = (args.device_clips, 'as given') if args.device_clips else device_rate(config)
        print(f'{path}: {cores} cores for one device, which takes {wanted:.0f} clips/s ({reason})')
        rates = {}
        for decoder in args.decoders:
            found = measure(dataset.to_dict(), args.card, decoder, args.clips)
            print_input(decoder, found, cores, wanted, config.train_dataloader.get('num_workers', 0))
            rates[decoder] = found['clips'] / sum(found['seconds'].values())
        steps = [step['type'] for step in dataset.pipeline]
        if 'sigma.OpenVideo' in steps:
            at = steps.index('sigma.OpenVideo')
            print(other_decoder(rates, dataset.pipeline[at].get('decoder', 'proved'), at), end='')


def device_rate(config) -> tuple[float, str]:
    """Estimated clips per second of an H100, and a phrase that says how it was estimated."""
    from sigma.flops import EXPECTED_SHARE, H100_TFLOPS, config_flops

    flops = sum(config_flops(config).values())
    share = f'{flops / 1e9:.0f} GFLOP per clip, {EXPECTED_SHARE:.0%} of the peak of an H100'
    return EXPECTED_SHARE * H100_TFLOPS * 1e12 / flops, share


class Timed:
    """A transform that adds the seconds spent in it to `seconds[part]`."""

    def __init__(self, transform: Callable, part: str, seconds: dict[str, float]) -> None:
        self.transform, self.part, self.seconds = transform, part, seconds

    def __call__(self, results: dict) -> dict:
        begun = time.perf_counter()
        try:
            return self.transform(results)
        finally:
            self.seconds[self.part] += time.perf_counter() - begun


def measure(dataset: dict, card: str | None, decoder: str, num_clips: int) -> dict:
    """Run clips of a dataset config through its pipeline with one decoder.

    Returns:
        `clips`: their number; `seconds`: part -> seconds, for `decode`, `resize` and `other`; `failures`: videos that
        could not be decoded. Other videos replaced them; the time of both counts. `is_reencoded`: as the function.
    """
    import cv2
    import torch

    from sigma.data.clips import VideoClips

    seconds = dict.fromkeys(PARTS, 0.0)
    steps: list[Any] = timed_steps(dataset['pipeline'], decoder, seconds)
    clips = VideoClips(card or dataset['card'], steps, dataset.get('split', 'train'))
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        clips[0, 0]  # the first clip loads the libraries
        seconds.update(dict.fromkeys(PARTS, 0.0))
        begun = time.perf_counter()
        samples = [clips[1 + number // len(clips), number % len(clips)]['failures'] for number in range(num_clips)]
        whole = time.perf_counter() - begun
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    seconds['other'] = whole - seconds['decode'] - seconds['resize']
    failures = dict.fromkeys(line for text in samples for line in text.splitlines())
    again = is_reencoded(clips.entries[0]['filename'])
    return {'clips': num_clips, 'seconds': seconds, 'failures': list(failures), 'is_reencoded': again}


def is_reencoded(video: str) -> bool:
    """Whether a video lies in a folder of copies; `tools/prepare.py reencode` keeps its settings there."""
    return any((folder / 'encoding.json').is_file() for folder in Path(video).parents[:MOST_LEVELS])


def timed_steps(pipeline: list[dict], decoder: str, seconds: dict[str, float]) -> list[Timed]:
    """Build the transforms of a pipeline with this decoder and without a cache, each wrapped in `Timed`."""
    from sigma.registry import TRANSFORMS

    steps = []
    for step in pipeline:
        name = step['type'].rpartition('.')[2]
        if name == 'OpenVideo':
            step = step | {'decoder': decoder}
        step = {key: value for key, value in step.items() if key != 'cache_megabytes'}
        part = 'decode' if name in DECODING else 'resize' if name in RESIZING else 'other'
        steps.append(Timed(TRANSFORMS.build(step), part, seconds))
    return steps


def verdict(
    seconds: dict[str, float], rate: float, cores: int, wanted: float, is_reencoded: bool = False
) -> tuple[str, str]:
    """What limits the training, and what to do about it.

    Args:
        seconds: part -> seconds.
        rate: Clips per second and core.
        cores: CPU cores for the loaders of one device.
        wanted: Clips per second that the device takes.
        is_reencoded: Whether the videos are copies that `tools/prepare.py reencode` made.

    Returns:
        `compute`, `decode`, `resize` or `other`, and a sentence.
    """
    workers = math.ceil(wanted / rate)
    if rate * cores >= wanted:
        return 'compute', f'the input keeps up with {workers} workers per device; faster reading gains nothing.'
    bound = max(PARTS, key=lambda part: seconds[part])
    most = f'{cores} workers, one for each core, give {rate * cores:.0f} clips/s'
    if workers > MOST_CORES:
        # No input feeds a model this small on a device this fast; the device is not what one waits for then.
        return bound, (
            f'{most}. This model is so small that no machine keeps such a device busy ({wanted:.0f} clips/s): train it '
            'on a smaller device or on the CPU, and give --device-clips for the one that you have.'
        )
    more = f'{workers} cores per device would be enough'
    reencode = '`tools/prepare.py reencode SRC --out DIR --short-side 256 --gop 12`'
    fewer = 'use several masks per clip (num_masks of sigma.TubeMask), which decodes each clip only once'
    if is_reencoded and bound != 'other':
        return bound, f'{more}. The videos are re-encoded already; {fewer}.'
    remedies = {
        'decode': f'{more}. Better, re-encode with a small GOP: {reencode}; or, if the disk is large, to a JPEG '
        f'cache: `--codec jpeg` instead of `--gop 12`; or {fewer}.',
        'resize': f'{more}. Better, re-encode to a short side near the crop: {reencode}; or {fewer}.',
        'other': f"{more}. If the config draws masks along optical flow, use the codec's motion vectors "
        "(motion='codec') or tube masks, which cost next to nothing.",
    }
    return bound, remedies[bound]


def other_decoder(rates: dict[str, float], present: str, at: int) -> str:
    """A line about a decoder that reads these files at least 25 % faster than the config's, or an empty string.

    Args:
        rates: decoder -> clips per second and core.
        present: The decoder of the config.
        at: Index of the pipeline step that opens the video.
    """
    best = max(rates, key=rates.__getitem__)
    if present not in rates or rates[best] < 1.25 * rates[present]:
        return ''
    return (
        f'  {best} reads these files {rates[best] / rates[present]:.1f} times as fast as {present}, the decoder of the '
        f'config; to change it: --cfg-options train_dataloader.dataset.pipeline.{at}.decoder={best}\n'
    )


def print_input(decoder: str, found: dict, cores: int, wanted: float, num_workers: int) -> None:
    """Print the rate of a decoder and the shares of its parts, then the verdict."""
    seconds = found['seconds']
    whole = sum(seconds.values())
    rate = found['clips'] / whole
    shares = ', '.join(f'{part} {seconds[part] / whole:.0%}' for part in PARTS)
    print(f'  {decoder:<7} {rate:8.1f} clips/s per core ({found["clips"]} clips: {shares})')
    if found['failures']:
        print(f'          {len(found["failures"])} videos not decoded, first {found["failures"][0]}')
    bound, remedy = verdict(seconds, rate, cores, wanted, found['is_reencoded'])
    print(f'          {bound}-bound: {remedy}')
    if wanted > MOST_CORES * rate:
        return
    if bound == 'compute' and num_workers < math.ceil(wanted / rate):
        print(f'          the config has num_workers={num_workers}, which is too few.')
    elif num_workers > (os.cpu_count() or 1):
        print(f'          the config has num_workers={num_workers} but this machine has {os.cpu_count()} cores.')
