"""What is broken in drills, how it is mended, and what the documentation promises for it.

A fault is begun by ``breaks`` and ended by ``mends``; in between it is held for a while drawn from ``hold`` (seconds). What is
drawn for a run is in ``Draw``, so the same seed does the same.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes_of_lab import PAIR, Place, other
from shell import LabError, as_root, podman, run, wait_for

IS_MYSQL = os.environ.get("TANDEM_LAB_ENGINE") == "mysql"
DATABASE = "mysqld" if IS_MYSQL else "mariadbd"
BOTH = ("outside", "inside")
INTERFACES = {"outside": "eth0", "inside": "eth1"}
OPEN_WITHIN = 30.0


@dataclass
class Draw:
    """One run's fault, as the seed has drawn it. ``old`` is the primary when the run begins."""

    victim: str
    old: str
    hold: float
    delay: float
    choice: float
    notes: list[str] = field(default_factory=list)
    begun: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def new(self) -> str:
        return other(self.old)

    @property
    def role(self) -> str:
        """Of the victim."""
        return "primary" if self.victim == self.old else "replica"


Act = Callable[[Place, Draw], None]


@dataclass(frozen=True)
class Fault:
    """One kind. ``moves``: where the role goes when the primary is the victim: yes, no, may. A replica's never moves it.

    ``thaw``: seconds for which both databases may be open: only where docs/agent-states.md says so.
    ``person``: the documentation allows that a person has to bring the old primary back.
    """

    name: str
    what: str
    moves: str
    breaks: Act
    mends: Act
    hold: tuple[float, float] = (0.0, 0.0)
    delay: tuple[float, float] = (0.0, 0.0)
    roles: tuple[str, ...] = ("primary", "replica")
    thaw: float = 0.0
    person: bool = False

    def draw(self, dice: random.Random, old: str) -> Draw:
        """Always draws the same number of times."""
        role = self.roles[dice.randrange(len(self.roles))]
        victim = old if role == "primary" else other(old)
        return Draw(victim, old, dice.uniform(*self.hold), dice.uniform(*self.delay), dice.random())


def nothing(_place: Place, _draw: Draw) -> None:
    """It mends itself."""


def _signal(name: str, word: str, node: Callable[[Draw], str] = lambda draw: draw.victim) -> Act:
    def act(place: Place, draw: Draw) -> None:
        # Fails where there is nobody. One that its parent has taken along meanwhile is no failure.
        place.sh(node(draw), f"found=$(pgrep -d ' ' -x '{name}') && (kill -{word} $found || true)")

    return act


def _agent_killed(place: Place, draw: Draw) -> None:
    place.sh(draw.victim, "systemctl kill --kill-whom=main --signal=KILL tandem-health")


def _continue(place: Place, draw: Draw) -> None:
    # It may have been killed and started again meanwhile.
    with contextlib.suppress(LabError):
        place.sh(draw.victim, f"kill -CONT $(pgrep -d ' ' -x {DATABASE})")


def _lab(action: str, *sides: str) -> Act:
    def act(place: Place, draw: Draw) -> None:
        for side in sides or (None,):
            place.fault(action, draw.victim, side)

    return act


def _start(place: Place, *names: str) -> None:
    """As the power button does: without waiting for one before the other."""
    for name in names:
        podman("start", place.lab.container(name))
        place.forget(name)
    for name in names:
        wait_for(f"{name} to boot", lambda name=name: _booted(place, name), 90)  # type: ignore[misc]


def _booted(place: Place, node: str) -> bool:
    with contextlib.suppress(LabError):
        return place.sh(node, "systemctl is-system-running || true").strip() in ("running", "degraded")
    return False


def _power_off_both(place: Place, draw: Draw) -> None:
    first, second = (draw.old, draw.new) if draw.choice < 0.5 else (draw.new, draw.old)
    podman("kill", place.lab.container(first))
    time.sleep(draw.delay)
    podman("kill", place.lab.container(second))
    place.forget(first)
    place.forget(second)


def _start_both(place: Place, draw: Draw) -> None:
    order = PAIR if draw.choice * 2 % 1 < 0.5 else PAIR[::-1]
    draw.notes.append(f"started {order[0]} first")
    _start(place, *order)


def _filter(place: Place, node: str, rules: str) -> None:
    """Packets of one node, in its network namespace, by this machine's nft."""
    run(["nsenter", "-t", place.pid(node), "-n", "nft", "-f", "-"], stdin=rules)


def _chains(side: str, directions: str, what: str) -> str:
    lines = []
    for direction in directions.split():
        hook = {"in": "ingress", "out": "egress"}[direction]
        name = INTERFACES[side]
        lines.append(f"  chain {name}_{direction} {{\n    type filter hook {hook} device {name} priority -500; policy accept;\n    {what}\n  }}")
    return "\n".join(lines)


def _dropping(directions: Callable[[Draw], str], what: str, sides: Callable[[Draw], tuple[str, ...]]) -> Act:
    def act(place: Place, draw: Draw) -> None:
        chains = "\n".join(_chains(side, directions(draw), what) for side in sides(draw))
        draw.notes.append(f"{directions(draw)} of {' and '.join(sides(draw))}")
        _filter(place, draw.victim, f"table netdev drill {{\n{chains}\n}}\n")

    return act


_NO_FILTER = "table netdev drill {\n}\ndelete table netdev drill\n"


def _flow_again(place: Place, draw: Draw) -> None:
    # A node that was restarted has a new namespace.
    _filter(place, draw.victim, _NO_FILTER)


def _one_side(draw: Draw) -> tuple[str, ...]:
    return BOTH if draw.choice < 0.5 else ("outside",) if draw.choice < 0.75 else ("inside",)


def _one_way(draw: Draw) -> str:
    return "in" if draw.choice * 8 % 1 < 0.5 else "out"


def _freeze(place: Place, draw: Draw) -> None:
    """A frozen virtual machine: its kernel answers nothing either."""
    for side in BOTH:
        place.fault("cut", draw.victim, side)
    podman("pause", place.lab.container(draw.victim))


def _thaw(place: Place, draw: Draw) -> None:
    for side in BOTH:
        place.fault("heal", draw.victim, side)
    podman("unpause", place.lab.container(draw.victim))


def _host_pid(place: Place, node: str) -> str:
    return run(["pgrep", "--ns", place.pid(node), "--nslist", "pid", "-x", DATABASE]).stdout.split()[0]


def _inject(*words: str) -> Act:
    def act(place: Place, draw: Draw) -> None:
        argv = as_root(["strace", "-f", "-q", "-o", "/dev/null", "-p", _host_pid(place, draw.victim), *words])
        draw.begun["strace"] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, start_new_session=True)

    return act


def _stop_injecting(_place: Place, draw: Draw) -> None:
    process = draw.begun.pop("strace")
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _break_replication(place: Place, draw: Draw) -> None:
    """A row that only the replica has stops the replica when the primary gets it too."""
    place.sql(draw.old, "CREATE TABLE IF NOT EXISTS tandem_ledger_thorn (id INT PRIMARY KEY); DELETE FROM tandem_ledger_thorn")
    wait_for("the table is there", lambda: place.sql(draw.new, "SHOW TABLES LIKE 'tandem_ledger_thorn'") != "", 10)
    _behind_its_back(place, draw.new, "INSERT INTO tandem_ledger_thorn VALUES (1)")
    place.sql(draw.old, "INSERT INTO tandem_ledger_thorn VALUES (1)")


def _mend_replication(place: Place, draw: Draw) -> None:
    for node in PAIR:
        if place.sql(node, "SELECT @@global.read_only") not in ("0", "OFF"):
            _behind_its_back(place, node, "DELETE FROM tandem_ledger_thorn")


def _behind_its_back(place: Place, node: str, statement: str) -> None:
    """On a replica, in no binary log. MySQL's refuses the administrator too."""
    strict = place.sql(node, "SELECT @@global.super_read_only") if place.sql(node, "SHOW GLOBAL VARIABLES LIKE 'super_read_only'") else "0"
    doors = ["SET GLOBAL super_read_only = 0; ", "; SET GLOBAL super_read_only = 1"] if strict == "1" else ["", ""]
    place.sql(node, f"SET SESSION sql_log_bin = 0; {doors[0]}{statement}{doors[1]}")


def primary_of(place: Place) -> str:
    """The node that takes writes; empty if it is none or both."""
    found = []
    for node in PAIR:
        with contextlib.suppress(LabError):
            if place.sql(node, "SELECT @@global.read_only", timeout=5) in ("0", "OFF"):
                found.append(node)
    return found[0] if len(found) == 1 else ""


def _flap(place: Place, draw: Draw) -> None:
    """Three times, whoever is the primary then."""
    for _time in range(3):
        wait_for("somebody takes writes", lambda: primary_of(place) != "", OPEN_WITHIN)
        node = primary_of(place)
        draw.notes.append(f"killed on {node}")
        place.sh(node, f"kill -9 $(pgrep -d ' ' -x {DATABASE})")
        time.sleep(draw.delay)


SECOND: tuple[tuple[str, Act, Act], ...] = (
    ("its database is killed", _signal(DATABASE, "KILL"), nothing),
    ("its agent is killed", _agent_killed, nothing),
    ("it loses its power", _lab("kill"), lambda place, draw: _start(place, draw.victim)),
    ("it is cut off", _lab("cut", *BOTH), _lab("heal", *BOTH)),
)


def _second(draw: Draw) -> tuple[str, Act, Act]:
    return SECOND[int(draw.choice * len(SECOND))]


def _during_switchover(place: Place, draw: Draw) -> None:
    draw.begun["switchover"] = subprocess.Popen(
        place.argv(draw.old, "tandem", "switchover"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(draw.delay)
    words, breaks, _mends = _second(draw)
    draw.notes.append(f"{draw.role}, {draw.delay:.2f} s after its begin: {words}")
    breaks(place, draw)


def _after_switchover(place: Place, draw: Draw) -> None:
    _second(draw)[2](place, draw)
    process = draw.begun.pop("switchover")
    try:
        said, _none = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        draw.notes.append("the switchover hung for 60 s and was killed")
    else:
        draw.notes.append(f"switchover ended with {process.returncode}: {said.strip().splitlines()[-1] if said.strip() else 'silent'}"[:300])


def _during_rejoin(place: Place, draw: Draw) -> None:
    place.sh(draw.old, f"kill -9 $(pgrep -d ' ' -x {DATABASE})")
    wait_for("the other one takes writes", lambda: primary_of(place) == draw.new, OPEN_WITHIN)
    time.sleep(draw.delay)
    words, breaks, _mends = _second(draw)
    draw.notes.append(f"the {'old' if draw.victim == draw.old else 'new'} primary, {draw.delay:.2f} s after the failover: {words}")
    breaks(place, draw)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill_database", "the database server is killed", "yes", _signal(DATABASE, "KILL"), nothing, person=True),
        Fault("kill_nginx", "all of nginx is killed", "no", _signal("nginx", "KILL"), nothing),
        Fault("kill_php_fpm", "all of php-fpm is killed", "no", _signal("php-fpm.*", "KILL"), nothing),
        Fault("kill_keepalived", "all of keepalived is killed", "no", _signal("keepalived", "KILL"), nothing),
        Fault("kill_agent", "the agent is killed", "no", _agent_killed, nothing),
        Fault("stop_database", "the database server stands still (SIGSTOP), then goes on", "no", _signal(DATABASE, "STOP"), _continue, (2.0, 7.0)),
        Fault(
            "power_off",
            "the node loses its power; it gets it back",
            "yes",
            _lab("kill"),
            lambda place, draw: _start(place, draw.victim),
            (3.0, 6.0),
            person=True,
        ),
        Fault("power_off_both", "both nodes lose their power", "may", _power_off_both, _start_both, (0.5, 2.0), (0.0, 0.5), ("primary",)),
        Fault("reboot", "the node is rebooted in order", "yes", _lab("reboot"), nothing),
        Fault("crash", "the node's kernel dies, and it boots at once", "may", _lab("crash"), nothing, person=True),
        Fault("cut_inside", "the inside network swallows everything", "may", _lab("cut", "inside"), _lab("heal", "inside"), (3.0, 7.0)),
        Fault("cut_outside", "the outside network swallows everything", "may", _lab("cut", "outside"), _lab("heal", "outside"), (3.0, 7.0)),
        Fault("cut_both", "both networks swallow everything", "yes", _lab("cut", *BOTH), _lab("heal", *BOTH), (4.0, 7.0), person=True),
        Fault("one_way", "networks swallow one direction", "may", _dropping(_one_way, "drop", _one_side), _flow_again, (3.0, 7.0), person=True),
        Fault(
            "loss",
            "a fifth of all packets is lost, on both networks",
            "may",
            _dropping(lambda _draw: "in", "numgen random mod 100 < 20 drop", lambda _draw: BOTH),
            _flow_again,
            (4.0, 8.0),
            person=True,
        ),
        Fault(
            "disk_full",
            "every write to a disk fails: no space left (ENOSPC, by strace)",
            "may",
            _inject("-e", "trace=write,pwrite64,fallocate", "-e", "inject=write,pwrite64,fallocate:error=ENOSPC"),
            _stop_injecting,
            (3.0, 6.0),
            person=True,
        ),
        Fault(
            "slow_disk",
            "every fsync takes 0.3 s (by strace)",
            "no",
            _inject("-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=300000"),
            _stop_injecting,
            (3.0, 6.0),
        ),
        Fault("sql_thread", "the replica's SQL thread stops at an error", "no", _break_replication, _mend_replication, (3.0, 6.0), roles=("replica",)),
        Fault("pause", "all processes of the node stand still, its kernel answers", "no", _lab("pause"), _lab("unpause"), (2.0, 6.0), thaw=0.95, person=True),
        Fault("freeze", "the node stands still and answers nothing", "yes", _freeze, _thaw, (4.0, 7.0), thaw=0.95, person=True),
        Fault("flapping", "the primary's database is killed three times", "may", _flap, nothing, delay=(1.0, 4.0), roles=("primary",), person=True),
        Fault("in_switchover", "a node fails during a switchover", "may", _during_switchover, _after_switchover, (3.0, 5.0), (0.0, 2.5), person=True),
        Fault(
            "in_rejoin",
            "a node fails while the old primary comes back",
            "may",
            _during_rejoin,
            lambda place, draw: _second(draw)[2](place, draw),
            (3.0, 5.0),
            (0.0, 3.0),
            person=True,
        ),
    )
}


def mend_everything(place: Place) -> None:
    """Whatever a run that was broken off has left."""
    for node in PAIR:
        state = place.state(node)
        if state == "paused":
            place.fault("unpause", node)
        elif state != "running":
            place.fault("start", node)
        for side in BOTH:
            place.fault("heal", node, side)
        _filter(place, node, _NO_FILTER)
        with contextlib.suppress(LabError):
            place.sh(node, f"kill -CONT $(pgrep -d ' ' -x {DATABASE})")
