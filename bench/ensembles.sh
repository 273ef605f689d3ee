#!/usr/bin/env bash
# Measures ensembles of three, all on this machine, against Apache ZooKeeper's: the rows of docs/performance.md.
#
#   bench/ensembles.sh [ROW …]        rows: get set create set-1 set-one mix; default: all
#
#   ENGINES="raft paxos floor"        what is measured, one after the other; each in turn with ZooKeeper, round by round
#   ROUNDS=5 SECONDS_EACH=3           rounds of each, and their length
#   DIR=/var/tmp/ostler-ensembles     data of all servers: one disk for all. Emptied first
#   BASE_PORT=21000                   the first of about thirty ports
#
# Wants a release build (cargo build --release -p ostler-cli -p ostler-bench), java and mvn. Have nothing else run.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
engines=${ENGINES:-raft paxos floor}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
dir=${DIR:-/var/tmp/ostler-ensembles}
base=${BASE_PORT:-21000}
rows=${*:-get set create set-1 set-one mix}
ostler="$here/target/release/ostler"
floor="$here/target/release/ostler-floor"
jars=$("$here/tests/oracle/fetch")

pids=()
stop() { [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }; pids=(); }
trap stop EXIT

# join a b c: a,b,c
join() { local IFS=,; echo "$*"; }

# addresses OFFSET: the client addresses of the ensemble whose ports begin there.
addresses() { join "127.0.0.1:$(($1 + 1))" "127.0.0.1:$(($1 + 2))" "127.0.0.1:$(($1 + 3))"; }

# configure NAME OFFSET: a zoo.cfg and a myid for each of three servers.
configure() {
  local server other
  for server in 1 2 3; do
    mkdir -p "$dir/$1-$server"
    echo "$server" >"$dir/$1-$server/myid"
    {
      echo "dataDir=$dir/$1-$server"
      echo "clientPort=$(($2 + server))"
      printf '%s\n' clientPortAddress=127.0.0.1 tickTime=2000 initLimit=10 syncLimit=5 maxClientCnxns=0 \
        admin.enableServer=false '4lw.commands.whitelist=srvr,ruok,mntr'
      for other in 1 2 3; do
        echo "server.$other=127.0.0.1:$(($2 + 3 + other)):$(($2 + 6 + other))"
      done
    } >"$dir/$1-$server.cfg"
  done
}

# start NAME OFFSET: sets started_pids.
start() {
  local server command
  started_pids=()
  for server in 1 2 3; do
    case $1 in
      zookeeper) command=(java -Xmx1g -cp "$jars/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/$1-$server.cfg") ;;
      floor)
        command=("$floor" --listen "127.0.0.1:$(($2 + server))" --log "$dir/floor-$server.log"
          --members "127.0.0.1:$(($2 + 4)),127.0.0.1:$(($2 + 5)),127.0.0.1:$(($2 + 6))" --member "$server")
        ;;
      *) command=("$ostler" serve --config "$dir/$1-$server.cfg" "-Dostler.consensus=$1") ;;
    esac
    "${command[@]}" >"$dir/$1-$server.out" 2>&1 &
    started_pids+=($!)
    pids+=($!)
  done
}

# await OFFSET: until a write through each of the servers succeeds.
await() {
  local server tries
  for server in 1 2 3; do
    for tries in $(seq 1 120); do
      if "$ostler" shell -s "127.0.0.1:$(($1 + server))" create /await-$server x >/dev/null 2>&1; then break; fi
      if [ "$tries" = 120 ]; then echo "127.0.0.1:$(($1 + server)) does not serve" >&2; exit 1; fi
      sleep 0.5
    done
  done
}

# arguments ROW: those of `ostler bench`.
arguments() {
  case $1 in
    get) echo get --depth 16 ;;
    set) echo set --depth 16 ;;
    create) echo create --depth 16 ;;
    set-1) echo set --depth 1 ;;
    set-one) echo set --depth 1 --connections 1 ;;
    mix) echo mix:get=90,set=10 --depth 16 ;;
    *) echo "no row is called $1" >&2; exit 2 ;;
  esac
}

rm -rf "$dir"
mkdir -p "$dir"
configure zookeeper "$base"
start zookeeper "$base"
zookeeper_pids=("${started_pids[@]}")
await "$base"
# Java compiles while it runs.
for row in get set create; do
  # shellcheck disable=SC2046
  "$ostler" bench $(arguments $row) --server "$(addresses "$base")" --seconds 8 >/dev/null
done

offset=$base
for engine in $engines; do
  offset=$((offset + 10))
  [ "$engine" = floor ] || configure "$engine" "$offset"
  start "$engine" "$offset"
  engine_pids=("${started_pids[@]}")
  if [ "$engine" = floor ]; then sleep 1; else await "$offset"; fi
  for row in $rows; do
    echo "== $engine against ZooKeeper: $row"
    # shellcheck disable=SC2046
    "$ostler" bench $(arguments "$row") --seconds "$seconds" --rounds "$rounds" \
      --server "$(addresses "$offset")" --server-pid "$(join "${engine_pids[@]}")" \
      --against "$(addresses "$base")" --against-pid "$(join "${zookeeper_pids[@]}")"
  done
  kill "${engine_pids[@]}"
  wait "${engine_pids[@]}" 2>/dev/null || true
done
