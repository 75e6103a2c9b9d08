"""Runs on a node: asks its database 100 times a second whether it takes writes. The end of the input ends it.

Each look is a line of JSON: ["look", asked, answered, "open" | "closed" | "gone", ""]; times are time.time(). Needs PyMySQL.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

import pymysql

INTERVAL = 0.01


def main() -> None:
    """Look until told to end."""
    connection: Any = None
    while True:
        begun = time.time()
        try:
            connection = connection or pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", connect_timeout=1, read_timeout=1)
            begun = time.time()
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@global.read_only")
                word = "closed" if cursor.fetchone()[0] else "open"
        except (pymysql.MySQLError, OSError):
            connection, word = None, "gone"
        sys.stdout.write(json.dumps(["look", begun, time.time(), word, ""]) + "\n")
        sys.stdout.flush()
        if select.select([0], [], [], INTERVAL)[0] and not os.read(0, 1024):
            return


if __name__ == "__main__":
    main()
