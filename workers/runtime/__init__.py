"""The torch side: a training program that runs under ``torchrun`` alone, or in ranks an agent starts.

Importing this package is cheap; torch is imported by its modules.
"""
