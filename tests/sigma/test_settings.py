"""Declared settings: what is unknown, missing, of another type or out of range is named; defaults; the command line."""

import pytest

from sigma.errors import DataError
from sigma.parts import Part, arguments
from sigma.settings import ABSENT, AtMostOne, ExactlyOne, Needs, Setting, Settings

INNER = Settings((Setting('num_clips', int, 'Clips.', least=1), Setting('side', int, 'Pixels.', default=64)))
KEYS = Settings(
    (
        Setting('epochs', int, 'Epochs.', default=ABSENT, least=1),
        Setting('num_steps', int, 'Steps.', default=ABSENT, least=1),
        Setting('lr', float, 'Learning rate.', above=0),
        Setting('share', float, 'Share.', default=0.5, least=0, most=1),
        Setting('flip', bool, 'Flip.', default=False),
        Setting('kind', str, 'Kind.', default='a', choices=('alpha', 'beta', 'a')),
        Setting('crop', [float], 'Crop.', default=None, length=2, least=0),
        Setting('views', INNER, 'Views.', default=ABSENT),
        Setting('trained', (str, {str: str}), 'Recipe.', default=ABSENT),
    ),
    (ExactlyOne(('epochs', 'num_steps')), Needs('flip', 'lr')),
)
RIGHT = {'epochs': 3, 'lr': 1}


@pytest.mark.parametrize(
    ('changes', 'facts'),
    [
        ({'epoch': 3}, ["unknown key 'epoch'", "did you mean 'epochs'", 'known keys: epochs, num_steps']),
        ({'lr': '1e-3'}, ["lr is '1e-3'", 'a number']),
        ({'lr': True}, ['lr is True', 'a number']),
        ({'lr': 0}, ['lr is 0', 'above 0']),
        ({'lr': float('nan')}, ['lr is nan']),
        ({'epochs': 2.5}, ['epochs is 2.5', 'a whole number']),
        ({'share': 1.5}, ['share is 1.5', '0 to 1']),
        ({'flip': 1}, ['flip is 1', 'True or False']),
        ({'kind': 'alpa'}, ["kind is 'alpa'", "did you mean 'alpha'", 'known: alpha, beta, a']),
        ({'crop': (0.1,)}, ['crop has 1 values', '2 numbers']),
        ({'crop': (0.1, -1)}, ['crop is -1', 'at least 0']),
        ({'crop': 0.5}, ['crop is 0.5', 'list of 2 numbers or None']),
        ({'views': {'num_clip': 1}}, ["unknown key 'views.num_clip'", "did you mean 'views.num_clips'"]),
        ({'views': {}}, ['views.num_clips is missing']),
        ({'views': 3}, ['views is 3', 'a dict']),
        ({'trained': 3}, ['trained is 3']),
        ({'num_steps': 5}, ['epochs and num_steps are both given', 'None']),
        ({'epochs': None}, ['one of epochs and num_steps must be given']),
        ({'epochs': None, 'num_steps': 0}, ['num_steps is 0', 'at least 1']),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(changes, facts):
    with pytest.raises(DataError) as caught:
        KEYS.check('Recipe mine', RIGHT | changes)
    text = str(caught.value)
    assert text.startswith('Recipe mine: ')
    assert text.endswith('.')
    assert '\n' not in text
    for fact in facts:
        assert fact in text


def test_every_problem_is_in_the_sentence_and_what_is_missing_is_named():
    with pytest.raises(DataError) as caught:
        KEYS.check('R', {'epoch': 1, 'shar': 2})
    for fact in ("'epoch'", "'epochs'", "'shar'", "'share'", 'lr is missing', 'one of epochs and num_steps'):
        assert fact in str(caught.value)


def test_defaults_are_filled_in_and_none_takes_a_key_out():
    assert KEYS.completed(RIGHT | {'num_steps': None, 'views': {'num_clips': 2}}) == {
        'epochs': 3,
        'lr': 1,
        'share': 0.5,
        'flip': False,
        'kind': 'a',
        'crop': None,
        'views': {'num_clips': 2, 'side': 64},
    }
    given = RIGHT | {'trained': {'vit': 'a'}}
    completed = KEYS.completed(given)
    completed['trained']['vit'] = 'b'
    assert given['trained'] == {'vit': 'a'}  # a copy


def test_changes_from_the_command_line_are_typed_and_checked():
    assert KEYS.parse('--recipe', ['lr=1e-3', 'views.num_clips=3', 'crop=(0.2, 1)', 'kind=beta', 'epochs=none']) == {
        'lr': 1e-3,
        'views': {'num_clips': 3},
        'crop': (0.2, 1),
        'kind': 'beta',
        'epochs': None,
    }
    for text, fact in (
        ('lrr=1', "did you mean 'lr'"),
        ('views.num_clip=1', "did you mean 'views.num_clips'"),
        ('views.side.x=1', 'views.side is'),
        ('epochs=many', "epochs is 'many'"),
        ('epochs=0', 'epochs is 0'),
        ('epochs', 'KEY=VALUE'),
    ):
        with pytest.raises(DataError, match='--recipe: .*' + fact.replace('(', r'\(')):
            KEYS.parse('--recipe', [text])


def test_changes_that_exclude_a_key_of_the_recipe_take_it_out():
    assert KEYS.changed(RIGHT | {'views': {'num_clips': 1}}, {'num_steps': 7, 'views': {'side': 32}}) == {
        'epochs': None,
        'num_steps': 7,
        'lr': 1,
        'views': {'num_clips': 1, 'side': 32},
    }


def test_rules_of_pairs():
    assert AtMostOne(('a', 'b')).problem({'a'}) is None
    assert 'a and b are both given' in AtMostOne(('a', 'b')).problem({'a', 'b'})
    assert 'a is given without b' in Needs('a', 'b').problem({'a'})


def test_types_and_ranges_in_words():
    rows = {key: (kind, values, default) for key, kind, values, default, _ in KEYS.rows()}
    assert rows['epochs'] == ('whole number', 'at least 1', 'left out')
    assert rows['lr'] == ('number', 'above 0', 'required')
    assert rows['crop'] == ('list of 2 numbers or None', 'at least 0', 'None')
    assert rows['kind'] == ('text', 'alpha, beta, a', "'a'")
    assert rows['views.side'] == ('whole number', '', '64')
    assert rows['trained'][0] == 'text or dict of names to text'


# --- arguments of classes ------------------------------------------------------------------------------------------


def test_arguments_of_a_class_are_those_of_its_signature():
    import inspect

    from eval.models.actionformer import ActionFormer

    found = arguments('eval.models.actionformer', 'ActionFormer', ('feature_width', 'num_classes'))
    signature = inspect.signature(ActionFormer).parameters
    assert found.names() == list(signature)[2:]
    assert all(found[name].default == signature[name].default for name in found.names())
    assert all(len(found[name].sentence) > 2 for name in found.names())
    assert found['window'].kind == (int, [int])


@pytest.mark.parametrize(
    ('value', 'fact'),
    [
        ({'type': 'sigma.VideoViT', 'arc': 'tiny'}, "unknown key 'backbone.arc' (did you mean 'backbone.arch'?)"),
        ({'type': 'sigma.VideoViT', 'image_size': '64'}, "backbone.image_size is '64'"),
        ({'type': 'sigma.VideoVit'}, 'did you mean sigma.VideoViT?'),
        ({'type': 'mmaction.VisionTransformer', 'img_sise': 64}, "did you mean 'backbone.img_size'?"),
        ({'type': 'mmaction.ResNet3dd', 'depth': 50}, 'did you mean mmaction.ResNet3d'),
        ({'type': 'sigma.FeatureMapTokens', 'backbone': {'type': 'sigma.VideoViT', 'a': 1}}, 'backbone.backbone.a'),
        ({'type': 'sigma.FeatureMapTokens'}, 'backbone.backbone is missing'),
        ({'arch': 'tiny'}, 'backbone.type is None'),
    ],
)
def test_a_backbone_is_checked_against_its_class_without_torch(value, fact):
    assert fact in '; '.join(Part().problems(value, 'backbone'))


def test_right_backbones_and_those_of_other_scopes_pass():
    for value in (
        {'type': 'sigma.VideoViT', 'arch': {'embed_dims': 8, 'depth': 1, 'num_heads': 1}},
        {'type': 'mmaction.VisionTransformer', 'use_mean_pooling': False, 'init_cfg': None},
        {'type': 'theirs.Backbone', 'anything': 1},
    ):
        assert list(Part().problems(value, 'backbone')) == []
