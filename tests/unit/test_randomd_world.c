/* SPDX-License-Identifier: ISC */
/* Entropy from domain 0 to guests over vchan, on the modelled hypervisor: schedules, deaths, failures, hostile guests.
 */
#include "tests/unit/randomd_world.h"

static struct world w;

START_TEST(guests_are_seeded_and_pull_under_any_schedule)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        world_begin(&w, seed, 3);
        world_server(&w);
        for (unsigned int i = 0; i < 3; i++)
            world_guest_start(&w.guests[i], 20000);
        ck_assert_msg(world_run(&w, 100000), "seed %llu", (unsigned long long)seed);
        ck_assert_mem_ne(w.guests[0].buf, w.guests[1].buf, 64);
        ck_assert_mem_ne(w.guests[0].buf, w.guests[2].buf, 64);
        world_end(&w);
    }
}
END_TEST

START_TEST(the_first_seed_needs_nothing_of_the_server)
{
    uint8_t out[16];
    world_begin(&w, 1, 1);
    struct world_guest *g = &w.guests[0];
    world_server(&w);
    world_kill_guest(g); /* only to have its process's tasks gone: there are none yet */
    world_guest_start(g, 100);
    ck_assert_int_eq(xids_model_domain_pause(w.m, 0), 0);
    xids_model_run(w.m, 1000);
    ck_assert_int_eq(xids_randomd_client_grade(g->client), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_int_eq(xids_randomd_client_random(g->client, out, sizeof(out)), 0);
    ck_assert_int_eq(xids_model_domain_unpause(w.m, 0), 0);
    ck_assert(world_run(&w, 10000));
    world_end(&w);
}
END_TEST

START_TEST(sixty_guests_get_sixty_different_streams)
{
    world_begin(&w, 3, GUESTS_MAX);
    world_server(&w);
    for (unsigned int i = 0; i < GUESTS_MAX; i++)
        world_guest_start(&w.guests[i], 2048);
    ck_assert(world_run(&w, 1000000));
    for (unsigned int i = 0; i < GUESTS_MAX; i++)
        for (unsigned int j = 0; j < i; j++)
            ck_assert_mem_ne(w.guests[i].buf, w.guests[j].buf, 32);
    world_end(&w);
}
END_TEST

START_TEST(nothing_stays_in_the_page_once_it_was_read)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        world_begin(&w, seed, 1);
        w.guests[0].plain = seed % 2 == 0;
        world_server(&w);
        world_guest_start(&w.guests[0], 30000);
        ck_assert(world_run(&w, 100000));
        xids_model_run(w.m, 1000); /* the last event reaches the server */
        /* Where the client does not zero, the server does, before it writes again: the last answer may lie there. */
        if (!w.guests[0].plain)
            ck_assert(all_zero(w.guests[0].page + 2048, 2048));
        world_end(&w);
        ck_assert_uint_eq(w.dirty_pages, 0);
    }
}
END_TEST

START_TEST(a_seed_that_nobody_read_does_not_outlive_its_channel)
{
    world_begin(&w, 1, 1);
    world_server(&w);
    ck_assert(!all_zero(w.guests[0].page + 2048, 2048));
    world_end(&w);
    ck_assert_uint_eq(w.dirty_pages, 0);
}
END_TEST

START_TEST(a_page_is_clean_when_its_guest_was_destroyed_with_answers_unread)
{
    world_begin(&w, 5, 1);
    struct world_guest *g = &w.guests[0];
    world_server(&w);
    world_guest_start(g, 100000);
    xids_model_run(w.m, 9);
    ck_assert_int_eq(xids_model_domain_destroy(w.m, 1), 0);
    if (g->connected) {
        g->connected = false;
        (void)xids_vchan_check_peer(g->sch); /* as at @releaseDomain */
    }
    g->platform = NULL;
    world_end(&w);
    ck_assert_uint_eq(w.dirty_pages, 0);
}
END_TEST

START_TEST(a_killed_guest_process_is_succeeded_by_another)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        world_begin(&w, seed, 2);
        world_server(&w);
        world_guest_start(&w.guests[0], 50000);
        world_guest_start(&w.guests[1], 50000);
        xids_model_run(w.m, xids_model_random(w.m) % 150);
        world_kill_guest(&w.guests[0]);
        world_guest_start(&w.guests[0], 5000);
        ck_assert_msg(world_run(&w, 200000), "seed %llu", (unsigned long long)seed);
        world_end(&w);
    }
}
END_TEST

START_TEST(a_killed_server_is_succeeded_by_another_and_pulls_go_on)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        world_begin(&w, seed, 2);
        world_server(&w);
        world_guest_start(&w.guests[0], 50000);
        world_guest_start(&w.guests[1], 50000);
        xids_model_run(w.m, 20 + xids_model_random(w.m) % 150);
        enum xids_randomd_grade before = xids_randomd_client_grade(w.guests[0].client);
        world_kill_server(&w);
        xids_model_run(w.m, 50);
        ck_assert_int_eq(xids_randomd_client_grade(w.guests[0].client), before);
        world_server(&w);
        ck_assert_msg(world_run(&w, 200000), "seed %llu", (unsigned long long)seed);
        world_end(&w);
    }
}
END_TEST

START_TEST(a_stopping_server_says_so_and_its_guests_come_back)
{
    world_begin(&w, 4, 1);
    struct world_guest *g = &w.guests[0];
    world_server(&w);
    world_guest_start(g, 1000);
    ck_assert(world_run(&w, 10000));
    xids_randomd_session_bye(g->session, XIDS_RANDOMD_CODE_STOPPING, 1500);
    ck_assert_int_eq(xids_randomd_session_serve(g->session, g->sch, xids_model_now(w.m)), -XEN_ENOTCONN);
    w.reoffers_left = 0;
    xids_model_run(w.m, 100);
    ck_assert(!g->connected);
    ck_assert_uint_eq(xids_randomd_client_retry_ms(g->client), 1500);
    ck_assert_int_eq(g->client_error, -XEN_ENOTCONN);
    world_end(&w);
}
END_TEST

/* Every call to the hypervisor fails in turn. What fails is reported, and all are seeded in the end. */
START_TEST(the_ith_failing_call_delays_but_does_not_break)
{
    static const enum xids_model_call calls[] = {XIDS_MODEL_SHARE, XIDS_MODEL_MAP, XIDS_MODEL_EVTCHN_ALLOC,
                                                 XIDS_MODEL_EVTCHN_BIND, XIDS_MODEL_EVTCHN_NOTIFY};
    for (uint64_t i = 1; i < 300; i++) {
        world_begin(&w, i, 2);
        xids_model_fail(w.m, calls[_i], i);
        world_server(&w);
        world_guest_start(&w.guests[0], 6000);
        world_guest_start(&w.guests[1], 6000);
        bool done = world_run(&w, 50000);
        bool failed = xids_model_failed(w.m);
        for (unsigned int g = 0; g < 2 && !done; g++)
            if (!world_done(&w.guests[g]))
                /* A map or bind that failed in the guest leaves the channel taken: it waits for the next one. */
                ck_assert_msg(w.guests[g].client_error != 0 || w.guests[g].server_error != 0, "call %llu: silent stall",
                              (unsigned long long)i);
        world_end(&w);
        if (!failed) {
            ck_assert(done);
            return;
        }
    }
}
END_TEST

/* ---- hostile guests ---- */

/* A guest of ours that speaks the vchan by hand. */
static void connect_raw(struct world_guest *g, struct xids_vchan *ch)
{
    ck_assert_int_eq(xids_vchan_client_init(ch, g->platform, 0, xids_vchan_ring_ref(g->sch), xids_vchan_port(g->sch),
                                            XIDS_VCHAN_PLAIN),
                     0);
}

START_TEST(a_guest_that_never_reads_gets_two_answers_and_no_more)
{
    uint8_t m[1024];
    world_begin(&w, 1, 1);
    struct world_guest *g = &w.guests[0];
    struct xids_vchan *ch = malloc(xids_vchan_size());
    world_server(&w);
    connect_raw(g, ch);
    size_t len = make_hello(m, 0, 1, 1);
    for (uint32_t i = 1; len + GET_LEN <= sizeof(m); i++)
        len += make_get(m + len, i, 4);
    ck_assert_int_eq(xids_vchan_send(ch, m, (uint32_t)len), (int)len);
    xids_model_run(w.m, 1000);
    ck_assert_int_eq(xids_vchan_readable(ch), SEED_LEN + WELCOME_LEN + 20);
    /* As it reads on, it gets one for one. */
    ck_assert_int_eq(xids_vchan_recv(ch, m, SEED_LEN + WELCOME_LEN), SEED_LEN + WELCOME_LEN);
    ck_assert_int_eq(xids_vchan_arm(ch, 1000, 0), 0);
    xids_model_run(w.m, 1000);
    ck_assert_int_eq(xids_vchan_readable(ch), 40);
    xids_vchan_fini(ch);
    free(ch);
    world_end(&w);
}
END_TEST

START_TEST(a_guest_that_leaves_with_requests_unanswered_costs_nothing)
{
    uint8_t m[1024];
    world_begin(&w, 1, 1);
    struct world_guest *g = &w.guests[0];
    struct xids_vchan *ch = malloc(xids_vchan_size());
    world_server(&w);
    connect_raw(g, ch);
    size_t len = make_hello(m, 0, 1, 1);
    for (uint32_t i = 1; len + GET_LEN <= sizeof(m); i++)
        len += make_get(m + len, i, 1024);
    ck_assert_int_eq(xids_vchan_send(ch, m, (uint32_t)len), (int)len);
    xids_model_run(w.m, 1000);
    xids_vchan_fini(ch);
    uint64_t ran = xids_model_run(w.m, 1000);
    ck_assert_uint_lt(ran, 1000); /* the server sleeps */
    ck_assert_uint_eq(g->offers, 2);
    free(ch);
    world_end(&w);
}
END_TEST

START_TEST(garbage_closes_one_channel_and_harms_nobody_else)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint8_t m[600];
        world_begin(&w, seed, 2);
        struct xids_vchan *ch = malloc(xids_vchan_size());
        world_server(&w);
        connect_raw(&w.guests[0], ch);
        world_guest_start(&w.guests[1], 20000);
        for (unsigned int i = 0; i < sizeof(m); i++)
            m[i] = (uint8_t)xids_model_random(w.m);
        m[0] = 0xff; /* certainly no type of a guest's */
        ck_assert_int_eq(xids_vchan_send(ch, m, sizeof(m)), sizeof(m));
        ck_assert(world_run(&w, 100000));
        xids_model_run(w.m, 100);
        ck_assert_int_eq(w.guests[0].server_error, -XEN_EBADMSG);
        ck_assert_uint_eq(w.guests[0].offers, 2);
        ck_assert_int_eq(w.guests[1].server_error, 0);
        xids_vchan_fini(ch);
        free(ch);
        world_end(&w);
    }
}
END_TEST

static const struct {
    unsigned int offset; /* in the page: left.cons 0, left.prod 4, right.cons 8, right.prod 12 */
    uint32_t value;
} indices[] = {{4, 0xffffffffu}, {4, 1025}, {4, 0x80000000u}, {8, 1u << 20}, {8, 0xffffffffu}, {8, 2049}};

START_TEST(an_impossible_index_breaks_that_channel_alone)
{
    world_begin(&w, 1, 2);
    struct world_guest *g = &w.guests[0];
    struct xids_vchan *ch = malloc(xids_vchan_size());
    world_server(&w);
    connect_raw(g, ch);
    world_guest_start(&w.guests[1], 20000);
    xids_model_run(w.m, 5);
    memcpy(g->page + indices[_i].offset, &indices[_i].value, 4);
    ck_assert_int_eq(g->platform->ops->evtchn_notify(g->platform->ctx, xids_vchan_port(ch)), 0);
    ck_assert(world_run(&w, 100000));
    ck_assert_int_eq(g->server_error, -XEN_EBADMSG);
    ck_assert_int_eq(w.guests[1].server_error, 0);
    xids_vchan_fini(ch);
    free(ch);
    world_end(&w);
}
END_TEST

START_TEST(a_lying_server_leaves_the_client_with_an_error)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        world_begin(&w, seed, 1);
        struct world_guest *g = &w.guests[0];
        world_server(&w);
        w.reoffers_left = 0;
        world_guest_start(g, 2000000);
        /* What the ring would look like in an attacker's hands, again and again. */
        for (unsigned int round = 0; round < 200; round++) {
            xids_model_run(w.m, 7);
            if (!g->connected)
                break;
            for (unsigned int i = 0; i < 2048; i++)
                g->page[2048 + i] = (uint8_t)xids_model_random(w.m);
            if (g->offered)
                ck_assert_int_eq(w.dom0->ops->evtchn_notify(w.dom0->ctx, xids_vchan_port(g->sch)), 0);
        }
        ck_assert(!g->connected);
        ck_assert(g->client_error == -XEN_EBADMSG || g->client_error == -XEN_ENOTCONN);
        ck_assert_int_eq(g->pull.status, -XEN_EBUSY);
        world_end(&w);
    }
}
END_TEST

START_TEST(a_host_without_entropy_says_so_until_it_has_some)
{
    world_begin(&w, 1, 1);
    struct world_guest *g = &w.guests[0];
    w.source.rc = -XEN_EAGAIN;
    world_server(&w);
    world_guest_start(g, 100);
    xids_model_run(w.m, 300);
    ck_assert(g->connected);
    ck_assert_int_eq(xids_randomd_client_grade(g->client), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_eq(xids_randomd_client_epoch(g->client), 0);
    w.source.rc = 0;
    ck_assert(world_run(&w, 10000));
    ck_assert_int_eq(xids_randomd_client_grade(g->client), XIDS_RANDOMD_GRADE_HOST);
    world_end(&w);
}
END_TEST

START_TEST(worlds_of_deaths_end_seeded_and_clean)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        world_begin(&w, seed, 3);
        world_server(&w);
        for (unsigned int i = 0; i < 3; i++)
            world_guest_start(&w.guests[i], 8000);
        for (unsigned int deaths = 0; deaths < 4; deaths++) {
            xids_model_run(w.m, xids_model_random(w.m) % 60);
            unsigned int who = (unsigned int)(xids_model_random(w.m) % 4);
            if (who == 3) {
                world_kill_server(&w);
                world_server(&w);
            } else {
                world_kill_guest(&w.guests[who]);
                world_guest_start(&w.guests[who], 8000);
            }
        }
        ck_assert_msg(world_run(&w, 200000), "seed %llu", (unsigned long long)seed);
        world_end(&w);
    }
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_world");
    TCase *t = tcase_create("world");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, guests_are_seeded_and_pull_under_any_schedule);
    tcase_add_test(t, the_first_seed_needs_nothing_of_the_server);
    tcase_add_test(t, sixty_guests_get_sixty_different_streams);
    tcase_add_test(t, nothing_stays_in_the_page_once_it_was_read);
    tcase_add_test(t, a_seed_that_nobody_read_does_not_outlive_its_channel);
    tcase_add_test(t, a_page_is_clean_when_its_guest_was_destroyed_with_answers_unread);
    tcase_add_test(t, a_killed_guest_process_is_succeeded_by_another);
    tcase_add_test(t, a_killed_server_is_succeeded_by_another_and_pulls_go_on);
    tcase_add_test(t, a_stopping_server_says_so_and_its_guests_come_back);
    tcase_add_loop_test(t, the_ith_failing_call_delays_but_does_not_break, 0, 5);
    tcase_add_test(t, a_guest_that_never_reads_gets_two_answers_and_no_more);
    tcase_add_test(t, a_guest_that_leaves_with_requests_unanswered_costs_nothing);
    tcase_add_test(t, garbage_closes_one_channel_and_harms_nobody_else);
    tcase_add_loop_test(t, an_impossible_index_breaks_that_channel_alone, 0, COUNT(indices));
    tcase_add_test(t, a_lying_server_leaves_the_client_with_an_error);
    tcase_add_test(t, a_host_without_entropy_says_so_until_it_has_some);
    tcase_add_test(t, worlds_of_deaths_end_seeded_and_clean);
    suite_add_tcase(s, t);
    return s;
}
