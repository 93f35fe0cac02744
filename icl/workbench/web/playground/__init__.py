"""The tab Playground, in which a user edits one prompt and runs it on the model."""
