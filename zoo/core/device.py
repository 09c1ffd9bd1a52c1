"""Where tensors can live on this machine."""

from __future__ import annotations

import torch

from zoo.core.errors import ZooError


class DeviceError(ZooError):
    """A device that this machine does not have."""


def usable(device: torch.device | str | None) -> torch.device:
    """The device, when this machine has it; None takes the GPU when there is one.

    Raises:
        DeviceError: nothing can be put there.
    """
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0]
        raise DeviceError(f"device {str(device)!r} cannot be used: {first}") from None
    return place
