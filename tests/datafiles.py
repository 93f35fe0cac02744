"""Small data files for the tests of the readers, and their one-line error messages."""

import pytest

from icl.core.errors import DataError
from icl.data import load


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding, "surrogatepass"))
    return path


def message(spec):
    with pytest.raises(DataError) as caught:
        load(spec)
    text = str(caught.value)
    assert "\n" not in text
    return text
