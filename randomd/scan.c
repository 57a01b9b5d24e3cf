/* SPDX-License-Identifier: ISC */
/*
 * Which guests there are: the list of domains, or, in an entropy domain of its own, of those that its toolstack has
 * made a place for. One scan at a time, however many events ask for it, and none for as long as the last took: at least
 * half of the store's time is left to others.
 */
#include "randomd/daemon.h"

#include <stdio.h>
#include <string.h>

/* A listing that changes while it is read in parts is begun anew so often; then the parts are taken as they are. */
#define RESTARTS 3u
#define MS 1000000ull

void scan_want(struct daemon *d, bool check)
{
    d->scan.want = true;
    d->scan.want_check = d->scan.want_check || check;
}

void scan_again(struct daemon *d)
{
    scan_want(d, d->scan.check);
    d->scan.failed = true;
}

static void list_path(char path[64], const struct daemon *d)
{
    if (d->config.discover || d->scan.left)
        snprintf(path, 64, "/local/domain/%u/backend/randomd", d->domid);
    else
        snprintf(path, 64, "/local/domain");
}

static bool listed(const struct daemon *d, domid_t domid)
{
    return (d->scan.listed[domid / 8u] & 1u << domid % 8u) != 0;
}

/* Takes the names in len bytes, each with its NUL, but for the last of a message perhaps. */
static void take_names(struct daemon *d, const char *names, uint32_t len)
{
    uint32_t begin = 0, domid;
    for (uint32_t i = 0; i < len; i++) {
        if (names[i] != '\0')
            continue;
        if (xids_xswire_decimal(&domid, names + begin, i - begin, DOMID_FIRST_RESERVED - 1u) == 0 && domid != d->domid)
            d->scan.listed[domid / 8u] |= (uint8_t)(1u << domid % 8u);
        begin = i + 1u;
    }
}

static void on_list(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct daemon *d = ctx;
    d->scan.asked = false;
    d->scan.rc = rc;
    d->store_late = d->store_late || rc == -XEN_ETIMEDOUT;
    d->scan.state = rc == -XEN_E2BIG ? SCAN_PARTS : SCAN_LISTED;
    if (rc == 0)
        take_names(d, payload, len);
}

static void on_part(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct daemon *d = ctx;
    struct scan *s = &d->scan;
    const char *text = payload;
    uint32_t at = 0, generation = 2166136261u;
    s->asked = false;
    s->rc = rc;
    d->store_late = d->store_late || rc == -XEN_ETIMEDOUT;
    if (rc < 0) {
        s->state = SCAN_LISTED;
        return;
    }
    for (; at < len && text[at] != '\0'; at++)
        generation = (generation ^ (uint8_t)text[at]) * 16777619u;
    at += at < len;
    if (s->offset > 0 && generation != s->generation && s->restarts < RESTARTS) {
        s->restarts++;
        s->offset = 0;
        memset(s->listed, 0, sizeof(s->listed));
        return;
    }
    s->generation = generation;
    /* The last part ends with one NUL more. */
    bool last = len - at <= 1u || text[len - 2u] == '\0';
    take_names(d, text + at, len - at);
    s->offset += len - at;
    if (last)
        s->state = SCAN_LISTED;
}

/* New ones first: they have nothing yet. */
static void compare(struct daemon *d)
{
    struct scan *s = &d->scan;
    struct guest *known = d->guests;
    d->turned_away = false;
    for (uint32_t domid = 0; domid < DOMID_FIRST_RESERVED; domid++)
        if (listed(d, (domid_t)domid) && d->by_domid[domid] == NULL)
            guest_found(d, (domid_t)domid);
    for (struct guest *g = known; g != NULL; g = g->next) {
        /* The store is still told to forget it, and there is another of its number already. */
        if (g->gone)
            g->again = listed(d, g->domid);
        if (g->gone || g->fresh)
            continue;
        if (!listed(d, g->domid))
            guest_gone(d, g);
        else if (s->check)
            guest_check(d, g);
    }
}

/* What an earlier run has left for guests that are no more. */
static void compare_left(struct daemon *d)
{
    for (uint32_t domid = 0; domid < DOMID_FIRST_RESERVED; domid++)
        if (listed(d, (domid_t)domid) && d->by_domid[domid] == NULL)
            guest_left(d, (domid_t)domid);
    d->scan.want_left = false;
}

static void list(struct scan *s, bool left)
{
    s->left = left;
    s->offset = s->restarts = 0;
    s->asked = false;
    memset(s->listed, 0, sizeof(s->listed));
    s->state = SCAN_LIST;
}

static void begin(struct daemon *d, uint64_t now)
{
    struct scan *s = &d->scan;
    s->check = s->want_check;
    s->want = s->want_check = false;
    s->began = now;
    list(s, false);
    d->count.scans++;
    if (s->check)
        reseed_look(d);
}

static void take_list(struct daemon *d)
{
    struct scan *s = &d->scan;
    bool good = s->rc == 0 || s->rc == -XEN_ENOENT;
    if (!good) {
        log_guest(SAY_WARN, "xenstore does not list the domains: %s", strerror(-s->rc));
        scan_again(d);
    } else if (s->left)
        compare_left(d);
    else
        compare(d);
    if (good && !s->left && s->want_left && !d->config.discover)
        list(s, true);
    else
        s->state = SCAN_PROBING;
}

static void end(struct daemon *d, uint64_t now)
{
    struct scan *s = &d->scan;
    s->state = SCAN_IDLE;
    s->not_before = now + (now - s->began);
    if (s->failed && s->not_before < now + STORE_RETRY_MS * MS)
        s->not_before = now + STORE_RETRY_MS * MS;
    s->failed = false;
}

static int ask(struct daemon *d)
{
    struct xids_xs_client *c = xids_xs_client(d->xs);
    char path[64];
    list_path(path, d);
    return d->scan.state == SCAN_LIST ? xids_xs_client_directory(c, 0, path, on_list, d)
                                      : xids_xs_client_directory_part(c, 0, path, d->scan.offset, on_part, d);
}

void scan_turn(struct daemon *d, uint64_t now)
{
    struct scan *s = &d->scan;
    if (s->state == SCAN_IDLE && s->want && now >= s->not_before)
        begin(d, now);
    if ((s->state == SCAN_LIST || s->state == SCAN_PARTS) && !s->asked)
        s->asked = ask(d) == 0; /* else there is no room now, and this is called again when there is */
    if (s->state == SCAN_LISTED)
        take_list(d);
    if (s->state == SCAN_PROBING && d->probing == 0)
        end(d, now);
}

uint64_t scan_due(const struct daemon *d)
{
    const struct scan *s = &d->scan;
    switch (s->state) {
    case SCAN_IDLE:
        return s->want ? s->not_before : UINT64_MAX;
    case SCAN_LIST:
    case SCAN_PARTS:
        return s->asked ? UINT64_MAX : 0;
    case SCAN_LISTED:
        return 0;
    case SCAN_PROBING:
    default:
        return d->probing == 0 ? 0 : UINT64_MAX;
    }
}

void scan_reset(struct daemon *d)
{
    d->scan.state = SCAN_IDLE;
    d->scan.asked = false;
    d->scan.want_left = true;
    d->scan.not_before = 0;
    scan_want(d, true);
}
