#!/bin/sh
# What tests with containers need where no image can be pulled: out of Debian's packages, on Debian, as root.
#
#   engine_parts.sh plugins FOLDER   compose and buildx, in FOLDER as plugins of docker
#   engine_parts.sh base FILE        a root file system with Python and HAProxy, to be imported as a base image
#
# The image stands in for the published ones; it trusts the authorities that this host trusts.
set -eu

release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Component: main' \
    "Codename: $release" | head -n 1)
[ -n "$mirror" ] || { echo "apt knows no mirror of Debian" >&2; exit 1; }

plugins() {
    # Debian 12 has no compose yet. The programs of its next release are one file each, which runs there too.
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$1"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/sources.list"
    set -- "$1" -qq -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Dir::Etc::sourcelist=$work/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Acquire::Languages=none -o APT::Sandbox::User=root
    folder=$1
    shift
    apt-get "$@" update
    (cd "$work" && apt-get "$@" download docker-compose/trixie docker-buildx/trixie)
    for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/tree"; done
    install -m 755 "$work"/tree/usr/libexec/docker/cli-plugins/* "$folder"
}

base() {
    mmdebstrap --quiet --format=tar --dpkgopt=force-unsafe-io --variant=essential --include=ca-certificates,haproxy,python-is-python3,python3-pip \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' "$release" "$1.new" "$mirror"
    mv "$1.new" "$1"
}

what=$1
shift
case $what in plugins | base) "$what" "$@" ;; *) exit 2 ;; esac
