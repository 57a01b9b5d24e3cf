/* SPDX-License-Identifier: ISC */
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/xswire.h>

#include "sim/mux.h"

/* An allocator that counts, and fails its n-th call. */
static size_t held;
static int fail_at;

static void *heap_get(void *ctx, size_t size)
{
    (void)ctx;
    if (fail_at > 0 && --fail_at == 0)
        return NULL;
    held += size;
    return malloc(size);
}

static void heap_put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    held -= size;
    free(mem);
}

static const struct xids_alloc heap = {heap_get, heap_put, NULL};

static struct xids_mux *m;
static char name_a[] = "a", name_b[] = "b";
static struct xids_mux_client *a, *b;

static void setup(void)
{
    held = 0;
    fail_at = 0;
    m = xids_mux_new(&heap);
    ck_assert_ptr_nonnull(m);
    a = xids_mux_client_new(m, name_a);
    b = xids_mux_client_new(m, name_b);
    ck_assert(a != NULL && b != NULL);
}

static void teardown(void)
{
    xids_mux_free(m);
    ck_assert_uint_eq(held, 0);
}

/* ---- both ends of the multiplexer; payloads are C strings whose '|' stand for NULs ---- */

static size_t spell(char *out, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        out[i] = text[i] == '|' ? '\0' : text[i];
    return len;
}

static size_t message(uint8_t *out, uint32_t type, uint32_t req_id, uint32_t tx_id, const char *text)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX];
    struct xids_xswire_part part = {payload, spell(payload, text)};
    int len = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, req_id, tx_id, &part, 1);
    ck_assert_int_gt(len, 0);
    return (size_t)len;
}

static int offer(struct xids_mux_client *c, uint32_t type, uint32_t req_id, uint32_t tx_id, const char *text)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    size_t len = message(bytes, type, req_id, tx_id, text);
    int taken = xids_mux_client_input(c, bytes, len);
    ck_assert_int_le(taken, (int)len);
    return taken;
}

static void ask(struct xids_mux_client *c, uint32_t type, uint32_t req_id, uint32_t tx_id, const char *text)
{
    ck_assert_int_gt(offer(c, type, req_id, tx_id, text), 0);
}

struct got {
    uint32_t type, req_id, tx_id;
    char text[XIDS_XSWIRE_PAYLOAD_MAX + 1];
};

static bool take(struct got *g, size_t len, const uint8_t *bytes, size_t *whole)
{
    struct xids_xswire_msg msg;
    int n = xids_xswire_peek(&msg, bytes, len);
    ck_assert_int_ge(n, 0);
    if (n == 0)
        return false;
    *g = (struct got){.type = msg.type, .req_id = msg.req_id, .tx_id = msg.tx_id};
    for (uint32_t i = 0; i < msg.len; i++)
        g->text[i] = msg.payload[i] == '\0' ? '|' : msg.payload[i];
    *whole = (size_t)n;
    return true;
}

static bool sent_to_store(struct got *g)
{
    const uint8_t *bytes;
    size_t whole, len = xids_mux_store_output(m, &bytes);
    if (!take(g, len, bytes, &whole))
        return false;
    xids_mux_store_sent(m, whole);
    return true;
}

static bool sent_to(struct xids_mux_client *c, struct got *g)
{
    const uint8_t *bytes;
    size_t whole, len = xids_mux_client_output(c, &bytes);
    if (!take(g, len, bytes, &whole))
        return false;
    xids_mux_client_sent(c, whole);
    return true;
}

static void reply(uint32_t type, uint32_t req_id, uint32_t tx_id, const char *text)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    size_t len = message(bytes, type, req_id, tx_id, text);
    ck_assert_int_eq(xids_mux_store_input(m, bytes, len), 0);
}

/* The next request at the store, answered. */
static struct got answered(uint32_t type, const char *text)
{
    struct got g;
    ck_assert(sent_to_store(&g));
    reply(type, g.req_id, g.tx_id, text);
    return g;
}

static void expect(struct xids_mux_client *c, uint32_t type, uint32_t req_id, const char *text)
{
    struct got g;
    ck_assert(sent_to(c, &g));
    ck_assert_uint_eq(g.type, type);
    ck_assert_uint_eq(g.req_id, req_id);
    ck_assert_str_eq(g.text, text);
}

static void expect_nothing(struct xids_mux_client *c)
{
    struct got g;
    ck_assert(!sent_to(c, &g));
}

static void expect_store(uint32_t type, uint32_t tx_id, const char *text)
{
    struct got g;
    ck_assert(sent_to_store(&g));
    ck_assert_uint_eq(g.type, type);
    ck_assert_uint_eq(g.tx_id, tx_id);
    if (text != NULL)
        ck_assert_str_eq(g.text, text);
}

static void expect_store_idle(void)
{
    const uint8_t *bytes;
    ck_assert_uint_eq(xids_mux_store_output(m, &bytes), 0);
}

static struct xids_mux_counts counts(void)
{
    struct xids_mux_counts n;
    xids_mux_counts(m, &n);
    return n;
}

/* ---- requests ---- */

START_TEST(a_reply_comes_back_with_the_clients_own_request_id)
{
    ask(a, XS_READ, 77, 0, "name|");
    struct got g = answered(XS_READ, "value");
    ck_assert_str_eq(g.text, "name|");
    expect(a, XS_READ, 77, "value");
    ck_assert_uint_eq(counts().requests, 0);
}
END_TEST

START_TEST(two_clients_may_use_the_same_request_id_at_once)
{
    struct got first, second;
    ask(a, XS_READ, 0, 0, "x|");
    ask(b, XS_READ, 0, 0, "y|");
    ck_assert(sent_to_store(&first) && sent_to_store(&second));
    ck_assert_uint_ne(first.req_id, second.req_id);
    reply(XS_READ, second.req_id, 0, "of b");
    reply(XS_READ, first.req_id, 0, "of a");
    expect(a, XS_READ, 0, "of a");
    expect(b, XS_READ, 0, "of b");
    expect_nothing(a);
    expect_nothing(b);
}
END_TEST

START_TEST(an_error_of_the_store_is_handed_on)
{
    ask(a, XS_READ, 5, 0, "none|");
    answered(XS_ERROR, "ENOENT|");
    expect(a, XS_ERROR, 5, "ENOENT|");
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    struct got g;
    size_t len = message(bytes, XS_WRITE, 9, 0, "node|value");
    for (size_t i = 0; i < len; i++) {
        ck_assert(!sent_to_store(&g));
        ck_assert_int_eq(xids_mux_client_input(a, bytes + i, 1), 1);
    }
    expect_store(XS_WRITE, 0, "node|value");
}
END_TEST

START_TEST(a_reply_may_come_byte_by_byte)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    struct got g;
    ask(a, XS_READ, 9, 0, "x|");
    ck_assert(sent_to_store(&g));
    size_t len = message(bytes, XS_READ, g.req_id, 0, "slow");
    for (size_t i = 0; i < len; i++) {
        expect_nothing(a);
        ck_assert_int_eq(xids_mux_store_input(m, bytes + i, 1), 0);
    }
    expect(a, XS_READ, 9, "slow");
}
END_TEST

START_TEST(the_largest_payload_passes_both_ways)
{
    char text[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    memset(text, 'v', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ask(a, XS_READ, 1, 0, text);
    struct got g = answered(XS_READ, text);
    ck_assert_str_eq(g.text, text);
    expect(a, XS_READ, 1, text);
}
END_TEST

START_TEST(a_header_beyond_the_limit_cuts_the_client_off)
{
    struct xsd_sockmsg header = {XS_READ, 0, 0, XIDS_XSWIRE_PAYLOAD_MAX + 1};
    ck_assert_int_eq(xids_mux_client_input(a, &header, sizeof(header)), -XEN_EBADMSG);
    ask(b, XS_READ, 1, 0, "x|");
    answered(XS_READ, "fine");
    expect(b, XS_READ, 1, "fine");
}
END_TEST

START_TEST(a_client_has_a_bounded_number_of_requests_in_flight)
{
    for (unsigned int i = 0; i < XIDS_MUX_REQUESTS_MAX; i++)
        ask(a, XS_READ, i, 0, "x|");
    ck_assert_int_eq(offer(a, XS_READ, 99, 0, "x|"), 0);
    ask(b, XS_READ, 1, 0, "y|"); /* the other is not held up */
    answered(XS_READ, "v");
    ck_assert_int_gt(offer(a, XS_READ, 99, 0, "x|"), 0);
}
END_TEST

START_TEST(a_client_that_goes_leaves_no_reply_to_anyone)
{
    struct got g;
    ask(a, XS_READ, 3, 0, "x|");
    ck_assert(sent_to_store(&g));
    xids_mux_client_gone(a);
    reply(XS_READ, g.req_id, 0, "late");
    expect_nothing(b);
    ck_assert_uint_eq(counts().requests, 0);
}
END_TEST

START_TEST(half_a_request_goes_with_its_client)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    size_t len = message(bytes, XS_READ, 3, 0, "x|");
    ck_assert_int_eq(xids_mux_client_input(a, bytes, len - 1), (int)len - 1);
    xids_mux_client_gone(a);
    expect_store_idle();
}
END_TEST

/* ---- transactions ---- */

static void begin(struct xids_mux_client *c, const char *id)
{
    ask(c, XS_TRANSACTION_START, 1, 0, "|");
    answered(XS_TRANSACTION_START, id);
    struct got g;
    ck_assert(sent_to(c, &g));
}

START_TEST(a_transaction_is_its_clients_alone)
{
    begin(a, "12|");
    ask(a, XS_READ, 2, 12, "x|");
    expect_store(XS_READ, 12, "x|");
    ask(b, XS_READ, 2, 12, "x|");
    expect(b, XS_ERROR, 2, "ENOENT|");
    expect_store_idle();
}
END_TEST

START_TEST(nobody_may_end_a_transaction_of_another)
{
    begin(a, "12|");
    ask(b, XS_TRANSACTION_END, 4, 12, "T|");
    expect(b, XS_ERROR, 4, "ENOENT|");
    expect_store_idle();
}
END_TEST

static const struct {
    uint32_t type;
    const char *text;
    unsigned int left;
} ends[] = {
    {XS_TRANSACTION_END, "OK|", 0},
    {XS_ERROR, "EAGAIN|", 0},
    {XS_ERROR, "ENOENT|", 0},
    {XS_ERROR, "EINVAL|", 1}, /* malformed: it is still there */
};

START_TEST(the_answer_to_its_end_decides_whether_a_transaction_lives)
{
    begin(a, "12|");
    ask(a, XS_TRANSACTION_END, 4, 12, "T|");
    answered(ends[_i].type, ends[_i].text);
    expect(a, ends[_i].type, 4, ends[_i].text);
    ck_assert_uint_eq(counts().transactions, ends[_i].left);
}
END_TEST

START_TEST(transactions_of_a_client_that_goes_are_aborted)
{
    begin(a, "12|");
    begin(a, "13|");
    begin(b, "14|");
    xids_mux_client_gone(a);
    expect_store(XS_TRANSACTION_END, 13, "F|");
    expect_store(XS_TRANSACTION_END, 12, "F|");
    expect_store_idle();
    ck_assert_uint_eq(counts().transactions, 1);
}
END_TEST

START_TEST(a_transaction_that_begins_after_its_client_went_is_aborted)
{
    struct got g;
    ask(a, XS_TRANSACTION_START, 1, 0, "|");
    ck_assert(sent_to_store(&g));
    xids_mux_client_gone(a);
    reply(XS_TRANSACTION_START, g.req_id, 0, "31|");
    expect_store(XS_TRANSACTION_END, 31, "F|");
}
END_TEST

START_TEST(a_refused_transaction_leaves_nothing)
{
    ask(a, XS_TRANSACTION_START, 1, 0, "|");
    answered(XS_ERROR, "ENOSPC|");
    expect(a, XS_ERROR, 1, "ENOSPC|");
    ck_assert_uint_eq(counts().transactions, 0);
}
END_TEST

START_TEST(a_transaction_id_that_is_no_number_is_not_taken_up)
{
    ask(a, XS_TRANSACTION_START, 1, 0, "|");
    answered(XS_TRANSACTION_START, "zebra|");
    ck_assert_uint_eq(counts().transactions, 0);
}
END_TEST

/* ---- watches ---- */

/* Registers a watch; returns the token that the store sees. */
static void watch(struct xids_mux_client *c, const char *text, char token[64])
{
    ask(c, XS_WATCH, 8, 0, text);
    struct got g = answered(XS_WATCH, "OK|");
    const char *at = strchr(g.text, '|') + 1;
    size_t len = strcspn(at, "|");
    ck_assert_uint_lt(len, 64);
    memcpy(token, at, len);
    token[len] = '\0';
    expect(c, XS_WATCH, 8, "OK|");
}

static void fire(const char *path, const char *token)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "%s|%s|", path, token);
    reply(XS_WATCH_EVENT, 0, 0, text);
}

START_TEST(an_event_reaches_its_watcher_with_its_own_token)
{
    char token[64];
    watch(a, "data|mine|", token);
    fire("data/x", token);
    expect(a, XS_WATCH_EVENT, 0, "data/x|mine|");
    expect_nothing(b);
}
END_TEST

START_TEST(the_same_watch_of_two_clients_is_two_watches)
{
    char first[64], second[64];
    watch(a, "data|t|", first);
    watch(b, "data|t|", second);
    ck_assert_str_ne(first, second);
    fire("data", first);
    expect(a, XS_WATCH_EVENT, 0, "data|t|");
    expect_nothing(b);
    fire("data", second);
    expect(b, XS_WATCH_EVENT, 0, "data|t|");
    expect_nothing(a);
}
END_TEST

START_TEST(a_watch_twice_is_refused)
{
    char token[64];
    watch(a, "data|t|", token);
    ask(a, XS_WATCH, 9, 0, "data|t|");
    expect(a, XS_ERROR, 9, "EEXIST|");
    expect_store_idle();
}
END_TEST

START_TEST(an_empty_token_is_a_token)
{
    char token[64];
    watch(a, "data||", token);
    fire("data", token);
    expect(a, XS_WATCH_EVENT, 0, "data||");
}
END_TEST

START_TEST(the_depth_of_a_watch_is_handed_on)
{
    ask(a, XS_WATCH, 9, 0, "data|t|1|");
    struct got g;
    ck_assert(sent_to_store(&g));
    size_t len = strlen(g.text);
    ck_assert_uint_gt(len, 3);
    ck_assert_str_eq(g.text + len - 3, "|1|");
}
END_TEST

START_TEST(a_watch_that_the_store_refuses_is_forgotten)
{
    ask(a, XS_WATCH, 9, 0, "data|t|");
    answered(XS_ERROR, "ENOSPC|");
    expect(a, XS_ERROR, 9, "ENOSPC|");
    ck_assert_uint_eq(counts().watches, 0);
    char token[64];
    watch(a, "data|t|", token);
}
END_TEST

START_TEST(unwatch_uses_the_stores_token)
{
    char token[64], expected[128];
    watch(a, "data|t|", token);
    ask(a, XS_UNWATCH, 10, 0, "data|t|");
    struct got g = answered(XS_UNWATCH, "OK|");
    (void)snprintf(expected, sizeof(expected), "data|%s|", token);
    ck_assert_str_eq(g.text, expected);
    expect(a, XS_UNWATCH, 10, "OK|");
    ck_assert_uint_eq(counts().watches, 0);
}
END_TEST

static const char *const strange[] = {"data|u|", "date|t|", "dat|t|", "data|tt|"};

START_TEST(unwatch_of_what_is_not_watched_is_refused)
{
    char token[64];
    watch(a, "data|t|", token);
    ask(a, XS_UNWATCH, 10, 0, strange[_i]);
    expect(a, XS_ERROR, 10, "ENOENT|");
    ask(b, XS_UNWATCH, 11, 0, "data|t|");
    expect(b, XS_ERROR, 11, "ENOENT|");
    expect_store_idle();
}
END_TEST

START_TEST(a_watch_may_be_renewed_while_it_is_being_removed)
{
    char token[64];
    struct got g;
    watch(a, "data|t|", token);
    ask(a, XS_UNWATCH, 10, 0, "data|t|");
    ask(a, XS_WATCH, 11, 0, "data|t|");
    answered(XS_UNWATCH, "OK|");
    g = answered(XS_WATCH, "OK|");
    ck_assert_ptr_null(strstr(g.text, token));
    expect(a, XS_UNWATCH, 10, "OK|");
    expect(a, XS_WATCH, 11, "OK|");
    ck_assert_uint_eq(counts().watches, 1);
}
END_TEST

static const char *const broken_watches[] = {"", "|", "data", "data|", "data|t"};

START_TEST(a_malformed_watch_is_refused)
{
    ask(a, XS_WATCH, 10, 0, broken_watches[_i]);
    expect(a, XS_ERROR, 10, "EINVAL|");
    ask(a, XS_UNWATCH, 11, 0, broken_watches[_i]);
    expect(a, XS_ERROR, 11, "EINVAL|");
    expect_store_idle();
}
END_TEST

START_TEST(watches_of_a_client_that_goes_are_removed)
{
    char token[64], other[64], expected[128];
    watch(a, "data|t|", token);
    watch(b, "data|t|", other);
    xids_mux_client_gone(a);
    (void)snprintf(expected, sizeof(expected), "data|%s|", token);
    expect_store(XS_UNWATCH, 0, expected);
    expect_store_idle();
    ck_assert_uint_eq(counts().watches, 1);
    fire("data", token); /* on its way already: for nobody */
    expect_nothing(b);
}
END_TEST

START_TEST(a_watch_under_way_when_its_client_goes_is_removed_too)
{
    struct got g;
    ask(a, XS_WATCH, 8, 0, "data|t|");
    ck_assert(sent_to_store(&g));
    xids_mux_client_gone(a);
    expect_store(XS_UNWATCH, 0, g.text);
    reply(XS_WATCH, g.req_id, 0, "OK|");
}
END_TEST

static const char *const strange_tokens[] = {"", "1", "1.", ".1", "1.99", "99.0", "1.0.0", "4294967296.0", "x.y"};

START_TEST(an_event_with_a_token_of_nobodys_is_dropped)
{
    char token[64];
    watch(a, "data|t|", token);
    fire("data", strange_tokens[_i]);
    if (strcmp(token, strange_tokens[_i]) != 0)
        expect_nothing(a);
    expect_nothing(b);
}
END_TEST

START_TEST(an_event_without_a_token_is_dropped)
{
    reply(XS_WATCH_EVENT, 0, 0, "data|");
    reply(XS_WATCH_EVENT, 0, 0, "");
    expect_nothing(a);
}
END_TEST

START_TEST(reset_watches_touches_its_callers_own_alone)
{
    char first[64], second[64], other[64];
    watch(a, "x|t|", first);
    watch(a, "y|t|", second);
    watch(b, "x|t|", other);
    begin(a, "5|");
    ask(a, XS_RESET_WATCHES, 20, 0, "|");
    expect(a, XS_RESET_WATCHES, 20, "OK|");
    expect_store(XS_UNWATCH, 0, NULL);
    expect_store(XS_UNWATCH, 0, NULL);
    expect_store(XS_TRANSACTION_END, 5, "F|");
    expect_store_idle();
    ck_assert_uint_eq(counts().watches, 1);
}
END_TEST

START_TEST(a_client_that_does_not_read_is_cut_off)
{
    char token[64], path[3001];
    watch(a, "data|t|", token);
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    char text[3100];
    (void)snprintf(text, sizeof(text), "%s|%s|", path, token);
    size_t len = message(bytes, XS_WATCH_EVENT, 0, 0, text);
    for (unsigned int i = 0; i <= XIDS_MUX_QUEUE_MAX / 3000; i++)
        ck_assert_int_eq(xids_mux_store_input(m, bytes, len), 0);
    ck_assert(xids_mux_client_failed(a));
    ck_assert(!xids_mux_client_failed(b));
    const uint8_t *waiting;
    ck_assert_uint_le(xids_mux_client_output(a, &waiting), XIDS_MUX_QUEUE_MAX);
}
END_TEST

START_TEST(an_event_that_the_clients_token_makes_too_long_is_dropped)
{
    char text[300], token[64], path[4080];
    memset(text, 't', sizeof(text) - 1);
    memcpy(text, "data|", 5);
    text[sizeof(text) - 2] = '|';
    text[sizeof(text) - 1] = '\0';
    watch(a, text, token);
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_part parts[2] = {{path, sizeof(path)}, xids_xswire_string(token)};
    int len = xids_xswire_build(bytes, sizeof(bytes), XS_WATCH_EVENT, 0, 0, parts, 2);
    ck_assert_int_gt(len, 0);
    ck_assert_int_eq(xids_mux_store_input(m, bytes, (size_t)len), 0);
    expect_nothing(a);
    ck_assert(!xids_mux_client_failed(a));
}
END_TEST

/* ---- a store that breaks the protocol ---- */

static void refused(uint32_t type, uint32_t req_id)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    size_t len = message(bytes, type, req_id, 0, "v");
    ck_assert_int_eq(xids_mux_store_input(m, bytes, len), -XEN_EBADMSG);
    ck_assert_int_eq(xids_mux_store_input(m, "", 0), -XEN_EBADMSG);
    expect_nothing(a);
}

START_TEST(a_reply_to_nothing_breaks_the_connection)
{
    refused(XS_READ, 1);
}
END_TEST

START_TEST(a_reply_of_another_type_breaks_the_connection)
{
    struct got g;
    ask(a, XS_READ, 1, 0, "x|");
    ck_assert(sent_to_store(&g));
    refused(XS_WRITE, g.req_id);
}
END_TEST

START_TEST(a_second_reply_breaks_the_connection)
{
    ask(a, XS_READ, 1, 0, "x|");
    struct got g = answered(XS_READ, "v");
    expect(a, XS_READ, 1, "v");
    refused(XS_READ, g.req_id);
}
END_TEST

START_TEST(an_over_long_reply_breaks_the_connection)
{
    struct xsd_sockmsg header = {XS_READ, 1, 0, 5000};
    ck_assert_int_eq(xids_mux_store_input(m, &header, sizeof(header)), -XEN_EBADMSG);
}
END_TEST

/* ---- memory that runs out ---- */

START_TEST(a_failed_allocation_harms_only_its_client)
{
    char token[64];
    watch(b, "x|t|", token);
    fail_at = _i;
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    size_t len = message(bytes, XS_WATCH, 1, 0, "data|t|");
    if (xids_mux_client_input(a, bytes, len) < 0 || xids_mux_client_failed(a)) {
        fail_at = 0;
        xids_mux_client_gone(a);
        a = NULL;
    }
    fail_at = 0;
    struct got g;
    while (sent_to_store(&g))
        reply(g.type, g.req_id, g.tx_id, "OK|");
    fire("x", token);
    expect(b, XS_WATCH_EVENT, 0, "x|t|");
}
END_TEST

START_TEST(a_clean_up_that_cannot_be_queued_is_reported)
{
    char token[64];
    watch(a, "x|t|", token);
    fail_at = 1;
    xids_mux_client_gone(a);
    ck_assert_int_eq(xids_mux_store_input(m, "", 0), -XEN_ENOMEM);
}
END_TEST

START_TEST(new_clients_and_multiplexers_report_that_memory_ran_out)
{
    fail_at = 1;
    ck_assert_ptr_null(xids_mux_client_new(m, NULL));
    fail_at = 1;
    ck_assert_ptr_null(xids_mux_new(&heap));
}
END_TEST

static void remove_it(void *ctx, struct xids_mux_client *c)
{
    strcat(ctx, xids_mux_client_owner(c));
    xids_mux_client_gone(c);
}

START_TEST(every_client_is_visited_and_may_be_removed)
{
    char seen[8] = "";
    xids_mux_each(m, remove_it, seen);
    ck_assert_uint_eq(strlen(seen), 2);
    ck_assert_uint_eq(counts().clients, 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xenbus_mux");
    TCase *t = tcase_create("requests");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_reply_comes_back_with_the_clients_own_request_id);
    tcase_add_test(t, two_clients_may_use_the_same_request_id_at_once);
    tcase_add_test(t, an_error_of_the_store_is_handed_on);
    tcase_add_test(t, a_request_may_come_byte_by_byte);
    tcase_add_test(t, a_reply_may_come_byte_by_byte);
    tcase_add_test(t, the_largest_payload_passes_both_ways);
    tcase_add_test(t, a_header_beyond_the_limit_cuts_the_client_off);
    tcase_add_test(t, a_client_has_a_bounded_number_of_requests_in_flight);
    tcase_add_test(t, a_client_that_goes_leaves_no_reply_to_anyone);
    tcase_add_test(t, half_a_request_goes_with_its_client);
    suite_add_tcase(s, t);
    t = tcase_create("transactions");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_transaction_is_its_clients_alone);
    tcase_add_test(t, nobody_may_end_a_transaction_of_another);
    tcase_add_loop_test(t, the_answer_to_its_end_decides_whether_a_transaction_lives, 0, 4);
    tcase_add_test(t, transactions_of_a_client_that_goes_are_aborted);
    tcase_add_test(t, a_transaction_that_begins_after_its_client_went_is_aborted);
    tcase_add_test(t, a_refused_transaction_leaves_nothing);
    tcase_add_test(t, a_transaction_id_that_is_no_number_is_not_taken_up);
    suite_add_tcase(s, t);
    t = tcase_create("watches");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_event_reaches_its_watcher_with_its_own_token);
    tcase_add_test(t, the_same_watch_of_two_clients_is_two_watches);
    tcase_add_test(t, a_watch_twice_is_refused);
    tcase_add_test(t, an_empty_token_is_a_token);
    tcase_add_test(t, the_depth_of_a_watch_is_handed_on);
    tcase_add_test(t, a_watch_that_the_store_refuses_is_forgotten);
    tcase_add_test(t, unwatch_uses_the_stores_token);
    tcase_add_loop_test(t, unwatch_of_what_is_not_watched_is_refused, 0, 4);
    tcase_add_test(t, a_watch_may_be_renewed_while_it_is_being_removed);
    tcase_add_loop_test(t, a_malformed_watch_is_refused, 0, 5);
    tcase_add_test(t, watches_of_a_client_that_goes_are_removed);
    tcase_add_test(t, a_watch_under_way_when_its_client_goes_is_removed_too);
    tcase_add_loop_test(t, an_event_with_a_token_of_nobodys_is_dropped, 0, 9);
    tcase_add_test(t, an_event_without_a_token_is_dropped);
    tcase_add_test(t, reset_watches_touches_its_callers_own_alone);
    tcase_add_test(t, a_client_that_does_not_read_is_cut_off);
    tcase_add_test(t, an_event_that_the_clients_token_makes_too_long_is_dropped);
    suite_add_tcase(s, t);
    t = tcase_create("hostile_store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_reply_to_nothing_breaks_the_connection);
    tcase_add_test(t, a_reply_of_another_type_breaks_the_connection);
    tcase_add_test(t, a_second_reply_breaks_the_connection);
    tcase_add_test(t, an_over_long_reply_breaks_the_connection);
    suite_add_tcase(s, t);
    t = tcase_create("memory");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_failed_allocation_harms_only_its_client, 1, 5);
    tcase_add_test(t, a_clean_up_that_cannot_be_queued_is_reported);
    tcase_add_test(t, new_clients_and_multiplexers_report_that_memory_ran_out);
    tcase_add_test(t, every_client_is_visited_and_may_be_removed);
    suite_add_tcase(s, t);
    return s;
}
