/* SPDX-License-Identifier: ISC */
/* Guests with a link and servers with real sessions, on a modelled machine with a real store. */
#ifndef XIDS_TESTS_UNIT_RANDOMD_LINK_H
#define XIDS_TESTS_UNIT_RANDOMD_LINK_H

#include "tests/unit/engine_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/randomd_link.h>
#include <xids/randomd_vchan.h>
#include <xids/reseed.h>
#include <xids/reseed_node.h>
#include <xids/vchan_meet.h>

static struct world w;
static uint64_t fresh; /* what the servers' source gives */
static bool source_ready;

/* ---- a server for one guest, in a service domain ---- */

struct server {
    struct dom *d;
    domid_t guest;
    unsigned int number; /* of the device */
    struct xids_part part;
    struct xids_randomd_session *session;
    void *mem;
    struct xids_vchan *ch; /* NULL: no channel */
    void *ch_mem;
    unsigned int offers;
    bool rude;     /* sends nonsense */
    bool constant; /* its source gives the same bytes all the time */
};

static inline int source(void *ctx, uint8_t *buf, size_t len)
{
    const struct server *s = ctx;
    if (!source_ready)
        return -XEN_EAGAIN;
    if (s->constant) {
        memset(buf, 0x5a, len);
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        fresh = fresh * 6364136223846793005u + 1442695040888963407u;
        buf[i] = (uint8_t)(fresh >> 56);
    }
    return 0;
}

static inline void set_node(const struct server *s, const char *name, uint32_t number)
{
    char path[96], value[16], perms[24];
    unsigned int id = s->d->raw->domid;
    snprintf(path, sizeof(path), "/local/domain/%u/backend/randomd/%u/%u/%s", id, s->guest, s->number, name);
    snprintf(value, sizeof(value), "%u", number);
    snprintf(perms, sizeof(perms), "n%u r%u", id, s->guest);
    world_set(&w, path, value, perms);
}

static inline void set_pointer(domid_t guest, unsigned int number, const char *backend, const char *id)
{
    char path[96], perms[24];
    snprintf(perms, sizeof(perms), "n0 r%u", guest);
    snprintf(path, sizeof(path), "/local/domain/%u/device/randomd/%u/backend-id", guest, number);
    world_set(&w, path, id, perms);
    snprintf(path, sizeof(path), "/local/domain/%u/device/randomd/%u/backend", guest, number);
    world_set(&w, path, backend, perms);
}

static inline void point(const struct server *s)
{
    char backend[64], id[8];
    snprintf(backend, sizeof(backend), "/local/domain/%u/backend/randomd/%u/%u", s->d->raw->domid, s->guest, s->number);
    snprintf(id, sizeof(id), "%u", s->d->raw->domid);
    set_pointer(s->guest, s->number, backend, id);
}

static inline void offer(struct server *s)
{
    const struct xids_randomd_session_config config = {
        .source = source, .source_ctx = s, .who = &s->guest, .who_len = sizeof(s->guest)};
    uint64_t now = xids_model_now(w.m);
    char path[96];
    ck_assert_int_eq(xids_randomd_session_init(&s->session, s->mem, xids_randomd_session_size(), &config, now), 0);
    s->ch = s->ch_mem;
    if (s->rude) {
        ck_assert_int_eq(xids_vchan_server_init(s->ch, &s->d->platform, s->guest, 10, 11, XIDS_VCHAN_WIPE), 0);
        ck_assert_int_eq(xids_vchan_write(s->ch, "this is no message of the protocol", 34), 34);
    } else {
        ck_assert_int_eq(xids_randomd_session_offer(s->session, s->ch, &s->d->platform, s->guest, now), 0);
    }
    s->offers++;
    snprintf(path, sizeof(path), "/local/domain/%u/backend/randomd/%u/%u/event-channel", s->d->raw->domid, s->guest,
             s->number);
    world_rm(&w, path);
    set_node(s, "ring-ref", xids_vchan_ring_ref(s->ch));
    set_node(s, "version", 2);
    set_node(s, "event-channel", xids_vchan_port(s->ch));
}

static inline void drop(struct server *s)
{
    if (s->ch == NULL)
        return;
    xids_vchan_fini(s->ch);
    s->ch = NULL;
    xids_randomd_session_fini(s->session);
}

static inline bool server_event(void *ctx, evtchn_port_t port)
{
    struct server *s = ctx;
    if (s->ch == NULL || xids_vchan_port(s->ch) != port)
        return false;
    (void)xids_vchan_event(s->ch);
    return true;
}

static inline uint64_t server_step(void *ctx, uint64_t now)
{
    struct server *s = ctx;
    if (s->ch == NULL)
        return UINT64_MAX;
    int rc = xids_randomd_session_serve(s->session, s->ch, now);
    if (rc >= 0)
        return rc == 1 ? 0 : UINT64_MAX;
    drop(s);
    offer(s);
    return 0;
}

static inline void server_begin(struct server *s)
{
    s->part = (struct xids_part){.event = server_event, .step = server_step, .ctx = s};
    xids_loop_add(&s->d->loop, &s->part);
    offer(s);
    world_wake(s->d);
}

static inline struct server *server_new(struct dom *d, domid_t guest)
{
    struct server *s = calloc(1, sizeof(*s));
    s->d = d;
    s->guest = guest;
    s->mem = malloc(xids_randomd_session_size());
    s->ch_mem = malloc(xids_vchan_size());
    return s;
}

static inline void server_stop(struct server *s, bool farewell)
{
    if (s->ch != NULL && farewell) {
        xids_randomd_session_bye(s->session, XIDS_RANDOMD_CODE_STOPPING, 1500);
        (void)!xids_randomd_session_serve(s->session, s->ch, xids_model_now(w.m));
    }
    drop(s);
    xids_loop_remove(&s->d->loop, &s->part);
}

/* After world_kill: nothing of it is left but the test's memory. */
static inline void server_forget(struct server *s)
{
    if (s->ch != NULL)
        xids_randomd_session_fini(s->session);
    s->ch = NULL;
}

static inline void server_free(struct server *s)
{
    server_stop(s, true);
    free(s->mem);
    free(s->ch_mem);
    free(s);
}

/* ---- a guest ---- */

struct guest {
    struct dom *d;
    struct xids_randomd_link *link;
    void *mem;
    unsigned int changes, refused;
    int refused_rc;
    const char *reason;
    enum xids_randomd_grade grade;
    uint64_t epoch;
    char way[200];
};

static inline void on_changed(void *ctx, enum xids_randomd_grade grade, uint64_t epoch)
{
    struct guest *g = ctx;
    g->changes++;
    g->grade = grade;
    g->epoch = epoch;
    ck_assert_int_eq(xids_randomd_client_grade(xids_randomd_link_client(g->link)), grade);
}

static inline void on_refused(void *ctx, int rc, const char *reason)
{
    struct guest *g = ctx;
    g->refused++;
    g->refused_rc = rc;
    g->reason = reason;
}

static inline void on_reached(void *ctx, const char *step)
{
    struct guest *g = ctx;
    size_t len = strlen(g->way);
    snprintf(g->way + len, sizeof(g->way) - len, "%s. ", step);
}

static inline struct guest *guest_up_with(struct dom *d, struct xids_entropy *entropy, struct xids_local *local)
{
    struct guest *g = calloc(1, sizeof(*g));
    g->d = d;
    g->mem = malloc(xids_randomd_link_size());
    const struct xids_randomd_link_config config = {
        .platform = &d->platform,
        .xs = d->xs,
        .client = {.nonce = "differs", .reseed_ns = UINT64_MAX, .entropy = entropy},
        .local = local,
        .changed = on_changed,
        .refused = on_refused,
        .reached = on_reached,
        .ctx = g};
    ck_assert_int_eq(xids_randomd_link_init(&g->link, g->mem, xids_randomd_link_size(), &config, xids_model_now(w.m)),
                     0);
    xids_loop_add(&d->loop, xids_randomd_link_part(g->link));
    world_wake(d);
    return g;
}

static inline struct guest *guest_up(struct dom *d)
{
    return guest_up_with(d, NULL, NULL);
}

static inline void guest_free(struct guest *g)
{
    xids_loop_remove(&g->d->loop, xids_randomd_link_part(g->link));
    xids_randomd_link_fini(g->link);
    world_wake(g->d);
    free(g->mem);
    free(g);
}

/* Seeded by the host, in a session that goes on. */
static inline bool seeded(void *ctx)
{
    const struct guest *g = ctx;
    return g->grade == XIDS_RANDOMD_GRADE_HOST && g->epoch != 0;
}

static inline bool cut_off(void *ctx)
{
    const struct guest *g = ctx;
    return g->epoch == 0;
}

static inline bool was_refused(void *ctx)
{
    const struct guest *g = ctx;
    return g->refused > 0;
}

#endif
