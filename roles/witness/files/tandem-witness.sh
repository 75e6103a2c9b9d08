#!/bin/sh
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The witness of a pair: one line in one file, read, or compared and set. Needs sh, flock, dd, mv and sync.
# Each node has a key of its own, and in ~/.ssh/authorized_keys of an account that is used for nothing else:
#   restrict,command="/usr/local/lib/tandem/witness NODE DIRECTORY" ssh-ed25519 ...
# Questions are lines:  NUMBER get  |  NUMBER swap OLD NEW   ("-" as OLD: nothing was ever written)
# Answers are lines:    NUMBER value RECORD  |  NUMBER done  |  NUMBER error TEXT
set -u
LC_ALL=C
export LC_ALL
umask 077

node=$1
directory=$2
file=$directory/record

# The line of a node that lost its connection silently would stay for hours.
session=$directory/session.$node
if read -r before 2>/dev/null <"$session" && [ "$before" != "$$" ] && [ -r "/proc/$before/cmdline" ]; then
  case $(tr '\0' ' ' <"/proc/$before/cmdline") in
    *witness*" $node $directory "*) kill "$before" 2>/dev/null ;;
  esac
fi
echo "$$" >"$session" 2>/dev/null

look() {
  record=-
  if [ -e "$file" ]; then
    record=
    read -r record <"$file" || [ -n "$record" ]
  fi
}

# On the disk, and then in place, and that on the disk as well.
write() {
  printf '%s\n' "$1" | dd of="$file.new" conv=fsync 2>/dev/null &&
    mv -f "$file.new" "$file" &&
    { sync "$directory" 2>/dev/null || sync; }
}

# A node writes for itself only, gives back only what is its own, and begins where there is nothing.
may() {
  case $2 in
    *[!A-Za-z0-9._~%/-]*) return 1 ;;
    "tandem1/$node/"*) return 0 ;;
    "tandem1/-/"*) [ "$1" = - ] && return 0 ;;
    tandem1//*) case $1 in "tandem1/$node/"*) return 0 ;; esac ;;
  esac
  return 1
}

swap() {
  if ! may "$1" "$2"; then
    answer="error a record that is not for $node"
    return
  fi
  {
    if ! flock -x 9; then
      answer='error flock does not work'
    elif ! look; then
      answer="error $file cannot be read"
    elif [ "$record" != "$1" ]; then
      answer="value $record"
    elif write "$2"; then
      answer='done'
    else
      answer="error $directory cannot be written"
    fi
  } 9>"$directory/lock"
}

if ! command -v flock >/dev/null || ! [ -w "$directory" ]; then
  echo "0 error flock (util-linux or busybox) is missing, or $directory cannot be written"
  exit 1
fi
echo "tandem-witness 1 $node"
while read -r number question old new rest; do
  answer='error not a question'
  case $question in
    get) if look; then answer="value $record"; else answer="error $file cannot be read"; fi ;;
    swap) [ -n "$new" ] && [ -z "$rest" ] && swap "$old" "$new" ;;
  esac
  printf '%s %s\n' "$number" "$answer" || exit 0
done
