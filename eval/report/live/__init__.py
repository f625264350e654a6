"""A page on disk that is kept fresh while something runs: no server, just a file that a browser loads again. No torch.

page.py      writes the file and says when it cannot     curves.py    reads logs as they grow, draws small curves
matrix.py    the page of a matrix (run_severe --live)    training.py  the page of a training (train --live)
keeper.py    starts the process that keeps the page of a training
"""
