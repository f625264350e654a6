"""Suites: lists of protocol x dataset."""

from dataclasses import dataclass, replace

from sigma.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """One column of a suite: a protocol on a dataset, on all training clips or on a few of each class.

    `recipe` may leave `{family}` open, which the encoder's card fills in (`vit`, `r2plus1d`). `shots` are clips a
    class; `examples` a number in all, of which every class gives its share rounded up (`eval.protocols.subsets`), as
    SEVERE draws its 1000 clips.
    """

    protocol: str
    dataset: str
    recipe: str
    shots: int | None = None
    examples: int | None = None


# SEVERE (ECCV 2022), its eight experiments; their mean is declared in eval/report/summaries.py.
_SEVERE = (
    # domain shift
    Entry('finetune', 'ssv2', 'finetune_{family}_ssv2'),
    Entry('finetune', 'gym99', 'finetune_{family}_ucf101'),
    # sample efficiency
    Entry('finetune', 'ucf101', 'finetune_{family}_ucf101', examples=1000),
    Entry('finetune', 'gym99', 'finetune_{family}_ucf101', examples=1000),
    # action granularity
    Entry('finetune', 'gym_fx_s1', 'finetune_{family}_gym_parts'),
    Entry('finetune', 'gym_ub_s1', 'finetune_{family}_gym_parts'),
    # task shift; the head of counting is ours
    Entry('repetition', 'ucfrep', 'repetition'),
    Entry('multi_label', 'charades', 'multi_label_{family}'),
)
_LADDER = (1000, 2000, 4000, 8000)
_GROUNDS = ('places365', 'vqgan', 'stripe')
_SCUBA = [(base, ground) for base in ('ucf101', 'hmdb51') for ground in _GROUNDS]

SUITES: dict[str, tuple[Entry, ...]] = {
    'severe': _SEVERE,
    # The same with SEVERE's own way of counting, cycle localisation.
    'severe_cycles': (*_SEVERE[:6], Entry('repetition_cycles', 'ucfrep', 'repetition_cycles'), _SEVERE[7]),
    # What SEVERE's code and SEVERE++ measure besides.
    'severe_plus': (
        Entry('finetune', 'ucf101', 'finetune_{family}_ucf101'),
        Entry('finetune', 'hmdb51', 'finetune_{family}_ucf101'),
        Entry('finetune', 'diving48', 'finetune_{family}_ucf101'),
        Entry('finetune', 'ntu60', 'finetune_{family}_ntu60'),
        Entry('finetune', 'gym288', 'finetune_{family}_ucf101'),
        Entry('finetune', 'gym_vault', 'finetune_{family}_gym_parts'),
        Entry('finetune', 'gym_floor', 'finetune_{family}_gym_parts'),
        *(Entry('finetune', 'ucf101', 'finetune_{family}_ucf101', examples=number) for number in _LADDER),
        *(Entry('finetune', 'gym99', 'finetune_{family}_ucf101', examples=number) for number in _LADDER),
        Entry('finetune', 'gym99', 'finetune_{family}_ucf101'),
        Entry('arrow_of_time', 'ucf101', 'arrow_of_time_{family}'),
    ),
    # SEVERE++'s ladder on its four datasets, from 1000 clips to all of them.
    'severe_ladder': tuple(
        Entry('finetune', dataset, f'finetune_{{family}}_{recipe}', examples=number)
        for dataset, recipe in (('ucf101', 'ucf101'), ('ntu60', 'ntu60'), ('gym99', 'ucf101'), ('ssv2', 'ssv2'))
        for number in (*_LADDER, None)
    ),
    # The eight on rendered videos: what each asks, in minutes on two cores. They stand for no published number.
    'severe_toy': (
        Entry('finetune', 'toy_shift', 'finetune_demo'),
        Entry('finetune', 'toy_shift_hard', 'finetune_demo'),
        Entry('finetune', 'toy', 'finetune_demo', examples=100),
        Entry('finetune', 'toy_shift', 'finetune_demo', examples=100),
        Entry('finetune', 'toy_rhythms', 'finetune_demo'),
        Entry('finetune', 'toy_speeds', 'finetune_demo'),
        Entry('repetition_frozen', 'toy_repetition', 'repetition_frozen_demo'),
        Entry('multi_label', 'toy_two_movers', 'multi_label_demo'),
    ),
    # Actions found in time on frozen features, class-aware. `localization_external` and `localization_bmn_external`
    # (another model's video-level scores name the classes) need a file of the user's: eval/protocols/localization.py.
    'localization': (
        Entry('localization', 'thumos14', 'localization_thumos14'),
        Entry('localization', 'activitynet', 'localization_activitynet'),
        Entry('localization_bmn', 'activitynet', 'localization_bmn_activitynet'),
    ),
    'localization_toy': (
        Entry('localization', 'toy_localization', 'localization_demo'),
        Entry('localization_bmn', 'toy_localization', 'localization_bmn_demo'),
    ),
    # Shows that the whole line works, on the rendered dataset and two cores.
    'demo': (
        Entry('finetune', 'toy', 'finetune_demo', shots=10),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
    ),
    # The same at the budget of docs/small-scale.md; and on the second domain.
    'small_scale': (
        Entry('finetune', 'toy', 'finetune_small', shots=10),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
    ),
    'small_shift': (
        Entry('finetune', 'toy_shift', 'finetune_small', shots=10),
        Entry('frozen_linear', 'toy_shift', 'frozen_demo'),
    ),
    # A user's own data at published sizes: give it with --datasets.
    'own': (
        Entry('finetune', 'toy', 'finetune_vit'),
        Entry('frozen_linear', 'toy', 'frozen_default'),
    ),
    # Trained cells on corrupted test videos (eval/protocols/robustness.py); those that are listed first train them.
    'robustness': (
        Entry('finetune', 'ucf101', 'finetune_{family}_ucf101'),
        Entry('finetune', 'ssv2', 'finetune_{family}_ssv2'),
        Entry('robustness_ucf-p', 'ucf101', 'robustness_ucf_p'),
        Entry('robustness_imagenet-c', 'ucf101', 'robustness_imagenet_c'),
        Entry('robustness_kinetics-c', 'ucf101', 'robustness_kinetics_c'),
        Entry('robustness_ssv2-c', 'ssv2', 'robustness_ssv2_c'),
    ),
    'robustness_k400': (Entry('robustness_kinetics-c', 'k400', 'robustness_kinetics_c_k400'),),
    'robustness_frozen': (
        Entry('robustness_ucf-p_frozen', 'ucf101', 'robustness_ucf_p_frozen'),
        Entry('robustness_kinetics-c_frozen', 'ucf101', 'robustness_kinetics_c_frozen'),
        Entry('robustness_ssv2-c_frozen', 'ssv2', 'robustness_ssv2_c_frozen'),
    ),
    'robustness_toy': (
        Entry('finetune', 'toy', 'finetune_demo'),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
        Entry('robustness', 'toy', 'robustness_toy'),
        Entry('robustness_frozen', 'toy', 'robustness_toy_frozen'),
    ),
    # Trained cells on altered or mimed test videos, for those who have them (eval/protocols/out_of_context.py).
    'out_of_context': (
        *(Entry('out_of_context', f'scuba_{base}_{ground}', 'out_of_context') for base, ground in _SCUBA),
        *(Entry('out_of_context', f'hat_ucf101_{kind}', 'out_of_context') for kind in ('background', 'human')),
    ),
    'out_of_context_k400': (
        Entry('out_of_context', 'mimetics', 'out_of_context_k400'),
        *(Entry('out_of_context', f'scuba_k400_{ground}', 'out_of_context_k400') for ground in _GROUNDS),
        *(Entry('out_of_context', f'hat_k400_{kind}', 'out_of_context_k400') for kind in ('background', 'human')),
    ),
    'out_of_context_frozen': (
        *(Entry('out_of_context_frozen', f'scuba_{base}_{ground}', 'out_of_context_frozen') for base, ground in _SCUBA),
    ),
    # Trained heads on videos whose actions are damaged in the middle (eval/protocols/localization_robustness.py).
    'robustness_localization': (
        Entry('localization', 'thumos14', 'localization_thumos14'),
        Entry('localization_robustness', 'thumos14', 'localization_robustness'),
        Entry('localization', 'activitynet', 'localization_activitynet'),
        Entry('localization_robustness', 'activitynet', 'localization_robustness_activitynet'),
    ),
    'robustness_localization_toy': (
        Entry('localization', 'toy_localization', 'localization_demo'),
        Entry('localization_robustness', 'toy_localization', 'localization_robustness_toy'),
    ),
    # Small real footage that a user has prepared: give it with --datasets.
    'robustness_small_real': (
        Entry('finetune', 'toy', 'finetune_small'),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
        Entry('robustness', 'toy', 'robustness_small'),
        Entry('robustness_frozen', 'toy', 'robustness_small_frozen'),
    ),
    # What labels alone teach, and that appearance alone teaches nothing.
    'controls': (
        Entry('finetune', 'toy', 'labels_alone'),
        Entry('finetune', 'toy', 'labels_alone_shuffled'),
        Entry('finetune', 'toy', 'labels_alone_single'),
    ),
    # Features of `toy`, for tools/toy_motion.py.
    'frozen_toy': (Entry('frozen_linear', 'toy', 'frozen_demo'),),
    # Counting on real videos that a user has prepared: give them with --datasets.
    'counting_real': (
        Entry('repetition_cycles', 'toy_repetition', 'repetition_cycles_quva_frozen'),
        Entry('repetition_cycles', 'toy_repetition', 'repetition_cycles_quva'),
        Entry('repetition_frozen', 'toy_repetition', 'repetition_frozen_demo'),
    ),
    # Small real footage that a user has prepared: give it with --datasets.
    'frozen_real': (Entry('frozen_linear', 'toy', 'frozen_demo'),),
    'small_real': (
        Entry('finetune', 'toy', 'finetune_small'),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
    ),
}


def suite_entries(name: str, datasets: list[str] | None = None, shots: list[int] | None = None) -> list[Entry]:
    """Entries of a suite; `datasets` puts others in the place of its own, `shots` others in the place of its few-shot.

    Raises:
        DataError: if there is no such suite, with the nearest name, or it has nothing few-shot for `shots`.
    """
    if name not in SUITES:
        raise DataError(did_you_mean('suite', name, SUITES))
    entries = list(SUITES[name])
    if shots and not any(entry.shots for entry in entries):
        having = ', '.join(suite for suite, members in SUITES.items() if any(entry.shots for entry in members))
        raise DataError(f'--shots: the suite {name} takes no clips a class; these do: {having}.')
    if datasets:
        shapes = dict.fromkeys((e.protocol, e.recipe, e.shots, e.examples) for e in entries)
        entries = [Entry(p, dataset, *rest) for dataset in datasets for p, *rest in shapes]
    if shots:
        entries = [
            replace(entry, shots=number) if entry.shots else entry
            for entry in entries
            for number in (shots if entry.shots else [None])
        ]
    return list(dict.fromkeys(entries))
