"""Runs on the client: asks the site for pages at a constant rate, each on a new connection, nothing tried again.

The rate is open-loop: a request starts when it is due, however many are still waiting, and its latency counts from the
moment it was due. So a pause is seen by every request that falls into it, not by the first one alone.

The first line of the input is JSON: host, name, rate, timeout, run. The end of the input ends the load. Every answer is
a line of JSON: [class, due, begun, ended, outcome, detail, token]; times are time.time(). Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time

# Six reads, three writes, one upload; writes are spread so that a short pause of writing shows.
MIX = ("read", "write", "read", "read-reader", "upload", "write", "read", "read-reader", "write", "read-reader")
SMALLEST, LARGEST = 20_000, 200_000
BOUNDARY = "----tandem-bench"
NOISE = random.Random(1).randbytes(LARGEST)


def emit(event: list[object]) -> None:
    """One line; whoever reads it may be gone."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Visitors:
    """All the requests of one load."""

    def __init__(self, asked: dict[str, object]) -> None:
        self.host = str(asked["host"])
        self.name = str(asked["name"])
        self.run = str(asked["run"])
        self.rate = float(str(asked["rate"]))
        self.timeout = float(str(asked["timeout"]))
        self.over = asyncio.Event()

    def request(self, kind: str, token: str) -> bytes:
        """The bytes of one request."""
        body, words, more = b"", "GET / HTTP/1.0", ""
        if kind == "read-reader":
            words = "GET /?via=reader HTTP/1.0"
        elif kind == "write":
            words, more, body = "POST / HTTP/1.0", "Content-Type: application/x-www-form-urlencoded\r\n", f"token={token}".encode()
        elif kind == "upload":
            words, more = "POST / HTTP/1.0", f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            start = random.randrange(LARGEST - SMALLEST)
            body = (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="token"\r\n\r\n{token}\r\n'
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{token}.bin"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode() + NOISE[start : start + random.randrange(SMALLEST, LARGEST - start + 1)]
            body += f"\r\n--{BOUNDARY}--\r\n".encode()
        if body:
            more += f"Content-Length: {len(body)}\r\n"
        return f"{words}\r\nHost: {self.name}\r\nConnection: close\r\n{more}\r\n".encode() + body

    async def ask(self, kind: str, due: float, token: str) -> None:
        """One request, told when it has ended."""
        begun, outcome, detail = time.time(), "ok", ""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self.timeout):
                reader, writer = await asyncio.open_connection(self.host, 80)
                writer.write(self.request(kind, token))
                await writer.drain()
                answer = await reader.read(-1)
            head, _blank, body = answer.partition(b"\r\n\r\n")
            words = head.split(None, 2)
            status = words[1].decode("ascii", "replace") if len(words) > 1 else "no status"
            if status != "200":
                outcome, detail = f"http {status}", body[:200].decode("utf-8", "replace").strip()
            elif b'"id":' not in body or not body.endswith(b"}\n"):
                outcome, detail = "http incomplete", body[:200].decode("utf-8", "replace").strip()
        except TimeoutError:
            outcome = "timeout"
        except OSError as error:
            outcome, detail = "connection", f"{type(error).__name__}: {error}"
        finally:
            if writer is not None:
                writer.close()
        emit([f"http-{kind}", due, begun, time.time(), outcome, detail, token])

    async def go(self) -> None:
        """Start a request whenever one is due, until the input ends; then wait for those that are under way."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self.wait_for_end, args=(loop,), daemon=True).start()
        tasks: set[asyncio.Task[None]] = set()
        begin, number = time.time(), 0
        while not self.over.is_set():
            due = begin + number / self.rate
            wait = due - time.time()
            if wait > 0:
                await asyncio.sleep(wait)
            kind = MIX[number % len(MIX)]
            token = f"{self.run}-h-{number}" if kind in ("write", "upload") else ""
            task = asyncio.create_task(self.ask(kind, due, token))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    def wait_for_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Unbuffered: a thread that waits in a buffered read disturbs the interpreter's end."""
        while os.read(0, 1024):
            pass
        loop.call_soon_threadsafe(self.over.set)


def first_line() -> bytes:
    """The configuration."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


async def main() -> None:
    """Load until told to end."""
    await Visitors(json.loads(first_line())).go()


if __name__ == "__main__":
    asyncio.run(main())
