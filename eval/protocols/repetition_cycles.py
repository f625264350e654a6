"""Repetition counting as in SEVERE: localise the previous and the next cycle, and refine their lengths.

Versions: 1 (2026-11-22). 2 (2026-11-30): as published in the features of the head (averages over time and space, read
by all four layers; before, halves of the time steps), labels (one frame longer), whole frames in counting, parts drawn
once, padding, PIL's resize, and only the annotated section of a video. What was before is `form='fractional'`.
"""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eval.cells.cell import ResolvedCell
from eval.cells.machine import num_workers
from eval.features.clips import build_encoder
from eval.models import cycles as severe
from eval.models import cycles_fractional as fractional
from eval.models.cycles import (
    CLAMP_TRAIN,
    CycleNetwork,
    Regressor,
    best_factors,
    cut_windows,
    cycle_loss,
    draw_part,
    labels_at,
)
from eval.protocols.base import Departure, Outcome, Protocol
from eval.protocols.repetition import (
    boundaries_of,
    check_counting,
    constant_answers,
    counts_of,
    section_of,
    some_readable,
)
from eval.protocols.training import discard, state_path, train_network
from eval.settings.repetition import REPETITION_CYCLES
from sigma.errors import DataError, DecodeError
from sigma.video import READERS

# What `form` of a recipe chooses: window_frames, count_cycles, draw_state, next_state, true_lengths and EXTRA_FRAMES.
FORMS = {'severe': severe, 'fractional': fractional}


class RepetitionCycles(Protocol):
    """SEVERE's head (eval/models/cycles.py) on the frames of whole sections, trained together with the encoder.

    Each epoch walks along some parts of each training video. A batch of parts is walked from start to end in at most
    `num_walk_steps` steps of Adam; each step moves on from the network's corrected answer. Windows are cut from all
    frames of the annotated section (of the video, where none is annotated), resized to the encoder's size by the longer
    side and padded with black.

    A recipe's `form` is `severe`, as published, or `fractional`, ours: lengths in fractions of frames, exact labels,
    time steps kept and split between the heads of the two cycles, new parts in every epoch.
    """

    name = 'repetition_cycles'
    version = 2
    settings = REPETITION_CYCLES
    source = 'Zhang et al. (CVPR 2020) as in SEVERE (ECCV 2022); last epoch instead of the best on the test videos'
    departures = (
        Departure(
            what='epoch that is reported',
            published='the best of 100 epochs on the test videos',
            ours='the last: the test videos choose nothing',
            effect='published errors are lower; by how much is not known',
        ),
        Departure(
            what='frames that the encoder sees',
            published='32, 16 from each of the two windows (R(2+1)D-18); nothing is published for other encoders',
            ours="the encoder's own number, half from each window (a ViT: 8 + 8); 32 are as published",
        ),
        Departure(
            what='size and normalisation of frames',
            published='112 x 112 pixels, mean and standard deviation of ImageNet; none for TCLR',
            ours="those of the encoder's card",
            effect='none for encoders whose card has these values',
        ),
        Departure(
            what='normalisation inside the encoder',
            published='BatchNorm over the 8 clips of each of 4 GPUs',
            ours='BatchNorm over all 32 clips of the batch on one device',
        ),
        Departure(
            what='frames of a video',
            published='read from image files written beforehand (JPEG)',
            ours='decoded from the video',
        ),
        Departure(
            what='a batch whose states all have no known length',
            published='its loss is NaN',
            ours='its cross-entropy is 0',
            effect='none unless it happens; a NaN would end the training',
        ),
        Departure(
            what='videos that cannot be read, test videos with one cycle',
            published='left out',
            ours='unreadable test videos are named in the record; one cycle is counted too',
            effect='none on UCFRep, whose videos have two cycles or more',
        ),
        Departure(
            what='random draws of parts and states',
            published="Python's generator, not seeded",
            ours='a generator seeded with the seed and the epoch',
            effect='another draw of the same distribution',
        ),
    )

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder and training.

        Raises:
            DataError: if the dataset cannot be counted on.
        """
        check_counting(resolved)
        return {
            'form': resolved.recipe['form'],
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
        form = FORMS[resolved.config['form']]
        network = CycleNetwork(
            build_encoder(resolved),
            clip['num_frames'],
            clip['size'],
            resolved.encoder.mean,
            resolved.encoder.std,
            halves=form is fractional,
        ).to(device)
        state = state_path(resolved, work_dir)
        failures, num_walked = self._train(resolved, network, train, state, device)

        videos, labels, counts, unscored = [], [], [], []
        wholes = [(entry, *section_of(entry), False) for entry in test]
        parts = VideoParts(wholes, clip['size'], resolved.config['decoder'])
        for entry, (frames, error) in zip(test, loader(parts)):
            if frames is None:
                unscored.append({'video': entry['video'], 'reason': error})
                continue
            regress = regressor(network.eval(), frames.to(device), settings['test_batch_size'], form)
            videos.append(entry['video'])
            labels.append(entry['label'])
            counts.append(form.count_cycles(regress, len(frames), resolved.config['min_cycles']))
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
                'head: cycle localisation, '
                + ('as SEVERE' if form is severe else 'in fractions of frames: not SEVERE'),
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

        form = FORMS[config['form']]

        def draw_parts(rng: np.random.Generator) -> Iterator[tuple]:
            for number in np.repeat(np.arange(len(known)), settings['parts_per_video']):
                entry, marks = known[number]
                begin, end, count = draw_part(rng, marks, section_of(entry), settings['longest_part'])
                mean_cycle = (end - begin + 1) / count if form is severe else float(np.mean(np.diff(marks)))
                flipped = form is fractional and config['flip'] and rng.random() < 0.5
                yield (entry, begin, end, flipped), marks, mean_cycle

        once = list(draw_parts(np.random.default_rng(resolved.cell.seed))) if form is severe else []

        def losses(epoch: int) -> Iterator[Tensor]:
            rng, _ = _draws(resolved.cell.seed, epoch)
            if not config['finetune']:
                network.encoder.eval()
            if form is severe:
                jobs = [((*job[:3], config['flip'] and rng.random() < 0.5), *rest) for job, *rest in once]
            else:
                jobs = list(draw_parts(rng))
            jobs = [jobs[i] for i in rng.permutation(len(jobs))]
            clips = loader(VideoParts([job for job, *_ in jobs], config['clip']['size'], config['decoder']))
            batch = []
            for number, ((job, marks, mean_cycle), (frames, error)) in enumerate(zip(jobs, clips), 1):
                if frames is None:
                    memory['failures'] = sorted({error, *memory['failures']})
                else:
                    batch.append((frames.to(device), form.true_lengths(marks, len(frames), job[1]), mean_cycle))
                if batch and (len(batch) == settings['batch_size'] or number == len(jobs)):
                    yield from walk(network, batch, rng, settings['num_walk_steps'], form)
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


def walk(
    network: CycleNetwork, batch: list[tuple], rng: np.random.Generator, num_steps: int, form: ModuleType = severe
) -> Iterator[Tensor]:
    """Walk along a batch of parts and yield the loss of each step. The caller takes an optimizer step after each.

    Every part has a state. Each step trains on all states, corrects them by the network's answer, and moves them on. A
    state whose cycle becomes too short, or that leaves its part, is drawn again. The walk ends when every state has
    left its part once.

    Args:
        network: In training mode.
        batch: For each part: frames (n, size, size, 3) uint8, (next, previous) from `true_lengths` of the form, and the
            frames per cycle that stand for a first cycle without a known length.
        rng: Draws the states.
        num_steps: Most steps.
        form: One of `FORMS`.
    """
    frames, lengths, means = zip(*batch)
    first = [known[0][0] if np.isfinite(known[0][0]) else mean for known, mean in zip(lengths, means)]
    states = [form.draw_state(rng, cycle, len(clip), mean) for cycle, clip, mean in zip(first, frames, means)]
    left = [False] * len(batch)
    for _ in range(num_steps):
        places = form.window_frames(np.stack(states), network.per_window)
        pairs = [cut_windows(clip, place[None]) for clip, place in zip(frames, places)]
        windows, inside = (torch.cat(parts) for parts in zip(*pairs))
        logits, corrections = network(windows, inside)
        labels = labels_at(np.stack(states), lengths, form.EXTRA_FRAMES)
        classes, offsets = (torch.from_numpy(label).to(logits.device) for label in labels)
        yield cycle_loss(logits, corrections, classes, offsets.to(corrections))
        right = logits.detach().softmax(dim=2)[:, :, 1].cpu().numpy()
        factors = best_factors(right, corrections.detach().cpu().numpy(), CLAMP_TRAIN)
        for number, clip in enumerate(frames):
            moved, gone = form.next_state(rng, states[number], factors[number], len(clip))
            left[number] |= gone
            if moved is None:
                moved = form.draw_state(rng, first[number], len(clip), means[number])
            states[number] = moved
        if all(left):
            break


def regressor(network: CycleNetwork, frames: Tensor, batch_size: int, form: ModuleType = severe) -> Regressor:
    """The network on the states of one video, in the form that `count_cycles` takes.

    Args:
        network: In eval mode.
        frames: (n, size, size, 3) uint8, on the network's device.
        batch_size: Most states per forward pass.
        form: One of `FORMS`.
    """

    @torch.no_grad()
    def regress(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answers, places = [], form.window_frames(states, network.per_window)
        for begin in range(0, len(states), batch_size):
            logits, corrections = network(*cut_windows(frames, places[begin : begin + batch_size]))
            answers.append((logits.softmax(dim=2)[:, :, 1], corrections))
        right, corrections = (torch.cat(part).double().cpu().numpy() for part in zip(*answers))
        return right, corrections

    return regress


class VideoParts(Dataset):
    """Frames of parts of videos: (frames (n, size, size, 3) uint8, None), or (None, reason) if decoding fails.

    Args:
        jobs: (entry of a card, first frame, last frame, whether to mirror).
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
            frames = self.reader(entry['filename']).frames(np.arange(begin, end + 1))
        except DecodeError as error:
            return None, str(error)
        frames = fit_square(frames, self.size)
        return torch.from_numpy(np.ascontiguousarray(frames[:, :, ::-1]) if mirrored else frames), None


def fit_square(frames: np.ndarray, size: int) -> np.ndarray:
    """(n, H, W, 3) -> (n, size, size, 3): resize the longer side and pad the shorter one with black.

    As published: PIL's bilinear filter, which averages where it shrinks; the shorter side is rounded down.
    """
    height, width = frames.shape[1:3]
    longer = max(height, width)
    new = max(1, size * height // longer), max(1, size * width // longer)
    top, left = (size - new[0]) // 2, (size - new[1]) // 2
    square = np.zeros((len(frames), size, size, 3), np.uint8)
    for number, frame in enumerate(frames):
        resized = np.asarray(Image.fromarray(frame).resize(new[::-1], Image.Resampling.BILINEAR))
        square[number, top : top + new[0], left : left + new[1]] = resized
    return square


def loader(parts: VideoParts) -> DataLoader:
    """One part at a time, in order, decoded in worker processes."""
    return DataLoader(parts, batch_size=None, num_workers=num_workers())
