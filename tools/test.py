"""Test trained weights under a config again, on one process; several go through `tools/dist_test.sh`.

    python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] [--cfg-options key=value ...]

CONFIG is the one that `eval/run_severe.py` left beside the record of a fine-tuned cell (`...config.py`), whose trained
weights lie in the cell's folder (`cells/.../iter_N.safetensors`), or any config with a model, test_dataloader and
test_evaluator; frozen protocols leave none of these. What comes out is printed, and no record is made: a number to
keep comes from `eval/run_severe.py`, which knows where it comes from.
Bad input ends in one sentence and exit status 2.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    from tools.train import settings_action

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help="a cell's, beside its record; or any with a test")
    parser.add_argument('checkpoint', help='training state or weights of the whole model, .safetensors or .pth')
    parser.add_argument('--work-dir', help='folder of the log; default one that goes away')
    parser.add_argument('--cfg-options', nargs='+', action=settings_action(), help='settings to override, key=value')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    return parser.parse_args(argv)


def load_config(args: argparse.Namespace, work_dir: str):
    """The config with what a machine decides, and without what is only for training.

    Raises:
        DataError: if the config is absent, does not parse, or has no test.
    """
    from mmengine.config import Config

    from sigma.data.cards import CONFIG_ROOT, read_config
    from sigma.errors import DataError

    if not Path(args.config).is_file():
        raise DataError(f'Config {args.config} is not there; give the one beside a record, ...config.py.')
    try:
        cfg = read_config(args.config)
        cfg = Config(cfg['config'].to_dict()) if 'config' in cfg else cfg  # as it stands beside a record
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
    except Exception as error:
        raise DataError(f'Config {args.config} cannot be read: {error}') from None
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
    # MMEngine keeps loggers by this name and the second: two tests of one process must not share one.
    settings['experiment_name'] = Path(work_dir).name
    return Config(settings | {'work_dir': work_dir, 'launcher': args.launcher})


def main(argv: list[str] | None = None) -> int:
    """Build, load whole, test, print; return the exit status."""
    from tools.train import end_with_torchrun, is_lost_connection, leave_group, one_sentence, say_once

    args = parse_args(argv)
    end_with_torchrun()
    warnings.filterwarnings('ignore', message='.*broadcast_buffers.*')  # mmengine passes it to torch's DDP
    from mmengine.dist import is_main_process
    from mmengine.model import is_model_wrapper
    from mmengine.runner import Runner

    from sigma import engine  # noqa: F401 - registers what configs name
    from sigma.checkpoints.files import load_strictly, read_weights
    from sigma.errors import CheckpointError, DataError
    from sigma.registry import RUNNERS

    try:
        weights = read_weights(args.checkpoint).tensors
        with tempfile.TemporaryDirectory(prefix='sigma-test-') as folder:
            cfg = load_config(args, args.work_dir or folder)
            runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            load_strictly(model, weights, args.checkpoint)
            found = runner.test()
            if is_main_process():
                print_found(found, runner)
        leave_group()
    except (DataError, CheckpointError, KeyError, ValueError, TypeError, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        say_once(f'test: {one_sentence(error)}')
        return 2
    except RuntimeError as error:
        if args.launcher == 'none' or not is_lost_connection(error):
            raise
        say_once('test: another process of this test is gone; run the command again.')
        return 1
    return 0


def print_found(found: dict, runner) -> None:
    """Each metric, how many videos it is of, and those that have no score."""
    metric = runner.test_evaluator.metrics[0]
    listed, unscored = len(runner.test_dataloader.dataset), getattr(metric, 'unscored', [])
    for name, value in found.items():
        print(f'{name}: {value:.4f} ({listed - len(unscored)} of {listed} videos)')
    for video in unscored:
        print(f'not scored: {video["video"]}: {video["reason"]}')
    if not found:
        print('no video could be scored')


if __name__ == '__main__':
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: a package of Python's is called `test`
    from tools.train import end

    end(main())
