"""Runs on a node: writes numbered rows, each on a new connection, nothing tried again; through the writer port, unless told host and port.

A row begins when it is due, however many are still waiting: so the end of an outage is seen at once.
The first line of the input is JSON: run, node, user, password, schema, interval, timeout; host, port. The end of the input ends it.
Each answer is a line of JSON: [what, begun, ended, outcome, number]; times are time.time(). Needs PyMySQL.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import pymysql

MOST = 120  # rows under way
_OUTPUT = threading.Lock()


def emit(event: list[object]) -> None:
    """One line, whole."""
    with _OUTPUT:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def write(asked: dict[str, Any], number: str, free: threading.Semaphore) -> None:
    """One row. The cursor's answer is the acknowledgement."""
    begun, outcome = time.time(), "ok"
    try:
        connection = pymysql.connect(
            host=asked.get("host", "127.0.0.1"), port=asked.get("port", 6446),
            user=asked["user"], password=asked["password"], database=asked["schema"], autocommit=True,
            connect_timeout=asked["timeout"], read_timeout=asked["timeout"], write_timeout=asked["timeout"],
        )  # fmt: skip
        try:
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO tandem_ledger (number, via, node) VALUES (%s, 'sql', @@hostname)", (number,))
        finally:
            ended = time.time()
            connection.close()
    except (pymysql.MySQLError, OSError) as error:
        ended, outcome = time.time(), repr(error)[:160]
    finally:
        free.release()
    emit(["sql", begun, ended, outcome, number])


def main() -> None:
    """Write until told to end."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    asked = json.loads(line)
    over, free = threading.Event(), threading.Semaphore(MOST)

    def wait_for_end() -> None:
        while os.read(0, 1024):
            pass
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    # Each start of this program counts from another number: it may have been started again after its node's death.
    name, begin, count = f"{asked['run']}-{asked['node']}-{time.time_ns() // 1_000_000:x}", time.monotonic(), 0
    threads: list[threading.Thread] = []
    while not over.wait(max(0.0, begin + count * asked["interval"] - time.monotonic())):
        count += 1
        if free.acquire(blocking=False):
            threads = [thread for thread in threads if thread.is_alive()]
            threads.append(threading.Thread(target=write, args=(asked, f"{name}-{count}", free), daemon=True))
            threads[-1].start()
    for thread in threads:
        thread.join(asked["timeout"] + 1)


if __name__ == "__main__":
    main()
