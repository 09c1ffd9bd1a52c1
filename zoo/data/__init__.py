"""Datasets: maps from an index to a clean example, as tensors."""
