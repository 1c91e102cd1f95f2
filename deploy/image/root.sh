#!/bin/sh
# The root of the image: the few packages of Debian that the program needs, and nothing else. No shell, no package manager.
#
#   root.sh FOLDER      run in the Debian that the packages come from
#
# Each package is whole, so that scanners and the SBOM may speak of packages, but for manuals, translations and what
# iconv would load. Its entry of dpkg's database goes to /var/lib/dpkg/status.d, where scanners look for it in images
# without a package manager.
set -eu

into=$1
packages="base-files gcc-12-base libc6 libgcc-s1 libstdc++6"
mkdir -p "$into/usr/bin" "$into/usr/lib" "$into/usr/lib64" "$into/usr/sbin" "$into/var/lib/dpkg/status.d"

# shellcheck disable=SC2086  # words, each a package
dpkg-query --listfiles $packages \
    | grep --extended-regexp --invert-match '^/\.$|/gconv|/locale/|/man/|/lintian|^/(home|root|mnt|media|opt|srv|boot|proc|sys|dev|run)(/|$)|^/var/(lock|run|mail|spool)' \
    | sort --unique \
    | while read -r file; do if [ -e "$file" ] || [ -L "$file" ]; then echo "$file"; fi; done \
    | tar --create --no-recursion --files-from - \
    | tar --extract --directory "$into"

for package in $packages; do
    dpkg-query --status "$package" >"$into/var/lib/dpkg/status.d/$package"
done

# A name for the number that the program runs as: nobody logs in.
echo 'souk:x:10001:10001::/:/usr/sbin/nologin' >"$into/etc/passwd"
echo 'souk:x:10001:' >"$into/etc/group"
