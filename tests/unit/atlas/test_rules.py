# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent does about its Atlas, when, and what it leaves alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import atlas as rules
from ansible_collections.tandem.lemp.plugins.module_utils.agent.alarms import ALARMS
from ansible_collections.tandem.lemp.plugins.module_utils.agent.atlas import (
    ALARMS_OF,
    TABLE,
    Act,
    Known,
    Signs,
    Times,
    alarms,
    judge,
    plain,
    state,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.atlas_keeper import (
    AtlasKeeper,
    AtlasSettings,
    Hands,
    settings,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.machine import step
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Memory, View
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import RO, RW, Backend
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import Account, Answer, How
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.probe import Look, Watched
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Unreachable

from .replay import ADDRESS, recorded, replaying

WRITER, READER = ("127.0.0.1:6446", RW), ("127.0.0.1:6448", RO)
SERVERS = (WRITER, READER)
OK = Answer(How.OK)
SILENT = Answer(How.SILENT, "no greeting within 1 s")
REFUSED = Answer(How.REFUSED, "Connection refused (connection)")
BROKEN = Answer(How.BROKEN, "hangs up instead of the answer")
TIMES = Times()


def look(reader: str = "up", writer: str = "up", **more: Any) -> Look:
    backends = (Backend(1, WRITER[0], writer, RW), Backend(2, READER[0], reader, RO))
    return replace(Look(OK, backends, 1, OK, {WRITER: OK, READER: OK}, OK, OK), **more)


WELL = look()
READER_FROZEN = look(servers={WRITER: OK, READER: SILENT}, reads=Answer())
READER_DEAD = look(servers={WRITER: OK, READER: REFUSED})
FROZEN = look(login=SILENT, reads=Answer(), writes=Answer())
STOPPED = replace(FROZEN, admin=SILENT, backends=(), users=None)
DEAD = Look(REFUSED, (), None, REFUSED, {WRITER: OK, READER: OK})


@dataclass
class Story:
    """Looks, one a second. done: second and act."""

    known: Known = field(default_factory=Known)
    second: float = 1000.0
    done: list[tuple[float, Act, tuple[str, ...]]] = field(default_factory=list)

    def sees(self, seen: Look, seconds: int = 1, busy: bool = False) -> Story:
        for _second in range(seconds):
            self.second += 1
            judgement = judge(self.known, SERVERS, seen, self.second, busy)
            self.known = judgement.known
            if judgement.row is not None:
                self.done.append((self.second - 1000, judgement.row.act, judgement.targets))
        return self

    @property
    def acts(self) -> list[Act]:
        return [act for _second, act, _targets in self.done]

    @property
    def alarms(self) -> tuple[str, ...]:
        return alarms(self.known, self.second)


def well() -> Story:
    return Story().sees(WELL)


def test_nothing_is_done_where_all_is_well() -> None:
    story = well().sees(WELL, 100)
    assert (story.done, story.alarms, state(story.known, SERVERS, story.second)) == ([], (), ("up", ""))


@pytest.mark.parametrize("seen", [READER_FROZEN, READER_DEAD], ids=["frozen", "dead"])
def test_a_reader_that_does_not_answer_is_taken_offline(seen: Look) -> None:
    """Although Atlas says that it is up: it never looks again."""
    story = well().sees(seen, 3)
    assert story.done == []
    assert story.sees(seen).done == [(5, Act.READER_OFFLINE, (READER[0],))]
    assert story.known.mine == {READER[0]}


def test_a_blip_is_none() -> None:
    story = well()
    for _time in range(5):
        story.sees(READER_FROZEN, 3).sees(WELL)
    assert story.done == []


def test_a_probe_of_atlas_that_undoes_it_is_answered() -> None:
    story = well().sees(READER_FROZEN, 4)
    assert story.sees(replace(READER_FROZEN, backends=look("offline").backends)).acts == [Act.READER_OFFLINE]
    assert story.sees(READER_FROZEN, 4).acts == [Act.READER_OFFLINE, Act.READER_OFFLINE]


@pytest.mark.parametrize(
    "seen",
    [
        look(servers={WRITER: SILENT, READER: SILENT}, reads=Answer(), writes=Answer()),
        look(servers={WRITER: REFUSED, READER: SILENT}, reads=Answer()),
        look(writer="offline", servers={WRITER: OK, READER: SILENT}, reads=Answer()),
        look(writer="down", servers={WRITER: OK, READER: SILENT}, reads=Answer()),
    ],
    ids=["writer hangs too", "writer is dead", "fenced", "writer unused"],
)
def test_a_reader_stays_where_nobody_else_could_be_read(seen: Look) -> None:
    assert well().sees(seen, 60).acts == []


def test_it_is_put_online_when_it_answers_again() -> None:
    story = well().sees(READER_FROZEN, 4).sees(replace(READER_FROZEN, backends=look("offline").backends), 10)
    story.done.clear()
    assert story.sees(look("offline"), 5).done == []
    story.sees(look("offline"))
    assert story.acts == [Act.READER_ONLINE]


def test_what_a_person_has_taken_offline_stays_so() -> None:
    assert well().sees(look("offline"), 100).acts == []


def test_after_a_restart_of_atlas_what_is_offline_is_a_persons_again() -> None:
    story = well().sees(READER_FROZEN, 4).sees(look("offline")).sees(WELL)
    assert story.known.mine == frozenset()
    story.done.clear()
    assert story.sees(look("offline"), 100).acts == []


def test_the_mark_outlives_an_admin_port_that_does_not_answer() -> None:
    story = well().sees(READER_FROZEN, 4).sees(look("offline")).sees(STOPPED)
    assert story.known.mine == {READER[0]}


def test_nothing_is_touched_while_an_operation_works() -> None:
    assert well().sees(READER_FROZEN, 60, busy=True).sees(FROZEN, 60, busy=True).acts == []


def test_one_that_hangs_by_itself_is_ended_and_not_twice_a_minute() -> None:
    story = well().sees(STOPPED, 75)
    assert story.done == [(17, Act.RESTART, ())]
    story.sees(STOPPED, 5)
    assert story.acts == [Act.RESTART, Act.RESTART] and story.known.restarts == 2


@pytest.mark.parametrize("held", [{WRITER: SILENT, READER: OK}, {WRITER: OK, READER: SILENT}, {}], ids=["writer", "reader", "not known"])
def test_one_that_is_held_by_what_is_behind_it_is_not_ended(held: dict[tuple[str, str], Answer]) -> None:
    """HAProxy holds who would write during a switchover, and Atlas with it."""
    assert Act.RESTART not in well().sees(replace(STOPPED, servers=held), 100).acts


def test_a_reader_that_is_offline_holds_nobody() -> None:
    seen = replace(FROZEN, backends=look("offline").backends, servers={WRITER: OK, READER: SILENT})
    assert Act.RESTART in well().sees(seen, 20).acts


def test_a_dead_one_is_left_to_systemd() -> None:
    story = well().sees(DEAD, 60)
    assert (story.acts, story.alarms) == ([], ("atlas_dead",))
    assert state(story.known, SERVERS, story.second) == ("dead", "Connection refused (connection)")


def test_a_restart_of_the_process_is_no_alarm() -> None:
    assert well().sees(DEAD, 4).alarms == ()


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (DEAD, "atlas_dead"),
        (FROZEN, "atlas_frozen"),
        (look(writes=SILENT), "atlas_frozen"),
        (look(login=BROKEN, reads=Answer(), writes=Answer()), "atlas_refuses"),
        (look(writer="offline"), "atlas_no_writes"),
        (look(writer="down"), "atlas_no_writes"),
        (look(writes=BROKEN), "atlas_no_writes"),
        (look("offline"), "atlas_reader_away"),
        (look(users=2), "atlas_altered"),
        (look(users=0), "atlas_altered"),
        (replace(WELL, backends=WELL.backends[:1]), "atlas_altered"),
        (replace(WELL, backends=(*WELL.backends, Backend(3, "127.0.0.1:1", "down", RO))), "atlas_altered"),
        (replace(WELL, admin=SILENT, backends=(), users=None), "atlas_admin_silent"),
    ],
)
def test_alarms(seen: Look, name: str) -> None:
    story = well().sees(seen, 5)
    assert story.alarms == ()
    assert name in story.sees(seen).alarms
    assert story.sees(WELL).alarms == ()


def test_every_alarm_has_words_and_every_row_a_condition() -> None:
    assert set(ALARMS_OF.values()) <= set(ALARMS)
    signs = Signs(WELL, SERVERS, frozenset())
    for name in (*ALARMS_OF, *(row.condition for row in TABLE)):
        assert signs.holds(name) is False, name
    assert all(hasattr(TIMES, row.after) for row in TABLE)
    assert {row.act for row in TABLE} == set(Act)


def test_one_that_never_worked_is_perhaps_being_installed() -> None:
    story = Story().sees(DEAD, 110)
    assert story.alarms == ()
    assert Story().sees(STOPPED, 110).acts == []
    assert story.sees(DEAD, 20).alarms == ("atlas_dead",)


def test_an_old_look_says_nothing() -> None:
    story = well().sees(FROZEN, 10)
    assert "atlas_frozen" in story.alarms
    story.second += 60
    assert story.alarms == ()
    assert state(story.known, SERVERS, story.second) == ("unknown", "it has not been looked at")
    # What was not watched has not held all the time.
    story.sees(STOPPED)
    assert story.acts == []


def test_what_people_and_machines_are_told() -> None:
    story = well().sees(READER_FROZEN, 6)
    said = plain(story.known, SERVERS, story.second)
    assert (said["state"], said["admin"], said["reads"], said["writes"], said["accounts"]) == ("up", True, None, True, 1)
    assert said["backends"][1] == {
        "address": READER[0],
        "type": RO,
        "state": "up",
        "answers": False,
        "reason": "no greeting within 1 s",
        "configured": True,
        "taken_offline": False,
    }
    frozen = plain(well().sees(replace(STOPPED, servers={WRITER: OK, READER: SILENT})).known, SERVERS, 1002)
    assert frozen["reason"] == f"login: no greeting within 1 s; behind it {READER[0]}: no greeting within 1 s"


# The thread.


class Fake:
    """Looks, and hands that note what they are told."""

    def __init__(self, *looks: Look) -> None:
        self.looks, self.now = list(looks), 0.0
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.restarted = 0
        self.busy = False
        self.hands = Hands(self.restart, lambda: self.busy, lambda kind, details: self.noted.append((kind, details)))

    def restart(self) -> str:
        self.restarted += 1
        return "atlas-main was killed"

    def look(self, _watched: Watched) -> Look:
        self.now += 1
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


QUICK = Times(every=0.01, settle=0, alarm_after=0.5, offline_after=0.5, online_after=0.5, restart_after=0.5)


def keeper(fake: Fake, memory: Path, admin: int = 1, servers: tuple[tuple[str, str], ...] = SERVERS) -> AtlasKeeper:
    watched = Watched(Endpoint(ADDRESS, admin, "user", "pwd", 1), (ADDRESS, 1), Account("app", "x"), servers)
    made = AtlasKeeper(watched, memory, lambda: fake.now, times=QUICK, looks=fake.look)
    made.hands = fake.hands
    return made


def recorded_look(state_of_reader: str, answer: Answer) -> Look:
    """Of the pair that was recorded."""
    m1, m2 = ("127.0.0.1:13306", RW), ("127.0.0.1:13307", RO)
    return Look(OK, (Backend(1, m1[0], "up", RW), Backend(2, m2[0], state_of_reader, RO)), 1, OK, {m1: OK, m2: answer}, OK, OK)


RECORDED = (("127.0.0.1:13306", RW), ("127.0.0.1:13307", RO))


def test_the_reader_goes_offline_and_online_at_a_real_atlas(tmp_path: Path) -> None:
    """Against the recorded bytes; the mark is on the disk before the command is said."""
    memory = tmp_path / "atlas.json"
    fake = Fake(recorded_look("up", OK), recorded_look("up", SILENT))
    seen: list[str] = []
    acts = {"SET OFFLINE 2": lambda: seen.append(memory.read_text())}
    with replaying(recorded("admin_seq_offline_online_slave"), 0, faults=rules_faults(acts)) as admin:
        one = keeper(fake, memory, admin.port, RECORDED)
        for _turn in range(3):
            one.turn()
        assert seen == ['{"offline": ["127.0.0.1:13307"], "worked": true}']
        assert "SET OFFLINE 2" in admin.heard and "SET ONLINE 2" not in admin.heard
        # The daemon is restarted: it still knows that it was the agent.
        fake.looks = [recorded_look("offline", OK)]
        again = keeper(fake, memory, admin.port, RECORDED)
        for _turn in range(2):
            again.turn()
        assert admin.heard[-3:].count("SET ONLINE 2") == 1
    assert memory.read_text() == '{"offline": [], "worked": true}'
    assert [(kind, details["action"]) for kind, details in fake.noted] == [
        ("done", "take the reader offline at the admin port (127.0.0.1:13307)"),
        ("done", "put the reader online again (127.0.0.1:13307)"),
    ]


def rules_faults(acts: Any) -> Any:
    from .replay import Faults

    return Faults(acts=acts)


def test_a_frozen_one_is_ended_by_the_hand(tmp_path: Path) -> None:
    fake = Fake(WELL, STOPPED)
    one = keeper(fake, tmp_path / "atlas.json")
    for _turn in range(4):
        one.turn()
    assert fake.restarted == 1
    assert one.status()["restarts"] == 1
    assert fake.noted[0][1]["said"] == "atlas-main was killed"


def test_without_the_agent_it_only_looks(tmp_path: Path) -> None:
    fake = Fake(WELL, STOPPED)
    one = keeper(fake, tmp_path / "atlas.json")
    one.hands = None
    for _turn in range(10):
        one.turn()
    assert (fake.restarted, fake.noted, one.state()[0]) == (0, [], "frozen")
    assert json.loads((tmp_path / "atlas.json").read_text())["offline"] == []


def test_a_node_on_which_an_operation_works_is_left_alone(tmp_path: Path) -> None:
    fake = Fake(WELL, STOPPED)
    fake.busy = True
    one = keeper(fake, tmp_path / "atlas.json")
    for _turn in range(10):
        one.turn()
    assert fake.restarted == 0


def test_its_alarms_are_the_agents() -> None:
    policy = Policy("node-a", "node-b")
    assert "atlas_dead" in step(policy, Memory(), View(now=1.0, atlas=("atlas_dead",))).alarms
    assert not any(name.startswith("atlas") for name in step(policy, Memory(), View(now=1.0)).alarms)


def test_a_hand_that_is_lost_is_said_once(tmp_path: Path) -> None:
    fake = Fake(WELL, STOPPED)

    def lost() -> str:
        raise Unreachable("The hand does not answer.")

    one = keeper(fake, tmp_path / "atlas.json")
    one.hands = replace(fake.hands, restart=lost)
    for _turn in range(200):
        one.turn()
    assert [kind for kind, _details in fake.noted] == ["failed"]
    assert one.status()["restarts"] == 0
    one.hands = fake.hands
    one.turn()
    assert (fake.restarted, one.status()["restarts"]) == (1, 1)


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"offline": 1}', '{"offline": [], "worked": "yes"}', '{"offline": []}'])
def test_one_that_worked_before_a_boot_is_no_new_one(tmp_path: Path, said: str) -> None:
    """It does not come back: nobody installs it, and its node must not count as well for ever."""
    memory = tmp_path / "atlas.json"
    memory.write_text(said)
    assert not keeper(Fake(DEAD), memory).worked
    keeper(Fake(WELL), memory).turn()
    later = keeper(Fake(DEAD), memory)
    assert later.worked
    later.turn()
    assert later.worked and keeper(Fake(DEAD), memory).worked


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Fake, AtlasKeeper, threading.Event]]:
    fake, woken = Fake(WELL), threading.Event()
    one = keeper(fake, tmp_path / "atlas.json")
    one._woken = woken.set
    one.start()
    yield fake, one, woken
    one.close()


def test_the_daemon_is_woken_when_something_is_new(running: tuple[Fake, AtlasKeeper, threading.Event]) -> None:
    fake, one, woken = running
    assert woken.wait(5)
    woken.clear()
    fake.looks = [DEAD]
    assert woken.wait(5)
    assert one.worked


def test_a_look_that_raises_ends_nothing(running: tuple[Fake, AtlasKeeper, threading.Event]) -> None:
    fake, one, woken = running
    assert woken.wait(5)
    woken.clear()
    fake.looks = [None, None, DEAD]  # type: ignore[list-item]
    assert woken.wait(5)
    assert one.state()[0] == "dead"


RAW: dict[str, Any] = {
    "admin": ["198.51.100.11", 2345],
    "admin_user": "tandem",
    "proxy": ["127.0.0.1", 1234],
    "user": "blog",
    "threads": 2,
    "servers": [{"address": "127.0.0.1:6446", "type": "rw"}],
    "secret_file": "/etc/tandem/atlas.json",
}


def test_settings(tmp_path: Path) -> None:
    secrets = tmp_path / "atlas.json"
    secrets.write_text('{"admin_password": "geheim one", "password": "geheim two"}')
    found = settings({**RAW, "secret_file": str(secrets)})
    assert isinstance(found, AtlasSettings)
    watched = found.watched()
    assert (watched.admin.password, watched.account.password) == ("geheim one", "geheim two")
    assert "geheim" not in repr(watched)
    secrets.write_text("{}")
    with pytest.raises(ValueError, match="lacks admin_password"):
        found.watched()


@pytest.mark.parametrize(
    "change",
    [{"servers": [{"address": "x", "type": "rw"}]}, {"servers": [{"address": "x:1", "type": "master"}]}, {"admin": ["x"]}, {"threads": None}],
)
def test_settings_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)):
        settings({**RAW, **change})


def test_rules_are_pure() -> None:
    assert not any(hasattr(rules, name) for name in ("time", "socket", "os"))
