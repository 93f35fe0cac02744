"""From prompts to token ids and back: forms of a prompt, windows, tokens, reasoning."""
