"""`lexicons:`, `hints:` and `pool: {translate: …}`, from the file to records and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, DataError, IclError
from icl.experiment.condition import Condition, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.records.results import load_run
from icl.running.run import run
from icl.workbench.workbench import Workbench

HINTED = """---
task: generate
stop: ["\\n"]
---
[[example]]
In: {{ source }}
{% if hints %}{{ hints }}
{% endif %}Out:||| {{ target }}
"""
ENGLISH = ["the child sees a house", "a child eats", "the house is old", "old bread is here"]
SWAHILI = ["mtoto anaona nyumba", "mtoto anakula", "nyumba ni nzee", "mkate wa zamani"]
HINTS = {"lexicon": "en-sw", "senses": 2}


def write(folder: Path, **changes: Any) -> Path:
    """Write four parallel lines, a dictionary and an experiment; ``changes`` are keys of its task.

    ``grid`` and ``lexicons`` are keys of the file.
    """
    (folder / "hinted.j2").write_text(HINTED)
    (folder / "x.en").write_text("\n".join(ENGLISH) + "\n")
    (folder / "x.sw").write_text("\n".join(SWAHILI) + "\n")
    (folder / "en-sw.tsv").write_text("child\tmtoto; mwana\nhouse\tnyumba\nthe\tle\nold\tzee\n")
    (folder / "sw-de.tsv").write_text("mtoto\tKind\nnyumba\tHaus\n")
    task = {
        "task": "translation",
        "prompt": "hinted.j2",
        "rows": {"data": "pairs", "pair": {"from": "en", "to": "sw"}, "lines": [1, 2]},
        "pool": {"lines": [3, 4]},
        "sampling": {"max_tokens": 8},
    }
    lexicons = {"en-sw": {"path": "{source}-{target_code}.tsv"}, "sw-de": {"path": "sw-de.tsv"}}
    grid = changes.pop("grid", {"shots": [{"k": 1, "select": "bm25"}]})
    made = {
        "name": "hinted",
        "models": {"t": {"engine": "table", "default": "hash"}},
        "data": {"pairs": {"format": "lines", "path": "x.{lang}"}},
        "lexicons": changes.pop("lexicons", lexicons),
        "tasks": [task | changes],
        "grid": grid,
    }
    path = folder / "hinted.yaml"
    path.write_text(json.dumps(made))
    return path


def conditions(path: Path) -> list[Condition]:
    loaded = load_experiment(path)
    loader = Loader(loaded)
    return [build(point, loader) for point in list_points(loaded)]


def prompt(path: Path) -> str:
    made = conditions(path)[0]
    return made.request(made.examples[0]).prompt.text


def test_queries_and_shots_have_hints_and_the_folder_keeps_them(tmp_path: Path) -> None:
    controls = [HINTS, {**HINTS, "control": "random"}, {**HINTS, "control": "hidden"}]
    grid = {"shots": [{"k": 1, "select": "bm25"}], "tasks.translation.hints": [*controls, None]}
    path = write(tmp_path, grid=grid, prompt=["hinted.j2"])
    with pytest.raises(IclError, match="hints"):
        run(path, tmp_path / "runs")  # the last has no variable `hints`
    path = write(tmp_path, grid=grid | {"tasks.translation.hints": controls})
    run(path, tmp_path / "runs")
    found = load_run("hinted", tmp_path / "runs").conditions
    words = ["dipmt", "dipmt random", "dipmt hidden"]
    assert [one.entry.settings["hints"] for one in found] == words
    right, wrong, hidden = found
    for one in found:
        for record in one.records.values():
            assert record.request == one.hash_again(record), "rendered without the dictionary"
    texts = [next(iter(map(one.prompt, one.records.values()))).text for one in found]
    assert texts[0].count("In this context, ") == 2, "that of the shot, and that of the query"
    assert 'the word "child" means "mtoto", "mwana"' in texts[0]
    assert texts[1].count("In this context, ") == 2 and '"child" means "mtoto"' not in texts[1]
    assert "In this context" not in texts[2]
    for one in found:
        values = {made.name: made.value for made in one.scores if made.kind == "model"}
        assert values["hint_coverage"] == pytest.approx(100 * 4 / 8)
        assert values["hint_use"] == 0, "the table of answers knows no Swahili"
    fits = [made.value for one in (right, hidden) for made in one.scores if made.name == "hint_fit"]
    assert fits == [pytest.approx(75.0)] * 2, "child twice and house, but not the"


def test_only_hints_that_are_there_are_hashed(tmp_path: Path) -> None:
    plain = {"prompt": "translation/labelled"}
    (bare,) = conditions(write(tmp_path, **plain))
    assert "hints" not in bare.identity and "hint_coverage" not in bare.metrics
    (one,) = conditions(write(tmp_path, **plain, hints=HINTS))
    assert {key: value for key, value in one.identity.items() if key != "hints"}.keys() == (
        bare.identity.keys()
    )
    path = write(tmp_path, **plain, hints=HINTS)
    (tmp_path / "en-sw.tsv").write_text("child\tmwana\n")
    (two,) = conditions(path)
    assert one.identity["hints"] != two.identity["hints"], "the dictionary's hash"


def test_shots_without_hints(tmp_path: Path) -> None:
    text = prompt(write(tmp_path, hints={**HINTS, "in_shots": False}))
    shot, query = text.split("\n\n")
    assert "In this context" in query and "In this context" not in shot


def test_frequent_words_of_the_pool_are_skipped(tmp_path: Path) -> None:
    text = prompt(write(tmp_path, hints={**HINTS, "skip_frequent": 3}))
    query = text.split("\n\n")[1]
    assert '"child"' in query and '"house"' in query and '"the"' in query
    query = prompt(write(tmp_path, hints={**HINTS, "skip_frequent": 7})).split("\n\n")[1]
    assert '"child"' in query and '"house"' not in query and '"the"' not in query


def test_a_chain_and_a_pivot(tmp_path: Path) -> None:
    entry = {"path": "en-sw.tsv", "through": "sw-de"}
    lexicons = {"en-de": entry, "sw-de": {"path": "sw-de.tsv"}, "en-sw": {"path": "en-sw.tsv"}}
    chain = {"lexicon": ["en-sw", "en-de"], "style": "cod"}
    text = prompt(write(tmp_path, lexicons=lexicons, hints=chain))
    assert '"child" means "mtoto" means "Kind".' in text and '"the" means "le".' in text


def test_forms_are_looked_up_by_their_lemma(tmp_path: Path) -> None:
    lexicons = {"en-sw": {"path": "en-sw.tsv", "inflections": "forms.tsv"}}
    (tmp_path / "forms.tsv").write_text("house\tsees\tV\n")
    assert '"sees" means "nyumba"' in prompt(write(tmp_path, lexicons=lexicons, hints=HINTS))


@pytest.mark.parametrize(
    ("translate", "shot"),
    [
        ("en-sw", "In: le nyumba is zee\nOut: nyumba ni nzee"),
        ({"lexicon": "en-sw", "into": "target"}, "In: the house is old\nOut: le nyumba is zee"),
    ],
)
def test_pseudo_shots(tmp_path: Path, translate: Any, shot: str) -> None:
    plain = {"prompt": "copy.j2", "pool": {"lines": [3, 3], "translate": translate}}
    (tmp_path / "copy.j2").write_text(HINTED.replace("{% if hints %}{{ hints }}\n{% endif %}", ""))
    loaded = load_experiment(write(tmp_path, **plain))
    loader = Loader(loaded)
    made = build(list_points(loaded)[0], loader)
    assert made.request(made.examples[0]).prompt.text.split("\n\n")[0] == shot
    assert list(loader.notes) == [
        "the pool pairs: 3 of 4 words of its first 1 rows are translated by en-sw; the others stay"
    ]


def test_random_pseudo_shots_take_other_words(tmp_path: Path) -> None:
    (tmp_path / "copy.j2").write_text(HINTED.replace("{% if hints %}{{ hints }}\n{% endif %}", ""))
    wrong = {"lexicon": "en-sw", "control": "random"}
    text = prompt(write(tmp_path, prompt="copy.j2", pool={"lines": [3, 3], "translate": wrong}))
    the, house, verb, old = text.splitlines()[0].removeprefix("In: ").split()
    assert verb == "is" and the != "le" and house != "nyumba" and old != "zee"
    assert {the, house, old} <= {"le", "nyumba", "zee", "mtoto"}


def test_a_sentence_typed_in_the_workbench_has_hints(tmp_path: Path) -> None:
    given = load_experiment(write(tmp_path, hints=HINTS))
    work = Workbench(given.raw["models"], tmp_path, tmp_path / "private", given)
    try:
        typed = replace(work.first_screen(), own={"source": "my child", "hints": ""}, k=0)
        seen = work.bind(typed)
        text = seen.condition.request(seen.example).prompt.text
        assert 'the word "child" means "mtoto", "mwana"' in text
    finally:
        work.sandbox.close()


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"hints": "en-sv"}, ConfigError, "unknown dictionary 'en-sv'. Did you mean 'en-sw'?"),
        ({"hints": {**HINTS, "stile": "cod"}}, ConfigError, "unknown key 'tasks.0.hints.stile'"),
        (
            {"hints": {**HINTS, "skip_frequent": 2}, "pool": None},
            ConfigError,
            "skip_frequent counts the words of the pool, and there is none; add `pool:`",
        ),
        ({"lexicons": {"en-sw": {"path": "no.tsv"}}, "hints": HINTS}, DataError, "no such file"),
        (
            {"lexicons": {"en-sw": {"path": "{locale}.tsv"}}, "hints": HINTS},
            DataError,
            "the path has {locale}, and the rows have no locale; give locale: under rows, or",
        ),
        (
            {"lexicons": {"en-sw": {"path": "en-sw.tsv", "columns": ["word"]}}, "hints": HINTS},
            ConfigError,
            "a dictionary has one column word and one column senses; name both",
        ),
        (
            {
                "lexicons": {
                    "en-sw": {"path": "en-sw.tsv", "through": "sw-de"},
                    "sw-de": {"path": "sw-de.tsv", "through": "en-sw"},
                },
                "hints": HINTS,
            },
            ConfigError,
            "leads back to itself (en-sw → sw-de → en-sw); remove one of them",
        ),
        ({"hints": {**HINTS, "field": "src"}}, DataError, "no text in a field 'src'; fields with"),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, changes: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as caught:
        conditions(write(tmp_path, grid={}, **changes))
    assert told in str(caught.value)


def test_swapped_columns_stop_a_run(tmp_path: Path) -> None:
    path = write(tmp_path, hints={"lexicon": "sw-en"}, lexicons={"sw-en": {"path": "sw-en.tsv"}})
    rows = [f"word{n} child" for n in range(60)]
    (tmp_path / "x.en").write_text("\n".join(rows) + "\n")
    (tmp_path / "x.sw").write_text("\n".join(rows) + "\n")
    (tmp_path / "sw-en.tsv").write_text("mtoto\tchild\n")
    values = json.loads(path.read_text())
    values["tasks"][0]["rows"]["lines"], values["tasks"][0]["pool"] = [1, 50], {"lines": [51, 60]}
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="its columns are swapped, or it is of the other direction"):
        conditions(path)
    values["tasks"][0] |= {"prompt": "translation/labelled"}
    values["tasks"][0].pop("hints")
    values["tasks"][0]["pool"]["translate"] = "sw-en"
    values["tasks"][0]["pool"]["lines"] = [1, 60]
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="its columns are swapped, or it is of the other direction"):
        conditions(path)
