#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The vchan matrix on the simulator: xids, xids without its extension and the real libxenvchan as server and as client, over
# all orders of rings, as stream and as packets; and the end of either side by close, kill -9, SIGSTOP and kill -9, and with
# its whole domain, at any point of its life: what it had published arrives and nothing else, the end is seen, those who
# come after it are served, and nothing is left. vchan_matrix.c and vchan_case.h say more.
#
# XIDS_MATRIX=all: every pair of orders, and death at every system call of opening and closing and at every instruction
# of a write and of a read (10 minutes), instead of some thousand cases.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
matrix=$XIDS_BUILDDIR/tests/interop/vchan_matrix
set_name=${XIDS_MATRIX:-quick}
# Most of the time both ends of a pair wait for each other or for the simulator's daemon.
slots=8
sim_need_debian
sim_begin
need_store xids-xenstored

# sides SET SERVER CLIENT [SLOT SLOTS]: both sides of the set in these domains, in the background; $pids and $sim_work/out-N.
pids=()
sides() {
    local path=/local/domain/$2/data/vchan/$3 side self=$2 other=$3
    for side in server client; do
        "$sim" exec --domain "$self" -- "$matrix" $side "$other" "$path" "$1" "${@:4}" \
            >"$sim_work/out-${#pids[@]}" 2>"$sim_work/err-${#pids[@]}" </dev/null &
        pids+=($!)
        self=$3 other=$2
    done
}

# judge SET TIMES: a case for each group, by what the sides have said: of each case so many times that it went well.
judge() {
    cat "$sim_work"/out-* >"$sim_work/said"
    cat "$sim_work"/err-*
    "$matrix" list "$1" >"$sim_work/cases"
    # Which numbers did not come so often, with their groups and what was said of them.
    awk -F '\t' -v times="$2" 'FILENAME == ARGV[1] {if ($0 ~ /^ok /) good[substr($0, 4)]++; else if (split($0, w, " ") > 3) why[w[3]] = why[w[3]] "\n" $0; next}
        !($2 in total) {order[++groups] = $2}
        {total[$2]++; if (good[$1] != times) {bad[$2]++; text[$2] = text[$2] "\n" $1 ": " $3 why[$1]}}
        END {for (i = 1; i <= groups; i++) printf "%d %d %s%s\n\n", total[order[i]], bad[order[i]], order[i], text[order[i]]}' \
        "$sim_work/said" "$sim_work/cases" >"$sim_work/verdicts"
    local total bad name line text
    while read -r total bad name; do
        text=
        while read -r line && [ -n "$line" ]; do text+=$line$'\n'; done
        tap_ok "$name ($total)" verdict "$bad" "$text"
    done <"$sim_work/verdicts"
    rm -f "$sim_work"/out-* "$sim_work"/err-*
    pids=()
}

verdict() {
    [ "$1" -eq 0 ] || { printf '%s' "$2" | head -n 20; return 1; }
}

domains=()
for ((i = 0; i < 2 * slots; i++)); do
    domains+=("$("$sim" domain create)")
done
before=$(usage)
for ((i = 0; i < slots; i++)); do
    sides "$set_name" "${domains[2 * i]}" "${domains[2 * i + 1]}" "$i" "$slots"
done
wait "${pids[@]}"
judge "$set_name" 2
tap_ok "no port, grant, mapping or queue is left" eventually same_usage "$before"

# Nodes of channels; their folders' folder is left.
no_nodes() {
    local domain left status=0
    for domain in "${domains[@]}"; do
        left=$("$sim" exec -- "$tools/xenstore-ls" -f "/local/domain/$domain/data/vchan" 2>/dev/null | grep -E '/vchan/[0-9]+/') ||
            continue
        echo "$left"
        status=1
    done
    return "$status"
}
tap_ok "no node is left" no_nodes

# all_at N: whether as many ends have come to where their domain is to be destroyed.
all_at() {
    [ "$(cat "$sim_work"/out-* | grep -c '^at ')" -eq "$1" ]
}

# destroyed servers|clients: the domain of all of them is destroyed under them. Says whether it came that far.
destroyed() {
    local server client doomed count
    server=$("$sim" domain create) && client=$("$sim" domain create) || return
    [ "$1" = servers ] && doomed=$server || doomed=$client
    count=$("$matrix" list "destroy-$1" | wc -l)
    sides "destroy-$1" "$server" "$client"
    eventually all_at "$count" || cat "$sim_work"/out-* "$sim_work"/err-*
    "$sim" domain destroy "$doomed"
    wait "${pids[@]}"
    "$sim" domain destroy $((server + client - doomed))
}

for who in servers clients; do
    destroyed $who
    judge destroy-$who 1
done
tap_ok "no port, grant, mapping or queue of a destroyed domain is left" eventually same_usage "$before"
tap_done
