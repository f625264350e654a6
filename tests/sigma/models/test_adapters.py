"""Backbones of other libraries behind our interface."""

import pytest
import torch

from sigma.checkpoints.encoder import load_encoder_weights
from sigma.checkpoints.files import save_tensors
from sigma.errors import CheckpointError
from sigma.models import FeatureMapTokens, R2Plus1D18


@pytest.fixture(scope='module')
def reference():
    from torchvision.models.video import r2plus1d_18

    torch.manual_seed(0)
    return r2plus1d_18(weights=None).eval()


def test_r2plus1d_gives_the_feature_map_of_torchvision_as_tokens(reference, tmp_path):
    path = save_tensors(tmp_path / 'torchvision.safetensors', reference.state_dict(), {})
    ours = R2Plus1D18().eval()
    load_encoder_weights(ours, str(path), layout='plain', drop=('fc.',))
    clip = torch.randn(2, 3, 8, 48, 48)
    with torch.no_grad():
        tokens = ours(clip)
        assert tokens.shape == (2, 1, 3, 3, 512)
        pooled = tokens.flatten(1, -2).mean(dim=1)
        torch.testing.assert_close(reference.fc(pooled), reference(clip), rtol=1e-4, atol=1e-4)


def test_a_classifier_that_is_not_dropped_is_named(reference, tmp_path):
    path = save_tensors(tmp_path / 'torchvision.safetensors', reference.state_dict(), {})
    with pytest.raises(CheckpointError, match='fc'):
        load_encoder_weights(R2Plus1D18(), str(path), layout='plain')


def test_r2plus1d_tokens_of_the_published_clip():
    # Only shapes matter, so use meta tensors.
    with torch.device('meta'):
        assert R2Plus1D18().eval()(torch.empty(1, 3, 32, 112, 112)).shape == (1, 4, 7, 7, 512)


def test_batch_norm_moves_in_training_and_stands_still_in_testing():
    torch.manual_seed(0)
    model = R2Plus1D18()
    before = model.stem[1].running_mean.clone()
    model.eval()(torch.randn(2, 3, 8, 32, 32))
    assert torch.equal(model.stem[1].running_mean, before)
    model.train()(torch.randn(2, 3, 8, 32, 32))
    assert not torch.equal(model.stem[1].running_mean, before)


def test_what_is_no_feature_map_is_named():
    backbone = {'type': 'mmaction.VisionTransformer', 'img_size': 32, 'embed_dims': 32, 'depth': 1, 'num_heads': 2}
    with pytest.raises(ValueError, match=r'VisionTransformer .*\(1, 32\).*return_feat_map'):
        FeatureMapTokens(backbone, 32)(torch.zeros(1, 3, 16, 32, 32))
