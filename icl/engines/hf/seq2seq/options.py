"""The part of the transformers engine that is specific to encoder-decoder models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from icl.core.errors import ChoiceError, ModelError, WindowError
from icl.core.types import JSON, Prompt, Sampling
from icl.engines.hf.seq2seq.tokenizer import PairCodec
from icl.engines.hf.text.window import count_positions, pick_least
from icl.prompts.family_text import Wording

__all__ = ["Mode", "Seq2Seq", "DecoderStart", "check_options"]


if TYPE_CHECKING:
    from icl.engines.hf.seq2seq.forward import PairRequest
    from icl.engines.hf.seq2seq.score import PairPlan

Ids: TypeAlias = tuple[int, ...]
Mode = Literal["default", "denoising"]
GROUP_ROWS = 64
"""Texts that are generated at a time."""


@dataclass(frozen=True, slots=True)
class DecoderStart:
    """The first tokens of the decoder's texts and the forbidden ones, as the config files say."""

    start: int | None
    """The token that the decoder begins with; None if the files name none."""
    forced: int | None
    """The token that is forced after it; None if there is none."""
    never: Ids
    """Tokens that are never generated."""

    @classmethod
    def of(cls, config: Any, generation: Any) -> DecoderStart:
        """Read them from the generation config, or else the model's, or else its BOS."""
        places = (generation, config, getattr(config, "decoder", None))
        starts = [getattr(place, "decoder_start_token_id", None) for place in places]
        starts += [getattr(place, "bos_token_id", None) for place in places]
        forced = [getattr(place, "forced_bos_token_id", None) for place in places]
        bad = [ids[0] for ids in getattr(generation, "bad_words_ids", None) or () if len(ids) == 1]
        bad += getattr(generation, "suppress_tokens", None) or ()
        return cls(_first(starts), _first(forced), tuple(bad))


def _first(values: Sequence[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)


@dataclass(frozen=True)
class Seq2Seq:
    """Prompts and choices of an encoder-decoder model as tokens, within its two windows."""

    codec: PairCodec
    wording: Wording
    mode: Mode
    never: Ids
    """Tokens that are never generated."""
    lead: Ids
    """The tokens that every text of the decoder begins with."""
    own_window: int
    """The model's own encoder window in tokens; 0 if its files do not say."""
    limit: int
    """The most encoder tokens; 0 if positions are relative and there is no limit."""
    decoder_limit: int
    """The most decoder tokens; 0 if there is no limit."""

    @classmethod
    def of(
        cls, config: Any, generation: Any, codec: PairCodec, wording: Wording, mode: Mode
    ) -> Seq2Seq:
        """Read the options from a model's config, generation config and tokenizer.

        Raises:
            ModelError: no decoder start, or a language is missing.
        """
        starts = DecoderStart.of(config, generation)
        limit = count_positions(config, "encoder")
        relative = getattr(config, "n_positions", None)  # what T5 was trained with
        own = pick_least([limit, relative, codec.tokenizer.model_max_length])
        lead = codec.lead(starts.start, starts.forced)
        return cls(
            codec, wording, mode, starts.never, lead, own, limit, count_positions(config, "decoder")
        )

    def identity(self) -> dict[str, JSON]:
        """Return what changes an answer besides the weights: mode and tokens around both texts."""
        return {"mode": self.mode, "back": list(self.codec.back), "lead": list(self.lead)}

    def room(self, window: int, answer_tokens: int) -> int:
        """Return how many tokens a prompt may have if the answer has ``answer_tokens``."""
        if self.mode == "default":
            return window
        return min(window, self._decoder_window(window) - len(self.lead) - answer_tokens)

    def plans(
        self,
        prompt: Prompt,
        choices: Collection[str],
        rows: Iterable[Mapping[str, list[int]]],
        window: int,
    ) -> Iterator[tuple[dict[str, list[int]], PairPlan]]:
        """Yield a text's choices and their tokens, in groups of rows with one token border.

        A stop string of the prompt at the end of a choice means the end of the text, and is
        scored as the model's own end token: it is what ``choice_end`` adds where it is needed.

        Args:
            prompt: the first that sends the text.
            choices: of all rows.
            rows: each row's choices with the indices of their items.
            window: encoder tokens.

        Raises:
            ChoiceError: a choice is empty, has no tokens of its own, or the same as another.
            WindowError: longer than one of the windows.
        """
        from icl.engines.hf.causal.score import group_by_prefix, plan_choices
        from icl.engines.hf.seq2seq.score import PairPlan

        text = self.wording.prompt(prompt.text)
        (source,) = self.codec.encode([text])
        self.check_source(prompt, len(source), window)
        repeated = text if self.mode == "denoising" else ""
        bare, ends = zip(*(_ended(choice, prompt.stop) for choice in choices), strict=True)
        words = [self.wording.text(choice) for choice in bare]
        if not repeated:  # the space between prompt and choice belongs to a text of both
            words = [word.lstrip() for word in words]
        own, *joined = self.codec.targets([repeated, *(repeated + word for word in words)])
        end = self._end_ids(any(ends))
        targets = {
            choice: (*self.lead, *ids, *(end if ended else ()))
            for choice, ids, ended in zip(choices, joined, ends, strict=True)
        }
        limit = self._decoder_window(window)
        for choice, target in targets.items():
            if len(target) > limit:
                raise WindowError(
                    f"choice {choice!r} needs {len(target)} tokens of the decoder, whose window "
                    f"is {limit}; use shorter labels" + (", or fewer shots" if repeated else "")
                )
        front = (*self.lead, *own)
        for together in group_by_prefix(front, rows, targets):
            made = list(together), [targets[choice] for choice in together]
            plan = plan_choices(front, *made, limit, None)
            yield together, PairPlan(plan.prefix, plan.suffixes, plan.spanning, len(source), source)

    def requests(
        self, prompts: Sequence[Prompt], sampling: Sampling, window: int
    ) -> Iterator[list[PairRequest]]:
        """Yield the prompts as tokens, longest first, in groups whose decoders begin alike.

        Raises:
            WindowError: longer than one of the windows.
        """
        from icl.engines.hf.seq2seq.forward import PairRequest

        groups: dict[Ids, list[PairRequest]] = {}
        texts = [self.wording.prompt(prompt.text) for prompt in prompts]
        repeated = texts if self.mode == "denoising" else [""] * len(texts)
        own = self.codec.targets(repeated)
        for i, source in enumerate(self.codec.encode(texts)):
            prompt, lead = prompts[i], (*self.lead, *own[i])
            self.check_source(prompt, len(source), window)
            if len(lead) + sampling.max_tokens > (limit := self._decoder_window(window)):
                raise WindowError(
                    f"max_tokens {sampling.max_tokens} is over the decoder's window of {limit}, of "
                    f"which {len(lead)} are taken; set max_tokens to {max(1, limit - len(lead))} "
                    "or fewer"
                )
            ends = self.wording.stops((*sampling.stop, *prompt.stop))
            key = prompt.query_id or str(i)
            groups.setdefault(lead, []).append(PairRequest(i, lead, ends, key, source=source))
        for group in groups.values():
            group.sort(key=lambda request: -len(request.source))
            width = max(1, GROUP_ROWS // sampling.n)
            yield from (group[at : at + width] for at in range(0, len(group), width))

    def check_source(self, prompt: Prompt, n_tokens: int, window: int) -> None:
        """Check that a prompt is not longer than the encoder's window."""
        if n_tokens > window:
            name = f" {prompt.query_id!r}" if prompt.query_id else ""
            raise WindowError(
                f"prompt{name} has {n_tokens} tokens, which is over the encoder's window of "
                f"{window}; use fewer or shorter shots"
            )

    def _decoder_window(self, window: int) -> int:
        return self.decoder_limit or window

    def _end_ids(self, needed: bool) -> Ids:
        end: int | None = self.codec.tokenizer.eos_token_id
        if needed and end is None:
            raise ChoiceError(
                "choices that begin one another need an end to be distinguished, and the tokenizer "
                "has no EOS; set choice_end: never, or choose labels that do not begin alike"
            )
        return () if end is None else (end,)


def _ended(choice: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return a choice without the stop string that ends it, and whether there was one."""
    end = next((stop for stop in stops if stop and choice.endswith(stop)), "")
    return choice.removesuffix(end), bool(end)


def check_options(
    source: str, config: Any, for_causal: Mapping[str, Any], for_pairs: Mapping[str, Any]
) -> None:
    """Check that no option is set for the other kind of model.

    Raises:
        ModelError: naming the option and the kind of the model.
    """
    kinds = "a causal", "an encoder-decoder"
    is_pair = bool(config.is_encoder_decoder)
    for name, value in (for_causal if is_pair else for_pairs).items():
        if value is not None:
            raise ModelError(
                f"{name} {value!r} is an option of {kinds[not is_pair].split()[1]} models, and "
                f"{source!r} is {kinds[is_pair]} one ({config.model_type}); leave it out"
            )
