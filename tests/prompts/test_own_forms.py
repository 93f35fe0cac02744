from pathlib import Path

import pytest

from icl.core.errors import ConfigError, TemplateError
from icl.prompts.own_forms import OwnForms, name_form, read_forms
from icl.prompts.template import load_template

FINNISH = {"utterance": {"fi": "Lausuma"}, "intent": {"fi": "Aikomus"}}


def own_file(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text, "utf-8")
    return file


def test_own_words_lie_over_those_of_the_library():
    own = OwnForms(words={"utterance": {"xh": "Intetho"}, "intent": {"en": "Aim"}})
    made = load_template("intent/native", language_tag="xh-ZA", own=own)
    assert made.words == {
        "utterance": "Intetho",
        "intent": "Aim",
        "name_the_intent": load_template("intent/native").words["name_the_intent"],
    }
    assert {"intent", "name_the_intent"} <= {*made.fallbacks}  # counted
    assert "utterance" not in made.fallbacks
    assert load_template("intent/native").words["intent"] == "Intent"  # elsewhere as before


def test_own_labels_of_one_table_or_of_every_template():
    for table in ("", "massive/intents"):
        own = OwnForms(labels={table: {"alarm_set": {"xh": "misela i-alamu"}}})
        made = load_template("intent/native", language_tag="xh", own=own)
        assert made.labels["alarm_set"] == "misela i-alamu"
        assert made.labels["alarm_query"] == "alarm query"
        assert len([one for one in made.fallbacks if one in made.labels]) == 59
    elsewhere = OwnForms(labels={"sentiment": {"alarm_set": {"xh": "x"}}})
    assert load_template("intent/native", own=elsewhere).labels["alarm_set"] == "alarm set"


def test_own_names_of_labels_that_a_template_lists_without_any(tmp_path: Path):
    text = "---\ntask: classify\nlabels: [good, bad]\n---\n{{ text }}:||| {{ label }}\n"
    (tmp_path / "t.j2").write_text(text)
    own = OwnForms(labels={"": {"good": {"fi": "hyvä"}}})
    made = load_template("t.j2", base=str(tmp_path), language_tag="fi", own=own)
    assert (made.labels, made.fallbacks) == ({"good": "hyvä", "bad": "bad"}, ("bad",))
    with pytest.raises(TemplateError) as caught:
        load_template("t.j2", base=str(tmp_path), own=OwnForms(labels={"": {"goood": {"fi": "x"}}}))
    assert str(caught.value) == (
        f"{tmp_path}/t.j2: `labels:` of the experiment names 'goood', which is no label here. Did "
        "you mean 'good'? There are: bad, good; a file for one table alone is given as "
        "`labels: {massive/intents: my_labels.yaml}`"
    )


@pytest.mark.parametrize(
    ("tag", "key"),
    [
        ("fin_Latn", "fi"),
        ("fi-FI", "fi"),
        ("zh-CN", "zh"),
        ("zh-TW", "zh-Hant"),
        ("srp_Latn", "sr-Latn"),
        ("srp_Cyrl", "sr"),
        ("tl-PH", "fil"),
    ],
)
def test_names_of_forms(tag, key):
    assert name_form(tag) == key


def test_another_script_has_its_own_form_and_else_the_usual_one_is_counted():
    own = OwnForms(words={**FINNISH, "utterance": {"zh": "话语", "zh-Hant": "話語"}})
    both = load_template("intent/native", language_tag="zh-TW", own=own)
    assert both.words["utterance"] == "話語"
    assert "utterance" not in both.fallbacks
    usual = OwnForms(words={"utterance": {"zh": "话语"}})
    made = load_template("intent/native", language_tag="zh-TW", own=usual)
    assert made.words["utterance"] == "话语"
    assert "utterance" in made.fallbacks


def test_a_file_in_any_spelling_of_languages(tmp_path: Path):
    file = own_file(tmp_path, "words:\n  utterance: {fin_Latn: Lausuma, de-DE: Satz}\n")
    assert read_forms(file, "words") == {"utterance": {"fi": "Lausuma", "de": "Satz"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("utterance: {fi: x}", "the key `words:` is missing or empty; write it as in `words: {ut"),
        ("words: [a]", "the key `words:` is missing or empty"),
        ("words: {utterance: Lausuma}", "'utterance' has 'Lausuma' where forms by language belong"),
        ("words: {no: {fi: ei}}", "False has {'fi': 'ei'} where forms by language belong"),
        ("words: {utterance: {no: Ytring}}", "utterance: a language reads as false in YAML; put"),
        ("words: {utterance: {suomi kieli: x}}", "'suomi kieli' is not the tag of a language"),
        ("words: {utterance: {fi: }}", "utterance: the form None is no text; put it in quotes, or"),
        ("words: {utterance: {fi: [x]}}", "utterance: the form ['x'] is no text"),
        ("words: {a: {fi: x}, a: {fi: y}}", "cannot be read as YAML: the key 'a' appears twice"),
    ],
)
def test_files_of_another_shape(tmp_path: Path, text, told):
    with pytest.raises(ConfigError) as caught:
        read_forms(own_file(tmp_path, text), "words")
    assert told in str(caught.value)


def test_a_missing_file_and_a_changed_one(tmp_path: Path):
    with pytest.raises(ConfigError, match="words: there is no file .*none.yaml .No such file"):
        read_forms(tmp_path / "none.yaml", "words")
    file = own_file(tmp_path, "words: {utterance: {fi: a}}")
    assert read_forms(file, "words")["utterance"] == {"fi": "a"}
    file.write_text("words: {utterance: {fi: b}}")
    assert read_forms(file, "words")["utterance"] == {"fi": "b"}
