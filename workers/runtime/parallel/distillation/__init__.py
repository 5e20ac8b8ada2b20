"""Distillation: what a student minimises (``losses``), the teacher beside it, and passes that bring both together."""
