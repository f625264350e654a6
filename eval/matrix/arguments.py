"""Types of options on the command line, for argparse: each reads a word or says what is needed instead."""

import argparse


def minutes(text: str) -> float:
    """Minutes, from a text of minutes or H:MM:SS."""
    try:
        parts = [float(part) for part in text.split(':')]
    except ValueError:
        parts = []
    if len(parts) not in (1, 3) or min(parts) < 0 or not 0 < sum(parts) < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} was given; minutes or H:MM:SS is needed, such as 90 or 1:30:00')
    return parts[0] if len(parts) == 1 else sum(part * weight for part, weight in zip(parts, (60, 1, 1 / 60)))


def key_value(text: str) -> tuple[str, str | int]:
    """(key, value) from KEY=VALUE; whole numbers become int."""
    key, equals, value = text.partition('=')
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f'{text!r} was given; KEY=VALUE is needed, such as mem_gb=64')
    return key, int(value) if value.isdigit() else value


def device(text: str) -> str:
    """A device; whether it is there is checked later."""
    kind, colon, number = text.partition(':')
    if kind not in ('cpu', 'cuda') or (colon and (kind == 'cpu' or not number.isdigit())):
        raise argparse.ArgumentTypeError(f'{text!r} was given; cpu, cuda, or cuda:N is needed, such as cuda:1')
    return text


def seed(text: str) -> int:
    """A seed that every library accepts."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f'{text} was given; a whole number from 0 to 2**32 - 1 is needed')
    return int(text)
