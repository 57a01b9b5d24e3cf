/* SPDX-License-Identifier: ISC */
/* A guest's whole connection to its entropy server, against real sessions on a modelled machine with a real store. */
#include "tests/unit/randomd_link.h"

#define SEEDS 10

static struct dom *sd, *gd;
static struct server *s;
static struct guest *g;

static void up(uint64_t seed)
{
    world_up(&w, seed);
    source_ready = true;
    fresh = seed;
    sd = world_domain(&w, 2);
    gd = world_domain(&w, 5);
    s = server_new(sd, 5);
}

static void down(void)
{
    guest_free(g);
    server_free(s);
    world_run(&w, SECOND);
    world_down(&w);
}

static void is_seeded(const char *when, unsigned int n)
{
    uint8_t a[16], b[16];
    ck_assert_msg(world_until(&w, seeded, g, 120 * SECOND), "not seeded (%s %u): %s", when, n,
                  g->reason != NULL ? g->reason : "never refused");
    ck_assert_int_eq(xids_randomd_client_random(xids_randomd_link_client(g->link), a, sizeof(a)), 0);
    ck_assert_int_eq(xids_randomd_client_random(xids_randomd_link_client(g->link), b, sizeof(b)), 0);
    ck_assert_mem_ne(a, b, sizeof(a));
}

static void both_up(uint64_t seed)
{
    up(seed);
    server_begin(s);
    point(s);
    g = guest_up(gd);
    is_seeded("at first", 0);
}

START_TEST(a_guest_is_seeded)
{
    both_up((uint64_t)_i);
    ck_assert_uint_eq(g->refused, 0);
    ck_assert_uint_ge(g->changes, 1);
    ck_assert_str_eq(g->way, "entropy server found. channel open. seed received. ");
    down();
}
END_TEST

START_TEST(a_guest_waits_for_the_pointer_and_for_the_server)
{
    up((uint64_t)_i);
    g = guest_up(gd);
    world_run(&w, 60 * SECOND);
    ck_assert_uint_eq(g->refused, 1);
    ck_assert_uint_eq(g->changes, 0);
    ck_assert_uint_lt(gd->requests, 30);
    point(s);
    world_run(&w, 60 * SECOND);
    ck_assert_uint_eq(g->changes, 0);
    uint64_t before = xids_model_now(w.m);
    server_begin(s);
    is_seeded("the server came last", 0);
    /* Watches tell, not the clock. */
    ck_assert_uint_lt(xids_model_now(w.m) - before, SECOND);
    down();
}
END_TEST

START_TEST(a_server_without_entropy_is_waited_for)
{
    up((uint64_t)_i);
    source_ready = false;
    server_begin(s);
    point(s);
    g = guest_up(gd);
    world_run(&w, 5 * SECOND);
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_NONE);
    source_ready = true;
    ck_assert_int_eq(xids_randomd_session_renew(s->session, XIDS_RANDOMD_REASON_READY, xids_model_now(w.m)), 0);
    world_wake(sd);
    is_seeded("it became ready", 0);
    down();
}
END_TEST

START_TEST(a_farewell_is_obeyed_and_the_next_server_found)
{
    both_up((uint64_t)_i);
    uint64_t epoch = g->epoch;
    uint64_t before = xids_model_now(w.m);
    server_stop(s, true);
    world_wake(gd);
    ck_assert(world_until(&w, cut_off, g, SECOND));
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_HOST);
    server_begin(s);
    is_seeded("after a farewell", 0);
    ck_assert_uint_ne(g->epoch, epoch);
    ck_assert_uint_ge(xids_model_now(w.m) - before, 1500 * 1000000ull);
    down();
}
END_TEST

START_TEST(a_killed_server_is_followed_by_another)
{
    both_up((uint64_t)_i);
    uint64_t epoch = g->epoch;
    world_kill(sd);
    server_forget(s);
    ck_assert(world_until(&w, cut_off, g, SECOND));
    world_run(&w, (uint64_t)(_i % 3) * 20 * SECOND);
    server_begin(s);
    is_seeded("after the server was killed", 0);
    ck_assert_uint_ne(g->epoch, epoch);
    down();
}
END_TEST

START_TEST(the_server_may_move_to_another_domain)
{
    both_up((uint64_t)_i);
    world_destroy(sd);
    server_forget(s);
    ck_assert(world_until(&w, cut_off, g, 2 * XIDS_VCHAN_MEET_LOOK));
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_HOST);
    s->d = sd = world_domain(&w, 3);
    server_begin(s);
    point(s);
    is_seeded("from elsewhere", 0);
    down();
}
END_TEST

START_TEST(a_pull_outlives_the_server)
{
    both_up((uint64_t)_i);
    static uint8_t bytes[100000];
    struct xids_randomd_pull pull = {.to = bytes, .len = sizeof(bytes)};
    ck_assert_int_eq(xids_randomd_client_pull(xids_randomd_link_client(g->link), &pull), 0);
    xids_randomd_link_poke(g->link);
    world_wake(gd);
    while (pull.got <= (size_t)_i * 8000)
        world_steps(&w, 1);
    ck_assert_int_eq(pull.status, -XEN_EBUSY);
    world_kill(sd);
    server_forget(s);
    world_run(&w, SECOND);
    server_begin(s);
    is_seeded("to go on", 0);
    world_run(&w, 10 * SECOND);
    ck_assert_int_eq(pull.status, 0);
    down();
}
END_TEST

START_TEST(forgetting_on_request_brings_a_new_epoch)
{
    both_up((uint64_t)_i);
    uint64_t epoch = g->epoch;
    world_run(&w, SECOND);
    xids_randomd_client_forget(xids_randomd_link_client(g->link));
    xids_randomd_link_poke(g->link);
    g->grade = XIDS_RANDOMD_GRADE_NONE;
    world_wake(gd);
    is_seeded("once more", 0);
    world_run(&w, SECOND);
    ck_assert_uint_ne(g->epoch, epoch);
    ck_assert_uint_eq(s->offers, 1);
    down();
}
END_TEST

START_TEST(a_server_that_talks_nonsense_is_met_rarely)
{
    up((uint64_t)_i);
    s->rude = true;
    server_begin(s);
    point(s);
    g = guest_up(gd);
    world_run(&w, 120 * SECOND);
    ck_assert_int_eq(g->refused_rc, -XEN_EBADMSG);
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_ge(s->offers, 3);
    ck_assert_uint_le(s->offers, 14);
    s->rude = false;
    drop(s);
    offer(s);
    is_seeded("by a better one", 0);
    down();
}
END_TEST

START_TEST(a_pointer_that_lies_is_refused)
{
    static char long_one[400];
    const struct {
        const char *backend, *id;
    } lies[] = {
        {"", "2"},
        {"backend/randomd/5/0", "2"},
        {"@releaseDomain", "2"},
        {"/local/domain/2/backend//0", "2"},
        {"/local/domain/2/back end", "2"},
        {long_one, "2"},
        {"/local/domain/2/backend/randomd/5/0", "3"},
        {"/local/domain/22/backend/randomd/5/0", "2"},
        {"/local/domain/2", "2"},
        {"/local/domain/2/backend/randomd/5/0", "02x"},
        {"/local/domain/2/backend/randomd/5/0", "-2"},
        {"/local/domain/2/backend/randomd/5/0", ""},
        {"/local/domain/2/backend/randomd/5/0", "65538"},
        {"/local/domain/32752/backend/randomd/5/0", "32752"},
        {"/local/domain/5/backend/randomd/5/0", "5"},
        {"/", "2"},
    };
    memset(long_one, 'a', sizeof(long_one) - 1);
    memcpy(long_one, "/local/domain/2/", 16);
    for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        up(i);
        server_begin(s);
        set_pointer(5, 0, lies[i].backend, lies[i].id);
        g = guest_up(gd);
        ck_assert(world_until(&w, was_refused, g, SECOND));
        ck_assert_msg(g->refused_rc == -XEN_EBADMSG, "%s %s: %s", lies[i].backend, lies[i].id, g->reason);
        unsigned int requests = gd->requests;
        world_run(&w, 100 * SECOND);
        ck_assert_uint_le(gd->requests, requests + 3 * 12);
        ck_assert_uint_eq(world_holds(gd), 0);
        point(s);
        is_seeded("after a lie", i);
        down();
    }
}
END_TEST

START_TEST(each_request_and_call_may_fail)
{
    static const int errors[] = {-XEN_EACCES, -XEN_ENOSPC, -XEN_EAGAIN, -XEN_EIO, -XEN_ENOENT};
    for (int kind = 0; kind < 2; kind++) {
        for (unsigned int nth = 1;; nth++) {
            up((uint64_t)_i);
            gd->fail_with = errors[_i];
            *(kind == 0 ? &gd->fail_request : &gd->fail_call) = nth;
            server_begin(s);
            point(s);
            g = guest_up(gd);
            is_seeded(kind == 0 ? "request" : "call", nth);
            world_run(&w, 30 * SECOND);
            is_seeded(kind == 0 ? "after request" : "after call", nth);
            bool reached = (kind == 0 ? gd->requests : gd->calls) >= nth;
            down();
            if (!reached)
                break;
            ck_assert_uint_lt(nth, 100);
        }
    }
}
END_TEST

START_TEST(a_guest_may_be_suspended_at_any_moment)
{
    for (unsigned int steps = 0; steps < 60; steps++) {
        up((uint64_t)_i);
        server_begin(s);
        point(s);
        g = guest_up(gd);
        world_steps(&w, steps);
        for (int round = 0; round < 2; round++) {
            uint8_t byte;
            xids_loop_suspend(&gd->loop);
            ck_assert_int_eq(xids_model_domain_pause(w.m, 5), 0);
            ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_NONE);
            ck_assert_int_eq(xids_randomd_client_random(xids_randomd_link_client(g->link), &byte, 1), -XEN_EAGAIN);
            ck_assert_uint_eq(world_holds(gd), 0);
            world_run(&w, SECOND);
            ck_assert_int_eq(xids_model_domain_unpause(w.m, 5), 0);
            xids_loop_resume(&gd->loop);
            world_wake(gd);
            is_seeded("suspended after", steps);
        }
        down();
    }
}
END_TEST

START_TEST(a_guest_may_wake_up_as_another_domain)
{
    both_up((uint64_t)_i);
    xids_loop_suspend(&gd->loop);
    world_move(gd, 7);
    xids_loop_resume(&gd->loop);
    struct server *other = server_new(sd, 7);
    server_begin(other);
    point(other);
    is_seeded("as another", 0);
    server_free(other);
    down();
}
END_TEST

/* ---- a reseed page ---- */

static bool page_is_named(void *ctx)
{
    char path[64];
    snprintf(path, sizeof(path), "/local/domain/%u/" XIDS_RESEED_NODE, *(const domid_t *)ctx);
    const char *value = world_read(&w, path);
    return value != NULL && strcmp(value, "123456789012") == 0;
}

START_TEST(a_guest_names_its_reseed_page_in_every_home)
{
    struct xids_reseed_node node;
    domid_t first = 5, second = 7;
    for (unsigned int nth = 0; nth < 3; nth++) {
        world_up(&w, (uint64_t)_i);
        gd = world_domain(&w, first);
        gd->fail_with = -XEN_EACCES;
        gd->fail_request = nth;
        ck_assert_int_eq(xids_reseed_node_init(&node, gd->xs, XIDS_RESEED_FRAME_MAX + 1u), -XEN_EINVAL);
        ck_assert_int_eq(xids_reseed_node_init(&node, gd->xs, 123456789012u), 0);
        xids_loop_add(&gd->loop, xids_reseed_node_part(&node));
        world_wake(gd);
        ck_assert(world_until(&w, page_is_named, &first, 10 * SECOND));
        xids_loop_suspend(&gd->loop);
        world_move(gd, second);
        ck_assert(!page_is_named(&second));
        xids_loop_resume(&gd->loop);
        ck_assert(world_until(&w, page_is_named, &second, 10 * SECOND));
        unsigned int requests = gd->requests;
        world_run(&w, 100 * SECOND);
        ck_assert_uint_eq(gd->requests, requests);
        xids_loop_remove(&gd->loop, xids_reseed_node_part(&node));
        xids_reseed_node_fini(&node);
        world_down(&w);
    }
}
END_TEST

static bool has_copied(void *ctx)
{
    return xids_entropy_copies(ctx) > 0;
}

static bool has_epoch(void *ctx)
{
    return g->epoch != 0 && g->epoch != *(const uint64_t *)ctx;
}

/* The host writes while the guest sleeps: the next thing that it does is to begin anew. */
START_TEST(a_guest_that_was_copied_greets_its_server_anew)
{
    static _Alignas(XIDS_PAGE_SIZE) uint8_t page[XIDS_PAGE_SIZE];
    static const uint8_t seed[XIDS_RESEED_SEED] = {1}, generation[XIDS_RESEED_GENERATION] = {2};
    const struct xids_entropy_config config = {.nonce = "n"};
    struct xids_entropy entropy;
    uint8_t out[16];
    up((uint64_t)_i);
    xids_entropy_init(&entropy, &config, 0);
    xids_entropy_reseed_page(&entropy, page);
    server_begin(s);
    point(s);
    g = guest_up_with(gd, &entropy, NULL);
    ck_assert(world_until(&w, seeded, g, 10 * SECOND));
    world_run(&w, SECOND);
    uint64_t epoch = g->epoch;
    ck_assert_int_eq(xids_reseed_write((void XIDS_PEER *)page, seed, generation), 0);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    world_wake(gd);
    ck_assert(world_until(&w, has_copied, &entropy, SECOND));
    ck_assert_int_eq(xids_entropy_random(&entropy, out, sizeof(out)), 0);
    xids_randomd_link_poke(g->link);
    world_wake(gd);
    ck_assert(world_until(&w, has_epoch, &epoch, 10 * SECOND));
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_HOST);
    down();
}
END_TEST

START_TEST(many_guests_are_seeded)
{
    enum { N = 40 };
    struct server *servers[N];
    struct guest *guests[N];
    world_up(&w, (uint64_t)_i);
    source_ready = true;
    sd = world_domain(&w, 2);
    for (domid_t i = 0; i < N; i++) {
        guests[i] = guest_up(world_domain(&w, (domid_t)(10 + i)));
        servers[i] = server_new(sd, (domid_t)(10 + i));
        server_begin(servers[i]);
        point(servers[i]);
    }
    for (unsigned int i = 0; i < N; i++)
        ck_assert(world_until(&w, seeded, guests[i], 30 * SECOND));
    for (unsigned int i = 0; i < N; i++) {
        guest_free(guests[i]);
        server_free(servers[i]);
    }
    world_run(&w, SECOND);
    world_down(&w);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_link");
    TCase *t = tcase_create("randomd_link");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_guest_is_seeded, 0, SEEDS);
    tcase_add_loop_test(t, a_guest_waits_for_the_pointer_and_for_the_server, 0, SEEDS);
    tcase_add_loop_test(t, a_server_without_entropy_is_waited_for, 0, SEEDS);
    tcase_add_loop_test(t, a_farewell_is_obeyed_and_the_next_server_found, 0, SEEDS);
    tcase_add_loop_test(t, a_killed_server_is_followed_by_another, 0, SEEDS);
    tcase_add_loop_test(t, the_server_may_move_to_another_domain, 0, SEEDS);
    tcase_add_loop_test(t, a_pull_outlives_the_server, 0, SEEDS);
    tcase_add_loop_test(t, forgetting_on_request_brings_a_new_epoch, 0, SEEDS);
    tcase_add_loop_test(t, a_server_that_talks_nonsense_is_met_rarely, 0, 3);
    tcase_add_test(t, a_pointer_that_lies_is_refused);
    tcase_add_loop_test(t, each_request_and_call_may_fail, 0, 5);
    tcase_add_loop_test(t, a_guest_may_be_suspended_at_any_moment, 0, 3);
    tcase_add_loop_test(t, a_guest_may_wake_up_as_another_domain, 0, 5);
    tcase_add_loop_test(t, a_guest_names_its_reseed_page_in_every_home, 0, 3);
    tcase_add_loop_test(t, a_guest_that_was_copied_greets_its_server_anew, 0, 3);
    tcase_add_loop_test(t, many_guests_are_seeded, 0, 2);
    suite_add_tcase(suite, t);
    return suite;
}
