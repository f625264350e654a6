"""The losses. They need only torch: importing them changes nothing in the process and loads no other framework."""

from sigma.losses.feature_l2 import FeatureL2
from sigma.losses.sinkhorn import SinkhornLoss, sinkhorn

__all__ = ['FeatureL2', 'SinkhornLoss', 'sinkhorn']
