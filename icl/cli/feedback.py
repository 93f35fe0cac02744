"""The command ``icl feedback``: verdicts on outputs, and the approved answers as a shot file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from icl.cli.common import READ, app
from icl.core.safe_print import echo


@app.command(rich_help_panel=READ, hidden=True)
def feedback(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="feedback.jsonl of the workbench.")
    ] = Path("feedback.jsonl"),
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a shot file here.")
    ] = None,
) -> None:
    """Count the verdicts on outputs; with -o, write the approved answers as a shot file."""
    from icl.records.feedback import collect_shots, read, write_shots

    found = read(file)
    counts = Counter(one.verdict for one in found)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    rows = collect_shots(found)
    echo(f"{len(found)} verdicts: {told or 'none'}; {len(rows)} rows with a right answer")
    if out is not None:
        write_shots(out, rows)
        echo(f"{out}: use it in an experiment as  shots: [{{file: {out}}}]")
