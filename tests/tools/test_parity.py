"""Golden tensors of the reference, replayed by the tool."""

import numpy as np
import pytest

from tests.conftest import SHARED, assert_one_sentence, call_main
from tools import parity

GOLDEN = sorted((SHARED / 'golden').glob('*.npz'))
needs_golden = pytest.mark.skipif(not GOLDEN, reason='golden tensors are not beside the checkout (../shared/golden)')


@needs_golden
@pytest.mark.parametrize('path', GOLDEN, ids=lambda path: path.stem)
def test_every_quantity_agrees(path):
    rows = parity.replay(path)
    assert len(rows) >= 2
    above = [(name, value) for name, value, tolerance in rows if not value <= tolerance]
    assert not above


@needs_golden
def test_all_quantities_of_a_sigma_file_are_compared():
    path = next(p for p in GOLDEN if 'mlp' in p.stem)
    names = {name for name, _, _ in parity.replay(path)}
    stored = set(np.load(path).files)
    outputs = {k for k in stored if '/' not in k} - {'video', 'mask'}
    assert outputs <= names
    assert {f'|grad| {k.removeprefix("gradnorm/")}' for k in stored if k.startswith('gradnorm/')} <= names
    assert {f'grad {k.removeprefix("grad/")}' for k in stored if k.startswith('grad/')} <= names


@needs_golden
@pytest.mark.parametrize(
    ('stem', 'key'),
    [('sigma_mlp_tiny', 'codes_pred'), ('sigma_mlp_tiny', 'grad/prototypes'), ('sinkhorn', 'case0/codes')],
)
def test_a_changed_tensor_is_found_and_fails(tmp_path, stem, key, capsys):
    data = dict(np.load(SHARED / 'golden' / f'{stem}.npz'))
    data[key] = data[key] + 1e-2
    np.savez(tmp_path / 'changed.npz', **data)
    assert parity.main([str(tmp_path / 'changed.npz')]) == 1
    assert 'ABOVE' in capsys.readouterr().out


def test_files_of_no_known_kind_are_named(tmp_path, capsys):
    np.savez(tmp_path / 'x.npz', nothing=np.zeros(2))
    assert_one_sentence(call_main(parity.main, capsys, tmp_path / 'x.npz'), 'x.npz', 'unknown kind', 'nothing')
    assert_one_sentence(call_main(parity.main, capsys, tmp_path / 'absent.npz'), 'absent.npz')
    np.savez(
        tmp_path / 'half.npz', video=np.zeros(1), mask=np.zeros(1), decoder_out=np.zeros(1), scores_target=np.zeros(1)
    )
    assert_one_sentence(call_main(parity.main, capsys, tmp_path / 'half.npz'), 'half.npz', 'incomplete')
