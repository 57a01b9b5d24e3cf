/* SPDX-License-Identifier: ISC */
/*
 * A guest that lives until the toolstack ends it, and says on the console what happens to it. One part of its loop
 * holds what a suspension takes away (a port, a grant, a watch's answer); after each resume it looks whether everything
 * works again.
 */
#include <xids/guest.h>
#include <xen/sched.h>

struct holder {
    struct xids_guest *g;
    struct xids_platform *p;
    int port;
    void *page;
    grant_ref_t ref;
    bool has_ref;
    uint64_t events;
    uint64_t last; /* the clock when it was last looked at */
    unsigned int fired;
};

static void take(struct holder *h)
{
    h->port = h->p->ops->evtchn_alloc(h->p->ctx, 0);
    h->has_ref = h->p->ops->grant(h->p->ctx, &h->ref, 0, h->page, 0) == 0;
    if (h->port <= 0 || !h->has_ref)
        xids_guest_print("WRONG: no port (%d) or no grant\n", h->port);
}

static void give_back(void *ctx)
{
    struct holder *h = ctx;
    if (h->p->ops->evtchn_close(h->p->ctx, (evtchn_port_t)h->port) < 0)
        xids_guest_print("WRONG: the port does not close\n");
    if (h->has_ref && h->p->ops->grant_end(h->p->ctx, h->ref) < 0)
        xids_guest_print("WRONG: the grant does not end\n");
    h->has_ref = false;
}

static void take_again(void *ctx)
{
    take(ctx);
}

static bool event(void *ctx, evtchn_port_t port)
{
    struct holder *h = ctx;
    if ((int)port != h->port)
        return false;
    h->events++;
    return h->p->ops->evtchn_unmask(h->p->ctx, port) == 0;
}

static uint64_t step(void *ctx, uint64_t now)
{
    struct holder *h = ctx;
    if (now < h->last)
        xids_guest_print("WRONG: the clock went back from %llu to %llu\n", (unsigned long long)h->last,
                         (unsigned long long)now);
    h->last = now;
    return UINT64_MAX;
}

/* ---- whether it works ---- */

struct answer {
    bool came;
    int rc;
    char text[64];
};

static void reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    uint32_t n = len < sizeof(a->text) - 1 ? len : (uint32_t)sizeof(a->text) - 1;
    if (rc == 0)
        __builtin_memcpy(a->text, payload, n);
    a->text[rc == 0 ? n : 0] = 0;
    a->rc = rc;
    a->came = true;
}

static bool wait_answer(struct holder *h, struct answer *a)
{
    uint64_t deadline = xids_guest_now(h->g) + UINT64_C(20000000000);
    while (!a->came && xids_guest_now(h->g) < deadline)
        (void)xids_guest_wait(h->g, deadline);
    return a->came && a->rc == 0;
}

static unsigned int number(const char *text)
{
    unsigned int n = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        n = n * 10 + (unsigned int)(*text - '0');
    return n;
}

static const char *store_works(struct holder *h)
{
    struct xids_xs_client *xs = xids_guest_xenstore(h->g);
    struct answer domid = {.came = false}, written = {.came = false}, back = {.came = false};
    if (xids_xs_client_read(xs, 0, "domid", reply, &domid) < 0 || !wait_answer(h, &domid))
        return "xenstore does not answer";
    if (number(domid.text) != h->p->domid)
        return "xenstore knows another domid";
    unsigned int before = h->fired;
    if (xids_xs_client_write(xs, 0, "data/life", "x", 1, reply, &written) < 0 || !wait_answer(h, &written))
        return "xenstore does not take a value";
    if (xids_xs_client_read(xs, 0, "data/life", reply, &back) < 0 || !wait_answer(h, &back) || back.text[0] != 'x')
        return "xenstore does not give the value back";
    uint64_t deadline = xids_guest_now(h->g) + UINT64_C(20000000000);
    while (h->fired == before && xids_guest_now(h->g) < deadline)
        (void)xids_guest_wait(h->g, deadline);
    return h->fired == before ? "the watch does not fire" : NULL;
}

/* Events to ourselves, as Xen allows. */
static const char *events_work(struct holder *h)
{
    const struct xids_platform_ops *ops = h->p->ops;
    uint64_t before = h->events;
    give_back(h);
    int own = ops->evtchn_alloc(h->p->ctx, h->p->domid);
    h->port = ops->evtchn_bind(h->p->ctx, h->p->domid, (evtchn_port_t)own);
    if (own <= 0 || h->port <= 0)
        return "no port to ourselves";
    uint64_t deadline = xids_guest_now(h->g) + UINT64_C(20000000000);
    for (int i = 0; i < 3; i++) {
        while (h->events == before + (uint64_t)i && xids_guest_now(h->g) < deadline)
            (void)xids_guest_wait(h->g, deadline);
        (void)ops->evtchn_notify(h->p->ctx, (evtchn_port_t)own);
    }
    bool came = h->events >= before + 3;
    (void)ops->evtchn_close(h->p->ctx, (evtchn_port_t)own);
    (void)ops->evtchn_close(h->p->ctx, (evtchn_port_t)h->port);
    take(h);
    return came ? NULL : "events do not come";
}

/* A copy through a grant to ourselves. */
static const char *grants_work(struct holder *h)
{
    const struct xids_platform_ops *ops = h->p->ops;
    grant_ref_t ref;
    uint8_t *bytes = h->page, from[4] = {1, 2, 3, 4};
    if (ops->grant(h->p->ctx, &ref, h->p->domid, h->page, 0) < 0)
        return "no grant";
    struct xids_grant_copy copy = {
        .to_grant = true, .domid = h->p->domid, .ref = ref, .offset = 100, .len = 4, .memory = from};
    bytes[101] = 0;
    int rc = ops->copy(h->p->ctx, &copy, 1);
    bool good = rc == 0 && copy.status == 0 && __atomic_load_n(&bytes[101], __ATOMIC_RELAXED) == 2;
    if (ops->grant_end(h->p->ctx, ref) < 0)
        return "a grant does not end";
    return good ? NULL : "a grant does not work";
}

static const char *time_works(struct holder *h)
{
    uint64_t before = xids_guest_now(h->g), after = before;
    while (after < before + 20000000) {
        (void)xids_guest_wait(h->g, before + 20000000);
        after = xids_guest_now(h->g);
    }
    /* 2020; and no sleep of a fifth of a second. */
    return xids_guest_wall_clock(h->g) < UINT64_C(1577836800000000000) ? "the time of day is wrong" : NULL;
}

static void look(struct holder *h)
{
    static unsigned int times;
    const char *(*const checks[])(struct holder *) = {store_works, events_work, grants_work, time_works};
    uint64_t total, unused;
    for (unsigned int i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        const char *wrong = checks[i](h);
        if (wrong != NULL) {
            xids_guest_print("WRONG: %s\n", wrong);
            return;
        }
    }
    xids_guest_memory(h->g, &total, &unused);
    xids_guest_print("works %u as domain %u, %llu pages free\n", ++times, (unsigned int)h->p->domid,
                     (unsigned long long)unused / XIDS_PAGE_SIZE);
}

static void watched(void *ctx, int what, const char *path)
{
    struct holder *h = ctx;
    (void)path;
    h->fired += what == XIDS_XS_WATCH_FIRED;
}

/* ---- life ---- */

static bool resumed;

static void on_shutdown(void *ctx, unsigned int reason)
{
    (void)ctx;
    xids_guest_print("bye: %s\n", reason == SHUTDOWN_reboot ? "reboot" : "poweroff");
}

static void on_suspend(void *ctx)
{
    (void)ctx;
    xids_guest_print("suspending\n");
}

static void on_resume(void *ctx, bool cancelled)
{
    const struct holder *h = ctx;
    xids_guest_print("resumed %s as domain %u\n", cancelled ? "here" : "elsewhere", (unsigned int)h->p->domid);
    resumed = true;
}

int xids_guest_main(struct xids_guest *g)
{
    static struct holder h;
    static struct xids_part part = {
        .event = event, .step = step, .suspend = give_back, .resume = take_again, .ctx = &h};
    static const struct xids_guest_life life = {on_shutdown, on_suspend, on_resume, &h};
    uint32_t id;
    h.g = g;
    h.p = xids_guest_platform(g);
    if (h.p->ops->page_alloc(h.p->ctx, &h.page, 1) < 0 ||
        xids_xs_client_watch(xids_guest_xenstore(g), &id, "data/life", watched, &h) < 0)
        return 1;
    take(&h);
    xids_loop_add(xids_guest_loop(g), &part);
    xids_guest_set_life(g, &life);
    xids_guest_print("alive\n");
    look(&h);
    for (;;) {
        (void)xids_guest_wait(g, UINT64_MAX);
        if (resumed) {
            resumed = false;
            look(&h);
        }
    }
}
