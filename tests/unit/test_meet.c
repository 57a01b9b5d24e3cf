/* SPDX-License-Identifier: ISC */
/* vchans that meet through xenstore without blocking: coming, going, coming again. */
#include "tests/unit/meet_ends.h"

#include <stdio.h>

#define SEEDS 20
#define PORT_NODE "/local/domain/3/data/vchan/5/echo/event-channel"
#define REF_NODE "/local/domain/3/data/vchan/5/echo/ring-ref"
#define FOLDER "/local/domain/3/data/vchan/5/echo"

static struct world w;
static struct dom *sd, *cd;
static struct end *s, *c;

static void up(int seed)
{
    world_up(&w, (uint64_t)seed);
    sd = world_domain(&w, 3);
    cd = world_domain(&w, 5);
    s = end_new(sd, true, 5, "echo");
    c = end_new(cd, false, 3, "echo");
}

static void down(void)
{
    end_free(c);
    end_free(s);
    world_run(&w, SECOND);
    world_down(&w);
}

static void meets(void)
{
    ck_assert_msg(world_until(&w, end_heard, c, 30 * SECOND), "no channel: %s",
                  c->reason != NULL ? c->reason : "never refused");
}

static void both_up(int seed)
{
    up(seed);
    end_begin(s);
    end_begin(c);
    meets();
}

START_TEST(a_client_finds_a_server_that_is_there)
{
    up(_i);
    end_begin(s);
    world_run(&w, SECOND);
    ck_assert_str_eq(world_perms(&w, PORT_NODE), "n3 r5");
    ck_assert_str_eq(world_perms(&w, REF_NODE), "n3 r5");
    end_begin(c);
    meets();
    ck_assert_uint_eq(c->refused, 0);
    down();
}
END_TEST

START_TEST(a_client_waits_for_its_server)
{
    up(_i);
    end_begin(c);
    world_run(&w, 60 * SECOND);
    ck_assert_uint_eq(c->refused, 1);
    ck_assert_int_eq(c->refused_rc, -XEN_EACCES);
    ck_assert_uint_lt(cd->requests, 40);
    uint64_t before = xids_model_now(w.m);
    end_begin(s);
    meets();
    /* The watch tells, not the clock. */
    ck_assert_uint_lt(xids_model_now(w.m) - before, SECOND);
    down();
}
END_TEST

START_TEST(a_server_may_come_before_its_clients_domain)
{
    world_up(&w, (uint64_t)_i);
    sd = world_domain(&w, 3);
    s = end_up(sd, true, 5, "echo");
    world_run(&w, 60 * SECOND);
    ck_assert_uint_le(sd->requests, 80);
    cd = world_domain(&w, 5);
    c = end_up(cd, false, 3, "echo");
    uint64_t before = xids_model_now(w.m);
    meets();
    ck_assert_uint_le(xids_model_now(w.m) - before, XIDS_VCHAN_MEET_RETRY_MAX + SECOND);
    unsigned int requests = sd->requests;
    world_run(&w, 60 * SECOND);
    ck_assert_uint_eq(sd->requests, requests);
    down();
}
END_TEST

START_TEST(nothing_happens_while_nothing_happens)
{
    both_up(_i);
    unsigned int steps = sd->requests + cd->requests;
    uint64_t before = xids_model_now(w.m);
    world_run(&w, 600 * SECOND);
    ck_assert_uint_ge(xids_model_now(w.m) - before, 600 * SECOND);
    ck_assert_uint_eq(sd->requests + cd->requests, steps);
    ck_assert_uint_eq(c->opened, 1);
    ck_assert_uint_eq(s->opened, 1);
    down();
}
END_TEST

START_TEST(the_server_takes_its_nodes_back)
{
    both_up(_i);
    end_end(s);
    world_run(&w, SECOND);
    ck_assert_ptr_null(world_read(&w, FOLDER));
    ck_assert_ptr_nonnull(world_read(&w, "/local/domain/3/data/vchan/5"));
    ck_assert_int_eq(c->closed_rc, 0);
    ck_assert_uint_eq(c->closed, 1);
    down();
}
END_TEST

START_TEST(a_folder_that_was_there_before_stays)
{
    up(_i);
    world_set(&w, FOLDER, "", "n3");
    world_set(&w, FOLDER "/other", "1", "n3");
    end_begin(s);
    end_begin(c);
    meets();
    end_end(s);
    world_run(&w, SECOND);
    ck_assert_ptr_null(world_read(&w, PORT_NODE));
    ck_assert_ptr_null(world_read(&w, REF_NODE));
    ck_assert_ptr_nonnull(world_read(&w, FOLDER "/other"));
    down();
}
END_TEST

static void server_comes_back(int seed, bool same, bool killed)
{
    both_up(seed);
    unsigned int refused = c->refused;
    int extra[3] = {0, 0, 0};
    void *page = NULL;
    grant_ref_t ref;
    char numbers[2][16];
    snprintf(numbers[0], sizeof(numbers[0]), "%s", world_read(&w, PORT_NODE));
    if (killed) {
        world_kill(sd);
        end_forget(s);
    } else {
        end_end(s);
    }
    ck_assert(world_until(&w, end_is_closed, c, SECOND));
    world_run(&w, 5 * SECOND);
    ck_assert_uint_gt(c->refused, refused);
    if (!same) {
        for (int i = 0; i < 3; i++)
            extra[i] = sd->raw->ops->evtchn_alloc(sd->raw->ctx, 5);
        ck_assert_int_eq(sd->raw->ops->share(sd->raw->ctx, &page, &ref, 5, 1, 0, NULL), 0);
    }
    end_begin(s);
    meets();
    snprintf(numbers[1], sizeof(numbers[1]), "%s", world_read(&w, PORT_NODE));
    if (!killed)
        ck_assert_int_eq(strcmp(numbers[0], numbers[1]) == 0, same);
    ck_assert_uint_eq(c->opened, 2);
    for (int i = 0; i < 3 && !same; i++)
        ck_assert_int_eq(sd->raw->ops->evtchn_close(sd->raw->ctx, (evtchn_port_t)extra[i]), 0);
    if (!same)
        ck_assert_int_eq(sd->raw->ops->unshare(sd->raw->ctx, page, 1), 0);
    down();
}

START_TEST(a_server_comes_back_with_the_same_numbers)
{
    server_comes_back(_i, true, false);
}
END_TEST

START_TEST(a_server_comes_back_with_other_numbers)
{
    server_comes_back(_i, false, false);
}
END_TEST

START_TEST(a_killed_server_leaves_numbers_that_are_passed_over)
{
    server_comes_back(_i, true, true);
}
END_TEST

START_TEST(a_killed_server_comes_back_with_other_numbers)
{
    server_comes_back(_i, false, true);
}
END_TEST

START_TEST(a_clean_leave_leaves_the_numbers_for_the_next_client)
{
    char port[16];
    both_up(_i);
    snprintf(port, sizeof(port), "%s", world_read(&w, PORT_NODE));
    for (unsigned int i = 1; i <= 5; i++) {
        end_end(c);
        ck_assert(world_until(&w, end_is_closed, s, SECOND));
        ck_assert_int_eq(s->closed_rc, 0);
        end_begin(c);
        meets();
        ck_assert_uint_eq(s->opened, i + 1);
    }
    ck_assert_str_eq(world_read(&w, PORT_NODE), port);
    down();
}
END_TEST

START_TEST(what_one_client_left_unread_the_next_does_not_get)
{
    both_up(_i);
    char left[40];
    memset(left, 'x', sizeof(left));
    ck_assert_int_gt(xids_vchan_write(xids_vchan_meet_channel(s->meet), left, sizeof(left)), 0);
    c->deaf = true;
    world_run(&w, SECOND);
    c->deaf = false;
    end_end(c);
    world_run(&w, 5 * SECOND);
    ck_assert_uint_eq(s->closed, 1);
    end_begin(c);
    meets();
    ck_assert_uint_eq(s->opened, 2);
    down();
}
END_TEST

START_TEST(a_killed_client_is_followed_by_another)
{
    both_up(_i);
    world_kill(cd);
    end_forget(c);
    ck_assert(world_until(&w, end_is_closed, s, SECOND));
    end_begin(c);
    meets();
    ck_assert_uint_eq(s->opened, 2);
    down();
}
END_TEST

START_TEST(the_death_of_the_clients_domain_is_noticed)
{
    both_up(_i);
    world_destroy(cd);
    end_forget(c);
    ck_assert(world_until(&w, end_is_closed, s, 2 * XIDS_VCHAN_MEET_LOOK));
    ck_assert_int_eq(s->closed_rc, -XEN_ENODEV);
    /* Another may come with this number, and finds it ready. */
    unsigned int calls = sd->calls;
    world_run(&w, 600 * SECOND);
    ck_assert_uint_lt(sd->calls, calls + 100);
    cd = world_domain(&w, 5);
    end_begin(c);
    meets();
    down();
}
END_TEST

START_TEST(the_death_of_the_servers_domain_is_noticed)
{
    both_up(_i);
    world_destroy(sd);
    end_forget(s);
    ck_assert(world_until(&w, end_is_closed, c, 2 * XIDS_VCHAN_MEET_LOOK));
    ck_assert_int_eq(c->closed_rc, -XEN_ENODEV);
    world_run(&w, 60 * SECOND);
    sd = world_domain(&w, 3);
    end_begin(s);
    meets();
    down();
}
END_TEST

START_TEST(numbers_that_vanish_are_published_again)
{
    up(_i);
    end_begin(s);
    world_run(&w, SECOND);
    world_rm(&w, "/local/domain/3/data/vchan");
    world_run(&w, SECOND);
    ck_assert_ptr_nonnull(world_read(&w, PORT_NODE));
    world_set(&w, REF_NODE, "77", "n3 r5");
    world_set(&w, PORT_NODE, "77", "n3 r5");
    world_run(&w, SECOND);
    ck_assert_str_ne(world_read(&w, PORT_NODE), "77");
    ck_assert_str_ne(world_read(&w, REF_NODE), "77");
    end_begin(c);
    meets();
    ck_assert_uint_eq(s->refused, 0);
    down();
}
END_TEST

START_TEST(an_owner_may_drop_the_channel_for_a_while)
{
    for (int side = 0; side < 2; side++) {
        both_up(_i);
        struct end *e = side == 0 ? s : c, *other = side == 0 ? c : s;
        uint64_t before = xids_model_now(w.m);
        xids_vchan_meet_drop(e->meet, -XEN_EPERM, "enough", 3 * SECOND);
        xids_vchan_meet_poke(e->meet);
        world_wake(e->d);
        ck_assert(world_until(&w, end_is_closed, e, SECOND));
        ck_assert_int_eq(e->closed_rc, -XEN_EPERM);
        ck_assert_str_eq(e->reason, "enough");
        ck_assert(world_until(&w, end_is_closed, other, SECOND));
        ck_assert_int_eq(other->closed_rc, 0);
        meets();
        ck_assert_uint_ge(xids_model_now(w.m) - before, 3 * SECOND);
        down();
    }
}
END_TEST

START_TEST(many_meet_at_once)
{
    enum { N = 20 };
    struct end *servers[N], *clients[N];
    world_up(&w, (uint64_t)_i);
    sd = world_domain(&w, 3);
    for (domid_t i = 0; i < N; i++) {
        servers[i] = end_up(sd, true, (domid_t)(10 + i), "a");
        clients[i] = end_up(world_domain(&w, (domid_t)(10 + i)), false, 3, "a");
    }
    for (unsigned int i = 0; i < N; i++)
        ck_assert(world_until(&w, end_heard, clients[i], 30 * SECOND));
    for (unsigned int i = 0; i < N; i++) {
        end_free(clients[i]);
        end_free(servers[i]);
    }
    world_run(&w, SECOND);
    world_down(&w);
}
END_TEST

START_TEST(paths_are_checked)
{
    char name[400];
    up(0);
    struct end *e = end_new(cd, false, 3, NULL);
    struct xids_vchan_meet *m;
    memset(name, 'a', sizeof(name));
    ck_assert_int_eq(xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size(), &e->config), -XEN_EINVAL);
    e->config.name = "";
    ck_assert_int_eq(xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size(), &e->config), -XEN_EINVAL);
    e->config.name = "a b";
    ck_assert_int_eq(xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size(), &e->config), -XEN_EINVAL);
    e->config.name = name;
    for (size_t len = 1; len < 300; len++) {
        name[len] = '\0';
        int rc = xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size(), &e->config);
        ck_assert_int_eq(rc, len + 37 <= XIDS_VCHAN_MEET_PATH ? 0 : -XEN_ENAMETOOLONG);
        xids_vchan_meet_fini(rc == 0 ? m : NULL);
        e->config.path = name;
        rc = xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size(), &e->config);
        ck_assert_int_eq(rc, len <= XIDS_VCHAN_MEET_PATH ? 0 : -XEN_ENAMETOOLONG);
        xids_vchan_meet_fini(rc == 0 ? m : NULL);
        e->config.path = NULL;
        name[len] = 'a';
    }
    e->config.path = "@special";
    ck_assert_int_eq(xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size(), &e->config), -XEN_EINVAL);
    e->config.path = "/a";
    ck_assert_int_eq(xids_vchan_meet_init(&m, e->mem, xids_vchan_meet_size() - 1, &e->config), -XEN_EINVAL);
    end_free(e);
    down();
}
END_TEST

START_TEST(the_longest_path_serves)
{
    char path[XIDS_VCHAN_MEET_PATH + 1] = "/local/domain/3/data/";
    size_t len = strlen(path);
    memset(path + len, 'p', XIDS_VCHAN_MEET_PATH - len);
    path[XIDS_VCHAN_MEET_PATH] = '\0';
    up(_i);
    c->config.path = path;
    s->config.path = path;
    end_begin(s);
    end_begin(c);
    meets();
    down();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("meet");
    TCase *t = tcase_create("meet");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_client_finds_a_server_that_is_there, 0, SEEDS);
    tcase_add_loop_test(t, a_client_waits_for_its_server, 0, SEEDS);
    tcase_add_loop_test(t, a_server_may_come_before_its_clients_domain, 0, SEEDS);
    tcase_add_loop_test(t, nothing_happens_while_nothing_happens, 0, 3);
    tcase_add_loop_test(t, the_server_takes_its_nodes_back, 0, SEEDS);
    tcase_add_loop_test(t, a_folder_that_was_there_before_stays, 0, 3);
    tcase_add_loop_test(t, a_server_comes_back_with_the_same_numbers, 0, SEEDS);
    tcase_add_loop_test(t, a_server_comes_back_with_other_numbers, 0, SEEDS);
    tcase_add_loop_test(t, a_killed_server_leaves_numbers_that_are_passed_over, 0, SEEDS);
    tcase_add_loop_test(t, a_killed_server_comes_back_with_other_numbers, 0, SEEDS);
    tcase_add_loop_test(t, a_clean_leave_leaves_the_numbers_for_the_next_client, 0, SEEDS);
    tcase_add_loop_test(t, what_one_client_left_unread_the_next_does_not_get, 0, SEEDS);
    tcase_add_loop_test(t, a_killed_client_is_followed_by_another, 0, SEEDS);
    tcase_add_loop_test(t, the_death_of_the_clients_domain_is_noticed, 0, SEEDS);
    tcase_add_loop_test(t, the_death_of_the_servers_domain_is_noticed, 0, SEEDS);
    tcase_add_loop_test(t, numbers_that_vanish_are_published_again, 0, SEEDS);
    tcase_add_loop_test(t, an_owner_may_drop_the_channel_for_a_while, 0, SEEDS);
    tcase_add_loop_test(t, many_meet_at_once, 0, 3);
    tcase_add_test(t, paths_are_checked);
    tcase_add_test(t, the_longest_path_serves);
    suite_add_tcase(suite, t);
    return suite;
}
