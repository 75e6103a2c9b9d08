"""Nodes to try the collection on: podman containers that boot systemd, on networks of their own.

  lab.py up                        server1, server2 and client, made if need be
  lab.py fault kill server1        the power cable; "fault start server1" plugs it in again
  lab.py fault cut server1 outside the network swallows everything, the link light stays on; "heal" ends it
  lab.py shell server1             a root shell
  lab.py down                      removes this lab; "clean" removes all labs and images of this checkout
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys

import faults
import image
import nodes
import runtime
from shell import STATE, LabError, as_root, say


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(prog="lab.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = argparse.ArgumentParser(add_help=False)
    for to, top in ((line, True), (shared, False)):

        def default(variable: str, value: str, top: bool = top) -> str:
            return os.environ.get(variable, value) if top else argparse.SUPPRESS

        to.add_argument("--name", default=default("TANDEM_LAB", "demo"), help="keeps labs apart (TANDEM_LAB, demo)")
        to.add_argument("--net", type=int, default=default("TANDEM_LAB_NET", "77"), help="second octet (TANDEM_LAB_NET, 77)")
        to.add_argument(
            "--distro",
            choices=sorted(image.DISTROS),
            default=default("TANDEM_LAB_DISTRO", "bookworm"),
            help="of the nodes (TANDEM_LAB_DISTRO, bookworm)",
        )
    commands = line.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("image", parents=[shared], help="make the node image")
    start = commands.add_parser("up", parents=[shared], help="make and start what is missing")
    start.add_argument("--no-client", action="store_true", help="servers only")
    commands.add_parser("stop", parents=[shared], help="stop the nodes, keep them")
    commands.add_parser("logs", parents=[shared], help="save the nodes' journals in .cache/lab")
    commands.add_parser("down", parents=[shared], help="remove this lab")
    commands.add_parser("clean", parents=[shared], help="remove all labs and images of this checkout")
    show = commands.add_parser("status", parents=[shared], help="show the nodes")
    show.add_argument("--json", action="store_true")
    execute = commands.add_parser("exec", parents=[shared], help="run a command in a node")
    execute.add_argument("node")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    shell = commands.add_parser("shell", parents=[shared], help="a shell in a node")
    shell.add_argument("node")
    fault = commands.add_parser("fault", parents=[shared], help="break or mend something")
    fault.add_argument("action", choices=faults.ACTIONS)
    fault.add_argument("node")
    fault.add_argument("side", nargs="?", choices=sorted(nodes.NETWORKS))
    return line


def show_status(lab: nodes.Lab, as_json: bool) -> None:
    """Print the nodes."""
    rows = nodes.status(lab)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    columns = ("node", "state", "outside", "inside", "management", "image")
    table = [columns, *(tuple(row.get(column, "-") for column in columns) for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def main() -> int:
    """Do what the command line says."""
    asked = parser().parse_args()
    if not 1 <= asked.net <= 254:
        raise LabError(f"--net is the second octet of 10.NET.0.0/16, 1 to 254, not {asked.net}")
    runtime.prepare()
    lab = nodes.Lab(asked.name, asked.net)
    match asked.command:
        case "image":
            print(image.ensure(asked.distro))
        case "up":
            nodes.up(lab, asked.distro, [node for node in nodes.HOSTS if node != "client" or not asked.no_client])
        case "stop":
            nodes.stop(lab)
        case "logs":
            nodes.save_logs(lab)
        case "down":
            nodes.forget_connections(lab, nodes.HOSTS)
            nodes.remove(lab.name)
            say(f"lab {lab.name} is gone")
        case "clean":
            for name in nodes.labs():
                nodes.remove(name)
                say(f"lab {name} is gone")
            used = image.remove_made()
            shutil.rmtree(STATE, ignore_errors=True)
            say(f"images made here are gone{', but for those that other labs use: ' + ', '.join(used) if used else ''}")
        case "status":
            show_status(lab, asked.json)
        case "exec":
            words = asked.words[1:] if asked.words[:1] == ["--"] else asked.words
            tty = ["--interactive"] if not sys.stdin.isatty() else []
            command = as_root(["podman", "exec", *tty, nodes.require(lab, asked.node), *words])
            return subprocess.run(command, check=False).returncode
        case "shell":
            command = as_root(["podman", "exec", "--interactive", "--tty", nodes.require(lab, asked.node), "bash", "--login"])
            return subprocess.run(command, check=False).returncode
        case "fault":
            faults.apply(lab, asked.action, asked.node, asked.side)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(1)
