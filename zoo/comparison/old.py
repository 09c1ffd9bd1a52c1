"""A user's old class, brought to life: its file, its neighbours, its global ``hparams``, its weights.

Code is run here, that of the file the user names and of what it imports; nothing is run that was not asked for.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from registry.errors import near_or_known
from zoo.comparison.errors import ComparisonError
from zoo.importers.fields import read_fields
from zoo.importers.source import Source

_SHOWN = 8

_FIELDS = {
    "in_dims": "audio_num_mel_bins",
    "n_hidden": "hidden_size",
    "encoder_hidden": "hidden_size",
    "num_layers": "residual_layers",
    "num_channels": "residual_channels",
}
"""Fields of old configs whose name is not that of the argument they fill."""


class OldModule(nn.Module):
    """An old network and what was assumed to get it running; it is called as the old network is.

    Args:
        network: the old network.
        remarks: what was assumed, and what became of its weights, a sentence each.
    """

    def __init__(self, network: nn.Module, remarks: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.remarks = network, remarks

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.network(*args, **kwargs)


@dataclass(frozen=True)
class _Spec:
    file: Path
    name: str


def old_module(
    spec: str,
    *,
    root: str | PathLike[str] | None = None,
    config: Mapping[str, Any] | str | PathLike[str] | None = None,
    args: Mapping[str, Any] | None = None,
    weights: Mapping[str, Tensor] | str | PathLike[str] | None = None,
) -> OldModule:
    """Build the network of an old class. This runs the code of its file, and of all that the file imports.

    Args:
        spec: ``path/to/old_net.py:DiffNet``, a file and a class in it.
        root: folder put on ``sys.path`` while the class is imported and built: the top of its repository.
        config: mapping or YAML, of the class's own project: it fills a global ``hparams`` (a module ``utils.hparams``
            with ``hparams`` and ``set_hparams`` stands in for the project's), and constructor arguments by name.
        args: constructor arguments that the config does not tell, or tells wrongly.
        weights: tensors by name, or a checkpoint in which they stand below any prefix; None leaves them random.

    Returns:
        The network in eval mode, with what was assumed in ``remarks``.

    Raises:
        ComparisonError: the class cannot be found, imported or built, or the weights are those of another.
    """
    where = _parsed(spec)
    fields = dict(read_fields(config).tree or {}) if config is not None else {}
    with _imports(where, root, fields if config is not None else None):
        kind = _imported(where, None if root is None else Path(root).expanduser().resolve())
        given, remarks = _arguments(kind, where, fields, dict(args or {}))
        try:
            network = kind(**given)
        except Exception as error:  # somebody else's constructor, which may raise anything
            raise ComparisonError(
                f"{spec}: {where.name}({_called(given)}) failed: {type(error).__name__}: {error}; "
                f"{_advice(error, fields)}"
            ) from error
    remarks = [f"{where.name}({_called(given)}) of {where.file}", *remarks]
    if weights is not None:
        remarks += _load(network, weights, spec)
    return OldModule(network, tuple(remarks)).eval()


def _parsed(spec: str) -> _Spec:
    file, _, name = spec.rpartition(":")
    if not file or not name.isidentifier():
        raise ComparisonError(f"{spec!r}: expected a file and a class, such as network/diff/net.py:DiffNet")
    path = Path(file).expanduser()
    if not path.is_file():
        raise ComparisonError(f"{path}: no such file")
    return _Spec(path.resolve(), name)


@contextmanager
def _imports(where: _Spec, root: str | PathLike[str] | None, hparams: dict[str, Any] | None) -> Iterator[None]:
    """Its folders on ``sys.path`` and its ``hparams`` in place; afterwards all imports are as they were."""
    folders = [str(where.file.parent)]
    if root is not None:
        top = Path(root).expanduser().resolve()
        if not top.is_dir():
            raise ComparisonError(f"{root}: no such folder")
        folders.insert(0, str(top))
    path, modules = list(sys.path), dict(sys.modules)
    # two old trees have modules of the same names; so may the caller
    local = {entry.stem for folder in folders for entry in Path(folder).iterdir() if _importable(entry)}
    for name in list(sys.modules):
        if name.partition(".")[0] in local and not _standard(name):
            del sys.modules[name]
    sys.path[:0] = folders
    if hparams is not None:
        sys.modules.update(_stand_ins(hparams, folders[0] if root is not None else None))
    try:
        yield
    finally:
        sys.path[:] = path
        new = {name: module for name, module in sys.modules.items() if name not in modules}
        stale = [name for name, one in new.items() if name.partition(".")[0] == "utils" or _inside(one, folders)]
        for name in stale:
            del sys.modules[name]
        sys.modules.update(modules)


def _importable(entry: Path) -> bool:
    return entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py")))


def _standard(name: str) -> bool:
    return name.partition(".")[0] in {*sys.stdlib_module_names, "torch", "numpy", "zoo", "registry"}


def _inside(module: ModuleType, folders: list[str]) -> bool:
    files = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(file and Path(file).is_relative_to(folder) for file in files for folder in folders)


def _stand_ins(hparams: dict[str, Any], root: str | None) -> dict[str, ModuleType]:
    """``utils`` and ``utils.hparams`` as DiffSinger and its children know them; other modules of ``utils`` are real."""
    package, module = ModuleType("utils"), ModuleType("utils.hparams")
    package.__path__ = [str(Path(root) / "utils")] if root is not None else []

    def set_hparams(*args: Any, **kwargs: Any) -> dict[str, Any]:
        """The mapping that is there already, whatever is asked for."""
        return hparams

    vars(module).update(hparams=hparams, set_hparams=set_hparams)
    vars(package).update(hparams=module)
    return {"utils": package, "utils.hparams": module}


def _imported(where: _Spec, root: Path | None) -> type[nn.Module]:
    try:
        if root is not None and where.file.is_relative_to(root):
            # by its dotted name, so that it may import its neighbours relatively
            module = importlib.import_module(".".join(where.file.relative_to(root).with_suffix("").parts))
        else:
            module = importlib.import_module(where.file.stem)
    except Exception as error:  # somebody else's code, which may raise anything
        hint = ""
        if isinstance(error, ImportError):
            hint = "; install it, or pass root= (--old-root), the folder its imports start from"
        elif isinstance(error, KeyError):
            hint = "; pass config= (--old-config), the YAML that fills its hparams"
        raise ComparisonError(f"{where.file}: cannot be imported: {type(error).__name__}: {error}{hint}") from error
    kind = getattr(module, where.name, None)
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        classes = [name for name, one in vars(module).items() if isinstance(one, type) and issubclass(one, nn.Module)]
        hint = near_or_known(where.name, classes, "its networks") or "it has no network at all"
        raise ComparisonError(f"{where.file}: has no network {where.name!r}\n    {hint}")
    return kind


def _arguments(
    kind: type[nn.Module], where: _Spec, fields: Mapping[str, Any], args: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Constructor arguments: those given, and those that the config has by their name."""
    parameters = inspect.signature(kind).parameters
    keywords = {name for name, one in parameters.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
    if unknown := [name for name in args if name not in keywords and len(keywords) == len(parameters)]:
        hint = near_or_known(unknown[0], sorted(keywords), "its arguments")
        raise ComparisonError(f"{where.name} takes no argument {unknown[0]!r}" + (f"\n    {hint}" if hint else ""))
    flat = _flat(fields)
    given, remarks = dict(args), []
    for name in parameters:
        if name in given or name not in keywords:
            continue
        field = name if name in flat else _FIELDS.get(name)
        if field in flat:
            given[name] = flat[field]
            remarks.append(f"{name} = {flat[field]!r} from {field} of its config")
    missing = [name for name in keywords - given.keys() if parameters[name].default is inspect.Parameter.empty]
    if missing:
        words = ", ".join(sorted(missing))
        raise ComparisonError(
            f"{where.name} needs {words}: pass args={{{missing[0]!r}: ...}} (--old-args {missing[0]}=...)"
        )
    return {name: given[name] for name in parameters if name in given} | given, remarks


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """All fields by their last name; those further up win."""
    flat: dict[str, Any] = {}
    for value in fields.values():
        if isinstance(value, Mapping):
            flat.update(_flat(value))
    return flat | {str(name): value for name, value in fields.items() if not isinstance(value, Mapping)}


def _load(network: nn.Module, weights: Mapping[str, Tensor] | str | PathLike[str], spec: str) -> list[str]:
    """Give it all weights that fit, and say which do not."""
    held: Mapping[str, Tensor] = weights if isinstance(weights, Mapping) else Source(weights)
    wanted = network.state_dict()
    prefixes = _prefixes(list(held), list(wanted))
    if not prefixes:
        raise ComparisonError(f"{spec}: the checkpoint has none of its weights: {_listed(list(wanted))}")
    prefix = prefixes[0]
    inside = [key.removeprefix(prefix) for key in held if key.startswith(prefix)]
    fitting = {key: held[prefix + key] for key in wanted if key in inside}
    shapes = [key for key, tensor in fitting.items() if tensor.shape != wanted[key].shape]
    for key in shapes:
        del fitting[key]
    network.load_state_dict(fitting, strict=False)
    remarks = [f"{len(fitting)} of its {len(wanted)} weights were loaded" + (f" from {prefix}*" if prefix else "")]
    if len(prefixes) > 1:
        remarks.append(f"the checkpoint holds as many of them under {prefixes[1]}*, which were not looked at")
    for what, keys in (
        ("the checkpoint has none for", [key for key in wanted if key not in inside]),
        ("the old class has no place for", [key for key in inside if key not in wanted]),
        ("of another shape in the checkpoint, and not loaded:", shapes),
    ):
        if keys:
            remarks.append(f"{what} {_listed(keys)}")
    return remarks


def _prefixes(held: list[str], wanted: list[str]) -> list[str]:
    """What stands before the network's names in the checkpoint: that which finds most of them, or several such."""
    known = set(held)
    found = {key.removesuffix(name) for name in wanted[:_SHOWN] for key in held if key.endswith(name)}
    scores = {
        prefix: sum(prefix + name in known for name in wanted)
        for prefix in sorted(found)
        if not prefix or prefix.endswith((".", "/"))
    }
    return [prefix for prefix, score in scores.items() if score == max(scores.values())]


def _advice(error: Exception, fields: Mapping[str, Any]) -> str:
    if isinstance(error, KeyError):
        return f"its config lacks {error}" if fields else "pass config= (--old-config), the YAML that fills its hparams"
    return "pass args= (--old-args NAME=VALUE) for what it needs"


def _called(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
