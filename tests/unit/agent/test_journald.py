# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What journald is sent, read back by its own rules."""

from __future__ import annotations

import logging
import socket
import struct
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.journald import Handler, event


def fields(datagram: bytes) -> dict[str, str]:
    """As "Native Journal Protocol" says it is read."""
    found = {}
    while datagram:
        line, _sep, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest.startswith(b"\n")
            rest = rest[1:]
        found[name.decode()] = value.decode()
        datagram = rest
    return found


@pytest.fixture
def journal(tmp_path: Path):
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(5)
        logger = logging.getLogger("tandem.test.journald")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        handler = Handler("tandem-health", path)
        logger.addHandler(handler)
        yield logger, sock, path
        logger.removeHandler(handler)
        handler.close()


def test_an_event_has_its_fields_beside_the_message(journal):
    logger, sock, _path = journal
    logger.warning("%s -> %s", "primary", "closed", extra=event("transition", to="closed", epoch=7, rule=None))
    assert fields(sock.recv(65536)) == {
        "MESSAGE": "primary -> closed",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "tandem-health",
        "LOGGER": "tandem.test.journald",
        "TANDEM_EVENT": "transition",
        "TANDEM_TO": "closed",
        "TANDEM_EPOCH": "7",
    }


def test_a_line_break_in_a_value_makes_no_field(journal):
    logger, sock, _path = journal
    logger.error("one\nMESSAGE_ID=forged", extra=event("failed", action="a\nPRIORITY=0"))
    found = fields(sock.recv(65536))
    assert found["MESSAGE"] == "one\nMESSAGE_ID=forged"
    assert found["TANDEM_ACTION"] == "a\nPRIORITY=0"
    assert found["PRIORITY"] == "3"
    assert "MESSAGE_ID" not in found


def test_without_a_journal_it_goes_to_standard_error(journal, capsys):
    logger, _sock, path = journal
    Path(path).unlink()
    logger.info("still said\ntwice")
    assert capsys.readouterr().err == "<6>still said | twice\n"


def test_a_full_journal_delays_nobody(journal, capsys):
    logger, _sock, _path = journal
    for number in range(10_000):
        logger.info("line %d", number)
        if capsys.readouterr().err:
            break
    else:
        pytest.fail("the journal never was full")
