"""What a page may read and load, whatever a browser sends it: files, links, models, citations."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.core.errors import ConfigError, DataError, IclError
from icl.experiment.file import load_experiment
from icl.experiment.samples import find_samples
from icl.prompts.template_file import read_template
from icl.workbench.experiment_draft import Draft, check, draft_yaml, run_draft, save_draft
from icl.workbench.jobs import JobProgress
from icl.workbench.workbench import Workbench
from tests.table_experiment import write
from tests.workbench.conftest import TABLE, screen, used

ROW = '{"id": "a", "question": "canary", "answer": "x"}\n'
OWN = "---\ntask: classify\nlabels: NAMED\n---\n[[example]]\n{{ utt }}||| {{ label }}\n"
OUTSIDE = (
    "is not read by this page; accepted: files under the experiment's folder, the samples, and "
    "the data of the experiment that it was started with, unchanged: icl app FILE"
)


def asking(work: Workbench, **changes: Any) -> str:
    """A draft about one's own rows, with parts of it changed."""
    whole: dict[str, Any] = {
        "name": "attack", "models": {"t": TABLE},
        "data": {"mine": {"format": "jsonl", "path": "mine.jsonl", "answer": "answer"}},
        "tasks": [{"task": "generate", "prompt": "generate/question", "rows": {"data": "mine"}}],
    }  # fmt: skip
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = whole
        for parent in parents:
            place = place[int(parent[1:])] if parent[1:].isdigit() else place[parent]
        place[last] = value
    return yaml.safe_dump(whole)


def refused(work: Workbench, text: str) -> str:
    """What all that takes a draft says to it, in one line."""
    told = set()
    for take in (check, save_draft, lambda w, t: run_draft(w, t, JobProgress(threading.Event()))):
        with pytest.raises(IclError) as caught:
            take(work, text)
        told.add(str(caught.value))
    (line,) = told
    assert "canary" not in line and "\n" not in line
    return line


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the experiment's folder."""
    made = tmp_path / "secret.jsonl"
    made.write_text(ROW)
    return made


def test_rows_under_the_folder_are_read(work: Workbench) -> None:
    (work.base / "mine.jsonl").write_text(ROW)
    assert len(check(work, asking(work)).points) == 1
    (work.base / "here.jsonl").symlink_to("mine.jsonl")
    check(work, asking(work, data__mine__path="here.jsonl"))
    check(work, asking(work, data__mine__path=str(find_samples() / "generate" / "eng.jsonl")))


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "lines", "conll", "parquet", "massive"])
def test_no_draft_reads_a_file_of_the_system(work: Workbench, kind: str, secret: Path) -> None:
    for path in (
        "/etc/passwd",
        "/proc/self/environ",
        "../secret.jsonl",
        str(secret),
        "~/x.jsonl",
        "../*.jsonl",
        "{split}/../../secret.jsonl",
        "/etc/pass*",
        "..",
        "/",
        "/no/such/file",
    ):
        told = refused(work, asking(work, data__mine__path=path, data__mine__format=kind))
        assert told == f"data mine: {path} {OUTSIDE}"


def test_no_link_leads_outside(work: Workbench, secret: Path, tmp_path: Path) -> None:
    (work.base / "mine.jsonl").symlink_to(secret)
    (work.base / "part-1.jsonl").write_text(ROW)
    (work.base / "part-2.jsonl").symlink_to("/etc/passwd")
    (work.base / "way").symlink_to(tmp_path)
    (work.base / "packed.jsonl.gz").symlink_to(secret)
    folder = work.base / "rows"
    folder.mkdir()
    (folder / "en-US.jsonl").symlink_to(secret)
    for path in (
        "mine.jsonl",
        "way/secret.jsonl",
        "part-*.jsonl",
        "part-{split}.jsonl",
        "rows/../mine.jsonl",
        "packed.jsonl",
        "rows",
        "way",
    ):
        told = refused(work, asking(work, data__mine__path=path))
        assert told == f"data mine: {path} {OUTSIDE}"


def test_no_language_or_split_leads_outside(work: Workbench, secret: Path) -> None:
    (work.base / "mine.jsonl").write_text(ROW)
    for part in ("split", "locale"):
        text = asking(
            work,
            data__mine__path=f"{{{part}}}.jsonl",
            tasks___0__rows={"data": "mine", part: "../secret"},
        )
        assert "'../secret' is no language or split" in refused(work, text)
    asked = screen(work, "translation/plain", data="samples/translation", source="../../x")
    with pytest.raises(ConfigError, match=r"'\.\./\.\./x' is no language or split"):
        work.rows(asked)
    with pytest.raises(ConfigError, match="is no language or split"):
        work.bind(asked)


def test_other_files_that_a_draft_names_are_bounded(work: Workbench, secret: Path) -> None:
    (work.base / "mine.jsonl").write_text(ROW)
    (secret.parent / "x.bib").write_text("canary")
    judge = {"judge": {"model": "t", "human": str(secret)}}
    for changes, named in (
        ({"grid": {"shots": [{"file": str(secret)}]}}, f"shots: file: {secret}"),
        ({"grid": {"shots": [{"file": "../secret.jsonl"}]}}, "shots: file: ../secret.jsonl"),
        ({"data__mine__cite": "../x.bib"}, "data mine: cite: ../x.bib"),
        ({"data__mine__cite": str(secret.parent / "x.bib")}, "data mine: cite: "),
        ({"base": ".."}, "base: .."),
        ({"base": "/etc"}, "base: /etc"),
        ({"tasks___0__metrics": [judge]}, f"metrics: human: {secret}"),
        ({"data__mine__format": "hf", "data__mine__path": "org/name"}, "data mine: org/name"),
        (
            {
                "grid": {"tasks.generate.rows.data": ["far"]},
                "data__far": {"format": "jsonl", "path": "/etc/passwd"},
            },
            "data far: /etc/passwd",
        ),
    ):
        told = refused(work, asking(work, **changes))
        assert named in told and OUTSIDE in told


def test_templates_and_labels_outside_are_not_read(work: Workbench, tmp_path: Path) -> None:
    text = "---\ntask: generate\n---\n[[example]]\n{{ question }}||| {{ target }}\n"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "t.j2").write_text(text)
    (work.base / "mine.jsonl").write_text(ROW)
    (work.base / "way").symlink_to(tmp_path / "out")
    judge = {"judge": {"model": "t", "prompt": "../out/t.j2"}}
    for changes in (
        {"tasks___0__prompt": "way/t.j2"},
        {"tasks___0__prompt": "../out/t.j2"},
        {"tasks___0__metrics": [judge]},
        {"tasks___0__prompt": str(tmp_path / "out" / "t")},
    ):
        with pytest.raises(IclError, match="unknown template"):
            run_draft(work, asking(work, **changes), JobProgress(threading.Event()))
    with pytest.raises(IclError, match="unknown template"):
        read_template(str(tmp_path / "out" / "t"))
    (tmp_path / "out" / "l.yaml").write_text("labels: {canary: canary}\n")
    named = OWN.replace("NAMED", f"{tmp_path}/out/l")
    with pytest.raises(IclError, match="unknown label table") as caught:
        work.sandbox.bind(named, "intent/plain", "en")
    assert "canary" not in str(caught.value)


def test_the_data_it_was_started_with_are_read_unchanged(tmp_path: Path, secret: Path) -> None:
    file = write(tmp_path)
    whole = yaml.safe_load(file.read_text())
    whole["data"]["far"] = {"format": "jsonl", "path": "../secret.jsonl", "answer": "answer"}
    base = tmp_path / "base"
    base.mkdir()
    (base / "intent.j2").write_text((tmp_path / "intent.j2").read_text())
    (base / "small.yaml").write_text(yaml.safe_dump(whole))
    given = load_experiment(base / "small.yaml")
    made = Workbench(given.raw["models"], given.base, tmp_path / "private", given)
    try:
        far = dict(given.raw["data"]["far"])
        rows = {"data": "far"}
        text = asking(made, data={"far": far}, tasks___0__rows=rows)
        assert run_draft(made, text, JobProgress(threading.Event())).computed == 1
        for change in ({"answer": "question"}, {"path": str(secret)}, {"format": "csv"}):
            told = refused(made, asking(made, data={"far": far | change}, tasks___0__rows=rows))
            assert told.startswith("data far: ") and OUTSIDE in told
    finally:
        made.sandbox.close()


def test_only_models_that_are_here_are_loaded(
    work: Workbench, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: Any, **named: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    (work.base / "mine.jsonl").write_text(ROW)
    for source in ("org/no-such-model", "pypi:pip", "pypi:no-such", str(tiny_model), "../model"):
        told = refused(work, asking(work, models__t={"source": source}))
        assert told.startswith(f"model {source!r} is not here, and this page fetches none; ")
        assert told.endswith("icl app --model SOURCE, or icl app FILE")
        with pytest.raises(ConfigError, match="is not here, and this page fetches none"):
            work.bind(screen(work, "intent/plain", model=source))
    dense = {"shots": [{"k": 1, "select": "dense", "encoder": "org/encoder"}]}
    told = refused(work, asking(work, grid=dense, tasks___0__pool={}))
    assert told.startswith("model 'org/encoder' is not here")
    axis = asking(work, grid={"models.t.source": ["org/other"]}, models__t={"source": "./x"})
    assert refused(work, axis).startswith("model 'org/other' is not here")
    (work.base / "copy").symlink_to(tiny_model)
    assert "is not here" in refused(work, asking(work, models__t={"source": "./copy"}))


def test_models_it_was_started_with_and_its_folder_are_loaded(
    tmp_path: Path, tiny_model: Path
) -> None:
    import shutil

    base = tmp_path / "base"
    base.mkdir()
    (base / "mine.jsonl").write_text(ROW)
    shutil.copytree(tiny_model, base / "copy")
    made = Workbench({"far": {"source": str(tiny_model)}}, base, tmp_path / "private")
    try:
        assert made.bounds.sources == {str(tiny_model)}
        for source in (str(tiny_model), "copy", "./copy"):
            check(made, asking(made, models__t={"source": source, "width": "fp32"}))
    finally:
        made.sandbox.close()


def test_uploads_are_found_by_their_whole_name_alone(work: Workbench) -> None:
    name = used(work, "rows.jsonl", ROW)
    assert len(name) == len("uploads/rows-.jsonl") + 16
    assert [row.id for row in work.rows(screen(work, "generate/question", data=name))] == ["a"]
    lost = replace(screen(work, "generate/question"), data="uploads/../../secret.jsonl")
    with pytest.raises(DataError, match="is no longer here; upload the file again"):
        work.rows(lost)
    for path in (work.private / name, work.private / "uploads"):
        assert OUTSIDE in refused(work, asking(work, data__mine__path=str(path)))


def test_the_form_makes_drafts_that_may_run(work: Workbench) -> None:
    for name, source in work.sources.items():
        folder = name.removeprefix("samples/")
        kinds = {"extract": "json", "choose": "instructed", "generate": "question"}
        draft = Draft(
            "one",
            name,
            [f"{folder}/{kinds.get(folder, 'plain')}"],
            ["t"],
            locales=source.locales[:1],
            sources=source.sources[:1],
            targets=source.targets[1:2],
            n=1,
        )
        check(work, draft_yaml(work, draft))


def test_parsing_lists_no_files_outside_and_reads_no_words_there(
    work: Workbench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A pattern of locales would name the files of a folder in its error."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.jsonl").write_text("{}\n")
    (outside / "words.yaml").write_text("words: {a: {fi: b}}\n")
    told = refused(
        work,
        asking(work, data__mine__path=f"{outside}/{{locale}}.jsonl", tasks__t0__rows__locale="x*"),
    )
    assert "is not read by this page" in told and "secret" not in told
    for key in ("words", "labels"):
        told = refused(work, asking(work, **{key: f"{outside}/words.yaml"}))
        assert "is not read by this page" in told
