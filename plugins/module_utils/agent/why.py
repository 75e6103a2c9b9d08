# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers for a person: why is it so, and what would happen if the primary died now. Pure; the time is an argument."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from . import reading
from .alarms import described

LAST = 5  # transitions told
# Conditions that only the primary's death itself can meet: that they are not met while it lives stands against nothing.
PROOFS = frozenset({"silence", "primary's machine", "lease", "primary asks", "primary cedes"})
# What stands only against following the end of the primary's database alone.
OF_THE_DATABASE = frozenset({"cool-down"})

# The agent sees that there is a record (/var/lib/tandem/fence.json) that closes the database, and not which.
HELD = "a fence, or a restore that runs or was killed; the agent decides nothing there until that ends (playbooks/unfence.yml, docs/runbooks/restore.md)"


class Condition(t.Protocol):
    """One condition of a promotion, as the decision core has it."""

    @property
    def name(self) -> str: ...

    @property
    def found(self) -> str: ...

    @property
    def needed(self) -> str: ...

    @property
    def met(self) -> bool: ...


def blockers(conditions: t.Iterable[Condition], proofs: t.Collection[str] = PROOFS) -> list[dict[str, t.Any]]:
    """The status's agent.blockers. proof: only the primary's death itself can meet it."""
    return [
        {"condition": row.name, "found": row.found, "needed": row.needed, "ok": row.met, **({"proof": True} if row.name in proofs else {})}
        for row in conditions
    ]


@dataclass(frozen=True)
class Outlook:
    """What would happen if the primary died now.

    ready: True: the candidate takes over by itself. False: it does not. None: nobody knows.
    against: what stands in the way or is not known, one sentence each.
    awaits: what it would wait for, as a proof that the primary is dead.
    """

    ready: bool | None
    candidate: str
    summary: str
    against: tuple[str, ...] = ()
    met: int = 0
    awaits: tuple[str, ...] = ()


def _sentence(value: str) -> str:
    value = " ".join(value.split())
    return value if not value or value[-1] in ".!?" else value + "."


def _shown(value: t.Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, t.Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items()) or "nothing"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(_shown(item) for item in value) or "nothing"
    return " ".join(str(value).split()) or "nothing"


def blocker(item: t.Mapping[str, t.Any]) -> str:
    """One condition that is not met, or not known, as a sentence."""
    condition = reading.text(item, "condition") or "a condition without a name"
    found, needed = _shown(item.get("found")), _shown(item.get("needed"))
    if reading.truth(item, "ok") is None:
        return f"{condition}: not known whether it is met (found {found}; needed {needed})."
    return f"{condition}: found {found}; needed {needed}."


def _is_proof(item: t.Mapping[str, t.Any]) -> bool:
    said = reading.truth(item, "proof")
    return reading.text(item, "condition") in PROOFS if said is None else said


def _candidate(status: t.Any) -> tuple[str, t.Any]:
    """The node that would take over, and what is known of it. ("", None): nobody can tell."""
    role = reading.role_of(status)
    if role == "replica":
        return reading.text(status, "node") or "this node", status
    if role == "primary":
        return reading.text(status, "peer", "node") or "the peer", reading.peer_of(status)
    return "", None


def outlook(status: t.Any, now: float) -> Outlook:
    """What would happen if the primary died now.

    The conditions are those of the node that would take over: this one's own when it is the replica, the peer's as the
    peer last said when this one is the primary.
    """
    node, of = _candidate(status)
    if not node:
        return Outlook(None, "", "Not known: this node does not know its own role.")
    if of is not status and reading.truth(status, "peer", "alive") is False:
        return Outlook(False, node, "Nobody would take over: there is one node left.", (f"{node} is silent.",))
    if not isinstance(of, t.Mapping) or not reading.mapping(of, "agent"):
        return Outlook(None, node, f"Not known: {node} has not said whether it could take over.")
    against: list[str] = []
    unknown: list[str] = []
    conditions = reading.mappings(of, "agent", "blockers")
    named = {reading.text(item, "condition") for item in conditions}  # what is a condition there is not told twice
    if "policy" not in named and reading.text(of, "agent", "policy", "failover") == "manual":
        against.append(f"{node} does not take over by itself: the policy is failover: manual.")
    paused = reading.moment(of, "agent", "paused_until")
    if "pause" not in named and paused is not None and paused > now:
        against.append(f"{node} is paused until {reading.clock(paused)} UTC ({reading.span(paused - now)} more).")
    operation = reading.operation_of(of)
    if "operation" not in named and operation:
        against.append(f"{operation} is running on {node}.")
    listed = reading.dig(of, "agent", "blockers")
    awaits = tuple(f"{reading.text(item, 'condition')}: {_shown(item.get('needed'))}" for item in conditions if _is_proof(item))
    conditions = [item for item in conditions if not _is_proof(item)]
    for item in conditions:
        ok = reading.truth(item, "ok")
        if ok is False:
            against.append(blocker(item))
        elif ok is None:
            unknown.append(blocker(item))
    able = reading.truth(of, "agent", "able")
    if not isinstance(listed, (list, tuple)) and able is False:
        against.append(f"{node} says that it is not able to; ask it: tandem why.")
    elif not isinstance(listed, (list, tuple)) and able is None:
        unknown.append(f"{node} has not said which conditions are met.")
    met = sum(reading.truth(item, "ok") is True for item in conditions)
    failing = {reading.text(item, "condition") for item in conditions if reading.truth(item, "ok") is False}
    if len(against) == len(failing) > 0 and failing <= OF_THE_DATABASE and not unknown:
        words = f"{node} would take over by itself if the primary's machine died, but not if only its database ended."
        return Outlook(False, node, words, tuple(against), met, awaits)
    if against:
        return Outlook(False, node, f"{node} would not take over by itself.", tuple(against + unknown), met, awaits)
    if unknown:
        return Outlook(None, node, f"Nobody knows whether {node} would take over.", tuple(unknown), met, awaits)
    checked = f"all {met} conditions are met" if met > 1 else "its condition is met" if met else "nothing stands against it"
    return Outlook(True, node, f"{node} would take over by itself: {checked}.", (), met, awaits)


def ago(unix: float | None, now: float) -> str:
    """How long ago, in words."""
    if unix is None:
        return "at an unknown time"
    distance = now - unix
    return f"{reading.span(distance)} ago" if distance >= 0 else f"in {reading.span(-distance)}"


def told(made: t.Mapping[str, t.Any], now: float) -> list[str]:
    """One entry of the history: what, when, why, and on what evidence."""
    unix = reading.moment(made, "unix")
    before, after = reading.text(made, "from"), reading.text(made, "to")
    what = f"{before or '?'} -> {after or '?'}" if before or after else reading.text(made, "kind") or "something"
    epoch = reading.text(made, "epoch")
    lines = [
        f"{reading.clock(unix)} UTC ({ago(unix, now)}), {reading.text(made, 'node') or 'unknown node'}: {' '.join(what.split())}"
        + (f", epoch {epoch}" if epoch else "")
    ]
    reason, rule = reading.text(made, "reason"), " ".join(reading.text(made, "rule").split())
    because = _sentence(reason) if reason.strip() else "No reason was written down."
    lines.append(f"    because: {because}" + (f" (rule {rule})" if rule else ""))
    details = reading.mapping(made, "details")
    if details:
        lines.append("    seen: " + "; ".join(f"{' '.join(key.split())}: {_shown(value)}" for key, value in details.items()))
    return lines


def _present(status: t.Any, now: float) -> list[str]:
    node = reading.text(status, "node") or "this node"
    agent = reading.mapping(status, "agent")
    role = reading.role_of(status)
    line = f"{node}: " + (f"the database is the {role}" if role != "unknown" else "the role of the database is not known")
    state = reading.text(agent, "state")
    if state:
        since = reading.moment(agent, "since")
        line += f"; the agent's state is {state}" + (f" for {reading.span(now - since)}" if since is not None and since <= now else "")
    epoch = reading.text(agent, "epoch")
    lines = [line + (f"; epoch {epoch}." if epoch else ".")]
    reason = reading.text(agent, "reason") or reading.text(status, "reason")
    if reason:
        rule = reading.text(agent, "rule")
        lines.append(f"    because: {_sentence(reason)}" + (f" (rule {rule})" if rule else ""))
    if reading.truth(agent, "held"):
        lines.append(f"A person holds {node}: {HELD}.")
    for name in reading.texts(agent, "alarms"):
        lines.append(f"Alarm: {described(name)[1]}.")
    peer = reading.text(status, "peer", "node") or "the peer"
    alive, age = reading.truth(status, "peer", "alive"), reading.number(status, "peer", "age")
    peer_role = reading.role_of(reading.peer_of(status))
    if alive is None:
        lines.append(f"{peer}: not known whether it lives.")
    elif not alive:
        lines.append(f"{peer}: silent" + (f" for {reading.span(age)}." if age is not None else "."))
    else:
        lines.append(f"{peer}: alive" + (f"; its database is the {peer_role}." if peer_role != "unknown" else "; it has not said what its database is."))
    lease = reading.mapping(agent, "lease")
    if reading.truth(lease, "configured"):
        holder, left = reading.text(lease, "holder") or "nobody", reading.number(lease, "left")
        line = f"Lease: held by {holder}" + (f", {reading.span(left)} left" if left is not None else "")
        lines.append(line + ("." if reading.truth(lease, "reachable") is not False else f"; the witness does not answer{_problem(lease)}."))
    elif reading.truth(lease, "configured") is False:
        lines.append("Lease: no witness is configured; the two nodes have only each other's silence to go by.")
    return lines


def _atlas(status: t.Any) -> list[str]:
    """Nothing where there is none."""
    atlas = reading.mapping(status, "atlas")
    if not atlas:
        return []
    word, reason = reading.text(atlas, "state") or "unknown", reading.text(atlas, "reason")
    words = {
        "up": "answers",
        "dead": "takes no connections",
        "frozen": "takes connections and does not answer",
        "refuses": "refuses the application's account",
    }.get(word, "not known how it is")
    lines = [f"Atlas: {words}" + (f": {_sentence(reason)}" if reason else ".")]
    for backend in reading.mappings(atlas, "backends"):
        said, answers = reading.text(backend, "state") or "not known", reading.truth(backend, "answers")
        line = f"{reading.text(backend, 'address')} ({reading.text(backend, 'type')}): {said}"
        if reading.truth(backend, "configured") is False:
            line += "; it was added at the admin port, and is gone with a restart"
        if answers is False:
            line += f"; asked beside Atlas it does not answer: {reading.text(backend, 'reason')}"
        if reading.truth(backend, "taken_offline"):
            line += "; the agent has taken it offline, and puts it online when it answers"
        lines.append(f"  {_sentence(line)}")
    if reading.truth(atlas, "admin") is False:
        lines.append(f"  Its admin port: {_sentence(reading.text(atlas, 'admin_reason'))}")
    accounts = reading.number(atlas, "accounts")
    if accounts is not None and accounts != 1:
        lines.append(f"  It has {accounts:.0f} accounts. With more than one MariaDB ends the process: restart it, the file has one.")
    return lines


def _problem(lease: t.Mapping[str, t.Any]) -> str:
    said = reading.text(lease, "problem")
    return f": {said}" if said else ""


def why(status: t.Any, history: t.Iterable[t.Mapping[str, t.Any]], now: float | None = None) -> list[str]:
    """What a person asks: what is it doing, why did it, and what would it do. Lines without newlines in them."""
    now = time.time() if now is None else now
    lines = ["Now", *(f"  {line}" for line in [*_present(status, now), *_atlas(status)]), ""]
    transitions = [made for made in history if reading.text(made, "kind") == "transition"][-LAST:]
    lines.append("Why it did what it did (newest first)")
    for made in reversed(transitions):
        lines += [f"  {line}" for line in told(made, now)]
    if not transitions:
        lines.append("  No change of state is on record on this node.")
    lines += ["", "If the primary died now"]
    expected = outlook(status, now)
    lines.append(f"  {expected.summary}")
    lines += [f"    - {line}" for line in expected.against]
    if expected.against and expected.met:
        lines.append(f"    ({expected.met} other condition{'s are' if expected.met > 1 else ' is'} met.)")
    if expected.awaits and expected.ready is not False:
        lines.append(f"  First it needs proof of the death: {'; '.join(expected.awaits)}.")
    failback = reading.text(status, "agent", "policy", "failback")
    known = {
        "never": "Afterwards roles stay where they are (failback: never).",
        "manual": "Afterwards roles stay until somebody moves them (failback: manual).",
        "when_in_sync": "Afterwards roles go home by themselves once both nodes are equal (failback: when_in_sync).",
    }
    if failback in known:
        lines.append(f"  {known[failback]}")
    return [reading.printable(line) for line in lines]
