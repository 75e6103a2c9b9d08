"""The agent does what the state machine says: once, in order, and not what could not be written down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import agent as module
from ansible_collections.tandem.lemp.plugins.module_utils.agent import orders
from ansible_collections.tandem.lemp.plugins.module_utils.agent.acts import Compared, Errant
from ansible_collections.tandem.lemp.plugins.module_utils.agent.agent import Agent
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import (
    Action,
    Database,
    Memory,
    Order,
    Said,
    State,
    Term,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy
from ansible_collections.tandem.lemp.plugins.module_utils.agent.seen import Seen
from ansible_collections.tandem.lemp.plugins.module_utils.agent.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.agent.words import spoken
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record, holds
from ansible_collections.tandem.lemp.plugins.module_utils.fence.restoring import hold, release
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.plan import HalfDone, Undone

POLICY = Policy(name="node-a", peer="node-b")
HEARD = {"outside": 0.1, "inside": 0.1}
REPLICA = Seen(database=Database.CLOSED, follows_peer=True, replicates=True, lag=0.0, heard=HEARD, knock=True, gateway=0.1)


ALL = GtidSet.parse("0-1-100", "mariadb")
SAME = Compared(True, False, ALL, ALL)


class Acts:
    """Writes down what is asked for."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.wait = threading.Event()
        self.wait.set()
        self.closes = threading.Event()  # while it is not set, a close hangs
        self.closes.set()
        self.error: Exception | None = None
        self.compared = SAME
        self.silent = 0.0

    def _do(self, what: str) -> str:
        self.wait.wait(10)
        self.done.append(what)
        if self.error is not None:
            raise self.error
        return what

    def close(self, seconds: float = 1.0) -> str:
        assert seconds == POLICY.close_within
        self.done.append("close")
        self.closes.wait(10)
        return "closed"

    def kill(self) -> str:
        self.done.append("kill")
        return "killed"

    def open(self, may_open: Callable[[], bool]) -> str:
        return self._do(f"open {may_open()}")

    def promote(self, peer_answers: bool, evidence: object, may_open: Callable[[], bool]) -> tuple[dict[str, object], list[str]]:
        return {}, [self._do(f"promote {peer_answers} {may_open()}")]

    def rejoin(self) -> str:
        return self._do("rejoin")

    def switch_to(self, name: str) -> tuple[dict[str, object], list[str]]:
        return {}, [self._do(f"switch to {name}")]

    def go_alone(self) -> str:
        return self._do("go alone")

    def rearm(self, give_up: bool) -> str:
        return self._do(f"rearm {give_up}")

    def compare(self) -> Compared:
        return self.compared

    def warm(self, _peer: bool) -> None:
        return

    def forget(self) -> None:
        return


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
def agent(tmp_path, acts, monkeypatch) -> Agent:
    monkeypatch.setattr(module.lock, "is_taken", lambda: False)
    store = Store(str(tmp_path))
    store.keep(Memory(term=Term(4, "node-b")))
    notes: list[tuple[str, dict[str, object]]] = []
    made = Agent(POLICY, acts, store, lambda kind, details: notes.append((kind, details)))  # type: ignore[arg-type]
    made.notes = notes  # type: ignore[attr-defined]
    return made


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def told(agent: Agent, said: Said) -> None:
    agent.peer_says(spoken(said, module.clock(), module.clock()))


PRIMARY = Said(state=State.PRIMARY, database=Database.OPEN, term=Term(4, "node-b"))


def test_a_late_beat_says_nothing_and_one_of_a_peer_that_was_started_again_does(agent: Agent) -> None:
    """A node that reboots soon after it was started: its clock begins again, a little below where it was."""
    gone = replace(PRIMARY, state=State.CLOSED)
    assert agent.peer_says(spoken(PRIMARY, 30.0, None))
    assert not agent.peer_says(spoken(gone, 12.0, None))
    agent.peer_restarted()
    assert agent.peer_says(spoken(gone, 12.0, None))


def test_the_first_words_of_a_daemon_that_was_started_again_may_echo_nothing(agent: Agent) -> None:
    """What its last life had heard counts on, as long as it would have."""
    agent.peer_says(spoken(PRIMARY, 30.0, 17.5))
    agent.peer_restarted()
    agent.peer_says(spoken(PRIMARY, 12.0, None))
    assert agent._peer is not None and agent._peer[0].echo == 17.5
    agent.peer_restarted()  # and once more, at once
    agent.peer_says(spoken(PRIMARY, 13.0, None))
    assert agent._peer[0].echo == 17.5
    agent.peer_says(spoken(PRIMARY, 13.1, 18.0))
    agent.peer_says(spoken(PRIMARY, 13.2, None))
    assert agent._peer[0].echo is None


def test_a_node_whose_hands_do_not_answer_is_not_able_and_says_so(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    for seconds, alarms in ((40.0, []), (400.0, ["hands_silent"])):
        # site.yml brings a daemon some minutes before its hand.
        acts.silent = seconds
        told(agent, PRIMARY)
        agent.step(REPLICA)
        assert not agent.says()["able"] and agent.status()["alarms"] == alarms
    acts.silent = 0.0
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert agent.says()["able"] and agent.status()["alarms"] == []


def test_nobody_works_on_a_node_whose_daemon_has_just_begun(agent) -> None:
    not_looked_yet = replace(REPLICA, looked=0.0, database=Database.UNKNOWN)
    assert agent.step(not_looked_yet).state is State.STARTING


def test_what_an_operation_of_a_person_has_left_is_seen_before_it_counts_as_over(agent, monkeypatch) -> None:
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    before = module.clock()
    assert agent.step(replace(REPLICA, looked=before)).state is State.OPERATION
    monkeypatch.setattr(module.lock, "is_taken", lambda: False)
    assert agent.step(replace(REPLICA, looked=before)).state is State.OPERATION
    assert agent.step(replace(REPLICA, looked=module.clock())).state is not State.OPERATION


def test_a_lock_that_cannot_be_read_is_complained_about_and_holds_nothing_up(agent, monkeypatch, caplog) -> None:
    def refused() -> bool:
        raise PermissionError(13, "Permission denied", "/run/tandem/operation.lock")

    monkeypatch.setattr(module.lock, "is_taken", refused)
    for _turn in range(3):
        assert agent.step(REPLICA).state is not State.OPERATION
    assert len([line for line in caplog.messages if "operation.lock" in line]) == 1


def test_nor_does_it_end_a_node_that_is_held(agent, monkeypatch) -> None:
    def refused() -> bool:
        raise PermissionError(13, "Permission denied", "/run/tandem/operation.lock")

    monkeypatch.setattr(module.lock, "is_taken", refused)
    monkeypatch.setattr(agent, "_held", lambda: True)
    agent.step(REPLICA)
    assert agent.step(REPLICA).state is State.OPERATION


def test_an_acknowledgement_of_the_other_node_is_kept_here(agent, tmp_path) -> None:
    agent.memory = replace(agent.memory, failover_at=1000.0)
    told(agent, replace(PRIMARY, acknowledged_at=900.0))  # of an earlier failover
    agent.step(REPLICA)
    assert Store(str(tmp_path)).said() == {}
    told(agent, replace(PRIMARY, acknowledged_at=1200.0))
    decision = agent.step(REPLICA)
    assert Store(str(tmp_path)).said()["acknowledged_at"] == 1200.0
    assert decision.said.acknowledged_at == 1200.0
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert Store(str(tmp_path)).said()["acknowledged_at"] == 1200.0
    assert [kind for kind, _details in agent.notes].count("acknowledged") == 1


def test_the_newer_word_about_a_pause_wins_and_is_kept_here(agent, tmp_path) -> None:
    """Whatever the clocks say: who resumes has heard of the pause."""
    be_replica(agent)
    ahead = time.time() + 30  # the clock of the other node
    told(agent, replace(PRIMARY, paused_at=ahead, paused_until=ahead + 600))
    decision = agent.step(REPLICA)
    assert decision.state is State.PAUSED
    assert agent.status()["paused_until"] == ahead + 600
    Store(str(tmp_path)).pause(0, time.time())  # tandem resume
    decision = agent.step(REPLICA)
    assert (decision.facts.paused, agent.status()["paused_until"]) == (False, None)
    assert decision.said.paused_at > ahead and decision.said.paused_until == 0
    assert [kind for kind, _details in agent.notes if kind in ("paused", "resumed")] == ["paused"]


def test_a_pause_outlives_the_node_where_it_was_said_and_ends_where_it_is_heard(agent, tmp_path) -> None:
    now = time.time()
    told(agent, replace(PRIMARY, paused_at=now, paused_until=now + 600))
    agent.step(REPLICA)
    assert Store(str(tmp_path)).said()["paused_until"] == now + 600
    told(agent, replace(PRIMARY, paused_at=now + 1, paused_until=0.0))
    assert not agent.step(REPLICA).facts.paused
    assert Store(str(tmp_path)).said()["paused_until"] == 0


def test_a_peer_of_an_earlier_version_does_not_say_when_it_was_paused(agent) -> None:
    agent._store.pause(0, time.time())
    told(agent, replace(PRIMARY, paused_until=time.time() + 600))
    assert agent.step(REPLICA).facts.paused


def test_a_replica_is_calm_until_something_happens(agent, monkeypatch) -> None:
    for _turn in range(20):
        told(agent, PRIMARY)
        agent.step(REPLICA)
    assert (agent.memory.state, agent.calm, agent.undisturbed) == (State.REPLICA, True, True)
    for seen in (replace(REPLICA, replicates=False), replace(REPLICA, database=Database.STALLED), replace(REPLICA, heard={"inside": 0.7})):
        agent.step(seen)
        assert not agent.calm, seen
        agent.step(REPLICA)
        agent.step(REPLICA)
        assert agent.calm
    told(agent, replace(PRIMARY, takeover=True))
    agent.step(REPLICA)
    assert not agent.calm
    agent._store.say(paused_until=1.0)
    assert not agent.undisturbed
    agent.step(REPLICA)
    assert agent.undisturbed
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    assert not agent.undisturbed


def full_disk(*_memory: Memory, **_words: object) -> None:
    raise OSError("no space")


def be_replica(agent: Agent) -> None:
    deadline = time.monotonic() + 10
    while agent.memory.state is not State.REPLICA:
        assert time.monotonic() < deadline, agent.memory
        told(agent, PRIMARY)
        agent.step(REPLICA)
        time.sleep(0.005)
    told(agent, PRIMARY)
    agent.step(REPLICA)
    # At its start it makes sure that its database is closed.
    wait(lambda: agent._closing is not None and agent._closing.done())
    agent._acts.done.clear()  # type: ignore[attr-defined]


def test_a_replica_of_a_primary_is_called_so(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    assert acts.done == []
    assert agent.status()["state"] == "replica"


def test_a_primary_whose_server_has_ended_is_followed_at_once(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    told(agent, replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4))
    agent.step(REPLICA)
    assert agent.memory.state is State.PROMOTING
    wait(lambda: bool(acts.done))
    assert acts.done == ["promote True True"]
    assert agent.memory.term == Term(5, "node-a", True)


def test_what_cannot_be_written_down_is_not_done(agent: Agent, acts: Acts, monkeypatch) -> None:
    be_replica(agent)
    monkeypatch.setattr(agent._store, "keep", full_disk)
    told(agent, replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4))
    agent.step(REPLICA)
    assert acts.done == []
    assert agent.memory.state is State.REPLICA


def test_an_open_server_that_nobody_has_opened_is_closed_even_with_a_full_disk(agent: Agent, acts: Acts, monkeypatch) -> None:
    be_replica(agent)
    monkeypatch.setattr(agent._store, "keep", full_disk)
    agent.step(replace(REPLICA, database=Database.OPEN))
    wait(lambda: "close" in acts.done)


def be_primary(agent: Agent) -> Seen:
    agent.memory = Memory(term=Term(5, "node-a"))
    mine = Seen(database=Database.OPEN, acknowledged=True, heard=HEARD, knock=True, gateway=0.1)
    for _turn in range(3):
        told(agent, Said(state=State.REPLICA, database=Database.CLOSED, term=Term(5, "node-a"), fenced=True, able=True, in_step=True))
        agent.step(mine)
    assert agent.memory.state is State.PRIMARY
    return mine


def test_a_primary_that_cannot_write_its_memory_says_that_its_database_is_gone(agent: Agent, acts: Acts, monkeypatch, caplog) -> None:
    mine = be_primary(agent)
    really = agent._store.keep
    monkeypatch.setattr(agent._store, "keep", full_disk)
    for _turn in range(5):
        decision = agent.step(replace(mine, database=Database.GONE, acknowledged=None))
    said = agent.says()
    assert (said["state"], said["database"], said["fenced"], said["able"]) == ("closed", "gone", True, False)
    assert (said["term"], said["ceded"], said["takeover"]) == ([5, "node-a", False, True], -1, False)
    assert decision.alarms == ("memory_not_kept",) and agent.status()["alarms"] == ["memory_not_kept"]
    assert agent._store.recall().term == Term(4, "node-b")
    assert len([record for record in caplog.records if "memory cannot be written" in record.message]) == 1
    monkeypatch.setattr(agent._store, "keep", really)
    now = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now + 1.5)
    agent.step(replace(mine, database=Database.GONE, acknowledged=None))
    assert agent.status()["alarms"] == []
    assert agent._store.recall().term == Term(5, "node-a")


def test_a_replica_that_cannot_write_its_memory_says_that_it_is_not_able(agent: Agent, acts: Acts, monkeypatch) -> None:
    be_replica(agent)
    assert agent.says()["able"]
    monkeypatch.setattr(agent._store, "keep", full_disk)
    told(agent, replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4))
    agent.step(REPLICA)
    assert (agent.says()["state"], agent.says()["able"], agent.says()["term"][0]) == ("replica", False, 4)
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert not agent.says()["able"], "nothing has shown yet that it could be written now"


def test_a_database_that_does_not_close_is_killed_even_with_a_full_disk(agent: Agent, acts: Acts, monkeypatch) -> None:
    mine = be_primary(agent)
    acts.closes.clear()
    monkeypatch.setattr(agent._store, "keep", full_disk)
    now = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now)
    for _turn in range(6):
        told(agent, replace(PRIMARY, term=Term(6, "node-b")))
        agent.step(mine)
        now += POLICY.tick
    wait(lambda: "kill" in acts.done)
    acts.closes.set()


def test_closing_waits_for_no_operation(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    acts.wait.clear()
    told(agent, replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4))
    agent.step(REPLICA)
    agent._do(Action.CLOSE_SELF, agent.decision)  # type: ignore[arg-type]
    wait(lambda: acts.done == ["close"])
    acts.wait.set()


def test_a_close_that_hangs_is_followed_by_a_kill_in_time(agent: Agent, acts: Acts, monkeypatch) -> None:
    """The kill waits for no close: the peer opens when close_within and kill_within are over."""
    be_replica(agent)
    acts.closes.clear()
    now = began = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now)
    open_here = replace(REPLICA, database=Database.OPEN)
    while Action.KILL_SELF not in agent.step(open_here).actions:
        now += POLICY.tick
        assert now - began <= POLICY.close_within + 2 * POLICY.tick
    wait(lambda: "kill" in acts.done)
    assert agent._closing is not None and not agent._closing.done()
    acts.closes.set()
    wait(agent._closing.done)


def test_only_the_last_word_on_semi_sync_counts(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    acts.wait.clear()
    agent._submit(Action.REJOIN, acts.rejoin)
    for action in (Action.GO_ALONE, Action.REARM, Action.GO_ALONE):
        agent._do(action, agent.decision)  # type: ignore[arg-type]
    acts.wait.set()
    wait(lambda: acts.done == ["rejoin"])
    wait(lambda: agent._job is not None and agent._job.done())
    agent._do_later()
    wait(lambda: acts.done == ["rejoin", "go alone"])


def test_a_primary_that_is_alone_says_so_to_its_server_until_that_has_heard(agent: Agent, acts: Acts, monkeypatch) -> None:
    """A daemon that was restarted beside the only writer. Its first hand is lost."""
    now = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now)
    alone = Seen(database=Database.OPEN, heard={"outside": None, "inside": None}, knock=False, gateway=0.1)
    agent.memory = Memory(term=Term(5, "node-a", True), sealed=True)
    acts.error = OperationFailed("The hand has ended.")
    for seconds in (2.5, 5.0):
        end = now + seconds
        while now < end:
            agent.step(alone)
            wait(lambda: agent._job is None or agent._job.done())
            now += POLICY.tick
        assert agent.memory.state is State.ALONE
        acts.error = None
    assert acts.done == ["go alone"] * 4  # three of them in vain


def test_a_lag_of_nothing_is_not_believed_of_a_replica_that_has_just_begun(agent: Agent, acts: Acts, monkeypatch) -> None:
    """It is told until the first event is applied, and hours may be missing."""
    now = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now)

    def go_on(seen: Seen, seconds: float, has: str, theirs: str) -> None:
        nonlocal now
        end = now + seconds
        acts.compared = Compared(False, False, GtidSet.parse(has, "mariadb"), GtidSet.parse(theirs, "mariadb"))
        while now < end:
            told(agent, PRIMARY)
            said = agent.step(seen).said
            assert said.in_step is (agent.memory.state is State.REPLICA)
            for job in (agent._job, agent._looking):
                wait(lambda job=job: job is None or job.done())
            now += POLICY.tick

    go_on(REPLICA, 4, "0-1-100", "0-1-5000")
    assert agent.memory.state is State.REJOINING
    # The primary goes on writing: what it had when this began is what counts.
    go_on(REPLICA, 4, "0-1-5000", "0-1-9000")
    assert agent.memory.state is State.REPLICA
    # One that follows is not begun anew: under constant writes what it has to have would run away from it.
    agent._submit(Action.REJOIN, acts.rejoin)
    wait(lambda: agent._job is not None and agent._job.done())
    assert agent._catching_up.done
    # Following anew begins anew.
    agent._follows = False
    agent.memory = replace(agent.memory, state=State.REJOINING, since=now, tried_at=None)
    agent._submit(Action.REJOIN, acts.rejoin)
    wait(lambda: agent._job is not None and agent._job.done())
    go_on(REPLICA, 4, "0-1-5000", "0-1-9000")
    assert agent.memory.state is State.REJOINING
    go_on(REPLICA, 4, "0-1-9000", "0-1-9000")
    assert agent.memory.state is State.REPLICA


@pytest.mark.parametrize("database", [Database.GONE, Database.OPEN, Database.CLOSED])
def test_one_that_did_not_follow_begins_anew(agent: Agent, acts: Acts, database: Database) -> None:
    be_replica(agent)
    assert agent.decision is not None and agent.decision.said.in_step
    acts.compared = Compared()
    agent.step(replace(REPLICA, database=database, follows_peer=False, replicates=False, lag=None))
    assert not agent.step(REPLICA).said.in_step


def test_an_operation_that_interrupts_nothing_leaves_a_replica_in_step(agent: Agent, acts: Acts) -> None:
    """A primary that dies in an operation cannot be compared with any more, and has to be followed all the same."""
    be_replica(agent)
    agent.memory, acts.compared = replace(agent.memory, state=State.OPERATION), Compared()
    agent._look(REPLICA, module.clock())
    assert agent._catching_up.done
    agent._look(replace(REPLICA, follows_peer=False, replicates=False, lag=None), module.clock())
    assert not agent._catching_up.done


@pytest.mark.parametrize("solo", [True, False])
def test_only_a_node_that_is_alone_gives_up_when_no_replica_listens(agent: Agent, acts: Acts, solo: bool) -> None:
    """The other one may be promoted in a term that is not of the one alone."""
    agent.memory = Memory(term=Term(5, "node-a", solo), sealed=solo)
    agent._later = Action.REARM
    agent._do_later()
    wait(lambda: acts.done == [f"rearm {solo}"])


def test_extra_transactions_stop_a_rejoin_for_good(agent: Agent, acts: Acts) -> None:
    acts.error = Errant("3 too many", "Run playbooks/rejoin.yml.")
    lost = replace(REPLICA, follows_peer=False, replicates=False, lag=None)
    acts.compared = Compared(None, None)
    deadline = time.monotonic() + 10
    while agent.memory.state is not State.DIVERGED:
        assert time.monotonic() < deadline, agent.memory
        told(agent, PRIMARY)
        agent.step(lost)
        time.sleep(0.01)
    assert [what for what in acts.done if what != "close"] == ["rejoin"]
    assert agent.status()["errant"].startswith("3 too many")
    assert "diverged" in agent.status()["alarms"]


def test_a_replica_that_only_lags_is_left_to_catch_up(agent: Agent, acts: Acts, monkeypatch) -> None:
    """One big transaction. Following anew would undo it each time, and it would never be applied."""
    be_replica(agent)
    now = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now)

    def go_on(seen: Seen, seconds: float) -> None:
        nonlocal now
        end = now + seconds
        while now < end:
            told(agent, PRIMARY)
            agent.step(seen)
            wait(lambda: agent._job is None or agent._job.done())
            now += POLICY.tick

    go_on(replace(REPLICA, lag=900.0), 60)
    assert (agent.memory.state, acts.done) == (State.REJOINING, ["rejoin"])
    # Its source is lost: that is tried again and again.
    go_on(replace(REPLICA, replicates=False, lag=None), 3 * POLICY.rejoin_every)
    assert len(acts.done) >= 3
    go_on(REPLICA, 5)
    assert agent.memory.state is State.REPLICA


def test_a_failed_promotion_is_known_to_have_failed(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    acts.error = Undone("the relay log is stuck")
    told(agent, replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4))
    agent.step(REPLICA)
    wait(lambda: agent._failed)
    assert any(kind == "failed" for kind, _details in agent.notes)  # type: ignore[attr-defined]


def test_what_a_person_says_is_heard_without_a_restart(agent: Agent) -> None:
    be_replica(agent)
    agent._store.say(paused_until=time.time() + 60)
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert agent.memory.state is State.PAUSED
    agent._store.say(paused_until=0)
    for _turn in range(6):
        told(agent, PRIMARY)
        agent.step(REPLICA)
    assert agent.memory.state is State.REPLICA


def test_a_node_that_a_restore_holds_is_left_alone_until_it_is_given_back(agent: Agent, acts: Acts, tmp_path) -> None:
    """The primary is closed, and its server stops for the swap: neither is a reason to open here."""
    record = Record(tmp_path / "fence.json")
    agent._held = lambda: holds(tmp_path / "fence.json")
    be_replica(agent)
    hold(record, dry_run=False)
    asks = replace(PRIMARY, state=State.CLOSED, fenced=True, takeover=True, ceded=4)
    for database in (Database.OPEN, Database.CLOSED, Database.GONE):
        told(agent, replace(asks, database=database))
        assert agent.step(REPLICA).state is State.OPERATION
    assert agent.status()["held"] and acts.done == []
    release(record, dry_run=False)
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert not agent.status()["held"] and agent.memory.state is not State.OPERATION


def test_a_node_that_is_held_cedes_unless_an_operation_works_on_it(agent: Agent, monkeypatch) -> None:
    be_replica(agent)
    agent._held = lambda: True
    fenced = replace(REPLICA, follows_peer=False, replicates=False, lag=None, database=Database.GONE)
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    told(agent, replace(PRIMARY, state=State.GOING_ALONE))
    assert agent.step(fenced).said.ceded < 4
    monkeypatch.setattr(module.lock, "is_taken", lambda: False)
    told(agent, replace(PRIMARY, state=State.GOING_ALONE))
    assert agent.step(fenced).said.ceded == 4
    assert agent.memory.state is State.OPERATION


def silence(agent: Agent, acts: Acts) -> bool:
    """The peer is not heard, and nothing proves that it is dead. Is this node promoted?"""
    agent.step(replace(REPLICA, heard={"outside": 5.0, "inside": 5.0}))
    return agent.memory.state is State.PROMOTING


def test_an_order_to_open_is_followed_within_its_minute(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    agent._store.say(**orders.given(Order.OPEN))
    assert silence(agent, acts)
    wait(lambda: bool(acts.done))
    assert acts.done[0].startswith("promote")


@pytest.mark.parametrize("why", ["a minute is over", "another boot", "nobody knows when"])
def test_an_old_order_to_open_is_forgotten(agent: Agent, acts: Acts, monkeypatch, why: str) -> None:
    be_replica(agent)
    words = orders.given(Order.OPEN)
    if why == "a minute is over":
        now = module.clock()
        monkeypatch.setattr(module, "clock", lambda: now + 61)
    elif why == "another boot":
        words["order_boot"] = "of another"
    else:
        words = {"order": "open"}  # as an earlier version wrote it
    agent._store.say(**words)
    assert not silence(agent, acts)
    assert not agent._store.said()["order"]
    assert acts.done == []


def test_an_order_to_open_is_forgotten_as_soon_as_the_peer_is_heard_with_an_open_database(agent: Agent, acts: Acts, monkeypatch) -> None:
    be_replica(agent)
    agent._store.say(**orders.given(Order.OPEN))
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert not agent._store.said()["order"]
    assert not silence(agent, acts)


def test_an_order_that_cannot_be_forgotten_is_not_followed_either(agent: Agent, acts: Acts, monkeypatch, caplog) -> None:
    """A full disk."""
    be_replica(agent)
    agent._store.say(**orders.given(Order.OPEN))
    monkeypatch.setattr(agent._store, "say", full_disk)
    for _turn in range(3):
        told(agent, PRIMARY)
        agent.step(REPLICA)
    assert not silence(agent, acts)
    assert len([record for record in caplog.records if "cannot be forgotten" in record.message]) == 1


def test_an_operation_of_a_person_is_left_alone(agent: Agent, acts: Acts, monkeypatch) -> None:
    be_replica(agent)
    agent._ended_at = 0.0
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    for _turn in range(3):
        told(agent, PRIMARY)
        agent.step(replace(REPLICA, database=Database.OPEN, looked=0.0))
    assert agent.memory.state is State.OPERATION
    assert acts.done == []


def test_what_works_on_the_node_is_told(agent: Agent, acts: Acts, monkeypatch) -> None:
    """A person's operation is one. How commits wait is none."""
    be_replica(agent)
    assert agent.status()["operation"] is None
    acts.wait.clear()
    for action, do, expected in ((Action.REJOIN, acts.rejoin, {"action": "rejoin"}), (Action.REARM, acts.rearm, None)):
        agent._submit(action, do)
        assert agent.status()["operation"] == expected
    acts.wait.set()
    wait(lambda: agent._job is not None and agent._job.done())
    agent._ended_at = 0.0
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    assert agent.status()["operation"] == {"action": "an operation of a person"}


def test_a_memory_that_cannot_be_read_is_no_empty_one(tmp_path) -> None:
    (tmp_path / "memory.json").write_text("{")
    with pytest.raises(ValueError):
        Store(str(tmp_path)).recall()


def test_a_replica_whose_connection_broke_with_the_primary_may_follow_it(agent: Agent, acts: Acts) -> None:
    be_replica(agent)
    told(agent, PRIMARY)
    agent.step(replace(REPLICA, replicates=False, lag=None))
    assert agent.decision is not None
    assert [b.name for b in agent.decision.facts.preconditions if not b.met] == []


def test_a_replica_that_has_not_followed_for_long_may_not(agent: Agent, monkeypatch) -> None:
    be_replica(agent)
    now = module.clock()
    for later in (2.0, 4.0):
        monkeypatch.setattr(module, "clock", lambda later=later: now + later)
        told(agent, PRIMARY)
        agent.step(replace(REPLICA, replicates=False, lag=None))
    assert agent.decision is not None
    assert "in step" in [b.name for b in agent.decision.facts.preconditions if not b.met]


GONE = replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4)
BROKEN_OFF = replace(REPLICA, replicates=False, lag=None)


def test_a_replica_may_follow_a_primary_whose_database_has_been_dead_for_long(agent: Agent, acts: Acts, monkeypatch) -> None:
    """Its agent lives and goes on beating; within the cool-down, a pause or an operation nobody takes over at once."""
    be_replica(agent)
    agent.memory = replace(agent.memory, failover_at=time.time())
    now = module.clock()
    starts = replace(GONE, state=State.STARTING, database=Database.UNKNOWN)  # its daemon is started again
    for later, said in ((0.1, GONE), (1.0, GONE), (60.0, GONE), (3600.0, starts), (3601.0, GONE)):
        monkeypatch.setattr(module, "clock", lambda later=later: now + later)
        told(agent, said)
        agent.step(BROKEN_OFF)
        assert agent.memory.state is State.REPLICA
    monkeypatch.setattr(module, "clock", lambda: now + 3602)
    told(agent, replace(GONE, acknowledged_at=time.time() + 1))
    agent.step(BROKEN_OFF)
    assert agent.memory.state is State.PROMOTING
    wait(lambda: bool(acts.done))


def test_a_replica_may_not_follow_a_primary_that_was_open_while_it_did_not_follow(agent: Agent, monkeypatch) -> None:
    be_replica(agent)
    now = module.clock()
    for later, said in ((0.1, GONE), (5.0, PRIMARY), (9.0, GONE)):
        monkeypatch.setattr(module, "clock", lambda later=later: now + later)
        told(agent, replace(said, takeover=False))
        agent.step(BROKEN_OFF)
    assert agent.decision is not None
    assert "in step" in [b.name for b in agent.decision.facts.preconditions if not b.met]


def test_the_lock_of_its_own_hand_is_nobody_elses_operation(agent: Agent, acts: Acts, monkeypatch) -> None:
    """The hand lets it go a moment after the operation has ended."""
    be_replica(agent)
    agent._submit(Action.REJOIN, acts.rejoin)
    wait(lambda: agent._job is not None and agent._job.done())
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    told(agent, PRIMARY)
    agent.step(REPLICA)
    assert agent.memory.state is State.REPLICA
    now = module.clock()
    monkeypatch.setattr(module, "clock", lambda: now + 2)
    told(agent, PRIMARY)
    agent.step(replace(REPLICA, looked=now))
    assert agent.memory.state is State.OPERATION


def test_an_operation_lasts_until_its_outcome_has_been_seen(agent: Agent, acts: Acts, monkeypatch) -> None:
    """What it has opened is not closed on the word of a look from before."""
    be_replica(agent)
    monkeypatch.setattr(module.lock, "is_taken", lambda: True)
    before = module.clock()
    told(agent, PRIMARY)
    agent.step(replace(REPLICA, looked=before))
    assert agent.memory.state is State.OPERATION
    monkeypatch.setattr(module.lock, "is_taken", lambda: False)
    told(agent, replace(PRIMARY, state=State.OPERATION, database=Database.CLOSED, fenced=True))
    agent.step(replace(REPLICA, looked=before))
    assert agent.memory.state is State.OPERATION
    agent.step(replace(REPLICA, database=Database.OPEN, acknowledged=True, looked=module.clock()))
    assert agent.memory.state is State.PRIMARY
    assert "close" not in acts.done


@pytest.mark.parametrize("error", [HalfDone("open, but no proxy answers"), OperationFailed("lost"), KeyError("a fault of ours")])
def test_what_may_have_opened_the_server_is_not_called_failed(agent: Agent, acts: Acts, error: Exception) -> None:
    """Whoever took it for closed would give the role back while applications write."""
    be_replica(agent)
    acts.error = error
    told(agent, replace(PRIMARY, state=State.CLOSED, database=Database.GONE, fenced=True, takeover=True, ceded=4))
    agent.step(REPLICA)
    wait(lambda: agent._job is not None and agent._job.done())
    assert not agent._failed
    assert any(kind == "failed" for kind, _details in agent.notes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", ['{"paused_until": "soon"}', "[]", '{"order": "dance"}', "{"])
def test_what_a_person_has_said_wrongly_stops_nobody(agent: Agent, words: str) -> None:
    agent._store._said.write_text(words)
    be_replica(agent)


def test_its_own_failback_is_left_alone_as_the_switchover_of_a_person_is(agent: Agent, acts: Acts) -> None:
    """It opens the database of a replica: an agent that took that for the doing of somebody else would close it."""
    be_replica(agent)
    acts.wait.clear()
    agent.policy = replace(POLICY, failback="when_in_sync", preferred=POLICY.name, failback_after=0.0)
    wait(lambda: (told(agent, PRIMARY), agent.step(REPLICA).state)[1] is State.OPERATION)
    opened = replace(REPLICA, database=Database.OPEN, follows_peer=False, replicates=False, looked=module.clock())
    assert agent.step(opened).state is State.OPERATION
    acts.wait.set()
    wait(lambda: bool(acts.done))
    assert acts.done == ["switch to node-a"]
