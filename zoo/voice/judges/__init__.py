"""Judges of speech: whose voice it is, how its pitch moves, what is said and how clean it sounds.

All of them hear (L,) float32 in [-1, 1] at 16 kHz. Their weights come inside packages that nothing else needs, so they
are no dependency of this distribution: a message names the package when a judge is called that is not there.
"""
