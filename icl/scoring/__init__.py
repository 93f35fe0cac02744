"""Scores, comparisons and checks computed from records, without a model."""
