"""`python -m tools.benchmark input`: clips a second and core of a pretraining config by decoder, and what bounds the
training.

Each clip goes through the config's own pipeline in this process, on one core and without a cache, as in one worker of
the loader; time is kept apart for decoding, for cropping and resizing, and for the rest. What the device could take is
given (`--device-clips`, from `python -m tools.benchmark pretrain`) or follows from the operations of a clip
(sigma/flops.py).
"""

import argparse
import math
import os
import time
from collections.abc import Callable

DECODING = ('OpenVideo', 'DecodeFrames', 'DecodeFramesAndVectors')
RESIZING = ('MultiScaleCrop', 'ResizeSquare')
PARTS = ('decode', 'resize', 'other')


def add_input(commands) -> None:
    """Options of `input`."""
    parser = commands.add_parser('input', help='clips a second and core of a config, and what bounds its training')
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='of a pretraining')
    add('--card', help="dataset card to read instead of the config's (a name or a path)")
    add('--decoders', nargs='+', choices=('decord', 'pyav'), default=['decord', 'pyav'])
    add('--clips', type=int, default=32, help='clips of each decoder')
    add('--cores', type=int, help='for the loaders of one device (default: those this process may use)')
    add('--device-clips', type=float, help='clips a second that the device takes (default: by formula, on an H100)')
    parser.set_defaults(run=run_input, device=None, precision=None)


def run_input(args: argparse.Namespace) -> None:
    """Print, for each config, the rate of each decoder and what bounds it."""
    from sigma.data.cards import read_config
    from sigma.models import SIGMA  # noqa: F401 - registers what configs name
    from sigma.processes import num_cpus

    for name in ('clips', 'cores', 'device_clips'):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise ValueError(f'--{name.replace("_", "-")} {value:g} was asked; it must be positive.')
    cores = args.cores or num_cpus()
    for path in args.configs:
        try:
            config = read_config(path)
            dataset = config.train_dataloader.dataset
        except (OSError, AttributeError) as error:
            raise ValueError(f'{path} cannot be read as a pretraining config: {error}') from None
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
            print(other_decoder(rates, dataset.pipeline[at].get('decoder', 'decord'), at), end='')


def device_rate(config) -> tuple[float, str]:
    """Clips a second of an H100 by the operations of a clip, and the words for where that comes from."""
    from sigma.flops import EXPECTED_SHARE, H100_TFLOPS, config_flops

    flops = sum(config_flops(config).values())
    share = f'{flops / 1e9:.0f} GFLOP a clip, {EXPECTED_SHARE:.0%} of the peak of an H100'
    return EXPECTED_SHARE * H100_TFLOPS * 1e12 / flops, share


class Timed:
    """A transform that adds up the seconds spent in it."""

    def __init__(self, transform: Callable, part: str, seconds: dict[str, float]) -> None:
        self.transform, self.part, self.seconds = transform, part, seconds

    def __call__(self, results: dict) -> dict:
        begun = time.perf_counter()
        try:
            return self.transform(results)
        finally:
            self.seconds[self.part] += time.perf_counter() - begun


def measure(dataset: dict, card: str | None, decoder: str, num_clips: int) -> dict:
    """Run clips of a dataset's config through its pipeline with one decoder.

    Returns:
        `clips`: how many; `seconds`: of `decode`, `resize` and `other`; `failures`: videos that could not be decoded
        (others took their place, and the time for both counts).
    """
    import cv2
    import torch

    from sigma.data.clips import VideoClips

    seconds = dict.fromkeys(PARTS, 0.0)
    steps = timed_steps(dataset['pipeline'], decoder, seconds)
    clips = VideoClips(card or dataset['card'], steps, dataset.get('split', 'train'))
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        clips[0, 0]  # libraries are loaded by the first
        seconds.update(dict.fromkeys(PARTS, 0.0))
        begun = time.perf_counter()
        samples = [clips[1 + number // len(clips), number % len(clips)]['failures'] for number in range(num_clips)]
        whole = time.perf_counter() - begun
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    seconds['other'] = whole - seconds['decode'] - seconds['resize']
    failures = dict.fromkeys(line for text in samples for line in text.splitlines())
    return {'clips': num_clips, 'seconds': seconds, 'failures': list(failures)}


def timed_steps(pipeline: list[dict], decoder: str, seconds: dict[str, float]) -> list[Timed]:
    """The transforms of a pipeline, built with this decoder and without a cache, each with its time kept."""
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


def verdict(seconds: dict[str, float], rate: float, cores: int, wanted: float) -> tuple[str, str]:
    """What bounds a training, and the remedy.

    Args:
        seconds: Of each part.    rate: Clips a second and core.
        cores: For the loaders of one device.    wanted: Clips a second that the device takes.

    Returns:
        `compute`, `decode`, `resize` or `other`, and a sentence.
    """
    workers = math.ceil(wanted / rate)
    if rate * cores >= wanted:
        return 'compute', f'the input keeps up with {workers} workers a device; nothing is gained by faster reading.'
    bound = max(PARTS, key=lambda part: seconds[part])
    more = f'{workers} cores a device would do'
    reencode = '`tools/prepare.py reencode SRC --out DIR --short-side 256 --gop 12`'
    fewer = "several masks a clip (sigma.TubeMask's num_masks) decode each clip once for all of them"
    remedies = {
        'decode': f'{more}; before that re-encode with a small GOP: {reencode}, or as a JPEG cache where the '
        f'disk is large: `--codec jpeg` in the place of `--gop 12`; {fewer}.',
        'resize': f'{more}; before that re-encode to a short side near the crop: {reencode}; {fewer}.',
        'other': f'{more}; masks along optical flow are the dear part where the config draws them: those of the '
        "stream's motion vectors (motion='codec') or of tubes cost next to nothing.",
    }
    return bound, remedies[bound]


def other_decoder(rates: dict[str, float], present: str, at: int) -> str:
    """A line on a decoder by which these files are read a quarter faster than by the config's, or nothing.

    Args:
        rates: Clips a second and core by decoder.
        present: The config's.
        at: Where its pipeline opens the video.
    """
    best = max(rates, key=rates.__getitem__)
    if present not in rates or rates[best] < 1.25 * rates[present]:
        return ''
    return (
        f'  these files are read {rates[best] / rates[present]:.1f} times as fast by {best} as by {present}, which the '
        f'config names: --cfg-options train_dataloader.dataset.pipeline.{at}.decoder={best}\n'
    )


def print_input(decoder: str, found: dict, cores: int, wanted: float, num_workers: int) -> None:
    """A decoder's rate and shares, then the verdict."""
    seconds = found['seconds']
    whole = sum(seconds.values())
    rate = found['clips'] / whole
    shares = ', '.join(f'{part} {seconds[part] / whole:.0%}' for part in PARTS)
    print(f'  {decoder:<7} {rate:8.1f} clips/s a core ({found["clips"]} clips: {shares})')
    if found['failures']:
        print(f'          {len(found["failures"])} videos not decoded, first {found["failures"][0]}')
    bound, remedy = verdict(seconds, rate, cores, wanted)
    print(f'          {bound}-bound: {remedy}')
    if bound == 'compute' and num_workers < math.ceil(wanted / rate):
        print(f'          the config has num_workers={num_workers}: raise it.')
    elif num_workers > (os.cpu_count() or 1):
        print(f'          the config has num_workers={num_workers} on a machine of {os.cpu_count()} cores.')
