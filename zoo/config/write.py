"""A plain tree to YAML text that a person likes to read and that reads back as the same tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from yaml.nodes import Node

from zoo.config.layout import KEYS
from zoo.config.read import add_scalars

_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Quotes what any YAML reader would not take for a string; lists of scalars stay on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_list(dumper: _Dumper, items: list[Any] | tuple[Any, ...]) -> Node:
    plain = not any(isinstance(item, list | tuple | dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=plain or None)


def _represent_mapping(dumper: _Dumper, items: dict[str, Any]) -> Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", items, flow_style=not items)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, _represent_list)
_Dumper.add_representer(dict, _represent_mapping)
add_scalars(_Dumper)


def dump(tree: Mapping[str, Any]) -> str:
    """YAML text of a config.

    Args:
        tree: plain values, such as `resolve` returns.

    Returns:
        The text: the top keys in their usual order, lists of plain values on one line.
    """
    order = {key: index for index, key in enumerate(KEYS)}
    ordered = {key: tree[key] for key in sorted(tree, key=lambda key: order.get(key, len(order)))}
    text: str = yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text
