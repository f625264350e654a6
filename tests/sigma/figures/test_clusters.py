"""Prototype maps of a model whose nearest prototypes are known, and the command that draws them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sigma.checkpoints.files import save_training_state
from sigma.data.cards import read_config
from sigma.errors import CheckpointError, DataError
from sigma.figures.clusters import colours_of, draw_clusters, load_model, nearest, other_mask, paint, prototype_maps
from sigma.figures.masks import draw_masks
from sigma.registry import MODELS
from tests.conftest import DEMO, ROOT, assert_one_sentence, call_main
from tests.sigma.data.test_many_masks import tiny
from tools import plot


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Training state of the demo's model with random weights."""
    torch.manual_seed(0)
    model = MODELS.build(read_config(DEMO).model.to_dict())
    return save_training_state(
        tmp_path_factory.mktemp('run') / 'iter_1.safetensors', {'state_dict': model.state_dict()}
    )


@pytest.fixture(scope='module')
def video(toy):
    return sorted((toy / 'videos').rglob('*.mp4'))[0]


def test_nearest_is_by_cosine():
    model = tiny('mlp')
    with torch.no_grad():
        model.sinkhorn_loss.prototypes.mul_(torch.rand(20, 1) + 0.1)  # lengths say nothing
    chosen = torch.tensor([3, 0, 19, 3])
    assert nearest(model, 7 * model.sinkhorn_loss.prototypes[chosen].detach()).tolist() == chosen.tolist()


def test_maps_agree_with_the_model_step_by_step():
    model = tiny('mlp').eval()
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    mask = np.zeros((2, 4, 4), bool)
    mask[:, 0] = True  # 4 of 16 tubes are visible
    maps = prototype_maps(model, frames, mask, True)
    assert list(maps) == ['predicted', 'projected']
    clip = torch.from_numpy(frames.transpose(3, 0, 1, 2).copy())
    visible = torch.tensor([0, 1, 2, 3])
    batch = model.data_preprocessor({'inputs': [clip], 'visible_tubes': [visible]})
    prototypes = F.normalize(model.sinkhorn_loss.prototypes, dim=1)
    _, predictions = model.predictions(batch['clip'], batch['visible'], batch['masked'])
    expected = (F.normalize(predictions[0], dim=1) @ prototypes.T).argmax(1)
    assert maps['predicted'].reshape(-1)[batch['masked'][0]].tolist() == expected.tolist()
    targets = model.targets(batch['pixels'], batch['clip'], batch['masked'])[0]
    expected = (F.normalize(targets, dim=1) @ prototypes.T).argmax(1)
    assert maps['projected'].reshape(-1)[batch['masked'][0]].tolist() == expected.tolist()
    assert maps['predicted'].min() >= 0  # the second pass hides what the first showed


def test_the_other_mask_shares_no_tube_where_it_can():
    mask = np.zeros((3, 4, 4), bool)
    mask.reshape(3, -1)[:, [1, 2, 9, 15]] = True
    other = other_mask(mask)
    assert other.sum(axis=(1, 2)).tolist() == [4, 4, 4]
    assert not (other & mask).any()
    full = np.ones((1, 2, 2), bool)
    assert other_mask(full).all()


def test_colours_follow_frequency_and_paint_the_tubes_of_their_prototype():
    codes = np.array([[[5, 5], [7, -1]]])
    colours = colours_of(codes)
    assert list(colours) == [5, 7]
    frames = np.full((1, 8, 8, 3), 100, np.uint8)
    painted = paint(frames, codes, colours)
    for rows, columns, number in ((0, 0, 5), (0, 4, 5), (4, 0, 7)):
        tube = painted[0, rows : rows + 4, columns : columns + 4]
        assert (tube == np.round(0.45 * 100 + 0.55 * colours[number])).all()
    assert (painted[0, 4:, 4:] == 100).all()
    many = np.repeat(np.arange(30), np.arange(30) + 1)
    assert list(colours_of(many)) == list(range(29, 11, -1))  # the eighteen most frequent


def test_the_command_draws_frames_and_both_branches(checkpoint, video, tmp_path, capsys):
    line = ('--figure', 'clusters', '--video', video, '--configs', DEMO, '--checkpoint', checkpoint)
    done = call_main(plot.main, capsys, *line, '--out', tmp_path / 'maps.png')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'maps.png').stat().st_size > 5000
    figure = draw_clusters(video, DEMO, checkpoint)
    assert [axis.get_ylabel() for axis in figure.axes[::8]] == ['frames', 'predicted', 'projected']
    again = draw_clusters(video, DEMO, checkpoint)
    for one, two in zip(figure.axes, again.axes):
        assert (one.images[0].get_array() == two.images[0].get_array()).all()


def test_without_a_projector_there_is_one_row(checkpoint, video, tmp_path):
    model, has_projector = load_model(DEMO, checkpoint)
    assert has_projector
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('projector.')}
    path = save_training_state(tmp_path / 'iter_1.safetensors', {'state_dict': state})
    figure = draw_clusters(video, DEMO, path)
    assert [axis.get_ylabel() for axis in figure.axes[::8]] == ['frames', 'predicted']


def test_what_cannot_be_drawn_is_named(checkpoint, video, tmp_path, capsys):
    with pytest.raises(DataError, match='give a video'):
        draw_clusters(tmp_path / 'none.mp4', DEMO, checkpoint)
    with pytest.raises(CheckpointError, match='is not there'):
        draw_clusters(video, DEMO, tmp_path / 'none.safetensors')
    (tmp_path / 'broken.py').write_text('model = dict(')
    for draw in (draw_clusters, draw_masks):
        with pytest.raises(DataError, match='broken.py cannot be read'):
            draw(video, tmp_path / 'broken.py', checkpoint)
        with pytest.raises(DataError, match='toy.py has no model'):
            draw(video, DEMO.parents[1] / 'datasets' / 'toy.py', checkpoint)
    pixels = ROOT / 'mmaction_configs' / 'pretrain' / 'demo_videomae_vit-t_toy.py'
    with pytest.raises(DataError, match='has no prototypes'):
        load_model(pixels, checkpoint)
    line = ('--figure', 'clusters', '--video', video, '--out', tmp_path / 'x.png')
    two = call_main(plot.main, capsys, *line, '--configs', DEMO, DEMO, '--checkpoint', checkpoint)
    assert_one_sentence(two, 'takes one config, but 2 were given')


def test_masks_are_wired_too(video, tmp_path, capsys):
    done = call_main(
        plot.main, capsys, '--figure', 'masks', '--video', video, '--configs', DEMO, '--out', tmp_path / 'm.png'
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'm.png').is_file()
