#!/usr/bin/env bash
# Measures what consensus groups cost: a server with many groups against one with a single group, in
# the same run, round by round. Prints CPU per operation of both and the ratio.
#
#   bench/groups.sh [ROW …]           rows: idle busy; default: both
#
#   idle   64 groups of which one works, against one group that works
#   busy   16 groups that all work, against one group that works
#
#   ENGINES="raft paxos"              the engines, one after the other
#   MEMBERS="1 3"                     servers: a standalone one, and an ensemble
#   ROUNDS=5 SECONDS_EACH=3           rounds of each, and their length
#   WARM_SECONDS=40                   load on each side before the rounds, so that both have log
#                                     segments to reuse
#   WORKLOAD="set --depth 16"         what clients do (`ostler bench --help`)
#   LEADERS=spread                    with three servers: `spread`, as elections leave them, or
#                                     `one`, all on server 1 on both sides (`rqld`)
#
# Wants a release build (cargo build --release -p ostler-cli). Have nothing else run. Data are in
# DIR=/var/tmp/ostler-groups, which is emptied first; ports begin at BASE_PORT=22000.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-groups}
base=${BASE_PORT:-22000}
ostler="$here/target/release/ostler"
engines=${ENGINES:-raft paxos}
sizes=${MEMBERS:-1 3}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
warm=${WARM_SECONDS:-40}
workload=${WORKLOAD:-set --depth 16}
leaders=${LEADERS:-spread}
rows=${*:-idle busy}

pids=()
stop() {
  [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }
  pids=()
}
trap stop EXIT

case $leaders in one | spread) ;; *) echo "LEADERS is one or spread" >&2; exit 2 ;; esac

# start NAME PORT GROUPS MEMBERS ENGINE: starts servers whose client ports begin at PORT, 100 apart;
# sets started.
start() {
  local name=$1 port=$2 groups=$3 members=$4 engine=$5 server other
  started=()
  for server in $(seq 1 "$members"); do
    mkdir -p "$dir/$name-$server"
    echo "$server" >"$dir/$name-$server/myid"
    {
      echo "dataDir=$dir/$name-$server"
      echo "clientPort=$((port + 100 * server))"
      printf '%s\n' clientPortAddress=127.0.0.1 tickTime=2000 initLimit=10 syncLimit=5 maxClientCnxns=0 \
        admin.enableServer=false 4lw.commands.whitelist=srvr,rqld \
        "ostler.testGroups=$groups"
      if [ "$members" -gt 1 ]; then
        for other in $(seq 1 "$members"); do
          echo "server.$other=127.0.0.1:$((port + other)):$((port + 10 + other))"
        done
      fi
    } >"$dir/$name-$server.cfg"
    "$ostler" serve --config "$dir/$name-$server.cfg" "-Dostler.consensus=$engine" \
      >"$dir/$name-$server.out" 2>&1 &
    started+=($!)
    pids+=($!)
  done
}

# namespaces PORT FIRST LAST MEMBERS: the client addresses of these groups, a part for each group.
namespaces() {
  local port=$1 first=$2 last=$3 members=$4 group server part all=""
  for group in $(seq "$first" "$last"); do
    part=""
    for server in $(seq 1 "$members"); do
      part="$part${part:+,}127.0.0.1:$((port + 100 * server + group))"
    done
    all="$all${all:+;}$part"
  done
  echo "$all"
}

# await ADDRESSES: until a write at each of them succeeds.
await() {
  local address tries
  for address in ${1//[,;]/ }; do
    for tries in $(seq 1 120); do
      if "$ostler" shell -s "$address" create /await- x -s >/dev/null 2>&1; then break; fi
      if [ "$tries" = 120 ]; then echo "$address does not serve" >&2; exit 1; fi
      sleep 0.5
    done
  done
}

# word WORD PORT: the answer to a four-letter word.
word() {
  exec 3<>"/dev/tcp/127.0.0.1/$2"
  printf '%s' "$1" >&3
  cat <&3
  exec 3>&-
}

# lead PORT FIRST LAST: server 1 leads these groups.
lead() {
  local port
  for port in $(seq $(($1 + 100 + $2)) $(($1 + 100 + $3))); do
    until word srvr "$port" | grep -q '^Mode: leader'; do
      word rqld "$port" >/dev/null
      sleep 0.2
    done
  done
}

# join a b c: a,b,c
join() { local IFS=,; echo "$*"; }

# row NAME GROUPS FIRST LAST ENGINE MEMBERS: groups FIRST to LAST of GROUPS work.
row() {
  local name=$1 groups=$2 first=$3 last=$4 engine=$5 members=$6 many one many_pids one_pids
  rm -rf "$dir"
  start many "$base" "$groups" "$members" "$engine"
  many_pids=$(join "${started[@]}")
  start one $((base + 1000)) 1 "$members" "$engine"
  one_pids=$(join "${started[@]}")
  many=$(namespaces "$base" "$first" "$last" "$members")
  one=$(namespaces $((base + 1000)) 0 0 "$members")
  await "$many;$one"
  if [ "$members" -gt 1 ] && [ "$leaders" = one ]; then
    lead "$base" "$first" "$last"
    lead $((base + 1000)) 0 0
  fi
  echo "== $name: $engine, $members member(s), $groups groups, $((last - first + 1)) of them working, leaders: $leaders"
  # shellcheck disable=SC2086
  if [ "$warm" -gt 0 ]; then
    "$ostler" bench $workload --server "$one" --against "$many" --rounds 1 --seconds "$warm" >/dev/null
  fi
  # shellcheck disable=SC2086
  "$ostler" bench $workload --server "$one" --server-pid "$one_pids" --against "$many" \
    --against-pid "$many_pids" --rounds "$rounds" --seconds "$seconds"
  stop
}

for engine in $engines; do
  for members in $sizes; do
    for name in $rows; do
      case $name in
        idle) row idle 64 1 1 "$engine" "$members" ;;
        busy) row busy 16 0 15 "$engine" "$members" ;;
        *) echo "no row is called $name" >&2; exit 2 ;;
      esac
    done
  done
done
