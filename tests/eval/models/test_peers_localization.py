"""The head and its suppression against what ActionFormer's and OpenTAD's own code made of the same inputs.

tests/data/peers/SOURCES.md says how the files were made. The case numbers (L1 to L7, S3) are those of the comparison of
which each is a sample.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.models.actionformer import ActionFormer, assign
from eval.models.segments import fuse, soft_nms, suppress, vote

PEERS = Path(__file__).parents[2] / 'data' / 'peers'
HEAD = np.load(PEERS / 'localization_head.npz')
NMS = np.load(PEERS / 'localization_nms.npz')
LEVELS, STEPS = 4, 64


def ours(name: str) -> str:
    """Our name of a parameter of ActionFormer's code."""
    part, _, rest = name.partition('.')
    if part in ('cls_head', 'reg_head'):
        rest = re.sub(r'^head\.', 'convs.', rest)
        rest = re.sub(r'^norm\.', 'norms.', rest)
        rest = re.sub(r'^(cls|offset)_head\.', 'out.', rest)
        return {'cls_head': 'classifier', 'reg_head': 'regressor'}[part] + '.' + rest
    if part == 'neck':
        return re.sub(r'^fpn_norms\.', 'norms.', rest)
    rest = re.sub(r'^embd_norm\.', 'embed_norm.', rest)
    rest = re.sub(r'^embd\.', 'embed.', rest)
    rest = re.sub(r'\.ln([12])\.', r'.norm\1.', rest)
    for number, word in enumerate(('query', 'key', 'value', 'proj')):
        rest = rest.replace(f'.attn.{word}_conv.', f'.mix.{number}.').replace(
            f'.attn.{word}_norm.', f'.mix_norm.{number}.'
        )
        rest = rest.replace(f'.attn.{word}.', f'.project.{number}.')
    rest = rest.replace('.mlp.3.', '.mlp.2.')  # there, dropout of nothing lies between
    return rest.replace('.drop_path_attn.scale', '.scales.0').replace('.drop_path_mlp.scale', '.scales.1')


def build(**changes) -> ActionFormer:
    """A head as small as the one that ActionFormer's code ran."""
    settings = {
        'width': 16,
        'num_heads': 2,
        'num_levels': LEVELS,
        'num_stem': 1,
        'window': (5, 5, 5, -1),
        'label_smoothing': 0.1,
        'drop_path': 0.0,
        'regression_weight': 2.0,
        'num_positives': 50.0,
        'absolute_positions': True,
    }
    torch.manual_seed(0)
    return ActionFormer(6, 3, **settings | changes)


def mapped(zero_norms: bool = False, **changes) -> ActionFormer:
    """Our head with the weights of ActionFormer's, every one of them; biases of norms 0 if asked."""
    head = build(**changes)
    wanted, found, scales = head.state_dict(), {}, {}
    for key in HEAD.files:
        if not key.startswith('weights/') or 'point_generator' in key:
            continue
        name = key.removeprefix('weights/')
        value = torch.from_numpy(HEAD[key])
        if zero_norms and ('norm' in name or '.ln' in name) and name.endswith('bias'):
            value = torch.zeros_like(value)
        if scale := re.fullmatch(r'reg_head\.scale\.(\d)\.scale', name):
            scales[int(scale[1])] = value
            continue
        found[ours(name)] = value.reshape(wanted[ours(name)].shape)
    found['level_scales'] = torch.stack([scales[level] for level in range(LEVELS)]).reshape(LEVELS)
    found['num_positives'] = torch.tensor(50.0)
    head.load_state_dict(found, strict=True)
    return head.eval()


def inputs(lengths: tuple[int, ...] = (STEPS, STEPS)) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Features, mask and true segments of the two videos; steps beyond `lengths` are padding."""
    features = torch.from_numpy(HEAD['features']).clone()
    mask = torch.arange(STEPS) < torch.tensor(lengths)[:, None]
    return features * mask[:, None], mask, [torch.from_numpy(HEAD[f'truth_{n}']) for n in range(2)]


# --- the head -------------------------------------------------------------------------------------------------------


def test_L7_parameters_are_the_originals_one_for_one():
    """42 biases of attention and MLP were random, and 3,072 convolution biases before a norm did not exist there."""
    head = build(drop_path=0.1)
    theirs = {str(name) for name in HEAD['parameters']}
    scales = {f'reg_head.scale.{level}.scale' for level in range(LEVELS)}
    assert {ours(name) for name in theirs - scales} == {n for n, _ in head.named_parameters()} - {'level_scales'}
    assert len({ours(name) for name in theirs - scales}) == len(theirs - scales)
    sizes = sum(HEAD[f'weights/{name}'].size for name in theirs)
    assert sum(p.numel() for p in head.parameters()) == sizes


def test_L7_biases_start_as_in_the_original():
    start = {name: p for name, p in build().named_parameters() if name.endswith('bias')}
    zero = {ours(str(name)) for name in HEAD['zero_biases']}
    assert {name for name, p in start.items() if not p.any()} == zero
    assert set(start) - zero == {'classifier.out.conv.bias'}


def test_L7_the_recipe_of_thumos_has_the_originals_number_of_parameters():
    """29,251,612 for 2048 features and 20 classes: 3,072 convolution biases fewer than before."""
    head = ActionFormer(2048, 20, width=512, num_heads=4, num_levels=6, num_stem=2, window=19)
    assert sum(p.numel() for p in head.parameters()) == int(HEAD['thumos_parameters'])


@pytest.mark.parametrize(('name', 'lengths'), [('actionformer', (64, 64)), ('actionformer_padded', (64, 44))])
def test_outputs_targets_and_losses_of_actionformer(name, lengths):
    """The second video is padded with biases of norms at 0: the original leaks them otherwise (L6)."""
    theirs = {k.removeprefix(f'{name}/'): torch.from_numpy(HEAD[k]) for k in HEAD.files if k.startswith(f'{name}/')}
    head = mapped(zero_norms=name.endswith('padded'))
    features, mask, truth = inputs(lengths)
    logits, distances, known = head(features, mask)
    assert torch.equal(known, theirs['mask'])
    assert torch.allclose(logits[known], theirs['classes'][known], rtol=1e-5, atol=1e-5)
    assert torch.allclose(distances[known], theirs['distances'][known], rtol=1e-5, atol=1e-5)
    points = head.points(STEPS)
    assert torch.equal(points[:, [0, 1, 3]], theirs['points'][:, [0, 1, 3]])
    finite = points[:, 2].isfinite()
    assert torch.equal(points[finite, 2], theirs['points'][finite, 2])
    assert (theirs['points'][~finite, 2] == 10000).all()  # no video is longer
    for number, rows in enumerate(truth):
        classes, ends = assign(points, rows, 3, 1.5)
        assert torch.equal(classes, theirs['target_classes'][number])
        positive = classes.any(1)
        assert positive.sum() > 4
        assert torch.allclose(ends[positive], theirs['target_ends'][number][positive], rtol=1e-6, atol=1e-6)
    head.train()
    loss = head.loss(features, mask, truth)
    assert loss.item() == pytest.approx(theirs['losses'][2].item(), rel=1e-6)
    assert head.num_positives.item() == pytest.approx(theirs['normalizer'].item(), rel=1e-6)


def test_L2_the_weight_of_the_regression_loss_is_actionformers():
    """ActivityNet's 2 instead of 1 moves the loss of a batch from its sum of parts to class + 2 x regression."""
    of_class, of_ends, whole = HEAD['actionformer/losses'].tolist()
    features, mask, truth = inputs()
    once, twice = (mapped(regression_weight=weight).train().loss(features, mask, truth).item() for weight in (1.0, 2.0))
    assert once == pytest.approx(of_class + of_ends, rel=1e-6)
    assert twice == pytest.approx(whole, rel=1e-6)
    assert twice - once > 0.1


def test_gradients_are_actionformers():
    head = mapped().train()
    head.loss(*inputs()).backward()
    mine = {name: p.grad.norm().item() for name, p in head.named_parameters()}
    for name, norm in zip(HEAD['parameters'], HEAD['actionformer/gradient_norms'].tolist()):
        if not str(name).startswith('reg_head.scale'):
            assert mine[ours(str(name))] == pytest.approx(norm, rel=1e-4, abs=1e-6)


def test_outputs_and_losses_of_opentad():
    head = mapped(norm_epsilon=1e-6)
    features, mask, truth = inputs()
    logits, distances, _ = head(features, mask)
    points = head.points(STEPS)
    ends = torch.stack(
        [points[:, 0] - distances[..., 0] * points[:, 3], points[:, 0] + distances[..., 1] * points[:, 3]], 2
    )
    assert torch.allclose(logits.sigmoid(), torch.from_numpy(HEAD['opentad/scores']), atol=2e-6)
    assert torch.allclose(ends, torch.from_numpy(HEAD['opentad/proposals']), rtol=1e-5, atol=2e-5)
    loss = head.train().loss(features, mask, truth)
    assert loss.item() == pytest.approx(HEAD['opentad/losses'].sum(), rel=2e-6)


def random_head(**changes) -> ActionFormer:
    """A head whose norms have random scales and biases, as after training."""
    torch.manual_seed(1)
    head = ActionFormer(6, 2, **{'width': 16, 'num_heads': 2, 'num_levels': 6, 'num_stem': 2, 'window': 19} | changes)
    with torch.no_grad():
        for name, p in head.named_parameters():
            if 'norm' in name:
                p.add_(torch.randn(p.shape))
            elif 'scales' in name:
                p.fill_(1.0)
            elif name.endswith('bias'):
                p.add_(0.5 * torch.randn(p.shape))
    return head.eval()


@pytest.mark.parametrize('window', [19, (7, 7, 7, 7, 7, -1)])
@pytest.mark.parametrize('length', [320, 301])
def test_L6_outputs_of_real_steps_are_the_same_whatever_the_padding(window, length):
    """320 steps alone against padded to 576: 18 of 630 points moved by more than 0.01, up to 0.12."""
    head = random_head(window=window, absolute_positions=window != 19)
    features = torch.randn(1, 6, length)
    answers = []
    for whole in (320, 352, 576, 2304):
        padded = torch.zeros(1, 6, whole)
        padded[..., :length] = features
        logits, distances, known = head(padded, torch.arange(whole)[None] < length)
        answers.append((logits[known], distances[known]))
    assert len(answers[0][0]) == sum(-(-length // 2**level) for level in range(6))
    assert answers[0][1].any()
    for logits, distances in answers[1:]:
        assert torch.allclose(logits, answers[0][0], rtol=1e-5, atol=1e-5)
        assert torch.allclose(distances, answers[0][1], rtol=1e-5, atol=1e-5)


def test_L2_a_window_of_minus_one_sees_every_step():
    """Changing the first step moves the last point, 2,047 steps away, only if the last level sees every step."""
    moved = {}
    for last in (3, -1):
        head = random_head(window=(3, 3, 3, 3, 3, last), num_stem=0)
        features, mask = torch.randn(1, 6, 2048), torch.ones(1, 2048, dtype=torch.bool)
        before = head(features, mask)[0]
        features[..., 0] += 100
        moved[last] = (head(features, mask)[0] - before)[0, -1].abs().max().item()
    assert moved[3] == 0
    assert moved[-1] > 1e-6
    with pytest.raises(ValueError, match='5 windows for 6 levels'):
        random_head(window=(3, 3, 3, 3, 3))
    with pytest.raises(ValueError, match='window is 4'):
        random_head(window=(3, 3, 3, 3, 3, 4))


# --- suppression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('number', range(20))
def test_L1_suppression_is_opentads_and_class_by_class_actionformers(number):
    class_wise, sigma, most, voting = NMS['settings'][number]
    settings = {'sigma': sigma, 'most': int(most), 'class_wise': bool(class_wise)}
    if not class_wise:
        settings['voting'] = voting
    kept = suppress(NMS[f'found_{number:02d}'].astype(np.float64), settings)
    theirs = NMS[f'opentad_{number:02d}']
    assert kept.shape == theirs.shape
    assert kept == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    if class_wise or not voting:
        assert NMS[f'actionformer_{number:02d}'] == pytest.approx(theirs, abs=1e-7)


def test_L1_voting_of_all_classes_has_two_published_weights():
    """ActionFormer weighs score x IoU, OpenTAD the score alone; both refine what soft-NMS has chosen."""
    seen = 0
    for number in range(20):
        class_wise, sigma, most, voting = NMS['settings'][number]
        if class_wise or not voting:
            continue
        found = NMS[f'found_{number:02d}'].astype(np.float64)
        places, _ = soft_nms(found[:, :2], found[:, 3], sigma, int(most))
        for name, by_overlap in (('actionformer', True), ('opentad', False)):
            voted = vote(found[places, :2], found[:, :2], found[:, 3], voting, by_overlap)
            assert voted == pytest.approx(NMS[f'{name}_{number:02d}'][:, :2], rel=1e-6, abs=1e-5)
        seen += not np.allclose(NMS[f'actionformer_{number:02d}'], NMS[f'opentad_{number:02d}'], atol=1e-4)
    assert seen >= 3


def test_L1_class_wise_voting_has_a_name_of_its_own():
    rows = np.array([[0, 10, 0, 0.9], [0, 11, 0, 0.8], [1, 10, 0, 0.7]])
    published = suppress(rows, {'sigma': 0.5, 'most': 200, 'class_wise': True})
    assert sorted(published[:, :2].tolist()) == [[0, 10], [0, 11], [1, 10]]
    own = suppress(rows, {'sigma': 0.5, 'most': 200, 'class_wise_voting': 0.7})
    assert own[0, :2].tolist() == pytest.approx([0.279, 10.322], abs=1e-3)
    with pytest.raises(ValueError, match='the published codes never vote'):
        suppress(rows, {'sigma': 0.5, 'most': 200, 'voting': 0.7})
    with pytest.raises(ValueError, match='say `voting` instead'):
        suppress(rows, {'sigma': 0.5, 'most': 200, 'class_wise': False, 'class_wise_voting': 0.7})


def test_L5_what_lies_before_the_video_counts_in_suppression():
    """(-20, 10, .9) and (-5, 10, .8): the second keeps .485; clipped first, their overlap is 1 and it keeps .108."""
    rows = np.array([[-20, 10, 0, 0.9], [-5, 10, 0, 0.8]])
    assert suppress(rows, {'sigma': 0.5, 'most': 10})[1, 3] == pytest.approx(0.485, abs=5e-4)


@pytest.mark.parametrize(
    'rows',
    [
        [[0, 10, 0, float('nan')]],
        [[0, 10, 0, 0.9], [float('nan'), 10, 0, 0.8]],
        [[0, float('inf'), 0, 0.9]],
        [[0, 10, float('nan'), 0.9]],
        [[10, 0, 0, 0.9]],
    ],
)
def test_S3_nothing_passes_that_is_no_number(rows):
    rows = np.array(rows)
    for settings in ({'sigma': 0.5, 'most': 5}, {'sigma': 0.5, 'most': 5, 'class_wise': False, 'voting': 0.9}):
        with pytest.raises(ValueError, match='1 of . segments are not finite or end before they start'):
            suppress(rows, settings)
    if np.isfinite(rows[:, 2]).all():
        with pytest.raises(ValueError, match='segments are not finite'):
            fuse(rows, np.array([0.5, 0.5]), 2)
        with pytest.raises(ValueError, match='segments are not finite'):
            soft_nms(rows[:, :2], rows[:, 3], 0.5, 5)
        with pytest.raises(ValueError, match='segments are not finite'):
            vote(rows[:, :2], rows[:, :2], rows[:, 3], 0.5)


def test_S3_settings_that_mean_nothing_are_refused():
    rows = np.array([[0, 10, 0, 0.9]])
    with pytest.raises(ValueError, match='1 of 2 class scores are not finite'):
        fuse(rows, np.array([0.5, float('nan')]), 2)
    for top in (0, -1, 1.5):
        with pytest.raises(ValueError, match='at least 1 class'):
            fuse(rows, np.array([0.5, 0.1]), top)
    for sigma, most in ((0, 5), (-1, 5), (float('nan'), 5), (0.5, 0)):
        with pytest.raises(ValueError, match='soft-NMS needs sigma > 0'):
            suppress(rows, {'sigma': sigma, 'most': most})
    for threshold in (70, -0.1, float('nan')):
        with pytest.raises(ValueError, match=r'an IoU in \[0, 1\]'):
            suppress(rows, {'sigma': 0.5, 'most': 5, 'class_wise_voting': threshold})
    with pytest.raises(ValueError, match=r'need \(n, 4\)'):
        suppress(rows[:, :3], {'sigma': 0.5, 'most': 5})
