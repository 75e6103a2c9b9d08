# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role says the same in its defaults, its argument specs and its README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent for path in (ROOT / "roles").glob("*/tasks/main.yml"))


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def options(role: Path) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points; an option that two of them share has to be the same in both."""
    found: dict[str, dict[str, Any]] = {}
    for entry, spec in load(role / "meta" / "argument_specs.yml")["argument_specs"].items():
        for name, option in (spec.get("options") or {}).items():
            known = found.setdefault(name, option)
            same = [(each.get("type"), each.get("default")) for each in (known, option)]
            assert same[0] == same[1], f"{role.name}: {name} of {entry} differs from that of another entry point"
    return found


def defaults(role: Path) -> dict[str, Any]:
    return load(role / "defaults" / "main.yml")


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_roles() -> None:
    assert ROLES


def test_each_default_is_specified_and_each_optional_option_has_one(role: Path) -> None:
    optional = {name for name, option in options(role).items() if not option.get("required")}
    assert sorted(defaults(role)) == sorted(optional)


def test_default_values_are_equal(role: Path) -> None:
    values = defaults(role)
    templated = {name for name, value in values.items() if isinstance(value, str) and "{{" in value}
    specified = {name: option.get("default") for name, option in options(role).items() if not option.get("required")}
    assert {n: v for n, v in specified.items() if n not in templated} == {
        n: v for n, v in values.items() if n not in templated
    }


def test_required_options_have_no_default(role: Path) -> None:
    for name, option in options(role).items():
        if option.get("required"):
            assert "default" not in option and name not in defaults(role), name


def test_public_variables_begin_with_the_name_of_the_role(role: Path) -> None:
    assert [name for name in [*options(role), *defaults(role)] if not name.startswith(f"{role.name}_")] == []


def test_secrets_are_not_logged(role: Path) -> None:
    for name, option in options(role).items():
        if name.endswith(("_password", "_secret", "_passphrase")) and option.get("type") == "str":
            assert option.get("no_log") is True, f"{name} has to say no_log: true"


def test_the_readme_describes_every_public_variable(role: Path) -> None:
    readme = role / "README.md"
    assert readme.exists(), f"roles/{role.name}/README.md is missing"
    text = readme.read_text(encoding="utf-8")
    assert [name for name in options(role) if f"`{name}`" not in text] == []


def test_the_metadata_are_complete(role: Path) -> None:
    meta = load(role / "meta" / "main.yml")["galaxy_info"]
    assert meta["license"] == "GPL-3.0-or-later"
    assert meta["min_ansible_version"] == "2.19"
    assert meta["description"]
    assert "bookworm" in {version for platform in meta["platforms"] for version in platform["versions"]}


def test_templates_say_who_manages_the_file(role: Path) -> None:
    silent = [
        str(path.relative_to(role))
        for path in (role / "templates").rglob("*.j2")  # macros lie beside the tree that mirrors the node
        if path.parent.name != "templates"
        and "ansible_managed" not in path.read_text(encoding="utf-8")
        and not path.name.endswith(".json.j2")
    ]
    assert silent == []


def test_a_role_knows_one_node_only(role: Path) -> None:
    """No groups and no hostvars: playbooks know that there are two nodes."""
    guilty = [
        f"{path.relative_to(role)}: {word}"
        for path in [*role.rglob("*.yml"), *role.rglob("*.j2")]
        for word in ("hostvars", "groups[", "groups.", "tandem_group")
        if word in path.read_text(encoding="utf-8")
    ]
    assert guilty == []


@pytest.mark.parametrize("path", ["nginx/nginx.conf", "haproxy/haproxy.cfg", "keepalived/keepalived.conf"])
def test_what_a_server_did_before_is_kept(path: str) -> None:
    tasks = [task for file in (ROOT / "roles").glob("*/tasks/configure.yml") for task in yaml.safe_load(file.read_text(encoding="utf-8"))]
    lists = [found for task in tasks for found in (*task.get("vars", {}).values(), task.get("tandem.lemp.files", {}).get("files")) if isinstance(found, list)]
    (kept,) = (entry.get("keep_former") for found in lists for entry in found if isinstance(entry, dict) and entry.get("path") == f"/etc/{path}")
    assert kept is True


def test_the_firewall_sees_how_ansible_came_whatever_the_inventory_says_of_become() -> None:
    """Without it the check against locking itself out sees nothing. ansible_become of an inventory counts for more than become of a task."""
    probe = load(ROOT / "roles" / "firewall" / "tasks" / "preflight.yml")[0]
    assert "SSH_CONNECTION" in str(probe) and probe["vars"]["ansible_become"] is False
