"""The engine for models of transformers, causal and encoder–decoder, in this process."""
