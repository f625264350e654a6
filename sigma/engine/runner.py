"""MMEngine's Runner with a quiet console, and with DDP on CPUs."""

import copy
import logging

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner as MMEngineRunner
from torch import nn

from sigma import compat
from sigma.data.loading import watched
from sigma.registry import RUNNERS


def compilable_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks that `--compile` compiles: those of encoder and decoder, and of an image encoder with `blocks`."""
    return [block for name, part in model.named_modules() if name.split('.')[-1] == 'blocks' for block in part]


@RUNNERS.register_module()
class Runner(MMEngineRunner):
    """Like `mmengine.Runner`, but only warnings reach the console; the log file gets everything.

    `sigma.ProgressHook` shows the progress. With a launcher and no GPU, processes communicate over gloo.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Without a GPU, join the processes over gloo first."""
        if self.distributed and not torch.cuda.is_available():
            compat.init_cpu_distributed()
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap for DDP; on a CPU, without device numbers."""
        if model_wrapper_cfg is None and self.distributed and not torch.cuda.is_available():
            model_wrapper_cfg = compat.cpu_model_wrapper()
        return super().wrap_model(model_wrapper_cfg, model)

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate with the batch size, including gradient accumulation, which MMEngine leaves out."""
        super().scale_lr(optim_wrapper, auto_scale_lr)
        passes = getattr(optim_wrapper, '_accumulative_counts', 1)
        if passes > 1 and auto_scale_lr and auto_scale_lr.get('enable', False):
            for group in optim_wrapper.optimizer.param_groups:
                group['lr'] *= passes
            self.logger.info(f'... and by another {passes}, the passes accumulated per update.')

    def _maybe_compile(self, target: str) -> None:
        """With `compile = True` (or a dict of torch.compile's options), compile only the transformer blocks.

        MMEngine would compile the whole step, which our hooks break into pieces. The blocks are identical, so torch
        compiles one for all. The names of the weights stay.
        """
        options = self.cfg.get('compile') or None
        if options is None:
            return
        blocks = compilable_blocks(self.model)
        if not blocks:
            raise ValueError(f'compile needs transformer blocks, but {type(self.model).__name__} has no blocks.')
        for block in blocks:
            block.compile(**({} if options is True else options))
        self.logger.info(f'torch.compile: {len(blocks)} blocks; the first steps are slow.')

    @staticmethod
    def build_dataloader(dataloader, seed: int | None = None, diff_rank_seed: bool = False):
        """Build a loader; `sigma.EpochSampler` gets the batch size, and `sigma.VideoClips` the seed of the run."""
        if isinstance(dataloader, dict):
            dataloader = copy.deepcopy(dataloader)
            if dataloader.get('sampler', {}).get('type') == 'sigma.EpochSampler':
                dataloader['sampler'].setdefault('batch_size', dataloader['batch_size'])
            if dataloader['dataset'].get('type') == 'sigma.VideoClips':
                dataloader['dataset'].setdefault('seed', seed or 0)
            if not torch.cuda.is_available():
                dataloader['pin_memory'] = False  # useless without a GPU, and torch would warn
        loader = MMEngineRunner.build_dataloader(dataloader, seed, diff_rank_seed)
        # Starting a loader draws a random number. From the default generator, a resumed run would be one draw ahead.
        if loader.generator is None:
            loader.generator = torch.Generator().manual_seed(seed or 0)
        return watched(loader)

    def build_logger(self, log_level='INFO', log_file: str | None = None, **kwargs) -> MMLogger:
        """Logger whose console handlers show only warnings and errors."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.WARNING)
        return logger
