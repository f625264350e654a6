"""`tools/train.py --doctor`: each finding on input that has the fault, and on input that has not."""

import pytest
import torch
from mmengine.config import ConfigDict

from sigma.engine import doctor
from sigma.models import SIGMA
from tests.conftest import DEMO, assert_one_sentence, call_main, demo_options
from tests.sigma.models.test_models import tiny_sigma
from tools import train as train_tool


def batch(pixels: torch.Tensor, num_tokens: int = 32) -> dict:
    masked = torch.arange(num_tokens)[None].expand(len(pixels), -1)
    return {'pixels': pixels, 'clip': pixels, 'masked': masked}


def test_flat_tubelets_are_counted():
    generator = torch.Generator().manual_seed(0)
    half = torch.full((2, 3, 4, 64, 32), 0.5) + 0.01 * torch.randn(2, 3, 4, 64, 32, generator=generator)
    texture = torch.rand(2, 3, 4, 64, 32, generator=generator)
    found = doctor.flat_tubelets([batch(torch.cat([half, texture], dim=4))], (2, 16, 16))
    assert found.found.startswith('50 % of 64 masked tubelets')
    assert 'floor=0.05' in found.remedy
    assert not doctor.flat_tubelets([batch(torch.rand(2, 3, 4, 64, 64))], (2, 16, 16)).remedy


@pytest.mark.parametrize(('epochs', 'remedy'), [(4, 'max_epochs=20'), (20, '')])
def test_steps(epochs, remedy):
    found = doctor.steps(ConfigDict(train_cfg={'max_epochs': epochs}), per_epoch=50)
    assert found.found == f'{epochs * 50} ({epochs} epochs of 50)'
    assert found.remedy.endswith(remedy)
    assert bool(found.remedy) == bool(remedy)


@pytest.mark.parametrize(('batch_seconds', 'workers', 'has_remedy'), [(0.1, 0, False), (2, 0, True), (0.9, 2, False)])
def test_the_data_wait(batch_seconds, workers, has_remedy):
    cfg = ConfigDict(train_dataloader={'num_workers': workers})
    assert bool(doctor.wait(batch_seconds, 1.0, cfg).remedy) == has_remedy


@pytest.mark.parametrize(
    ('epsilon', 'words'), [(0.001, 'larger model.loss.epsilon'), (5.0, 'smaller model.loss.epsilon')]
)
def test_prototypes_and_epsilon(epsilon, words):
    torch.manual_seed(0)
    model = tiny_sigma()
    assert isinstance(model, SIGMA)
    model.sinkhorn_loss.epsilon = epsilon
    pixels = torch.rand(2, 3, *(g * t for g, t in zip(model.encoder.grid, model.encoder.tubelet)))
    few, decided = doctor.prototypes(model, batch(pixels, num_tokens=8))
    number = len(model.sinkhorn_loss.prototypes)
    assert f'16 masked tokens of a batch of 2 clips for {number} prototypes' in few.found
    assert bool(few.remedy) == (16 / number < doctor.LEAST_TOKENS)
    assert words in decided.remedy


def test_the_command_says_what_to_change_and_writes_nothing(toy, tmp_path, capsys):
    options = demo_options(toy, train_cfg__max_epochs=2)
    done = call_main(train_tool.main, capsys, DEMO, '--work-dir', tmp_path / 'run', '--doctor', *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    names = ['nearly flat tubelets', 'tokens per prototype', 'epsilon against K', 'steps', 'data wait']
    assert [name for line in lines for name in names if line[8:].startswith(name)] == names
    assert any(line.startswith('change  steps') for line in lines)
    assert not (tmp_path / 'run').exists()
    done = call_main(train_tool.main, capsys, DEMO, '--doctor', *demo_options(toy, train_dataloader__batch_size=64))
    assert_one_sentence(done, 'global batch of 64', '40 videos')
