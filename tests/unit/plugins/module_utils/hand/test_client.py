# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An answer that comes too late is never taken for the answer to something else."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.acts import Acts
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed
from ansible_collections.tandem.lemp.plugins.module_utils.hand.client import HandClient, HandLost, SocketLine, both
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import PROTOCOL
from ansible_collections.tandem.lemp.plugins.module_utils.plan import HalfDone, Plan, Step

# Answers what it was asked; "slow" only when the next line comes, or the end of it all, which it writes down.
HAND = """
import json, pathlib, sys
ended = pathlib.Path(sys.argv[1])
def answer(what):
    try:
        print(json.dumps({"ok": True, "value": what}), flush=True)
    except OSError:
        pass
slow = False
for line in sys.stdin:
    what = json.loads(line)["do"]
    if slow:
        answer("slow")
    slow = what == "slow"
    if not slow:
        answer(what)
ended.write_text("the line has ended")
"""


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    return tmp_path / "ended"


@pytest.fixture
def hand(ended: Path) -> Iterator[HandClient]:
    client = HandClient("node-b", [sys.executable, "-c", HAND, str(ended)])
    yield client
    client.close()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_after_a_timeout_nothing_is_asked_any_more(hand: HandClient, ended: Path) -> None:
    assert hand.call("executed") == "executed"
    with pytest.raises(HandLost, match=r"The hand on node-b has not answered for 0.2 s"):
        hand.call("slow", 0.2)
    for ask in (lambda: hand.call("executed"), lambda: hand.send("executed"), hand.receive, hand.greet):
        with pytest.raises(HandLost, match=r"was lost before, as it has not answered for 0.2 s.*brings to an end by itself"):
            ask()
    # The hand sees the end of the line at once, and recovers its node.
    wait_for(ended)
    hand.close()


def test_a_hand_that_has_ended_is_lost_for_good() -> None:
    client = HandClient("node-b", [sys.executable, "-c", "raise SystemExit('no such key')"])
    with pytest.raises(HandLost, match=r"node-b (has ended|is gone): no such key"):
        client.call("executed")
    with pytest.raises(HandLost, match="was lost before"):
        client.call("executed")


def test_who_is_not_lost_is_asked_all_the_same(hand: HandClient, tmp_path: Path) -> None:
    """New connections are let through again on the node that can be told."""
    other = HandClient("node-a", [sys.executable, "-c", HAND, str(tmp_path / "other")])
    with pytest.raises(HandLost):
        hand.call("slow", 0.2)
    for pair in ((hand, other), (other, hand)):
        with pytest.raises(HandLost, match="node-b was lost before"):
            both(*pair, "let_through")
        assert other.call("executed") == "executed", "its answers are still in step"
    other.close()


def test_what_is_not_known_is_not_called_undone_nor_failed(hand: HandClient) -> None:
    plan = Plan([Step("close", "Close node-b", lambda: hand.call("slow", 0.2), lambda: hand.call("open"))], lambda: None, [])
    with pytest.raises(HalfDone) as told:
        plan.run()
    assert "has not answered for 0.2 s" in str(told.value)
    assert "Whether all was taken back is not known here. Close node-b: The hand on node-b was lost before" in str(told.value)
    assert "could not be taken back" not in str(told.value)
    assert plan.records[-1].state == "undo not known"


def test_what_failed_is_still_told_beside_what_is_not_known(hand: HandClient) -> None:
    def fails() -> None:
        raise OperationFailed("It is stuck.")

    steps = [Step("one", "One", lambda: None, fails), Step("two", "Two", lambda: hand.call("slow", 0.2), lambda: hand.call("open"))]
    with pytest.raises(HalfDone, match=r"could not be taken back completely either. One: It is stuck. Whether all was taken back is not known"):
        Plan(steps, lambda: None, []).run()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[str]:
    """Behind this socket each connection gets a hand of its own, as from systemd; the first one is silent after its greeting."""
    path = str(tmp_path / "s")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    count = iter(range(100))

    def serve(line: socket.socket, silent: bool) -> None:
        with line, line.makefile("rw", encoding="utf-8") as file:
            for number, request in enumerate(iter(file.readline, "")):
                if silent and number:
                    continue
                what = json.loads(request)["do"]
                file.write(json.dumps({"ok": True, "value": {"protocol": PROTOCOL} if what == "hello" else what}) + "\n")
                file.flush()

    def accept() -> None:
        while True:
            try:
                line, _address = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line, not next(count)), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield path
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    os.unlink(path)


def test_an_agent_opens_a_new_line_in_place_of_a_lost_one(listening: str) -> None:
    acts = Acts("node-a", "node-b", listening, listening)
    acts.warm(False)
    kept = acts._ready["node-a"]
    with pytest.raises(HandLost):
        kept.call("executed", 0.2)
    with acts._lent("node-a") as hand:
        assert hand is not kept and hand.call("executed") == "executed"
    assert acts._ready["node-a"] is hand
    acts.forget()


def test_a_lent_hand_that_was_lost_is_not_kept(listening: str) -> None:
    acts = Acts("node-a", "node-b", listening, listening)
    with pytest.raises(HandLost), acts._lent("node-a") as hand:
        assert isinstance(hand._line, SocketLine)
        hand.call("executed", 0.2)
    assert acts._ready == {}
    with acts._lent("node-a") as hand:
        assert hand.call("executed") == "executed"
    acts.forget()


def test_two_that_are_silent_take_no_longer_than_one(hand: HandClient, tmp_path: Path) -> None:
    other = HandClient("node-a", [sys.executable, "-c", HAND, str(tmp_path / "other")])
    began = time.monotonic()
    with pytest.raises(HandLost):
        both(hand, other, "slow", 1.0)
    assert time.monotonic() - began < 1.9
    other.close()


def test_who_answered_in_time_is_heard_although_the_other_one_was_silent(hand: HandClient, tmp_path: Path) -> None:
    quick = HandClient("node-a", [sys.executable, "-c", HAND.replace('"slow"', '"never"'), str(tmp_path / "quick")])
    quick.call("executed")  # it has started
    with pytest.raises(HandLost, match="node-b"):
        both(hand, quick, "slow", 0.3)
    assert quick.call("executed") == "executed", "its answer was read, and it is in step"
    quick.close()
