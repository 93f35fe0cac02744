"""``icl report``: where each format goes, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import call
from tests.madeup import Made, Row, made


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs, the working folder above it."""
    conditions = []
    for locale in ("en-US", "de-DE"):
        for prompt, right in (("one", 10), ("two", 20)):
            rows = [
                Row("abc"[i % 3], "abc"[i % 3] if i < right else "abc"[(i + 1) % 3])
                for i in range(30)
            ]
            conditions.append(Made(rows, {"locale": locale, "prompt": prompt}))
    made(tmp_path / "runs", *conditions, name="study")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_the_page_is_written_and_tables_are_printed(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = call(capsys, monkeypatch, "report", "study")
    assert (code, out) == (0, "runs/study/report.html\n"), err
    assert "<html" in (runs / "study" / "report.html").read_text("utf-8")
    code, out, _ = call(capsys, monkeypatch, "report", runs / "study", "-o", "page.html")
    assert (code, out) == (0, "page.html\n") and Path("page.html").is_file()
    _, out, _ = call(capsys, monkeypatch, "report", "--help")
    assert "Default: html;" in " ".join(out.split())
    code, out, _ = call(capsys, monkeypatch, "report", "study", "--rows", "locale")
    assert code == 0 and "classify · acc by locale" in out
    code, out, _ = call(
        capsys, monkeypatch, "report", "study", "--rows", "locale", "--cols", "prompt"
    )
    assert "▸ 66.7" in out and "Holm" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = call(capsys, monkeypatch, "report", "study", "--format", "text", "--appendix")
    assert "── template made (en)" in out and "In: text 0" in out


@pytest.mark.parametrize(
    ("format", "begins"),
    [("md", "## classify"), ("latex", "% needs:"), ("csv", "run,condition"), ("json", "{"),
     ("excel", "\ufeffrun,condition"), ("text", "classify")],
)  # fmt: skip
def test_every_format_is_printed_or_written(
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    begins: str,
) -> None:
    code, printed, err = call(capsys, monkeypatch, "report", "study", "--format", format)
    assert code == 0, err
    assert printed.startswith(begins)
    call(capsys, monkeypatch, "report", "study", "--format", format, "-o", "deep/file")
    written = Path("deep/file").read_bytes().decode("utf-8")
    assert written.replace("\r\n", "\n") == printed.replace("\r\n", "\n")
    code, out, _ = call(
        capsys,
        monkeypatch,
        "report",
        "study",
        "--format",
        format,
        "--rows",
        "prompt",
        "--cols",
        "locale",
        "--metric",
        "accuracy",
    )
    assert code == 0 and "en-US" in out
    if format == "json":
        assert len(json.loads(out)["pivots"][0]["places"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--format", "pdf"], "icl: unknown format 'pdf'. There are: csv, excel, html"),
        (["study", "--format", "markdwn"], "icl: unknown format 'markdwn'."),
        (["study", "--cols", "prompt"], "icl: --cols prompt needs --rows too: name the setting"),
        (["study", "--rows", "promt"], "icl: study: no setting 'promt'. Did you mean 'prompt'?"),
        (["study", "--format", "html", "--rows", "prompt"], "no --rows: use --format text, md"),
        (["study", "--format", "html", "--rows", ""], "no --rows: use --format text, md"),
        (["study", "--metric", "acc"], "icl: --format html has no --metric: the page shows all"),
        (["study", "--appendix"], "icl: --format html has no --appendix: the page contains the"),
        (["study", "--format", "csv", "--appendix"], "csv has no --appendix: use --format md"),
        (["study", "--format", "md", "--metric", "bleuu"], "study has no scores of 'bleuu'"),
        (["study", "--format", "csv", "--metric", "acc"], "no scores of 'acc'. Did you mean"),
        (["studdy"], "icl: no run 'studdy' in runs. Did you mean 'study'?"),
        (["study", "--format", "md", "-o", "runs"], "icl: runs is a folder, and only a plain file"),
    ],
)
def test_mistakes_are_one_line(
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    code, out, err = call(capsys, monkeypatch, "report", *arguments)
    assert code == 2
    assert message in err and err.count("\n") == 1 and not out
