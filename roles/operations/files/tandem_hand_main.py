# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand of this node: requests on standard input, answers on standard output. See tandem_engine/hand."""

import os
import signal
import sys
import syslog

sys.path.insert(0, "/usr/local/lib/tandem/operations")
sys.dont_write_bytecode = True

from tandem_engine.errors import TandemError  # noqa: E402 - the path comes first
from tandem_engine.hand.actions import Actions  # noqa: E402
from tandem_engine.hand.config import HandConfig, Watch  # noqa: E402
from tandem_engine.hand.priority import go_first  # noqa: E402
from tandem_engine.hand.serve import Hand  # noqa: E402


def main() -> None:
    # What ends a session must not end what takes its operation back.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    go_first()
    syslog.openlog("tandem-hand", syslog.LOG_PID)
    answers = os.fdopen(os.dup(1), "w", buffering=1)

    def answer(line: str) -> None:
        answers.write(line + "\n")
        answers.flush()

    def say(text: str) -> None:
        syslog.syslog(syslog.LOG_NOTICE, text)

    try:
        settings = Watch()
        hand = Hand(Actions(HandConfig.load(), say=say), say, outdated=settings.changed)
        # Who stops it by name may: one that is kept ready ends at once, one that works when its work is done.
        signal.signal(signal.SIGTERM, lambda _number, _frame: hand.leave())
        hand.serve(iter(sys.stdin.readline, ""), answer)
    except TandemError as error:
        syslog.syslog(syslog.LOG_ERR, str(error))
        sys.exit(str(error))


if __name__ == "__main__":
    main()
