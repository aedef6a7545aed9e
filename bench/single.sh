#!/usr/bin/env bash
# Measures one node against its peers in the same run: CPU microseconds per
# request of a bare net/http server, of Serval (linked, worker, WebAssembly) and
# of Tomcat 10.1 where it is installed (Debian: tomcat10 and a JDK).
#
# Usage: bench/single.sh [hello] [count] [cart]      (default: hello count)
# Environment: D (5s) length of a run, ROUNDS (5) interleaved rounds, WARM (5s;
# Tomcat's first round takes WARM_TOMCAT, 20s).
# Prints a line per run, then the median of each cell and its ratios.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
D=${D:-5s} ROUNDS=${ROUNDS:-5} WARM=${WARM:-5s} WARM_TOMCAT=${WARM_TOMCAT:-20s}
cells=("$@"); [ $# -gt 0 ] || cells=(hello count)
port=18070

build_serval; build_load
(cd "$tmp/shared/gohello" && go build -o "$tmp/gohello" .) || exit 1
"$tmp/gohello" -addr 127.0.0.1:18090 & gohello=$!; pids+=("$gohello")
start_serval $port
wait_for "http://127.0.0.1:$port/bench-worker/hello" 180
wait_for "http://127.0.0.1:$port/bench-wasm/hello" 180

tomcat=""
if [ -d "${CATALINA_HOME:-/usr/share/tomcat10}" ] && command -v javac >/dev/null; then
    (cd "$tmp/shared/app" && ./build.sh >/dev/null) &&
        "$tmp/shared/tomcat-cluster.sh" up 1 --manager none >/dev/null &&
        tomcat=$("$tmp/shared/tomcat-cluster.sh" pid 1) && pids+=("$tomcat")
else
    echo "Tomcat is not installed: its cells are missing"
fi

# children PID: the process and the workers under it, comma-separated.
children() { local c; echo -n "$1"; for c in $(pgrep -P "$1"); do echo -n ","; children "$c"; done; }

# run LABEL BASE PIDS WARM load-options...
run() {
    local label=$1 base=$2 p=$3 warm=$4; shift 4
    timeout 200 "$tmp/load" -targets "$base" -pids "$p" -warm "$warm" -d "$D" -label "$label" \
        -json "$tmp/raw.jsonl" "$@" | sed -n '/cpu/Ip' | head -1
}

options() {
    case "$1" in
        hello) echo "-plain" ;;
        cart) echo "-sessions 300" ;;
        *) echo "-sessions 1000" ;;
    esac
}
path() { [ "$1" = cart ] && echo "cart?size=16384" || echo "$1"; }

for ((round = 1; round <= ROUNDS; round++)); do
    for cell in "${cells[@]}"; do
        o=$(options "$cell") q=$(path "$cell")
        # shellcheck disable=SC2086  # the options are words
        {
            [ "$cell" = hello ] && run "hello net/http" http://127.0.0.1:18090 "$gohello" "$WARM" -path /bench/hello $o
            run "$cell linked" "http://127.0.0.1:$port" "$(children "$serval")" "$WARM" -path "/bench/$q" $o
            run "$cell worker" "http://127.0.0.1:$port" "$(children "$serval")" "$WARM" -path "/bench-worker/$q" $o
            run "$cell wasm" "http://127.0.0.1:$port" "$(children "$serval")" "$WARM" -path "/bench-wasm/$q" $o
            [ -n "$tomcat" ] && run "$cell tomcat" http://127.0.0.1:18081 "$tomcat" \
                "$([ "$round" = 1 ] && echo "$WARM_TOMCAT" || echo "$WARM")" -path "/bench/$q" $o
        }
    done
done
[ -n "$tomcat" ] && "$tmp/shared/tomcat-cluster.sh" down >/dev/null 2>&1
(cd "$root" && go run ./bench/medians "$tmp/raw.jsonl")
