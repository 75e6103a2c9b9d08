# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Atlas of this node: what an operation asks of it."""

from __future__ import annotations

import typing as t

from ..atlas.admin import OFFLINE, RW, Admin
from ..atlas.wire import Endpoint
from ..errors import Refused
from ..fence.atlas import AtlasOffline
from ..runner import Runner
from .config import HandConfig

# Seconds that it may take to answer.
_ANSWER = 2.0


def end(config: HandConfig, runner: Runner) -> str:
    """Kill it: it may be frozen. systemd starts it again at once. Returns the service's name; raises Refused where there is none."""
    if not config.atlas_service:
        raise Refused(f"{config.node.name} has no Atlas.", "Run playbooks/operations.yml.")
    runner.run(["systemctl", "kill", "--signal=KILL", config.atlas_service], timeout=20)
    return config.atlas_service


def writers(config: HandConfig) -> list[str]:
    """Addresses of the writers that it uses. Raises TandemError where it does not answer, Refused where there is none."""
    with Admin(_own(config)) as admin:
        return [one.address for one in admin.backends() if one.type == RW and one.state != OFFLINE]


def offline(config: HandConfig, addresses: t.Collection[str]) -> str:
    """These writers get nobody new. Proven by asking again; a health check that is under way may undo it once. Raises OperationFailed."""
    if not addresses:
        return "offline already"
    driver = AtlasOffline([_own(config)], addresses=addresses)
    driver.fence({})
    return driver.prove()


def online(config: HandConfig, addresses: t.Collection[str]) -> None:
    """They are used again, and are seen up. Raises OperationFailed."""
    if addresses:
        AtlasOffline([_own(config)], addresses=addresses).unfence(None)


def _own(config: HandConfig) -> Endpoint:
    if not config.atlas:
        raise Refused(f"{config.node.name} has no Atlas.", "Leave out what is meant for one.")
    port = config.atlas[0]
    return Endpoint(port.host, port.port, port.user, port.password, timeout=_ANSWER)
