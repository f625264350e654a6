"""Which commit of this project runs. Needs only the standard library."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path


@functools.cache
def git_state() -> dict:
    """Commit of this project and whether the tree is clean, at the first call; None outside a repository."""
    root = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str | None:
        done = subprocess.run(['git', '-C', str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        commit, changes = git('rev-parse', 'HEAD'), git('status', '--porcelain')
    except FileNotFoundError:  # no git here
        return {'commit': None, 'clean': None}
    return {'commit': commit, 'clean': None if commit is None else not changes}
