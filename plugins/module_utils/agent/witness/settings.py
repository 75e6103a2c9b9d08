# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness as the daemon's configuration names it."""

from __future__ import annotations

import typing as t

from .register import Register
from .rfc2136 import DnsRegister, DnsSettings
from .ssh import SshRegister, SshSettings

WitnessSettings = t.Union[SshSettings, DnsSettings]  # noqa: UP007 - evaluated at import, also by older Pythons


def settings(raw: t.Mapping[str, t.Any]) -> WitnessSettings:
    """Raises KeyError, TypeError or ValueError."""
    if raw["driver"] == "ssh":
        return SshSettings(raw["host"], int(raw["port"]), raw["user"], raw["identity"], raw["known_hosts"])
    if raw["driver"] == "dns":
        return DnsSettings(
            raw["server"], int(raw["port"]), raw["zone"], raw["record"], raw["key_name"], raw["algorithm"], raw["secret_file"]
        )
    raise ValueError(f"driver {raw['driver']!r} is neither ssh nor dns")


def driver(wanted: WitnessSettings | None) -> str:
    """Its name; none has an empty one."""
    return "" if wanted is None else "ssh" if isinstance(wanted, SshSettings) else "dns"


def register(wanted: WitnessSettings, node: str) -> Register:
    """Raises Misconfigured."""
    return SshRegister(wanted, node) if isinstance(wanted, SshSettings) else DnsRegister(wanted)
