"""The search for the best prompt and shots within a budget."""
