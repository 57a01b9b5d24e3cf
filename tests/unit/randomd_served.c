/* SPDX-License-Identifier: ISC */
#include "tests/unit/randomd_served.h"

#include "randomd/audit.h"
#include "randomd/legacy_guests.h"

/* No honest loop is awake for so many turns. */
#define TURNS_MAX 100000u

/* One world at a time, for what the daemon asks of its other parts. */
static struct served *here;
static struct daemon the_daemon;

/* ---- the daemon's other parts ---- */

uint64_t now_ns(void)
{
    return xids_model_now(here->m);
}

void loop_again(struct daemon *d)
{
    (void)d;
}

void audit_served(struct guest *g)
{
    (void)g;
}

void legacy_event(struct daemon *d, evtchn_port_t port)
{
    (void)d;
    (void)port;
}

static void server_closes(struct served *w, struct served_guest *g)
{
    struct guest *own = &g->guest;
    if (own->ch == NULL)
        return;
    w->d->by_port[own->port] = 0;
    serve_closed(w->d, own);
    xids_vchan_fini(own->ch);
    xids_randomd_session_fini(own->session);
    free(own->ch);
    free(own->session);
    own->ch = NULL;
    own->session = NULL;
}

void guest_end(struct daemon *d, struct guest *g, int why)
{
    struct served_guest *s = (struct served_guest *)(void *)g;
    (void)d;
    ck_assert_int_lt(why, 0);
    s->ended = why;
    server_closes(here, s);
}

/* ---- the world ---- */

static int count_pending(void *ctx)
{
    int rc = here->dom0->ops->evtchn_pending(ctx);
    here->looks += rc == 0;
    return rc;
}

void served_begin(struct served *w, unsigned int guests, uint64_t rate, uint64_t burst)
{
    memset(w, 0, sizeof(*w));
    here = w;
    w->d = &the_daemon;
    memset(w->d, 0, sizeof(*w->d));
    w->m = xids_model_new(1, XIDS_MODEL_SEPARATE);
    w->dom0 = xids_model_domain_create(w->m, 0);
    w->spy_ops = *w->dom0->ops;
    w->spy_ops.evtchn_pending = count_pending;
    w->spy = *w->dom0;
    w->spy.ops = &w->spy_ops;
    w->d->platform = &w->spy;
    w->d->config.rate = rate != 0 ? rate : XIDS_FAIR_MAX;
    w->d->config.burst = rate != 0 ? burst : XIDS_FAIR_MAX;
    w->count = guests;
    serve_begin(w->d);
    for (unsigned int i = 0; i < guests; i++) {
        struct served_guest *g = &w->guests[i];
        g->guest.domid = (domid_t)(i + 1);
        g->platform = xids_model_domain_create(w->m, g->guest.domid);
        ck_assert_ptr_nonnull(g->platform);
        w->d->by_domid[g->guest.domid] = &g->guest;
        serve_join(w->d, &g->guest);
    }
    served_open(w, VICTIM);
    served_hello(w, VICTIM);
}

void served_end(struct served *w)
{
    char left[512];
    for (unsigned int i = 0; i < w->count; i++) {
        served_close(w, i);
        serve_forget(w->d, &w->guests[i].guest);
    }
    unsigned int n = xids_model_check_clean(w->m, left, sizeof(left));
    ck_assert_msg(n == 0, "left: %s", left);
    xids_model_free(w->m);
}

void served_open(struct served *w, unsigned int i)
{
    struct served_guest *g = &w->guests[i];
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &w->source, .who = &g->guest.domid, .who_len = sizeof(g->guest.domid)};
    void *mem = malloc(xids_randomd_session_size());
    g->guest.ch = malloc(xids_vchan_size());
    ck_assert_int_eq(xids_randomd_session_init(&g->guest.session, mem, xids_randomd_session_size(), &config, 0), 0);
    ck_assert_int_eq(
        xids_randomd_session_offer(g->guest.session, g->guest.ch, w->d->platform, g->guest.domid, now_ns()), 0);
    g->guest.port = xids_vchan_port(g->guest.ch);
    w->d->by_port[g->guest.port] = g->guest.domid;
    g->ended = 0;
    g->heard_len = 0;
    serve_opened(w->d, &g->guest);
    g->ch = malloc(xids_vchan_size());
    ck_assert_int_eq(
        xids_vchan_client_init(g->ch, g->platform, 0, xids_vchan_ring_ref(g->guest.ch), g->guest.port, w->flags), 0);
    served_hear(w, i);
    ck_assert_uint_eq(g->heard_len, SEED_LEN);
    g->heard_len = 0;
}

void served_close(struct served *w, unsigned int i)
{
    struct served_guest *g = &w->guests[i];
    if (g->ch != NULL)
        xids_vchan_fini(g->ch);
    free(g->ch);
    g->ch = NULL;
    server_closes(w, g);
}

size_t served_say(struct served *w, unsigned int i, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    int n = xids_vchan_write(w->guests[i].ch, data, (uint32_t)len);
    return n > 0 ? (size_t)n : 0;
}

void served_event(struct served *w, unsigned int i)
{
    struct served_guest *g = &w->guests[i];
    ck_assert_int_eq(g->platform->ops->evtchn_notify(g->platform->ctx, xids_vchan_port(g->ch)), 0);
}

void served_hear(struct served *w, unsigned int i)
{
    struct served_guest *g = &w->guests[i];
    while (g->platform->ops->evtchn_pending(g->platform->ctx) > 0)
        (void)xids_vchan_event(g->ch);
    int n = xids_vchan_read(g->ch, g->heard + g->heard_len, (uint32_t)(sizeof(g->heard) - g->heard_len));
    if (n > 0)
        g->heard_len += (size_t)n;
}

void served_turns(struct served *w)
{
    /* Unmasking can bring an event that the next turn takes: one quiet turn is not the end. */
    for (unsigned int i = 0, quiet = 0; i < TURNS_MAX; i++) {
        uint64_t events = w->d->count.events;
        serve_turn(w->d);
        quiet = !serve_waiting(w->d) && w->d->count.events == events ? quiet + 1 : 0;
        if (quiet == 2)
            return;
    }
    ck_abort_msg("a guest keeps the daemon awake");
}

void served_hello(struct served *w, unsigned int i)
{
    uint8_t m[HELLO_LEN];
    struct served_guest *g = &w->guests[i];
    ck_assert_uint_eq(served_say(w, i, m, make_hello(m, 1, 0x40, 0xa0)), HELLO_LEN);
    served_turns(w);
    served_hear(w, i);
    ck_assert_uint_eq(g->heard_len, WELCOME_LEN);
    ck_assert_uint_eq(get_header(g->heard).type, XIDS_RANDOMD_WELCOME);
    g->heard_len = 0;
}

void served_victim_asks(struct served *w)
{
    uint8_t m[GET_LEN];
    struct served_guest *g = &w->guests[VICTIM];
    ck_assert_uint_eq(served_say(w, VICTIM, m, make_get(m, 77, 32)), GET_LEN);
    serve_turn(w->d);
    served_hear(w, VICTIM);
    ck_assert_uint_eq(g->heard_len, 48);
    struct randomd_header h = get_header(g->heard);
    ck_assert_uint_eq(h.type, XIDS_RANDOMD_DATA);
    ck_assert_uint_eq(h.id, 77);
    ck_assert_uint_eq(h.epoch, xids_randomd_session_epoch(g->guest.session));
    g->heard_len = 0;
    ck_assert_int_eq(g->ended, 0);
}
