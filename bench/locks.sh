#!/usr/bin/env bash
# Compares locks under contention: of this tree's recipes, of Curator and of kazoo at one Ostler
# server, of etcd, and of Redis, alone and as Redlock over five. Every contender has a session, or
# connection, of its own, takes the lock and releases it at once, over and over. For each it prints
# the number of acquisitions, acquisitions a second, the time from asking to having (median and 99th
# percentile, in ms), requests for each acquisition, and watch events for each release, or for Redis
# the commands that it has executed for each acquisition, those of scripts included. The medians of
# all rounds come at the end.
#
#   bench/locks.sh [WHICH …]          which: recipes curator kazoo etcd single redlock; default: all
#
#   CONTENDERS="1 10 100"             how many contend
#   ROUNDS=3 SECONDS_EACH=5           rounds, and the length of each
#   PAUSE_MS=2                        the longest time after which a contender asks Redis again
#   PROFILE=release                   debug: for requests and events only; speed then says nothing
#
# Wants, with --release unless PROFILE says otherwise,
#   cargo build --release -p ostler-cli
#   cargo build --release -p ostler-recipes --example contenders
#   cargo build --release -p ostler-tests --example redis_contenders
# and java, javac, mvn for Curator, python3 for kazoo, go for etcd, apt-get and dpkg-deb for Redis.
# Have nothing else run. Data are in DIR=/var/tmp/ostler-locks, which is emptied first; the server
# listens on PORT=22182, etcd on the next two ports.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-locks}
port=${PORT:-22182}
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-5}
built="$here/target/${PROFILE:-release}"
which=${*:-recipes curator kazoo etcd single redlock}
results="$dir/results"

mkdir -p "$here/.cache"
java="" python="" etcd=""
[[ " $which " != *" curator "* ]] || java=$("$here/tests/clients/java/install" "$here/.cache/java")
[[ " $which " != *" kazoo "* ]] ||
  python=$("$here/tests/clients/python/install" "$here/.cache/python")
[[ " $which " != *" etcd "* ]] || etcd=$("$here/tests/clients/etcd/install" "$here/.cache/etcd")

source "$here/bench/one-server.sh"
serve_one "$built/ostler" "$dir" "$port" -DmaxClientCnxns=0 '-D4lw.commands.whitelist=*'
"$built/ostler" shell -s "127.0.0.1:$port" create /locks >/dev/null

etcd_at=127.0.0.1:$((port + 1))
if [ -n "$etcd" ]; then
  peers=http://127.0.0.1:$((port + 2))
  "$etcd/server" --data-dir "$dir/etcd" --listen-client-urls "http://$etcd_at" \
    --advertise-client-urls "http://$etcd_at" --listen-peer-urls "$peers" \
    --initial-advertise-peer-urls "$peers" --initial-cluster "default=$peers" --log-level error \
    >"$dir/etcd.log" 2>&1 &
  etcd_server=$!
  trap 'kill "$server" "$etcd_server" 2>/dev/null || true; wait' EXIT
  until curl -fs "http://$etcd_at/health" >/dev/null; do sleep 0.1; done
fi

# packets WHICH: requests that its server has received, and replies and events that it has sent.
packets() {
  if [ "$1" = etcd ]; then
    curl -fs "http://$etcd_at/metrics" | awk '/^grpc_server_msg_received_total/ { received += $2 }
      /^grpc_server_msg_sent_total/ { sent += $2 } END { print received, sent }'
    return
  fi
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf mntr >&3
  awk '$1 == "zk_packets_received" { received = $2 } $1 == "zk_packets_sent" { sent = $2 }
    END { print received, sent }' <&3
  exec 3>&-
}

# program WHICH CONTENDERS: runs the contenders.
program() {
  local arguments=("127.0.0.1:$port" "/locks/$1-$2" "$2" "$seconds")
  case $1 in
    recipes) "$built/examples/contenders" "${arguments[@]}" ;;
    curator)
      java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$java/classes:$java/lib/*" \
        Contenders "${arguments[@]}"
      ;;
    kazoo) "$python" "$here/tests/clients/python/contenders.py" "${arguments[@]}" ;;
    etcd) "$etcd/contenders" "$etcd_at" "${arguments[@]:1}" ;;
    *) echo "no lock is called $1" >&2; exit 2 ;;
  esac
}

# measure WHICH CONTENDERS: acquisitions, acquisitions/s, p50, p99, requests, events. Every request
# has one reply, so what is sent beyond what is received are events; not so in etcd, where they come
# on a stream.
measure() {
  local ready row before after
  # So that no contender creates it while it is measured.
  "$built/ostler" shell -s "127.0.0.1:$port" create "/locks/$1-$2" >/dev/null 2>&1 || true
  coproc contenders { program "$1" "$2"; }
  local in=${contenders[0]} out=${contenders[1]} pid=$contenders_PID
  read -r ready <&"$in"
  [ "$ready" = READY ] || { echo "$1 said $ready" >&2; exit 1; }
  before=$(packets "$1")
  echo >&"$out"
  read -r row <&"$in"
  after=$(packets "$1")
  echo >&"$out"
  wait "$pid"
  awk -v lock="$1" -v row="$row" -v before="$before" -v after="$after" 'BEGIN {
    split(row, r); split(before, b); split(after, a)
    received = a[1] - b[1]; sent = a[2] - b[2]
    printf "%s %.2f", row, received / r[1]
    if (lock != "etcd") printf " %.2f", (sent - received) / r[1]
    printf "\n"
  }'
}

for round in $(seq "$rounds"); do
  for contenders in ${CONTENDERS:-1 10 100}; do
    for lock in $which; do
      case $lock in
        single | redlock)
          row=$("$built/examples/redis_contenders" "$lock" "$contenders" "$seconds" \
            --pause-ms "${PAUSE_MS:-2}")
          ;;
        *) row=$(measure "$lock" "$contenders") ;;
      esac
      echo "$round $lock $contenders: $row"
      echo "$lock $contenders $row" >>"$results"
    done
  done
done

python3 - "$results" <<'PYTHON'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    lock, contenders, _, *numbers = line.split()
    rows.setdefault((lock, int(contenders)), []).append([float(number) for number in numbers])
print("lock contenders acquisitions/s p50-ms p99-ms requests/acquisition events/release")
print("(Redis: commands instead of requests, and no events)")
for (lock, contenders), measured in sorted(rows.items(), key=lambda row: row[0][1]):
    print(lock, contenders, *(f"{statistics.median(column):.2f}" for column in zip(*measured)))
PYTHON
