from eval.models.heads import TokenHead
from eval.models.preprocessor import VideoPreprocessor

__all__ = ['TokenHead', 'VideoPreprocessor']
