"""The engine for servers that speak OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, hosted."""

from __future__ import annotations

from icl.engines.openai.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
