"""Train a config: pretraining or fine-tuning, on one process; several go through `tools/dist_train.sh`.

    python tools/train.py CONFIG [--work-dir DIR] [--resume [FILE]] [--amp] [--compile] [--seed N] [--tensorboard]
        [--knn CARD [--knn-every N]] [--stop-at-collapse] [--cfg-options key=value ...]

`--resume` goes on from the newest checkpoint of the work directory, or from FILE. `--knn` scores the features by
nearest neighbours on a labelled card, every ten epochs and after the last.
Bad input ends in one sentence and status 2; training that has to stop (a loss that is not a number), in status 3; a
process whose fellows are gone, in status 1; an interrupt in status 130. A run that is told to end by SIGTERM or SIGUSR1
saves its state after the step and ends in status 75.
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
import warnings
from contextlib import nullcontext
from pathlib import Path

SAVED = re.compile(r'iter_(\d+)\.safetensors')  # as sigma.CheckpointHook names them, which is not imported so soon


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='file in the config language, see mmaction_configs/')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints; default work_dirs/<config name>')
    parser.add_argument('--resume', nargs='?', const='auto', help='go on from the newest checkpoint, or from a file')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast, on a GPU or a CPU')
    parser.add_argument('--compile', action='store_true', help='torch.compile the blocks of student and teacher')
    parser.add_argument('--seed', type=int, help='of weights, order, crops and masks; default: the config, else 0')
    parser.add_argument('--tensorboard', action='store_true', help='also write curves for TensorBoard (an extra)')
    parser.add_argument('--knn', metavar='CARD', help='labelled card to score the features on while pretraining')
    parser.add_argument('--knn-every', type=int, default=10, metavar='N', help='epochs between scores; default 10')
    parser.add_argument('--stop-at-collapse', action='store_true', help='save and stop at the alarm, not only warn')
    parser.add_argument('--cfg-options', nargs='+', action=settings_action(), help='settings to override, key=value')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    return parser.parse_args(argv)


def settings_action() -> type[argparse.Action]:
    """MMEngine's `DictAction`, which ends in a traceback at a setting without `=`; here in a sentence."""
    from mmengine.config import DictAction

    class SettingsAction(DictAction):
        def __call__(self, parser, namespace, values, option_string=None) -> None:
            for setting in values:
                if '=' not in setting:
                    parser.error(f'{option_string} takes key=value, found {setting!r}.')
            super().__call__(parser, namespace, values, option_string)

    return SettingsAction


def load_config(args: argparse.Namespace):
    """The config with the command line's settings in it.

    Raises:
        DataError: if the config is absent or does not parse, or a checkpoint to resume from is absent.
    """
    from sigma.data.cards import read_config
    from sigma.errors import DataError

    if not Path(args.config).is_file():
        raise DataError(f'Config {args.config} is not there; see mmaction_configs/pretrain for those that ship.')
    try:
        cfg = read_config(args.config)
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
    except Exception as error:
        raise DataError(f'Config {args.config} cannot be read: {error}') from None
    if 'model' not in cfg or 'train_dataloader' not in cfg:
        raise DataError(f'Config {args.config} has no model or train_dataloader, so there is nothing to train.')
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if Path(cfg.work_dir).exists() and not Path(cfg.work_dir).is_dir():
        raise DataError(f'--work-dir {cfg.work_dir} is no folder; give another.')
    cfg.launcher = args.launcher
    if args.seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=args.seed)
    if args.amp and 'optim_wrapper' not in cfg:
        raise DataError(f'--amp was asked of {args.config}, which has no optim_wrapper.')
    if args.amp:
        cfg.optim_wrapper.type = 'sigma.Bf16OptimWrapper'
    if args.compile:
        cfg.compile = True
    if args.tensorboard:
        add_tensorboard(cfg)
    if args.knn:
        from sigma.engine.knn import online_knn

        cfg.custom_hooks = [*cfg.get('custom_hooks', []), online_knn(cfg, args.knn, args.knn_every)]
    if args.stop_at_collapse:
        stop_at_collapse(cfg, args.config)
    set_resume(cfg, args.resume)
    return cfg


def add_tensorboard(cfg) -> None:
    """MMEngine's TensorBoard backend beside the others.

    Raises:
        DataError: if TensorBoard is not installed, with the extra that brings it.
    """
    from sigma.errors import DataError

    if importlib.util.find_spec('tensorboard') is None:
        raise DataError(
            '--tensorboard needs the package tensorboard, which is not installed; it comes with the extra `optional`: '
            'pip install -r requirements/optional.txt'
        )
    visualizer = cfg.get('visualizer') or {'type': 'mmengine.Visualizer', 'vis_backends': []}
    backends = [*visualizer.get('vis_backends', []), {'type': 'mmengine.TensorboardVisBackend'}]
    cfg.visualizer = {**visualizer, 'vis_backends': backends}


def stop_at_collapse(cfg, config: str) -> None:
    """Have the alarm of the config save and stop.

    Raises:
        DataError: if the config has no alarm.
    """
    from sigma.errors import DataError

    alarms = [hook for hook in cfg.get('custom_hooks', []) if hook['type'] == 'sigma.CollapseHook']
    if not alarms:
        raise DataError(f'--stop-at-collapse was asked of {config}, whose custom_hooks have no sigma.CollapseHook.')
    for hook in alarms:
        hook['stop'] = True


def set_resume(cfg, resume: str | None) -> None:
    """Where to go on from; a fresh start in a folder that holds checkpoints is refused, nothing is overwritten."""
    from sigma.errors import DataError

    pointer = Path(cfg.work_dir) / 'last_checkpoint'
    saved = {int(m[1]): p for p in Path(cfg.work_dir).glob('iter_*.safetensors') if (m := SAVED.fullmatch(p.name))}
    if resume is None:
        if saved or pointer.is_file():
            newest = saved[max(saved)] if saved else pointer.read_text(errors='replace').strip()
            raise DataError(
                f'{cfg.work_dir} holds a run already (newest {newest}); go on with --resume, or give another '
                '--work-dir.'
            )
        return
    cfg.resume = True
    if resume != 'auto':
        if not Path(resume).is_file():
            raise DataError(f'Checkpoint {resume} to resume from is not there.')
        number = SAVED.fullmatch(Path(resume).name)
        newer = [path.name for steps, path in saved.items() if number is None or steps > int(number[1])]
        if newer:
            raise DataError(
                f'{cfg.work_dir} holds later checkpoints than {resume} ({", ".join(sorted(newer))}), which would be '
                'mixed up with the new ones; give another --work-dir.'
            )
        cfg.load_from = resume
    elif pointer.is_file():
        name = Path(pointer.read_text(errors='replace').strip()).name
        newest = Path(cfg.work_dir) / name  # the folder may have moved
        if not newest.is_file():
            advice = f'give --resume {saved[max(saved)]}' if saved else 'give --resume FILE or clear the folder'
            found = f'names {newest}, which is not there' if name else 'is empty'
            raise DataError(f'{pointer} {found}; {advice}.')
        check_whole(newest, saved)
        cfg.load_from = str(newest)
    elif saved:  # killed before the first pointer was written, or that is lost: a file of this name is always whole
        cfg.load_from = str(saved[max(saved)])
    else:
        cfg.resume = False  # nothing yet: the same command starts and goes on


def check_whole(newest: Path, saved: dict[int, Path]) -> None:
    """Refuse a newest checkpoint that lacks bytes (a disk, a copy: not a kill), with the one before it.

    Raises:
        DataError: saying how to go on from the older one.
    """
    from safetensors import SafetensorError, safe_open

    from sigma.errors import DataError

    if newest.suffix != '.safetensors':
        return  # not one of ours: refused, or read, where weights are
    try:
        with safe_open(newest, 'pt'):
            pass
    except (SafetensorError, OSError) as error:
        older = [saved[steps] for steps in sorted(saved) if saved[steps].name != newest.name]
        advice = f'remove it and give --resume {older[-1]}' if older else 'start anew in another --work-dir'
        raise DataError(f'{newest} is damaged ({error}); to go on, {advice}.') from None


def main(argv: list[str] | None = None) -> int:
    """Build the runner and train; return the exit status."""
    args = parse_args(argv)
    end_with_torchrun()
    logging.raiseExceptions = False  # a full disk is told once, not at every line of the log
    warnings.filterwarnings('ignore', message='.*broadcast_buffers.*')  # mmengine passes it to torch's DDP
    from mmengine.runner import Runner

    from sigma.engine import CheckpointHook
    from sigma.engine.diagnostics import TrainingStopped
    from sigma.engine.preemption import Preempted, heeding
    from sigma.errors import CheckpointError, DataError
    from sigma.registry import RUNNERS  # noqa: I001 - also mends what is broken below us

    try:
        cfg = load_config(args)
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        saves = any(isinstance(hook, CheckpointHook) for hook in runner.hooks)  # MMEngine's own would not
        with heeding(*signals_to_heed()) if saves else nullcontext():
            runner.train()
        leave_group()
    except Preempted as ended:
        say_once(f'train: {ended}')
        leave_group()
        return os.EX_TEMPFAIL
    except (DataError, CheckpointError, KeyError, ValueError, TypeError, TrainingStopped, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        say_once(f'train: {one_sentence(error)}')
        return 3 if isinstance(error, TrainingStopped) else 2
    except KeyboardInterrupt:
        say_once(
            'train: interrupted; the same command with --resume goes on from the newest checkpoint, if there is one.'
        )
        return 130
    except RuntimeError as error:
        if args.launcher == 'none' or not is_lost_connection(error):
            raise
        say_once('train: another process of this run is gone; the same command with --resume goes on.')
        return 1
    return 0


def signals_to_heed() -> tuple[signal.Signals, ...]:
    """SIGTERM and SIGUSR1; under torchrun the second alone, which ends by SIGTERM the fellows of a lost process."""
    return (signal.SIGUSR1,) if 'TORCHELASTIC_RUN_ID' in os.environ else (signal.SIGTERM, signal.SIGUSR1)


def end_with_torchrun() -> None:
    """Let the kernel end this process when the torchrun above it is gone, even by SIGKILL.

    Left alone it would train on, and the run that the user starts anew would write into the same folder.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ and sys.platform == 'linux':
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def leave_group() -> None:
    """Close the connections to the other processes, if any: an interpreter that ends with them open may abort."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether it comes from gloo, NCCL or the store, which lose a process that was killed."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or bool(re.search(r'\bgloo\b|Connection (closed|reset) by peer', str(error)))


def say_once(sentence: str) -> None:
    """Print what went wrong, from the first process that comes to it: which one that is, is chance."""
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
    """The message of an error on one line; MMEngine wraps that of a part into longer ones, ours is a sentence."""
    from sigma.engine.diagnostics import TrainingStopped
    from sigma.errors import CheckpointError, DataError

    cause = error
    while cause.__cause__ is not None and not isinstance(cause, (CheckpointError, DataError, TrainingStopped)):
        cause = cause.__cause__
    text = str(cause.args[0] if cause.args and not isinstance(cause, OSError) else cause)
    if 'Original Traceback' in text:  # from a loader's process: its last line is what happened
        text = text.strip().splitlines()[-1].partition(': ')[2]
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) and cause.filename is None:
        text += (
            ': a file of the run, such as its log, could not be written; the newest checkpoint stays. Make room, and '
        )
        text += 'the same command with --resume goes on.'
    text = ' '.join(text.split())
    return text if len(text) < 600 else f'{text[:600]} ... (SIGMA_TRACEBACK=1 shows all)'


def end(status: int) -> None:
    """End this process; one of several without taking its libraries apart.

    When torch's and gloo's threads are taken apart with the interpreter, about one complete run of two processes in
    twelve was aborted (SIGABRT, "terminate called without an active exception") and so had failed for its launcher.
    """
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        sys.exit(status)
    atexit._run_exitfuncs()  # the loader's processes, logs
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    end(main())
