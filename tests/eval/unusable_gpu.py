"""A stand-in for torch which says that forks of this process cannot use a GPU."""

import sys
import types

sys.modules['torch'] = types.SimpleNamespace(cuda=types.SimpleNamespace(_is_in_bad_fork=lambda: True))
