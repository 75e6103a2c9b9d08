# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tandem: look at this pair and move its roles, on a node, without a controller."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

from tandem_engine.agent import orders  # noqa: E402 - the path comes first
from tandem_engine.agent.acts import Acts  # noqa: E402
from tandem_engine.agent.model import Order  # noqa: E402
from tandem_engine.agent.store import Store  # noqa: E402
from tandem_engine.agent.why import HELD  # noqa: E402
from tandem_engine.drill import fault as faults  # noqa: E402
from tandem_engine.drill import gates, rows, story, watching  # noqa: E402
from tandem_engine.errors import Refused, TandemError  # noqa: E402
from tandem_engine.fence import here as fences  # noqa: E402
from tandem_engine.hand.client import HandClient, peer_command  # noqa: E402
from tandem_engine.hand.config import HandConfig  # noqa: E402
from tandem_engine.operations import addresses, failover, running, switchover  # noqa: E402

DIRECTORY = "/var/lib/tandem-health"
URL = "http://127.0.0.1:9200"
HERE, THERE = "/run/tandem-hand/here.sock", "/run/tandem-hand/peer.sock"
DEFAULT_PAUSE, LONGEST_PAUSE = 60.0, 7 * 24 * 60.0  # minutes


def text(path: str) -> str:
    """What the daemon says there. Raises Refused where it does not."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{URL}{path}", timeout=5) as answer:
            return answer.read().decode()
    except OSError as error:
        raise Refused(f"The daemon of this node does not answer: {error}.", "systemctl status tandem-health") from error


def status() -> dict:
    """What the daemon of this node knows."""
    return json.loads(text("/status.json"))


def agent_of(seen: dict) -> dict:
    """Its agent's part. Raises Refused where it has none."""
    if seen.get("agent_problem"):
        raise Refused(f"The agent of this node could not start: {seen['agent_problem']}", "Mend that, then: systemctl restart tandem-health")
    if not seen.get("agent"):
        raise Refused("No agent runs on this node.",
                      "Set tandem_failover to automatic or manual, then run site.yml; if it is set, see journalctl -u tandem-health.")  # fmt: skip
    return seen["agent"]


def show(args: argparse.Namespace) -> int:
    """One line per thing that matters."""
    seen = status()
    if args.json:
        print(json.dumps(seen, indent=2, sort_keys=True))
        return 0
    agent, database, peer = agent_of(seen), seen["database"], seen["peer"]
    said = (peer.get("state") or {}) if peer["alive"] else {}
    rows = [
        ("node", seen["node"], peer["node"]),
        ("agent", agent["state"], (peer.get("agent") or {}).get("state", "?") if peer["alive"] else "silent"),
        ("database", database["role"] or database["text"], said.get("role") or "?"),
        ("down", ", ".join(n for n, f in seen["findings"].items() if f["verdict"] == "down") or "nothing",
         ", ".join(peer["down"]) or ("nothing" if peer["alive"] else "?")),
    ]  # fmt: skip
    for name, here, there in rows:
        print(f"{name:<10} {here:<28} {there}")
    print(f"{'because':<10} {agent['reason']}")
    print(f"{'failover':<10} {agent['policy']['failover']}{_paused(agent)}{_cooling(agent)}")
    if agent.get("last_failover"):
        print(f"{'last one':<10} {_moment(agent['last_failover'])}, {_acknowledged(agent)}")
    if agent.get("held"):
        print(f"{'held':<10} by {HELD}")
    for name in agent["alarms"]:
        print(f"ALARM      {name.replace('_', ' ')}")
    return 1 if agent["alarms"] else 0


def _paused(agent: dict) -> str:
    until = agent.get("paused_until") or 0
    return f", paused until {time.strftime('%H:%M:%S', time.localtime(until))}" if until > time.time() else ""


def _moment(unix: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix))


def _cooling(agent: dict) -> str:
    until = agent.get("cooldown_until")
    return f", not after the end of the database alone before {time.strftime('%H:%M:%S', time.localtime(until))} (tandem ack)" if until else ""


def _acknowledged(agent: dict) -> str:
    at = agent.get("acknowledged_at") or 0
    return f"acknowledged {_moment(at)}" if at >= agent["last_failover"] else "not acknowledged"


def why(_args: argparse.Namespace) -> int:
    """Why it is as it is, and what a promotion of this node lacks."""
    agent_of(status())
    print(text("/why"), end="")
    return 0


def journal(args: argparse.Namespace) -> int:
    """What happened on this node."""
    for made in json.loads(text("/history.json"))["entries"][-args.lines :]:
        print(f"{made['time']}  {made['node']}  {happened(made)}")
    return 0


def happened(made: dict) -> str:
    """An entry of the journal: what it was, what it was about, and the first line of why."""
    what = [f"{made['from']} -> {made['to']}" if made["to"] else made["kind"]]
    reason = made["reason"].splitlines()[0] if made["reason"] else ""
    details = made.get("details") or {}
    about = details.get("action") or details.get("name")
    what += [str(about)] if about and about != reason else []
    return ": ".join([*what, reason])


def minutes(word: str) -> float:
    """How long a pause may be. Raises ArgumentTypeError."""
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number <= LONGEST_PAUSE:
        raise argparse.ArgumentTypeError(f"{word} is no number of minutes between 0 and {LONGEST_PAUSE:g}")
    return number


def pause(args: argparse.Namespace) -> int:
    """Nothing is decided for a while. Both nodes hear of it."""
    until = time.time() + args.minutes * 60
    Store(DIRECTORY).pause(until, time.time())
    print(f"Paused until {time.strftime('%H:%M:%S', time.localtime(until))}. An isolated primary still closes itself.")
    _other_node()
    return 0


def resume(_args: argparse.Namespace) -> int:
    """Also what was paused on the other node."""
    Store(DIRECTORY).pause(0, time.time())
    print("The agent decides again.")
    _other_node()
    return 0


def _other_node() -> None:
    """Who else is told. Without the daemon nobody is, yet."""
    try:
        peer = status()["peer"]
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return
    heard = "hears of it with the next heartbeat." if peer["alive"] else "is silent. It is told as soon as it is heard."
    print(f"{peer['node']} {heard}")


def acknowledge(_args: argparse.Namespace) -> int:
    seen = status()
    last = agent_of(seen).get("last_failover")
    if not last:
        print("There was no failover.")
        return 0
    # The other node's clock may have been ahead when it made that failover.
    Store(DIRECTORY).say(acknowledged_at=max(time.time(), last))
    print("The last failover is acknowledged: the next one waits for no cool-down.")
    _other_node()
    return 0


def order_open(args: argparse.Namespace) -> int:
    """A person knows that the other node is dead."""
    if not args.yes:
        raise Refused("Only if the other node is surely off: what it has alone would be lost, and two primaries would be worse.",
                      "Look at it, then say --yes.")  # fmt: skip
    seen = status()
    agent_of(seen)
    peer = seen["peer"]
    if seen["database"]["role"] == "primary":
        raise Refused("The database of this node takes writes already.", "Nothing was changed.")
    if peer["alive"] and ((peer["state"] or {}).get("role") == "primary" or (peer["agent"] or {}).get("database") == "open"):
        raise Refused(f"{peer['node']} is alive, and its database takes writes.", "tandem switchover moves its role, or tandem failover if it is ill.")
    Store(DIRECTORY).say(**orders.given(Order.OPEN))
    print(f"The agent opens this node's database, or forgets that after {orders.LASTS:g} s. See: tandem status")
    return 0


def switch_over(args: argparse.Namespace) -> int:
    """To the other node, or to the one that is named."""
    config = HandConfig.load()
    open_here = status()["database"]["role"] == "primary"
    target = args.to or (config.peer.name if open_here else config.node.name)
    if target not in (config.node.name, config.peer.name):
        raise Refused(f"{target} is not one of {config.node.name}, {config.peer.name}.", "Nothing was changed.")
    with running.hands(config) as (here, there):
        old, new = (here, there) if target == config.peer.name else (there, here)
        operation = addresses.between(old, new, switchover.Wish(move_vips=not args.keep_addresses, atlas_offline=args.atlas_offline))
        return _tell(operation, running.story, args.plan)


def fail_over(args: argparse.Namespace) -> int:
    """This node becomes the primary."""
    config = HandConfig.load()
    wish = failover.Wish(peer_is_dead=args.peer_is == "dead", force_fence=args.force_fence, give_up_rescue=args.give_up_rescue)
    with failover.hands(config) as (here, there, reason):
        return _tell(failover.Failover(here, there, config.peer.name, wish, reason), failover.story, args.plan)


def _tell(operation, story, plan_only: bool) -> int:
    try:
        if operation.report.result != addresses.NOTHING:
            (operation.rehearse if plan_only else operation.run)()
    finally:
        print("\n".join(story(asdict(operation.report))))
    return 0


def fence(_args: argparse.Namespace) -> int:
    """Close this node's database, whatever runs. It stays closed."""
    how, proof = fences.fence_here(HandConfig.load())
    print(f"{how}; {proof}")
    print("The agent leaves it so until: tandem unfence")
    return 0


def unfence(args: argparse.Namespace) -> int:
    """What tandem fence and playbooks/fence.yml did. The database opens only if it was open, and the other one surely takes no writes."""
    config = HandConfig.load()
    outcome, left = fences.unfence_here(config, args.peer_is == "dead")
    print("\n".join([*(outcome.actions or ["nothing to do"]), *outcome.proof.values()]))
    if left:
        print(f"Still fenced by {', '.join(left)}: playbooks/unfence.yml -e node={config.node.name} -e drivers={','.join(left)}")
    return 0


def rejoin(args: argparse.Namespace) -> int:
    """Follow the primary again. Data are replaced only where that was asked for."""
    config = HandConfig.load()
    acts = Acts(config.node.name, config.peer.name, HERE, THERE)
    print(acts.replace() if args.replace else acts.rejoin())
    return 0


DRILLS = {
    "kill-database": "kill -9 of the server: on the primary the other node takes over, on the replica commits wait for a moment",
    "kill-nginx": "kill -9 of all of nginx: systemd starts it again, or the addresses move",
    "kill-php-fpm": "kill -9 of all of php-fpm: pages come from the other node's",
    "kill-keepalived": "kill -9 of all of keepalived: the addresses move",
    "kill-agent": "kill -9 of the daemon: systemd starts it again, no role moves",
    "stop-database": "the server stands still for 3 seconds: slow is not dead, nothing moves",
}
BREAKS_AFTER, STANDS_STILL, WHOLE_WITHIN = 3.0, 3.0, 180.0  # seconds


def drill(args: argparse.Namespace) -> int:
    """Break one thing of this node, and see what becomes of everything that is written meanwhile on either node."""
    if args.name == "list":
        for name, about in DRILLS.items():
            print(f"{name:<16} {about}")
        return 0
    if not BREAKS_AFTER + STANDS_STILL < args.seconds <= 300:
        raise Refused(f"--seconds is between {BREAKS_AFTER + STANDS_STILL:g} and 300.", "Nothing was broken.")
    seen, config = status(), HandConfig.load()
    print(f"{args.name} on {seen['node']}, {agent_of(seen)['state']}: {DRILLS[args.name]}")
    print(f"Small rows are written to both databases for {args.seconds:g} s, as an application would, and removed afterwards.")
    lacks = gates.missing(seen)
    if lacks:
        raise Refused(f"Nothing was broken: {'; '.join(lacks)}.", "A drill begins with a whole pair that looks after itself. See: tandem why")
    if not args.yes:
        raise Refused("Nothing was broken.", "Say --yes.")
    there = HandClient(config.peer.name, peer_command(config.peer))
    try:
        there.greet()
        verdict = _drilled(args.name.replace("-", "_"), args.seconds, config, there)
    finally:
        there.close()
    return 0 if story.faultless(verdict) else 1


def _drilled(fault: str, seconds: float, config: HandConfig, there: HandClient) -> dict:
    run, struck = f"{int(time.time()):x}", []

    def strike() -> None:
        struck.extend(faults.strike(fault, faults.processes(faults.FAULTS[fault][0]), hold=STANDS_STILL))

    still = fault == "stop_database"
    plan = watching.Plan(seconds, BREAKS_AFTER, STANDS_STILL if still else 0.0, strike, lambda: faults.release(struck) if still else None)
    page = f"http://{config.vips[0].address.split('/')[0]}/healthz" if config.vips else ""
    with ThreadPoolExecutor(1) as thread:
        theirs = thread.submit(there.call, "drill_watch", seconds + 60, run=run, seconds=seconds)
        mine = asdict(watching.watch(config.canary(), run, config.node.name, page, plan))
        seen = {config.node.name: mine, config.peer.name: theirs.result()}
    wanted = sum(len(one["acknowledged"]) for one in seen.values())
    whole = _wait(lambda: not gates.broken(status()), WHOLE_WITHIN)
    _wait(lambda: min(len(found["present"]) for found in _rows(config, there, run, False).values()) >= wanted, 10)
    found = _rows(config, there, run, False)
    verdict = story.judge({name: {"seen": seen[name], "struck": struck if name == config.node.name else [], **found[name]} for name in seen})
    _rows(config, there, run, True)
    print("\n".join(story.tell(fault, verdict)))
    print("  the pair is whole again" if whole else f"  NOT whole again after {WHOLE_WITHIN:g} s: {'; '.join(gates.broken(status()))}")
    return verdict


def _rows(config: HandConfig, there: HandClient, run: str, remove: bool) -> dict:
    return {config.node.name: rows.rows(config.root(), run, remove), config.peer.name: there.call("drill_rows", run=run, remove=remove)}


def _wait(condition, seconds: float) -> bool:
    """What cannot be asked is not so yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except (TandemError, ValueError, KeyError):
            pass
        time.sleep(0.5)
    return False


def main() -> int:
    """Entry point. 0: done, 1: not done or an alarm, 2: wrong use."""
    parser = argparse.ArgumentParser(prog="tandem", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def verb(name: str, do, about: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=about, description=about)
        one.set_defaults(do=do)
        return one

    verb("status", show, "how both nodes are").add_argument("--json", action="store_true", help="everything the daemon knows")
    verb("why", why, "why it is as it is, and why there is no failover")
    verb("journal", journal, "what happened on this node").add_argument("-n", "--lines", type=int, default=30)
    verb("pause", pause, "decide nothing for a while").add_argument("minutes", type=minutes, nargs="?", default=DEFAULT_PAUSE)
    verb("resume", resume, "end the pause")
    verb("ack", acknowledge, "acknowledge the last failover: no cool-down")
    verb("open", order_open, "open here: the other node is dead").add_argument("--yes", action="store_true", help="it is surely off")
    one = verb("switchover", switch_over, "move the role of the primary while everybody works")
    one.add_argument("--to", metavar="NODE", help="the new primary; without it, the other one")
    one.add_argument("--keep-addresses", action="store_true", help="leave the addresses where they are")
    one.add_argument("--atlas-offline", action="store_true", help="take every Atlas' writer offline meanwhile: refuses writes, is not needed")
    one.add_argument("--plan", action="store_true", help="the gates and the plan only")
    one = verb("failover", fail_over, "make this node the primary")
    one.add_argument("--peer-is", choices=["unknown", "dead"], default="unknown")
    one.add_argument("--force-fence", action="store_true", help="close a primary that still takes writes")
    one.add_argument("--give-up-rescue", action="store_true", help="go on without what only the old primary has")
    one.add_argument("--plan", action="store_true", help="the evidence, the gates and the plan only")
    verb("fence", fence, "close the database of this node, and keep it closed")
    one = verb("unfence", unfence, "take that fence away")
    one.add_argument("--peer-is", choices=["unknown", "dead"], default="unknown")
    one = verb("rejoin", rejoin, "follow the primary again")
    one.add_argument("--replace", action="store_true", help="save what this node has too many, and copy the primary's data over it")
    one = verb("drill", drill, "break one thing of this node on purpose, and see how the pair takes it")
    one.add_argument("name", choices=["list", *DRILLS], metavar="NAME", help="list, or one of: " + ", ".join(DRILLS))
    one.add_argument("--seconds", type=float, default=20, help="for how long both nodes are watched")
    one.add_argument("--yes", action="store_true", help="break it")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("tandem: only root may ask.", file=sys.stderr)
        return 2
    try:
        return int(args.do(args))
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
