# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The daemon's configuration: one JSON file, checked before anything starts."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ..agent import atlas_keeper, channels
from ..agent.atlas_keeper import AtlasSettings
from ..agent.channels import Channel
from ..agent.policy import Policy
from ..agent.witness.settings import WitnessSettings
from ..agent.witness.settings import settings as witness_settings
from .model import NETWORKS


class ConfigError(Exception):
    """The configuration cannot be used; the text says which key and why."""


@dataclass(frozen=True)
class Network:
    name: str
    interface: str
    address: str
    peer_address: str
    reference: str | None


@dataclass(frozen=True)
class Web:
    host: str
    port: int
    path: str
    pid_file: str
    process: str


@dataclass(frozen=True)
class Php:
    listen: tuple[tuple[str, int], ...]
    ping_path: str | None


@dataclass(frozen=True)
class DatabaseProbe:
    option_file: str
    socket: str


@dataclass(frozen=True)
class AgentSettings:
    """here, there: sockets of the hands. addresses: those that move, by network. policy: fields of agent.policy.Policy but for the names."""

    here: str
    there: str
    directory: str
    addresses: t.Mapping[str, str]
    policy: t.Mapping[str, t.Any]
    channels: tuple[Channel, ...] = ()
    witness: WitnessSettings | None = None
    vrrp_fifo: str = ""  # where keepalived says what it does; "": it does not


@dataclass(frozen=True)
class Config:
    node: str
    peer: str
    secret_file: str
    fault_file: str
    state_file: str
    http: tuple[tuple[str, int], ...]
    port: int
    interval: float
    strikes: int
    patience: int
    peer_ticks: int
    networks: tuple[Network, ...]
    web: Web | None
    php: Php | None
    database: DatabaseProbe | None
    agent: AgentSettings | None = None
    atlas: AtlasSettings | None = None


def _endpoint(value: t.Any, where: str) -> tuple[str, int]:
    try:
        host, port = value
        return str(host), int(port)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: [address, port] needed, got {value!r}") from error


def _agent(raw: t.Mapping[str, t.Any]) -> AgentSettings:
    try:
        told = tuple(channels.channels(raw.get("notifications") or []))
    except channels.ConfigError as error:
        raise ConfigError(f"agent.{error}") from error
    try:
        Policy(name="", peer="", **raw["policy"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"agent.policy: {error}") from error
    try:
        witness = witness_settings(raw["witness"]) if raw.get("witness") else None
    except KeyError as error:
        raise ConfigError(f"agent.witness: key {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"agent.witness: {error}") from error
    addresses, policy = dict(raw.get("addresses") or {}), dict(raw["policy"])
    return AgentSettings(raw["here"], raw["there"], raw["directory"], addresses, policy, told, witness, str(raw.get("vrrp_fifo") or ""))


def _atlas(raw: t.Mapping[str, t.Any]) -> AtlasSettings:
    try:
        return atlas_keeper.settings(raw)
    except KeyError as error:
        raise ConfigError(f"atlas: key {error} is missing") from error
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"atlas: {error}") from error


def parse(text: str) -> Config:
    """Configuration from JSON."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"not JSON: {error}") from error
    try:
        return _build(raw)
    except KeyError as error:
        raise ConfigError(f"key {error} is missing") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"wrong type: {error}") from error


def _build(raw: t.Mapping[str, t.Any]) -> Config:
    networks = []
    for name, network in raw["networks"].items():
        if name not in NETWORKS:
            raise ConfigError(f"networks: {name!r} is not one of {', '.join(NETWORKS)}")
        networks.append(
            Network(
                name,
                network["interface"],
                network["address"],
                network["peer_address"],
                network.get("reference") or None,
            )
        )
    if not networks:
        raise ConfigError("networks: at least one is needed")
    web = raw.get("web")
    php = raw.get("php")
    database = raw.get("database")
    agent = raw.get("agent")
    config = Config(
        node=raw["node"],
        peer=raw["peer"],
        secret_file=raw["secret_file"],
        fault_file=raw["fault_file"],
        state_file=raw["state_file"],
        http=tuple(_endpoint(item, "http") for item in raw["http"]),
        port=int(raw["port"]),
        interval=float(raw["interval"]),
        strikes=int(raw["strikes"]),
        patience=int(raw["patience"]),
        peer_ticks=int(raw["peer_ticks"]),
        networks=tuple(networks),
        web=Web(web["host"], int(web["port"]), web["path"], web["pid_file"], web["process"]) if web else None,
        php=Php(tuple(_endpoint(item, "php.listen") for item in php["listen"]), php.get("ping_path") or None)
        if php and php["listen"]
        else None,
        database=DatabaseProbe(database["option_file"], database["socket"]) if database else None,
        agent=_agent(agent) if agent and database else None,
        atlas=_atlas(raw["atlas"]) if raw.get("atlas") else None,
    )
    if not 0.02 <= config.interval <= 1:
        raise ConfigError(f"interval: {config.interval} is not between 0.02 and 1 second")
    if config.node == config.peer:
        raise ConfigError("node and peer have the same name")
    return config
