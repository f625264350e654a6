"""Raw pixels in the form of an encoder: the floor that every encoder on footage of a fixed camera has to beat."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sigma.registry import MODELS

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (BT.601)


@MODELS.register_module()
class GrayPixels(nn.Module):
    """One token per time step: the gray frame, shrunk to `size` x `size` pixels. Nothing is learnt.

    Places stay apart inside the token, since a probe that averages tokens over space would leave one brightness.

    Args:
        size: Pixels per side; D = size * size.
        num_steps: T'; frames are averaged within each.
    """

    def __init__(self, size: int = 16, num_steps: int = 8) -> None:
        super().__init__()
        self.size, self.num_steps, self.embed_dims = size, num_steps, size * size

    def forward(self, clip: Tensor) -> Tensor:
        """Clip (B, 3, T, H, W) -> tokens (B, T', 1, 1, size * size)."""
        gray = torch.einsum('bcthw,c->bthw', clip, clip.new_tensor(_LUMA)).unsqueeze(1)  # (B, 1, T, H, W)
        small = F.adaptive_avg_pool3d(gray, (self.num_steps, self.size, self.size))
        return small.flatten(2).unflatten(2, (self.num_steps, 1, 1, -1)).squeeze(1)
