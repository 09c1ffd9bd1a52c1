"""Samplers: one update rule a file."""
