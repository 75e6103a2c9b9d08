"""The running pair under test: its runbooks, its nodes, what its databases say, and a writer that never rests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAME = os.environ.get("TANDEM_LAB", "demo")
NET = os.environ.get("TANDEM_LAB_NET", "77")
NODES = {"server1": 11, "server2": 12, "client": 13}
PAIR = ("server1", "server2")
ENGINE = os.environ.get("TANDEM_LAB_ENGINE", "mariadb")
FAILOVER = os.environ.get("TANDEM_LAB_FAILOVER", "none")
WITNESS = os.environ.get("TANDEM_LAB_WITNESS", "")
REPLICA = "REPLICA" if ENGINE == "mysql" else "SLAVE"
# Seconds within which a pair must be whole again after anything that is done to it here.
PATIENCE = 120

WRITER = """
import json, os, re, sys, time, uuid
import pymysql
user, password, schema, seconds, keep, port = json.loads(sys.stdin.readline())
def connect():
    found = port or int(re.search(r"'DB_HOST', '127.0.0.1:([0-9]+)'", open("/etc/wordpress/config-blog.php").read()).group(1))
    return pymysql.connect(host="127.0.0.1", port=found, user=user, password=password, database=schema, autocommit=True,
                           connect_timeout=15, read_timeout=15)
with connect() as c, c.cursor() as q:
    q.execute("CREATE TABLE IF NOT EXISTS tandem_drill (token VARCHAR(40) PRIMARY KEY)")
written, failed, longest, last, kept = [], [], 0.0, time.monotonic(), None
end = last + seconds
print("ready", flush=True)
while time.monotonic() < end and not os.path.exists("/run/tandem-drill-stop"):
    token = str(uuid.uuid4())
    try:
        c = kept or connect()
        with c.cursor() as q:
            q.execute("INSERT INTO tandem_drill VALUES (%s)", (token,))
        written.append(token)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        kept = c if keep else c.close()
    except Exception as error:
        failed.append(repr(error)[:200])
        kept = None
    time.sleep(0.02)
print(json.dumps({"written": written, "failed": failed, "longest": longest}), flush=True)
"""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    text: str

    def says(self, words: str) -> bool:
        """True if it said this, however the lines were broken."""
        return words in " ".join(self.text.split())


@dataclass
class Written:
    """What the writer saw."""

    tokens: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0


def ssh(node: str, command: str, stdin: str = "", timeout: float = 120) -> Done:
    """Run a shell command on a node, as root."""
    done = subprocess.run(ssh_argv(node, command), input=stdin, text=True, capture_output=True, timeout=timeout, check=False)
    return Done(done.returncode, done.stdout + done.stderr)


def ssh_argv(node: str, command: str) -> list[str]:
    """How a node of the lab is reached."""
    keys = ROOT / ".lab" / NAME / "ssh"
    return [
        "ssh", "-q", "-i", str(keys / "id_ed25519"), "-o", f"UserKnownHostsFile={keys / 'known_hosts'}", "-o", "BatchMode=yes",
        "-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2", "-o", "ControlMaster=auto",
        "-o", "ControlPersist=30", "-o", f"ControlPath={_lines() / node}", f"root@10.{NET}.30.{NODES[node]}", command,
    ]  # fmt: skip


def _lines() -> Path:
    """Where connections that are kept live: a short path, as sockets want it."""
    place = Path(tempfile.gettempdir()) / f"tandem-{NAME}-{NET}-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def fault(verb: str, node: str, *more: str) -> None:
    """A fault of the lab, or its end."""
    # A connection that is kept would hang for as long as nothing is heard.
    subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={_lines() / node}", node], capture_output=True, check=False)
    argv = ["python3", str(ROOT / "tests/lab/lab.py"), "--name", NAME, "--net", NET, "fault", verb, node, *more]
    subprocess.run(argv, check=True, capture_output=True, cwd=ROOT)


def playbook(name: str, **extra: Any) -> Done:
    """Run a playbook as an operator would."""
    argv, env = playbook_command(name, **extra)
    done = subprocess.run(argv, env=env, cwd=ROOT, text=True, capture_output=True, timeout=900, check=False)
    return Done(done.returncode, done.stdout + done.stderr)


def playbook_command(name: str, **extra: Any) -> tuple[list[str], dict[str, str]]:
    """Command line and environment."""
    argv = ["ansible-playbook", "-i", "inventories/lab", f"playbooks/{name}.yml"]
    for key, value in extra.items():
        argv += ["-e", json.dumps({key: value})]
    # A node of the lab answers at once, or not at all.
    lab = {"TANDEM_LAB": NAME, "TANDEM_LAB_NET": NET, "ANSIBLE_TIMEOUT": "4"}
    return argv, {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1", **lab}


def must(done: Done) -> Done:
    """It has to have worked."""
    assert done.status == 0, done.text[-6000:]
    return done


def sql(node: str, statement: str, schema_or_option: str = "") -> str:
    """As the administrator, by the socket."""
    done = ssh(node, f"mysql --batch --skip-column-names {schema_or_option}", statement)
    assert done.status == 0, f"{node}: {statement}: {done.text}"
    return done.text.strip()


def read_only(node: str) -> bool | None:
    """None: its database does not answer."""
    done = ssh(node, "mysql --batch --skip-column-names", "SELECT @@global.read_only", timeout=20)
    return None if done.status else done.text.strip() not in ("0", "OFF")


def primary() -> str:
    """The one node that takes writes."""
    open_nodes = [node for node in PAIR if read_only(node) is False]
    assert len(open_nodes) == 1, f"open: {open_nodes}"
    return open_nodes[0]


def other(node: str) -> str:
    return PAIR[1 - PAIR.index(node)]


def status() -> dict[str, Any]:
    """What playbooks/status.yml says, as data."""
    file = ROOT / ".lab" / NAME / "status.json"
    must(playbook("status", output="json", output_file=str(file)))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def wait(what: str, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {what}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Seen:
    """One node at a glance. closed: None, its database does not answer."""

    closed: bool | None
    source: str
    replicates: bool
    severity: int | None
    addresses: tuple[str, ...]
    limits: tuple[str, ...]
    leads_to: tuple[str, ...]


_GLANCE = f"""
mysql --vertical -e 'SELECT @@global.read_only AS closed; SHOW {REPLICA} STATUS' 2>/dev/null; echo @@@
curl -s -m 2 http://127.0.0.1:9200/status.json; echo @@@
ip -brief -4 address; echo @@@
echo show stat | socat - /run/haproxy/admin.sock 2>/dev/null || python3 -c "import socket; s = socket.socket(1)
s.connect('/run/haproxy/admin.sock'); s.send(b'show stat\\n'); print(s.makefile().read())"
"""


def glance(node: str) -> Seen:
    """All that the drills compare, asked at once."""
    said = ssh(node, _GLANCE).text.split("@@@\n") + ["", "", ""]
    database, daemon, addresses, proxy = said[:4]
    told = dict(re.findall(r"^ *(\w+): (.*)$", database.replace("Slave_", "Replica_").replace("Master", "Source"), re.MULTILINE))
    with contextlib.suppress(ValueError):
        daemon = json.loads(daemon)["severity"]
    rows = [line.split(",") for line in proxy.splitlines() if line.startswith("sql_writer,server")]
    return Seen(
        closed=None if "closed" not in told else told["closed"] not in ("0", "OFF"),
        source=told.get("Source_Host", "").strip(),
        replicates=[told.get(f"Replica_{name}_Running") for name in ("IO", "SQL")] == ["Yes", "Yes"] and told["Seconds_Behind_Source"] == "0",
        severity=daemon if isinstance(daemon, int) else None,
        addresses=tuple(sorted(word.partition("/")[0] for word in addresses.split() if word.partition("/")[0].endswith(".100"))),
        limits=tuple(sorted(row[6] for row in rows)),
        leads_to=tuple(row[1] for row in rows if row[17].startswith("UP") and not row[1].endswith("-read")),
    )


def both() -> dict[str, Seen]:
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PAIR, pool.map(glance, PAIR), strict=True))


def _whole(seen: dict[str, Seen]) -> bool:
    """Both nodes well, one primary, its replica in step, all proxies lead there, one node has the addresses."""
    open_nodes = [node for node, one in seen.items() if one.closed is False]
    replicas = [one for one in seen.values() if one.closed]
    return (
        len(open_nodes) == len(replicas) == 1
        and replicas[0].replicates
        and all(one.severity == 0 and one.leads_to == (open_nodes[0],) for one in seen.values())
        and sorted(len(one.addresses) for one in seen.values()) == [0, 2]
    )


def wait_until_whole(thorough: bool = False) -> None:
    """thorough: status.yml has to find nothing wrong either, which takes seconds."""
    last: dict[str, Any] = {}

    def whole() -> bool:
        last["seen"] = both()
        if not _whole(last["seen"]):
            return False
        if thorough:
            last.update(status())
        return not thorough or bool(last["pair"]["state"] == "healthy")

    try:
        wait("the pair is healthy", whole)
    except AssertionError as error:
        raise AssertionError(f"{error}: {last.get('seen')} {json.dumps(last.get('pair'))}") from None


def roles() -> dict[str, Any]:
    """What a refusal must not change: who is open, who follows whom, who holds the addresses, whether proxies hold."""
    return {node: (one.closed, one.source, one.addresses, one.limits) for node, one in both().items()}


def site_password() -> str:
    """A site's own account, as applications use it."""
    return (ROOT / ".lab" / NAME / "secrets" / "site_blog").read_text(encoding="utf-8").strip()


@contextlib.contextmanager
def writing(node: str, seconds: float = 120, keep: bool = False, port: int = 6446) -> Iterator[Written]:
    """Writes through the writer port of a node, a new connection for each write unless ``keep``, until the block ends.

    port 0: wherever the site's own configuration says at that moment.
    """
    ssh(node, "rm -f /run/tandem-drill-stop; cat > /root/tandem-drill.py", WRITER)
    process = subprocess.Popen(ssh_argv(node, "python3 /root/tandem-drill.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(["blog", site_password(), "blog", seconds, keep, port]) + "\n")
    process.stdin.flush()
    seen = Written()
    lines: list[str] = []
    assert process.stdout.readline().strip() == "ready"
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or []))
    reader.start()
    try:
        yield seen
    finally:
        ssh(node, "touch /run/tandem-drill-stop")
        process.wait(60)
        reader.join(60)
        if lines:
            data = json.loads(lines[-1])
            seen.tokens, seen.failed, seen.longest = data["written"], data["failed"], data["longest"]


def pass_some_writes(node: str) -> None:
    """Wait until the writer on a node has written something."""

    def rows() -> int:
        return int(sql(node, "SELECT COUNT(*) FROM tandem_drill", "blog"))

    before = rows()
    wait("the writer writes", lambda: rows() > before + 10, 30)


def missing(written: Written, node: str) -> set[str]:
    """Acknowledged writes that a node does not have."""
    return set(written.tokens) - set(sql(node, "SELECT token FROM tandem_drill", "blog").split())
