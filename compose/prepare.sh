#!/usr/bin/env bash
# Makes keys, ids and configurations for the demo's hub and edges, once: RISER_HOME/{hub,edge-a,edge-b}.toml and
# their folders. Keys cannot lie in a repository, and each side names the other's, so they are made here.
set -euo pipefail
umask 077

home=${RISER_HOME:-/var/lib/riser}
password=${RISER_DEMO_PASSWORD:-riser-demo}

if [[ -e $home/hub.toml ]]; then
    echo "prepare: $home is prepared already"
    exit 0
fi

account=$(riser-hub id new)
hash=$(printf '%s\n' "$password" | riser-hub account hash)
mkdir -p "$home/hub" "$home/edge-a" "$home/edge-b"
hub_key=$(riser-hub key new "$home/hub/hub.key")
declare -A id key
for edge in edge-a edge-b; do
    id[$edge]=$(riser-hub id new)
    key[$edge]=$(riser-hub key new "$home/$edge/edge.key")
done

people() {
    cat <<TOML

[[account]]
name = "demo"
id = "$account"

[[account.user]]
name = "ann"
password = "$hash"
role = "owner"

[[account.client]]
name = "sensor"
password = "$hash"
role = "member"

[[account.room]]
name = "hall"
history = "log"
TOML
}

for edge in edge-a edge-b; do
    {
        cat <<TOML
data = "$home/$edge"

[listen]
mqtt = "0.0.0.0:1883"
http = "0.0.0.0:8080"
operations = "127.0.0.1:9421"

[[uplink]]
url = "ws://hub:7420/link"
hub_key = "$hub_key"
client = "${id[$edge]}"
# The containers' own network. Both ends still prove themselves by their keys.
insecure = true

[[binding]]
topics = "sensors/#"
room = "hall"
strip = 1
prefix = "$edge/"
TOML
        people
    } >"$home/$edge.toml"
done

{
    cat <<TOML
data = "$home/hub"

[listen]
mqtt = "0.0.0.0:1883"
http = "0.0.0.0:8080"
# The containers' own network. Both ends still prove themselves by their keys.
link = { address = "0.0.0.0:7420", insecure = true }
operations = "127.0.0.1:9420"
TOML
    people
    for edge in edge-a edge-b; do
        cat <<TOML

[[account.client]]
name = "$edge"
id = "${id[$edge]}"
key = "${key[$edge]}"
role = "member"
TOML
    done
    # Last: with this file in place, everything is.
} >"$home/hub.toml.new"
mv "$home/hub.toml.new" "$home/hub.toml"
echo "prepare: $home is prepared; user ann and client sensor have the password \"$password\""
