"""The benchmarks' own code: their counts, their table, and parity on a tiny model."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import (
    first_page,
    first_report,
    page_mount,
    parity,
    prompts,
    ranking,
    results,
    shaped,
    tools,
)
from benchmarks.continuous import continuous
from benchmarks.one_tree import grown
from benchmarks.results import Options, Result, argmax_equal, command, show, unique_tokens
from benchmarks.tiny import save_tiny
from icl.core.errors import IclError
from icl.core.types import ChoiceScore, Prompt, Sampling
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.widths import Formats

RESULT = Result(
    name="10 fixed, 100",
    queries=100,
    requests=6000,
    ours_s=5.0,
    theirs_queries=20,
    theirs_s=100.0,
    ours_cpu_s=10.0,
    theirs_cpu_s=200.0,
    theirs_batch_size=8,
    max_abs_diff=2e-5,
    argmax_equal=20,
    argmax_of=20,
    forwarded_tokens=1500,
    unique_tokens=1000,
    dtype="float32",
    device="cpu",
)


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([], 0),
        ([(1,)], 0),
        ([(1, 2)], 1),
        ([(1, 2), (1, 3)], 1),
        ([(1, 2), (1, 2)], 1),
        ([(1, 2), (1, 2, 3)], 2),
        ([(1, 2, 3), (1, 4, 3)], 3),
        ([(1, 2, 3), (4, 2, 3)], 4),
    ],
)
def test_unique_tokens_are_the_nodes_with_a_child(sequences: Any, expected: int) -> None:
    assert unique_tokens(sequences) == expected


def test_unique_tokens_equals_the_set_of_all_proper_beginnings() -> None:
    rng = random.Random(0)
    for _ in range(200):
        drawn = [tuple(rng.choices(range(3), k=rng.randint(1, 6))) for _ in range(8)]
        beginnings = {ids[:end] for ids in drawn for end in range(1, len(ids))}
        assert unique_tokens(drawn) == len(beginnings)


def test_argmax_is_compared_within_each_prompt() -> None:
    of = ["a", "b", "a", "b", "c"]
    assert argmax_equal(of, [1, 5, 2, 4, 0], [1, 4, 2, 5, 0]) == (1, 2)
    assert argmax_equal(["a", "a"], [3, 3], [3, 2]) == (1, 1)


def test_ratio_is_of_seconds_a_query() -> None:
    assert RESULT.ratio == pytest.approx(100.0)


def test_table_fits_80_columns_and_names_what_stands_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "version", lambda name: "0.4.13")
    border = replace(
        RESULT,
        name="parity border",
        max_abs_diff=None,
        apart=120,
        apart_equal=60,
        apart_max_abs_diff=10.25,
    )
    show([RESULT, border], Console(width=80))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    row = next(line for line in shown.splitlines() if line.startswith("10 fixed"))
    assert row.split()[3:] == ["100", "0.05", "5", "100.0", "2e-05", "20/20", "1.50"]
    assert "120 requests apart, 60 of them" in shown


def test_a_difference_above_the_limit_is_refused() -> None:
    parity.check([RESULT, replace(RESULT, max_abs_diff=None)])
    with pytest.raises(IclError) as caught:
        parity.check([RESULT, replace(RESULT, name="parity long", max_abs_diff=0.0011)])
    assert str(caught.value) == (
        "parity long: 0.0011 nat from lm-evaluation-harness, accepted is 0.001; compare "
        "HFEngine.score with HFEngine.score_plain"
    )
    with pytest.raises(IclError):
        parity.check([replace(RESULT, max_abs_diff=float("nan"))])


def test_command_writes_json_with_what_it_was_made_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "version", lambda name: "0.4.13")
    asked: list[Options] = []

    def run(options: Options) -> list[Result]:
        asked.append(options)
        return [RESULT]

    path = tmp_path / "out.json"
    command(run, arguments=["--quick", "--model", "tiny", "--json", str(path)])
    (row,) = json.loads(path.read_text("utf-8"))
    assert asked == [Options(quick=True, model="tiny")]
    assert row["ratio"] == pytest.approx(100.0)
    assert row["versions"]["lm_eval"] == "0.4.13"
    wanted = {"name", "ours_s", "theirs_s", "max_abs_diff", "argmax_equal"}
    assert wanted | {"forwarded_tokens", "unique_tokens"} <= set(row)
    assert "10 fixed, 100" in capsys.readouterr().out


def test_command_ends_with_one_line_where_the_claim_fails() -> None:
    def run(options: Options) -> list[Result]:
        raise IclError("no such model")

    with pytest.raises(SystemExit) as caught:
        command(run, arguments=[])
    assert caught.value.code == "error: no such model"


def test_without_lm_eval_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    with pytest.raises(IclError) as caught, tools.opened("tiny", "fp32"):
        pass
    assert str(caught.value) == (
        "lm-evaluation-harness is not installed; run: pip install 'icl-workbench[bench]'"
    )


def test_requests_are_as_many_as_claimed_and_differ() -> None:
    kinds = parity.requests(quick=False)
    pairs = [(prompt.text, choice) for items in kinds.values() for prompt, choice in items]
    assert len(pairs) == len(set(pairs)) == 416
    plain = [pair for name, items in kinds.items() if name != "border" for pair in items]
    assert len(plain) >= 200
    assert all(choice.startswith(" ") for _, choice in plain)
    assert {len(prompt.shots) for prompt, _ in kinds["8 shots"]} == {8}
    long = min(len(prompt.text) for prompt, _ in kinds["long"])
    assert long > 2000


def test_the_two_rankings_share_what_they_say() -> None:
    fixed, nearest = (case(100) for case in ranking.CASES.values())
    assert len(fixed) == len(nearest) == 100
    assert len({prompt.shots for prompt in fixed}) == 1
    assert len({prompt.shots for prompt in nearest}) > 90
    assert len(set(prompts.choices())) == 60


class HalfBlind:
    """An engine that knows as much as ``compared`` asks: token ids of characters."""

    formats = Formats("fp32", "float32")
    torch_device = "cpu"
    codec = property(lambda self: self)

    def encode(self, texts: list[str]) -> list[tuple[int, ...]]:
        return [tuple(map(ord, text)) for text in texts]


def test_requests_with_another_border_stand_apart() -> None:
    names = [Prompt("a:"), Prompt("b:"), Prompt("c: "), Prompt("d:")]
    items = [(prompt, choice) for prompt in names for choice in (" x", " y")]
    spanning = [0, 0, 1, 1, 0, 0, 0, 0]
    scores = [ChoiceScore(-i, 1, 2, 2, spanning=s) for i, s in enumerate(spanning)]
    ours = tools.Answers([-float(i) for i in range(8)], 2.0, 2.0, 40, scores)
    sums = [-0.0, -1.0005, -2.0, -9.0, -4.0, -5.5]
    theirs = tools.Answers(sums, 3.0, 3.0)
    both: Any = tools.Tools(HalfBlind(), harness=None)  # type: ignore[arg-type]
    found = tools.compared("x", both, items, ours, theirs, batch_size=8)
    assert found.max_abs_diff == pytest.approx(0.0005)
    assert (found.apart, found.apart_equal, found.apart_max_abs_diff) == (4, 2, 6.0)
    assert (found.argmax_equal, found.argmax_of) == (1, 1)
    assert (found.queries, found.theirs_queries, found.requests) == (4, 3, 8)
    assert found.unique_tokens == 3 + 3 + 4 + 3


def test_times_with_work_of_an_earlier_call_are_refused() -> None:
    items = [(Prompt("a:"), " x"), (Prompt("a:"), " y")]
    scores = [ChoiceScore(-1.0, 1, 2, 2)] * 2
    both: Any = tools.Tools(HalfBlind(), harness=None)  # type: ignore[arg-type]
    ours = tools.Answers([-1.0, -1.0], 1.0, 1.0, 2, scores)
    with pytest.raises(IclError) as caught:
        tools.compared("x", both, items, ours, tools.Answers([-1.0, -1.0], 1.0, 1.0), batch_size=1)
    assert str(caught.value) == (
        "x: 2 tokens were forwarded and 3 are needed, so work of an earlier call was used and "
        "its time is too short; score another batch first"
    )


def test_every_call_starts_cold(tmp_path: Path) -> None:
    engine = HFEngine(str(save_tiny(tmp_path)), width="fp32").load()
    items = [(p, c) for p in prompts.fixed_intents(3, k=2) for c in prompts.choices()[:5]]
    floor = unique_tokens(engine.codec.encode([p.text + c for p, c in items]))
    both = tools.Tools(engine, harness=None)
    forwarded = [both.ours(items).forwarded_tokens for _ in range(3)]
    assert forwarded[0] == forwarded[1] == forwarded[2] >= floor


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed")
@pytest.mark.filterwarnings("default")  # those of the other tool are not ours to mend
def test_parity_with_lm_eval_on_a_tiny_model() -> None:
    found = parity.run(Options(quick=True, model="tiny"))
    parity.check(found)
    assert {result.name for result in found} == {f"parity {n}" for n in parity.requests(True)}
    for result in found:
        assert result.argmax_equal == result.argmax_of
        assert result.forwarded_tokens >= result.unique_tokens > 0
    *plain, border = found
    assert all(result.apart == 0 and result.max_abs_diff is not None for result in plain)
    assert border.apart == border.requests == 120
    assert 0 < border.apart_equal < 120


def test_the_wide_file_holds_the_numbers_that_the_engine_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = pytest.importorskip("gguf")
    from safetensors.torch import load_file

    from benchmarks.wide_gguf import widened
    from icl.engines.hf.weights.gguf import read_header
    from tests.engines.hf.weights.test_gguf import write_gguf

    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))
    path = write_gguf(tmp_path / "m.gguf")
    wide = widened(path, tmp_path / "wide.gguf")
    assert read_header(path).precision == "Q8_0"
    assert read_header(wide).precision == "F32"
    before, after = gguf.GGUFReader(path), gguf.GGUFReader(wide)
    words = "tokenizer.ggml.tokens"
    assert before.fields[words].contents() == after.fields[words].contents()
    assert before.fields.keys() == after.fields.keys()
    (loaded,) = HFEngine(str(path)).open().weights.folder.glob("*.safetensors")
    theirs = {tensor.name: tensor.data for tensor in after.tensors}
    ours = load_file(loaded)
    table = ours["model.embed_tokens.weight"].float().numpy()
    assert (theirs["token_embd.weight"] == table).all()
    gate = ours["model.layers.1.mlp.gate_proj.weight"].float().numpy()
    assert (theirs["blk.1.ffn_gate.weight"] == gate).all()


def test_page_mount_says_counts_ratio_and_goal() -> None:
    ours = page_mount.MountedPage(354, 131, [2.0, 1.0, 3.0])
    bare = page_mount.MountedPage(13, 6, [0.5, 0.4, 0.6])
    told = page_mount.table({"icl app": ours, "bare Gradio": bare})
    assert re.search(r"icl app +354 +131 +2.00 s +1.00 s +3.00 s", told)
    assert told.endswith("4.00 times bare Gradio; goal 1.5: missed")
    assert all(len(line) <= 80 for line in told.splitlines())
    assert "kept" in page_mount.table({"icl app": bare, "bare Gradio": bare})


def test_first_page_says_ratio_and_goal(tmp_path: Path) -> None:
    told = first_page.table({"icl app": [3.0, 2.0, 7.0], "bare Gradio": [2.0, 2.5, 1.0]})
    assert told.splitlines()[1:] == [
        "icl app                3.00 s   2.00 s   7.00 s        3",
        "bare Gradio            2.00 s   1.00 s   2.50 s        3",
        "1.50 times bare Gradio; goal 6 s: kept",
    ]
    assert "missed" in first_page.table({"icl app": [6.1], "bare Gradio": [1.0]})
    with pytest.raises(IclError, match="no page within 120 s: .*not today"):
        first_page.first_page(("import sys; sys.exit('not today')",), tmp_path)


@pytest.mark.parametrize(("shape", "other"), [("tiny", "bare model"), ("tiny-pair", "plain")])
def test_models_of_a_shape_are_measured_at_each_width(
    monkeypatch: pytest.MonkeyPatch, shape: str, other: str
) -> None:
    monkeypatch.setattr(shaped, "choices", lambda: [" alarm set", " play music"])
    found = shaped.measured(shape, ["bf16", "nf4"], n=2)
    assert [one.name.split()[0].strip(",") for one in found] == ["bf16"] * 2 + ["nf4"] * 2
    assert {(one.other, one.queries, one.requests) for one in found} == {(other, 2, 4)}
    assert all(one.forwarded_tokens == one.unique_tokens for one in found)
    assert all(one.ours_s > 0 and one.theirs_s > 0 for one in found)


def test_a_large_shape_needs_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(IclError, match="--model 8b needs a CUDA device, and torch finds none"):
        shaped.save_shaped("8b", tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(IclError, match="no shape '9b'; there are: 8b, 20b, tiny, tiny-pair"):
        shaped.run(Options(model="9b"))


@pytest.mark.parametrize("generate", [continuous, grown])
def test_other_ways_to_generate_write_the_same(
    generate: Callable[[HFEngine, list[Prompt], int], list[str]], tmp_path: Path
) -> None:
    engine = HFEngine(str(save_tiny(tmp_path)), device="cpu", width="fp32")
    asked = prompts.sentences(5, k=4)
    found = dict(engine.generate(asked, Sampling(max_tokens=12)))
    texts = [found[i].text.split("\n")[0].strip() for i in range(5)]
    assert [text.strip() for text in generate(engine, asked, 12)] == texts
    assert any(texts)


def test_the_way_to_a_first_report_is_four_commands_and_fits_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = first_report.list_steps(tmp_path)
    assert [step.typed.split()[1] for step in steps] == ["init", "run", "run", "report"]
    assert "--model ./tiny" in first_report.list_steps(tmp_path, "./tiny")[0].typed
    installed = first_report.list_steps(tmp_path, setup=True)
    assert [step.words[0] for step in installed[:2]] == ["git", "make"]
    assert installed[2].words[0] == str(tmp_path / "icl" / ".venv" / "bin" / "python")
    seconds = [first_report.Seconds(60, 90)] * len(steps)
    first_report.show_steps(steps, seconds, Console(width=80))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "4 steps, 4.0 minutes, 6.0 of processors;" in shown


def test_a_step_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    code = "import sys; sys.exit('icl: no such table')"
    step = first_report.Step("icl init", (sys.executable, "-c", code))
    with pytest.raises(IclError, match="^icl init ended with code 1: icl: no such table$"):
        first_report.time_step(step, tmp_path)
    fine = first_report.Step("icl", (sys.executable, "-c", "pass"))
    assert first_report.time_step(fine, tmp_path).clock > 0
