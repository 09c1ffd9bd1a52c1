"""The processes of a run: this one alone, or those that a launch command started, joined by accelerate."""

from __future__ import annotations

import atexit
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.core.device import DeviceError, usable
from zoo.core.errors import ZooError

if TYPE_CHECKING:
    from accelerate import Accelerator

# the others wait while one draws samples
_PATIENCE = timedelta(hours=2)


class LaunchError(ZooError):
    """Processes that cannot train together."""


def launched() -> int:
    """How many processes the launch command (torchrun, accelerate launch) says there are; 1 without one.

    Raises:
        LaunchError: it says something else than a number.
    """
    told = os.environ.get("WORLD_SIZE", "1")
    if not told.isdigit() or int(told) < 1:
        raise LaunchError(f"WORLD_SIZE must be the number of processes, it is {told!r}; start by torchrun, or unset it")
    return int(told)


def speaks() -> bool:
    """Whether this process is the one that prints."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """This process, alone.

    Args:
        device: where the tensors are.

    Attributes:
        index: of this process among all.
        count: of all.
    """

    index = 0
    count = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.index == 0

    def __str__(self) -> str:
        return str(self.device) if self.count == 1 else f"{self.count} processes, this one on {self.device}"

    def joined(self, model: nn.Module, *, idle: bool) -> nn.Module:
        """The model, such that a backward pass leaves the mean gradient of all processes in its parameters.

        Args:
            model: to be trained.
            idle: whether a pass leaves some of its parameters out; they are then looked for in each.
        """
        return model

    def apart(self, model: nn.Module) -> AbstractContextManager[None]:
        """A while in which gradients of a joined model are only collected."""
        return nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes of a float64 tensor on the CPU."""
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in one of them."""
        return bool(self.mean(torch.tensor(float(flag), dtype=torch.float64)) > 0)

    def agree(self, number: int) -> bool:
        """Whether all have the same number."""
        here = torch.tensor(float(number), dtype=torch.float64)
        return not self.any(bool(self.mean(here) != here))

    def wait(self) -> None:
        """Wait until all are here."""

    def abandon(self) -> None:
        """Leave without the others, of whom some may never come."""


class Joined(Processes):
    """This process among others, each with a device of its own.

    Args:
        accelerator: what joins them.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        # a processor has no number, and torch.load knows none that has
        here = accelerator.device
        super().__init__(torch.device("cpu") if here.type == "cpu" else here)
        self._accelerator = accelerator
        self.index, self.count = accelerator.process_index, accelerator.num_processes

    def joined(self, model: nn.Module, *, idle: bool) -> nn.Module:
        from accelerate.utils import DistributedDataParallelKwargs

        # of a kernel of one pixel both layouts are the same, and torch takes them for different ones
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        # views: gradients that travel need no memory of their own
        self._accelerator.ddp_handler = DistributedDataParallelKwargs(
            find_unused_parameters=idle, gradient_as_bucket_view=True
        )
        prepared: nn.Module = self._accelerator.prepare_model(model)
        return prepared

    def apart(self, model: nn.Module) -> AbstractContextManager[None]:
        collecting: AbstractContextManager[None] = self._accelerator.no_sync(model)
        return collecting

    def mean(self, values: Tensor) -> Tensor:
        total: Tensor = self._accelerator.reduce(values.to(self.device), reduction="mean")
        return total.cpu()

    def wait(self) -> None:
        self._accelerator.wait_for_everyone()

    def abandon(self) -> None:
        # to take leave would be to wait for them
        atexit.unregister(_leave)


def join(device: torch.device | str | None) -> Processes:
    """The processes of this launch, or this one alone.

    Args:
        device: for this one alone: where the tensors go, None for the GPU when there is one. Of several processes each
            takes its own GPU, unless this is "cpu".

    Raises:
        DeviceError: this machine does not have the device, or fewer GPUs than processes.
        LaunchError: there are several processes and accelerate is missing, or the launch command asks for what is not
            done here.
    """
    _check_asked()
    if launched() == 1:
        return Processes(usable(device))
    own = _own(device)
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedType, InitProcessGroupKwargs
    except ImportError:
        raise LaunchError(
            f"{launched()} processes were launched, and accelerate joins them: pip install 'diffusion-zoo[train]'"
        ) from None
    accelerator = Accelerator(
        cpu=own.type == "cpu",
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    if accelerator.distributed_type not in (DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise LaunchError(
            f"accelerate found {accelerator.distributed_type.value} behind {launched()} processes; several are trained "
            "on CPUs or on CUDA GPUs alone"
        )
    atexit.register(_leave)
    return Joined(accelerator)


def parted(error: RuntimeError) -> bool:
    """Whether an error says that another process can be reached no more."""
    # of processes on CPUs torch tells by the text alone
    return isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error)


def _check_asked() -> None:
    """Refuse what a launch command asks for and nothing here would do, be it of one process or of several."""
    for name, what in (("FSDP", "FSDP"), ("DEEPSPEED", "DeepSpeed"), ("MEGATRON_LM", "Megatron-LM")):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise LaunchError(
                f"{what} deals a model out to the processes, and here each holds all of it: launch without it"
            )
    if os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "no":
        raise LaunchError(
            "the launch command asks for mixed precision, which the config says here: training.precision=bf16; "
            "launch with --mixed_precision no"
        )
    if os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no":
        raise LaunchError(
            "the launch command asks for compiled kernels, which the config says here: training.compile=true; "
            "launch with --dynamo_backend no"
        )


def _own(device: torch.device | str | None) -> torch.device:
    """The device of this one among several processes, without a tensor on any other."""
    if ":" in str(device):
        raise DeviceError(f"device {str(device)!r}: each of several processes takes its own; say cpu or cuda")
    name = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if name != "cuda":
        return usable(name)
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise DeviceError(
            f"this is process {number + 1} on this machine, whose GPUs number {there}: launch as many as there are "
            "GPUs, or train on the cpu"
        )
    return usable(torch.device(name, number))


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
