"""`out_of_context` with the linear probe of a frozen encoder."""

_base_ = 'out_of_context.py'

recipe = dict(protocol='out_of_context_frozen', trained='frozen_default')
