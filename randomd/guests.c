/* SPDX-License-Identifier: ISC */
/* One channel and one session per guest: made when it is introduced, closed when it has gone. */
#include "randomd/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

static bool all_digits(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= 5 && strspn(name, "0123456789") == len;
}

/* ---- one guest ---- */

static void add_stats(struct xids_randomd_session_stats *to, const struct guest *g)
{
    struct xids_randomd_session_stats now;
    if (g->session == NULL)
        return;
    xids_randomd_session_stats(g->session, &now);
    to->hellos += now.hellos;
    to->gets += now.gets;
    to->bytes += now.bytes;
    to->errors += now.errors;
    to->busy += now.busy;
    to->reseeds += now.reseeds;
}

void guest_stats(const struct guest *g, struct xids_randomd_session_stats *stats)
{
    *stats = g->before;
    add_stats(stats, g);
}

static void close_channel(struct daemon *d, struct guest *g)
{
    add_stats(&g->before, g);
    if (g->ch != NULL) {
        d->by_port[g->port] = NULL;
        serve_closed(d, g);
        xids_vchan_fini(g->ch);
        secret_put(g->ch, xids_vchan_size());
        d->count.channels_closed++;
    }
    g->ch = NULL;
    xids_randomd_session_fini(g->session);
    secret_put(g->session, xids_randomd_session_size());
    g->session = NULL;
}

/* Makes the channel and its session. What identifies the guest goes into the generator. */
static int open_channel(struct daemon *d, struct guest *g, uint64_t now)
{
    char who[160];
    int len = snprintf(who, sizeof(who), "%u/%u/%u/%s", d->domid, g->domid, g->channels, g->vm != NULL ? g->vm : "");
    const struct xids_randomd_session_config config = {
        .source = master_source,
        .source_ctx = d->master,
        .who = who,
        .who_len = (size_t)len < sizeof(who) ? (size_t)len : sizeof(who) - 1,
        .reseed_ns = d->config.reseed_ns,
        .reseed_bytes = d->config.reseed_bytes,
        .unseen = repeats_unseen,
        .unseen_ctx = g,
    };
    void *mem = secret_get(xids_randomd_session_size());
    struct xids_vchan *ch = secret_get(xids_vchan_size());
    int rc = mem == NULL || ch == NULL ? -XEN_ENOMEM : 0;
    if (rc == 0)
        rc = xids_randomd_session_init(&g->session, mem, xids_randomd_session_size(), &config, now);
    if (rc == 0)
        rc = xids_randomd_session_offer(g->session, ch, d->platform, g->domid, now);
    if (rc == 0 && xids_vchan_port(ch) >= MAX_PORTS) {
        xids_vchan_fini(ch);
        rc = -XEN_ENOSPC;
    }
    if (rc < 0) {
        g->session = NULL;
        secret_put(mem, xids_randomd_session_size());
        secret_put(ch, xids_vchan_size());
        return rc;
    }
    g->ch = ch;
    g->port = xids_vchan_port(ch);
    g->offered_at = now;
    g->channels++;
    d->by_port[g->port] = g;
    serve_opened(d, g);
    d->count.offers++;
    return 0;
}

/* Plans the next channel: soon for a guest that has been quiet, later and later for one that keeps closing. */
static void plan_reoffer(struct daemon *d, struct guest *g, uint64_t now)
{
    if (!g->waiting)
        d->waiting++;
    g->waiting = true;
    /* The kernel does not tell whether a page that was given up is still mapped, so that all count. */
    if (g->channels >= CHANNELS_MAX) {
        g->reoffer_at = UINT64_MAX;
        d->count.exhausted++;
        log_guest(SAY_WARN, "domain %u has used up its %u channels", g->domid, CHANNELS_MAX);
        return;
    }
    if (now - g->offered_at > REOFFER_CALM_MS * MS)
        g->reoffers = 0;
    unsigned int over = g->reoffers < REOFFERS_FREE ? 0 : g->reoffers - REOFFERS_FREE + 1;
    uint64_t wait = over == 0 ? 0 : REOFFER_MIN_MS * MS << (over < 10 ? over - 1 : 9);
    g->reoffers++;
    g->reoffer_at = now + (wait < REOFFER_MAX_MS * MS ? wait : REOFFER_MAX_MS * MS);
}

void guest_end(struct daemon *d, struct guest *g, int why)
{
    uint64_t now = now_ns();
    if (why == -XEN_EBADMSG) {
        d->count.violations++;
        const char *reason = xids_vchan_reason(g->ch);
        log_guest(SAY_WARN, "domain %u broke the protocol%s%s", g->domid, reason[0] != '\0' ? ": " : "", reason);
    } else if (why != -XEN_ENOTCONN) {
        log_guest(SAY_WARN, "domain %u: channel failed: %s", g->domid, strerror(-why));
    } else {
        log_guest(SAY_DEBUG, "domain %u closed its channel", g->domid);
    }
    store_check(d, publish_withdraw(d, g));
    close_channel(d, g);
    plan_reoffer(d, g, now);
}

static void stop_waiting(struct daemon *d, struct guest *g)
{
    if (g->waiting)
        d->waiting--;
    g->waiting = false;
}

static void offer(struct daemon *d, struct guest *g, uint64_t now)
{
    stop_waiting(d, g);
    int rc = open_channel(d, g, now);
    if (rc == 0) {
        rc = publish_channel(d, g);
        store_check(d, rc);
    }
    if (rc == 0) {
        log_guest(SAY_DEBUG, "domain %u: channel %u offered", g->domid, g->channels);
        return;
    }
    d->count.offer_failures++;
    log_guest(SAY_WARN, "domain %u: no channel: %s", g->domid, strerror(-rc));
    close_channel(d, g);
    g->offered_at = now;
    if (g->reoffers < REOFFERS_FREE)
        g->reoffers = REOFFERS_FREE;
    plan_reoffer(d, g, now);
}

static char *read_vm(struct daemon *d, domid_t domid)
{
    char path[64], *value = NULL;
    snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
    int rc = xids_xs_read(d->xs, &value, NULL, XIDS_XS_NO_TX, path);
    store_check(d, rc == -XEN_ENOENT ? 0 : rc);
    return rc < 0 ? NULL : value;
}

static void add_guest(struct daemon *d, domid_t domid)
{
    if (d->guest_count >= d->config.max_guests) {
        log_guest(SAY_WARN, "domain %u: no more than %u guests are served", domid, d->config.max_guests);
        return;
    }
    struct guest *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        log_guest(SAY_ERROR, "domain %u: no memory", domid);
        return;
    }
    g->domid = domid;
    g->vm = read_vm(d, domid);
    g->next = d->guests;
    d->guests = d->by_domid[domid] = g;
    d->guest_count++;
    serve_join(d, g);
    offer(d, g, now_ns());
}

/* gone: the guest's domain is no more, and what it has not read nobody will. */
static void drop_guest(struct daemon *d, struct guest *g, bool gone)
{
    struct xids_randomd_session_stats all;
    publish_forget(d, g);
    if (gone && g->ch != NULL)
        (void)xids_vchan_peer_died(g->ch);
    close_channel(d, g);
    guest_stats(g, &all);
    d->count.hellos += all.hellos;
    d->count.gets += all.gets;
    d->count.bytes += all.bytes;
    d->count.errors += all.errors;
    d->count.busy += all.busy;
    serve_forget(d, g);
    stop_waiting(d, g);
    struct guest **at = &d->guests;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    d->by_domid[g->domid] = NULL;
    d->guest_count--;
    free(g->vm);
    free(g);
}

/* ---- who is there ---- */

static bool same_guest(struct daemon *d, const struct guest *g)
{
    int introduced = xids_xs_is_introduced(d->xs, g->domid);
    store_check(d, introduced);
    if (introduced <= 0)
        return introduced < 0; /* not known: leave it alone */
    /* Its number can belong to another by now, with another home. */
    int present = g->ch != NULL ? publish_present(d, g) : 1;
    store_check(d, present);
    if (present == 0)
        return false;
    char *vm = read_vm(d, g->domid);
    bool same = g->vm == NULL || (vm != NULL && strcmp(vm, g->vm) == 0);
    free(vm);
    return same || d->store_lost;
}

void guests_scan(struct daemon *d)
{
    char **names = NULL;
    unsigned int count = 0;
    d->count.scans++;
    for (struct guest *g = d->guests, *next; g != NULL; g = next) {
        next = g->next;
        if (!d->store_lost && !same_guest(d, g)) {
            log_guest(SAY_DEBUG, "domain %u has gone", g->domid);
            drop_guest(d, g, true);
        }
    }
    int rc = xids_xs_directory(d->xs, &names, &count, XIDS_XS_NO_TX, "/local/domain");
    store_check(d, rc == -XEN_ENOENT ? 0 : rc);
    for (unsigned int i = 0; rc >= 0 && i < count && !d->store_lost; i++) {
        if (!all_digits(names[i]))
            continue;
        unsigned long id = strtoul(names[i], NULL, 10);
        if (id >= DOMID_FIRST_RESERVED || id == d->domid)
            continue;
        domid_t domid = (domid_t)id;
        if (d->by_domid[domid] != NULL)
            continue;
        int introduced = xids_xs_is_introduced(d->xs, domid);
        store_check(d, introduced);
        if (introduced == 1)
            add_guest(d, domid);
    }
    free(names);
}

void guests_republish(struct daemon *d)
{
    for (struct guest *g = d->guests; g != NULL; g = g->next) {
        if (g->ch == NULL || d->store_lost)
            continue;
        /* A store that has forgotten its domains must not get homes for them from us. */
        int rc = xids_xs_is_introduced(d->xs, g->domid);
        if (rc == 1)
            rc = publish_channel(d, g);
        store_check(d, rc);
    }
}

/* ---- all of them ---- */

uint64_t guests_due(struct daemon *d)
{
    uint64_t now = now_ns(), due = UINT64_MAX;
    if (d->waiting == 0 || d->store_lost)
        return due;
    for (struct guest *g = d->guests; g != NULL; g = g->next) {
        if (g->waiting && g->reoffer_at <= now)
            offer(d, g, now);
        if (g->waiting && g->reoffer_at < due)
            due = g->reoffer_at;
    }
    return due;
}

void guests_ready(struct daemon *d)
{
    for (struct guest *g = d->guests, *next; g != NULL; g = next) {
        next = g->next;
        if (g->ch == NULL || xids_randomd_session_ready(g->session))
            continue;
        if (xids_randomd_session_renew(g->session, XIDS_RANDOMD_REASON_READY, now_ns()) == 0)
            serve_guest(d, g);
    }
}

int guest_renew(struct daemon *d, struct guest *g, enum xids_randomd_reason reason)
{
    if (g->ch == NULL)
        return -XEN_ENOENT;
    int rc = xids_randomd_session_renew(g->session, reason, now_ns());
    serve_guest(d, g);
    return rc;
}

int guests_restored(struct daemon *d, domid_t domid)
{
    struct guest *g = domid < DOMID_FIRST_RESERVED ? d->by_domid[domid] : NULL;
    return g == NULL ? -XEN_ENOENT : guest_renew(d, g, XIDS_RANDOMD_REASON_RESTORED);
}

void guests_stop(struct daemon *d)
{
    for (struct guest *g = d->guests, *next; g != NULL; g = next) {
        next = g->next;
        if (g->ch != NULL) {
            xids_randomd_session_bye(g->session, XIDS_RANDOMD_CODE_STOPPING, 1000);
            int rc = xids_randomd_session_serve(g->session, g->ch, now_ns());
            if (rc < 0 && rc != -XEN_ENOTCONN)
                log_guest(SAY_DEBUG, "domain %u: no farewell: %s", g->domid, strerror(-rc));
        }
        drop_guest(d, g, false);
    }
}
