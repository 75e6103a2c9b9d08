# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the two hands, run an operation, and tell what became of it."""

from __future__ import annotations

import contextlib
import typing as t

from ..atlas.admin import AT_WORK, OFFLINE, RW, Admin
from ..atlas.wire import Endpoint
from ..errors import TandemError
from ..hand.client import HandClient, HandLost, local_command, peer_command
from ..hand.config import HandConfig
from ..hand.priority import go_first


@contextlib.contextmanager
def hands(config: HandConfig) -> t.Iterator[tuple[HandClient, HandClient]]:
    """The hand of this node and the peer's, both greeted. Raises HandLost if one does not answer."""
    go_first()
    here = HandClient(config.node.name, local_command())
    there = HandClient(config.peer.name, peer_command(config.peer))
    try:
        here.greet()
        there.greet()
        yield here, there
    finally:
        # The peer first: when both have to recover, the old primary (mostly here) is told last what the other one does.
        there.close()
        here.close()


def scheduled(old: HandClient, warn: t.Callable[[str], None]) -> dict[str, str] | None:
    """Status of the old primary's scheduled events by name; None: it does not say, which is warned of. Raises HandLost."""
    try:
        return t.cast("dict[str, str]", old.call("events"))
    except HandLost:
        raise
    except TandemError as error:
        warn(f"Which scheduled events are switched off on {old.name} is not known: {error}")
        return None


def offline_writers(config: HandConfig, new: str) -> list[str]:
    """A warning for each Atlas that keeps its writer offline: a fence does so on both nodes, and outlives the fenced one.

    new: the node that takes writes afterwards. An Atlas that does not answer is left out: its node may be dead.
    """
    found: list[str] = []
    for port in config.atlas:
        there = Endpoint(port.host, port.port, port.user, port.password, timeout=AT_WORK)
        with contextlib.suppress(TandemError), Admin(there) as admin:
            found += [
                f"The Atlas of {there} keeps its writer {one.address} offline, and refuses writes (error 2013)."
                f" When {new} takes writes: playbooks/unfence.yml -e node={new} -e drivers=atlas"
                for one in admin.backends()
                if (one.type, one.state) == (RW, OFFLINE)
            ]
    return found


def story(report: t.Mapping[str, t.Any]) -> list[str]:
    """The report for a person, line by line."""
    lines = [f"{report['kind']} of {report['old']} to {report['new']}: {report['result']}"]
    closed = [gate for gate in report["gates"] if not gate["passed"]]
    lines += [f"  gate {'ok ' if gate['passed'] else 'NO '} {gate['name']}: {gate['found']}" for gate in report["gates"]]
    lines += [f"       {gate['name']} needs: {gate['needed']}. {gate['remedy']}" for gate in closed]
    lines += [_step(step) for step in report["steps"]]
    if report.get("pause_ms") is not None:
        lines.append(
            f"  new connections were held for {report['pause_ms']:.0f} ms; {report['held']} waited;"
            f" {report['closed_between']} sessions closed between statements, {report['closed_broken']} in the middle of one"
        )
    if report.get("vips_ms") is not None:
        lines.append(f"  the addresses moved, given up within {report['vips_ms']:.0f} ms")
    if report.get("canary_ms") is not None:
        lines.append(f"  a write on {report['new']} was read on {report['old']} after {report['canary_ms']:.1f} ms")
    lines += [f"  warning: {warning}" for warning in report["warnings"]]
    return lines


def _step(step: t.Mapping[str, t.Any]) -> str:
    if step["state"] == "planned":
        return f"  step     {step['title']}"
    said = f" ({step['said']})" if step["said"] else ""
    return f"  {step['began_ms']:>8.1f} ms  {step['title']}: {step['state']}, {step['ms']:.1f} ms{said}"
