"""Measuring a model: ``scoring`` of predictions, ``embedding`` of texts, speed of ``generation``, ``footprint``."""
