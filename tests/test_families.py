"""The sweep over families of transformers: a dozen here, every one under the marker slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import families
from benchmarks.families import Outcome, format_table, main, sweep, try_family
from benchmarks.tiny_families import list_families, save_family, shrink

DOZEN = {
    "llama": "equal",
    "gemma3_text": "equal",  # windows of some layers
    "gpt_neo": "equal",  # a window that no mask shows
    "deepseek_v3": "equal",  # latent attention
    "xglm": "equal",  # counts the rows of a mask
    "doge": "plain",  # forgets keys from a length on
    "qwen3_next": "plain",  # hybrid
    "mamba": "plain",  # recurrent
    "trocr": "plain",  # takes no padding
    "bert": "refused",  # reads in both directions
    "t5": "equal",
    "bart": "equal",
}


@pytest.mark.parametrize("family", DOZEN)
@pytest.mark.filterwarnings("ignore")
def test_a_family_is_right_or_says_why_not(family: str, tmp_path: Path) -> None:
    found = try_family(family, family in ("t5", "bart"), tmp_path / "model")
    assert found.verdict == DOZEN[family], found
    assert (found.line == "") == (found.verdict == "equal")
    assert "\n" not in found.line


@pytest.mark.slow
def test_every_family_of_this_release_is_right_or_says_why_not() -> None:
    wrong = [one for one in sweep(list_families()) if one.verdict in ("ERROR", "DIFFERENT")]
    assert wrong == []


def test_a_wrong_number_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(engine: object, items: list[object]) -> list[float]:
        return [score + 0.01 for score in right(engine, items)]  # type: ignore[arg-type]

    right = families.ask_scores
    monkeypatch.setattr(families, "ask_scores", off)
    found = try_family("llama", False, tmp_path / "model")
    assert (found.verdict, found.line) == ("DIFFERENT", "scores are 0.01 nat off")


def test_a_raw_error_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icl.engines.hf.causal.forward.PROBE_TOKENS", None)
    monkeypatch.setattr("icl.engines.hf.weights.memory.REFUSALS", ())
    monkeypatch.setattr("icl.engines.hf.causal.forward.REFUSALS", ())
    found = try_family("llama", False, tmp_path / "model")
    assert found.verdict == "ERROR"
    assert "engines/hf/causal/" in found.line


def test_a_family_that_hangs_or_dies_does_not_end_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import subprocess
    import sys

    code = "import sys; sys.stdin.readline(); sys.exit(1)"
    monkeypatch.setattr(
        families,
        "start_child",
        lambda: subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ),
    )
    found = list(sweep({"llama": False, "gpt2": False}))
    assert [(one.family, one.verdict) for one in found] == [("llama", "ERROR"), ("gpt2", "ERROR")]


def test_a_tiny_config_keeps_every_kind_of_layer() -> None:
    assert set(shrink("gemma3_text").layer_types) == {"sliding_attention", "full_attention"}
    assert set(shrink("qwen3_next").layer_types) == {"linear_attention", "full_attention"}


def test_a_family_without_a_text_model_says_so(tmp_path: Path) -> None:
    assert try_family("whisper", True, tmp_path / "model").verdict == "no model"
    assert save_family("gpt2", tmp_path / "gpt2", False) == tmp_path / "gpt2"


def test_the_table_lists_what_is_not_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        Outcome("llama", "equal", "", 1e-6),
        Outcome("mamba", "plain", "Mamba has no KV cache | slowly"),
        Outcome("bert", "refused", "reads '/tmp/x/model' in both directions"),
    ]
    table = format_table(found)
    assert "3 families, 1 equal, 1 plain, 1 refused." in table
    assert "| `mamba` | plain | Mamba has no KV cache / slowly |" in table
    assert "| `bert` | refused | reads model in both directions |" in table
    docs = tmp_path / "models.md"
    docs.write_text(f"before\n{families.BEGIN}\nold\n{families.END}\nbehind\n")
    monkeypatch.setattr(families, "DOCS", docs)
    monkeypatch.setattr(families, "list_families", lambda: {"llama": False})
    monkeypatch.setattr(families, "sweep", lambda asked: iter(found))
    assert main(["--docs", "--json", str(tmp_path / "found.json")]) == 0
    assert docs.read_text() == (f"before\n{families.BEGIN}\n{table}\n{families.END}\nbehind\n")
    assert "1 equal, 1 plain, 1 refused" in capsys.readouterr().out
    monkeypatch.setattr(families, "sweep", lambda asked: iter([Outcome("x", "ERROR", "raw")]))
    assert main([]) == 1
