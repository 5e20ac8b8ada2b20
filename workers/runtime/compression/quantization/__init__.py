"""Fewer bits: each method chooses the integers; ``workers.runtime.compression.linear`` holds them."""
