"""The screen as an experiment: what it shows is what ``icl run`` of its export sends."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from icl.conditions import build
from icl.config import load_experiment, points
from icl.engines.table import TableEngine, Uncounted
from icl.errors import ConfigError, DataError, EngineError, IclError, StoreError, TemplateError
from icl.loader import Loader
from icl.run import run
from icl.store import ConditionStore
from icl.types import Choice, Prompt, Sampling, Token
from icl.ui import launch, state
from icl.ui.model import Opening, stream
from icl.ui.state import Screen, Workplace

TABLE = {"engine": "table", "default": "hash"}
OWN = """---
task: generate
---
[[example]]
{{ source_language }}> {{ source }}  
{{ target_language }}>||| {{ target }}

"""  # noqa: W291 - white space at a line's end is sent


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workplace]:
    made = Workplace(TABLE, tmp_path)
    yield made
    made.sandbox.close()


def screen(base: Path, name: str, **changes: object) -> Screen:
    made = Screen(name, "", **changes)  # type: ignore[arg-type]
    return replace(made, text=state.template_text(name, made.spoken, base))


def screens(base: Path) -> list[Screen]:
    """Every selector, k, locale, seed and word language at least once, a row of its own each."""
    state.save_template(base, "own", OWN, "prompts-mine/own.j2")
    made = []
    turns = itertools.cycle(itertools.product(state.SELECTORS, (0, 1, 5), (0, 7), ("en", "row")))
    for number in range(6):
        for name in ("intent/plain", "intent/native", "intent/instructed"):
            select, k, seed, words = next(turns)
            locale = ("en-US", "sw-KE", "de-DE")[number % 3]
            made.append(screen(base, name, locale=locale, row=1 + 13 * number, select=select, k=k,
                               seed=seed, words=words))  # fmt: skip
        for name in ("translation/plain", "translation/native", "prompts-mine/own.j2"):
            select, k, seed, words = next(turns)
            if select == "balanced":
                select = "bm25"  # every line is a label of its own
            made.append(screen(base, name, data="samples/translation", target="swh_Latn",
                               row=1 + 17 * number, select=select, k=k, seed=seed, words=words,
                               max_tokens=8 + number))  # fmt: skip
    return made


def test_the_export_sends_the_same_bytes(work: Workplace) -> None:
    listed = screens(work.base)
    assert state.template_text("prompts-mine/own.j2", "en", work.base) == OWN
    for number, one in enumerate(listed):
        here = work.condition(one)
        asked = here.request(here.examples[0])
        file = work.base / "playground.yaml"
        file.write_text(work.export(one), "utf-8")
        experiment = load_experiment(file)
        (point,) = points(experiment)
        there = build(point, Loader(experiment))
        (row,) = there.examples
        again = there.request(row)
        assert again.prompt == asked.prompt, one
        assert again.prompt.text.encode("utf-8") == asked.prompt.text.encode("utf-8")
        assert (again.hash, there.fingerprint) == (asked.hash, here.fingerprint)
        assert len(asked.shots) == one.k
        if number % 9 == 0:
            done = run(file, work.base / "runs")
            store = ConditionStore(work.base / "runs" / "conditions" / here.folder)
            (record,) = store.records().values()
            assert record.request == asked.hash
            assert list(done.conditions[0].ids) == [asked.example.id]


def test_an_edited_template_is_exported_only_once_saved(work: Workplace) -> None:
    first = screen(work.base, "intent/plain")
    edited = replace(first, text=first.text.replace("Utterance", "Say"))
    assert "name: playground" in work.export(first)
    assert "Save it under a name" in work.export(edited)
    assert all(line.startswith("#") for line in work.export(edited).splitlines())
    condition = work.condition(edited)
    assert condition.request(condition.examples[0]).prompt.query.startswith("Say: ")
    name = state.save_template(work.base, "mine", edited.text, edited.name)
    saved = replace(edited, name=name)
    assert "prompts-mine/mine.j2" in work.export(saved)
    assert work.condition(saved).template.hash == condition.template.hash


def test_an_edited_template_does_not_stay(work: Workplace) -> None:
    first = screen(work.base, "intent/plain")
    work.condition(replace(first, text=first.text.replace("Utterance", "Say")))
    condition = work.condition(first)
    assert condition.request(condition.examples[0]).prompt.query.startswith("Utterance: ")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"row": 1000}, DataError, r"lines \[1000, 1000\] are asked for, but there are 164 rows"),
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
    work: Workplace, changes: dict[str, object], kind: type[IclError], message: str
) -> None:
    one = replace(screen(work.base, "intent/plain"), **changes)
    with pytest.raises(kind, match=message) as caught:
        condition = work.condition(one)
        condition.request(condition.examples[0])
    assert "\n" not in str(caught.value)


def test_a_missing_field_says_line_and_fields(work: Workplace) -> None:
    first = screen(work.base, "intent/plain")
    one = replace(first, text=first.text.replace("utt }}", "uttt }}"))
    condition = work.condition(one)
    with pytest.raises(TemplateError, match=r"plain:12: 'uttt' is undefined\. Did you mean 'utt'"):
        condition.request(condition.examples[0])


def test_a_translation_row_is_none_of_the_pool(work: Workplace) -> None:
    one = screen(work.base, "translation/plain", data="samples/translation", row=121)
    with pytest.raises(DataError, match="has the rows 1 to 120"):
        work.condition(one)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "a\\b", "/etc/x", ".hidden", "a b", "x" * 65, "a\0b", "a.j2.j2"]
)
def test_names_that_are_no_plain_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a template; accepted: up to 64 letters"):
        state.save_template(tmp_path, name, "x", "")
    assert not list(tmp_path.rglob("*"))


def test_only_the_open_template_is_written_over(tmp_path: Path) -> None:
    made = state.save_template(tmp_path, "größe.j2", "a\n", "intent/plain")
    assert made == "prompts-mine/größe.j2"
    with pytest.raises(StoreError, match="is there already; open it from the list"):
        state.save_template(tmp_path, "größe", "b\n", "intent/plain")
    assert (tmp_path / made).read_text("utf-8") == "a\n"
    assert state.save_template(tmp_path, "größe", "b\n", made) == made
    assert (tmp_path / made).read_text("utf-8") == "b\n"
    assert state.template_choices(tmp_path)[0] == made
    outside = tmp_path / "outside.j2"
    outside.write_text("o")
    (tmp_path / "prompts-mine" / "link.j2").symlink_to(outside)
    with pytest.raises(StoreError, match="a link to another place"):
        state.save_template(tmp_path, "link", "x", "prompts-mine/link.j2")
    with pytest.raises(StoreError, match="65,536 are accepted"):
        state.save_template(tmp_path, "big", "x" * 70_000, "")
    assert outside.read_text() == "o"


def test_only_templates_of_the_list_are_opened(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("secret")
    for name in ("x.j2", "../x.j2", "prompts-mine/../x.j2", "/etc/passwd", "intent/nope"):
        with pytest.raises(TemplateError, match="unknown template"):
            state.template_text(name, "en", tmp_path)


def test_pieces_are_the_prompt_and_tokens_add_up(work: Workplace) -> None:
    for one in screens(work.base)[:3]:
        condition = work.condition(one)
        prompt = condition.request(condition.examples[0]).prompt
        assert "".join(text for text, _ in state.spans(prompt)) == prompt.text
        counts = state.part_counts(prompt, condition.engine.tokens(prompt))
        assert sum(counts.values()) == condition.count(prompt)
    prompt = Prompt("q q", "do it", (("in a", " b"), ("in c", " d")), system="sys")
    assert state.spans(prompt) == [
        ("sys", "instruction"), ("\n\n", None), ("do it", "instruction"), ("\n\n", None),
        ("in a", "shot input"), (" b", "shot target"), ("\n\n", None),
        ("in c", "shot input"), (" d", "shot target"), ("\n\n", None), ("q q", "query"),
    ]  # fmt: skip
    tokens = [Token(0, "", 0, 0), *TableEngine().tokens(prompt)]
    assert state.part_counts(prompt, tokens) == {
        "special": 1, "instruction": 4, "shots": 6, "query": 1,
    }  # fmt: skip
    alone = Prompt("q")
    assert state.part_counts(alone, TableEngine().tokens(alone))["query"] == 1


def test_a_prompt_is_not_counted_before_the_tokenizer_is_open(work: Workplace) -> None:
    condition = work.condition(screen(work.base, "intent/plain", k=8))
    small = replace(condition, engine=TableEngine(default="hash", window=60))
    assert small.request(small.examples[0]).prompt.dropped
    free = replace(condition, engine=Uncounted(window=10**9))
    asked = free.request(free.examples[0])
    assert (asked.tokens, asked.prompt.dropped, len(asked.shots)) == (0, (), 8)


def test_bars_are_probabilities_of_the_choices() -> None:
    choices = [Choice(label, f" {label}") for label in "abc"]
    assert state.bars(choices, [-1002.0, -1000.0, -1000.0]) == [
        ("b", pytest.approx(0.4683, abs=1e-4)),
        ("c", pytest.approx(0.4683, abs=1e-4)),
        ("a", pytest.approx(0.0634, abs=1e-4)),
    ]


def test_text_for_a_browser() -> None:
    assert state.shown("a\ud800b\udc00") == "a\ufffdb\ufffd"
    assert state.shown("\ud83d\ude42") == "🙂"
    assert state.shown("x" * 200_000) == "x" * 100_000 + "… (100,000 more characters)"
    assert state.shown("\0<script>\u202e") == "\0<script>\u202e"


class Slow(TableEngine):
    """Writes words for a long time, unless it is stopped."""

    def generate(self, prompts, sampling, on_token=None, stop=None):  # type: ignore[no-untyped-def]
        for n in range(1000):
            if stop is not None and stop.is_set():
                break
            time.sleep(0.01)
            on_token(0, f" {n}")
        yield from TableEngine({"q": " end"}).generate(prompts, sampling)


def test_a_stream_tells_of_its_text_and_stops() -> None:
    stop = threading.Event()
    told = []
    for made in stream(Slow(), Prompt("q"), Sampling(), stop, every_s=0.05):
        told.append(made)
        if len(told) == 4:
            stop.set()
    assert [one.output is not None for one in told] == [False] * (len(told) - 1) + [True]
    assert len(told) <= 6
    assert told[3].text.startswith(" 0 1 2")
    assert told[-1].text == " end"


def test_closing_a_stream_frees_the_engine() -> None:
    stop = threading.Event()
    made = stream(Slow(), Prompt("q"), Sampling(), stop, every_s=0.05)
    next(made)
    began = time.perf_counter()
    made.close()
    assert time.perf_counter() - began < 1
    assert stop.is_set()
    assert not [t for t in threading.enumerate() if t.name.startswith("generate")]


def test_a_stream_raises_what_the_engine_raised() -> None:
    with pytest.raises(EngineError, match="the table has no text"):
        list(stream(TableEngine(), Prompt("q"), Sampling(), threading.Event()))


class Broken(TableEngine):
    """Cannot be opened."""

    def tokens(self, prompt: Prompt) -> list[Token]:
        raise EngineError("no such model")


def test_a_model_opens_once_and_says_why_it_cannot() -> None:
    opening = Opening()
    opening.begin(Broken())
    wait(opening)
    assert (opening.open, opening.failure) == (False, "no such model")
    opening.begin(TableEngine())
    wait(opening)
    assert (opening.open, opening.failure) == (True, None)
    opening.begin(Broken())
    wait(opening)
    assert opening.failure is None


def wait(opening: Opening) -> None:
    for _ in range(200):
        if not opening.busy:
            return
        time.sleep(0.01)
    pytest.fail("still busy")


def test_a_host_that_others_reach_needs_a_password() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert launch.check_host(host, None) is None
    for host in ("0.0.0.0", "192.168.1.2", "::", "example.org"):
        with pytest.raises(ConfigError, match=r"set ICL_APP_AUTH=NAME:PASSWORD, or leave out"):
            launch.check_host(host, None)
        assert launch.check_host(host, "me:a:b") == ("me", "a:b")
    with pytest.raises(ConfigError, match="must be NAME:PASSWORD"):
        launch.check_host("127.0.0.1", "me")


def test_a_port_that_is_taken_is_said() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}"):
            launch.find_port("127.0.0.1", port)
    assert launch.find_port("127.0.0.1", None) >= launch.FIRST_PORT


def icl(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'icl'; from icl.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_refuses_an_open_host_in_one_line() -> None:
    told = icl("app", "--host", "0.0.0.0")
    assert told.returncode == 2
    assert told.stderr.startswith("icl: other machines can reach 0.0.0.0, so a password is needed")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.skipif(importlib.util.find_spec("gradio") is not None, reason="Gradio is here")
def test_without_gradio_the_extra_is_named() -> None:
    told = icl("app")
    assert "pip install 'icl-workbench[app]'" in told.stderr


def test_what_knows_nothing_of_the_web_loads_no_gradio() -> None:
    code = (
        "import sys, icl.ui.state, icl.ui.model, icl.ui.launch; "
        "print([m for m in ('gradio', 'torch', 'transformers', 'pandas') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
