"""Any of timm's plain vision transformers as a denoiser, in the manner of U-ViT or of DiT.

    patches + positions (timm) -> [time, class, timm's own prefix tokens, patches]
    -> timm's blocks, with a long skip from each of the first half to its mirror if so wanted
    -> norm -> linear -> patches back

Time and class are two more tokens (Bao et al. 2023, arXiv 2209.12152), or modulate every block (Peebles & Xie 2023,
arXiv 2212.09748).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers import timm_features as timm_parts
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.levels import Section
from zoo.layers.resampling import pad_to_multiple, padded_size
from zoo.layers.transformer import LabelEmbedder, TimeEmbedder, label_rows, modulate, patch_grid, unpatchify


class Modulation(nn.Module):
    """The shifts, scales and gates of one of timm's blocks: adaLN (Peebles & Xie 2023, section 3.2).

    x += g_1 attention((1 + b_1) norm(x) + a_1); x += g_2 mlp((1 + b_2) norm(x) + a_2), all of them zero at first, but
    for g where the block knows something already.

    Args:
        channels: width of the tokens.
        gate: what is added to g_1 and g_2: 0 lets a fresh block begin as the identity, 1 a pretrained one as itself.
    """

    def __init__(self, channels: int, *, gate: float) -> None:
        super().__init__()
        self.gate = gate
        self.linear = TimeProjection(channels, 6 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, block: Any, x: Tensor, condition: Tensor | Ahead) -> Tensor:
        """x: (B, N, channels) through the block; condition: (B, channels) after a silu, or its projections."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.linear(condition).chunk(6, dim=1)
        h = block.ls1(block.attn(modulate(block.norm1(x), shift_1, scale_1)))
        x = x + (self.gate + gate_1)[:, None] * block.drop_path1(h)
        h = block.ls2(block.mlp(modulate(block.norm2(x), shift_2, scale_2)))
        x = x + (self.gate + gate_2)[:, None] * block.drop_path2(h)
        return x


class TimmViT(nn.Module):
    """A vision transformer of timm's as a denoiser: `forward(x, t, labels=...)`.

    Args:
        encoder: timm's name of a plain vision transformer, such as vit_small_patch16_224 or deit_tiny_patch16_224;
            `zoo list backbones` says which are. The patch and picture sizes in a name are those of its pretrained
            weights; here ``patch`` and ``resolution`` decide.
        pretrained: start from timm's weights, which are fetched when a model is first built, their patch embedding and
            positions resampled. A file that is saved here holds them, and loading it fetches nothing.
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has, twice as many to learn a variance.
        patch: side of the squares that become tokens.
        depth: number of blocks; None for the model's own.
        conditioning: "token" puts time and class in front of the patches; "adaln" shifts, scales and gates every block
            by them.
        long_skips: whether the blocks of the second half are given the tokens of their mirrors in the first.
        resolution: side of the images the network is meant for, or (height, width), a multiple of ``patch``. It is the
            size of the table of positions; images of other sizes get it resampled.
        dropout: probability of dropping a value behind each attention and inside each MLP, in training.
        classes: number of classes of a class-conditional network; None for an unconditional one.

    Raises:
        ArgumentValueError: when a value makes no sense.
        BackboneError: when timm has no such model, or it is no plain vision transformer; the message says what fits.
    """

    TINY: ClassVar[dict[str, Any]] = {"encoder": "test_vit", "depth": 3, "patch": 4, "resolution": 16, "classes": 3}

    def __init__(
        self,
        *,
        encoder: str = "vit_small_patch16_224",
        pretrained: bool = False,
        in_channels: int = 3,
        out_channels: int | None = None,
        patch: int = 2,
        depth: int | None = None,
        conditioning: Literal["token", "adaln"] = "token",
        long_skips: bool = False,
        resolution: int | tuple[int, int] = 32,
        dropout: float = 0.0,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        counts = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "patch": patch,
            "depth": 1 if depth is None else depth,
            "classes": 1 if classes is None else classes,
        }
        for name, count in counts.items():
            if count < 1:
                raise ArgumentValueError(f"{name} must be at least 1, got {count}")
        if not 0 <= dropout < 1:
            raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
        rows, columns = patch_grid(resolution, patch)

        self.in_channels, self.out_channels, self.classes = in_channels, out_channels, classes
        self.name, self.patch = encoder, patch
        vit = self.vit = _plain_vit(
            encoder,
            pretrained=pretrained,
            modulated=conditioning == "adaln",
            in_chans=in_channels,
            patch_size=patch,
            img_size=(rows * patch, columns * patch),
            proj_drop_rate=dropout,
            **({} if depth is None else {"depth": depth}),
        )
        width, blocks = int(vit.embed_dim), len(vit.blocks)
        self.t_embedder = TimeEmbedder(width)
        # the last row is "no class"
        self.y_embedder = None if classes is None else LabelEmbedder(classes + 1, width)
        self.modulation, self.final_modulation = None, None
        if conditioning == "adaln":
            gate = 1.0 if pretrained else 0.0
            self.modulation = nn.ModuleList([Modulation(width, gate=gate) for _ in range(blocks)])
            self.final_modulation = TimeProjection(width, 2 * width)
            nn.init.zeros_(self.final_modulation.weight)
            nn.init.zeros_(self.final_modulation.bias)
        self.skip = nn.ModuleList([nn.Linear(2 * width, width) for _ in range(blocks // 2 if long_skips else 0)])
        for linear in self.skip:
            assert isinstance(linear, nn.Linear)
            # at first the skip is not heard
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.head = nn.Linear(width, patch * patch * out_channels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self._time_widths = number(self, TimeProjection)

    def prepare_times(self, times: Tensor, *, labels: Tensor | None = None) -> dict[str, Tensor]:
        """For (R,) times, and classes: the tokens of time and class, or what every block makes of their sum."""
        given = self._given(times, labels, self.head.weight.dtype)
        if self.modulation is None:
            return {"tokens": given}
        return {"modulation": all_ahead(self, TimeProjection, F.silu(given.sum(dim=1)))}

    def _given(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The time, and the class where there are any, one beside the other: (B, 1 or 2, width)."""
        given = [self.t_embedder(t, dtype)]
        if self.y_embedder is not None:
            assert self.classes is not None
            given.append(self.y_embedder(label_rows("TimmViT", labels, t, self.classes, null_class=True)))
        return torch.stack(given, dim=1)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that the patch does not divide is padded on the right or at the bottom (mirrored where it is long
        enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional.
            labels: (B,) classes 0..classes-1, -1 for no class; None for no class at all.
            prepared: what ``prepare_times`` made of t and the conditions, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape.
            ArgumentValueError: when a network without classes is given labels, or a label is not a class.
        """
        check_images("TimmViT", x, t, self.in_channels)
        check_labels("TimmViT", labels, len(x), self.classes)
        height, width = x.shape[2:]
        if prepared is None:
            prepared = {"tokens": self._given(t.expand(len(x)), labels, x.dtype)}
        x = pad_to_multiple(x, self.patch)
        grid = (x.shape[2] // self.patch, x.shape[3] // self.patch)
        tokens = self.vit._pos_embed(self.vit.patch_embed(x))
        if self.modulation is None:
            tokens = torch.cat([prepared["tokens"].expand(len(x), -1, -1), tokens], dim=1)
        condition: Tensor | Ahead
        if "modulation" in prepared:
            condition = apart(prepared["modulation"], self._time_widths)
        else:
            condition = F.silu(prepared["tokens"].sum(dim=1))
        tokens = self._transformed(self.vit.norm_pre(tokens), condition)
        out = unpatchify(self.head(tokens[:, -grid[0] * grid[1] :]), grid, self.patch)
        return out[..., :height, :width]

    def _transformed(self, x: Tensor, condition: Tensor | Ahead) -> Tensor:
        """x: (B, N, C), condition: (B, C), or its projections -> (B, N, C), through the blocks and the last norm."""
        blocks, skips = self.vit.blocks, list[Tensor]()
        first = len(blocks) - len(self.skip)
        for i, block in enumerate(blocks):
            if i >= first:
                x = self.skip[i - first](torch.cat([x, skips.pop()], dim=2))
            x = block(x) if self.modulation is None else self.modulation[i](block, x, condition)
            if i < len(self.skip):
                skips.append(x)
        x = self.vit.norm(x)
        if self.final_modulation is not None:
            shift, scale = self.final_modulation(condition).chunk(2, dim=1)
            x = modulate(x, shift, scale)
        return x

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        grid = (padded_size(height, self.patch) // self.patch, padded_size(width, self.patch) // self.patch)
        vit = self.vit
        channels, blocks = int(vit.embed_dim), len(vit.blocks)
        heads = int(getattr(vit.blocks[0].attn, "num_heads", 0))
        embedders = ("t_embedder",) if self.y_embedder is None else ("t_embedder", "y_embedder")
        rows = [
            Section("time and class", embedders, None, channels),
            Section("patches in", ("vit.patch_embed",), grid, channels),
            Section(
                f"blocks of {self.name}",
                ("vit.blocks", *(("modulation",) if self.modulation is not None else ()), "skip"),
                grid,
                channels,
                blocks=blocks,
                attention=blocks,
                heads=heads,
            ),
        ]
        last = ("vit.norm", *(("final_modulation",) if self.final_modulation is not None else ()), "head")
        rows.append(Section("patches out", last, grid, self.patch**2 * self.out_channels))
        return rows


def _plain_vit(name: str, *, pretrained: bool, modulated: bool, **arguments: Any) -> Any:
    """timm's network without its classifier.

    Raises:
        BackboneError: it is unknown, or no plain vision transformer.
    """
    timm_parts.check_known(name)
    module = timm_parts.module_of(name)
    if module not in timm_parts.PLAIN_VITS:
        raise timm_parts.BackboneError(
            f"{name} is a model of timm.models.{module}, not a plain vision transformer; {timm_parts.LISTING}"
        )
    try:
        # positions are resampled, and tokens kept in rows and columns until then
        vit = timm_parts.create(
            name, pretrained=pretrained, num_classes=0, global_pool="", dynamic_img_size=True, **arguments
        )
    except timm_parts.BackboneError:
        raise
    except Exception as error:  # timm's variants refuse in their own ways
        raise timm_parts.BackboneError(
            f"{name} cannot be built as a denoiser ({timm_parts.one_line(error)}); {timm_parts.LISTING}"
        ) from None
    if not isinstance(vit, VisionTransformer) or type(vit.patch_embed) is not PatchEmbed:
        raise timm_parts.BackboneError(
            f"{name} makes its tokens by more than a convolution, so patch cannot be chosen; {timm_parts.LISTING}"
        )
    kind = type(vit.blocks[0])
    if modulated and kind is not Block:
        raise timm_parts.BackboneError(
            f"conditioning: adaln is for blocks of attention, then MLP, each behind its norm; {name} has "
            f"{kind.__name__}; use conditioning: token"
        )
    return vit
