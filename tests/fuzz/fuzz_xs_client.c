/* SPDX-License-Identifier: ISC */
/*
 * The xenstore client's engine with a user and a store that both do what the input says. Each byte is a step: a call,
 * a valid reply to some request, or raw bytes from the store. It is checked that every request completes exactly once
 * and every transaction is done exactly once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/xs_client.h>

#define REQUESTS 256
#define CHECK(what)                         \
    do {                                    \
        if (!(what)) {                      \
            fprintf(stderr, "%s\n", #what); \
            abort();                        \
        }                                   \
    } while (0)

static struct xids_xs_client *client;
static int completed[REQUESTS], asked[REQUESTS];
static unsigned int next_request;
static int begun, finished;
static struct xids_xs_tx *open_tx[8];
static uint32_t watch_ids[8];
static uint32_t last_req_ids[4], last_types[4];
static unsigned int seen;

static void on_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    const char *p = payload;
    int *slot = ctx;
    ++*slot;
    CHECK(rc <= 0 && (rc == 0 || len == 0) && len <= XIDS_XSWIRE_PAYLOAD_MAX);
    for (uint32_t i = 0; i < len; i++)
        (void)*(const volatile char *)&p[i];
}

static void on_watch(void *ctx, int what, const char *path)
{
    uint32_t *id = ctx;
    CHECK(strlen(path) <= XIDS_XSWIRE_PAYLOAD_MAX);
    if (what < 0)
        *id = 0;
    else if (path[0] == 'u' && *id != 0) {
        CHECK(xids_xs_client_unwatch(client, *id) == 0);
        *id = 0;
    }
}

static void tx_body(void *ctx, struct xids_xs_tx *tx)
{
    struct xids_xs_tx **slot = ctx;
    *slot = tx;
}

static void tx_done(void *ctx, int rc)
{
    struct xids_xs_tx **slot = ctx;
    CHECK(rc <= 0);
    *slot = NULL;
    finished++;
}

/* Sends what is queued, remembering the last requests. */
static void drain(void)
{
    const uint8_t *span;
    size_t len;
    while ((len = xids_xs_client_output(client, &span)) > 0) {
        struct xids_xswire_msg msg;
        int n = xids_xswire_peek(&msg, span, len);
        CHECK(n > 0 && msg.len > 0);
        last_req_ids[seen % 4] = msg.req_id;
        last_types[seen++ % 4] = msg.type;
        xids_xs_client_sent(client, (size_t)n);
    }
}

static void feed(uint32_t type, uint32_t req_id, const void *data, size_t len)
{
    uint8_t out[XIDS_XSWIRE_HEADER + 256];
    struct xids_xswire_part part = {data, len};
    int n = xids_xswire_build(out, sizeof(out), type, req_id, 0, &part, 1);
    if (n > 0)
        (void)!xids_xs_client_input(client, out, (size_t)n);
}

static void user_step(uint8_t what, uint8_t which)
{
    if (what == 0 && next_request < REQUESTS) {
        uint32_t tx = open_tx[which % 8] != NULL ? xids_xs_tx_id(open_tx[which % 8]) : 0;
        if (xids_xs_client_read(client, tx, "/path", on_reply, &completed[next_request]) == 0)
            asked[next_request++] = 1;
    } else if (what == 1) {
        uint32_t *id = &watch_ids[which % 8];
        if (*id == 0 && xids_xs_client_watch(client, id, "/watched", on_watch, id) < 0)
            *id = 0;
    } else if (what == 2 && watch_ids[which % 8] != 0) {
        CHECK(xids_xs_client_unwatch(client, watch_ids[which % 8]) == 0);
        watch_ids[which % 8] = 0;
    } else if (what == 3) {
        if (open_tx[which % 8] == NULL && begun - finished == 0 &&
            xids_xs_client_transaction(client, 1u + which % 3u, tx_body, tx_done, &open_tx[which % 8]) == 0)
            begun++;
    } else if (open_tx[which % 8] != NULL) {
        struct xids_xs_tx *tx = open_tx[which % 8];
        open_tx[which % 8] = NULL;
        if (what == 4)
            xids_xs_tx_commit(tx);
        else
            xids_xs_tx_abort(tx, which > 128 ? -XEN_EAGAIN : -XEN_EPERM);
    }
}

static size_t store_step(uint8_t what, const uint8_t *rest, size_t len)
{
    size_t n = len < 24 ? len : 24;
    uint32_t at = len > 0 ? rest[0] % 4u : 0;
    switch (what) {
    case 0:
        (void)!xids_xs_client_input(client, rest, n);
        return n;
    case 1:
        feed(last_types[at], last_req_ids[at], "1", 2);
        return n > 0;
    case 2:
        feed(XS_ERROR, last_req_ids[at], len > 1 && rest[1] > 128 ? "EAGAIN" : "ENOENT", 7);
        return n > 0;
    case 3: {
        char text[40];
        int t = snprintf(text, sizeof(text), "%s%c%u", at == 0 ? "u" : "/watched", 0, (unsigned int)watch_ids[at]);
        feed(XS_WATCH_EVENT, 0, text, (size_t)t + 1);
        return n > 0;
    }
    case 4:
        feed(last_types[at], last_req_ids[at], rest, n);
        return n;
    case 5:
        xids_xs_client_reset(client);
        return 0;
    case 6:
        xids_xs_client_fail(client, -XEN_EIO, "fuzz");
        return 0;
    default:
        drain();
        return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct xids_xs_client_limits limits = {.requests = 6, .watches = 6, .transactions = 2};
    size_t need = xids_xs_client_size(&limits);
    void *mem = malloc(need);
    CHECK(xids_xs_client_init(&client, mem, need, &limits) == 0);
    memset(completed, 0, sizeof(completed));
    memset(asked, 0, sizeof(asked));
    memset(open_tx, 0, sizeof(open_tx));
    memset(watch_ids, 0, sizeof(watch_ids));
    next_request = 0;
    begun = finished = 0;
    uint64_t now = 0;
    xids_xs_client_timeout(client, 1000);
    for (size_t i = 0; i < size;) {
        uint8_t step = data[i++];
        if (step < 96) {
            user_step(step % 6, i < size ? data[i] : 0);
            i++;
        } else if (step < 104) {
            now += (uint64_t)step * 5;
            xids_xs_client_tick(client, now);
        } else {
            i += store_step(step % 8, i < size ? data + i : data, i < size ? size - i : 0);
        }
        CHECK(xids_xs_client_outstanding(client) <= 6);
        for (unsigned int r = 0; r < next_request; r++)
            CHECK(completed[r] <= asked[r]);
    }
    xids_xs_client_fini(client);
    for (unsigned int r = 0; r < next_request; r++)
        CHECK(completed[r] == asked[r]);
    CHECK(begun == finished);
    free(mem);
    return 0;
}
