"""A run in which rows, labels, outputs, names and templates all try to become markup."""

from __future__ import annotations

import json
from pathlib import Path

from icl.records.results import Run
from icl.running.run import run
from tests.table_experiment import write

__all__ = ["HOSTILE", "hostile_run"]


def hostile(number: int, text: str) -> str:
    return text.replace("MARK", f"mark{number}")


HOSTILE = [
    "<script>MARK</script>", "<img src=x onerror=MARK>", "<svg onload=MARK>", "</div><b>MARK",
    "</style><script>MARK</script>", "<!-- MARK", "--><i>MARK", "<![CDATA[MARK]]>", "MARK]]>",
    "<style>*{display:none}</style>MARK", "<meta http-equiv=refresh content=0;url=//e.vil>MARK",
    '"><iframe src=//e.vil>MARK', "'><object data=x>MARK", "javascript:MARK", "${MARK}",
    "{{ MARK }}", "{% MARK %}", "`MARK`", "$MARK$ and $x^2$", "$\\frac{MARK}$",
    "![MARK](http://e.vil/x.png)", "<a href=javascript:MARK>x</a>", "=HYPERLINK(\"MARK\")",
    "\u202eMARK", "\u2066MARK", "\u200bMARK\ufeff", "MARK\x1b[31m", "MARK\x08\x7f\x9b",
    "&lt;script&gt;MARK", "&#60;script&#62;MARK", "<base href=//e.vil>MARK", "<form><input>MARK",
    "<math><mtext><script>MARK", "<title>MARK</title>", "<plaintext>MARK", "<textarea>MARK",
    "x" * 9000 + "MARK", "<" * 3000 + "MARK", "MARK\ud800", "\x00MARK\x00",
]  # fmt: skip


def hostile_run(folder: Path) -> Run:
    """Two tasks with each of the texts as input, label, answer and target."""
    labels = {f"l{i}": hostile(i, one) for i, one in enumerate(HOSTILE) if i < 36}
    head = json.dumps({**labels, **{f"<b onclick=x>{i}": str(i) for i in range(3)}})
    rows = [
        {"id": f"r{i}", "utt": f"{i} {hostile(i, one)}", "intent": f"l{i % 36}", "split": split}
        for split in ("test", "train")
        for i, one in enumerate(HOSTILE)
    ]
    for row in rows:
        row["id"] = f"{row['split'][:2]}<u>{row['id']}"
        row["utt"] = f"{row['split']} {row['utt']}"
    write(folder)
    body = "[[instruction]]\n<script>in()</script>\n[[example]]\n{{ utt }}\nIs:||| {{ label }}\n"
    name = "<i onload=x>$a$.j2"
    (folder / name).write_text(f"---\ntask: classify\nlabels: {head}\nstop: ['\\n']\n---\n{body}")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "echo.j2").write_text(
        "---\ntask: generate\n---\n[[example]]\n{{ utt }}||| {{ target }}\n"
    )
    answers = {row["utt"]: " " + row["utt"] for row in rows if len(row["utt"]) < 500}
    tasks = [
        {
            "task": "intent",
            "prompt": name,
            "rows": {"data": "rows", "split": "test"},
            "pool": {"split": "train"},
        },
        {
            "task": "generate",
            "prompt": "echo.j2",
            "rows": {"data": "rows", "split": "test"},
            "pool": {"split": "train"},
            "sampling": {"max_tokens": 50},
        },
    ]
    engine = {"engine": "table", "default": "hash", "answers": answers, "window": 9000}
    grid = {"shots": [0, {"k": 2, "select": "bm25"}, {"k": 3, "select": "bm25"}]}
    models = {"<q>$m$": engine}
    file = write(folder, tasks=tasks, models=models, grid=grid)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run(str(file), folder / "runs")
