"""Every protocol once on its rendered form, to try one with `--protocols NAME`; comparable to no published number.

The pages in docs/protocols use it. `out_of_context` and episodes of 20 classes have no rendered form, and the protocols
with external scores need a file of them. Counting with a trained encoder has no short recipe:
`--recipe training.epochs=2` makes it one.
"""

entries = [
    dict(protocol='finetune', dataset='toy', recipe='finetune_demo', shots=10),
    dict(protocol='frozen_linear', dataset='toy', recipe='frozen_demo'),
    dict(protocol='frozen_knn', dataset='toy', recipe='frozen_knn_demo'),
    dict(protocol='frozen_knn_swept', dataset='toy', recipe='frozen_knn_swept_demo'),
    dict(protocol='frozen_centroid', dataset='toy', recipe='frozen_centroid_demo'),
    dict(protocol='frozen_sweep', dataset='toy', recipe='frozen_sweep_demo'),
    dict(protocol='frozen_episodes_5way_1shot', dataset='toy', recipe='frozen_episodes_5way_1shot_demo'),
    dict(protocol='frozen_episodes_5way_5shot', dataset='toy', recipe='frozen_episodes_5way_5shot_demo'),
    dict(protocol='frozen_episodes_5way_10shot', dataset='toy', recipe='frozen_episodes_5way_10shot_demo'),
    dict(protocol='linear', dataset='toy', recipe='linear_demo'),
    dict(protocol='linear', dataset='toy_stills', recipe='linear_demo'),
    dict(protocol='linear_fixed_norm', dataset='toy', recipe='linear_fixed_norm_demo'),
    dict(protocol='arrow_of_time', dataset='toy', recipe='arrow_of_time_demo'),
    dict(protocol='multi_label', dataset='toy_two_movers', recipe='multi_label_demo'),
    dict(protocol='repetition', dataset='toy_repetition', recipe='repetition'),
    dict(protocol='repetition_frozen', dataset='toy_repetition', recipe='repetition_frozen_demo'),
    dict(protocol='repetition_cycles', dataset='toy_repetition', recipe='repetition_cycles_demo'),
    dict(protocol='localization', dataset='toy_localization', recipe='localization_demo'),
    dict(protocol='localization_bmn', dataset='toy_localization', recipe='localization_bmn_demo'),
    dict(protocol='localization_robustness', dataset='toy_localization', recipe='localization_robustness_toy'),
    dict(protocol='robustness', dataset='toy', recipe='robustness_toy'),
    dict(protocol='robustness_frozen', dataset='toy', recipe='robustness_toy_frozen'),
]
