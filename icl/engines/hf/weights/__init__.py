"""From a source of weights to a loaded model in a width, and the proof of that width."""
