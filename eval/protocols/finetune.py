"""Fine-tuning of the whole encoder with labels, on all training clips or on a few of each class.

Versions: 1 (2026-11-21).
"""

from pathlib import Path

from mmengine.config import Config

from eval.machine import machine_settings
from eval.protocols.base import Outcome, Protocol
from eval.subsets import draw_seed, examples_of_all, few_a_class, subset_sha256
from eval.views import PACK, control, evaluation_pipeline, spatial_views, stride_of
from sigma.engine.diagnostics import DiagnosticsHook
from sigma.registry import RUNNERS


class Finetune(Protocol):
    """mmaction2's Recognizer3D: encoder, mean over tokens, norm, linear; AdamW with layer decay; the last epoch."""

    name = 'finetune'
    version = 1
    source = 'SIGMA and VideoMAE fine-tuning; SEVERE (ECCV 2022) for its use on few clips'

    def config(self, resolved) -> dict:
        """A whole MMEngine config but for the work directory and what the machine decides."""
        recipe, encoder, dataset = resolved.recipe, resolved.encoder, resolved.dataset
        clip, stride = encoder.info['clip'], stride_of(resolved)
        subset = self._subset(resolved)
        train = dataset.entries('train')
        kept = [train[i] for i in subset] if subset is not None else train
        num_readable = sum(entry['reason'] is None for entry in kept)
        batch = max(1, min(recipe['batch_size'], num_readable))
        # With a number of steps, an epoch is several passes: few clips do not start the loader every other step.
        repeats = 1 if recipe.get('epochs') else max(1, 50 * batch // max(num_readable, 1))
        steps = max(1, num_readable * repeats // batch)
        epochs = recipe.get('epochs') or -(-recipe['num_steps'] // steps)
        source = {'type': 'sigma.VideoClips', 'card': resolved.cell.dataset}
        return {
            'default_scope': 'mmaction',
            'custom_imports': {'imports': ['eval.registry'], 'allow_failed_imports': False},
            'runner_type': 'sigma.Runner',
            'model': self._model(resolved),
            'train_dataloader': {
                'batch_size': batch,
                'sampler': {'type': 'sigma.EpochSampler', 'repeats': repeats},
                'dataset': source
                | {
                    'split': 'train',
                    'subset': subset,
                    'pipeline': self._train_pipeline(recipe, clip, stride),
                },
            },
            'test_dataloader': {
                'batch_size': recipe['test_batch_size'],
                'sampler': {'type': 'mmengine.DefaultSampler', 'shuffle': False},
                'dataset': source
                | {
                    'split': 'test',
                    'test_mode': True,
                    'pipeline': evaluation_pipeline(
                        clip, recipe['views'], stride, recipe['decoder'], recipe.get('frames')
                    ),
                },
            },
            'test_evaluator': {'type': 'eval.KeepPredictions', 'metric': self.metric_of(resolved)},
            'test_cfg': {'type': 'mmengine.TestLoop'},
            'train_cfg': {'type': 'sigma.TrainLoop', 'max_epochs': epochs},
            'randomness': {'seed': resolved.cell.seed},
            **self._optimisation(recipe, batch, steps * epochs),
        }

    def run(self, resolved, work_dir: Path) -> Outcome:
        """Train, test, and take the predictions of the last epoch."""
        config = Config(resolved.config | machine_settings(resolved, work_dir))
        runner = RUNNERS.build(config)
        runner.train()
        runner.test()
        metric = runner.test_evaluator.metrics[0]
        dataset = runner.train_dataloader.dataset
        batch = resolved.config['train_dataloader']['batch_size']
        failures = next(hook.failures for hook in runner.hooks if isinstance(hook, DiagnosticsHook))
        notes = [f'not decoded in training, next video taken: {failure}' for failure in failures]
        if batch < resolved.recipe['batch_size']:
            notes.append(f'batch {batch} instead of {resolved.recipe["batch_size"]}: no more clips to train on')
        return Outcome(
            videos=metric.videos,
            labels=metric.labels,
            scores=metric.scores,
            unscored=metric.unscored,
            num_listed=len(runner.test_dataloader.dataset),
            num_train=len(dataset),
            num_train_skipped=len(dataset.skipped) + len(failures),
            selection={'epoch': runner.epoch, 'how': 'last'},
            subset=self._describe_subset(resolved),
            batch_size=batch,
            notes=notes,
        )

    @staticmethod
    def _subset(resolved) -> list[int] | None:
        cell = resolved.cell
        labels = [label for _, label in resolved.dataset.pairs('train')]
        if cell.examples is not None:
            return examples_of_all(labels, cell.examples, resolved.dataset.num_classes, cell.seed)
        if cell.shots is None:
            return None
        return few_a_class(labels, cell.shots, cell.seed)

    def _describe_subset(self, resolved) -> dict | None:
        subset = self._subset(resolved)
        if subset is None:
            return None
        pairs, cell = resolved.dataset.pairs('train'), resolved.cell
        return {
            'name': f'{cell.examples}_examples' if cell.examples else f'{cell.shots}_a_class',
            'seed': draw_seed(cell.seed) if cell.examples else cell.seed,
            'sha256': subset_sha256([pairs[i][0] for i in subset]),
        }

    @staticmethod
    def _model(resolved) -> dict:
        recipe, encoder = resolved.recipe, resolved.encoder
        settings = {'drop_path_rate': recipe['drop_path']} if recipe['drop_path'] else {}
        return {
            'type': 'mmaction.Recognizer3D',
            'backbone': encoder.backbone(finetune=True, **settings),
            'cls_head': {
                'type': 'eval.TokenHead',
                'num_classes': resolved.dataset.num_classes,
                'in_channels': encoder.info['embed_dims'],
                'dropout': recipe['head_dropout'],
                'init_scale': recipe['head_init_scale'],
                'label_smooth_eps': recipe['label_smoothing'],
                'average_clips': 'prob',
            },
            'data_preprocessor': {
                'type': 'eval.VideoPreprocessor',
                'mean': list(encoder.mean),
                'std': list(encoder.std),
                'format_shape': 'NCTHW',
            },
        }

    @staticmethod
    def _train_pipeline(recipe: dict, clip: dict, stride: int) -> list[dict]:
        size = clip['size']
        crop = []
        if recipe['crop_area']:
            crop = [{'type': 'mmaction.RandomResizedCrop', 'area_range': tuple(recipe['crop_area'])}]
            crop.append({'type': 'mmaction.Resize', 'scale': (size, size), 'keep_ratio': False})
        return [
            {'type': 'sigma.OpenVideo', 'decoder': recipe['decoder']},
            {'type': 'sigma.SampleDense', 'num_frames': clip['num_frames'], 'stride_frames': stride},
            {'type': 'sigma.DecodeFrames', 'cache_megabytes': recipe.get('cache_megabytes', 0)},
            *control(recipe.get('frames')),
            *(crop or spatial_views(size, recipe['views'] | {'crops': 1})),
            {'type': 'mmaction.FormatShape', 'input_format': 'NCTHW'},
            PACK,
        ]

    @staticmethod
    def _optimisation(recipe: dict, batch: int, total_steps: int) -> dict:
        """Learning rate base_lr x batch / 256, linear warm-up, cosine per step."""
        warmup = max(1, int(total_steps * recipe['warmup_share']))
        return {
            'optim_wrapper': {
                'type': 'mmengine.OptimWrapper',
                'constructor': 'sigma.ParamGroups',
                'paramwise_cfg': {'layer_decay': recipe['layer_decay']},
                'optimizer': {
                    'type': 'AdamW',
                    'lr': recipe['base_lr'] * batch / 256,
                    'betas': tuple(recipe['betas']),
                    'weight_decay': recipe['weight_decay'],
                },
            },
            'param_scheduler': [
                {
                    'type': 'mmengine.LinearLR',
                    'start_factor': 1e-3,
                    'by_epoch': False,
                    'begin': 0,
                    'end': warmup,
                },
                {
                    'type': 'mmengine.CosineAnnealingLR',
                    'eta_min_ratio': 1e-3,
                    'by_epoch': False,
                    'begin': warmup,
                    'end': max(total_steps, warmup + 1),
                },
            ],
        }
