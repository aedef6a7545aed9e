#!/usr/bin/env bash
# Runs a cluster of Serval nodes on 127.0.0.1, with the calls of Tomcat's
# (shared/bench/tomcat-cluster.sh), so that one script measures both.
#
#   serval-cluster.sh up N [options]   make nodes 1..N, start them, return when they are level
#   serval-cluster.sh gen N [options]  make only
#   serval-cluster.sh start I          start node I (prints ms until it is level)
#   serval-cluster.sh stop I           orderly stop of node I (SIGTERM: it hands its sessions over)
#   serval-cluster.sh kill9 I          SIGKILL node I
#   serval-cluster.sh down             stop all nodes (SIGTERM, then SIGKILL)
#   serval-cluster.sh pid I            process id of node I
#   serval-cluster.sh pids [--all]     process ids in node order; --all: their workers too
#   serval-cluster.sh stats I [gc]     sessions, heap, RSS, CPU of node I
#   serval-cluster.sh errors           count WARN and ERROR lines of all nodes' logs
#   serval-cluster.sh log I [PATTERN]  lines of node I's log
#   serval-cluster.sh cli I ARGS...    serval's own commands for node I: cli 1 cluster status
#
# options:
#   --mode repl|dist              every node has every session, or only its owners (default repl)
#   --owners K                    copies in dist, the home's included (default 2)
#   --ack none|one|quorum|all     who must have a change before it is answered (default one)
#   --on-timeout degrade|fail     what holds if they do not say so in time (default degrade)
#   --misroute forward|claim      requests at another node than the home (default forward)
#   --consistency available|strict
#   --granularity session|attribute|field
#   --no-route                    no route in session ids (for balancers that are not sticky)
#   --no-cluster                  the same nodes without a cluster
#   --members M                   certificates and seeds for nodes 1..M (default N), so that
#                                 node N+1..M can be started later with `start`
#
# Node I listens on HTTP 18080+I and cluster (QUIC, and TCP for the crash signal) port
# 14000+I. Environment: BENCH_RUN (the folder of the nodes, default bench/run), SERVAL (a
# serval that is built already), BENCH_BUNDLES (default: bench bench-worker bench-wasm),
# BENCH_BOOT_TIMEOUT_MS (120000), BENCH_ARGS (more arguments of serval run), BENCH_HTTP
# (18080) and BENCH_CLUSTER (14000) for other ports.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/.." && pwd)"
run="${BENCH_RUN:-$here/run}"
bundles="${BENCH_BUNDLES:-bench bench-worker bench-wasm}"

http_port() { echo $((${BENCH_HTTP:-18080} + $1)); }
cluster_port() { echo $((${BENCH_CLUSTER:-14000} + $1)); }
pidfile() { echo "$run/node$1/pid"; }
alive() { local p; p=$(cat "$(pidfile "$1")" 2>/dev/null) && [ -n "$p" ] && [ -r "/proc/$p/stat" ] &&
          ! grep -q ') Z ' "/proc/$p/stat" && grep -qa -- "$run/node$1" "/proc/$p/cmdline"; }
now_ms() { local us=${EPOCHREALTIME//[^0-9]/}; now=$((us / 1000)); } # sets now; starts no process
serval() { "$run/serval" "$@"; }

# The bundles once, with their programs built: nodes get copies.
gen_bundles() { # granularity
    local b
    mkdir -p "$run/webapps"
    for b in $bundles; do
        cp -r "$here/home/webapps/$b" "$run/webapps/$b"
        case "$b" in
        bench-worker) serval build "$run/webapps/$b" >/dev/null ;;
        bench-wasm) serval build -t wasm "$run/webapps/$b" >/dev/null ;;
        esac
        if [ -n "$1" ]; then
            cat >"$run/webapps/$b/WEB-INF/jboss-web.xml" <<EOF
<?xml version="1.0" encoding="UTF-8"?>
<jboss-web>
  <replication-config>
    <replication-granularity>${1^^}</replication-granularity>
  </replication-config>
</jboss-web>
EOF
        fi
    done
}

gen_node() { # node members
    local i=$1 members=$2 base="$run/node$1" j seeds=""
    mkdir -p "$base/conf"
    cp -r "$run/webapps" "$base/webapps"
    cp "$root/conf/web.toml" "$base/conf/"
    for ((j = 1; j <= members; j++)); do
        [ "$j" = "$i" ] || seeds="$seeds\"127.0.0.1:$(cluster_port "$j")\", "
    done
    cat >"$base/conf/server.toml" <<EOF
[server]
node = "node$i"
[log]
format = "json"
[[connectors]]
name = "http"
address = "127.0.0.1:$(http_port "$i")"
[valves.access-log]
enabled = false
[valves.health]
enabled = true
EOF
    [ "$cluster" = yes ] || return 0
    cat >>"$base/conf/server.toml" <<EOF
[cluster]
enabled = true
address = "127.0.0.1:$(cluster_port "$i")"
seeds = [${seeds%, }]
route = $route
[[cache]]
name = "default"
mode = "${mode^^}"
owners = $owners
ack = "$ack"
on_timeout = "$on_timeout"
misroute = "$misroute"
consistency = "$consistency"
EOF
    serval cluster enroll --dir "$run/ca" --out "$base/conf/cluster" "node$i" >/dev/null
}

# Waits until node I is ready (its applications run, and it is level with the
# others) and answers; prints ms since $2. It starts no process while it waits: on
# two cores that would be a quarter of what is measured.
wait_level() {
    local i=$1 t0=$2 port deadline line never; port=$(http_port "$1")
    deadline=$((t0 + ${BENCH_BOOT_TIMEOUT_MS:-120000}))
    exec {never}<> <(:)
    while now_ms && [ "$now" -lt "$deadline" ]; do
        [ "$now" -lt $((t0 + 1000)) ] || alive "$i" || { echo "node$i died; see $run/node$i/log" >&2; return 1; }
        if answers "$port" /health && answers "$port" "/${bundles%% *}/hello"; then
            now_ms; echo $((now - t0)); exec {never}>&-; return 0
        fi
        read -r -t 0.01 -u "$never" line || true # nothing comes
    done
    echo "node$i: not ready within the time limit; see $run/node$i/log" >&2; return 1
}

answers() { # port path: whether it answers with status 200, by bash's own /dev/tcp
    local line=""
    if { exec 9<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; then
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&9
        IFS= read -r -t 5 line <&9 || true
        exec 9<&- 9>&-
    fi
    [[ $line == *" 200 "* ]]
}

launch() {
    local i=$1 base="$run/node$1"
    alive "$i" && { echo "node$i already runs" >&2; return 1; }
    # shellcheck disable=SC2086  # the arguments are words
    setsid "$run/serval" run --home "$base" ${BENCH_ARGS:-} >>"$base/log" 2>&1 </dev/null &
    echo $! >"$(pidfile "$i")"
}

start_node() { now_ms; local t0=$now; launch "$1"; wait_level "$1" "$t0"; }

nodes() { local d; for d in "$run"/node*/; do [ -d "$d" ] && basename "$d" | sed 's/node//'; done | sort -n; }

stop_node() {
    local i=$1 p n; alive "$i" || return 0
    p=$(cat "$(pidfile "$i")"); kill -TERM "$p" 2>/dev/null || true
    for ((n = 0; n < 400; n++)); do alive "$i" || return 0; sleep 0.1; done
    kill -KILL "$p" 2>/dev/null || true
}

# tree PID: the process and what it has started.
tree() { local c; echo "$1"; for c in $(pgrep -P "$1" || true); do tree "$c"; done; }

cmd="${1:-help}"; shift || true
case "$cmd" in
up|gen)
    n=${1:?N}; shift
    mode=repl owners=2 ack=one on_timeout=degrade misroute=forward consistency=available granularity="" route=true members=$n cluster=yes
    while [ $# -gt 0 ]; do case "$1" in
        --mode) mode=$2; shift 2;; --owners) owners=$2; shift 2;; --ack) ack=$2; shift 2;;
        --on-timeout) on_timeout=$2; shift 2;; --misroute) misroute=$2; shift 2;; --consistency) consistency=$2; shift 2;;
        --granularity) granularity=$2; shift 2;; --no-route) route=false; shift;; --no-cluster) cluster=no; shift;;
        --members) members=$2; shift 2;; *) echo "unknown option $1" >&2; exit 2;; esac; done
    for i in $(nodes); do alive "$i" && { echo "node$i still runs: run 'down' first" >&2; exit 1; }; done
    rm -rf "$run"; mkdir -p "$run"
    if [ -n "${SERVAL:-}" ]; then cp "$SERVAL" "$run/serval"; else (cd "$root" && go build -o "$run/serval" .); fi
    [ "$members" -ge "$n" ] || members=$n
    gen_bundles "$granularity"
    if [ "$cluster" = yes ]; then serval cluster init --dir "$run/ca" >/dev/null; fi
    for ((i = 1; i <= members; i++)); do gen_node "$i" "$members"; done
    [ "$cmd" != gen ] || exit 0
    # One after the other: a node takes its state from those already up.
    for ((i = 1; i <= n; i++)); do ms=$(start_node "$i"); echo "node$i level after $ms ms, pid $(cat "$(pidfile "$i")")"; done
    ;;
start) start_node "${1:?I}";;
stop)  stop_node "${1:?I}";;
kill9) alive "${1:?I}" && kill -KILL "$(cat "$(pidfile "$1")")";;
down)  for i in $(nodes); do stop_node "$i" & done; wait;;
pid)   cat "$(pidfile "${1:?I}")";;
pids)  for i in $(nodes); do
           if alive "$i"; then p=$(cat "$(pidfile "$i")"); if [ "${1:-}" = --all ]; then tree "$p"; else echo "$p"; fi; fi
       done | paste -sd,;;
stats)
    i=${1:?I}; p=$(cat "$(pidfile "$i")")
    exec 9<>"/dev/tcp/127.0.0.1/$(http_port "$i")"
    printf 'GET /%s/stats%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "${bundles%% *}" "${2:+?gc=1}" >&9
    body=$(timeout 60 cat <&9 | tail -1); exec 9<&- 9>&-
    echo "$body rssKiB=$(awk '/^VmRSS/{print $2}' "/proc/$p/status") cpuTicks=$(awk '{print $14+$15}' "/proc/$p/stat")"
    ;;
errors)
    for i in $(nodes); do
        printf 'node%s ' "$i"
        grep -E '"level":"(WARN|ERROR)"' "$run/node$i/log" 2>/dev/null |
            sed -E 's/"time":"[^"]*",//; s/[A-Za-z0-9_-]{32}(\.node[0-9]+)?/ID/g; s/[0-9]+/#/g' | cut -c1-200 | sort | uniq -c | sort -rn | head -6 || true
        echo
    done;;
log) grep -E -- "${2:-.}" "$run/node${1:?I}/log" || true;;
cli) i=${1:?I}; shift; serval "$@" --home "$run/node$i";;
*) sed -n '2,/^set -/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//';;
esac
