"""Models of transformers, causal and encoder–decoder, in this process."""
