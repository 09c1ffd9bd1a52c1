from typing import Any

import pytest

from registry import kinds
from registry.signature import parameters
from zoo.config.layout import CONTEXT

BUILT_IN = [(plural, name) for plural, kind in kinds.items() for name in kind if kind.entry(name).owner == "zoo"]
SUPPLIED = frozenset().union(*CONTEXT.values())


@pytest.mark.parametrize(("plural", "name"), BUILT_IN)
def test_every_line_leads_to_a_factory_that_a_config_can_call(plural, name):
    untyped = [p.name for p in parameters(kinds[plural].get(name)).values() if p.kind is Any]
    assert set(untyped) <= SUPPLIED
    assert kinds[plural].entry(name).summary
