"""What tests of trainings that are killed share."""

import pytest


@pytest.fixture(scope='session')
def config(tmp_path_factory):
    """Path of the tiny pretraining that `tests.forked.Run` runs."""
    from tests.forked import tiny_config  # not above: with decord loaded before it, PyAV opens no VP9 encoder

    return tiny_config(tmp_path_factory.mktemp('config'))
