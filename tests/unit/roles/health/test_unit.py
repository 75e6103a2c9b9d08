# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit of the daemon says to systemd."""

from __future__ import annotations

from pathlib import Path

ROLES = Path(__file__).resolve().parents[4] / "roles"
UNIT = (ROLES / "health/templates/etc/systemd/system/tandem-health.service.j2").read_text(encoding="utf-8").splitlines()


def said(name: str) -> list[str]:
    return [word for line in UNIT if line.startswith(f"{name}=") for word in line.partition("=")[2].split()]


def test_the_database_stops_while_the_agent_still_sees_it() -> None:
    """systemd stops in the reverse order of the start; and nothing of the pair that starts before the daemon waits for a database."""
    databases = {"mariadb.service", "mysql.service"}
    assert databases <= set(said("Before"))
    assert not databases & {*said("After"), *said("Requires"), *said("Wants")}
    for socket in (ROLES / "health/templates/etc/systemd/system").glob("*.socket.j2"):
        assert "mariadb" not in socket.read_text(encoding="utf-8")


def test_a_program_of_a_notification_that_takes_too_much_memory_does_not_end_the_agent() -> None:
    assert said("OOMPolicy") == ["continue"]
