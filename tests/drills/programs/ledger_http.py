"""Runs on the client: writes numbered rows and asks for pages through the outside address, nothing tried again.

The first line of the input is JSON: host, path, run, writers, interval, page_interval, connect, timeout. The end of the
input ends it. Each answer is a line of JSON: [what, begun, ended, outcome, number]; times are time.time().
Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time

PAGE_TIMEOUT = 0.5


def emit(event: list[object]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Visitors:
    """Writers do one thing at a time, as applications do; pages are asked for whether the last one came or not."""

    def __init__(self, asked: dict[str, object]) -> None:
        self.asked = asked
        self.host, self.path = str(asked["host"]), str(asked["path"])
        self.over = asyncio.Event()

    async def ask(self, what: str, number: str, timeout: float) -> bool:
        """One request, told when it has ended."""
        body = f"number={number}" if number else ""
        head = f"{'POST' if number else 'GET'} {self.path} HTTP/1.0\r\nHost: {self.host}\r\nConnection: close\r\n"
        if number:
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        wanted = f"written {number}\n" if number else "page\n"
        begun, outcome = time.time(), "ok"
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(timeout):
                async with asyncio.timeout(float(str(self.asked["connect"]))):
                    reader, writer = await asyncio.open_connection(self.host, 80)
                writer.write(f"{head}\r\n{body}".encode())
                answer = await reader.read(-1)
            top, _blank, said = answer.partition(b"\r\n\r\n")
            words = top.split(None, 2)
            if len(words) < 2 or words[1] != b"200" or said.decode("utf-8", "replace") != wanted:
                outcome = f"http {words[1].decode('ascii', 'replace') if len(words) > 1 else 'no status'}: {said[:120].decode('utf-8', 'replace').strip()}"
        except TimeoutError:
            outcome = "timeout"
        except OSError as error:
            outcome = type(error).__name__
        finally:
            if writer is not None:
                writer.close()
        emit([what, begun, time.time(), outcome, number])
        return outcome == "ok"

    async def write(self, place: int) -> None:
        """One writer."""
        interval, count = float(str(self.asked["interval"])), 0
        await asyncio.sleep(interval * place / int(str(self.asked["writers"])))
        while not self.over.is_set():
            due = time.monotonic() + interval
            await self.ask("http", f"{self.asked['run']}-h{place}-{count}", float(str(self.asked["timeout"])))
            count += 1
            await asyncio.sleep(max(0.005, due - time.monotonic()))

    async def look(self) -> None:
        """All pages."""
        tasks: set[asyncio.Task[bool]] = set()
        begin, number = time.monotonic(), 0
        while not self.over.is_set():
            task = asyncio.create_task(self.ask("page", "", PAGE_TIMEOUT))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, begin + number * float(str(self.asked["page_interval"])) - time.monotonic()))
        await asyncio.gather(*tasks)

    async def go(self) -> None:
        """Until the input ends; what is under way is waited for."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self.wait_for_end, args=(loop,), daemon=True).start()
        await asyncio.gather(self.look(), *(self.write(place) for place in range(int(str(self.asked["writers"])))))

    def wait_for_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Unbuffered: a thread that waits in a buffered read disturbs the interpreter's end."""
        while os.read(0, 1024):
            pass
        loop.call_soon_threadsafe(self.over.set)


async def main() -> None:
    """Load until told to end."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    await Visitors(json.loads(line)).go()


if __name__ == "__main__":
    asyncio.run(main())
