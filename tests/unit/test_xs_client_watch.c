/* SPDX-License-Identifier: ISC */
/* The xenstore client's engine: watches. */
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

START_TEST(a_watch_that_the_store_still_has_after_reset_is_none_refused)
{
    struct request q, u;
    struct seen s;
    uint32_t id = watched(&q, "/a", &s);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(answer_error(&rig, expect(&rig, &q, XS_WATCH), "EEXIST"), 0);
    ck_assert_int_eq(s.refused, 0);
    ck_assert_int_eq(s.ready, 2);
    /* The store fires nothing for it. */
    ck_assert_int_eq(s.fired, 1);
    ck_assert_int_eq(fire(&rig, "/a", token_of(&q)), 0);
    ck_assert_int_eq(s.fired, 2);
    ck_assert_int_eq(xids_xs_client_unwatch(rig.c, id), 0);
    expect(&rig, &u, XS_UNWATCH);
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
    tcase_add_test(t, a_watch_that_the_store_still_has_after_reset_is_none_refused);
    tcase_add_test(t, watches_live_through_a_violation);
    tcase_add_test(t, more_watches_than_requests_are_registered_in_turn);
    tcase_add_test(t, no_more_watches_than_the_limit);
    tcase_add_test(t, a_path_longer_than_the_limit_is_not_watched);
    tcase_add_loop_test(t, no_id_is_a_watch_that_never_was, 0, 6);
    tcase_add_test(t, a_watch_can_drop_itself_in_a_storm_of_events);
    tcase_add_test(t, a_storm_of_events_between_replies_loses_neither);
    tcase_add_test(t, a_busy_user_does_not_starve_a_watch);
    suite_add_tcase(s, t);
    return s;
}
