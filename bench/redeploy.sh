#!/usr/bin/env bash
# Loads one node for 60 s (32 connections, 1000 sessions, linked and worker)
# while each app is redeployed 10 times and the worker is killed 3 times.
# No update may be lost and no session reset; only requests that were inside a
# killed worker may fail. Exit status 1 otherwise.
#
# Usage: bench/redeploy.sh      Environment: SECONDS_OF_LOAD (60)
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
T=${SECONDS_OF_LOAD:-60}
port=18071

build_serval; build_load
start_serval $port
wait_for "http://127.0.0.1:$port/bench-worker/count" 180

load() { # label path
    "$tmp/load" -targets "http://127.0.0.1:$port" -label "$1" -path "$2" -c 16 -sessions 500 -d "${T}s" \
        -pids "$serval" -json "$tmp/raw.jsonl" -v
}
load linked /bench/count & l1=$!
load worker /bench-worker/count & l2=$!

worker_pid() {
    "$tmp/serval" apps --home "$tmp/home" --json |
        python3 -c 'import json, sys; print(next((a["worker_pid"] for a in json.load(sys.stdin) if a["context_path"] == "/bench-worker" and a["worker_pid"]), ""))'
}
for ((i = 1; i <= 10; i++)); do
    sleep $((T / 12))
    "$tmp/serval" reload --home "$tmp/home" /bench || exit 1
    "$tmp/serval" reload --home "$tmp/home" /bench-worker || exit 1
    if [ $((i % 3)) = 0 ]; then
        p=$(worker_pid); [ -n "$p" ] || { echo "no worker to kill" >&2; exit 1; }
        echo "killing worker $p"; kill -KILL "$p"
    fi
done
wait $l1 $l2
python3 - "$tmp/raw.jsonl" <<'PY'
import json, sys
bad = 0
for line in open(sys.argv[1]):
    r = json.loads(line)
    lost, reset = r["lost_updates"] + r["back"] + r["sessions_lost_updates"], r["reset"] + r["sessions_reset"]
    failed = r["http_5xx"] + r["http_4xx"] + r["conn_err"] + r["timeouts"]
    print(f'{r["label"]}: {r["requests"]} requests, {lost} lost, {reset} reset, {failed} failed, {r["ahead"]} ahead')
    # At most the open requests of three kills: 16 connections each.
    bad += lost + reset + (failed if r["label"] == "linked" else max(0, failed - 48))
sys.exit(1 if bad else 0)
PY
