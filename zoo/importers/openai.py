"""What improved-diffusion and guided-diffusion have in common: one UNet, its file names, its flags and its diffusion.

A config may be the arguments of the network's class (model_channels, attention_resolutions [2, 4]: how often maps were
halved) or the flags of the scripts (num_channels, attention_resolutions "16,8": sides of maps).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.attention_orders import Order
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.openai_files import Published, published
from zoo.importers.openai_names import Network, is_classifier, network
from zoo.importers.source import Source

_FILE = re.compile(r"(model|ema_[\d.]+_|opt)(\d{6,})\.pt")
_ALIASES = {
    "num_channels": "model_channels",
    "width": "model_channels",
    "depth": "num_res_blocks",
    "large_size": "image_size",
}
_TRAINING_ONLY = "it matters for further training only"
_SCRIPTS: dict[str, Any] = {"num_heads": 4, "num_head_channels": -1, "use_new_attention_order": False}
_CLASSIFIER_SCRIPTS: dict[str, Any] = {**_SCRIPTS, "num_head_channels": 64}
_CONSTRUCTOR: dict[str, Any] = {**_SCRIPTS, "num_heads": 1}


class OpenAI(Importer):
    """A network of improved-diffusion or guided-diffusion: to ``adm``, or ``adm-classifier``."""

    rescales: ClassVar[bool]
    """Whether the project's scripts rescale times by default."""

    def __init__(self) -> None:
        self._net: Network | None = None
        self._heads: list[int] = []
        self._heads_up: list[int] = []
        self._order: Order = "legacy"

    @abstractmethod
    def could_make(self, weights: Source) -> bool:
        """Whether the project's own code has such networks."""

    def matches(self, source: Source) -> bool:
        parts = self.copies(source).values()
        return bool(parts) and all(self.could_make(part) for part in parts)

    def copies(self, source: Source) -> dict[Copy, Source]:
        if not source.files:
            found = _FILE.fullmatch(source.path.name)
            if found and found[1] == "opt":
                raise CheckpointError(
                    f"{source.path}: is the state of the optimizer, not a network; those of this step are "
                    f"model{found[2]}.pt, as trained, and ema_0.9999_{found[2]}.pt, their moving average"
                )
            part = network(source)
            return {} if part is None else {_copy(found): part}
        runs = [(found, file) for file in source.files if (found := _FILE.fullmatch(file)) and found[1] != "opt"]
        several: dict[Copy, Source] = {}
        for found, file in sorted(runs, key=lambda run: int(run[0][2])):  # the latest step of each counts
            if part := network(source.under(f"{file}/")):
                several[_copy(found)] = part
        return several

    def step(self, source: Source) -> int | None:
        names = source.files or (source.path.name,)
        return max((int(found[2]) for name in names if (found := _FILE.fullmatch(name))), default=None)

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        defaults = _SCRIPTS if "num_channels" in fields else _CONSTRUCTOR if "model_channels" in fields else {}
        if is_classifier(weights) and ("classifier_width" in fields or "classifier_depth" in fields):
            # what stands beside these flags is of the network that is guided
            fields, defaults = fields.part("classifier_", ("image_size",)), _CLASSIFIER_SCRIPTS
        for theirs, ours in _ALIASES.items():
            fields.alias(theirs, ours)
        net = self._net = Network(weights, fields)
        known = _Known(fields, published(net), defaults)
        low_res = _low_res_channels(net, fields)
        size = _image_size(net, known)
        resolution = size or 8 * 2 ** (net.levels - 1)  # any that has the levels' sides apart
        architecture: dict[str, Any] = {
            "in_channels": net.seen - (low_res or 0),
            "base_channels": net.base,
            "channel_mult": net.mult,
            "blocks_per_level": net.blocks,
            "attention_resolutions": [resolution // 2**i for i in net.attends],
            "resolution": resolution,
            **self._attention(net, known),
            "scale_shift": net.scale_shift,
            "resample": net.resample,
        }
        _compare(net, fields, architecture["in_channels"])
        shape = [architecture["in_channels"], size, size]
        if net.pool is not None:
            classifier = {"name": "adm-classifier", **architecture, "classes": net.out, "pool": net.pool}
            return {"shape": shape, "classifier": classifier}
        denoiser = {
            "name": "adm",
            **architecture,
            "out_channels": net.out,
            "low_res_channels": low_res,
            "dropout": known.usual("dropout", 0.0, _TRAINING_ONLY),
            "classes": net.classes,
        }
        return {"shape": shape, "denoiser": denoiser, **self._diffusion(denoiser, known)}

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        assert self._net is not None
        room = "denoiser." if self._net.pool is None else ""
        for key in weights:
            for name, tensor in self._net.ours(key, self._heads, self._heads_up, self._order):
                yield f"{room}{name}", tensor

    def _attention(self, net: Network, known: _Known) -> dict[str, Any]:
        """The heads, and for ``tensors`` the order of q, k and v."""
        fields = known.fields
        unsaid = not any(name in fields for name in ("num_heads", "num_head_channels"))
        head_channels = fields.get("num_head_channels", int, -1)
        # of networks that halve in residual blocks almost all have heads of one width
        if unsaid and (known.anything or net.resample == "residual"):
            head_channels = known.need("num_head_channels", 64)
        heads = known.need("num_heads", 4) if head_channels == -1 else 1
        heads_up = fields.get("num_heads_upsample", int, -1)
        heads_up = heads if heads_up == -1 else heads_up
        by_width = head_channels != -1
        counts = (
            {"num_head_channels": head_channels} if by_width else {"num_heads": heads, "num_heads_upsample": heads_up}
        )
        attended = [net.widths[i] for i in net.attends] + net.widths[-1:]
        for name, count in counts.items():
            if count < 1 or any(width % count for width in attended):
                raise CheckpointError(
                    f"{name} = {count} does not divide {', '.join(map(str, sorted(set(attended))))}, the channels that "
                    "the weights attend over"
                )
        self._heads = [width // head_channels if by_width else heads for width in net.widths]
        self._heads_up = self._heads if by_width else [heads_up for _ in net.widths]
        if max(*self._heads, *self._heads_up) > 1:
            usual = "as its default, and in all published models but 64x64_diffusion.pt"
            self._order = "new" if known.usual("use_new_attention_order", False, usual) else "legacy"
        if by_width:
            return {"head_channels": head_channels}
        return {"head_channels": None, "heads": heads, **({"heads_up": heads_up} if heads_up != heads else {})}

    def _diffusion(self, denoiser: Mapping[str, Any], known: _Known) -> dict[str, Any]:
        """Schedule, parameterization and sampling."""
        fields = known.fields
        channels, out = denoiser["in_channels"], denoiser["out_channels"]
        learned = out == 2 * channels
        if out not in (channels, 2 * channels):
            raise CheckpointError(
                f"the network makes {out} channels of {channels}: expected as many, or twice as many for a learned "
                "variance"
            )
        usual = "as the default of the scripts"
        steps = known.usual("diffusion_steps", 1000, usual)
        kind = known.usual("noise_schedule", "linear", usual)
        rescale = known.usual("rescale_timesteps", self.rescales, usual)
        if kind not in ("linear", "cosine"):
            fields.contradict("noise_schedule", "this importer knows cosine, linear")
        schedule: dict[str, Any] = {"name": "cosine", "steps": steps}
        if kind == "linear":
            schedule = {"name": "linear", "steps": steps, "beta_start": 0.1 / steps, "beta_end": 20.0 / steps}
        small = fields.get("sigma_small", bool, False)
        fixed = "fixed-small" if small else "fixed-large"
        return {
            "schedule": schedule,
            "parameterization": {
                "name": "x0" if fields.get("predict_xstart", bool, False) else "eps",
                "learned_variance": learned,
                **({"time_scale": 1000 / steps} if rescale and steps != 1000 else {}),
            },
            "sampler": {"name": "ddpm", "variance": "learned-range" if learned else fixed},
            # the published samples: 250 of the trained steps
            "sampling": {"steps": min(250, steps), "spacing": "respaced", "clip": True},
        }


class _Known:
    """What is known beside the weights: the config, then the published file of these shapes, then defaults.

    Args:
        fields: the config.
        file: the published file.
        defaults: of a config in its form.
    """

    def __init__(self, fields: Fields, file: Published | None, defaults: Mapping[str, Any]) -> None:
        self.fields, self.file, self._defaults = fields, file, defaults
        self.anything = file is not None or bool(defaults)

    def need(self, name: str, example: Any) -> Any:
        """A field that decides what comes out.

        Raises:
            MissingField: nothing tells it.
        """
        if name in self.fields or not self.anything:
            return self.fields.need(name, type(example), example)
        return self.usual(name, self._defaults.get(name), "as the default of a config in this form")

    def usual(self, name: str, usual: Any, why: str) -> Any:
        """A field with a usual value."""
        if self.file is not None:
            usual, why = self.file.fields()[name], f"as {self.file.name}, whose shapes these are"
        return self.fields.assume(name, type(usual), usual, why)


def _copy(found: re.Match[str] | None) -> Copy:
    """What a file holds, by its name."""
    if found is None:
        return "unknown"
    return "raw" if found[1] == "model" else "ema"


def _low_res_channels(net: Network, fields: Fields) -> int | None:
    """Channels of the image of low resolution that the stem sees beside x, as many as x has; None for none."""
    if net.pool is not None:
        return None
    channels: int = fields.get("in_channels", int, 0)
    kind = fields.get("cls", str, "")
    told = kind == "SuperResModel" or "small_size" in fields
    if net.seen == 2 * channels or (not channels and (told or net.seen == 2 * net.out)):
        return net.seen // 2
    if not channels and not kind and net.seen == net.out == 6:
        fields.assumed.append("in_channels = 3: six channels in and six out are those of an upsampler of colours")
        return 3
    return None


def _image_size(net: Network, known: _Known) -> int | None:
    """The side of the images; None when nothing tells it."""
    fields = known.fields
    sides = _attended_sides(net, fields)

    def places(size: int) -> list[int]:
        halved = {size // side for side in sides if side}
        return [i for i in range(net.levels) if 2**i in halved]

    size: int = fields.get("image_size", int, 0)
    if not size and known.file is not None:
        size = known.file.size
        fields.assumed.append(f"image_size = {size}: as {known.file.name}, whose shapes these are")
    if not size and net.positions is not None:
        size = round(net.positions**0.5) * 2 ** (net.levels - 1)
    if not size:
        fitting = {side * 2**i for side in sides for i in net.attends if places(side * 2**i) == net.attends}
        if len(fitting) == 1:
            (size,) = fitting
            fields.assumed.append(f"image_size = {size}: only then is attention at {list(sides)} where it is")
    if size and sides and places(size) != net.attends:
        there = [size // 2**i for i in net.attends]
        fields.contradict("attention_resolutions", f"with image_size = {size} the weights attend at {there}")
    if not size:
        fields.assumed.append("image_size is open: zoo.sample needs a shape")
    return size or None


def _attended_sides(net: Network, fields: Fields) -> tuple[int, ...]:
    """The sides of flags that attend; none for a config that counts halvings, which are compared here."""
    given = fields.get("attention_resolutions", cast(Any, str | int | tuple[int, ...]), ())
    if isinstance(given, tuple):
        found = [i for i in range(net.levels) if 2**i in given]
        if given and found != net.attends:
            fields.contradict("attention_resolutions", f"the weights attend at {[2**i for i in net.attends]}")
        return ()
    sides = [side.strip() for side in str(given).split(",") if side.strip()]
    if not all(side.isdecimal() for side in sides):
        fields.contradict("attention_resolutions", "expected sides of maps such as '16,8'")
        return ()
    return tuple(map(int, sides))


def _compare(net: Network, fields: Fields, channels: int) -> None:
    """Every field that the weights answer agrees with them."""
    kinds = {"UNetModel": False, "SuperResModel": False, "EncoderUNetModel": True}
    kind = fields.get("cls", str, "")
    if kind and kinds.get(kind) is not net.classifier:
        fields.contradict("cls", f"the weights are those of a {'classifier' if net.classifier else 'denoiser'}")
    fields.agree("model_channels", net.base, "time_embed.0.weight")
    fields.agree("num_res_blocks", net.blocks, "input_blocks.*")
    fields.agree("in_channels", channels, "input_blocks.0.0.weight")
    fields.agree("out_channels", net.out, "out.*")
    fields.agree("use_scale_shift_norm", net.scale_shift, "input_blocks.1.0.emb_layers.1.weight")
    if net.levels > 1:
        fields.agree("resblock_updown", net.resample == "residual", "what halves")
        if net.resample != "residual":
            fields.agree("conv_resample", net.resample == "conv", "what halves")
    if net.pool is not None:
        fields.agree("pool", {"spatial-norm": "spatial_v2"}.get(net.pool, net.pool), "out.*")
    else:
        fields.agree("learn_sigma", net.out == 2 * channels, "out.2.weight")
        fields.agree("class_cond", net.classes is not None, "label_emb.weight")
        if "num_classes" in fields:
            fields.agree("num_classes", net.classes or 0, "label_emb.weight")
    given = fields.get("channel_mult", cast(Any, str | tuple[float, ...]), ())
    mult = tuple(float(m) for m in given.split(",") if m.strip()) if isinstance(given, str) else given
    if mult and [int(m * net.base) for m in mult] != net.widths:
        fields.contradict("channel_mult", f"the weights say {net.mult}")
