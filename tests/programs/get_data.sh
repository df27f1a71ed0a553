#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/get-data svhn with small files in place of the published ones: downloads that end well, that
# break off and go on, and that are something else. Nothing leaves this machine.
# usage: get_data.sh SCRIPT
# Status 77 where curl or python3 are missing.
set -euo pipefail

command -v curl >/dev/null && command -v python3 >/dev/null || exit 77
script=$(realpath "$1")
work=$(mktemp -d)
server=
trap '[[ ! $server ]] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
unset POE_DATA http_proxy
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
has() { grep -qF -- "$2" "$1" || { complain "$1 has no '$2'"; cat "$1"; }; }

mkdir source scripts
head -c 300000 /dev/urandom >source/train_32x32.mat
head -c 100000 /dev/urandom >source/test_32x32.mat
sum() { sha256sum "$1" | cut -d' ' -f1; }
sed -E -e "s/^  train_32x32.mat .*/  train_32x32.mat $(sum source/train_32x32.mat)/" \
  -e "s/^  test_32x32.mat .*/  test_32x32.mat $(sum source/test_32x32.mat)/" \
  -e 's/=182040794/=300000/; s/=64275384/=100000/' "$script" >scripts/get-data

# get STATUS ARGUMENT...
get() {
  local expected=$1 status=0
  shift
  bash scripts/get-data "$@" >out 2>err || status=$?
  ((status == expected)) || { cat out err; complain "$*: status $status, not $expected"; }
}
# whole DIR: it has both files and nothing else
whole() {
  cmp "$1/train_32x32.mat" source/train_32x32.mat && cmp "$1/test_32x32.mat" source/test_32x32.mat ||
    complain "$1 has other files"
  [[ $(ls -A "$1" | wc -l) == 2 ]] || complain "$1 has more than the files: $(ls -A "$1")"
}

get 0 svhn one --from "file://$work/source"
[[ $(<out) == "$work/one" ]] || complain "printed $(<out)"
whole one
get 0 svhn one --from file:///nowhere  # they are there
mkdir part whole_set
cp one/* whole_set
mv whole_set part/svhn
POE_DATA=part get 0 svhn two --from file:///nowhere
[[ $(<out) == part/svhn && ! -e two ]] || complain "did not use POE_DATA: $(<out)"

# --- what broke off goes on, also from a server that only begins at the first byte ---

cat >server.py <<'END'
import http.server, os, re, sys
breaks, ranges = "breaks" in sys.argv, "ranges" in sys.argv
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = open("source" + self.path, "rb").read()
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) if ranges else None
        first = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        self.wfile.write(data[first:70000] if breaks and not asked else data[first:])
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open("port.new", "w").write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
END
# serve WORD...: a server with these habits, at $url
serve() {
  [[ ! $server ]] || kill "$server"
  rm -f port
  python3 server.py "$@" 2>requests &
  server=$!
  for ((i = 0; i < 200; i++)); do [[ ! -e port ]] || break; sleep 0.05; done
  url=http://127.0.0.1:$(<port)
}
serve breaks ranges
get 3 svhn three --from "$url"
has err 'the same command goes on'
[[ ! -e three/train_32x32.mat ]] || complain 'half a file has the name of a whole one'
[[ $(stat --format=%s three/.incomplete/train_32x32.mat) == 70000 ]] || complain 'the half is not kept'
get 3 svhn three --from "$url/"  # the first ends, the second breaks off
get 0 svhn three --from "$url"
whole three
[[ $(grep -c ' 206 ' requests) == 2 ]] || complain "expected two that go on: $(<requests)"
serve
mkdir -p four/.incomplete
head -c 1000 source/train_32x32.mat >four/.incomplete/train_32x32.mat
get 0 svhn four --from "$url"
whole four

# --- something else ---

mkdir other
head -c 300000 /dev/urandom >other/train_32x32.mat
get 3 svhn five --from "file://$work/other"
has err 'other/train_32x32.mat is not the published file of SVHN: 300000 bytes, SHA-256'
[[ ! -e five ]] || complain 'a wrong file was kept'
head -c 300001 /dev/urandom >other/train_32x32.mat
get 3 svhn five --from "file://$work/other"
head -c 299999 other/train_32x32.mat >x
mv x other/train_32x32.mat
get 3 svhn five --from "file://$work/other"
has err ': 299999 bytes, SHA-256'
get 3 svhn five --from file:///nowhere
[[ ! -e five ]] || complain 'what was not found left a folder'
echo other >one/test_32x32.mat
get 1 svhn one --from "file://$work/source"
has err 'one/test_32x32.mat is not the published file of SVHN'
rm one/test_32x32.mat
get 0 svhn one --from "file://$work/source"
whole one

get 0 cub
has out 'https://www.vision.caltech.edu/datasets/cub_200_2011'
for arguments in '' imagenet 'svhn a b' 'svhn --from' 'mnist --from x' 'cub x' '--fast svhn'; do
  get 2 $arguments
done

((failures == 0)) && echo "all checks passed"
((failures == 0))
