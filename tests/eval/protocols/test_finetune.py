"""Fine-tuning recipes: learning rates, accumulation, views, mixing, and whole runs on a tiny rendered dataset."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.structures import BaseDataElement

import eval.registry  # noqa: F401 - opens the scopes that configs name
from eval.cells.cell import Cell, ResolvedCell
from eval.features.views import describe_sampling, sampler, spatial_views
from eval.models import MixClips, TokenHead, VideoPreprocessor
from eval.models.evaluator import KeepPredictions
from eval.protocols import get_protocol
from eval.protocols.finetune import Length, augmentation, describe_learning_rate, mixing, optimisation, schedule
from sigma.checkpoints.files import save_tensors
from sigma.data.cards import CONFIG_ROOT, find_card, read_card
from sigma.data.sampler import EpochSampler
from sigma.errors import DataError
from sigma.models import R2Plus1D18
from sigma.registry import DATASETS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS

RECIPES = sorted(p.stem for p in (CONFIG_ROOT / 'recipes').glob('*.py'))
TUNED = [n for n in RECIPES if n.startswith(('finetune', 'arrow_of_time'))]


def recipe_of(name: str, **changes) -> dict:
    return read_card(find_card('recipes', name), 'recipe') | changes


def resolve(toy, recipe, encoder=None, protocol='finetune', **cell) -> ResolvedCell:
    encoder = encoder or ('r2plus1d_18' if 'r2plus1d' in str(recipe) else 'random')
    return ResolvedCell(Cell(protocol, str(toy), str(recipe), encoder, 0, **cell), get_protocol(protocol))


def written(folder, base: str, **changes) -> str:
    """A recipe that departs from one of ours."""
    path = folder / f'{base}_tiny.py'
    path.write_text(f"_base_ = '{CONFIG_ROOT}/recipes/{base}.py'\nrecipe = dict({changes!r})\n")
    path.write_text(path.read_text().replace('dict({', 'dict(**{'))
    return str(path)


# --- recipes hold the published values -----


@pytest.mark.parametrize(
    ('name', 'clips', 'rate', 'epochs', 'decay', 'views'),
    [  # table of section 1.3: total batch, effective learning rate, epochs, layer decay, views
        ('finetune_vit', 32, 1.25e-4, 100, 0.75, (7, 3)),
        ('finetune_vit_k400_videomae', 512, 2e-3, 100, 0.75, (5, 3)),
        ('finetune_vit_ssv2', 32, 1.25e-4, 40, 0.75, (2, 3)),
        ('finetune_vit_ssv2_smile', 32, 1.25e-4, 40, 0.7, (2, 3)),
        ('finetune_vit_ssv2_videomae', 512, 1e-3, 50, 0.75, (2, 3)),
        ('finetune_vit_ssv2_videomae2400', 384, 7.5e-4, 30, 0.75, (2, 3)),
        ('finetune_vit_ucf101', 128, 2.5e-4, 100, 0.7, (5, 3)),
    ],
)
def test_transformer_recipes_hold_the_published_numbers(name, clips, rate, epochs, decay, views):
    recipe = recipe_of(name)
    length = Length(recipe, 20000)
    assert length.total_batch == clips
    wrapper = optimisation(recipe, length)
    assert wrapper['optimizer']['lr'] == pytest.approx(rate)
    assert (wrapper['optimizer']['type'], wrapper['optimizer']['weight_decay']) == ('AdamW', 0.05)
    assert wrapper['paramwise_cfg']['layer_decay'] == decay
    assert length.epochs == epochs
    assert (recipe['views']['num_clips'], recipe['views']['crops']) == views
    assert (recipe['flip'], recipe['sampling']) == ((0, 'published_segments') if 'ssv2' in name else (0.5, 'published'))
    assert recipe['crop_area'] == ((0.08, 1.0) if 'videomae' in name else (0.25, 1.0))  # their code differs here


@pytest.mark.parametrize(
    ('name', 'decay', 'epochs', 'milestones', 'repeats', 'batch', 'frames'),
    [  # table of section 1.2; test_published_recipes.py compares with SEVERE's configs
        ('finetune_r2plus1d', 0.0, 16, (6, 10, 14), 10, 32, 32),
        ('finetune_r2plus1d_scratch', 1e-4, 20, (10, 15, 18), 10, 32, 32),
        ('finetune_r2plus1d_ssv2', 0.0, 22, (12, 17, 20), 2, 32, 32),
        ('finetune_r2plus1d_ssv2_scratch', 1e-4, 25, (12, 19, 22), 2, 32, 32),
        ('finetune_r2plus1d_few_tubelet', 0.0, 18, (8, 13, 16), 10, 32, 32),
        ('finetune_r2plus1d_gym_parts', 0.0, 18, (7, 12, 16), 10, 32, 32),
        ('finetune_r2plus1d_gym_parts_scratch', 1e-5, 18, (7, 12, 16), 10, 32, 32),
        ('finetune_r2plus1d_ntu60', 0.0, 18, (9, 14, 16), 10, 64, 16),
    ],
)
def test_convolutional_recipes_hold_the_published_numbers(name, decay, epochs, milestones, repeats, batch, frames):
    recipe = recipe_of(name)
    length = Length(recipe, 1000)
    assert (length.epochs, length.repeats, length.batch, recipe['num_frames']) == (epochs, repeats, batch, frames)
    assert length.steps == 1000 * repeats // batch
    wrapper = optimisation(recipe, length)
    assert wrapper['optimizer'] == {'type': 'Adam', 'lr': 1e-4, 'betas': (0.9, 0.999), 'weight_decay': decay}
    rates = learning_rates(recipe, length)
    at = [rates[epoch * length.steps + length.steps // 2] for epoch in range(epochs)]
    assert at == pytest.approx([1e-4 * 0.3 ** sum(e >= m for m in milestones) for e in range(epochs)])


@pytest.mark.parametrize('name', TUNED)
def test_every_recipe_joins_with_a_card_and_builds(toy, name):
    protocol = recipe_of(name)['protocol']
    resolved = resolve(toy, name, protocol=protocol)
    for loader in ('train_dataloader', 'test_dataloader'):
        for step in resolved.config[loader]['dataset']['pipeline']:
            TRANSFORMS.build(step)
    assert set(describe_sampling(resolved)) >= {'name', 'num_frames', 'stride_frames', 'views'}


# --- learning rate and accumulation -----


def learning_rates(recipe, length) -> list[float]:
    """The learning rate of every step, from MMEngine's own schedulers."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=optimisation(recipe, length)['optimizer']['lr'])
    parts = [PARAM_SCHEDULERS.build(part | {'optimizer': optimizer}) for part in schedule(recipe, length)]
    rates = []
    for _ in range(length.steps * length.epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for part in parts:
            part.step()
    return rates


def test_five_epochs_of_warm_up_then_a_cosine_between_the_published_ends():
    recipe = recipe_of('finetune_vit')
    length = Length(recipe, 320)  # 10 steps an epoch
    rates = learning_rates(recipe, length)
    assert len(rates) == 1000
    assert rates[0] == pytest.approx(0, abs=1e-12)
    assert rates[49] == pytest.approx(1.25e-4, rel=0.03)
    assert rates[50] == pytest.approx(1.25e-4)
    floor = 1e-6 * 32 / 256
    assert rates[525] == pytest.approx((1.25e-4 + floor) / 2, rel=0.01)  # halfway down
    assert rates[-1] == pytest.approx(floor, abs=1e-9)
    assert np.diff(rates[:50]) == pytest.approx(np.diff(rates[:50])[0])


def test_the_learning_rate_scales_with_the_total_batch_and_says_so():
    recipe = recipe_of('finetune_vit', batch_size=4, accumulate=8)
    length = Length(recipe, 1000)
    assert (length.total_batch, length.steps) == (32, 1000 // 32 * 8)
    assert describe_learning_rate(recipe, length) == (
        'learning rate 0.000125 = 0.001 x 32 / 256; total batch 32 = 1 processes x 4 clips x 8 accumulations'
    )
    fixed = recipe_of('finetune_r2plus1d')
    assert describe_learning_rate(fixed, Length(fixed, 1000)).startswith('learning rate 0.0001 whatever the batch; ')


def test_few_clips_make_the_batch_smaller_and_the_record_says_so():
    length = Length(recipe_of('finetune_vit_ucf101'), 40)  # wants 16 x 8
    assert (length.batch, length.accumulate, length.total_batch, length.steps) == (16, 2, 32, 2)
    assert length.notes == ['2 accumulations instead of 8: no more clips to train on']
    length = Length(recipe_of('finetune_vit'), 20)
    assert (length.batch, length.steps) == (20, 1)
    assert length.notes == ['batch 20 instead of 32: no more clips to train on']


@pytest.mark.parametrize(
    ('num_clips', 'num_steps', 'accumulate', 'epochs', 'total', 'cut'),
    [
        (1600, 40, 1, 1, 40, {'max_steps': 40}),  # U9: an epoch has 50 steps
        (1600, 50, 1, 1, 50, {}),
        (1600, 120, 1, 3, 120, {'max_steps': 120}),
        (45, 40, 1, 1, 40, {'max_steps': 40}),
        (1600, 7, 4, 1, 28, {'max_steps': 28}),
    ],
)
def test_U9_num_steps_is_what_is_run(num_clips, num_steps, accumulate, epochs, total, cut):
    recipe = recipe_of('finetune_demo', num_steps=num_steps, accumulate=accumulate)
    length = Length(recipe, num_clips)
    assert (length.epochs, length.total, length.cut) == (epochs, total, cut)
    warmup, cosine = schedule(recipe, length)
    assert (warmup['end'], cosine['end']) == (max(1, int(0.125 * total)), total)


def test_the_demo_trains_as_long_as_it_always_did_on_toy():
    """Its cells on the 1600 clips of toy keep their identity: 50 steps were run when 40 were asked for."""
    length = Length(recipe_of('finetune_demo'), 1600)
    assert (length.epochs, length.steps, length.total, length.cut) == (1, 50, 50, {})


def test_an_epoch_never_ends_among_accumulated_steps():
    clips = range(70)
    assert EpochSampler(clips, 4, steps_together=8).steps == 16
    assert EpochSampler(clips, 4).steps == 17
    assert len(list(EpochSampler(clips, 4, steps_together=8))) == 64
    with pytest.raises(DataError, match='x 4 accumulations'):
        EpochSampler(range(10), 4, steps_together=4)


def test_accumulated_gradients_equal_those_of_one_big_batch():
    model_config = {
        'type': 'mmaction.Recognizer3D',
        'backbone': {'type': 'sigma.VideoViT', 'arch': 'tiny', 'image_size': 32, 'final_norm': False},
        'cls_head': {'type': 'eval.TokenHead', 'num_classes': 5, 'in_channels': 128, 'init_scale': 1.0},
        'data_preprocessor': {'type': 'eval.VideoPreprocessor', 'mean': [0], 'std': [1], 'format_shape': 'NCTHW'},
    }
    torch.manual_seed(0)
    data = {'inputs': list(torch.randn(8, 1, 3, 16, 32, 32)), 'data_samples': [sample(i % 5) for i in range(8)]}
    recipe = {'optimizer': 'SGD', 'momentum': 0.0, 'lr': 1.0, 'weight_decay': 0.0, 'layer_decay': 0.75}
    moved = []
    for accumulate in (1, 4):
        torch.manual_seed(1)
        model = MODELS.build(model_config)
        model.init_weights()
        before = [p.detach().clone() for p in model.parameters()]
        length = Length(recipe | {'batch_size': 8 // accumulate, 'accumulate': accumulate, 'epochs': 1}, 8)
        assert length.total_batch == 8
        config = optimisation(recipe, length)
        wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(
            {
                'type': config.pop('constructor'),
                'paramwise_cfg': config.pop('paramwise_cfg'),
                'optim_wrapper_cfg': config,
            }
        )(model)
        wrapper.initialize_count_status(model, 0, length.steps)
        for step in range(length.steps):
            part = slice(step * length.batch, (step + 1) * length.batch)
            assert step == 0 or all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
            model.train_step({key: value[part] for key, value in data.items()}, wrapper)
        moved.append([a - b.detach() for a, b in zip(before, model.parameters())])
    assert max(float(m.abs().max()) for m in moved[0]) > 1e-3
    for one, several in zip(*moved):
        torch.testing.assert_close(one, several, rtol=1e-4, atol=1e-6)


# --- batches -----


def sample(label, **meta):
    from mmaction.structures import ActionDataSample

    made = ActionDataSample(metainfo=meta)
    made.set_gt_label(label)
    return made


def preprocessor(**settings) -> VideoPreprocessor:
    return VideoPreprocessor(mean=[0.0], std=[1.0], format_shape='NCTHW', **settings)


def test_repeated_augmentations_become_samples_of_the_batch_with_their_videos_label():
    inputs = [torch.full((2, 3, 2, 4, 4), float(i)) + torch.arange(2.0).view(2, 1, 1, 1, 1) / 10 for i in range(3)]
    out = preprocessor()({'inputs': inputs, 'data_samples': [sample(i) for i in range(3)], 'failures': ''}, True)
    assert out['inputs'].shape == (6, 1, 3, 2, 4, 4)
    assert out['inputs'][:, 0, 0, 0, 0, 0].tolist() == pytest.approx([0, 0.1, 1, 1.1, 2, 2.1])
    assert [int(s.gt_label) for s in out['data_samples']] == [0, 0, 1, 1, 2, 2]
    tested = preprocessor()({'inputs': inputs, 'data_samples': [sample(i) for i in range(3)]}, False)
    assert tested['inputs'].shape == (3, 2, 3, 2, 4, 4)


@pytest.mark.parametrize('alphas', [{'mixup': 0.8}, {'cutmix': 1.0}, {'mixup': 0.8, 'cutmix': 1.0}])
def test_mixed_labels_are_the_shares_of_the_mixed_clips(alphas):
    hub, mixed, kinds = MessageHub.get_current_instance(), 0, set()
    blend = preprocessor(blending=mixing(alphas | {'batch_size': 4, 'num_sample': 2}, 4, seed=0))
    for number in range(20):
        hub.update_info('iter', number)
        clips = [torch.full((2, 3, 2, 16, 16), float(10**i)) for i in range(4)]
        out = blend({'inputs': clips, 'data_samples': [sample(i) for i in range(4)]}, True)
        labels = torch.stack([s.gt_label for s in out['data_samples']])
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(8))
        values = torch.tensor([1.0, 10.0, 100.0, 1000.0])
        torch.testing.assert_close(out['inputs'].mean(dim=(1, 2, 3, 4, 5)), labels @ values, rtol=1e-4, atol=1e-3)
        frames = out['inputs'][:, 0, 0]
        assert torch.equal(frames[:, 0], frames[:, 1])  # the same in every frame
        mixed += int((labels.max(dim=1).values < 0.999).sum())
        kinds.add('cutmix' if any(len(clip.unique()) > 1 for clip in frames) else 'mixup')
    assert mixed > 100
    assert kinds == set(alphas) or 'cutmix' in alphas  # a rectangle may be empty


def test_P2_a_recipe_draws_for_as_many_clips_as_a_device_of_the_published_code_has():
    def together(name, **changes):
        return mixing(recipe_of(name, **changes), 4, 0)['clips_together']

    assert together('finetune_vit') == 4  # 8 GPUs of 4 clips
    assert together('finetune_vit', batch_size=8) == 4  # whatever the batch
    assert together('finetune_vit_ucf101') == 32  # 8 GPUs of 16 videos, each twice
    assert mixing({'mixup': 0.0, 'cutmix': 0.0}, 4, 0) is None


def test_smoothing_applies_to_mixed_labels():
    head = TokenHead(4, 8, label_smooth_eps=0.1)
    scores = torch.tensor([[1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 3.0, 0.0]])
    soft = [torch.tensor([0.3, 0.7, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 0.0])]
    loss = head.loss_by_feat(scores, [sample(label) for label in soft])['loss_cls']
    targets = torch.stack(soft) * 0.9 + 0.1 / 4
    assert loss.item() == pytest.approx(-(targets * scores.log_softmax(dim=1)).sum(dim=1).mean().item(), rel=1e-6)


def test_head_without_norm_keeps_torchs_own_weights():
    torch.manual_seed(3)
    head = TokenHead(4, 8, norm=False, init_scale=None)
    torch.manual_seed(3)
    plain = torch.nn.Linear(8, 4)
    torch.manual_seed(3)
    head.init_weights()
    assert torch.equal(head.fc.weight, plain.weight)
    tokens = torch.randn(2, 1, 3, 3, 8)
    torch.testing.assert_close(head(tokens), plain(tokens.mean(dim=(1, 2, 3))))


def test_flips_follow_the_card_unless_the_recipe_says_otherwise():
    encoder = SimpleNamespace(info={'clip': {'size': 64}}, mean=(0,), std=(1,))

    def flips(recipe, **info):
        return [s for s in augmentation(recipe, SimpleNamespace(info=info), encoder) if s['type'] == 'sigma.FlipClip']

    vit, ssv2 = recipe_of('finetune_vit'), recipe_of('finetune_vit_ssv2')
    assert flips(vit) == [{'type': 'sigma.FlipClip', 'probability': 0.5}]
    assert not flips(vit, flips_change_label=True)
    assert not flips(ssv2)
    assert not flips(recipe_of('finetune_r2plus1d_ssv2'), flips_change_label=True)
    assert flips(recipe_of('finetune_r2plus1d_ssv2_flip'), flips_change_label=True)


def test_augmentations_stand_in_the_published_order():
    encoder = SimpleNamespace(info={'clip': {'size': 224}}, mean=(1, 2, 3), std=(4, 5, 6))
    steps = augmentation(recipe_of('finetune_vit'), SimpleNamespace(info={}), encoder)
    assert [s['type'].partition('.')[2] for s in steps] == [
        *('RandAugment', 'RandomAreaCrop', 'FlipClip', 'EraseRectangle'),
    ]
    assert (steps[1]['area'], steps[1]['resampling']) == ((0.25, 1.0), 'opencv')
    assert (steps[-1]['mean'], steps[-1]['std']) == ((1, 2, 3), (4, 5, 6))


# --- views -----


@pytest.mark.parametrize(
    ('name', 'views', 'passes'),
    [
        ('finetune_vit_ssv2', '2x3', 6),
        ('finetune_vit_ucf101', '5x3', 15),
        ('finetune_vit', '7x3', 21),
        ('finetune_r2plus1d', '10x1', 10),
    ],
)
def test_every_video_passes_the_encoder_once_a_view(toy, tmp_path, name, views, passes):
    # The tiny transformer stands for either family; what counts is the number of clips that it is given.
    recipe = written(tmp_path, name, drop_path=0.0, head_init_scale=1.0, num_frames=4, stride_frames=2)
    resolved = resolve(toy, recipe, encoder='random')
    assert describe_sampling(resolved)['views'] == views
    model = MODELS.build(resolved.config['model'])
    model.init_weights()
    model.eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    clips = DATASETS.build(resolved.config['test_dataloader']['dataset'])
    scored = model.test_step(pseudo_collate([clips[0], clips[1]]))
    assert sum(seen) == 2 * passes
    assert [s.pred_score.sum().item() for s in scored] == pytest.approx([1, 1], rel=1e-5)  # a mean of softmax scores


def test_samplings_are_named_apart_and_recorded(toy):
    def of(recipe, **changes):
        resolved = resolve(toy, 'finetune_demo')
        resolved.recipe = recipe_of(recipe) | changes
        return sampler(resolved, test_mode=True), describe_sampling(resolved)

    published, description = of('finetune_vit_ucf101')
    assert published == {
        'type': 'sigma.SamplePublished', 'num_frames': 16, 'stride_frames': 4, 'num_clips': 5, 'test_mode': True,
    }  # fmt: skip
    assert description == {'name': 'published', 'num_frames': 16, 'stride_frames': 4, 'views': '5x3'}
    assert of('finetune_vit_ucf101_dense')[0]['type'] == 'sigma.SampleStretched'
    segments, description = of('finetune_vit_ssv2')
    assert (segments['type'], segments['offsets'], segments['num_clips']) == ('sigma.SampleSegments', 'published', 2)
    assert description == {'name': 'published_segments', 'num_frames': 16, 'stride_frames': None, 'views': '2x3'}
    seconds, description = of('finetune_r2plus1d')
    assert seconds == {  # P7
        'type': 'sigma.SamplePublishedSeconds', 'num_frames': 32, 'clip_fps': 16, 'num_clips': 10, 'test_mode': True,
    }  # fmt: skip
    assert description == {
        'name': 'published_seconds', 'num_frames': 32, 'stride_frames': None, 'views': '10x1', 'clip_fps': 16,
    }  # fmt: skip
    # toy's own stride, whole frames
    assert of('finetune_demo')[1] == {'name': 'dense', 'num_frames': 16, 'stride_frames': 2, 'views': '1x1'}
    with pytest.raises(DataError, match="Unknown sampling 'publishd'.*'published'"):
        of('finetune_vit', sampling='publishd')
    with pytest.raises(DataError, match='add clip_fps to it, or sampling.fps to the card of toy'):
        of('finetune_r2plus1d', clip_fps=None)


def test_three_crops_of_a_larger_short_side_are_refused():
    with pytest.raises(DataError, match='cover a short side of 112; the recipe asks for 128'):
        spatial_views(112, {'num_clips': 10, 'crops': 3, 'resize': 'short_side', 'short_side': 128})
    resize, crop = spatial_views(112, {'num_clips': 10, 'crops': 1, 'resize': 'short_side', 'short_side': 128})
    assert (resize['scale'], crop['crop_size']) == ((-1, 128), 112)


# --- predictions -----


def test_predictions_keep_counts_and_classes_as_whole_numbers():
    metric = KeepPredictions()
    element = BaseDataElement(metainfo={'position': 0, 'video': 'a', 'decode_error': None})
    element.gt_label, element.pred_score = torch.tensor([7]), torch.tensor([6.6])
    metric.metric = 'none'
    metric.process(None, [element.to_dict() | {'position': 0, 'video': 'a', 'decode_error': None}])
    with pytest.raises(ValueError, match='Unknown metric'):
        metric.compute_metrics(metric.results)
    assert metric.labels.dtype == np.int64
    assert metric.labels.tolist() == [7]
    assert metric.scores.shape == (1, 1)


# --- whole runs -----

SMALL = {'decoder': 'pyav', 'views': {'num_clips': 1, 'crops': 1, 'resize': 'square'}, 'checkpoint_epochs': 1000}


def test_the_whole_transformer_recipe_runs(toy, tmp_path, monkeypatch):
    seen, forward = [], MixClips.forward

    def spied(self, clips, samples):
        seen.append(MessageHub.get_current_instance().get_info('iter'))
        assert len(clips) == 8  # 4 videos, each twice
        return forward(self, clips, samples)

    monkeypatch.setattr(MixClips, 'forward', spied)
    recipe = written(tmp_path, 'finetune_vit_ucf101', batch_size=4, accumulate=3, epochs=1, warmup_epochs=0, **SMALL)
    resolved = resolve(toy, recipe, shots=2)
    assert resolved.config['optim_wrapper']['accumulative_counts'] == 3
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert outcome.batch_size == 12
    assert outcome.scores.shape == (20, 10)
    assert np.isfinite(outcome.scores).all()
    assert outcome.sampling == {'name': 'published', 'num_frames': 16, 'stride_frames': 4, 'views': '1x1'}
    assert seen == list(range(len(seen)))  # P2: every pass has draws of its own
    assert len(seen) == 3
    said = 'learning rate 2.34375e-05 = 0.0005 x 12 / 256; total batch 12 = 1 processes x 4 clips x 3 accumulations'
    assert said in outcome.notes
    logs = list((resolved.folder(tmp_path / 'work')).rglob('*.log'))
    assert any(said in log.read_text() for log in logs)


def test_U9_the_record_says_how_many_steps_were_taken(toy, tmp_path, monkeypatch):
    seen, step = [], OptimWrapper.step

    def counted(self, **settings):
        seen.append(self.optimizer.param_groups[0]['lr'])
        return step(self, **settings)

    monkeypatch.setattr(OptimWrapper, 'step', counted)
    recipe = written(tmp_path, 'finetune_demo', num_steps=3, batch_size=4, accumulate=2, **SMALL)
    resolved = resolve(toy, recipe)
    assert resolved.config['train_cfg'] == {'type': 'sigma.TrainLoop', 'max_epochs': 1, 'max_steps': 6}
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert len(seen) == 3
    assert outcome.selection == {'epoch': 1, 'steps': 3, 'how': 'last'}
    again = resolved.protocol.run(resolved, tmp_path / 'work')  # goes on from its checkpoint: nothing is left to train
    assert len(seen) == 3
    assert again.selection == outcome.selection
    assert np.array_equal(again.scores, outcome.scores)


def test_the_whole_convolutional_recipe_runs_from_a_file(toy, tmp_path, monkeypatch):
    # Its training state has 375 MB; what writes that is tested elsewhere.
    monkeypatch.setattr('sigma.engine.checkpoint.CheckpointHook.save', lambda *arguments: None)
    torch.manual_seed(0)
    weights = R2Plus1D18().state_dict() | {'fc.weight': torch.zeros(400, 512), 'fc.bias': torch.zeros(400)}
    checkpoint = save_tensors(tmp_path / 'mine' / 'r2plus1d.safetensors', weights, {})
    card = tmp_path / 'r2plus1d_32.py'
    card.write_text(
        f"_base_ = '{CONFIG_ROOT}/encoders/r2plus1d_18.py'\nencoder = dict(clip=dict(num_frames=4, size=16))\n"
    )
    recipe = written(
        tmp_path, 'finetune_r2plus1d', num_frames=4, batch_size=4, epochs=1, repeats=1, milestones=(1,), **SMALL
    )
    resolved = resolve(toy, recipe, encoder=f'{card}@{checkpoint}', examples=10)
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert outcome.scores.shape == (20, 10)
    assert outcome.subset['name'] == '10_examples'
    assert outcome.sampling['name'] == 'published_seconds'


def test_arrow_of_time_scores_every_video_in_both_directions(toy, tmp_path):
    recipe = written(tmp_path, 'arrow_of_time_demo', epochs=1, num_steps=None, batch_size=8, cache_megabytes=0, **SMALL)
    resolved = resolve(toy, recipe, protocol='arrow_of_time')
    outcome = resolved.protocol.run(resolved, tmp_path / 'work')
    assert outcome.scores.shape == (40, 2)
    assert outcome.labels.tolist() == [0, 1] * 20
    assert (outcome.num_listed, len(set(outcome.videos))) == (40, 40)
    assert 'every video is listed and scored twice, forwards and backwards' in outcome.notes
    assert resolved.protocol.metric_of(resolved) == 'top1'
    assert resolved.protocol.num_classes(resolved) == 2


# --- bad input -----


def test_a_precision_that_is_not_known_is_named():
    recipe = recipe_of('finetune_vit', precision='fp8')
    with pytest.raises(DataError, match="'fp8'; known: fp32, bf16"):
        optimisation(recipe, Length(recipe, 100))


def test_layer_decay_of_an_encoder_without_blocks_is_refused(toy, tmp_path):
    from sigma.engine.optim import ParamGroups

    config = optimisation(recipe_of('finetune_vit'), Length(recipe_of('finetune_vit'), 100))
    constructor = ParamGroups({'optimizer': config['optimizer']}, config['paramwise_cfg'])
    with pytest.raises(ValueError, match='use a recipe without layer decay'):
        constructor(R2Plus1D18())
