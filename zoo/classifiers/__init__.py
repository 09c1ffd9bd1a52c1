"""Classifiers of noisy data, which guide a diffusion."""
