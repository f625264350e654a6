"""Makes up records with predictions, for tests. Run as a script, it writes the committed ones next to itself.

The numbers are invented: a video has a difficulty that all encoders share, an encoder has a skill.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import numpy as np

from eval.metrics import read_predictions, score_predictions, write_predictions
from eval.metrics.classification import top_k_accuracy
from eval.records import Record, identity_hash, predictions_path, record_path, write_record
from sigma.files import sha256_file

PRETRAINED = ('videomae_toy', 'sigma_mlp_toy')


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_record(
    encoder: str = 'random',
    protocol: str = 'finetune',
    dataset: str = 'toy',
    subset: str | None = None,
    seed: int = 0,
    num_listed: int = 100,
    num_classes: int = 10,
    num_unscored: int = 0,
    metric: str = 'top1',
    value: float = 0.0,
) -> Record:
    """A record that fits the schema, not yet written; `add_record` gives it predictions and a score."""
    name = (
        '_'.join(part for part in (encoder, protocol, dataset, subset and subset.replace('_', '')) if part)
        + f'_s{seed}'
    )
    weights = digest(encoder) if encoder in PRETRAINED else None
    identity = {
        'protocol': [protocol, 1],
        'dataset': [dataset, digest(dataset)],
        'recipe': 'default',
        'encoder': [encoder, weights],
        'subset': subset,
        'seed': seed,
        'config': digest(name),
    }
    checkpoint = f'work_dirs/{encoder}/last.safetensors' if weights else None
    return Record(
        cell={'id': identity_hash(identity), 'name': name},
        identity=identity,
        score={'metric': metric, 'value': value, 'unit': 'percent', 'higher_is_better': True, 'others': {}},
        dataset={
            'name': dataset,
            'split': 'test',
            'list_sha256': digest(f'{dataset} test'),
            'num_classes': num_classes,
            'num_listed': num_listed,
            'num_scored': num_listed - num_unscored,
            'unscored': [
                {'video': f'test/{i:04d}.mp4', 'reason': 'moov atom not found'}
                for i in range(num_listed - num_unscored, num_listed)
            ],
            'train_list_sha256': digest(f'{dataset} train'),
            'num_train': 50 if subset else 400,
            'num_train_skipped': 0,
        },
        subset={'name': subset, 'seed': seed, 'sha256': digest(f'{subset} {seed}')} if subset else None,
        encoder={
            'name': encoder,
            'checkpoint': checkpoint,
            'sha256': weights,
            'pretraining_data': 'toy' if weights else None,
            'source': 'made up for tests',
        },
        protocol={'name': protocol, 'version': 1, 'evaluator_version': 1, 'source': 'made up for tests'},
        recipe={'name': 'default'},
        config_sha256=digest(name),
        seed=seed,
        selection={'epoch': 20, 'how': 'last'},
        run={
            'num_processes': 1,
            'batch_size': 32,
            'device': 'cpu',
            'started': '2026-01-01T00:00:00+00:00',
            'seconds': 12.5,
            'commit': None,
            'clean': None,
            'packages': {'torch': '2.0.0'},
        },
        notes=['made up for tests, not a measurement'],
    )


def add_record(root: Path, accuracy: float = 50.0, changes: dict | None = None, **kinds) -> Record:
    """Writes a record of about that accuracy (percent) under `root`, with predictions, and returns it.

    Args:
        root: Work directory.
        accuracy: What the encoder would reach on endless videos.
        changes: {dotted key: value} to set before writing, such as {'protocol.version': 2}.
        kinds: Arguments of `make_record`.
    """
    record = make_record(**kinds)
    num, num_classes = record.dataset['num_scored'], record.dataset['num_classes']
    shared = np.random.RandomState(int(digest(record.dataset['name'])[:6], 16))
    own = np.random.RandomState(int(digest(record.name)[:6], 16))
    difficulty = shared.permutation(num) / num  # (N,) in [0, 1)
    correct = 0.7 * difficulty + 0.3 * own.permutation(num) / num < accuracy / 100
    label = np.arange(num) % num_classes
    scores = own.rand(num, num_classes).round(2)
    wrong = (label + 1 + own.randint(num_classes - 1, size=num)) % num_classes
    scores[np.arange(num), np.where(correct, label, wrong)] = 1.5
    video = [f'test/{i:04d}.mp4' for i in range(num)]
    for key, value in copy.deepcopy(changes or {}).items():
        section, _, leaf = key.partition('.')
        if leaf:
            getattr(record, section)[leaf] = value
        else:
            setattr(record, section, value)
    path = predictions_path(
        record_path(root, record.encoder['name'], record.protocol['name'], record.protocol['version'], record.name)
    )
    write_predictions(path, video, label, scores)
    record.predictions_sha256 = sha256_file(path)
    if not (changes or {}).get('score.value'):
        record.score['value'] = score_predictions(read_predictions(path), record.score['metric'])
        record.score['others'] = {'top5': top_k_accuracy(scores, label, k=5)}
    write_record(record, root)
    return record


def build_committed(root: Path) -> None:
    """The eight records next to this file: two columns of finetune, one of frozen_linear; a clip unscored."""
    few = {'protocol': 'finetune', 'dataset': 'toy', 'subset': '5_a_class'}
    for seed in (0, 1):
        add_record(root, encoder='random', accuracy=31 + 4 * seed, seed=seed, **few)
        add_record(root, encoder='sigma_mlp_toy', accuracy=52 - 3 * seed, seed=seed, **few)
    for encoder, accuracy in [('random', 44), ('videomae_toy', 39), ('sigma_mlp_toy', 47)]:
        add_record(root, encoder=encoder, accuracy=accuracy, protocol='frozen_linear', dataset='toy')
    add_record(root, encoder='sigma_mlp_toy', accuracy=71, protocol='finetune', dataset='toy_shift', num_unscored=1)


if __name__ == '__main__':
    build_committed(Path(__file__).parents[1])
