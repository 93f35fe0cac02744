"""Slots of a text: tokens, BIO tags, marks and chunks, each rule by hand and beside seqeval."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from icl.core.bio import (
    Span,
    align_marks,
    find_chunks,
    find_spans,
    find_value,
    fit_tags,
    is_unspaced,
    locate_tokens,
    read_exact_marks,
    read_marks,
    split_tokens,
    tag_spans,
    write_marks,
)

KINDS = ("O", "B-a", "I-a", "B-b", "I-b", "I-x-y", "B-x-y", "E-a", "S-a", "E-b", "S-b")


@pytest.mark.parametrize(
    ("tags", "chunks"),
    [
        ([], []),
        (["O", "O"], []),
        (["B-a", "I-a", "O", "B-a"], [("a", 0, 1), ("a", 3, 3)]),
        (["B-a", "B-a"], [("a", 0, 0), ("a", 1, 1)]),
        (["I-a", "I-a"], [("a", 0, 1)]),  # I behind nothing begins a chunk
        (["O", "I-a", "B-a"], [("a", 1, 1), ("a", 2, 2)]),
        (["B-a", "I-b"], [("a", 0, 0), ("b", 1, 1)]),  # another name begins one, too
        (["I-a", "E-a", "I-a"], [("a", 0, 1), ("a", 2, 2)]),
        (["S-a", "I-a", "S-a"], [("a", 0, 0), ("a", 1, 1), ("a", 2, 2)]),
        (["B-x-y", "I-x-y"], [("x-y", 0, 1)]),
    ],
)
def test_chunks_by_hand(tags, chunks):
    assert find_chunks(tags) == chunks
    assert find_spans(tags) == [Span(name, start, last + 1) for name, start, last in chunks]


def test_chunks_are_those_of_seqeval_on_random_sequences():
    drawn = random.Random(0)
    for _ in range(1000):
        tags = [drawn.choice(KINDS) for _ in range(drawn.randint(0, 12))]
        assert find_chunks(tags) == [tuple(one) for one in get_entities(list(tags))], tags


def test_tokens_are_words_or_in_chinese_and_japanese_characters():
    assert split_tokens(" wake  me\tup ") == ["wake", "me", "up"]
    assert split_tokens("olly 关灯 a1", unspaced=True) == ["olly", "关", "灯", "a1"]
    assert split_tokens("播放rai", unspaced=True) == ["播", "放", "r", "a", "i"]
    told = {tag: is_unspaced(tag) for tag in ("zh-CN", "zh_TW", "ja-JP", "ja", "zho-x", "th", "en")}
    assert [tag for tag, unspaced in told.items() if unspaced] == ["zh-CN", "zh_TW", "ja-JP", "ja"]
    assert not is_unspaced(None)


def test_touching_spans_of_one_name_merge_and_of_two_do_not():
    spans = [Span("a", 0, 1), Span("a", 1, 3), Span("b", 3, 4), Span("a", 5, 6)]
    assert tag_spans(spans, 6) == ["B-a", "I-a", "I-a", "B-b", "O", "B-a"]
    assert tag_spans(spans, 6, merge=False)[:3] == ["B-a", "B-a", "I-a"]
    # Of two that overlap the first keeps its tokens; what is outside of the text is left out.
    assert tag_spans([Span("a", 0, 2), Span("b", 1, 9)], 3) == ["B-a", "I-a", "B-b"]


def test_tags_are_padded_and_cut():
    assert fit_tags(["B-a"], 3) == ["B-a", "O", "O"]
    assert fit_tags(["O", "O", "B-a"], 2) == ["O", "O"]


@pytest.mark.parametrize(
    ("text", "pieces", "broken", "unknown"),
    [
        ("go [a : on]", [("go ", None), ("on", "a")], 0, 0),
        ("go [A:on]now", [("go ", None), ("on", "a"), ("now", None)], 0, 0),  # spacing, case
        ("[a ：五]", [("五", "a")], 0, 0),  # the full-width colon
        ("[a : 5:30]", [("5:30", "a")], 0, 0),
        ("go [zz : on]", [("go ", None), ("on", "zz")], 0, 1),
        ("go [a : on", [("go  on", None)], 1, 0),
        ("go on] now", [("go on now", None)], 1, 0),
        ("go [on] now", [("go on now", None)], 2, 0),
        ("[a : x [b : y] z]", [(" x ", None), ("y", "b"), (" z", None)], 2, 0),
        ("[[a : x]]", [("x", "a")], 2, 0),
        ("[a : ] go [ : on]", [("  go ", None), (" : on", None)], 4, 0),
    ],
)
def test_marks_that_are_broken_lose_no_word(text, pieces, broken, unknown):
    made = read_marks(text, ["a", "b"])
    joined = "".join(piece for piece, name in pieces if name is None)
    assert [one for one in made.pieces if one[1]] == [one for one in pieces if one[1]]
    assert "".join(p for p, name in made.pieces if name is None).split() == joined.split()
    assert (made.broken, made.unknown) == (broken, unknown)


def test_brackets_of_the_source_are_text():
    tokens = ["see", "[1]", "now"]
    made = read_marks("see [1] [a : now]", literal=True)
    assert made.broken == 0
    assert align_marks(made, tokens) == (["O", "O", "B-a"], False)
    assert read_exact_marks("see [1] [a : now]", tokens) == [Span("a", 2, 3)]


SOURCE = ["wake", "me", "up", "at", "five", "am", "on", "friday"]


@pytest.mark.parametrize(
    ("text", "tags", "altered"),
    [
        ("wake me up at [t : five am] on [d : friday]", "OOOOttOd", False),
        ("wake me up at [t:five am]on [d : friday]", "OOOOttOd", False),  # spacing is no change
        ("wake me up at [t : 5 am] on [d : friday]", "OOOOttOd", True),  # a changed word
        ("wake up at [t : five am] on [d : friday]", "OOOOttOd", True),  # one that is missing
        ("please wake me up at [t : five am] on [d : friday]", "OOOOttOd", True),  # one too many
        ("wake me up at [t : five am]", "OOOOttOO", True),  # cut off: padded with O
        ("wake me up at [t : five am] on [d : friday] [t : ten]", "OOOOttOd", True),  # cut
        ("[t : nonsense]", "OOOOOOOO", True),
        ("Wake me up at [t : Five AM] on [d : Friday]", "OOOOttOd", True),
        ("", "OOOOOOOO", True),
    ],
)
def test_nothing_shifts(text, tags, altered):
    made, changed = align_marks(read_marks(text), SOURCE)
    if text == "[t : nonsense]":  # stands in the place of all words
        assert {tag[:1] for tag in made} == {"B", "I"}
    else:
        assert [tag[2:] or "O" for tag in made] == list(tags)
    assert changed == altered


def test_marks_that_touch_merge_where_the_data_merges():
    marked = read_marks("[t : five] [t : am]")
    assert align_marks(marked, ["five", "am"])[0] == ["B-t", "I-t"]
    assert align_marks(marked, ["five", "am"], merge=False)[0] == ["B-t", "B-t"]


def test_tokens_need_not_stand_between_spaces():
    marked = read_marks("rain [d : today]?")
    assert align_marks(marked, ["rain", "today", "?"]) == (["O", "B-d", "O"], False)
    said, altered = align_marks(read_marks("will it rain [d : today]?"), ["rain", "today", "?"])
    assert (said, altered) == (["O", "B-d", "O"], True)


def test_characters_are_aligned_where_no_spaces_are_written():
    tokens = split_tokens("这周五点叫我", unspaced=True)
    said, altered = align_marks(read_marks("[d : 这周][t : 五点]叫我"), tokens, unspaced=True)
    assert [tag[2:] or "O" for tag in said] == ["d", "d", "t", "t", "O", "O"] and not altered
    said, altered = align_marks(read_marks("[d : 周] [t : 五点] 叫我"), tokens, unspaced=True)
    assert [tag[2:] or "O" for tag in said] == ["O", "d", "t", "t", "O", "O"] and altered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("go [a : on now", "has a bracket that makes no [name : words]"),
        ("go [a : in] now", "differs from 'go on now' at letter 3: 'innow' in place of 'onnow'"),
        ("go [a : on]", "differs from 'go on now' at letter 5: '' in place of 'now'"),
        ("g[a : o on] now", "the mark [a : o on] of 'g[a : o on] now' cuts a word"),
    ],
)
def test_an_annotation_has_to_fit(text, message):
    with pytest.raises(ValueError) as caught:
        read_exact_marks(text, ["go", "on", "now"])
    assert message in str(caught.value)


def test_marks_are_written_into_the_text_as_it_is():
    assert write_marks("rain  today?", ["rain", "today", "?"], [Span("d", 1, 2)]) == (
        "rain  [d : today]?"
    )
    tokens = split_tokens("olly 这周五点叫我", unspaced=True)
    spans = [Span("d", 1, 3), Span("t", 3, 5)]
    marked = write_marks("olly 这周五点叫我", tokens, spans, unspaced=True)
    assert marked == "olly [d : 这周] [t : 五点] 叫我"
    assert read_exact_marks(marked, tokens) == spans


@pytest.mark.parametrize(
    ("text", "message"), [("go", "'on' does not come next"), ("go on now", "goes on behind")]
)
def test_tokens_have_to_be_those_of_the_text(text, message):
    with pytest.raises(ValueError, match=message):
        locate_tokens(text, ["go", "on"])


def test_a_value_has_its_leftmost_place_that_is_free():
    tokens = ["five", "to", "five", "on", "Friday"]
    assert find_value(tokens, "five") == (0, 1)
    assert find_value(tokens, "five", {0}) == (2, 3)
    assert find_value(tokens, "five", {0, 2}) is None
    assert find_value(tokens, "friday") == (4, 5)
    assert find_value(tokens, "on friday") == (3, 5)
    assert find_value(tokens, "on friday", {4}) is None
    assert find_value(tokens, "") is None
    assert find_value(["FIVE", "five"], "five") == (1, 2)  # the same case comes first
    assert find_value(list("这周五点"), "五点") == (2, 4)


WORDS = st.lists(st.sampled_from(["a", "b", "on", "five", "a1", "é"]), min_size=1, max_size=8)


@given(WORDS, st.data())
def test_what_is_written_is_read_again(tokens, data):
    borders = sorted(data.draw(st.sets(st.integers(0, len(tokens)), max_size=6)))
    spans = [Span("n", a, b) for a, b in zip(borders[::2], borders[1::2], strict=False)]
    text = " ".join(tokens)
    marked = write_marks(text, tokens, spans)
    assert read_exact_marks(marked, tokens) == spans
    assert align_marks(read_marks(marked, ["n"]), tokens) == (tag_spans(spans, len(tokens)), False)


@given(st.text(alphabet="[]: abn", max_size=30), WORDS)
def test_any_text_gives_a_tag_for_each_token(text, tokens):
    made = read_marks(text, ["n"])
    assert len(align_marks(made, tokens)[0]) == len(tokens)
    assert [c for c in made.text if c in "ab"] == [c for c in text if c in "ab"] or "[" in text


def test_long_runs_of_brackets_and_spaces_take_no_long_time():
    for text in ("[" * 20000, "[" + " " * 20000, "[a :" * 5000, "[" + "a " * 10000, ":" * 20000):
        assert read_marks(text, ["a"]).text is not None
