"""The published recipes against OpenTAD's settings one by one, and what training and detection do with them.

tests/data/peers/opentad_settings.json has the value of each setting in OpenTAD with file and line; SOURCES.md says how
it was read. The case numbers (L2, L5) are those of the comparison of which each is a sample.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.features.dense import DenseFeatures
from eval.metrics.localization import ACTIVITYNET_TIOU, THUMOS_TIOU
from eval.models.actionformer import ActionFormer
from eval.models.segments import suppress
from eval.models.truth import Truth
from eval.protocols import get_protocol, localization
from eval.protocols.localization import FeatureSequence, Grid, cut_out, detect, fit_actionformer, published_rate
from eval.protocols.localization_bmn import LocalizationBMN
from sigma.data.cards import CONFIG_ROOT, load_dataset_card, read_card

PEERS = Path(__file__).parents[2] / 'data' / 'peers'
OPENTAD = json.loads((PEERS / 'opentad_settings.json').read_text())
RECIPES = {'thumos14': 'localization_thumos14', 'activitynet': 'localization_external_activitynet'}
TIOU = {'map_30_70': list(THUMOS_TIOU), 'map_50_95': list(ACTIVITYNET_TIOU)}


def recipe(name: str) -> dict:
    return read_card(CONFIG_ROOT / 'recipes' / f'{name}.py', 'recipe')


def head_of(name: str) -> ActionFormer:
    """The head that a recipe builds, for 768 features."""
    torch.manual_seed(0)
    return ActionFormer(768, 1 if recipe(name)['protocol'].endswith('external') else 20, **recipe(name)['head'])


def as_opentad(dataset: str) -> dict:
    """Every setting of OpenTAD as our recipe, head, dataset card and code have it."""
    name = RECIPES[dataset]
    own, card, head = recipe(name), load_dataset_card(dataset).info, head_of(name)
    settings, training, after = own['head'], own['training'], own['suppression']
    points = head.points(2 ** (settings['num_levels'] - 1))
    levels = [points[points[:, 3] == stride][0].tolist() for stride in points[:, 3].unique()]
    last = [convs.out.conv.in_channels for convs in (head.classifier, head.regressor)]
    windows = [block.window for block in (head.stem[0], *head.branch)]
    clip = card['sampling']
    optimiser = localization._groups(head, training['weight_decay'])
    found = {
        'model.projection.out_channels': head.embed[1].conv.out_channels,
        'model.projection.arch': [len(head.embed), len(head.stem), len(head.branch)],
        'model.projection.conv_cfg.kernel_size': head.embed[0].conv.kernel_size[0],
        'model.projection.conv_cfg.proj_pdrop': 0.0 if not _dropouts(head.stem) else None,
        'model.projection.attn_cfg.n_head': head.stem[0].num_heads,
        'model.projection.attn_cfg.n_mha_win_size': windows if len(set(windows)) > 1 else windows[0],
        'model.projection.path_pdrop': head.branch[0].drop_path,
        'model.projection.use_abs_pe': head.absolute_positions,
        'model.projection.max_seq_len': own['longest'],
        'model.projection.input_pdrop': head.dropout.p,
        'model.neck.out_channels': head.norms[0].normalized_shape[0],
        'model.neck.num_levels': len(head.norms),
        'model.rpn_head.num_classes': head.num_classes,
        'model.rpn_head.feat_channels': last[0] if last[0] == last[1] else None,
        'model.rpn_head.num_convs': len(head.classifier.convs),
        'model.rpn_head.cls_prior_prob': pytest.approx(head.classifier.out.conv.bias.sigmoid()[0].item()),
        'model.rpn_head.prior_generator.strides': [row[3] for row in levels],
        'model.rpn_head.prior_generator.regression_range': [[row[1], min(row[2], 10000)] for row in levels],
        'model.rpn_head.loss_normalizer': head.num_positives.item(),
        'model.rpn_head.loss_normalizer_momentum': pytest.approx(_momentum(head)),
        'model.rpn_head.center_sample_radius': head.centre_radius,
        'model.rpn_head.label_smoothing': head.label_smoothing,
        'model.rpn_head.loss_weight': head.regression_weight,
        'solver.train.batch_size': training['batch_size'],
        'solver.clip_grad_norm': training['clip_norm'],
        'solver.ema': training['ema_decay'] is not None,
        'optimizer.type': 'AdamW',
        'optimizer.lr': training['lr'],
        'optimizer.weight_decay': optimiser[0]['weight_decay'],
        'optimizer.paramwise': optimiser[1]['weight_decay'] == 0,
        'scheduler.type': 'LinearWarmupCosineAnnealingLR',
        'scheduler.warmup_epoch': training['warmup_epochs'],
        'scheduler.max_epoch': training['epochs'],
        'post_processing.nms.use_soft_nms': True,
        'post_processing.nms.sigma': after['sigma'],
        'post_processing.nms.max_seg_num': after['most'],
        'post_processing.nms.min_score': after['least_score'],
        'post_processing.nms.multiclass': after['class_wise'],
        # with multiclass the published code never votes, whatever the threshold says (L1)
        'post_processing.nms.voting_thresh': 0.7 if after['class_wise'] and 'voting' not in after else after['voting'],
        'post_processing.external_cls.topk': own.get('external', {}).get('top'),
        'dataset.train.type': 'ThumosPaddingDataset' if own['length'] is None else 'AnetResizeDataset',
        'dataset.train.filter_gt': own['targets']['least_share'] > 0,
        'dataset.train.feature_stride': clip['step_frames'],
        'dataset.train.sample_stride': 1,
        'dataset.train.offset_frames': clip['num_frames'] * clip['stride_frames'] / 2,
        'dataset.train.resize_length': own['length'],
        'dataset.train.class_agnostic': get_protocol(own['protocol']).external,
        'evaluation.tiou_thresholds': TIOU[card['metric']],
        'RandomTrunc.trunc_len': own['longest'],
        'RandomTrunc.trunc_thresh': 0.5,  # test_L2_a_crop_keeps_segments_of_which_half_is_inside
        'RandomTrunc.crop_ratio': list(training['crop']),
        'RandomTrunc.max_num_trials': localization.TRIALS,
        # with one class the published code takes every point
        'post_processing.pre_nms_thresh': after['least_before']
        if head.num_classes > 1
        else after['least_before'] + 1e-3,
        'post_processing.pre_nms_topk': after['before'],
        'ModelEma.decay': training['ema_decay'],
        'train_loader.drop_last': training['drop_last'],
        'LinearWarmupCosineAnnealingLR.eta_min': localization.LEAST_RATE,
        'LinearWarmupCosineAnnealingLR.warmup_start_lr': published_rate(0, 10, 100, 0) * training['lr'],
        'AnetResizeDataset.get_gt.thresh': own['targets']['least_share'],
        'ConvModule.norm.eps': head.embed_norm[0].eps,
        'FPNIdentity.norm.eps': head.norms[0].eps,
        'TransformerBlock.ln1.eps': head.stem[0].norm1.eps,
    }
    assert after.get('shortest_steps') is None  # OpenTAD leaves out no segment for its length
    assert own['targets']['empty_videos'] is False
    assert own['targets']['whole_frames'] is (dataset == 'thumos14')
    return found


def _dropouts(module: torch.nn.Module) -> list:
    return [part for part in module.modules() if isinstance(part, torch.nn.Dropout) and part.p]


def _momentum(head: ActionFormer) -> float:
    """Share of the old divisor that stays after a step without a positive point."""
    before = head.num_positives.item()
    features, mask = torch.zeros(1, 768, head.divisor), torch.ones(1, head.divisor, dtype=torch.bool)
    head.train().loss(features, mask, [torch.zeros(0, 3)])
    after = head.num_positives.item()
    head.num_positives.fill_(before)
    return (after - 0.1 * 1) / before


@pytest.mark.parametrize('dataset', ['thumos14', 'activitynet'])
def test_L2_every_setting_is_opentads(dataset):
    """The external recipe is ActivityNet's published one; the class-aware one differs where it says (below)."""
    ours = as_opentad(dataset)
    left = {
        'workflow.val_start_epoch',  # the last epoch is scored, a declared departure
    }
    for key, row in OPENTAD[dataset].items():
        if key not in left:
            assert ours[key] == row['value'], f'{key}, {row["where"]}'
    declared = [departure.what for departure in get_protocol(recipe(RECIPES[dataset])['protocol']).departures]
    assert 'Epoch that is scored' in declared


def test_L2_the_class_aware_recipe_of_activitynet_differs_where_it_says():
    own, published = recipe('localization_activitynet'), recipe('localization_external_activitynet')
    assert {key for key in own if own[key] != published.get(key)} == {'protocol', 'suppression', 'departures'}
    assert set(own['suppression']) == {'sigma', 'class_wise', 'most', 'before', 'least_before', 'least_score'}
    assert [departure['what'] for departure in own['departures']] == ['Who names the classes']
    assert published['departures'] == []


def test_L1_no_published_recipe_votes_class_by_class():
    for name in ('localization_thumos14', 'localization_activitynet', 'localization_external_activitynet'):
        assert 'class_wise_voting' not in recipe(name)['suppression']
        suppress(np.array([[0.0, 10, 0, 0.9]]), recipe(name)['suppression'])  # and none asks for what is refused
    assert recipe('localization_demo')['suppression']['class_wise_voting'] == 0.7


@pytest.mark.parametrize('dataset', ['thumos14', 'activitynet'])
def test_L2_the_learning_rate_is_opentads_at_every_step(dataset):
    theirs = np.load(PEERS / 'localization_schedule.npz')
    training, num_batches = recipe(RECIPES[dataset])['training'], int(theirs[f'{dataset}_batches'])
    warmup, total = training['warmup_epochs'] * num_batches, training['epochs'] * num_batches
    lr = training['lr']
    rates = [lr * published_rate(step, warmup, total, localization.LEAST_RATE / lr) for step in range(total)]
    assert rates == pytest.approx(theirs[dataset].tolist(), rel=1e-6, abs=1e-12)


def test_L2_a_training_follows_the_schedule_and_drops_the_last_batch(monkeypatch):
    """Five videos in batches of two: two steps an epoch; with the last batch, three."""
    seen = {}
    monkeypatch.setattr(
        localization,
        'train_network',
        lambda head, optimizer, losses, epochs, **rest: _taken(seen, losses, rest, epochs),
    )
    settings = {'epochs': 3, 'warmup_epochs': 1, 'batch_size': 2, 'lr': 1e-3, 'weight_decay': 0.0, 'ema_decay': 0.9}
    settings |= {'clip_norm': 1.0, 'crop': (0.9, 1.0)}
    sequences = [FeatureSequence(str(n), torch.randn(6, 16), Grid(0, 1), 16.0) for n in range(5)]
    for drop_last, steps in ((True, 2), (False, 3)):
        head = ActionFormer(6, 2, width=8, num_heads=1, num_levels=2, num_stem=1, window=3)
        config = {'longest': None, 'training': settings | {'drop_last': drop_last}}
        fit_actionformer(head, sequences, [torch.tensor([[2.0, 9.0, 1.0]])] * 5, config, seed=0)
        assert seen['steps'] == steps
        assert seen['rates'][0] == 0
        assert seen['rates'][steps - 1] == seen['rates'][steps] == 1
        assert seen['rates'][-1] < 1


def _taken(seen, losses, rest, epochs):
    seen['steps'] = len(list(losses(0)))
    seen['rates'] = [rest['rate'](step) for step in range(epochs * seen['steps'])]
    return torch.nn.Linear(1, 1), []


def test_L2_targets_are_opentads():
    """THUMOS-14: ends rounded down to frames. ActivityNet: no segment of 1 % or less, no video without a segment."""
    one = DenseFeatures('v.mp4', np.zeros((4, 2), np.float16), 1000, 25.0)  # 40 s
    protocol = get_protocol('localization')
    rows = np.array([[1.03, 2.07, 0], [5.0, 5.32, 1], [39.0, 42.0, 1]])

    def lesson(name, truth=rows):
        return protocol._lesson(one, Truth({'v.mp4': truth}), recipe(name))

    assert lesson('localization_thumos14').tolist() == [[1.0, 2.04, 0], [5.0, 5.32, 1], [39.0, 42.0, 1]]
    assert lesson('localization_activitynet').tolist() == [[1.03, 2.07, 0], [39.0, 42.0, 1]]
    assert lesson('localization_activitynet', rows[1:2]) is None
    assert lesson('localization_thumos14', rows[:0]) is None
    assert lesson('localization_demo', rows[:0]).shape == (0, 3)
    bmn = get_protocol('localization_bmn')
    assert isinstance(bmn, LocalizationBMN)
    assert bmn._lesson(one, Truth({'v.mp4': rows}), {})[2].tolist() == [39.0, 40.0, 1]
    assert bmn._lesson(one, Truth({'v.mp4': np.array([[41.0, 42, 0]])}), {}) is None


def test_L2_a_crop_keeps_segments_of_which_half_is_inside():
    torch.manual_seed(0)
    values, rows = torch.arange(100.0).expand(6, 100), torch.tensor([[-8.0, 30.0, 1.0]])
    for _ in range(20):
        part, kept = cut_out(values, rows, 100, (0.3, 0.4))
        first, length = part[0, 0].item(), part.shape[1]
        inside = max(0, min(30, first + length) - max(-8, first))
        assert (len(kept) == 1) == (inside >= 19)
    assert cut_out(values, rows, 100, (1.0, 1.0))[1] is rows  # a whole video keeps its segments as they are


class Says:
    """A head that finds given segments, in steps."""

    def __init__(self, rows: list, divisor: int = 1) -> None:
        self.rows, self.divisor = torch.tensor(rows), divisor
        self.asked: tuple = ()

    def parameters(self):
        return iter([torch.zeros(1)])

    def detect(self, features, mask, most, least_score):
        self.asked = (most, least_score)
        return [self.rows]


def test_L5_detections_are_clipped_to_the_video_after_suppression():
    """(-20, 10, .9) (-5, 10, .8) in a video that begins at 0: the second keeps .485, not .108."""
    head = Says([[-20.0, 10, 0, 0.9], [-5, 10, 0, 0.8]])
    sequence = FeatureSequence('v', torch.zeros(4, 8), Grid(0.0, 1.0), 8.0)
    found = detect(head, sequence, {'suppression': {'sigma': 0.5, 'most': 10, 'before': 50}})
    assert found[:, :2].tolist() == [[0, 8], [0, 8]]
    assert found[:, 3].tolist() == pytest.approx([0.9, 0.8 * math.exp(-0.5 / 1)], abs=1e-6)
    assert found[1, 3] == pytest.approx(0.485, abs=5e-4)
    assert head.asked == (50, 1e-3)


def test_L2_the_duration_threshold_is_in_steps_and_off_as_in_opentad():
    """Two segments of 0 and of 0.5 steps of 4 s."""
    head = Says([[3.0, 3, 0, 0.9], [5, 5.5, 0, 0.8]])
    sequence = FeatureSequence('v', torch.zeros(4, 8), Grid(2.0, 4.0), 40.0)
    plain = {'sigma': 0.5, 'most': 10, 'before': 50}
    assert detect(head, sequence, {'suppression': plain})[:, :2].tolist() == [[14, 14], [22, 24]]
    assert len(detect(head, sequence, {'suppression': plain | {'shortest_steps': 0.05}})) == 1
    assert len(detect(head, sequence, {'suppression': plain | {'shortest_steps': 0.5}})) == 0


def test_departures_are_said_and_stay_out_of_the_config():
    for name in ('localization', 'localization_external', 'localization_bmn', 'localization_bmn_external'):
        protocol = get_protocol(name)
        assert protocol.departures
        assert 'departures' not in protocol.from_recipe
