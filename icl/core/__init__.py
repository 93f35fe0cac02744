"""The shared types, the errors, the registry and plain helpers: imports nothing else of icl."""
