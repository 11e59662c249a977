#!/bin/sh
# Starts Vault in dev mode: in memory, for one machine. Its root token is made anew at each start and kept, mode 0600,
# in $HOME/.vault-token, from where vault-seed reads it; dev mode also prints it, so those lines are kept out of the log.
set -eu
rm -f "$HOME/.vault-token" /tmp/vault-log
mkfifo -m 600 /tmp/vault-log
while IFS= read -r line; do
    case $line in
        *"Root Token:"* | *"Unseal Key:"* | *hvs.*) ;;
        *) printf '%s\n' "$line" ;;
    esac
done </tmp/vault-log &
# exec: signals and the end of Vault are the container's own
exec vault server -dev -dev-listen-address=0.0.0.0:8200 >/tmp/vault-log 2>&1
