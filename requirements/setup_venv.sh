#!/usr/bin/env bash
# Makes .venv in the project's root or brings it up to date. Does nothing if it is up to date.
#
#   requirements/setup_venv.sh [PROJECT_ROOT]
#
# PYTHON       the Python to use (a path or a name). Default: the one in .venv, else the best one on this machine
# PYTHON_DIRS  folders, joined by colons, to look for a Python in after the PATH, instead of the usual ones
set -euo pipefail
shopt -s nullglob

root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
venv=$root/.venv
stamp=$venv/.setup-stamp # holds what was installed; "unfinished" while an installation runs
log=$venv/setup.log
cd "$root"

die() {
  echo "setup_venv: $1" >&2
  exit 1
}

# Prints version, path, folder of the C headers and whether venv works, for the Python that $1 starts. Fails if it does
# not run (a pyenv shim, for example) or is not CPython. For a venv it describes the Python that the venv was made from.
probe() {
  "$1" -I -c '
import importlib.util, os, platform, sys, sysconfig
if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
version = "%d.%d" % sys.version_info[:2]
print(version)
print(os.path.realpath(os.path.join(sys.base_prefix, "bin", "python" + version)))
print(sysconfig.get_path("include"))
print("yes" if all(map(importlib.util.find_spec, ("venv", "ensurepip"))) else "no")
' 2>/dev/null
}

# Sets version, python, headers and has_venv from `probe`.
inspect_python() {
  local fields
  fields=$(probe "$1") || return 1
  { read -r version && read -r python && read -r headers && read -r has_venv; } <<<"$fields"
}

choose_stack() { # choose_stack VERSION: what TFX has wheels for, see stack-a.in and stack-b.in
  case $1 in
    3.10) echo a ;;
    3.11 | 3.12 | 3.13) if ((glibc_minor >= 39)); then echo b; fi ;;
  esac
}

find_python() { # the first of $fitting that runs
  local wanted candidates candidate
  for wanted in $fitting; do
    mapfile -t candidates < <(type -aP "python$wanted" || true; printf '%s\n' "${dirs[@]/%//python$wanted}")
    for candidate in "${candidates[@]}"; do
      if inspect_python "$candidate" && [[ $version == "$wanted" ]]; then return; fi
    done
  done
  return 1
}

print_wanted() {
  echo "stack-$stack $version $python"
  sha256sum "requirements/stack-$stack.txt" setup.py
}

install() {
  local uv
  uv=$(command -v uv) || uv=$venv/uv/bin/uv
  if [[ ! -x $uv ]]; then
    # Beside the packages, where `uv pip sync` does not remove it.
    echo "No uv on PATH: installing it into .venv/uv"
    "$venv/bin/python" -m pip install --target "$venv/uv" uv || echo "uv cannot be installed: using pip instead"
  fi
  # The lock is complete, so pip need not resolve anything; setuptools comes with it, so the project needs no download.
  if [[ -x $uv ]]; then
    # Compiled now (half a minute), TensorFlow starts in three seconds instead of eight.
    "$uv" pip sync --compile-bytecode --python "$venv/bin/python" "requirements/stack-$stack.txt" &&
      "$uv" pip install --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
  else
    "$venv/bin/python" -m pip install --no-deps --requirement "requirements/stack-$stack.txt" &&
      "$venv/bin/python" -m pip install --no-deps --no-build-isolation --editable .
  fi
}

# --- the machine

[[ $(uname -sm) == "Linux x86_64" ]] ||
  die "TFX has wheels for Linux on x86_64 only, this is $(uname -sm): use such a machine or container."
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) ||
  die "TFX has wheels for glibc only, and this Linux has none: use Debian, Ubuntu or another one that has it."
glibc=${glibc#glibc }
glibc_minor=${glibc#*.}
glibc_minor=${glibc_minor%%.*}
((glibc_minor >= 31)) || die "glibc 2.31 or newer is needed, this Linux has $glibc: use Debian 11, Ubuntu 20.04 or newer."
fitting=3.10
if ((glibc_minor >= 39)); then fitting="3.13 3.12 3.11 3.10"; fi

# Two at once (make -j, or two terminals) must not write to one .venv: the second waits, then has nothing to do.
exec 9<"requirements/stack-a.txt"
flock --nonblock 9 || { echo "Waiting for another set-up of .venv to end." && flock 9; }

# --- the Python

installed=$(cat "$stamp" 2>/dev/null) || installed=
in_venv=
if [[ $installed != unfinished ]] && inspect_python "$venv/bin/python"; then in_venv=$python; fi

if [[ -n ${PYTHON:-} ]]; then
  inspect_python "$PYTHON" || die "PYTHON=$PYTHON does not run, or is not CPython: name a Python ${fitting// /, }."
elif [[ -z $in_venv ]]; then
  dirs=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[0-3].*/bin "$HOME"/.local/share/uv/python/*/bin
    /opt/python*/bin /opt/python/*/bin /usr/local/bin /usr/bin)
  if [[ -n ${PYTHON_DIRS:-} ]]; then IFS=: read -r -a dirs <<<"$PYTHON_DIRS"; fi
  find_python ||
    die "no Python ${fitting// /, } was found (glibc $glibc decides which fit): install one, for example with \
'uv python install ${fitting%% *}', or name one with PYTHON=/path/to/python."
fi
stack=$(choose_stack "$version")
[[ -n $stack ]] ||
  die "$python is Python $version, and with glibc $glibc TFX runs on Python ${fitting// /, } only: name such a one with \
PYTHON=/path/to/python${PYTHON:+, or leave PYTHON out}."

# --- compare with what is installed

wanted=$(print_wanted)
if [[ -n $in_venv && $installed == "$wanted" ]]; then exit; fi

# pyfarmhash is built from source. Report what is missing now, not in a compiler's log ten minutes later.
[[ $has_venv == yes ]] ||
  die "$python has no venv module: install it (Debian and Ubuntu: apt-get install python$version-venv)."
command -v g++ >/dev/null || die "g++ is missing, it builds pyfarmhash: install it (Debian and Ubuntu: apt-get install g++)."
[[ -e $headers/Python.h ]] ||
  die "the C headers of $python are missing ($headers/Python.h), they build pyfarmhash: install them (Debian and Ubuntu: \
apt-get install python$version-dev)."

# --- install

if [[ $in_venv == "$python" ]]; then
  echo "Bringing .venv up to date with requirements/stack-$stack.txt (log: .venv/setup.log)."
else
  rmdir "$venv" 2>/dev/null || true # killed before it could leave a stamp
  [[ ! -e $venv || -e $stamp ]] || die "$venv was not made by this script, and does not hold $python: move it away first."
  echo "Setting up .venv with $python and requirements/stack-$stack.txt: some minutes (log: .venv/setup.log)."
  # Moved first: a removal that is killed must not leave a .venv without its stamp.
  rm -rf "$venv.old"
  if [[ -e $venv ]]; then mv "$venv" "$venv.old" && rm -rf "$venv.old"; fi
  mkdir "$venv"
fi
echo unfinished >"$stamp"
if ! { [[ $in_venv == "$python" ]] || "$python" -m venv "$venv"; } >"$log" 2>&1 || ! install >>"$log" 2>&1; then
  tail -n 25 "$log" >&2
  die "the installation failed, the lines above are the end of $log."
fi
echo "$wanted" >"$stamp"
echo "Ready."
