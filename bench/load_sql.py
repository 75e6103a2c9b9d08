"""Runs on a node: programs that write rows through the writer port, half of them on a new connection per row.

The others keep their connection, look before each row whether it was closed meanwhile, and open a new one if it was.
No row is written twice: what failed has failed. Outcomes:

  ok                         acknowledged
  closed between statements  a kept connection had ended; no row was lost by it (this is told beside the next row)
  connecting                 no connection came about
  during a statement         the connection ended before the answer: nobody knows whether the row is there
  read-only                  the server refused to write
  error NUMBER               anything else that the server said

The first line of the input is JSON: node, run, password, writers, interval, timeout. The end of the input ends the load.
Lines as those of load_http.py. Needs PyMySQL, which the collection installs on the nodes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from typing import Any

import pymysql

READ_ONLY = (1290, 1792, 1836, 3100)
LOST = (0, 2006, 2013)
_OUTPUT = threading.Lock()


def emit(event: list[object]) -> None:
    """One line, whole."""
    with _OUTPUT:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def was_closed(connection: Any) -> bool:
    """Has the other side ended this idle connection, or said something unasked (its last words)?"""
    plug = connection._sock
    if plug is None:
        return True
    if not select.select([plug], [], [], 0)[0]:
        return False
    try:
        plug.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def outcome_of(error: Exception) -> tuple[str, str]:
    """What an error during a statement is called, and its text."""
    number = error.args[0] if error.args else None
    if number in READ_ONLY:
        return "read-only", str(error)
    if not isinstance(error, pymysql.MySQLError) or number in LOST or not isinstance(number, int):
        return "during a statement", f"{type(error).__name__}: {error}"
    return f"error {number}", str(error)


class Writer(threading.Thread):
    """One program."""

    def __init__(self, asked: dict[str, Any], number: int, keeps: bool, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.asked, self.number, self.keeps, self.over = asked, number, keeps, over
        self.kind = "sql-kept" if keeps else "sql-new"
        self.connection: Any = None

    def connect(self) -> Any:
        """A new connection to the writer port."""
        return pymysql.connect(
            host="127.0.0.1",
            port=6446,
            user="bench",
            password=self.asked["password"],
            database="bench",
            autocommit=True,
            connect_timeout=self.asked["timeout"],
            read_timeout=self.asked["timeout"],
            write_timeout=self.asked["timeout"],
        )

    def drop(self) -> None:
        """Forget the connection, politely if it is still one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                connection.close()

    def write(self, token: str, due: float) -> None:
        """One row."""
        begun = time.time()
        if self.connection is not None and was_closed(self.connection):
            self.drop()
            emit([self.kind, due, begun, begun, "closed between statements", "", ""])
        try:
            if self.connection is None:
                self.connection = self.connect()
        except (pymysql.MySQLError, OSError) as error:
            emit([self.kind, due, begun, time.time(), "connecting", str(error), token])
            return
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("INSERT INTO writes (token, node) VALUES (%s, @@hostname)", (token,))
        except (pymysql.MySQLError, OSError) as error:
            outcome, detail = outcome_of(error)
            emit([self.kind, due, begun, time.time(), outcome, detail, token])
            if outcome == "during a statement":
                self.drop()
        else:
            emit([self.kind, due, begun, time.time(), "ok", "", token])
        if not self.keeps:
            self.drop()

    def run(self) -> None:
        """A row whenever one is due. A writer does one thing at a time: what it missed meanwhile it leaves out."""
        interval = float(self.asked["interval"])
        due = time.time() + interval * self.number / int(self.asked["writers"])
        count = 0
        while not self.over.wait(max(0.0, due - time.time())):
            self.write(f"{self.asked['run']}-{self.asked['node']}-{self.number}-{count}", due)
            count += 1
            due = max(due + interval, time.time())
        self.drop()


def main() -> None:
    """Write until told to end."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    asked = json.loads(line)
    over = threading.Event()
    writers = [Writer(asked, number, number % 2 == 1, over) for number in range(int(asked["writers"]))]
    for writer in writers:
        writer.start()
    while os.read(0, 1024):
        pass
    over.set()
    for writer in writers:
        writer.join(float(asked["timeout"]) + 5)


if __name__ == "__main__":
    main()
