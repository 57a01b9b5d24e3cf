/* SPDX-License-Identifier: ISC */
/*
 * Gives back over a vchan what comes, until the peer ends or closes; then waits for the next. Options:
 *     peer=DOMID     who the peer is (0)
 *     name=NAME      of the channel (echo): the server's data/vchan/CLIENT/NAME
 *     mode=connect   be the client; without it, the server
 *     say=WORD       client: instead of echoing, say this, wait until it has come back, and power off
 */
#include <xids/guest.h>
#include <xids/vchan_meet.h>

#define TEXT 128u

struct echo {
    struct xids_guest *g;
    struct xids_vchan_meet *meet;
    uint64_t bytes, said_at;
    char say[TEXT], heard[TEXT];
    uint32_t say_len, heard_len;
    bool done, right;
    bool ended; /* the peer says no more, or has gone */
};

static void opened(void *ctx, struct xids_vchan *ch)
{
    struct echo *e = ctx;
    e->bytes = 0;
    e->heard_len = 0;
    e->ended = false;
    e->said_at = xids_guest_now(e->g);
    xids_guest_print("vchan-echo: domain %u is here\n", (unsigned int)xids_vchan_remote(ch));
    if (e->say_len > 0 && xids_vchan_send(ch, e->say, e->say_len) < 0)
        xids_guest_print("vchan-echo: it cannot be spoken to\n");
}

/*
 * Moves bytes from one ring to the other. Takes no more than it can give back, and no more than the rings hold: a peer
 * that reads and writes as fast as we do would never let go of us.
 */
static int give_back(struct echo *e, struct xids_vchan *ch)
{
    uint8_t piece[2048];
    for (uint32_t moved = 0; moved < xids_vchan_read_size(ch);) {
        int room = xids_vchan_writable(ch);
        if (room <= 0)
            return room;
        int n = xids_vchan_read(ch, piece, (uint32_t)room < sizeof(piece) ? (uint32_t)room : sizeof(piece));
        e->ended = n == 0;
        if (n <= 0)
            return n;
        e->bytes += (uint32_t)n;
        moved += (uint32_t)n;
        n = xids_vchan_write(ch, piece, (uint32_t)n);
        if (n < 0)
            return n;
    }
    return 0;
}

static void listen_to(struct echo *e, struct xids_vchan *ch)
{
    int n = 1;
    while (e->heard_len < e->say_len &&
           (n = xids_vchan_read(ch, e->heard + e->heard_len, e->say_len - e->heard_len)) > 0)
        e->heard_len += (uint32_t)n;
    e->ended = n == 0;
    if (e->heard_len < e->say_len)
        return;
    e->right = __builtin_memcmp(e->heard, e->say, e->say_len) == 0;
    e->done = true;
    xids_guest_print("vchan-echo: \"%s\" came back %s after %llu us\n", e->say, e->right ? "whole" : "WRONG",
                     (unsigned long long)(xids_guest_now(e->g) - e->said_at) / 1000);
}

static uint64_t serve(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    struct echo *e = ctx;
    uint8_t rest[256];
    (void)now;
    if (e->say_len > 0)
        listen_to(e, ch);
    else if (give_back(e, ch) == -XEN_ENOTCONN)
        /* It has gone, and will not hear what it said last. */
        while (xids_vchan_read(ch, rest, sizeof(rest)) > 0) {
        }
    /* It says no more, and has been given back everything: so it learns. What is left is its end. */
    int rc = e->ended ? xids_vchan_shutdown(ch) : 0;
    (void)rc;
    /* Full: what matters is room. Else: bytes. */
    bool full = e->say_len == 0 && !e->ended && xids_vchan_writable(ch) == 0;
    return xids_vchan_arm(ch, full || e->ended ? 0 : 1, full ? 1 : 0) == 1 && !e->done ? 0 : UINT64_MAX;
}

static void closed(void *ctx, struct xids_vchan *ch, int rc, const char *reason)
{
    const struct echo *e = ctx;
    xids_guest_print("vchan-echo: domain %u has left after %llu bytes: %s (error %d)\n",
                     (unsigned int)xids_vchan_remote(ch), (unsigned long long)e->bytes, reason, -rc);
}

static void refused(void *ctx, int rc, const char *reason)
{
    (void)ctx;
    xids_guest_print("vchan-echo: waiting: %s (error %d)\n", reason, -rc);
}

/* A word of the command line, or what stands for it. */
static size_t option(struct xids_guest *g, char text[TEXT], const char *name, const char *otherwise)
{
    if (xids_guest_option(g, text, TEXT, name) < 0)
        __builtin_memcpy(text, otherwise, xids_xswire_string(otherwise).len);
    return xids_xswire_string(text).len - 1u;
}

int xids_guest_main(struct xids_guest *g)
{
    static struct echo e;
    static struct xids_vchan_meet_user user = {
        .opened = opened, .serve = serve, .closed = closed, .refused = refused, .ctx = &e};
    char peer[TEXT], name[TEXT], mode[TEXT];
    struct xids_platform *platform = xids_guest_platform(g);
    uint32_t remote = 0;
    void *mem = NULL;
    size_t size = xids_vchan_meet_size();
    e.g = g;
    if (xids_xswire_decimal(&remote, peer, option(g, peer, "peer", "0"), DOMID_FIRST_RESERVED - 1u) < 0)
        xids_guest_print("vchan-echo: peer= wants a domid\n");
    (void)option(g, name, "name", "echo");
    (void)option(g, mode, "mode", "listen");
    e.say_len = (uint32_t)option(g, e.say, "say", "");
    const struct xids_vchan_meet_config config = {
        .platform = platform,
        .xs = xids_guest_xenstore(g),
        .user = &user,
        .server = mode[0] != 'c',
        .remote = (domid_t)remote,
        .name = name,
        .left_order = 14,
        .right_order = 14,
    };
    int rc = platform->ops->page_alloc(platform->ctx, &mem, (unsigned int)(size / XIDS_PAGE_SIZE + 1));
    if (rc == 0)
        rc = xids_vchan_meet_init(&e.meet, mem, size, &config);
    if (rc < 0)
        return rc;
    xids_loop_add(xids_guest_loop(g), xids_vchan_meet_part(e.meet));
    while (!e.done)
        (void)xids_guest_wait(g, UINT64_MAX);
    xids_loop_remove(xids_guest_loop(g), xids_vchan_meet_part(e.meet));
    xids_vchan_meet_fini(e.meet);
    return e.right ? 0 : -XEN_EIO;
}
