"""A prompt as it was sent, cut into its parts: instruction, shots, query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from icl.core.types import Prompt, Record
from icl.records.results import ConditionResult

__all__ = ["PromptPiece", "bound_pieces", "split_sent_prompt", "split_record_prompt"]


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """A stretch of the text that was sent."""

    kind: str
    """``system``, ``instruction``, ``input`` and ``target`` (of a shot), ``query``, ``joint``
    (separators, turns of a chat), ``left`` (how much was left out), or ``sent`` where the parts
    cannot be told apart."""
    text: str


def _parts(prompt: Prompt) -> Iterator[PromptPiece]:
    yield PromptPiece("system", prompt.system)
    yield PromptPiece("instruction", prompt.instruction)
    for source, target in prompt.shots:
        yield PromptPiece("input", source)
        yield PromptPiece("target", target)
    yield PromptPiece("query", prompt.query)


def split_sent_prompt(prompt: Prompt, sent: str) -> list[PromptPiece]:
    r"""The parts of a prompt as they stand in the text that was sent.

    The pieces joined are ``sent`` itself. A chat drops white space around its turns, so a part
    may stand there without its own.

    >>> prompt = Prompt("Q: b\nA:", shots=(("Q: a\nA:", " x"),))
    >>> [piece.kind for piece in split_sent_prompt(prompt, prompt.text)]
    ['input', 'target', 'joint', 'query']
    """
    found: list[PromptPiece] = []
    at = 0
    for part in _parts(prompt):
        for text in (part.text, part.text.strip()):
            start = sent.find(text, at) if text else -1
            if start >= 0:
                break
        if not part.text.strip():
            continue
        if start < 0:
            return [PromptPiece("sent", sent)]
        if start > at:
            found.append(PromptPiece("joint", sent[at:start]))
        found.append(PromptPiece(part.kind, text))
        at = start + len(text)
    if at < len(sent):
        found.append(PromptPiece("joint", sent[at:]))
    return found


def split_record_prompt(
    condition: ConditionResult, record: Record
) -> tuple[list[PromptPiece], bool]:
    """The parts of a record's prompt, rendered again, and whether that is what was sent.

    The noisy channel has a prompt for every choice: that of the answer is shown, and behind it
    the input that was scored.

    Raises:
        IclError: what the folder keeps cannot be rendered.
    """
    prompts, scored = condition.prompts(record), condition.scored(record)
    place = record.logprobs.index(max(record.logprobs)) if scored is not None else 0
    shown = split_sent_prompt(prompts[place], condition.sent(prompts[place]))
    if scored is not None:
        shown.append(PromptPiece("target", scored))
    return shown, condition.hash_again(record) == record.request


def bound_pieces(found: list[PromptPiece], most: int) -> list[PromptPiece]:
    """The pieces, with the middle left out where they have more than ``most`` characters.

    The beginning (instruction, first shots) and the end (the query) stay.
    """
    whole = sum(len(piece.text) for piece in found)
    if whole <= most:
        return found
    head, tail = most // 2, most - most // 2
    cut = whole - head - tail
    said = PromptPiece("left", f"… {cut:,} characters left out here …")
    return [*_within(found, 0, head), said, *_within(found, whole - tail, whole)]


def _within(found: list[PromptPiece], start: int, end: int) -> Iterator[PromptPiece]:
    at = 0
    for piece in found:
        text = piece.text[max(0, start - at) : max(0, end - at)]
        at += len(piece.text)
        if text:
            yield PromptPiece(piece.kind, text)
