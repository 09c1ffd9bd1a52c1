"""What every registered factory promises to configs, lists and readers."""

import inspect
import json
import re

import pytest

import registry
from registry.signature import parameters
from zoo.config.layout import CONTEXT

EVERYTHING = [(kind, name) for kind, table in registry.kinds.items() for name in table.names()]
SUPPLIED = frozenset().union(*CONTEXT.values())


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
class TestFactory:
    def test_can_be_imported(self, kind, name):
        assert callable(registry.kinds[kind].get(name))

    def test_takes_keyword_arguments_only(self, kind, name):
        signature = inspect.signature(registry.kinds[kind].get(name))
        assert {p.kind for p in signature.parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY}

    def test_annotates_what_a_config_may_set(self, kind, name):
        factory = registry.kinds[kind].get(name)
        annotated = inspect.signature(factory).parameters
        bare = [key for key in annotated if annotated[key].annotation is inspect.Parameter.empty]
        assert not bare

    def test_has_defaults_that_a_json_file_can_hold(self, kind, name):
        for parameter in parameters(registry.kinds[kind].get(name)).values():
            if not parameter.required and parameter.name not in SUPPLIED:
                json.dumps(parameter.default, allow_nan=False)

    def test_documents_every_argument(self, kind, name):
        factory = registry.kinds[kind].get(name)
        # an inherited argument is documented where it is defined
        documents = [inspect.getdoc(one) or "" for one in (factory, *getattr(factory, "__mro__", ()))]
        text = "\n".join([*documents, inspect.getdoc(getattr(factory, "__init__", None)) or ""])
        for key in parameters(factory):
            assert re.search(rf"^ +(\w+, )*{key}(, \w+)*: \S", text, re.MULTILINE), f"{key} is not in the docstring"

    def test_has_a_summary_of_one_sentence(self, kind, name):
        summary = registry.kinds[kind].entry(name).summary
        document = (inspect.getdoc(registry.kinds[kind].get(name)) or "").partition("\n")[0]
        # a plug-in that came through an entry point has no summary before it is imported
        line = summary or document
        assert line
        assert line.endswith(".")
        assert "\n" not in line


def test_facts_can_be_printed_as_json():
    for kind, name in EVERYTHING:
        json.dumps(dict(registry.kinds[kind].entry(name).facts), allow_nan=False)
