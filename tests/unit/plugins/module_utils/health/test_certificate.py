# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Until when a certificate is valid, read as openssl reads it."""

from __future__ import annotations

import ssl
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.module_utils.health.certificate import EVERY, SOON, Certificate, ends


@pytest.fixture
def made(tmp_path):
    """Makes a certificate that is valid for some days."""

    def make(days: int):
        path = tmp_path / "node.pem"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", str(tmp_path / "node.key")]
        subject = ["-subj", "/O=A pair/CN=node-a", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(["openssl", "req", "-x509", *key, *subject, "-days", str(days), "-out", str(path)], check=True, capture_output=True)
        return path

    return make


@pytest.mark.parametrize("days", [1, 730, 20000])  # the last one has another kind of time
def test_the_end_is_that_of_openssl(made, days) -> None:
    path = made(days)
    said = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", str(path)], check=True, capture_output=True, text=True).stdout
    certificate = Certificate(str(path))
    certificate.look()
    assert certificate.ends == ssl.cert_time_to_seconds(" ".join(said.partition("=")[2].split()))
    assert abs(certificate.ends - time.time() - days * 86400) < 7200


def test_the_first_one_of_a_chain_counts(made) -> None:
    first = made(10).read_text()
    assert ends("a comment\n" + first + made(700).read_text()) == ends(first)


def test_what_cannot_be_read_says_nothing(made, tmp_path) -> None:
    text = made(10).read_text()
    lines = text.splitlines()
    short = "\n".join([*lines[:2], lines[-1], ""])
    for broken in ("", "no certificate", text[:300], short, text.replace(lines[1], "A" * len(lines[1])), ssl.PEM_HEADER + ssl.PEM_FOOTER):
        assert ends(broken) is None
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for path in (tmp_path / "none", tmp_path, tmp_path / "binary"):
        certificate = Certificate(str(path))
        certificate.look()
        assert certificate.ends is None


def test_nobody_is_asked_for_a_run_that_renews_nothing():
    """By default the runs of the weeks before have done it. What a run has just done is seen at once, not when the status is believed wrong."""
    role = Path(__file__).resolve().parents[5] / "roles" / "certificates" / "defaults" / "main.yml"
    assert yaml.safe_load(role.read_text(encoding="utf-8"))["certificates_renew_days"] * 86400 > SOON
    assert EVERY <= 60
