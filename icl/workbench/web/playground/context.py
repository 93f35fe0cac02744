"""The context that the Playground's panels share: layout, values, and the preview of a screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from icl.engines.table import UncountedEngine
from icl.experiment.condition import Condition, Request
from icl.workbench.answer_shelf import AnswerShelf
from icl.workbench.model_status import TokenizerLoader, TokenizerLoaders
from icl.workbench.screen import Screen
from icl.workbench.web.playground.layout import PlaygroundLayout
from icl.workbench.web.tabs import App
from icl.workbench.workbench import ScreenCondition, Workbench

__all__ = ["PlaygroundContext", "PromptPreview"]


@dataclass(frozen=True)
class PromptPreview:
    """The rendered prompt of a screen."""

    seen: ScreenCondition
    request: Request
    counted: bool
    """Whether tokens were counted by the model's tokenizer; if not, no shot was dropped to fit."""

    @property
    def condition(self) -> Condition:
        """The condition that the screen represents."""
        return self.seen.condition


@dataclass(frozen=True)
class PlaygroundContext:
    """The parts of the Playground tab that its panels use."""

    app: App
    first: Screen
    """The screen of a page that was just opened."""
    tokenizers: TokenizerLoaders
    """The tokenizers of all models, opened when first needed."""
    at: PlaygroundLayout
    """The components."""
    inputs: list[Any]
    """The components whose values make up a screen."""
    preview_event: dict[str, Any]
    """The event that renders the prompt again: ``fn``, ``inputs`` and ``outputs``."""
    store: Any
    """The component that stores the tab's values in the browser."""
    answers: AnswerShelf
    """The answers of all pages."""

    @property
    def work(self) -> Workbench:
        """The workbench that all pages share."""
        return self.app.work

    def tokenizer(self, condition: Condition) -> TokenizerLoader:
        """Return the tokenizer loader of a condition's model."""
        return self.tokenizers.of(condition.point.engine_key)

    def view(self, screen: Screen) -> PromptPreview:
        """Render the prompt of a screen, and start opening the model's tokenizer."""
        seen = self.work.bind(screen)
        tokenizer = self.tokenizer(seen.condition)
        if screen != self.first:  # a page that was only opened needs no model
            tokenizer.begin(seen.condition.engine)
        used = seen.condition
        if not tokenizer.open:
            used = replace(used, engine=UncountedEngine(window=10**9))
        return PromptPreview(seen, used.request(seen.example), tokenizer.open)
