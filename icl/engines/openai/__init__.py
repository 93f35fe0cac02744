"""The engine for servers with OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, hosted models."""

from __future__ import annotations

from icl.engines.openai.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
