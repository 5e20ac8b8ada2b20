"""Parallel strategies, one module each, applied to a single-device model from outside."""

from workers.runtime.parallel.ddp import Replicas, replicate

__all__ = ["Replicas", "replicate"]
