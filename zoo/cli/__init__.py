"""The command line: one verb a module, imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import zoo
from registry import RegistryError
from zoo.cli.output import colour, fail
from zoo.cli.verbs import Verbs

_VERBS = {
    "average": "Average the weights of a run over another width, after training.",
    "bench": "Compare samplers: time, error and quality, from the same noise.",
    "check": "Say what is wrong with a config or a file of weights.",
    "compare": "Two networks side by side: where they part, and by how much.",
    "convert": "Turn somebody else's checkpoint into one safetensors file.",
    "data": "Look at data before a model is trained on it.",
    "evaluate": "Say how good a model is: samples beside data.",
    "list": "What the zoo holds, by name.",
    "sample": "Draw samples and save them as a picture.",
    "show": "A config in full, or how the size of a model comes about.",
    "trace": "Draw the paths of samplers over a plane, or print their weights.",
    "train": "Train a model on your own data.",
    "voice": "Voices: mel, pitch and units of a recording, training data, and another voice.",
}


@click.group(
    cls=Verbs,
    verbs=_VERBS,
    package="zoo.cli",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(zoo.__version__, prog_name="zoo")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads.  [default: OMP_NUM_THREADS, else the cores this process may use]",
)
@click.option("--traceback", is_flag=True, help="Show where an unexpected error comes from.")
@click.pass_context
def command(ctx: click.Context, threads: int | None, traceback: bool) -> None:
    """A model zoo for everything that removes noise.

    \b
    zoo list samplers                             what there is
    zoo show ddpm-cifar10 --layers                how a size comes about
    zoo sample ddpm-mnist --out grid.png          digits from the shipped weights
    zoo train ddpm-digits --out runs/digits       a model of your own

    Names are completed by the shell after: eval "$(_ZOO_COMPLETE=bash_source zoo)" (or zsh_source, fish_source).
    """
    ctx.color = colour()
    # Torch reads it when it is first imported, so that verbs without numbers need not import it here
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    elif hasattr(os, "sched_getaffinity"):
        os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: 0 when all went well, 2 for bad input with one message, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = command.main(given, prog_name="zoo", standalone_mode=False)
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "zoo"
        fail(error.format_message(), hint=f"try '{usage} --help'" if isinstance(error, click.UsageError) else "")
        code = 2
    except (click.Abort, KeyboardInterrupt):
        # of several processes that a launch command started, one says so
        if os.environ.get("RANK", "0") == "0":
            fail("stopped")
        code = 130
    except Exception as error:
        if "--traceback" in given:
            raise
        code = _explained(error)
    sys.exit(code if isinstance(code, int) else 0)


def _explained(error: Exception) -> int:
    """One message for what the user can put right, one line for what he cannot."""
    from zoo.core.errors import ZooError

    if isinstance(error, RegistryError | ZooError):
        fail(str(error))
        return 2
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        fail(f"{error.filename}: {reason}" if error.filename else reason)
        return 2
    first = str(error).partition("\n")[0]
    if isinstance(error, RuntimeError) and "home directory" in first:
        fail("a path begins with ~ and a name, and this machine has no user of that name")
        return 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        fail(f"out of memory: {first}", hint="take fewer at a time: -n of sample, training.batch_size=... of train")
    else:
        fail(f"unexpected {type(error).__name__}: {first}", hint="run again as 'zoo --traceback ...' and report it")
    return 1
