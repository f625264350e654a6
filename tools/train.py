"""Train a config: pretraining or fine-tuning, in one process. For several processes, use `tools/dist_train.sh`.

    python tools/train.py CONFIG [--data CARD]... [--work-dir DIR] [--resume [FILE]] [--amp] [--compile] [--seed N]
        [--tensorboard] [--tracker wandb|mlflow] [--knn CARD [--knn-every N] [--knn-k K]] [--stop-at-collapse]
        [--live [FILE.html]] [--doctor] [--cfg-options key=value ...]

Exit status: 2 for bad input, with one sentence; 3 if training has to stop (a loss is NaN); 1 if a process of the run
has died or a video hangs its reader; 130 after an interrupt; 75 if the run was told to end by SIGTERM or SIGUSR1, after
it has saved its state.
"""

import argparse
import atexit
import ctypes
import errno
import importlib.util
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sigma.commands import Parser, add_version, outlive_readers

TRACKERS = {'wandb': 'sigma.WandbBackend', 'mlflow': 'sigma.MLflowBackend'}  # also the names of the packages
SECONDS_TO_END = 30  # for the end of the interpreter, which may wait for a process of the loader that hangs
SAVED = re.compile(r'iter_(\d+)\.safetensors')  # the names of sigma.CheckpointHook, which is imported later


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(description=__doc__)
    add_version(parser)
    parser.add_argument('config', help='config file, such as those in mmaction_configs/pretrain')
    data = 'dataset card or prepared folder to train on, instead of the one in the config; repeat it for a joint pool'
    parser.add_argument('--data', action='append', metavar='CARD', help=data)
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<config name>)')
    resume = 'continue from the newest checkpoint of the work directory, or from FILE'
    parser.add_argument('--resume', nargs='?', const='auto', metavar='FILE', help=resume)
    parser.add_argument('--amp', action='store_true', help='train in bfloat16, on a GPU or a CPU')
    parser.add_argument('--compile', action='store_true', help='compile the transformer blocks with torch.compile')
    parser.add_argument(
        '--seed', type=int, help='for weights, order, crops and masks (default: from the config, else 0)'
    )
    parser.add_argument(
        '--tensorboard', action='store_true', help='also write TensorBoard logs (needs the extra `optional`)'
    )
    parser.add_argument(
        '--tracker', choices=TRACKERS, help='also log to Weights & Biases or MLflow (needs the extra `trackers`)'
    )
    parser.add_argument('--knn', metavar='CARD', help='score the features by nearest neighbours on this dataset card')
    parser.add_argument(
        '--knn-every', type=int, default=10, metavar='N', help='epochs between these scores (default: 10)'
    )
    parser.add_argument(
        '--knn-k', type=int, metavar='K', help='neighbours that vote (default: the root of their number, at most 200)'
    )
    parser.add_argument(
        '--stop-at-collapse', action='store_true', help='save and stop when the features collapse, instead of warning'
    )
    live = 'keep a page of progress, curves and alarms fresh while training (default: live.html in the work directory)'
    parser.add_argument('--live', nargs='?', const='', metavar='FILE.html', help=live)
    doctor = 'read a few batches, make one step, say what to change before training (data, prototypes, steps), and exit'
    parser.add_argument('--doctor', action='store_true', help=doctor)
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='key=value', help='settings to override'
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='set by tools/launch.py'
    )
    return parser.parse_args(argv)


class SettingsAction(argparse.Action):
    """MMEngine's `DictAction`, imported only when it is used, and with a clear error for a setting without `=`."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for setting in values:
            if '=' not in setting:
                parser.error(f'{option_string} takes key=value, found {setting!r}.')
        from mmengine.config import DictAction

        action = DictAction(self.option_strings, self.dest, self.nargs)
        action(parser, namespace, values, option_string)


def load_config(args: argparse.Namespace):
    """The config, with the settings of the command line applied.

    Raises:
        DataError: if the config or the checkpoint to resume from is missing or cannot be read, or settings conflict.
    """
    from sigma.data.cards import read_config
    from sigma.errors import DataError

    check_names(args)
    try:
        cfg = read_config(args.config)
    except Exception as error:
        raise DataError(f'Config {args.config} cannot be read: {error}') from None
    first = rank(args.launcher) == 0
    for sentence in apply_options(cfg, args.cfg_options or {}, args.config):
        if first:
            print(f'train: {sentence}', file=sys.stderr, flush=True)
    if 'model' not in cfg or 'train_dataloader' not in cfg:
        raise DataError(f'Config {args.config} has no model or train_dataloader, so there is nothing to train.')
    if args.data:
        set_data(cfg, args.data, args.config)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if Path(cfg.work_dir).exists() and not Path(cfg.work_dir).is_dir():
        raise DataError(f'--work-dir {cfg.work_dir} is not a folder; give another.')
    cfg.launcher = args.launcher
    if args.seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=args.seed)
    if args.amp and 'optim_wrapper' not in cfg:
        raise DataError(f'--amp needs an optim_wrapper, which {args.config} does not have.')
    if args.amp:
        cfg.optim_wrapper.type = 'sigma.Bf16OptimWrapper'
    if args.compile:
        cfg.compile = True
    if args.tensorboard:
        add_backend(cfg, '--tensorboard', 'tensorboard', 'optional', {'type': 'sigma.TensorboardBackend'})
    if args.tracker:
        backend = {'type': TRACKERS[args.tracker], 'run_dir': cfg.work_dir}
        add_backend(cfg, f'--tracker {args.tracker}', args.tracker, 'trackers', backend)
    if args.knn:
        from sigma.engine.knn import online_knn

        cfg.custom_hooks = [*cfg.get('custom_hooks', []), online_knn(cfg, args.knn, args.knn_every, args.knn_k)]
    if args.stop_at_collapse:
        stop_at_collapse(cfg, args.config)
    return cfg


def check_names(args: argparse.Namespace) -> None:
    """Check that the config and the datasets are there. Imports no torch, so that a typo is told at once.

    Raises:
        DataError: if one is not.
    """
    from sigma.data.cards import find_card
    from sigma.errors import DataError, nearest

    config = Path(args.config)
    if not config.is_file():
        folder = Path('mmaction_configs', 'pretrain')
        names = [path.stem for path in (Path(__file__).resolve().parents[1] / folder).glob('*.py')]
        close = nearest(config.stem, names)
        advice = f'Did you mean {folder / close}.py?' if close else f'{folder} holds the configs of this project.'
        raise DataError(f'Config {args.config} is not there. {advice}')
    for card in args.data or []:
        find_card('datasets', card)


def set_data(cfg, cards: list[str], config: str) -> None:
    """Make the config train on these cards: any path is a path, whatever characters it has.

    Raises:
        DataError: if there is no such card, or the training dataset of the config takes none.
    """
    from sigma.errors import DataError

    dataset = cfg.train_dataloader.dataset
    if 'card' not in dataset:
        raise DataError(f'--data needs a config whose training dataset has a card; {config} has {dataset.get("type")}.')
    dataset.card = cards[0] if len(cards) == 1 else cards


def apply_options(cfg, options: dict, config: str) -> list[str]:
    """Apply `--cfg-options`; where they change the length of the training, its schedule follows.

    Returns:
        Sentences on what followed.

    Raises:
        DataError: if nothing reads a setting, or settings conflict.
    """
    from sigma.engine.options import check_options
    from sigma.engine.schedule import follow_length
    from sigma.errors import DataError

    check_options(cfg.to_dict(), options)
    former = dict(cfg.get('train_cfg') or {})
    try:
        cfg.merge_from_dict(options)
    except Exception as error:
        raise DataError(f'Config {config} does not take these --cfg-options: {error}') from None
    return follow_length(cfg, options, former) if cfg.get('train_cfg') else []


def add_backend(cfg, option: str, package: str, extra: str, backend: dict) -> None:
    """Add a backend of MMEngine's visualizer to the others.

    Raises:
        DataError: if its package is not installed; names the extra that installs it.
    """
    from sigma.errors import DataError

    if importlib.util.find_spec(package) is None:
        raise DataError(
            f'{option} needs the package {package}, which is not installed; it is in the extra `{extra}`: '
            f'pip install -r requirements/{extra}.txt'
        )
    visualizer = cfg.get('visualizer') or {'type': 'mmengine.Visualizer', 'vis_backends': []}
    cfg.visualizer = {**visualizer, 'vis_backends': [*visualizer.get('vis_backends', []), backend]}


def stop_at_collapse(cfg, config: str) -> None:
    """Make the collapse alarm of the config save and stop.

    Raises:
        DataError: if the config has no alarm.
    """
    from sigma.errors import DataError

    alarms = [hook for hook in cfg.get('custom_hooks', []) if hook['type'] == 'sigma.CollapseHook']
    if not alarms:
        raise DataError(f'--stop-at-collapse needs sigma.CollapseHook among the custom_hooks of {config}.')
    for hook in alarms:
        hook['stop'] = True


def set_resume(cfg, resume: str | None) -> None:
    """Set the checkpoint to resume from. Refuse a fresh start in a folder with checkpoints, so none is overwritten."""
    from sigma.engine.resume import check_readable
    from sigma.errors import DataError

    pointer = Path(cfg.work_dir) / 'last_checkpoint'
    saved = {int(m[1]): p for p in Path(cfg.work_dir).glob('iter_*.safetensors') if (m := SAVED.fullmatch(p.name))}
    if resume is None:
        if saved or pointer.is_file():
            newest = saved[max(saved)] if saved else pointer.read_text(errors='replace').strip()
            raise DataError(
                f'{cfg.work_dir} already holds a run (newest checkpoint {newest}); continue it with --resume, or give '
                'another --work-dir.'
            )
        return
    cfg.resume = True
    if resume != 'auto':
        if not Path(resume).is_file():
            raise DataError(f'Checkpoint {resume} is not there, so nothing can be resumed from it.')
        number = SAVED.fullmatch(Path(resume).name)
        newer = [path.name for steps, path in saved.items() if number is None or steps > int(number[1])]
        if newer:
            raise DataError(
                f'{cfg.work_dir} holds later checkpoints than {resume} ({", ".join(sorted(newer))}), and the new ones '
                'would mix with them; give another --work-dir.'
            )
        cfg.load_from = resume
    elif pointer.is_file():
        name = Path(pointer.read_text(errors='replace').strip()).name
        newest = Path(cfg.work_dir) / name  # the folder may have moved
        if not newest.is_file():
            advice = f'give --resume {saved[max(saved)]}' if saved else 'give --resume FILE or clear the folder'
            found = f'names {newest}, which is not there' if name else 'is empty'
            raise DataError(f'{pointer} {found}; {advice}.')
        check_readable(newest, saved)
        cfg.load_from = str(newest)
    elif saved:  # the pointer was never written, or is lost; a file with this name is always complete
        cfg.load_from = str(saved[max(saved)])
    else:
        cfg.resume = False  # nothing to resume yet: the same command also starts a run


def main(argv: list[str] | None = None) -> int:
    """Check what was asked, then train; return the exit status."""
    outlive_readers()
    args = parse_args(argv)
    end_with_torchrun()
    from sigma.errors import DataError
    from sigma.text import one_line

    try:
        check_names(args)
        return run(args, sys.argv[1:] if argv is None else argv)
    except DataError as error:
        say_once(f'train: {one_line(str(error))}')
        return 2
    except KeyboardInterrupt:  # while torch is imported; `run` answers later ones
        say_once('train: interrupted before training began; run the same command again.')
        return 130


def run(args: argparse.Namespace, words: list[str]) -> int:
    """Build the runner and train; return the exit status. `words` are those of the command line, for the live page."""
    logging.raiseExceptions = False  # report a full disk once, not for every line of the log
    warnings.filterwarnings('ignore', message='.*broadcast_buffers.*')  # mmengine passes it to torch's DDP
    from eval.report.live.keeper import training_page
    from sigma.data.loading import LoaderError, explain
    from sigma.engine.diagnostics import TrainingStopped
    from sigma.engine.preemption import Preempted
    from sigma.errors import CheckpointError, DataError

    try:
        cfg = load_config(args)
        if args.doctor:
            from sigma.engine.doctor import examine, in_words

            print(in_words(examine(cfg)))
            return 0
        with claimed(cfg.work_dir, rank(args.launcher)):
            set_resume(cfg, args.resume)
            live = args.live if rank(args.launcher) == 0 else None
            with training_page(live, cfg.work_dir, words) as tell:
                train(cfg, tell)
        leave_group()
    except Preempted as ended:
        say_once(f'train: {ended}')
        leave_group()
        return os.EX_TEMPFAIL
    except LoaderError as error:
        say_once(f'train: {one_sentence(error)} Run the same command with --resume to continue.')
        return 1
    except (DataError, CheckpointError, KeyError, ValueError, TypeError, TrainingStopped, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        say_once(f'train: {one_sentence(error)}')
        return 3 if isinstance(error, TrainingStopped) else 2
    except KeyboardInterrupt:
        say_once(
            'train: interrupted; run the same command with --resume to continue from the newest checkpoint, if any.'
        )
        return 130
    except RuntimeError as error:
        if said := explain(error):
            say_once(f'train: {said} Run the same command with --resume to continue.')
            return 1
        if args.launcher == 'none' or not is_lost_connection(error):
            raise
        say_once('train: another process of this run has died; run the same command with --resume to continue.')
        return 1
    return 0


def train(cfg, tell: Callable[..., None] = lambda **_: None) -> None:
    """Build the runner, train, and say what the next command is.

    Args:
        cfg: The config.
        tell: Is told `total`, the number of steps.
    """
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from sigma.engine import CheckpointHook
    from sigma.engine.preemption import deferring_signals
    from sigma.engine.schedule import ends_apart
    from sigma.engine.what_next import what_next
    from sigma.registry import RUNNERS  # noqa: I001 - also applies sigma.compat

    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if 'max_epochs' in cfg.get('train_cfg', {}):
        apart = ends_apart(cfg.get('param_scheduler'), cfg.train_cfg.max_epochs, len(runner.train_dataloader))
        if apart:
            runner.logger.warning(apart)
        tell(total=cfg.train_cfg.max_epochs * len(runner.train_dataloader))
    saves = any(isinstance(hook, CheckpointHook) for hook in runner.hooks)  # MMEngine's own hook would not save
    with deferring_signals(*signals_to_defer()) if saves else nullcontext():
        runner.train()
    if is_main_process():
        for line in what_next(cfg):
            print(line, flush=True)


@contextmanager
def claimed(work_dir: str, rank: int) -> Iterator[None]:
    """Hold the work directory inside the block, so that no second training writes there; the first process does.

    Raises:
        DataError: if another training holds it; names its host, process and start.
    """
    from sigma.claims import claim_or_refuse

    if rank != 0:
        yield
        return
    with claim_or_refuse(work_dir, 'training', lambda text: print(f'train: {text}', file=sys.stderr, flush=True)):
        yield


def rank(launcher: str) -> int:
    """Number of this process, from what its launcher set; before the processes are joined."""
    variable = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}.get(launcher, '')
    return int(os.environ.get(variable, '0'))


def signals_to_defer() -> tuple[signal.Signals, ...]:
    """SIGTERM and SIGUSR1; under torchrun only SIGUSR1, since torchrun sends SIGTERM after another process has died."""
    return (signal.SIGUSR1,) if 'TORCHELASTIC_RUN_ID' in os.environ else (signal.SIGTERM, signal.SIGUSR1)


def end_with_torchrun() -> None:
    """Let the kernel end this process when its torchrun dies, even by SIGKILL.

    Otherwise it would keep training and write into the same folder as the run that the user starts next.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ and sys.platform == 'linux':
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def leave_group() -> None:
    """Close the connections to other processes, if any; exiting with open connections may abort the interpreter."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether an error comes from gloo, NCCL or the store, because another process was killed."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or bool(re.search(r'\bgloo\b|Connection (closed|reset) by peer', str(error)))


def say_once(sentence: str) -> None:
    """Print an error from one process only: the first one that gets here."""
    folder = os.environ.get('SIGMA_LAUNCH')  # of tools/launch.py, on this machine
    if folder is not None:
        try:
            (Path(folder) / 'said').touch(exist_ok=False)
        except FileExistsError:
            return
        except OSError:  # the launcher is gone, or /tmp is full
            pass
    print(sentence, file=sys.stderr, flush=True)


def one_sentence(error: Exception) -> str:
    """The message of an error on one line. MMEngine wraps the error of a part in a longer one; we take the inner."""
    from sigma.engine.diagnostics import TrainingStopped
    from sigma.errors import CheckpointError, DataError
    from sigma.text import one_line

    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, (CheckpointError, DataError, TrainingStopped)):
        cause = cause.__cause__
    text = str(cause.args[0] if cause.args and not isinstance(cause, OSError) else cause)
    if isinstance(cause, OSError) and cause.filename is not None and cause.strerror:
        text = f"'{cause.filename}' cannot be used: {cause.strerror}"
    if 'Original Traceback' in text:  # from a process of the loader: the last line is the error
        text = text.strip().splitlines()[-1].partition(': ')[2]
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) and cause.filename is None:
        text += (
            ': a file of the run, such as its log, could not be written; the newest checkpoint stays. Make room, then '
            'run the same command with --resume to continue.'
        )
    text = one_line(text)
    return text if len(text) < 600 else f'{text[:600]} ... (SIGMA_TRACEBACK=1 shows all)'


def end(status: int) -> None:
    """End this process; under torchrun, without the usual teardown of the interpreter.

    Tearing down the threads of torch and gloo aborted about one in twelve complete runs of two processes (SIGABRT,
    "terminate called without an active exception"), so the launcher saw a failure.
    """
    last_resort = threading.Timer(SECONDS_TO_END, os._exit, [status])
    last_resort.daemon = True
    last_resort.start()
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        sys.exit(status)
    atexit._run_exitfuncs()  # ends the loader's processes, flushes logs
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    end(main())
