"""Pitch: how it is found, and what is made of gaps and of numbers."""
