"""Logging losses and diagnostics without waiting for the device in every step.

MMEngine converts each scalar of each step to a number. On an accelerator, each conversion waits for the step to finish.
"""

import torch
from mmengine.hooks import LoggerHook as MMEngineLoggerHook
from mmengine.hooks import RuntimeInfoHook
from torch import Tensor

from sigma.registry import HOOKS

ACCELERATOR_INTERVAL = 10  # steps between two reads on devices where a read has to wait


def steps_between_checks(asked: int | None, device: torch.device) -> int:
    """`asked`, or by default 1 on a CPU, where reading a value costs nothing, and 10 on an accelerator."""
    return asked or (1 if device.type == 'cpu' else ACCELERATOR_INTERVAL)


def is_check_step(runner, batch_idx: int) -> bool:
    """Whether the run's `LoggerHook` writes after this step of the epoch, or the epoch ends here."""
    interval = next((hook.interval for hook in runner.hooks if isinstance(hook, MMEngineLoggerHook)), 1)
    return (batch_idx + 1) % interval == 0 or batch_idx + 1 == len(runner.train_dataloader)


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """MMEngine's LoggerHook; by default it writes every step on a CPU and every tenth on an accelerator.

    Args:
        interval: Steps between two lines of the log.
        others: Further arguments, as in MMEngine.
    """

    def __init__(self, interval: int | None = None, **others) -> None:
        super().__init__(interval=interval or 1, **others)
        self.asked = interval

    def before_train(self, runner) -> None:
        """Set the interval now that the model is on its device."""
        self.interval = steps_between_checks(self.asked, next(runner.model.parameters()).device)
        # On an accelerator, the step that waits takes the time of all steps since the last line; the mean is right.
        processor = runner.log_processor
        taken = {settings['data_src'] for settings in processor.custom_cfg}
        processor.custom_cfg = processor.custom_cfg + [
            {'data_src': name, 'method_name': 'mean', 'window_size': self.interval}
            for name in ('time', 'data_time')
            if self.interval > processor.window_size and name not in taken
        ]


@HOOKS.register_module()
class ScalarsHook(RuntimeInfoHook):
    """MMEngine's `RuntimeInfoHook`, but scalars stay on the device until the log is written.

    Then the scalars of all steps since the last log are copied together, with a single wait. The message hub stores
    each under its step, as in MMEngine.
    """

    def __init__(self) -> None:
        self._kept: list[dict[str, Tensor | float]] = []

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Keep the scalars; hand them over when the log is written."""
        step = dict(outputs or {})
        of_optimizer = getattr(getattr(runner, 'optim_wrapper', None), 'scalars', None)
        if of_optimizer:
            step |= of_optimizer
            of_optimizer.clear()
        self._kept.append({k: v.detach() if isinstance(v, Tensor) else v for k, v in step.items()})
        if is_check_step(runner, batch_idx):
            self.hand_over(runner.message_hub)

    def hand_over(self, message_hub) -> None:
        """Move all kept scalars to the message hub, in the order of their steps."""
        tensors = [v.reshape(()).float() for step in self._kept for v in step.values() if isinstance(v, Tensor)]
        tensors = [v.to(tensors[0].device) for v in tensors]  # a head may compute some on the CPU
        numbers = iter(torch.stack(tensors).tolist() if tensors else [])  # the one wait
        for step in self._kept:
            for name, value in step.items():
                message_hub.update_scalar(f'train/{name}', next(numbers) if isinstance(value, Tensor) else value)
        self._kept.clear()
