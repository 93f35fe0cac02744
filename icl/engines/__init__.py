"""What answers a prompt: the protocol, its contract test, and one folder or file an engine."""
