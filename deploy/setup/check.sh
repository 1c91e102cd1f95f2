#!/usr/bin/env bash
# Are the prerequisites here? Names everything that is missing at once, with a way to get it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
problems=0

missing() {
    printf 'missing: %s\n         %s\n' "$1" "$2" >&2
    problems=$((problems + 1))
}

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ] && [ -z "${LIBTORCH:-}" ]; then
    missing "Linux on x86-64 (this is $(uname -s) on $(uname -m))" \
        "elsewhere set LIBTORCH to a libtorch 2.11.0 of your own"
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
if ! command -v cargo >/dev/null; then
    missing "Rust $wanted or newer" "https://rustup.rs, then open a new shell"
else
    found=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n1)" != "$wanted" ]; then
        missing "Rust $wanted or newer (found $found)" "rustup update stable"
    fi
fi

# What the compiler says about a real header counts, not its version.
if ! echo '#include <optional>' | "${CXX:-c++}" -std=c++17 -fsyntax-only -x c++ - 2>/dev/null; then
    missing "a C++17 compiler (tried ${CXX:-c++})" "apt install g++"
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    missing "Python 3.8 or newer" "apt install python3 python3-pip"
elif ! python3 -m pip --version >/dev/null 2>&1; then
    missing "pip for $(command -v python3)" "apt install python3-pip"
fi

exit $((problems > 0))
