"""A plain version of SIGMA's pretraining step, which `python -m tools.benchmark pretrain` compares ours with.

It follows the paper: a convolution embeds all tokens, boolean masks select some, attention forms its full matrix, the
image encoder runs in fp32 outside autocast, and Sinkhorn forms the plan and scales its rows and columns in turn.
Nothing is computed twice or slowly on purpose. Weights and results equal those of our model: tests compare losses and
gradients.

B clips, N tokens, V visible and M masked, D width, E width of the targets, S = B M samples, K prototypes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sigma.models import SIGMA, ImageProjector


class PlainSIGMA(nn.Module):
    """Forward pass and loss on the modules of a `SIGMA`, which it shares."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: SIGMA) -> None:
        super().__init__()
        self.encoder, self.decoder, self.projector = model.encoder, model.decoder, model.projector
        self.sinkhorn_loss = model.sinkhorn_loss
        self.register_buffer('mean', model.data_preprocessor.mean, persistent=False)
        self.register_buffer('std', model.data_preprocessor.std, persistent=False)

    def forward(self, clip: Tensor, mask: Tensor) -> Tensor:
        """Normalised clip (B, 3, T, H, W) and mask (B, N) bool, True where masked -> loss (scalar)."""
        return self.loss(self.predictions(clip, mask), self.targets(clip, mask))

    def predictions(self, clip: Tensor, mask: Tensor) -> Tensor:
        """Output of the video branch, (B, M, E)."""
        encoder, decoder, batch = self.encoder, self.decoder, len(clip)
        tokens = encoder.patch_embed.proj(clip).flatten(2).transpose(1, 2)  # (B, N, D)
        tokens = tokens + encoder.positions
        tokens = tokens[~mask].reshape(batch, -1, encoder.embed_dims)  # (B, V, D)
        for block in encoder.blocks:
            tokens = transformer_block(block, tokens)
        known = decoder.bridge(encoder.norm(tokens))
        positions = decoder.positions.expand(batch, -1, -1)
        width = known.shape[-1]
        known = known + positions[~mask].reshape(batch, -1, width)
        unknown = decoder.mask_token + positions[mask].reshape(batch, -1, width)
        joined = torch.cat([known, unknown], dim=1)  # (B, N, width)
        for block in decoder.blocks:
            joined = transformer_block(block, joined)
        return decoder.head(decoder.norm(joined[:, -unknown.shape[1] :]))

    def targets(self, clip: Tensor, mask: Tensor) -> Tensor:
        """Output of the projection branch, (B, M, E)."""
        if isinstance(self.projector, ImageProjector):
            return self.image_features(clip, mask)
        t, h, w = self.projector.targets.tubelet
        pixels = clip * self.std + self.mean
        b, c, frames, height, width = pixels.shape
        grid = pixels.reshape(b, c, frames // t, t, height // h, h, width // w, w)
        values = grid.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, -1, t * h * w, c)  # (B, N, t h w, 3)
        values = (values - values.mean(dim=2, keepdim=True)) / (values.var(dim=2, keepdim=True).sqrt() + 1e-6)
        return self.projector.layers(values.flatten(2)[mask].reshape(b, -1, t * h * w * c))

    @torch.no_grad()
    def image_features(self, clip: Tensor, mask: Tensor) -> Tensor:
        """(B, M, E) patch tokens of each tubelet's first frame, standardised over all tokens of a clip."""
        teacher, batch = self.projector.encoder, len(clip)
        frames = clip[:, :, :: self.projector.tubelet_size].transpose(1, 2).flatten(0, 1)
        with torch.autocast(clip.device.type, enabled=False):
            features = teacher.forward_features(frames)[:, teacher.num_prefix_tokens :]
            features = features.reshape(batch, -1, features.shape[-1])  # (B, N, E)
            mean, variance = features.mean(dim=1, keepdim=True), features.var(dim=1, keepdim=True)
            features = (features - mean) / (variance + 1e-6).sqrt()
        return features[mask].reshape(batch, -1, features.shape[-1])

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Sum of the cross-entropies of each branch against the codes of the other, in fp32."""
        settings = self.sinkhorn_loss
        with torch.autocast(predictions.device.type, enabled=False):
            with torch.no_grad():
                settings.prototypes.copy_(F.normalize(settings.prototypes, dim=1))
            predictions = F.normalize(predictions.float().flatten(0, 1), dim=1)
            targets = F.normalize(targets.float().flatten(0, 1), dim=1)
            scores_pred = predictions @ settings.prototypes.detach().T  # (S, K)
            scores_target = targets @ settings.prototypes.T
            codes_pred = plain_codes(scores_pred, settings.epsilon, settings.num_iterations)
            codes_target = plain_codes(scores_target, settings.epsilon, settings.num_iterations)
            return F.cross_entropy(scores_target / settings.temperature, codes_pred) + F.cross_entropy(
                scores_pred / settings.temperature, codes_target
            )


def transformer_block(block: Any, tokens: Tensor) -> Tensor:
    """Pre-norm block, (B, N, D) -> (B, N, D). Attention forms its matrix (B, heads, N, N)."""
    attention, (b, n, width) = block.attn, tokens.shape
    qkv = attention.qkv(block.norm1(tokens)).reshape(b, n, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = qkv[0] * attention.scale, qkv[1], qkv[2]
    mixed = (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value
    tokens = tokens + attention.proj(mixed.transpose(1, 2).reshape(b, n, width))
    return tokens + block.mlp(block.norm2(tokens))


@torch.no_grad()
def plain_codes(scores: Tensor, epsilon: float, num_iterations: int) -> Tensor:
    """(S, K) scores -> (S,) codes. Forms the plan and scales its rows and columns in turn."""
    plan = torch.exp(scores / epsilon).T  # (K, S)
    plan /= plan.sum()
    for _ in range(num_iterations):
        plan *= (1 / (plan.shape[0] * plan.sum(dim=1)))[:, None]
        plan *= (1 / (plan.shape[1] * plan.sum(dim=0)))[None]
    return (plan / plan.sum(dim=0)).T.argmax(dim=1)
