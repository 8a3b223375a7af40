"""The structure of the tree is a test: budgets, imports, and nothing undocumented."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import quantiles

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("sdk/python/devlore", "cli/devlore_cli", "server/devlore_server")
TESTS = ("sdk/python/tests", "cli/tests", "server/tests")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "impl"}
VAGUE_SUFFIXES = ("Manager", "Helper", "Util", "Utils", "Base", "Impl")


@dataclass(frozen=True)
class Function:
    """One function definition and how many lines it spans, decorators and docstring included."""

    where: str
    lines: int


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(*folders: str) -> Iterator[Function]:
    for path in files(*folders):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                yield Function(f"{name(path)}:{node.lineno} {node.name}", (node.end_lineno or first) - first + 1)


def lines_of_code(*folders: str) -> int:
    """Lines that hold something besides space, comments and docstrings."""
    return sum(len(code_of(path)) for path in files(*folders))


def code_of(path: Path) -> set[int]:
    texts = enumerate(path.read_text().splitlines(), 1)
    lines = {number for number, line in texts if line.strip() and not line.lstrip().startswith("#")}
    for node in ast.walk(tree(path)):
        # A string that stands alone says something about what is beside it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def test_no_function_is_longer_than_sixty_lines() -> None:
    assert [f for f in functions(*CODE, *TESTS, "bench") if f.lines > 60] == []


def test_nine_functions_in_ten_have_thirty_lines_at_most() -> None:
    assert quantiles([f.lines for f in functions(*CODE)], n=10)[-1] <= 30


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in files(*CODE, *TESTS, "bench")}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_nothing_is_imported_inside_a_function() -> None:
    inside = [
        f"{name(path)}:{statement.lineno}"
        for path in files(*CODE)
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_there_are_at_least_as_many_lines_of_test_as_of_code() -> None:
    assert lines_of_code(*TESTS) >= lines_of_code(*CODE)


def test_every_module_says_what_it_owns_in_its_first_line() -> None:
    silent = [name(path) for path in files(*CODE) if tree(path).body and not ast.get_docstring(tree(path))]
    assert silent == []


def test_every_function_is_annotated() -> None:
    bare = []
    for path in files(*CODE):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                named = [a for a in arguments if a.arg not in ("self", "cls")]
                if node.returns is None or any(a.annotation is None for a in named):
                    bare.append(f"{name(path)}:{node.lineno} {node.name}")
    assert bare == []


def test_names_say_something() -> None:
    vague_files = [name(path) for path in files(*CODE) if path.stem in VAGUE or path.parent.name in VAGUE]
    vague_classes = [
        f"{name(path)}:{node.name}"
        for path in files(*CODE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_SUFFIXES)
    ]
    assert vague_files + vague_classes == []


def test_imports_follow_the_diagram() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_no_two_modules_import_each_other() -> None:
    """Cycles at the level of single modules; the diagram above sees only siblings."""
    graph = {module: set(imports) for module, imports in _imports().items()}
    while leaves := [module for module, imports in graph.items() if not imports & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert graph == {}


def _imports() -> dict[str, set[str]]:
    modules = {_module(path): path for path in files(*CODE)}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets: set[str] = set()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                # `from package import module` reaches the module, not the package's own names.
                reached = {f"{node.module}.{alias.name}" for alias in node.names}
                submodules = reached & modules.keys()
                targets |= submodules or {node.module}
        found[module] = {t for t in targets if t in modules and t != module}
    return found


def _module(path: Path) -> str:
    folder = next(ROOT / f for f in CODE if path.is_relative_to(ROOT / f))
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("folder", ["sdk/python", "cli", "server", "bench", "docs", "requirements"])
def test_no_merge_leftovers_or_credentials_in_the_tree(folder: str) -> None:
    marks = ("<" * 7 + " ", ">" * 7 + " ", "BEGIN " + "PRIVATE KEY")
    suspicious = [
        name(path)
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md", ".sql", ".toml", ".txt", ".lock", ".json"}
        if any(mark in path.read_text(errors="replace") for mark in marks)
    ]
    assert suspicious == []
