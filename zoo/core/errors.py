"""The errors that every room raises; all of them are `ZooError`, so that one `except` catches them."""

from __future__ import annotations


class ZooError(Exception):
    """Something the user can put right; the message says what is wrong, and what to do next."""


class ShapeError(ZooError, ValueError):
    """A tensor of a shape that the network cannot take."""


class ArgumentValueError(ZooError, ValueError):
    """An argument of the right type whose value makes no sense, alone or beside the others."""
