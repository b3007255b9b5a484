#!/bin/sh
# Makes what compose.yaml takes from files, and leaves alone what is there:  docker/secrets.sh [NAME-OF-THE-SITE]
#
#   secrets/cluster-secret, token-secret, admin-key   random
#   secrets/postgresql-password, database-url         random, for compose.postgresql.yaml
#   secrets/site.pem                                  a certificate that no browser trusts, with its key, for a month:
#                                                     to try it. Put yours in its place: certificate, chain, key.
#
# SECRETS: another folder. It admits you alone; the files in it can be read by whoever gets them, as the containers do,
# which run as an account that this host does not know.
set -eu
folder=${SECRETS:-$(dirname "$0")/secrets}
site=${1:-localhost}

umask 077
mkdir -p "$folder"
for name in cluster-secret token-secret admin-key; do
    [ -s "$folder/$name" ] || openssl rand -hex 32 >"$folder/$name"
done
if [ ! -s "$folder/database-url" ]; then
    openssl rand -hex 32 >"$folder/postgresql-password"
    echo "postgresql://wsplatform:$(cat "$folder/postgresql-password")@postgresql:5432/wsplatform" >"$folder/database-url"
fi
if [ ! -s "$folder/site.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$site" \
        -addext "subjectAltName=DNS:$site" -keyout "$folder/site.key" -out "$folder/site.crt" 2>/dev/null
    cat "$folder/site.crt" "$folder/site.key" >"$folder/site.pem"
    rm "$folder/site.crt" "$folder/site.key"
fi
chmod 644 "$folder"/*
