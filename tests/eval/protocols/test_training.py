"""The training loop of heads: its parts by formula, and each protocol that trains with it, whole and killed."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eval.models.repetition import DensityHead
from eval.protocols import localization, localization_bmn, repetition, training
from eval.protocols.training import (
    TrainingError,
    discard,
    epoch_seeds,
    epochs_done,
    load_head,
    save_head,
    train_network,
    warmup_cosine,
)
from sigma.errors import CheckpointError
from tests.conftest import believe
from tests.eval.models import test_actionformer as actionformer
from tests.eval.models import test_cycles as cycles
from tests.eval.protocols import test_localization_bmn as bmn
from tests.eval.protocols import test_repetition as counting

# The losses of each training below, one for each step; those of `localization` are of version 3 (2026-11-30).
GOLDEN = json.loads((Path(__file__).parents[2] / 'data' / 'head_losses.json').read_text())
EPOCHS = 3


# --- the parts ------------------------------------------------------------------------------------------------------


def test_the_rate_rises_linearly_and_falls_along_half_a_cosine():
    assert warmup_cosine(0.0, 2.0, 10.0, 0.01) == pytest.approx(0.01 / 2.01)
    assert warmup_cosine(1.0, 2.0, 10.0, 0.01) == pytest.approx(1.01 / 2.01)
    assert warmup_cosine(2.0, 2.0, 10.0, 0.01) == 1
    assert warmup_cosine(4.0, 2.0, 10.0, 0.01) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert warmup_cosine(6.0, 2.0, 10.0, 0.01) == pytest.approx(0.5)
    assert warmup_cosine(10.0, 2.0, 10.0, 0.01) == pytest.approx(0)
    assert warmup_cosine(5.0, 5.0, 5.0, 0.01) == 1  # nothing but a warm-up
    assert [epochs_done(step, 4) for step in (0, 1, 4, 7)] == [0, 0.25, 1, 1.75]
    assert [epoch_seeds(3)(epoch) for epoch in (0, 5)] == [3000, 3005]


def weight(value: float = 1.0) -> nn.Linear:
    """A network of one number."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_steps_averages_rates_and_clipping_by_hand():
    """The gradient of 3 w is 3, clipped to 0.5; plain descent at rates 1, 0.5, 0.25 and peak 2."""
    network = weight()
    optimizer = torch.optim.SGD(network.parameters(), lr=2.0)
    seen = []

    def losses(epoch):
        for _ in range(1 + epoch):  # the step of the last loss is taken when the next one is asked for
            seen.append(network.weight.item())
            yield 3 * network.weight.sum()

    average, taken = train_network(
        network,
        optimizer,
        losses,
        2,
        seed_of=epoch_seeds(0),
        rate=lambda step: 0.5**step,
        clip_norm=0.5,
        average_decay=0.9,
    )
    weights = [1.0, 1 - 1.0, 1 - 1.0 - 0.5, 1 - 1.0 - 0.5 - 0.25]
    assert seen == pytest.approx(weights[:3], abs=1e-5)
    assert network.weight.item() == pytest.approx(weights[3], abs=1e-5)
    assert taken == pytest.approx([3 * value for value in weights[:3]], abs=1e-5)
    mean = 1.0
    for value in weights[1:]:
        mean = 0.9 * mean + 0.1 * value
    assert average.weight.item() == pytest.approx(mean, abs=1e-5)
    assert not average.training


def test_each_group_keeps_its_own_peak():
    network = nn.ModuleList([weight(), weight()])
    groups = [{'params': network[0].parameters(), 'lr': 1.0}, {'params': network[1].parameters(), 'lr': 0.1}]
    train_network(
        network,
        torch.optim.SGD(groups),
        lambda epoch: [network[0].weight.sum() + network[1].weight.sum()],
        1,
        seed_of=epoch_seeds(0),
        rate=lambda step: 0.5,
    )
    assert [part.weight.item() for part in network] == pytest.approx([0.5, 0.95])


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_in_a_sentence_before_the_step(value):
    network = weight()
    with pytest.raises(TrainingError, match=r'BMN is (nan|inf) in epoch 1 of 4, at learning rate 0.1; lower the'):
        train_network(
            network,
            torch.optim.SGD(network.parameters(), lr=0.1),
            lambda epoch: [value * network.weight.sum()],
            4,
            seed_of=epoch_seeds(0),
            what='BMN',
        )
    assert network.weight.item() == 1


def one_step(state: Path, network: nn.Module | None = None) -> list[float]:
    """Losses of a training of one epoch of one step."""
    network = network or weight()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return train_network(
        network, optimizer, lambda epoch: [network.weight.sum()], 1, seed_of=epoch_seeds(0), state=state
    )[1]


def test_a_training_that_is_done_is_not_repeated_until_its_state_is_discarded(tmp_path):
    state = tmp_path / 'cell' / 'state.safetensors'
    assert len(one_step(state)) == 1
    assert one_step(state) == []
    (tmp_path / 'cell' / 'state.pt').write_bytes(b'of an earlier release')
    discard(state)
    discard(state)  # nothing is there: nothing to do
    assert list((tmp_path / 'cell').iterdir()) == []
    assert len(one_step(state)) == 1


def test_states_that_cannot_be_read_start_the_training_again_and_say_so(tmp_path, caplog):
    state = tmp_path / 'state.safetensors'
    torch.save({'epoch': 1}, tmp_path / 'state.pt')
    assert len(one_step(state)) == 1
    assert f'{tmp_path / "state.pt"} is the state of an earlier release' in caplog.text
    whole = state.read_bytes()
    for damaged in (whole[:-1], whole[:-4] + b'abcd', b''):
        state.write_bytes(damaged)
        caplog.clear()
        assert len(one_step(state)) == 1
        assert 'starts again from its first epoch' in caplog.text
        assert str(state) in caplog.text
    with pytest.raises(CheckpointError, match='does not fit'):
        one_step(state, nn.Linear(2, 1, bias=False))


def test_a_head_is_written_and_read_as_it_was(tmp_path):
    head, other = weight(0.1), weight(0.2)
    save_head(tmp_path / 'head.safetensors', head)
    load_head(tmp_path / 'head.safetensors', other)
    assert torch.equal(head.weight, other.weight)
    with pytest.raises(CheckpointError, match='does not fit'):
        load_head(tmp_path / 'head.safetensors', nn.Linear(2, 1))
    with pytest.raises(CheckpointError, match='is not there'):
        load_head(tmp_path / 'absent.safetensors', head)


# --- every protocol that trains with it -----------------------------------------------------------------------------


@dataclass
class Seen:
    """What a training did: losses of its steps, the weights in its last state, and what came out."""

    losses: list[float] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    result: list = field(default_factory=list)


def of_module(module: nn.Module) -> list[np.ndarray]:
    return [value.numpy() for value in module.state_dict().values()]


def train_localization(folder: Path) -> list:
    settings = actionformer.TRAINING | {'epochs': EPOCHS, 'batch_size': 3, 'warmup_epochs': 1}
    config = actionformer.CONFIG | {'longest': 40, 'training': settings}
    data = actionformer.actions(8, 0)
    head = actionformer.small(feature_dropout=0.1)
    return of_module(localization.fit_actionformer(head, *data, config, 0, folder / 'state.safetensors'))


def train_bmn(folder: Path) -> list:
    network, settings = bmn.network(), bmn.TRAINING | {'epochs': EPOCHS, 'batch_size': 4, 'milestone': 2}
    localization_bmn.fit_bmn(network, *bmn.actions(8, 0), settings, 0, folder / 'state.safetensors')
    return of_module(network)


def train_density(folder: Path) -> list:
    values, _, boundaries, centres = counting.periodic(20, 0)
    torch.manual_seed(1)
    head = DensityHead(16, 32, num_channels=8, initial_density=5 / 32)
    settings = {'num_steps': 3 * 4, 'batch_size': 8, 'lr': 2e-3, 'weight_decay': 0.01}
    settings |= {'warmup_share': 0.1, 'least_share': 0.5, 'count_weight': 1.0}
    repetition.fit_density_head(head, values, centres, boundaries, settings, 0, folder / 'state.safetensors')
    return of_module(head)


def train_counting(folder: Path) -> list:
    dataset = with_a_damaged_video(folder.parent / 'videos')
    batches = ('batch_size=4, lr', 'batch_size=2, lr')
    resolved = counting.resolve(dataset, folder.parent, finetune=True, how=f'epochs={EPOCHS}', change=batches)
    return of_cell(resolved, folder)


def train_cycles(folder: Path, form: str = 'severe') -> list:
    dataset = with_a_damaged_video(folder.parent / 'videos')
    return of_cell(cycles.resolve(dataset, folder.parent, epochs=EPOCHS, form=form), folder)


def train_cycles_fractional(folder: Path) -> list:
    return train_cycles(folder, 'fractional')


def with_a_damaged_video(folder: Path) -> Path:
    """Videos to count in, of which one for training cannot be decoded, which the index does not know."""
    if not folder.is_dir():
        shapes = ((2, 40), (3, 48), (4, 40), (2, 44))
        counting.write_counting(folder, train=shapes, test=shapes[:1])
        (folder / 'train_3.mp4').write_bytes(b'no video')
        believe(folder)
    return folder


def of_cell(resolved, folder: Path) -> list:
    outcome = resolved.protocol.run(resolved, folder)
    assert any('train_3.mp4' in note for note in outcome.notes)
    return [outcome.scores, outcome.notes, outcome.num_train_skipped]


USERS: dict[str, Callable[[Path], list]] = {
    'localization': train_localization,
    'bmn': train_bmn,
    'density': train_density,
    'counting': train_counting,
    'cycles': train_cycles,
    'cycles_fractional': train_cycles_fractional,
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('trainings')


@pytest.fixture
def train(folder, monkeypatch):
    """Runs a training and watches it; `killed_by(number of steps, number of states)` says when it is killed."""
    monkeypatch.setattr(repetition, 'BLOCK', 4, raising=False)  # so that the density head has three states too
    backward = torch.Tensor.backward

    def run(name: str, place: str, killed_by: Callable[[int, int], bool] = lambda steps, states: False) -> Seen:
        seen, num_states = Seen(), 0

        def watched(loss):
            seen.losses.append(loss.item())
            backward(loss)
            if killed_by(len(seen.losses), num_states):
                raise KeyboardInterrupt

        def kept(path, content):
            nonlocal num_states
            num_states += 1
            if killed_by(-1, num_states):  # while it is written: the one before still stands
                raise KeyboardInterrupt
            written(path, content)
            seen.weights = {key: value.clone() for key, value in content['state_dict'].items()}
            if killed_by(-2, num_states):
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, 'backward', watched)
            patch.setattr(training, 'save_training_state', kept)
            (folder / place).mkdir(exist_ok=True)
            try:
                seen.result = USERS[name](folder / place)
            except KeyboardInterrupt:
                seen.result = ['killed']
        return seen

    written = training.save_training_state
    return run


def equal(one: list, other: list) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize('name', USERS)
def test_the_numbers_are_those_of_before_and_a_killed_training_goes_on_bit_for_bit(name, train, folder):
    whole = train(name, f'{name}-whole')
    assert whole.losses == pytest.approx(GOLDEN[name], rel=1e-3)
    per_epoch = len(whole.losses) // EPOCHS
    assert whole.weights
    kills = {
        'in the first epoch': lambda steps, states: steps == per_epoch - 1,
        'in the second epoch': lambda steps, states: steps == per_epoch + 1,
        'while a state is written': lambda steps, states: (steps, states) == (-1, 2),
        'after a state is written': lambda steps, states: (steps, states) == (-2, 2),
        'after the last state': lambda steps, states: (steps, states) == (-2, EPOCHS),
    }
    for number, (when, killed_by) in enumerate(kills.items()):
        place = f'{name}-{number}'
        assert train(name, place, killed_by).result == ['killed'], when
        resumed = train(name, place)
        assert resumed.losses == whole.losses[len(whole.losses) - len(resumed.losses) :], when
        assert equal(resumed.result, whole.result), when
        for key, value in resumed.weights.items():
            assert torch.equal(value, whole.weights[key]), (when, key)
    assert not list(folder.rglob('*.pt'))


@pytest.mark.parametrize('name', ['counting', 'cycles'])
def test_a_cell_keeps_nothing_of_a_training_that_is_scored(name, train, folder):
    train(name, f'{name}-scored')
    assert not list((folder / f'{name}-scored').rglob('state*'))
