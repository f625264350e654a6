"""Prototype maps of a model whose nearest prototypes are known, and the command that draws them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sigma.checkpoints.files import save_tensors, save_training_state
from sigma.data.cards import read_config
from sigma.errors import CheckpointError, DataError
from sigma.figures import clusters
from sigma.figures.clusters import (
    colours_of,
    cosines,
    draw_clusters,
    load_model,
    nearest,
    other_mask,
    paint,
    prototype_maps,
)
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
def videos(toy):
    return sorted((toy / 'videos').rglob('*.mp4'))


@pytest.fixture(scope='module')
def video(videos):
    return videos[0]


def test_nearest_is_by_cosine():
    model = tiny('mlp')
    chosen = torch.tensor([3, 0, 19, 3])
    with torch.no_grad():
        model.sinkhorn_loss.prototypes.mul_(torch.rand(20, 1) + 0.1)  # lengths say nothing
        found = cosines(model, 7 * model.sinkhorn_loss.prototypes[chosen])
    assert found[range(4), chosen].tolist() == pytest.approx([1] * 4)
    assert nearest(found).tolist() == chosen.tolist()
    found[1] = np.nan  # a tubelet that was never hidden
    assert nearest(found).tolist() == [3, -1, 19, 3]


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


def test_the_command_draws_frames_and_both_branches(checkpoint, video, videos, tmp_path, capsys):
    line = ('--figure', 'clusters', '--video', video, '--configs', DEMO, '--checkpoint', checkpoint)
    done = call_main(plot.main, capsys, *line, '--more-videos', videos[1], '--out', tmp_path / 'maps.png')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'maps.png').stat().st_size > 5000
    figure = draw_clusters(video, DEMO, checkpoint)
    branches = dict.fromkeys(heading.split(':')[0].split(',')[0] for heading in headings(figure))
    assert list(branches) == [video.name, 'predicted', 'projected']
    again = draw_clusters(video, DEMO, checkpoint)
    for one, two in zip(figure.axes, again.axes):
        assert (one.images[0].get_array() == two.images[0].get_array()).all()


def test_without_a_projector_there_is_one_row(checkpoint, video, tmp_path):
    model, has_projector = load_model(DEMO, checkpoint)
    assert has_projector
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('projector.')}
    path = save_training_state(tmp_path / 'iter_1.safetensors', {'state_dict': state})
    found = headings(draw_clusters(video, DEMO, path))
    assert found[0] == f'{video.name}: the first of every 2 frames'
    assert {heading.split(':')[0].split(',')[0] for heading in found[1:]} == {'predicted'}


def test_one_colour_per_prototype_in_all_clips_and_a_legend(checkpoint, videos):
    figure = draw_clusters(videos[:2], DEMO, checkpoint)
    assert [heading.partition(':')[0] for heading in headings(figure) if 'every' in heading] == [
        video.name for video in videos[:2]
    ]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert all(name.startswith('prototype ') or ' other' in name for name in names)
    shares = [int(name.split()[-2]) for name in names if name.endswith('%') and '<' not in name]
    assert 95 <= sum(shares) <= 105
    colours = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert len(set(colours)) == len(colours)
    assert f'{checkpoint.name}: 64 prototypes.' in figure.texts[0].get_text()


def test_where_one_prototype_takes_nearly_all_another_row_has_several_colours():
    """Three prototypes: the first is nearest by far everywhere, the others differ from place to place."""
    cosine = np.zeros((1, 2, 2, 3), np.float32)
    cosine[..., 0] = 0.9
    cosine[0, 0, :, 1], cosine[0, 1, :, 2] = 0.3, 0.3
    cosine[0, 0, 0] = np.nan
    maps = clusters._with_relative({'predicted': cosine})
    assert list(maps) == ['predicted', f'predicted, {clusters.RELATIVE}']
    plain, relative = maps.values()
    assert plain.tolist() == [[[-1, 0], [0, 0]]]
    assert relative.tolist() == [[[-1, 1], [2, 2]]]
    assert clusters._heading('predicted', plain, 'prototype') == 'predicted: 1 prototype, prototype 0 takes 100 %'
    even = np.eye(4, dtype=np.float32).reshape(1, 2, 2, 4)
    assert list(clusters._with_relative({'predicted': even})) == ['predicted']


def test_an_encoder_alone_is_clustered(checkpoint, videos, tmp_path):
    """`encoder.safetensors` has no prototypes; the same tokens have the same colour in all clips."""
    model, _ = load_model(DEMO, checkpoint)
    path = save_tensors(tmp_path / 'encoder.safetensors', model.encoder.state_dict(), {'card': card()})
    figure = draw_clusters([videos[0], videos[0]], DEMO, path)
    found = headings(figure)
    assert len(found) == 4
    assert found[1] == found[3]
    assert found[1].startswith('encoder tokens, k-means: 8 clusters, cluster ')
    for one, two in zip(figure.axes[8:16], figure.axes[24:]):
        assert (one.images[0].get_array() == two.images[0].get_array()).all()
    assert len(figure.legends[0].get_texts()) == 8
    said = ' '.join(figure.texts[0].get_text().split())
    assert said.startswith('encoder.safetensors holds no prototypes')
    assert 'give iter_N.safetensors of its training' in said
    other = card()
    other['backbone']['num_frames'] = 8
    wrong = save_tensors(tmp_path / 'other.safetensors', model.encoder.state_dict(), {'card': other})
    with pytest.raises((DataError, CheckpointError), match='8'):
        draw_clusters(videos[0], DEMO, wrong)


def card() -> dict:
    """What the demo's encoder says of itself."""
    return {
        'version': 1,
        'backbone': {
            'type': 'sigma.VideoViT',
            'arch': {'embed_dims': 128, 'depth': 4, 'num_heads': 4},
            'image_size': 64,
            'num_frames': 16,
            'patch_size': 16,
            'tubelet_size': 2,
            'final_norm': True,
        },
        'clip': {'num_frames': 16, 'stride_frames': 2, 'size': 64},
        'mean': [123.675, 116.28, 103.53],
        'std': [58.395, 57.12, 57.375],
        'pretraining_data': None,
        'source': 'a test',
    }


def headings(figure) -> list[str]:
    """Headings of the rows."""
    return [heading for axis in figure.axes if (heading := axis.get_title(loc='left'))]


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
