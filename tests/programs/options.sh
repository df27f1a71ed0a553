#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The page of the programs' options: each option of --help is there, with its program where it is one
# of the program's own, and the page has no other.
# usage: options.sh PAGE PROGRAM...
set -euo pipefail

page=$1
shift
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }

# options_of PROGRAM: one a line, as its --help lists them
options_of() { "$1" --help | grep -oE '^ +(-h,)?--[a-z-]+' | grep -oE -- '--[a-z-]+'; }
# rows TITLE: those of the page's tables below this heading
rows() { sed -n "/^## $1/,/^## /p" "$page" | grep '^| `--'; }

shared=$(rows 'Of every trainer')
own=$(rows 'Of one program')
compare=$(rows 'compare')
known=''
for program in "$@"; do
  name=$(basename "$program")
  options=$(options_of "$program")
  [[ $options == *--out* ]] || complain "$name --help lists no options"
  known+=$options$'\n'
  rows=$compare
  [[ $name == compare ]] || rows=$shared$'\n'$(grep -F "\`$name\`" <<<"$own")
  for option in $options; do
    grep -qF "| \`$option\` |" <<<"$rows" || complain "$page says nothing of $name $option"
  done
done
for option in $(printf '%s\n' "$shared" "$own" "$compare" | grep -oE '^\| `--[a-z-]+' | cut -c4-); do
  grep -qx -- "$option" <<<"$known" || complain "$page: no program has $option"
done
((failures == 0)) || exit 1
echo "every option is on the page"
