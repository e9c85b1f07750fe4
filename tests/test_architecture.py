"""Holds the folders to their rules: who may import what, a test for every module, short files."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_FILE_LINES = {"proxy": 400, "tests": 500, "deploy": 400}
"""One sitting; a test file may hold tables of cases besides."""
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "manager", "base", "common", "misc"}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OUTSIDE_WORLD = _names(
    "asyncio concurrent datetime fcntl glob http io logging mmap multiprocessing os pathlib "
    "queue sched select selectors shutil signal socket socketserver sqlite3 ssl subprocess "
    "tempfile threading time urllib.request"
)
"""What reads a clock, does I/O or waits: not for code that is told everything."""


@dataclass(frozen=True)
class Rule:
    """What the modules of one folder may import: parts of Plan B, and packages.

    `without` names modules of the standard library that are closed to them; a module in
    `exceptions` may have the modules named there all the same.
    """

    parts: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    exceptions: tuple[tuple[str, str], ...] = ()


EVERYTHING = None
RULES: dict[str, Rule | None] = {
    # The composition root.
    "__init__": Rule(),
    "__main__": EVERYTHING,
    "app": EVERYTHING,
    "middleware": EVERYTHING,  # puts the parts together as `app` does, for a program of others
    "cli": EVERYTHING,
    "readings": EVERYTHING,  # shows lanes and engine to ops, which must not know the lanes
    "version": Rule(),
    # The parts.
    "policy": Rule(parts=_names("policy"), without=OUTSIDE_WORLD),
    "wire": Rule(
        parts=_names("wire policy"),
        packages=_names("httptools"),
        without=OUTSIDE_WORLD,
        # gmtime of a time that it is told is arithmetic.
        exceptions=(("proxy.wire.answer", "time"),),
    ),
    "rules": Rule(
        parts=_names("rules policy wire"),
        packages=_names("yaml pydantic pydantic_core"),
        without=_names("asyncio"),
        # It compiles in a process of its own, and waits for that.
        exceptions=(("proxy.rules.apart", "asyncio"),),
    ),
    "lanes": Rule(
        parts=_names("lanes policy wire"),
        packages=_names("aiohttp dns httptools multidict uvloop yarl"),
    ),
    "ops": Rule(
        parts=_names("ops policy rules wire"),
        packages=_names("aiohttp prometheus_client watchfiles"),
    ),
    "store": Rule(parts=_names("store policy")),
    "demo": Rule(parts=_names("demo")),
    "surge": Rule(parts=_names("surge"), packages=_names("uvloop")),
}
MAY_IMPORT_DEMO = _names("__main__ app cli demo")

COVERED_ELSEWHERE: dict[str, tuple[str, str]] = {
    # module: (the test that covers it, why it has none of its own)
    "proxy.lanes.errors": ("tests/scenarios/test_upstream_failures.py", "names, no logic"),
    "proxy.lanes.express_phase": ("tests/lanes/test_express_downstream.py", "names, no logic"),
    "proxy.lanes.full": ("tests/scenarios/test_transparency.py", "joins aiohttp to an exchange"),
    "proxy.lanes.full_downstream": (
        "tests/scenarios/test_timeouts.py",
        "aiohttp's protocol: only sockets show what it does",
    ),
    "proxy.lanes.relay": ("tests/scenarios/test_bodies.py", "moves bytes between two sockets"),
    "proxy.lanes.stored_answers": (
        "tests/scenarios/test_snapshots.py",
        "joins what is stored to what is sent",
    ),
    "proxy.lanes.tunnel": ("tests/scenarios/test_upgrades.py", "moves bytes between two sockets"),
    "proxy.middleware.made_response": (
        "tests/middleware/test_client.py",
        "what it makes is for aiohttp's session to take",
    ),
    "proxy.middleware.turn": ("tests/middleware/test_server.py", "seen through its two users"),
    "proxy.policy.admission": (
        "tests/policy/test_engine_waiting.py",
        "half of the engine, and only seen through it",
    ),
    "proxy.ops.stats": ("tests/ops/test_metrics.py", "types, no logic"),
    "proxy.ops.status": ("tests/ops/test_admin.py", "seen through the admin address only"),
    "proxy.surge.connection": ("tests/surge/test_generator.py", "seen in what it counts"),
    "proxy.rules.endpoints_schema": ("tests/rules/test_endpoints.py", "keys, and what they mean"),
    "proxy.rules.section": ("tests/rules/test_schema.py", "what the keys there are made with"),
    "proxy.rules.retry_schema": ("tests/rules/test_combinations.py", "keys, and what they refuse"),
    "proxy.rules.timeouts_schema": ("tests/rules/test_schema.py", "keys, as those there"),
    "proxy.rules.shedding_schema": ("tests/rules/test_schema.py", "keys, as those there"),
    "proxy.rules.gates_schema": ("tests/rules/test_schema.py", "keys, as those there"),
    "proxy.wire.errors": ("tests/wire/test_request_head.py", "names, no logic"),
    "proxy.wire.grammar": ("tests/wire/test_field_section.py", "patterns that readers are made of"),
}


@dataclass(frozen=True)
class Module:
    """One file of `proxy`: `name` is its import name, `part` the folder (or file) under proxy."""

    path: Path
    name: str
    part: str
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """The modules it imports, wherever the import stands; relative ones are resolved."""
        package = self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name
            elif isinstance(node, ast.ImportFrom):
                origin = node.module or ""
                if node.level:
                    parents = package.split(".")
                    above = parents[: len(parents) - node.level + 1]
                    origin = ".".join([*above, origin]).strip(".")
                # `from proxy import lanes` imports proxy.lanes: names count as modules too.
                for alias in node.names:
                    yield f"{origin}.{alias.name}"

    def has_code(self) -> bool:
        """Whether there is anything to test: data and names alone are covered by their users."""
        return any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for node in ast.walk(self.tree)
        )


def _module(path: Path, root: Path = ROOT) -> Module:
    relative = path.relative_to(root).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    part = relative.parts[1]
    return Module(path, ".".join(parts), part, ast.parse(path.read_text(), str(path)))


MODULES = [_module(path) for path in sorted((ROOT / "proxy").rglob("*.py"))]
PYTHON_FILES = sorted(
    path for folder in ("proxy", "tests", "deploy") for path in (ROOT / folder).rglob("*.py")
)


def _label(thing: Module | Path) -> str:
    return thing.name if isinstance(thing, Module) else str(thing.relative_to(ROOT))


def forbidden_imports(module: Module) -> list[str]:
    """What `module` imports against its folder's rule."""
    if module.part not in RULES:
        return [f"proxy/{module.part} has no rule here: which parts may it import?"]
    rule = RULES[module.part]
    return [name for name in module.imports() if not _is_allowed(name, module, rule)]


def _is_allowed(name: str, module: Module, rule: Rule | None) -> bool:
    top, *rest = name.split(".")
    if top == "proxy":
        part = rest[0] if rest else ""
        if part == "demo" and module.part not in MAY_IMPORT_DEMO:
            return False
        return rule is EVERYTHING or part in rule.parts
    if rule is EVERYTHING or module.part == "demo":
        return True
    if top not in sys.stdlib_module_names:
        return top in rule.packages
    closed = {each for each in rule.without if f"{name}.".startswith(f"{each}.")}
    return all((module.name, each) in rule.exceptions for each in closed)


@pytest.mark.parametrize("module", MODULES, ids=_label)
def test_imports_go_in_the_directions_of_the_design(module: Module) -> None:
    assert forbidden_imports(module) == []


@pytest.mark.parametrize("module", [each for each in MODULES if each.part == "policy"], ids=_label)
def test_policy_opens_no_file(module: Module) -> None:
    called = {
        node.func.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called.isdisjoint({"open", "input", "print", "__import__", "exec", "eval"})


@pytest.mark.parametrize("module", [each for each in MODULES if each.has_code()], ids=_label)
def test_a_module_has_its_test_in_the_mirrored_folder(module: Module) -> None:
    relative = module.path.relative_to(ROOT / "proxy")
    mirrored = ROOT / "tests" / relative.parent / f"test_{relative.stem.strip('_')}.py"
    if module.name in COVERED_ELSEWHERE:
        covering, _ = COVERED_ELSEWHERE[module.name]
        assert (ROOT / covering).exists(), f"{covering}, which should cover it, is gone"
        assert not mirrored.exists(), "it has a test of its own: take it off COVERED_ELSEWHERE"
    else:
        assert mirrored.exists(), f"{mirrored.relative_to(ROOT)} is missing"


def test_only_modules_that_exist_are_excused() -> None:
    assert COVERED_ELSEWHERE.keys() <= {module.name for module in MODULES}


@pytest.mark.parametrize("path", PYTHON_FILES, ids=_label)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    longest = LONGEST_FILE_LINES[path.relative_to(ROOT).parts[0]]
    assert len(path.read_text().splitlines()) <= longest


@pytest.mark.parametrize("path", PYTHON_FILES, ids=_label)
def test_a_name_says_what_a_file_holds(path: Path) -> None:
    words = {
        word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")
    }
    assert words.isdisjoint(VAGUE_NAMES)


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("policy/limits.py", "import time", ["time"]),
        ("policy/limits.py", "from os.path import join", ["os.path.join"]),
        ("policy/limits.py", "from urllib.parse import unquote", []),
        ("policy/limits.py", "from urllib import request", ["urllib.request"]),
        ("policy/limits.py", "import yaml", ["yaml"]),
        ("policy/limits.py", "from proxy.wire import target", ["proxy.wire.target"]),
        ("policy/limits.py", "from ..wire import target", ["proxy.wire.target"]),
        ("policy/limits.py", "from .keys import KeySource", []),
        ("wire/head.py", "import asyncio", ["asyncio"]),
        ("wire/head.py", "import httptools", []),
        ("rules/load.py", "import asyncio.subprocess", ["asyncio.subprocess"]),
        ("rules/apart.py", "import asyncio.subprocess", []),
        ("rules/load.py", "def f():\n    from proxy import lanes", ["proxy.lanes"]),
        ("lanes/full.py", "from proxy.rules.load import load", ["proxy.rules.load.load"]),
        ("lanes/full.py", "import proxy.ops.metrics", ["proxy.ops.metrics"]),
        ("ops/admin.py", "from proxy.lanes import full", ["proxy.lanes.full"]),
        ("ops/admin.py", "import proxy.demo", ["proxy.demo"]),
        ("app.py", "from proxy.lanes import full", []),
        ("__main__.py", "from proxy.demo import shop", []),
        ("demo/shop.py", "from proxy.policy import keys", ["proxy.policy.keys"]),
        ("demo/shop.py", "import time, aiohttp", []),
    ],
)
def test_the_rules_catch_what_they_are_for(
    tmp_path: Path, file: str, source: str, found: list[str]
) -> None:
    path = tmp_path / "proxy" / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert forbidden_imports(_module(path, tmp_path)) == found


def test_a_folder_without_a_rule_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "proxy" / "extras" / "thing.py"
    path.parent.mkdir(parents=True)
    path.write_text("x = 1")
    assert "has no rule" in forbidden_imports(_module(path, tmp_path))[0]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_no_pattern_repeats_a_group_possessively(module: Module) -> None:
    """Python before 3.11.5 does not take back what a failed turn of `(...)*+` has taken: it matches
    half a turn (https://github.com/python/cpython/issues/106052). Classes are safe: `[...]*+`.
    """
    assert not re.search(r"(?<!\()\)(?:[*+?]|\{[\d,]+\})\+", module.path.read_text())
