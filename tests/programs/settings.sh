# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For the tests that source it: what a program wrote of its settings and figures. They define
# `complain`.

# says FILE TEXT...: the JSON file has each text, which ends where its value ends
says() {
  local file=$1 settings text
  shift
  settings=$(tr -d ' \n' <"$file" | tr '}' ',')
  for text in "$@"; do
    [[ $settings == *"$text,"* ]] || complain "${file#"$work"/}: expected $text in $(cat "$file")"
  done
}
