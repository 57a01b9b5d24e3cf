/* SPDX-License-Identifier: ISC */
/* vchan, the calls that block: over the model, whose clock jumps when everybody sleeps. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/model.h>
#include <xids/vchan_open.h>

#define SECOND 1000000000ull

enum act { ECHO_ALL, READ_SLOWLY, SEND_LATE, CLOSE_LATE, SLEEP, CONNECT_LATE };

/* The other side: a task of the model. */
struct other {
    struct xids_model *m;
    const struct xids_platform *platform;
    struct xids_vchan *ch;
    enum act act;
    uint64_t moment;
    bool open;
    grant_ref_t ref;
    evtchn_port_t port;
};

struct stage {
    struct xids_model *m;
    struct xids_platform *platform;
    struct xids_vchan *ch;
    struct other other;
};

static int connect_other(struct other *o)
{
    int rc = xids_vchan_client_init(o->ch, o->platform, 1, o->ref, o->port, 0);
    o->open = rc == 0;
    return rc;
}

static void close_other(struct other *o)
{
    if (o->open)
        xids_vchan_fini(o->ch);
    o->open = false;
}

static void echo(struct other *o, uint32_t len)
{
    uint8_t data[64];
    int n = xids_vchan_read(o->ch, data, len);
    if (n > 0 && o->act == ECHO_ALL)
        ck_assert_int_eq(xids_vchan_write(o->ch, data, (uint32_t)n), n);
}

static uint64_t other_step(void *ctx)
{
    struct other *o = ctx;
    bool now = xids_model_now(o->m) >= o->moment;
    while (o->platform->ops->evtchn_pending(o->platform->ctx) > 0)
        if (o->open)
            (void)xids_vchan_event(o->ch);
    switch (o->act) {
    case ECHO_ALL:
        echo(o, 64);
        return xids_vchan_arm(o->ch, 1, 0) == 1 ? XIDS_MODEL_AGAIN : XIDS_MODEL_EVENT;
    case READ_SLOWLY:
        echo(o, 10);
        return xids_model_now(o->m) + 1000;
    case SEND_LATE:
        if (now)
            ck_assert_int_eq(xids_vchan_write(o->ch, "late", 4), 4);
        return now ? XIDS_MODEL_DONE : o->moment;
    case CLOSE_LATE:
        if (now)
            close_other(o);
        return now ? XIDS_MODEL_DONE : o->moment;
    case CONNECT_LATE:
        if (now)
            ck_assert_int_eq(connect_other(o), 0);
        return now ? XIDS_MODEL_DONE : o->moment;
    case SLEEP:
        break;
    }
    return XIDS_MODEL_DONE;
}

static void stage_open(struct stage *s, enum act act)
{
    *s = (struct stage){.m = xids_model_new(3, 0)};
    ck_assert_ptr_nonnull(s->m);
    s->platform = xids_model_domain_create(s->m, 1);
    s->other = (struct other){.m = s->m, .platform = xids_model_domain_create(s->m, 2), .act = act};
    s->other.moment = xids_model_now(s->m) + 3 * SECOND;
    s->ch = malloc(xids_vchan_size());
    s->other.ch = malloc(xids_vchan_size());
    ck_assert(s->platform != NULL && s->other.platform != NULL && s->ch != NULL && s->other.ch != NULL);
    ck_assert_int_eq(xids_vchan_server_init(s->ch, s->platform, 2, 10, 11, 0), 0);
    s->other.ref = xids_vchan_ring_ref(s->ch);
    s->other.port = xids_vchan_port(s->ch);
    if (act != CONNECT_LATE)
        ck_assert_int_eq(connect_other(&s->other), 0);
    ck_assert_int_eq(xids_model_task_add(s->m, s->other.platform, other_step, &s->other), 0);
}

static void stage_close(struct stage *s)
{
    char left[500];
    close_other(&s->other);
    xids_vchan_fini(s->ch);
    unsigned int n = xids_model_check_clean(s->m, left, sizeof(left));
    ck_assert_msg(n == 0, "%s", left);
    xids_model_free(s->m);
    free(s->ch);
    free(s->other.ch);
}

static uint64_t in(const struct stage *s, uint64_t ns)
{
    return xids_model_now(s->m) + ns;
}

START_TEST(waiting_for_the_client_ends_when_it_comes)
{
    struct stage s;
    stage_open(&s, CONNECT_LATE);
    ck_assert_int_eq(xids_vchan_wait_client(s.ch, in(&s, 60 * SECOND)), 1);
    ck_assert_int_eq(xids_vchan_state(s.ch), XIDS_VCHAN_OPEN);
    ck_assert_uint_le(xids_model_now(s.m), s.other.moment + SECOND);
    stage_close(&s);
}
END_TEST

START_TEST(waiting_for_the_client_ends_at_the_deadline)
{
    struct stage s;
    stage_open(&s, CONNECT_LATE);
    uint64_t deadline = in(&s, SECOND / 2);
    ck_assert_int_eq(xids_vchan_wait_client(s.ch, deadline), 0);
    ck_assert_uint_eq(xids_model_now(s.m), deadline);
    stage_close(&s);
}
END_TEST

START_TEST(waiting_for_bytes_ends_when_they_come)
{
    struct stage s;
    stage_open(&s, SEND_LATE);
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, UINT64_MAX), 1);
    ck_assert_int_eq(xids_vchan_readable(s.ch), 4);
    stage_close(&s);
}
END_TEST

START_TEST(waiting_for_bytes_ends_at_the_deadline)
{
    struct stage s;
    stage_open(&s, SLEEP);
    uint64_t deadline = in(&s, 5 * SECOND);
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, deadline), 0);
    ck_assert_uint_eq(xids_model_now(s.m), deadline);
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, deadline), 0);
    stage_close(&s);
}
END_TEST

START_TEST(waiting_ends_when_the_peer_closes)
{
    struct stage s;
    char byte;
    stage_open(&s, CLOSE_LATE);
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, UINT64_MAX), 1);
    ck_assert_int_eq(xids_vchan_read(s.ch, &byte, 1), 0);
    stage_close(&s);
}
END_TEST

START_TEST(waiting_ends_when_the_peers_domain_dies)
{
    struct stage s;
    char byte;
    stage_open(&s, SLEEP);
    (void)xids_model_run(s.m, 10);
    ck_assert_int_eq(xids_vchan_wait_client(s.ch, UINT64_MAX), 1);
    ck_assert_int_eq(xids_model_domain_destroy(s.m, 2), 0);
    s.other.open = false;
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, in(&s, 60 * SECOND)), 1);
    ck_assert_int_eq(xids_vchan_read(s.ch, &byte, 1), -XEN_ENODEV);
    stage_close(&s);
}
END_TEST

/*
 * A peer on another CPU that sends events without end: each time we unmask the port another one has come. Time passes.
 */
static const struct xids_platform_ops *calm_ops;
static struct stage *stormy;

static int unmask_in_a_storm(void *ctx, evtchn_port_t port)
{
    int rc = calm_ops->evtchn_unmask(ctx, port);
    const struct xids_platform *peer = stormy->other.platform;
    ck_assert_int_eq(peer->ops->evtchn_notify(peer->ctx, xids_vchan_port(stormy->other.ch)), 0);
    xids_model_advance(stormy->m, 1000000);
    return rc;
}

static void storm_begins(struct stage *s, struct xids_platform_ops *ops)
{
    calm_ops = s->platform->ops;
    *ops = *calm_ops;
    ops->evtchn_unmask = unmask_in_a_storm;
    s->platform->ops = ops;
    stormy = s;
}

START_TEST(a_peer_that_sends_events_without_end_does_not_put_off_the_deadline)
{
    struct stage s;
    struct xids_platform_ops ops;
    stage_open(&s, SLEEP);
    storm_begins(&s, &ops);
    uint64_t deadline = in(&s, 5 * SECOND);
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, deadline), 0);
    ck_assert_uint_ge(xids_model_now(s.m), deadline);
    ck_assert_uint_lt(xids_model_now(s.m), deadline + SECOND);
    s.platform->ops = calm_ops;
    stage_close(&s);
}
END_TEST

START_TEST(all_is_written_and_read_though_the_ring_is_small)
{
    struct stage s;
    static uint8_t data[5000], got[5000];
    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 3u);
    stage_open(&s, ECHO_ALL);
    uint32_t sent = 0, received = 0;
    /* Pieces that the rings take; what comes back must be what went. */
    for (uint32_t at = 0; at < sizeof(data); at += 1000) {
        ck_assert_int_eq(xids_vchan_write_all(s.ch, &sent, data + at, 1000, UINT64_MAX), 0);
        ck_assert_uint_eq(sent, 1000);
        ck_assert_int_eq(xids_vchan_read_all(s.ch, &received, got + at, 1000, UINT64_MAX), 0);
        ck_assert_uint_eq(received, 1000);
    }
    ck_assert_mem_eq(got, data, sizeof(data));
    stage_close(&s);
}
END_TEST

START_TEST(writing_more_than_the_ring_waits_for_a_slow_reader)
{
    struct stage s;
    static uint8_t data[20000];
    stage_open(&s, READ_SLOWLY);
    ck_assert_int_eq(xids_vchan_write_all(s.ch, NULL, data, sizeof(data), UINT64_MAX), 0);
    ck_assert_int_eq(xids_vchan_drain(s.ch, UINT64_MAX), 0);
    ck_assert_int_eq(xids_vchan_writable(s.ch), (int)xids_vchan_write_size(s.ch));
    stage_close(&s);
}
END_TEST

START_TEST(reading_all_says_how_much_came_by_the_deadline)
{
    struct stage s;
    uint8_t data[10];
    uint32_t done = 99;
    stage_open(&s, SEND_LATE);
    ck_assert_int_eq(xids_vchan_read_all(s.ch, &done, data, 10, in(&s, 10 * SECOND)), -XEN_ETIMEDOUT);
    ck_assert_uint_eq(done, 4);
    stage_close(&s);
}
END_TEST

START_TEST(reading_all_says_that_the_peer_closed_before)
{
    struct stage s;
    uint8_t data[10];
    uint32_t done = 99;
    stage_open(&s, CLOSE_LATE);
    ck_assert_int_eq(xids_vchan_write(s.other.ch, "abc", 3), 3);
    ck_assert_int_eq(xids_vchan_read_all(s.ch, &done, data, 10, UINT64_MAX), -XEN_ENODATA);
    ck_assert_uint_eq(done, 3);
    stage_close(&s);
}
END_TEST

START_TEST(writing_all_says_what_went_before_the_peer_closed)
{
    struct stage s;
    static uint8_t data[5000];
    uint32_t done = 0;
    stage_open(&s, CLOSE_LATE);
    ck_assert_int_eq(xids_vchan_write_all(s.ch, &done, data, sizeof(data), UINT64_MAX), -XEN_ENOTCONN);
    ck_assert_uint_eq(done, xids_vchan_write_size(s.ch));
    stage_close(&s);
}
END_TEST

START_TEST(draining_says_that_the_peer_left_bytes_unread)
{
    struct stage s;
    stage_open(&s, CLOSE_LATE);
    ck_assert_int_eq(xids_vchan_write_all(s.ch, NULL, "unread", 6, UINT64_MAX), 0);
    ck_assert_int_eq(xids_vchan_drain(s.ch, UINT64_MAX), -XEN_ENOTCONN);
    stage_close(&s);
}
END_TEST

START_TEST(draining_says_that_the_peers_domain_died_before)
{
    struct stage s;
    stage_open(&s, SLEEP);
    ck_assert_int_eq(xids_vchan_write_all(s.ch, NULL, "unread", 6, UINT64_MAX), 0);
    ck_assert_int_eq(xids_model_domain_destroy(s.m, 2), 0);
    s.other.open = false;
    ck_assert_int_eq(xids_vchan_drain(s.ch, UINT64_MAX), -XEN_ENODEV);
    stage_close(&s);
}
END_TEST

START_TEST(draining_waits_after_a_half_close_too)
{
    struct stage s;
    static uint8_t data[500];
    stage_open(&s, READ_SLOWLY);
    ck_assert_int_eq(xids_vchan_write_all(s.ch, NULL, data, sizeof(data), UINT64_MAX), 0);
    ck_assert_int_eq(xids_vchan_shutdown(s.ch), 0);
    ck_assert_int_eq(xids_vchan_drain(s.ch, in(&s, 10000)), -XEN_ETIMEDOUT);
    ck_assert_int_eq(xids_vchan_drain(s.ch, UINT64_MAX), 0);
    ck_assert_int_eq(xids_vchan_unread(s.ch), 0);
    stage_close(&s);
}
END_TEST

START_TEST(draining_is_done_though_the_reader_has_closed_since)
{
    struct stage s;
    uint8_t data[6];
    stage_open(&s, CLOSE_LATE);
    ck_assert_int_eq(xids_vchan_write_all(s.ch, NULL, "all of", 6, UINT64_MAX), 0);
    ck_assert_int_eq(xids_vchan_read(s.other.ch, data, 6), 6);
    close_other(&s.other);
    ck_assert_int_eq(xids_vchan_drain(s.ch, UINT64_MAX), 0);
    stage_close(&s);
}
END_TEST

START_TEST(an_interrupted_wait_says_so)
{
    struct stage s;
    uint8_t byte;
    stage_open(&s, SLEEP);
    xids_model_fail(s.m, XIDS_MODEL_WAIT, 1);
    ck_assert_int_eq(xids_vchan_read_all(s.ch, NULL, &byte, 1, UINT64_MAX), -XEN_EINTR);
    stage_close(&s);
}
END_TEST

START_TEST(the_customary_path_is_libxenvchans)
{
    char *path = NULL;
    ck_assert_int_eq(xids_vchan_path(&path, 0, 65535, "name"), 0);
    ck_assert_str_eq(path, "/local/domain/0/data/vchan/65535/name");
    free(path);
    ck_assert_int_eq(xids_vchan_path(&path, 1, 2, ""), -XEN_EINVAL);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan wait");
    TCase *wait = tcase_create("wait");
    tcase_add_test(wait, waiting_for_the_client_ends_when_it_comes);
    tcase_add_test(wait, waiting_for_the_client_ends_at_the_deadline);
    tcase_add_test(wait, waiting_for_bytes_ends_when_they_come);
    tcase_add_test(wait, waiting_for_bytes_ends_at_the_deadline);
    tcase_add_test(wait, waiting_ends_when_the_peer_closes);
    tcase_add_test(wait, waiting_ends_when_the_peers_domain_dies);
    tcase_add_test(wait, a_peer_that_sends_events_without_end_does_not_put_off_the_deadline);
    tcase_add_test(wait, all_is_written_and_read_though_the_ring_is_small);
    tcase_add_test(wait, writing_more_than_the_ring_waits_for_a_slow_reader);
    tcase_add_test(wait, reading_all_says_how_much_came_by_the_deadline);
    tcase_add_test(wait, reading_all_says_that_the_peer_closed_before);
    tcase_add_test(wait, writing_all_says_what_went_before_the_peer_closed);
    tcase_add_test(wait, draining_says_that_the_peer_left_bytes_unread);
    tcase_add_test(wait, draining_says_that_the_peers_domain_died_before);
    tcase_add_test(wait, draining_waits_after_a_half_close_too);
    tcase_add_test(wait, draining_is_done_though_the_reader_has_closed_since);
    tcase_add_test(wait, an_interrupted_wait_says_so);
    tcase_add_test(wait, the_customary_path_is_libxenvchans);
    suite_add_tcase(suite, wait);
    return suite;
}
