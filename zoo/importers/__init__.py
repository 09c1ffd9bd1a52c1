"""Importers: one foreign format of weights a file, from its key names to a config and tensors of the zoo."""
