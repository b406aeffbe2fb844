"""The house: imports go down only, heavy imports stay inside functions, no chip or model is named in code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "roofline"
GROUND = {"units", "errors", "files", "numeric", "records", "repeated", "source", "__init__", "__version__"}
MAY_SEE = {
    "ground": {"ground"},
    "machine": {"ground", "machine"},
    "workload": {"ground", "workload"},
    "catalog": {"ground", "machine", "workload", "catalog"},
    "engine": {"ground", "machine", "workload", "engine"},
    "studies": {"ground", "machine", "workload", "catalog", "engine", "studies"},
    "report": {"ground", "report"},
    "api": {"ground", "catalog", "studies", "report", "api"},
    "cli": {"ground", "catalog", "studies", "report", "api", "cli"},
}
HEAVY = {"numpy", "scipy", "pandas", "matplotlib", "pydantic", "yaml", "rich", "pyarrow", "dask"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def floor_of(dotted: str) -> str:
    parts = dotted.split(".")
    first = parts[1] if len(parts) > 1 else "__init__"
    if first == "__main__":
        return "cli"
    return "ground" if first in GROUND else first


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def early_imports(tree: ast.Module) -> Iterator[str]:
    """Imports that run when the module is imported."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imports(node)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    own = floor_of(name_of(path))
    if name_of(path) == "roofline":
        return  # the package's face imports lazily
    for imported in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if imported.startswith("roofline."):
            assert floor_of(imported) in MAY_SEE[own], f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    prints = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert not prints or floor_of(name_of(path)) == "cli"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_state_at_module_level(path: Path) -> None:
    """Constants are upper case; nothing at module level is made to be changed."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)):
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            assert all(name.lstrip("_").isupper() or name == "__all__" for name in names), names


@pytest.mark.parametrize("part", ["cli", "report", "units.py", "errors.py", "source.py", "__init__.py"])
def test_light_parts_import_nothing_heavy(part: str) -> None:
    start = PACKAGE / part
    for path in sorted(start.rglob("*.py")) if start.is_dir() else [start]:
        for imported in early_imports(ast.parse(path.read_text(encoding="utf-8"))):
            assert imported.split(".")[0] not in HEAVY, f"{name_of(path)} imports {imported}"


def test_no_chip_model_or_stack_is_named_in_code() -> None:
    """What differs between chips, models and software is data; help texts and docstrings may give examples."""
    folders = ("hardware/chips", "workloads/models", "hardware/stacks")
    ids = {path.stem for folder in folders for path in (ROOT / folder).rglob("*.yaml")}
    ids -= {"ideal", "eager", "torch"}  # none at all, what measuring runs, and a package that it runs with
    for path in MODULES:
        if floor_of(name_of(path)) == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                assert node.value not in ids, f"{name_of(path)}:{node.lineno} names {node.value}"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io\n"
        "sys.argv = ['roofline', '--help']\n"
        "from roofline.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "print(sorted(name for name in sys.modules if name in "
        "('numpy', 'scipy', 'pandas', 'matplotlib', 'yaml', 'roofline.catalog.fields', 'roofline.engine')))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_module_imports_alone() -> None:
    """No import cycle hides behind another module's import."""
    names = [name_of(path) for path in MODULES if path.name != "__main__.py"]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    for loaded in [key for key in sys.modules if key.split('.')[0] == 'roofline']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
