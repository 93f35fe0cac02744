import json

import pytest
import yaml

from icl.cli import main
from icl.data import DataSpec
from icl.data.survey import survey
from tests.datafiles import write

TASK = {
    "task": "translation",
    "prompt": "translation/plain",
    "rows": {"data": "pairs", "pair": {"from": "en", "to": "de"}},
}


def call(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["icl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, *capsys.readouterr()


def test_built_in_data(capsys, monkeypatch):
    code, out, _ = call(capsys, monkeypatch, "list", "data")
    assert not code
    assert "samples/intent  massive  " in out
    assert "rows in de-DE (train 360, test 164); 3 locales: de-DE, en-US, sw-KE" in out
    assert "180 rows in deu_Latn; 6 languages: deu_Latn, eng_Latn" in out
    assert "formats: conll, csv, flores, " in out


def test_data_of_an_experiment(capsys, monkeypatch, tmp_path):
    for split in ("train", "test"):
        for locale in ("de", "sw"):
            (tmp_path / split).mkdir(exist_ok=True)
            write(tmp_path / split / f"{locale}.jsonl", '{"t": 1}\n{"t": 2}\n')
    for lang in ("en", "de"):
        write(tmp_path / f"news.{lang}", "a\nb\nc\n")
    rows = [{"id": n, "split": "ab"[n % 2]} for n in range(5)]
    write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    data = {
        "by_locale": {"format": "jsonl", "path": "{split}/{locale}.jsonl"},
        "pairs": {"format": "lines", "path": "news.{lang}"},
        "rows": {"format": "jsonl", "path": "rows.jsonl"},
        "hub": {"format": "hf", "path": "org/name", "revision": "a" * 40},
        "none": {"format": "csv", "path": "nix.csv"},
        "nothing": {"format": "jsonl", "path": "{locale}/x.jsonl"},
    }
    file = tmp_path / "mine.yaml"
    models = {"t": {"engine": "table", "default": "hash"}}
    file.write_text(yaml.safe_dump({"models": models, "data": data, "tasks": [TASK]}))
    code, out, _ = call(capsys, monkeypatch, "list", "data", file)
    assert not code
    flat = " ".join(out.split())
    assert "2 rows in test, de; 2 splits: test, train; 2 locales: de, sw" in flat
    assert "3 rows in de; 2 languages: de, en" in flat
    assert "5 rows (a 3, b 2)" in flat
    assert "on the hub at aaaaaaaa" in flat
    assert "not there: no such file or folder: " in flat
    assert "not there: no file is called like" in flat
    assert "samples/intent" not in flat
    assert max(len(line) for line in out.splitlines() if line.startswith(" ")) <= 80


def test_a_file_goes_with_data_and_models_only(capsys, monkeypatch):
    code, _, err = call(capsys, monkeypatch, "list", "tasks", "x.yaml")
    assert code == 2
    assert "a FILE goes with `icl list data` and `models` only, not with 'tasks'" in err
    code, _, err = call(capsys, monkeypatch, "list", "data", "nix.yaml")
    assert code == 2
    assert "no experiment file nix.yaml" in err


def test_a_large_file_is_not_read_to_count_it(tmp_path, monkeypatch):
    monkeypatch.setattr("icl.data.survey.CHEAP_BYTES", 10)
    path = write(tmp_path / "a.jsonl", '{"broken": ' * 1000)
    assert survey(DataSpec("jsonl", path)).text() == "0 MB, not counted"


def test_what_is_guessed_of_a_file_is_told(tmp_path):
    path = write(tmp_path / "a.csv", "a;b\n1;2\n")
    assert survey(DataSpec("csv", path)).text() == (
        f"{path}: cells are separated by semicolons; delimiter: says otherwise; 1 rows"
    )


def test_columns_of_a_pair_are_counted_without_one(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"t_en": "x", "t_sw": "y"}\n')
    fields = {"source": "t_{source}", "target": "t_{target}"}
    spec = DataSpec("jsonl", path, fields=fields, answer="target")
    assert survey(spec).text() == "1 rows"
