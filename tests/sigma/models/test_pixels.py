"""Raw pixels as an encoder: each token is the shrunk gray frame of its time step."""

import torch

from sigma.models import GrayPixels


def test_a_token_is_the_mean_gray_of_each_cell_and_step():
    clip = torch.rand(2, 3, 4, 8, 12, generator=torch.manual_seed(0))
    tokens = GrayPixels(size=2, num_steps=2)(clip)
    assert tokens.shape == (2, 2, 1, 1, 4)
    gray = 0.299 * clip[1, 0] + 0.587 * clip[1, 1] + 0.114 * clip[1, 2]
    assert torch.allclose(tokens[1, 1, 0, 0, 2], gray[2:4, 4:8, 0:6].mean(), atol=1e-6)


def test_nothing_is_learnt_or_stored():
    assert not GrayPixels().state_dict()
    assert not list(GrayPixels().parameters())
