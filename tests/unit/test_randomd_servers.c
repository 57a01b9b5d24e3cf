/* SPDX-License-Identifier: ISC */
/* A guest with two entropy servers, and one with none, on a modelled machine with a real store. */
#include "tests/unit/randomd_link.h"

#define SEEDS 10
#define GUEST 5

static struct dom *doms[2], *gd;
static struct server *servers[2];
static struct guest *g;
static struct xids_entropy entropy;
static struct xids_local local;

/* Two service domains, of which the nth has device n, if at all. */
static void up(uint64_t seed)
{
    static const struct xids_entropy_config config = {.nonce = "differs"};
    world_up(&w, seed);
    source_ready = true;
    fresh = seed;
    gd = world_domain(&w, GUEST);
    for (unsigned int i = 0; i < 2; i++) {
        doms[i] = world_domain(&w, (domid_t)(2 + i));
        servers[i] = server_new(doms[i], GUEST);
        servers[i]->number = i;
    }
    xids_entropy_init(&entropy, &config, 0);
}

static void serve(unsigned int i)
{
    server_begin(servers[i]);
    point(servers[i]);
}

static void down(void)
{
    guest_free(g);
    server_free(servers[0]);
    server_free(servers[1]);
    world_run(&w, SECOND);
    world_down(&w);
}

static bool has(unsigned int i)
{
    return xids_entropy_server_age(&entropy, i, xids_model_now(w.m)) != UINT64_MAX;
}

static bool both(void *ctx)
{
    (void)ctx;
    return has(0) && has(1) && seeded(g);
}

static void is_seeded(void)
{
    uint8_t a[16], b[16];
    ck_assert_msg(world_until(&w, seeded, g, 60 * SECOND), "not seeded: %s", g->reason != NULL ? g->reason : "");
    ck_assert_int_eq(xids_entropy_random(&entropy, a, sizeof(a)), 0);
    ck_assert_int_eq(xids_entropy_random(&entropy, b, sizeof(b)), 0);
    ck_assert_mem_ne(a, b, sizeof(a));
}

static void both_up(uint64_t seed)
{
    up(seed);
    serve(0);
    serve(1);
    g = guest_up_with(gd, &entropy, NULL);
    ck_assert(world_until(&w, both, NULL, 10 * SECOND));
}

static uint64_t epoch(unsigned int i)
{
    return xids_randomd_client_epoch(xids_randomd_link_server(g->link, i));
}

START_TEST(both_servers_feed_one_generator)
{
    both_up((uint64_t)_i);
    ck_assert_uint_eq(g->refused, 0);
    ck_assert_ptr_eq(xids_randomd_link_entropy(g->link), &entropy);
    ck_assert_ptr_null(xids_randomd_link_server(g->link, XIDS_ENTROPY_SERVERS));
    world_run(&w, SECOND);
    ck_assert_uint_ne(epoch(0), 0);
    ck_assert_uint_ne(epoch(1), 0);
    ck_assert_uint_ne(epoch(0), epoch(1));
    ck_assert_uint_eq(g->epoch, epoch(0));
    ck_assert(!has(2) && !has(3));
    down();
}
END_TEST

START_TEST(the_first_word_of_host_means_both)
{
    up((uint64_t)_i);
    serve(0);
    serve(1);
    g = guest_up_with(gd, &entropy, NULL);
    while (g->grade != XIDS_RANDOMD_GRADE_HOST)
        world_steps(&w, 1);
    ck_assert(has(0) && has(1));
    down();
}
END_TEST

START_TEST(either_is_enough)
{
    unsigned int there = (unsigned int)_i % 2;
    up((uint64_t)_i);
    serve(there);
    g = guest_up_with(gd, &entropy, NULL);
    is_seeded();
    ck_assert(has(there) && !has(1 - there));
    /* The other comes later. */
    serve(1 - there);
    ck_assert(world_until(&w, both, NULL, 10 * SECOND));
    down();
}
END_TEST

START_TEST(a_server_that_is_only_promised_costs_a_moment)
{
    unsigned int there = (unsigned int)_i % 2;
    up((uint64_t)_i);
    serve(there);
    point(servers[1 - there]);
    g = guest_up_with(gd, &entropy, NULL);
    uint64_t before = xids_model_now(w.m);
    is_seeded();
    ck_assert_uint_lt(xids_model_now(w.m) - before, SECOND);
    down();
}
END_TEST

START_TEST(a_server_that_talks_nonsense_concerns_nobody_else)
{
    unsigned int rude = (unsigned int)_i % 2;
    up((uint64_t)_i);
    servers[rude]->rude = true;
    serve(0);
    serve(1);
    g = guest_up_with(gd, &entropy, NULL);
    is_seeded();
    world_run(&w, 30 * SECOND);
    ck_assert_int_eq(g->refused_rc, -XEN_EBADMSG);
    is_seeded();
    ck_assert(has(1 - rude) && !has(rude));
    ck_assert_uint_ne(epoch(1 - rude), 0);
    ck_assert_uint_eq(servers[1 - rude]->offers, 1);
    down();
}
END_TEST

START_TEST(a_dead_server_takes_nothing_with_it)
{
    unsigned int dead = (unsigned int)_i % 2;
    both_up((uint64_t)_i);
    world_kill(doms[dead]);
    server_forget(servers[dead]);
    world_run(&w, 10 * SECOND);
    ck_assert_uint_eq(epoch(dead), 0);
    ck_assert_uint_ne(epoch(1 - dead), 0);
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_HOST);
    ck_assert(has(dead));
    is_seeded();
    /* What is left is enough to begin again. */
    xids_entropy_forget(&entropy);
    world_wake(gd);
    world_run(&w, SECOND);
    ck_assert(has(1 - dead) && !has(dead));
    is_seeded();
    server_begin(servers[dead]);
    ck_assert(world_until(&w, both, NULL, 30 * SECOND));
    down();
}
END_TEST

START_TEST(forgetting_renews_both_sessions)
{
    both_up((uint64_t)_i);
    world_run(&w, SECOND);
    uint64_t before[2] = {epoch(0), epoch(1)};
    xids_randomd_client_forget(xids_randomd_link_server(g->link, (unsigned int)_i % 2));
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    xids_randomd_link_poke(g->link);
    world_wake(gd);
    world_run(&w, SECOND);
    ck_assert(has(0) && has(1));
    ck_assert_uint_ne(epoch(0), before[0]);
    ck_assert_uint_ne(epoch(1), before[1]);
    down();
}
END_TEST

START_TEST(doubt_of_one_has_both_asked)
{
    unsigned int one = (unsigned int)_i % 2;
    both_up((uint64_t)_i);
    world_run(&w, SECOND);
    uint64_t before = xids_model_now(w.m), other = epoch(1 - one);
    ck_assert_int_eq(xids_randomd_session_renew(servers[one]->session, XIDS_RANDOMD_REASON_RESTORED, before), 0);
    world_wake(doms[one]);
    world_run(&w, SECOND);
    ck_assert_uint_eq(xids_entropy_doubts(&entropy), 1);
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_HOST);
    for (unsigned int i = 0; i < 2; i++)
        ck_assert_uint_le(xids_entropy_server_age(&entropy, i, xids_model_now(w.m)), xids_model_now(w.m) - before);
    ck_assert_uint_eq(epoch(1 - one), other);
    down();
}
END_TEST

/* What a guest has in the end whose servers' source is constant for those told, and begins at from for the others. */
static void output(uint8_t out[32], bool lie0, bool lie1, uint64_t from)
{
    up(1);
    fresh = from;
    servers[0]->constant = lie0;
    servers[1]->constant = lie1;
    serve(0);
    serve(1);
    g = guest_up_with(gd, &entropy, NULL);
    ck_assert(world_until(&w, both, NULL, 10 * SECOND));
    world_run(&w, SECOND);
    ck_assert_int_eq(xids_entropy_random(&entropy, out, 32), 0);
    down();
}

START_TEST(one_honest_server_makes_the_output_its_own)
{
    uint8_t a[32], b[32];
    output(a, true, true, 1);
    output(b, true, true, 2);
    ck_assert_mem_eq(a, b, 32); /* all else is the same: what follows is the honest server's doing */
    output(a, true, false, 1);
    output(b, true, false, 2);
    ck_assert_mem_ne(a, b, 32);
    output(a, false, true, 1);
    output(b, false, true, 2);
    ck_assert_mem_ne(a, b, 32);
}
END_TEST

START_TEST(a_guest_may_be_suspended_at_any_moment)
{
    for (unsigned int steps = 0; steps < 80; steps += 2) {
        uint8_t byte;
        up((uint64_t)_i);
        serve(0);
        serve(1);
        g = guest_up_with(gd, &entropy, NULL);
        world_steps(&w, steps);
        xids_loop_suspend(&gd->loop);
        ck_assert_int_eq(xids_model_domain_pause(w.m, GUEST), 0);
        ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_NONE);
        ck_assert_int_eq(xids_entropy_random(&entropy, &byte, 1), -XEN_EAGAIN);
        ck_assert_uint_eq(world_holds(gd), 0);
        world_run(&w, SECOND);
        ck_assert_int_eq(xids_model_domain_unpause(w.m, GUEST), 0);
        xids_loop_resume(&gd->loop);
        world_wake(gd);
        ck_assert(world_until(&w, both, NULL, 20 * SECOND));
        down();
    }
}
END_TEST

START_TEST(each_request_may_fail)
{
    static const int errors[] = {-XEN_EACCES, -XEN_EAGAIN, -XEN_EIO, -XEN_ENOENT};
    for (unsigned int nth = 1;; nth++) {
        up((uint64_t)_i);
        gd->fail_with = errors[_i];
        gd->fail_request = nth;
        serve(0);
        serve(1);
        g = guest_up_with(gd, &entropy, NULL);
        is_seeded();
        bool reached = gd->requests >= nth;
        down();
        if (!reached)
            break;
        ck_assert_uint_lt(nth, 100);
    }
}
END_TEST

START_TEST(strange_names_beside_the_pointers_are_nobodys)
{
    static const char *const names[] = {"4", "01", "1x", "x1", "10", "-1", "a/1"};
    char path[96];
    up((uint64_t)_i);
    serve(0);
    for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/device/randomd/%s/backend", (unsigned int)GUEST, names[i]);
        world_set(&w, path, "/local/domain/3/backend/randomd/5/1", "n0 r5");
    }
    g = guest_up_with(gd, &entropy, NULL);
    is_seeded();
    world_run(&w, 30 * SECOND);
    ck_assert_uint_eq(g->refused, 0);
    ck_assert(has(0) && !has(1));
    down();
}
END_TEST

/* ---- the reseed page ---- */

static _Alignas(4096) uint8_t page[XIDS_PAGE_SIZE];

START_TEST(a_copy_has_a_new_key_at_once_and_new_sessions_soon)
{
    static const uint8_t seed[XIDS_RESEED_SEED] = {1}, generation[XIDS_RESEED_GENERATION] = {2};
    uint8_t out[32];
    up((uint64_t)_i);
    serve(0);
    serve(1);
    xids_entropy_reseed_page(&entropy, page);
    g = guest_up_with(gd, &entropy, NULL);
    ck_assert(world_until(&w, both, NULL, 10 * SECOND));
    world_run(&w, SECOND);
    uint64_t before[2] = {epoch(0), epoch(1)};
    ck_assert_int_eq(xids_reseed_write((void XIDS_PEER *)page, seed, generation), 0);
    ck_assert_int_eq(xids_entropy_random(&entropy, out, sizeof(out)), 0);
    ck_assert_uint_eq(xids_entropy_copies(&entropy), 1);
    ck_assert(!has(0) && !has(1));
    world_wake(gd);
    ck_assert(world_until(&w, both, NULL, 10 * SECOND));
    ck_assert_uint_ne(epoch(0), before[0]);
    ck_assert_uint_ne(epoch(1), before[1]);
    down();
}
END_TEST

/* ---- without any server ---- */

static uint64_t words;

static bool word(void *ctx, uint64_t *to)
{
    (void)ctx;
    words = words * 6364136223846793005u + 1442695040888963407u;
    *to = words;
    return true;
}

static bool is_local(void *ctx)
{
    (void)ctx;
    return g->grade == XIDS_RANDOMD_GRADE_LOCAL;
}

static void local_up(uint64_t seed, bool sound)
{
    const struct xids_local_cpu cpu = {.seed = sound ? word : NULL};
    up(seed);
    words = seed;
    xids_local_init(&local, &entropy, &cpu, 0);
    g = guest_up_with(gd, &entropy, &local);
}

START_TEST(a_guest_without_servers_lives_by_its_own_sources)
{
    uint8_t out[32];
    local_up((uint64_t)_i, true);
    ck_assert(world_until(&w, is_local, NULL, SECOND));
    ck_assert_int_eq(xids_entropy_random(&entropy, out, sizeof(out)), 0);
    ck_assert_uint_eq(g->epoch, 0);
    world_run(&w, 3 * 60 * SECOND);
    ck_assert_uint_le(xids_entropy_local_age(&entropy, xids_model_now(w.m)), XIDS_LOCAL_RESEED_NS + SECOND);
    ck_assert_uint_lt(gd->turns, 500); /* it sleeps between */
    serve(1);
    is_seeded();
    down();
}
END_TEST

START_TEST(a_guest_with_neither_says_so_and_sleeps)
{
    uint8_t byte;
    local_up((uint64_t)_i, false);
    world_run(&w, 10 * SECOND);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(xids_entropy_random(&entropy, &byte, 1), -XEN_EAGAIN);
    ck_assert_uint_gt(xids_local_pauses(&local), 1);
    ck_assert_uint_le(xids_local_pauses(&local), 11);
    serve(0);
    is_seeded();
    down();
}
END_TEST

START_TEST(local_sources_begin_anew_after_suspend)
{
    local_up((uint64_t)_i, true);
    ck_assert(world_until(&w, is_local, NULL, SECOND));
    xids_loop_suspend(&gd->loop);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_eq(local.sources[XIDS_LOCAL_SEED].health.last, 0);
    xids_loop_resume(&gd->loop);
    world_wake(gd);
    ck_assert(world_until(&w, is_local, NULL, SECOND));
    down();
}
END_TEST

START_TEST(local_sources_without_their_entropy_are_refused)
{
    static _Alignas(16) uint8_t mem[65536];
    struct xids_randomd_link *link;
    up(0);
    const struct xids_randomd_link_config config = {.platform = &gd->platform, .xs = gd->xs, .local = &local};
    ck_assert_uint_le(xids_randomd_link_size(), sizeof(mem));
    ck_assert_int_eq(xids_randomd_link_init(&link, mem, sizeof(mem), &config, 0), -XEN_EINVAL);
    g = guest_up_with(gd, NULL, NULL);
    down();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_servers");
    TCase *t = tcase_create("randomd_servers");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, both_servers_feed_one_generator, 0, SEEDS);
    tcase_add_loop_test(t, the_first_word_of_host_means_both, 0, SEEDS);
    tcase_add_loop_test(t, either_is_enough, 0, SEEDS);
    tcase_add_loop_test(t, a_server_that_is_only_promised_costs_a_moment, 0, SEEDS);
    tcase_add_loop_test(t, a_server_that_talks_nonsense_concerns_nobody_else, 0, SEEDS);
    tcase_add_loop_test(t, a_dead_server_takes_nothing_with_it, 0, SEEDS);
    tcase_add_loop_test(t, forgetting_renews_both_sessions, 0, SEEDS);
    tcase_add_loop_test(t, doubt_of_one_has_both_asked, 0, SEEDS);
    tcase_add_test(t, one_honest_server_makes_the_output_its_own);
    tcase_add_loop_test(t, a_guest_may_be_suspended_at_any_moment, 0, 2);
    tcase_add_loop_test(t, each_request_may_fail, 0, 4);
    tcase_add_loop_test(t, strange_names_beside_the_pointers_are_nobodys, 0, 2);
    tcase_add_loop_test(t, a_copy_has_a_new_key_at_once_and_new_sessions_soon, 0, SEEDS);
    tcase_add_loop_test(t, a_guest_without_servers_lives_by_its_own_sources, 0, 4);
    tcase_add_loop_test(t, a_guest_with_neither_says_so_and_sleeps, 0, 4);
    tcase_add_loop_test(t, local_sources_begin_anew_after_suspend, 0, 4);
    tcase_add_test(t, local_sources_without_their_entropy_are_refused);
    suite_add_tcase(suite, t);
    return suite;
}
