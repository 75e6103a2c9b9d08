# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Forged, replayed, reflected and garbled datagrams change nothing."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.health.heartbeat import MAC_SIZE, MAGIC, Beat, Conversation

KEY = b"a shared secret of the pair"


def pair() -> tuple[Conversation, Conversation]:
    return Conversation(KEY, "node-a", "node-b"), Conversation(KEY, "node-b", "node-a")


def greet(a: Conversation, b: Conversation) -> list[bytes]:
    """Exchange beats until both are trusted; everything that b was sent."""
    sent = []
    for _turn in range(3):
        sent.append(a.encode("inside", {"severity": 0}))
        b.decode(sent[-1], "inside")
        a.decode(b.encode("inside", {"severity": 0}), "inside")
    return sent


def test_the_third_beat_is_believed() -> None:
    a, b = pair()
    assert b.decode(a.encode("inside", {"n": 1}), "inside") == Beat(False, {})
    assert a.decode(b.encode("inside", {"n": 2}), "inside") == Beat(True, {"n": 2}, begun=True)
    assert b.decode(a.encode("inside", {"n": 3}), "inside") == Beat(True, {"n": 3}, begun=True)
    assert b.decode(a.encode("outside", {"n": 4}), "outside") == Beat(True, {"n": 4})


def test_a_peer_that_was_started_again_is_known_as_such() -> None:
    a, b = pair()
    greet(a, b)
    again = Conversation(KEY, "node-a", "node-b")
    begun = []
    for _turn in range(4):
        beat = b.decode(again.encode("inside", {}), "inside")
        begun.append(beat is not None and beat.begun)
        again.decode(b.encode("inside", {}), "inside")
    assert begun.count(True) == 1


def test_a_replayed_beat_is_refused() -> None:
    a, b = pair()
    greet(a, b)
    beat = a.encode("inside", {})
    assert b.decode(beat, "inside")
    assert b.decode(beat, "inside") is None
    assert b.rejected == {"replayed": 1}


def test_a_recorded_conversation_says_nothing_to_a_restarted_node() -> None:
    a, b = pair()
    recorded = greet(a, b)
    restarted = Conversation(KEY, "node-b", "node-a")
    assert not any(beat.fresh for beat in (restarted.decode(datagram, "inside") for datagram in recorded) if beat)


def test_a_recording_from_before_the_peers_restart_is_refused() -> None:
    a, b = pair()
    greet(a, b)
    withheld = [a.encode("inside", {"severity": 0, "lie": True}) for _turn in range(5)]
    restarted = Conversation(KEY, "node-a", "node-b")
    greet(restarted, b)
    assert all(b.decode(datagram, "inside") is None for datagram in withheld)
    assert b.decode(restarted.encode("inside", {"severity": 2}), "inside") == Beat(True, {"severity": 2})


def test_recordings_do_not_stop_the_real_peer_from_being_believed() -> None:
    old = [Conversation(KEY, "node-a", "node-b").encode("inside", {}) for _turn in range(3)]
    a, b = pair()
    for _turn in range(4):
        for datagram in old:
            b.decode(datagram, "inside")
        last = b.decode(a.encode("inside", {}), "inside")
        a.decode(b.encode("inside", {}), "inside")
    assert last is not None
    assert last.fresh


def test_a_reflected_beat_is_refused() -> None:
    a, b = pair()
    greet(a, b)
    assert a.decode(a.encode("inside", {}), "inside") is None
    assert a.rejected["wrong ends"] == 1


def test_a_beat_counts_on_its_own_network_only() -> None:
    a, b = pair()
    greet(a, b)
    assert b.decode(a.encode("inside", {}), "outside") is None


def test_another_secret_is_refused() -> None:
    a, b = pair()
    greet(a, b)
    forger = Conversation(b"not the secret of the pair", "node-a", "node-b", boot=a.boot)
    forger.decode(b.encode("inside", {}), "inside")
    assert b.decode(forger.encode("inside", {"severity": 2}), "inside") is None
    assert b.rejected == {"wrong key": 1}


def test_the_secret_is_not_in_a_beat() -> None:
    a, _b = pair()
    assert KEY not in a.encode("inside", {})


@given(st.binary(max_size=300))
def test_garbage_is_refused(garbage: bytes) -> None:
    _a, b = pair()
    assert b.decode(garbage, "inside") is None
    assert b.decode(MAGIC + garbage, "inside") is None


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_refused(position: int, change: int) -> None:
    a, b = pair()
    greet(a, b)
    beat = bytearray(a.encode("inside", {"severity": 0}))
    beat[position % len(beat)] ^= change
    assert b.decode(bytes(beat), "inside") is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    )
)
def test_an_authentic_message_of_another_shape_is_refused(value: object) -> None:
    a, b = pair()
    payload = json.dumps(value).encode()
    assert b.decode(MAGIC + a._mac(payload) + payload, "inside") is None
    assert len(a._mac(payload)) == MAC_SIZE
