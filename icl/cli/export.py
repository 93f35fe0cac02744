"""The command ``icl export``: one condition as a file for production."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icl.cli.common import MOVE, Out, app, pasted
from icl.core.errors import StoreError
from icl.core.safe_print import echo, echo_data


@app.command(rich_help_panel=MOVE)
def export(
    condition: Annotated[str, typer.Argument(metavar="RUN#CONDITION", help="As in quickstart#2.")],
    kind: Annotated[str, typer.Option("--as", help="python, openai or messages.")] = "python",
    file: Annotated[
        Path | None, typer.Option("-o", "--output", help="File; the screen by default.")
    ] = None,
    shots_of: Annotated[
        str | None, typer.Option("--shots-of", help="Fix the shots to those of this row.")
    ] = None,
    out: Out = Path("runs"),
) -> None:
    """Write a condition as one file for production, without this package."""
    from icl.core.files import replace_file
    from icl.records.results import load_run
    from icl.reports.export_python import export as made_of

    name, mark, rest = condition.partition("#")
    run = load_run(name, out)
    if not mark or not rest:
        raise StoreError(
            f"name a condition as {name}#1: a number from 1 to {len(run.conditions)}, the first "
            "digits of its fingerprint, or its axes"
        )
    text = made_of(run, rest, kind, shots_of)
    if file is None:
        echo_data(text)
        return
    replace_file(file, text)
    checked = f"; check it: python {pasted(file)}" if kind != "messages" else ""
    echo(f"{file}: {run.name}#{rest}{checked}", err=True)
