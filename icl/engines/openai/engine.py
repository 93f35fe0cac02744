"""The engine that sends requests to a server: options, identity, generation and ranking."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from icl.core.answer_forms import FormKind
from icl.core.errors import ChoiceError, EngineError, ModelError
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Choice, ChoiceScore, OnToken, Output, Prompt, Sampling, Token
from icl.core.types import Ranking as RankedBy
from icl.engines.protocol import RowFailure
from icl.engines.reasoning import PAIRS, Delimiters, find_delimiters
from icl.engines.requests import check_sampling, group_by_row, group_by_text
from icl.prompts.chat_template import make_messages, trim_opening

__all__ = ["ENGINE_VERSION", "OpenAIEngine"]


if TYPE_CHECKING:
    from icl.engines.ledger import Ledger
    from icl.engines.openai.backend import Backend
    from icl.engines.openai.client import Link

ENGINE_VERSION = 1
"""Raised when a change of this engine changes answers; part of every fingerprint."""

Api = Literal["auto", "completions", "chat"]
Ranking = Literal["auto", "echo", "first_token", "generate"]
Forms = Literal["auto", "structured_outputs", "grammar", "response_format", "never"]


class _ServerWindow:
    """The window given in the entry, or else the server's, requested when first needed."""

    def __get__(self, engine: OpenAIEngine | None, owner: type) -> int:
        if engine is None:
            return 0  # the default of the field: none given
        return engine.asked_window or engine.backend.window

    def __set__(self, engine: OpenAIEngine, tokens: int | None) -> None:
        engine.asked_window = tokens


@dataclass
class OpenAIEngine:
    """A model behind a server's URL; no request is sent before its answer is needed.

    >>> engine = OpenAIEngine("http://127.0.0.1:8000/v1", "Qwen/Qwen3-0.6B")   # doctest: +SKIP
    >>> engine.ranked_by([" yes", " no"])                                      # doctest: +SKIP
    'echo'
    """

    source: str
    """The URL up to ``/v1``."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = None
    """Environment variable that holds the key; keys are stored nowhere else."""
    api: Api = "auto"
    """``completions`` sends the prompt's text, ``chat`` its turns; ``auto``: text if it can."""
    ranking: Ranking = "auto"
    """Way in which choices are ranked; ``auto`` uses the first of these that the server
    supports."""
    window: _ServerWindow = _ServerWindow()
    """Tokens of prompt and answer together; by default the window that the server reports."""
    tokenizer: str | None = None
    """Folder or hub id of a tokenizer for counting, if the server counts no tokens."""
    concurrency: int = 8
    """Most requests at the same time."""
    timeout_s: float = 60.0
    """Most seconds for one whole answer."""
    requests_per_minute: float | None = None
    """Most requests started in a minute."""
    retries: int = 5
    """Most retries of a request that failed for a reason that may pass."""
    backoff_s: float = 0.5
    """Longest pause before the first retry, in seconds; it doubles with each retry."""
    price: Mapping[str, float] | None = None
    """Price of a million tokens: ``{input: 0.15, output: 0.60}``."""
    max_cost: float | None = None
    """Most money that the answers may cost, including those of earlier runs."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More of the request's body, as the server knows it: ``{chat_template_kwargs: …}``.

    It overrides what icl would send, and null removes a key."""
    reasoning: Sequence[str] | str = "auto"
    """The two texts around a block of reasoning; ``auto``: those that are known, or ``never``."""
    forms: Forms = "auto"
    """Field that carries the form of an answer: ``structured_outputs`` (vLLM), ``grammar``
    (llama.cpp), ``response_format``, ``never``; ``auto``: the first that the server applies."""
    max_failures: int | None = None
    """Rows of a condition that may be left unscored; by default 5 % of them, at least 3."""
    asked_window: int | None = field(default=None, init=False, repr=False, compare=False)
    """The window given in the entry; None: the server's own."""
    _backend: Backend | None = field(default=None, init=False, repr=False)
    _lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def backend(self) -> Backend:
        """Return the model behind its server, with the server's capabilities, at first need.

        Raises:
            ModelError: an option that is wrong, a key that is missing, or httpx is not installed.
        """
        with self._lock:
            if self._backend is None:
                self._backend = _backend(self)
            return self._backend

    @property
    def link(self) -> Link:
        """The connection to the server.

        Raises:
            ModelError: an option that is wrong, a key that is missing, or httpx is not installed.
        """
        return self.backend.link

    @property
    def ledger(self) -> Ledger:
        """The ledger that saves answered requests; a run sets it to its condition's."""
        return self.link.ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self.link.ledger = ledger

    @property
    def spent(self) -> float:
        """Money spent so far, in the unit of ``price``; a run adds what earlier runs spent."""
        return self.link.spent

    @spent.setter
    def spent(self, money: float) -> None:
        self.link.spent = money

    def identity(self) -> dict[str, JSON]:
        """Return what changes an answer: server, model, kind of completion, window, extra body."""
        return {
            "kind": "openai",
            "version": ENGINE_VERSION,
            "server": self.link.url,
            "model": self.model,
            "api": self.backend.facts.api,
            "window": self.window,
            "extra": dict(self.extra),
            **({} if self.reasoning == "auto" else {"reasoning": _plain(self.reasoning)}),
        }

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent; if estimated, with ids of -1: see :meth:`counting`."""
        return self.backend.tokens(prompt)

    def sent(self, prompt: Prompt) -> str:
        """Return the text sent; of a chat the turns, in the model's format where that is known."""
        return self.backend.counted.sent(prompt)

    def counting(self) -> str:
        """Return how tokens are counted: by a ``tokenizer``, the ``server``, or an ``estimate``."""
        return self.backend.counted.how

    def choice(self, choice: Choice) -> Choice:
        """Return the choice as scored: in a chat without white space in front and without end."""
        if self.backend.chat:
            return replace(choice, text=trim_opening(choice.text), end="")
        return choice

    def ranked_by(self, choices: Sequence[str]) -> RankedBy:
        """Return how these choices are ranked: ``echo``, ``first_token``, ``generate`` (parsed).

        Raises:
            EngineError: ``ranking`` asks for what the server does not offer.
        """
        from icl.engines.openai.logprobs import begins_apart

        facts = self.backend.facts
        offered: list[RankedBy] = ["echo"] if facts.echo is not None else []
        shown = self.backend.shown(choices)
        if facts.top and begins_apart(shown, self._heads(choices)) and self._legible(shown):
            offered.append("first_token")
        offered.append("generate")
        if self.ranking == "auto":
            return offered[0]
        if self.ranking not in offered:
            why = "gives no log-probabilities of prompts"
            if self.ranking == "first_token":
                why = (
                    "gives no first-token log-probabilities"
                    if not facts.top
                    else "cannot distinguish these choices by their first token"
                )
            raise EngineError(
                f"ranking {self.ranking!r}: {self.link.url} {why}; set ranking to auto, or to one "
                f"of: {', '.join(offered)}"
            )
        return self.ranking

    def _legible(self, shown: Sequence[str]) -> bool:
        """Return whether first tokens hold no parts of characters, or distinguishable ones."""
        return not self.backend.facts.hides_bytes or all(c.lstrip()[:1].isascii() for c in shown)

    def _heads(self, choices: Sequence[str]) -> list[str]:
        """Return the first token of each choice, or its first letter if tokens are not known."""
        backend, heads = self.backend, []
        for choice in backend.shown(choices):
            blank = len(choice) - len(choice.lstrip())
            heads.append(choice[: blank + 1])
            if backend.counted.how == "tokenizer" and not backend.chat:
                shown = [token.text for token in backend.tokens(Prompt(choice)) if token.text]
                heads[-1] = shown[0] if shown else ""
        return heads

    def list_forms(self) -> Sequence[FormKind]:
        """Return the kinds of forms that the server applies; it is probed once.

        Raises:
            EngineError: the server cannot be asked.
        """
        from icl.engines.openai.forms import TAKEN

        way = self.backend.form_way
        return () if way is None else TAKEN[way]

    def cost_of(
        self,
        prompt_tokens: int,
        choice_tokens: Sequence[int],
        ranking: RankedBy | None,
        sampling: Sampling,
    ) -> float | None:
        """Return the most money that one prompt can cost; None without a price table.

        Args:
            prompt_tokens: tokens of the prompt.
            choice_tokens: tokens of each choice.
            ranking: how the choices are ranked; None: the answer is generated.
            sampling: limits the tokens generated.
        """
        if (price := self.link.price) is None:
            return None
        if ranking == "echo":
            sent = prompt_tokens + sum(prompt_tokens + tokens for tokens in choice_tokens)
            return price.of(sent, 1 + len(choice_tokens))
        if ranking == "first_token":
            return price.of(prompt_tokens, 1)
        return price.of(prompt_tokens, sampling.max_tokens * sampling.n)

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """Yield outputs with their index as the server finishes them.

        Raises:
            EngineError: sampling without meaning; a server that is down, refuses or fails.
            WindowError: a prompt leaves no room for ``max_tokens``.
            CostError: the next request could cost more than ``max_cost`` leaves.
        """
        for index, made in self._generate(prompts, sampling, on_token, stop, lenient=False):
            assert not isinstance(made, RowFailure)  # they were raised
            yield index, made

    def generate_rows(
        self, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Iterator[tuple[int, Output | RowFailure]]:
        """Yield each output as the server finishes it; a failure for a prompt it cannot answer.

        Raises:
            IclError: as :meth:`generate`, where it concerns more than one prompt.
        """
        return self._generate(prompts, sampling, None, None, lenient=True)

    def _generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None,
        stop: threading.Event | None,
        *,
        lenient: bool,
    ) -> Iterator[tuple[int, Output | RowFailure]]:
        from icl.engines.openai.generate import generate_outputs

        check_sampling(sampling)
        if sampling.thinking_tokens is not None:
            raise EngineError(
                f"sampling thinking_tokens is {sampling.thinking_tokens}, and only the server can "
                "bound its reasoning; leave it out, and say it in the server's own words under "
                "extra, as in {reasoning_effort: low}"
            )
        for kind in {prompt.form.kind for prompt in prompts if prompt.form is not None}:
            if kind not in (taken := self.list_forms()):
                told = f"keeps {', '.join(taken)}" if taken else "keeps no form of an answer"
                raise EngineError(
                    f"{self.link.url} {told}, and not {kind}; leave the form out, answer with a "
                    "model of the engine hf, or say how the server is told a form, as in "
                    "forms: structured_outputs"
                )
        counts = [len(self.tokens(prompt)) for prompt in prompts]
        for prompt, count in zip(prompts, counts, strict=True):
            self.backend.check_room(prompt, count, sampling.max_tokens)
        if prompts:
            yield from generate_outputs(
                self.backend, prompts, counts, sampling, on_token, stop, lenient
            )

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """Yield the log-likelihood of each continuation, ranked as :meth:`ranked_by` says.

        Raises:
            ChoiceError: a choice that is empty or doubled, or equal to another as tokens.
            EngineError: the server gives no log-probabilities, is down, refuses or fails.
            WindowError: prompt and choice are longer than the window.
            CostError: the next request could cost more than ``max_cost`` leaves.
        """
        for index, made in self._score(items, lenient=False):
            assert not isinstance(made, RowFailure)  # they were raised
            yield index, made

    def score_rows(
        self, items: Sequence[tuple[Prompt, str]]
    ) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
        """Yield the log-likelihood of each continuation, or a failure for one that has none.

        Raises:
            IclError: as :meth:`score`, where it concerns more than one prompt.
        """
        return self._score(items, lenient=True)

    def _score(
        self, items: Sequence[tuple[Prompt, str]], *, lenient: bool
    ) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
        from icl.engines.openai.score import score_groups

        if any(not choice for _, choice in items):
            raise ChoiceError("an empty choice ('') has no tokens to score; leave it out")
        chat = self.backend.chat
        groups: list[tuple[Prompt, dict[str, list[int]]]] = []
        for prompt, choices in group_by_text(
            items, lambda p: repr(make_messages(p)) if chat else p.text
        ):
            alike: dict[frozenset[str], dict[str, list[int]]] = {}
            for own in group_by_row(choices, items):
                merged = alike.setdefault(frozenset(own), {})
                for choice, indices in own.items():
                    merged.setdefault(choice, []).extend(indices)
            groups += [(prompt, merged) for merged in alike.values()]
        if groups:
            ways = {self.ranked_by(tuple(choices)) for _, choices in groups}
            yield from score_groups(self.backend, groups, ways, lenient)


def _backend(engine: OpenAIEngine) -> Backend:
    """Check every option, and read the key from the environment."""
    try:
        from icl.engines.openai.backend import Backend
        from icl.engines.openai.client import Link, Price, RequestLimits
        from icl.engines.openai.errors import ServerAddress
    except ModuleNotFoundError as error:
        raise ModelError(
            f"the engine 'openai' needs {error.name}: pip install 'icl-workbench[openai]'"
        ) from error
    url, who = _url(engine.source), f"model {engine.model!r}"
    for name, accepted in (("api", Api), ("ranking", Ranking), ("forms", Forms)):
        if (value := getattr(engine, name)) not in get_args(accepted):
            raise ModelError(
                f"unknown {name} {value!r} of {who}{did_you_mean(str(value), get_args(accepted))}"
            )
    for name, least in (("concurrency", 1), ("retries", 0), ("max_failures", 0)):
        value = getattr(engine, name)
        if value is None and name == "max_failures":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ModelError(f"{name} of {who} is {value!r}; accepted: {least} or more")
    for name in ("timeout_s", "backoff_s", "requests_per_minute", "max_cost"):
        value = getattr(engine, name)
        if value is not None and not _positive(value):
            raise ModelError(f"{name} of {who} is {value!r}; accepted: a number above 0")
    given = engine.asked_window
    if given and (not isinstance(given, int) or given < 1):
        raise ModelError(f"window of {who} is {given!r}; accepted: 1 or more")
    price = None
    if engine.price is not None:
        price = Price(**_price(engine.price, who))
    elif engine.max_cost is not None:
        raise ModelError(
            f"max_cost of {who} needs a price: {{input: …, output: …}}, money for a million tokens"
        )
    limits = RequestLimits(
        **{spec.name: getattr(engine, spec.name) for spec in fields(RequestLimits)}
    )
    key = _key(engine.api_key_env)
    asked = ServerAddress(url, engine.model, engine.api_key_env, key)
    link = Link(url, limits, asked, price, engine.max_cost, key)
    named = find_delimiters(engine.reasoning, "", who)
    known = () if engine.reasoning == "never" else tuple(Delimiters(*pair) for pair in PAIRS)
    return Backend(
        link,
        engine.model,
        engine.api,
        engine.extra,
        engine.tokenizer,
        given,
        blocks=(named,) if named else known,
        blocks_named=named is not None,
        asked_forms=engine.forms,
    )


def _plain(reasoning: Sequence[str] | str) -> JSON:
    return reasoning if isinstance(reasoning, str) else list(reasoning)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _price(price: Any, who: str) -> dict[str, float]:
    good = isinstance(price, Mapping) and set(price) == {"input", "output"}
    if not good or not all(_positive(value) or value == 0 for value in price.values()):
        raise ModelError(
            f"price of {who} is {price!r}; accepted: {{input: 0.15, output: 0.60}}, money for a "
            "million tokens"
        )
    return {name: float(value) for name, value in price.items()}


def _url(source: str) -> str:
    parts = urlsplit(source)
    if parts.username or parts.password or parts.query:
        raise ModelError(
            f"the source of a server holds a key or a query ({parts.scheme}://{parts.hostname}/…); "
            "put the key into an environment variable and name it under api_key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ModelError(
            f"source {source!r} is no URL of a server; accepted: http://127.0.0.1:8000/v1"
        )
    return source.rstrip("/")


def _key(name: str | None) -> str:
    if name is None:
        return ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ModelError(
            "api_key_env is no name of an environment variable (a key itself?); export the key as "
            "OPENAI_API_KEY and set api_key_env: OPENAI_API_KEY"
        )
    key = os.environ.get(name, "").strip()
    if not key:
        raise ModelError(f"the key is missing: export {name}=… (named under api_key_env)")
    return key
