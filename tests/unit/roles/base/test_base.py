# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the pair in /etc/hosts and the time servers, as Ansible makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "base"
PAIR = [{"name": "server1", "address": "192.0.2.11"}, {"name": "server2", "address": "192.0.2.12"}]
OF_PAIR = ["192.0.2.11 server1", "192.0.2.12 server2"]


def task(name: str, file: str = "names.yml") -> dict[str, Any]:
    (found,) = (each for each in DataLoader().load_from_file(str(ROLE / "tasks" / file), trusted_as_template=True) if each["name"] == name)
    return dict(found)


def seen_by(nodename: str, hosts: list[dict[str, str]]) -> Templar:
    """On the node that the inventory calls server1."""
    known = dict(DataLoader().load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True))
    facts = {"nodename": nodename, "hostname": nodename.split(".", maxsplit=1)[0], "os_family": "Debian"}
    seen = {"stdout_lines": ["own-name"]}
    return Templar(
        loader=DataLoader(), variables={**known, "ansible_facts": facts, "base_hosts": hosts, "inventory_hostname": "server1", "__base_seen": seen}
    )


def block(nodename: str, hosts: list[dict[str, str]]) -> list[str]:
    return str(seen_by(nodename, hosts).template(task("Name the machines of the pair")["ansible.builtin.blockinfile"]["block"])).splitlines()


@pytest.mark.parametrize(
    ("nodename", "first"),
    [
        ("server1", "192.0.2.11 server1"),
        ("web-a", "192.0.2.11 server1 web-a"),
        ("web-a.example.com", "192.0.2.11 server1 web-a.example.com web-a"),
        ("server1.example.com", "192.0.2.11 server1 server1.example.com"),
        ("server2", "192.0.2.11 server1"),
        ("localhost", "192.0.2.11 server1"),
    ],
)
def test_a_node_keeps_the_name_that_it_calls_itself(nodename: str, first: str) -> None:
    """Nobody takes the name of another one."""
    assert block(nodename, PAIR) == [first, OF_PAIR[1]]


@pytest.mark.parametrize(("hosts", "leaves"), [(PAIR, True), (PAIR[1:], False), ([], False), ([{"name": "web server1", "address": "192.0.2.11"}], True)])
def test_the_line_of_the_distribution_goes_only_where_another_one_comes(hosts: list[dict[str, str]], leaves: bool) -> None:
    conditions = task("Take the node's own name off 127.0.1.1")["when"]
    assert all(seen_by("web-a", hosts).evaluate_conditional(one) for one in conditions) is leaves


@pytest.mark.parametrize(
    ("servers", "there", "state"), [([], False, None), ([], True, "absent"), (["192.0.2.1"], False, "file"), (["192.0.2.1"], True, "file")]
)
def test_time_servers_that_are_named_no_more_go(tmp_path: Path, servers: list[str], there: bool, state: str | None) -> None:
    """The look that is there anyway tells, so that a node without any has no task more."""
    sources = tmp_path / "tandem.sources"
    if there:
        sources.touch()
    look = task("Look at packages, services, names, resolver and kernel", "look.yml")["vars"]["__base_look"]
    script = Templar(loader=DataLoader(), variables={"__base_system": {"time_sources": str(sources)}}).template(look)
    seen = subprocess.run(["sh", "-c", script, "look"], capture_output=True, text=True, check=True).stdout.splitlines()
    write = task("Name the time servers", "time.yml")
    known = Templar(loader=DataLoader(), variables={"base_time_servers": servers, "__base_seen": {"stdout_lines": seen}})
    assert known.evaluate_conditional(write["when"]) is (state is not None)
    if state:
        assert known.template(write["tandem.lemp.files"]["files"][0]["state"]) == state


def test_what_the_labs_image_brings_is_installed_on_real_machines() -> None:
    known = DataLoader().load_from_file(str(ROLE / "vars" / "main.yml"))
    assert {"curl", "python3-apt", "sudo"} <= set(known["__base_names"]["Debian"]["packages"])
