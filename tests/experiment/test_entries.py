"""Data entries of an experiment file, and what the loader makes of them."""

import json
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.data import hash_data, scan
from icl.experiment.condition import build
from icl.experiment.entries import DataEntry, PoolEntry, validate
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from tests.table_experiment import write


def test_an_entry_becomes_a_spec():
    entry = DataEntry(format="csv", path="a/{split}.csv", columns=["x", "_", "_"], gold=["x"])
    spec = entry.spec(Path("/base"), "sw", ("en", "sw"), PoolEntry(split="train", lines=(1, 2)))
    assert (spec.path, spec.columns, spec.gold) == (
        Path("/base/a/{split}.csv"),
        ("x", "_", "_"),
        ("x",),
    )
    assert (spec.source, spec.target, spec.locale) == ("en", "sw", "sw")
    assert (spec.split, spec.lines) == ("train", (1, 2))


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("a.csv", "csv"),
        ("{split}.tsv", "tsv"),
        ("rows.jsonl.gz", "jsonl"),
        ("a.JSON", "json"),
        ("x-*.parquet", "parquet"),
        ("a.ndjson", "jsonl"),
    ],
)
def test_the_format_of_a_table_follows_from_the_end_of_its_path(path, form):
    assert validate(DataEntry, {"path": path}, "data.x").format == form
    assert validate(DataEntry, {"path": path, "format": "lines"}, "data.x").format == "lines"


def test_a_path_that_tells_no_format_asks_for_one():
    for path, end in (("news.{lang}", ".{lang}"), ("folder", "no suffix")):
        with pytest.raises(ConfigError, match="format is missing") as raised:
            validate(DataEntry, {"path": path}, "data.x")
        assert f"{end!r} shows none; write format:, or give a file that ends in .csv" in str(
            raised.value
        )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("org/name", "org/name"), ("there", "BASE/there"), ("./no", "BASE/no"), ("/no/x", "/no/x")],
)
def test_a_hub_id_is_what_is_no_path(tmp_path, path, expected):
    (tmp_path / "there").mkdir()
    spec = DataEntry(format="hf", path=path).spec(tmp_path)
    assert spec.path == Path(expected.replace("BASE", str(tmp_path)))
    assert DataEntry(format="csv", path="org/name").spec(tmp_path).path == tmp_path / "org/name"


def test_mistakes_in_an_entry():
    def told(**entry):
        with pytest.raises(ConfigError) as caught:
            validate(DataEntry, {"format": "csv", "path": "x", **entry}, "mine.yaml")
        return str(caught.value)

    assert "'a' appears twice; write _ for a column to skip" in told(columns=["a", "_", "a", "_"])
    assert told(revison="x").startswith("mine.yaml: unknown key 'revison'. Did you mean 'revision'")


def test_a_pool_may_be_a_sample(tmp_path):
    tasks = json.loads(write(tmp_path).read_text())["tasks"][:1]

    def pool(**entry):
        tasks[0]["pool"] = {"split": "train", **entry}
        experiment = load_experiment(write(tmp_path, tasks=tasks))
        return build(list_points(experiment)[1], Loader(experiment))

    whole, few, more = pool(), pool(n=3), pool(n=6)
    assert len(whole.pool) == 18
    assert [row.id for row in more.pool][:3] == [row.id for row in few.pool]
    assert pool(n=3, seed=1).pool != few.pool
    assert pool(n=99).available == 12
    assert len({condition.fingerprint for condition in (whole, few, more)}) == 3
    assert whole.identity["shots"]["pool"] == hash_data(whole.pool)
    with pytest.raises(ConfigError, match="pool.n"):
        pool(n=0)


def test_splits_in_files_of_their_own_do_not_leave_out_each_other(tmp_path):
    file = write(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for split in ("test", "train"):
        own = [{"utt": r["utt"], "intent": r["intent"]} for r in rows if r["split"] == split]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    tasks = json.loads(file.read_text())["tasks"][:1]
    data = {"rows": {"format": "jsonl", "path": "{split}.jsonl", "answer": "intent"}}
    experiment = load_experiment(write(tmp_path, tasks=tasks, data=data))
    condition = build(list_points(experiment)[1], Loader(experiment))
    assert (len(condition.pool), condition.left_out) == (18, 0)


def test_each_file_is_read_once_for_all_points(tmp_path):
    read = []
    experiment = load_experiment(
        write(tmp_path, grid={"shots": [0, 1, 2, {"k": 2, "select": "bm25"}]})
    )
    loader = Loader(experiment, read=lambda spec: read.append(spec) or scan(spec))
    for point in list_points(experiment):
        build(point, loader)
    assert len(read) == 4  # test and pool of two tasks
