"""The report page of a run at an address, as ``icl report RUN`` writes it to a file."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse

from icl.core.errors import IclError
from icl.core.safe_text import clean
from icl.reports.page.page import report_page
from icl.workbench.browse_runs import RunBrowser, copy_run
from icl.workbench.web.figures import DRAWING

__all__ = ["ADDRESS", "add_report", "report_link"]


ADDRESS = "/report"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Content security policy in the header: no script, no request, no form."""


def report_link(run: str) -> str:
    """Write the link to a run's report page, which opens in a new tab."""
    address = escape(f"{ADDRESS}?{urlencode({'run': run}, errors='replace')}")
    return f'<a href="{address}" target="_blank" rel="noopener">Report page ↗</a>'


def add_report(api: FastAPI, browser: RunBrowser) -> None:
    """Answer the address of report pages, for the runs of a browser alone."""

    def report(request: Request) -> Any:
        try:
            run = copy_run(browser.run(request.query_params.get("run", "")))
            with DRAWING:
                page = report_page(run)
        except IclError as error:
            return PlainTextResponse(clean(str(error)), 404)
        return HTMLResponse(page, headers={"content-security-policy": POLICY})

    api.add_api_route(ADDRESS, report, methods=["GET"], response_model=None)
