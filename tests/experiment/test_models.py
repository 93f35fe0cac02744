"""``icl models``: what is here and how large it is, without the network."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from icl.experiment import models as listing
from icl.experiment.models import find_models, format_models, measure_room


def test_a_folder_and_what_is_not_here(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    gone = tmp_path / "weightless"
    shutil.copytree(tiny_model, gone, ignore=lambda *_: ["model.safetensors"])
    found = list(
        find_models([str(tiny_model), "pypi:no-such", "a/b", str(tmp_path / "broken"), str(gone)])
    )
    first = found[0]
    assert (first.family, first.precision, first.note) == ("llama", "fp32", "")
    sizes = first.sizes()
    file = (tiny_model / "model.safetensors").stat().st_size
    assert sizes["fp32"] == pytest.approx(file, rel=0.1)
    assert sizes["fp32"] == 2 * sizes["bf16"] > 2 * sizes["int8"] > 2 * sizes["nf4"]
    assert [one.note for one in found[1:3]] == [
        "not installed; run: pip install no-such",
        "not here; its first use fetches it",
    ]
    assert found[3].note.startswith("no config that transformers can read")
    assert found[4].note == "its weights are not here" and found[4].sizes() == sizes


def test_fits_is_the_widest_width_that_does(tiny_model: Path) -> None:
    [found] = find_models([str(tiny_model)])
    assert found.counted is not None
    assert found.fits(1 << 40) == "fp32"
    assert found.fits(found.counted.least_bytes("fp32", "fp32") - 1) == "bf16"
    assert found.fits(0) == "no"


def test_a_quantized_checkpoint_has_one_width(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "q"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    carried = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": carried}))
    [found] = find_models([str(folder)])
    assert list(found.sizes()) == ["gptq 4-bit"]
    assert (found.fits(1 << 40), found.fits(0)) == ("gptq 4-bit", "no")


def test_models_of_an_experiment_are_relative_to_it(tiny_model: Path, tmp_path: Path) -> None:
    from tests.table_experiment import write

    shutil.copytree(tiny_model, tmp_path / "m")
    write(tmp_path, models={"m": {"source": "./m"}, "t": {"engine": "table"}})
    assert [one.family for one in find_models([str(tmp_path / "small.yaml")])] == ["llama"]


def test_everything_here_is_found(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(listing, "list_cached", lambda: {"org/name": tiny_model})
    found = {one.source: one for one in find_models()}
    assert found["org/name"].family == "llama"
    assert not [source for source in found if "-part" in source]


def test_gguf_files_are_not_converted_to_be_listed(tmp_path: Path) -> None:
    from tests.engines.hf.weights.test_gguf import write_gguf

    [found] = find_models([str(write_gguf(tmp_path / "m.gguf"))])
    assert (found.family, found.precision, found.licence) == ("llama", "Q8_0", "apache-2.0")
    assert found.sizes() == {} and "its first use converts it" in found.note


def test_the_table_is_80_columns_wide(tiny_model: Path) -> None:
    console: Any = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(
        format_models(
            list(find_models([str(tiny_model), "a/" + "long-name-" * 12])), measure_room()[1]
        )
    )
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for word in ("llama", "fp32", "int8", "nf4", "fits"):
        assert any(word in line for line in lines)
