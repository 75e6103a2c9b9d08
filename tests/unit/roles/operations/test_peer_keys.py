# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run on one node alone must not cut off the hands: it does not know the peer's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "operations"
KNOWN = "/etc/tandem/ssh/hand_known_hosts"
ADMITTED = "/var/lib/tandem/hand/.ssh/authorized_keys"


def load(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


KEYS = {"operations_peer_key": "ssh-ed25519 AAAAhand tandem-hand node-b", "operations_peer_host_key": "ssh-ed25519 AAAAhost"}


def paths(keys: dict[str, str]) -> set[str]:
    """Which of the two files are written."""
    (task,) = (each for each in load("tasks/main.yml") if "tandem.lemp.files" in each)
    home = "/var/lib/tandem/hand"
    known = {
        name: [{"path": entry["path"].replace("{{ __operations_home }}", home)} for entry in entries]
        for name, entries in load("vars/main.yml").items()
        if isinstance(entries, list) and isinstance(entries[0], dict)
    }
    variables = {**known, "__operations_directory_entries": [], "__operations_engine_entries": [], "operations_peer_key": "", "operations_peer_host_key": ""}
    entries = Templar(loader=DataLoader(), variables={**variables, **keys}).template(task["tandem.lemp.files"]["files"])
    return {entry["path"] for entry in entries} & {KNOWN, ADMITTED}


@pytest.mark.parametrize("given", [(), ("operations_peer_key",), ("operations_peer_host_key",), tuple(KEYS)])
def test_what_the_peer_did_not_say_leaves_its_file_as_it_is(given: tuple[str, ...]) -> None:
    wanted = {path for name, path in (("operations_peer_key", ADMITTED), ("operations_peer_host_key", KNOWN)) if name in given}
    assert paths({name: KEYS[name] for name in given}) == wanted


def test_the_files_hold_what_the_peer_said() -> None:
    known = {**KEYS, "operations_peer": {"address": "192.0.2.12"}, "ansible_managed": "managed"}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["comment"] = "# {}".format
    said = [
        environment.from_string((ROLE / "templates" / f"{path.lstrip('/')}.j2").read_text(encoding="utf-8")).render(known).splitlines()[1:]
        for path in (KNOWN, ADMITTED)
    ]
    assert said == [
        ["192.0.2.12 ssh-ed25519 AAAAhost"],
        ['restrict,from="192.0.2.12",command="sudo -n /usr/local/sbin/tandem-hand" ssh-ed25519 AAAAhand tandem-hand node-b'],
    ]
