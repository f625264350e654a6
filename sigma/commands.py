"""What every command shares: a parser that answers bad input in one sentence, and `--version`.

Needs only the standard library, so that `--help` and typos are answered at once.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sigma import __version__
from sigma.revision import git_state


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that keeps the line breaks of its description and refuses bad input in one sentence.

    argparse prints the usage of every option before its error. This one prints `NAME: what is wrong` and exits with 2.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('formatter_class', argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; an unknown option is refused with the nearest known one."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._about_unknown(unknown))
        return found

    def _about_unknown(self, unknown: list[str]) -> str:
        options = [option for option in _options(self) if option.startswith('--')]
        strange = next((word.partition('=')[0] for word in unknown if word.startswith('-')), None)
        if strange is None:
            return f'{" ".join(unknown)} belongs to no option; see --help'
        close = difflib.get_close_matches(strange, options, n=1)
        return f'unknown option {strange}{f" (did you mean {close[0]}?)" if close else ""}; see --help'

    def error(self, message: str) -> NoReturn:
        """Print one sentence and exit with 2."""
        said = message.removeprefix('argument ')
        if said.startswith('the following arguments are required: '):
            said = f'{said.partition(": ")[2]} must be given; see --help'
        self.exit(2, f'{self.prog.removesuffix(".py")}: {" ".join(said.split())}\n')


def told_faults(program: str, faults: Sequence[str]) -> int:
    """Print on stderr what was left out and why; returns the exit status: 1 if anything was, else 0."""
    for fault in faults:
        print(f'{program}: left out: {" ".join(fault.split())}', file=sys.stderr)
    return 1 if faults else 0


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Options of a parser and of its sub-commands, once each."""
    found = dict.fromkeys(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= dict.fromkeys(option for one in action.choices.values() for option in _options(one))
    return list(found)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} was given; a number of at least 1 is needed')
    return int(text)


class _Unread(io.FileIO):
    """A stream that drops what it is given once nobody reads it any more."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]  # None: it would block
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(memoryview(data).cast('B'))


def outlive_readers() -> None:
    """Let a command go on, in silence, when a reader such as `head` has seen enough: its work and status stay.

    Python raises BrokenPipeError at a print instead, so that a measurement would stop, or end in a traceback.
    """
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or stream is not getattr(sys, f'__{name}__'):
            continue  # somebody else's, such as a test's; or done already
        stream.flush()
        setattr(
            sys,
            name,
            io.TextIOWrapper(
                io.BufferedWriter(_Unread(stream.fileno(), 'w', closefd=False)),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            ),
        )


class Terminated(BaseException):
    """SIGTERM told this process to end. It unwinds like Ctrl-C, so that pools end and temporary files go."""


def end_with(main: Callable[[], int]) -> NoReturn:
    """Exit with the status of `main`; after Ctrl-C with 130, after SIGTERM with 143, and one sentence.

    For commands whose files are written whole or continued by the next run.
    """

    def stop(*_: Any) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the cleaning up short
        raise Terminated

    outlive_readers()
    former, own = signal.signal(signal.SIGTERM, stop), os.getpid()
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, former))  # workers end at once
    try:
        status = main()
    except (KeyboardInterrupt, Terminated) as stopped:
        how, status = ('interrupted', 130) if isinstance(stopped, KeyboardInterrupt) else ('terminated', 143)
        if os.getpid() == own:
            name = Path(sys.argv[0]).stem
            print(f'{name}: {how}; no file is half written. Run the same command again.', file=sys.stderr)
    sys.exit(status)


class VersionAction(argparse.Action):
    """`--version`: print version and commit, and exit. Git is asked only then."""

    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(version_line(parser.prog.removesuffix('.py')))
        parser.exit(0)


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`."""
    parser.add_argument('--version', action=VersionAction, help='print version and commit, and exit')


def version_line(program: str) -> str:
    """`run_severe 0.1.0 (commit 48e9a80, with changes)`; without the commit outside a repository."""
    state = git_state()
    if state['commit'] is None:
        return f'{program} {__version__}'
    return f'{program} {__version__} (commit {state["commit"][:10]}{"" if state["clean"] else ", with changes"})'
