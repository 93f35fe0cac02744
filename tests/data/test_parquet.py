import datetime
import json
from decimal import Decimal
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.core.types import Example
from icl.data import DataSpec, load, pin_commit
from icl.data.hub import find_download
from tests.datafiles import message

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = [
    {"id": "a", "text": "eins", "label": 1, "tags": ["x", "y"], "more": {"k": [1, None]}},
    {"id": "b", "text": "zwei", "label": None, "tags": [], "more": {"k": []}},
]


def parquet(path, rows=ROWS, **options):
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


# --- Parquet ------------------------------------------------------------------------------------


def test_parquet_keeps_lists_and_objects(tmp_path):
    first, second = load(DataSpec("parquet", parquet(tmp_path / "a.parquet"), answer="label"))
    assert first == Example(
        "a",
        {"text": "eins", "label": 1, "tags": ["x", "y"], "more": {"k": [1, None]}},
        ("1",),
        {},
        ("label",),
    )
    assert second.targets == ()
    fields = {"text": "text", "k": "more.k"}
    (row, _) = load(DataSpec("parquet", tmp_path / "a.parquet", fields=fields, id="text"))
    assert (row.id, row.fields) == ("eins", {"text": "eins", "k": [1, None]})


def test_parquet_equals_json_lines(tmp_path):
    parquet(tmp_path / "a.parquet", row_group_size=1)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "a.jsonl").write_text(lines)
    kinds = [load(DataSpec(f, tmp_path / f"a.{f}", answer="label")) for f in ("parquet", "jsonl")]
    assert kinds[0] == kinds[1]


def test_parquet_parts_and_splits(tmp_path):
    for part in range(3):
        rows = [{"t": f"{part} {n}"} for n in range(2)]
        parquet(tmp_path / f"test-{part:05}-of-00003.parquet", rows)
    spec = DataSpec("parquet", tmp_path / "{split}-*.parquet", split="test")
    rows = load(spec)
    assert [row.fields["t"] for row in rows] == ["0 0", "0 1", "1 0", "1 1", "2 0", "2 1"]
    assert [row.id for row in rows][-1] == "test-5"
    column = parquet(tmp_path / "c.parquet", [{"t": "x", "split": "dev"}, {"t": "y", "split": "b"}])
    assert [row.fields for row in load(DataSpec("parquet", column, split="b"))] == [{"t": "y"}]


def test_parquet_values_that_json_lacks(tmp_path):
    row = {
        "day": datetime.date(2026, 2, 3),
        "time": datetime.datetime(2026, 2, 3, 4, 5),
        "price": Decimal("1.50"),
        "picture": b"\x00",
    }
    path = parquet(tmp_path / "a.parquet", [{"t": "x", **row}])
    text = message(DataSpec("parquet", path))
    assert text == (
        f"{path}: row 1: the column 'picture' holds a value of type bytes; JSON has no form for "
        "it: name the columns that you need under fields:"
    )
    fields = {"day": "day", "time": "time", "price": "price"}
    (made,) = load(DataSpec("parquet", path, fields=fields))
    assert made.fields == {"day": "2026-02-03", "time": "2026-02-03T04:05:00", "price": "1.50"}
    parquet(path, [{"t": 1.0}, {"t": float("nan")}])
    assert f"{path}: row 2: the column 't' holds the number nan" in message(
        DataSpec("parquet", path)
    )


def test_parquet_errors(tmp_path):
    path = parquet(tmp_path / "a.parquet", [ROWS[0], ROWS[0]])
    assert message(DataSpec("parquet", path)) == (
        f"{path}: row 2: the id 'a' is also on {path}: row 1; write `id: row` in the data to "
        "number the rows instead"
    )
    parquet(path)
    assert "a.parquet: no column 'txt'. Did you mean 'text'?" in message(
        DataSpec("parquet", path, fields={"t": "txt"})
    )
    assert "no column 'lable'. Did you mean 'label'?" in message(
        DataSpec("parquet", path, answer="lable")
    )
    assert "there is no column 'split'" in message(DataSpec("parquet", path, split="test"))
    assert "no such file or folder" in message(DataSpec("parquet", tmp_path / "b-*.parquet"))
    whole = path.read_bytes()
    for broken in (b"", b"hello parquet", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        text = message(DataSpec("parquet", path))
        assert text.startswith(f"{path}: no whole Parquet file: ")
        assert text.endswith("; get it again")
    parquet(path, [{"t": "word " * n} for n in range(1000)], row_group_size=300)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(3000) + whole[middle + 3000 :])
    text = message(DataSpec("parquet", path))
    assert text.startswith(f"{path}: after row ") and "no whole Parquet file" in text
    parquet(path, [{"t": "x"}])
    pq.write_table(pa.table({"t": pa.array([], pa.string())}), path)
    assert message(DataSpec("parquet", path)).startswith(f"{path}: no rows; check the path")


def test_a_missing_package_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("icl.data.parquet.find_spec", lambda name: None)
    for format, extra in (("parquet", "parquet"), ("hf", "datasets")):
        with pytest.raises(ConfigError) as caught:
            load(DataSpec(format, tmp_path))
        assert str(caught.value).endswith(f"pip install 'icl-workbench[{extra}]'")


# --- datasets -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """What save_to_disk wrote: splits train and test, class labels, a list of labels, an image."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
            "nested": {"kind": datasets.ClassLabel(names=["a", "b"]), "n": datasets.Value("int32")},
        }
    )

    def rows(count, label):
        return datasets.Dataset.from_list(
            [
                {"text": f"t{n}", "label": label, "tags": [0, 1], "nested": {"kind": 1, "n": n}}
                for n in range(count)
            ],
            features=features,
        )

    folder = tmp_path_factory.mktemp("saved") / "reviews"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder.parent / "cache")
        datasets.disable_progress_bars()
        both = datasets.DatasetDict({"train": rows(3, 1), "test": rows(2, -1)})
        both.save_to_disk(str(folder))
        rows(2, 0).save_to_disk(str(folder.parent / "one"))
    return folder


def test_a_saved_dataset_with_names_of_labels(saved):
    train = load(DataSpec("hf", saved, split="train", answer="label"))
    assert train[2] == Example(
        "train-2",
        {"text": "t2", "label": "pos", "tags": ["O", "B-x"], "nested": {"kind": "b", "n": 2}},
        ("pos",),
        {"split": "train"},
        ("label",),
    )
    test = load(DataSpec("hf", saved, split="test", answer="label", fields={"t": "text"}))
    assert [(row.id, row.targets) for row in test] == [("test-0", ()), ("test-1", ())]
    assert test[0].fields == {"t": "t0", "label": None}
    one = load(DataSpec("hf", saved.parent / "one", answer="label", id="text"))
    assert [row.targets for row in one] == [("neg",), ("neg",)]
    assert load(DataSpec("hf", saved, split="train", lines=(2, 2)))[0].id == "train-1"


def test_a_folder_of_data_files(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", ROWS[:1])
    rows = load(DataSpec("hf", tmp_path, split="train", answer="label"))
    assert [row.id for row in rows] == ["train-a", "train-b"]
    assert rows[0].fields["more"] == {"k": [1, None]}
    assert len(load(DataSpec("hf", tmp_path, split="test"))) == 1


def test_configs_of_a_folder(tmp_path):
    pytest.importorskip("datasets")
    for name in ("de", "sw"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.jsonl").write_text(f'{{"t": "{name}"}}\n')
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: de\n  data_files: de/*.jsonl\n"
        "- config_name: sw\n  data_files: sw/*.jsonl\n---\n"
    )
    assert load(DataSpec("hf", tmp_path, config="sw"))[0].fields == {"t": "sw"}
    assert message(DataSpec("hf", tmp_path)) == f"{tmp_path}: give config:. There are: de, sw"
    assert message(DataSpec("hf", tmp_path, config="dee")) == (
        f"{tmp_path}: no config 'dee'. Did you mean 'de'? There are: de, sw"
    )


def test_hf_errors(saved, tmp_path):
    assert message(DataSpec("hf", saved)) == f"{saved}: give split:. There are: test, train"
    assert message(DataSpec("hf", saved, split="tset")) == (
        f"{saved}: no split 'tset'. Did you mean 'test'? There are: test, train"
    )
    assert "no column 'lable'. Did you mean 'label'?" in message(
        DataSpec("hf", saved, split="test", answer="lable")
    )
    assert message(DataSpec("hf", saved, split="test", fields={"x": "txt"})).startswith(
        f"{saved}, split test: no column 'txt'. Did you mean 'text'?"
    )
    assert message(DataSpec("hf", saved, config="x")) == (
        f"{saved}: the folder of save_to_disk has no config 'x'"
    )
    (tmp_path / "file.csv").write_text("a\n1\n")
    assert "give its folder, or the format of the file" in message(
        DataSpec("hf", tmp_path / "file.csv")
    )
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path}/empty: the data set cannot be read: " in message(
        DataSpec("hf", tmp_path / "empty")
    )
    text = message(DataSpec("hf", tmp_path / "nix"))
    assert text.startswith(f"no such folder: {tmp_path}/nix; give a folder, or an id of the hub")


def test_broken_files_of_a_folder(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_text('{"t": 1}\n{"t": \n')
    assert message(DataSpec("hf", tmp_path)).startswith(f"{tmp_path}: the data set cannot be read")
    (tmp_path / "train.jsonl").unlink()
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert message(DataSpec("hf", tmp_path)).startswith(f"{tmp_path}: the data set cannot be read")


def test_a_hub_out_of_reach_says_how_to_go_on(monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = DataSpec("hf", Path("org/reviews"), split="test")
    text = message(spec)
    assert text.startswith("the hub cannot be reached for the data set 'org/reviews' (")
    assert "give path: a folder that `save_to_disk` or" in text
    assert text.endswith("(of this one it has none)")
    (find_download("org/reviews") / ("a" * 40) / "default").mkdir(parents=True)
    assert message(spec).endswith(f"(there: {'a' * 40})")


def test_only_hub_ids_without_a_commit_are_looked_up(saved, tmp_path):
    commit = "0123456789" * 4
    for spec in (
        DataSpec("hf", saved),
        DataSpec("jsonl", tmp_path / "nix"),
        DataSpec("hf", Path("org/name"), revision=commit),
    ):
        assert pin_commit(spec) is spec
