"""A tiny video, and copies of it in any folders."""

from pathlib import Path

import pytest

from tests.tools.videos import tiny_clip, with_tail


@pytest.fixture(scope='session')
def clip(tmp_path_factory) -> bytes:
    return tiny_clip(tmp_path_factory.mktemp('clip') / 'clip.mp4')


@pytest.fixture
def lay(tmp_path, clip):
    """A function that lays copies of a clip under `videos`, each with other bytes at its end."""
    root = tmp_path / 'videos'

    def lay(*paths: str) -> Path:
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(with_tail(clip, path))
        return root

    return lay
