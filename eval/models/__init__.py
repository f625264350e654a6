from eval.models.heads import MultiLabelHead, TokenHead
from eval.models.preprocessor import VideoPreprocessor

__all__ = ['MultiLabelHead', 'TokenHead', 'VideoPreprocessor']
