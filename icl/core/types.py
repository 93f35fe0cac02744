"""The types that modules exchange: frozen dataclasses, from the standard library only."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from icl.core.answer_forms import AnswerForm, FormKind, FormUse

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
"""Callback that receives a prompt's index and the text just generated for it."""

JSON: TypeAlias = "None | bool | int | float | str | Sequence[JSON] | Mapping[str, JSON]"

Method: TypeAlias = Literal["rank", "generate", "channel"]
"""Way in which a model answers: it scores each choice, generates, or scores the input after each
label."""
METHODS: tuple[Method, ...] = get_args(Method)

Ranking: TypeAlias = Literal["echo", "first_token", "generate"]
"""Way in which a server ranks choices: by all their tokens, by the first token, or by generating
one."""
RANKINGS: tuple[Ranking, ...] = get_args(Ranking)

Role: TypeAlias = Literal["test", "content_free", "domain", "pool"]
"""Purpose of a row: a test row to be scored, or one of three kinds of probe for a calibrator."""
ROLES: tuple[Role, ...] = get_args(Role)

Finish: TypeAlias = Literal["stop", "end", "length", "cancelled", "reasoning", "filter", "refusal"]
"""End of a generation: at a stop string, an end of text or turn, ``max_tokens``, by the user, in a
block of reasoning that never ended, so that there is no answer, by a server's content filter, or
with a refusal to answer."""
FINISHES: tuple[Finish, ...] = get_args(Finish)

ScoreKind: TypeAlias = Literal["model", "baseline", "count"]
"""Subject of a score: a model's answers, a baseline's answers, or a counted fact."""

Baseline: TypeAlias = Literal["chance", "copy", "lead3", "majority", "nearest", "no_slots", "vote"]
"""Answers obtained without a model."""
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

Better: TypeAlias = Literal["higher", "lower", "none"]
"""Better direction of a metric."""

Needs: TypeAlias = Literal["verdicts", "program"]
"""Needs of a metric besides answers and targets: a judge's verdicts, or an external program."""

_T = TypeVar("_T")


def narrow(value: object, accepted: Sequence[_T], what: str) -> _T:
    """Return the accepted word that equals a value from a file.

    >>> narrow("rank", METHODS, "method")
    'rank'

    Raises:
        ValueError: the value is none of them; the message lists them.
    """
    for one in accepted:
        if value == one:
            return one
    raise ValueError(f"{what} is {value!r}; accepted: {', '.join(map(str, accepted))}")


_INTERVAL = "|ci:"


def signature_text(settings: str, interval: str) -> str:
    """Compose a score's signature: the settings that change its value, then the interval's method.

    >>> signature_text("accuracy|match:exact", "wilson")
    'accuracy|match:exact|ci:wilson'
    """
    return f"{settings}{_INTERVAL}{interval}"


def canonicalize(value: Any) -> str:
    """Write plain values as canonical JSON: sorted keys, no spaces, raw UTF-8, NaN refused."""
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
    """Hash plain values: SHA-256 of :func:`canonicalize`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonicalize(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One data row: the fields that a template may read, and the right answers."""

    id: str
    """Stable and unique within a data set; translations of a row share it over locales."""
    fields: Mapping[str, JSON]
    """All fields that a template can name, as plain JSON values."""
    targets: tuple[str, ...] = ()
    """Right answers, the first one shown in shots; empty for rows without an answer."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """Locale, split and, for translation, source and target language; templates do not see them."""
    gold: tuple[str, ...] = ()
    """Names of the fields that hold or give away the answer: hidden from input halves."""
    gold_texts: tuple[str, ...] = ()
    """The targets as the target half of the prompt shows them, stripped, where it changes them."""

    @property
    def inputs(self) -> dict[str, JSON]:
        """The fields that a template's input part may read."""
        return {name: value for name, value in self.fields.items() if name not in self.gold}

    @property
    def content(self) -> str:
        """Hash of the inputs with case and white space folded; equal for the same question."""
        folded = {
            name: " ".join(value.casefold().split()) if isinstance(value, str) else value
            for name, value in self.inputs.items()
        }
        return digest(folded)


@dataclass(frozen=True, slots=True)
class Shot:
    """A pool example selected for a query."""

    example: Example
    score: float | None = None
    """Retrieval score, larger is more similar; None if the selector computes none."""
    label: str | None = None
    """Label shown instead of the example's own; "" shows no answer, None its own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible answer of a ranking task."""

    label: str
    """Name used by metrics, votes and confusion tables."""
    text: str
    """The template's target part, rendered with this label."""
    end: str = ""
    """Terminator scored after the text, if another choice begins with this one."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in its parts, as it is sent to a model."""

    query: str
    instruction: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    """(input, target) of each shot, in the order sent."""
    separator: str = "\n\n"
    system: str = ""
    stop: tuple[str, ...] = ()
    """Strings that end a generation; they are not part of the output."""
    template: str = ""
    template_hash: str = ""
    query_id: str = ""
    shot_ids: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Ids of the shots left out to fit the window."""
    shortened: tuple[int, ...] = ()
    """(left, original) characters of the span marked ``fit``; empty if nothing was cut."""
    form: AnswerForm | None = None
    """Form of the answer; None: free text."""

    @property
    def text(self) -> str:
        """The flat prompt: system text, instruction, shots and query, joined by the separator."""
        parts = [self.system, self.instruction]
        shots = [source + target for source, target in self.shots]
        return self.separator.join([part for part in parts if part] + [*shots, self.query])


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a prompt, and the range of characters that it covers."""

    id: int
    text: str
    """The characters covered; empty for special tokens added by the tokenizer."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token of a text, its probability and rank, and the likeliest tokens at its position."""

    token: Token
    logprob: float | None
    """Natural log-probability given all earlier tokens; None for the first token."""
    rank: int | None
    """1 if no token is likelier."""
    alternatives: tuple[tuple[str, float], ...]
    """(text, log-probability) of the likeliest tokens at this position, likeliest first."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of text generation; ``temperature=0`` is greedy and ignores the sampling fields."""

    max_tokens: int = 64
    """Most tokens of an output, reasoning included; at least 1."""
    temperature: float = 0.0
    """0 or more; logits are divided by it before a token is drawn."""
    top_p: float = 1.0
    """Above 0, at most 1: keep the most probable tokens that together reach this probability
    (Holtzman et al. 2020, arXiv 1904.09751)."""
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    min_p: float = 0.0
    """0 to 1: drop tokens less probable than this share of the most probable one."""
    n: int = 1
    """Outputs per prompt; above 1 only with ``temperature > 0``."""
    stop: tuple[str, ...] = ()
    """Stop strings in addition to the prompt's."""
    seed: int = 0
    """Seed of the draws; the same seed, prompt and machine give the same outputs."""
    thinking_tokens: int | None = None
    """Reasoning tokens, part of ``max_tokens``, after which the reasoning is closed; None: no
    limit."""
    constrain: FormKind | None = None
    """Kind of the form of the answers; each prompt has its own form. None: free text."""

    def identity(self) -> dict[str, JSON]:
        """Return the settings that change an answer; greedy decoding ignores sampling fields."""
        bounded: dict[str, JSON] = {}
        if self.constrain is not None:
            bounded["constrain"] = self.constrain
        if self.thinking_tokens is not None:
            bounded["thinking_tokens"] = self.thinking_tokens
        made = asdict(self)
        if self.temperature == 0:
            made = {"max_tokens": self.max_tokens, "temperature": 0.0}
        made.pop("thinking_tokens", None)
        made.pop("constrain", None)
        return made | {"stop": list(self.stop)} | bounded


@dataclass(frozen=True, slots=True)
class Output:
    """One generated text."""

    text: str
    """Unparsed text up to the stop string, without the model's reasoning."""
    finish: Finish
    """``stop`` (a stop string), ``end`` (end of text or turn), ``length``, ``cancelled``, or
    ``reasoning``: the block of reasoning never ended, and there is no answer; ``filter`` and
    ``refusal``: a server's content filter or the model's refusal ended it."""
    prompt_tokens: int
    output_tokens: int
    sample: int = 0
    """Index of this output among the ``n`` outputs of its prompt."""
    reasoning: str | None = None
    """Text of a reasoning model before its answer; None without such a block."""
    form: FormUse | None = None
    """Effect of the form on the output; None without a form, or where a server applies it."""


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """Log-likelihood of one continuation given one prompt."""

    logprob: float
    """Sum of the scored tokens' natural log-probabilities, in float32 precision."""
    tokens: int
    """Number of scored tokens, from the common token prefix on."""
    chars: int
    """Unicode characters of the continuation."""
    bytes: int
    """UTF-8 bytes of the continuation."""
    spanning: int = 0
    """Prompt tokens scored again because a token spans the border of prompt and continuation."""
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A model's raw, unparsed answer to one example in one condition."""

    id: str
    condition: str
    request: str
    """Hash of the rendered prompt, choices and sampling; a record is reused only if it is equal."""
    shots: tuple[tuple[str, str | None, float | None], ...] = ()
    """(id, label, retrieval score) of each shot sent, in order."""
    dropped: tuple[str, ...] = ()
    prompt_tokens: int = 0
    outputs: tuple[Output, ...] = ()
    """Generated outputs, one for each sample."""
    logprobs: tuple[float, ...] = ()
    """Natural-log probabilities of the choices, summed over tokens in float32, in the order of the
    condition's ``choices.json``."""
    choice_tokens: tuple[int, ...] = ()
    """Set only if the token counts differ from those in ``choices.json``."""
    choices: tuple[Choice, ...] = ()
    """Set only if every example has its own choices; shared ones are in ``choices.json``."""
    spanning: int = 0
    shortened: tuple[int, ...] = ()
    """(left, original) characters of the span marked ``fit``; empty if nothing was cut."""
    role: Role = "test"


@dataclass(frozen=True, slots=True)
class UnscoredRow:
    """A row that the model did not answer, such as one that its server refuses."""

    record: Record
    """The request; it holds no answer."""
    error: str
    """The reason why there is no answer, in one line."""

    @property
    def id(self) -> str:
        """The example's id."""
        return self.record.id


@dataclass(frozen=True, slots=True)
class Prediction:
    """A record's answer as read by a named parser; it can be computed again at any time."""

    id: str
    value: str | None
    """The parsed answer; None exactly if ``error`` gives the reason."""
    error: str | None = None
    shot_labels: tuple[str, ...] = ()
    """Label of each shot that was sent, in order."""
    shot_scores: tuple[float | None, ...] = ()
    """Retrieval score of each shot; None where the selector does not score."""
    finish: Finish | Literal[""] = ""
    """End of the generation; empty for ranking."""
    samples: int = 1
    """Number of outputs that took part in the majority vote."""
    votes: int = 1
    """Number of outputs with this value; an output that cannot be parsed has none."""
    tied: bool = False
    """Whether another value had as many votes; then the first one is taken."""
    shortened: bool = False
    """Whether the prompt's marked span was cut to fit the window."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Faults of an answer that could be read all the same, with their counts: of slots,
    ``broken``, ``unknown``, ``altered`` and ``invented``. A fault that did not occur is 0."""


@dataclass(frozen=True, slots=True)
class Score:
    """A number with its interval, sample size and settings."""

    name: str
    """Name of the metric, with what was done before it: ``accuracy+batch``, ``vote/accuracy``."""
    value: float | None
    """In the metric's unit: from 0 to 100 for shares, BLEU, chrF and ROUGE; TER may be above. None
    if the metric is not defined for these rows."""
    low: float | None
    """Lower end of the 95 % interval, in the unit of ``value``; None if there is no interval."""
    high: float | None
    """Upper end of the 95 % interval; None if there is no interval."""
    n: int
    """Number of scored examples."""
    signature: str
    """All settings that change the number, and the interval's method, in sacreBLEU's form."""
    kind: ScoreKind = "model"
    """``model``, ``baseline`` (answers without a model) or ``count`` (a share of rows)."""
    tied: int = 0
    """For a baseline whose answers tie, so that the value is the mean over them: the number of
    labels of the pool that tied, or for ``vote`` the number of rows in which the shots' labels did;
    else 0."""

    @property
    def settings(self) -> str:
        """The signature without the interval's method: everything that changes the value.

        >>> Score("accuracy", 50.0, None, None, 2, "accuracy|match:exact|ci:wilson").settings
        'accuracy|match:exact'
        """
        return self.signature.partition(_INTERVAL)[0]

    @property
    def interval(self) -> str:
        """The interval's method: ``wilson``, ``exact``, ``none``, or the settings of the bootstrap.

        Empty if the signature does not name it.
        """
        return self.signature.partition(_INTERVAL)[2]
