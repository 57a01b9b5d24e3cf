# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# xids-randomd tells a unikernel that its memory was copied, by its reseed page.

# shellcheck disable=SC2154 # lib.sh's $log and $guests

# reseed_pages COUNT: whether the daemon has written so many.
reseed_pages() {
    [ "$(xids-randomd --status summary | sed -n 's/.*"reseed-pages":\([0-9]*\).*/\1/p')" -eq "$1" ]
}

# reseed_lines NAME [COUNT]: the unikernel's lines; or whether it has told of so many seeds, which differ.
reseed_lines() {
    local all
    all=$(tr -d '\r' <"$log/guest-$1.log" | grep -E '^domain [0-9]+: seed fingerprint [0-9a-f]{16} grade HOST ')
    [ $# -gt 1 ] || { echo "$all"; return; }
    [ "$(wc -l <<<"$all")" -ge "$2" ] && [ -z "$(cut -d ' ' -f 5 <<<"$all" | sort | uniq -d)" ]
}

# reseed_paused DOMID: xl's count of pauses is still there.
reseed_paused() {
    xl list "$1" | awk 'NR == 2 && $5 ~ /p/ { found = 1 } END { exit !found }'
}

xen_case randomd-reseed all 150 xids,C,oxenstored "a unikernel's reseed page is written on request, while it is restored and before it runs, and after a checkpoint"
case_randomd_reseed() {
    local file=/run/reseed.save domid
    randomd_start && guest_config reseed pvh "$guests/entropy" "" 'memory = 32' || return 1
    domid=$(guest_create reseed) && wait_for 30 reseed_lines reseed 1 &&
        wait_for 10 xenstore-exists "/local/domain/$domid/data/randomd/reseed" || return 1
    reseed_pages 0 && xids-randomd --restored "$domid" && reseed_pages 1 && wait_for 20 reseed_lines reseed 2 || return 1
    xl save reseed $file </dev/null && wait_for 20 guest_gone reseed && xl restore -p $file </dev/null || return 1
    domid=$(xl domid reseed)
    # Its new home does not say which page it is.
    wait_for 20 reseed_pages 2 && ! xenstore-exists "/local/domain/$domid/data/randomd/reseed" && reseed_paused "$domid" || return 1
    xl unpause reseed && wait_for 30 reseed_lines reseed 3 || return 1
    xl save -c reseed $file </dev/null && wait_for 20 reseed_pages 3 && wait_for 30 reseed_lines reseed 4 || return 1
    reseed_lines reseed
    xids-randomd --status summary
    rm $file
    xl destroy reseed && randomd_end
}
