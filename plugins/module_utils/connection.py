# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to a server: a socket here, or TLS to the peer. Every wait on it is bounded."""

from __future__ import annotations

import ssl
import typing as t
from dataclasses import dataclass

from .errors import AccessDenied, LibraryMissing, StatementFailed, TandemError, Unreachable

try:
    import pymysql
    import pymysql.cursors

    HAS_PYMYSQL = True
except ImportError:
    HAS_PYMYSQL = False

_DENIED = (1044, 1045, 1130, 1698, 1862, 3118, 4151)
Row = dict[str, t.Any]


@dataclass(frozen=True)
class Endpoint:
    """Where a server is and as whom to log in. No password ever appears in its text."""

    host: str = ""
    port: int = 3306
    socket: str = ""
    user: str = "root"
    password: str = ""
    ca: str = ""
    connect_timeout: float = 5
    read_timeout: float = 30

    def __str__(self) -> str:
        return f"{self.user} at " + (self.socket or f"{self.host}:{self.port}")

    __repr__ = __str__


class Connection:
    """Statements in, rows out."""

    def __init__(self, endpoint: Endpoint) -> None:
        if not HAS_PYMYSQL:
            raise LibraryMissing("The Python library PyMySQL is missing on this machine.", "Install python3-pymysql.")
        self.endpoint = endpoint
        where: dict[str, t.Any] = {"unix_socket": endpoint.socket}
        if not endpoint.socket:
            where = {"host": endpoint.host, "port": endpoint.port, "ssl": _tls(endpoint.ca)}
        try:
            self._connection = pymysql.connect(
                **where,
                user=endpoint.user,
                password=endpoint.password,
                connect_timeout=max(1, int(endpoint.connect_timeout)),
                read_timeout=endpoint.read_timeout,
                write_timeout=endpoint.read_timeout,
                charset="utf8mb4",
                autocommit=True,
                cursorclass=pymysql.cursors.DictCursor,
            )
        except pymysql.err.MySQLError as error:
            code, text = _code_and_text(error)
            if code in _DENIED:
                raise AccessDenied(
                    f"Login as {endpoint} was refused: {text}.", "Does the password here differ from the one that server knows?"
                ) from error
            raise Unreachable(f"Login as {endpoint} got no answer: {text}.") from error
        except (OSError, RuntimeError) as error:  # RuntimeError: an authentication that needs a missing library
            raise Unreachable(f"Login as {endpoint} failed: {error}.") from error

    def rows(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[Row]:
        """All rows of a statement. A refusal never repeats the statement's arguments, which may be secret."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, tuple(arguments) or None)
                return list(cursor.fetchall() or ())
        except (pymysql.err.MySQLError, OSError) as error:
            code, text = _code_and_text(error)
            # Some servers quote the statement in the message.
            for argument in arguments:
                if isinstance(argument, str) and len(argument) >= 4:
                    text = text.replace(argument, "***")
            what = statement.partition("%s")[0].strip()
            raise StatementFailed(f"{self.endpoint} refused {what}: {text}.", code=code) from error

    def value(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> t.Any:
        """The first column of the first row, or None."""
        rows = self.rows(statement, arguments)
        return next(iter(rows[0].values())) if rows else None

    def close(self) -> None:
        try:
            self._connection.close()
        except (pymysql.err.MySQLError, OSError):
            return

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _tls(ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise TandemError(f"The CA certificate {ca} cannot be read: {error}.", "Run playbooks/base.yml.") from error
    # The authority of a pair is small: it need not carry every extension that the strict mode of newer Pythons wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _code_and_text(error: BaseException) -> tuple[int, str]:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    return code, text.rstrip(".")
