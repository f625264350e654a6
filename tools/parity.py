"""Replay stored tensors of a reference model through our modules. Prints the largest difference of each quantity.

    python tools/parity.py FILE.npz [FILE.npz ...] [--heads 4 2] [--epsilon 0.05]

Four kinds of file are recognised by their keys: SIGMA with MLP targets, SIGMA with image features
(`teacher_features`), Sinkhorn assignments alone (`case0/scores`), and the fine-tuning ViT (`logits`).
Sizes follow from the weights, but heads and epsilon do not. A file may hold them as `encoder_heads`, `decoder_heads`,
`epsilon`, `num_iterations`; otherwise the options set them. The defaults fit the tiny reference models: 4 and 2 heads,
epsilon 0.05 with MLP targets and 0.03 with image features.

Exit status: 1 if a difference exceeds 1e-5 (gradients: 2e-4 of their norm), 2 if a file cannot be replayed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sigma.commands import Parser
from sigma.errors import CheckpointError, SigmaError

if TYPE_CHECKING:
    import torch

    from sigma.models import SIGMA

TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 2e-4


class ParityError(SigmaError):
    """A file that cannot be replayed."""


def replay(path: str | Path, **settings) -> list[tuple[str, float, float]]:
    """Rows (quantity, largest absolute difference, tolerance) for one file.

    Args:
        path: npz file.
        settings: `encoder_heads`, `decoder_heads`, `epsilon`, used if the file does not hold them.

    Raises:
        ParityError: if the file is missing, not an npz file, or of unknown kind.
    """
    import numpy as np
    import torch

    try:
        data = dict(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ParityError(f'{path} cannot be read as npz ({error}); give a file of reference tensors.') from None
    data = {k: v for k, v in settings.items() if v is not None} | data
    for keys, run in KINDS:
        if all(key in data for key in keys):
            try:
                return run({k: torch.from_numpy(np.asarray(v)) for k, v in data.items()})
            except KeyError as error:
                raise ParityError(f'{path} is incomplete: it lacks {error.args[0]}.') from None
            except (CheckpointError, RuntimeError) as error:
                raise ParityError(f'{path} cannot be replayed: {error}') from None
    wanted = '; '.join(', '.join(keys) for keys, _ in KINDS)
    raise ParityError(
        f'{path} is of unknown kind: it holds {", ".join(list(data)[:4])} ...; known kinds hold {wanted}.'
    )


def replay_sinkhorn(data: dict) -> list[tuple[str, float, float]]:
    """Compare the soft codes of every case."""
    from sigma.losses.sinkhorn import sinkhorn

    rows = []
    for case in sorted({k.split('/')[0] for k in data if k.startswith('case')}):
        scores, codes, epsilon, rounds = (data[f'{case}/{k}'] for k in ('scores', 'codes', 'epsilon', 'num_iterations'))
        ours = sinkhorn(scores, float(epsilon), int(rounds))
        rows.append((f'{case} codes (epsilon {float(epsilon)})', _difference(ours, codes), TOLERANCE))
    return rows


def replay_finetune(data: dict) -> list[tuple[str, float, float]]:
    """Compare the fine-tuning ViT: mean over tokens, then fc_norm, then head."""
    import torch

    from sigma.checkpoints.files import load_strictly
    from sigma.checkpoints.published import from_published
    from sigma.models import VideoViT

    state = from_published(_state(data))
    clip = data['input']
    vit = VideoViT(**_vit_shape(state, clip, _setting(data, 'encoder_heads', 4)), final_norm=False)
    head = {k: state.pop(k) for k in list(state) if k.startswith(('fc_norm.', 'head.'))}
    load_strictly(vit, state, 'golden file')
    with torch.no_grad():
        pooled = vit(clip).flatten(1, 3).mean(1)
        pooled = torch.nn.functional.layer_norm(
            pooled, pooled.shape[1:], head['fc_norm.weight'], head['fc_norm.bias'], eps=1e-6
        )
        logits = pooled @ head['head.weight'].T + head['head.bias']
    return [
        ('pooled', _difference(pooled, data['pooled']), TOLERANCE),
        ('logits', _difference(logits, data['logits']), TOLERANCE),
    ]


def replay_sigma(data: dict) -> list[tuple[str, float, float]]:
    """Run one step forward and backward, and compare every stage with its stored tensor."""
    import torch

    from sigma.losses.sinkhorn import sinkhorn
    from sigma.models import ImageProjector
    from sigma.models.preprocessor import IMAGENET_MEAN, IMAGENET_STD

    model = build_sigma(data)
    mask = data['mask']
    order = mask.long().argsort(dim=1, stable=True)
    num_masked = int(mask[0].sum())
    visible, masked = order[:, : mask.shape[1] - num_masked], order[:, mask.shape[1] - num_masked :]
    pixels = data['video']
    mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    clip = (pixels - mean) / std

    tokens = model.encoder.encode(clip, visible)
    predictions = model.decoder(tokens, visible, masked)
    if 'teacher_features' in data:
        targets_raw = targets = ImageProjector.select(data['teacher_features'], masked)
    else:
        targets_raw = model.projector.targets(pixels, clip, masked)
        targets = model.projector(pixels, clip, masked)
    loss = model.sinkhorn_loss
    scores_pred, scores_target = loss.scores(predictions, targets)
    losses = loss.losses(scores_pred, scores_target)
    total = losses['loss_target'] + losses['loss_pred']
    total.backward()

    found = {
        'targets': targets_raw,
        'encoder_out': tokens,
        'decoder_out': predictions,
        'scores_target': scores_target,
        'scores_pred': scores_pred,
        'codes_target': sinkhorn(scores_target, loss.epsilon, loss.num_iterations),
        'codes_pred': sinkhorn(scores_pred, loss.epsilon, loss.num_iterations),
        'loss_target': losses['loss_target'],
        'loss_pred': losses['loss_pred'],
        'loss': total,
    }
    rows = [(name, _difference(value, data[name].reshape(value.shape)), TOLERANCE) for name, value in found.items()]
    return rows + _gradient_rows(model, data)


def _gradient_rows(model: SIGMA, data: dict) -> list[tuple[str, float, float]]:
    from sigma.checkpoints.published import to_published

    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    published = to_published(gradients)
    rows = []
    for key in (k for k in data if k.startswith('gradnorm/')):
        name, norm = key.removeprefix('gradnorm/'), float(data[key])
        ours = published.pop(name)
        rows.append((f'|grad| {name}', abs(float(ours.double().norm()) - norm) / norm, GRADIENT_TOLERANCE))
        if f'grad/{name}' in data:
            difference = float((ours - data[f'grad/{name}']).double().norm()) / norm
            rows.append((f'grad {name}', difference, GRADIENT_TOLERANCE))
    if published:
        raise ParityError(f'the file holds no gradient for {len(published)} parameters, first {next(iter(published))}.')
    return rows


def build_sigma(data: dict) -> SIGMA:
    """SIGMA with the stored weights, in the matching size."""
    from sigma.checkpoints.files import load_strictly
    from sigma.checkpoints.published import from_published
    from sigma.models import SIGMA

    state = from_published(_state(data))
    shape = _vit_shape(state, data['video'], _setting(data, 'encoder_heads', 4), prefix='encoder.')
    width = state['decoder.mask_token'].shape[-1]
    depth = 1 + max(int(m[1]) for m in (re.match(r'decoder\.blocks\.(\d+)', k) for k in state) if m)
    num_prototypes, feature_dim = state['sinkhorn_loss.prototypes'].shape
    with_teacher = 'teacher_features' in data
    hidden = tuple(v.shape[0] for k, v in state.items() if k.startswith('projector.layers.') and v.dim() == 2)[:-1]
    tubelet = (shape['tubelet_size'], shape['patch_size'], shape['patch_size'])
    projector = {
        'type': 'sigma.MLPProjector',
        'out_dims': feature_dim,
        'hidden_dims': hidden,
        'tubelet': tubelet,
    }
    if with_teacher:  # features come from the file; the projector has no weights of its own
        projector = {'type': 'sigma.PixelTargets'}
    model = SIGMA(
        encoder={'type': 'sigma.VideoViT', **shape},
        decoder={
            'type': 'sigma.MaskedDecoder',
            'embed_dims': width,
            'depth': depth,
            'num_heads': _setting(data, 'decoder_heads', 2),
            'out_dims': feature_dim,
        },
        projector=projector,
        loss={
            'type': 'sigma.SinkhornLoss',
            'num_prototypes': num_prototypes,
            'feature_dim': feature_dim,
            'epsilon': _setting(data, 'epsilon', 0.03 if with_teacher else 0.05),
            'num_iterations': _setting(data, 'num_iterations', 10),
        },
    )
    load_strictly(model, state, 'golden file')
    return model.train()


def _setting(data: dict, name: str, default):
    return type(default)(data[name]) if name in data else default


def _vit_shape(state: dict, clip: torch.Tensor, num_heads: int, prefix: str = '') -> dict:
    weight = state[f'{prefix}patch_embed.proj.weight']
    depth = 1 + max(int(m[1]) for m in (re.match(rf'{prefix}blocks\.(\d+)', k) for k in state) if m)
    return {
        'arch': {'embed_dims': weight.shape[0], 'depth': depth, 'num_heads': num_heads},
        'image_size': clip.shape[-1],
        'num_frames': clip.shape[2],
        'patch_size': weight.shape[-1],
        'tubelet_size': weight.shape[2],
    }


def _state(data: dict) -> dict:
    return {k.removeprefix('state/'): v.float() for k, v in data.items() if k.startswith('state/')}


def _difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.detach().double() - theirs.double()).abs().max())


KINDS = (
    (('case0/scores', 'case0/codes'), replay_sinkhorn),
    (('input', 'logits', 'pooled'), replay_finetune),
    (('video', 'mask', 'decoder_out', 'scores_target'), replay_sigma),
)


def main(argv: list[str] | None = None) -> int:
    """Print the table of each file; return the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument('files', nargs='+', metavar='FILE.npz', help='reference tensors')
    parser.add_argument(
        '--heads',
        nargs=2,
        type=int,
        metavar=('ENCODER', 'DECODER'),
        default=(None, None),
        help='attention heads (default: 4 2)',
    )
    parser.add_argument(
        '--epsilon', type=float, help='epsilon of Sinkhorn (default: 0.05, or 0.03 with image features)'
    )
    parser.add_argument('--all', action='store_true', help='print every gradient, not only the worst')
    args = parser.parse_args(argv)
    failed = False
    for path in args.files:
        try:
            rows = replay(path, encoder_heads=args.heads[0], decoder_heads=args.heads[1], epsilon=args.epsilon)
        except ParityError as error:
            print(f'parity: {error}', file=sys.stderr)
            return 2
        print_table(path, rows, every_row=args.all)
        failed |= any(not value <= tolerance for _, value, tolerance in rows)  # NaN fails too
    return int(failed)


def print_table(path: str, rows: list[tuple[str, float, float]], every_row: bool) -> None:
    """Print one row per quantity, and of the gradients only the worst, unless `every_row`."""
    gradients = [row for row in rows if 'grad' in row[0]]
    shown = rows if every_row else [row for row in rows if 'grad' not in row[0]]
    if gradients and not every_row:
        worst = max(gradients, key=lambda row: row[1])
        shown.append((f'{len(gradients)} gradients, worst {worst[0]}', worst[1], worst[2]))
    print(f'{path}')
    for name, value, tolerance in shown:
        print(f'  {name:<72} {value:10.2e}  {"ok" if value <= tolerance else f"ABOVE {tolerance:g}"}')


if __name__ == '__main__':
    sys.exit(main())
