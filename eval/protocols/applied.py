"""Trained cells as functions: a fine-tuned model, or a frozen encoder with its linear probe, that scores a clip.

Protocols that measure trained weights (`robustness`, `out_of_context`, `localization_robustness`) name the trained
cell with `trained_cell`, need it, and score with what `APPLY` makes of it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

import eval.registry  # noqa: F401 - opens the scopes that configs name
from eval.cells.cell import Cell, ResolvedCell
from eval.cells.trained import Trained
from eval.corruptions.shown import as_batch
from eval.features.clips import build_encoder
from eval.protocols.frozen import FrozenLinear
from sigma.checkpoints.files import load_strictly, read_weights
from sigma.configs import own_recipe, with_limit
from sigma.errors import DataError
from sigma.registry import MODELS


@dataclass(frozen=True)
class Applied:
    """Trained weights, ready to score.

    Attributes:
        scores: Function from a packed sample (all views of one video) to (C,) float class scores.
        weights: Which weights these are; stored scores of others are not reused.
        notes: Sentences for the record.
    """

    scores: Callable[[dict], np.ndarray]
    weights: str
    notes: list[str] = field(default_factory=list)


def trained_cell(resolved: ResolvedCell, protocol: str, dataset: str | None = None) -> ResolvedCell:
    """The cell whose weights are measured: the recipe's `trained`, with the same encoder, seed and subset.

    Args:
        resolved: The cell that measures. Its recipe names the other's under `trained`: one recipe, in which `{family}`
            is the encoder's, or a dict family -> recipe. One with `{family}` gives way to the recipe that the card of
            the dataset names (`sigma.configs.own_recipe`).
        protocol: Of the trained cell.
        dataset: Of the trained cell; by default the same.

    Raises:
        DataError: if the recipe names none for the encoder's family, or one of another protocol.
    """
    from eval.protocols import get_protocol

    cell, wanted, family = resolved.cell, resolved.recipe['trained'], resolved.encoder.family
    if isinstance(wanted, dict):
        if family not in wanted:
            raise DataError(f'{cell.recipe} names no trained recipe for the family {family}; add one.')
        wanted = wanted[family]
    trained_on = with_limit(dataset, cell.limit) if dataset else cell.dataset
    if '{family}' in wanted:
        wanted = own_recipe(trained_on, protocol) or wanted
    recipe = wanted.replace('{family}', family)
    found = Cell(protocol, trained_on, recipe, cell.encoder, cell.seed, cell.shots, cell.examples, cell.changes)
    return resolved.cards.cell(found, get_protocol(protocol))


def apply_finetuned(trained: Trained) -> Applied:
    """The model of a fine-tuned cell, from its newest checkpoint.

    Raises:
        DataError: if the checkpoint is gone.
    """
    weights = trained.weights()
    model = MODELS.build(copy.deepcopy(trained.resolved.config['model']))
    load_strictly(model, read_weights(weights.path).tensors, str(weights.path))
    model = model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()

    @torch.no_grad()
    def scores(sample: dict) -> np.ndarray:
        (scored,) = model.test_step(as_batch(sample))
        return scored.pred_score.float().cpu().numpy()

    score, notes = trained.record.score, []
    if score['metric'] == 'top1':
        notes = [f'top-1 in its own record, without a working size: {score["value"]:.1f}']
    return Applied(scores, weights.sha256, notes)


def apply_frozen(trained: Trained) -> Applied:
    """The encoder of a `frozen_linear` cell with its probe, which is fitted again on the stored features."""
    resolved, protocol = trained.resolved, trained.resolved.protocol
    assert isinstance(protocol, FrozenLinear)
    probe = protocol.fitted(resolved, trained.work_dir).probe
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    encoder = build_encoder(resolved).to(device)
    mean, std = (
        torch.tensor(v, device=device).view(1, 3, 1, 1, 1) for v in (resolved.encoder.mean, resolved.encoder.std)
    )

    @torch.no_grad()
    def scores(sample: dict) -> np.ndarray:
        clips = (sample['inputs'].to(device).float() - mean) / std  # (V, 3, T, H, W)
        pooled = encoder(clips).float().mean(dim=(2, 3)).mean(dim=0)  # (T', D): over space, then over views
        return probe.probabilities(pooled.cpu().numpy().reshape(1, -1), resolved.dataset.num_classes)[0]

    return Applied(scores, 'probe fitted again', [f'inverse strength {probe.strength:g}'])


# Protocol of a trained cell -> what applies its weights.
APPLY: dict[str, Callable[[Trained], Applied]] = {'finetune': apply_finetuned, 'frozen_linear': apply_frozen}
ENDING = {'finetune': '', 'frozen_linear': '_frozen'}  # of the names of protocols that measure them
