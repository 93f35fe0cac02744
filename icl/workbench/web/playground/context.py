"""What the panels of the Playground share: the layout, its values, and the preview of a screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from icl.engines.table import Uncounted
from icl.experiment.condition import Condition, Request
from icl.workbench.model_status import Opening, Openings
from icl.workbench.screen import Screen
from icl.workbench.session import Seen, Workplace
from icl.workbench.web.playground.layout import Layout
from icl.workbench.web.tabs import App

__all__ = ["PlaygroundContext", "PromptPreview"]


@dataclass(frozen=True)
class PromptPreview:
    """The prompt of a screen."""

    seen: Seen
    request: Request
    counted: bool
    """Whether the model's tokenizer counted its tokens; without it no shot was dropped to fit."""

    @property
    def condition(self) -> Condition:
        """The condition that the screen stands for."""
        return self.seen.condition


@dataclass(frozen=True)
class PlaygroundContext:
    """What a panel needs to know of the tab that holds it."""

    app: App
    first: Screen
    """What a page shows that was just opened."""
    openings: Openings
    """The tokenizers of all models, opened at first need."""
    at: Layout
    """The components."""
    inputs: list[Any]
    """The components that a screen is read from."""
    previewing: dict[str, Any]
    """The event that shows the prompt again: ``fn``, ``inputs`` and ``outputs``."""
    store: Any
    """What the browser keeps of the tab."""

    @property
    def work(self) -> Workplace:
        """What all pages share."""
        return self.app.work

    def opening(self, condition: Condition) -> Opening:
        """The tokenizer of a condition's model."""
        return self.openings.of(condition.point.engine_key)

    def view(self, screen: Screen) -> PromptPreview:
        """Render the prompt of a screen, and begin to open the model's tokenizer.

        Raises:
            IclError: whatever ``icl run`` of the screen's experiment would refuse.
        """
        seen = self.work.seen(screen)
        opening = self.opening(seen.condition)
        if screen != self.first:  # a page that was only opened needs no model
            opening.begin(seen.condition.engine)
        used = seen.condition
        if not opening.open:
            used = replace(used, engine=Uncounted(window=10**9))
        return PromptPreview(seen, used.request(seen.example), opening.open)
