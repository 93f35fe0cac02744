"""Between a prompt and token ids: forms of a prompt, windows, tokens, reasoning."""
