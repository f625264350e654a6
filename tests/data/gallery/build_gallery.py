"""Makes up the records of docs/gallery.md, from fixed seeds, and packs them into records.tar.xz beside this file.

    python tests/data/gallery/build_gallery.py

Twenty encoders over the eight columns of SEVERE, a few-shot ladder, frozen features, a sweep over corruptions and
temporal localization. The numbers are invented: a video has a difficulty that all encoders share, an encoder has a
skill that grows with its size. Some cells are missing on purpose, and one name is very long.
"""

from __future__ import annotations

import io
import lzma
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from eval.metrics import METRICS, other_metrics, score_predictions, write_predictions
from eval.metrics.localization import THUMOS_TIOU
from eval.metrics.predictions import Predictions
from eval.records import Record, identity_hash, predictions_path, record_path, write_record
from sigma.files import sha256_file, write_atomic

sys.path.insert(0, str(Path(__file__).parents[1] / 'records'))
from build_records import digest, make_record  # noqa: E402

ARCHIVE = Path(__file__).with_name('records.tar.xz')
SIZES = {'s': (57e9, 0.0), 'b': (180e9, 0.07), 'l': (598e9, 0.13), 'h': (1190e9, 0.15)}  # operations, skill
FAMILIES = {
    'pixel': (1.0, 0.0),
    'token': (1.6, 0.05),
    'track': (2.4, 0.08),
    'image': (0.7, -0.03),
    'motion': (1.2, 0.02),
}
LONG = 'motion_l_from_a_sweep_of_learning_rates_and_mask_ratios_number_01234_second_half'
# protocol, dataset, subset, classes, metric, share right of an encoder without and with all skill, videos
COLUMNS = (
    ('finetune', 'ssv2', None, 174, 'top1', 0.25, 0.75, 160),
    ('finetune', 'gym99', None, 99, 'top1', 0.45, 0.95, 160),
    ('finetune', 'ucf101', '1000-examples', 101, 'top1', 0.10, 0.70, 160),
    ('finetune', 'gym99', '1000-examples', 99, 'top1', 0.08, 0.50, 160),
    ('finetune', 'gym_fx_s1', None, 11, 'mean_class', 0.15, 0.65, 110),
    ('finetune', 'gym_ub_s1', None, 15, 'mean_class', 0.25, 0.90, 120),
    ('repetition', 'ucfrep', None, 1, 'count_error', 0.50, 0.10, 80),
    ('multi_label', 'charades', None, 157, 'mean_average_precision', 0.10, 0.40, 60),
)
LADDER = (
    ('5-a-class', 5, 0.05, 0.55),
    ('10-a-class', 10, 0.10, 0.70),
    ('20-a-class', 20, 0.15, 0.80),
    (None, 94, 0.45, 0.97),
)
FROZEN = (('frozen_linear', 'ssv2', 174, 0.03, 0.35), ('frozen_linear', 'gym99', 99, 0.15, 0.60))
NUM_TRAIN = {'ssv2': 168913, 'gym99': 20484, 'gym_fx_s1': 1500, 'gym_ub_s1': 3500, 'ucfrep': 421, 'charades': 7985}
NUM_TRAIN |= {'ucf101': 9537}
CORRUPTIONS = (
    *('gaussian_noise', 'shot_noise', 'impulse_noise', 'motion_blur', 'defocus_blur', 'zoom_blur', 'fog', 'contrast'),
    *('jpeg_compression', 'h264_crf', 'packet_loss', 'jumble'),
)
SEVERITIES = (1, 2, 3, 4, 5)
MISSING = {('image_s', 'repetition'), ('track_h', 'localization'), ('pixel_h', 'multi_label')}


def encoders() -> dict[str, tuple[float, float, float]]:
    """Name -> (skill from 0 to 1, operations of a forward pass, operations of pretraining); twenty, random first."""
    found = {'random': (0.0, SIZES['b'][0], 0.0)}
    for size, (flops, of_size) in SIZES.items():
        for family, (cost, of_family) in FAMILIES.items():
            name = f'{family}_{size}'
            own = (int(digest(name)[:4], 16) / 65535 - 0.5) * 0.1
            skill = 0.55 + 2.0 * of_size + 1.5 * of_family + own
            found[LONG if name == 'motion_l' else name] = (min(skill, 1.0), flops, cost * flops * 240_000 * 800 / 3)
    found.pop('motion_h')
    return found


def main() -> None:
    """Builds all records in a temporary folder and packs them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in encoders():
            build_encoder(Path(folder), name)
        print(f'{write_atomic(ARCHIVE, packed(Path(folder)))}: {ARCHIVE.stat().st_size / 1e6:.2f} MB')


def packed(folder: Path) -> bytes:
    """The files of a folder as .tar.xz; the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as archive:
        for path in sorted((p for p in folder.rglob('*') if p.is_file()), key=lambda p: (p.suffix, p)):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size = path.stat().st_size
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return lzma.compress(buffer.getvalue(), preset=9)


def unpack(folder: Path) -> Path:
    """Unpacks the committed records into a folder, which is then a work directory; returns it."""
    with tarfile.open(ARCHIVE, 'r:xz') as archive:
        archive.extractall(folder, **({'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}))  # from 3.11.4 on
    return folder


def build_encoder(root: Path, encoder: str) -> None:
    """All records of one encoder."""
    skill, *_ = encoders()[encoder]
    for seed in (0, 1):
        for protocol, dataset, subset, classes, metric, low, high, videos in COLUMNS:
            if (encoder, protocol) in MISSING:
                continue
            record = make_record(encoder, protocol, dataset, subset, seed, videos, classes, metric=metric)
            record.dataset['num_train'] = 1000 if subset else NUM_TRAIN[dataset]
            level = low + (high - low) * _luck(skill, record.name, dataset)
            if metric == 'count_error':
                record.score.update(unit='ratio', higher_is_better=False)
                made = _counts(record, level)
            elif metric == 'mean_average_precision':
                made = _several(record, level)
            else:
                made = _classes(record, level)
            write(root, record, made)
        for subset, shots, low, high in LADDER:
            record = make_record(encoder, 'finetune', 'ucf101', subset, seed, 160, 101)
            record.dataset['num_train'] = 101 * shots
            write(root, record, _classes(record, low + (high - low) * _luck(skill, record.name, 'ucf101')))
        sweep(root, encoder, seed, skill)
        if (encoder, 'localization') not in MISSING:
            localize(root, encoder, seed, skill)
    for protocol, dataset, classes, low, high in FROZEN:
        record = make_record(encoder, protocol, dataset, None, 0, 160, classes)
        write(root, record, _classes(record, low + (high - low) * _luck(skill, record.name, dataset)))


def write(root: Path, record: Record, made: Predictions | None) -> None:
    """Writes a record, with its predictions and the scores they give."""
    _, flops, pretraining = encoders()[record.encoder['name']]
    record.encoder |= {'flops': flops, 'pretraining_flops': pretraining or None}
    if made is not None:
        name = record.encoder['name'], record.protocol['name']
        path = write_predictions(predictions_path(record_path(root, *name, 1, record.name)), *made)
        record.predictions_sha256 = sha256_file(path)
        primary = record.score['metric']
        record.score['value'] = score_predictions(made, primary)
        known = other_metrics(primary, record.dataset['num_classes']) if primary in ('top1', 'mean_class') else ()
        record.score['others'] = {name: METRICS[name].function(made.scores, made.label) for name in known}
    write_record(record, root)


def _luck(skill: float, cell: str, dataset: str) -> float:
    """The skill of an encoder in one cell: each encoder likes some datasets more, and seeds differ a little."""
    taste = (int(digest(cell.split('_s')[0] + dataset)[:4], 16) / 65535 - 0.5) * 0.16
    seed = (int(digest(cell)[:4], 16) / 65535 - 0.5) * 0.05
    return float(np.clip(skill + (taste + seed) * (skill > 0), 0, 1))


def _names(number: int) -> np.ndarray:
    return np.array([f'{i:04d}.mp4' for i in range(number)])


def _right(name: str, dataset: str, number: int, share: float) -> np.ndarray:
    """(N,) which videos are right: mostly the easy ones, which all encoders share."""
    shared = np.random.RandomState(int(digest(dataset)[:6], 16)).permutation(number) / number
    own = np.random.RandomState(int(digest(name)[:6], 16)).permutation(number) / number
    return 0.7 * shared + 0.3 * own < share


def _classes(record: Record, share: float) -> Predictions:
    number, classes = record.dataset['num_listed'], record.dataset['num_classes']
    label = np.arange(number) % classes
    right = _right(record.name, record.dataset['name'], number, share)
    scores = np.zeros((number, classes), np.float32)
    scores[np.arange(number), np.where(right, label, (label + 1 + np.arange(number) % 3) % classes)] = 1
    return Predictions(_names(number), label, scores)


def _several(record: Record, share: float) -> Predictions:
    number, classes = record.dataset['num_listed'], record.dataset['num_classes']
    shared = np.random.RandomState(7)
    label = shared.rand(number, classes) < 0.06
    own = np.random.RandomState(int(digest(record.name)[:6], 16))
    scores = own.randint(0, 8, (number, classes)) + (label & (own.rand(number, classes) < 1.6 * share)) * 4
    return Predictions(_names(number), label, scores.astype(np.float32))


def _counts(record: Record, error: float) -> Predictions:
    number = record.dataset['num_listed']
    label = 3 + np.arange(number) % 9
    own = np.random.RandomState(int(digest(record.name)[:6], 16))
    off = error * 2 * own.rand(number) * np.where(own.rand(number) < 0.5, -1, 1)
    return Predictions(_names(number), label, np.round(label * (1 + off), 1).astype(np.float32)[:, None])


def sweep(root: Path, encoder: str, seed: int, skill: float) -> None:
    """A sweep over corruptions: what was right in each video and column."""
    number = 100
    record = make_record(encoder, 'robustness', 'ucf101', None, seed, number, 101, metric='mpc')
    columns = ['clean', *(f'{name}-{severity}' for name in CORRUPTIONS for severity in SEVERITIES)]
    config = {'columns': columns, 'severities': list(SEVERITIES), 'unavailable': {}}
    record.identity['config'] = config | {'corruptions': {name: list(SEVERITIES) for name in CORRUPTIONS}}
    record.cell['id'] = identity_hash(record.identity)
    clean = 0.45 + 0.5 * _luck(skill, record.name, 'ucf101')
    shares = [clean if encoder != 'random' else 0.1]
    for name in CORRUPTIONS:
        slope = 0.05 + 0.12 * int(digest(name)[:4], 16) / 65535 * (1.3 - skill)
        shares += [max(0.02, shares[0] * (1 - slope * severity)) for severity in SEVERITIES]
    right = np.stack([_right(f'{record.name}{c}', 'sweep', number, s) for c, s in zip(columns, shares)], axis=1)
    counts = np.tile(np.array([name != 'clean' for name in columns]), (number, 1))
    write(root, record, Predictions(_names(number), counts, right.astype(np.float32)))


def localize(root: Path, encoder: str, seed: int, skill: float) -> None:
    """Temporal localization, without predictions: mAP at each temporal IoU."""
    record = make_record(encoder, 'localization', 'thumos14', None, seed, 211, 20, metric='map_30_70')
    level = 25 + 60 * _luck(skill, record.name, 'thumos14')
    found = {f'map_{round(100 * tiou)}': level * (1.25 - 1.1 * tiou**1.5) for tiou in THUMOS_TIOU}
    record.score['value'] = float(np.mean(list(found.values())))
    record.score['others'] = {**found, 'map_95': 0.1 * level}
    write(root, record, None)


if __name__ == '__main__':
    main()
