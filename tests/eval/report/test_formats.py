"""How tables are written: folds, names of any script, ranks, letters of notes, order of rows and columns."""

import csv as csv_reader
import io
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from eval.records import RecordError, read_records
from eval.report import NOT_COMPARABLE
from eval.report.formats import FORMATS, Look, csv, latex, markdown, text
from eval.report.formats.latex import escaped as in_latex
from eval.report.formats.layout import lay_out, ranks
from eval.report.formats.marks import published_marks
from eval.report.order import kept_order, select
from eval.report.papers import read_paper
from eval.report.summaries import SUMMARIES
from eval.report.table import Table
from sigma.text import isolated

sys.path.insert(0, str(Path(__file__).parents[2] / 'data' / 'records'))
from build_records import add_record, make_record  # noqa: E402

ODD = (
    'x' * 80,
    'a|b*c_d `e` <b>&amp;</b> [x](y) $z$',
    'back\\slash {x} 100% #1 ~^ "q"',
    'שלום encoder',
    '模型-大',
    'e\u0301te\u0301 Łódź ąę',
    '[bracket',
    '--dash',
    'two\nlines\u202e',
)


def named(names, **kinds):
    """One made-up record for each name, without predictions; scores from 50 up."""
    records = [make_record(f'e{number}', value=50.0 + number, **kinds) for number in range(len(names))]
    for record, name in zip(records, names):
        record.encoder['name'] = name
    return records


def published(encoder, value, note='', dataset='toy', source='a paper', protocol='finetune'):
    record = make_record(encoder, protocol, dataset, value=value)
    record.published, record.seed, record.dataset = True, None, {'name': dataset, 'num_classes': 10}
    record.cell['id'] = f'{source} {encoder} {dataset}'
    record.encoder['source'], record.notes = source, [note] if note else []
    return record


@pytest.fixture(scope='module')
def eight():
    """SIGMA's table of SEVERE."""
    return Table(read_paper('sigma_severe'), summary=SUMMARIES['severe'])


# --- the head, and folds --------------------------------------------------------------------------------------------


def test_two_header_lines_metrics_and_directions(eight):
    assert text(eight).splitlines()[:9] == [
        '                domain shift      sample efficiency            action granularity        task shift',
        '                ----------------  ---------------------------  ------------------------  -----------------',
        'encoder         SSv2     GYM99    UCF101 (1000)  GYM99 (1000)  FX-S1        UB-S1        UCFRep   Charades'
        '  mean of 8',
        '                top-1 ↑  top-1 ↑  top-1 ↑        top-1 ↑       per class ↑  per class ↑  error ↓  mAP ↑   '
        '  mean ↑',
        '-' * 117,
        'published: SIGMA (arXiv:2407.15447), its table of SEVERE ^a',
        'SVT             59.5     62.3     83.9           18.5          35.4^b       55.1^b       0.421^c  35.5    '
        '  51.0',
        'MVD             70.0     82.5     66.7           17.5          31.3^b       50.5^b       0.184^c  16.1    '
        '  52.0',
        'VideoMAE        68.6     86.6     74.6           25.9          42.8^b       65.3^b       0.172^c  12.6    '
        '  57.4',
    ]


@pytest.mark.parametrize('width', [40, 80, 100])
def test_u21_a_wide_table_is_folded_to_the_terminal(eight, width):
    lines = text(eight, Look(width=width)).splitlines()
    assert max(map(cell_len, lines)) <= width
    blocks = [number for number, line in enumerate(lines) if line.startswith('encoder ')]
    assert len(blocks) == {40: 6, 80: 2, 100: 2}[width]
    of_sigma = [line.split()[1:] for line in lines if line.startswith('SIGMA-DINO')]
    assert sum(of_sigma, []) == ['70.9', '89.7', '84.1', '28.0', '55.1^b', '79.9^b', '0.169^c', '23.3', '64.3']


def test_a_group_moves_whole_to_the_next_block(eight):
    lines = text(eight, Look(width=60)).splitlines()
    assert [line.strip() for line in lines if line.startswith('encoder ')] == [
        'encoder         SSv2     GYM99',
        'encoder         UCF101 (1000)  GYM99 (1000)',
        'encoder         FX-S1        UB-S1        UCFRep   Charades',
        'encoder         mean of 8',
    ]


def test_blocks_leave_out_published_rows_without_a_number_in_them():
    both = Table(select(read_paper('localization') + read_paper('sigma_severe')))
    blocks = text(both, Look(width=80)).split('\n\n')
    heads = [block for block in blocks if 'encoder ' in block]
    assert len(heads) > 2
    for write, look in ((text, Look(width=80)), (latex, Look(split=2))):
        assert write(both, look).count('\nSVT ') == write(both, look).count('\nMVD ')
        assert 0 < write(both, look).count('\nBMN') < write(both).count('\nBMN') * len(heads)
    assert text(both).count('\nSVT ') == 1


def test_one_number_of_seeds_is_said_once(tmp_path):
    for encoder in ('random', 'b'):
        for seed in (0, 1):
            add_record(tmp_path, 40 + seed, encoder=encoder, seed=seed)
    said = text(Table(read_records(tmp_path)))
    assert 'n=2' not in said.splitlines()[3]
    assert 'mean over 2 seeds (n=2) [95 % interval]' in said
    add_record(tmp_path, 40, encoder='b', seed=2)
    lines = text(Table(read_records(tmp_path))).splitlines()
    assert sorted(line.split()[-1] for line in lines[4:6]) == ['n=2', 'n=3']
    assert any('mean over n seeds' in line for line in lines)


def test_intervals_as_asked(tmp_path):
    add_record(tmp_path, 40)
    table = Table(read_records(tmp_path))
    mean, low, high = table.columns[0].cells['random'].interval[:3]
    row = {kind: text(table, Look(kind)).splitlines()[4] for kind in ('brackets', 'pm', 'none')}
    assert row == {
        'brackets': f'random   {mean:.1f} [{low:.1f}, {high:.1f}]',
        'pm': f'random   {mean:.1f} ± {max(mean - low, high - mean):.1f}',
        'none': f'random   {mean:.1f}',
    }
    assert '± the longer side of its 95 % interval' in text(table, Look('pm'))
    assert 'interval]' not in text(table, Look('none'))


# --- names ----------------------------------------------------------------------------------------------------------


def test_names_of_any_kind_keep_the_columns_of_a_terminal():
    lines = text(Table(named(ODD)), Look(width=70)).splitlines()
    assert max(map(cell_len, lines)) <= 70
    end = lines.index('')
    rows = [line for line in lines[4:end] if line.split()[-1][:1].isdigit()]
    assert len(rows) == len(ODD) + 1  # and chance
    assert {cell_len(line[: line.rindex('  ')]) for line in rows[:-1]} == {23}
    assert any(line.startswith('two\\nlines\\u202e ') for line in lines)
    assert any(line.startswith('\u2068שלום encoder\u2069 ') for line in lines)
    assert isolated('👩\u200d🔬') == '👩\u200d🔬'


def test_names_of_any_kind_in_markdown():
    lines = markdown(Table(named(ODD))).splitlines()
    rows = lines[3 : 3 + len(ODD)]
    assert rows[1].startswith('| a\\|b\\*c_d \\`e\\` &lt;b>&amp;amp;&lt;/b> [x\\](y) \\$z\\$ ')
    assert rows[2].startswith('| back\\\\slash {x} 100% #1 \\~^ "q" ')
    assert all(row.replace('\\|', '').count('|') == 3 for row in rows)


def test_names_of_any_kind_in_csv():
    lines = list(csv_reader.DictReader(io.StringIO(csv(Table(named(ODD))))))
    assert [line['encoder'] for line in lines] == list(ODD)
    assert {(line['group'], line['label']) for line in lines} == {('fine-tuned', 'toy')}


@pytest.mark.parametrize(
    'name, written',
    [
        ('a_b & 5 % #1 $x$ {y}', r'a\_b \& 5 \% \#1 \$x\$ \{y\}'),
        ('back\\slash ~ ^', r'back\textbackslash{}slash \textasciitilde{} \textasciicircum{}'),
        ('<b> | "q"', r'\textless{}b\textgreater{} \textbar{} \symbol{34}q\symbol{34}'),
        ('[x] *', '{[}x{]} {*}'),
        ('---', '-{}-{}-'),
        ('e\u0301t\u00e9 Ł', 'été Ł'),
        ('ąę', 'ae'),
        ('模', '(U+6A21)'),
        ('🔬', '(microscope)'),
        ('\u2068א\u2069\u202e', r'(U+05D0)'),
        ('± ↑ † ▲', r'$\pm$ $\uparrow$ $\dagger$ $\bigtriangleup$'),
    ],
)
def test_latex_escapes(name, written):
    assert in_latex(name) == written


# --- what is best, and what may be compared -------------------------------------------------------------------------


def test_ranks_as_written():
    (column,) = Table(named('abcd')).columns
    assert ranks(column) == {'d': 1, 'c': 2}
    for row, mean in (('c', 53.01), ('d', 53.04)):  # both 53.0
        column.cells[row].interval = column.cells[row].interval._replace(mean=mean)
    assert ranks(column) == {'c': 1, 'd': 1}
    column.higher_is_better = False
    assert ranks(column) == {'a': 1, 'b': 2}
    assert ranks(Table(named('ab')).columns[0]) == {'b': 1}  # of two rows none is second
    assert ranks(Table(named('a')).columns[0]) == {}


def test_what_is_not_comparable_ranks_only_among_its_like():
    theirs = [
        published('x', 99.0, NOT_COMPARABLE + 'another head'),
        published('y', 98.0, NOT_COMPARABLE + 'another head'),
    ]
    (alone,) = Table(theirs).columns
    assert alone.best == 99
    (both,) = Table([*named('ab'), *theirs, published('z', 51.0)]).columns
    assert both.best == 51
    assert ranks(both) == {'b': 1, 'z (published)': 1}
    lines = text(Table([*named('ab'), *theirs])).splitlines()
    assert lines[7:10] == ['published: a paper ^a', 'x        99.0', 'y        98.0']
    assert '^a not comparable: another head' in lines


def test_letters_stand_with_what_a_note_is_about():
    records = [
        published('x', 1.0, 'of the paper'),
        published('y', 2.0, 'of the paper'),
        published('x', 3.0, 'of the paper', dataset='ssv2'),
        published('y', 4.0, 'of the paper', dataset='ssv2'),
    ]
    records[1].notes.append('of y in toy')
    for record in records[0::2]:
        record.notes.append('of x')
    table = Table(records)
    marks = published_marks(table)
    assert marks.notes == {'a': 'of the paper', 'b': 'of x', 'c': 'of y in toy'}
    assert marks.rows == {'x (published)': 'a,b', 'y (published)': 'a'}
    assert marks.cells == {('finetune / toy', 'y (published)'): 'c'}
    found = lay_out(table)
    assert found.headings == {'a paper': 'a'}
    assert [(row.name, row.letters) for row in found.rows] == [('x', 'b'), ('y', ''), ('chance', '')]


def test_what_is_clear_against_the_baseline(tmp_path):
    for encoder, accuracy in (('random', 30), ('better', 80), ('level', 31), ('worse', 5)):
        add_record(tmp_path, accuracy, encoder=encoder)
    table = Table(read_records(tmp_path))
    marks = {row.name: row.entries[0].against for row in lay_out(table, Look(baseline='random')).rows}
    assert marks == {'better': 1, 'level': 0, 'random': 0, 'worse': -1, 'chance': 0}
    said = text(table, Look(baseline='random'))
    assert "▲ clearly better, ▼ clearly worse than random (p < 0.05 by Holm's correction" in said
    with pytest.raises(RecordError, match="Did you mean 'random'"):
        text(table, Look(baseline='randm'))
    # In bold: what is clear, or the best mean with the second underlined and a dagger on what is clear.
    rows = markdown(table, Look('none')).splitlines()[3:7]
    assert ['**' in row for row in rows] == [True, False, False, False]
    rows = markdown(table, Look('none', best='mean')).splitlines()[3:7]
    assert [('**' in row, '†' in row, '<ins>' in row) for row in rows] == [
        (True, True, False),
        (False, False, rows[1].count('<ins>') == 1),
        (False, False, rows[2].count('<ins>') == 1),
        (False, False, False),
    ]


# --- order ----------------------------------------------------------------------------------------------------------


def test_u21_rows_stand_as_in_the_command_and_columns_as_in_the_suite(tmp_path):
    records = [
        make_record(encoder, dataset=dataset, subset=subset)
        for encoder in ('a', 'random', 'z')
        for dataset, subset in [('gym99', '1000-examples'), ('gym99', None), ('ssv2', None), ('gym_fx_s1', None)]
    ]
    table = Table(select(records, first=['z', 'a']))
    assert table.rows == ['z', 'a', 'random']
    assert [column.label for column in table.columns] == ['SSv2', 'GYM99', 'GYM99 (1000)', 'FX-S1']
    assert [column.label for column in Table(select(records, datasets=['gym99', 'ssv2'])).columns] == [
        'GYM99 (1000)',
        'GYM99',
        'SSv2',
    ]
    (tmp_path / 'demo.table.csv').write_text(csv(table))
    (tmp_path / 'other.table.csv').write_text('no table\n')
    assert kept_order([tmp_path, tmp_path / 'nowhere']) == ['z', 'a', 'random']


def test_columns_of_named_protocols_keep_their_groups_together():
    places = [('gym99', '1000-examples'), ('gym99', None), ('ssv2', None), ('gym_fx_s1', None)]
    records = [make_record('a', 'frozen_linear', dataset='ssv2')]
    records += [make_record('a', dataset=dataset, subset=subset) for dataset, subset in places]
    table = Table(select(records, protocols=['frozen_linear', 'finetune']))
    assert [(column.group, column.label) for column in table.columns] == [
        ('frozen linear', 'SSv2'),
        ('domain shift', 'SSv2'),
        ('domain shift', 'GYM99'),
        ('sample efficiency', 'GYM99 (1000)'),
        ('action granularity', 'FX-S1'),
    ]


def test_published_rows_stay_beside_named_encoders_unless_some_are_named():
    records = [make_record('a'), make_record('b'), published('p', 70.0), published('q', 60.0)]
    assert Table(select(records, encoders=['b'])).rows == ['b', 'p (published)', 'q (published)']
    assert Table(select(records, encoders=['q', 'b'])).rows == ['q (published)', 'b']


def test_blocks_that_do_not_fit_a_page_of_latex_become_floats_with_the_same_number():
    records = []
    for dataset in ('gym99', 'ssv2'):
        for number in range(45):
            records.append(make_record(f'e{number}', dataset=dataset, value=50.0 + number))
    found = latex(Table(records), Look(split=1))
    assert found.count(r'\begin{table}[p]') == found.count(r'\end{table}') == 2
    assert found.count(r'\addtocounter{table}{-1}') == found.count(r'\caption{(continued)}') == 1
    few = latex(Table([record for record in records if record.encoder['name'] in ('e1', 'e2')]), Look(split=1))
    assert few.count(r'\begin{table}[t]') == 1
    assert 'continued' not in few


def test_a_suite_keeps_its_columns_and_says_what_is_missing():
    records = [make_record(dataset='ssv2'), make_record(dataset='toy')]
    kept = select(records, suite='severe')
    assert [record.dataset['name'] for record in kept] == ['ssv2']
    notes = lay_out(Table(kept, suite='severe')).notes
    missing = next(note for note in notes if note.startswith('not measured yet: 7 columns of the suite, '))
    assert 'GYM99 (1000) (sample efficiency)' in missing
    with pytest.raises(RecordError, match='no record is of a column of the suite severe'):
        select([make_record(dataset='toy')], suite='severe')


# --- small and empty tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', FORMATS)
def test_parts_of_a_table_and_tables_of_one_number_are_written(name, tmp_path):
    add_record(tmp_path, 40)
    table = Table(read_records(tmp_path))
    write = FORMATS[name]
    assert '36.0' in write(table, Look())
    assert write(table.only(lambda column: False), Look()) is not None
    records = [*read_records(tmp_path), make_record('b', dataset='toy_shift', value=50.0)]  # each lacks a column
    assert write(Table(records), Look())


def test_what_random_weights_are_is_said():
    record = make_record('vit_b', value=10.0)
    record.identity['config'] = {
        'model': {'backbone': {'type': 'sigma.VideoViT', 'arch': 'base'}},
        'pipeline': [{'type': 'sigma.DecodeFrames', 'blank_size': 224}],
    }
    record.sampling = {'name': 'dense', 'num_frames': 16}
    mine = make_record('mine', value=20.0)
    mine.encoder['checkpoint'] = 'encoder.safetensors'
    notes = lay_out(Table([record, mine])).notes
    assert 'vit_b: base VideoViT, clips of 16 x 224 x 224, random weights, no pretraining' in notes
    assert not any(note.startswith('mine') for note in notes)


# --- LaTeX ----------------------------------------------------------------------------------------------------------


def test_latex_of_a_small_table(tmp_path):
    add_record(tmp_path, 40)
    add_record(tmp_path, 80, encoder='sigma_mlp_toy')
    a, b = (Table(read_records(tmp_path)).columns[0].cells[row].interval for row in ('random', 'sigma_mlp_toy'))
    records = [*read_records(tmp_path), published('VideoMAE', 50.0, 'of one seed')]
    assert latex(Table(select(records))).splitlines() == [
        r'% needs \usepackage{booktabs}',
        r'\begin{table}[t]',
        r'\centering\small\setlength{\tabcolsep}{3pt}',
        r'\caption{Top-1 accuracy in percent, one seed (n=1) {[}95 \% interval{]}; chance: a uniform guess. Bold: best '
        r'mean of its column, underlined: the second. $\dagger$ clearly better (p \textless{} 0.05 by Holm'
        r"'s correction, and a 95 \% interval without 0) than every other row measured here, and above published "
        r'numbers.}',
        r'\begin{tabular}{@{}lc@{}}',
        r'\toprule',
        r' & \multicolumn{1}{c}{fine-tuned} \\',
        r'\cmidrule(lr){2-2}',
        r'encoder & toy \\',
        r'\midrule',
        rf'random & {a.mean:.1f} \\[-2pt]',
        rf' & {{\scriptsize {{[}}{a.low:.1f}, {a.high:.1f}{{]}}}} \\[1pt]',
        rf'sigma\_mlp\_toy & \textbf{{{b.mean:.1f}}}$^{{\dagger}}$ \\[-2pt]',
        rf' & {{\scriptsize {{[}}{b.low:.1f}, {b.high:.1f}{{]}}}} \\[1pt]',
        r'\midrule',
        r'\multicolumn{2}{@{}l@{}}{\emph{published: a paper}$^{\mathrm{a}}$} \\',
        r'VideoMAE & \underline{50.0} \\',
        r'\midrule',
        r'chance & 10.0 \\',
        r'\bottomrule',
        r'\end{tabular}',
        r'\par\smallskip{\footnotesize\raggedright random: random weights, no pretraining. \\ n=1: the interval covers '
        r'the choice of test videos, not the choice of seed. \\ fewer than three seeds say little about others: run '
        r'three (-{}-seeds 0 1 2). \\ $^{\mathrm{a}}$ of one seed.\par}',
        r'\end{table}',
    ]


def test_latex_folds_wide_tables(eight):
    assert latex(eight).count(r'\begin{tabular}') == 1
    assert r'\begin{table*}[t]' in latex(eight)
    split = latex(eight, Look(split=4))
    assert split.count(r'\begin{tabular}') == 3
    assert split.count('SIGMA-DINO & ') == 3
    many = Table([make_record('a', dataset=f'a_data_set_with_a_long_name_{n}', value=1.0) for n in range(14)])
    blocks = latex(many).split(r'\begin{tabular}')[1:]
    sizes = [block.partition('{@{}l')[2].partition('@')[0].count('c') for block in blocks]
    assert sum(sizes) == 14
    assert max(sizes) - min(sizes) <= 1  # as equal as can be
