"""The names that HuBERT's tensors have in the files of four projects, as those of torchaudio's network.

bshall    feature_extractor.conv0.weight            encoder.layers.0.self_attn.in_proj_weight
fairseq   feature_extractor.conv_layers.0.0.weight  encoder.layers.0.self_attn.q_proj.weight
HF        feature_extractor.conv_layers.0.conv...   encoder.layers.0.attention.q_proj.weight
torchaudio                        the same          encoder.transformer.layers.0.attention.q_proj.weight
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from zoo.voice.base import VoiceError
from zoo.voice.units.checkpoints import tensors_under

Projection = Literal["proj", "final_proj"]
"""What comes behind a layer of the network: in HuBERT-Soft, and in the training of all others."""

_BSHALL = "feature_extractor.conv0.weight"
_FAIRSEQ = "feature_extractor.conv_layers.0.0.weight"
_OTHERS = "feature_extractor.conv_layers.0.conv.weight"

_CONV, _IN = "feature_extractor.conv_layers", "encoder.feature_projection"
_DEEP = "encoder.transformer"
_FACTORS = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

_BSHALL_RULES = {
    r"feature_extractor\.conv(\d)\.": rf"{_CONV}.\1.conv.",
    r"feature_extractor\.norm0\.": f"{_CONV}.0.layer_norm.",
    r"feature_projection\.norm\.": f"{_IN}.layer_norm.",
    r"feature_projection\.projection\.": f"{_IN}.projection.",
    r"positional_embedding\.conv\.": f"{_DEEP}.pos_conv_embed.conv.",
    r"norm\.": f"{_DEEP}.layer_norm.",
    r"encoder\.layers\.(\d+)\.self_attn\.in_proj_": rf"{_DEEP}.layers.\1.attention.qkv_proj.",
    r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.": rf"{_DEEP}.layers.\1.attention.out_proj.",
    r"encoder\.layers\.(\d+)\.norm1\.": rf"{_DEEP}.layers.\1.layer_norm.",
    r"encoder\.layers\.(\d+)\.norm2\.": rf"{_DEEP}.layers.\1.final_layer_norm.",
    r"encoder\.layers\.(\d+)\.linear1\.": rf"{_DEEP}.layers.\1.feed_forward.intermediate_dense.",
    r"encoder\.layers\.(\d+)\.linear2\.": rf"{_DEEP}.layers.\1.feed_forward.output_dense.",
    r"proj\.": "proj.",
}
_FAIRSEQ_RULES = {
    r"feature_extractor\.conv_layers\.(\d)\.0\.": rf"{_CONV}.\1.conv.",
    # large networks have the norm between two transpositions
    r"feature_extractor\.conv_layers\.(\d)\.2\.(?:1\.)?": rf"{_CONV}.\1.layer_norm.",
    r"layer_norm\.": f"{_IN}.layer_norm.",
    r"post_extract_proj\.": f"{_IN}.projection.",
    r"encoder\.pos_conv\.0\.": f"{_DEEP}.pos_conv_embed.conv.",
    r"encoder\.layer_norm\.": f"{_DEEP}.layer_norm.",
    r"encoder\.layers\.(\d+)\.self_attn\.": rf"{_DEEP}.layers.\1.attention.",
    r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.": rf"{_DEEP}.layers.\1.layer_norm.",
    r"encoder\.layers\.(\d+)\.fc1\.": rf"{_DEEP}.layers.\1.feed_forward.intermediate_dense.",
    r"encoder\.layers\.(\d+)\.fc2\.": rf"{_DEEP}.layers.\1.feed_forward.output_dense.",
    r"encoder\.layers\.(\d+)\.final_layer_norm\.": rf"{_DEEP}.layers.\1.final_layer_norm.",
    r"final_proj\.": "final_proj.",
}
_HUGGING_FACE_RULES = {
    r"feature_extractor\.": "feature_extractor.",
    r"feature_projection\.": f"{_IN}.",
    r"encoder\.(?=pos_conv_embed|layer_norm|layers)": f"{_DEEP}.",
    r"final_proj\.": "final_proj.",
}
_TORCHAUDIO_RULES = {r"feature_extractor\.": "feature_extractor.", r"encoder\.": "encoder."}

_OF_TRAINING = re.compile(
    r"(masked_spec_embed|mask_emb|label_embs_concat|label_embedding\.|quantizer\.|project_[qh]\.|lm_head\.|aux\.).*"
)


def read_hubert(path: Path, *, what: str) -> dict[str, Tensor]:
    """The tensors of a HuBERT by torchaudio's names, with the weight norm folded in.

    Args:
        path: of a file or folder in any of the layouts.
        what: the file should be, for messages.

    Returns:
        Those of the network, and its projection under ``proj.`` or ``final_proj.`` where the file has one; what was
        needed for training alone is left out.

    Raises:
        VoiceError: there is no such file, or it is no HuBERT.
    """
    anchor, tensors = tensors_under(path, (_BSHALL, _FAIRSEQ, _OTHERS), what=what)
    rules = {_BSHALL: _BSHALL_RULES, _FAIRSEQ: _FAIRSEQ_RULES}.get(anchor)
    if rules is None:
        deeper = any(key.startswith(f"{_DEEP}.") for key in tensors)
        rules = _TORCHAUDIO_RULES if deeper else _HUGGING_FACE_RULES
    named = {_renamed(key, rules): tensor for key, tensor in tensors.items() if not _OF_TRAINING.fullmatch(key)}
    return _folded(_split(named), path, what)


def _renamed(key: str, rules: Mapping[str, str]) -> str:
    """The key by torchaudio's names; one that no rule knows stays, for a message to name it."""
    for pattern, name in rules.items():
        if match := re.match(pattern, key):
            return match.expand(name) + key[match.end() :]
    return key


def _split(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same with queries, keys and values apart, which torch's own attention has in one tensor."""
    apart: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if ".qkv_proj." in key and len(tensor) % 3 == 0:
            for which, part in zip("qkv", tensor.chunk(3), strict=True):
                apart[key.replace(".qkv_proj.", f".{which}_proj.")] = part
        else:
            apart[key] = tensor
    return apart


def _folded(tensors: dict[str, Tensor], path: Path, what: str) -> dict[str, Tensor]:
    """The same with g v / |v|, over all but the taps, in place of the position convolution's factors."""
    conv = f"{_DEEP}.pos_conv_embed.conv."
    for ours, theirs in _FACTORS.items():
        if conv + ours in tensors:
            tensors[conv + theirs] = tensors.pop(conv + ours)
    if conv + "weight" in tensors:
        return tensors
    g, v = tensors.pop(conv + "weight_g", None), tensors.pop(conv + "weight_v", None)
    if g is None or v is None or v.ndim != 3 or g.numel() != v.shape[2]:
        raise VoiceError(f"{path}: is not {what}: the weight norm of its position convolution is missing or broken")
    v = v.float()
    tensors[conv + "weight"] = g.float().reshape(-1) * v / torch.linalg.vector_norm(v, dim=(0, 1))
    return tensors
