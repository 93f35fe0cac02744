"""The nouns that cross modules: frozen dataclasses, standard library only."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, get_args

__all__ = [
    "BASELINES",
    "Baseline",
    "Better",
    "Choice",
    "ChoiceScore",
    "Example",
    "TokenScore",
    "UnscoredRow",
    "FINISHES",
    "Finish",
    "JSON",
    "METHODS",
    "Method",
    "Needs",
    "OnToken",
    "Output",
    "Prediction",
    "Prompt",
    "RANKINGS",
    "ROLES",
    "Ranking",
    "Record",
    "Role",
    "Sampling",
    "Score",
    "ScoreKind",
    "Shot",
    "Token",
    "canonicalize",
    "digest",
    "narrow",
    "normalise_label",
    "signature_text",
]


OnToken = Callable[[int, str], None]
"""Is told the index of a prompt and the text that was just generated for it."""

JSON: TypeAlias = "None | bool | int | float | str | Sequence[JSON] | Mapping[str, JSON]"

Method: TypeAlias = Literal["rank", "generate", "channel"]
"""How a model answers: it scores every choice, writes, or scores the input behind every label."""
METHODS: tuple[Method, ...] = get_args(Method)

Ranking: TypeAlias = Literal["echo", "first_token", "generate"]
"""How a server ranks choices: by all their tokens, by the first one alone, or by writing one."""
RANKINGS: tuple[Ranking, ...] = get_args(Ranking)

Role: TypeAlias = Literal["test", "content_free", "domain", "pool"]
"""What a row is asked for: to be scored, or as a probe of a calibrator beside the test rows."""
ROLES: tuple[Role, ...] = get_args(Role)

Finish: TypeAlias = Literal["stop", "end", "length", "cancelled", "reasoning", "filter", "refusal"]
"""How a generation ended: at a stop string, an end of text or turn, ``max_tokens``, by the user,
in a block of reasoning that never ended, so that there is no answer, by a server's content filter,
or with a refusal to answer."""
FINISHES: tuple[Finish, ...] = get_args(Finish)

ScoreKind: TypeAlias = Literal["model", "baseline", "count"]
"""What a score is of: a model's answers, answers without a model, or a fact that is counted."""

Baseline: TypeAlias = Literal["chance", "copy", "lead3", "majority", "vote"]
"""Answers that need no model."""
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

Better: TypeAlias = Literal["higher", "lower", "none"]
"""Which values of a metric are better."""

Needs: TypeAlias = Literal["verdicts", "program"]
"""What a metric needs beside answers and targets: a judge's verdicts, or an outside program."""

_T = TypeVar("_T")


def narrow(value: object, accepted: Sequence[_T], what: str) -> _T:
    """The one of the accepted words that a value from a file is.

    >>> narrow("rank", METHODS, "method")
    'rank'

    Raises:
        ValueError: it is none of them.
    """
    for one in accepted:
        if value == one:
            return one
    raise ValueError(f"{what} is {value!r}; accepted: {', '.join(map(str, accepted))}")


_INTERVAL = "|ci:"


def signature_text(settings: str, interval: str) -> str:
    """The signature of a score: what changes its value, then how its interval was made.

    >>> signature_text("accuracy|match:exact", "wilson")
    'accuracy|match:exact|ci:wilson'
    """
    return f"{settings}{_INTERVAL}{interval}"


def canonicalize(value: Any) -> str:
    """The one JSON text of a plain value: sorted keys, no spaces, UTF-8 kept, NaN refused."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def normalise_label(text: str) -> str:
    """Return a label in Unicode's composed form (NFC), by which labels are compared.

    >>> normalise_label("e" + chr(0x301)) == chr(0xE9)
    True
    """
    return unicodedata.normalize("NFC", text)


def digest(value: Any) -> str:
    """SHA-256 of :func:`canonicalize`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonicalize(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One data row: what a template may read, and what counts as a right answer."""

    id: str
    """Stable and unique within a data set; parallel rows share it over locales."""
    fields: Mapping[str, JSON]
    """Everything a template can name, as plain JSON values."""
    targets: tuple[str, ...] = ()
    """Right answers, the first one shown in shots; empty for rows without gold."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """locale, split and, for translation, source and target: never rendered by accident."""
    gold: tuple[str, ...] = ()
    """Names of the fields that hold or give away the answer: hidden from input halves."""
    gold_texts: tuple[str, ...] = ()
    """The targets as the target half of the prompt shows them, stripped, where it changes them."""

    @property
    def inputs(self) -> dict[str, JSON]:
        """The fields that an input half may read."""
        return {name: value for name, value in self.fields.items() if name not in self.gold}

    @property
    def content(self) -> str:
        """Hash of the inputs, case and white space folded: equal for the same question."""
        folded = {
            name: " ".join(value.casefold().split()) if isinstance(value, str) else value
            for name, value in self.inputs.items()
        }
        return digest(folded)


@dataclass(frozen=True, slots=True)
class Shot:
    """A pool example chosen for a query."""

    example: Example
    score: float | None = None
    """Retrieval score, larger is nearer; None where the selector has none."""
    label: str | None = None
    """The label shown in place of the example's own; "" shows no answer, None its own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer a ranking task may give."""

    label: str
    """What metrics, votes and confusion tables use."""
    text: str
    """The target half of the template rendered with that label."""
    end: str = ""
    """Terminator scored after the text, where another choice begins with it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to a model, in its parts."""

    query: str
    instruction: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    """(input, target) of each shot, in the order sent."""
    separator: str = "\n\n"
    system: str = ""
    stop: tuple[str, ...] = ()
    """Strings that end a generation; not part of the output."""
    template: str = ""
    template_hash: str = ""
    query_id: str = ""
    shot_ids: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Ids of the shots left out to fit the window."""
    shortened: tuple[int, ...] = ()
    """(kept, whole) characters of the span marked ``fit``; empty where nothing of it was cut."""

    @property
    def text(self) -> str:
        """The flat prompt: system, instruction, shots and query joined by the separator."""
        parts = [self.system, self.instruction]
        shots = [source + target for source, target in self.shots]
        return self.separator.join([part for part in parts if part] + [*shots, self.query])


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a prompt and the characters of the prompt's text that it covers."""

    id: int
    text: str
    """The characters covered; empty for special tokens that the tokenizer adds."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token of a text, and what the model expected in its place."""

    token: Token
    logprob: float | None
    """Natural log-probability behind the tokens before it; None for the first one."""
    rank: int | None
    """1 where no token is likelier."""
    alternatives: tuple[tuple[str, float], ...]
    """(text, log-probability) of the likeliest tokens there, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is generated. ``temperature=0`` is greedy, whatever the other fields say."""

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    min_p: float = 0.0
    """Drop tokens less probable than this share of the most probable one."""
    n: int = 1
    """Outputs for each prompt; above 1 only with ``temperature > 0``."""
    stop: tuple[str, ...] = ()
    """Stop strings beside those of the prompt."""
    seed: int = 0
    thinking_tokens: int | None = None
    """Tokens of reasoning after which its block is closed, out of ``max_tokens``; None: never."""

    def identity(self) -> dict[str, JSON]:
        """What of this changes an answer: under greedy decoding the rest is inert."""
        bounded: dict[str, JSON] = {}
        if self.thinking_tokens is not None:
            bounded["thinking_tokens"] = self.thinking_tokens
        made = asdict(self)
        if self.temperature == 0:
            made = {"max_tokens": self.max_tokens, "temperature": 0.0}
        made.pop("thinking_tokens", None)
        return made | {"stop": list(self.stop)} | bounded


@dataclass(frozen=True, slots=True)
class Output:
    """One generated text."""

    text: str
    """Raw text up to the stop string, unparsed; without the model's reasoning."""
    finish: Finish
    """``stop`` (a stop string), ``end`` (end of text or turn), ``length``, ``cancelled``, or
    ``reasoning``: the block of reasoning never ended, and there is no answer; ``filter`` and
    ``refusal``: a server's content filter or the model's refusal ended it."""
    prompt_tokens: int
    output_tokens: int
    sample: int = 0
    """Which of the ``n`` outputs of its prompt this is."""
    reasoning: str | None = None
    """What a reasoning model wrote before its answer; None where there is no such block."""


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """Log-likelihood of one continuation under one prompt."""

    logprob: float
    """Sum of natural-log probabilities of the scored tokens, float32 precision."""
    tokens: int
    """Tokens scored, from the common token prefix on."""
    chars: int
    """Unicode characters of the continuation."""
    bytes: int
    """UTF-8 bytes of the continuation."""
    spanning: int = 0
    """Tokens of the prompt that had to be scored again, because a token spans the border."""
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What a model answered for one example under one condition, raw and unparsed."""

    id: str
    condition: str
    request: str
    """Hash of the re-rendered request: prompt, choices, sampling. Reused only if equal."""
    shots: tuple[tuple[str, str | None, float | None], ...] = ()
    """(id, label, retrieval score) of each shot sent, in order."""
    dropped: tuple[str, ...] = ()
    prompt_tokens: int = 0
    outputs: tuple[Output, ...] = ()
    """For generation: one a sample."""
    logprobs: tuple[float, ...] = ()
    """For ranking: float32 sums in the order of the condition's ``choices.json``."""
    choice_tokens: tuple[int, ...] = ()
    """Only where the token counts differ from those in ``choices.json``."""
    choices: tuple[Choice, ...] = ()
    """Only where every example has its own; else they stand once, in ``choices.json``."""
    spanning: int = 0
    shortened: tuple[int, ...] = ()
    """(kept, whole) characters of the span marked ``fit``; empty where nothing of it was cut."""
    role: Role = "test"


@dataclass(frozen=True, slots=True)
class UnscoredRow:
    """A row that a model could not be made to answer, such as one that its server refuses."""

    record: Record
    """What was asked; it holds no answer."""
    error: str
    """Why there is none, in one line."""

    @property
    def id(self) -> str:
        """The example's id."""
        return self.record.id


@dataclass(frozen=True, slots=True)
class Prediction:
    """A record's answer as a named parser reads it; it can always be made again."""

    id: str
    value: str | None
    """The parsed answer; None exactly when ``error`` says why."""
    error: str | None = None
    shot_labels: tuple[str, ...] = ()
    shot_scores: tuple[float | None, ...] = ()
    finish: Finish | Literal[""] = ""
    """How the generation ended; empty for ranking."""
    samples: int = 1
    """Outputs that voted on the value."""
    votes: int = 1
    """Outputs that gave the value; those that could not be parsed give none."""
    tied: bool = False
    """Whether another value had as many votes; the one that came first is taken."""
    shortened: bool = False
    """Whether the prompt's marked span was cut to fit the window."""


@dataclass(frozen=True, slots=True)
class Score:
    """A number with its interval, sample size and settings."""

    name: str
    value: float | None
    """None where the metric is not defined for these rows."""
    low: float | None
    high: float | None
    n: int
    signature: str
    kind: ScoreKind = "model"
    tied: int = 0
    """Of a baseline whose answers tie, so that the value is the mean over them: how many labels of
    the pool tied, or for ``vote`` in how many rows the shots' labels did; else 0."""

    @property
    def settings(self) -> str:
        """The signature without how the interval was made: what changes the value.

        >>> Score("accuracy", 50.0, None, None, 2, "accuracy|match:exact|ci:wilson").settings
        'accuracy|match:exact'
        """
        return self.signature.partition(_INTERVAL)[0]

    @property
    def interval(self) -> str:
        """How the interval was made: ``wilson``, ``exact``, ``none``, or the bootstrap's settings.

        Empty where the signature does not say it.
        """
        return self.signature.partition(_INTERVAL)[2]
