"""What a machine remembers between runs: facts of encoders and its own speed, in the user's cache folder.

`SIGMA_CACHE` names another folder (default: `$XDG_CACHE_HOME/sigma`, else `~/.cache/sigma`). Everything in it may be
deleted at any time, and a folder that cannot be written is no error: it is then computed again. Standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from sigma.files import write_atomic


def cache_folder() -> Path:
    """Where this user's cache is; it may not exist yet."""
    own = os.environ.get('SIGMA_CACHE')
    return Path(own) if own else Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'sigma'


def recall(name: str) -> dict[str, Any]:
    """The JSON object that was kept under a name; empty if there is none or it cannot be read."""
    try:
        found = json.loads((cache_folder() / f'{name}.json').read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(name: str, content: dict[str, Any]) -> None:
    """Keep a JSON object under a name."""
    with contextlib.suppress(OSError):  # a home without room or rights: nothing depends on it
        write_atomic(cache_folder() / f'{name}.json', json.dumps(content), durable=False)
