"""Actions in time from features of a video: a pyramid of local-attention blocks, one classifier and one regressor.

Source: Zhang et al., ActionFormer (ECCV 2022, arXiv:2202.07925), written from the paper's description and its settings.
Departure: a batch is padded to its longest video, not to a fixed length. Masks after every norm keep that from changing
the result; in the original and in OpenTAD the biases of norms leak from the padding into the last steps of a video.

Parts and initial values are the original's, one for one (tests/eval/models/test_peers_localization.py). OpenTAD's
differ in the epsilon of some norms (`norm_epsilon`).

Shape letters: B videos, S feature steps, D feature width, W model width, H heads, L levels, P points of all levels,
G true segments of a video, C classes. Times are in feature steps unless a name says seconds.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK = 32  # queries that share one stretch of keys in local attention


class Conv(nn.Module):
    """Convolution over time, (B, W, S) -> (B, W', S / stride); steps outside the mask (B, 1, S) become 0."""

    def __init__(
        self, width_in: int, width: int, kernel: int = 3, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width, kernel, stride, kernel // 2, groups=groups, bias=bias)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        mask = mask[..., :: self.conv.stride[0]]
        return self.conv(x) * mask, mask


class Norm(nn.LayerNorm):
    """LayerNorm over the channels of (B, W, S); steps outside the mask (B, 1, S) become 0, whatever the bias."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]  # a mask goes with every step here
        return super().forward(x.transpose(1, 2)).transpose(1, 2) * mask


def pointwise(width_in: int, width: int) -> nn.Conv1d:
    """A convolution of one step whose bias starts at 0."""
    conv = nn.Conv1d(width_in, width, 1)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def local_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, window: int) -> Tensor:
    """Softmax attention of each step to the steps at most `window // 2` away.

    Chunks of queries share one stretch of keys, so memory grows with S, not with S x S or S x window.

    Args:
        query, key, value: (B, H, S, W / H).
        mask: (B, S) bool, True for real steps. A padding step is seen by itself alone.
        window: Steps that a query sees, itself in the middle; odd.

    Returns:
        (B, H, S, W / H).
    """
    num_videos, num_heads, num_steps, width = query.shape
    reach = window // 2
    num_chunks = -(-num_steps // CHUNK)
    more = num_chunks * CHUNK - num_steps
    query = F.pad(query, (0, 0, 0, more)).unflatten(2, (num_chunks, CHUNK))  # (B, H, chunks, CHUNK, w)
    key, value = (
        F.pad(x, (0, 0, reach, reach + more)).unfold(2, CHUNK + 2 * reach, CHUNK).transpose(-1, -2)
        for x in (key, value)
    )  # (B, H, chunks, CHUNK + 2 reach, w)
    known = F.pad(mask, (reach, reach + more)).unfold(1, CHUNK + 2 * reach, CHUNK)  # (B, chunks, CHUNK + 2 reach)
    away = torch.arange(CHUNK + 2 * reach, device=mask.device) - torch.arange(CHUNK, device=mask.device)[:, None]
    near = (away >= 0) & (away <= 2 * reach)  # (CHUNK, CHUNK + 2 reach)
    itself = away == reach  # keeps every row non-empty
    allowed = (near & known[:, None, :, None]) | itself
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return out.reshape(num_videos, num_heads, num_chunks * CHUNK, width)[:, :, :num_steps]


def global_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention of each step to all real steps: (B, H, S, W / H) each, mask (B, S) bool with a True in each."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])


class Block(nn.Module):
    """Attention and MLP, (B, W, S) -> (B, W, S / stride); convolutions make queries, keys and values.

    `window` is that of `local_attention`, or -1 for attention to all steps.
    """

    def __init__(self, width: int, num_heads: int, window: int, stride: int = 1, drop_path: float = 0.1) -> None:
        super().__init__()
        self.num_heads, self.window, self.stride, self.drop_path = num_heads, window, stride, drop_path
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.mix = nn.ModuleList([Conv(width, width, 3, stride, groups=width, bias=False) for _ in range(3)])
        self.mix_norm = nn.ModuleList([Norm(width) for _ in range(3)])
        self.project = nn.ModuleList([pointwise(width, width) for _ in range(4)])  # query, key, value, out
        self.mlp = nn.Sequential(pointwise(width, 4 * width), nn.GELU(), pointwise(4 * width, width))
        self.scales = nn.ParameterList([nn.Parameter(torch.full((width, 1), 1e-4)) for _ in range(2)])

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        normed, heads = self.norm1(x, mask), []
        for conv, norm, project in zip(self.mix, self.mix_norm, self.project):
            mixed, small = conv(normed, mask)
            heads.append(project(norm(mixed, small)).unflatten(1, (self.num_heads, -1)).transpose(2, 3))
        (query, key, value), there = heads, small[:, 0].bool()
        if self.window == -1:
            out = global_attention(query, key, value, there)
        else:
            out = local_attention(query, key, value, there, self.window)  # (B, H, S', w)
        out = self.project[3](out.transpose(2, 3).flatten(1, 2)) * small
        skip = x if self.stride == 1 else F.max_pool1d(x, self.stride + 1, self.stride, (self.stride + 1) // 2) * small
        x = skip + self._dropped(self.scales[0] * out)
        return x + self._dropped(self.scales[1] * self.mlp(self.norm2(x, small)) * small), small

    def _dropped(self, x: Tensor) -> Tensor:
        """Stochastic depth: in training, the branch is dropped for some videos of a batch."""
        if not self.training or self.drop_path == 0:
            return x
        keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
        return x * keep / (1 - self.drop_path)


class Tower(nn.Module):
    """Convolutions that all levels share; the last one gives the output, (B, W, S) -> (B, num_out, S)."""

    def __init__(self, width: int, num_layers: int, num_out: int, epsilon: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList([Conv(width, width, bias=False) for _ in range(num_layers - 1)])
        self.norms = nn.ModuleList([Norm(width, epsilon) for _ in range(num_layers - 1)])
        self.out = Conv(width, num_out)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x, mask)[0], mask))
        return self.out(x, mask)[0]


class ActionFormer(nn.Module):
    """From features (B, D, S) to class scores and distances to both ends, at every point of a pyramid in time.

    Args:
        feature_width: D.
        num_classes: C.
        width: W, width of the blocks.
        num_heads: H, attention heads of each block.
        num_levels: L; level l has a point every 2^l steps.
        num_stem: Blocks before the pyramid.
        window: Steps that attention sees, odd, or -1 for all of them; one for each level, or the same for all. The stem
            has that of level 0.
        num_head_layers: Convolutions in each tower.
        centre_radius: A point learns a segment only if it is within this many of its level's strides of the middle.
        first_range: Level 0 regresses ends up to this many steps away; each level doubles it, the last has no limit.
        label_smoothing, drop_path, feature_dropout: Regularisation in training, each from 0 to 1.
        regression_weight: Factor of the distance-IoU loss.
        num_positives: Initial divisor of the loss; later a moving mean of the number of positive points.
        absolute_positions: Add a sine embedding of the position.
        norm_epsilon: Epsilon of the norms of embedding, pyramid and towers: 1e-5 in ActionFormer, 1e-6 in OpenTAD.
            Those within a block have 1e-5 in both.

    Raises:
        ValueError: if a window is neither odd nor -1, or their number is not that of the levels.
    """

    num_positives: Tensor

    def __init__(
        self,
        feature_width: int,
        num_classes: int,
        width: int = 512,
        num_heads: int = 4,
        num_levels: int = 6,
        num_stem: int = 2,
        window: int | Sequence[int] = 19,
        num_head_layers: int = 3,
        centre_radius: float = 1.5,
        first_range: float = 4.0,
        label_smoothing: float = 0.0,
        drop_path: float = 0.1,
        feature_dropout: float = 0.0,
        regression_weight: float = 1.0,
        num_positives: float = 100.0,
        absolute_positions: bool = False,
        norm_epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        windows = [window] * num_levels if isinstance(window, int) else list(window)
        for steps in windows:
            if steps != -1 and (steps < 1 or steps % 2 == 0):
                raise ValueError(f'window is {steps}; local attention needs an odd number of steps, or -1 for all.')
        if len(windows) != num_levels:
            raise ValueError(f'{len(windows)} windows for {num_levels} levels; give one number, or one for each level.')
        self.regression_weight = regression_weight
        self.num_classes, self.num_levels, self.centre_radius = num_classes, num_levels, centre_radius
        self.label_smoothing, self.first_range, self.absolute_positions = (
            label_smoothing,
            first_range,
            absolute_positions,
        )
        self.dropout = nn.Dropout1d(feature_dropout)
        self.embed = nn.ModuleList([Conv(n, width, bias=False) for n in (feature_width, width)])
        self.embed_norm = nn.ModuleList([Norm(width, norm_epsilon) for _ in range(2)])
        self.stem = nn.ModuleList([Block(width, num_heads, windows[0], 1, drop_path) for _ in range(num_stem)])
        self.branch = nn.ModuleList([Block(width, num_heads, steps, 2, drop_path) for steps in windows[1:]])
        self.norms = nn.ModuleList([Norm(width, norm_epsilon) for _ in range(num_levels)])
        self.classifier = Tower(width, num_head_layers, num_classes, norm_epsilon)
        self.regressor = Tower(width, num_head_layers, 2, norm_epsilon)
        self.level_scales = nn.Parameter(torch.ones(num_levels))
        bias = self.classifier.out.conv.bias
        assert bias is not None
        nn.init.constant_(bias, -math.log((1 - 0.01) / 0.01))  # focal loss: every point starts at probability 0.01
        self.register_buffer('num_positives', torch.tensor(float(num_positives)))

    @property
    def divisor(self) -> int:
        """The number of steps must be a multiple of this."""
        return 2 ** (self.num_levels - 1)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class scores and distances to both ends at every point.

        Args:
            features: (B, D, S), S a multiple of `divisor`; 0 at padding.
            mask: (B, S) bool, True for real steps.

        Returns:
            (B, P, C) class logits; (B, P, 2) distances >= 0 in strides of each level; (B, P) bool, True for real
            points.
        """
        small = mask[:, None].to(features.dtype)
        x = self.dropout(features)
        for conv, norm in zip(self.embed, self.embed_norm):
            x = F.relu(norm(conv(x, small)[0], small))
        if self.absolute_positions:
            x = x + _sines(x.shape[2], x.shape[1]).to(x) * small
        for block in self.stem:
            x, small = block(x, small)
        levels = [(x, small)]
        for block in self.branch:
            x, small = block(x, small)
            levels.append((x, small))
        logits, distances, masks = [], [], []
        for (x, small), norm, scale in zip(levels, self.norms, self.level_scales):
            x = norm(x, small)
            logits.append(self.classifier(x, small).transpose(1, 2))
            distances.append(F.relu(self.regressor(x, small) * scale).transpose(1, 2))
            masks.append(small[:, 0].bool())
        return torch.cat(logits, 1), torch.cat(distances, 1), torch.cat(masks, 1)

    def points(self, num_steps: int) -> Tensor:
        """(P, 4) rows: position, lower and upper limit of the distance to the farther end, stride; all in steps."""
        rows = []
        for level in range(self.num_levels):
            place = torch.arange(0, num_steps, 2**level, dtype=torch.float32)
            low = 0.0 if level == 0 else self.first_range * 2 ** (level - 1)
            high = self.first_range * 2**level if level < self.num_levels - 1 else math.inf
            rows.append(torch.stack([place, *(torch.full_like(place, v) for v in (low, high, float(2**level)))], 1))
        return torch.cat(rows)

    def loss(self, features: Tensor, mask: Tensor, segments: Sequence[Tensor]) -> Tensor:
        """Focal loss of the classes plus weighted distance-IoU loss of the ends, divided by `num_positives`.

        In training this also updates `num_positives`.

        Args:
            features, mask: See `forward`.
            segments: B tensors (G, 3): start and end in steps, class.

        Returns:
            A scalar.
        """
        logits, distances, known = self(features, mask)
        points = self.points(features.shape[2]).to(features)
        targets = [assign(points, s.to(features), self.num_classes, self.centre_radius) for s in segments]
        classes, ends = (torch.stack(t) for t in zip(*targets))
        positive = (classes.sum(-1) > 0) & known
        if self.training:
            self.num_positives.mul_(0.9).add_(0.1 * max(int(positive.sum()), 1))
        smooth = classes * (1 - self.label_smoothing) + self.label_smoothing / (self.num_classes + 1)
        of_class = focal_loss(logits[known], smooth[known]).sum()
        of_ends = distance_iou_loss(distances[positive], ends[positive]).sum()
        return (of_class + self.regression_weight * of_ends) / self.num_positives

    @torch.no_grad()
    def detect(self, features: Tensor, mask: Tensor, most: int = 2000, least_score: float = 1e-3) -> list[Tensor]:
        """The best segments of each video over all levels, before suppression.

        Args:
            features, mask: See `forward`.
            most: Segments kept per video.
            least_score: Segments at or below it are dropped.

        Returns:
            B tensors (n, 4) [start, end, class, score], n <= `most`; times in steps, which may lie outside the video,
            highest score first. A segment may have no length.
        """
        logits, distances, known = self(features, mask)
        points = self.points(features.shape[2]).to(features)
        found = []
        for scores, (left, right), there in zip(logits.sigmoid(), distances.permute(0, 2, 1), known):
            flat = (scores * there[:, None]).flatten()
            values, places = flat.topk(min(most, len(flat)))
            places = places[values > least_score]
            point, label = places // self.num_classes, places % self.num_classes
            place, stride = points[point, 0], points[point, 3]
            start, end = place - left[point] * stride, place + right[point] * stride
            found.append(torch.stack([start, end, label.to(flat), flat[places]], 1))
        return found


def assign(points: Tensor, segments: Tensor, num_classes: int, radius: float) -> tuple[Tensor, Tensor]:
    """Targets of each point.

    A point learns a segment if it lies inside it, within `radius` strides of its middle, and the segment's farther end
    is within the level's range. Of several segments it learns the shortest. Segments of that length (within 0.001
    steps) all give it their classes.

    Args:
        points: (P, 4) rows of `ActionFormer.points`.
        segments: (G, 3) rows: start and end in steps, class. G may be 0.

    Returns:
        (P, C) classes, 0 or 1; (P, 2) distances to start and end, in strides of the point's level.
    """
    classes, ends = points.new_zeros(len(points), num_classes), points.new_zeros(len(points), 2)
    if len(segments) == 0:
        return classes, ends
    place, low, high, stride = (column[:, None] for column in points.T)  # (P, 1)
    start, end, label = segments.T
    left, right = place - start, end - place  # (P, G)
    middle = (start + end) / 2
    inside = torch.minimum(
        place - torch.maximum(middle - stride * radius, start), torch.minimum(middle + stride * radius, end) - place
    )
    farther = torch.maximum(left, right)
    usable = (inside > 0) & (farther >= low) & (farther <= high)
    length = (end - start).expand_as(left).masked_fill(~usable, math.inf)
    shortest, which = length.min(1)
    taken = (length <= shortest[:, None] + 1e-3) & usable
    hot = F.one_hot(label.long(), num_classes).to(points)
    classes = (taken.to(points) @ hot).clamp(max=1)
    rows = torch.arange(len(points), device=points.device)
    ends = torch.stack([left[rows, which], right[rows, which]], 1) / points[:, 3:]
    return classes, ends


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Alpha-balanced focal loss of each element, any shape. Source: Lin et al. (arXiv:1708.02002)."""
    chance = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    right = chance * targets + (1 - chance) * (1 - targets)
    return (alpha * targets + (1 - alpha) * (1 - targets)) * cross_entropy * (1 - right) ** gamma


def distance_iou_loss(found: Tensor, true: Tensor, epsilon: float = 1e-8) -> Tensor:
    """1 - IoU + (distance between the middles / length of the smallest segment around both)^2.

    Args:
        found, true: (n, 2) distances >= 0 from one point to start and end.

    Returns:
        (n,) losses.

    Source: Zheng et al. (arXiv:1911.08287), in one dimension.
    """
    together = torch.minimum(found, true).sum(-1)
    union = found.sum(-1) + true.sum(-1) - together
    hull = torch.maximum(found, true).sum(-1).clamp(min=epsilon)
    apart = 0.5 * ((found[:, 1] - found[:, 0]) - (true[:, 1] - true[:, 0]))
    return 1 - together / union.clamp(min=epsilon) + (apart / hull) ** 2


def _sines(num_steps: int, width: int) -> Tensor:
    """(W, S) sine and cosine position embedding of the original Transformer, divided by sqrt(W)."""
    rate = 10000 ** (-(torch.arange(width) // 2 * 2).double() / width)
    angle = rate[:, None] * torch.arange(num_steps)
    return torch.where(torch.arange(width)[:, None] % 2 == 0, angle.sin(), angle.cos()) / width**0.5
