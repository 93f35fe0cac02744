"""Causal models: the token tree, its masks, scoring and generation."""
