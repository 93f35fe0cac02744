"""The parts of a prompt in the text that was sent: instruction, shots, query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from icl.core.types import Prompt, Record
from icl.records.results import ConditionResult

__all__ = ["PromptPiece", "bound_pieces", "split_sent_prompt", "split_record_prompt"]


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """A piece of the text that was sent, with its kind."""

    kind: str
    """``system``, ``instruction``, ``input`` and ``target`` (of a shot), ``query``, ``joint``
    (separators, turns of a chat), ``left`` (how much was left out), or ``sent`` if the parts
    cannot be distinguished."""
    text: str


def _parts(prompt: Prompt) -> Iterator[PromptPiece]:
    yield PromptPiece("system", prompt.system)
    yield PromptPiece("instruction", prompt.instruction)
    for source, target in prompt.shots:
        yield PromptPiece("input", source)
        yield PromptPiece("target", target)
    yield PromptPiece("query", prompt.query)


def split_sent_prompt(prompt: Prompt, sent: str) -> list[PromptPiece]:
    r"""Split the text that was sent into the parts of its prompt.

    The pieces joined are ``sent`` itself. A chat drops white space around its turns, so a part
    may appear there without its own.

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
    """Split a record's prompt, rendered again, and return whether it equals the sent one.

    The channel method has a prompt for every choice: the answer's is returned, followed by
    the input that was scored.

    Raises:
        IclError: the prompt cannot be rendered from the folder's files.
    """
    prompts, scored = condition.prompts(record), condition.scored(record)
    place = record.logprobs.index(max(record.logprobs)) if scored is not None else 0
    shown = split_sent_prompt(prompts[place], condition.sent(prompts[place]))
    if scored is not None:
        shown.append(PromptPiece("target", scored))
    return shown, condition.hash_again(record) == record.request


def bound_pieces(found: list[PromptPiece], most: int) -> list[PromptPiece]:
    """Cut the middle out of pieces with more than ``most`` characters in total.

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
