"""Engines, which answer prompts: their protocol, its contract test, and the implementations."""
