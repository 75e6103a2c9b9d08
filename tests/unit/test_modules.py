# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module says how it behaves in check mode and in diff mode, and does so from one fragment."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.doc_fragments.attributes import ModuleDocFragment

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path for path in (ROOT / "plugins" / "modules").glob("*.py") if path.name != "__init__.py")
PYTHON = sorted((ROOT / "plugins").rglob("*.py"))
LONGEST = 500
READS: dict[str, Any] = yaml.safe_load(ModuleDocFragment.READS)["attributes"]


@pytest.fixture(params=MODULES, ids=lambda path: path.stem)
def documentation(request: pytest.FixtureRequest) -> dict[str, Any]:
    tree = ast.parse(request.param.read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "DOCUMENTATION":
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(statement.value))
            return found
    raise AssertionError(f"{request.param.name} has no DOCUMENTATION")


def test_each_module_states_its_modes(documentation: dict[str, Any]) -> None:
    fragments = documentation["extends_documentation_fragment"]
    assert "tandem.lemp.attributes" in fragments
    own = documentation.get("attributes", {})
    attributes = {**READS, **own} if "tandem.lemp.attributes.reads" in fragments else own
    for name in ("check_mode", "diff_mode", "idempotent"):
        assert attributes[name]["support"] in ("full", "partial", "none"), name
        if attributes[name]["support"] != "full":
            assert attributes[name].get("details"), f"{name} is not fully supported: say why under details"
    assert attributes["check_mode"]["support"] == "full"


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "path", [path for path in PYTHON if "module_utils" in path.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_engine_knows_no_ansible_and_does_not_talk(path: Path) -> None:
    """It is shipped inside modules and copied to nodes: relative static imports, no print, no exit, no assert."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.split(".")[0] in ("ansible", "importlib")], where
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] not in ("ansible", "ansible_collections", "importlib"), where
        assert not isinstance(node, ast.Assert), where
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "exit", "sys.exit", "quit", "os._exit"), where
