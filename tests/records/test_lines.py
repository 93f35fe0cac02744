"""Lines of JSON: what stands in them is read as it was written, and strange words are not."""

from __future__ import annotations

import pytest

from icl.core.strict_json import ShapeError
from icl.core.types import Output, Record
from icl.records.lines import parse_record, write_record_line

MADE = Record("a", "c", "r", outputs=(Output("yes", "length", 3, 1),), prompt_tokens=3, role="pool")


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_record(write_record_line(MADE).encode()) == MADE


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ('"length"', "outputs.*finish.*halted"),
        ('"pool"', "role.*halted"),
    ],
)
def test_a_word_that_nobody_writes_is_no_record(word: str, told: str) -> None:
    line = write_record_line(MADE)
    assert line.count(word) == 1
    with pytest.raises(ShapeError, match=told):
        parse_record(line.replace(word, '"halted"').encode())
