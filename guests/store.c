/* SPDX-License-Identifier: ISC */
/*
 * Tries the host's xenstore: reads, writes, folders, permissions, watches, transactions. One line for each, and at the
 * end the count. Requests are asynchronous; ask, below, makes of them what a program can wait for.
 */
#include <xids/guest.h>

#define HOME "data/store"
#define PATIENCE 30000000000ull /* ns */
#define LONG 1500u              /* more than the ring holds, less than a node may */

static struct xids_guest *g;
static struct xids_xs_client *xs;
static char value[XIDS_XSWIRE_PAYLOAD_MAX]; /* the last answer */
static uint32_t value_len;
static int result;
static bool answered;
static unsigned int passed, failed, fired, tries;

static void done(void *ctx, int rc)
{
    (void)ctx;
    result = rc;
    answered = true;
}

static void on_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    if (len > 0)
        __builtin_memcpy(value, payload, len);
    value_len = len;
    done(ctx, rc);
}

/* Waits for the answer to a request that was made with rc. Returns what the store said. */
static int ask(int rc)
{
    uint64_t deadline = xids_guest_now(g) + PATIENCE;
    answered = false;
    while (rc == 0 && !answered)
        if (xids_guest_wait(g, deadline) == 0)
            return -XEN_ETIMEDOUT;
    return rc < 0 ? rc : result;
}

static bool is(const void *text, size_t len)
{
    return value_len == len && __builtin_memcmp(value, text, len) == 0;
}

static void check(bool good, const char *what)
{
    *(good ? &passed : &failed) += 1;
    xids_guest_print("store: %s: %s (error %d)\n", good ? "ok" : "FAILED", what, -result);
}

#define READ(path) ask(xids_xs_client_read(xs, 0, path, on_reply, NULL))
#define WRITE(path, text, len) ask(xids_xs_client_write(xs, 0, path, text, len, on_reply, NULL))

static void nodes(void)
{
    char domid[11], longest[LONG];
    __builtin_memset(longest, 'x', LONG);
    size_t digits = xids_xswire_format_decimal(domid, xids_guest_platform(g)->domid);
    check(READ("domid") == 0 && is(domid, digits), "our own domid is read");
    check(ask(xids_xs_client_get_domain_path(xs, xids_guest_platform(g)->domid, on_reply, NULL)) == 0, "our path");
    check(WRITE(HOME "/a", "hello", 5) == 0, "a node is written");
    check(READ(HOME "/a") == 0 && is("hello", 5), "and read back");
    check(WRITE(HOME "/a", "", 0) == 0 && READ(HOME "/a") == 0 && is("", 0), "a value may be empty");
    check(WRITE(HOME "/b", longest, LONG) == 0 && READ(HOME "/b") == 0 && is(longest, LONG),
          "and longer than the ring");
    check(ask(xids_xs_client_mkdir(xs, 0, HOME "/c", on_reply, NULL)) == 0, "a folder is made");
    check(ask(xids_xs_client_directory(xs, 0, HOME, on_reply, NULL)) == 0 && value_len == 6, "three names are listed");
    check(ask(xids_xs_client_rm(xs, 0, HOME "/c", on_reply, NULL)) == 0, "the folder is removed");
    check(READ(HOME "/c") == -XEN_ENOENT, "and gone");
    check(WRITE("/local/domain/0/intruder", "x", 1) == -XEN_EACCES, "domain 0's folder is closed");
    check(READ("a b") == -XEN_EINVAL, "what is no path is refused");
}

static void permissions(void)
{
    char list[2u * XIDS_XS_PERM_BYTES];
    const struct xids_xs_perm own = {.domid = xids_guest_platform(g)->domid}, theirs = {.access = XIDS_XS_READ};
    uint32_t len = (uint32_t)xids_xswire_perm_format(list, &own) + 1u;
    len += (uint32_t)xids_xswire_perm_format(list + len, &theirs) + 1u;
    check(ask(xids_xs_client_set_perms(xs, 0, HOME "/a", list, len, on_reply, NULL)) == 0, "permissions are set");
    check(ask(xids_xs_client_get_perms(xs, 0, HOME "/a", on_reply, NULL)) == 0 && is(list, len), "and read back");
}

static void on_watch(void *ctx, int what, const char *path)
{
    (void)ctx;
    (void)path;
    fired += what == XIDS_XS_WATCH_FIRED;
}

static void watches(void)
{
    uint32_t id = 0;
    check(xids_xs_client_watch(xs, &id, HOME "/w", on_watch, NULL) == 0, "a watch");
    /* Answers and events keep their order: when a read is answered, all that was before it has come. */
    check(READ("domid") == 0 && fired == 1, "fires when it is new");
    check(WRITE(HOME "/w/child", "1", 1) == 0 && READ("domid") == 0 && fired == 2, "and when a child changes");
    check(WRITE(HOME "/x", "1", 1) == 0 && READ("domid") == 0 && fired == 2, "but not for another node");
    (void)xids_xs_client_unwatch(xs, id);
    check(WRITE(HOME "/w/child", "2", 1) == 0 && READ("domid") == 0 && fired == 2, "nor when it has ended");
}

/* ---- transactions: count is raised by one; in the first try somebody else comes in between ---- */

static void has_read(void *ctx, int rc, const void *payload, uint32_t len)
{
    uint32_t count = 0;
    char text[11];
    if (rc == 0)
        rc = xids_xswire_decimal(&count, payload, len, 1000);
    if (rc == 0 && tries++ == 0)
        rc = xids_xs_client_write(xs, 0, HOME "/count", "41", 2, NULL, NULL);
    uint32_t digits = (uint32_t)xids_xswire_format_decimal(text, count + 1);
    if (rc == 0)
        rc = xids_xs_client_write(xs, xids_xs_tx_id(ctx), HOME "/count", text, digits, NULL, NULL);
    if (rc < 0)
        xids_xs_tx_abort(ctx, rc);
    else
        xids_xs_tx_commit(ctx);
}

static void body(void *ctx, struct xids_xs_tx *tx)
{
    (void)ctx;
    int rc = xids_xs_client_read(xs, xids_xs_tx_id(tx), HOME "/count", has_read, tx);
    if (rc < 0)
        xids_xs_tx_abort(tx, rc);
}

int xids_guest_main(struct xids_guest *guest)
{
    g = guest;
    xs = xids_guest_xenstore(g);
    nodes();
    permissions();
    watches();
    check(WRITE(HOME "/count", "7", 1) == 0 && ask(xids_xs_client_transaction(xs, 5, body, done, NULL)) == 0,
          "a transaction");
    check(tries == 2 && READ(HOME "/count") == 0 && is("42", 2), "is tried again when another has written");
    check(ask(xids_xs_client_rm(xs, 0, HOME, on_reply, NULL)) == 0, "all is removed");
    xids_guest_print("store: %u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : -XEN_EIO;
}
