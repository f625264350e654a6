"""Repetition counting as in SEVERE: localise the previous and the next cycle, and refine their lengths.

Versions: 1 (2026-11-22).
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eval.cells.cell import ResolvedCell
from eval.cells.machine import num_workers
from eval.features.clips import build_encoder
from eval.models.cycles import (
    CLAMP_TRAIN,
    CycleNetwork,
    Regressor,
    best_factors,
    count_cycles,
    cut_windows,
    cycle_loss,
    draw_part,
    draw_state,
    labels_at,
    neighbour_lengths,
    next_state,
)
from eval.protocols.base import Outcome, Protocol
from eval.protocols.repetition import (
    boundaries_of,
    check_counting,
    constant_answers,
    counts_of,
    some_readable,
)
from eval.protocols.training import discard, state_path, train_network
from sigma.errors import DataError, DecodeError
from sigma.video import READERS


class RepetitionCycles(Protocol):
    """SEVERE's head (eval/models/cycles.py) on the frames of whole videos, trained together with the encoder.

    Each epoch draws some parts of each training video. A batch of parts is walked from start to end in at most
    `num_walk_steps` steps of Adam; each step moves on from the network's corrected answer. Windows are cut from all
    frames of a video, resized to the encoder's size by the longer side and padded with black.

    Departures from SEVERE: we take the last epoch, SEVERE the best one on the test videos. Unless the encoder takes 32
    frames, it sees the two windows as two clips.
    """

    name = 'repetition_cycles'
    version = 1
    source = 'Zhang et al. (CVPR 2020) as in SEVERE (ECCV 2022); last epoch instead of the best on the test videos'

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder and training.

        Raises:
            DataError: if the dataset cannot be counted on.
        """
        check_counting(resolved)
        return {
            'backbone': resolved.encoder.backbone(),
            'normalisation': {'mean': list(resolved.encoder.mean), 'std': list(resolved.encoder.std)},
            'clip': dict(resolved.encoder.info['clip']),
            **{key: resolved.recipe[key] for key in ('decoder', 'finetune', 'min_cycles', 'flip', 'training')},
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Train, and count in the test videos."""
        settings = resolved.config['training']
        train = [e for e in resolved.dataset.entries('train') if e['reason'] is None]
        test = resolved.dataset.entries('test')
        some_readable(resolved, train, [e for e in test if e['reason'] is None])
        num_skipped = len(resolved.dataset.entries('train')) - len(train)
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        clip = resolved.config['clip']
        encoder = build_encoder(resolved)
        network = CycleNetwork(encoder, clip['num_frames'], clip['size'], resolved.encoder.mean, resolved.encoder.std)
        network = network.to(device)
        state = state_path(resolved, work_dir)
        failures, num_walked = self._train(resolved, network, train, state, device)

        videos, labels, counts, unscored = [], [], [], []
        parts = VideoParts([(entry, 0, None, False) for entry in test], clip['size'], resolved.config['decoder'])
        for entry, (frames, error) in zip(test, loader(parts)):
            if frames is None:
                unscored.append({'video': entry['video'], 'reason': error})
                continue
            regress = regressor(network.eval(), frames.to(device), settings['test_batch_size'])
            videos.append(entry['video'])
            labels.append(entry['label'])
            counts.append(count_cycles(regress, len(frames), resolved.config['min_cycles']))
        discard(state)
        few = len(train) - num_walked
        return Outcome(
            videos=videos,
            labels=np.array(labels, dtype=np.int64),
            scores=np.array(counts, dtype=np.float32)[:, None],
            unscored=unscored,
            num_listed=len(test),
            num_train=num_walked,
            num_train_skipped=num_skipped + few + len(failures),
            selection={'epoch': settings['epochs'], 'how': 'last'},
            batch_size=settings['batch_size'],
            notes=[
                'head: cycle localisation, as SEVERE',
                *([f'{few} training videos with fewer than 2 cycles are left out'] if few else []),
                *[f'not decoded in training, left out: {failure}' for failure in failures],
                *constant_answers(counts_of(resolved, [entry['video'] for entry in train]), labels),
            ],
        )

    def _train(
        self, resolved: ResolvedCell, network: CycleNetwork, entries: list[dict], state: Path, device: torch.device
    ) -> tuple[list[str], int]:
        """Train the network in place.

        Returns:
            Reasons of the videos that could not be decoded, and the number of videos with at least two cycles.
        """
        config, settings = resolved.config, resolved.config['training']
        if not config['finetune']:
            network.encoder.requires_grad_(False)
        cycles = boundaries_of(resolved, [entry['video'] for entry in entries])
        known = [(entry, marks) for entry, marks in zip(entries, cycles) if len(marks) > 2]
        if not known:
            raise DataError(f'{resolved.dataset.name}: no training video has two cycles; there is nothing to localise.')
        memory: dict[str, list[str]] = {'failures': []}

        def losses(epoch: int) -> Iterator[Tensor]:
            rng, _ = _draws(resolved.cell.seed, epoch)
            if not config['finetune']:
                network.encoder.eval()
            jobs = []
            for number in np.repeat(np.arange(len(known)), settings['parts_per_video']):
                entry, marks = known[number]
                begin, end = draw_part(rng, marks, entry['total_frames'], settings['longest_part'])
                jobs.append((entry, begin, end, config['flip'] and rng.random() < 0.5, marks))
            jobs = [jobs[i] for i in rng.permutation(len(jobs))]
            clips = loader(VideoParts([job[:4] for job in jobs], config['clip']['size'], config['decoder']))
            batch = []
            for number, (job, (frames, error)) in enumerate(zip(jobs, clips), 1):
                if frames is None:
                    memory['failures'] = sorted({error, *memory['failures']})
                else:
                    batch.append((frames.to(device), neighbour_lengths(job[4], len(frames), job[1]), job[4]))
                if batch and (len(batch) == settings['batch_size'] or number == len(jobs)):
                    yield from walk(network, batch, rng, settings['num_walk_steps'])
                    batch = []

        learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
        train_network(
            network,
            torch.optim.Adam(learnt, lr=settings['lr'], weight_decay=settings['weight_decay']),
            losses,
            settings['epochs'],
            seed_of=lambda epoch: _draws(resolved.cell.seed, epoch)[1],
            what='the cycle network',
            state=state,
            memory=memory,
        )
        return memory['failures'], len(known)


def _draws(seed: int, epoch: int) -> tuple[np.random.Generator, int]:
    """The random generator of an epoch, and torch's seed for it, which is its first number."""
    rng = np.random.default_rng([seed, epoch])
    return rng, int(rng.integers(2**31))


def walk(network: CycleNetwork, batch: list[tuple], rng: np.random.Generator, num_steps: int) -> Iterator[Tensor]:
    """Walk along a batch of parts and yield the loss of each step. The caller takes an optimizer step after each.

    Every part has a state. Each step trains on all states, corrects them by the network's answer, and moves them on. A
    state whose cycle becomes too short, or that leaves its part, is drawn again. The walk ends when every state has
    left its part once.

    Args:
        network: In training mode.
        batch: For each part: frames (n, size, size, 3) uint8, (next, previous) from `neighbour_lengths`, and the
            boundaries of its cycles in frames.
        rng: Draws the states.
        num_steps: Most steps.
    """
    frames, lengths, marks = zip(*batch)
    first = [
        known[0][0] if np.isfinite(known[0][0]) else float(np.mean(np.diff(bounds)))
        for known, bounds in zip(lengths, marks)
    ]
    states = [draw_state(rng, cycle, len(clip)) for cycle, clip in zip(first, frames)]
    left = [False] * len(batch)
    for _ in range(num_steps):
        pairs = [cut_windows(clip, state[None], network.per_window) for clip, state in zip(frames, states)]
        windows, inside = (torch.cat(parts) for parts in zip(*pairs))
        logits, corrections = network(windows, inside)
        classes, offsets = (torch.from_numpy(label).to(logits.device) for label in labels_at(np.stack(states), lengths))
        yield cycle_loss(logits, corrections, classes, offsets.to(corrections))
        right = logits.detach().softmax(dim=2)[:, :, 1].cpu().numpy()
        factors = best_factors(right, corrections.detach().cpu().numpy(), CLAMP_TRAIN)
        for number, clip in enumerate(frames):
            moved, gone = next_state(rng, states[number], factors[number], len(clip))
            left[number] |= gone
            states[number] = draw_state(rng, first[number], len(clip)) if moved is None else moved
        if all(left):
            break


def regressor(network: CycleNetwork, frames: Tensor, batch_size: int) -> Regressor:
    """The network on the states of one video, in the form that `count_cycles` takes.

    Args:
        network: In eval mode.
        frames: (n, size, size, 3) uint8, on the network's device.
        batch_size: Most states per forward pass.
    """

    @torch.no_grad()
    def regress(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answers = []
        for begin in range(0, len(states), batch_size):
            logits, corrections = network(*cut_windows(frames, states[begin : begin + batch_size], network.per_window))
            answers.append((logits.softmax(dim=2)[:, :, 1], corrections))
        right, corrections = (torch.cat(part).double().cpu().numpy() for part in zip(*answers))
        return right, corrections

    return regress


class VideoParts(Dataset):
    """Frames of parts of videos: (frames (n, size, size, 3) uint8, None), or (None, reason) if decoding fails.

    Args:
        jobs: (entry of a card, first frame, last frame or None for the last of the video, whether to mirror).
        size: Pixels; the longer side is resized to it, the shorter one padded with black.
        decoder: `decord` or `pyav`.
    """

    def __init__(self, jobs: list[tuple], size: int, decoder: str) -> None:
        self.jobs, self.size, self.reader = jobs, size, READERS[decoder]

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, number: int) -> tuple[Tensor | None, str | None]:
        """Decode one part; never substitute another video."""
        entry, begin, end, mirrored = self.jobs[number]
        if entry['reason'] is not None:
            return None, entry['reason']
        try:
            end = entry['total_frames'] - 1 if end is None else end
            frames = self.reader(entry['filename']).frames(np.arange(begin, end + 1))
        except DecodeError as error:
            return None, str(error)
        frames = fit_square(frames, self.size)
        return torch.from_numpy(np.ascontiguousarray(frames[:, :, ::-1]) if mirrored else frames), None


def fit_square(frames: np.ndarray, size: int) -> np.ndarray:
    """(n, H, W, 3) -> (n, size, size, 3): resize the longer side and pad the shorter one with black."""
    height, width = frames.shape[1:3]
    scale = size / max(height, width)
    new = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - new[0]) // 2, (size - new[1]) // 2
    square = np.zeros((len(frames), size, size, 3), np.uint8)
    for number, frame in enumerate(frames):
        resized = cv2.resize(frame, new[::-1], interpolation=cv2.INTER_LINEAR)
        square[number, top : top + new[0], left : left + new[1]] = resized
    return square


def loader(parts: VideoParts) -> DataLoader:
    """One part at a time, in order, decoded in worker processes."""
    return DataLoader(parts, batch_size=None, num_workers=num_workers())
