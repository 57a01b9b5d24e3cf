/* SPDX-License-Identifier: ISC */
/* The main loop of engines: who gets which event, in which order, when it sleeps, and what may change meanwhile. */
#include "tests/unit/suite.h"

#include <string.h>
#include <xids/loop.h>
#include <xids/model.h>

#define PORTS 200u

static struct xids_model *m;
static struct xids_platform *a, *b; /* domain 5, whose loop it is, and its peer, domain 0 */
static struct xids_loop loop;
static char story[64]; /* a letter for each call of a part, in order */
static evtchn_port_t theirs[PORTS];

struct part {
    struct xids_part part;
    char name;
    evtchn_port_t ports[PORTS];
    unsigned int count, events, steps;
    bool spin; /* sends itself another event for each that it gets, through the peer's port 0 */
    uint64_t due;
    void (*in_event)(struct part *self);
    void (*in_step)(struct part *self);
    void (*in_suspend)(struct part *self);
    struct part *other;
};

static void tell(char what)
{
    size_t len = strlen(story);
    ck_assert_uint_lt(len + 1, sizeof(story));
    story[len] = what;
}

static bool part_event(void *ctx, evtchn_port_t port)
{
    struct part *p = ctx;
    for (unsigned int i = 0; i < p->count; i++) {
        if (p->ports[i] != port)
            continue;
        p->events++;
        ck_assert_int_eq(a->ops->evtchn_unmask(a->ctx, port), 0);
        if (p->spin)
            ck_assert_int_eq(b->ops->evtchn_notify(b->ctx, theirs[0]), 0);
        if (p->in_event != NULL)
            p->in_event(p);
        return true;
    }
    return false;
}

static uint64_t part_step(void *ctx, uint64_t now)
{
    struct part *p = ctx;
    ck_assert_uint_eq(now, xids_model_now(m));
    p->steps++;
    tell(p->name);
    if (p->in_step != NULL)
        p->in_step(p);
    return p->due;
}

static void part_suspend(void *ctx)
{
    struct part *p = ctx;
    tell((char)(p->name - 'a' + 'A'));
    if (p->in_suspend != NULL)
        p->in_suspend(p);
}

static void part_resume(void *ctx)
{
    struct part *p = ctx;
    tell(p->name);
    tell('!');
}

static void part_init(struct part *p, char name)
{
    *p = (struct part){.name = name, .due = UINT64_MAX};
    p->part = (struct xids_part){
        .event = part_event, .step = part_step, .suspend = part_suspend, .resume = part_resume, .ctx = p};
}

/* Connects count ports of p's with the peer's. */
static void part_ports(struct part *p, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        int port = a->ops->evtchn_alloc(a->ctx, 0);
        ck_assert_int_gt(port, 0);
        p->ports[p->count++] = (evtchn_port_t)port;
        port = b->ops->evtchn_bind(b->ctx, 5, (evtchn_port_t)port);
        ck_assert_int_gt(port, 0);
        theirs[i] = (evtchn_port_t)port;
        /* The first event of a bound port means nothing. */
        ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), port);
        ck_assert_int_eq(b->ops->evtchn_unmask(b->ctx, theirs[i]), 0);
    }
}

static void flood(unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        ck_assert_int_eq(b->ops->evtchn_notify(b->ctx, theirs[i]), 0);
}

static void setup(void)
{
    m = xids_model_new(7, 0);
    b = xids_model_domain_create(m, 0);
    a = xids_model_domain_create(m, 5);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    xids_loop_init(&loop, a);
    memset(story, 0, sizeof(story));
}

static void teardown(void)
{
    ck_assert_ptr_null(loop.walks);
    xids_model_free(m);
}

START_TEST(a_part_gets_its_own_events_and_all_are_stepped_in_order)
{
    struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    part_ports(&y, 1);
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    xids_loop_add(&loop, &x.part); /* already in */
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_uint_eq(x.events, 0);
    ck_assert_uint_eq(y.events, 1);
    ck_assert_str_eq(story, "xy");
    ck_assert_uint_eq(loop.strays, 0);
}
END_TEST

START_TEST(a_flood_does_not_keep_the_steps_from_their_turn)
{
    struct part x;
    part_init(&x, 'x');
    part_ports(&x, PORTS);
    xids_loop_add(&loop, &x.part);
    flood(PORTS);
    for (unsigned int i = 1; i <= 3; i++) {
        ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
        ck_assert_uint_eq(x.events, i * XIDS_LOOP_EVENTS);
        ck_assert_uint_eq(x.steps, i);
    }
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_uint_eq(x.events, PORTS);
}
END_TEST

START_TEST(a_flood_does_not_hide_the_callers_deadline)
{
    struct part x;
    part_init(&x, 'x');
    part_ports(&x, 1);
    x.spin = true;
    xids_loop_add(&loop, &x.part);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, 1000), 1);
    xids_model_advance(m, 1000);
    ck_assert_int_eq(xids_loop_turn(&loop, 1000), 0);
    ck_assert_uint_eq(x.events, 2 * XIDS_LOOP_EVENTS);
    ck_assert_uint_eq(x.steps, 2);
}
END_TEST

START_TEST(an_event_that_nobody_owns_is_counted_and_stays_masked)
{
    struct part x, none;
    part_init(&x, 'x');
    part_init(&none, 'n');
    none.part.event = NULL;
    part_ports(&none, 1);
    xids_loop_add(&loop, &none.part);
    xids_loop_add(&loop, &x.part);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, 1000), 0);
    ck_assert_uint_eq(loop.strays, 1);
    ck_assert_uint_eq(x.events, 0);
}
END_TEST

START_TEST(it_sleeps_until_the_earliest_deadline)
{
    struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    x.due = 900;
    y.due = 400;
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_uint_eq(xids_model_now(m), 400);
    y.due = UINT64_MAX;
    ck_assert_int_eq(xids_loop_turn(&loop, 700), 0);
    ck_assert_uint_eq(xids_model_now(m), 700);
    ck_assert_int_eq(xids_loop_turn(&loop, 900), 0);
    ck_assert_uint_eq(xids_model_now(m), 900);
}
END_TEST

START_TEST(who_wants_to_go_on_does_so_after_the_others)
{
    struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    x.due = 0;
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_str_eq(story, "xyxy");
    ck_assert_uint_eq(xids_model_calls(m, XIDS_MODEL_WAIT), 0);
}
END_TEST

START_TEST(a_deadline_of_zero_never_sleeps)
{
    struct part x;
    part_init(&x, 'x');
    part_ports(&x, 1);
    xids_loop_add(&loop, &x.part);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
    ck_assert_uint_eq(x.events, 1);
    ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
    ck_assert_uint_eq(x.steps, 2);
    ck_assert_uint_eq(xids_model_calls(m, XIDS_MODEL_WAIT), 0);
}
END_TEST

static uint64_t notify_late(void *ctx)
{
    unsigned int *calls = ctx;
    if ((*calls)++ == 0)
        return 5000;
    flood(1);
    return XIDS_MODEL_DONE;
}

START_TEST(an_event_ends_the_sleep)
{
    struct part x;
    unsigned int calls = 0;
    part_init(&x, 'x');
    part_ports(&x, 1);
    xids_loop_add(&loop, &x.part);
    ck_assert_int_eq(xids_model_task_add(m, b, notify_late, &calls), 0);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_uint_eq(xids_model_now(m), 5000);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_uint_eq(x.events, 1);
}
END_TEST

START_TEST(the_platforms_errors_come_through)
{
    struct part x;
    part_init(&x, 'x');
    xids_loop_add(&loop, &x.part);
    xids_model_fail(m, XIDS_MODEL_WAIT, 1);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), -XEN_EINTR);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), -XEN_EDEADLK);
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), -XEN_ENODEV);
    ck_assert_uint_eq(x.steps, 2);
}
END_TEST

/* ---- changes from inside ---- */

static void remove_other(struct part *self)
{
    xids_loop_remove(&loop, &self->other->part);
}

static void add_other(struct part *self)
{
    xids_loop_add(&loop, &self->other->part);
}

START_TEST(parts_may_be_removed_inside_a_turn)
{
    /* Who removes whom: itself, the one behind, the one before, the last. */
    static const char *const want[3][3] = {
        {"abcbc", "acac", "abab"}, {"abcbc", "abcac", "abab"}, {"abcbc", "abcac", "abcab"}};
    for (unsigned int who = 0; who < 3; who++) {
        for (unsigned int whom = 0; whom < 3; whom++) {
            struct part p[3];
            teardown();
            setup();
            for (unsigned int i = 0; i < 3; i++) {
                part_init(&p[i], (char)('a' + i));
                xids_loop_add(&loop, &p[i].part);
            }
            p[who].other = &p[whom];
            p[who].in_step = remove_other;
            ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
            ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
            ck_assert_str_eq(story, want[who][whom]);
            xids_loop_remove(&loop, &p[whom].part);
        }
    }
}
END_TEST

START_TEST(a_part_may_go_with_its_own_event)
{
    struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    part_ports(&x, 1);
    x.in_event = remove_other;
    x.other = &x;
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_str_eq(story, "yy");
    ck_assert_uint_eq(x.events, 1);
    ck_assert_uint_eq(loop.strays, 1);
}
END_TEST

START_TEST(a_part_added_inside_a_turn_has_its_step_in_it)
{
    struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    x.in_step = add_other;
    x.other = &y;
    xids_loop_add(&loop, &x.part);
    ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
    ck_assert_str_eq(story, "xy");
    xids_loop_remove(&loop, &x.part);
    xids_loop_remove(&loop, &y.part);
    ck_assert_ptr_null(loop.parts);
    ck_assert_ptr_null(loop.last);
    xids_loop_add(&loop, &y.part);
    ck_assert_ptr_eq(loop.parts, &y.part);
}
END_TEST

/* ---- suspending ---- */

START_TEST(the_last_added_is_suspended_first_and_resumed_last)
{
    struct part p[3], bare;
    for (unsigned int i = 0; i < 3; i++) {
        part_init(&p[i], (char)('a' + i));
        xids_loop_add(&loop, &p[i].part);
    }
    part_init(&bare, 'z');
    bare.part.suspend = bare.part.resume = NULL;
    xids_loop_add(&loop, &bare.part);
    xids_loop_resume(&loop); /* nothing: it runs */
    xids_loop_suspend(&loop);
    xids_loop_suspend(&loop);
    ck_assert_str_eq(story, "CBA");
    xids_loop_resume(&loop);
    xids_loop_resume(&loop);
    ck_assert_str_eq(story, "CBAa!b!c!");
}
END_TEST

START_TEST(a_suspended_part_is_not_stepped)
{
    struct part x;
    part_init(&x, 'x');
    part_ports(&x, 1);
    xids_loop_add(&loop, &x.part);
    xids_loop_suspend(&loop);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
    ck_assert_str_eq(story, "X");
    ck_assert_uint_eq(x.events, 0);
    xids_loop_resume(&loop);
    ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
    ck_assert_str_eq(story, "Xx!x");
    ck_assert_uint_eq(x.events, 1);
}
END_TEST

static void suspend_now(struct part *self)
{
    (void)self;
    xids_loop_suspend(&loop);
}

static void suspend_and_resume(struct part *self)
{
    self->in_step = NULL;
    xids_loop_suspend(&loop);
    xids_loop_resume(&loop);
}

START_TEST(a_part_may_suspend_all_from_inside_a_turn)
{
    struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    x.in_step = suspend_now;
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_str_eq(story, "xYX");
    xids_loop_resume(&loop);
    memset(story, 0, sizeof(story));
    x.in_step = suspend_and_resume;
    x.due = 0;
    ck_assert_int_eq(xids_loop_turn(&loop, UINT64_MAX), 1);
    ck_assert_str_eq(story, "xYXx!y!y");
}
END_TEST

static bool suspends_and_declines(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    xids_loop_suspend(&loop);
    return false;
}

START_TEST(an_event_that_suspends_all_is_shown_to_nobody_else)
{
    static struct part x, y;
    part_init(&x, 'x');
    part_init(&y, 'y');
    x.part.event = suspends_and_declines;
    part_ports(&y, 1);
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    flood(1);
    ck_assert_int_eq(xids_loop_turn(&loop, 0), 0);
    ck_assert_uint_eq(y.events, 0);
    ck_assert_uint_eq(loop.strays, 1);
    xids_loop_resume(&loop);
    ck_assert_int_eq(a->ops->evtchn_close(a->ctx, y.ports[0]), 0);
}
END_TEST

START_TEST(a_part_may_go_while_all_are_suspended)
{
    struct part x, y, z;
    part_init(&x, 'x');
    part_init(&y, 'y');
    part_init(&z, 'z');
    z.in_suspend = remove_other;
    z.other = &y;
    x.in_suspend = add_other;
    x.other = &y;
    xids_loop_add(&loop, &x.part);
    xids_loop_add(&loop, &y.part);
    xids_loop_add(&loop, &z.part);
    xids_loop_suspend(&loop);
    xids_loop_resume(&loop);
    ck_assert_str_eq(story, "ZXx!z!y!");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_part_gets_its_own_events_and_all_are_stepped_in_order);
    tcase_add_test(t, a_flood_does_not_keep_the_steps_from_their_turn);
    tcase_add_test(t, a_flood_does_not_hide_the_callers_deadline);
    tcase_add_test(t, an_event_that_nobody_owns_is_counted_and_stays_masked);
    tcase_add_test(t, it_sleeps_until_the_earliest_deadline);
    tcase_add_test(t, who_wants_to_go_on_does_so_after_the_others);
    tcase_add_test(t, a_deadline_of_zero_never_sleeps);
    tcase_add_test(t, an_event_ends_the_sleep);
    tcase_add_test(t, the_platforms_errors_come_through);
    tcase_add_test(t, parts_may_be_removed_inside_a_turn);
    tcase_add_test(t, a_part_may_go_with_its_own_event);
    tcase_add_test(t, a_part_added_inside_a_turn_has_its_step_in_it);
    tcase_add_test(t, the_last_added_is_suspended_first_and_resumed_last);
    tcase_add_test(t, a_suspended_part_is_not_stepped);
    tcase_add_test(t, a_part_may_suspend_all_from_inside_a_turn);
    tcase_add_test(t, an_event_that_suspends_all_is_shown_to_nobody_else);
    tcase_add_test(t, a_part_may_go_while_all_are_suspended);
    suite_add_tcase(s, t);
    return s;
}
