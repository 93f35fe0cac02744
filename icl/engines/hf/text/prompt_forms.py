"""The two forms in which prompts and choices become tokens: flat text, or turns of a chat."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from icl.core.errors import EngineError, ModelError
from icl.core.types import JSON, Choice, Prompt, Token
from icl.engines.reasoning import Delimiters, find_delimiters
from icl.engines.tokenizer import Codec, check_characters
from icl.prompts.chat_template import DATE, ChatFormat, ChatOptions, trim_opening
from icl.prompts.control_tokens import ControlCodec, MarkedText, find_control_names
from icl.prompts.family_text import Wording

__all__ = ["ChatForm", "FormOptions", "FlatForm", "Form", "find_declared_ends", "make_form"]


logger = logging.getLogger(__name__)

Ids: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FormOptions:
    """The options of a model's entry that set the form of its prompts."""

    source: str
    chat: object = "never"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    day: str = DATE
    reasoning: object = "auto"
    bos: str = "auto"
    wording: Wording = Wording()


@dataclass(frozen=True)
class FlatForm:
    """Prompts as flat text: :attr:`Prompt.text` after the tokenizer's BOS."""

    codec: Codec
    wording: Wording = Wording()
    delimiters: Delimiters | None = None
    end_id: int | None = None
    """A token that ends an answer, in addition to those that end any text."""

    def text(self, prompt: Prompt) -> str:
        """Return the text sent for a prompt, with prefix and line breaks for this model."""
        return self.wording.prompt(prompt.text)

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent, with the characters of the text that each covers."""
        return self.codec.tokens(self.text(prompt))

    def ids(self, prompts: Sequence[Prompt]) -> list[Ids]:
        """Return the token ids of each prompt."""
        return self.codec.encode([self.text(prompt) for prompt in prompts])

    def joined(self, prompt: Prompt, choices: Sequence[str]) -> list[Ids]:
        """Return token ids of the prompt, then of the prompt followed by each choice."""
        text = self.text(prompt)
        behind = (text + self.wording.text(choice) for choice in choices)
        return self.codec.encode([text, *behind])

    def choice(self, choice: Choice) -> Choice:
        """Return the choice unchanged."""
        return choice

    def end(self, prompt: Prompt) -> str:
        """Return the prompt's text, whose end may be inside a block of reasoning."""
        return prompt.text

    def identity(self) -> dict[str, JSON]:
        """Return the part of the form that changes an answer."""
        return {"bos": list(self.codec.front)} | _reasoning(self.delimiters)


@dataclass(frozen=True)
class ChatForm:
    """Prompts as turns, rendered once by the chat template; no token is added to its text."""

    codec: Codec
    format: ChatFormat
    delimiters: Delimiters | None = None

    @cached_property
    def spelling(self) -> ControlCodec:
        """Text -> tokens; text of data rows cannot become a control token."""
        return ControlCodec(self.codec.tokenizer, self.format.controls)

    @cached_property
    def turn_end(self) -> str:
        """The text that the template writes at the end of an answer, up to its control token.

        Raises:
            ModelError: it writes none, and the tokenizer has no end of text either.
        """
        after = self.format.after_answer
        found = self.format.controls.pattern.search(after)
        if found is not None and not after[: found.start()].strip():
            return after[: found.end()]
        eos: str | None = self.codec.tokenizer.eos_token
        if eos is None:
            raise ModelError(
                f"the chat template of {self.format.source} writes no token at the end of an "
                "answer, and the tokenizer has no end of text; set chat: never"
            )
        return eos

    @property
    def end_id(self) -> int:
        """The token that ends a turn."""
        return self.spelling.tokens(MarkedText(self.turn_end))[-1].id

    def text(self, prompt: Prompt) -> str:
        """Return the text sent for a prompt, with special tokens as text."""
        return self.format.marked(prompt).text

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent, with the characters of :meth:`text` that each covers."""
        made = self.spelling.tokens(self.format.marked(prompt))
        self._check([token.id for token in made[:2]])
        return made

    def ids(self, prompts: Sequence[Prompt]) -> list[Ids]:
        """Return the token ids of each prompt."""
        return self._ids([self.format.marked(prompt) for prompt in prompts])

    def joined(self, prompt: Prompt, choices: Sequence[str]) -> list[Ids]:
        """Return token ids of the prompt, then of the prompt followed by each choice.

        Raises:
            EngineError: the choices would be inside a block of reasoning.
        """
        if self.delimiters and self.delimiters.inside(self.format.before_answer):
            close = self.delimiters.close
            raise EngineError(
                f"the chat template of {self.format.source} opens a block of reasoning, and a "
                "choice ranked in it has no meaning; use method: generate, turn reasoning off by "
                f'chat_kwargs, or close the block: chat: {{assistant_prefix: "{close}\\n\\n"}}'
            )
        asked = self.format.marked(prompt)
        return self._ids([asked, *(asked + self._answer(choice) for choice in choices)])

    def choice(self, choice: Choice) -> Choice:
        """Remove white space in front, unless the assistant prefix precedes; end it by the turn."""
        text = trim_opening(choice.text, self.format.options.assistant_prefix)
        return replace(choice, text=text, end=self.turn_end if choice.end else "")

    def end(self, prompt: Prompt) -> str:
        """Return the header of the answer with the assistant prefix."""
        return self.format.before_answer

    def identity(self) -> dict[str, JSON]:
        """Return the part of the form that changes an answer, with the whole template."""
        made: dict[str, JSON] = {"bos": [], "chat": self.format.identity()}
        return made | _reasoning(self.delimiters)

    def _answer(self, choice: str) -> MarkedText:
        """Mark a choice as plain text, except for an end of turn after it."""
        if not choice.endswith(self.turn_end):
            return self.format.controls.plain(choice)
        body = choice.removesuffix(self.turn_end)
        return self.format.controls.plain(body) + MarkedText(self.turn_end)

    def _ids(self, texts: Sequence[MarkedText]) -> list[Ids]:
        for text in texts:
            check_characters(text.text)
        clean = [text.text for text in texts if not text.plain]
        made = iter(
            self.codec.tokenizer(clean, add_special_tokens=False, verbose=False)["input_ids"]
            if clean
            else ()
        )
        found = [
            tuple(token.id for token in self.spelling.tokens(text))
            if text.plain
            else tuple(next(made))
            for text in texts
        ]
        self._check(found[0][:2])
        return found

    def _check(self, front: Sequence[int]) -> None:
        bos = self.codec.bos_id
        if bos is not None and list(front) == [bos, bos]:
            raise EngineError(
                f"the chat template of {self.format.source} writes {self.codec.tokenizer.bos_token}"
                " twice at the beginning; repair the template"
            )


Form: TypeAlias = FlatForm | ChatForm


def make_form(codec: Codec, entry: FormOptions, ends: frozenset[int]) -> Form:
    """Make the form that a model's entry sets.

    ``ends`` are the tokens at which the model stops by its own files, for ``use: auto``.

    Raises:
        ModelError: an option that is unknown or that this model cannot have.
    """
    options = ChatOptions.of(entry.chat, entry.source)
    if not isinstance(entry.kwargs, Mapping):
        raise ModelError(
            f"{entry.source}: chat_kwargs: {entry.kwargs!r} is no mapping; accepted: "
            "chat_kwargs: {enable_thinking: false}"
        )
    explicit = find_delimiters(entry.reasoning, "", entry.source)
    if options.use == "never":
        return FlatForm(codec, entry.wording, explicit)
    template = _template(codec.tokenizer, entry.source)
    if template is None:
        if options.use == "auto":
            return FlatForm(codec, entry.wording, explicit)
        raise ModelError(f"{entry.source} has no chat template; set chat: never")
    if entry.wording != Wording():
        raise ModelError(
            f"{entry.source}: prefix and newline are for flat prompts; leave them out, or set "
            "chat: never"
        )
    form = _chat_form(codec, entry, options, template)
    return (
        form
        if options.use == "always" or _declared(form, ends)
        else FlatForm(codec, entry.wording, explicit)
    )


def _chat_form(codec: Codec, entry: FormOptions, options: ChatOptions, template: str) -> ChatForm:
    tokenizer = codec.tokenizer
    if not tokenizer.is_fast:
        raise ModelError(
            f"chat needs a fast tokenizer, {entry.source} has {type(tokenizer).__name__}; save the "
            "model with tokenizer.json, or set chat: never"
        )
    added = " ".join(tokenizer.get_added_vocab())
    delimiters = find_delimiters(entry.reasoning, f"{template} {added}", entry.source)
    spelled = [template, options.assistant_prefix]
    spelled += [delimiters.open, delimiters.close] if delimiters else []
    format = ChatFormat(
        entry.source,
        template,
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        options,
        dict(entry.kwargs),
        str(entry.day),
        names=find_control_names(tokenizer, "\0".join(spelled)),
    ).check()
    return ChatForm(codec, replace(format, front=_front(codec, format, entry.bos)), delimiters)


def _front(codec: Codec, format: ChatFormat, bos: str) -> str:
    """Return the text to put before the template's text, so that BOS is there as ``bos`` says."""
    token: str | None = codec.tokenizer.bos_token
    asked = format.render([{"role": "user", "content": "?"}], asks=True)
    written = token is not None and asked.startswith(token)
    if bos == "never" and written:
        raise ModelError(
            f"bos: never is impossible: the chat template of {format.source} writes {token}; set "
            "bos: auto"
        )
    if bos == "always" and not written:
        return token or ""
    if bos == "auto" and not written and codec.bos_id in codec.front:
        logger.warning(
            "%s: the tokenizer puts %s before a text, the chat template does not; it is left out "
            "(bos: always puts it there)",
            format.source,
            token,
        )
    return ""


def _template(tokenizer: Any, source: str) -> str | None:
    """Return the chat template, of several the default one; None if there is none."""
    found = tokenizer.chat_template
    if isinstance(found, Mapping):
        if "default" not in found:
            raise ModelError(
                f"{source} has chat templates called {', '.join(sorted(found))} and no default; "
                "set chat: never"
            )
        found = found["default"]
    return None if found is None else str(found)


def _declared(form: ChatForm, ends: frozenset[int]) -> bool:
    """Return whether the files declare an instruction model, see ``docs/chat.md``.

    Raises:
        ModelError: the files do not say.
    """
    if form.end_id not in ends:
        return False
    if ends == {form.end_id}:
        raise ModelError(
            f"chat.use: auto cannot tell whether {form.format.source} is an instruction model: "
            f"{form.turn_end!r} is the only end that its files declare; set use: always or never"
        )
    return True


def find_declared_ends(folder: Path, config: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens at which a model stops by generation config, config and tokenizer."""
    file = folder / "generation_config.json"
    stated = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    found = [stated.get("eos_token_id"), getattr(config, "eos_token_id", None)]
    ends = {tokenizer.eos_token_id}
    for own in found:
        ends |= set(own) if isinstance(own, list | tuple) else {own}
    return frozenset(ends - {None})


def _reasoning(delimiters: Delimiters | None) -> dict[str, JSON]:
    return {"reasoning": [delimiters.open, delimiters.close]} if delimiters else {}
