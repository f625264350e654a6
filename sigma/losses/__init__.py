from sigma.losses.sinkhorn import SinkhornLoss, sinkhorn

__all__ = ['SinkhornLoss', 'sinkhorn']
