# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this node hold the addresses? Pure: findings in, decision with its reason out.

A node gives the addresses up only to a peer that is known to be better, or when it has nothing to lose.
So the worst that both nodes being ill can do is that the addresses stay where they are.
"""

from __future__ import annotations

from .model import NETWORKS, Decision, Local, Peer, Verdict

# A peer whose reference has left this many pings unanswered may be about to find its own network dead:
# the cause may be common, and moving would help nobody.
SUSPICIOUS_STRIKES = 2
# A peer of this severity serves nothing.
UNABLE = 2


def decide(local: Local, peer: Peer, away: str = "") -> Decision:
    """Compare this node with its peer. away: why the agent wants the addresses on the peer; "": it does not."""
    own = local.severity()
    if away and _takes(peer, own):
        return Decision(True, away)
    if own is None:
        names = sorted(name for name, finding in local.findings.items() if finding.verdict is Verdict.STARTING)
        return Decision(None, f"not everything has been looked at yet: {', '.join(names)}")
    if local.frozen:
        return Decision(True, "this node stood still for longer than its peer waits; the peer may hold the addresses")
    if own == 0:
        return Decision(False, "this node can serve")
    down = local.down()
    causes = "; ".join(f"{name}: {local.findings[name].reason}" for name in down)
    if peer.severity is None:
        return _decide_alone(local, causes)
    if own <= peer.severity:
        theirs = ", ".join(peer.down) or "nothing"
        return Decision(False, f"the peer is no better ({theirs} down there); here {causes}")
    if peer.quiet and "web" not in down:
        return Decision(None, f"waiting: the peer was better, but its heartbeats are missing; here {causes}")
    if all(name in NETWORKS for name in down):
        doubtful = [name for name in down if peer.strikes.get(name, 0) >= SUSPICIOUS_STRIKES]
        if doubtful:
            return Decision(None, f"waiting for the peer's own look at {', '.join(doubtful)}; here {causes}")
    return Decision(True, f"the peer is better; here {causes}")


def _takes(peer: Peer, own: int | None) -> bool:
    """It is known, and lets go neither because it can serve nobody nor because this node is the better one."""
    return peer.severity is not None and (peer.severity < UNABLE if own is None else peer.severity <= own)


def _decide_alone(local: Local, causes: str) -> Decision:
    """The peer is silent. Letting go helps only if nobody can be served here anyway."""
    down = local.down()
    if "web" in down:
        return Decision(True, f"the peer is unknown, and nothing can be served here: {causes}")
    if "outside" in down and "inside" in down and local.findings["inside"].evidence == "reference":
        return Decision(True, f"this node is cut off on both sides: {causes}")
    return Decision(False, f"the peer is unknown, so this node serves as well as it can: {causes}")
