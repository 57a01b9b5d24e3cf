/* SPDX-License-Identifier: ISC */
/*
 * vchan, spinning: over the model, whose clock here goes on by itself at each look at it, as a CPU's does. A peer is
 * "running" when it acts while we look at the clock, and "asleep" or on our CPU when it acts only while we sleep.
 */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/model.h>
#include <xids/vchan_open.h>

/* What a look at the clock takes, with the looks at the channel since the one before, in ns. */
#define TICK 500u
#define SLEEP 6000u

struct stage {
    struct xids_model *m;
    struct xids_platform *platform, *peer_platform;
    const struct xids_platform_ops *plain[2];
    struct xids_platform_ops ops[2];
    struct xids_vchan *ch, *peer;
    /* The peer echoes what we sent this long ago (ns), running; or only in our sleep. */
    uint64_t answers_after;
    bool running;
    bool robs;    /* it takes our CPU while we spin, and answers then */
    uint64_t due; /* 0: nothing */
    int seen;     /* what the other side can read, or write, at the last notification */
    unsigned int clock_looks, notifies, waits, takes, unmasks;
};

static struct stage *stage; /* the platform's functions have no room for it */

static void peer_acts(struct stage *s)
{
    uint8_t data[256];
    int n = xids_vchan_read(s->peer, data, sizeof(data));
    s->due = 0;
    if (n > 0)
        ck_assert_int_eq(xids_vchan_write(s->peer, data, (uint32_t)n), n);
    ck_assert_int_eq(xids_vchan_flush(s->peer), 0);
}

static uint64_t op_now(void *ctx)
{
    struct stage *s = stage;
    s->clock_looks++;
    xids_model_advance(s->m, TICK);
    if (s->running && s->due != 0 && xids_model_now(s->m) >= s->due)
        peer_acts(s);
    uint64_t now = s->plain[0]->now(ctx);
    if (s->robs && s->due != 0) {
        xids_model_advance(s->m, 1000000);
        peer_acts(s);
    }
    return now;
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    struct stage *s = stage;
    s->notifies++;
    s->seen = ctx == s->platform->ctx ? xids_vchan_readable(s->peer) : xids_vchan_writable(s->ch);
    return s->plain[0]->evtchn_notify(ctx, port);
}

/* Sleeping: the peer gets our CPU, or wakes up. */
static int op_wait(void *ctx, uint64_t deadline)
{
    struct stage *s = stage;
    s->waits++;
    xids_model_advance(s->m, SLEEP);
    if (s->due != 0) {
        if (s->due > xids_model_now(s->m))
            xids_model_advance(s->m, s->due - xids_model_now(s->m));
        peer_acts(s);
    }
    return s->plain[0]->wait(ctx, deadline);
}

static int op_pending(void *ctx)
{
    stage->takes++;
    return stage->plain[0]->evtchn_pending(ctx);
}

static int op_unmask(void *ctx, evtchn_port_t port)
{
    stage->unmasks++;
    return stage->plain[0]->evtchn_unmask(ctx, port);
}

static void stage_open(struct stage *s, unsigned int flags)
{
    *s = (struct stage){.m = xids_model_new(5, 0)};
    ck_assert_ptr_nonnull(s->m);
    s->platform = xids_model_domain_create(s->m, 1);
    s->peer_platform = xids_model_domain_create(s->m, 2);
    s->ch = malloc(xids_vchan_size());
    s->peer = malloc(xids_vchan_size());
    ck_assert(s->platform != NULL && s->peer_platform != NULL && s->ch != NULL && s->peer != NULL);
    ck_assert_int_eq(xids_vchan_server_init(s->ch, s->platform, 2, 12, 12, flags), 0);
    ck_assert_int_eq(
        xids_vchan_client_init(s->peer, s->peer_platform, 1, xids_vchan_ring_ref(s->ch), xids_vchan_port(s->ch), flags),
        0);
    ck_assert_int_eq(xids_vchan_wait_client(s->ch, UINT64_MAX), 1);
    stage = s;
    s->plain[0] = s->platform->ops;
    s->ops[0] = *s->plain[0];
    s->ops[0].now = op_now;
    s->ops[0].wait = op_wait;
    s->ops[0].evtchn_notify = op_notify;
    s->ops[0].evtchn_pending = op_pending;
    s->ops[0].evtchn_unmask = op_unmask;
    s->platform->ops = &s->ops[0];
    s->plain[1] = s->peer_platform->ops;
    s->ops[1] = *s->plain[1];
    s->ops[1].evtchn_notify = op_notify;
    s->peer_platform->ops = &s->ops[1];
    /* What setting up left behind: an event each, and the requests for one. */
    while (s->plain[0]->evtchn_pending(s->platform->ctx) > 0)
        (void)xids_vchan_event(s->ch);
    while (s->plain[1]->evtchn_pending(s->peer_platform->ctx) > 0)
        (void)xids_vchan_event(s->peer);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(xids_vchan_write(s->ch, "x", 1), 1);
        ck_assert_int_eq(xids_vchan_flush(s->ch), 0);
        peer_acts(s);
        ck_assert_int_eq(xids_vchan_flush(s->peer), 0);
        uint8_t byte;
        ck_assert_int_eq(xids_vchan_read(s->ch, &byte, 1), 1);
        ck_assert_int_eq(xids_vchan_flush(s->ch), 0);
    }
    xids_model_advance(s->m, 1); /* 0 would be no moment for due */
    s->clock_looks = s->notifies = s->waits = s->takes = s->unmasks = 0;
}

static void stage_close(struct stage *s)
{
    char left[500];
    s->platform->ops = s->plain[0];
    s->peer_platform->ops = s->plain[1];
    xids_vchan_fini(s->peer);
    xids_vchan_fini(s->ch);
    unsigned int n = xids_model_check_clean(s->m, left, sizeof(left));
    ck_assert_msg(n == 0, "%s", left);
    xids_model_free(s->m);
    free(s->ch);
    free(s->peer);
}

/* One message there and back with calls that block. How many ns it took. */
static uint64_t round_trip(struct stage *s)
{
    uint8_t data[32], back[32];
    static uint8_t serial;
    memset(data, ++serial, sizeof(data));
    uint64_t before = xids_model_now(s->m);
    ck_assert_int_eq(xids_vchan_write_all(s->ch, NULL, data, sizeof(data), UINT64_MAX), 0);
    s->due = before + s->answers_after;
    ck_assert_int_eq(xids_vchan_read_all(s->ch, NULL, back, sizeof(back), UINT64_MAX), 0);
    ck_assert_mem_eq(data, back, sizeof(data));
    return xids_model_now(s->m) - before;
}

/* The ns that n round trips spent on spinning: all the looks at the clock, which passes for nothing else. */
static uint64_t spun_in(struct stage *s, unsigned int n)
{
    unsigned int before = s->clock_looks;
    for (unsigned int i = 0; i < n; i++)
        (void)round_trip(s);
    return (uint64_t)(s->clock_looks - before) * TICK;
}

/* ---- the call ---- */

START_TEST(a_spin_meets_a_running_peer)
{
    struct stage s;
    uint8_t byte;
    stage_open(&s, 0);
    s.running = true;
    ck_assert_int_eq(xids_vchan_write(s.ch, "a", 1), 1);
    s.due = xids_model_now(s.m) + 3 * TICK;
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 0, 100000), 1);
    ck_assert_int_eq(xids_vchan_read(s.ch, &byte, 1), 1);
    ck_assert_uint_eq(s.notifies, 0);
    ck_assert_uint_le(s.clock_looks, 5);
    stage_close(&s);
}
END_TEST

START_TEST(a_spin_ends_with_its_budget)
{
    struct stage s;
    stage_open(&s, 0);
    uint64_t before = xids_model_now(s.m);
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 0, 100000), 0);
    uint64_t took = xids_model_now(s.m) - before;
    ck_assert_uint_ge(took, 100000);
    ck_assert_uint_le(took, 100000 + 2 * TICK);
    stage_close(&s);
}
END_TEST

START_TEST(a_spin_ends_where_the_clock_stands_still)
{
    struct stage s;
    stage_open(&s, 0);
    s.platform->ops = s.plain[0];
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 0, 100000), 0);
    stage_close(&s);
}
END_TEST

START_TEST(a_spin_publishes_what_is_gathered)
{
    struct stage s;
    stage_open(&s, XIDS_VCHAN_BATCH);
    ck_assert_int_eq(xids_vchan_write(s.ch, "a", 1), 1);
    ck_assert_int_eq(xids_vchan_readable(s.peer), 0);
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 0, 0), 0);
    ck_assert_int_eq(xids_vchan_readable(s.peer), 1);
    stage_close(&s);
}
END_TEST

START_TEST(a_spin_leaves_no_request_for_an_event)
{
    struct stage s;
    stage_open(&s, 0);
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 1, 1000), 1); /* there is room */
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 0, 1000), 0);
    ck_assert_int_eq(xids_vchan_write(s.peer, "a", 1), 1);
    ck_assert_uint_eq(s.notifies, 0);
    stage_close(&s);
}
END_TEST

START_TEST(a_spin_says_that_the_peer_has_gone)
{
    struct stage s;
    stage_open(&s, 0);
    struct xids_vchan *end = s.peer;
    xids_vchan_fini(end);
    ck_assert_int_eq(xids_vchan_spin(s.ch, 1, 0, 100000), 1);
    ck_assert_uint_eq(s.clock_looks, 0);
    /* For stage_close. */
    s.platform->ops = s.plain[0];
    s.peer_platform->ops = s.plain[1];
    ck_assert_int_eq(xids_vchan_reoffer(s.ch), 0);
    ck_assert_int_eq(
        xids_vchan_client_init(end, s.peer_platform, 1, xids_vchan_ring_ref(s.ch), xids_vchan_port(s.ch), 0), 0);
    stage_close(&s);
}
END_TEST

START_TEST(a_spin_for_more_than_the_ring_is_refused)
{
    struct stage s;
    stage_open(&s, 0);
    ck_assert_int_eq(xids_vchan_spin(s.ch, 4097, 0, 1), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_spin(s.ch, 0, 4097, 1), -XEN_EMSGSIZE);
    stage_close(&s);
}
END_TEST

/* ---- the calls that block ---- */

START_TEST(no_call_is_made_while_the_peer_runs)
{
    struct stage s;
    stage_open(&s, _i != 0 ? XIDS_VCHAN_BATCH : 0);
    s.running = true;
    s.answers_after = 1000;
    for (int i = 0; i < 1000; i++)
        (void)round_trip(&s);
    ck_assert_uint_eq(s.waits + s.notifies + s.takes + s.unmasks, 0);
    stage_close(&s);
}
END_TEST

START_TEST(nobody_spins_where_it_is_forbidden)
{
    struct stage s;
    stage_open(&s, 0);
    xids_vchan_set_spin(s.ch, 0);
    s.running = true;
    s.answers_after = 1000;
    /* One look at the clock says how long a sleep may last. */
    ck_assert_uint_eq(spun_in(&s, 100), 100 * TICK);
    ck_assert_uint_eq(s.waits, 100);
    stage_close(&s);
}
END_TEST

/* The peer has its answer before we spend calls on the event that told of its question. */
START_TEST(an_event_is_taken_before_the_next_sleep)
{
    struct stage s;
    stage_open(&s, 0);
    xids_vchan_set_spin(s.ch, 0);
    for (unsigned int i = 0; i < 10; i++) {
        ck_assert_uint_eq(s.waits, i);
        (void)round_trip(&s);
        ck_assert_uint_eq(s.waits, i + 1);
        ck_assert_uint_eq(s.takes, i);
        ck_assert_uint_eq(s.unmasks, i);
    }
    stage_close(&s);
}
END_TEST

/* A peer that acts only while we sleep: there are a few spins in vain, and then one in more and more sleeps. */
START_TEST(spins_in_vain_die_out)
{
    struct stage s;
    stage_open(&s, 0);
    ck_assert_uint_ge(spun_in(&s, 1), XIDS_VCHAN_SPIN);
    (void)spun_in(&s, 5000);
    uint64_t spun = spun_in(&s, 5000) - 5000ull * 2 * TICK;
    ck_assert_uint_le(spun, 5000ull * SLEEP / 100);
    ck_assert_uint_gt(spun, 0); /* it is tried still */
    stage_close(&s);
}
END_TEST

/* What such a spin finds it would have found after a sleep too, which leaves the CPU at once. */
START_TEST(a_spin_that_loses_the_cpu_to_the_peer_was_in_vain)
{
    struct stage s;
    stage_open(&s, 0);
    s.robs = true;
    for (int i = 0; i < 5000; i++)
        (void)round_trip(&s);
    ck_assert_uint_ge(s.waits, 4950);
    stage_close(&s);
}
END_TEST

/* A peer that takes its time is not worth a trial at all. */
START_TEST(a_slow_peer_is_not_spun_for)
{
    struct stage s;
    stage_open(&s, 0);
    s.running = true;
    s.answers_after = 1000000;
    (void)spun_in(&s, 20);
    ck_assert_uint_eq(spun_in(&s, 5000), 5000ull * 2 * TICK);
    stage_close(&s);
}
END_TEST

START_TEST(spins_come_back_with_a_fast_peer)
{
    struct stage s;
    stage_open(&s, 0);
    (void)spun_in(&s, 5000);
    s.running = true;
    s.answers_after = 1000;
    /* The longest rest is over, and one success is enough. */
    (void)spun_in(&s, 1100);
    s.waits = s.notifies = 0;
    (void)spun_in(&s, 1000);
    ck_assert_uint_eq(s.waits + s.notifies, 0);
    stage_close(&s);
}
END_TEST

START_TEST(a_single_spin_in_vain_does_not_end_it)
{
    struct stage s;
    stage_open(&s, 0);
    s.answers_after = 1000;
    for (int i = 0; i < 100; i++) {
        s.running = i % 2 == 0;
        s.waits = 0;
        (void)round_trip(&s);
        ck_assert_uint_eq(s.waits, s.running ? 0 : 1);
    }
    stage_close(&s);
}
END_TEST

START_TEST(a_deadline_ends_a_spin_too)
{
    struct stage s;
    stage_open(&s, 0);
    uint64_t deadline = xids_model_now(s.m) + 5000;
    ck_assert_int_eq(xids_vchan_wait(s.ch, 1, 0, deadline), 0);
    ck_assert_uint_le(xids_model_now(s.m), deadline + 4 * TICK);
    ck_assert_uint_eq(s.waits, 0);
    stage_close(&s);
}
END_TEST

/* ---- large copies ---- */

START_TEST(a_large_copy_is_published_by_quarters_of_the_ring)
{
    struct stage s;
    static uint8_t data[4096], got[4096];
    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 5 + i / 256);
    stage_open(&s, _i != 0 ? XIDS_VCHAN_BATCH : 0);
    /* One who sleeps is woken by the first of them, and can work while we copy on. */
    ck_assert_int_eq(xids_vchan_arm(s.peer, 1, 0), 0);
    ck_assert_int_eq(xids_vchan_write(s.ch, data, 4096), 4096);
    ck_assert_int_eq(s.seen, 1024);
    ck_assert_int_eq(xids_vchan_arm(s.ch, 0, 1), 0);
    ck_assert_int_eq(xids_vchan_read(s.peer, got, 4096), 4096);
    ck_assert_int_eq(s.seen, 1024);
    ck_assert_mem_eq(got, data, 4096);
    ck_assert_uint_eq(s.notifies, 2);
    stage_close(&s);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan spin");
    TCase *call = tcase_create("call");
    tcase_add_test(call, a_spin_meets_a_running_peer);
    tcase_add_test(call, a_spin_ends_with_its_budget);
    tcase_add_test(call, a_spin_ends_where_the_clock_stands_still);
    tcase_add_test(call, a_spin_publishes_what_is_gathered);
    tcase_add_test(call, a_spin_leaves_no_request_for_an_event);
    tcase_add_test(call, a_spin_says_that_the_peer_has_gone);
    tcase_add_test(call, a_spin_for_more_than_the_ring_is_refused);
    suite_add_tcase(suite, call);
    TCase *blocking = tcase_create("blocking");
    tcase_add_loop_test(blocking, no_call_is_made_while_the_peer_runs, 0, 2);
    tcase_add_test(blocking, nobody_spins_where_it_is_forbidden);
    tcase_add_test(blocking, an_event_is_taken_before_the_next_sleep);
    tcase_add_test(blocking, spins_in_vain_die_out);
    tcase_add_test(blocking, a_spin_that_loses_the_cpu_to_the_peer_was_in_vain);
    tcase_add_test(blocking, a_slow_peer_is_not_spun_for);
    tcase_add_test(blocking, spins_come_back_with_a_fast_peer);
    tcase_add_test(blocking, a_single_spin_in_vain_does_not_end_it);
    tcase_add_test(blocking, a_deadline_ends_a_spin_too);
    suite_add_tcase(suite, blocking);
    TCase *copies = tcase_create("copies");
    tcase_add_loop_test(copies, a_large_copy_is_published_by_quarters_of_the_ring, 0, 2);
    suite_add_tcase(suite, copies);
    return suite;
}
