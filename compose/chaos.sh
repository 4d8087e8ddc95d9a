#!/usr/bin/env bash
# Spoils the link in turn: cut, one-way cuts, resets, loss; each for a while, with a rest between. Everything else on
# the edge's network stays as it is. CHAOS_SECONDS is the length of each, CHAOS_ROUNDS how often (0: for ever),
# CHAOS_PORT the link's port.
set -euo pipefail

seconds=${CHAOS_SECONDS:-20}
rounds=${CHAOS_ROUNDS:-0}
port=${CHAOS_PORT:-7420}

heal() { nft delete table inet riser_chaos 2>/dev/null || true; }

# Takes the rules for packets that leave and for packets that arrive; an empty one lets all pass.
spoil() {
    heal
    nft -f - <<RULES
table inet riser_chaos {
    chain leaving {
        type filter hook output priority 0
        $1
    }
    chain arriving {
        type filter hook input priority 0
        $2
    }
}
RULES
}

turn() {
    printf '%s: %s for %s s\n' "$(date -u +%FT%TZ)" "$1" "$seconds"
    spoil "$2" "$3"
    sleep "$seconds"
    heal
    printf '%s: whole for %s s\n' "$(date -u +%FT%TZ)" "$seconds"
    sleep "$seconds"
}

trap heal EXIT
round=0
while ((rounds == 0 || round < rounds)); do
    turn "cut" "tcp dport $port drop" "tcp sport $port drop"
    turn "nothing leaves" "tcp dport $port drop" ""
    turn "nothing arrives" "" "tcp sport $port drop"
    turn "every packet answered with a reset" \
        "tcp dport $port reject with tcp reset" "tcp sport $port reject with tcp reset"
    turn "a third of all packets lost" \
        "tcp dport $port numgen random mod 100 < 30 drop" "tcp sport $port numgen random mod 100 < 30 drop"
    round=$((round + 1))
done
