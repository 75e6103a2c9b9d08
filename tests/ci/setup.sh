#!/usr/bin/env bash
# Installs what the lab and the tests need; quick and silent about what is there already.
#   setup.sh              everything
#   setup.sh packages     distribution packages only
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf '[setup] %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Containers, their network and their image; ssh to them; a Python environment; checks of shell code.
packages=(
  aardvark-dns ca-certificates conmon debian-archive-keyring git iproute2 iptables make mmdebstrap netavark nftables
  openssh-client openssl podman python3 python3-venv rsync runc shellcheck util-linux
)

# Servers that tests start by themselves on loopback, or whose tools they use, with their units.
# Where they are new, they are installed switched off.
servers=(bind9:named openssh-server:ssh prometheus:prometheus)

is_installed() {
  # shellcheck disable=SC2016 # dpkg-query's own placeholder
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_install() {
  say "installing packages: $*"
  mkdir -p .cache
  as_root apt-get -q update </dev/null >.cache/setup-apt.log 2>&1 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" </dev/null >>.cache/setup-apt.log 2>&1
}

give_up() {
  tail -n 20 .cache/setup-apt.log >&2
  say "packages could not be installed: see .cache/setup-apt.log"
  exit 1
}

# A package that is new here must not open a port of this machine.
install_servers() {
  local missing=() units=() server policy=/usr/sbin/policy-rc.d own='' done=yes
  for server in "${servers[@]}"; do
    is_installed "${server%:*}" && continue
    missing+=("${server%:*}")
    units+=("${server#*:}.service")
  done
  [ "${#missing[@]}" -eq 0 ] && return
  if [ ! -e "$policy" ]; then
    own=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  apt_install "${missing[@]}" || done=''
  [ -z "$own" ] || as_root rm -f "$policy"
  [ -n "$done" ] || give_up
  if command -v systemctl >/dev/null && ! as_root systemctl --quiet disable "${units[@]}" >>.cache/setup-apt.log 2>&1; then
    say "${units[*]} could not be switched off for the next start of this machine: see .cache/setup-apt.log"
  fi
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is not Debian: the lab is made of Debian packages and needs Debian 12 or 13"
    exit 1
  fi
  local missing=() package
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}" || give_up
}

make_environment() {
  local python="${PYTHON:-python3}" wanted
  wanted="$(cat requirements.txt requirements-dev.txt | sha256sum | cut -d' ' -f1)"
  if [ "$(cat .venv/requirements.sha256 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c 'import ansible' 2>/dev/null; then
    return
  fi
  if ! "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
    say "$python is older than 3.11 or has no venv module: set PYTHON to another one"
    exit 1
  fi
  if ! .venv/bin/python -c '' 2>/dev/null; then
    say "making the Python environment .venv"
    rm -rf .venv
    "$python" -m venv .venv
  fi
  say "installing requirements.txt and requirements-dev.txt into .venv (about a minute)"
  .venv/bin/python -m pip --disable-pip-version-check --quiet install -r requirements.txt -r requirements-dev.txt </dev/null
  echo "$wanted" >.venv/requirements.sha256
}

# tandem.lemp.* resolves to the files of this checkout.
link_collection() {
  local link=.ansible/collections/ansible_collections/tandem/lemp
  [ "$(readlink "$link" 2>/dev/null)" = ../../../.. ] && return
  say "linking the collection into .ansible"
  mkdir -p "$(dirname "$link")"
  ln -sfn ../../../.. "$link"
}

mkdir -p .cache
exec 9>.cache/setup.lock
flock 9
install_packages
install_servers
[ "${1:-}" = packages ] && exit 0
make_environment
link_collection
say "ready"
