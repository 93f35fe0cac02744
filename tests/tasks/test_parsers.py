import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icl.core.errors import ChoiceError, IclError, ParseError
from icl.core.types import Choice
from icl.tasks.parsers import first_line, label, label_prefix, text

CHOICES = [
    Choice("alarm_set", " set alarm"),
    Choice("email", " email"),
    Choice("email_query", " email query"),
    Choice("weather", " Wetter Straße"),
    Choice("hindi", " मौसम"),
    Choice("count", " 3"),
]


@pytest.mark.parametrize(
    ("output", "answer"),
    [(" a ", "a"), ("a\n\nb\n", "a\n\nb"), ("\u3000日本 語\n", "日本 語"), ("“a”.", "“a”.")],
)
def test_text_is_the_whole_output(output, answer):
    assert text(output, ()) == answer


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (" Habari. \nEnglish: x", "Habari."),
        ("\n\n \t\n a b \n c", "a b"),
        ("a\r\nb", "a"),
        ("a\rb", "a"),
        ("a", "a"),
        ("a\u2028b\x0bc", "a\u2028b\x0bc"),
    ],
)
def test_first_line(output, answer):
    assert first_line(output, ()) == answer


@pytest.mark.parametrize("parser", [text, first_line, label, label_prefix])
@pytest.mark.parametrize("output", ["", " ", "\n\t \r\n", "\u3000\n"])
def test_empty_outputs(parser, output):
    with pytest.raises(ParseError, match="^empty$"):
        parser(output, CHOICES)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("set alarm", "alarm_set"),
        (" set alarm\nUtterance: email", "alarm_set"),
        ("\n\nset alarm", "alarm_set"),
        ("Set  ALARM.", "alarm_set"),
        ('"set alarm".', "alarm_set"),
        ("'set alarm.'", "alarm_set"),
        ("« set alarm » !", "alarm_set"),
        ("「set\u3000alarm」。", "alarm_set"),
        ("`email`", "email"),
        ("email query", "email_query"),
        ("WETTER STRASSE", "weather"),
        ("मौसम।", "hindi"),
        ("3", "count"),
    ],
)
def test_label(output, answer):
    assert label(output, CHOICES) == answer
    assert label_prefix(output, CHOICES) == answer


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("alarm_set", "alarm_set"),  # the label is not the text that was asked for
        ("set alarm now", "set alarm now"),
        ("the intent\tis email\nemail", "the intent is email"),
        ("...", "..."),
        ("x" * 100, "x" * 39 + "…"),
    ],
)
def test_label_names_an_output_that_is_no_choice(output, shown):
    with pytest.raises(ParseError) as caught:
        label(output, CHOICES)
    assert str(caught.value) == f"no choice: {shown!r}"


def test_label_folds_unicode_forms():
    assert label("cafe\u0301", [Choice("a", "caf\u00e9"), Choice("b", "cafe")]) == "a"


def test_choices_that_fold_alike_are_told_apart_by_their_exact_text():
    choices = [Choice("one", " Polish"), Choice("two", " polish"), Choice("mark", " ?")]
    assert label("Polish\n", choices) == "one"
    assert label("polish", choices) == "two"
    assert label("?", choices) == "mark"
    with pytest.raises(ParseError, match="^'POLISH' reads as one and as two$"):
        label("POLISH", choices)
    with pytest.raises(ParseError, match="^'polish it' reads as one and as two$"):
        label_prefix("polish it", choices)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("Set alarm for six", "alarm_set"),
        ("set alarm\nUtterance: wake me", "alarm_set"),
        ("email query, I think", "email_query"),
        ("email queries", "email"),  # the longer one ends inside a word
        ("email: the user", "email"),
        ("“Email” is it", "email"),
        ("3 of them", "count"),
    ],
)
def test_label_prefix_takes_the_longest_choice_at_a_word_border(output, answer):
    assert label_prefix(output, CHOICES) == answer
    assert label_prefix(output, CHOICES[::-1]) == answer


@pytest.mark.parametrize("output", ["emails", "email_x", "the email", "मौसमी", "मौसमा", "33", "…"])
def test_label_prefix_needs_a_word_border(output):
    with pytest.raises(ParseError) as caught:
        label_prefix(output, CHOICES)
    assert str(caught.value) == f"no choice: {output!r}"


@pytest.mark.parametrize(("parser", "name"), [(label, "label"), (label_prefix, "label_prefix")])
def test_label_parsers_need_choices(parser, name):
    with pytest.raises(ChoiceError, match=f"^the parser '{name}' got no choices: give the"):
        parser("email", [])


def test_a_parse_error_is_an_error_of_this_package():
    assert issubclass(ParseError, IclError)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_outputs_of_any_kind_give_a_label_or_a_one_line_reason(output):
    for parser in (label, label_prefix):
        try:
            assert parser(output, CHOICES) in {choice.label for choice in CHOICES}
        except ParseError as error:
            assert len(str(error).splitlines()) == 1
            assert len(str(error)) < 500


@given(st.sampled_from(CHOICES), st.sampled_from(["{}", "{}.", '"{}"', " {} \n\nx", "“{}.”"]))
def test_a_choice_is_read_as_itself(choice, frame):
    output = frame.format(choice.text)
    assert label(output, CHOICES) == choice.label
