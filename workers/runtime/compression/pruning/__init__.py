"""Removing weights: ``masks`` chooses them, each method says by which score."""
