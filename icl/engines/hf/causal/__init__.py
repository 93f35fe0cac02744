"""Causal models: the token tree, its attention masks, scoring and generation."""
