# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Atlas of each node, asked by that node. No rows where there is none. No text of its file is ever shown."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..atlas.admin import OFFLINE, RO, RW, UP
from ..atlas.client import Answer, How
from ..atlas.config import Config
from ..atlas.probe import Look
from ..errors import Refused
from .model import FAIL, PASS, UNKNOWN, WARN, Context, Finding, OnNode, Rule, Seen, some

_ROLE = "Run playbooks/sql_proxy.yml."
_MODE = 0o640


@dataclass(frozen=True)
class AtlasFile:
    """The configuration file. reason: why it cannot be read. differs: from what the role writes; None: that is not known."""

    reason: str = ""
    differs: bool | None = None
    charset: str = ""
    open_to: str = ""  # who may read it, and should not


@dataclass(frozen=True)
class AtlasSeen:
    """One Atlas. servers: address and type of each backend that the role has configured. unit: of systemd."""

    look: Look
    servers: tuple[tuple[str, str], ...]
    file: AtlasFile
    unit: str = "atlas-main"


def read_file(path: str, sha256: str) -> AtlasFile:
    """sha256: of what the role writes; "": not known."""
    try:
        found = Config.load(Path(path))
    except Refused as error:
        return AtlasFile(reason=str(error))
    written = hashlib.sha256(found.text.encode("utf-8", "surrogateescape")).hexdigest()
    wide = found.mode & ~_MODE
    return AtlasFile("", None if not sha256 else written != sha256, found.value("charset") or "", f"{found.mode:04o}" if wide else "")


def _about(judge: t.Callable[[AtlasSeen], Finding]) -> t.Callable[[Context, Seen], Finding | None]:
    """Of itself a node says it; of the other one it knows nothing."""

    def about(context: Context, seen: Seen) -> Finding | None:
        return judge(context.atlas) if context.atlas is not None and seen is context.here else None

    return about


def _told(answer: Answer, expected: str, reason: str, remedy: str) -> Finding:
    if answer.ok:
        return Finding(PASS, "answers", expected)
    if answer.how is How.UNASKED:
        return Finding(UNKNOWN, None, expected, "It was not asked, since that would hang: see atlas-servers and atlas-answers.", "")
    return Finding(FAIL, answer.how.value, expected, f"{reason}: {answer.text}.", remedy)


def _answers(seen: AtlasSeen) -> Finding:
    remedy = f"See journalctl -u {seen.unit}; systemctl restart {seen.unit}."
    return _told(seen.look.login, "takes connections, and logs the application in", "Applications of this node reach no database", remedy)


def _admin(seen: AtlasSeen) -> Finding:
    return _told(seen.look.admin, "answers", "No fence can take it offline, and nobody knows where it leads", _ROLE)


def _account(seen: AtlasSeen) -> Finding:
    expected, users = "exactly one", seen.look.users
    if users is None:
        return Finding(UNKNOWN, None, expected, "Its admin port does not answer.", "See atlas-admin.")
    if users == 1:
        return Finding(PASS, users, expected)
    reason = "With none, no backend is used." if users == 0 else "In front of MariaDB the next use of the second one ends the process."
    return Finding(FAIL, users, expected, reason, f"systemctl restart {seen.unit}: its file has one.")


def _backends(seen: AtlasSeen) -> Finding:
    wanted = {f"{address} ({kind})" for address, kind in seen.servers}
    expected = ", ".join(sorted(wanted))
    if not seen.look.admin.ok:
        return Finding(UNKNOWN, None, expected, "Its admin port does not answer.", "See atlas-admin.")
    found = {f"{one.address} ({one.type})" for one in seen.look.backends}
    if found == wanted:
        return Finding(PASS, sorted(found), expected)
    lacks, has = some(sorted(wanted - found)) or "nothing", some(sorted(found - wanted)) or "nothing"
    reason = f"Somebody was at the admin port: it lacks {lacks}, and has {has} too many."
    return Finding(FAIL, sorted(found), expected, reason, f"systemctl restart {seen.unit}: its file has the right ones.")


def _up(context: Context, where: Seen) -> Finding | None:
    seen = context.atlas
    if seen is None or where is not context.here:
        return None
    expected = "all up"
    if not seen.look.admin.ok:
        return Finding(UNKNOWN, None, expected, "Its admin port does not answer.", "See atlas-admin.")
    value = {f"{address} ({kind})": seen.look.state((address, kind)) or "absent" for address, kind in seen.servers}
    unused = {kind: seen.look.state((address, kind)) for address, kind in seen.servers if seen.look.state((address, kind)) != UP}
    if not unused:
        return Finding(PASS, value, expected)
    if RW in unused:
        reason = "Writes are refused: Atlas closes the connections of those who try."
        unfence = "A fence? playbooks/status.yml names the fenced node, and what takes that away."
        return Finding(FAIL, value, expected, reason, unfence if unused[RW] == OFFLINE else "See atlas-servers.")
    remedy = "See atlas-servers."
    if unused[RO] == OFFLINE:
        remedy = (
            "The agent puts it online if the agent took it offline. If a person did: tandem.lemp.atlas_backend with state=online,"
            f" or systemctl restart {seen.unit}."
        )
    return Finding(WARN, value, expected, "The primary is read as well.", remedy)


def _servers(seen: AtlasSeen) -> Finding:
    expected = "each answers"
    value = {f"{address} ({kind})": seen.look.servers[address, kind].how.value for address, kind in seen.servers}
    bad = [f"{address}: {seen.look.servers[address, kind].text}" for address, kind in seen.servers if not seen.look.answers((address, kind))]
    if not bad:
        return Finding(PASS, value, expected)
    reason = f"{some(bad)}. Atlas does not see that before it needs a new connection, and waits for one that hangs without end."
    return Finding(FAIL, value, expected, reason, "They are ports of HAProxy: see playbooks/status.yml where they lead.")


def _passes(seen: AtlasSeen) -> Finding:
    expected = "reads and writes"
    asked = {"reads": seen.look.reads, "writes": seen.look.writes}
    if any(answer.how is How.UNASKED for answer in asked.values()):
        return _told(Answer(), expected, "", "")
    failed = {name: answer.text for name, answer in asked.items() if not answer.ok}
    if not failed:
        return Finding(PASS, expected, expected)
    reason = "; ".join(f"{name}: {text}" for name, text in failed.items())
    return Finding(FAIL, ", ".join(name for name in asked if name not in failed) or "nothing", expected, f"{reason}.", "See atlas-up and atlas-servers.")


def _config(seen: AtlasSeen) -> Finding:
    expected, file = "as the role wrote it, 0640", seen.file
    if file.reason:
        return Finding(FAIL, None, expected, file.reason, _ROLE)
    if file.open_to:
        return Finding(FAIL, f"mode {file.open_to}", expected, "Others may read the passwords in it: SAVE CONFIG makes such files.", _ROLE)
    if file.differs is None:
        return Finding(UNKNOWN, None, expected, "What the role would write is not known here.", "Run playbooks/check.yml.")
    if file.differs:
        reason = "Somebody has changed it, or saved the configuration at the admin port, or the inventory has changed since."
        return Finding(WARN, "another one", expected, reason, f"{_ROLE} It restarts Atlas.")
    return Finding(PASS, "the same", expected)


def _charset(seen: AtlasSeen) -> Finding:
    if seen.file.reason:
        return Finding(UNKNOWN, None, "set", seen.file.reason, _ROLE)
    if seen.file.charset:
        return Finding(PASS, seen.file.charset, "set")
    return Finding(FAIL, "not set", "set", "A client with a character set of a number above 63 ends the process.", _ROLE)


RULES: tuple[Rule, ...] = (
    OnNode("atlas-answers", _about(_answers), blind=False),
    OnNode("atlas-admin", _about(_admin), blind=False),
    OnNode("atlas-account", _about(_account), blind=False),
    OnNode("atlas-backends", _about(_backends), blind=False),
    OnNode("atlas-up", _up, blind=False),
    OnNode("atlas-servers", _about(_servers), blind=False),
    OnNode("atlas-passes", _about(_passes), blind=False),
    OnNode("atlas-config", _about(_config), blind=False),
    OnNode("atlas-charset", _about(_charset), blind=False),
)
