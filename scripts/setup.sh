#!/bin/sh
# Sets up what a make target needs, and nothing when that has been done:  scripts/setup.sh run|test|e2e
#
#   run    .venv with what the program needs; haproxy, without which the local cluster has no load balancer
#   test   the tools and libraries of the tests too; haproxy
#   e2e    Chromium, Node.js, PostgreSQL, a NATS server and a Docker engine too
#
# Python packages come in the versions of constraints.txt. System packages are installed by apt for root; others are told
# what to install. PYTHON names the interpreter to use (3.11 to 3.13).
set -eu
cd "$(dirname "$0")/.."
tier=${1:-run}
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }

# install PACKAGE...: with apt, as root. False: somebody else has to.
install() {
    [ "$(id -u)" = 0 ] && have apt-get || return 1
    say "installing $* with apt"
    if [ -z "${updated:-}" ]; then
        apt-get update -qq >&2 || say "apt-get update failed; going on with the lists that are there"
        updated=1
    fi
    output=$(DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 2>&1) ||
        { printf '%s\n' "$output" >&2; return 1; }
}

# need COMMAND PACKAGE...: a program that the tier cannot do without.
need() {
    command=$1
    shift
    have "$command" || install "$@" || true
    have "$command" || die "$command is missing. Install it, on Debian or Ubuntu with: apt-get install $*"
}

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if have "$candidate" && suits "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    python=$(find_python) || { install python3 python3-venv || true; python=$(find_python); } ||
        die "Python 3.11, 3.12 or 3.13 is needed; on Debian 12 or later: apt-get install python3 python3-venv"
    say "making $venv with $("$python" --version)"
    rm -rf "$venv"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        minor=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        install "$minor-venv" || die "Python's venv module is missing. On Debian or Ubuntu: apt-get install $minor-venv"
    fi
    "$python" -m venv "$venv"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

# What was installed holds until one of these files, or the place of the checkout, changes.
state() {
    { cat pyproject.toml constraints.txt scripts/setup.sh; pwd -P; "$venv/bin/python" -VV; } | cksum
}

# packages TIER GROUP-ARGUMENTS...: the package itself, in place, and those of dependency groups.
packages() {
    stamp=$venv/.setup-$1
    shift
    now=$(state)
    for done in "$stamp" "$venv/.setup-dev"; do
        [ "$(cat "$done" 2>/dev/null)" = "$now" ] && return 0
    done
    say "installing Python packages"
    pip install -c constraints.txt "pip>=25.1"
    pip install -c constraints.txt "$@"
    # pytest-sanic asks for a websockets package of years ago; the tests need it without that.
    case $stamp in *-dev) pip install -c constraints.txt --no-deps pytest-sanic ;; esac
    printf '%s\n' "$now" >"$stamp"
}

node_packages() {
    lock=tests/e2e/sdk/package-lock.json
    stamp=tests/e2e/sdk/node_modules/.setup
    [ "$(cat "$stamp" 2>/dev/null)" = "$(cksum <"$lock")" ] && return 0
    say "installing Node packages"
    (cd tests/e2e/sdk && npm ci --silent --no-audit --no-fund >&2)
    cksum <"$lock" >"$stamp"
}

case $tier in run | test | e2e) ;; *) die "run, test or e2e?" ;; esac

if [ ! -x "$venv/bin/python" ] || ! suits "$venv/bin/python" || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    make_venv
fi
if [ "$tier" = run ]; then
    packages run -e .
    have haproxy || install haproxy ||
        say "haproxy is missing: the cluster will run without a load balancer (Debian, Ubuntu: apt-get install haproxy)"
    exit 0
fi
packages dev -e ".[nats,postgresql]" --group dev
need haproxy haproxy
if [ "$tier" = e2e ]; then
    need chromium chromium
    need node nodejs
    need npm npm
    need ip iproute2
    need nft nftables
    need nats-server nats-server
    have pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || install postgresql ||
        die "PostgreSQL's server is missing. On Debian or Ubuntu: apt-get install postgresql"
    docker info >/dev/null 2>&1 || { have dockerd && have mmdebstrap; } || install docker.io mmdebstrap ||
        say "there is no Docker engine: tests with containers are left out (Debian, Ubuntu: apt-get install docker.io)"
    node_packages
fi
