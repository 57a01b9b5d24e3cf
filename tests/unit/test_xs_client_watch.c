/* SPDX-License-Identifier: ISC */
/* The xenstore client's engine: watches and transactions. */
#include "tests/unit/xs_harness.h"

#include <stdio.h>

static struct rig rig;

static void setup(void)
{
    rig_init(&rig, NULL);
}

static void teardown(void)
{
    rig_fini(&rig);
}

/* ---- watches ---- */

struct seen {
    int fired, ready, refused, rc;
    char path[256];
};

static void on_watch(void *ctx, int what, const char *path)
{
    struct seen *s = ctx;
    if (what == XIDS_XS_WATCH_FIRED)
        s->fired++;
    else if (what == XIDS_XS_WATCH_READY)
        s->ready++;
    else
        s->refused++;
    s->rc = what;
    snprintf(s->path, sizeof(s->path), "%s", path);
}

/* Watches a path, answers OK, and gives the WATCH request. */
static uint32_t watched(struct request *q, const char *path, struct seen *s)
{
    uint32_t id;
    memset(s, 0, sizeof(*s));
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, path, on_watch, s), 0);
    expect(&rig, q, XS_WATCH);
    ck_assert_str_eq(q->payload, path);
    ck_assert_uint_eq(q->msg.len, strlen(path) + 1 + strlen(token_of(q)) + 1);
    ck_assert_int_eq(answer_ok(&rig, q), 0);
    ck_assert_int_eq(s->ready, 1);
    ck_assert_str_eq(s->path, path);
    return id;
}

START_TEST(an_event_reaches_its_watch)
{
    struct request a, b;
    struct seen sa, sb;
    watched(&a, "/a", &sa);
    watched(&b, "/b", &sb);
    ck_assert_str_ne(token_of(&a), token_of(&b));
    ck_assert_int_eq(fire(&rig, "/b/child", token_of(&b)), 0);
    ck_assert_int_eq(sa.fired, 0);
    ck_assert_int_eq(sb.fired, 1);
    ck_assert_str_eq(sb.path, "/b/child");
}
END_TEST

START_TEST(one_path_can_be_watched_twice)
{
    struct request a, b;
    struct seen sa, sb;
    watched(&a, "/a", &sa);
    watched(&b, "/a", &sb);
    ck_assert_int_eq(fire(&rig, "/a", token_of(&a)), 0);
    ck_assert_int_eq(sa.fired, 1);
    ck_assert_int_eq(sb.fired, 0);
}
END_TEST

START_TEST(the_first_event_may_come_before_the_reply)
{
    struct seen s = {0};
    struct request q;
    uint32_t id;
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    expect(&rig, &q, XS_WATCH);
    ck_assert_int_eq(fire(&rig, "/a", token_of(&q)), 0);
    ck_assert_int_eq(s.fired, 1);
    ck_assert_int_eq(answer_ok(&rig, &q), 0);
    ck_assert_int_eq(s.ready, 1);
}
END_TEST

START_TEST(a_refused_watch_says_why_and_is_gone)
{
    struct seen s = {0};
    struct request q;
    uint32_t id;
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    ck_assert_int_eq(answer_error(&rig, expect(&rig, &q, XS_WATCH), "ENOSPC"), 0);
    ck_assert_int_eq(s.refused, 1);
    ck_assert_int_eq(s.rc, -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), -XEN_ENOENT);
    ck_assert(!take(&rig, &q));
}
END_TEST

START_TEST(after_unwatch_no_event_is_seen)
{
    struct request q, u;
    struct seen s;
    uint32_t id = watched(&q, "/a", &s);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
    ck_assert_int_eq(fire(&rig, "/a", token_of(&q)), 0);
    expect(&rig, &u, XS_UNWATCH);
    ck_assert_str_eq(u.payload, "/a");
    ck_assert_str_eq(token_of(&u), token_of(&q));
    ck_assert_int_eq(fire(&rig, "/a", token_of(&q)), 0);
    ck_assert_int_eq(answer_ok(&rig, &u), 0);
    ck_assert_int_eq(fire(&rig, "/a", token_of(&q)), 0);
    ck_assert_int_eq(s.fired, 0);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), -XEN_ENOENT);
}
END_TEST

START_TEST(a_watch_dropped_before_it_was_sent_is_never_sent)
{
    struct seen s = {0};
    struct request q;
    uint32_t id;
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
    ck_assert(!take(&rig, &q));
    ck_assert_int_eq(s.ready + s.fired + s.refused, 0);
}
END_TEST

START_TEST(a_watch_dropped_before_its_reply_is_unregistered_in_silence)
{
    static const char *const replies[] = {"OK", "ENOSPC"};
    struct seen s = {0};
    struct request q, u;
    uint32_t id;
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    expect(&rig, &q, XS_WATCH);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
    ck_assert_int_eq(_i == 0 ? answer_ok(&rig, &q) : answer_error(&rig, &q, replies[_i]), 0);
    ck_assert_int_eq(answer_error(&rig, expect(&rig, &u, XS_UNWATCH), "ENOENT"), 0);
    ck_assert_int_eq(s.ready + s.fired + s.refused, 0);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
}
END_TEST

START_TEST(events_of_nobodys_token_are_let_pass)
{
    static const char *const tokens[] = {"", "0", "65535", "4294967295", "99999999999", "a token", "-1", "12x"};
    struct request q;
    struct seen s;
    watched(&q, "/a", &s);
    ck_assert_int_eq(fire(&rig, "/a", tokens[_i]), 0);
    ck_assert_int_eq(s.fired, 0);
}
END_TEST

START_TEST(a_malformed_event_breaks_the_connection)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0},
               {"/a", 2},
               {"/a", 3},
               {"/a\0"
                "1",
                4},
               {"/a\0"
                "1\0"
                "x",
                7},
               {"/a\0"
                "1\0",
                6}};
    struct request q;
    struct seen s;
    watched(&q, "/a", &s);
    ck_assert_int_eq(send_raw(&rig, XS_WATCH_EVENT, 0, 0, bad[_i].text, bad[_i].len), -XEN_EBADMSG);
    ck_assert_int_eq(s.fired, 0);
}
END_TEST

START_TEST(reset_registers_every_watch_again)
{
    struct request a, b, c, q;
    struct seen sa, sb, sc;
    watched(&a, "/a", &sa);
    uint32_t id = watched(&b, "/b", &sb);
    watched(&c, "/c", &sc);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
    xids_xs_client_reset(rig.c);
    expect(&rig, &q, XS_WATCH);
    ck_assert_str_eq(q.payload, "/a");
    ck_assert_int_eq(answer_ok(&rig, &q), 0);
    ck_assert_int_eq(fire(&rig, "/a", token_of(&q)), 0);
    expect(&rig, &q, XS_WATCH);
    ck_assert_str_eq(q.payload, "/c");
    ck_assert_int_eq(answer_error(&rig, &q, "EACCES"), 0);
    ck_assert(!take(&rig, &q));
    ck_assert_int_eq(sa.ready, 2);
    ck_assert_int_eq(sa.fired, 1);
    ck_assert_int_eq(sb.ready, 1);
    ck_assert_int_eq(sc.refused, 1);
}
END_TEST

START_TEST(a_watch_outstanding_at_reset_is_sent_again_and_not_refused)
{
    struct seen s = {0};
    struct request q;
    uint32_t id;
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    expect(&rig, &q, XS_WATCH);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(s.refused, 0);
    ck_assert_int_eq(answer_ok(&rig, expect(&rig, &q, XS_WATCH)), 0);
    ck_assert_int_eq(s.ready, 1);
}
END_TEST

START_TEST(watches_live_through_a_violation)
{
    struct request q;
    struct seen s, t = {0};
    uint32_t id, late;
    id = watched(&q, "/a", &s);
    ck_assert_int_eq(send_raw(&rig, XS_READ, 12345, 0, "x", 1), -XEN_EBADMSG);
    ck_assert_int_eq(s.refused, 0);
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &late, "/late", on_watch, &t), 0);
    ck_assert(!take(&rig, &q));
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(serve_ok(&rig), 2);
    ck_assert_int_eq(s.ready, 2);
    ck_assert_int_eq(t.ready, 1);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, late), 0);
    ck_assert_int_eq(serve_ok(&rig), 2);
}
END_TEST

START_TEST(more_watches_than_requests_are_registered_in_turn)
{
    struct xids_xs_client_limits few = {.requests = 2, .watches = 100};
    static struct seen seen[100];
    struct rig r;
    rig_init(&r, &few);
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < 100; i++) {
        uint32_t id;
        ck_assert_int_eq(xids_xs_client_watch(r.c, &id, "/a", on_watch, &seen[i]), 0);
    }
    ck_assert_int_eq(serve_ok(&r), 100);
    xids_xs_client_reset(r.c);
    ck_assert_int_eq(serve_ok(&r), 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(seen[i].ready, 2);
    rig_fini(&r);
}
END_TEST

START_TEST(no_more_watches_than_the_limit)
{
    struct seen s = {0};
    uint32_t id, first = 0;
    for (int i = 0; i < 32; i++) {
        ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
        if (i == 0)
            first = id;
    }
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, first), 0);
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    ck_assert_uint_ne(id, first);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, first), -XEN_ENOENT);
}
END_TEST

START_TEST(a_path_longer_than_the_limit_is_not_watched)
{
    char path[258];
    uint32_t id;
    memset(path, 'p', sizeof(path));
    path[257] = '\0';
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, path + 1, on_watch, NULL), -XEN_ENAMETOOLONG);
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, path + 2, on_watch, NULL), 0);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
}
END_TEST

START_TEST(no_id_is_a_watch_that_never_was)
{
    static const uint32_t ids[] = {0, 1, 0x10000, 0xffff, 0xffffffffu, 0x10020};
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, ids[_i]), -XEN_ENOENT);
}
END_TEST

static uint32_t own_id;

static void drop_itself(void *ctx, int what, const char *path)
{
    int *calls = ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED) {
        ++*calls;
        ck_assert_int_eq(xids_xs_client_unwatch(rig.c, own_id), 0);
    }
}

START_TEST(a_watch_can_drop_itself_in_a_storm_of_events)
{
    struct request q;
    uint8_t storm[4096];
    size_t len = 0;
    int calls = 0;
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &own_id, "/a", drop_itself, &calls), 0);
    ck_assert_int_eq(answer_ok(&rig, expect(&rig, &q, XS_WATCH)), 0);
    while (len < 4000) {
        const struct xids_xswire_part parts[2] = {{"/a", 3}, {token_of(&q), strlen(token_of(&q)) + 1}};
        int n = xids_xswire_build(storm + len, sizeof(storm) - len, XS_WATCH_EVENT, 0, 0, parts, 2);
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
    }
    ck_assert_int_eq(xids_xs_client_input(rig.c, storm, len), 0);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(a_storm_of_events_between_replies_loses_neither)
{
    struct request w, q;
    struct seen s;
    struct answer a = {0};
    watched(&w, "/a", &s);
    for (int i = 0; i < 2000; i++) {
        ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/a", on_reply, &a), 0);
        ck_assert_int_eq(fire(&rig, "/a/x", token_of(&w)), 0);
        ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "v", 1), 0);
        ck_assert_int_eq(fire(&rig, "/a/y", token_of(&w)), 0);
    }
    ck_assert_int_eq(s.fired, 4000);
    ck_assert_int_eq(a.calls, 2000);
}
END_TEST

static int busy_reads;

static void read_on(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    if (rc == 0 && busy_reads-- > 0)
        (void)!xids_xs_client_read(rig.c, 0, "/busy", read_on, ctx);
}

START_TEST(a_busy_user_does_not_starve_a_watch)
{
    struct seen s = {0};
    uint32_t id;
    busy_reads = 1000;
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/busy", read_on, NULL), 0);
    ck_assert_int_eq(xids_xs_client_watch(rig.c, &id, "/a", on_watch, &s), 0);
    struct request q;
    for (int i = 0; i < 40; i++) {
        ck_assert(take(&rig, &q));
        ck_assert_int_eq(answer_ok(&rig, &q), 0);
    }
    ck_assert_int_eq(s.ready, 1);
    busy_reads = 0;
}
END_TEST

/* ---- transactions ---- */

struct work {
    int bodies, done, rc;
    uint32_t ids[8];
    struct xids_xs_tx *tx;
    int abort_with; /* 0: commit at once; 1: leave it open */
};

static void body(void *ctx, struct xids_xs_tx *tx)
{
    struct work *w = ctx;
    ck_assert_int_lt(w->bodies, 8);
    w->ids[w->bodies++] = xids_xs_tx_id(tx);
    w->tx = tx;
    if (w->abort_with == 0)
        xids_xs_tx_commit(tx);
    else if (w->abort_with < 0)
        xids_xs_tx_abort(tx, w->abort_with);
}

static void done(void *ctx, int rc)
{
    struct work *w = ctx;
    w->done++;
    w->rc = rc;
}

static void begin(struct work *w, int abort_with, unsigned int tries)
{
    *w = (struct work){.abort_with = abort_with};
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, tries, body, done, w), 0);
    ck_assert_int_eq(w->bodies, 0);
}

static void start_as(const char *id)
{
    struct request q;
    expect(&rig, &q, XS_TRANSACTION_START);
    ck_assert_int_eq(answer(&rig, &q, id, strlen(id) + 1), 0);
}

static struct request *expect_end(struct request *q, uint32_t id, const char *how)
{
    expect(&rig, q, XS_TRANSACTION_END);
    ck_assert_uint_eq(q->msg.tx_id, id);
    ck_assert_str_eq(q->payload, how);
    return q;
}

START_TEST(a_transaction_commits)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    start_as("17");
    ck_assert_int_eq(w.bodies, 1);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 17, "T")), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_conflict_runs_the_body_again)
{
    struct work w;
    struct request q;
    begin(&w, 0, 5);
    start_as("1");
    ck_assert_int_eq(answer_error(&rig, expect_end(&q, 1, "T"), "EAGAIN"), 0);
    ck_assert_int_eq(w.done, 0);
    start_as("2");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 2, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
    ck_assert_uint_ne(w.ids[0], w.ids[1]);
}
END_TEST

START_TEST(conflicts_without_end_are_given_up)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    for (int i = 0; i < 3; i++) {
        start_as("9");
        ck_assert_int_eq(answer_error(&rig, expect_end(&q, 9, "T"), "EAGAIN"), 0);
    }
    ck_assert_int_eq(w.bodies, 3);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EAGAIN);
    ck_assert(!take(&rig, &q));
}
END_TEST

START_TEST(another_error_of_the_commit_is_final)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    start_as("9");
    ck_assert_int_eq(answer_error(&rig, expect_end(&q, 9, "T"), "ENOSPC"), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOSPC);
}
END_TEST

START_TEST(an_abort_gives_its_reason)
{
    struct work w;
    struct request q;
    begin(&w, -XEN_EEXIST, 3);
    start_as("4");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 4, "F")), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EEXIST);
    ck_assert_int_eq(w.bodies, 1);
}
END_TEST

START_TEST(a_body_can_ask_for_another_try)
{
    struct work w;
    struct request q;
    begin(&w, -XEN_EAGAIN, 2);
    start_as("4");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 4, "F")), 0);
    w.abort_with = 0;
    start_as("5");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 5, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_refused_start_ends_it)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    ck_assert_int_eq(answer_error(&rig, expect(&rig, &q, XS_TRANSACTION_START), "ENOSPC"), 0);
    ck_assert_int_eq(w.bodies, 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOSPC);
}
END_TEST

START_TEST(a_malformed_id_breaks_the_connection)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0}, {"", 1}, {"12", 2}, {"0", 2}, {"x", 2}, {"4294967296", 11}, {"1 ", 3}, {"-1", 3}};
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    expect(&rig, &q, XS_TRANSACTION_START);
    ck_assert_int_eq(answer(&rig, &q, bad[_i].text, bad[_i].len), -XEN_EBADMSG);
    ck_assert_int_eq(w.bodies, 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EBADMSG);
}
END_TEST

START_TEST(requests_in_a_transaction_carry_the_stores_id)
{
    struct work w;
    struct request q;
    struct answer a = {0};
    begin(&w, 1, 3);
    start_as("4000000000");
    ck_assert_int_eq(xids_xs_client_read(rig.c, xids_xs_tx_id(w.tx), "/a", on_reply, &a), 0);
    expect(&rig, &q, XS_READ);
    ck_assert_uint_eq(q.msg.tx_id, 4000000000u);
    ck_assert_int_eq(answer(&rig, &q, "v", 1), 0);
    xids_xs_tx_commit(w.tx);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 4000000000u, "T")), 0);
    ck_assert_int_eq(w.done, 1);
}
END_TEST

START_TEST(a_second_end_is_ignored)
{
    struct work w;
    struct request q;
    begin(&w, 1, 3);
    start_as("3");
    xids_xs_tx_commit(w.tx);
    xids_xs_tx_abort(w.tx, -XEN_EPERM);
    xids_xs_tx_commit(w.tx);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 3, "T")), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
    ck_assert(!take(&rig, &q));
}
END_TEST

START_TEST(a_reset_before_the_start_was_answered_starts_again)
{
    struct work w;
    struct request q;
    begin(&w, 0, 1);
    expect(&rig, &q, XS_TRANSACTION_START);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(w.done, 0);
    start_as("1");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 1, "T")), 0);
    ck_assert_int_eq(w.rc, 0);
    ck_assert_int_eq(w.done, 1);
}
END_TEST

START_TEST(a_reset_in_the_body_runs_it_again_and_its_old_id_reaches_nobody)
{
    struct work w;
    struct request q;
    struct answer a = {0};
    begin(&w, 1, 2);
    start_as("1");
    uint32_t old = w.ids[0];
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(xids_xs_client_write(rig.c, old, "/a", "v", 1, on_reply, &a), -XEN_ENOTCONN);
    ck_assert(!take(&rig, &q));
    xids_xs_tx_commit(w.tx);
    ck_assert_int_eq(w.done, 0);
    w.abort_with = 0;
    start_as("1");
    ck_assert_uint_ne(w.ids[1], old);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 1, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_body_that_aborts_what_a_reset_took_runs_again)
{
    struct work w;
    begin(&w, 1, 2);
    start_as("1");
    xids_xs_client_reset(rig.c);
    xids_xs_tx_abort(w.tx, -XEN_ENOTCONN);
    ck_assert_int_eq(w.done, 0);
    w.abort_with = -XEN_EIO;
    struct request q;
    start_as("2");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 2, "F")), 0);
    ck_assert_int_eq(w.rc, -XEN_EIO);
    ck_assert_int_eq(w.done, 1);
}
END_TEST

START_TEST(a_commit_not_yet_sent_at_reset_runs_again)
{
    struct work w;
    struct request q;
    begin(&w, 0, 2);
    start_as("1");
    xids_xs_client_reset(rig.c);
    start_as("2");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 2, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_commit_lost_on_the_way_is_not_repeated)
{
    struct work w;
    struct request q;
    begin(&w, 0, 5);
    start_as("1");
    expect_end(&q, 1, "T");
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(w.bodies, 1);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOTCONN);
    ck_assert(!take(&rig, &q));
}
END_TEST

/* Breaks the connection after so many of the store's answers: done must come exactly once, wherever it is. */
START_TEST(done_comes_once_wherever_the_connection_breaks)
{
    struct work w;
    struct request q;
    begin(&w, _i < 4 ? 0 : 1, 3);
    if (_i % 4 >= 1)
        expect(&rig, &q, XS_TRANSACTION_START);
    if (_i % 4 >= 2)
        ck_assert_int_eq(answer(&rig, &q, "1", 2), 0);
    if (_i == 3)
        expect(&rig, &q, XS_TRANSACTION_END);
    xids_xs_client_fail(rig.c, -XEN_EIO, "test");
    if (_i >= 4 && w.bodies > 0) {
        ck_assert_int_eq(w.done, 0);
        if (_i % 2 == 0)
            xids_xs_tx_commit(w.tx);
        else
            xids_xs_tx_abort(w.tx, -XEN_EIO);
    }
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EIO);
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, 1, body, done, &w), -XEN_EIO);
}
END_TEST

START_TEST(the_end_of_the_client_ends_open_transactions)
{
    struct work w = {.abort_with = 1};
    struct rig r;
    struct request q;
    rig_init(&r, NULL);
    ck_assert_int_eq(xids_xs_client_transaction(r.c, 3, body, done, &w), 0);
    expect(&r, &q, XS_TRANSACTION_START);
    ck_assert_int_eq(answer(&r, &q, "1", 2), 0);
    rig_fini(&r);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOTCONN);
}
END_TEST

START_TEST(no_more_transactions_than_the_limit)
{
    static struct work w[5]; /* the teardown tells them of the end */
    for (int i = 0; i < 4; i++)
        begin(&w[i], 0, 1);
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, 1, body, done, &w[4]), -XEN_EBUSY);
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, 0, body, done, &w[4]), -XEN_EINVAL);
}
END_TEST

START_TEST(a_start_answered_after_its_deadline_is_ended)
{
    struct work w;
    struct request q, e;
    xids_xs_client_timeout(rig.c, 10);
    begin(&w, 0, 3);
    expect(&rig, &q, XS_TRANSACTION_START);
    xids_xs_client_tick(rig.c, 20);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ETIMEDOUT);
    ck_assert_int_eq(answer(&rig, &q, "8", 2), 0);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&e, 8, "F")), 0);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs_client_watch");
    TCase *t = tcase_create("watches");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_event_reaches_its_watch);
    tcase_add_test(t, one_path_can_be_watched_twice);
    tcase_add_test(t, the_first_event_may_come_before_the_reply);
    tcase_add_test(t, a_refused_watch_says_why_and_is_gone);
    tcase_add_test(t, after_unwatch_no_event_is_seen);
    tcase_add_test(t, a_watch_dropped_before_it_was_sent_is_never_sent);
    tcase_add_loop_test(t, a_watch_dropped_before_its_reply_is_unregistered_in_silence, 0, 2);
    tcase_add_loop_test(t, events_of_nobodys_token_are_let_pass, 0, 8);
    tcase_add_loop_test(t, a_malformed_event_breaks_the_connection, 0, 6);
    tcase_add_test(t, reset_registers_every_watch_again);
    tcase_add_test(t, a_watch_outstanding_at_reset_is_sent_again_and_not_refused);
    tcase_add_test(t, watches_live_through_a_violation);
    tcase_add_test(t, more_watches_than_requests_are_registered_in_turn);
    tcase_add_test(t, no_more_watches_than_the_limit);
    tcase_add_test(t, a_path_longer_than_the_limit_is_not_watched);
    tcase_add_loop_test(t, no_id_is_a_watch_that_never_was, 0, 6);
    tcase_add_test(t, a_watch_can_drop_itself_in_a_storm_of_events);
    tcase_add_test(t, a_storm_of_events_between_replies_loses_neither);
    tcase_add_test(t, a_busy_user_does_not_starve_a_watch);
    suite_add_tcase(s, t);

    t = tcase_create("transactions");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_transaction_commits);
    tcase_add_test(t, a_conflict_runs_the_body_again);
    tcase_add_test(t, conflicts_without_end_are_given_up);
    tcase_add_test(t, another_error_of_the_commit_is_final);
    tcase_add_test(t, an_abort_gives_its_reason);
    tcase_add_test(t, a_body_can_ask_for_another_try);
    tcase_add_test(t, a_refused_start_ends_it);
    tcase_add_loop_test(t, a_malformed_id_breaks_the_connection, 0, 8);
    tcase_add_test(t, requests_in_a_transaction_carry_the_stores_id);
    tcase_add_test(t, a_second_end_is_ignored);
    tcase_add_test(t, a_reset_before_the_start_was_answered_starts_again);
    tcase_add_test(t, a_reset_in_the_body_runs_it_again_and_its_old_id_reaches_nobody);
    tcase_add_test(t, a_body_that_aborts_what_a_reset_took_runs_again);
    tcase_add_test(t, a_commit_not_yet_sent_at_reset_runs_again);
    tcase_add_test(t, a_commit_lost_on_the_way_is_not_repeated);
    tcase_add_loop_test(t, done_comes_once_wherever_the_connection_breaks, 0, 8);
    tcase_add_test(t, the_end_of_the_client_ends_open_transactions);
    tcase_add_test(t, no_more_transactions_than_the_limit);
    tcase_add_test(t, a_start_answered_after_its_deadline_is_ended);
    suite_add_tcase(s, t);
    return s;
}
