# Sourced by benchmarks that need a single server.

# serve_one OSTLER DIR PORT [OPTION …]: empties DIR, starts a server there that ends with the script,
# and waits until it answers.
serve_one() {
  local ostler=$1 dir=$2 port=$3
  shift 3
  rm -rf "$dir"
  mkdir -p "$dir"
  "$ostler" serve --data-dir "$dir/data" --client-port "$port" -Dadmin.enableServer=false "$@" \
    >"$dir/server.log" 2>&1 &
  server=$!
  trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
  for _ in $(seq 100); do
    ! "$ostler" shell -s "127.0.0.1:$port" ls / >/dev/null 2>&1 || break
    sleep 0.1
  done
}
