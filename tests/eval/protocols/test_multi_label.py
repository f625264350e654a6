"""Videos of several labels: loss, merging of views, labels of clips, and a whole run."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample

from eval import metrics
from eval.cells.cell import Cell, ResolvedCell
from eval.features.views import describe_sampling, sampler
from eval.models import MultiLabelHead
from eval.models.evaluator import KeepPredictions
from eval.protocols import get_protocol
from eval.protocols.finetune import Length, optimisation
from sigma.data.cards import CONFIG_ROOT, find_card, read_card
from sigma.data.lists import read_list, write_list
from sigma.errors import DataError
from sigma.registry import DATASETS, TRANSFORMS

NUM_CLASSES = 10


@pytest.fixture(scope='module')
def several(toy, tmp_path_factory):
    """`toy` as a data set of several labels: class c of it is c in the first half second and 9 - c in the last."""
    root = tmp_path_factory.mktemp('several') / 'toy'
    shutil.copytree(toy, root)
    annotations = {}
    for split in ('train', 'test'):
        pairs = read_list(root / f'{split}.txt')
        write_list(root / f'{split}.txt', [(video, (label, 9 - label)) for video, label in pairs])
        annotations |= {v: {'actions': [[0.0, 0.5, c], [0.9, 1.3, 9 - c]]} for v, c in pairs}  # videos have 1.28 s
    (root / 'annotations.json').write_text(json.dumps(annotations))
    card = (root / 'dataset.py').read_text()
    card = card.replace("task='action_recognition'", "task='multi_label', annotations='annotations.json'")
    card = card.replace("metric='top1'", "metric='mean_average_precision'")
    card = re.sub(r"sha256='\w+'", 'sha256=None', card)
    (root / 'dataset.py').write_text(card.replace('stride_frames=2', 'stride_frames=2, fps=24'))
    return root


@pytest.fixture(autouse=True)
def average_precision(monkeypatch):
    """The metric of such cards, where the tree has none of its own yet."""
    from sklearn.metrics import average_precision_score

    if 'mean_average_precision' not in metrics.METRICS:
        plain = metrics.Metric(
            label='mAP',
            function=lambda scores, labels: 100 * average_precision_score(labels, scores),
            per_video=None,
            chance=lambda num_classes: 0.0,
        )
        monkeypatch.setitem(metrics.METRICS, 'mean_average_precision', plain)


def resolve(dataset, recipe='multi_label_demo', encoder='random', protocol='multi_label', **cell) -> ResolvedCell:
    return ResolvedCell(Cell(protocol, str(dataset), str(recipe), encoder, 0, **cell), get_protocol(protocol))


def sample(labels) -> ActionDataSample:
    made = ActionDataSample()
    made.set_gt_label(torch.tensor(labels))
    return made


# --- head ----------------------------------------------------------------------------------------------------------


def test_loss_is_the_binary_cross_entropy_of_every_class():
    head = MultiLabelHead(3, 8)
    logits = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 3.0]])
    loss = head.loss_by_feat(logits, [sample([1.0, 1.0, 0.0]), sample([0.0, 0.0, 0.0])])['loss_cls'].item()
    p = 1 / (1 + np.exp(-logits.numpy()))
    wanted = -np.mean([np.log(p[0, 0]), np.log(p[0, 1]), np.log(1 - p[0, 2]), *np.log(1 - p[1])])
    assert loss == pytest.approx(wanted, rel=1e-6)
    # one clip, whose labels mmaction2's own head would squeeze
    assert head.loss_by_feat(logits[:1], [sample([1.0, 1.0, 0.0])])['loss_cls'].ndim == 0
    smoothed = MultiLabelHead(3, 8, label_smooth_eps=0.1)
    soft = smoothed.loss_by_feat(logits[:1], [sample([1.0, 1.0, 0.0])])['loss_cls'].item()
    y = np.array([0.95, 0.95, 0.05])
    assert soft == pytest.approx(-np.mean(y * np.log(p[0]) + (1 - y) * np.log(1 - p[0])), rel=1e-6)


def test_views_are_merged_by_the_maximum_of_sigmoid_scores():
    head = MultiLabelHead(2, 8)
    logits = torch.tensor([[0.0, -2.0], [1.0, -3.0], [-1.0, -1.0], [4.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    scored = head.predict_by_feat(logits, [sample([0.0, 1.0]), sample([1.0, 0.0])])
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    assert scored[0].pred_score.tolist() == pytest.approx([sigmoid(1.0), sigmoid(-1.0)])
    assert scored[1].pred_score.tolist() == pytest.approx([sigmoid(4.0), sigmoid(1.0)])


# --- labels and recipes --------------------------------------------------------------------------------------------


def test_training_clips_have_their_own_labels_and_test_videos_all(several):
    resolved = resolve(several)
    steps = resolved.config['train_dataloader']['dataset']['pipeline']
    assert {'type': 'sigma.MultiHot', 'num_classes': 10, 'within_clip': True} in steps
    clips = DATASETS.build(resolved.config['train_dataloader']['dataset'] | {'seed': 0})
    label = clips.entries[0]['label'][0]
    assert clips[0]['data_samples'].gt_label.nonzero().flatten().tolist() == sorted([label, 9 - label])  # 1.2 of 1.28 s
    first_half = [step | {'num_frames': 4} if step['type'] == 'sigma.SampleDense' else step for step in steps]
    # 4 frames at stride 2 last 0.24 s: within either action, or between them
    short = DATASETS.build(resolved.config['train_dataloader']['dataset'] | {'seed': 0, 'pipeline': first_half})
    seen = {tuple(short[(epoch, 0)]['data_samples'].gt_label.nonzero().flatten().tolist()) for epoch in range(40)}
    assert seen == {(label,), (9 - label,), ()}
    tested = DATASETS.build(resolved.config['test_dataloader']['dataset'])
    assert all(tested[i]['data_samples'].gt_label.sum() == 2 for i in range(20))


def test_recipes_hold_the_published_values(several):
    resolved = resolve(several, 'multi_label_r2plus1d', 'r2plus1d_18')
    length = Length(resolved.recipe, 1000)
    assert optimisation(resolved.recipe, length)['optimizer'] == {
        'type': 'SGD', 'lr': 0.0375, 'momentum': 0.9, 'nesterov': True, 'weight_decay': 1e-4,
    }  # fmt: skip
    assert (length.epochs, length.total_batch) == (57, 16)
    # 32 frames at stride 8 of 24 a second, whatever the file's rate
    assert sampler(resolved, test_mode=False)['clip_fps'] == 3
    assert describe_sampling(resolved) == {
        'name': 'seconds', 'num_frames': 32, 'stride_frames': None, 'views': '10x3', 'clip_fps': 3.0,
    }  # fmt: skip
    vit = resolve(several, 'multi_label_vit')
    assert Length(vit.recipe, 7985).total_batch == 256
    assert describe_sampling(vit)['clip_fps'] == 6
    for cell in (resolved, vit, resolve(several)):
        for loader in ('train_dataloader', 'test_dataloader'):
            for step in cell.config[loader]['dataset']['pipeline']:
                TRANSFORMS.build(step)


# --- a whole run ---------------------------------------------------------------------------------------------------


def test_a_run_keeps_labels_as_bool_and_sigmoid_scores(several, tmp_path):
    recipe = tmp_path / 'multi_label_tiny.py'
    recipe.write_text(
        f"_base_ = '{CONFIG_ROOT}/recipes/multi_label_demo.py'\nrecipe = dict(epochs=1, num_steps=None, batch_size=8, "
        "decoder='pyav', cache_megabytes=0, views=dict(num_clips=2, crops=3, resize='short_side'))\n"
    )
    resolved = resolve(several, recipe)
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert outcome.labels.dtype == bool
    assert outcome.labels.shape == outcome.scores.shape == (20, NUM_CLASSES)
    assert outcome.labels.sum(axis=1).tolist() == [2] * 20
    wanted = [label for _, label in resolved.dataset.pairs('test')]
    assert [tuple(np.flatnonzero(row)) for row in outcome.labels] == [tuple(sorted(pair)) for pair in wanted]
    assert outcome.scores.min() > 0
    assert outcome.scores.max() < 1
    assert outcome.sampling['views'] == '2x3'
    assert resolved.protocol.metric_of(resolved) == 'mean_average_precision'


def test_predictions_of_a_video_without_labels_stay_false():
    metric = KeepPredictions('mean_average_precision')
    entry = {'pred_score': torch.tensor([0.3, 0.6, 0.1]), 'decode_error': None}
    rows = ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0])
    metric.process(
        None, [entry | {'gt_label': torch.tensor(r), 'position': i, 'video': str(i)} for i, r in enumerate(rows)]
    )
    metric.compute_metrics(metric.results)
    assert metric.labels.tolist() == [[True, True, False], [False] * 3, [False, True, True]]


# --- bad input -----------------------------------------------------------------------------------------------------


def test_a_data_set_of_another_task_is_refused(toy, several):
    with pytest.raises(DataError, match='toy is a dataset of the task action_recognition; .* measures multi_label'):
        resolve(toy)
    with pytest.raises(DataError, match='task multi_label; the protocol finetune measures action_recognition'):
        resolve(several, 'finetune_demo', protocol='finetune')


@pytest.mark.parametrize('draw', [{'shots': 2}, {'examples': 20}])
def test_draws_of_clips_a_class_are_refused(several, draw):
    with pytest.raises(DataError, match='cannot be drawn per class'):
        resolve(several, **draw)


def test_the_demo_has_the_demos_steps():
    ours, demo = (read_card(find_card('recipes', n), 'recipe') for n in ('multi_label_demo', 'finetune_demo'))
    assert {k for k in demo if ours[k] != demo[k]} == {'protocol', 'label_smoothing'}
