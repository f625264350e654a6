from sigma.losses.feature_l2 import FeatureL2
from sigma.losses.sinkhorn import SinkhornLoss, sinkhorn

__all__ = ['FeatureL2', 'SinkhornLoss', 'sinkhorn']
