"""Every template of the library renders, leaks nothing, and says where it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from icl.core.registry import lookup
from icl.core.types import JSON, Example, Shot
from icl.metrics import make_metric
from icl.prompts.template import Template, load_template
from icl.prompts.template_file import GOLD, SECTIONS, FrontMatter, find_library, list_templates

SAMPLES = Path(__file__).parents[2] / "samples"
CANARY = "qx7-canary"
TAGS = ("en", "de", "es", "fr", "hi", "sw")
NAMES = list_templates()
LABELS = sorted(path for path in (find_library() / "labels").rglob("*.yaml"))


def table(path: Path, key: str) -> dict[str, dict[str, str]]:
    return yaml.safe_load(path.read_text("utf-8"))[key]


def intent_rows() -> list[Example]:
    lines = (SAMPLES / "intent" / "en-US.jsonl").read_text("utf-8").splitlines()[:4]
    rows = [json.loads(line) for line in lines]
    return [
        Example(
            row["id"],
            {name: row[name] for name in ("utt", "intent", "scenario", "annot_utt")},
            (row["intent"],),
            {"locale": row["locale"]},
            ("intent", "scenario", "annot_utt"),
        )
        for row in rows
    ]


def translation_rows() -> list[Example]:
    sides = [
        (SAMPLES / "translation" / f"{tag}.txt").read_text("utf-8").splitlines()[:4]
        for tag in ("eng_Latn", "swh_Latn")
    ]
    meta = {"source": "eng_Latn", "target": "swh_Latn", "locale": "swh_Latn"}
    return [
        Example(str(i), {"source": source, "target": target}, (target,), meta, ("target",))
        for i, (source, target) in enumerate(zip(*sides, strict=True))
    ]


def sample_rows(kind: str, answer: str, *gold: str) -> list[Example]:
    """The first rows of a sample set as its reader and ``label_field`` make them."""
    file = next((SAMPLES / kind).glob("*.jsonl"))
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()[:4]]
    made = []
    for row in rows:
        fields = {name: value for name, value in row.items() if name not in ("id", "split")}
        held = row[answer]
        many = held if isinstance(held, list) else [held]
        targets = [json.dumps(one) if not isinstance(one, str) else one for one in many]
        made.append(Example(row["id"], fields, tuple(targets), {}, (answer, *gold)))
    return made


def slot_rows() -> list[Example]:
    lines = (SAMPLES / "slots" / "en-US.jsonl").read_text("utf-8").splitlines()[:4]
    template = load_template("slots/frame")
    made = []
    for row in map(json.loads, lines):
        fields = {name: row[name] for name in ("utt", "intent", "scenario", "annot_utt")}
        gold = ("intent", "scenario", "annot_utt")
        made.append(template.with_answer(Example(row["id"], fields, (), {"locale": "en"}, gold)))
    return made


ROWS = {
    "intent": intent_rows(),
    "translation": translation_rows(),
    "summarization": sample_rows("summarization", "references", "summary"),
    "sentiment": sample_rows("sentiment", "label"),
    "choose": sample_rows("choose", "label"),
    "extract": sample_rows("extract", "entities"),
    "generate": sample_rows("generate", "answers"),
    "opposites": sample_rows("opposites", "opposites"),
    "emotions": sample_rows("emotions", "emotions"),
    "slots": slot_rows(),
    "inflection": sample_rows("inflection", "form"),
}
ROWS["judge"] = [
    replace(
        row,
        fields={**row.inputs, "output": "Habari.", "reference": row.targets[0]},
        targets=("yes",),
        gold=(),
    )
    for row in ROWS["translation"]
]
KINDS = {
    "intent": "classify",
    "sentiment": "classify",
    "judge": "classify",
    "choose": "choose",
    "extract": "extract",
    "emotions": "labels",
    "slots": "slots",
    "inflection": "inflection",
}


def without_gold(example: Example) -> Example:
    shown = {name: value for name, value in example.fields.items() if name not in example.gold}
    return Example(example.id, shown, (), example.meta)


def with_canary(example: Example) -> Example:
    fields = {**example.fields, **dict.fromkeys(example.gold, CANARY)}
    return Example(example.id, fields, (CANARY,), example.meta, example.gold)


def bound() -> Iterator[tuple[str, str]]:
    """(template, language) for every language that a template has all words and labels in."""
    intents = table(find_library() / "labels" / "massive" / "intents.yaml", "labels")
    labelled = set.intersection(*(set(forms) for forms in intents.values()))
    for name in NAMES:
        strict = name.startswith("intent/") and name != "intent/native"
        yield from ((name, tag) for tag in TAGS if not strict or tag in labelled)


BOUND = list(bound())


def prompts(template: Template, query: Example, k: int) -> tuple[str, list[str]]:
    pool = [row for row in ROWS[template.name.split("/")[0]] if row.id != query.id]
    prompt = template.prompt(query, [Shot(example) for example in pool[:k]])
    return prompt.text, [target for _, target in prompt.shots]


def test_the_library_has_the_templates_that_are_promised() -> None:
    for name in ("plain", "short", "question", "instructed", "native"):
        assert f"intent/{name}" in NAMES
    for name in ("plain", "labelled", "arrow", "instructed", "native"):
        assert f"translation/{name}" in NAMES
    for name in ("plain", "tldr", "instructed", "native"):
        assert f"summarization/{name}" in NAMES
    assert {name.split("/")[0] for name in NAMES} == set(ROWS), "a template for every kind"
    assert {name for name, _ in BOUND} == set(NAMES)
    assert {("intent/plain", "sw"), ("intent/plain", "hi")} <= set(BOUND)


@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize(("name", "tag"), BOUND)
def test_every_template_renders(name: str, tag: str, k: int) -> None:
    template = load_template(name, language_tag=tag)
    query = ROWS[name.split("/")[0]][0]
    text, targets = prompts(template, query, k)
    assert len(targets) == k
    assert text == text.rstrip(), "a trailing space of the query changes its tokens"
    assert "{{" not in text and "|||" not in text and "None" not in text
    assert text == prompts(load_template(name, language_tag=tag), query, k)[0]
    for target in targets:
        assert target[0] == " " and target[1:] == target.strip(), "one space, then the answer"
        assert not any(stop in target for stop in template.file.stop)
        assert target in text


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize(("name", "tag"), BOUND)
def test_the_answer_of_the_query_is_never_shown(name: str, tag: str, k: int) -> None:
    template = load_template(name, language_tag=tag)
    query = ROWS[name.split("/")[0]][0]
    text, _ = prompts(template, query, k)
    assert prompts(template, without_gold(query), k)[0] == text, "rows without gold render alike"
    hidden, _ = prompts(template, with_canary(query), k)
    assert CANARY not in hidden and hidden == text


@pytest.mark.parametrize("name", NAMES)
def test_every_template_says_what_it_is(name: str) -> None:
    file = load_template(name).file
    assert file.head.about and "\n" not in file.head.about
    assert file.head.source.endswith(".") and len(file.head.source) > 20
    assert file.stop
    # What follows an answer in a shot must begin with the stop, else a model cannot learn to end.
    assert file.separator.startswith(file.stop[0])
    assert file.kind.name == KINDS.get(name.split("/")[0], "generate")
    spans = [half.fits for half in (file.input, file.query) if half is not None]
    assert any(spans) == name.startswith("summarization/"), "a document may shrink"


@pytest.mark.parametrize(("name", "tag"), [b for b in BOUND if b[0].startswith("intent/")])
def test_choices_are_the_sixty_intents(name: str, tag: str) -> None:
    template = load_template(name, language_tag=tag)
    choices = template.choices()
    assert len(choices) == len({choice.text for choice in choices}) == 60
    assert [choice.label for choice in choices] == sorted(choice.label for choice in choices)
    assert not any(stop in choice.text for choice in choices for stop in template.file.stop)


def test_intents_of_massive_in_english_are_its_labels_with_spaces() -> None:
    intents = table(find_library() / "labels" / "massive" / "intents.yaml", "labels")
    lines = (SAMPLES / "intent" / "en-US.jsonl").read_text("utf-8").splitlines()
    assert list(intents) == sorted({json.loads(line)["intent"] for line in lines})
    assert {label: forms["en"] for label, forms in intents.items()} == {
        label: label.replace("_", " ") for label in intents
    }


def test_label_tables_match_the_public_data() -> None:
    path = Path(__file__).parents[2].parent / "shared/data/massive/data/sw-KE.jsonl"
    if not path.is_file():
        pytest.skip("the MASSIVE sample is not beside this checkout")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    intents = table(find_library() / "labels" / "massive" / "intents.yaml", "labels")
    assert {row["intent"] for row in rows} <= set(intents)


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_label_words_are_distinct_in_every_language(path: Path) -> None:
    labels = table(path, "labels")
    assert yaml.safe_load(path.read_text("utf-8"))["about"]
    for tag in {tag for forms in labels.values() for tag in forms}:
        words = [forms[tag] for forms in labels.values()]
        assert len({word.casefold() for word in words}) == len(labels)
        assert all(word == word.strip() and word for word in words)


WORDS_IN = [
    *("cy", "da", "de", "en", "es", "fi", "fr", "hi", "id", "it", "ja", "ko", "nb", "nl", "pl"),
    *("pt", "ru", "sv", "sw", "tr", "zh"),
]
INTENTS_IN = ["cy", "de", "en", "es", "fr", "hi", "id", "sw", "tr", "zh"]


def test_intents_have_names_in_the_languages_that_are_promised() -> None:
    intents = table(find_library() / "labels" / "massive" / "intents.yaml", "labels")
    assert [label for label, forms in intents.items() if sorted(forms) != INTENTS_IN] == []


@pytest.mark.parametrize("name", ["words.yaml", "labels/massive/intents.yaml"])
def test_each_language_says_who_wrote_its_forms(name: str) -> None:
    read = yaml.safe_load((find_library() / name).read_text("utf-8"))
    forms = (read.get("words") or read["labels"]).values()
    assert {tag for one in forms for tag in one} == set(read["written_by"])
    assert all("unchecked" in read["written_by"][tag] for tag in ("sw", "hi", "zh"))


def test_words_have_all_languages_that_are_promised() -> None:
    path = find_library() / "words.yaml"
    words = table(path, "words")
    assert "unchecked" in yaml.safe_load(path.read_text("utf-8"))["about"]
    for word, forms in words.items():
        assert set(TAGS) <= set(forms), word
        assert word in ("cause", "effect") or set(WORDS_IN) <= set(forms), word
        assert all(isinstance(text, str) and text.strip() == text for text in forms.values()), word


def test_known_prompts() -> None:
    """The forms of the papers, letter by letter."""
    one, two, *_ = translation_rows()
    intents = {example.fields["utt"]: example for example in intent_rows()}
    first, second, *_ = intents.values()
    known = {
        "translation/plain": (
            f"English: {one.fields['source']}\nSwahili: {one.targets[0]}\n\n"
            f"English: {two.fields['source']}\nSwahili:"
        ),
        "translation/labelled": (
            f"Sentence: {one.fields['source']}; Translation in Swahili: {one.targets[0]}; "
            f"Sentence: {two.fields['source']}; Translation in Swahili:"
        ),
        "translation/arrow": (
            f"{one.fields['source']} = {one.targets[0]}\n{two.fields['source']} ="
        ),
    }
    for name, text in known.items():
        assert load_template(name).prompt(two, [Shot(one)]).text == text
    assert load_template("intent/plain").prompt(second, [Shot(first)]).text == (
        "Name the intent of each utterance to a voice assistant.\n\n"
        "Utterance: another one that joke was great\nIntent: general joke\n\n"
        "Utterance: two burgers to go please from the diner\nIntent:"
    )
    assert load_template("intent/native", language_tag="de").prompt(second).text == (
        "Nenne die Absicht jeder Äußerung an einen Sprachassistenten.\n\n"
        "Äußerung: two burgers to go please from the diner\nAbsicht:"
    )


DOCS = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text("utf-8")
BLOCKS = re.findall(r"^```jinja\n(.*?)^```$", DOCS, re.M | re.S)
FIELDS: dict[str, JSON] = {
    **{name: name for name in ("utt", "text", "source", "distance", "unit", "premise")},
    "consequence": "He fell.",
    "hints": [{"word": "w", "senses": ["a", "b"]}],
    "slots": {"time": "明日"},
    **{"question": "cause", "choice1": "A fell.", "choice2": "B rose."},
}
META = {"source": "eng_Latn", "target": "swh_Latn", "locale": "sw-KE"}


@pytest.mark.parametrize("text", BLOCKS, ids=range(len(BLOCKS)))
def test_the_examples_of_the_documentation_render(text: str, tmp_path: Path) -> None:
    (tmp_path / "doc.j2").write_text(text, "utf-8")
    template = load_template("doc.j2", base=str(tmp_path))
    classify = template.file.kind.labels == "shared"
    answer = next(iter(template.labels), "0")
    shot = Example("s", FIELDS, (answer,), META, ("unit",))
    prompt = template.prompt(Example("q", FIELDS, (), META), [Shot(shot)])
    assert prompt.query and prompt.query == prompt.query.rstrip()
    assert prompt.shots[0][1].startswith(" ")
    assert not classify or len(template.choices()) > 1


def test_the_documentation_shows_the_library_as_it_is() -> None:
    assert len(BLOCKS) >= 7
    for name in ("intent/plain", "intent/native"):
        body = (find_library() / f"{name}.j2").read_text("utf-8").split("\n---\n", 1)[1]
        assert any(block.endswith(body) for block in BLOCKS), name
    first, second, *_ = intent_rows()
    assert load_template("intent/plain").prompt(second, [Shot(first)]).text in DOCS
    for name in NAMES:
        assert f"| `{name}` |" in DOCS


def test_the_documentation_names_every_key_section_and_reserved_name() -> None:
    keys = re.findall(
        r"^\| `(\w+)` \|.*\|.*\|$", DOCS.split("## Front matter")[1].split("##")[0], re.M
    )
    assert keys and set(keys) == {field.name for field in fields(FrontMatter)}
    for name in SECTIONS:
        assert f"| `[[{name}]]` |" in DOCS
    for name in {*GOLD, "labels", "words", "prompt_language", "language", "source_language"}:
        assert re.search(rf"^\| `{name}`", DOCS, re.M), name


def test_the_documentation_of_metrics_names_every_metric_option_and_signature() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    text = (root / "docs" / "metrics.md").read_text("utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    for name in project["entry-points"]["icl.metric"]:
        line = re.search(rf"^\|.*`{name}`.*\|$", text, re.M)
        assert line, name
        for option in fields(lookup("metric", name)):
            known = option.name in ("folder", "title") or f"`{option.name}`" in line[0]
            assert known, f"{name}: {option.name}"
        if name not in ("command", "bleu", "chrf", "judge", "ter"):
            settings = lookup("metric", name)().stats([], []).signature
            shown = settings.replace(name, "rougeL") if name.startswith("rouge") else settings
            assert f"(`{shown}`)" in text
    for entries in re.findall(r"^metrics:.*?(?=^```)", text, re.M | re.S):
        for entry in yaml.safe_load(entries)["metrics"]:
            make_metric(entry)
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        compile(code, "docs/metrics.md", "exec")
