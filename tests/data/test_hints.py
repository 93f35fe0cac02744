"""Hints: words of a row looked up in dictionaries, written for a prompt, or put in place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icl.core.errors import DataError
from icl.core.types import Example
from icl.data.hints import (
    Dictionary,
    Hints,
    PseudoShots,
    check_direction,
    count_frequent,
)
from icl.data.lexicons import Lexicon

SWAHILI = Lexicon.of(
    "eng-swh",
    [
        ("grow", ["ota", "kua", "stawi", "zidi"]),
        ("grow up", ["komaa"]),
        ("child", ["mtoto"]),
        ("the", ["le"]),
        ("east", ["mashariki"]),
    ],
)
GERMAN = Lexicon.of("eng-deu", [("child", ["Kind"]), ("house", ["Haus"])])
ROW = Example("1", {"source": "The child: will it grow up? The CHILD grows."})


def looked_up(dictionary: Dictionary, text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.words, one.senses) for one in dictionary.find(text)]


def test_the_longest_entry_is_found_and_senses_are_bounded() -> None:
    made = Dictionary((SWAHILI,))
    assert looked_up(made, "They grow, grow up.") == [
        ("grow", ("ota", "kua", "stawi")),
        ("grow up", ("komaa",)),
    ]
    assert looked_up(replace(made, senses=1), "grow") == [("grow", ("ota",))]


def test_scripts_without_spaces() -> None:
    chinese = Lexicon.of("zho-eng", [("学生", ["student"]), ("学", ["learn"])])
    assert looked_up(Dictionary((chinese,)), "我是学生") == [("学生", ("student",))]


def test_a_form_its_lemma_and_its_stem() -> None:
    with_forms = replace(SWAHILI, lemmas={"children": ("childe", "child")})
    made = Dictionary((with_forms,))
    assert looked_up(made, "children eastern") == [("children", ("mtoto",))]
    stems = replace(made, shortest_stem=4)
    assert looked_up(stems, "eastern grown theirs") == [
        ("eastern", ("mashariki",)),
        ("grown", ("ota", "kua", "stawi")),
    ], "the stem of theirs, the, is too short"


def test_of_several_dictionaries_the_first_that_knows_a_word() -> None:
    made = Dictionary((SWAHILI, GERMAN))
    assert looked_up(made, "child house") == [("child", ("mtoto",)), ("house", ("Haus",))]


def test_dipmt_and_chains() -> None:
    plain = Hints(Dictionary((SWAHILI,), senses=2)).enrich(ROW)
    assert plain.fields["hints"] == (
        'In this context, the word "The" means "le"; the word "child" means "mtoto"; the word '
        '"grow up" means "komaa".'
    )
    chained = Hints(Dictionary((SWAHILI, GERMAN), chained=True), "cod").enrich(ROW)
    assert chained.fields["hints"] == (
        '"The" means "le". "child" means "mtoto" means "Kind". "grow up" means "komaa".'
    )
    house = Example("2", {"source": "house"})
    assert Hints(Dictionary((SWAHILI, GERMAN), chained=True), "cod").enrich(house).fields == {
        "source": "house",
        "hints": "",
        "hint_pairs": [],
        "hint_lookup": {"words": 1, "known": 0, "pairs": []},
    }, "a word that the first does not know has no hint"


def test_what_was_looked_up_is_kept() -> None:
    lookup = Hints(Dictionary((SWAHILI,))).enrich(ROW).fields["hint_lookup"]
    assert lookup == {
        "words": 9,
        "known": 6,
        "pairs": [["The", ["le"]], ["child", ["mtoto"]], ["grow up", ["komaa"]]],
    }
    hidden = Hints(Dictionary((SWAHILI,), control="hidden")).enrich(ROW).fields
    assert hidden["hint_lookup"] == lookup
    assert (hidden["hints"], hidden["hint_pairs"]) == ("", [])


def test_random_translations_are_of_other_words_and_the_same_each_time() -> None:
    made = Dictionary((SWAHILI,), control="random", seed=3)
    found = looked_up(made, "child the east grow grow up")
    right = dict(looked_up(replace(made, control=None), "child the east grow grow up"))
    assert len(found) == 5 and all(senses != right[word] for word, senses in found)
    assert found == looked_up(made, "child the east grow grow up")
    drawn = [replace(made, seed=seed) for seed in range(9)]
    assert len({str(looked_up(one, "child the east")) for one in drawn}) > 1
    assert made.identity() != replace(made, seed=4).identity()


def test_frequent_words_have_no_hint_but_in_longer_entries() -> None:
    rows = [Example(str(n), {"source": text}) for n, text in enumerate(["The the grow", "grow a"])]
    assert count_frequent(rows, None, 2) == {"grow", "the"}
    made = Dictionary((SWAHILI,), skipped=frozenset({"grow", "the"}))
    assert looked_up(made, "The child, grow, grow up") == [
        ("child", ("mtoto",)),
        ("grow up", ("komaa",)),
    ]
    assert made.count("The child, grow") == 1


def test_the_field_is_the_only_text_or_a_named_one() -> None:
    row = Example("1", {"source": "child", "note": "east", "n": 3})
    with pytest.raises(DataError, match="fields with text: source, note; name one, as in `field:"):
        Hints(Dictionary((SWAHILI,))).enrich(row)
    made = Hints(Dictionary((SWAHILI,)), field="note").enrich(row)
    assert made.fields["hint_pairs"] == [["east", ["mashariki"]]]
    assert Hints(Dictionary((SWAHILI,)), field="note").enrich(made) == made
    with pytest.raises(DataError, match="no text in a field 'n'; fields with text: source, note"):
        Hints(Dictionary((SWAHILI,)), field="n").enrich(row)


def test_pseudo_shots_keep_what_is_unknown() -> None:
    row = Example(
        "1", {"source": "The child, Ann, will grow up!", "label": "x"}, ("x",), {}, ("label",)
    )
    made = PseudoShots(Dictionary((SWAHILI,), senses=1)).change(row)
    assert made.fields == {"source": "le mtoto, Ann, will komaa!", "label": "x"}
    assert made.targets == ("x",)
    into = PseudoShots(Dictionary((SWAHILI,), senses=1), into="target").change(
        Example("1", {"source": "The child"})
    )
    assert into.fields == {"source": "The child", "target": "le mtoto"}
    assert (into.targets, into.gold) == (("le mtoto",), ("target",))


def test_swapped_columns_are_noticed() -> None:
    pairs = [(f"word{n}", [f"neno{n}"]) for n in range(60)]
    right = Lexicon.of("d", pairs)
    swapped = Lexicon.of("d", [(senses[0], [word]) for word, senses in pairs])
    texts = [" ".join(word for word, _ in pairs)]
    check_direction(Dictionary((right,)), texts)
    check_direction(Dictionary((swapped,)), ["word1 word2"])  # too few to judge by
    check_direction(Dictionary((swapped,)), ["quite other words here"] * 20)
    with pytest.raises(DataError) as caught:
        check_direction(Dictionary((swapped,)), texts)
    assert str(caught.value) == (
        "lexicons.d: of 60 words of the rows it translates 0, and 60 stand among its "
        "translations: its columns are swapped, or it is of the other direction; write `columns: "
        "[senses, word]` (or `[senses, pos, word]`), or give the other file"
    )
