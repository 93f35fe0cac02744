"""A screen shows what ``icl run`` of its export sends, byte for byte."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, DataError, IclError, StoreError, TemplateError
from icl.engines.table import TableEngine, UncountedEngine
from icl.experiment.condition import Condition, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.records.store import ConditionStore
from icl.running.run import run
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.template_files import save_template
from icl.workbench.workbench import Workbench
from tests.table_experiment import write
from tests.workbench.conftest import TABLE, screen, used

OWN = """---
task: generate
---
[[example]]
{{ source_language }}> {{ source }}  
{{ target_language }}>||| {{ target }}

"""  # noqa: W291 - white space at a line's end is sent
TEMPLATES = {
    "samples/sentiment": "sentiment/plain",
    "samples/choose": "choose/copa",
    "samples/extract": "extract/json",
    "samples/generate": "generate/question",
    "samples/summarization": "summarization/plain",
    "samples/slots": "slots/marked",
}


def screens(work: Workbench) -> list[Screen]:
    """Every task, selector, k, locale, seed and word language at least once."""
    save_template(work.base, "own", OWN, "")
    made = []
    turns = itertools.cycle(
        itertools.product(("random", "balanced", "bm25"), (0, 1, 5), (0, 7), ("en", "row"))
    )
    for number in range(3):
        for name in ("intent/plain", "intent/native", "intent/instructed"):
            select, k, seed, words = next(turns)
            locale = ("en-US", "sw-KE", "de-DE")[number % 3]
            made.append(
                screen(
                    work,
                    name,
                    locale=locale,
                    row=1 + 13 * number,
                    select=select,
                    k=k,
                    seed=seed,
                    words=words,
                )
            )
        for name in ("translation/plain", "translation/native", "prompts/own.j2"):
            select, k, seed, words = next(turns)
            if select == "balanced":
                select = "bm25"  # every line is a label of its own
            made.append(
                screen(
                    work,
                    name,
                    data="samples/translation",
                    target="swh_Latn",
                    row=1 + 17 * number,
                    select=select,
                    k=k,
                    seed=seed,
                    words=words,
                    max_tokens=8 + number,
                )
            )
        for data, name in TEMPLATES.items():
            made.append(screen(work, name, data=data, row=1 + number, k=number, select="bm25"))
    return made


def reproduced(work: Workbench, one: Screen, name: str = "mine") -> Condition:
    """The condition that ``icl run`` builds of a saved export, compared with the screen's."""
    here = work.bind(one).condition
    asked = here.request(here.examples[0])
    file = work.write(work.export(one), name)
    experiment = load_experiment(file)
    (point,) = list_points(experiment)
    there = build(point, Loader(experiment))
    (row,) = there.examples
    again = there.request(row)
    assert again.prompt.text.encode("utf-8") == asked.prompt.text.encode("utf-8"), one
    assert (again.hash, there.fingerprint) == (asked.hash, here.fingerprint), one
    return there


def test_the_export_sends_the_same_bytes(work: Workbench) -> None:
    for number, one in enumerate(screens(work)):
        made = reproduced(work, one, f"e{number}")
        assert len(made.request(made.examples[0]).shots) == one.k
        if number % 9 == 0:
            done = run(work.base / f"e{number}.yaml", work.base / "runs")
            store = ConditionStore(work.base / "runs" / "conditions" / made.folder)
            (record,) = store.records().values()
            assert record.request == made.request(made.examples[0]).hash
            assert list(done.conditions[0].ids) == [made.examples[0].id]


def test_an_edited_template_is_exported_with_the_experiment(work: Workbench) -> None:
    first = screen(work, "intent/plain")
    edited = replace(first, text=first.text.replace("Utterance", "Say"))
    assert not work.export(first).files
    (name,) = work.export(edited).files
    assert name.startswith("prompts/plain-")
    made = reproduced(work, edited)
    assert made.request(made.examples[0]).prompt.query.startswith("Say: ")
    assert work.bind(first).condition.request(made.examples[0]).prompt.query.startswith("Utter")


@pytest.mark.parametrize(
    ("data", "name", "own", "answer"),
    [
        ("samples/intent", "intent/plain", {"utt": 'wake me\n"now" ✓'}, "alarm_set"),
        ("samples/intent", "intent/plain", {"utt": "no answer known"}, ""),
        ("samples/translation", "translation/plain", {"source": "Good day."}, "Guten Tag."),
        ("samples/translation", "translation/plain", {"source": "Good day."}, ""),
        ("samples/choose", "choose/copa",
         {"premise": "It rained.", "question": "effect", "choice1": "He sang.", "choice2": "Wet."},
         "1"),
        ("samples/extract", "extract/json", {"text": "Ann was in Rome."}, '{"person": ["Ann"]}'),
    ],
)  # fmt: skip
def test_a_typed_row_is_exported_too(
    work: Workbench, data: str, name: str, own: dict[str, str], answer: str
) -> None:
    one = screen(work, name, data=data, own=own, answer=answer, k=2, words="row")
    made = reproduced(work, one)
    (row,) = made.examples
    assert {key: row.fields[key] for key in own} == own
    assert any(row.targets) == bool(answer)  # an aligned line may be blank, never missing
    assert len(made.request(row).shots) == 2


def test_shots_by_hand_are_exported_too(work: Workbench) -> None:
    plain = screen(work, "intent/plain", select="bm25")
    ids = list(work.bind(plain).scores)
    pool = [row.id for row in work.bind(plain).condition.pool]
    extra = next(name for name in pool if name not in ids)
    hand = ShotEdits().toggle_pin(extra).remove(ids[0])
    hand = hand.move([extra, *ids[1:]], extra, 1)
    one = replace(plain, hand=hand)
    made = reproduced(work, one)
    sent = [shot.example.id for shot in made.request(made.examples[0]).shots]
    assert sent[:2] == [ids[1], extra]
    assert ids[0] not in sent and len(sent) == 3
    assert all(score is not None for score in work.bind(one).scores.values())
    none = replace(plain, k=1, hand=ShotEdits(removed=tuple(pool)))
    assert reproduced(work, none, "none").selector is None


def test_an_uploaded_file_is_a_source(work: Workbench) -> None:
    rows = [
        ("wake me", "alarm_set", "test"),
        ("play jazz", "play_music", "train"),
        ("stop", "alarm_remove", "test"),
        ("play it", "play_music", "train"),
    ]
    text = "utt,intent,split\n" + "".join(",".join(row) + "\n" for row in rows)
    name = used(work, "my rows.CSV", text)
    assert used(work, "my rows.CSV", text) == name and name.startswith("uploads/my-rows-")
    one = screen(work, "intent/plain", data=name, row=2, k=2)
    made = reproduced(work, one)
    assert made.examples[0].targets == ("alarm_remove",)
    # Rows of the split test are asked, and are never shots.
    assert [row.fields["utt"] for row in work.rows(one)] == ["wake me", "stop"]
    shots = {shot.example.fields["utt"] for shot in made.request(made.examples[0]).shots}
    assert shots == {"play jazz", "play it"}
    # The rows stay while the template is being edited, which says itself what is wrong.
    assert len(work.rows(replace(one, text="{{"))) == 2
    with pytest.raises(TemplateError):
        work.bind(replace(one, text="{{"))
    for data in ("uploads/gone.jsonl", "uploads/../../../etc/passwd.jsonl", name + ".json"):
        with pytest.raises(DataError, match="no longer here; upload the file again"):
            work.bind(replace(one, data=data))


def test_files_are_kept_within_bounds(work: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = work.keep_file("../../my <b>rows</b>.CSV", b"a,b\n1,2\n")
    assert path.name == "b-.csv" and path.is_relative_to(work.private / "tables")
    with pytest.raises(DataError, match=r"^rows.exe: no table is known .* accepted: .csv, .tsv"):
        work.keep_file("rows.exe", b"x")
    monkeypatch.setattr("icl.workbench.workbench.MOST_BYTES", 20)
    with pytest.raises(DataError, match="^rows.csv: 21 bytes; 20 are accepted, and 524,288,000 in"):
        work.keep_file("rows.csv", b"x" * 21)
    monkeypatch.setattr("icl.workbench.workbench.MOST_KEPT_BYTES", 25)
    with pytest.raises(DataError, match="^rows.csv: 20 bytes; 20 are accepted, and 25 in all"):
        work.keep_file("rows.csv", b"x" * 20)


def test_a_row_is_never_that_of_an_earlier_question(work: Workbench) -> None:
    """Typed rows and uploads have one name in every experiment, whatever they hold."""
    plain = screen(work, "intent/plain")
    for text in ("", "wake me", "play jazz"):
        seen = work.bind(replace(plain, own={"utt": text}))
        assert seen.example.fields["utt"] == text
    for text, shot in (("wake me", "play jazz"), ("lights on", "what time is it")):
        rows = f"{text},alarm_set,test\n{text}!,alarm_set,test\n{shot},qa_stock,train\n"
        name = used(work, "a.csv", f"utt,intent,split\n{rows}{shot}?,qa_stock,train\n")
        one = replace(plain, data=name, k=2)
        asked = work.bind(one).condition.request(work.bind(one).example)
        assert asked.example.fields["utt"] == text
        assert {one.example.fields["utt"] for one in asked.shots} == {shot, f"{shot}?"}


def test_the_tasks_of_an_experiment_are_sources(tmp_path: Path) -> None:
    given = load_experiment(write(tmp_path))
    work = Workbench({"t": TABLE}, given.base, tmp_path / "private", given)
    try:
        assert list(work.sources)[:2] == ["intent: rows", "translation: pairs"]
        first = work.first_screen()  # its own template: another may read fields it does not have
        assert (first.name, first.data) == ("intent.j2", "intent: rows")
        assert work.bind(first).condition.template.name == "intent.j2"
        one = screen(work, "intent.j2", data="intent: rows", row=11, k=2)
        assert len(work.rows(one)) == 12  # all of the split, though the experiment draws 10
        assert reproduced(work, one).examples[0].id == "r10"
        pairs = screen(work, "copy.j2", data="translation: pairs", source="en", target="de", row=3)
        assert reproduced(work, pairs, "pairs").examples[0].fields["source"] == "line 2 of text"
    finally:
        work.sandbox.close()


def test_nothing_is_written_over(work: Workbench) -> None:
    one = screen(work, "intent/plain")
    file = work.write(work.export(one), "mine")
    before = file.read_bytes()
    assert work.write(work.export(one), "mine") == file
    with pytest.raises(StoreError, match=r"mine.yaml exists already with other content"):
        work.write(work.export(replace(one, row=2)), "mine")
    assert file.read_bytes() == before
    for name in ("", "../x", "a b", "/etc/x"):
        with pytest.raises(ConfigError, match="cannot name an experiment; accepted: letters"):
            work.write(work.export(one), name)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"row": 1000}, DataError, r"lines \[1000, 1000\] are requested, but there are 164 rows"),
        ({"row": 0}, DataError, "1 <= first <= last is needed"),
        ({"locale": "xx-XX"}, DataError, "no locale 'xx-XX'"),
        ({"locale": None}, DataError, "massive needs a locale"),
        ({"select": "dense2"}, ConfigError, "unknown selector 'dense2'"),
        ({"data": "/etc/passwd"}, ConfigError, "unknown data '/etc/passwd'. There are: samples/"),
        ({"data": "samples/translation"}, ConfigError, "the task 'translation' needs 'generate'"),
        ({"text": "a ||| {{ b"}, TemplateError, r"intent/plain:1: "),
        ({"text": "x {{ ut }}||| {{ label }}"}, ConfigError, "is of kind 'generate'"),
    ],
)
def test_a_mistake_is_one_line(
    work: Workbench, changes: dict[str, Any], kind: type[IclError], message: str
) -> None:
    one = replace(screen(work, "intent/plain"), **changes)
    with pytest.raises(kind, match=message) as caught:
        seen = work.bind(one)
        seen.condition.request(seen.example)
    assert "\n" not in str(caught.value)


def test_a_missing_field_says_line_and_fields(work: Workbench) -> None:
    first = screen(work, "intent/plain")
    seen = work.bind(replace(first, text=first.text.replace("utt }}", "uttt }}")))
    with pytest.raises(TemplateError, match=r"plain:12: 'uttt' is undefined\. Did you mean 'utt'"):
        seen.condition.request(seen.example)


def test_a_translation_row_is_none_of_the_pool(work: Workbench) -> None:
    one = screen(work, "translation/plain", data="samples/translation", row=121)
    with pytest.raises(DataError, match="has the rows 1 to 120"):
        work.bind(one)


def test_a_line_of_parallel_text_holds_no_break(work: Workbench) -> None:
    one = screen(work, "translation/plain", data="samples/translation", own={"source": "a\nb"})
    with pytest.raises(DataError, match="a row of parallel text is one line"):
        work.bind(one)


def test_editing_holds_no_more_and_more(work: Workbench) -> None:
    first = screen(work, "intent/plain")
    for number in range(60):
        work.bind(replace(first, text=f"{first.text}{number}"))
    assert 0 < work.n_cached <= 70


def test_a_prompt_is_not_counted_before_the_tokenizer_is_open(work: Workbench) -> None:
    condition = work.bind(screen(work, "intent/plain", k=8)).condition
    small = replace(condition, engine=TableEngine(default="hash", window=60))
    assert small.request(small.examples[0]).prompt.dropped
    free = replace(condition, engine=UncountedEngine(window=10**9))
    asked = free.request(free.examples[0])
    assert (asked.tokens, asked.prompt.dropped, len(asked.shots)) == (0, (), 8)


def test_the_width_and_chat_go_into_the_models_entry(work: Workbench) -> None:
    one = Screen("x", "", model="./folder", width="int8", chat="auto")
    assert work.model(one) == {"source": "./folder", "width": "int8", "chat": "auto"}
    assert work.model(replace(one, model="t")) == TABLE  # that engine has no width
