import eval.registry  # noqa: F401 - mends what is broken below us before mmaction2 is imported
from eval.models.frozen import FrozenTrunkRecognizer
from eval.models.heads import MultiLabelHead, TokenHead
from eval.models.mixing import MixClips
from eval.models.preprocessor import VideoPreprocessor

__all__ = ['FrozenTrunkRecognizer', 'MixClips', 'MultiLabelHead', 'TokenHead', 'VideoPreprocessor']
