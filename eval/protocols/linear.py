"""A linear layer on a frozen encoder, trained on augmented clips like a whole encoder.

`linear` trains the LayerNorm before the layer too, as SIGMA does; `linear_fixed_norm` trains the layer alone. Training,
resuming and scoring are those of `finetune`. The keys of a recipe are declared in `eval/settings/linear.py`.

Versions: 1 (2026-12-01).
"""

from eval.cells.cell import ResolvedCell
from eval.protocols.base import Departure
from eval.protocols.finetune import Finetune
from eval.settings.linear import LINEAR
from sigma.errors import DataError

_BATCH_NORM = Departure(
    what='Linear probe: statistics of BatchNorm in the frozen encoder',
    published='the network stays in training mode, so its running statistics move (SEVERE)',
    ours='fixed: nothing in the encoder changes',
)


class Linear(Finetune):
    """The encoder is frozen; a LayerNorm on its mean token and a linear layer learn, with all augmentation.

    The encoder runs without a graph, in training mode by default: its drop path stays on. `trunk_mode='eval'` turns it
    off. Numbers differ from those of `frozen_linear`, which is fitted on cached features without augmentation.
    """

    name = 'linear'
    version = 1
    source = 'SIGMA (arXiv:2407.15447), linear probing in its code'
    settings = LINEAR
    departures = (*Finetune.departures, _BATCH_NORM)
    trains_norm = True

    def check(self, resolved: ResolvedCell) -> None:
        """Raise DataError for another task, for layer decay, or for a head without the norm that `linear` trains."""
        super().check(resolved)
        recipe = resolved.recipe
        if recipe['layer_decay'] != 1.0:
            raise DataError(
                f'Recipe {resolved.cell.recipe}: layer_decay is {recipe["layer_decay"]}, but the encoder is frozen in '
                f'the protocol {self.name}; leave it out.'
            )
        if self.trains_norm and not recipe['head_norm']:
            raise DataError(
                f'Recipe {resolved.cell.recipe}: head_norm is False, but the protocol {self.name} trains this norm; '
                'use linear_fixed_norm for the layer alone.'
            )

    def notes(self, resolved: ResolvedCell) -> list[str]:
        """What learns, and in which mode the encoder runs."""
        head = 'fc_norm and fc' if self.trains_norm else 'fc'
        return [f'only {head} learn; the frozen encoder is in {resolved.recipe["trunk_mode"]} mode while they do']

    def _model(self, resolved: ResolvedCell) -> dict:
        model = super()._model(resolved)
        head = model['cls_head'] if self.trains_norm else self._fixed(model['cls_head'])
        return model | {
            'type': 'eval.FrozenTrunkRecognizer',
            'trunk_mode': resolved.recipe['trunk_mode'],
            'cls_head': head,
        }

    @staticmethod
    def _fixed(head: dict) -> dict:
        """The head with a LayerNorm that has no weights; a head without a norm stays so."""
        return head if head.get('norm') is False else head | {'norm': 'fixed'}


class LinearFixedNorm(Linear):
    """The encoder is frozen; a linear layer alone learns. A LayerNorm before it, if there is one, has no weights.

    Otherwise as `linear`. SEVERE's linear evaluation of R(2+1)D-18 has no norm.
    """

    name = 'linear_fixed_norm'
    version = 1
    source = 'SEVERE (ECCV 2022), linear evaluation of R(2+1)D-18; for transformers ours'
    trains_norm = False
