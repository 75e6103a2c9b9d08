# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the owner of the pair wants, and the times. All times are seconds. Pure."""

from __future__ import annotations

from dataclasses import dataclass

AUTOMATIC = "automatic"
MANUAL = "manual"
NEVER = "never"
WHEN_IN_SYNC = "when_in_sync"


@dataclass(frozen=True)
class Policy:
    """Equal on both nodes but for name and peer.

    How the times hang together. A node that is not open promises with every heartbeat: after your beat of time X
    has reached me I do not open before promote_after seconds have passed, unless you ask me to. The writer counts
    from when it sent that beat, by its own clock, so no delay and no clock difference can make it too optimistic.
    It begins to close when the promise has only close_budget left:

        promote_after * (1 - clock_error)  -  (close_within + kill_within + 2 * tick)  =  self_fence_after
        2.0           * 0.98               -  (0.5          + 0.15        + 2 * 0.15)  =  1.01

    A killed node was last heard up to one tick before; its peer decides within promote_after + one tick: 2.15.
    With a witness: the lease (4.0), as the holder counts it, and clock_error of it: 4.1, and one tick.
    """

    name: str
    peer: str
    failover: str = AUTOMATIC  # or MANUAL: nothing is promoted, an alarm is raised
    failback: str = NEVER  # or WHEN_IN_SYNC, or MANUAL
    preferred: str = ""  # the primary where everything else is equal; "": the lower name
    witness: bool = False
    driver: str = ""  # of the witness
    gateway: bool = True  # False: none is configured; then silence alone promotes nobody (without a witness)
    # What is done without a witness where the peer is silent, does not answer, and the own gateway does.
    # True: the primary goes on alone. False: its commits wait until a person has said that the peer is dead.
    alone_on_evidence: bool = True
    boot_alone: float | None = None  # open without having heard the peer after so long; None: never
    # A former primary whose extra transactions nobody was told of: they are saved, and its data replaced by a copy.
    # False: a person does that.
    replace_unacknowledged: bool = True
    stall_failover: bool = False  # kill a server that has stalled for stall_patience, and let the peer take over

    tick: float = 0.15  # between two steps, and two heartbeats
    clock_error: float = 0.02  # how much faster one clock may run than the other: a share
    promote_after: float = 2.0  # of silence
    close_within: float = 0.5  # the database is closed by then, or it is killed
    kill_within: float = 0.15  # it is dead by then
    contact_fresh: float = 0.5  # heard so recently: 3 beats
    lease: float = 4.0
    renew_every: float = 1.0
    ask_alone_after: float = 1.0  # without an acknowledgement from the replica
    alone_every: float = 1.0  # it is said again while commits wait for nobody by its state, and do wait
    alone_after: float = 3.0  # of silence, on evidence alone: after the peer would have promoted, and shown it
    rearm_wait: float = 5.0  # for the replica's first acknowledgement
    takeover_wait: float = 1.0  # for the peer to begin, before the own database is opened again
    claim_wait: float = 3.0
    start_wait: float = 3.0  # for a first sign of the peer
    operation_wait: float = 660.0  # for a promotion; applying what was received may take that long
    promote_again: float = 5.0  # after a promotion that has failed
    rejoin_every: float = 5.0
    replace_every: float = 60.0
    rearm_every: float = 10.0
    rearm_held: float = 60.0  # so long, and four times the last pause: a replica that is lost after that is waited for again at once
    rearm_at_most_every: float = 300.0  # where the replica is in step again and again, and does not acknowledge
    stall_patience: float = 30.0
    cooldown: float = 600.0
    failback_after: float = 60.0  # in step for so long
    alarm_after: float = 30.0  # nobody is primary
    alarm_held_after: float = 60.0  # the same where an operation, a fence or a restore has the node

    def __post_init__(self) -> None:
        """Raises ValueError where the times contradict each other."""
        # What the peer's last beat echoes is up to three ticks older than that beat. A dead peer has to be called silent
        # before its promise runs out: else the primary would close because its replica has died.
        if self.self_fence_after < self.contact_fresh + 3 * self.tick:
            raise ValueError(
                f"promote_after is {self.promote_after:g} s: the isolated primary would have to begin to close "
                f"{self.self_fence_after:.2f} s after its last contact, and {self.contact_fresh + 3 * self.tick:g} s are still normal."
            )
        if self.lease * (1 - self.clock_error) - self.close_budget <= self.renew_every + self.contact_fresh:
            raise ValueError(f"lease is {self.lease:g} s: too short to be renewed every {self.renew_every:g} s.")
        if self.alone_after <= self.promote_after:
            raise ValueError("alone_after has to be longer than promote_after.")

    @property
    def close_budget(self) -> float:
        """From the decision to close until nobody can write, one late step included."""
        return self.close_within + self.kill_within + 2 * self.tick

    @property
    def promise(self) -> float:
        """What the receiver of a promise may count on, by its own clock."""
        return self.promote_after * (1 - self.clock_error)

    @property
    def self_fence_after(self) -> float:
        return self.promise - self.close_budget

    @property
    def evidence_fresh(self) -> float:
        """How old the newest proof may be that this node is not cut off, and how long it may have stood still.

        A question that the gateway has answered left this node together with a heartbeat, or one tick before. So a peer
        that heard that beat keeps still for as long as if it had said so.
        """
        return self.self_fence_after - self.tick

    @property
    def common(self) -> str:
        """What has to be equal on both nodes, as they tell it to each other: else one would open while the other one may still write."""
        witness = (self.driver or "yes") if self.witness else "none"
        return f"witness {witness}, promote_after {self.promote_after:g}, lease {self.lease:g}, clock_error {self.clock_error:g}"

    @property
    def outranks_peer(self) -> bool:
        """Where everything else is equal."""
        if self.preferred in (self.name, self.peer):
            return self.preferred == self.name
        return self.name < self.peer
