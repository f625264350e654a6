"""Optimisation: bf16 on any device, parameter groups for weight decay and layer decay."""

import re
from contextlib import contextmanager

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from sigma.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16, on a GPU or a CPU. It needs no loss scaler, because bf16 has the range of fp32.

    MMEngine's `AmpOptimWrapper` does not work on a CPU.

    Attributes:
        scalars: Values of the last step for the log, still on the device: with `clip_grad`, the norm of the gradients.
            `sigma.ScalarsHook` collects them; MMEngine would wait for the number in every step.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.scalars: dict[str, torch.Tensor] = {}

    def _clip_grad(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is not None:  # clipping by value has no norm
            self.scalars[self.grad_name] = norm.detach()

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast around the forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


def precision_of(optim_wrapper) -> str:
    """`bf16`, `fp32`, or the class name of any other wrapper."""
    if isinstance(optim_wrapper, Bf16OptimWrapper):
        return 'bf16'
    return 'fp32' if type(optim_wrapper) is OptimWrapper else type(optim_wrapper).__name__


def is_between_updates(optim_wrapper, num_iters: int, max_iters: int) -> bool:
    """Whether there are accumulated gradients that the optimizer has not applied yet (`accumulative_counts`)."""
    return num_iters < max_iters and num_iters % getattr(optim_wrapper, '_accumulative_counts', 1) != 0


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ParamGroups:
    """Optimizer without weight decay on vectors, and with learning rates that fall towards the input.

    Args:
        optim_wrapper_cfg: As in MMEngine.
        paramwise_cfg: `layer_decay` in (0, 1], default 1.0 (none). The learning rate of block i (of n, from 0) is
            scaled by layer_decay ** (n - i), that of the embedding by layer_decay ** (n + 1), and that of everything
            after the blocks by 1. `decays` says which parameters have weight decay: `matrices` (default: not biases,
            norms, mask token, class token and positions), `all`, or `all_but_norms` (BatchNorm has none, biases do).

    Raises:
        ValueError: if layer decay is set for a model without `blocks`, `accumulative_counts` is below 1, or `decays` is
            another word.

    Source: BEiT (arXiv:2106.08254), as in VideoMAE and SIGMA; `all` in SEVERE, `all_but_norms` in SlowFast.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.layer_decay = (paramwise_cfg or {}).get('layer_decay', 1.0)
        self.decays = (paramwise_cfg or {}).get('decays', 'matrices')
        if self.decays not in ('matrices', 'all', 'all_but_norms'):
            raise ValueError(f"ParamGroups has decays={self.decays!r}; known: 'matrices', 'all', 'all_but_norms'.")

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        if is_model_wrapper(model):
            model = model.get_submodule('module')
        optimizer_cfg = dict(self.optim_wrapper_cfg.pop('optimizer'))
        passes = self.optim_wrapper_cfg.get('accumulative_counts', 1)
        if not isinstance(passes, int) or passes < 1:
            raise ValueError(f'optim_wrapper.accumulative_counts is {passes}; an update takes 1 pass or more.')
        groups = self.groups(model, optimizer_cfg['lr'], optimizer_cfg.get('weight_decay', 0.0))
        if optimizer_cfg['type'] in ('Adam', 'AdamW'):
            optimizer_cfg.setdefault('fused', True)  # one pass over the parameters, also on a CPU
        optimizer = OPTIMIZERS.build(optimizer_cfg | {'params': groups})
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper'} | self.optim_wrapper_cfg | {'optimizer': optimizer})

    def groups(self, model: nn.Module, lr: float, weight_decay: float) -> list[dict]:
        """Parameter groups by (layer, decay or not), in the order of the parameters."""
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        blocks = [int(m[1]) for m in (_BLOCK.search(name) for name, _ in named) if m]
        if self.layer_decay != 1.0 and not blocks:
            raise ValueError(
                f'Layer decay {self.layer_decay} needs parameters named blocks.N, and {type(model).__name__} has none; '
                'use a recipe without layer decay for this encoder.'
            )
        depth = 1 + max(blocks, default=-1)
        norms = {
            f'{prefix}.{name}'
            for prefix, module in model.named_modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            for name, _ in module.named_parameters(recurse=False)
        }
        groups: dict[tuple, dict] = {}
        for name, parameter in named:
            layer = _layer_of(name, depth)
            if self.decays == 'matrices':
                decays = parameter.dim() > 1 and not name.endswith(('mask_token', 'cls_token', 'pos_embed'))
            else:
                decays = self.decays == 'all' or name not in norms
            scale = self.layer_decay ** (depth + 1 - layer)
            new = {'params': [], 'lr': lr * scale, 'weight_decay': weight_decay if decays else 0.0}
            groups.setdefault((layer if self.layer_decay != 1.0 else 0, decays), new)['params'].append(parameter)
        return list(groups.values())


_BLOCK = re.compile(r'(?:^|\.)blocks\.(\d+)\.')
_EMBEDDING = re.compile(r'(?:^|\.)(patch_embed|pos_embed|cls_token|mask_token)')


def _layer_of(name: str, depth: int) -> int:
    """0 for the embedding, i + 1 for block i, depth + 1 for the rest."""
    block = _BLOCK.search(name)
    if block:
        return int(block[1]) + 1
    return 0 if _EMBEDDING.search(name) else depth + 1
