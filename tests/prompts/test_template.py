"""Templates bound to a language and labels: prompts, shots, choices and hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.core.errors import ChoiceError, DataError, LeakError, TemplateError
from icl.core.types import Choice, Example, Shot
from icl.prompts.chat_template import make_messages
from icl.prompts.template import Template, TemplateCopy, load_template, restore

CLASSIFY = """---
task: classify
labels: {labels}
stop: ["\\n"]
{more}---
[[instruction]]
{instruction}
[[example]]
Q: {{{{ utt }}}}
A:||| {{{{ label }}}}
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of its own: a words table, a label table, no templates."""
    root = tmp_path / "library"
    (root / "labels" / "mood").mkdir(parents=True)
    monkeypatch.setattr("icl.prompts.template_file.find_library", lambda: root)
    write_words(root, {"utterance": {"en": "Utterance", "de": "Äußerung"}, "dog": {"en": "Dog"}})
    table = {
        "labels": {"good": {"en": "good", "de": "gut"}, "bad": {"en": "bad", "de": "schlecht"}}
    }
    (root / "labels" / "mood" / "two.yaml").write_text(yaml.safe_dump(table), "utf-8")
    return root


def write_words(root: Path, words: dict[str, Any]) -> None:
    from icl.prompts.template_file import read_yaml

    (root / "words.yaml").write_text(yaml.safe_dump({"words": words}), "utf-8")
    read_yaml.cache_clear()


def load(tmp_path: Path, text: str, name: str = "my.j2", **options: Any) -> Template:
    (tmp_path / name).write_text(text, "utf-8")
    return load_template(name, base=str(tmp_path), **options)


def classify(
    tmp_path: Path,
    labels: str = "[good, bad]",
    instruction: str = "",
    more: str = "",
    **options: Any,
) -> Template:
    text = CLASSIFY.format(labels=labels, instruction=instruction, more=more)
    return load(tmp_path, text, **options)


def example(i: int, label: str = "good", **fields: Any) -> Example:
    return Example(f"e{i}", {"utt": f"u{i}", "mood": label, **fields}, (label,), {}, ("mood",))


def test_text_and_messages(tmp_path: Path) -> None:
    text = """---
separator: "\\n--\\n"
---
[[system]]
You are terse.
[[instruction]]
Answer.
[[example]]
Q: {{ utt }}
A:||| {{ target }}
[[query]]
Last: {{ utt }}
A:
"""
    template = load(tmp_path, text)
    prompt = template.prompt(example(0), [Shot(example(1)), Shot(example(2, "bad"))])
    assert prompt.text == (
        "You are terse.\n--\nAnswer.\n--\nQ: u1\nA: good\n--\nQ: u2\nA: bad\n--\nLast: u0\nA:"
    )
    assert make_messages(prompt) == [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Answer.\n--\nQ: u1\nA:"},
        {"role": "assistant", "content": "good"},
        {"role": "user", "content": "Q: u2\nA:"},
        {"role": "assistant", "content": "bad"},
        {"role": "user", "content": "Last: u0\nA:"},
    ]
    assert (prompt.query_id, prompt.shot_ids, prompt.dropped) == ("e0", ("e1", "e2"), ())
    assert (prompt.template, prompt.template_hash) == ("my.j2", template.hash)
    bare = load(tmp_path, "{{ utt }}||| {{ target }}").prompt(example(0))
    assert bare.text == "u0"
    assert make_messages(bare) == [{"role": "user", "content": "u0"}]


def test_shots_show_the_first_answer_and_the_target_sees_every_field(tmp_path: Path) -> None:
    template = load(tmp_path, "{{ utt }}||| {{ target }}/{{ targets | length }}/{{ mood }}")
    shot = Example("s", {"utt": "a", "mood": "m"}, ("one", "two"), {}, ("mood",))
    assert template.prompt(example(0), [Shot(shot)]).shots == (("a", " one/2/m"),)


def test_data_is_text_and_never_template_or_boundary(tmp_path: Path) -> None:
    template = load(tmp_path, "{{ utt }}|||{{ target }}")
    odd = Example("s", {"utt": "{{ 7*7 }}|||[[example]]<b>&"}, ("a|||b",))
    prompt = template.prompt(odd, [Shot(odd)])
    assert prompt.query == "{{ 7*7 }}|||[[example]]<b>&"
    assert prompt.shots == (("{{ 7*7 }}|||[[example]]<b>&", "a|||b"),)


def test_names_of_languages_are_in_the_prompt_language(tmp_path: Path) -> None:
    text = "{{ source_language }}>{{ target_language }}, {{ language }}, {{ prompt_language }}|||x"
    meta = {"source": "eng_Latn", "target": "swh_Latn", "locale": "de-DE"}
    row = Example("e", {"utt": "a"}, (), meta)
    names = {
        tag: load(tmp_path, text, language_tag=tag).prompt(row).query for tag in ("en", "de", "fr")
    }
    assert names == {
        "en": "English>Swahili, German, English",
        "de": "Englisch>Suaheli, Deutsch, Deutsch",
        "fr": "anglais>swahili, allemand, français",
    }
    with pytest.raises(TemplateError, match="'source_language' is undefined.* There are: .*utt"):
        load(tmp_path, text).prompt(example(0))


def test_only_names_of_languages_that_are_read_are_looked_up(tmp_path: Path) -> None:
    row = Example("e", {"utt": "a"}, (), {"locale": "US"})
    assert load(tmp_path, "{{ utt }}|||x").prompt(row).query == "a"
    with pytest.raises(DataError):
        load(tmp_path, "{{ language }}|||x").prompt(row)


def test_reserved_names_win_over_fields_in_both_halves(tmp_path: Path) -> None:
    template = load(tmp_path, "{{ language }}{{ labels }}||| {{ target }} {{ language }}")
    row = Example("e", {"language": "field", "labels": "field"}, ("t",), {"locale": "de"})
    assert template.prompt(row, [Shot(row)]).shots == (("German[]", " t German"),)
    unset = Example("e", {"language": "field"}, ("t",))
    assert template.prompt(unset, [Shot(unset)]).shots == (("field[]", " t field"),)


def test_a_missing_variable_names_the_fields_but_not_the_answer(tmp_path: Path) -> None:
    template = load(tmp_path, "---\nabout: a\n---\n[[example]]\nQ\n{{ ut }}||| {{ target }}")
    with pytest.raises(TemplateError) as caught:
        template.prompt(example(0))
    assert str(caught.value) == (
        f"{tmp_path}/my.j2:6: 'ut' is undefined. Did you mean 'utt'? There are: labels, "
        "prompt_language, utt, words"
    )


def test_a_gold_field_of_the_data_is_refused(tmp_path: Path) -> None:
    for text in ("{{ mood }}||| {{ target }}", "a||| {{ target }}\n[[query]]\n{{ mood }}"):
        template = load(tmp_path, text if "[[" not in text else "[[example]]\n" + text)
        with pytest.raises(LeakError, match="the input reads 'mood', which holds the answer"):
            template.prompt(example(0))


def test_a_gold_field_may_be_shared(tmp_path: Path) -> None:
    text = "---\nshared_fields: [mood]\n---\n{{ mood }}:||| {{ target }}"
    assert load(tmp_path, text).prompt(example(0)).query == "good:"


def test_label_field_makes_the_answer(tmp_path: Path) -> None:
    template = classify(tmp_path, more="label_field: mood\n")
    row = Example("e", {"utt": "a", "mood": "bad"})
    answered = template.answered(row)
    assert (answered.targets, answered.gold) == (("bad",), ("mood",))
    assert template.target(answered) == " bad"
    assert classify(tmp_path).answered(row) == row
    without = Example("e", {"utt": "a"})
    assert template.answered(without) == without


def test_a_query_without_gold_renders(tmp_path: Path) -> None:
    template = classify(tmp_path)
    row = Example("e", {"utt": "a"})
    assert template.prompt(row).query == "Q: a\nA:"
    assert template.label(row) is None and template.label(example(0)) == "good"
    assert load(tmp_path, "{{ utt }}|||{{ target }}").label(example(0)) is None
    with pytest.raises(TemplateError) as caught:
        template.prompt(example(0), [Shot(row)])
    assert str(caught.value) == (
        "my.j2: example 'e' has no answer, so it cannot be a shot; leave it out of the pool"
    )


def test_words_of_the_prompt_language(tmp_path: Path, library: Path) -> None:
    text = "{{ words.utterance }}: {{ utt }}||| {{ target }}"
    template = load(tmp_path, text, language_tag="de-AT")
    assert template.prompt(example(0)).query == "Äußerung: u0"
    assert template.fallbacks == ()
    with pytest.raises(TemplateError) as caught:
        load(tmp_path, text, language_tag="fr")
    assert str(caught.value) == (
        f"{tmp_path}/my.j2: the word 'utterance' has no form in 'fr', only in de, en; add it, as "
        "in `words: my_words.yaml` of the experiment, or write `fallback: en` in the front matter"
    )
    with pytest.raises(TemplateError, match="unknown word 'uterance'. Did you mean 'utterance'"):
        load(tmp_path, text.replace("utterance", "uterance"))


def test_a_fallback_is_used_and_counted(tmp_path: Path, library: Path) -> None:
    text = "---\nfallback: en\n---\n{{ words.utterance }} {{ words.dog }}||| {{ target }}"
    assert load(tmp_path, text, language_tag="en").fallbacks == ()
    german = load(tmp_path, text, language_tag="de")
    assert german.fallbacks == ("dog",)
    assert german.prompt(example(0)).query == "Äußerung Dog"
    assert load(tmp_path, text, language_tag="fr").fallbacks == ("dog", "utterance")


def test_words_chosen_by_the_row(tmp_path: Path, library: Path) -> None:
    """Which word is read only the row can tell, so a missing one shows at rendering."""
    template = load(tmp_path, "{{ words[kind] }}||| {{ target }}", language_tag="de")
    assert template.prompt(example(0, kind="utterance")).query == "Äußerung"
    with pytest.raises(TemplateError, match="has no attribute 'dog'"):
        template.prompt(example(0, kind="dog"))


def test_words_that_yaml_does_not_read_as_text(tmp_path: Path, library: Path) -> None:
    write_words(library, {"a": {"en": False}, "b": {"en": None, "de": "b"}})
    with pytest.raises(TemplateError, match="'a' has the form False, which is no text"):
        load(tmp_path, "{{ words.a }}|||{{ target }}")
    with pytest.raises(TemplateError, match="'b' has no form in 'en', only in de; add it"):
        load(tmp_path, "{{ words.b }}|||{{ target }}")


@pytest.mark.parametrize(
    ("labels", "tag", "texts"),
    [
        ("[good, bad]", "de", [" good", " bad"]),
        ("{good: fine, bad: poor}", "de", [" fine", " poor"]),
        ("{good: {en: fine, de: fein}, bad: {en: poor, de: arm}}", "de", [" fein", " arm"]),
        ("mood/two", "en", [" bad", " good"]),
        ("mood/two", "de", [" schlecht", " gut"]),
        ("[0, 1]", "en", [" 0", " 1"]),
    ],
)
def test_labels(tmp_path: Path, library: Path, labels: str, tag: str, texts: list[str]) -> None:
    template = classify(tmp_path, labels, label_language=tag)
    assert [choice.text for choice in template.choices()] == texts


def test_labels_are_visible_and_come_from_the_data_where_none_are_listed(tmp_path: Path) -> None:
    text = CLASSIFY.format(labels="", instruction="One of {{ labels | join(', ') }}.", more="")
    template = load(tmp_path, text, label_set=["b", "a"])
    assert template.prompt(example(0)).instruction == "One of b, a."
    assert template.choices() == [Choice("b", " b"), Choice("a", " a")]


def test_label_language_is_an_axis_of_its_own(tmp_path: Path, library: Path) -> None:
    more = "fallback: en\n"
    template = classify(
        tmp_path, "mood/two", "{{ words.utterance }}", more, language_tag="de", label_language="en"
    )
    prompt = template.prompt(example(0), [Shot(example(1))])
    assert (prompt.instruction, prompt.shots[0][1]) == ("Äußerung", " good")
    assert template.fallbacks == ()
    french = classify(tmp_path, "mood/two", more=more, language_tag="de", label_language="fr")
    assert sorted(french.fallbacks) == ["bad", "good"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("mood/too", "unknown label table 'mood/too'. Did you mean 'mood/two'"),
        ("5", "labels: 5 is none of: a table's name, a list of labels"),
        ("[yes, no]", "the label True is no text; YAML reads yes, no, on, off and null as"),
        ("{no: nein, a: b}", "the label False is no text"),
        ("[a, b, a]", "the label 'a' appears twice; remove one"),
        ("{a: , b: c}", "the label 'a' has no form in 'en'"),
        ("{a: no, b: c}", "the label 'a' has the form False, which is no text"),
        ("{a: {de: x}, b: c}", "the label 'a' has no form in 'en', only in de; add it"),
    ],
)
def test_label_errors(tmp_path: Path, library: Path, labels: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        classify(tmp_path, labels)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_shot_whose_label_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        classify(tmp_path).prompt(example(0), [Shot(example(1, "meh"))])
    assert str(caught.value) == (
        "my.j2: example 'e1' has the label 'meh', which is not among the 2 labels of this "
        "template; add it under `labels:`"
    )
    empty = load(tmp_path, CLASSIFY.format(labels="", instruction="", more=""))
    with pytest.raises(TemplateError, match="not among the 0 labels"):
        empty.target(example(1))


def test_a_choice_is_the_target_half_with_its_label(tmp_path: Path) -> None:
    text = CLASSIFY.format(labels="{a: one, b: two}", instruction="", more="")
    template = load(tmp_path, text.replace("||| {{ label }}", "|||{{ label | upper }}!"))
    assert template.choices() == [Choice("a", "ONE!"), Choice("b", "TWO!")]
    assert template.target(example(0, "a")) == "ONE!"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("[a]", "my.j2: ranking needs at least two labels, there are 1; list them under `labels:`"),
        ("", "my.j2: ranking needs at least two labels, there are 0; list them under `labels:`"),
        ("{a: x, b: ''}", "my.j2: the choice for label 'b' is empty; give it a word under"),
        ("{a: x, b: x}", "my.j2: labels 'a' and 'b' give the same choice ' x'; give each its own"),
    ],
)
def test_choice_errors(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        classify(tmp_path, labels).choices()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("mode", "labels", "ends"),
    [
        ("auto", "[email query, email querycontact]", ["\n", ""]),
        ("auto", "[email querycontact, email send, email query]", ["", "", "\n"]),
        ("auto", "[a, ab, abc, b]", ["\n", "\n", "", ""]),
        ("auto", "[email query, querycontact, mail]", ["", "", ""]),
        ("never", "[email query, email querycontact]", ["", ""]),
        ("always", "[a, b]", ["\n", "\n"]),
    ],
)
def test_choice_end(tmp_path: Path, mode: str, labels: str, ends: list[str]) -> None:
    template = classify(tmp_path, labels, more=f"choice_end: {mode}\n")
    assert [choice.end for choice in template.choices()] == ends


def test_choice_end_is_the_first_stop_or_a_newline(tmp_path: Path) -> None:
    text = CLASSIFY.format(labels="[a, ab]", instruction="", more="")
    for stop, end in (('["\\n"]', "\n"), ('[";", "\\n"]', ";"), ("[]", "\n")):
        template = load(tmp_path, text.replace('["\\n"]', stop))
        assert [choice.end for choice in template.choices()] == [end, ""]


def test_the_hash_covers_what_changes_a_prompt(tmp_path: Path, library: Path) -> None:
    def made(labels: str = "{a: x, b: y}", instruction: str = "I", **options: Any) -> str:
        return classify(tmp_path, labels, instruction, "fallback: en\n", **options).hash

    word = "{{ words.utterance }}"
    hashes = [
        made(),
        made(instruction="J"),
        made(labels="{a: x, b: z}"),
        made(language_tag="de"),
        made(labels="mood/two"),
        made(labels="mood/two", label_language="de"),
        made(instruction=word),
        made(instruction="{{ words[utt] }}"),
    ]
    assert len(set(hashes)) == len(hashes)
    assert made() == hashes[0] and len(hashes[0]) == 64
    text = CLASSIFY.format(labels="", instruction="", more="")
    orders = {load(tmp_path, text, label_set=order).hash for order in (["a", "b"], ["b", "a"])}
    assert len(orders) == 2, "the order of the labels is seen by instruction and choices"


def test_the_hash_changes_with_words_used_and_no_others(tmp_path: Path, library: Path) -> None:
    def made(instruction: str) -> str:
        return classify(tmp_path, "{a: x, b: y}", instruction).hash

    sources = {"one": "{{ words.utterance }}", "any": "{{ words[utt] }}", "none": "I"}
    words = {"utterance": {"en": "Utterance"}, "dog": {"en": "Dog"}}
    before = {name: made(source) for name, source in sources.items()}
    write_words(library, {**words, "dog": {"en": "Hound"}})
    unused = {name: made(source) for name, source in sources.items()}
    assert unused["one"] == before["one"] and unused["none"] == before["none"]
    assert unused["any"] != before["any"], "a word chosen by the row may be any of them"
    write_words(library, {**words, "utterance": {"en": "Speech"}})
    used = {name: made(source) for name, source in sources.items()}
    assert used["one"] != before["one"] and used["none"] == before["none"]


def test_a_template_is_made_again_from_what_a_run_keeps(tmp_path: Path, library: Path) -> None:
    made = classify(tmp_path, "mood/two", "{{ words.dog }}", "fallback: en\n", language_tag="de")
    kept = TemplateCopy(
        made.name, made.file.text, made.language, made.words, made.labels, made.fallbacks
    )
    (tmp_path / "my.j2").unlink()
    write_words(library, {})
    again = restore(kept)
    assert again.hash == made.hash and again.fallbacks == ("dog",)
    assert again.choices() == made.choices()
    assert again.prompt(example(0)) == made.prompt(example(0))
