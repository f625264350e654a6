"""Sentences of errors."""

import errno

from sigma.errors import DataError, told


def test_an_error_of_a_file_names_it_without_its_number():
    error = PermissionError(errno.EACCES, 'Permission denied', 'out/features.npz')
    assert told(error) == "'out/features.npz' cannot be used: Permission denied"


def test_other_errors_stay_on_one_line():
    assert told(DataError('first line\n   second line')) == 'first line second line'
    assert told(OSError('no file, no number')) == 'no file, no number'
