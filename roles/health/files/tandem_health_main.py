# Copyright (c) the tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tandem-health: watches this node and its peer, and tells keepalived and HAProxy what it sees."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
sys.modules["cryptography"] = None  # type: ignore[assignment]  # the local socket needs none of it: 8 MB less

from tandem_engine.agent.journald import Handler  # noqa: E402
from tandem_engine.health.config import Config, ConfigError, parse  # noqa: E402
from tandem_engine.health.daemon import Daemon  # noqa: E402


async def serve(config: Config, key: bytes) -> None:
    """Run until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(Daemon(config, key).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    gc.collect()
    gc.freeze()
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger("tandem.health").info("stopped")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tandem-health", description=__doc__)
    parser.add_argument("--config", type=pathlib.Path, default=pathlib.Path("/etc/tandem/health.json"))
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, handlers=[Handler("tandem-health")], format="%(message)s")
    try:
        config = parse(arguments.config.read_text(encoding="utf-8"))
        if arguments.check:
            return 0
        key = pathlib.Path(config.secret_file).read_bytes().strip()
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"<3>{arguments.config}: {error}\n")
        return 2
    if len(key) < 16:
        sys.stderr.write(f"<3>{config.secret_file}: the heartbeat secret has fewer than 16 characters\n")
        return 2
    asyncio.run(serve(config, key))
    return 0


if __name__ == "__main__":
    sys.exit(main())
