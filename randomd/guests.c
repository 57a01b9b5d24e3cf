/* SPDX-License-Identifier: ISC */
/*
 * Guests: a channel and a session for each, from when the store knows it to when it has nothing of it any more. A guest
 * that closes its channel gets the same page again, wiped and with a new seed.
 */
#include "randomd/daemon.h"
#include "randomd/legacy_guests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

/* ---- memory: the guest, its session and its channel in one piece ---- */

static size_t aligned(size_t n)
{
    return (n + _Alignof(max_align_t) - 1u) & ~(_Alignof(max_align_t) - 1u);
}

static size_t session_at(void)
{
    return aligned(sizeof(struct guest));
}

static size_t channel_at(void)
{
    return session_at() + aligned(xids_randomd_session_size());
}

static size_t guest_size(void)
{
    return channel_at() + xids_vchan_size();
}

static struct xids_vchan *channel_of(struct guest *g)
{
    return (void *)((uint8_t *)g + channel_at());
}

/* ---- one guest's channel ---- */

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
    if (g->before != NULL)
        *stats = *g->before;
    else
        memset(stats, 0, sizeof(*stats));
    add_stats(stats, g);
}

/* Wipes the session. The channel stays as it is, without a user. */
static void end_session(struct daemon *d, struct guest *g)
{
    if (g->before == NULL && g->session != NULL)
        g->before = calloc(1, sizeof(*g->before)); /* what cannot be kept is not counted */
    if (g->before != NULL)
        add_stats(g->before, g);
    xids_randomd_session_fini(g->session);
    g->session = NULL;
    if (g->ch == NULL)
        return;
    g->kept = true;
    g->ch = NULL;
    d->count.channels_closed++;
    serve_closed(d, g);
}

/* Gives the page up. The guest may keep it mapped for as long as it likes. */
static void give_up(struct daemon *d, struct guest *g)
{
    if (!g->kept)
        return;
    d->by_port[g->port] = 0;
    xids_vchan_fini(channel_of(g));
    g->kept = false;
}

static void lose_page(struct daemon *d, struct guest *g)
{
    if (!g->kept)
        return;
    give_up(d, g);
    g->pages++;
    d->count.pages_lost++;
}

/* What identifies the guest goes into the generator. */
static int begin_session(struct daemon *d, struct guest *g, uint64_t now)
{
    struct {
        uint8_t vm[sizeof(g->vm)];
        uint32_t serial, channel, domid, server;
    } who = {.serial = d->serial++, .channel = g->channels, .domid = g->domid, .server = d->domid};
    memcpy(who.vm, g->vm, sizeof(who.vm));
    const struct xids_randomd_session_config config = {
        .source = master_source,
        .source_ctx = d->master,
        .who = &who,
        .who_len = sizeof(who),
        .reseed_ns = d->config.reseed_ns,
        .reseed_bytes = d->config.reseed_bytes,
        .unseen = repeats_unseen,
        .unseen_ctx = g,
    };
    g->hellos = 0;
    return xids_randomd_session_init(&g->session, (uint8_t *)g + session_at(), xids_randomd_session_size(), &config,
                                     now);
}

/* It has guessed the reference, and was in the page before we had filled it: it may stay there. */
static bool spoiled(int rc)
{
    return rc == -XEN_EBADMSG || rc == -XEN_ENOTCONN || rc == -XEN_EAGAIN;
}

/* Makes a channel of a page of its own. */
static int new_channel(struct daemon *d, struct guest *g, uint64_t now)
{
    struct xids_vchan *ch = channel_of(g);
    int rc = xids_randomd_session_offer(g->session, ch, d->platform, g->domid, now);
    if (spoiled(rc)) {
        g->pages++;
        d->count.pages_lost++;
    }
    if (rc < 0)
        return rc;
    if (xids_vchan_port(ch) >= MAX_PORTS) {
        xids_vchan_fini(ch);
        return -XEN_ENOSPC;
    }
    g->ch = ch;
    g->port = xids_vchan_port(ch);
    d->by_port[g->port] = g->domid;
    g->show = true;
    return 0;
}

/* The same page and port again: the store has their numbers already, unless it was told to hide them. */
static int old_channel(struct guest *g, uint64_t now)
{
    struct xids_vchan *ch = channel_of(g);
    int rc = xids_randomd_session_reoffer(g->session, ch, now);
    if (rc < 0)
        return rc;
    g->kept = false;
    g->ch = ch;
    if (g->open && g->laid && !g->hide)
        g->touch = true;
    else
        g->show = true;
    return 0;
}

static int open_channel(struct daemon *d, struct guest *g, uint64_t now)
{
    int rc = begin_session(d, g, now);
    if (rc == 0 && g->kept && old_channel(g, now) < 0) {
        lose_page(d, g);
        xids_randomd_session_fini(g->session);
        rc = begin_session(d, g, now);
    }
    if (rc == 0 && g->ch == NULL)
        rc = new_channel(d, g, now);
    if (rc < 0) {
        xids_randomd_session_fini(g->session);
        g->session = NULL;
        return rc;
    }
    g->since = now;
    g->channels++;
    serve_opened(d, g);
    d->count.offers++;
    return 0;
}

/* ---- waiting ---- */

static void wait_until(struct daemon *d, struct guest *g, uint64_t at)
{
    g->reoffer_at = at;
    if (at < d->look_at)
        at = d->look_at;
    if (at < d->due)
        d->due = at;
}

/* Soon for a guest that has been quiet, later and later for one that keeps closing. */
static uint64_t pause_of(struct guest *g)
{
    unsigned int over = g->reoffers < REOFFERS_FREE ? 0 : g->reoffers - REOFFERS_FREE + 1u;
    uint64_t wait = over == 0 ? 0 : REOFFER_MIN_MS * MS << (over < 10 ? over - 1 : 9);
    if (g->reoffers < UINT16_MAX)
        g->reoffers++;
    return wait < REOFFER_MAX_MS * MS ? wait : REOFFER_MAX_MS * MS;
}

static void plan_reoffer(struct daemon *d, struct guest *g, uint64_t now)
{
    g->waiting = true;
    g->retry = false;
    /* The kernel does not tell whether a page that was given up is still mapped, so that all count. */
    if (g->pages >= PAGES_MAX) {
        wait_until(d, g, UINT64_MAX);
        g->hide = g->open;
        publish_queue(g);
        d->count.exhausted++;
        log_guest(SAY_WARN, "domain %u keeps %u pages that it was to give back", g->domid, g->pages);
        audit_guest(g, "refused", "pages");
        return;
    }
    if (now - g->since > REOFFER_CALM_MS * MS)
        g->reoffers = 0;
    uint64_t pause = pause_of(g);
    /* Who must wait is not to try meanwhile. */
    if (g->open && (pause > 0 || !g->kept)) {
        g->hide = true;
        publish_queue(g);
    }
    g->since = now;
    /* That happens a few times only. */
    if (pause == 0)
        d->look_at = 0;
    wait_until(d, g, now + pause);
}

void guest_end(struct daemon *d, struct guest *g, int why)
{
    uint64_t now = now_ns();
    if (why == -XEN_EBADMSG) {
        d->count.violations++;
        const char *reason = xids_vchan_reason(g->ch);
        if (log_allows(g->domid))
            log_guest(SAY_WARN, "domain %u broke the protocol%s%s", g->domid, reason[0] != '\0' ? ": " : "", reason);
    } else if (why != -XEN_ENOTCONN) {
        if (log_allows(g->domid))
            log_guest(SAY_WARN, "domain %u: channel failed: %s", g->domid, strerror(-why));
    } else {
        log_guest(SAY_DEBUG, "domain %u closed its channel", g->domid);
    }
    audit_guest(g, "closed", audit_why(why));
    end_session(d, g);
    if (why != -XEN_ENOTCONN)
        lose_page(d, g);
    plan_reoffer(d, g, now);
}

/* Whether the guest has let go of the closed channel, so that it can have it again. False: it is looked again. */
static bool let_go(struct daemon *d, struct guest *g, uint64_t now)
{
    struct xids_vchan *ch = channel_of(g);
    if (!g->kept)
        return true;
    /* It takes the event that waits, if there is one. */
    enum xids_vchan_state state = xids_vchan_event(ch);
    if (state == XIDS_VCHAN_DRAINING) {
        int rc = xids_vchan_readable(ch);
        if (rc > 0)
            rc = xids_vchan_consume(ch, (uint32_t)rc);
        state = rc < 0 ? XIDS_VCHAN_BROKEN : xids_vchan_state(ch);
    }
    if (state == XIDS_VCHAN_CLOSED)
        return true;
    if (state == XIDS_VCHAN_OPEN && now - g->since < LINGER_MS * MS)
        return false;
    lose_page(d, g);
    return true;
}

static void offer(struct daemon *d, struct guest *g, uint64_t now)
{
    if (!let_go(d, g, now)) {
        wait_until(d, g, now + LINGER_LOOK_MS * MS);
        return;
    }
    g->waiting = false;
    int rc = open_channel(d, g, now);
    if (rc == 0) {
        publish_queue(g);
        audit_guest(g, "offered", NULL);
        log_guest(SAY_DEBUG, "domain %u: channel %u offered", g->domid, g->channels);
        return;
    }
    d->count.offer_failures++;
    if (log_allows(g->domid))
        log_guest(SAY_WARN, "domain %u: no channel: %s", g->domid, strerror(-rc));
    audit_guest(g, "refused", audit_why(rc));
    g->since = now;
    if (g->reoffers < REOFFERS_FREE)
        g->reoffers = REOFFERS_FREE;
    plan_reoffer(d, g, now);
}

/* ---- coming and going ---- */

static struct guest *add_guest(struct daemon *d, domid_t domid)
{
    struct guest *g = secret_get(guest_size());
    if (g == NULL) {
        log_guest(SAY_ERROR, "domain %u: no memory", domid);
        return NULL;
    }
    g->d = d;
    g->domid = domid;
    g->reoffer_at = UINT64_MAX;
    g->next = d->guests;
    if (g->next != NULL)
        g->next->prev = g;
    d->guests = d->by_domid[domid] = g;
    d->guest_count++;
    serve_join(d, g);
    return g;
}

static void ask_who(struct daemon *d, struct guest *g)
{
    if (!g->counted)
        d->probing++;
    g->counted = g->probe = true;
    publish_queue(g);
}

static void answered_who(struct daemon *d, struct guest *g)
{
    if (g->counted)
        d->probing--;
    g->counted = false;
}

void guest_found(struct daemon *d, domid_t domid)
{
    if (d->guest_count >= d->config.max_guests) {
        log_guest(SAY_WARN, "domain %u: no more than %u guests are served", domid, d->config.max_guests);
        d->turned_away = true;
        return;
    }
    struct guest *g = add_guest(d, domid);
    if (g == NULL) {
        d->turned_away = true;
        return;
    }
    g->fresh = true;
    ask_who(d, g);
}

void guest_left(struct daemon *d, domid_t domid)
{
    struct guest *g = d->guest_count < d->config.max_guests ? add_guest(d, domid) : NULL;
    if (g == NULL)
        return;
    g->gone = g->dirty = true;
    publish_queue(g);
}

void guest_check(struct daemon *d, struct guest *g)
{
    ask_who(d, g);
}

/* died: its domain is no more, and what it has not read nobody will. */
static void leave(struct daemon *d, struct guest *g, bool died)
{
    if (g->channels > 0)
        audit_guest_gone(g, died ? "gone" : "stopped");
    legacy_left(d, g->domid);
    end_session(d, g);
    if (died && g->kept)
        (void)xids_vchan_peer_died(channel_of(g));
    give_up(d, g);
    answered_who(d, g);
    g->gone = true;
    g->waiting = g->retry = g->probe = false;
    g->swept = 0;
    publish_queue(g);
}

void guest_gone(struct daemon *d, struct guest *g)
{
    if (g->gone)
        return;
    log_guest(SAY_DEBUG, "domain %u has gone", g->domid);
    leave(d, g, true);
}

void guest_forgotten(struct daemon *d, struct guest *g)
{
    struct xids_randomd_session_stats all;
    domid_t domid = g->domid;
    bool again = g->again && !d->stopping;
    guest_stats(g, &all);
    d->count.hellos += all.hellos;
    d->count.gets += all.gets;
    d->count.bytes += all.bytes;
    d->count.errors += all.errors;
    d->count.busy += all.busy;
    serve_forget(d, g);
    publish_forget(g);
    if (g->next != NULL)
        g->next->prev = g->prev;
    if (g->prev != NULL)
        g->prev->next = g->next;
    else
        d->guests = g->next;
    d->by_domid[domid] = NULL;
    d->guest_count--;
    free(g->before);
    secret_put(g, guest_size());
    if (again)
        guest_found(d, domid);
    guests_room(d);
}

void guests_room(struct daemon *d)
{
    if (d->turned_away && d->guest_count < d->config.max_guests)
        scan_want(d, false);
}

static void guest_is_new(struct daemon *d, struct guest *g)
{
    g->fresh = false;
    if (!g->introduced) {
        /* What an earlier run has left for another one of that number. */
        g->dirty = g->pointed || g->versioned;
        leave(d, g, true);
        return;
    }
    /* That run has left everything in its place, if it got as far as the pointer, in the home of this very domain. */
    g->laid = g->dirty = g->pointed && g->versioned;
    reseed_want(d, g->domid);
    offer(d, g, now_ns());
    legacy_found(d, g->domid);
}

void guest_probed(struct daemon *d, struct guest *g, int rc)
{
    answered_who(d, g);
    if (g->gone)
        return;
    if (g->fresh) {
        if (rc < 0)
            scan_again(d);
        g->introduced = g->introduced && rc == 0;
        guest_is_new(d, g);
        return;
    }
    if (rc < 0)
        return; /* not known: leave it alone */
    /* Its number can belong to another by now, with another home. */
    bool lost = g->laid && g->open && !g->hide && !g->unsure && !g->pointed;
    if (g->introduced && !g->other && !lost)
        return;
    g->again = g->introduced;
    guest_gone(d, g);
}

void guest_published(struct daemon *d, struct guest *g)
{
    (void)d;
    log_guest(SAY_DEBUG, "domain %u: channel %u is published", g->domid, g->channels);
}

void guest_refused(struct daemon *d, struct guest *g, int rc)
{
    d->count.store_refusals++;
    log_guest(SAY_WARN, "domain %u: xenstore refuses its nodes: %s", g->domid, strerror(-rc));
    audit_guest(g, "refused", "xenstore");
    if (g->waiting)
        return;
    if (g->reoffers < REOFFERS_FREE)
        g->reoffers = REOFFERS_FREE;
    g->retry = true;
    wait_until(d, g, now_ns() + pause_of(g));
}

void guests_restore(struct daemon *d)
{
    for (struct guest *g = d->guests; g != NULL; g = g->next) {
        g->talk = TALK_NONE;
        g->retry = false;
        publish_queue(g);
        if (g->gone)
            continue;
        g->unsure = true;
        g->rooted = g->second = g->laid = g->looked = g->prepared = g->touch = false;
        g->show = g->ch != NULL;
        /* A store that has forgotten its domains must not get homes for them from us. */
        ask_who(d, g);
    }
}

/* ---- all of them ---- */

uint64_t guests_due(struct daemon *d)
{
    uint64_t now = now_ns();
    if (now < d->due || d->store_lost)
        return d->store_lost ? UINT64_MAX : d->due;
    d->due = UINT64_MAX;
    /* Those who wait are looked for among all: many together, not each at a time of its own. */
    d->look_at = now + WAIT_STEP_MS * MS;
    for (struct guest *g = d->guests; g != NULL; g = g->next) {
        if (!g->waiting && !g->retry)
            continue;
        if (g->reoffer_at > now) {
            wait_until(d, g, g->reoffer_at);
            continue;
        }
        g->retry = false;
        if (g->waiting)
            offer(d, g, now);
        else
            publish_queue(g);
    }
    return d->due;
}

void guests_ready(struct daemon *d)
{
    for (struct guest *g = d->guests, *next; g != NULL; g = next) {
        next = g->next;
        if (g->ch == NULL || xids_randomd_session_ready(g->session))
            continue;
        (void)guest_renew(d, g, XIDS_RANDOMD_REASON_READY);
    }
}

int guest_renew(struct daemon *d, struct guest *g, enum xids_randomd_reason reason)
{
    if (g->ch == NULL)
        return -XEN_ENOENT;
    int rc = xids_randomd_session_renew(g->session, reason, now_ns());
    audit_renewed(g, reason, rc);
    serve_guest(d, g);
    return rc;
}

int guests_restored(struct daemon *d, domid_t domid)
{
    struct guest *g = domid < DOMID_FIRST_RESERVED ? d->by_domid[domid] : NULL;
    if (g == NULL)
        return -XEN_ENOENT;
    reseed_want(d, domid);
    return guest_renew(d, g, XIDS_RANDOMD_REASON_RESTORED);
}

void guests_stop(struct daemon *d)
{
    for (struct guest *g = d->guests; g != NULL; g = g->next) {
        if (g->gone)
            continue;
        if (g->ch != NULL) {
            xids_randomd_session_bye(g->session, XIDS_RANDOMD_CODE_STOPPING, 1000);
            int rc = xids_randomd_session_serve(g->session, g->ch, now_ns());
            if (rc < 0 && rc != -XEN_ENOTCONN)
                log_guest(SAY_DEBUG, "domain %u: no farewell: %s", g->domid, strerror(-rc));
        }
        leave(d, g, false);
    }
}
