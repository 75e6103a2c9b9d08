# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page is true, whole and harmless, whatever it is made of."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import page

from . import seen_data as data

VOID = {"meta", "br", "hr", "img", "link", "input"}
TEXT = "strong p ul li dl dt dd table thead tbody tr th td a code"
ALLOWED = set(f"html head meta title style body main header h1 h2 section div span meter svg path {TEXT}".split())
SHAPE = "class role viewbox preserveaspectratio d min max high value"
ATTRIBUTES = set(f"lang charset name content http-equiv aria-hidden aria-label title href {SHAPE}".split())


class Reader(HTMLParser):
    """Fails on everything that the page may not hold; collects its words."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.words: list[str] = []
        self.style = ""
        self.links: list[str] = []
        self.paths: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            assert name != "class" or re.fullmatch(r"[a-z -]+", value), value
            if name == "href":
                self.links.append(value)
            if name == "d":
                self.paths.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag == "path"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment


def read(document):
    reader = Reader()
    reader.feed(document)
    reader.close()
    assert reader.open == []
    return reader


def words(status, history=(), samples=()):
    return re.sub(r"\s+", " ", " ".join(read(page.render(status, history, samples, data.NOW)).words))


def test_both_nodes_the_history_and_the_graph() -> None:
    text = words(data.pair(), data.events(), data.samples())
    assert "✓ All is well" in text
    for part in ("node-b this node ● PRIMARY", "as it said 200 ms ago ○ REPLICA", "held here: outside, inside", "not here: outside, inside"):
        assert part in text
    assert "node-a would take over by itself: all 4 conditions are met. (failover: automatic, failback: never)" in text
    assert "suspecting → opening (peer_dead)" in text
    assert "lease: expired 0.2 s ago; canary: no route to host" in text
    assert text.index("rejoining → replica") < text.index("opening → primary")
    assert "the highest is 15 s" in text
    assert "33 GB free (63 %)" in text


def test_atlas_and_what_is_behind_it() -> None:
    status = data.pair()
    assert "writes to 127.0.0.1:6446" in words(status)
    status["atlas"].update(state="frozen", reason="login: no greeting <b>", admin=False, admin_reason="Nobody answers.")
    status["atlas"]["backends"][1].update(state="offline", answers=False, reason="no greeting", taken_offline=True)
    shown = words(status)
    assert "login: no greeting <b>" in shown
    assert "does not answer: no greeting" in shown and "taken offline by the agent" in shown
    assert "Nobody answers." in shown
    del status["atlas"], status["peer"]["status"]["atlas"]
    assert "6446" not in words(status)


def test_it_reloads_itself_fits_a_phone_and_loads_nothing() -> None:
    document = page.render(data.pair(), data.events(), data.samples(), data.NOW)
    assert '<meta http-equiv="refresh" content="5">' in document
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in document
    assert "prefers-color-scheme:dark" in document
    reader = read(document)
    assert reader.links == ["status.json", "metrics"]  # relative: it may be published below a path
    assert not re.search(r"url\(|@import|https?:", reader.style)
    assert len(document) < 40_000


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    reader = read(page.render(data.pair()))
    digest = base64.b64encode(hashlib.sha256(reader.style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.CSP
    assert page.CSP.startswith("default-src 'none';")
    assert "unsafe" not in page.CSP
    assert page.HEADERS["Content-Security-Policy"] == page.CSP


def test_colour_is_never_the_only_sign() -> None:
    for status in (data.pair(), data.replica(), data.alone()):
        document = page.render(status, data.events(), data.samples(), data.NOW)
        coloured = re.findall(r'class="(?:role )?(ok|warn|bad|unknown|follows)(?: sign)?">(.{40})', document)
        assert len(coloured) > 5
        for level, after in coloured:
            sign = re.match(r'<span aria-hidden="true">(.)</span> .', after)
            assert sign, after
            assert sign[1] == page.SIGNS.get(level) or sign[1] in "●○?"
    assert len(set(page.SIGNS.values())) == len(page.SIGNS)


def hostile():
    """Every text of a status is hostile."""

    def spoil(value):
        if isinstance(value, dict):
            return {f"{key}{data.HOSTILE}" if key in ("outside", "web", "failover") else key: spoil(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spoil(item) for item in value]
        return data.HOSTILE if isinstance(value, str) else value

    return [spoil(status) for status in (data.pair(), data.replica(), data.alone())]


def test_hostile_texts_are_only_texts() -> None:
    events = [{**made, "reason": data.HOSTILE, "node": data.HOSTILE, "to": data.HOSTILE, "details": {data.HOSTILE: data.HOSTILE}} for made in data.events()]
    for status in hostile():
        document = page.render(status, events, data.samples(), data.NOW)
        read(document)
        assert "<script" not in document
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", document)
        assert "<script>alert('x')</script>" in words(status, events)  # shown, not lost
    status = data.pair()
    status["node"] = "\ud800</title>"
    page.render(status).encode()


def test_nothing_crashes_it() -> None:
    for status in [*data.STRANGE, *data.without(data.pair()), *data.without(data.alone())]:
        page.render(status, [], [], data.NOW).encode()
    for made in [*data.without(data.events()[4]), {}, None, "text"]:
        read(page.render({}, [made], [], data.NOW))
    for point in [(), None, (1,), ("a", "b", "c", "d"), (data.NOW, "x", float("nan"), -5), (1e300, "x", 1.0, 1e300), (data.NOW - 5, "x", 1e300, 1e-300)]:
        read(page.render(data.pair(), [], [point], data.NOW))


@pytest.mark.parametrize(
    ("change", "level", "reason"),
    [
        (lambda s: None, "ok", ""),
        (lambda s: s["peer"]["status"]["database"].update(role="primary"), "bad", "Both nodes say that they take writes."),
        (lambda s: s["database"].update(role="replica"), "bad", "No node takes writes."),
        (lambda s: s["database"].update(role=None), "unknown", ""),
        (lambda s: s.update(severity=2, findings={"web": {"verdict": "down"}}), "bad", "node-b cannot serve: web."),
        (lambda s: s["peer"]["status"]["findings"]["php"].update(verdict="down"), "warn", "node-a: php down."),
        (lambda s: s["peer"]["status"]["database"]["replication"].update(running=False), "warn", "Replication does not run on node-a."),
        (lambda s: s["semi_sync"].update(active=False), "warn", "Commits on node-b do not wait for a replica."),
        (lambda s: s["agent"].update(paused_until=data.NOW + 60), "warn", "node-b is in maintenance until 2026-11-17 19:11:42 UTC."),
        (lambda s: s["agent"]["lease"].update(reachable=False), "warn", "node-b does not reach the witness."),
        (lambda s: s["agent"].update(alarms=["alone"]), "warn", "node-b: the primary goes on without a replica"),
        (lambda s: s["peer"]["status"]["agent"].update(alarms=["diverged"]), "bad", "node-a: the database has transactions that"),
        (lambda s: s.update(fault=True), "warn", "node-b must not hold the addresses."),
        (lambda s: s["disks"][0].update(free=4e9), "warn", "node-b: 4.0 GB free on /var/lib/mysql."),
        (lambda s: s["disks"][0].update(free=0), "bad", "node-b: 0 B free on /var/lib/mysql."),
        (lambda s: s.update(certificate_ends=data.NOW + 15 * 86400), "ok", ""),
        (lambda s: s.update(certificate_ends=data.NOW + 12 * 86400), "warn", "node-b: its certificate ends in 12 days: run playbooks/base.yml"),
        (lambda s: s["peer"]["status"].update(certificate_ends=data.NOW - 5), "bad", "node-a: its certificate has expired"),
        (lambda s: s["peer"].update(status=None, agent=None), "unknown", ""),
        (lambda s: s["peer"].update(alive=None), "unknown", ""),
        (lambda s: s["peer"]["status"]["agent"].update(blockers=data.blockers(("x", 1, 2, False))), "warn", "node-a would not take over by itself."),
    ],
)
def test_the_verdict(change, level, reason) -> None:
    status = data.pair()
    change(status)
    found = page.verdict(status, data.NOW)
    assert found.level == level
    assert reason in " ".join(found.reasons)
    assert not (level == "ok" and found.reasons)
    assert f"<title>{page.SIGNS[level]} node-b" in page.render(status, now=data.NOW)


def test_what_a_silent_peer_said_is_marked_as_old_and_not_judged() -> None:
    status = data.pair()
    status["peer"].update(alive=False, age=61.0)
    status["peer"]["status"]["severity"] = 2
    status["peer"]["status"]["database"]["role"] = "primary"  # what a dead primary said last
    found = page.verdict(status, data.NOW)
    assert found.level == "warn"
    assert found.reasons[0] == "node-a is silent: there is one node left."
    assert "as it said 1 min ago: it is silent now" in words(status)
    assert '<section class="old">' in page.render(status, now=data.NOW)


def test_a_peer_of_which_only_heartbeats_are_known() -> None:
    status = data.pair()
    del status["peer"]["status"]
    status["peer"]["agent"] = {"state": "replica", "database": "closed", "able": True, "paused_until": 0.0, "term": {"epoch": 8}}
    assert page.verdict(status, data.NOW).level == "ok"
    assert "○ REPLICA" in words(status)
    status["peer"]["agent"]["database"] = "open"
    assert page.verdict(status, data.NOW).level == "bad"
    status["peer"]["agent"] = {"state": [3], "database": {}, "term": 4, "able": "x"}
    assert page.verdict(status, data.NOW).level == "unknown"


def test_the_graph_shows_the_worst_and_leaves_gaps() -> None:
    points = [(data.NOW - 43_200 + second, "replica", lag, None) for second, lag in ((0, 1.0), (10, 40.0), (20, 2.0))]
    points += [(data.NOW - 1, "replica", None, None), (data.NOW - 90_000, "replica", 900.0, None), (data.NOW + 3600, "replica", 900.0, None)]
    document = page.render(data.replica(), [], points, data.NOW)
    line = re.findall(r'class="one" d="([^"]*)"', document)[0]  # the second one is the key's
    assert line == "M180 21.6h1"  # 40 of 50 s, one column, nothing else
    assert "<span>50 s</span>" in document
    assert "No sample yet" in page.render(data.replica(), [], [], data.NOW)


def test_changes_of_the_primary_are_marked_in_the_graph() -> None:
    document = page.render(data.pair(), data.events(), data.samples(), data.NOW)
    assert len(re.findall(r'class="mark" d="M[0-9.]+ 0V100"', document)) == 2
