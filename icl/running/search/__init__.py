"""The search for a prompt and its shots within a budget."""
