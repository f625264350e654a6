"""Repetition counting by density: the self-similarity of a video's time steps gives the cycles in each step.

This belongs to the family of RepNet (Dwibedi et al., CVPR 2020) and TransRAC (Hu et al., CVPR 2022). SEVERE counts with
a different head, which localises cycles: eval/models/cycles.py.

Shape letters: B videos, S time steps, D feature width, H similarity maps, L lags, K cycles. Time runs from 0 to 1 over
a video, whatever its length in frames.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# A cycle's Gaussian is cut where the cycle ends, three deviations from its middle. This is the mass that remains.
_MASS = math.erf(3 / math.sqrt(2))


def cycle_density(boundaries: Tensor, edges: Tensor) -> Tensor:
    """Number of cycles in each time step: one Gaussian per cycle, in its middle, with area 1.

    The standard deviation is a sixth of the cycle's length.

    Args:
        boundaries: (B, K + 1) increasing times at which one cycle ends and the next starts. NaN pads short rows.
        edges: (B, S + 1) increasing times; step n lies between edges n and n + 1.

    Returns:
        (B, S), at least 0. A row sums to the number of cycles between its outer edges. A cycle that they cut counts by
        the share of its Gaussian inside.

    Source: TransRAC, section 4.3. TransRAC samples Gaussians at the frames. We integrate them over each step and cut
    them where their cycle ends, so that sums are exact.
    """
    begin, end = boundaries[:, :-1], boundaries[:, 1:]
    middle, deviation = (begin + end) / 2, (end - begin) / 6  # (B, K)
    scaled = (edges[:, :, None] - middle[:, None]) / deviation[:, None]  # (B, S + 1, K)
    before = 0.5 + torch.erf(scaled.clamp(-3, 3) / math.sqrt(2)) / (2 * _MASS)  # mass before each edge
    return before.nan_to_num(0.0).sum(dim=-1).diff(dim=1)


def step_times(num_clips: int, steps_per_clip: int, clip_frames: int, clip_step_frames: int) -> tuple[Tensor, Tensor]:
    """Where the time steps of adjacent or overlapping clips lie, and which of them coincide.

    Args:
        num_clips: V clips.
        steps_per_clip: T', time steps that the encoder gives per clip.
        clip_frames: Frames per clip.
        clip_step_frames: Frames from the start of one clip to the start of the next.

    Returns:
        centres: (S,) increasing times of the steps, from 0 to 1 over all frames of all clips.
        places: (V * T',) index into `centres` for each step of each clip.

    Raises:
        ValueError: if the steps would be unevenly spaced.
    """
    starts = clip_step_frames * torch.arange(num_clips, dtype=torch.float64)
    within = (torch.arange(steps_per_clip, dtype=torch.float64) + 0.5) * clip_frames / steps_per_clip
    every = (starts[:, None] + within).flatten()
    centres, places = torch.unique((every * 1024).round() / 1024, return_inverse=True)
    gaps = centres.diff()
    if len(gaps) and gaps.max() - gaps.min() > 1e-2:
        raise ValueError(
            f'Clips of {clip_frames} frames that start every {clip_step_frames} give uneven time steps with an encoder '
            f'of {steps_per_clip} steps a clip: the step must be a multiple of {clip_frames / steps_per_clip:g} frames.'
        )
    return (centres / (clip_step_frames * (num_clips - 1) + clip_frames)).float(), places


def join_clips(features: Tensor, places: Tensor) -> Tensor:
    """(B, V, T', D) -> (B, S, D): averages the steps of overlapping clips that coincide; `places` from `step_times`."""
    flat = features.flatten(1, 2)  # (B, V * T', D)
    joined = flat.new_zeros(len(flat), int(places.max()) + 1, flat.shape[-1]).index_add_(1, places, flat)
    return joined / torch.bincount(places).to(flat)[:, None]


def resample(features: Tensor, centres: Tensor, begin: Tensor, end: Tensor, num_steps: int) -> tuple[Tensor, Tensor]:
    """Resample a part of each video to a given number of steps, by linear interpolation.

    Args:
        features: (B, S, D).
        centres: (S,) evenly spaced times of the steps.
        begin, end: (B,) times at which the part starts and ends, from 0 to 1.
        num_steps: S', steps of the result.

    Returns:
        (B, S', D) features and (B, S' + 1) edges of the new steps.
    """
    share = torch.linspace(0, 1, num_steps + 1, device=features.device)
    edges = begin[:, None] + (end - begin)[:, None] * share
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    gap = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
    position = ((middles - centres[0]) / gap.clamp(min=1e-9)).clamp(0, len(centres) - 1)
    lower = position.floor().long()
    upper = (lower + 1).clamp(max=len(centres) - 1)
    weight = (position - lower)[..., None]
    rows = torch.arange(len(features), device=features.device)[:, None]
    return torch.lerp(features[rows, lower], features[rows, upper], weight), edges


def self_similarity(features: Tensor) -> Tensor:
    """(..., S, D) -> (..., S, S): minus the squared distance between steps, divided by its mean over all pairs.

    The diagonal is 0 and the mean is -1, whatever the scale of the features. All is 0 if the features never change.
    """
    squares = features.square().sum(-1)
    distance = squares[..., :, None] + squares[..., None, :] - 2 * features @ features.transpose(-1, -2)
    distance = distance.clamp(min=0)
    return -distance / distance.mean(dim=(-2, -1), keepdim=True).clamp(min=1e-6)


class DensityHead(nn.Module):
    """Self-similarity in several projections, a convolution over time and lag, a transformer layer, an MLP.

    The mean over time of a video's features is removed and the rest is scaled to unit variance. What never changes then
    has no effect, and features of any encoder fit. Similarities are indexed by (step, lag): each step sees half a video
    before and after it, and the same motion looks the same wherever it happens.

    Args:
        in_channels: D.
        num_steps: S.
        width: Width of the transformer layer and the MLP.
        num_heads: Learned projections whose similarity is taken, besides that of the features themselves.
        num_channels: Channels of the convolution.
        dropout: Dropout before and inside the transformer layer, from 0 to 1.
        initial_density: Cycles per step that the untrained head predicts.

    Source: ours, after TransRAC (four-head similarity, one 3 x 3 convolution to 32 channels, one encoder layer, MLP)
    and RepNet (negative squared distances). Lags instead of absolute columns are our choice. Not SEVERE's head.
    """

    partner: Tensor
    inside: Tensor

    def __init__(
        self,
        in_channels: int,
        num_steps: int,
        width: int = 64,
        num_heads: int = 4,
        num_channels: int = 32,
        dropout: float = 0.1,
        initial_density: float = 0.2,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.project = nn.Linear(in_channels, num_heads * width)
        reach = max(num_steps // 2, 1)
        partner = torch.arange(num_steps)[:, None] + torch.arange(-reach, reach + 1)  # (S, L)
        self.register_buffer('partner', partner.clamp(0, num_steps - 1), persistent=False)
        self.register_buffer('inside', ((partner >= 0) & (partner < num_steps)).float(), persistent=False)
        self.convolve = nn.Conv2d(num_heads + 2, num_channels, 3, padding=1)
        self.embed = nn.Sequential(
            nn.Linear(num_channels * partner.shape[1], width), nn.LayerNorm(width), nn.Dropout(dropout)
        )
        self.mix = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, 'gelu', batch_first=True, norm_first=True)
        self.answer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        last = self.answer[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, math.log(math.expm1(initial_density)))  # the inverse of the softplus

    def forward(self, features: Tensor) -> Tensor:
        """(B, S, D) -> (B, S) cycles in each step, at least 0. Their sum is the count."""
        features = features - features.mean(dim=1, keepdim=True)
        features = features / features.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-6)
        heads = self.project(features).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, S, width)
        similarity = torch.cat([self_similarity(heads), self_similarity(features)[:, None]], dim=1)  # (B, H + 1, S, S)
        rows = torch.arange(len(self.partner), device=features.device)[:, None]
        lagged = similarity[:, :, rows, self.partner] * self.inside  # (B, H + 1, S, L)
        inside = self.inside.expand(len(lagged), 1, -1, -1)
        maps = F.relu(self.convolve(torch.cat([lagged, inside], dim=1)))  # (B, channels, S, L)
        steps = self.embed(maps.transpose(1, 2).flatten(2))  # (B, S, width)
        return F.softplus(self.answer(self.mix(steps)).squeeze(-1))


def density_loss(density: Tensor, target: Tensor, count_weight: float) -> Tensor:
    """Squared error of the density plus the relative error of the count.

    Args:
        density, target: (B, S) cycles per step.
        count_weight: Weight of the second term.

    Returns:
        A scalar: the mean over videos of sum((density - target)^2) + count_weight * abs(count - true) / max(true, 1).

    Source: the first term is TransRAC's; the second is the reported metric, added by us.
    """
    counts, true = density.sum(dim=1), target.sum(dim=1)
    relative = (counts - true).abs() / true.clamp(min=1)
    return (density - target).square().sum(dim=1).mean() + count_weight * relative.mean()
