/* SPDX-License-Identifier: ISC */
/*
 * The toolstack's wishes, which come by xenstore as words in control/shutdown. Clearing the node says that the word
 * was understood; then it is carried out, between two turns of the loop.
 */
#include "platform/guest/guest.h"

#include <xen/sched.h>

#define NODE "control/shutdown"
#define TRIES 8
#define SUSPENDED_ELSEWHERE 0 /* what Xen's call returns in a domain that was restored */

static const struct {
    const char *word;
    uint8_t reason;
} words[] = {
    {"poweroff", SHUTDOWN_poweroff}, {"halt", SHUTDOWN_poweroff}, {"reboot", SHUTDOWN_reboot},
    {"suspend", SHUTDOWN_suspend},   {"crash", SHUTDOWN_crash},
};

static const char *const features[] = {"control/feature-poweroff", "control/feature-reboot", "control/feature-suspend"};

static char word[32];
static bool asking, again; /* a look at the node is under way; another is wanted */
static bool wish;
static uint8_t wish_reason;

/* ---- from xenstore ---- */

static bool same(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void understand(void)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (same(word, words[i].word)) {
            wish = true;
            wish_reason = words[i].reason;
            return;
        }
    }
    xids_guest_print("xids: " NODE " says \"%s\", which means nothing to me\n", word);
}

static void written(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_xs_tx *tx = ctx;
    (void)payload;
    (void)len;
    if (rc < 0)
        xids_xs_tx_abort(tx, rc);
    else
        xids_xs_tx_commit(tx);
}

static void has_read(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_xs_tx *tx = ctx;
    const char *text = payload;
    uint32_t n = 0;
    for (; rc == 0 && n < len && n < sizeof(word) - 1 && text[n] != 0; n++)
        word[n] = text[n] > ' ' && text[n] < 0x7f ? text[n] : '?';
    word[n] = 0;
    if (rc == 0 && n == 0)
        rc = -XEN_ENOENT;
    if (rc == 0)
        rc = xids_xs_client_write(guest_the.xenstore, xids_xs_tx_id(tx), NODE, "", 0, written, tx);
    if (rc < 0)
        xids_xs_tx_abort(tx, rc);
}

static void body(void *ctx, struct xids_xs_tx *tx)
{
    (void)ctx;
    int rc = xids_xs_client_read(guest_the.xenstore, xids_xs_tx_id(tx), NODE, has_read, tx);
    if (rc < 0)
        xids_xs_tx_abort(tx, rc);
}

static void done(void *ctx, int rc)
{
    (void)ctx;
    asking = false;
    if (rc == 0)
        understand();
    else if (rc == -XEN_EBUSY || rc == -XEN_EAGAIN)
        again = true;
    else if (rc != -XEN_ENOENT && rc != -XEN_ENOTCONN) /* nothing there; it will be looked at after reconnecting */
        xids_guest_print("xids: " NODE ": error %d\n", -rc);
}

static void ask(void)
{
    int rc = xids_xs_client_transaction(guest_the.xenstore, TRIES, body, done, NULL);
    asking = rc == 0;
    again = rc == -XEN_EBUSY;
}

static void watched(void *ctx, int what, const char *path)
{
    (void)ctx;
    (void)path;
    if (what < 0) {
        xids_guest_print("xids: no watch on " NODE ": error %d\n", -what);
        return;
    }
    again = true;
    /* A new connection, a new domain perhaps: what we can do is said again. Who may not say it does without. */
    for (size_t i = 0; what == XIDS_XS_WATCH_READY && i < sizeof(features) / sizeof(features[0]); i++)
        (void)!xids_xs_client_write(guest_the.xenstore, 0, features[i], "1", 1, NULL, NULL);
}

int guest_life_init(void)
{
    uint32_t id;
    return xids_xs_client_watch(guest_the.xenstore, &id, NODE, watched, NULL);
}

/* ---- carried out ---- */

static void must(int rc, const char *what)
{
    if (rc < 0)
        xids_guest_panic(what);
}

/* All that a new place takes away, in the order of the start. */
static void begin_anew(void)
{
    must(guest_shared_info_init(), "no shared info after resume");
    must(guest_time_init(NULL, true), "no clock after resume");
    must(guest_events_init(true), "no events after resume");
    must(guest_domid(&guest_the.platform.domid), "no domid after resume");
    must(guest_grants_init(true), "no grants after resume");
    guest_maps_lose();
    must(guest_console_init(true), "no console after resume");
    must(guest_store_init(true), "no xenstore after resume");
}

/*
 * Whether a domain that was resumed is where it was. Xen's answer to the suspension says so only when the toolstack has
 * changed it (xc_domain_resume, "fast"); else the domain may think itself elsewhere while its ports and grants live on,
 * and with them what its peers have mapped. In a new place nothing is bound to the timer.
 */
static bool here(int rc)
{
    return rc != SUSPENDED_ELSEWHERE || guest_evtchn_status(NULL, guest_timer_port()) == XIDS_EVTCHN_VIRQ;
}

static void suspend(const struct xids_guest_life *life)
{
    struct sched_shutdown op = {.reason = SHUTDOWN_suspend};
    if (life != NULL && life->suspend != NULL)
        life->suspend(life->ctx);
    xids_loop_suspend(&guest_the.loop);
    guest_console_flush();
    int rc = hypercall_sched_op(SCHEDOP_shutdown, &op);
    bool cancelled = here(rc);
    if (!cancelled)
        begin_anew();
    xids_loop_resume(&guest_the.loop);
    if (life != NULL && life->resume != NULL)
        life->resume(life->ctx, cancelled);
    if (rc < 0)
        xids_guest_print("xids: Xen did not suspend: error %d\n", -rc);
}

void guest_life_turn(void)
{
    if (again && !asking)
        ask();
    if (!wish)
        return;
    wish = false;
    const struct xids_guest_life *life = guest_the.life;
    if (wish_reason == SHUTDOWN_suspend) {
        suspend(life);
        return;
    }
    if (wish_reason != SHUTDOWN_crash && life != NULL && life->shutdown != NULL)
        life->shutdown(life->ctx, wish_reason);
    xids_guest_shutdown(&guest_the, wish_reason);
}

int xids_guest_wait(struct xids_guest *g, uint64_t deadline)
{
    guest_life_turn();
    guest_store_turn();
    int rc = xids_loop_turn(&g->loop, deadline);
    guest_life_turn();
    return rc != 0;
}
