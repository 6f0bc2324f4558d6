#!/usr/bin/env bash
# root.sh DIRECTORY [PACKAGE…]: the base of all images, from this system's Debian packages: the C library, certificates of
# public authorities, time zones' names, a user that is not root; and further packages. No shell, no package manager.
# Beside it DIRECTORY.packages names each package (name, version, architecture, SHA-256 of the .deb), for the SBOM.
source "$(dirname "${BASH_SOURCE[0]}")/../tests/tools/prelude.sh"

directory=$(realpath --canonicalize-missing "${1:?usage: root.sh DIRECTORY [PACKAGE…]}")
packages=(base-files ca-certificates libc6 libgcc-s1 netbase "${@:2}")
debs=$cache/debs

mkdir -p "$debs" "$directory"
# apt may refuse to write as its own user into root's cache; the packages' signatures are checked all the same.
(cd "$debs" && apt-get download --quiet "${packages[@]}" >/dev/null 2>&1) || {
    say "apt-get could not download ${packages[*]}: try \`apt-get update\`, then again"
    exit 1
}

: >"$directory.packages"
for package in "${packages[@]}"; do
    version=$(apt-cache policy "$package" | awk '/Candidate:/ { print $2 }')
    deb=$(find "$debs" -name "${package}_${version//:/%3a}_*.deb" | head -n 1)
    dpkg-deb --extract "$deb" "$directory"
    printf '%s %s %s %s\n' "$package" "$version" "$(dpkg-deb --field "$deb" Architecture)" \
        "$(sha256sum "$deb" | cut -d' ' -f1)" >>"$directory.packages"
done

cd "$directory"
# Licence texts (usr/share/doc/*/copyright) stay; nothing else of these is read at run time.
find usr/share/doc -type f ! -name copyright -delete
rm -rf usr/share/{man,lintian,locale,info,bug,base-files,dict,doc-base} usr/lib/*/gconv usr/sbin usr/bin sbin bin \
    etc/{update-motd.d,dpkg,profile.d,skel,ca-certificates,motd,issue,issue.net} var/cache var/backups usr/lib/*/audit
# What ca-certificates' own installation script would write.
mkdir -p etc/ssl/certs
find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs cat >etc/ssl/certs/ca-certificates.crt
rm -r usr/share/ca-certificates
printf '%s\n' root:x:0:0:root:/root:/sbin/nologin medtrain:x:65532:65532:medtrain:/var/lib/medtrain:/sbin/nologin >etc/passwd
printf '%s\n' root:x:0: medtrain:x:65532: >etc/group
mkdir -p tmp var/lib/medtrain
chmod 1777 tmp
chown 65532:65532 var/lib/medtrain
find . -depth -type d -empty ! -path ./tmp ! -path ./var/lib/medtrain -delete
