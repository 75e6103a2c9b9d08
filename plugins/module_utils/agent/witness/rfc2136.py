# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A witness in the DNS: a TXT record that its primary server changes only if it still is what it was (RFC 2136, 2.4).

Asked by TCP, so that no question arrives twice, and signed (TSIG) both ways.
"""

from __future__ import annotations

import base64
import time
import typing as t
from dataclasses import dataclass

from .register import Misconfigured, Unreachable, WitnessError

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.rdtypes.ANY.TXT
    import dns.tsig
    import dns.update

    HAS_DNS = True
except ImportError:
    HAS_DNS = False

# Seconds.
ANSWER = 1.0
_PIECE = 200  # of the 255 bytes that a character-string may have


@dataclass(frozen=True)
class DnsSettings:
    """server: address of the zone's primary. secret_file holds the key in base64. algorithm: such as hmac-sha256."""

    server: str
    port: int
    zone: str
    record: str
    key_name: str
    algorithm: str
    secret_file: str


class DnsRegister:
    """A Register. See register.py."""

    def __init__(self, settings: DnsSettings, answer: float = ANSWER) -> None:
        """Raises Misconfigured."""
        if not HAS_DNS:
            raise Misconfigured("python3-dnspython is not installed on this node")
        self._settings, self._answer = settings, answer
        try:
            with open(settings.secret_file, encoding="ascii") as file:
                secret = base64.b64decode(file.read().strip(), validate=True)
            self._zone = dns.name.from_text(settings.zone)
            self._name = dns.name.from_text(settings.record, self._zone)
            key = dns.name.from_text(settings.key_name)
            self._key = dns.tsig.Key(key, secret, dns.name.from_text(settings.algorithm))
        except (OSError, ValueError, dns.exception.DNSException) as error:
            raise Misconfigured(f"its settings cannot be used: {error}") from None
        if not self._name.is_subdomain(self._zone):
            raise Misconfigured(f"{self._name} is not in the zone {self._zone}")

    def read(self) -> str | None:
        question = dns.message.make_query(self._name, dns.rdatatype.TXT)
        question.flags &= ~dns.flags.RD
        answer = self._ask(question)
        code = answer.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._fault(code)
        if not answer.flags & dns.flags.AA:
            raise Misconfigured(f"it is not the server of {self._zone}: ask the primary")
        texts = [rdata for each in answer.answer if each.rdtype == dns.rdatatype.TXT and each.name == self._name for rdata in each]
        if len(texts) > 1:
            raise Misconfigured(f"{self._name} has {len(texts)} TXT records: remove them, and both nodes begin anew")
        return b"".join(texts[0].strings).decode("ascii", "replace") if texts else None

    def swap(self, old: str | None, new: str) -> bool:
        update = dns.update.UpdateMessage(self._zone)
        if old is None:
            update.absent(self._name, dns.rdatatype.TXT)
        else:
            update.present(self._name, _txt(old))
        update.replace(self._name, 0, _txt(new))
        code = self._ask(update).rcode()
        if code == dns.rcode.NOERROR:
            return True
        if code in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN):
            return False
        raise self._fault(code)

    def close(self) -> None:
        """Nothing is kept open."""

    def _ask(self, message: t.Any) -> t.Any:
        settings = self._settings
        message.use_tsig(self._key)
        began = time.monotonic()
        try:
            answer = dns.query.tcp(message, settings.server, self._answer, settings.port)
        except dns.tsig.PeerBadTime:
            raise Misconfigured("its clock and this node's differ by more than 5 minutes") from None
        except (dns.tsig.PeerBadKey, dns.tsig.PeerBadSignature, dns.tsig.BadSignature, dns.tsig.BadKey) as error:
            raise Misconfigured(f"it does not know the key {settings.key_name}, or another secret for it ({type(error).__name__})") from None
        except dns.tsig.BadTime:
            raise Misconfigured("its clock and this node's differ by more than 5 minutes") from None
        except dns.exception.Timeout:
            raise Unreachable(f"no answer within {time.monotonic() - began:.1f} s") from None
        except (OSError, EOFError) as error:
            raise Unreachable(str(error) or "the connection has ended") from None
        except (dns.exception.DNSException, ValueError) as error:
            raise Misconfigured(f"no DNS answer, or not a signed one: {error or type(error).__name__}") from None
        if not answer.had_tsig:
            raise self._fault(answer.rcode(), "; it did not sign its answer")
        return answer

    def _fault(self, code: dns.rcode.Rcode, more: str = "") -> WitnessError:
        """An answer that says no for another reason than the record."""
        name = dns.rcode.to_text(code)
        meanings = {
            "REFUSED": f"it does not let the key {self._settings.key_name} ask for and change {self._name} (allow-query, update-policy)",
            "NOTAUTH": f"it is not the primary server of {self._zone}, or does not know the key {self._settings.key_name}",
            "NOTZONE": f"{self._name} is not in its zone {self._zone}",
            "NOTIMP": "it does not know dynamic updates",
            "SERVFAIL": f"it cannot serve or change {self._zone}: see its log, and whether it may write beside the zone's file",
        }
        return Misconfigured(meanings.get(name, f"it answers {name}") + more)


def _txt(text: str) -> t.Any:
    data = text.encode("ascii")
    pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]
    return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, pieces)
