"""Voices: a recording goes in, its mel, pitch and content are taken apart, and another voice comes out.

Images never meet this room. What it needs beyond the zoo's own dependencies is installed by the extra ``[voice]``.
"""
