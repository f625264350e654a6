"""Helpers of the benchmarks: their error, checks of the command line, timing, and memory of a process."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sigma.errors import SigmaError

MAIN = Path(__file__).resolve().with_name('__main__.py')


class BenchmarkError(SigmaError):
    """Something that cannot be measured here. The message is one sentence for the user."""


# --- the command line -----


def add_device(add: Callable) -> None:
    """The option --device; `add` is `add_argument` of a parser."""
    add('--device', choices=('cuda', 'cpu'), help='where to run (default: cuda if there is a GPU)')


def check_counts(args: argparse.Namespace, *names: str) -> None:
    """Refuse counts below 1.

    Raises:
        BenchmarkError: for the first of the named options that is below 1.
    """
    for name in names:
        if getattr(args, name) < 1:
            raise BenchmarkError(f'{option(name)} {getattr(args, name)} was asked for; it must be at least 1.')


def choose_device(args: argparse.Namespace) -> None:
    """Fill in `args.device` if it was not given, and refuse a GPU that is not there.

    Raises:
        BenchmarkError: if the device is `cuda` and torch finds no GPU.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    args.device = args.device or ('cuda' if has_gpu else 'cpu')
    if args.device == 'cuda' and not has_gpu:
        raise BenchmarkError('--device cuda was asked for, but torch finds no GPU; use --device cpu.')


def option(name: str) -> str:
    """`metric_videos` -> `--metric-videos`."""
    return f'--{name.replace("_", "-")}'


def device_name(device: str) -> str:
    """Name of the GPU, or the number of CPU threads, and torch's version."""
    import torch

    name = torch.cuda.get_device_name() if device == 'cuda' else f'cpu, {torch.get_num_threads()} threads'
    return f'{name}, torch {torch.__version__}'


# --- time -----


def timed_in_turn(
    steps: Mapping[str, Callable[[], Any]], count: int, device: str, num_warmups: int = 2
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Time several functions alternately, so that other load on the machine falls on all of them.

    Args:
        steps: side -> function. Their order is reversed in every other round.
        count: Timed calls of each.
        device: On `cuda` a call ends when the GPU has finished.
        num_warmups: Calls of each before the timed ones.

    Returns:
        side -> wall-clock seconds, and side -> seconds of processor time, `count` of each.
    """
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


# --- memory -----


def memory_in_own_process(
    command: str, value: str, args: argparse.Namespace, names: Iterable[str], label: str | None = None
) -> dict:
    """Run `python -m tools.benchmark COMMAND --memory-of VALUE` in a new process, whose memory nothing else has used.

    Args:
        command: A sub-command that takes --memory-of and prints a line of JSON.
        value: The value of --memory-of.
        args, names: Options to pass on. True becomes a flag, False is left out.
        label: Whose memory it is, for the error; `value` by default.

    Returns:
        What the process printed.

    Raises:
        BenchmarkError: with the last line of its stderr if it fails.
    """
    words = [sys.executable, str(MAIN), command, '--memory-of', value]
    for name in names:
        given = getattr(args, name)
        words += ([option(name)] if given else []) if isinstance(given, bool) else [option(name), str(given)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f'exit status {done.returncode}, out of memory?']
        raise BenchmarkError(f'the memory of {label or value} could not be measured: {said[-1]}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def held_bytes(device: str) -> int:
    """Bytes that this process holds now: tensors on a GPU (`cuda`), or resident memory (`cpu`).

    Raises:
        BenchmarkError: if the system has no /proc.
    """
    return resident_bytes('VmRSS') if device == 'cpu' else _cuda().memory_allocated()


def peak_bytes(device: str) -> int:
    """The most bytes that this process has held; otherwise as `held_bytes`."""
    return resident_bytes('VmHWM') if device == 'cpu' else _cuda().max_memory_allocated()


def resident_bytes(key: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process, in bytes.

    Raises:
        BenchmarkError: if the system has no /proc.
    """
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        raise BenchmarkError(
            'resident memory is read from /proc, which this system lacks; use --device cuda.'
        ) from None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{key}:'))


def _cuda():
    import torch

    return torch.cuda
