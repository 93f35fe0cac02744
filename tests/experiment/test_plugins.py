"""``docs/extending.md`` runs as it is shown, and plug-ins are imported with care."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import icl
from icl.core.errors import ConfigError
from icl.core.registry import KINDS, isolated, lookup
from icl.experiment.file import load_experiment
from icl.experiment.old_imports import MOVED, RENAMED
from icl.experiment.plugins import load_plugin
from icl.records.results import load_run
from icl.running.run import run
from icl.scoring.scores import score_run
from tests.cli.test_cli import call
from tests.table_experiment import write

DOCS = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
MODULES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", DOCS, re.M | re.S))
EXPERIMENT = re.findall(r"^```yaml\n(.*?)^```$", DOCS, re.M | re.S)[0]
DAYS = """a lovely day = up
rain and no coat = down
the best news = up
we lost the match = down
sun all morning long = up
my bicycle was stolen from the yard = down
she laughed = up
he missed the train = down
"""
MOOD = """---
task: classify
labels: [up, down]
stop: ["\\n"]
---
{{ source }}:||| {{ label }}"""
TAGS = """---
task: tags
stop: ["\\n"]
---
{{ source }} has the tags||| {{ target }}"""
HINTED = """---
stop: ["\\n"]
---
{% for word, meaning in hints %}{{ word }} is {{ meaning }}. {% endfor -%}
{{ source }}:||| {{ target }}"""
SAY = 'stop: ["\\n"]\n---\n{{ source }}:||| {{ target }}'


@pytest.fixture(autouse=True)
def forget(own_registry: None) -> Iterator[None]:
    """Modules and names that a test brings in are gone after it."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith(("icl", "tests", "bm25s", "numpy", "scipy", "sacrebleu")):
            del sys.modules[name]


def files(folder: Path) -> Path:
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "days.txt").write_text(DAYS)
    (folder / "mood.j2").write_text(MOOD)
    (folder / "tags.j2").write_text(TAGS)
    (folder / "hinted.j2").write_text(HINTED)
    (folder / "say.j2").write_text("---\n" + SAY)
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    return folder / "experiment.yaml"


def test_the_examples_are_short_and_of_every_kind() -> None:
    for text in MODULES.values():
        assert sum(bool(line) for line in text.splitlines()) < 20
    told = {kind for kind in KINDS for text in MODULES.values() if f'register("{kind}"' in text}
    assert told == set(KINDS)
    assert set(MODULES) == set(yaml.safe_load(EXPERIMENT)["plugins"])


def test_the_examples_run(tmp_path: Path) -> None:
    done = run(files(tmp_path), tmp_path / "runs")
    assert len(done.conditions) == 8
    two = done.conditions[4]
    # The two longest rows of the pool, the longest first, for every query.
    assert [shot for shot, _, _ in two.records["0"].shots] == ["5", "4"]
    # ' up' is shorter than ' down', so the engine finds it likelier: 2 of 4 rows are up.
    scores = {score.name: score for score in two.scores}
    assert (scores["accuracy"].value, scores["first_word"].value) == (50.0, 50.0)
    # ' up' and ' down' have -3 and -5: less 1 nat nothing changes, and every row stays up.
    assert scores["accuracy+less_first"].value == 50.0
    assert two.calibrations[0].changed == 0
    said = done.conditions[1].predictions()
    assert sorted(str(made.value) for made in said) == ["coat:", "day:", "match:", "news:"]
    # Nothing else knows of the kind of tags, or of the field that the hints are in.
    assert done.conditions[6].scores[0].name == "same_tags"
    hinted = done.conditions[7]
    assert hinted.store.examples()["0"].fields["hints"] == [["day", "siku"]]
    assert hinted.prompt(hinted.records["0"]).query == "day is siku. a lovely day:"
    assert done.conditions[1].scores[0].signature.startswith("first_word|case:mixed|ci:wilson")


def test_a_run_is_scored_by_its_plugins_in_a_new_process(tmp_path: Path) -> None:
    run(files(tmp_path), tmp_path / "runs")
    for name in MODULES:
        del sys.modules[name]
    with isolated(empty=True):
        again = score_run(load_run("extended", tmp_path / "runs"), ["first_word"], "last_word")
        assert again.conditions[0].task.name == "mood"
    # A stranger's run folder does not bring code of its own in.
    (tmp_path / "runs").rename(tmp_path / "sent")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "sent").rename(tmp_path / "stranger" / "runs")
    for name in MODULES:
        (tmp_path / "stranger" / f"{name}.py").write_text("raise AssertionError('was imported')")
    with pytest.raises(ConfigError, match="'shout' of .*stranger, which was never run by you here"):
        load_run("extended", tmp_path / "stranger" / "runs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_thing", "cannot import 'plug' .*put plug.py into .*or install"),
        ("x = 1 / 0", r"'plug' fails while it is imported: .*plug.py:1: ZeroDivisionError"),
        ("def x(:", r"'plug' fails while it is imported: .*SyntaxError"),
        (
            "from icl.types import Example",
            r"plug.py:1: icl.types has moved: write `from icl import Example`$",
        ),
        (
            "x = 1\nfrom icl.types import (\n    Shot,\n    canonical,\n    Example,\n)",
            r"plug.py:2: icl.types has moved: write `from icl import Example, Shot` and "
            r"`from icl.core.types import canonical`$",
        ),
        ("from icl.blind import read", "write `from icl import read_verdicts`$"),
        ("from icl.scoring import score_run", "write `from icl import score_run`$"),
        (
            "import icl.testing",
            "icl.testing has moved: import what is public from icl, the rest from icl.engines.con",
        ),
        ("from icl import register\nregister('metrics', 'x')", "unknown kind 'metrics'. Did you"),
    ],
)
def test_a_plugin_that_fails_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plug.py").write_text(text)
    file = write(tmp_path, plugins=["plug"])
    with pytest.raises(ConfigError, match=message) as raised:
        load_experiment(file)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) not in sys.path


def test_an_old_plugin_ends_a_run_with_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug.py").write_text("from icl.stats import proportion")
    code, _, err = call(capsys, monkeypatch, "run", write(tmp_path, plugins=["plug"]))
    assert code == 2
    assert err.count("\n") == 1
    assert err.endswith("icl.stats has moved: write `from icl import proportion`\n")


@pytest.mark.parametrize("old", sorted(MOVED))
def test_a_moved_module_is_where_the_table_says(old: str) -> None:
    assert import_module(MOVED[old]).__all__
    new = {name for (module, _), name in RENAMED.items() if module == old}
    assert new <= set(icl.__all__) & set(import_module(MOVED[old]).__all__)


def test_a_plugin_does_not_take_the_place_of_a_loaded_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("")
    with pytest.raises(ConfigError, match=r"json.py has the name of a module.*rename the file"):
        load_plugin("json", tmp_path, "x.yaml")
    with pytest.raises(ConfigError, match=r"plugins: './mine.py' is no module name; accepted"):
        load_plugin("./mine.py", tmp_path, "x.yaml")


def test_a_plugin_may_import_its_neighbours_and_stands_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "neighbour.py").write_text("WORD = 'hello'")
    (tmp_path / "mine" / "reader.py").write_text(
        "from icl import register\nfrom neighbour import WORD\n"
        "@register('parser', 'always')\ndef always(output, choices=()):\n    return WORD\n"
    )
    load_plugin("mine.reader", tmp_path, "x.yaml")
    assert lookup("parser", "always")("x") == "hello"
