"""What importing this leaves behind: a process whose forks cannot use a GPU, as torch tells it."""

import sys
import types

sys.modules['torch'] = types.SimpleNamespace(cuda=types.SimpleNamespace(_is_in_bad_fork=lambda: True))
