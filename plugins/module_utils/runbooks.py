# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each runbook can be told by -e, and what makes no sense. Pure: asked before a runbook touches anything.

A name that nobody knows would be left alone by Ansible: what was meant by it would silently not be done.
"""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass

_TRUE = ("yes", "true", "1", "on", "y", "t")
_FALSE = ("no", "false", "0", "off", "n", "f")

_YES_OR_NO = {"yes", "no"}


@dataclass(frozen=True)
class Option:
    """One variable. kind: text, said (text that is not empty), node, number, yesno, file (written here), place (absolute path), or words.

    words: choices, commas between them if many; as they are written, but for yes and no.
    """

    kind: str = "text"
    choices: tuple[str, ...] = ()
    many: bool = False
    required: bool = False


TEXT, SAID, PLACE = Option(), Option("said"), Option("place")
NUMBER, YESNO, NODE, FILE = Option("number"), Option("yesno"), Option("node"), Option("file")
_DRIVERS = Option("words", ("read_only", "haproxy", "atlas", "grants"), many=True)
_UNFENCE = Option("words", (*_DRIVERS.choices, "restore"), many=True)
_PEER_IS = Option("words", ("dead", "unknown"))
_ROLE = {"to": NODE, "move_vips": YESNO}
_LIMITS = {
    "max_pause": NUMBER, "deadline": NUMBER, "drain": NUMBER, "max_lag": NUMBER, "max_transactions_behind": NUMBER, "max_transaction_seconds": NUMBER,
    "require_semi_sync": YESNO, "report_file": FILE,
}  # fmt: skip
_REPORT = {"output": Option("words", ("table", "json")), "output_file": FILE}
_REJOIN = {"discard": YESNO, "copy_deadline": NUMBER}
_CATCHUP = {"timeout": NUMBER}
_FENCE = {"node": Option("node", required=True), "drivers": _DRIVERS}

RUNBOOKS: dict[str, dict[str, Option]] = {
    "status": {**_REPORT, "fail_on": Option("words", ("never", "degraded", "down"))},
    "check": {**_REPORT, "fail_on": Option("words", ("never", "warn", "fail"))},
    "switchover": {**_ROLE, **_LIMITS, "atlas_offline": YESNO},
    "failover": {**_ROLE, "peer_is": _PEER_IS, "force_fence": YESNO, "give_up_rescue": YESNO, "deadline": NUMBER, "report_file": FILE},
    "rejoin": {**_REJOIN, "deadline": NUMBER},
    "catchup": _CATCHUP,
    "sync_files": {},
    "failback": {**_ROLE, **_LIMITS, **_REJOIN, **_CATCHUP, "atlas_offline": YESNO},
    "fence": {**_FENCE, "drain": NUMBER},
    "unfence": {**_FENCE, "drivers": _UNFENCE, "peer_is": _PEER_IS},
    "backup": {
        "from": NODE, "verify": Option("words", ("full", "quick")), "keep": NUMBER, "directory": PLACE,
        "only": Option("words", ("binlogs",)), "fetch": PLACE, "timeout": NUMBER, "report_file": FILE,
    },
    "restore": {
        "backup": SAID, "point": SAID, "until": SAID, "on": NODE, "directory": PLACE, "scratch": Option("words", ("remove", *_TRUE, *_FALSE)),
        "timeout": NUMBER, "report_file": FILE,
    },
    "rolling_update": {
        **_LIMITS, "upgrade": Option("words", ("safe", "dist", "none")), "reboot": Option("words", ("auto", "always", "never")),
    },
    "drill": {
        "fault": TEXT, "node": NODE, "seconds": NUMBER, "hold": NUMBER, "page": TEXT, "report_file": FILE,
    },
    "leave_atlas": {"drain": NUMBER, "in_use": YESNO},
}  # fmt: skip
_ALWAYS = {"confirm": TEXT}
# Where Ansible puts what is no NAME=VALUE, and forgets it.
_RAW = "_raw_params"
# What people say for it elsewhere.
_MEANT = {
    "target": ("to", "node", "from"), "host": ("node", "to", "from", "on"), "server": ("node", "to", "from", "on"), "primary": ("to",),
    "new_primary": ("to",), "dead": ("peer_is",), "yes": ("confirm",), "pause": ("max_pause",), "timeout": ("deadline",),
    "vips": ("move_vips",), "time": ("point",),
}  # fmt: skip


def known(runbooks: t.Iterable[str]) -> dict[str, Option]:
    """What these take together. Of a playbook that is none of ours: what any of ours takes."""
    names = [name for name in runbooks if name in RUNBOOKS] or list(RUNBOOKS)
    taken: dict[str, Option] = dict(_ALWAYS)
    for name in names:
        taken.update(RUNBOOKS[name])
    return taken


def faults(runbooks: t.Sequence[str], said: t.Mapping[str, t.Any], nodes: t.Sequence[str], writable: t.Callable[[str], str]) -> list[str]:
    """Sentences, one for each thing that makes no sense.

    said: the variables given by -e. writable: why a file cannot be written here; empty if it can.
    """
    ours = [name for name in runbooks if name in RUNBOOKS]
    taken = known(runbooks)
    found = [_no_name(str(said[_RAW]))] if _RAW in said else []
    found += [_unknown(name, taken) or _elsewhere(name, ours) for name in said if name not in (*taken, _RAW)]
    for name, option in taken.items():
        if name in said:
            found.append(_value(name, said[name], option, nodes, writable))
        elif option.required and len(ours) == 1:
            found.append(f"Say -e {name}= with {' or '.join(nodes)}.")
    return [sentence for sentence in found if sentence]


def strangers(runbooks: t.Sequence[str], said: t.Iterable[str]) -> list[str]:
    """Names that nothing here looks at, as far as can be told, and that resemble nothing it does."""
    taken = known(runbooks)
    return sorted(name for name in said if name not in taken and "_" not in name and not _unknown(name, taken))


def limited(runbooks: t.Sequence[str], said: t.Mapping[str, t.Any], nodes: t.Sequence[str], played: t.Collection[str]) -> str:
    """Why --limit does not do here; empty where it does, or was not said. played: the hosts of this play, reached or not.

    A backup, and a restore beside the server, are made on one node.
    """
    ours = [name for name in runbooks if name in RUNBOOKS]
    beside = ours == ["restore"] and str(said.get("scratch", "no")).strip().lower() in ("remove", *_TRUE)
    if not ours or ours == ["backup"] or beside or set(nodes) <= set(played):
        return ""
    return "Leave out --limit: a runbook needs both nodes. One that does not answer is told of."


def _no_name(raw: str) -> str:
    return f"{raw!r} is no NAME=VALUE. Write -e NAME=VALUE without blanks around =, and quote a value with blanks: -e point=\"'2026-11-21 10:00:00'\"."


def _unknown(name: str, taken: t.Mapping[str, Option]) -> str:
    meant = [one for one in _MEANT.get(name, ()) if one in taken] or difflib.get_close_matches(name, list(taken), n=1, cutoff=0.75)
    if not meant or name.startswith(("tandem_", "ansible_")):
        return ""
    return f"There is no option {name}. Did you mean {meant[0]}?"


def _elsewhere(name: str, ours: t.Sequence[str]) -> str:
    """What only another runbook takes: here it would do nothing, or something else than there."""
    others = [f"{runbook}.yml" for runbook, options in RUNBOOKS.items() if name in options]
    return f"{' and '.join(ours)}.yml has no option {name}; {', '.join(others)} has." if ours and others else ""


def _value(name: str, value: t.Any, option: Option, nodes: t.Sequence[str], writable: t.Callable[[str], str]) -> str:
    text = "" if value is None else str(value).strip()
    if "{{" in text:
        return ""
    if option.kind == "said" and not text:
        return f"{name}: nothing was said. Leave it out, or say which."
    if option.kind == "node" and text not in nodes:
        return f"{name}: {text or 'nothing'} is no node of this pair. Name {' or '.join(nodes)}."
    if option.kind == "number" and not _is_number(text):
        return f"{name}: {text or 'nothing'} is no number."
    if option.kind == "yesno" and text.lower() not in (*_TRUE, *_FALSE):
        return f"{name}: say yes or no, not {text or 'nothing'}."
    if option.kind == "words":
        words = [word.strip() for word in text.split(",")] if option.many else [text]
        wrong = [word for word in words if word not in option.choices and not ({*option.choices} >= _YES_OR_NO and word.lower() in option.choices)]
        if wrong:
            shown = [word for word in option.choices if word not in (*_TRUE[1:], *_FALSE[1:])]
            return f"{name}: {wrong[0] or 'nothing'} is none of {', '.join(shown)}."
    if option.kind == "place" and not text.startswith("/"):
        # Modules would take it from the playbook's directory, or from wherever they run.
        return f"{name}: {text or 'nothing'} is no absolute path. Begin it with /."
    if option.kind == "file" and text:
        why = writable(text)
        return f"{name}: {text} cannot be written here: {why}." if why else ""
    return ""


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False
