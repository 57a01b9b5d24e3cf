/* SPDX-License-Identifier: ISC */
/*
 * A server that dies at any moment, and the next one made out of its journal: what was in force is there again, of what
 * was done at once all or nothing, and each ring goes on where it stood. The pages of the rings outlive the servers.
 *
 * XIDS_SEED repeats a run; each failure says its seed.
 */
#include <stdio.h>
#include <string.h>
#include <xids/xs_journal.h>

#include "tests/unit/xsd_world.h"

#define GUESTS 4u

static uint64_t rng;

static unsigned int pick(unsigned int n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned int)((rng >> 20) % n);
}

/* ---- a world with a journal ---- */

struct bytes {
    uint8_t *at;
    size_t len, cap;
};

struct paper {
    struct world *w;
    struct bytes file, next, tail; /* the next one, while a whole is written, and what changes meanwhile */
    bool in_whole, has_next;
    int refuse; /* what the next write returns */
    unsigned int frames;
};

static void add(struct bytes *b, const void *bytes, size_t len)
{
    if (b->cap - b->len < len) {
        b->cap = 2 * (b->len + len);
        b->at = realloc(b->at, b->cap);
        ck_assert_ptr_nonnull(b->at);
    }
    memcpy(b->at + b->len, bytes, len);
    b->len += len;
}

static int on_write(void *ctx, const void *bytes, size_t len)
{
    struct paper *p = ctx;
    if (p->refuse != 0) {
        int rc = p->refuse;
        p->refuse = 0;
        return rc;
    }
    p->frames++;
    add(p->in_whole ? &p->next : &p->file, bytes, len);
    if (!p->in_whole && p->has_next)
        add(&p->tail, bytes, len);
    return 0;
}

static void on_conn(void *ctx, struct xids_xs_conn *conn, struct xids_xs_state_conn *state)
{
    const struct paper *p = ctx;
    ck_assert_int_eq(xids_xs_conn_domid(conn), state->domid);
    state->handle = (int32_t)p->w->rings[state->domid].port;
    state->note = "ring";
    state->note_len = 4;
}

static void on_sync(void *ctx)
{
    const struct paper *p = ctx;
    ck_assert_int_eq(xids_xs_journal_changes(p->w->server), 0);
}

/* Some of a whole; when it is there it takes the place of the file. */
static bool whole_some(struct paper *p, unsigned int max)
{
    if (!p->has_next)
        ck_assert_int_eq(xids_xs_journal_changes(p->w->server), 0);
    p->has_next = p->in_whole = true;
    int rc = xids_xs_journal_whole(p->w->server, max);
    ck_assert_int_ge(rc, 0);
    p->in_whole = false;
    if (rc > 0)
        return true;
    if (p->tail.len > 0)
        add(&p->next, p->tail.at, p->tail.len);
    free(p->file.at);
    p->file = p->next;
    p->next = (struct bytes){0};
    p->tail.len = 0;
    p->has_next = false;
    return false;
}

static void begin(struct paper *p)
{
    const struct xids_xs_journal journal = {.write = on_write, .conn = on_conn, .sync = on_sync, .ctx = p};
    ck_assert_int_eq(xids_xs_server_journal(p->w->server, &journal), 0);
    while (whole_some(p, 5)) {
    }
}

static void paper_up(struct paper *p)
{
    memset(p, 0, sizeof(*p));
    p->w = world_up();
    begin(p);
}

static void paper_down(struct paper *p)
{
    world_down(p->w);
    free(p->file.at);
    free(p->next.at);
    free(p->tail.at);
}

static int take(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, const struct xids_xs_state_conn *state)
{
    struct world *w = ctx;
    ck_assert_int_eq(xids_xs_conn_domid(conn), state->domid);
    ck_assert_uint_eq(state->note_len, 4);
    ck_assert_int_eq(state->handle, (int32_t)w->rings[state->domid].port);
    *page = (void XIDS_PEER *)w->rings[state->domid].page;
    return w->gone[state->domid] ? -XEN_EINVAL : 0;
}

/* Makes a server in w->server, which is the caller's to free whatever is returned, but for -XEN_ENOMEM from its making.
 */
static int read_back(struct world *w, struct xids_xs_state_error *error, const uint8_t *bytes, size_t len)
{
    const struct xids_xs_restore host = {.conn = take, .ctx = w};
    size_t used;
    int rc = world_server(w);
    return rc < 0 ? rc : xids_xs_journal_restore(w->server, error, &used, &host, bytes, len);
}

static void crash(struct paper *p)
{
    struct xids_xs_state_error error;
    xids_xs_server_free(p->w->server);
    ck_assert_uint_eq(p->w->alloc.blocks, 0);
    free(p->next.at);
    p->next = (struct bytes){0};
    p->tail.len = 0;
    p->has_next = false;
    int rc = read_back(p->w, &error, p->file.at, p->file.len);
    ck_assert_msg(rc == 0, "%d: record %u at %lu: %s", rc, error.record, (unsigned long)error.offset,
                  error.reason != NULL ? error.reason : "?");
    begin(p);
}

/* As a host does before its sockets hear. */
static void sync_now(const struct paper *p)
{
    ck_assert_int_eq(xids_xs_journal_changes(p->w->server), 0);
}

static void settle(const struct paper *p)
{
    while (xids_xs_server_idle(p->w->server, 1000)) {
    }
    while (xids_xs_server_ready(p->w->server) != NULL) {
    }
}

/* ---- cases ---- */

START_TEST(nothing_is_written_when_nothing_changes)
{
    struct paper p;
    paper_up(&p);
    world_introduce(p.w, 1);
    sync_now(&p);
    unsigned int frames = p.frames;
    (void)dom_ask(p.w, 1, XS_READ, "/|");
    (void)dom_ask(p.w, 1, XS_DIRECTORY, "/|");
    ck_assert(!xids_xs_journal_due(p.w->server));
    sync_now(&p);
    ck_assert_uint_eq(p.frames, frames);
    paper_down(&p);
}
END_TEST

START_TEST(values_permissions_and_order_come_back)
{
    struct paper p;
    paper_up(&p);
    struct world *w = p.w;
    world_home(p.w, 1);
    struct xids_xs_conn *c = world_socket(p.w);
    EXPECT(c, XS_WRITE, "/z|1", "write OK|");
    EXPECT(c, XS_WRITE, "/a|2", "write OK|");
    EXPECT(c, XS_WRITE, "/m/deep/er|3", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/m/deep|b1|r2|", "set-perms OK|");
    EXPECT(c, XS_WRITE, "/gone|4", "write OK|");
    EXPECT(c, XS_RM, "/gone|", "rm OK|");
    sync_now(&p);
    crash(&p);
    c = world_socket(p.w);
    EXPECT(c, XS_DIRECTORY, "/|", "directory tool|local|z|a|m|");
    EXPECT(c, XS_READ, "/m/deep/er|", "read 3");
    EXPECT(c, XS_GET_PERMS, "/m/deep|", "get-perms b1|r2|");
    ck_assert_uint_eq(xids_store_owned(xids_xs_server_store(p.w->server), 1), 2);
    DOM_EXPECT(1, XS_READ, "/m/deep|", "read ");
    paper_down(&p);
}
END_TEST

START_TEST(domains_watches_targets_and_limits_come_back)
{
    struct paper p;
    paper_up(&p);
    struct world *w = p.w;
    for (uint16_t d = 1; d <= 3; d++)
        world_home(p.w, d);
    struct xids_xs_conn *c = world_socket(p.w);
    EXPECT(c, XS_SET_TARGET, "1|2|", "target OK|");
    ck_assert_ptr_nonnull(strstr(ask(p.w, c, XIDS_XS_SET_QUOTA, "1|nodes|77|"), "OK"));
    DOM_EXPECT(1, XS_WATCH, "data|t|", "watch OK|\nevent data|t|");
    DOM_EXPECT(1, XS_WATCH, "/z|u|", "watch OK|\nevent /z|u|");
    DOM_EXPECT(1, XS_UNWATCH, "/z|u|", "unwatch OK|");
    xids_xs_server_shutdown(p.w->server, 2);
    xids_xs_server_release(p.w->server, 3);
    settle(&p);
    sync_now(&p);
    crash(&p);
    c = world_socket(p.w);
    settle(&p);
    ck_assert_str_eq(dom_heard(p.w, 1), "event data|t|");
    EXPECT(c, XS_WRITE, "/local/domain/1/data/x|1", "write OK|");
    settle(&p);
    ck_assert_str_eq(dom_heard(p.w, 1), "event data/x|t|");
    DOM_EXPECT(1, XS_WRITE, "/local/domain/2/by-one|1", "write OK|");
    ck_assert_str_eq(ask(p.w, c, XIDS_XS_GET_QUOTA, "1|nodes|"), "get-quota 77|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced F|");
    EXPECT(c, XS_READ, "/local/domain/3|", "error ENOENT|");
    struct xids_xs_domain_stats stats;
    ck_assert_int_eq(xids_xs_server_domain_stats(p.w->server, &stats, 2), 0);
    ck_assert(stats.shutdown);
    paper_down(&p);
}
END_TEST

/* A server killed before it took a request, in the middle of one, and with an answer that the guest did not fetch. */
START_TEST(a_ring_goes_on_in_the_middle_of_a_request)
{
    struct paper p;
    uint8_t request[200];
    const struct xids_xswire_part parts[] = {{"mine", 5}, {"value", 5}};
    paper_up(&p);
    struct world *w = p.w;
    world_home(p.w, 1);
    int n = xids_xswire_build(request, sizeof(request), XS_WRITE, 77, 0, parts, 2);
    for (int cut = 0; cut <= n; cut++) {
        struct xids_xs_conn *c = world_socket(p.w);
        EXPECT(c, XS_WRITE, "/local/domain/1/mine|old", "write OK|");
        xids_xs_server_disconnect(c);
        sync_now(&p);
        if (cut > 0)
            dom_send(p.w, 1, request, (size_t)cut);
        crash(&p);
        if (cut < n)
            dom_send(p.w, 1, request + cut, (size_t)(n - cut));
        ck_assert_str_eq(dom_heard(p.w, 1), "write OK|");
        DOM_EXPECT(1, XS_READ, "mine|", "read value");
    }
    paper_down(&p);
}
END_TEST

START_TEST(transactions_are_lost_and_their_numbers_not_given_again)
{
    struct paper p;
    paper_up(&p);
    struct world *w = p.w;
    world_home(p.w, 1);
    uint32_t tx = dom_tx_start(p.w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "half|1", "write OK|");
    crash(&p);
    ck_assert_uint_ne(dom_tx_start(p.w, 1), tx);
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error ENOENT|");
    DOM_EXPECT(1, XS_READ, "half|", "error ENOENT|");
    paper_down(&p);
}
END_TEST

START_TEST(what_cannot_be_written_is_in_the_next_frame)
{
    struct paper p;
    paper_up(&p);
    struct world *w = p.w;
    struct xids_xs_conn *c = world_socket(p.w);
    EXPECT(c, XS_WRITE, "/a|1", "write OK|");
    p.refuse = -XEN_ENOSPC;
    ck_assert_int_eq(xids_xs_journal_changes(p.w->server), -XEN_ENOSPC);
    ck_assert(xids_xs_journal_due(p.w->server));
    EXPECT(c, XS_WRITE, "/b|2", "write OK|");
    sync_now(&p);
    crash(&p);
    c = world_socket(p.w);
    EXPECT(c, XS_READ, "/a|", "read 1");
    EXPECT(c, XS_READ, "/b|", "read 2");
    paper_down(&p);
}
END_TEST

/* ---- damage ---- */

static void both_or_none(struct world *w)
{
    struct xids_xs_conn *c = world_socket(w);
    bool a = strcmp(ask(w, c, XS_READ, "/t/a|"), "read 1") == 0, b = strcmp(ask(w, c, XS_READ, "/t/b|"), "read 1") == 0;
    ck_assert(a == b);
    ck_assert_ptr_null(xids_store_check(xids_xs_server_store(w->server)));
}

static void small_journal(struct paper *p)
{
    paper_up(p);
    struct world *w = p->w;
    world_home(p->w, 1);
    ck_assert_str_eq(dom_ask(p->w, 1, XS_WATCH, "data|t|"), "watch OK|\nevent data|t|");
    struct xids_xs_conn *c = world_socket(p->w);
    uint32_t tx = tx_start(p->w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/t/a|1", "write OK|");
    EXPECT_TX(c, tx, XS_WRITE, "/t/b|1", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    sync_now(p);
    EXPECT(c, XS_WRITE, "/last|1", "write OK|");
    sync_now(p);
    xids_xs_server_free(p->w->server);
}

/* The page as it was: a server that begins on it writes into it. */
static int try_bytes(struct paper *p, const uint8_t *page, const uint8_t *bytes, size_t len)
{
    struct xids_xs_state_error error;
    memcpy(p->w->rings[1].page, page, XIDS_PAGE_SIZE);
    int rc = read_back(p->w, &error, bytes, len);
    ck_assert(rc == 0 || (rc == -XEN_EBADMSG && error.reason != NULL));
    if (rc == 0)
        both_or_none(p->w);
    xids_xs_server_free(p->w->server);
    ck_assert_uint_eq(p->w->alloc.blocks, 0);
    return rc;
}

START_TEST(a_journal_cut_off_anywhere_has_all_or_nothing)
{
    struct paper p;
    uint8_t page[XIDS_PAGE_SIZE];
    unsigned int good = 0, bad = 0;
    small_journal(&p);
    memcpy(page, p.w->rings[1].page, sizeof(page));
    for (size_t len = 0; len <= p.file.len; len++) {
        /* A copy, so that reading beyond the end is seen. */
        uint8_t *copy = malloc(len > 0 ? len : 1);
        memcpy(copy, p.file.at, len);
        int rc = try_bytes(&p, page, copy, len);
        /* From where the whole is there on, whatever follows. */
        ck_assert(rc == 0 || good == 0);
        *(rc == 0 ? &good : &bad) += 1;
        free(copy);
    }
    ck_assert_uint_gt(good, 100);
    ck_assert_uint_gt(bad, 100);
    ck_assert_int_eq(world_server(p.w), 0);
    paper_down(&p);
}
END_TEST

START_TEST(a_journal_with_any_byte_damaged_has_all_or_nothing)
{
    struct paper p;
    uint8_t page[XIDS_PAGE_SIZE];
    small_journal(&p);
    memcpy(page, p.w->rings[1].page, sizeof(page));
    for (size_t at = 0; at < p.file.len; at++) {
        uint8_t *copy = malloc(p.file.len);
        memcpy(copy, p.file.at, p.file.len);
        copy[at] ^= (uint8_t)(1u << (at % 8));
        (void)try_bytes(&p, page, copy, p.file.len);
        free(copy);
    }
    ck_assert_int_eq(world_server(p.w), 0);
    paper_down(&p);
}
END_TEST

START_TEST(restoring_without_memory_leaves_nothing)
{
    struct paper p;
    uint8_t page[XIDS_PAGE_SIZE];
    struct xids_xs_state_error error;
    int rc = -XEN_ENOMEM;
    small_journal(&p);
    memcpy(page, p.w->rings[1].page, sizeof(page));
    for (unsigned long at = 1; rc != 0; at++) {
        memcpy(p.w->rings[1].page, page, sizeof(page));
        ck_assert_int_eq(world_server(p.w), 0);
        xids_xs_server_free(p.w->server);
        p.w->server = NULL;
        p.w->alloc.calls = 0;
        p.w->alloc.fail_at = at;
        rc = read_back(p.w, &error, p.file.at, p.file.len);
        p.w->alloc.fail_at = 0;
        ck_assert_msg(rc == 0 || rc == -XEN_ENOMEM, "%d at %lu", rc, at);
        xids_xs_server_free(p.w->server);
        ck_assert_uint_eq(p.w->alloc.blocks, 0);
        p.w->server = NULL;
    }
    ck_assert_int_eq(world_server(p.w), 0);
    paper_down(&p);
}
END_TEST

/* Whatever allocation fails while a frame is made: what it should have said is in the next one. */
START_TEST(writing_without_memory_loses_nothing)
{
    struct paper p;
    paper_up(&p);
    struct world *w = p.w;
    struct xids_xs_conn *c = world_socket(w);
    char big[3000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    int rc = -XEN_ENOMEM;
    for (unsigned long at = 1; rc != 0; at++) {
        char payload[3100];
        for (unsigned int i = 0; i < 4; i++) {
            (void)sprintf(payload, "/%lu-%u|%s", at, i, big);
            EXPECT(c, XS_WRITE, payload, "write OK|");
        }
        w->alloc.calls = 0;
        w->alloc.fail_at = at;
        rc = xids_xs_journal_changes(w->server);
        w->alloc.fail_at = 0;
        ck_assert(rc == 0 || (rc == -XEN_ENOMEM && xids_xs_journal_due(w->server)));
        /* The same of a whole. */
        w->alloc.calls = 0;
        w->alloc.fail_at = at;
        p.in_whole = true;
        int whole = xids_xs_journal_whole(w->server, 3);
        p.in_whole = false;
        w->alloc.fail_at = 0;
        ck_assert(whole == 1 || whole == -XEN_ENOMEM);
        ck_assert_int_eq(xids_xs_journal_whole(w->server, 0), 0);
        p.next.len = 0;
    }
    sync_now(&p);
    xids_xs_server_disconnect(c);
    crash(&p);
    c = world_socket(w);
    EXPECT(c, XS_READ, "/tool/xenstored|", "read ");
    ck_assert_int_eq(strncmp(ask(w, c, XS_READ, "/1-0|"), "read xxx", 8), 0);
    paper_down(&p);
}
END_TEST

/* ---- at random ---- */

static const char *path(void)
{
    static char text[64];
    static const char *const parts[] = {"a", "b", "c", "d"};
    int n = 0;
    for (unsigned int depth = 1 + pick(3); depth > 0; depth--)
        n += sprintf(text + n, "/%s", parts[pick(4)]);
    return text;
}

static void one_request(struct world *w, struct xids_xs_conn *c, uint32_t tx)
{
    char payload[200];
    switch (pick(6)) {
    case 0:
        (void)sprintf(payload, "%s|", path());
        (void)ask_tx(w, c, tx, XS_RM, payload);
        break;
    case 1:
        (void)sprintf(payload, "%s|n%u|r%u|", path(), pick(GUESTS) + 1, pick(GUESTS) + 1);
        (void)ask_tx(w, c, tx, XS_SET_PERMS, payload);
        break;
    default:
        (void)sprintf(payload, "%s|%u", path(), pick(1000));
        (void)ask_tx(w, c, tx, XS_WRITE, payload);
        break;
    }
}

static void one_step(struct paper *p)
{
    struct world *w = p->w;
    struct xids_xs_conn *c = world_socket(w);
    char payload[200];
    uint16_t d = (uint16_t)(1 + pick(GUESTS));
    uint32_t tx;
    switch (pick(8)) {
    case 0:
        (void)sprintf(payload, "%s|%u|", path(), pick(3));
        (void)dom_ask(w, d, pick(2) == 0 ? XS_WATCH : XS_UNWATCH, payload);
        break;
    case 1:
        tx = tx_start(w, c);
        for (unsigned int n = pick(6); n > 0; n--)
            one_request(w, c, tx);
        (void)ask_tx(w, c, tx, XS_TRANSACTION_END, "T|");
        break;
    case 2:
        (void)sprintf(payload, "%u|%u|", d, 1 + pick(GUESTS));
        (void)ask(w, c, XS_SET_TARGET, payload);
        break;
    case 3:
        if (pick(10) == 0) {
            xids_xs_server_release(w->server, d);
            settle(p);
            sync_now(p);
            (void)sprintf(payload, "%u|0|%u|", d, 7 + pick(5));
            free(w->rings[d].page);
            w->rings[d].page = NULL;
            world_introduce(w, d);
        }
        break;
    default:
        one_request(w, c, 0);
        break;
    }
    xids_xs_server_disconnect(c);
}

/* The tree, with all permissions. */
static void dump(struct bytes *out, struct world *w, struct xids_xs_conn *c, const char *at)
{
    char payload[400], names[4000];
    (void)sprintf(payload, "%s|", at[0] != '\0' ? at : "/");
    add(out, payload, strlen(payload));
    const char *text = ask(w, c, XS_READ, payload);
    add(out, text, strlen(text));
    text = ask(w, c, XS_GET_PERMS, payload);
    add(out, text, strlen(text));
    text = ask(w, c, XS_DIRECTORY, payload);
    add(out, text, strlen(text));
    ck_assert_int_eq(strncmp(text, "directory ", 10), 0);
    (void)strcpy(names, text + 10);
    char *state = NULL;
    for (char *name = strtok_r(names, "|", &state); name != NULL; name = strtok_r(NULL, "|", &state)) {
        char below[300];
        (void)snprintf(below, sizeof(below), "%s/%s", at, name);
        dump(out, w, c, below);
    }
}

static void add_watch(void *ctx, const struct xids_xs_watch *watch)
{
    char number[16];
    if (xids_xs_conn_domid(watch->conn) < 0)
        return;
    add(ctx, number, (size_t)sprintf(number, "%d ", xids_xs_conn_domid(watch->conn)));
    add(ctx, watch->path, watch->path_len);
    add(ctx, " ", 1);
    add(ctx, watch->token, watch->token_len);
    add(ctx, "\n", 1);
}

static int by_line(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Connections are in another order afterwards. */
static void add_watches(struct bytes *out, struct world *w)
{
    struct bytes all = {0};
    char *lines[1000], *state = NULL;
    size_t n = 0;
    xids_xs_server_each_watch(w->server, add_watch, &all);
    add(&all, "", 1);
    for (char *line = strtok_r((char *)all.at, "\n", &state); line != NULL; line = strtok_r(NULL, "\n", &state))
        lines[n++] = line;
    qsort(lines, n, sizeof(lines[0]), by_line);
    for (size_t i = 0; i < n; i++)
        add(out, lines[i], strlen(lines[i]));
    free(all.at);
}

static void describe(struct bytes *out, struct world *w)
{
    struct xids_xs_conn *c = world_socket(w);
    out->len = 0;
    dump(out, w, c, "");
    add_watches(out, w);
    for (uint16_t d = 1; d <= GUESTS; d++) {
        uint32_t owned = xids_store_owned(xids_xs_server_store(w->server), d);
        add(out, &owned, sizeof(owned));
    }
    xids_xs_server_disconnect(c);
}

START_TEST(the_state_is_the_same_after_each_crash)
{
    struct paper p;
    struct bytes before = {0}, after = {0};
    const char *env = getenv("XIDS_SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : UINT64_C(0x9e3779b97f4a7c15) * (unsigned int)(_i + 1) | 1;
    rng = seed;
    paper_up(&p);
    for (uint16_t d = 1; d <= GUESTS; d++)
        world_home(p.w, d);
    for (unsigned int round = 0; round < 40; round++) {
        for (unsigned int n = pick(60); n > 0; n--) {
            one_step(&p);
            if (pick(3) == 0)
                sync_now(&p);
            if (pick(10) == 0)
                (void)whole_some(&p, 1 + pick(10));
        }
        settle(&p);
        sync_now(&p);
        describe(&before, p.w);
        for (uint16_t d = 1; d <= GUESTS; d++)
            (void)dom_heard(p.w, d);
        crash(&p);
        settle(&p);
        describe(&after, p.w);
        ck_assert_msg(before.len == after.len && memcmp(before.at, after.at, before.len) == 0, "seed %lu, round %u",
                      (unsigned long)seed, round);
        for (uint16_t d = 1; d <= GUESTS; d++)
            (void)dom_heard(p.w, d);
    }
    free(before.at);
    free(after.at);
    paper_down(&p);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xsd_journal");
    TCase *c = tcase_create("journal");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, nothing_is_written_when_nothing_changes);
    tcase_add_test(c, values_permissions_and_order_come_back);
    tcase_add_test(c, domains_watches_targets_and_limits_come_back);
    tcase_add_test(c, a_ring_goes_on_in_the_middle_of_a_request);
    tcase_add_test(c, transactions_are_lost_and_their_numbers_not_given_again);
    tcase_add_test(c, what_cannot_be_written_is_in_the_next_frame);
    tcase_add_test(c, a_journal_cut_off_anywhere_has_all_or_nothing);
    tcase_add_test(c, a_journal_with_any_byte_damaged_has_all_or_nothing);
    tcase_add_test(c, restoring_without_memory_leaves_nothing);
    tcase_add_test(c, writing_without_memory_loses_nothing);
    tcase_add_loop_test(c, the_state_is_the_same_after_each_crash, 0, 8);
    suite_add_tcase(s, c);
    return s;
}
