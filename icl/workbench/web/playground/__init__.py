"""The tab in which a user edits one prompt and asks the model."""
