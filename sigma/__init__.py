"""SIGMA: Sinkhorn-guided masked video modelling, as a trainer on MMEngine."""

__version__ = '0.1.0'
