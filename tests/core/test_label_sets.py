import pytest

from icl.core.label_sets import gather_labels, read_labels, split_labels, write_labels


@pytest.mark.parametrize(
    ("text", "separator", "labels"),
    [
        ("joy, anger", ", ", ["joy", "anger"]),
        ("joy,anger ,  fear", ", ", ["joy", "anger", "fear"]),
        ("joy, , anger,", ", ", ["joy", "anger"]),
        ("very sad; glad", "; ", ["very sad", "glad"]),
        ("joy anger", " ", ["joy", "anger"]),
        ("joy\nanger\n", "\n", ["joy", "anger"]),
        ("joy and anger", " and ", ["joy", "anger"]),
        (" ", ", ", []),
    ],
)
def test_a_text_is_split_whatever_space_stands_around_the_separator(text, separator, labels):
    assert split_labels(text, separator) == labels


def test_a_word_that_holds_the_letters_of_the_separator_is_split_too():
    # Which is why a template whose words hold the separator is refused.
    assert split_labels("sand", " and ") == ["s"]


@pytest.mark.parametrize(
    "targets", [("joy", "anger"), ("anger", "joy", "joy"), ("joy, anger",), ('["anger","joy"]',)]
)
def test_a_set_has_one_form_whichever_way_the_data_tells_it(targets):
    assert gather_labels(targets, ", ") == '["anger","joy"]' == write_labels({"joy", "anger"})


def test_the_empty_set_is_an_answer():
    assert gather_labels((), ", ") == gather_labels(("[]",), ", ") == "[]"
    assert read_labels("[]") == frozenset()


@pytest.mark.parametrize("text", ["joy", '"joy"', '{"joy": 1}', "[1]", ""])
def test_what_is_no_set_is_refused(text):
    with pytest.raises(ValueError):
        read_labels(text)
