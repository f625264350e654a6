"""Names of columns: short and unique within a group, groups as the suites state them."""

import sys
from pathlib import Path

import pytest

from eval.report.naming import column_label, dataset_label, groups_of, protocol_label, subset_label
from eval.report.papers import read_paper
from eval.report.summaries import suite_columns
from eval.report.table import Table
from sigma.configs import CONFIG_ROOT, card_names, read_plain
from sigma.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[2] / 'data' / 'records'))
from build_records import make_record  # noqa: E402

EIGHT = [
    ('domain shift', 'SSv2'),
    ('domain shift', 'GYM99'),
    ('sample efficiency', 'UCF101 (1000)'),
    ('sample efficiency', 'GYM99 (1000)'),
    ('action granularity', 'FX-S1'),
    ('action granularity', 'UB-S1'),
    ('task shift', 'UCFRep'),
    ('task shift', 'Charades'),
]


def named(table):
    return [(column.group, column.label) for column in table.columns]


def test_the_eight_columns_of_severe_are_named_and_grouped_as_papers_do():
    assert named(Table(read_paper('sigma_severe'))) == EIGHT
    # One more column than the suite has stands under its protocol.
    assert named(Table(read_paper('severe'))) == [('fine-tuned', 'UCF101'), *EIGHT]


def test_columns_of_no_suite_stand_under_their_protocol():
    assert named(Table(read_paper('sigma_finetune'))) == [('fine-tuned', 'SSv2'), ('fine-tuned', 'K400')]
    found = named(Table(read_paper('severepp_granularity')))  # four of them are also in severe_plus, which has 17
    assert {group for group, _ in found} == {'fine-tuned'}
    assert named(Table([make_record(dataset='mine', protocol='my_own')])) == [('my own', 'mine')]


def test_a_suite_that_is_given_decides(tmp_path):
    records = [make_record(dataset='gym99'), make_record(dataset='ucf101', subset='5-a-class')]
    assert named(Table(records)) == [('fine-tuned', 'GYM99'), ('fine-tuned', 'UCF101 (5/class)')]
    assert named(Table(records, suite='severe'))[0] == ('domain shift', 'GYM99')
    card = tmp_path / 'mine.py'
    card.write_text(
        "entries = [dict(protocol='finetune', dataset='ucf101', recipe='x', shots=5, group='few & many')]\n"
    )
    assert named(Table(records, suite=str(card))) == [('fine-tuned', 'GYM99'), ('few & many', 'UCF101 (5/class)')]
    with pytest.raises(DataError, match=r"Unknown suite 'sever'. Did you mean 'severe'"):
        Table(records, suite='sever')
    card.write_text('entries = 3\n')
    with pytest.raises(DataError, match='`entries` must be a list'):
        suite_columns.__wrapped__(str(card))


def test_entries_with_the_path_of_a_dataset_fill_its_column(tmp_path):
    (tmp_path / 'waves.py').write_text("dataset_info = dict(name='waves', short='Waves')\n")
    card = tmp_path / 'suite.py'
    entry = f"dict(protocol='finetune', dataset={str(tmp_path / 'waves.py')!r}, recipe='x', group='mine')"
    card.write_text(f'entries = [{entry}]\n')
    assert suite_columns(str(card)) == {('finetune', 'waves', None): 'mine'}


def test_one_dataset_twice_in_a_group_names_what_differs(tmp_path):
    card = tmp_path / 'both.py'
    card.write_text(
        "_mine = dict(dataset='ucf101', recipe='x', group='mine')\n"
        "entries = [dict(_mine, protocol='finetune'), dict(_mine, protocol='frozen_linear')]\n"
    )
    records = [make_record(dataset='ucf101', protocol=protocol) for protocol in ('finetune', 'frozen_linear')]
    assert named(Table(records, suite=str(card))) == [
        ('mine', 'UCF101, fine-tuned'),
        ('mine', 'UCF101, frozen linear'),
    ]


def test_u20_a_subset_has_one_spelling():
    for spelling in ('5-a-class', '5_a_class', '5 a class'):
        assert Table([make_record(subset=spelling)]).columns[0].label == 'toy (5/class)'
    assert subset_label('1000-examples') == '1000'
    assert column_label('gym99', None) == 'GYM99'
    assert subset_label('clustering') == 'clustering'
    assert subset_label('limit_20') == 'trial of 20 videos'
    assert subset_label('5-a-class_limit_20') == '5/class, trial of 20 videos'


def test_every_published_column_and_every_card_has_a_short_name():
    shorts = [dataset_label(name) for name in card_names('datasets')]
    assert len(set(shorts)) == len(shorts) > 30
    for name in card_names('datasets'):
        assert read_plain(CONFIG_ROOT / 'datasets' / f'{name}.py')['dataset_info']['short'] == dataset_label(name)
    assert max(map(len, shorts)) <= 22
    assert dataset_label('no_such_set') == 'no_such_set'


def test_every_protocol_has_words_of_its_own():
    from eval.protocols.declared import declared_protocols

    words = [protocol_label(name) for name in declared_protocols()]
    assert len(set(words)) == len(words)


def test_groups_of_a_suite_are_those_of_its_entries():
    from eval.matrix.suites import SUITES

    for name in ('severe', 'severe_toy', 'severe_plus', 'severe_ladder', 'severe_cycles'):
        assert [entry.group for entry in SUITES[name]] == list(suite_columns(name).values())
        assert None not in suite_columns(name).values()
    assert groups_of([('finetune', 'nowhere', None)]) == {}


def test_a_group_that_is_no_text_is_refused(tmp_path):
    from eval.matrix.suites import read_suite

    card = tmp_path / 'bad.py'
    card.write_text("entries = [dict(protocol='finetune', dataset='toy', recipe='finetune_demo', group=3)]\n")
    with pytest.raises(DataError, match='group is 3'):
        read_suite(card)
