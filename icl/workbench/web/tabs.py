"""The tabs of the page, one file each: a new one is a class and a line in :data:`TABS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import gradio as gr

from icl.workbench.queue import Turns
from icl.workbench.session import Workplace
from icl.workbench.web.widgets import SECRET

__all__ = ["App", "ENGINE", "QUICK", "TABS", "Tab", "build"]


TABS: tuple[tuple[str, str], ...] = (
    ("Playground", "icl.workbench.web.playground.tab:Playground"),
    ("Compare", "icl.workbench.web.compare.tab:Compare"),
    ("Experiment", "icl.workbench.web.experiment:Experiment"),
    ("Results", "icl.workbench.web.results.tab:Results"),
    ("Blind A/B", "icl.workbench.web.blind_ab:Blind"),
)
"""(title, ``module:class``) in the order shown."""
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Of events that ask no model: answered at once, beside whatever runs."""
ENGINE: dict[str, Any] = {
    "concurrency_id": "engine",
    "concurrency_limit": 17,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Of events that ask the model: one at a time, for all sessions, since each goes through
:func:`icl.workbench.web.widgets.in_turn`; 16 can wait in its line, which tells them where they
are."""


class Tab(Protocol):
    """What a tab is: made with the :class:`App`, then laid out once.

    ``typed``, where a tab has it, are text boxes whose texts the browser keeps over a reload.
    """

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and say what calls what."""
        ...


@dataclass
class App:
    """What tabs share."""

    work: Workplace
    tabs: dict[str, Any] = field(default_factory=dict)
    """Title -> the tab, for those that were made before."""
    loads: list[list[dict[str, Any]]] = field(default_factory=list)
    """``fn``, ``inputs`` and ``outputs`` to be called in turn when a page is opened."""
    top: Any = None
    """The ``gr.Tabs`` of the page: ``gr.Tabs(selected="results")`` as an output opens a tab."""
    page: Any = None
    """The ``gr.Tab`` that is laid out now."""
    turns: Turns = field(default_factory=Turns)
    """Who asks the model, and who waits."""
    leaves: list[Callable[[gr.Request], None]] = field(default_factory=list)
    """To be called when a page is closed."""

    def leave(self, request: gr.Request) -> None:
        """A page was closed."""
        for one in self.leaves:
            one(request)


def build(app: App) -> None:
    """Lay out all tabs inside an open ``gr.Blocks``, and call them when pages open and close."""
    # Made before tabs are laid out: what a browser keeps must stand outside of them, since Gradio
    # mounts a tab when it is first opened.
    store = gr.BrowserState(None, storage_key="icl-typed", secret=SECRET)
    for title, place in TABS:
        module, _, name = place.partition(":")
        app.tabs[title] = getattr(import_module(module), name)(app)
    with gr.Tabs(elem_id="tabs") as app.top:
        for title, tab in app.tabs.items():
            key = title.split()[0].lower()
            with gr.Tab(title, id=key, elem_id=f"tab-{key}") as app.page:
                tab.build()
    _keep_typed(app, store)


def _keep_typed(app: App, store: Any) -> None:
    """Let the browser keep what is typed into boxes that no state of a tab holds."""
    boxes = [box for tab in app.tabs.values() for box in getattr(tab, "typed", ())]
    ready = gr.State(False)

    def keep(ready: bool, *texts: str) -> Any:
        return list(texts) if ready else gr.skip()

    def put_back(kept: Any) -> list[Any]:
        fits = isinstance(kept, list) and len(kept) == len(boxes)
        return [*([str(text or "") for text in kept] if fits else [gr.skip()] * len(boxes)), True]

    gr.on(
        [box.change for box in boxes],
        keep,
        [ready, *boxes],
        store,
        trigger_mode="always_last",
        **QUICK,
    )
    app.loads.append([{"fn": put_back, "inputs": store, "outputs": [*boxes, ready]}])
