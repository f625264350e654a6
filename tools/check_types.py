"""Check types with mypy against a baseline of error counts, which may only shrink.

    python tools/check_types.py            # more errors than tests/data/types_baseline.txt: status 1
    python tools/check_types.py --lower    # write today's counts if they are smaller

The baseline has one line per room of `sigma` and `eval` (a package or a single module) with its number of errors. Rooms
that are not listed have none.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sigma.commands import Parser

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT / 'tests' / 'data' / 'types_baseline.txt'
ERROR = re.compile(r'^((?:sigma|eval)/\S+?\.py):\d+: error: ')
# Rooms that have no error and must never have one again.
CLEAN = (
    *('sigma/losses', 'sigma/models', 'sigma/checkpoints'),
    *('eval/records.py', 'eval/report', 'eval/cells'),
)


def room_of(path: str) -> str:
    """`eval/report` for `eval/report/figures/bars.py`; the file itself for a module outside the rooms."""
    return '/'.join(path.split('/')[:2])


def count(output: str) -> Counter[str]:
    """Errors of each room in mypy's output."""
    found = (ERROR.match(line) for line in output.splitlines())
    return Counter(room_of(match[1]) for match in found if match)


def read(text: str) -> dict[str, int]:
    """Room -> errors, from the lines of a baseline."""
    lines = (line.split('#')[0].split() for line in text.splitlines())
    return {words[0]: int(words[1]) for words in lines if words}


def write(counts: dict[str, int], head: str) -> str:
    """The text of a baseline, below the comments of the old one."""
    comments = [line for line in head.splitlines() if line.startswith('#')]
    return '\n'.join([*comments, *(f'{room} {counts[room]}' for room in sorted(counts) if counts[room]), ''])


def compare(found: dict[str, int], baseline: dict[str, int]) -> tuple[list[str], list[str]]:
    """Sentences on rooms with more errors than the baseline, and on rooms with fewer."""
    rooms = sorted({*found, *baseline})
    said = {
        room: f'{room} has {found.get(room, 0)} type errors, {baseline.get(room, 0)} in the baseline' for room in rooms
    }
    worse = [said[room] for room in rooms if found.get(room, 0) > baseline.get(room, 0)]
    better = [said[room] for room in rooms if found.get(room, 0) < baseline.get(room, 0)]
    return worse, better


def run_mypy() -> str:
    """Mypy's output; mypy.ini says what it reads.

    Raises:
        RuntimeError: if mypy itself failed.
    """
    done = subprocess.run([sys.executable, '-m', 'mypy'], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode > 1 or (done.returncode == 1 and not count(done.stdout)):
        raise RuntimeError((done.stderr + done.stdout).strip())
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Count, compare, and say what to do."""
    parser = Parser(description=__doc__)
    parser.add_argument('--lower', action='store_true', help='write smaller counts into the baseline')
    options = parser.parse_args(arguments)
    try:
        output = run_mypy()
    except RuntimeError as error:
        print(f'check_types: mypy failed: {error}', file=sys.stderr)
        return 2
    found, old = count(output), BASELINE.read_text() if BASELINE.is_file() else ''
    baseline = read(old)
    worse, better = compare(found, baseline)
    if worse:
        rooms = {sentence.split()[0] for sentence in worse}
        shown = [line for line in output.splitlines() if (m := ERROR.match(line)) and room_of(m[1]) in rooms]
        print('\n'.join(shown), file=sys.stderr)
        print(f'check_types: {"; ".join(worse)}. Fix those you added.', file=sys.stderr)
        return 1
    if options.lower:
        BASELINE.write_text(write({room: min(n, found.get(room, 0)) for room, n in baseline.items()}, old))
    elif better:
        print(f'check_types: {"; ".join(better)}. Keep the gain: python tools/check_types.py --lower')
    print(f'check_types: {sum(found.values())} type errors in {len(found)} rooms, none more than the baseline')
    return 0


if __name__ == '__main__':
    sys.exit(main())
