"""Test trained weights again, in one process; for several, use `tools/dist_test.sh`.

    python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] [--cfg-options key=value ...]
    python tools/test.py CARD@FILE --data DATASET [--recipe RECIPE]

CONFIG is any config with a model, test_dataloader and test_evaluator, such as the `...config.py` that
`eval/run_severe.py` writes next to the record of a fine-tuned cell. The weights of that cell are in its folder
(`cells/.../iter_N.safetensors`). Frozen protocols write no such config. This command prints scores but records nothing:
for scores to keep, use `eval/run_severe.py`, which also records how they were made.

The second form tests a released fine-tuned model with its own classifier: FILE is a fine-tuned checkpoint of SIGMA,
VideoMAE, MVD, MGMAE, VideoMAE V2, transformers or mmaction2, CARD an encoder card of its size, DATASET a dataset card
or prepared folder whose classes are in the order of the classifier's. The recipe sets the test views.
Bad input ends with one sentence and exit status 2.
"""

import argparse
import copy
import os
import sys
import tempfile
import warnings
from pathlib import Path

from sigma.commands import Parser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    from tools.train import SettingsAction

    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config of a cell, next to its record, or any config with a test; or CARD@FILE')
    parser.add_argument(
        'checkpoint', nargs='?', help='training state, or weights of the whole model: .safetensors or .pth'
    )
    parser.add_argument('--data', metavar='DATASET', help='dataset card or prepared folder, to test CARD@FILE on')
    parser.add_argument('--recipe', help="recipe of fine-tuning with the views, for CARD@FILE (default: the dataset's)")
    parser.add_argument('--work-dir', help='folder of the log (default: a temporary folder)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='key=value', help='settings to override'
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='set by tools/launch.py'
    )
    return parser.parse_args(argv)


def load_config(args: argparse.Namespace, work_dir: str):
    """The config with the runtime settings of this machine, and without what only training needs.

    Raises:
        DataError: if the config is missing, cannot be read, or has no test.
    """
    from mmengine.config import Config

    from sigma.data.cards import CONFIG_ROOT, read_config
    from sigma.errors import DataError
    from tools.train import apply_options

    cfg = released(args).config if args.data else read_test(args)
    cfg = Config(copy.deepcopy(cfg)) if isinstance(cfg, dict) else cfg
    apply_options(cfg, args.cfg_options or {}, args.config)
    wanted = ('model', 'test_dataloader', 'test_evaluator')
    missing = [name for name in wanted if not cfg.get(name)]
    if missing:
        raise DataError(f'Config {args.config} has no {" and no ".join(missing)}, so there is nothing to test.')
    runtime = read_config(CONFIG_ROOT / '_base_' / 'default_runtime.py').to_dict()
    kept = ('default_scope', 'custom_imports', 'runner_type', 'randomness', 'test_cfg', *wanted)
    settings = {name: runtime[name] for name in ('env_cfg', 'log_processor', 'log_level', 'visualizer')}
    settings |= {name: value for name, value in cfg.to_dict().items() if name in kept}
    settings.setdefault('test_cfg', {'type': 'mmengine.TestLoop'})
    settings['default_hooks'] = {'sampler_seed': None, 'checkpoint': None, 'param_scheduler': None, 'logger': None}
    # MMEngine identifies loggers by this name and the time in seconds; two tests in one process must not share one.
    settings['experiment_name'] = Path(work_dir).name
    return Config(settings | {'work_dir': work_dir, 'launcher': args.launcher})


def read_test(args: argparse.Namespace):
    """The config in the file CONFIG.

    Raises:
        DataError: if it is missing or cannot be read.
    """
    from mmengine.config import Config

    from sigma.data.cards import read_config
    from sigma.errors import DataError

    if not Path(args.config).is_file():
        raise DataError(f'Config {args.config} is not there; give the ...config.py next to a record.')
    try:
        cfg = read_config(args.config)
        return Config(cfg['config'].to_dict()) if 'config' in cfg else cfg  # the form of a config next to a record
    except Exception as error:
        raise DataError(f'Config {args.config} cannot be read: {error}') from None


def released(args: argparse.Namespace):
    """The cell that fine-tunes the encoder CARD@FILE on DATASET: its model and test fit a released fine-tuned file.

    Raises:
        DataError: if no file is named, or a card, recipe or dataset is unknown.
    """
    from eval.cells.cell import Cell, ResolvedCell
    from eval.cells.encoders import load_encoder_card
    from eval.protocols import get_protocol
    from sigma.configs import own_recipe
    from sigma.errors import DataError

    if '@' not in args.config or args.checkpoint:
        raise DataError(
            f'With --data, give one CARD@FILE and nothing else; found {args.config} {args.checkpoint or ""}.'
        )
    recipe = args.recipe or own_recipe(args.data, 'finetune') or 'finetune_{family}'
    recipe = recipe.replace('{family}', load_encoder_card(args.config).family)
    return ResolvedCell(Cell('finetune', args.data, recipe, args.config, 0), get_protocol('finetune'))


def subject(args: argparse.Namespace, work_dir: str):
    """The config of the test, and a function that loads the weights into its model.

    Raises:
        DataError, CheckpointError: if a file is missing, cannot be read, or does not fit.
    """
    from sigma.checkpoints.encoder import load_fine_tuned
    from sigma.checkpoints.files import load_strictly, read_weights
    from sigma.errors import DataError

    if args.data:
        cfg, loading = load_config(args, work_dir), released(args).encoder.loading(finetune=True)
        return cfg, lambda model: load_fine_tuned(model.backbone, model.cls_head, **loading)
    if args.checkpoint is None:
        raise DataError(
            f'{args.config} was given without a checkpoint; give CONFIG CHECKPOINT, or CARD@FILE --data DATASET.'
        )
    weights = read_weights(args.checkpoint).tensors
    return load_config(args, work_dir), lambda model: load_strictly(model, weights, args.checkpoint)


def main(argv: list[str] | None = None) -> int:
    """Build the model, load all weights, test, print; return the exit status."""
    from tools.train import end_with_torchrun, is_lost_connection, leave_group, one_sentence, say_once

    args = parse_args(argv)
    end_with_torchrun()
    warnings.filterwarnings('ignore', message='.*broadcast_buffers.*')  # mmengine passes it to torch's DDP
    from mmengine.dist import is_main_process
    from mmengine.model import is_model_wrapper
    from mmengine.runner import Runner

    from sigma import engine  # noqa: F401 - registers what configs name
    from sigma.data.loading import LoaderError, explain
    from sigma.errors import CheckpointError, DataError
    from sigma.registry import RUNNERS

    try:
        with tempfile.TemporaryDirectory(prefix='sigma-test-') as folder:
            cfg, load = subject(args, args.work_dir or folder)
            runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
            load(runner.model.module if is_model_wrapper(runner.model) else runner.model)
            found = runner.test()
            if is_main_process():
                print_found(found, runner)
        leave_group()
    except LoaderError as error:
        say_once(f'test: {one_sentence(error)}')
        return 1
    except (DataError, CheckpointError, KeyError, ValueError, TypeError, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        say_once(f'test: {one_sentence(error)}')
        return 2
    except RuntimeError as error:
        if said := explain(error):
            say_once(f'test: {said}')
            return 1
        if args.launcher == 'none' or not is_lost_connection(error):
            raise
        say_once('test: another process of this test has died; run the command again.')
        return 1
    return 0


def print_found(found: dict, runner) -> None:
    """Print each metric with the number of videos behind it, and the videos without a score."""
    metric = runner.test_evaluator.metrics[0]
    listed, unscored = len(runner.test_dataloader.dataset), getattr(metric, 'unscored', [])
    for name, value in found.items():
        print(f'{name}: {value:.4f} ({listed - len(unscored)} of {listed} videos)')
    for video in unscored:
        print(f'not scored: {video["video"]}: {video["reason"]}')
    if not found:
        print('no video could be scored')


if __name__ == '__main__':
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: Python has a package named `test`
    from tools.train import end

    end(main())
