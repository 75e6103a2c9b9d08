# Sourced by the rivals: the lab's nodes, and how a person at a keyboard reaches them.
# shellcheck shell=bash

lab=${TANDEM_LAB:-demo}
net=10.${TANDEM_LAB_NET:-77}
state=$(dirname "${BASH_SOURCE[0]}")/../../.lab/$lab
declare -A octet=([server1]=11 [server2]=12)
mkdir -p "$HOME/.ssh"

on() { # NODE COMMAND: what stands on the input goes to the command
  ssh -i "$state/ssh/id_ed25519" -o UserKnownHostsFile="$state/ssh/known_hosts" -o IdentitiesOnly=yes -o BatchMode=yes \
    -o ControlMaster=auto -o ControlPersist=60s -o ControlPath="$HOME/.ssh/rival-%C" \
    "root@$net.30.${octet[$1]}" "$2"
}
sql() { on "$1" 'mariadb --batch --skip-column-names' <<< "$2"; }
proxy() { # a command for HAProxy, on both nodes at once
  local first
  on server1 'socat stdio /run/haproxy/admin.sock' <<< "$1" & first=$!
  on server2 'socat stdio /run/haproxy/admin.sock' <<< "$1"
  wait "$first"
}
find_roles() { # sets old (the primary) and new
  if [ "$(sql server1 'SELECT @@global.read_only')" = 0 ]; then old=server1 new=server2; else old=server2 new=server1; fi
  if [ "$(sql "$old" 'SELECT @@global.read_only')$(sql "$new" 'SELECT @@global.read_only')" != 01 ]; then
    echo "not exactly one database is writable" >&2
    exit 1
  fi
}
secret_of() { # NAME: the password of a rival's account, made at first use and kept with the lab's
  local file=$state/secrets/$1
  [ -s "$file" ] || (set +o pipefail; umask 077; tr -dc 'a-z0-9' < /dev/urandom | head -c 24 > "$file")
  cat "$file"
}
