"""A linear probe on small real footage: name it with `--datasets FOLDER`."""

entries = [dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo')]
