"""Which Plan B this is."""

import importlib.util
from importlib.machinery import ExtensionFileLoader
from importlib.metadata import version


def compiled() -> bool:
    """Whether the hot modules run compiled; they are compiled all together or not at all."""
    spec = importlib.util.find_spec("proxy.policy.engine")
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def version_text() -> str:
    """The version, and the build where it is not the plain one: `0.1.0, compiled`."""
    return f"{version('planb')}, compiled" if compiled() else version("planb")
