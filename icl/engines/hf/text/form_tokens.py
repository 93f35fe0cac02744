"""Forms of answers, token by token: what may come next, and what the form leaves no choice about.

Grammars are compiled and followed by llguidance (https://github.com/guidance-ai/llguidance), to
which a model's own tokens are given as bytes, with the model's own ends of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from icl.core.answer_forms import AnswerForm, FormStep, FormUse
from icl.core.errors import FormError, ModelError, join_lines

__all__ = ["FormVocabulary", "TokenGuide", "list_token_bytes"]


_SENTINEL = "\x02"
"""In front of a text it keeps a tokenizer from adding a space there."""


def list_token_bytes(tokenizer: Any) -> list[str | None]:
    """Return what each token writes, a character a byte (Latin-1); None for special tokens.

    llguidance reads Gemma's 262,144 tokens in 4 s from the text of the tokenizer's file, and in
    1.4 s from their bytes, which can be kept on disk.

    Raises:
        ModelError: a tokenizer that is no fast one.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{type(tokenizer).__name__} does not tell what its tokens write, so its answers "
            "cannot be held to a form; save the model with a fast tokenizer (tokenizer.json), or "
            "leave out constrain:"
        )
    from llguidance import LLTokenizer

    plain = copy(tokenizer.backend_tokenizer)
    plain.no_padding()
    plain.no_truncation()
    try:
        made = LLTokenizer(plain.to_str(), slices=[])
    except ValueError:  # it knows no decoder of SentencePiece's words alone, such as T5's
        return _list_pieces(tokenizer)
    return [
        None if made.is_special_token(i) else made.decode_bytes([i]).decode("latin-1")
        for i in range(made.vocab_size)
    ]


def _list_pieces(tokenizer: Any) -> list[str | None]:
    """Return what each piece of SentencePiece writes, with its sign for a space as one."""
    special = {*tokenizer.all_special_ids}
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [
        None
        if piece is None or i in special
        else piece.replace("\u2581", " ").encode("utf-8").decode("latin-1")
        for i, piece in enumerate(pieces)
    ]


class FormVocabulary:
    """A model's tokens and ends, for which forms are compiled; one for each loaded model.

    Args:
        tokenizer: a fast tokenizer of transformers.
        texts: what each of its tokens writes, from :func:`list_token_bytes`.
        ends: the tokens that end a text.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str | None], ends: Collection[int]) -> None:
        self.tokenizer = tokenizer
        self.texts = [None if text is None else text.encode("latin-1") for text in texts]
        self.ends = np.array(sorted(end for end in ends if end < len(texts)), dtype=np.int64)
        self._compiled: Any = None
        self._stops: dict[tuple[str, ...], npt.NDArray[np.int64]] = {}

    def load(self) -> FormVocabulary:
        """Give the tokens to llguidance; takes a second for a quarter of a million."""
        if self._compiled is None:
            from llguidance import LLTokenizer

            ends = self.ends.tolist() or [0]
            given: Any = _Tokens(self.texts, ends[0], self.tokenize)
            self._compiled = LLTokenizer(given, eos_token=ends)
        return self

    def guide(
        self, form: AnswerForm, stops: Sequence[str], name: str, lead_optional: bool = False
    ) -> TokenGuide:
        """Compile a form for one answer.

        Args:
            form: what the answer is held to.
            stops: strings that end the answer where the form may end.
            name: of the prompt, for messages.
            lead_optional: whether the answer may begin with a space or without, see
                :meth:`icl.core.answer_forms.AnswerForm.grammar`.

        Raises:
            FormError: llguidance cannot read the grammar, or it allows nothing.
        """
        from llguidance import LLMatcher, LLParserLimits

        self.load()
        grammar, brief = form.grammar(lead_optional), LLParserLimits(verbose_errors=False)
        matcher = LLMatcher(self._compiled, grammar, log_level=0, limits=brief)
        return TokenGuide(matcher, self, self._find_ends(tuple(stops)), name).check()

    def tokenize(self, text: str) -> list[int]:
        """Return tokens that write exactly this text, the tokenizer's own where it has some."""
        wanted = text.encode("utf-8")
        for front in ("", _SENTINEL):
            given: list[int] = self.tokenizer.encode(front + text, add_special_tokens=False)
            ids = given
            if front:
                n_front = len(self.tokenizer.encode(front, add_special_tokens=False))
                ids = given[n_front:]
            if b"".join(self.texts[i] or b"" for i in ids) == wanted:
                return ids
        greedy: list[int] = self._compiled.greedy_tokenize(text)
        return greedy

    def text(self, token: int) -> str:
        """Return what a token writes, for readers: parts of characters and ends have a sign."""
        known = self.texts[token] if token < len(self.texts) else None
        if known is None:
            return str(self.tokenizer.convert_ids_to_tokens(token))
        return known.decode("utf-8", "replace")

    def _find_ends(self, stops: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the tokens that end a text or write a stop string, or the beginning of one."""
        if stops not in self._stops:
            wanted = [stop.encode("utf-8") for stop in stops if stop]
            found = [
                i
                for i, text in enumerate(self.texts)
                if text and any(text.startswith(w) or w.startswith(text) for w in wanted)
            ]
            self._stops[stops] = np.union1d(self.ends, np.array(found, dtype=np.int64))
        return self._stops[stops]


class _Tokens:
    """A tokenizer as llguidance asks for it."""

    is_tokenizer_wrapper = True

    def __init__(
        self, texts: Sequence[bytes | None], end: int, tokenize: Callable[[str], list[int]]
    ) -> None:
        self.eos_token_id, self.bos_token_id = end, None
        self.special_token_ids = [i for i, text in enumerate(texts) if text is None]
        self.tokens = [b"" if text is None else text for text in texts]
        for i in self.special_token_ids:
            self.tokens[i] = f"<|{i}|>".encode()
        self._tokenize = tokenize

    def __call__(self, text: str) -> list[int]:
        return self._tokenize(text)


class TokenGuide:
    """The form of one answer while it is written: a parser, and counts of what it did.

    Tokens that the form leaves no choice about come from :meth:`force`. They are the tokenizer's
    own for the text that must follow, but for its last ones, which could be others by what follows
    then; at any rate they write that text.
    """

    def __init__(
        self, matcher: Any, vocabulary: FormVocabulary, ends: npt.NDArray[np.int64], name: str
    ) -> None:
        self._matcher, self._vocabulary, self._ends, self.name = matcher, vocabulary, ends, name
        self._mask: npt.NDArray[np.bool_] | None = None
        self.steps = self.changed = self.forced = 0
        self.most_traced = 0
        """Number of the likeliest forbidden tokens recorded at each step; 0 records no step."""
        self.trace: list[FormStep] = []
        self._forbidden: tuple[tuple[str, float], ...] = ()
        self._changed = False

    def check(self) -> TokenGuide:
        """Check that the form can be read and allows something.

        Raises:
            FormError: it cannot, or does not.
        """
        if not self._matcher.is_error():
            self._matcher.compute_bitmask()  # where nothing is allowed it says so only then
        error: str = self._matcher.get_error()
        if error and not error.startswith("NoExtension"):
            raise self._refused(error.removesuffix(" <non-verbose/>"))
        if error or self._matcher.is_stopped() and not self._matcher.is_accepting():
            raise self._refused("it allows no answer at all")
        return self

    def copy(self) -> TokenGuide:
        """Return a guide for another output of the same prompt."""
        made = TokenGuide(self._matcher.deep_copy(), self._vocabulary, self._ends, self.name)
        made.most_traced, made.trace = self.most_traced, self.trace
        return made

    def note(self, changed: bool, forbidden: Sequence[tuple[int, float]] = ()) -> None:
        """Count a step: whether the likeliest token was forbidden, and which likely ones were."""
        self.steps += 1
        self.changed += changed
        self._changed = changed
        self._forbidden = tuple((self._vocabulary.text(i), value) for i, value in forbidden)

    def _keep_step(self, token: int, forced: bool) -> None:
        if self.most_traced:
            told = () if forced else self._forbidden
            text = self._vocabulary.text(token)
            self.trace.append(FormStep(text, forced, told, self._changed and not forced))

    @property
    def use(self) -> FormUse:
        """Return the effect of the form so far."""
        return FormUse(self.steps, self.changed, self.forced)

    @property
    def complete(self) -> bool:
        """Return whether the answer is complete, and nothing can follow it."""
        if self._matcher.is_stopped():
            return True
        return bool(self._matcher.is_accepting()) and not self.mask.any()

    @property
    def mask(self) -> npt.NDArray[np.bool_]:  # (vocabulary,)
        """Return the tokens that continue the answer, without those that end it."""
        if self._mask is None:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            if self._matcher.is_error():
                raise self._refused(self._matcher.get_error())
            known = len(self._vocabulary.texts)
            mask = np.unpackbits(bits, bitorder="little")[:known].astype(np.bool_)
            mask[self._vocabulary.ends if len(self._vocabulary.ends) else [0]] = False
            self._mask = mask
        return self._mask

    def allowed(self) -> npt.NDArray[np.bool_]:  # (vocabulary,)
        """Return which tokens may come next, those that end the text too."""
        mask = self.mask
        if self._matcher.is_accepting():
            mask = mask.copy()
            mask[self._ends] = True
        return mask

    def ends_by(self, token: int) -> bool:
        """Return whether an allowed token ends the answer: an end of text, or a stop string."""
        if ends := not self.mask[token]:
            self._keep_step(token, forced=False)
        return ends

    def accept(self, token: int) -> None:
        """Go on by a token that the model chose and that is allowed."""
        self._keep_step(token, forced=False)
        self._consume([token])

    def force(self, most: int) -> list[int]:
        """Return the tokens that must come next, at most so many, and go on by them."""
        found: list[int] = []
        while len(found) < most and not self.complete:
            tokens = self._matcher.compute_ff_tokens()[: most - len(found)]
            if not tokens:
                if self._matcher.is_accepting() or int(self.mask.sum()) != 1:
                    break
                tokens = [int(self.mask.argmax())]
            self._consume(tokens)
            for token in tokens:
                self._keep_step(token, forced=True)
            found += tokens
        self.forced += len(found)
        return found

    def _consume(self, tokens: Sequence[int]) -> None:
        self._mask = None
        if not self._matcher.consume_tokens(list(tokens)):
            raise self._refused(self._matcher.get_error())

    def _refused(self, why: str) -> FormError:
        return FormError(
            f"prompt {self.name}: the form of its answer cannot be kept: {join_lines(why)}; "
            "`icl lint` of the experiment checks its form, see `constrain:`",
            self.name,
        )
