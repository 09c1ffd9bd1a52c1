"""Guidance: what is done to a prediction before a sampler sees it."""
