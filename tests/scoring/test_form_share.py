"""What forms did, summed up."""

from __future__ import annotations

from icl.core.answer_forms import FormUse
from icl.core.types import Output, Record
from icl.records.lines import parse_record, write_record_line
from icl.scoring.form_share import FormShare, measure_forms


def record(*uses: FormUse | None) -> Record:
    outputs = (Output("a", "end", 3, 4, sample, form=use) for sample, use in enumerate(uses))
    return Record("1", "c", "r", outputs=tuple(outputs))


def test_counts_are_summed_over_answers_with_a_form() -> None:
    records = [record(FormUse(5, 2, 3), FormUse(4, 0, 1)), record(FormUse(1, 1, 9)), record(None)]
    found = measure_forms(records)
    assert found == FormShare(steps=10, changed=3, forced=13, outputs=3, outputs_changed=2)
    assert str(found) == (
        "the form changed 3 of 10 choices (30.0 %), in 2 of 3 answers, and fixed 13 tokens more"
    )
    assert measure_forms([record(None)]) is None


def test_what_a_form_did_is_in_the_record_only_where_there_was_one() -> None:
    for made in (record(None), record(FormUse(5, 2, 3), None)):
        line = write_record_line(made)
        assert parse_record(line.encode()) == made
        assert ("form" in line) == (made.outputs[0].form is not None)
