"""Counting by density: how alike a video's time steps are, and from that the share of a cycle in each of them.

Shape letters: B videos, S time steps, D feature width, H maps of similarity, L lags, K cycles. Time runs from 0 to 1
over a video, whatever its length in frames.

This is the family of RepNet (Dwibedi et al., CVPR 2020) and TransRAC (Hu et al., CVPR 2022). SEVERE counts with
another head, which localises cycles: eval/models/cycles.py.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# A cycle's Gaussian ends where the cycle ends, three deviations from its middle; this is the mass within.
_MASS = math.erf(3 / math.sqrt(2))


def cycle_density(boundaries: Tensor, edges: Tensor) -> Tensor:
    """Cycles in each time step: one Gaussian a cycle, at its middle, deviation a sixth of its length, area 1.

    Args:
        boundaries: (B, K + 1) rising times at which one cycle ends and the next begins; NaN fills shorter rows.
        edges: (B, S + 1) rising times between which the steps lie.

    Returns:
        (B, S), at least 0. A row sums to the number of cycles within its edges; a cycle that the edges cut counts by
        the share of its Gaussian that is inside.

    Source: TransRAC, section 4.3. There Gaussians are sampled at the frames; here they are integrated over each
    step, and end with their cycle, so that sums are exact.
    """
    begin, end = boundaries[:, :-1], boundaries[:, 1:]
    middle, deviation = (begin + end) / 2, (end - begin) / 6  # (B, K)
    scaled = (edges[:, :, None] - middle[:, None]) / deviation[:, None]  # (B, S + 1, K)
    before = 0.5 + torch.erf(scaled.clamp(-3, 3) / math.sqrt(2)) / (2 * _MASS)  # share of the Gaussian before an edge
    return before.nan_to_num(0.0).sum(dim=-1).diff(dim=1)


def step_times(num_clips: int, steps_per_clip: int, clip_frames: int, clip_step_frames: int) -> tuple[Tensor, Tensor]:
    """Where the time steps of clips that adjoin or overlap lie, and which of them coincide.

    Args:
        num_clips: V clips of `clip_frames` frames, that start every `clip_step_frames`.
        steps_per_clip: T' time steps that the encoder gives for a clip.

    Returns:
        centres: (S,) rising times of the steps, 0 to 1 over all frames of all clips.
        places: (V * T',) position among the centres of each clip's steps.

    Raises:
        ValueError: if the steps would not lie evenly.
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
    """(B, V, T', D) -> (B, S, D): steps of overlapping clips that coincide are averaged; `places` of `step_times`."""
    flat = features.flatten(1, 2)  # (B, V * T', D)
    joined = flat.new_zeros(len(flat), int(places.max()) + 1, flat.shape[-1]).index_add_(1, places, flat)
    return joined / torch.bincount(places).to(flat)[:, None]


def resample(features: Tensor, centres: Tensor, begin: Tensor, end: Tensor, num_steps: int) -> tuple[Tensor, Tensor]:
    """A part of each video, given by as many steps as asked: linear between neighbouring steps.

    Args:
        features: (B, S, D) at `centres` (S,), which are evenly spaced.
        begin, end: (B,) times of the part.
        num_steps: S' of the result.

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
    """(..., S, D) -> (..., S, S): minus the squared distance of two steps, as a multiple of the mean over all pairs.

    0 on the diagonal, -1 on average, whatever the scale of the features; 0 everywhere where nothing changes.
    """
    squares = features.square().sum(-1)
    distance = squares[..., :, None] + squares[..., None, :] - 2 * features @ features.transpose(-1, -2)
    distance = distance.clamp(min=0)
    return -distance / distance.mean(dim=(-2, -1), keepdim=True).clamp(min=1e-6)


class DensityHead(nn.Module):
    """Self-similarity in several projections, a convolution over time and lag, a transformer layer, an MLP.

    A video's features lose their mean over time and are scaled to unit variance, so that what stays the same says
    nothing and any encoder fits. Similarities are read by (step, lag): every step sees those half a video before and
    after it, and sees the same picture of the same motion wherever it happens.

    Args:
        in_channels: D.
        num_steps: S.
        width: Of the transformer layer and the MLP.
        num_heads: Learned projections whose similarity is taken; that of the features themselves comes beside them.
        num_channels: Of the convolution.
        dropout: Before and in the transformer layer.
        initial_density: Cycles in a step that an untrained head answers.

    Source: ours, after TransRAC (four-head similarity, one 3 x 3 convolution to 32 channels, one encoder layer, MLP)
    and RepNet (negative squared distances). Lags instead of absolute columns are our choice. Not SEVERE's head.
    """

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
        nn.init.constant_(self.answer[-1].bias, math.log(math.expm1(initial_density)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, S, D) -> (B, S) cycles in each step, at least 0; their sum is the count."""
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
    """Squared error of the density, and the relative error of the count.

    Args:
        density, target: (B, S) cycles a step.
        count_weight: Of the second term.

    Returns:
        Mean over videos of sum((density - target)^2) + count_weight * abs(count - true) / max(true, 1). The second
        term is the measure that is reported; TransRAC has the first alone.
    """
    counts, true = density.sum(dim=1), target.sum(dim=1)
    relative = (counts - true).abs() / true.clamp(min=1)
    return (density - target).square().sum(dim=1).mean() + count_weight * relative.mean()
