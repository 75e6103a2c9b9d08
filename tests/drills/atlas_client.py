"""A client of a node's Atlas, and what it finds."""

from __future__ import annotations

import json
from typing import Any

import pair
from pair import PAIR, ssh

PORT = 1234
CLIENT = """
import json, sys
import pymysql
password, statements, seconds = json.loads(sys.stdin.readline())
said = []
try:
    with pymysql.connect(host="127.0.0.1", port=%d, user="blog", password=password, database="blog", autocommit=True,
                         connect_timeout=seconds, read_timeout=seconds) as c, c.cursor() as q:
        for statement in statements:
            q.execute(statement)
            said.append([list(map(str, row)) for row in q.fetchall()])
except pymysql.err.MySQLError as error:
    said.append(repr(error))
print(json.dumps(said))
"""


def ask(node: str, *statements: str, seconds: int = 10) -> list[Any]:
    """What a client of this node's Atlas is told, each on one connection; the last one is the error, if there is one.

    seconds: for how long it waits for each answer.
    """
    ssh(node, "cat > /root/tandem-atlas-client.py", CLIENT % PORT)
    done = ssh(node, "python3 /root/tandem-atlas-client.py", json.dumps([pair.site_password(), statements, seconds]) + "\n")
    return list(json.loads(done.text.splitlines()[-1]))


def prepare_to_ask(node: str, statement: str) -> None:
    """What ask_in_background asks, so that it begins at once."""
    ssh(node, "cat > /root/tandem-atlas-client.py", CLIENT % PORT)
    ssh(node, "cat > /root/tandem-atlas-question", json.dumps([pair.site_password(), [statement], 10]) + "\n")


def ask_in_background(node: str, clients: int) -> None:
    """Nobody waits for what these clients are told."""
    ssh(node, "python3 /root/tandem-atlas-client.py < /root/tandem-atlas-question > /dev/null 2>&1 & " * clients)


# The number of a server is that of its node: it need not be asked, and may be dead.
BY_SERVER_ID = {str(pair.NODES[node]): node for node in PAIR}


def reads_from(node: str) -> str:
    """The node whose database a SELECT through this node's Atlas reaches."""
    said = ask(node, "SELECT @@server_id")
    assert isinstance(said[0], list), said
    return BY_SERVER_ID[said[0][0][0]]


def writes_to(node: str) -> str:
    said = ask(node, "/*master*/ SELECT @@server_id")
    assert isinstance(said[0], list), said
    return BY_SERVER_ID[said[0][0][0]]
