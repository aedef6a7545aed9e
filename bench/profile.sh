#!/usr/bin/env bash
# Makes default.pgo, the profile that the compiler optimises the server by
# (https://go.dev/doc/pgo): what a single node and a cluster of three do under load, the
# kinds of requests weighted alike.
#
# Usage: bench/profile.sh              (about three minutes; ports 18070, 18081-18083, 14001-14003)
# Environment: D (10) seconds per kind of request.
# Run it when hot code has changed much; an old profile still helps, and never harms.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
D=${D:-10}
port=18070
cluster="$here/serval-cluster.sh"
export SERVAL="$tmp/serval" BENCH_RUN="$tmp/run" BENCH_BUNDLES="bench" BENCH_ARGS="--pprof localhost:0"

# The profile must not come from a program that an older one has shaped.
(cd "$root" && go build -pgo=off -o "$tmp/serval" .)
cp -r "$here/home" "$tmp/home" && rm -rf "$tmp/home/webapps/bench-wasm"
build_load

# pprof LOG: where the server with this log serves its profiles.
pprof() { grep -o 'http://[^"]*/debug/pprof/' "$1" | head -1; }

# profile NAME TARGETS LOGS load-options...: load, and a profile of each server.
n=0
profile() {
    local name=$1 targets=$2 logs=$3 log; shift 3
    echo "profiling $name"
    "$tmp/load" -targets "$targets" -warm 2s -d "$((D + 3))s" "$@" >/dev/null 2>&1 & local load=$!
    sleep 3
    local -a readers=()
    for log in $logs; do
        n=$((n + 1))
        curl -sf -o "$tmp/profile.$n" "$(pprof "$log")profile?seconds=$D" & readers+=($!)
    done
    wait "$load" "${readers[@]}"
}

"$tmp/serval" run --home "$tmp/home" --http "127.0.0.1:$port" --pprof localhost:0 >"$tmp/serval.log" 2>&1 & pids+=($!)
wait_for "http://127.0.0.1:$port/bench-worker/hello" 180
single=http://127.0.0.1:$port
profile "a request without session" $single "$tmp/serval.log" -path /bench/hello -plain
profile "a counter in the session" $single "$tmp/serval.log" -path /bench/count
profile "a cart in the session" $single "$tmp/serval.log" -path '/bench/cart?size=16384' -sessions 300
profile "a counter, in a worker" $single "$tmp/serval.log" -path /bench-worker/count
kill "${pids[0]}"

trap '"$cluster" down; cleanup' EXIT
"$cluster" up 3 --ack all
logs="$tmp/run/node1/log $tmp/run/node2/log $tmp/run/node3/log"
nodes=http://127.0.0.1:18081,http://127.0.0.1:18082,http://127.0.0.1:18083
profile "a replicated counter" $nodes "$logs" -path /bench/count
profile "a replicated cart" $nodes "$logs" -path '/bench/cart?size=16384' -sessions 300
profile "requests that are forwarded" $nodes "$logs" -path /bench/count -roundrobin

go tool pprof -proto "$tmp"/profile.* >"$root/default.pgo"
ls -l "$root/default.pgo"
