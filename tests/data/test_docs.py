"""Every snippet of docs/data.md works as it is printed."""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from icl.data import load, pin_commit
from icl.experiment.entries import DataEntry, RowsEntry, validate

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
TEXT = (ROOT / "docs" / "data.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def snippets(kind):
    """Parsed YAML blocks whose fence has ``kind`` behind ``yaml``."""
    return [
        pytest.param(yaml.safe_load(text), id=next(iter(yaml.safe_load(text)["data"])))
        for language, name, text in BLOCKS
        if language == "yaml" and name == kind
    ]


def specs(snippet, base):
    """What the loader would ask of a snippet: every data set, locale and pair."""
    rows = dict(snippet["rows"])
    validate(RowsEntry, rows, "docs/data.md")
    assert rows.pop("data") in snippet["data"]
    for name in snippet["data"]:
        entry = validate(DataEntry, snippet["data"][name], "docs/data.md")
        asked = validate(RowsEntry, {**rows, "data": name}, "docs/data.md")
        pairs = [None]
        if asked.pair:
            pairs = list(itertools.product(asked.pair.from_, asked.pair.to))
        for locale, pair in itertools.product(asked.locale or [None], pairs):
            yield entry.spec(base, locale, pair, asked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that the page shows, and what its Python writes."""
    pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("docs")
    for language, name, text in BLOCKS:
        if name and language not in ("yaml", "python"):
            (folder / name).write_text(text.removesuffix("\n") if name == "fortunes" else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        import datasets

        datasets.disable_progress_bars()
        for language, _, text in BLOCKS:
            if language == "python":
                exec(text, {})  # noqa: S102 - our own page
    return folder


@pytest.mark.parametrize("snippet", snippets(""))
def test_snippets_load(snippet, folder):
    for spec in specs(snippet, folder):
        rows = load(spec)
        assert rows
        if spec.answer:
            assert any(row.targets for row in rows)


@pytest.mark.parametrize("snippet", snippets("shared"))
def test_well_known_sets_load(snippet):
    for spec in specs(snippet, SHARED):
        name = Path(spec.path).relative_to(SHARED).parts[0]
        if not (SHARED / name).is_dir():
            pytest.skip(f"no {name} beside the checkout")
        rows = load(spec)
        assert len(rows) > 20
        assert all(row.targets for row in rows)
        assert all(row.inputs for row in rows)


@pytest.mark.parametrize("snippet", snippets("hub"))
def test_hub_snippets_are_pinned(snippet, tmp_path):
    for spec in specs(snippet, tmp_path):
        assert pin_commit(spec) is spec


def test_every_format_has_a_snippet():
    from icl.core.registry import names

    shown = {
        entry["format"]
        for language, _, text in BLOCKS
        if language == "yaml"
        for entry in yaml.safe_load(text)["data"].values()
    }
    assert shown >= {name for name in names("format") if name != "two_rows"}
