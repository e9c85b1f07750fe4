"""Compiles `proxy/wire/_scan.c` into the wheel: a build hook of hatchling's."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension


class ScanBuildHook(BuildHookInterface):
    """Puts `proxy.wire._scan` beside its source. Raises what setuptools does without a compiler."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Of hatchling's hooks."""
        extension = Extension(
            "proxy.wire._scan", ["proxy/wire/_scan.c"], extra_compile_args=["-O3"]
        )
        build = Distribution({"name": "planb", "ext_modules": [extension]}).get_command_obj(
            "build_ext"
        )
        with TemporaryDirectory() as folder:
            build.build_temp = folder
            build.build_lib = self.root
            build.ensure_finalized()
            build.run()
            path = Path(build.get_ext_fullpath(extension.name))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False
        build_data["force_include"][str(path)] = str(path.relative_to(self.root))
