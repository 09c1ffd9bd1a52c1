"""Schedules, discrete (tables of trained steps) and continuous (formulas)."""
