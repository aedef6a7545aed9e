# Shared by the scripts of this folder; to be sourced. It builds what the
# measurements need in a folder of their own, and removes it at the end.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/.." && pwd)"
shared="${SERVAL_SHARED:-$root/../shared}"
[ -d "$shared/bench/load" ] || { echo "the load generator is missing: $shared/bench (set SERVAL_SHARED)" >&2; exit 1; }
tmp="$(mktemp -d)"
pids=()

cleanup() {
    local p
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$tmp"
}
trap cleanup EXIT

# Builds serval, and makes a home of the benchmark's bundles.
build_serval() {
    (cd "$root" && go build -o "$tmp/serval" .) || exit 1
    cp -r "$here/home" "$tmp/home"
}

build_load() {
    cp -r "$shared/bench" "$tmp/shared" && chmod -R u+w "$tmp/shared"
    (cd "$tmp/shared/load" && go build -o "$tmp/load" .) || exit 1
}

# wait_for URL SECONDS: until it answers 200.
wait_for() {
    local end=$(($(date +%s) + $2))
    until [ "$(curl -s -o /dev/null -w '%{http_code}' "$1")" = 200 ]; do
        [ "$(date +%s)" -lt "$end" ] || { echo "$1 did not answer 200 within $2 s" >&2; exit 1; }
        sleep 0.2
    done
}

# start_serval PORT: runs the benchmark's home, sets $serval to its process.
start_serval() {
    "$tmp/serval" run --home "$tmp/home" --http "127.0.0.1:$1" >"$tmp/serval.log" 2>&1 &
    serval=$!
    pids+=("$serval")
    wait_for "http://127.0.0.1:$1/bench/hello" 30
}
