"""What the panels of the Playground share: the layout, its values, and the preview of a screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from icl.engines.table import UncountedEngine
from icl.experiment.condition import Condition, Request
from icl.workbench.model_status import TokenizerLoader, TokenizerLoaders
from icl.workbench.screen import Screen
from icl.workbench.web.playground.layout import PlaygroundLayout
from icl.workbench.web.tabs import App
from icl.workbench.workbench import ScreenCondition, Workbench

__all__ = ["PlaygroundContext", "PromptPreview"]


@dataclass(frozen=True)
class PromptPreview:
    """The prompt of a screen."""

    seen: ScreenCondition
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
    tokenizers: TokenizerLoaders
    """The tokenizers of all models, opened at first need."""
    at: PlaygroundLayout
    """The components."""
    inputs: list[Any]
    """The components that a screen is read from."""
    preview_event: dict[str, Any]
    """The event that shows the prompt again: ``fn``, ``inputs`` and ``outputs``."""
    store: Any
    """What the browser keeps of the tab."""

    @property
    def work(self) -> Workbench:
        """What all pages share."""
        return self.app.work

    def tokenizer(self, condition: Condition) -> TokenizerLoader:
        """The tokenizer of a condition's model."""
        return self.tokenizers.of(condition.point.engine_key)

    def view(self, screen: Screen) -> PromptPreview:
        """Render the prompt of a screen, and begin to open the model's tokenizer.

        Raises:
            IclError: whatever ``icl run`` of the screen's experiment would refuse.
        """
        seen = self.work.bind(screen)
        tokenizer = self.tokenizer(seen.condition)
        if screen != self.first:  # a page that was only opened needs no model
            tokenizer.begin(seen.condition.engine)
        used = seen.condition
        if not tokenizer.open:
            used = replace(used, engine=UncountedEngine(window=10**9))
        return PromptPreview(seen, used.request(seen.example), tokenizer.open)
