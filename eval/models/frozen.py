"""A recogniser whose encoder stays as it is: only its head learns."""

from typing import Any

import torch
from mmaction.models.recognizers import Recognizer3D
from torch import Tensor, nn

from eval.registry import MODELS

TRUNK_MODES = ('train', 'eval')


@MODELS.register_module()
class FrozenTrunkRecognizer(Recognizer3D):
    """mmaction2's Recognizer3D with a frozen backbone, which runs without a graph and keeps no activations.

    Names of weights are those of `Recognizer3D`. The backbone's weights need no gradient, so they are in no optimizer.

    Args:
        trunk_mode: `train`: dropout and drop path of the backbone stay on while the head learns, as published. `eval`:
            they are off. Layers with running statistics (BatchNorm) are in eval mode either way, so that nothing in
            the backbone moves.
        kwargs: Passed to `Recognizer3D`.

    Raises:
        ValueError: for another `trunk_mode`.

    Source: linear probing in SIGMA's code, which freezes all but `fc_norm` and the head.
    """

    def __init__(self, *args: Any, trunk_mode: str = 'train', **kwargs: Any) -> None:
        if trunk_mode not in TRUNK_MODES:
            raise ValueError(f"FrozenTrunkRecognizer has trunk_mode={trunk_mode!r}; known: 'train', 'eval'.")
        super().__init__(*args, **kwargs)
        self.trunk_mode = trunk_mode
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> 'FrozenTrunkRecognizer':
        """As of any module, except for the parts of the backbone that stay in eval mode."""
        super().train(mode)
        if mode and hasattr(self, 'trunk_mode'):
            self.backbone.train(self.trunk_mode == 'train')
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._NormBase):
                    module.eval()
        return self

    def extract_feat(self, inputs: Tensor, stage: str = 'backbone', **kwargs: Any) -> tuple:
        """Features as of `Recognizer3D`; those of the backbone have no gradient."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and stage == 'head'):
            return super().extract_feat(inputs, stage=stage, **kwargs)
