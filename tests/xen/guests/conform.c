/* SPDX-License-Identifier: ISC */
/*
 * What every platform promises (tests/unit/platform_cases.h), in bare guests on Xen.
 *
 *     role=alone    both sides are this domain; cases in which that cannot be are skipped
 *     role=a        runs the cases with another guest as the other side
 *     role=b        is that other guest, and does what it is told
 *
 * a and b find each other's domid in their node data/peer, and talk through nodes of theirs that the other may read.
 * A line for each case, then a summary.
 */
#include <xids/guest.h>

#include "tests/unit/platform_remote.h"

#define PORTS 4096u
#define OPEN_MAX 256u
#define SECOND UINT64_C(1000000000)

static struct xids_guest *guest;
static struct xids_platform *real;
static struct xids_xs_client *xs;

static __attribute__((noreturn)) void give_up(const char *what, int rc)
{
    xids_guest_print("Bail out! %s (%d)\n", what, rc);
    xids_guest_shutdown(guest, 0);
}

/* ---- ports: the cases' and the loop's, which must not take each other's events ---- */

static struct {
    evtchn_port_t port;
    bool masked; /* by the case */
} opened[OPEN_MAX];
static unsigned int open_count;
static evtchn_port_t loops[4];
static unsigned int loop_count;

static void find_loops_ports(void)
{
    for (evtchn_port_t port = 1; port < PORTS; port++)
        for (struct xids_part *part = xids_guest_loop(guest)->parts; part != NULL; part = part->next)
            if (part->event != NULL && loop_count < 4 && part->event(part->ctx, port))
                loops[loop_count++] = port;
}

static void must(int rc)
{
    if (rc < 0)
        give_up("a port cannot be masked", rc);
}

/* Lets the loop have its events, and the cases not; or the reverse. */
static void for_the_loop(bool loop)
{
    for (unsigned int i = 0; i < loop_count; i++)
        must(loop ? real->ops->evtchn_unmask(real->ctx, loops[i]) : real->ops->evtchn_mask(real->ctx, loops[i]));
    for (unsigned int i = 0; i < open_count; i++)
        if (!opened[i].masked)
            must(loop ? real->ops->evtchn_mask(real->ctx, opened[i].port)
                      : real->ops->evtchn_unmask(real->ctx, opened[i].port));
}

static int opens(int port)
{
    if (port > 0 && open_count == OPEN_MAX)
        give_up("too many ports", port);
    if (port > 0) {
        opened[open_count].masked = false;
        opened[open_count++].port = (evtchn_port_t)port;
    }
    return port;
}

static void sets_mask(evtchn_port_t port, bool masked)
{
    for (unsigned int i = 0; i < open_count; i++)
        if (opened[i].port == port)
            opened[i].masked = masked;
}

static int op_alloc(void *ctx, domid_t remote)
{
    return opens(real->ops->evtchn_alloc(ctx, remote));
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    return opens(real->ops->evtchn_bind(ctx, remote, port));
}

static int op_mask(void *ctx, evtchn_port_t port)
{
    sets_mask(port, true);
    return real->ops->evtchn_mask(ctx, port);
}

static int op_unmask(void *ctx, evtchn_port_t port)
{
    sets_mask(port, false);
    return real->ops->evtchn_unmask(ctx, port);
}

static int op_pending(void *ctx)
{
    int port = real->ops->evtchn_pending(ctx);
    if (port > 0)
        sets_mask((evtchn_port_t)port, true);
    return port;
}

static int op_close(void *ctx, evtchn_port_t port)
{
    for (unsigned int i = 0; i < open_count; i++) {
        if (opened[i].port == port) {
            opened[i] = opened[--open_count];
            break;
        }
    }
    return real->ops->evtchn_close(ctx, port);
}

/* The guest's platform as the cases see it. */
static struct xids_platform *watched_platform(void)
{
    static struct xids_platform_ops ops;
    static struct xids_platform p;
    ops = *real->ops;
    ops.evtchn_alloc = op_alloc;
    ops.evtchn_bind = op_bind;
    ops.evtchn_mask = op_mask;
    ops.evtchn_unmask = op_unmask;
    ops.evtchn_pending = op_pending;
    ops.evtchn_close = op_close;
    p = (struct xids_platform){&ops, real->ctx, real->domid};
    return &p;
}

/* ---- messages ---- */

static char own_node[] = "data/conform", peer_node[64];
static domid_t peer;
static struct platform_message arrived; /* the newest that the other has written */
static bool written;

static size_t add(char *to, size_t at, const char *text)
{
    while (*text != 0)
        to[at++] = *text++;
    to[at] = 0;
    return at;
}

static size_t add_number(char *to, size_t at, unsigned int n)
{
    char digits[12];
    size_t len = xids_xswire_format_decimal(digits, n);
    digits[len] = 0;
    return add(to, at, digits);
}

static void on_peer_read(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)ctx;
    if (rc == 0 && len == sizeof(arrived))
        __builtin_memcpy(&arrived, payload, len);
}

static void on_peer_wrote(void *ctx, int what, const char *path)
{
    (void)ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED)
        (void)!xids_xs_client_read(xs, 0, peer_node, on_peer_read, NULL);
}

static void on_written(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)ctx;
    (void)payload;
    (void)len;
    if (rc < 0)
        give_up("xenstore does not take a message", rc);
    written = true;
}

static void on_peer_domid(void *ctx, int rc, const void *payload, uint32_t len)
{
    uint32_t n;
    (void)ctx;
    if (rc == 0 && xids_xswire_decimal(&n, payload, len, 0x7fef) == 0)
        peer = (domid_t)n;
}

static void on_peer_told(void *ctx, int what, const char *path)
{
    (void)ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED)
        (void)!xids_xs_client_read(xs, 0, "data/peer", on_peer_domid, NULL);
}

static void send(const struct platform_message *m)
{
    written = false;
    int rc = xids_xs_client_write(xs, 0, own_node, m, sizeof(*m), on_written, NULL);
    if (rc < 0)
        give_up("a message cannot be sent", rc);
    while (!written)
        (void)xids_guest_wait(guest, UINT64_MAX);
}

static void meet(void)
{
    static const struct platform_message nothing;
    char perms[32];
    uint32_t id;
    if (xids_xs_client_watch(xs, &id, "data/peer", on_peer_told, NULL) < 0)
        give_up("no watch", 0);
    while (peer == 0)
        (void)xids_guest_wait(guest, UINT64_MAX);
    send(&nothing);
    size_t n = add(perms, 0, "n");
    n = add_number(perms, n, real->domid) + 1;
    n = add(perms, n, "r");
    n = add_number(perms, n, peer) + 1;
    written = false;
    int rc = xids_xs_client_set_perms(xs, 0, own_node, perms, (uint32_t)n, on_written, NULL);
    while (rc == 0 && !written)
        (void)xids_guest_wait(guest, UINT64_MAX);
    n = add(peer_node, 0, "/local/domain/");
    n = add_number(peer_node, n, peer);
    (void)add(peer_node, n, "/data/conform");
    if (rc < 0 || xids_xs_client_watch(xs, &id, peer_node, on_peer_wrote, NULL) < 0)
        give_up("no way to the peer", rc);
}

static void ask(void *ctx, struct platform_message *m)
{
    static uint32_t sequence;
    (void)ctx;
    uint64_t deadline = xids_guest_now(guest) + 60 * SECOND;
    m->sequence = ++sequence;
    for_the_loop(true);
    send(m);
    while (arrived.sequence != sequence) {
        if (xids_guest_now(guest) >= deadline)
            give_up("the peer does not answer", 0);
        (void)xids_guest_wait(guest, deadline);
    }
    for_the_loop(false);
    *m = arrived;
}

static __attribute__((noreturn)) void serve(struct xids_platform *p)
{
    uint32_t done = 0;
    for (;;) {
        while (arrived.sequence == done)
            (void)xids_guest_wait(guest, UINT64_MAX);
        struct platform_message m = arrived;
        done = m.sequence;
        for_the_loop(false);
        platform_serve(p, &m);
        for_the_loop(true);
        send(&m);
    }
}

/* ---- cases ---- */

static uint8_t peek(struct platform_pair *p, const void XIDS_PEER *area, uint32_t offset)
{
    (void)p;
    return xids_peer_load8((const uint8_t XIDS_PEER *)area + offset);
}

static void poke(struct platform_pair *p, void XIDS_PEER *area, uint32_t offset, uint8_t value)
{
    (void)p;
    xids_peer_store8_release((uint8_t XIDS_PEER *)area + offset, value);
}

static bool same(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* Why a case cannot be run, or NULL. */
static const char *reason_to_skip(const char *name, bool alone)
{
    static const char *const mapping[] = {
        "shared_pages_are_one_memory",
        "references_map_in_the_order_given",
        "what_is_shared_for_reading_cannot_be_mapped_for_writing",
        "references_that_are_not_granted_do_not_map",
        "pages_unshared_while_mapped_are_not_used_again",
        "unmapping_clears_the_byte_and_notifies",
        "unsharing_clears_the_byte_and_notifies",
        "a_notification_can_be_half",
        "maps_of_one_page_end_one_by_one",
    };
    if (same(name, "death_does_what_unmapping_and_closing_do"))
        return "nobody is left to speak for a guest that dies";
    if (!alone && same(name, "many_ports_each_fire_once"))
        return "it takes long over xenstore, and one guest alone can do it";
    if (alone && same(name, "a_port_for_another_domain_cannot_be_bound"))
        return "there is no other domain";
    for (unsigned int i = 0; alone && i < sizeof(mapping) / sizeof(mapping[0]); i++)
        if (same(name, mapping[i]))
            return "a domain of this kind cannot map its own pages";
    return NULL;
}

/* What of the platform is free, or in use. */
struct left {
    uint64_t free_pages;
    unsigned int free_grants, open_ports;
};

/* Ports are the lowest free ones: as many as the cases ever have open. Each look is a call to Xen, so no more. */
#define PORTS_LOOKED_AT 160u

static struct left count_left(void)
{
    static grant_ref_t refs[32768];
    struct left l = {0, 0, 0};
    uint64_t total, unused;
    void *page;
    if (real->ops->page_alloc(real->ctx, &page, 1) < 0)
        give_up("no page", 0);
    while (l.free_grants < 32768 && real->ops->grant(real->ctx, &refs[l.free_grants], real->domid, page, 0) == 0)
        l.free_grants++;
    for (unsigned int i = 0; i < l.free_grants; i++)
        (void)real->ops->grant_end(real->ctx, refs[i]);
    for (evtchn_port_t port = 1; port < PORTS_LOOKED_AT; port++)
        l.open_ports += real->ops->evtchn_status(real->ctx, port) != XIDS_EVTCHN_CLOSED;
    real->ops->page_free(real->ctx, page, 1);
    xids_guest_memory(guest, &total, &unused);
    l.free_pages = unused / XIDS_PAGE_SIZE;
    return l;
}

static unsigned int run_all(struct platform_pair *pair, bool alone)
{
    unsigned int passed = 0, failed = 0, skipped = 0;
    for (unsigned int i = 0; i < platform_case_count; i++) {
        const char *name = platform_cases[i].name, *skip = reason_to_skip(name, alone);
        const char *wrong = skip == NULL ? platform_cases[i].run(pair) : NULL;
        passed += skip == NULL && wrong == NULL;
        failed += wrong != NULL;
        skipped += skip != NULL;
        if (skip != NULL)
            xids_guest_print("ok %u - %s # SKIP %s\n", i + 1, name, skip);
        else if (wrong != NULL)
            xids_guest_print("not ok %u - %s\n# %s\n", i + 1, name, wrong);
        else
            xids_guest_print("ok %u - %s\n", i + 1, name);
    }
    xids_guest_print("conform: %u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed;
}

/* So that what the platform keeps for later, its records' memory, does not look like a leak. */
static void warm_up(void)
{
    grant_ref_t refs[8];
    void *pages;
    if (real->ops->share(real->ctx, &pages, refs, real->domid, 8, 0, NULL) < 0 ||
        real->ops->unshare(real->ctx, pages, 8) < 0)
        give_up("nothing can be shared", 0);
}

int xids_guest_main(struct xids_guest *g)
{
    char role[8];
    guest = g;
    real = xids_guest_platform(g);
    xs = xids_guest_xenstore(g);
    if (xids_guest_option(g, role, sizeof(role), "role") < 0)
        give_up("which role?", 0);
    find_loops_ports();
    struct xids_platform *p = watched_platform();
    bool alone = same(role, "alone");
    if (!alone)
        meet();
    if (same(role, "b"))
        serve(p);

    struct platform_remote remote;
    platform_remote_init(&remote, peer, ask, NULL);
    struct platform_pair pair = {p, &remote.platform, platform_remote_peek, platform_remote_poke, NULL, NULL};
    if (alone)
        pair = (struct platform_pair){p, p, peek, poke, NULL, NULL};
    warm_up();
    for_the_loop(false);
    struct left before = count_left();
    unsigned int failed = run_all(&pair, alone);
    struct left after = count_left();
    bool equal = before.free_pages == after.free_pages && before.free_grants == after.free_grants &&
                 before.open_ports == after.open_ports;
    xids_guest_print("%sok %u - nothing leaks: %llu pages and %u grants are free, %u ports open\n", equal ? "" : "not ",
                     platform_case_count + 1, (unsigned long long)after.free_pages, after.free_grants,
                     after.open_ports);
    if (!equal)
        xids_guest_print("# before: %llu pages, %u grants, %u ports\n", (unsigned long long)before.free_pages,
                         before.free_grants, before.open_ports);
    xids_guest_print("conform %s: %s\n", role, failed == 0 && equal ? "good" : "WRONG");
    return 0;
}
