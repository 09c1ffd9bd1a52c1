"""Content units: encoders of what is said."""
