/* SPDX-License-Identifier: ISC */
/*
 * The xenstore server with two sockets and two guests on their rings, all of which do what the input says: requests of
 * every kind on a few paths, in and outside of transactions, raw bytes and raw indices on a ring, answers fetched or
 * not, deaths and births of the guests at any moment, allocations that fail.
 *
 * Checked: the tree's own rules; that a guest never hears the value of a node that is not for it; that nobody owns
 * anything under the number of a dead domain; that memory stays bounded and comes back; that each request of a socket
 * is answered, once and in order.
 */
#include <stdio.h>
#include <string.h>
#include <xids/xs_server.h>

#include "tests/unit/counting_alloc.h"

#define CHECK(what)                         \
    do {                                    \
        if (!(what)) {                      \
            fprintf(stderr, "%s\n", #what); \
            abort();                        \
        }                                   \
    } while (0)

#define SOCKETS 2
#define GUESTS 2
#define BYTES_MAX (48u * 1024u * 1024u)

static const char canary[] = "the canary that no guest may hear";

static struct counting_alloc memory;
static struct xids_xs_server *server;
static bool secret_kept; /* until domain 0 says anything raw */

static struct endpoint {
    struct xids_xs_conn *conn; /* of a socket */
    uint32_t asked, heard;     /* req_ids; none is skipped on a socket */
    uint32_t tx[4], seen_tx;
    uint8_t *in;
    size_t input_len;
    bool in_order;
} sockets[SOCKETS];

static struct guest {
    struct endpoint e;
    uint8_t page[XIDS_PAGE_SIZE];
    struct xids_bytering out, in;
    bool exists, mapped;
} guests[GUESTS];

static uint8_t received[SOCKETS + GUESTS][2 * XIDS_XSWIRE_MESSAGE_MAX];

/* ---- the host ---- */

static int introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    (void)ctx;
    (void)conn;
    (void)port;
    if (domid == 0 || domid > GUESTS || !guests[domid - 1].exists)
        return -XEN_EINVAL;
    CHECK(!guests[domid - 1].mapped);
    guests[domid - 1].mapped = true;
    *page = (void XIDS_PEER *)guests[domid - 1].page;
    return 0;
}

static int rebind(void *ctx, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    (void)ctx;
    (void)conn;
    (void)domid;
    return port == 13 ? -XEN_EINVAL : 0;
}

static void release(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    (void)ctx;
    (void)conn;
    CHECK(guests[domid - 1].mapped);
    guests[domid - 1].mapped = false;
}

static void notify(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    (void)ctx;
    (void)conn;
    CHECK(guests[domid - 1].mapped);
}

static bool exists(void *ctx, uint16_t domid)
{
    (void)ctx;
    return domid <= GUESTS && (domid == 0 || guests[domid - 1].exists);
}

/* ---- what comes back ---- */

/* Takes whole messages apart; remembers transactions. A guest's may be out of order: it garbles its own requests. */
static void hear(struct endpoint *e, const uint8_t *bytes, size_t len, bool guest)
{
    while (len > 0) {
        size_t n =
            2u * XIDS_XSWIRE_MESSAGE_MAX - e->input_len < len ? 2u * XIDS_XSWIRE_MESSAGE_MAX - e->input_len : len;
        memcpy(e->in + e->input_len, bytes, n);
        e->input_len += n;
        bytes += n;
        len -= n;
        struct xids_xswire_msg msg;
        size_t used = 0;
        int rc;
        while ((rc = xids_xswire_peek(&msg, e->in + used, e->input_len - used)) > 0) {
            used += (size_t)rc;
            CHECK(!guest || !secret_kept || msg.len < sizeof(canary) - 1 ||
                  memcmp(msg.payload, canary, sizeof(canary) - 1) != 0);
            uint32_t id;
            if (msg.type == XS_TRANSACTION_START && msg.len > 1 &&
                xids_xswire_decimal(&id, msg.payload, msg.len - 1, UINT32_MAX) == 0)
                e->tx[e->seen_tx++ % 4] = id;
            if (msg.type == XS_WATCH_EVENT) {
                CHECK(msg.len > 1 && msg.payload[msg.len - 1] == '\0');
                CHECK(msg.req_id == 0 && msg.tx_id == 0);
            } else if (e->in_order) {
                CHECK(msg.req_id == ++e->heard);
            }
        }
        CHECK(rc == 0 || guest);
        if (rc < 0)
            used = e->input_len; /* it has garbled its own indices */
        memmove(e->in, e->in + used, e->input_len - used);
        e->input_len -= used;
    }
}

static void fetch(struct endpoint *e, size_t most)
{
    const void *bytes;
    size_t len = e->conn != NULL ? xids_xs_server_output(e->conn, &bytes) : 0;
    if (len > most)
        len = most;
    if (len == 0)
        return;
    hear(e, bytes, len, false);
    xids_xs_server_sent(e->conn, len);
}

static void guest_fetch(struct guest *g, size_t most)
{
    uint8_t bytes[XENSTORE_RING_SIZE];
    int n = xids_bytering_read(&g->in, bytes, most < sizeof(bytes) ? (uint32_t)most : sizeof(bytes));
    if (n > 0)
        hear(&g->e, bytes, (size_t)n, true);
    (void)xids_bytering_publish(&g->in);
}

static struct xids_xs_conn *ring_of(const struct guest *g)
{
    return xids_xs_server_domain(server, (uint16_t)(g - guests + 1));
}

static void ring_event(struct guest *g)
{
    struct xids_xs_conn *conn = ring_of(g);
    if (conn != NULL)
        xids_xs_server_ring_event(conn);
}

static void guest_attach(struct guest *g)
{
    const struct xids_bytering_layout out = xids_bytering_xenstore_requests((void XIDS_PEER *)g->page);
    const struct xids_bytering_layout in = xids_bytering_xenstore_replies((void XIDS_PEER *)g->page);
    (void)!xids_bytering_attach(&g->out, &out, true);
    (void)!xids_bytering_attach(&g->in, &in, false);
    g->e.input_len = 0;
}

/* ---- requests ---- */

static const char *const paths[] = {
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "a",
    "a/b",
    "a/b/c",
    "/secret",
    "/shared",
    "/local/domain/1",
    "/local/domain/1/a",
    "/local/domain/2/a/b",
    "/a/@b",
    "//",
    "/shared/",
    "@releaseDomain",
    "@releaseDomain/1",
    "@introduceDomain",
};

static const char *const lists[] = {
    "n0",     "n1",         "n2",         "n0\0r1", "n0\0b2", "b0",
    "n1\0r2", "n2\0b1\0r1", "n0\0r32757", "n1\0r9", "x",      "n1\0r1\0r1\0r1\0r1\0r1",
};

static const size_t list_lens[] = {3, 3, 3, 6, 6, 3, 6, 9, 10, 6, 2, 18};

static const char *const quotas[] = {
    "nodes",        "watches",           "outstanding",      "memory",   "soft-memory",
    "transactions", "transaction-nodes", "node-permissions", "path-max", "node-size",
};

static const char *const commands[] = {"check", "help", "quota", "quota", "quota-soft", "memreport", "check", "help"};

static size_t text(char *to, const char *from)
{
    size_t len = strlen(from) + 1;
    memcpy(to, from, len);
    return len;
}

/* The payload for a request of this type, out of three bytes of input. Domain 0 leaves the secret node alone. */
static size_t payload_of(char *to, uint32_t type, const uint8_t in[3], bool guest)
{
    unsigned int count = sizeof(paths) / sizeof(paths[0]);
    const char *path = paths[in[0] % count];
    if (!guest && (strcmp(path, "/secret") == 0))
        path = "/a";
    size_t len = 0;
    switch (type) {
    case XS_INTRODUCE:
        return (size_t)sprintf(to, "%u%c%u%c%u", in[0] % 4u, 0, in[1], 0, in[2]) + 1;
    case XS_RELEASE:
    case XS_RESUME:
    case XS_IS_DOMAIN_INTRODUCED:
    case XS_GET_DOMAIN_PATH:
        return (size_t)sprintf(to, "%u", in[0] % 4u) + 1;
    case XS_SET_TARGET:
        return (size_t)sprintf(to, "%u%c%u", in[0] % 4u, 0, in[1] % 4u) + 1;
    case XS_TRANSACTION_END:
        return text(to, in[0] < 200 ? "T" : in[0] < 250 ? "F" : "?");
    case XS_TRANSACTION_START:
    case XS_RESET_WATCHES:
        return text(to, "");
    case XS_CONTROL:
        return text(to, commands[in[0] / 32u]) + (in[0] / 32u == 3 ? text(to + 6, "1") : 0);
    case XIDS_XS_GET_QUOTA:
        return (size_t)sprintf(to, "%u%c%s", in[0] % 4u, 0, quotas[in[1] % 10u]) + 1;
    case XIDS_XS_SET_QUOTA:
        return (size_t)sprintf(to, "%u%c%s%c%u", in[0] % 4u, 0, quotas[in[1] % 10u], 0,
                               (unsigned int)in[2] * in[2] / 16u) +
               1;
    case XIDS_XS_GET_FEATURE:
        return in[1] < 128 ? 0 : (size_t)sprintf(to, "%u", in[0] % 4u) + 1;
    case XIDS_XS_SET_FEATURE:
        return (size_t)sprintf(to, "%u%c%u", in[0] % 4u, 0, in[1] % 17u) + 1;
    default:
        break;
    }
    len = text(to, path);
    if (in[2] > 192 && len < 8 && len > 2) { /* a sibling, or a longer name */
        size_t more = in[2] > 250 ? 900 : 1;
        memset(to + len - 1, 'a' + in[2] % 8, more);
        len += more;
        to[len - 1] = '\0';
    }
    switch (type) {
    case XS_WRITE:
        memset(to + len, in[1], in[1] * 8u);
        len += in[1] * 8u;
        break;
    case XS_SET_PERMS:
        memcpy(to + len, lists[in[1] % 12u], list_lens[in[1] % 12u]);
        len += list_lens[in[1] % 12u];
        break;
    case XS_WATCH:
    case XS_UNWATCH:
        len += (size_t)sprintf(to + len, "%u", in[1] % 8u) + 1;
        if (type == XS_WATCH && in[1] > 200)
            len += (size_t)sprintf(to + len, "%u", in[1] % 3u) + 1;
        break;
    case XS_DIRECTORY_PART:
        len += (size_t)sprintf(to + len, "%u", in[1]) + 1;
        break;
    default:
        break;
    }
    return len;
}

static size_t request(uint8_t *out, struct endpoint *e, const uint8_t in[5], bool guest)
{
    static const uint8_t often[] = {XS_WRITE, XS_READ,  XS_DIRECTORY, XS_SET_PERMS, XS_TRANSACTION_START,
                                    XS_RM,    XS_MKDIR, XS_WATCH,     XS_GET_PERMS, XS_TRANSACTION_END};
    char payload[XIDS_XSWIRE_PAYLOAD_MAX];
    uint32_t type = in[0] < 160 ? often[in[0] % sizeof(often)] : in[0] % 27u;
    uint32_t tx = in[1] < 128 ? 0 : e->tx[in[1] % 4u];
    const struct xids_xswire_part part = {payload, payload_of(payload, type, in + 2, guest)};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, e->asked + 1, tx, &part, 1);
    CHECK(n > 0);
    return (size_t)n;
}

static void connect_socket(struct endpoint *e)
{
    e->asked = e->heard = 0;
    e->input_len = 0;
    e->in_order = true;
    e->conn = NULL;
    if (xids_xs_server_connect(server, &e->conn, NULL) < 0)
        e->conn = NULL;
}

static void close_socket(struct endpoint *e)
{
    if (e->conn != NULL)
        xids_xs_server_disconnect(e->conn);
    e->conn = NULL;
}

/* A socket that is not answered for long is read from no more; then it does not ask. */
static void socket_send(struct endpoint *e, const uint8_t *bytes, size_t len)
{
    size_t used;
    if (e->conn == NULL || !xids_xs_server_hungry(e->conn))
        return;
    e->asked++;
    if (xids_xs_server_input(e->conn, &used, bytes, len) < 0)
        close_socket(e);
    else
        CHECK(used == len);
}

static void raw_index(struct guest *g, const uint8_t *in)
{
    static const size_t at[] = {
        offsetof(struct xenstore_domain_interface, req_prod), offsetof(struct xenstore_domain_interface, req_cons),
        offsetof(struct xenstore_domain_interface, rsp_prod), offsetof(struct xenstore_domain_interface, rsp_cons)};
    uint32_t v;
    memcpy(&v, g->page + at[in[0] % 4u], sizeof(v));
    v = in[1] < 64 ? v + in[1] : in[1] < 128 ? v - in[1] : (uint32_t)in[1] << 24;
    memcpy(g->page + at[in[0] % 4u], &v, sizeof(v));
}

static void life(unsigned int what, struct guest *g)
{
    uint16_t domid = (uint16_t)(g - guests + 1);
    switch (what % 4) {
    case 0: /* it dies, and the host has seen it */
        g->exists = false;
        memory.fail_at = 0;
        xids_xs_server_release(server, domid);
        break;
    case 1:
        g->exists = true;
        break;
    case 2:
        xids_xs_server_shutdown(server, domid);
        break;
    default:
        guest_attach(g);
        break;
    }
}

static size_t step(const uint8_t *in, size_t len)
{
    uint8_t args[6] = {0}, out[XIDS_XSWIRE_MESSAGE_MAX];
    size_t n = len - 1 < sizeof(args) ? len - 1 : sizeof(args);
    memcpy(args, in + 1, n);
    unsigned int who = in[0] & 3u;
    struct guest *g = &guests[who % GUESTS];
    if (in[0] < 200) {
        if (who < SOCKETS) {
            if (sockets[who].conn == NULL)
                connect_socket(&sockets[who]);
            size_t size = request(out, &sockets[who], args, false);
            socket_send(&sockets[who], out, size);
        } else {
            size_t size = request(out, &g->e, args, true);
            int sent = xids_bytering_write(&g->out, out, (uint32_t)size);
            g->e.asked += sent > 0;
            (void)xids_bytering_publish(&g->out);
            ring_event(g);
        }
        return 6;
    }
    switch (in[0] >> 2) {
    case 50:
    case 51:
        if (who < SOCKETS)
            fetch(&sockets[who], args[0] < 200 ? SIZE_MAX : args[0]);
        else
            guest_fetch(g, args[0] < 200 ? SIZE_MAX : args[0]);
        ring_event(g);
        return 2;
    case 52:
        life(args[0], g);
        return 2;
    case 53:
        raw_index(g, args);
        ring_event(g);
        return 3;
    case 54:
        (void)!xids_bytering_write(&g->out, args, (uint32_t)n);
        (void)xids_bytering_publish(&g->out);
        ring_event(g);
        return 1 + n;
    case 55:
        memory.fail_at = memory.calls + 1u + args[0] % 16u;
        memory.fail_after = args[0] > 200;
        return 2;
    case 56:
        memory.fail_at = 0;
        return 1;
    case 57:
        close_socket(&sockets[who % SOCKETS]);
        return 1;
    case 58:
        secret_kept = false;
        if (sockets[who % SOCKETS].conn != NULL) {
            size_t used;
            sockets[who % SOCKETS].in_order = false;
            if (xids_xs_server_input(sockets[who % SOCKETS].conn, &used, args, n) < 0)
                close_socket(&sockets[who % SOCKETS]);
        }
        return 1 + n;
    default:
        (void)xids_xs_server_idle(server, args[0]);
        (void)xids_xs_server_ready(server);
        return 2;
    }
}

static void check(void)
{
    struct xids_store *store = xids_xs_server_store(server);
    const char *broken = xids_store_check(store);
    if (broken != NULL)
        fprintf(stderr, "the tree has %s\n", broken);
    CHECK(broken == NULL);
    CHECK(memory.bytes < BYTES_MAX);
}

/* With all work done, the dead own nothing. */
static void check_the_dead(void)
{
    memory.fail_at = 0;
    for (int i = 0; i < 10000 && xids_xs_server_idle(server, 1000); i++) {
    }
    for (uint16_t d = 1; d <= GUESTS; d++)
        CHECK(guests[d - 1].exists || xids_store_owned(xids_xs_server_store(server), d) == 0);
}

static void prepare(void)
{
    const struct xids_xs_host host = {
        .introduce = introduce, .rebind = rebind, .release = release, .notify = notify, .exists = exists};
    const struct xids_xs_server_config config = {
        .alloc = counting_alloc(&memory), .seed = "the same always", .host = &host};
    memory = (struct counting_alloc){0};
    secret_kept = true;
    memset(sockets, 0, sizeof(sockets));
    memset(guests, 0, sizeof(guests));
    CHECK(xids_xs_server_new(&server, &config) == 0);
    for (unsigned int i = 0; i < SOCKETS; i++) {
        sockets[i].in = received[i];
        connect_socket(&sockets[i]);
    }
    uint8_t out[256];
    char payload[64];
    size_t len = text(payload, "/secret");
    memcpy(payload + len, canary, sizeof(canary) - 1);
    const struct xids_xswire_part secret = {payload, len + sizeof(canary) - 1};
    socket_send(&sockets[0], out, (size_t)xids_xswire_build(out, sizeof(out), XS_WRITE, 1, 0, &secret, 1));
    for (unsigned int i = 0; i < GUESTS; i++) {
        guests[i].e.in = received[SOCKETS + i];
        guests[i].exists = true;
        const struct xids_xswire_part arg = {payload, (size_t)sprintf(payload, "%u%c0%c7", i + 1, 0, 0) + 1};
        socket_send(&sockets[0], out, (size_t)xids_xswire_build(out, sizeof(out), XS_INTRODUCE, 2 + i, 0, &arg, 1));
        guest_attach(&guests[i]);
    }
    fetch(&sockets[0], SIZE_MAX);
    CHECK(sockets[0].heard == 1 + GUESTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    for (size_t i = 0, steps = 0; i < size; steps++) {
        i += step(data + i, size - i);
        if (steps % 16 == 0)
            check();
        if (steps % 64 == 63)
            check_the_dead();
    }
    check_the_dead();
    check();
    xids_xs_server_free(server);
    CHECK(memory.blocks == 0 && memory.bytes == 0);
    return 0;
}
