"""How an engine answers a template: by ranking, in one direction or the other, or by writing."""

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
    """How an engine answers a template: method, how a server ranks, and the shared choices.

    Args:
        method: the one asked for; a server that tells no log-probabilities writes instead.
        template: with its labels.
        engine: what answers.
        ended: whether the terminators of choices are scored.

    Raises:
        ConfigError: the noisy channel, and a server that scores no prompts.
        TemplateError: the noisy channel, and the template has no ``[[channel]]``.
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
                "method: channel scores the input itself, and this server does not tell the "
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
    """The choices as the engine scores them."""
    return (
        [engine.choice(c) for c in choices]
        if isinstance(engine, RenderingEngine)
        else list(choices)
    )


def _ranking(engine: Engine, choices: Sequence[Choice]) -> Ranking | None:
    """How a server's engine ranks these choices."""
    if not isinstance(engine, RemoteEngine):
        return None
    return engine.ranked_by([choice.text + choice.end for choice in choices])
