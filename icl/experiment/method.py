"""The choice of the method (rank, channel or generate) that an engine supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from icl.core.errors import ConfigError
from icl.core.types import Choice, Method, Ranking
from icl.engines.ledger import RemoteEngine
from icl.engines.protocol import Engine, RenderingEngine
from icl.prompts.channel import Channel
from icl.prompts.template import Template

__all__ = ["choose_method", "write_choices"]


def choose_method(
    method: Method, template: Template, engine: Engine, ended: bool = True
) -> tuple[Method, Ranking | None, list[Choice]]:
    """Choose the method, the way a server ranks, and the choices that all rows share.

    Args:
        method: the requested method; a server without log-probabilities generates instead.
        template: a template with its labels.
        engine: the engine that answers.
        ended: whether the terminators of choices are scored.

    Raises:
        ConfigError: the channel method, with a server that cannot score prompts.
        TemplateError: the channel method, with a template that has no ``[[channel]]``.
    """
    shared = template.file.kind.labels == "shared"
    if method == "channel":
        channel = Channel(template).check()
        choices = channel.choices() if shared else []
        if (
            isinstance(engine, RemoteEngine)
            and engine.ranked_by([c.text for c in choices]) != "echo"
        ):
            raise ConfigError(
                "method: channel scores the input itself, and this server does not report the "
                "log-probabilities of a prompt; load the model with engine: hf, or use a server "
                "that echoes prompts"
            )
        return method, None, choices
    choices = template.choices() if shared else []
    ranking = _ranking(engine, choices) if method == "rank" else None
    if ranking == "generate":
        method = "generate"
    if method != "rank" or not ended:
        choices = [replace(choice, end="") for choice in choices]
    return method, ranking, write_choices(engine, choices)


def write_choices(engine: Engine, choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices in the form in which the engine scores them."""
    return (
        [engine.choice(c) for c in choices]
        if isinstance(engine, RenderingEngine)
        else list(choices)
    )


def _ranking(engine: Engine, choices: Sequence[Choice]) -> Ranking | None:
    """Return how a server's engine ranks these choices; None for other engines."""
    if not isinstance(engine, RemoteEngine):
        return None
    return engine.ranked_by([choice.text + choice.end for choice in choices])
