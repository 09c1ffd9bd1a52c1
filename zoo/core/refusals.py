"""Why parts do not go together: a closed list of reasons, and the error that carries one."""

from __future__ import annotations

from enum import Enum

from zoo.core.grid import GridError


class Reason(Enum):
    """Why a combination is refused; there are no others."""

    COUNTS_STEPS = "the spacing picks from trained steps, and the schedule has none or too few"
    FINITE_NOISE = "the spacing needs finite noise levels, and the schedule begins with pure noise or ends in none"
    RULE_AT_NOISE = "the sampler cannot leave pure noise"
    OUTPUT_AT_NOISE = "the output says nothing about the data at pure noise"
    OUTPUT_AT_DATA = "the output says nothing about the noise at clean data, where the sampler asks"
    RULE_AT_DATA = "the sampler cannot leave clean data"
    WHOLE_TIMES = "the sampler goes to whole times between two steps, and there is none"
    UPWARD = "the sampler draws noise on its way down and cannot walk up"
    JOINS_NOT = "the guidance gives x_0 and eps of different predictions, and the sampler uses one of them"


class MixError(GridError):
    """Parts that do not go together.

    Args:
        reason: which of the reasons; None for a setting that makes no sense anywhere.
        message: what is wrong and what to do.
    """

    def __init__(self, reason: Reason | None, message: str) -> None:
        super().__init__(message)
        self.reason = reason
