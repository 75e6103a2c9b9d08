# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page of both nodes: one HTML document without scripts and without anything to load. Pure.

Everything that comes from a status, a history or a peer goes through _text(). Colour is never the only sign.
"""

from __future__ import annotations

import base64
import hashlib
import html
import time
import typing as t
from dataclasses import dataclass

from ..health.certificate import SOON
from . import reading
from .alarms import described
from .why import Outlook, ago, outlook

REFRESH = 5  # seconds
COLUMNS = 360  # of the graph
DAY = 86_400.0
HIGHEST = 1e9  # seconds of lag: more is nonsense
NUMBERS = (float, int)  # a truth is none
SHOWN = 30  # entries of the history
PARTS = 40  # of anything that is a list
DISK_LOW, DISK_FULL = 0.1, 0.03  # free, of the whole

STYLE = """
:root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--text:#1b1f24;--dim:#57606a;--line:#d5d9de;
--ok:#0a6b2d;--okbg:#e3f5e8;--warn:#7a4a00;--warnbg:#fdf0d5;--bad:#a81c15;--badbg:#fde5e3;--unknown:#4b5563;--unknownbg:#e8eaee;--one:#1f5fbf;--two:#a8470f}
@media(prefers-color-scheme:dark){:root{--bg:#0f1317;--card:#181d23;--text:#e6e9ed;--dim:#9aa4af;--line:#323a43;
--ok:#6fdc9b;--okbg:#12301f;--warn:#f4c063;--warnbg:#372a10;--bad:#ff9a92;--badbg:#3d1917;--unknown:#b5bec9;--unknownbg:#262d35;--one:#7fb2ff;--two:#ffab73}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1100px;margin:0 auto;padding:12px;overflow-wrap:anywhere}
h1{font-size:1.15rem;margin:0}h2{font-size:1rem;margin:0 0 8px}
header{display:flex;flex-wrap:wrap;gap:2px 12px;align-items:baseline;justify-content:space-between;margin-bottom:10px}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px;margin-bottom:12px;min-width:0}
.two{display:grid;grid-template-columns:minmax(0,1fr);gap:0 12px;align-items:start}
@media(min-width:720px){.two{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}
.dim{color:var(--dim)}.small{font-size:.85rem}
p{margin:0 0 4px}ul{margin:4px 0 0;padding-left:1.2em}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}.unknown{color:var(--unknown)}.follows{color:var(--one)}
.banner{border-width:2px;border-left-width:8px;border-color:currentColor;border-style:solid}
.banner.ok{background:var(--okbg)}.banner.warn{background:var(--warnbg)}.banner.bad{background:var(--badbg)}.banner.unknown{background:var(--unknownbg)}
.banner strong{font-size:1.1rem}.banner ul{color:var(--text)}
dl{display:grid;grid-template-columns:minmax(6.5em,auto) minmax(0,1fr);gap:3px 12px;margin:0}
dt{color:var(--dim)}dd{margin:0}
dd .sign{display:inline-block;margin-right:8px}
.role{display:inline-block;border:2px solid currentColor;border-radius:4px;padding:0 6px;font-weight:700;letter-spacing:.03em}
.old{border-style:dashed}
.title{display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 12px;align-items:center}
meter{width:100%;max-width:220px;height:10px;vertical-align:middle}
.graph{display:grid;grid-template-columns:auto minmax(0,1fr);gap:2px 6px;font-size:.8rem;color:var(--dim)}
.graph svg{width:100%;height:140px;display:block;border-left:1px solid var(--line);border-bottom:1px solid var(--line)}
.y{display:flex;flex-direction:column;justify-content:space-between;text-align:right}
.x{grid-column:2;display:flex;justify-content:space-between}
svg path{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.grid{stroke:var(--line);stroke-width:1}.one{stroke:var(--one)}.two-line{stroke:var(--two);stroke-dasharray:5 3}
.mark{stroke:var(--text);stroke-width:1.5;stroke-dasharray:2 3}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;margin-top:6px;font-size:.85rem}
.key svg{width:28px;height:10px;vertical-align:middle;margin-right:5px}
table{border-collapse:collapse;width:100%}
th{text-align:left;color:var(--dim);font-weight:600;font-size:.85rem}
th,td{padding:5px 10px 5px 0;vertical-align:top;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
td.when{white-space:nowrap}
@media(min-width:720px){td.who{min-width:6em}}
@media(max-width:719px){thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
table,tbody,tr,td{display:block}td{border:0;padding:0}
tr{border-bottom:1px solid var(--line);padding:7px 0}tr:last-child{border:0}td.when,td.who{display:inline-block;margin-right:10px}}
a{color:var(--one)}
""".strip()

CSP = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CONTENT_TYPE = "text/html; charset=utf-8"
HEADERS: t.Mapping[str, str] = {
    "Content-Type": CONTENT_TYPE,
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
SIGNS = {"ok": "✓", "warn": "▲", "bad": "✗", "unknown": "?"}
LEVEL_OF = {"up": "ok", "down": "bad", "starting": "unknown", "unknown": "unknown"}


@dataclass(frozen=True)
class Verdict:
    """The pair in one word (ok, warn, bad, unknown), one sentence, and what is behind it."""

    level: str
    sentence: str
    reasons: tuple[str, ...] = ()


def _text(value: t.Any, limit: int = 300) -> str:
    """Any value as safe HTML text on one line."""
    shown = reading.printable(str(value)[:limit].encode("utf-8", "replace").decode()) if value is not None else ""
    return html.escape(shown, quote=True)


def _sign(level: str, words: str) -> str:
    """Coloured words with a sign before them. words is HTML."""
    return f'<span class="{level} sign"><span aria-hidden="true">{SIGNS[level]}</span> {words}</span>'


def verdict(status: t.Any, now: float, expected: Outlook | None = None) -> Verdict:
    """How the pair is, seen from this node."""
    expected = expected or outlook(status, now)
    other = reading.peer_of(status)
    peer = reading.text(status, "peer", "node") or "the peer"
    node = reading.text(status, "node") or "this node"
    alive = reading.truth(status, "peer", "alive")
    roles = (reading.role_of(status), reading.role_of(other) if alive is not False else "unknown")
    bad, warn = [], []
    if roles == ("primary", "primary"):
        bad.append("Both nodes say that they take writes.")
    elif roles == ("replica", "replica"):
        bad.append("No node takes writes.")
    for name, of in ((node, status), (peer, other if alive is not False else None)):
        severity = reading.number(of, "severity")
        down = [part for part, finding in reading.mapping(of, "findings").items() if reading.text(finding, "verdict") == "down"]
        if severity is not None and severity >= 2:
            bad.append(f"{name} cannot serve: {', '.join(down) or 'it does not say why'}.")
        elif down:
            warn.append(f"{name}: {', '.join(down)} down.")
        for disk in reading.mappings(of, "disks"):
            free, size = reading.number(disk, "free"), reading.number(disk, "size")
            if free is not None and size is not None and size > 0 and free / size < DISK_LOW:
                (bad if free / size < DISK_FULL else warn).append(f"{name}: {_bytes(free)} free on {reading.text(disk, 'path')}.")
        ends = reading.moment(of, "certificate_ends")
        if ends is not None and ends - now < SOON:
            left = (ends - now) / 86400
            words = f"ends in {left:.0f} days" if left > 0 else "has expired"
            (warn if left > 0 else bad).append(f"{name}: its certificate {words}: run playbooks/base.yml, then playbooks/database.yml.")
        for alarm in reading.texts(of, "agent", "alarms"):
            weight, words = described(alarm)
            (bad if weight == "critical" else warn).append(f"{name}: {words}.")
        if reading.truth(of, "fault"):
            warn.append(f"{name} must not hold the addresses.")
        if reading.role_of(of) == "replica" and reading.truth(of, "database", "replication", "running") is False:
            warn.append(f"Replication does not run on {name}.")
        if reading.role_of(of) == "primary" and reading.truth(of, "semi_sync", "active") is False:
            warn.append(f"Commits on {name} do not wait for a replica.")
        until = reading.moment(of, "agent", "paused_until")
        if until is not None and until > now:
            warn.append(f"{name} is in maintenance until {reading.clock(until)} UTC.")
        if reading.truth(of, "agent", "lease", "configured") and reading.truth(of, "agent", "lease", "reachable") is False:
            warn.append(f"{name} does not reach the witness.")
    if alive is False:
        warn.insert(0, f"{peer} is silent: there is one node left.")
    elif expected.ready is False:
        warn.append(expected.summary)
    reasons = tuple(bad + warn)
    if bad:
        return Verdict("bad", "The pair does not serve as it should.", reasons)
    if roles[0] == "unknown" or alive is None:
        return Verdict("unknown", "Not known how the pair is.", reasons)
    if warn:
        return Verdict("warn", "The pair serves, but something is amiss.", reasons)
    if roles[1] == "unknown":
        return Verdict("unknown", f"{node} is well; {peer} has not said how it is.", reasons)
    return Verdict("ok", "All is well: both nodes are there, one takes writes, the other follows.", reasons)


def _rows(pairs: t.Iterable[tuple[str, str]]) -> str:
    """A list of terms. Both are HTML; those with nothing to say are left out."""
    return "<dl>" + "".join(f"<dt>{term}</dt><dd>{words}</dd>" for term, words in pairs if words) + "</dl>"


def _yes(value: bool | None, yes: str, no: str, no_level: str) -> str:
    return "" if value is None else _sign("ok", yes) if value else _sign(no_level, no)


def _replication(status: t.Any) -> str:
    replication = reading.mapping(status, "database", "replication")
    if not replication:
        return ""
    source = _text(reading.text(replication, "source"))
    if reading.truth(replication, "running") is not True:
        error = _text(reading.text(replication, "error")) or "no error is given"
        return _sign("bad", f"does not run: {error}")
    lag = reading.lag_of(status)
    words = f"{_text(reading.span(lag))} behind {source}" if lag is not None else f"running from {source}, lag not known"
    return _sign("ok" if lag is not None and lag < 10 else "warn", words)


def _role(status: t.Any) -> str:
    role = reading.role_of(status)
    sign = {"primary": "●", "replica": "○", "unknown": "?"}[role]
    level = {"primary": "ok", "replica": "follows", "unknown": "unknown"}[role]
    return f'<span class="role {level}"><span aria-hidden="true">{sign}</span> {role.upper()}</span>'


def _agent(status: t.Any, now: float) -> list[tuple[str, str]]:
    agent = reading.mapping(status, "agent")
    if not agent:
        return []
    since, until = reading.moment(agent, "since"), reading.moment(agent, "paused_until")
    state = _text(reading.text(agent, "state")) or "not known"
    if since is not None:
        state += f' <span class="dim">for {_text(reading.span(now - since))}</span>' if since <= now else ""
    epoch = reading.text(agent, "epoch")
    state += f'<span class="dim">, epoch {_text(epoch)}</span>' if epoch else ""
    lease = reading.mapping(agent, "lease")
    holder = ""
    if reading.truth(lease, "configured") is False:
        holder = _sign("unknown", "no witness configured")
    elif lease:
        left = reading.number(lease, "left")
        words = f"held by {_text(reading.text(lease, 'holder')) or 'nobody'}" + (f", {_text(reading.span(left))} left" if left is not None else "")
        reachable = reading.truth(lease, "reachable")
        holder = _sign("ok", words) if reachable else _sign("warn", words + "; the witness does not answer")
    operation = reading.operation_of(status)
    return [
        ("Agent", state),
        ("Why", _text(reading.text(agent, "reason"))),
        ("Lease", holder),
        ("Maintenance", _sign("warn", f"until {_text(reading.clock(until))} UTC") if until is not None and until > now else ""),
        ("Running", _sign("warn", _text(operation)) if operation else ""),
    ]


def _atlas(status: t.Any) -> list[tuple[str, str]]:
    """What Atlas says of each backend, and whether it answers beside Atlas. Nothing where there is none."""
    atlas = reading.mapping(status, "atlas")
    if not atlas:
        return []
    word = reading.text(atlas, "state") or "unknown"
    level = {"up": "ok", "unknown": "unknown"}.get(word, "bad")
    reason = reading.text(atlas, "reason")
    rows = [("Atlas", _sign(level, _text(word)) + (f' <span class="dim small">{_text(reason)}</span>' if reason else ""))]
    for backend in reading.mappings(atlas, "backends")[:PARTS]:
        said, answers = reading.text(backend, "state") or "not known", reading.truth(backend, "answers")
        good = said == "up" and answers is not False
        words = _sign("ok" if good else "warn", _text(said))
        if answers is False:
            words += f' <span class="dim small">does not answer: {_text(reading.text(backend, "reason"))}</span>'
        if reading.truth(backend, "taken_offline"):
            words += ' <span class="dim small">taken offline by the agent</span>'
        kind = {"rw": "writes to", "ro": "reads from"}.get(reading.text(backend, "type"), "")
        rows.append((f'<span class="small">{kind} {_text(reading.text(backend, "address"))}</span>', words))
    if reading.truth(atlas, "admin") is False:
        rows.append(('<span class="small">admin port</span>', _sign("warn", _text(reading.text(atlas, "admin_reason")))))
    return rows


def _addresses(status: t.Any) -> str:
    where: dict[str, list[str]] = {}
    for name, value in list(reading.mapping(status, "addresses").items())[:PARTS]:
        here = reading.truth(value)
        where.setdefault("held here" if here else "not known" if here is None else "not here", []).append(_text(name))
    return "; ".join(f"{words}: {', '.join(names)}" for words, names in where.items())


def _networks(status: t.Any) -> str:
    words = []
    for name, network in list(reading.mapping(status, "networks").items())[:PARTS]:
        heard = reading.truth(network, "peer_heard")
        words.append(_sign("unknown", f"{_text(name)}: not known") if heard is None else _yes(heard, _text(name), f"{_text(name)}: silent", "bad"))
    return " ".join(words)


def _findings(status: t.Any) -> list[tuple[str, str]]:
    """Parts that are up in one row; one row with the reason for each other."""
    up, rows = [], []
    for name, finding in list(reading.mapping(status, "findings").items())[:PARTS]:
        said = reading.text(finding, "verdict")
        said = said if said in LEVEL_OF else "unknown"
        if said == "up":
            up.append(_sign("ok", _text(name)))
        else:
            rows.append((_text(name), f'{_sign(LEVEL_OF[said], said)} <span class="dim small">{_text(reading.text(finding, "reason"))}</span>'))
    return [("Parts up", " ".join(up)), *rows]


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def _disks(status: t.Any) -> list[tuple[str, str]]:
    rows = []
    for disk in reading.mappings(status, "disks")[:PARTS]:
        free, size = reading.number(disk, "free"), reading.number(disk, "size")
        if free is None or free < 0:
            words = _sign("unknown", "not known")
        elif not size or size < 0:
            words = f"{_bytes(free)} free"
        else:
            share = min(1.0, free / size)
            level = "bad" if share < DISK_FULL else "warn" if share < DISK_LOW else "ok"
            used = f'<meter min="0" max="100" high="90" value="{100 - 100 * share:.0f}">{100 - 100 * share:.0f} % used</meter>'
            words = f"{used} {_sign(level, f'{_bytes(free)} free ({100 * share:.0f} %)')}"
        rows.append((_text(reading.text(disk, "path")), words))
    return rows


def _card(status: t.Any, name: str, whose: str, now: float, old: bool = False) -> str:
    semi = reading.mapping(status, "semi_sync")
    clients = reading.number(semi, "clients")
    words = "commits wait for the replica" + (f" ({clients:.0f} connected)" if clients is not None else "")
    primary = reading.role_of(status) == "primary"
    database = f"{_text(reading.text(status, 'database', 'version'))}"
    said = reading.text(status, "database", "look")
    if said != "ok":
        database += " " + _sign("bad" if said == "broken" else "unknown", _text(reading.text(status, "database", "text")) or "not known")
    uptime = reading.number(status, "uptime")
    rows = [
        ("Addresses", _addresses(status)),
        ("Database", database),
        ("Replication", _replication(status)),
        ("Semi-sync", _yes(reading.truth(semi, "active"), words, "off: commits do not wait", "warn") if primary else ""),
        ("Hears peer", _networks(status)),
        ("Keepalived", _yes(not reading.truth(status, "fault"), "may hold the addresses", "must not hold the addresses", "bad") if "fault" in status else ""),
        *_findings(status),
        *_atlas(status),
        *_disks(status),
        *_agent(status, now),
        ("Up for", _text(reading.span(uptime)) if uptime is not None else ""),
    ]
    return (
        f'<section class="{"old" if old else "now"}"><div class="title"><h2>{_text(name)} <span class="dim small">{whose}</span></h2>{_role(status)}</div>'
        f"{_rows(rows)}</section>"
    )


def _peer_card(status: t.Any, now: float) -> str:
    name = reading.text(status, "peer", "node") or "the peer"
    alive, age = reading.truth(status, "peer", "alive"), reading.number(status, "peer", "age")
    when = f"as it said {_text(reading.span(age))} ago" if age is not None else "as it last said"
    other = reading.peer_of(status)
    if other:
        # Who is silent now is not what it was: the card says how old it is, and is dashed.
        return _card(other, name, when if alive else f"{when}: it is silent now", now, old=not alive)
    words = _sign("bad", "silent" + (f" for {_text(reading.span(age))}" if age is not None else "")) if alive is False else ""
    words = words or (_sign("ok", "alive") if alive else _sign("unknown", "not known whether it lives"))
    down = reading.dig(status, "peer", "down")
    rows = [("Peer", words), ("Down", ", ".join(_text(part) for part in down[:PARTS]) if isinstance(down, list) else "")]
    return (
        f'<section class="old"><div class="title"><h2>{_text(name)}</h2>{_role(None)}</div>{_rows(rows)}'
        '<p class="dim small">It has said nothing about itself that could be shown here.</p></section>'
    )


def _outlook(expected: Outlook, status: t.Any) -> str:
    level = "ok" if expected.ready else "unknown" if expected.ready is None else "warn"
    items = "".join(f"<li>{_text(line)}</li>" for line in expected.against[:PARTS])
    policy = ", ".join(f"{_text(key)}: {_text(item)}" for key, item in reading.mapping(status, "agent", "policy").items())
    shown = f' <span class="dim">({policy})</span>' if policy else ""
    against = f"<ul>{items}</ul>" if items else ""
    if expected.awaits and expected.ready is not False:
        against += f'<p class="dim small">First it needs proof of the death: {_text("; ".join(expected.awaits), 600)}.</p>'
    return f"<section><h2>If the primary died now</h2><p>{_sign(level, _text(expected.summary))}{shown}</p>{against}</section>"


def _scale(highest: float) -> float:
    """A round number of seconds that is not less."""
    for power in range(12):
        for step in (1.0, 2.0, 5.0):
            if highest <= step * 10.0**power:
                return step * 10.0**power
    return highest


def _columns(samples: t.Iterable[t.Any], now: float) -> tuple[list[float | None], list[float | None]]:
    """The worst lag of each column of the last day, this node's and its peer's. There are thousands of samples."""
    mine: list[float | None] = [None] * COLUMNS
    peers: list[float | None] = [None] * COLUMNS
    begin, per_second = now - DAY, COLUMNS / DAY
    for point in samples:
        if not isinstance(point, (tuple, list)) or len(point) != 4:
            continue
        unix, _role, lag, peer_lag = point
        if type(unix) not in NUMBERS or not begin <= unix <= now:
            continue
        column = min(COLUMNS - 1, int((unix - begin) * per_second))
        if lag is not None:
            _worst(mine, column, lag)
        if peer_lag is not None:
            _worst(peers, column, peer_lag)
    return mine, peers


def _worst(columns: list[float | None], column: int, lag: t.Any) -> None:
    if type(lag) in NUMBERS and 0 <= lag <= HIGHEST:
        before = columns[column]
        if before is None or lag > before:
            columns[column] = lag


def _path(columns: t.Sequence[float | None], top: float) -> str:
    """The line; where nothing is known there is none."""
    parts: list[str] = []
    drawing = False
    for x, lag in enumerate(columns):
        if lag is not None:
            y = f"{100 - min(lag, top) / top * 98:.1f}".removesuffix(".0")
            parts.append(f"L{x} {y}" if drawing else f"M{x} {y}h1")
        drawing = lag is not None
    return "".join(parts)


def _graph(status: t.Any, history: t.Sequence[t.Mapping[str, t.Any]], samples: t.Iterable[t.Sequence[t.Any]], now: float) -> str:
    mine, peers = _columns(samples, now)
    highest = max((lag for lag in (*mine, *peers) if lag is not None), default=None)
    if highest is None:
        none = "No sample yet: there is one every 10 seconds while a replica follows."
        return f'<section><h2>Replication lag, last 24 hours</h2><p class="dim">{none}</p></section>'
    top = _scale(highest)
    marks = ""
    changed = 0
    for made in history:
        unix = reading.moment(made, "unix")
        if reading.text(made, "to") == "primary" and unix is not None and 0 <= (x := (unix - now + DAY) / DAY * COLUMNS) <= COLUMNS and changed < PARTS:
            changed += 1
            marks += f'<path class="mark" d="M{x:.1f} 0V100"/>'
    node, peer = _text(reading.text(status, "node")) or "this node", _text(reading.text(status, "peer", "node")) or "the peer"
    now_lag = [reading.lag_of(status), reading.lag_of(reading.dig(status, "peer", "status"))]
    keys = [
        f'<span><svg viewBox="0 0 28 10" aria-hidden="true"><path class="{style}" d="M0 5H28"/></svg>{name} {_text(words)}</span>'
        for style, name, lag, known in (("one", node, now_lag[0], mine), ("two-line", peer, now_lag[1], peers))
        if any(value is not None for value in known)
        for words in [f"(now {reading.span(lag)})" if lag is not None else "(now: follows nobody)"]
    ]
    if changed:
        keys.append('<span><svg viewBox="0 0 28 10" aria-hidden="true"><path class="mark" d="M14 0V10"/></svg>the primary changed</span>')
    about = f"Replication lag of the last 24 hours; the highest is {reading.span(highest)}"
    return (
        f'<section><h2>Replication lag, last 24 hours</h2><div class="graph"><div class="y"><span>{_text(reading.span(top))}</span>'
        f"<span>{_text(reading.span(top / 2))}</span><span>0</span></div>"
        f'<svg viewBox="0 0 {COLUMNS} 100" preserveAspectRatio="none" role="img" aria-label="{_text(about)}">'
        f'<path class="grid" d="M0 51H{COLUMNS}M0 2H{COLUMNS}"/>{marks}'
        f'<path class="one" d="{_path(mine, top)}"/><path class="two-line" d="{_path(peers, top)}"/></svg>'
        '<div class="x"><span>24 h ago</span><span>18 h</span><span>12 h</span><span>6 h</span><span>now</span></div></div>'
        f'<div class="key">{"".join(keys)}</div><p class="dim small">{_text(about)}. Where there is no line, no lag is known.</p></section>'
    )


def _table(history: t.Sequence[t.Mapping[str, t.Any]], now: float) -> str:
    rows = []
    for made in list(history)[-SHOWN:][::-1]:
        unix = reading.moment(made, "unix")
        before, after = _text(reading.text(made, "from")), _text(reading.text(made, "to"))
        rule = _text(reading.text(made, "rule"))
        what = f'{before or "?"} <span aria-label="to">→</span> <strong>{after or "?"}</strong>' if before or after else _text(reading.text(made, "kind"))
        what += f' <span class="dim">({rule})</span>' if rule else ""
        details = "; ".join(f"{_text(key)}: {_text(item)}" for key, item in list(reading.mapping(made, "details").items())[:PARTS])
        seen = f'<div class="dim small">{details}</div>' if details else ""
        rows.append(
            f'<tr><td class="when"><span title="{_text(ago(unix, now))}">{_text(reading.clock(unix))}</span></td>'
            f'<td class="who">{_text(reading.text(made, "node"))}</td><td>{what}</td><td>{_text(reading.text(made, "reason"), 600)}{seen}</td></tr>'
        )
    if not rows:
        return '<section><h2>History</h2><p class="dim">Nothing has happened yet.</p></section>'
    head = "<thead><tr><th>Time (UTC)</th><th>Node</th><th>What</th><th>Why</th></tr></thead>"
    return f"<section><h2>History, newest first</h2><table>{head}<tbody>{''.join(rows)}</tbody></table></section>"


def render(
    status: t.Any,
    history: t.Iterable[t.Mapping[str, t.Any]] = (),
    samples: t.Iterable[t.Sequence[t.Any]] = (),
    now: float | None = None,
) -> str:
    """The whole document; serve it with HEADERS. history: newest last, best of both nodes (history.merged)."""
    now = time.time() if now is None else now
    entries = [made for made in history if isinstance(made, t.Mapping)]
    expected = outlook(status, now)
    found = verdict(status, now, expected)
    node, peer = reading.text(status, "node") or "this node", reading.text(status, "peer", "node") or "the peer"
    reasons = "".join(f"<li>{_text(reason)}</li>" for reason in found.reasons[:PARTS])
    mine = reading.mapping(status)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH}"><meta name="robots" content="noindex"><meta name="color-scheme" content="light dark">'
        f"<title>{SIGNS[found.level]} {_text(node)} {reading.role_of(status)}</title><style>{STYLE}</style></head><body><main>"
        f'<header><h1>{_text(node)} and {_text(peer)}</h1><span class="dim small">{_text(reading.clock(now))} UTC, again every {REFRESH} s</span></header>'
        f'<section class="banner {found.level}" role="status"><strong>{_sign(found.level, _text(found.sentence))}</strong>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}</section>"
        f'<div class="two">{_card(mine, node, "this node", now)}{_peer_card(status, now)}</div>'
        f"{_outlook(expected, mine)}{_graph(status, entries, samples, now)}{_table(entries, now)}"
        '<p class="dim small">For machines: <a href="status.json">status.json</a>, <a href="metrics">metrics</a>. '
        "In words, on a node: <code>tandem why</code>.</p></main></body></html>\n"
    )
