# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent goes to the peer's hand as the runbooks do."""

from __future__ import annotations

from pathlib import Path

import jinja2

UNIT = Path(__file__).resolve().parents[4] / "roles/health/templates/etc/systemd/system/tandem-hand-peer@.service.j2"


def test_it_goes_to_the_port_of_sshd() -> None:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["comment"] = "# {}".format
    known = {"ansible_managed": "managed", "health_ssh_port": 2222, "__health_inside": {"peer_address": "198.51.100.12"}}
    said = environment.from_string(UNIT.read_text(encoding="utf-8")).render(known).replace("\\\n", "")
    (command,) = (line.split() for line in said.splitlines() if line.startswith("ExecStart="))
    assert {"Port=2222", "HostKeyAlias=198.51.100.12", "tandem-hand@198.51.100.12"} <= set(command)
