#!/usr/bin/env bash
# A virtual environment that holds exactly what requirements files pin.
#
#   venv.sh FOLDER REQUIREMENTS…     PYTHON=… names the interpreter to use
#
# Done again only when a file or the interpreter changed; says nothing otherwise.
set -euo pipefail

folder=$1
shift

# The training package's own bound; its README says why.
suits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

choose_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if suits "$candidate"; then
            # The interpreter itself and not a shim, which may mean another one tomorrow.
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "missing: Python 3.11 or newer for the training package (tried ${PYTHON:-python3, python3.11 to python3.13})" >&2
    echo "         apt install python3.11, or PYTHON=/path/to/python3.11" >&2
    return 1
}

python=$(choose_python)
# With the files beside it, since one may include another.
sum=$({ echo "$python"; "$python" --version; for file in "$@"; do cat "$(dirname "$file")"/requirements*.txt; done; } | sha256sum | cut -c1-16)
stamp=$folder/complete-$sum
[ -e "$stamp" ] && exit 0

echo "python: making $folder from $* (once)" >&2
rm -rf "$folder"
# Debian's Python can make a venv but has no pip to put into it; its own pip can fill one from outside.
"$python" -m venv --without-pip "$folder"
if ! "$python" -m pip --python "$folder/bin/python" --version >/dev/null 2>&1; then
    echo "missing: pip 22.3 or newer for $python (python3 -m pip install --upgrade pip)" >&2
    exit 1
fi
# `--no-deps`: the files are complete, and leave out what a CPU does without.
"$python" -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check \
    --only-binary=:all: --no-deps "${@/#/--requirement=}"
touch "$stamp"
