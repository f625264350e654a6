"""tools/records.py as a command: what it writes, its exit status, and what it refuses."""

import shutil
import subprocess
import sys

import pytest

from eval.records import read_records
from tests.conftest import ROOT, assert_one_sentence, call_main
from tools import records

COMMITTED = ROOT / 'tests' / 'data' / 'records'


def run(capsys, *words):
    return call_main(records.main, capsys, *words)


def test_merge_verify_export_and_card(tmp_path, capsys):
    work, out = tmp_path / 'work', tmp_path / 'all'
    shutil.copytree(COMMITTED, work / 'records')
    done = run(capsys, 'merge', COMMITTED, work, '--out', out)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.splitlines() == [
        f'{out}: 8 records, 8 of them new',
        '8 further copies of the same cells agree and were not copied again',
    ]
    done = run(capsys, 'verify', out)
    assert done.returncode == 1  # these records have no configs
    assert done.stdout == '8 records: 8 faults\n'
    assert done.stderr.count('.config.py is not beside it\n') == 8
    done = run(capsys, 'export', out, '--to', 'mteb', '--out', tmp_path / 'mteb')
    assert (done.returncode, done.stdout) == (0, f'{tmp_path / "mteb"}: mteb from 8 records, 9 files\n')
    done = run(capsys, 'card', out, '--encoder', 'random', '--out', tmp_path / 'README.md')
    assert done.returncode == 0
    assert '# random\n\nA video encoder with random weights (no pretraining)' in (tmp_path / 'README.md').read_text()
    broken = read_records(out)[0].path
    broken.write_text('{')
    for words in (['export', out, '--to', 'mteb'], ['card', out, '--encoder', 'random'], ['merge', out]):
        done = run(capsys, *words, '--out', tmp_path / f'again-{words[0]}')
        assert done.returncode == 1
        assert done.stderr.startswith(f'records: left out: {broken}: not a JSON file')
        assert (tmp_path / f'again-{words[0]}').exists()


BAD = [
    (['merge', '{none}', '--out', '{tmp}/o'], ['no such folder']),
    (['export', COMMITTED, '--to', 'mtb', '--out', '{tmp}/o'], ["'mtb'", "'mteb'"]),
    (['export', COMMITTED, '--to', 'parquet', '--out', '{tmp}/o'], ['.parquet']),
    (['card', COMMITTED, '--out', '{tmp}/o'], ['3', 'random, sigma_mlp_toy']),
    (['card', COMMITTED, '--encoder', 'rand', '--out', '{tmp}/o'], ["'random'"]),
    (['card', COMMITTED, '--encoder', 'random', '--weights', '{none}.safetensors', '--out', '{tmp}/o'], ['not there']),
    (['card', COMMITTED, '--encoder', 'random', '--out', '{file}/o'], ['file']),
]


@pytest.mark.parametrize(('words', 'said'), BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path, capsys, words, said):
    (tmp_path / 'file').write_text('')
    places = {'tmp': tmp_path, 'none': tmp_path / 'none', 'file': tmp_path / 'file'}
    done = run(capsys, *(str(word).format_map(places) for word in words))
    assert_one_sentence(done, *said)
    assert not (tmp_path / 'o').exists()


def test_weights_that_are_not_those_of_the_records_are_refused(tmp_path, capsys):
    torch = pytest.importorskip('torch')
    from safetensors.torch import save_file

    save_file({'x': torch.zeros(1)}, tmp_path / 'encoder.safetensors')
    words = ('card', COMMITTED, '--encoder', 'sigma_mlp_toy', '--out', tmp_path / 'README.md')
    done = run(capsys, *words, '--weights', tmp_path / 'encoder.safetensors')
    assert_one_sentence(done, 'does not describe itself')


def test_it_needs_no_torch():
    code = (
        'import sys\nfrom tools import records\n'
        f'status = records.main(["verify", {str(COMMITTED)!r}])\n'
        'heavy = {"torch", "mmengine", "mmaction", "matplotlib"} & set(sys.modules)\n'
        'assert (status, heavy) == (1, set()), (status, heavy)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
