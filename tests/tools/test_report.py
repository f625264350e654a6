"""tools/report.py: the page holds the table, the verdicts, the origins and the curves, and nothing from elsewhere."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from eval.records import identity_hash
from tests.conftest import ROOT, assert_one_sentence, call_main
from tools import report

COMMITTED = ROOT / 'tests' / 'data' / 'records'


def run_of(folder: Path) -> Path:
    """A log of a training."""
    log = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps({'loss': 9.0 - step, 'iter': step, 'step': step}) + '\n' for step in range(5)))
    return folder


def section(page: str, name: str) -> str:
    """HTML of a section."""
    return page.partition(f'<section id="{name}">')[2].partition('</section>')[0]


def rows(html: str) -> list[list[str]]:
    """Texts of the entries of the first table."""
    table = html.partition('<table')[2].partition('</table>')[0]
    lines = re.findall(r'<tr.*?>(.*?)</tr>', table, flags=re.DOTALL)
    return [
        [re.sub('<.*?>', '', entry) for entry in re.findall(r'<t[dh].*?>(.*?)</t[dh]>', line, flags=re.DOTALL)]
        for line in lines
    ]


def test_the_page_holds_results_verdicts_origins_and_curves(tmp_path, capsys):
    out = tmp_path / 'report.html'
    line = ('--records', COMMITTED, '--runs', run_of(tmp_path / 'a'), '--title', 'A < B', '--no-videos', '--out', out)
    done = call_main(report.main, capsys, *line)
    assert (done.returncode, done.stdout) == (0, f'{out}: 8 records, {out.stat().st_size / 1e6:.1f} MB\n')
    page = out.read_text()
    assert page.count('<h1 dir="auto">A &lt; B</h1>') == 1
    assert re.findall('<h2>(.*?)</h2>', page) == [
        *('In short', 'Scores by encoder and column', 'Against random', 'Statistics', 'Trainings', 'Coverage', 'Cost'),
        *('What is missing', 'Where the numbers come from', 'Glossary'),
    ]
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing is fetched
    results, origins = rows(section(page, 'results')), rows(section(page, 'records'))
    assert results[0][0] == 'encoder'
    assert {row[0] for row in results} >= {'random', 'sigma_mlp_toy', 'videomae_toy', 'chance'}
    random = next(row for row in results if row[0] == 'random')
    assert any(cell.startswith('44.0') and cell.endswith('n=1') for cell in random)  # as in its record
    assert '<b>' not in section(page, 'results')  # a seed or two of each encoder show no clear best
    assert 'nothing is bold' in page
    compared = rows(section(page, 'comparison'))
    heads = ['toy (5/class) [fine-tuned]', 'toy shift [fine-tuned]', 'toy [frozen linear]']
    assert compared[0] == ['encoder', *heads]
    assert [line[0] for line in compared[1:]] == ['sigma_mlp_toy', 'videomae_toy']
    assert compared[2][1:3] == ['-', '-']
    assert compared[2][3].startswith('worse: -11.0 [')
    assert len(origins) == 9
    frozen = next(row for row in origins if row[0] == 'random_frozen_linear_toy_s0')
    assert frozen[1:7] == ['top1 44', '100 of 100', '66346a2a0d', 'random', 'frozen_linear v1', '20 epochs']
    assert 'made up for tests, not a measurement (all 8 records)' in page
    assert 'Newest record: 2026-01-01T00:00:00+00:00' in page
    assert f'python tools/report.py --records {COMMITTED}' in page


def test_a_changed_tree_is_said_and_published_rows_stand_beside_ours(tmp_path, capsys):
    sys.path.insert(0, str(COMMITTED))
    from build_records import add_record

    record = add_record(tmp_path, encoder='sigma_mlp_toy', dataset='ssv2', num_classes=174, num_listed=200)
    raw = json.loads(record.path.read_text())
    raw['run'] |= {'commit': 'c' * 40, 'clean': False}
    record.path.write_text(json.dumps(raw))
    arguments = ('--records', tmp_path, '--published', 'sigma_severe', '--summary', 'severe')
    assert call_main(report.main, capsys, *arguments, '--out', tmp_path / 'r.html').returncode == 0
    page = (tmp_path / 'r.html').read_text()
    assert 'VideoMAE (published)' in page
    assert 'Against random' not in page  # there is none
    assert [row[7] for row in rows(section(page, 'records'))[1:]] == ['cccccccccc (changed)']


def test_a_baseline_of_two_recipes_is_asked_for_by_its_row(tmp_path, capsys):
    sys.path.insert(0, str(COMMITTED))
    from build_records import add_record, make_record

    for encoder in ('random', 'sigma_mlp_toy'):
        for recipe in ('flat', 'vit'):
            identity = make_record(encoder=encoder).identity | {'recipe': recipe}
            changes = {'recipe.name': recipe, 'identity.recipe': recipe, 'cell.id': identity_hash(identity)}
            add_record(tmp_path / recipe, encoder=encoder, changes=changes)
    arguments = ('--records', tmp_path / 'flat', tmp_path / 'vit', '--out', tmp_path / 'r.html')
    done = call_main(report.main, capsys, *arguments)
    assert done.returncode == 0, done.stderr
    assert '--baseline takes one of: random [flat], random [vit]' in (tmp_path / 'r.html').read_text()
    assert call_main(report.main, capsys, *arguments, '--baseline', 'random [vit]').returncode == 0
    assert 'Against random [vit]' in (tmp_path / 'r.html').read_text()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--summary', 'sevre'], "Did you mean 'severe'"),
        (['--baseline', 'randon'], "Did you mean 'random'"),
        (['--published', 'sigma_sever'], "Did you mean 'sigma_severe'"),
        (['--runs', 'empty'], 'holds no vis_data/scalars.json'),
        (['--videos', 'nowhere'], 'nowhere: no such folder'),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path, capsys, arguments, words):
    (tmp_path / 'empty').mkdir()
    given = [str(tmp_path / 'empty') if part == 'empty' else part for part in arguments]
    done = call_main(report.main, capsys, '--records', COMMITTED, *given, '--out', tmp_path / 'r.html')
    assert_one_sentence(done, words)
    assert not (tmp_path / 'r.html').exists()


def test_records_that_do_not_compare_and_places_that_cannot_be_written(tmp_path, capsys):
    copy = tmp_path / 'copy'
    shutil.copytree(COMMITTED, copy)
    path = copy / 'random' / 'frozen_linear-v1' / 'random_frozen_linear_toy_s0.json'
    path.write_text(path.read_text().replace('66346a2a', '77777777'))
    assert_one_sentence(call_main(report.main, capsys, '--records', copy, '--out', tmp_path / 'r.html'), 'list_sha256')
    done = call_main(report.main, capsys, '--records', COMMITTED, '--out', tmp_path)
    assert_one_sentence(done, str(tmp_path))


def test_damaged_files_are_named_and_the_page_is_made_of_the_others(tmp_path, capsys):
    work, out = tmp_path / 'work', tmp_path / 'report.html'
    shutil.copytree(COMMITTED / 'random', work / 'records' / 'random')
    folder = work / 'records' / 'random' / 'finetune-v1'
    cut, spoiled = (folder / f'random_finetune_toy_5aclass_s{seed}.json' for seed in (0, 1))
    cut.write_bytes(cut.read_bytes()[:100])
    spoiled.with_suffix('.predictions.npz').write_bytes(b'PK')
    (work / 'records' / 'package.json').write_text('{"name": "left-pad"}')
    done = call_main(report.main, capsys, '--records', work, '--out', out)
    assert (done.returncode, done.stdout) == (1, f'{out}: 1 records, {out.stat().st_size / 1e6:.1f} MB\n')
    assert 'package.json' in section(out.read_text(), 'missing')
    said = done.stderr.splitlines()
    assert [line.partition(': left out: ')[0] for line in said] == ['report'] * 3
    for line, path in zip(said, (work / 'records' / 'package.json', cut, spoiled.with_suffix('.predictions.npz'))):
        assert str(path) in line
    for path in work.rglob('*.json'):
        path.write_text('{}')
    out.unlink()
    done = call_main(report.main, capsys, '--records', work, '--out', out)
    assert (done.stdout, out.exists()) == ('', False)
    assert_one_sentence(done, 'package.json', '4 files')
