"""Run a function in several processes of one gloo group on this machine."""

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.multiprocessing as mp


def run_processes(function: Callable, world_size: int, *args) -> list:
    """Call `function(rank, world_size, *args)` in every process. Returns results by rank; raises their errors."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(_enter, (function, world_size, port, folder, args), nprocs=world_size, start_method='fork')
        return [torch.load(Path(folder) / f'{rank}.pt', weights_only=True) for rank in range(world_size)]


def _enter(rank: int, function: Callable, world_size: int, port: int, folder: str, args: tuple) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)  # a fork would wait forever for the threads of its parent
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=world_size)
    try:
        torch.save(function(rank, world_size, *args), Path(folder) / f'{rank}.pt')
    finally:
        dist.destroy_process_group()
