"""Lets torchvision, and so timm and transformers, be imported beside a CPU build of torch once `import sigma` has run.

The cause: torchvision's wheel links CUDA. Beside a CPU torch its library does not load, so its operators are unknown,
and `import torchvision` ends in "operator torchvision::nms does not exist". transformers then says only that it
"could not import module 'VideoMAEModel'". `sigma.compat.fix_torchvision` declares the operators; the finder here
calls it when, and only when, somebody imports torchvision. Needs only the standard library until then.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class BeforeTorchvision(MetaPathFinder):
    """Finds no module itself; mends what torchvision needs before others find it."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        """None, always: the usual finders go on."""
        if fullname == 'torchvision':
            from sigma.compat import fix_torchvision

            fix_torchvision()
        return None


def watch() -> None:
    """Put the finder first; a second call does nothing."""
    if not any(isinstance(finder, BeforeTorchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, BeforeTorchvision())
