"""YAML without base-60 numbers: 1:9 is text, not the number 69 of YAML 1.1."""

import re
from typing import Any

import yaml

_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-9_]+)+(\.[0-9_]*)?$")


class _Loader(yaml.SafeLoader):
    """Plain values alone; numbers with colons stay text."""

    # The first resolver that matches wins, so this one goes before those of numbers.
    yaml_implicit_resolvers = {
        first: [("tag:yaml.org,2002:str", _BASE_60), *resolvers] if first in "+-0123456789" else resolvers
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml(text: str) -> Any:
    """The plain values of a YAML text. Raises: yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)
