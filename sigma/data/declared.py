"""The keys of dataset and encoder cards. A card with another key is refused; `docs/settings.md` is made from this."""

from sigma.parts import Part
from sigma.settings import ABSENT, Setting, Settings

TASKS = (
    'action_recognition',
    'multi_label',
    'localization',
    'repetition',
    'segmentation',  # a mask per frame: objects of a video, or classes of pixels
    'keypoints',  # joints per frame
    'detection',  # boxes with actions at key frames
)
_SPLIT = Settings(
    (
        Setting('list', str, 'File with one video and its label per line, relative to `data_root`.'),
        Setting('sha256', str, 'Hash of the list; None accepts any.', default=None),
        Setting('num_videos', int, 'Videos in the list; None: not stated.', default=None, least=0),
    )
)
_SAMPLING = Settings(
    (
        Setting('num_frames', int, 'Frames of a clip that the videos are made for.', default=None, least=1),
        Setting('stride_frames', int, 'Video frames from one sampled frame to the next.', default=None, least=1),
        Setting('step_frames', int, 'Video frames from the start of a sliding clip to the next.', None, least=1),
        Setting('fps', float, 'Frames per second at which a published protocol counts frames.', None, above=0),
    )
)
_RULES = Settings(
    (
        Setting('duplicates', str, 'What happens to repeated segments.', default='keep', choices=('keep', 'drop')),
        Setting('shortest_seconds', float, 'Shorter segments are left out.', default=0.0, least=0),
        Setting('ambiguous', str, 'What happened to ambiguous segments, for the record.', default=ABSENT),
        Setting('blocked', [str], 'Test videos that are left out.', default=()),
    )
)
DATASET = Settings(
    (
        Setting('name', str, 'Name in records, on the command line and in file names.'),
        Setting('short', str, 'Short name in the head of tables and figures (default: its name).', default=ABSENT),
        Setting('task', str, 'What a label is.', default='action_recognition', choices=TASKS),
        Setting(
            'classes',
            (str, [str]),
            'Names in the order of their numbers; or a text file, as FILE or FILE[6:17].',
            ABSENT,
        ),
        Setting('trained_on', str, 'Dataset whose classes an altered set has.', default=ABSENT),
        Setting('restricted', bool, 'The head chooses among the classes of the test list alone.', default=False),
        Setting('splits', {str: _SPLIT}, 'Lists of videos: `train` and `test`.'),
        Setting('annotations', str, 'JSON file with what a list cannot express.', default=ABSENT),
        Setting('sections', bool, 'Annotations have the `section` of each video.', default=False),
        Setting('video_root', str, 'Folder of the videos, relative to `data_root`.', default=ABSENT),
        Setting('delimiter', str, 'Between video and label in a list.', default=ABSENT),
        Setting('index', str, 'File that tools/prepare.py writes: frames, rate, size and hash of every video.', ABSENT),
        Setting('metric', str, 'Primary metric.', default=ABSENT),
        Setting('rules', _RULES, 'Rules of the evaluator of localization.', default=ABSENT),
        Setting('flips_change_label', bool, 'A mirrored clip has another label, so clips are not flipped.', False),
        Setting('sampling', _SAMPLING, 'Frames of a clip.', default=ABSENT),
        Setting('stills', bool, 'Its files are images; each is a clip of identical frames.', default=False),
        Setting('size', int, 'Pixels of the sides of rendered videos.', default=ABSENT, least=1),
        Setting('note', str, 'Sentence for the notes of records.', default=ABSENT),
        Setting('source', str, 'Paper or origin.', default=ABSENT),
        Setting('licence', str, 'Licence.', default=ABSENT),
        Setting('obtain', str, 'Where to get it.', default=ABSENT),
        Setting('prepare', str, 'Command that prepares it.', default=ABSENT),
    )
)
_CLIP = Settings(
    (
        Setting('num_frames', int, 'Frames of a clip.', least=1),
        Setting('stride_frames', int, 'Video frames from one sampled frame to the next.', least=1),
        Setting('size', int, 'Height and width in pixels.', least=1),
    )
)
ENCODER = Settings(
    (
        Setting('name', str, "Name in records and tables (default: the file's).", default=ABSENT),
        Setting('backbone', Part(), 'The backbone class with its scope, and its arguments.'),
        Setting('embed_dims', int, 'Width D of its tokens.', least=1),
        Setting('clip', _CLIP, 'The clips that it takes.'),
        Setting('family', str, 'Which recipes of a suite it takes: `vit` or `r2plus1d`.', default='vit'),
        Setting('checkpoint', str, 'File of the weights; None: random weights.', default=None),
        Setting('sha256', str, 'Hash of that file; None accepts any.', default=None),
        Setting(
            'layout',
            str,
            'Names of the tensors in the backbone.',
            'sigma',
            choices=('sigma', 'mmaction', 'plain', 'r2plus1d', 'own'),
        ),
        Setting(
            'inner', str, 'Attribute of the backbone that gets the weights; empty: the backbone itself.', default=''
        ),
        Setting(
            'mean',
            [float],
            "Per channel (RGB), on the scale 0 to 255 (default: ImageNet's).",
            ABSENT,
            length=3,
            least=0,
        ),
        Setting(
            'std', [float], "Per channel (RGB), on the scale 0 to 255 (default: ImageNet's).", ABSENT, length=3, least=1
        ),
        Setting(
            'positions',
            str,
            'Position embedding of a fine-tuned file that does not say which it was trained with.',
            default=None,
            choices=('videomae', 'mvd'),
        ),
        Setting('drop', [str], 'Prefixes of tensors of the file that the backbone does not have.', default=()),
        Setting('finetune', dict, 'Arguments of the backbone that differ in fine-tuning.', default=ABSENT),
        Setting('finetune_drop', [str], 'Further prefixes to drop then.', default=()),
        Setting('pretraining_data', str, 'For the record.', default=None),
        Setting('source', str, 'For the record.', default=ABSENT),
        Setting('training', dict, 'What is known of its training, for the record.', default=ABSENT),
        Setting('make', str, 'Command that makes the checkpoint.', default=ABSENT),
    )
)
# What a card may assign, by the section that is read from it.
_OF_DATASET = ('data_root', 'dataset_info', 'recipes', 'prepare_from', 'prepare_together')
TOP_LEVEL = {
    'dataset_info': _OF_DATASET,
    'prepare_from': _OF_DATASET,
    'encoder': ('encoder',),
    'recipe': ('recipe',),
}
SECTIONS = {'dataset_info': DATASET, 'encoder': ENCODER}
