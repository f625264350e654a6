"""`python -m tools.benchmark readers`: truth and speed of the readers on any video files.

Random clips of 16 frames, 4 apart, are read by every installed reader in turn, one file opened per clip as in training,
on one core. A clip is wrong if one of its frames is not the frame of a strict reading from the start, or if the reader
fails. Time is that of this process's core, so that other load on the machine does not count.
"""

import argparse
import statistics
import time
from pathlib import Path

from tools.benchmark.common import BenchmarkError, option

CLIP_FRAMES, STRIDE_FRAMES = 16, 4


def add_readers(commands) -> None:
    """Add the sub-command `readers`."""
    parser = commands.add_parser('readers', help='wrong clips and clips per second of each reader')
    add = parser.add_argument
    add('files', nargs='+', metavar='FILE', help='video files')
    add('--clips', type=int, default=40, help='clips to read per file and reader')
    add('--seed', type=int, default=0, help='for the places of the clips')
    parser.set_defaults(run=run_readers, device=None, precision=None)


def run_readers(args: argparse.Namespace) -> None:
    """Print a row per file: what is proved, what the proof costs, and wrong clips and clips per second by reader."""
    from sigma.errors import DecodeError
    from sigma.video import installed_readers

    if args.clips <= 0:
        raise BenchmarkError(f'{option("clips")} {args.clips} was asked for; it must be positive.')
    names = installed_readers()
    print(f'| File | Frames | Proved | Proof | {" | ".join(names)} |')
    print('|---' * (4 + len(names)) + '|')
    for path in args.files:
        try:
            found = measure_readers(path, names, args.clips, args.seed)
        except (DecodeError, OSError) as error:
            raise BenchmarkError(f'{path} cannot be read: {error}') from None
        cells = [
            f'{wrong} wrong, {rate:.0f}/s' if rate else f'{wrong} wrong' for wrong, rate in found['readers'].values()
        ]
        proved, share = ', '.join(found['proved']) or 'none', f'{found["proof_share"]:.0%}'
        print(f'| `{Path(path).name}` | {found["frames"]} | {proved} | {share} | {" | ".join(cells)} |', flush=True)


def measure_readers(path: str, names: list[str], num_clips: int, seed: int) -> dict:
    """Read one file by every reader.

    Returns:
        `frames`; `proved`: the readers that the proof accepts; `proof_share`: time of PyAV's proof over that of the
        strict pass; `readers`: name -> (wrong clips, clips per second by the median time; 0 if the
        reader cannot read the file).
    """
    import numpy as np

    from sigma.errors import DecodeError
    from sigma.video import READERS, ToRGB, frames_of, prove, read_whole

    begun = time.process_time()
    whole = read_whole(path, seed)
    strict = time.process_time() - begun
    begun = time.process_time()
    prove(path, whole, seed)
    share = (time.process_time() - begun) / strict
    proof = prove(path, whole, seed, names)
    to_rgb = ToRGB()
    truth = np.stack([_small(to_rgb(frame)) for frame in frames_of(path)])
    last_start = max(whole.frames - CLIP_FRAMES * STRIDE_FRAMES, 0)
    starts = np.random.default_rng(seed).integers(0, last_start + 1, num_clips)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    wrong = dict.fromkeys(names, 0)
    for start in starts:
        asked = np.minimum(start + STRIDE_FRAMES * np.arange(CLIP_FRAMES), whole.frames - 1)
        for name in names:  # in turn, so that other load affects all
            begun = time.process_time()
            try:
                found = READERS[name](str(path), proof).frames(asked)
            except DecodeError:
                wrong[name] += 1
                continue
            seconds[name].append(time.process_time() - begun)
            wrong[name] += not all(_is(image, number, truth) for image, number in zip(found, asked, strict=True))
    rates = {name: 1 / statistics.median(taken) if taken else 0 for name, taken in seconds.items()}
    readers = {name: (wrong[name], rates[name]) for name in names}
    return {'frames': whole.frames, 'proved': proof.readers, 'proof_share': share, 'readers': readers}


def _small(image):
    """(32, 32, 3) int16: means over parts of an image."""
    import cv2
    import numpy as np

    return cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.int16)


def _is(image, number: int, truth) -> bool:
    """Whether an image is nearer to its own frame than to any other, and has its colours (within 3 levels)."""
    import numpy as np

    first = max(0, number - 60)
    apart = np.abs(truth[first : number + 61] - _small(image)).mean((1, 2, 3))
    own = apart[number - first]
    return bool(own <= 3 and own <= apart.min() + 1e-9)
