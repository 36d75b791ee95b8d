#!/usr/bin/env bash
# Resolves stack-a.in and stack-b.in into their lock files. A locked version that still fits stays; arguments
# go to `uv pip compile`, for example --upgrade, or --upgrade-package tfx.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

uv=$(command -v uv || true)
if [[ -z $uv ]]; then
  uv=$PWD/../.venv/uv/bin/uv # setup_venv.sh installs it there if none is on PATH
  [[ -x $uv ]] || { echo "make lock needs uv: install it with 'pip install uv'." >&2; exit 1; }
fi

compile() { # compile STACK FLAGS...
  local stack=$1
  shift
  echo "Resolving stack-$stack.in"
  # The header names `make lock`, not a command line with this machine's paths.
  "$uv" pip compile --quiet --no-emit-index-url --custom-compile-command "make lock" \
    "$@" "stack-$stack.in" --output-file "stack-$stack.txt" >/dev/null
}

compile a --python-version 3.10 --python-platform x86_64-manylinux_2_31 "$@"
compile b --python-version 3.11 --universal "$@"

# uv repeats the platform (the environment in pyproject.toml) on every line. setup_venv.sh checks it once, before
# anything is installed, so the lock needs only the markers that distinguish Pythons.
sed -E -i \
  -e "s/ and (platform_machine|platform_python_implementation|implementation_name|sys_platform) [!=]= '[^']*'//g" \
  -e "s/ and python_full_version < '3.14'//" \
  -e "s/ ; python_full_version < '3.14'( and |$)/\1/" \
  -e "/^[a-z]/s/^([^ ]+) and /\1 ; /" \
  stack-b.txt
