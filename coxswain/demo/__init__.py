"""The demonstration: a small language model trained on text that every machine has."""
