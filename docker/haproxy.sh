#!/bin/sh
# HAProxy in a container of its own, beside the registry:  haproxy.sh FOLDER | haproxy.sh health
#
# FOLDER is shared with the registry, which writes haproxy.cfg there. It may be a moment later the first time.
set -eu

if [ "$1" = health ]; then # by bash: is a node reached through it?
    exec 3<>/dev/tcp/127.0.0.1/8080
    printf 'GET /health/ready HTTP/1.0\r\n\r\n' >&3
    read -r answer <&3
    case $answer in *' 200 '*) exit 0 ;; esac
    echo "$answer"
    exit 1
fi

trap 'exit 143' TERM INT
waited=0
until [ -s "$1/haproxy.cfg" ]; do
    [ "$waited" != 100 ] || echo "there is no configuration yet: the log of the registry says why" >&2
    waited=$((waited + 1))
    sleep 0.1 &
    wait $!
done
trap - TERM INT
exec haproxy -W -db -S "$1/master.sock,mode,600" -f "$1/haproxy.cfg"
