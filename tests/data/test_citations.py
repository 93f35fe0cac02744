"""How data sets are cited, from an experiment's entry to the manifest of its run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.data.citations import find_citation, list_citable
from icl.experiment.file import load_experiment
from icl.running.run import run
from tests.table_experiment import write

OWN = "@misc{own, title = {Own {Data}}}"


def test_known_data_sets_have_whole_entries() -> None:
    assert {"massive", "flores200", "ntrex", "xcopa", "xwinograd", "banking77"} <= {*list_citable()}
    for name in list_citable():
        text = find_citation("x", "jsonl", name, Path())
        assert text.startswith("@") and text.count("{") == text.count("}")
        assert all(field in text for field in ("author = ", "title = ", "year = ", "url = "))


def test_formats_of_one_data_set_are_known_and_others_are_not() -> None:
    assert find_citation("x", "massive", None, Path()).count("@inproceedings") == 2
    assert "No Language Left Behind" in find_citation("x", "flores", None, Path())
    assert "NTREX-128" in find_citation("x", "ntrex", None, Path())
    assert find_citation("x", "jsonl", None, Path()) == ""
    assert find_citation("x", "massive", "none", Path()) == ""


def test_text_and_files_are_taken(tmp_path: Path) -> None:
    assert find_citation("x", "jsonl", f"\n{OWN}\n", tmp_path) == OWN
    (tmp_path / "own.bib").write_text(OWN + "\n")
    assert find_citation("x", "massive", "own.bib", tmp_path) == OWN


@pytest.mark.parametrize(
    ("cite", "message"),
    [
        ("xcoppa", r"data x: cite: 'xcoppa' is no known data set, .*Did you mean 'xcopa'"),
        ("@misc{own, title = {Own}", "data x: cite: no BibTeX; an entry is @article"),
        ("gone.bib", "data x: cite: .*gone.bib cannot be read: No such file"),
        ("bad.bib", "data x: cite: .*bad.bib: no BibTeX"),
        ("latin.bib", "data x: cite: .*latin.bib cannot be read: .*codec"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, cite: str, message: str) -> None:
    (tmp_path / "bad.bib").write_text("just words")
    (tmp_path / "latin.bib").write_bytes("@misc{é, a = {b}}".encode("latin-1"))
    with pytest.raises(ConfigError, match=message):
        find_citation("x", "jsonl", cite, tmp_path)


def test_the_manifest_keeps_what_the_experiment_cites(tmp_path: Path) -> None:
    file = write(tmp_path)
    raw = json.loads(file.read_text())
    raw["data"]["rows"]["cite"] = OWN
    file.write_text(json.dumps(raw))
    first, *_, last = run(file, tmp_path / "runs").conditions
    assert first.entry.cite == {"rows": OWN}
    assert last.entry.cite == {}
    raw["data"]["rows"]["cite"] = "masive"
    file.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="Did you mean 'massive'"):
        load_experiment(file)
