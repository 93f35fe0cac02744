"""The command ``icl app``: the web workbench."""

from __future__ import annotations

from typing import Annotated

import typer

from icl.cli.common import START, app
from icl.core.safe_print import echo


@app.command("app", rich_help_panel=START)
def app_(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="[EXPERIMENT]", help="Its models and data are offered."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Hub id, folder, .gguf file or pypi:NAME.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="By default the first free one from 7860."),
    ] = None,
) -> None:
    """Open the web workbench on this machine; Ctrl+C ends it."""
    from icl.workbench.web.launch import serve

    serve(
        model,
        host,
        port,
        experiment=experiment,
        ready=lambda url: echo(f"the workbench is at {url}"),
    )
