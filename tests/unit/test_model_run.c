/* SPDX-License-Identifier: ISC */
/* The model's clock and scheduler, its failures and its report of what is left. */
#include "tests/unit/model_fixture.h"

#include <string.h>

/* ---- time and tasks ---- */

struct counter {
    unsigned int steps, limit;
    uint64_t returns;
    char **trace; /* where the next name goes */
    char name;
};

static uint64_t count_step(void *ctx)
{
    struct counter *c = ctx;
    c->steps++;
    if (c->trace)
        *(*c->trace)++ = c->name;
    return c->steps == c->limit ? XIDS_MODEL_DONE : c->returns;
}

START_TEST(a_new_task_runs_until_it_is_done)
{
    struct counter c = {.limit = 7, .returns = XIDS_MODEL_AGAIN};
    ck_assert_int_eq(xids_model_task_add(m, a, count_step, &c), 0);
    ck_assert_uint_eq(xids_model_run(m, 100), 7);
    ck_assert_uint_eq(c.steps, 7);
}
END_TEST

START_TEST(run_stops_at_its_limit)
{
    struct counter c = {.returns = XIDS_MODEL_AGAIN};
    ck_assert_int_eq(xids_model_task_add(m, a, count_step, &c), 0);
    ck_assert_uint_eq(xids_model_run(m, 100), 100);
}
END_TEST

START_TEST(a_task_without_event_does_not_run_again)
{
    evtchn_port_t pa, pb;
    struct counter c = {.returns = XIDS_MODEL_EVENT, .limit = 2};
    connect_ports(&pa, &pb);
    ck_assert_int_eq(xids_model_task_add(m, b, count_step, &c), 0);
    ck_assert_uint_eq(xids_model_run(m, 100), 1);
    ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, pa), 0);
    ck_assert_uint_eq(xids_model_run(m, 100), 1);
}
END_TEST

START_TEST(the_clock_jumps_to_the_next_deadline)
{
    struct counter early = {.returns = 100, .limit = 2}, late = {.returns = 1000000, .limit = 2};
    ck_assert_int_eq(xids_model_task_add(m, a, count_step, &late), 0);
    ck_assert_int_eq(xids_model_task_add(m, b, count_step, &early), 0);
    ck_assert_uint_eq(xids_model_run(m, 2), 2);
    ck_assert_uint_eq(xids_model_now(m), 0);
    ck_assert_uint_eq(xids_model_run(m, 1), 1);
    ck_assert_uint_eq(xids_model_now(m), 100);
    ck_assert_uint_eq(early.steps, 2);
    ck_assert_uint_eq(xids_model_run(m, 9), 1);
    ck_assert_uint_eq(xids_model_now(m), 1000000);
    ck_assert_uint_eq(a->ops->now(a->ctx), 1000000);
}
END_TEST

START_TEST(time_that_passes_makes_deadlines_come)
{
    struct counter c = {.returns = 500, .limit = 2};
    ck_assert_int_eq(xids_model_task_add(m, a, count_step, &c), 0);
    ck_assert_uint_eq(xids_model_run(m, 1), 1);
    xids_model_advance(m, 700);
    ck_assert_uint_eq(xids_model_run(m, 1), 1);
    ck_assert_uint_eq(xids_model_now(m), 700);
}
END_TEST

START_TEST(a_paused_domains_tasks_rest)
{
    struct counter c = {.returns = XIDS_MODEL_AGAIN, .limit = 3};
    ck_assert_int_eq(xids_model_task_add(m, b, count_step, &c), 0);
    ck_assert_int_eq(xids_model_domain_pause(m, 5), 0);
    ck_assert_uint_eq(xids_model_run(m, 10), 0);
    ck_assert_int_eq(xids_model_domain_unpause(m, 5), 0);
    ck_assert_uint_eq(xids_model_run(m, 10), 3);
}
END_TEST

START_TEST(a_dead_domains_tasks_are_gone)
{
    struct counter c = {.returns = XIDS_MODEL_AGAIN};
    ck_assert_int_eq(xids_model_task_add(m, b, count_step, &c), 0);
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    ck_assert_uint_eq(xids_model_run(m, 10), 0);
    ck_assert_int_eq(xids_model_task_add(m, b, count_step, &c), -XEN_ENODEV);
}
END_TEST

static uint64_t suicide_step(void *ctx)
{
    unsigned int *steps = ctx;
    ++*steps;
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    return XIDS_MODEL_AGAIN;
}

START_TEST(a_task_may_destroy_its_own_domain)
{
    unsigned int steps = 0;
    ck_assert_int_eq(xids_model_task_add(m, b, suicide_step, &steps), 0);
    ck_assert_uint_eq(xids_model_run(m, 10), 1);
    ck_assert_uint_eq(steps, 1);
    clean();
}
END_TEST

/* The order in which three tasks of 20 steps each ran, and the trace. */
static uint64_t schedule(char *order, uint64_t seed)
{
    struct xids_model *world = xids_model_new(seed, 0);
    const struct xids_platform *p = xids_model_domain_create(world, 0);
    struct counter c[3];
    char *at = order;
    order[60] = 0;
    for (int i = 0; i < 3; i++) {
        c[i] = (struct counter){.limit = 20, .trace = &at, .name = (char)('a' + i)};
        ck_assert_int_eq(xids_model_task_add(world, p, count_step, &c[i]), 0);
    }
    ck_assert_uint_eq(xids_model_run(world, 1000), 60);
    uint64_t trace = xids_model_trace(world);
    xids_model_free(world);
    return trace;
}

START_TEST(the_same_seed_runs_the_same_way)
{
    char one[61], two[61];
    for (uint64_t seed = 0; seed < 50; seed++) {
        uint64_t t = schedule(one, seed), u = schedule(two, seed);
        ck_assert_str_eq(one, two);
        ck_assert_uint_eq(t, u);
    }
}
END_TEST

START_TEST(other_seeds_run_other_ways)
{
    char one[61], two[61];
    uint64_t t = schedule(one, 1), u = schedule(two, 2);
    ck_assert_str_ne(one, two);
    ck_assert_uint_ne(t, u);
}
END_TEST

START_TEST(the_tests_own_numbers_come_from_the_seed)
{
    struct xids_model *x = xids_model_new(7, 0), *y = xids_model_new(7, 0);
    ck_assert_uint_eq(xids_model_seed(x), 7);
    uint64_t first = xids_model_random(x);
    ck_assert_uint_eq(first, xids_model_random(y));
    ck_assert_uint_ne(first, xids_model_random(x));
    xids_model_free(x);
    xids_model_free(y);
}
END_TEST

struct pinger {
    struct xids_platform *p;
    evtchn_port_t port;
    uint64_t at;
};

static uint64_t ping_step(void *ctx)
{
    struct pinger *g = ctx;
    if (g->p->ops->now(g->p->ctx) < g->at)
        return g->at;
    ck_assert_int_eq(g->p->ops->evtchn_notify(g->p->ctx, g->port), 0);
    return XIDS_MODEL_DONE;
}

START_TEST(wait_runs_the_others_until_an_event_comes)
{
    evtchn_port_t pa, pb;
    connect_ports(&pa, &pb);
    struct pinger g = {a, pa, 5000};
    ck_assert_int_eq(xids_model_task_add(m, a, ping_step, &g), 0);
    ck_assert_int_eq(b->ops->wait(b->ctx, 1000000), 1);
    ck_assert_uint_eq(xids_model_now(m), 5000);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), (int)pb);
}
END_TEST

START_TEST(wait_ends_at_its_deadline)
{
    evtchn_port_t pa, pb;
    connect_ports(&pa, &pb);
    struct pinger g = {a, pa, 5000};
    ck_assert_int_eq(xids_model_task_add(m, a, ping_step, &g), 0);
    ck_assert_int_eq(b->ops->wait(b->ctx, 3000), 0);
    ck_assert_uint_eq(xids_model_now(m), 3000);
    ck_assert_int_eq(b->ops->wait(b->ctx, 0), 0);
}
END_TEST

START_TEST(a_wait_that_nothing_can_end_says_so)
{
    ck_assert_int_eq(b->ops->wait(b->ctx, UINT64_MAX), -XEN_EDEADLK);
    ck_assert_int_eq(xids_model_domain_pause(m, 5), 0);
    ck_assert_int_eq(b->ops->wait(b->ctx, 1000), -XEN_EDEADLK);
}
END_TEST

/* ---- failures ---- */

static int call(enum xids_model_call which)
{
    static void *page;
    static grant_ref_t ref, shared;
    static int port, bound;
    void XIDS_PEER *area;
    struct xids_grant_copy c = {.domid = 0, .ref = ref, .len = 1, .memory = report};
    switch (which) {
    case XIDS_MODEL_PAGE_ALLOC:
        return a->ops->page_alloc(a->ctx, &page, 1);
    case XIDS_MODEL_GRANT:
        return a->ops->grant(a->ctx, &ref, 5, page, 0);
    case XIDS_MODEL_SHARE:
        return a->ops->share(a->ctx, &page, &shared, 5, 1, 0, NULL);
    case XIDS_MODEL_MAP:
        return b->ops->map(b->ctx, &area, &ref, 0, 1, 0, NULL);
    case XIDS_MODEL_COPY:
        c.ref = ref;
        (void)!b->ops->copy(b->ctx, &c, 1);
        return c.status;
    case XIDS_MODEL_EVTCHN_ALLOC:
        port = a->ops->evtchn_alloc(a->ctx, 5);
        return port < 0 ? port : 0;
    case XIDS_MODEL_EVTCHN_BIND:
        bound = b->ops->evtchn_bind(b->ctx, 0, (evtchn_port_t)port);
        return bound < 0 ? bound : 0;
    case XIDS_MODEL_EVTCHN_BIND_VIRQ:
        bound = a->ops->evtchn_bind_virq(a->ctx, VIRQ_DOM_EXC);
        return bound < 0 ? bound : 0;
    case XIDS_MODEL_EVTCHN_NOTIFY:
        return a->ops->evtchn_notify(a->ctx, (evtchn_port_t)port);
    case XIDS_MODEL_EVTCHN_UNMASK:
        return a->ops->evtchn_unmask(a->ctx, (evtchn_port_t)port);
    case XIDS_MODEL_WAIT:
        return b->ops->wait(b->ctx, 0) < 0 ? -XEN_EINTR : 0;
    case XIDS_MODEL_ALLOC:
        return xids_model_alloc(m)->get(xids_model_alloc(m)->ctx, 10) ? 0 : -XEN_ENOMEM;
    case XIDS_MODEL_CALLS:
        break;
    }
    return -XEN_ENOSYS;
}

static const int failures[XIDS_MODEL_CALLS] = {
    [XIDS_MODEL_PAGE_ALLOC] = -XEN_ENOMEM,  [XIDS_MODEL_GRANT] = -XEN_ENOSPC,
    [XIDS_MODEL_SHARE] = -XEN_ENOSPC,       [XIDS_MODEL_MAP] = -XEN_ENOMEM,
    [XIDS_MODEL_COPY] = -XEN_EAGAIN,        [XIDS_MODEL_EVTCHN_ALLOC] = -XEN_ENOSPC,
    [XIDS_MODEL_EVTCHN_BIND] = -XEN_ENOSPC, [XIDS_MODEL_EVTCHN_BIND_VIRQ] = -XEN_ENOSPC,
    [XIDS_MODEL_EVTCHN_NOTIFY] = -XEN_EIO,  [XIDS_MODEL_EVTCHN_UNMASK] = -XEN_EIO,
    [XIDS_MODEL_WAIT] = -XEN_EINTR,         [XIDS_MODEL_ALLOC] = -XEN_ENOMEM,
};

START_TEST(the_wanted_call_fails_once_and_in_vain)
{
    for (int i = 0; i < _i; i++)
        ck_assert_int_eq(call((enum xids_model_call)i), 0);
    xids_model_fail(m, (enum xids_model_call)_i, 1);
    ck_assert(!xids_model_failed(m));
    ck_assert_int_eq(call((enum xids_model_call)_i), failures[_i]);
    ck_assert(xids_model_failed(m));
    ck_assert_int_eq(call((enum xids_model_call)_i), 0);
    ck_assert_uint_eq(xids_model_calls(m, (enum xids_model_call)_i), 2);
}
END_TEST

START_TEST(the_nth_call_of_any_kind_fails)
{
    for (uint64_t n = 1; n <= XIDS_MODEL_CALLS; n++) {
        teardown();
        setup();
        xids_model_fail(m, XIDS_MODEL_CALLS, n);
        for (int i = 0; i < (int)n - 1; i++)
            ck_assert_int_eq(call((enum xids_model_call)i), 0);
        ck_assert_int_eq(call((enum xids_model_call)(n - 1)), failures[n - 1]);
        ck_assert_uint_eq(xids_model_calls(m, XIDS_MODEL_CALLS), n);
    }
}
END_TEST

START_TEST(a_failure_can_be_cancelled)
{
    xids_model_fail(m, XIDS_MODEL_PAGE_ALLOC, 1);
    xids_model_fail(m, XIDS_MODEL_PAGE_ALLOC, 0);
    ck_assert_int_eq(call(XIDS_MODEL_PAGE_ALLOC), 0);
    ck_assert(!xids_model_failed(m));
}
END_TEST

/* ---- the report ---- */

static void finds(const char *what)
{
    ck_assert_uint_gt(xids_model_check_clean(m, report, sizeof(report)), 0);
    ck_assert_msg(strstr(report, what) != NULL, "'%s' is not in:\n%s", what, report);
}

START_TEST(a_new_world_is_clean)
{
    clean();
    ck_assert_str_eq(report, "");
}
END_TEST

START_TEST(a_planted_page_is_found)
{
    ck_assert_int_eq(call(XIDS_MODEL_PAGE_ALLOC), 0);
    finds("domain 0: page in frame 1, mapped 0 times");
}
END_TEST

START_TEST(a_planted_grant_is_found)
{
    ck_assert_int_eq(call(XIDS_MODEL_PAGE_ALLOC), 0);
    ck_assert_int_eq(call(XIDS_MODEL_GRANT), 0);
    finds("domain 0: grant 8 of frame 1 to domain 5, mapped 0 times");
}
END_TEST

START_TEST(a_planted_share_is_found)
{
    ck_assert_int_eq(call(XIDS_MODEL_SHARE), 0);
    finds("domain 0: share of 1 pages from frame 1 with domain 5");
}
END_TEST

START_TEST(a_planted_map_is_found)
{
    ck_assert_int_eq(call(XIDS_MODEL_PAGE_ALLOC), 0);
    ck_assert_int_eq(call(XIDS_MODEL_GRANT), 0);
    ck_assert_int_eq(call(XIDS_MODEL_MAP), 0);
    finds("domain 5: map of 1 pages of domain 0");
}
END_TEST

START_TEST(a_planted_port_is_found)
{
    ck_assert_int_eq(call(XIDS_MODEL_EVTCHN_ALLOC), 0);
    finds("domain 0: port 1, remote domain 5");
}
END_TEST

START_TEST(a_planted_allocation_is_found)
{
    ck_assert_int_eq(call(XIDS_MODEL_ALLOC), 0);
    finds("allocation 1 of 10 bytes");
}
END_TEST

START_TEST(a_page_that_outlived_its_domain_is_found)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    ck_assert_int_eq(b->ops->share(b->ctx, &pages, &ref, 0, 1, 0, NULL), 0);
    ck_assert_int_eq(a->ops->map(a->ctx, &area, &ref, 5, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    finds("no domain: page in frame 1, mapped 1 times");
    ck_assert_int_eq(a->ops->unmap(a->ctx, area, 1), 0);
    clean();
}
END_TEST

START_TEST(allocations_given_back_are_not_leaks)
{
    const struct xids_alloc *al = xids_model_alloc(m);
    void *x = al->get(al->ctx, 100), *y = al->get(al->ctx, 0);
    memset(x, 1, 100);
    al->put(al->ctx, x, 100);
    al->put(al->ctx, y, 0);
    al->put(al->ctx, NULL, 0);
    clean();
}
END_TEST

START_TEST(misuse_is_reported)
{
    void *p;
    grant_ref_t ref;
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &p, 2), 0);
    ck_assert_int_eq(a->ops->grant(a->ctx, &ref, 5, p, 0), 0);
    a->ops->page_free(a->ctx, p, 2);
    finds("pages freed while granted");
    ck_assert_int_eq(a->ops->grant_end(a->ctx, ref), 0);
    a->ops->page_free(a->ctx, p, 2);
    a->ops->page_free(a->ctx, p, 2);
    finds("misuse, 2 in all");
}
END_TEST

START_TEST(an_area_must_be_given_back_as_it_was_made)
{
    void *p;
    grant_ref_t refs[2];
    void XIDS_PEER *area;
    ck_assert_int_eq(a->ops->share(a->ctx, &p, refs, 5, 2, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, refs, 0, 2, 0, NULL), 0);
    ck_assert_int_eq(b->ops->unmap(b->ctx, area, 1), -XEN_EINVAL);
    ck_assert_int_eq(b->ops->unmap(b->ctx, (char XIDS_PEER *)area + XIDS_PAGE_SIZE, 1), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->unshare(a->ctx, p, 1), -XEN_EINVAL);
    finds("misuse, 3 in all, first: domain 5: an area unmapped that was not mapped so");
}
END_TEST

START_TEST(memory_put_with_another_size_is_reported)
{
    const struct xids_alloc *al = xids_model_alloc(m);
    al->put(al->ctx, al->get(al->ctx, 100), 99);
    finds("memory put with another size");
}
END_TEST

START_TEST(a_report_that_does_not_fit_is_cut)
{
    char small[10];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(call(XIDS_MODEL_EVTCHN_ALLOC), 0);
    ck_assert_uint_eq(xids_model_check_clean(m, small, sizeof(small)), 3);
    ck_assert_str_eq(small, "domain 0:");
    ck_assert_uint_eq(xids_model_check_clean(m, NULL, 0), 3);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("model_run");
    TCase *t = tcase_create("scheduler");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_new_task_runs_until_it_is_done);
    tcase_add_test(t, run_stops_at_its_limit);
    tcase_add_test(t, a_task_without_event_does_not_run_again);
    tcase_add_test(t, the_clock_jumps_to_the_next_deadline);
    tcase_add_test(t, time_that_passes_makes_deadlines_come);
    tcase_add_test(t, a_paused_domains_tasks_rest);
    tcase_add_test(t, a_dead_domains_tasks_are_gone);
    tcase_add_test(t, a_task_may_destroy_its_own_domain);
    tcase_add_test(t, the_same_seed_runs_the_same_way);
    tcase_add_test(t, other_seeds_run_other_ways);
    tcase_add_test(t, the_tests_own_numbers_come_from_the_seed);
    tcase_add_test(t, wait_runs_the_others_until_an_event_comes);
    tcase_add_test(t, wait_ends_at_its_deadline);
    tcase_add_test(t, a_wait_that_nothing_can_end_says_so);
    suite_add_tcase(s, t);

    t = tcase_create("failures");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, the_wanted_call_fails_once_and_in_vain, 0, XIDS_MODEL_CALLS);
    tcase_add_test(t, the_nth_call_of_any_kind_fails);
    tcase_add_test(t, a_failure_can_be_cancelled);
    suite_add_tcase(s, t);

    t = tcase_create("report");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_new_world_is_clean);
    tcase_add_test(t, a_planted_page_is_found);
    tcase_add_test(t, a_planted_grant_is_found);
    tcase_add_test(t, a_planted_share_is_found);
    tcase_add_test(t, a_planted_map_is_found);
    tcase_add_test(t, a_planted_port_is_found);
    tcase_add_test(t, a_planted_allocation_is_found);
    tcase_add_test(t, a_page_that_outlived_its_domain_is_found);
    tcase_add_test(t, allocations_given_back_are_not_leaks);
    tcase_add_test(t, misuse_is_reported);
    tcase_add_test(t, an_area_must_be_given_back_as_it_was_made);
    tcase_add_test(t, memory_put_with_another_size_is_reported);
    tcase_add_test(t, a_report_that_does_not_fit_is_cut);
    suite_add_tcase(s, t);

    return s;
}
