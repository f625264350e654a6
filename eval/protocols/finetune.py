"""Fine-tuning of the whole encoder with labels, on all training clips or on a few of each class.

The keys of a recipe (`mmaction_configs/recipes/finetune_*.py`) are declared in `eval/settings/finetune.py`;
`docs/settings.md` lists them. With `num_steps`, exactly so many optimizer steps are taken: the last epoch is cut.

Versions: 1 (2026-11-21). What moved on 2026-11-30 (mixing, resizing, schedules, values of recipes) is in the configs of
the cells that it touches, so those are new cells, and all others keep theirs.
"""

import copy
from pathlib import Path
from typing import Any, cast

from eval.cells.cell import ResolvedCell
from eval.cells.encoders import EncoderCard
from eval.cells.machine import machine_settings, num_processes, saving_when_told_to_end
from eval.features.views import (
    PACK,
    control,
    describe_sampling,
    evaluation_pipeline,
    notes_on_stills,
    sampler,
    spatial_views,
    stride_of,
)
from eval.protocols.base import Departure, Outcome, Protocol
from eval.protocols.subsets import draw_seed, examples_of_all, few_a_class, subset_sha256
from eval.records import subset_name
from eval.settings.finetune import FINETUNE
from sigma.data.cards import DatasetCard
from sigma.errors import DataError

# Of every recipe of the family; a recipe's own are in its `departures`.
_TRANSFORMERS = (
    Departure(
        what='Transformers: precision',
        published='fp16 with a loss scaler (SIGMA, VideoMAE)',
        ours='bf16, which needs none and runs on a CPU too',
    ),
    Departure(
        what='Transformers: random erasing',
        published='standard normal noise, after normalisation',
        ours='the same noise before it, rounded to pixels and clipped to 0 to 255',
        effect='clips 3 % of the noise',
    ),
    Departure(
        what='Transformers: crop and resize in training',
        published='on normalised floats (torch, bilinear, no antialiasing)',
        ours='on pixels, rounded (OpenCV, the same filter)',
        effect='rounding, by less than 1 of 255',
    ),
    Departure(
        what='Transformers: draws of mixup and cutmix',
        published='once per device and forward pass, each device from its own seed',
        ours='once per group of as many clips, whatever the number of devices and accumulated passes',
        effect='none on average: the same pairs and distributions, other random numbers',
    ),
    Departure(
        what='Transformers: learning rate while passes are accumulated',
        published='one rate per optimizer step; the launch scripts accumulate nothing',
        ours='the rate moves with every pass, and the last pass decides',
        effect='less than one step of the schedule',
    ),
)
_CONVOLUTIONAL = (
    Departure(
        what='R(2+1)D-18: epoch that is scored',
        published='the best of all epochs on the test set (SEVERE: test.py restores the best)',
        ours='the last, because choosing on the test set flatters',
    ),
    Departure(
        what='R(2+1)D-18: exceptions for single methods',
        published='1e-3 for AVID-CMA; no normalisation and reversed channels for TCLR (SEVERE)',
        ours='none: every encoder is trained alike',
    ),
    Departure(
        what='R(2+1)D-18: order of an epoch',
        published='all clips of all videos shuffled together, so that a batch may hold a video twice (SEVERE)',
        ours='one pass over the videos after the other, each shuffled',
    ),
    Departure(
        what='R(2+1)D-18: batch statistics of BatchNorm',
        published='over the part of the 32 clips that each GPU gets (SEVERE)',
        ours='over the 32 clips of a process',
    ),
    Departure(
        what='R(2+1)D-18: the averaging filter of resizing',
        published='PIL, bilinear (SEVERE)',
        ours="torch's antialiased bilinear filter, which takes a ninth of the time or less",
        effect='single pixels by 1 of 255 when shrinking (2 when enlarging), 0.01 of 255 on average',
    ),
    Departure(
        what='R(2+1)D-18: colour jitter',
        published="torchvision's functions on PIL images (SEVERE)",
        ours="torchvision's functions on tensors",
        effect='rounding',
    ),
    Departure(
        what='R(2+1)D-18: videos shorter than 1/16 s',
        published='replaced by another video (SEVERE)',
        ours='their first frame, repeated',
        effect='none where every video lasts 1/16 s',
    ),
)


class Finetune(Protocol):
    """mmaction2's Recognizer3D: encoder, mean over tokens, norm, linear layer. The last epoch is scored."""

    name = 'finetune'
    version = 1
    source = 'SIGMA and VideoMAE fine-tuning; SEVERE (ECCV 2022) for R(2+1)D-18 and for few clips'
    settings = FINETUNE
    task = 'action_recognition'
    head = 'eval.TokenHead'
    departures: tuple[Departure, ...] = (
        Departure(
            what='Test videos that cannot be read',
            published='replaced by another video (SIGMA, VideoMAE, SEVERE)',
            ours='counted as not scored, and named in the record',
            effect='none where all videos can be read',
        ),
        *_TRANSFORMERS,
        *_CONVOLUTIONAL,
    )

    # --- what a protocol based on this one may change -----

    def labels(self, resolved: ResolvedCell, training: bool) -> tuple[dict, ...]:
        """Transforms that make a clip's label after its frames are chosen; empty to keep the label of the list."""
        return ()

    def test_source(self, resolved: ResolvedCell) -> dict:
        """Config of the dataset that is scored."""
        return {'type': 'sigma.VideoClips', 'card': resolved.cell.dataset, 'split': 'test', 'test_mode': True}

    def check(self, resolved: ResolvedCell) -> None:
        """Raise DataError for a dataset of another task."""
        if self.task and resolved.dataset.task != self.task:
            raise DataError(
                f'{resolved.dataset.name} is a dataset of the task {resolved.dataset.task}; '
                f'the protocol {self.name} measures {self.task}.'
            )

    # --- the config -----

    def config(self, resolved: ResolvedCell) -> dict:
        """A complete MMEngine config, except for what depends on the machine (`eval.cells.machine`)."""
        self.check(resolved)
        recipe = resolved.recipe
        subset = self._subset(resolved)
        length = Length(recipe, self._num_readable(resolved, subset))
        together = {'steps_together': length.accumulate} if length.accumulate > 1 else {}
        return {
            'default_scope': 'mmaction',
            'custom_imports': {'imports': ['eval.registry'], 'allow_failed_imports': False},
            'runner_type': 'sigma.Runner',
            'model': self._model(resolved),
            'train_dataloader': {
                'batch_size': length.batch,
                'sampler': {'type': 'sigma.EpochSampler', 'repeats': length.repeats} | together,
                'dataset': {
                    'type': 'sigma.VideoClips',
                    'card': resolved.cell.dataset,
                    'split': 'train',
                    'subset': subset,
                    'pipeline': self._train_pipeline(resolved),
                },
            },
            'test_dataloader': {
                'batch_size': recipe['test_batch_size'],
                'sampler': {'type': 'mmengine.DefaultSampler', 'shuffle': False},
                'dataset': self.test_source(resolved) | {'pipeline': self._test_pipeline(resolved)},
            },
            'test_evaluator': {'type': 'eval.KeepPredictions', 'metric': self.metric_of(resolved)},
            'test_cfg': {'type': 'mmengine.TestLoop'},
            'train_cfg': {'type': 'sigma.TrainLoop', 'max_epochs': length.epochs} | length.cut,
            'randomness': {'seed': resolved.cell.seed},
            'optim_wrapper': optimisation(recipe, length),
            'param_scheduler': schedule(recipe, length),
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Train, test with the weights of the last epoch, and return its predictions."""
        from mmengine.config import Config

        from sigma.engine.diagnostics import DiagnosticsHook
        from sigma.registry import RUNNERS

        # A copy: what is built from the settings may change them.
        config = Config(copy.deepcopy(resolved.config) | machine_settings(resolved, work_dir))
        runner = RUNNERS.build(config)
        length = Length(resolved.recipe, self._num_readable(resolved, self._subset(resolved)))
        scaling = describe_learning_rate(resolved.recipe, length)
        runner.logger.info(scaling)
        with saving_when_told_to_end():
            runner.train()
        runner.test()
        metric = runner.test_evaluator.metrics[0]
        dataset = runner.train_dataloader.dataset
        failures = next(hook.failures for hook in runner.hooks if isinstance(hook, DiagnosticsHook))
        notes = [f'not decoded in training, next video taken: {failure}' for failure in failures]
        return Outcome(
            videos=metric.videos,
            labels=metric.labels,
            scores=metric.scores,
            unscored=metric.unscored,
            num_listed=len(runner.test_dataloader.dataset),
            num_train=len(dataset),
            num_train_skipped=len(dataset.skipped) + len(failures),
            selection={'epoch': runner.epoch, 'steps': runner.iter // length.accumulate, 'how': 'last'},
            subset=self._describe_subset(resolved),
            batch_size=length.total_batch,
            num_processes=length.processes,
            notes=[*notes, *length.notes, scaling, *notes_on_stills(resolved), *self.notes(resolved)],
            sampling=describe_sampling(resolved),
        )

    def notes(self, resolved: ResolvedCell) -> list[str]:
        """Further sentences for the reader of a record."""
        return []

    @staticmethod
    def _num_readable(resolved: ResolvedCell, subset: list[int] | None) -> int:
        readable = resolved.dataset.readable('train')
        return sum(readable) if subset is None else sum(readable[i] for i in subset)

    @staticmethod
    def _subset(resolved: ResolvedCell) -> list[int] | None:
        cell = resolved.cell
        labels = cast('list[int]', [label for _, label in resolved.dataset.pairs('train')])  # several: see MultiLabel
        if cell.examples is not None:
            return examples_of_all(labels, cell.examples, resolved.dataset.num_classes, cell.seed)
        if cell.shots is None:
            return None
        return few_a_class(labels, cell.shots, cell.seed)

    def _describe_subset(self, resolved: ResolvedCell) -> dict | None:
        subset = self._subset(resolved)
        if subset is None:
            return None
        pairs, cell = resolved.dataset.pairs('train'), resolved.cell
        return {
            'name': subset_name(cell.shots, cell.examples),
            'seed': draw_seed(cell.seed) if cell.examples else cell.seed,
            'sha256': subset_sha256([pairs[i][0] for i in subset]),
        }

    def _model(self, resolved: ResolvedCell) -> dict:
        recipe, encoder = resolved.recipe, resolved.encoder
        settings = {'drop_path_rate': recipe['drop_path']} if recipe.get('drop_path') else {}
        blending = mixing(recipe, self.num_classes(resolved), resolved.cell.seed)
        normalise = recipe.get('normalise', {'mean': encoder.mean, 'std': encoder.std})
        return {
            'type': 'mmaction.Recognizer3D',
            'backbone': encoder.backbone(finetune=True, **settings),
            'cls_head': {
                'type': self.head,
                'num_classes': self.num_classes(resolved),
                'in_channels': encoder.info['embed_dims'],
                'dropout': recipe['head_dropout'],
                'init_scale': recipe['head_init_scale'],
                'label_smooth_eps': recipe['label_smoothing'],
                'average_clips': 'prob',
            }
            | ({'norm': False} if not recipe.get('head_norm', True) else {}),
            'data_preprocessor': {
                'type': 'eval.VideoPreprocessor',
                'mean': list(normalise['mean']),
                'std': list(normalise['std']),
                'format_shape': 'NCTHW',
            }
            | ({'blending': blending} if blending else {}),
        }

    def _train_pipeline(self, resolved: ResolvedCell) -> list[dict]:
        recipe = resolved.recipe
        finish = [
            *augmentation(recipe, resolved.dataset, resolved.encoder),
            {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
            PACK,
        ]
        if recipe.get('num_sample', 1) > 1:
            finish = [{'type': 'sigma.RepeatedAugmentation', 'num_samples': recipe['num_sample'], 'pipeline': finish}]
        return [
            {'type': 'sigma.OpenVideo', 'decoder': recipe['decoder']},
            sampler(resolved, test_mode=False),
            *self.labels(resolved, training=True),
            {'type': 'sigma.DecodeFrames', 'cache_megabytes': recipe.get('cache_megabytes', 0)},
            *control(recipe.get('frames')),
            *finish,
        ]

    def _test_pipeline(self, resolved: ResolvedCell) -> list[dict]:
        recipe = resolved.recipe
        return evaluation_pipeline(
            resolved.encoder.info['clip'],
            recipe['views'],
            stride_of(resolved),
            recipe['decoder'],
            recipe.get('frames'),
            sample=sampler(resolved, test_mode=True),
            label=self.labels(resolved, training=False),
        )


# --- how long, and at which learning rate -----


class Length:
    """Batches, passes and steps of a training, from its recipe and the number of readable clips.

    Attributes:
        batch: Clips per forward pass and process; at most as many as there are.
        accumulate: Forward passes per optimizer step.
        processes: Processes that train together.
        total_batch: Clips per optimizer step: processes x batch x accumulate.
        repeats: Passes over the list per epoch.
        steps: Forward passes per epoch and process.
        epochs: Of the whole training; with `num_steps` the last one may be cut.
        total: Forward passes of the whole training and process.
        cut: Entry of `train_cfg` that ends the training within its last epoch; empty where it ends with it.
        notes: Sentences for the record, where few clips made the batch smaller.
    """

    def __init__(self, recipe: dict, num_clips: int) -> None:
        self.processes = num_processes()
        self.batch = max(1, min(recipe['batch_size'], num_clips))
        # With `num_steps` an epoch is several passes; otherwise few clips would restart the loader every few steps.
        if recipe.get('epochs'):
            self.repeats = recipe.get('repeats', 1)
        else:
            self.repeats = max(1, 50 * self.batch // max(num_clips, 1))
        wanted = recipe.get('accumulate', 1)
        together = self.batch * self.processes
        self.accumulate = max(1, min(wanted, num_clips * self.repeats // together))
        self.total_batch = together * self.accumulate
        self.steps = max(1, num_clips * self.repeats // self.total_batch * self.accumulate)
        self.epochs = recipe.get('epochs') or -(-recipe['num_steps'] * self.accumulate // self.steps)
        whole = self.steps * self.epochs
        self.total = whole if recipe.get('epochs') else recipe['num_steps'] * self.accumulate
        self.cut = {'max_steps': self.total} if self.total < whole else {}
        self.notes = []
        if self.batch < recipe['batch_size']:
            self.notes.append(f'batch {self.batch} instead of {recipe["batch_size"]}: no more clips to train on')
        if self.accumulate < wanted:
            self.notes.append(f'{self.accumulate} accumulations instead of {wanted}: no more clips to train on')


def learning_rate(recipe: dict, length: Length) -> float:
    """`lr` as it is, or `base_lr` x total batch / 256."""
    return recipe['lr'] if 'lr' in recipe else recipe['base_lr'] * length.total_batch / 256


def describe_learning_rate(recipe: dict, length: Length) -> str:
    """How the learning rate follows from the recipe and the batch, as a sentence for log and record."""
    batch = (
        f'total batch {length.total_batch} = {length.processes} processes x {length.batch} clips x '
        f'{length.accumulate} accumulations'
    )
    if 'lr' in recipe:
        return f'learning rate {recipe["lr"]:g} whatever the batch; {batch}'
    return (
        f'learning rate {learning_rate(recipe, length):g} = {recipe["base_lr"]:g} x {length.total_batch} / 256; {batch}'
    )


def optimisation(recipe: dict, length: Length) -> dict:
    """Config of the optimizer and its wrapper: precision, layer-wise groups, accumulation.

    Raises:
        DataError: on an unknown precision.
    """
    precisions = {'fp32': 'mmengine.OptimWrapper', 'bf16': 'sigma.Bf16OptimWrapper'}
    precision = recipe.get('precision', 'fp32')
    if precision not in precisions:
        raise DataError(f'A recipe asks for the precision {precision!r}; known: {", ".join(precisions)}.')
    kind = recipe.get('optimizer', 'AdamW')
    settings: dict[str, Any] = {}
    if kind == 'SGD':
        settings = {'momentum': recipe['momentum']} | ({'nesterov': True} if recipe.get('nesterov') else {})
    else:
        settings = {'betas': tuple(recipe['betas'])}
    decays = {'decays': recipe['decays']} if 'decays' in recipe else {}
    return {
        'type': precisions[precision],
        'constructor': 'sigma.ParamGroups',
        'paramwise_cfg': {'layer_decay': recipe.get('layer_decay', 1.0)} | decays,
        'optimizer': {
            'type': kind,
            'lr': learning_rate(recipe, length),
            **settings,
            'weight_decay': recipe['weight_decay'],
        },
    } | ({'accumulative_counts': length.accumulate} if length.accumulate > 1 else {})


def schedule(recipe: dict, length: Length) -> list[dict]:
    """Configs of the schedulers, in forward passes: linear warm-up, then a cosine or steps at milestones."""
    total, peak = length.total, learning_rate(recipe, length)
    warmup = 0
    if 'warmup_epochs' in recipe:
        warmup = int(recipe['warmup_epochs'] * length.steps)
    elif recipe.get('warmup_share'):
        warmup = max(1, int(total * recipe['warmup_share']))
    parts = []
    if warmup:
        # Not quite 0: MMEngine multiplies the rate of the step before.
        start = min(1.0, max(recipe['warmup_lr'] / peak, 1e-9)) if 'warmup_lr' in recipe else 1e-3
        parts.append({'type': 'mmengine.LinearLR', 'start_factor': start, 'by_epoch': False, 'begin': 0, 'end': warmup})
    if 'milestones' in recipe:
        return [
            *parts,
            {
                'type': 'mmengine.MultiStepLR',
                'milestones': [epoch * length.steps for epoch in recipe['milestones']],
                'gamma': recipe['milestone_factor'],
                'by_epoch': False,
            },
        ]
    lowest = 1e-3
    if 'base_min_lr' in recipe:
        lowest = recipe['base_min_lr'] / recipe['base_lr']
    elif 'min_lr' in recipe:
        lowest = min(1.0, recipe['min_lr'] / peak)
    cosine = {
        'type': 'mmengine.CosineAnnealingLR',
        'eta_min_ratio': lowest,
        'by_epoch': False,
        'begin': warmup,
        'end': max(total, warmup + 1),
    }
    return [*parts, cosine]


# --- augmentation -----


def augmentation(recipe: dict, dataset: DatasetCard, encoder: EncoderCard) -> list[dict]:
    """Transforms from decoded frames to a square clip, in the published order; without a crop the whole frame."""
    size, steps = encoder.info['clip']['size'], []
    if recipe.get('rand_augment'):
        steps.append({'type': 'sigma.RandAugment', 'policy': recipe['rand_augment']})
    if recipe.get('crop_area') and 'resampling' in recipe:
        settings = {'area': tuple(recipe['crop_area']), 'resampling': recipe['resampling']}
        steps.append({'type': 'sigma.RandomAreaCrop', 'size': size} | settings)
    elif recipe.get('crop_area'):
        steps.append({'type': 'mmaction.RandomResizedCrop', 'area_range': tuple(recipe['crop_area'])})
        steps.append({'type': 'mmaction.Resize', 'scale': (size, size), 'keep_ratio': False})
    elif recipe.get('short_side_jitter'):
        steps.append({'type': 'sigma.ShortSideJitter', 'sides': tuple(recipe['short_side_jitter'])})
        steps.append({'type': 'mmaction.RandomCrop', 'size': size})
    else:
        steps += spatial_views(size, recipe['views'] | {'crops': 1})
    if recipe.get('flip') and (recipe.get('flip_anyway') or not dataset.info.get('flips_change_label')):
        steps.append({'type': 'sigma.FlipClip', 'probability': recipe['flip']})
    if recipe.get('colour_jitter'):
        factors = dict(zip(('brightness', 'contrast', 'saturation', 'hue'), recipe['colour_jitter'], strict=True))
        steps.append({'type': 'sigma.JitterColours'} | factors)
    if recipe.get('erase'):
        noise = {'mean': tuple(encoder.mean), 'std': tuple(encoder.std)}
        steps.append({'type': 'sigma.EraseRectangle', 'probability': recipe['erase']} | noise)
    return steps


def mixing(recipe: dict, num_classes: int, seed: int) -> dict | None:
    """Config of mixup and cutmix, one of the two per group of clips; None if the recipe has neither.

    `mix_together` of the recipe counts videos; each gives `num_sample` clips. Default: the batch of a forward pass.
    """
    if not recipe.get('mixup') and not recipe.get('cutmix'):
        return None
    return {
        'type': 'eval.MixClips',
        'num_classes': num_classes,
        'mixup': recipe.get('mixup', 0.0),
        'cutmix': recipe.get('cutmix', 0.0),
        'switch': recipe.get('mix_switch', 0.5),  # share of cutmix
        'clips_together': recipe.get('mix_together', recipe['batch_size']) * recipe.get('num_sample', 1),
        'seed': seed,
    }
