# Ensembles of three on this machine, for the scripts beside this file, which source it. Wants a release build, java and mvn.
#
#   DIR=/var/tmp/ostler-ensembles     data of all servers: one disk for all. Emptied first
#   BASE_PORT=21000                   the first of about fifty ports
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-ensembles}
base=${BASE_PORT:-21000}
ostler="$here/target/release/ostler"
floor="$here/target/release/ostler-floor"
jars=$("$here/tests/oracle/fetch")

pids=()
stop() {
  [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }
  pids=()
}
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

# set_command NAME OFFSET SERVER: sets command to what starts that server.
set_command() {
  case $1 in
    zookeeper) command=(java -Xmx1g -cp "$jars/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/$1-$3.cfg") ;;
    floor)
      command=("$floor" --listen "127.0.0.1:$(($2 + $3))" --log "$dir/floor-$3.log"
        --members "127.0.0.1:$(($2 + 4)),127.0.0.1:$(($2 + 5)),127.0.0.1:$(($2 + 6))" --member "$3")
      ;;
    *) command=("$ostler" serve --config "$dir/$1-$3.cfg" "-Dostler.consensus=$1") ;;
  esac
}

# start NAME OFFSET: starts its servers, and sets started_pids.
start() {
  local server
  started_pids=()
  for server in 1 2 3; do
    set_command "$1" "$2" "$server"
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
      if "$ostler" shell -s "127.0.0.1:$(($1 + server))" create "/await-$server" x >/dev/null 2>&1; then break; fi
      if [ "$tries" = 120 ]; then echo "127.0.0.1:$(($1 + server)) does not serve" >&2; exit 1; fi
      sleep 0.5
    done
  done
}

# leader OFFSET: the number of the server that leads.
leader() {
  local server word
  for server in 1 2 3; do
    exec 3<>"/dev/tcp/127.0.0.1/$(($1 + server))"
    printf srvr >&3
    word=$(cat <&3)
    exec 3>&-
    case $word in *"Mode: leader"*) echo "$server" ;; esac
  done
}

# end PID …: stops these, and waits for their end.
end() { kill "$@"; wait "$@" 2>/dev/null || true; }

rm -rf "$dir"
mkdir -p "$dir"
