"""Settings that several protocols declare."""

from sigma.settings import ABSENT, Setting, Settings

RESAMPLINGS = ('opencv', 'antialias')
MODES = ('shuffled', 'single')


def readers() -> list[str]:
    """Names of the readers of videos; importing them takes a moment."""
    from sigma.video import PROVED, READERS

    return [PROVED, *READERS]


# Of every recipe.
RECIPE = Settings(
    (
        Setting('protocol', str, 'Protocol that reads the recipe.'),
        Setting(
            'departures',
            [
                Settings(
                    (
                        Setting('what', str, 'Setting or step that differs, in a few words.'),
                        Setting('published', str, 'Its published value or behaviour, with the source.'),
                        Setting('ours', str, 'Ours, and why.'),
                        Setting('effect', str, 'What it changes in the score.', default='not measured'),
                    )
                )
            ],
            'How the recipe differs from the published one; docs/departures.md is made from it.',
            default=(),
        ),
    )
)

DECODER = Setting('decoder', str, 'Reader of videos.', choices=readers)
FRAMES = Setting(
    'frames',
    str,
    'A control: frames of each clip in random order (`shuffled`), or one of them repeated (`single`).',
    default=None,
    choices=MODES,
)
BATCH = Setting('batch_size', int, 'Clips per forward pass of the encoder; it does not change the score.', least=1)
TRAINED = Setting(
    'trained',
    (str, {str: str}),
    "Recipe of the trained cell; `{family}` is the encoder's; or a dict of family to recipe.",
)
BLOCK = Setting(
    'block_videos', int, 'Videos whose scores are kept together: the most that a kill costs.', default=200, least=1
)
SEVERITIES = Setting(
    'severities', [int], 'Severities; each has the same weight.', default=(1, 2, 3, 4, 5), least=1, most=5
)


def views() -> Setting:
    """What is tested of a video."""
    keys = (
        Setting('num_clips', int, 'Clips, evenly spaced over the video; their scores are averaged.', least=1),
        Setting('crops', int, 'Crops of each clip.', choices=(1, 3)),
        Setting(
            'resize',
            str,
            'The whole frame as a square, or the short side resized, then crops.',
            choices=('square', 'short_side'),
        ),
        Setting(
            'short_side',
            int,
            "Pixels of the short side (default: the encoder's clip size); one crop only where it differs.",
            default=ABSENT,
            least=1,
        ),
        Setting(
            'resampling',
            str,
            "Filter; size and places of crops are then those of the published loaders (without it, mmaction2's).",
            default=ABSENT,
            choices=RESAMPLINGS,
        ),
        Setting(
            'middle',
            str,
            'Rounding of the middle crop, with `resampling`.',
            default=ABSENT,
            choices=('down', 'up', 'even'),
        ),
    )
    return Setting('views', Settings(keys), 'Clips and crops of a test video.')
