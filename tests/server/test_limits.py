"""docs/limits.md: its numbers are those of the code, its tests exist, and no cap of the server is missing."""

import ast
import importlib
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import rostra.server
from rostra import facts
from rostra.model import places, stream

ROOT = Path(__file__).parent.parent.parent
CONSTANT = re.compile(r"`([^`]+)` = (\d+)")
ELSEWHERE = {"rostra.server.rtmp"}
"""Modules whose caps other documents list: docs/protocol/rtmp.md."""


@dataclass(frozen=True)
class Row:
    what: str
    total: str
    share: str
    constants: dict[str, int]
    tests: tuple[str, ...]


def rows() -> list[Row]:
    lines = (ROOT / "docs" / "limits.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    found = []
    for what, total, share, _, _, constants, tests in cells[2:]:
        named = {name: int(value) for name, value in CONSTANT.findall(constants)}
        found.append(Row(what, total, share, named, tuple(re.findall(r"`([^`]+)`", tests))))
    return found


ROWS = rows()


def rust_constant(path: str, name: str) -> int:
    """The value of ``const NAME: TYPE = …`` of integers, other constants of the file, and ``Duration``."""
    source = (ROOT / path).read_text()
    match = re.search(rf"const {name}: \w+ = (?:Duration::from_secs\((.+)\)|(.+));", source)
    assert match is not None, f"{path} has no constant {name}"
    text = match.group(1) or match.group(2)
    return rust_value(
        ast.parse(text.replace("_", "") if text.replace("_", "").isdigit() else text, mode="eval").body, path
    )


def rust_value(node: ast.expr, path: str) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            return rust_constant(path, name)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return rust_value(left, path) * rust_value(right, path)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rust_value(left, path) // rust_value(right, path)
        case ast.BinOp(left=left, op=ast.LShift(), right=right):
            return rust_value(left, path) << rust_value(right, path)
        case _:
            raise AssertionError(f"{path}: {ast.unparse(node)} is not understood")


def value_of(name: str) -> int:
    if "::" in name:
        path, _, constant = name.partition("::")
        return rust_constant(path, constant)
    module, _, constant = name.rpartition(".")
    value: int = getattr(importlib.import_module(module), constant)
    return value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_each_number_is_that_of_the_code(row: Row) -> None:
    assert row.constants
    assert {name: value_of(name) for name in row.constants} == row.constants
    shown = {int(number) for number in re.findall(r"\d+", f"{row.total} {row.share}")}
    assert shown, "a row without a number caps nothing"
    assert shown == set(row.constants.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_each_row_has_a_test(row: Row) -> None:
    assert row.tests
    for test in row.tests:
        path, _, name = test.partition("::")
        start = r"fn" if path.endswith(".rs") else r"(?:async )?def"
        assert re.search(rf"^\s*{start} {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def own_caps(module: ModuleType) -> set[str]:
    """Names of the caps that a module defines itself."""
    source = Path(str(module.__file__)).read_text()
    return set(re.findall(r"^(MAX_\w+): Final = ", source, re.MULTILINE))


def test_no_cap_of_the_server_is_missing() -> None:
    names = [f"rostra.server.{module.name}" for module in pkgutil.iter_modules(rostra.server.__path__)]
    modules = [importlib.import_module(name) for name in names if name not in ELSEWHERE] + [facts, places, stream]
    caps = {f"{module.__name__}.{name}" for module in modules for name in own_caps(module)}
    assert caps <= {name for row in ROWS for name in row.constants}
