"""What several benchmarks share: their error, and the memory of a process."""

from pathlib import Path


class BenchmarkError(ValueError):
    """What cannot be measured here; one sentence for the user."""


def resident_bytes(key: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process.

    Raises:
        BenchmarkError: where the system does not tell.
    """
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        raise BenchmarkError(
            'resident memory is read from /proc, which this system lacks; take --device cuda.'
        ) from None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{key}:'))
