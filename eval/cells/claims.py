"""Who runs a cell: a claim (sigma/claims.py) in the cell's folder.

    <work_dir>/cells/<cell>/claim.json

Matrices that share a work directory, on one machine or over a shared file system, share the work by these.
"""

from sigma.claims import (
    BEAT_SECONDS,
    ELSEWHERE,
    FILE,
    STALE_SECONDS,
    Claim,
    Held,
    acquire,
    drop,
    holder,
    place,
    runs,
    start_time,
)

CHANGED = 76  # exit status of a cell whose weights, lists or settings changed since the plan was made

__all__ = [
    'BEAT_SECONDS',
    'CHANGED',
    'ELSEWHERE',
    'FILE',
    'STALE_SECONDS',
    'Claim',
    'Held',
    'acquire',
    'drop',
    'holder',
    'place',
    'runs',
    'start_time',
]
