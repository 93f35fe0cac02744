"""The tabs of the page, one file or folder each; add a class and a line in :data:`TABS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import gradio as gr

from icl.workbench.queue import ModelQueue
from icl.workbench.web.widgets import SECRET, NewestAnswer
from icl.workbench.workbench import Workbench

__all__ = ["App", "ENGINE", "QUICK", "TABS", "Tab", "build"]


TABS: tuple[tuple[str, str], ...] = (
    ("Playground", "icl.workbench.web.playground.tab:PlaygroundTab"),
    ("Compare", "icl.workbench.web.compare.tab:CompareTab"),
    ("Experiment", "icl.workbench.web.experiment:ExperimentTab"),
    ("Results", "icl.workbench.web.results.tab:ResultsTab"),
    ("Blind A/B", "icl.workbench.web.blind_ab:BlindTab"),
)
"""(title, ``module:class``) in the order shown."""
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of events that do not use the model: they are answered at once, whatever is running."""
ENGINE: dict[str, Any] = {
    "concurrency_id": "engine",
    "concurrency_limit": 17,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Options of events that use the model: one at a time for all pages, because each goes through
:func:`icl.workbench.web.widgets.wait_in_queue`; 16 can wait in its queue, which shows their places.
"""


class Tab(Protocol):
    """Interface of a tab: created with the :class:`App`, then laid out once."""

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and wire its events."""
        ...


@dataclass
class App:
    """The page's parts that all tabs share."""

    work: Workbench
    tabs: dict[str, Any] = field(default_factory=dict)
    """Title -> tab, for the tabs created so far."""
    loads: list[list[dict[str, Any]]] = field(default_factory=list)
    """Chains of ``fn``, ``inputs`` and ``outputs`` to call when a page is opened."""
    top: Any = None
    """The page's ``gr.Tabs``; the output ``gr.Tabs(selected="results")`` opens a tab."""
    page: Any = None
    """The ``gr.Tab`` being laid out."""
    reports: bool = True
    """Whether report pages of runs have an address; behind a password they have none."""
    queue: ModelQueue = field(default_factory=ModelQueue)
    """The queue for the model."""
    leaves: list[Callable[[gr.Request], None]] = field(default_factory=list)
    """Functions to call when a page is closed."""

    def browser_state(self, key: str) -> Any:
        """Make a store of a tab's values in the browser, for this folder and experiment alone."""
        return gr.BrowserState(None, storage_key=f"{key}-{self.work.home}", secret=SECRET)

    def leave(self, request: gr.Request) -> None:
        """Clean up after a page that was closed."""
        for one in self.leaves:
            one(request)


def build(app: App) -> None:
    """Lay out all tabs inside an open ``gr.Blocks``."""
    # Made before tabs are laid out: what a browser keeps must stand outside of them, since Gradio
    # mounts a tab when it is first opened.
    store = app.browser_state("icl-typed")
    gr.HTML("<p><b>icl</b> workbench</p>", elem_id="brand", js_on_load=None)
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
    """Let the browser store texts of boxes that no tab stores itself."""
    boxes = [box for tab in app.tabs.values() for box in getattr(tab, "typed", ())]
    linked = [box for tab in app.tabs.values() for box in getattr(tab, "linked", ())]
    ready = gr.State(False)

    def keep(request: gr.Request, ready: bool, *texts: str) -> Any:
        return list(texts) if ready else gr.skip()

    def put_back(request: gr.Request, kept: Any) -> list[Any]:
        if not isinstance(kept, list) or len(kept) != len(boxes):
            return [*[gr.skip()] * len(boxes), True]
        # A link to a record says what its boxes hold.
        named = linked if request.query_params.get("run") else []
        texts = zip(boxes, kept, strict=True)
        return [*(gr.skip() if box in named else str(text or "") for box, text in texts), True]

    newest = NewestAnswer()
    gr.on(
        [box.change for box in boxes],
        trigger_mode="always_last",
        **newest.event(keep, [ready, *boxes], [store]),
        **QUICK,
    )
    app.leaves.append(newest.leave)
    app.loads.append([{"fn": put_back, "inputs": store, "outputs": [*boxes, ready]}])
