"""Runs on the client: asks for a page every 10 ms, each time on a new connection, and says when no answer came.

Prints "ready" once the site answers, then goes on until the site was gone and has been back for a while (or nothing
happened for too long), then prints one JSON object. Standard library only: it is fed to the client's python3.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

INTERVAL = 0.010
TIMEOUT = 0.5
STEADY = 50  # good answers in a row that count as "it works"
SETTLED = 1.5  # seconds of good answers after which a gap is over
VISIBLE = 0.05  # a silence shorter than this is the resolution, not a gap


class Prober:
    """Good answers by the time they arrived, bad ones by the time they were asked."""

    def __init__(self, host: str, path: str) -> None:
        self.host = host
        self.request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        self.good: list[float] = []
        self.bad: list[tuple[float, str]] = []

    async def ask(self) -> None:
        """One request."""
        asked = time.monotonic()
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_connection(self.host, 80)
                writer.write(self.request)
                status = await reader.readline()
            words = status.split()
            if len(words) > 1 and words[1] == b"200":
                self.good.append(time.monotonic())
            else:
                self.bad.append((asked, f"status {status[:40]!r}"))
        except (OSError, TimeoutError) as error:
            self.bad.append((asked, type(error).__name__))
        finally:
            if writer is not None:
                writer.close()

    def gap(self) -> tuple[float, float]:
        """Beginning and length of the longest silence between two good answers."""
        longest, begin = 0.0, 0.0
        for before, after in zip(self.good, self.good[1:], strict=False):
            if after - before > longest:
                longest, begin = after - before, before
        return begin, longest

    def is_over(self) -> bool:
        """Was there a gap, and has the site answered well for a while since?"""
        begin, length = self.gap()
        return length > VISIBLE and self.good[-1] - (begin + length) > SETTLED and (not self.bad or self.good[-1] - self.bad[-1][0] > SETTLED)


async def watch(host: str, path: str, limit: float) -> None:
    """Ask until it is over."""
    prober = Prober(host, path)
    tasks: set[asyncio.Task[None]] = set()
    begin = time.monotonic()
    due, checked, announced = begin, begin, False
    while time.monotonic() - begin < limit:
        task = asyncio.create_task(prober.ask())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += INTERVAL
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not announced and len(prober.good) >= STEADY:
            announced = True
            prober.good, prober.bad = prober.good[-1:], []
            print("ready", flush=True)
        if announced and time.monotonic() - checked > 0.25:
            checked = time.monotonic()
            if prober.is_over():
                break
    await asyncio.gather(*tasks)
    _begin, length = prober.gap()
    kinds: dict[str, int] = {}
    for _when, kind in prober.bad:
        kinds[kind] = kinds.get(kind, 0) + 1
    print(json.dumps({"ready": announced, "gap_ms": round(length * 1000), "good": len(prober.good), "failed": len(prober.bad), "kinds": kinds}))


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], sys.argv[2], float(sys.argv[3])))
