"""Repetition counting on small real footage, frozen and fine-tuned: name it with `--datasets FOLDER`."""

entries = [
    dict(protocol='repetition_cycles', dataset='toy_repetition', recipe='repetition_cycles_quva_frozen'),
    dict(protocol='repetition_cycles', dataset='toy_repetition', recipe='repetition_cycles_quva'),
    dict(protocol='repetition_frozen', dataset='toy_repetition', recipe='repetition_frozen_demo'),
]
