"""A ``.j2`` file becomes a prompt, and a prompt becomes text or chat turns."""
