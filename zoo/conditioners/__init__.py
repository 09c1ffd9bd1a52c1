"""Conditioners: from features of a voice to what a denoiser of mels is told."""
