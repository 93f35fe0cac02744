"""Encoder–decoder models: tokens, forward passes and scoring."""
