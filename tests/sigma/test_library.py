"""The package as a library: light imports, lazy names, and an untouched process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sigma

FRAMEWORKS = ['mmengine', 'mmaction', 'mmcv', 'timm', 'torchvision', 'sigma.registry', 'sigma.compat']

# What another library in the same process would notice.
STATE = """
import json, logging, os, signal, sys, warnings
import torch
def state():
    return {
        'torch.load': id(torch.load), 'torch.save': id(torch.save), 'filters': repr(warnings.filters),
        'showwarning': id(warnings.showwarning), 'threads': torch.get_num_threads(),
        'dtype': str(torch.get_default_dtype()), 'environment': dict(os.environ), 'path': list(sys.path),
        'handlers': repr(logging.getLogger().handlers), 'level': logging.getLogger().level,
        'rng': torch.get_rng_state().sum().item(), 'nms': hasattr(torch.ops.torchvision, 'nms'),
        'signals': [repr(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
        'excepthook': id(sys.excepthook),
    }
"""


def in_a_new_process(code: str):
    """What the code prints last, as JSON."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    'statement',
    [
        'from sigma.losses import sinkhorn, SinkhornLoss',
        'import sigma; sigma.sinkhorn, sigma.SinkhornLoss',
        'import sigma.checkpoints.encoder',
    ],
)
def test_losses_and_checkpoints_load_no_framework_and_change_nothing(statement):
    code = (
        f'{STATE}\nbefore = state()\n{statement}\nafter = state()\n'
        'changed = [k for k in before if before[k] != after[k]]\n'
        f'loaded = [m for m in {FRAMEWORKS} if m in sys.modules]\nprint(json.dumps([changed, loaded]))'
    )
    assert in_a_new_process(code) == [[], []]


def test_the_comparison_of_states_sees_a_change():
    code = (
        f'{STATE}\nbefore = state()\nwarnings.simplefilter("ignore")\ntorch.load = None\nafter = state()\n'
        'print(json.dumps([k for k in before if before[k] != after[k]]))'
    )
    assert in_a_new_process(code) == ['torch.load', 'filters']


def test_importing_the_package_imports_nothing_else():
    code = 'import json, sys, sigma; print(json.dumps([m for m in sys.modules if m in ("torch", "numpy", "mmengine")]))'
    assert in_a_new_process(code) == []


def test_libraries_on_torchvision_load_after_the_package_alone():
    pytest.importorskip('transformers', reason='an oracle of the tests for Python 3.11 and later')
    code = (
        'import json, sys, sigma; from transformers import VideoMAEModel; import timm; '
        'print(json.dumps([m for m in ("torchvision", "mmengine") if m in sys.modules]))'
    )
    assert in_a_new_process(code) == ['torchvision']


def test_every_exported_name_is_there_and_listed():
    from sigma import losses, models

    assert set(sigma.__all__) <= set(dir(sigma))
    for name in sigma.__all__:
        home = losses if name in losses.__all__ else models
        assert getattr(sigma, name) is getattr(home, name)
    with pytest.raises(AttributeError, match='SIGNA'):
        _ = sigma.SIGNA


def test_the_losses_are_registered_with_the_models():
    from sigma import losses
    from sigma.registry import MODELS

    for name in ('SinkhornLoss', 'FeatureL2'):
        assert MODELS.get(f'sigma.{name}') is getattr(losses, name)


def test_the_loss_runs_as_its_docstring_says():
    scores = torch.nn.functional.normalize(torch.randn(12, 4), dim=1)
    codes = sigma.sinkhorn(scores, epsilon=0.05, num_iterations=50)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(12))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((4,), 3.0), atol=0.05, rtol=0)


def test_mmengine_starts_without_transformers_and_still_builds_adafactor():
    """mmengine imports transformers, where it is installed, for this one optimizer: a second per start."""
    pytest.importorskip('transformers')
    lines = [
        'import sys, torch, sigma.registry',
        'from mmengine.optim import build_optim_wrapper',
        'before = "transformers" in sys.modules',
        'optimizer = dict(type="Adafactor", lr=None)',
        'wrapper = build_optim_wrapper(torch.nn.Linear(2, 2), dict(type="OptimWrapper", optimizer=optimizer))',
        'import json',
        'print(json.dumps([before, type(wrapper.optimizer).__module__.partition(".")[0]]))',
    ]
    assert in_a_new_process('\n'.join(lines)) == [False, 'transformers']
