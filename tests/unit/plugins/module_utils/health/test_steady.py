# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A blip is not a fault; slow is not dead; a pause of our own is nothing at all."""

from __future__ import annotations

from ansible_collections.tandem.lemp.plugins.module_utils.health.model import Raw, Verdict
from ansible_collections.tandem.lemp.plugins.module_utils.health.steady import NetworkWatch, Steady, public_strikes

DATABASE = {"down_after": 2.0, "silent_after": 10.0}


def looks(steady: Steady, *observations: tuple[Raw, float]) -> list[str]:
    return [steady.observe(raw, raw.value, now).verdict.value for raw, now in observations]


def test_a_restart_of_the_database_is_not_its_death() -> None:
    steady = Steady(**DATABASE)
    assert looks(steady, (Raw.OK, 0), (Raw.BROKEN, 0.3), (Raw.BROKEN, 2.2), (Raw.OK, 2.5)) == [
        "up",
        "unknown",
        "unknown",
        "up",
    ]


def test_two_seconds_of_refusal_are_death_and_two_answers_are_life() -> None:
    steady = Steady(**DATABASE)
    seen = looks(steady, (Raw.OK, 0), (Raw.BROKEN, 1), (Raw.BROKEN, 3), (Raw.OK, 4), (Raw.OK, 4.3))
    assert seen == ["up", "unknown", "down", "down", "up"]


def test_one_late_look_after_a_pause_of_our_own_proves_nothing() -> None:
    steady = Steady(**DATABASE)
    assert looks(steady, (Raw.OK, 0), (Raw.BROKEN, 60)) == ["up", "unknown"]


def test_slow_is_not_dead_for_ten_seconds() -> None:
    steady = Steady(**DATABASE)
    assert looks(steady, (Raw.OK, 0), (Raw.SILENT, 1), (Raw.SILENT, 10.9), (Raw.SILENT, 11)) == [
        "up",
        "unknown",
        "unknown",
        "down",
    ]


def test_silence_alone_never_kills_php() -> None:
    steady = Steady(2.0, None)
    assert looks(steady, (Raw.OK, 0), (Raw.SILENT, 1), (Raw.SILENT, 1000)) == ["up", "unknown", "unknown"]


def test_too_many_connections_is_alive_for_ever() -> None:
    steady = Steady(**DATABASE)
    assert looks(steady, (Raw.OK, 0), (Raw.BUSY, 1), (Raw.BUSY, 1000)) == ["up", "unknown", "unknown"]
    assert looks(steady, (Raw.BROKEN, 1001), (Raw.BUSY, 1004), (Raw.BROKEN, 1005)) == ["unknown", "unknown", "unknown"]


def test_a_part_that_was_never_there_is_down() -> None:
    steady = Steady(**DATABASE)
    assert looks(steady, (Raw.BROKEN, 0), (Raw.BROKEN, 2)) == ["starting", "down"]


def test_a_witnessed_death_needs_no_patience() -> None:
    steady = Steady(0.5, 3.0)
    steady.observe(Raw.OK, "", 0)
    assert steady.break_now("ended", 0.01).verdict is Verdict.DOWN
    assert looks(steady, (Raw.OK, 0.1), (Raw.OK, 0.2)) == ["down", "up"]


def network(reference: str | None = "192.0.2.1", trusted: bool = False) -> NetworkWatch:
    return NetworkWatch(reference, trusted, strikes=3, patience=13, peer_ticks=3)


def ticks(
    watch: NetworkWatch, count: int, answer: bool = False, peer: bool = False, carrier: bool | None = True
) -> list[str]:
    seen = []
    for _turn in range(count):
        seen.append(watch.tick(carrier).verdict.value)
        if answer:
            watch.answered()
        if peer:
            watch.heard_peer()
    return seen


def test_silent_cut_is_seen_after_three_missed_pings() -> None:
    watch = network()
    ticks(watch, 5, answer=True, peer=True)
    assert ticks(watch, 5) == ["up", "up", "up", "down", "down"]
    assert watch.finding.evidence == "reference"


def test_a_reference_that_is_busy_while_the_peer_is_heard_gets_more_time() -> None:
    watch = network()
    ticks(watch, 5, answer=True, peer=True)
    assert ticks(watch, 14, peer=True) == ["up"] * 13 + ["down"]


def test_a_reference_that_never_answered_is_ignored() -> None:
    watch = network()
    assert ticks(watch, 20, peer=True)[1:] == ["up"] * 19
    assert ticks(watch, 20)[-1] == "unknown"
    assert public_strikes({"inside": watch}) == {}


def test_a_reference_trusted_before_a_restart_still_counts() -> None:
    assert ticks(network(trusted=True), 4)[-1] == "down"


def test_without_a_reference_a_silent_cut_is_nobodys_fault() -> None:
    watch = network(reference=None)
    assert ticks(watch, 3) == ["starting"] * 3
    assert "down" not in ticks(watch, 50)


def test_no_carrier_is_down_at_once() -> None:
    watch = network()
    ticks(watch, 5, answer=True)
    assert ticks(watch, 1, carrier=False) == ["down"]
    assert ticks(watch, 1, carrier=None) == ["down"]


def test_a_healed_network_must_answer_three_times() -> None:
    watch = network()
    ticks(watch, 5, answer=True)
    ticks(watch, 5)
    assert ticks(watch, 5, answer=True) == ["down", "down", "down", "up", "up"]


def test_one_lost_ping_in_three_is_not_a_cut() -> None:
    watch = network()
    ticks(watch, 5, answer=True)
    for _turn in range(50):
        assert set(ticks(watch, 2) + ticks(watch, 1, answer=True)) == {"up"}


def test_a_ping_may_be_left_out_only_while_all_is_quiet() -> None:
    watch = network(trusted=True)
    assert not watch.quiet  # the peer was never heard
    watch.heard_peer()
    assert watch.quiet
    watch.tick(True)
    assert not watch.quiet  # on its way
    watch.answered()
    watch.heard_peer()
    for _turn in range(2):
        assert watch.quiet
        assert watch.tick(True, asks=False).verdict is Verdict.UP
        assert public_strikes({"outside": watch}) == {"outside": 0}
    assert not watch.quiet  # a beat is missing
    for _turn in range(4):
        finding = watch.tick(True)
    assert finding.verdict is Verdict.DOWN


def test_strikes_are_told_to_the_peer() -> None:
    watch = network()
    ticks(watch, 5, answer=True)
    ticks(watch, 3)
    assert public_strikes({"outside": watch}) == {"outside": 2}
