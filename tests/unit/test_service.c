/* SPDX-License-Identifier: ISC */
/* A vchan service by name: many clients, many domains, who may come, who has the name, and what is left behind. */
#include "tests/unit/service_ends.h"

#include <stdio.h>

#define SEEDS 10
#define OWNER "/local/domain/3/data/vchan-server/echo"

static struct world w;
static struct dom *sd;
static struct host *h;
static struct end *clients[256];
static unsigned int client_count;

static void up(int seed)
{
    world_up(&w, (uint64_t)seed);
    client_count = 0;
    sd = world_domain(&w, 3);
    h = host_new(&w, sd, "echo");
}

static struct end *client(domid_t domid)
{
    if (w.doms[domid].raw == NULL)
        (void)world_domain(&w, domid);
    struct end *c = end_up(&w.doms[domid], false, sd != NULL ? 3 : 0, h->config.name);
    clients[client_count++] = c;
    return c;
}

static void down(void)
{
    while (client_count > 0)
        end_free(clients[--client_count]);
    host_free(h);
    world_run(&w, 2 * SECOND);
    world_down(&w);
}

static void meets(struct end *c, const char *when, unsigned int n)
{
    ck_assert_msg(world_until(&w, end_heard, c, 60 * SECOND), "no channel (%s %u): %s; the service: %s", when, n,
                  c->reason != NULL ? c->reason : "never refused", h->reason != NULL ? h->reason : "never refused");
}

static const char *node(domid_t domid, const char *leaf)
{
    static char path[128];
    snprintf(path, sizeof(path), "/local/domain/%u/data/vchan/%u/echo%s", sd != NULL ? 3u : 0u, domid, leaf);
    return path;
}

static bool has_offer(void *ctx)
{
    return world_read(&w, node(*(domid_t *)ctx, "/event-channel")) != NULL;
}

static void offers(domid_t domid)
{
    ck_assert(world_until(&w, has_offer, &domid, 60 * SECOND));
}

/* ---- meeting ---- */

START_TEST(clients_of_one_domain_are_served_side_by_side)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *c[4];
    for (unsigned int i = 0; i < 4; i++)
        c[i] = client(5);
    for (unsigned int i = 0; i < 4; i++)
        meets(c[i], "client", i);
    ck_assert_uint_eq(xids_vchan_service_open(h->service), 4);
    offers(5);
    world_run(&w, SECOND);
    ck_assert_str_eq(world_perms(&w, node(5, "/event-channel")), "n3 r5");
    ck_assert_str_eq(world_perms(&w, node(5, "/ring-ref")), "n3 r5");
    down();
}
END_TEST

START_TEST(only_those_who_may_come_do)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *good = client(5), *bad = client(7);
    meets(good, "good", 0);
    world_run(&w, 60 * SECOND);
    ck_assert_uint_eq(bad->opened, 0);
    ck_assert_ptr_null(world_read(&w, node(7, "")));
    host_allow(h, 7);
    meets(bad, "allowed", 0);
    /* And no more. */
    xids_vchan_service_forbid(h->service, 7);
    world_wake(sd);
    ck_assert(world_until(&w, end_is_closed, bad, 5 * SECOND));
    world_run(&w, 60 * SECOND);
    ck_assert_int_eq(h->closed_rc, -XEN_EPERM);
    ck_assert(end_is_closed(bad));
    ck_assert_ptr_null(world_read(&w, node(7, "")));
    ck_assert(end_heard(good));
    ck_assert_int_eq(xids_vchan_service_allow(h->service, 3), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_service_allow(h->service, DOMID_FIRST_RESERVED), -XEN_EINVAL);
    down();
}
END_TEST

START_TEST(early_clients_and_late_domains_meet)
{
    up(_i);
    struct end *early = client(5);
    world_run(&w, 20 * SECOND);
    host_begin(h);
    host_allow(h, 5);
    host_allow(h, 9);
    meets(early, "early", 0);
    world_run(&w, 60 * SECOND);
    unsigned int requests = sd->requests;
    world_run(&w, 600 * SECOND);
    ck_assert_uint_le(sd->requests - requests, 60 * 4 + 4);
    struct end *late = client(9);
    meets(late, "late", 0);
    down();
}
END_TEST

START_TEST(nothing_happens_while_nothing_happens)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *c = client(5);
    meets(c, "before", 0);
    world_run(&w, 60 * SECOND);
    unsigned int requests = sd->requests;
    uint64_t turns = sd->turns;
    world_run(&w, 600 * SECOND);
    ck_assert_uint_eq(sd->requests, requests);
    ck_assert_uint_le(sd->turns - turns, 3000);
    down();
}
END_TEST

/* ---- the name ---- */

START_TEST(the_end_leaves_nothing)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    host_allow(h, 6);
    struct end *c = client(5);
    meets(c, "before", 0);
    host_end(h, true);
    world_run(&w, SECOND);
    ck_assert_ptr_null(world_read(&w, OWNER));
    ck_assert_ptr_null(world_read(&w, node(5, "")));
    ck_assert_ptr_null(world_read(&w, node(6, "")));
    ck_assert_uint_eq(h->offered, h->closed);
    ck_assert_uint_eq(world_holds(sd), 0);
    /* And another may begin. */
    host_begin(h);
    host_allow(h, 5);
    meets(c, "again", 0);
    down();
}
END_TEST

START_TEST(a_killed_service_is_followed_by_another)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    host_allow(h, 6);
    struct end *c = client(5);
    meets(c, "before", 0);
    offers(6);
    world_kill(sd);
    ck_assert(world_until(&w, end_is_closed, c, SECOND));
    host_begin(h);
    host_allow(h, 5);
    meets(c, "after", 0);
    world_run(&w, 5 * SECOND);
    /* The offer to one who may not come any more is gone too. */
    ck_assert_ptr_null(world_read(&w, node(6, "")));
    down();
}
END_TEST

START_TEST(of_two_services_one_is_refused_until_the_other_ends)
{
    up(_i);
    struct host *other = host_new(&w, sd, "echo");
    other->config.salt = 1;
    host_begin(h);
    host_allow(h, 5);
    struct end *c = client(5);
    meets(c, "first", 0);
    if (_i % 2 == 0)
        world_run(&w, SECOND);
    host_begin(other);
    ck_assert_int_eq(xids_vchan_service_allow(other->service, 5), 0);
    world_wake(sd);
    world_run(&w, 30 * SECOND);
    ck_assert_int_eq(other->refused_rc, -XEN_EADDRINUSE);
    ck_assert_uint_eq(other->refused, 1);
    ck_assert_uint_eq(other->offered, 0);
    ck_assert_uint_eq(h->refused, 0);
    ck_assert(end_heard(c));
    host_end(h, true);
    meets(c, "second", 0);
    ck_assert_uint_eq(other->opened, 1);
    host_free(h);
    h = other;
    down();
}
END_TEST

START_TEST(services_of_one_moment_do_not_both_serve)
{
    up(_i);
    struct host *other = host_new(&w, sd, "echo");
    other->config.salt = 1;
    host_begin(h);
    host_begin(other);
    ck_assert_int_eq(xids_vchan_service_allow(h->service, 5), 0);
    host_allow(other, 5);
    struct end *c = client(5);
    meets(c, "either", 0);
    world_run(&w, 30 * SECOND);
    ck_assert_uint_eq(h->refused + other->refused, 1);
    ck_assert_int_eq(h->refused_rc + other->refused_rc, -XEN_EADDRINUSE);
    ck_assert((h->opened > 0) != (other->opened > 0));
    host_free(other);
    down();
}
END_TEST

START_TEST(a_store_that_has_forgotten_everything_is_told_again)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    host_allow(h, 6);
    struct end *c = client(5);
    meets(c, "before", 0);
    world_rm(&w, "/local/domain/3/data");
    world_set(&w, "/local/domain/3/data", "", "n3");
    world_wake(sd);
    offers(6);
    ck_assert(end_heard(c));
    struct end *second = client(6);
    meets(second, "after", 0);
    down();
}
END_TEST

/* ---- the end of clients ---- */

START_TEST(clients_come_and_go)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *c = client(5);
    for (unsigned int i = 0; i < 30; i++) {
        meets(c, "time", i);
        end_end(c);
        if (i % 2 == 0)
            world_run(&w, SECOND);
        end_begin(c);
    }
    meets(c, "at last", 0);
    world_run(&w, 2 * SECOND);
    ck_assert_uint_eq(xids_vchan_service_open(h->service), 1);
    ck_assert_uint_eq(h->opened, h->closed + 1);
    down();
}
END_TEST

START_TEST(who_comes_and_goes_all_the_time_costs_little)
{
    up(_i);
    h->config.limits.per_domain = 3;
    host_begin(h);
    host_allow(h, 5);
    host_allow(h, 7);
    struct end *c = client(5);
    world_run(&w, SECOND);
    unsigned int calls = sd->calls;
    uint64_t until = xids_model_now(w.m) + 100 * SECOND;
    while (xids_model_now(w.m) < until) {
        (void)world_until(&w, end_heard, c, SECOND);
        end_end(c);
        end_begin(c);
    }
    ck_assert_uint_le(h->opened, 40);
    ck_assert_uint_le(sd->calls - calls, 6000);
    struct end *other = client(7);
    meets(other, "another domain", 0);
    down();
}
END_TEST

START_TEST(one_domain_has_no_more_channels_than_it_may)
{
    up(_i);
    h->config.limits.per_domain = 3;
    host_begin(h);
    host_allow(h, 5);
    struct end *c[5];
    for (unsigned int i = 0; i < 5; i++)
        c[i] = client(5);
    world_run(&w, 30 * SECOND);
    ck_assert_uint_eq(xids_vchan_service_open(h->service), 3);
    ck_assert_int_eq(h->refused_rc, -XEN_EBUSY);
    ck_assert_uint_eq(h->refused_domid, 5);
    /* Nothing is offered that is not there. */
    ck_assert_ptr_null(world_read(&w, node(5, "/event-channel")));
    for (unsigned int i = 0; i < 5; i++)
        if (end_heard(c[i]))
            end_end(c[i]);
    for (unsigned int i = 0; i < 5; i++)
        if (c[i]->meet != NULL)
            meets(c[i], "when there is room", i);
    down();
}
END_TEST

START_TEST(one_domain_leaves_room_for_the_others)
{
    up(_i);
    h->config.limits = (struct xids_vchan_service_limits){.domains = 4, .channels = 5, .per_domain = 5};
    host_begin(h);
    for (domid_t i = 0; i < 4; i++)
        host_allow(h, (domid_t)(10 + i));
    ck_assert_int_eq(xids_vchan_service_allow(h->service, 20), -XEN_ENOSPC);
    for (unsigned int i = 0; i < 5; i++)
        (void)client(10);
    world_run(&w, 30 * SECOND);
    for (domid_t i = 1; i < 4; i++)
        meets(client((domid_t)(10 + i)), "domain", i);
    down();
}
END_TEST

START_TEST(the_death_of_a_domain_is_noticed)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *c = client(5);
    meets(c, "before", 0);
    world_destroy(c->d);
    end_forget(c);
    world_run(&w, 2 * XIDS_VCHAN_SERVICE_LOOK);
    ck_assert_uint_eq(h->closed, 1);
    ck_assert_int_eq(h->closed_rc, -XEN_ENODEV);
    c->d = world_domain(&w, 5);
    end_begin(c);
    meets(c, "another with its number", 0);
    down();
}
END_TEST

/* ---- failures ---- */

START_TEST(each_request_may_fail)
{
    static const int errors[] = {-XEN_EACCES, -XEN_ENOSPC, -XEN_EAGAIN, -XEN_EIO, -XEN_ENOENT, -XEN_EINVAL};
    for (unsigned int nth = 1;; nth++) {
        up((int)nth);
        sd->fail_with = errors[_i];
        sd->fail_request = nth;
        host_begin(h);
        host_allow(h, 5);
        host_allow(h, 6);
        struct end *c = client(5), *d = client(5);
        meets(c, "request", nth);
        meets(d, "request", nth);
        meets(client(6), "request", nth);
        host_end(h, true);
        host_begin(h);
        host_allow(h, 5);
        meets(c, "request, again", nth);
        bool reached = sd->requests >= nth;
        down();
        if (!reached)
            break;
        ck_assert_uint_lt(nth, 100);
    }
}
END_TEST

START_TEST(each_call_may_fail)
{
    for (unsigned int nth = 1;; nth++) {
        up(_i);
        sd->fail_call = nth;
        h->refuse_offers = (int)nth % 3;
        host_begin(h);
        host_allow(h, 5);
        struct end *c = client(5), *d = client(5);
        meets(c, "call", nth);
        meets(d, "call", nth);
        end_end(c);
        world_run(&w, 3 * SECOND);
        end_begin(c);
        meets(c, "call, again", nth);
        bool reached = sd->calls >= nth;
        down();
        if (!reached)
            break;
        ck_assert_uint_lt(nth, 200);
    }
}
END_TEST

START_TEST(it_may_be_suspended_at_any_moment)
{
    for (unsigned int steps = 0; steps < 80; steps += 3) {
        up(_i);
        host_begin(h);
        host_allow(h, 5);
        struct end *c = client(5);
        world_steps(&w, steps);
        xids_loop_suspend(&sd->loop);
        ck_assert_uint_eq(h->offered, h->closed);
        ck_assert_int_eq(xids_model_domain_pause(w.m, 3), 0);
        world_run(&w, SECOND);
        ck_assert_uint_eq(world_holds(sd), 0);
        ck_assert_int_eq(xids_model_domain_unpause(w.m, 3), 0);
        xids_loop_resume(&sd->loop);
        world_wake(sd);
        meets(c, "suspended after", steps);
        down();
    }
}
END_TEST

START_TEST(an_end_that_does_not_wait_is_cleaned_by_the_next)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *c = client(5);
    world_steps(&w, (unsigned int)_i * 11);
    host_end(h, false);
    world_run(&w, SECOND);
    host_begin(h);
    host_allow(h, 5);
    meets(c, "after", 0);
    host_end(h, true);
    world_run(&w, SECOND);
    ck_assert_ptr_null(world_read(&w, OWNER));
    ck_assert_ptr_null(world_read(&w, node(5, "")));
    down();
}
END_TEST

/* ---- in domain 0 ---- */

static void up_dom0(int seed)
{
    world_up(&w, (uint64_t)seed);
    client_count = 0;
    sd = NULL;
    h = host_new(&w, NULL, "echo");
    h->config.everybody = h->config.announce = true;
    h->config.limits.domains = 250;
}

static const char *pointer(domid_t domid)
{
    static char path[64];
    snprintf(path, sizeof(path), "/local/domain/%u/data/vchan-service/echo", domid);
    return path;
}

START_TEST(everybody_is_found_where_it_is)
{
    up_dom0(_i);
    struct end *before = client(5);
    host_begin(h);
    meets(before, "before", 0);
    struct end *after = client(6);
    meets(after, "after", 0);
    ck_assert_str_eq(world_read(&w, pointer(5)), "0");
    ck_assert_str_eq(world_read(&w, pointer(6)), "0");
    host_end(h, true);
    ck_assert_ptr_null(world_read(&w, pointer(5)));
    ck_assert_ptr_null(world_read(&w, node(5, "")));
    ck_assert_ptr_null(world_read(&w, "/local/domain/0/data/vchan-server/echo"));
    host_begin(h);
    down();
}
END_TEST

START_TEST(two_hundred_domains_are_served)
{
    enum { N = 200 };
    up_dom0(_i);
    for (domid_t i = 0; i < N / 2; i++)
        (void)client((domid_t)(10 + i));
    host_begin(h);
    for (domid_t i = N / 2; i < N; i++)
        (void)client((domid_t)(10 + i));
    for (unsigned int i = 0; i < N; i++)
        meets(clients[i], "domain", i);
    ck_assert_uint_eq(xids_vchan_service_open(h->service), N);
    down();
}
END_TEST

START_TEST(a_long_list_of_domains_is_read_in_parts)
{
    char path[64];
    up_dom0(_i);
    h->config.limits.domains = 20;
    /* Homes without a domain among them, more than there is room for. */
    for (unsigned int i = 0; i < 900; i++) {
        snprintf(path, sizeof(path), i % 30 == 0 ? "/local/domain/%u" : "/local/domain/other%u", 1000 + i);
        world_set(&w, path, "", "n0");
    }
    for (domid_t i = 0; i < 10; i++)
        (void)client((domid_t)(10 + i));
    host_begin(h);
    for (unsigned int i = 0; i < 10; i++)
        meets(clients[i], "behind all others", i);
    down();
}
END_TEST

START_TEST(a_domain_that_goes_takes_everything_along)
{
    up_dom0(_i);
    host_begin(h);
    struct end *c = client(5);
    meets(c, "before", 0);
    world_destroy(c->d);
    end_forget(c);
    world_rm(&w, "/local/domain/5");
    world_run(&w, SECOND);
    ck_assert_int_eq(h->closed_rc, -XEN_ENODEV);
    ck_assert_uint_eq(h->offered, h->closed);
    world_run(&w, 2 * SECOND);
    ck_assert_ptr_null(world_read(&w, node(5, "")));
    ck_assert_ptr_null(world_read(&w, "/local/domain/0/data/vchan/5"));
    ck_assert_ptr_null(world_read(&w, "/local/domain/5"));
    c->d = world_domain(&w, 5);
    end_begin(c);
    meets(c, "another with its number", 0);
    down();
}
END_TEST

START_TEST(a_number_that_is_given_out_again_at_once_is_another_domain)
{
    up_dom0(_i);
    host_begin(h);
    struct end *c = client(5);
    meets(c, "before", 0);
    world_destroy(c->d);
    end_forget(c);
    world_rm(&w, "/local/domain/5");
    c->d = world_domain(&w, 5);
    world_run(&w, SECOND);
    ck_assert_uint_eq(xids_vchan_service_open(h->service), 0);
    ck_assert_int_eq(h->closed_rc, -XEN_ENODEV);
    end_begin(c);
    meets(c, "after", 0);
    down();
}
END_TEST

/* The store's daemon ends, and another begins: first with what the old one knew, then with nothing. */
START_TEST(the_store_may_be_started_again)
{
    up_dom0(_i);
    host_begin(h);
    struct end *c = client(5);
    world_steps(&w, (unsigned int)_i * 7);
    for (unsigned int i = 0; i < 2; i++) {
        xids_xs_client_fail(h->xs, -XEN_ENOTCONN, "the store closed the connection");
        xids_xs_server_disconnect(h->conn);
        h->conn = NULL;
        world_run(&w, SECOND);
        h->conn = world_connect(&w);
        if (i == 1)
            world_rm(&w, "/local/domain/0/data");
        xids_xs_client_reset(h->xs);
        host_stray(h, 0);
        meets(c, "with another store", i);
        struct end *other = client((domid_t)(6 + i));
        meets(other, "a late one", i);
    }
    ck_assert_uint_eq(c->closed, 0);
    down();
}
END_TEST

static struct end *client_anywhere(domid_t domid)
{
    struct end *c = end_up(world_domain(&w, domid), false, DOMID_INVALID, "echo");
    clients[client_count++] = c;
    return c;
}

START_TEST(a_name_alone_is_enough)
{
    up_dom0(_i);
    struct end *early = client_anywhere(5);
    world_run(&w, 20 * SECOND);
    ck_assert_uint_eq(early->opened, 0);
    host_begin(h);
    meets(early, "early", 0);
    struct end *late = client_anywhere(6);
    meets(late, "late", 0);
    down();
}
END_TEST

START_TEST(a_name_may_move_to_another_domain)
{
    up(_i);
    host_begin(h);
    host_allow(h, 5);
    struct end *c = client_anywhere(5);
    world_set(&w, pointer(5), "x", "n5");
    world_wake(c->d);
    world_run(&w, SECOND);
    ck_assert_int_eq(c->refused_rc, -XEN_EBADMSG);
    world_set(&w, pointer(5), "7", "n5");
    world_run(&w, SECOND);
    world_set(&w, pointer(5), "3", "n5");
    meets(c, "there", 0);
    host_end(h, true);
    /* Now it is in domain 7. */
    struct host *other = host_new(&w, world_domain(&w, 7), "echo");
    host_begin(other);
    host_allow(other, 5);
    world_run(&w, SECOND);
    world_set(&w, pointer(5), "7", "n5");
    meets(c, "elsewhere", 0);
    ck_assert_uint_eq(other->opened, 1);
    host_free(h);
    h = other;
    down();
}
END_TEST

/* ---- names ---- */

START_TEST(names_are_checked)
{
    static char name[XIDS_VCHAN_SERVICE_NAME + 2];
    struct xids_vchan_service_limits limits = {.name = XIDS_VCHAN_SERVICE_NAME};
    struct xids_vchan_service *s;
    up(0);
    size_t size = xids_vchan_service_size(&limits);
    void *mem = malloc(size);
    h->config.xs = sd->xs;
    h->config.limits = limits;
    static const char *const bad[] = {"", "a b", "a//b", "a/", "/a", "\x7f"};
    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        h->config.name = bad[i];
        ck_assert_int_eq(xids_vchan_service_init(&s, mem, size, &h->config), -XEN_EINVAL);
    }
    memset(name, 'n', sizeof(name) - 1);
    h->config.name = name;
    ck_assert_int_eq(xids_vchan_service_init(&s, mem, size, &h->config), -XEN_ENAMETOOLONG);
    name[XIDS_VCHAN_SERVICE_NAME] = '\0';
    ck_assert_int_eq(xids_vchan_service_init(&s, mem, size - 1, &h->config), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_service_init(&s, mem, size, &h->config), 0);
    xids_vchan_service_fini(s);
    limits.name++;
    ck_assert_uint_eq(xids_vchan_service_size(&limits), 0);
    free(mem);
    h->config.limits = (struct xids_vchan_service_limits){0};
    h->config.name = "echo";
    down();
}
END_TEST

START_TEST(the_longest_name_serves)
{
    static char name[XIDS_VCHAN_SERVICE_NAME + 1], path[XENSTORE_ABS_PATH_MAX];
    memset(name, 'n', sizeof(name) - 1);
    world_up(&w, 1);
    w.watch_path = XENSTORE_ABS_PATH_MAX - 1;
    client_count = 0;
    sd = world_domain(&w, 3);
    struct dom *cd = world_domain(&w, 5);
    h = host_new(&w, sd, name);
    h->config.limits.name = XIDS_VCHAN_SERVICE_NAME;
    host_begin(h);
    host_allow(h, 5);
    world_run(&w, 5 * SECOND);
    snprintf(path, sizeof(path), "/local/domain/3/data/vchan/5/%s/event-channel", name);
    const char *text = world_read(&w, path);
    ck_assert_msg(text != NULL, "%s", h->reason);
    evtchn_port_t port = (evtchn_port_t)strtoul(text, NULL, 10);
    snprintf(path, sizeof(path), "/local/domain/3/data/vchan/5/%s/ring-ref", name);
    grant_ref_t ref = (grant_ref_t)strtoul(world_read(&w, path), NULL, 10);
    struct xids_vchan *ch = malloc(xids_vchan_size());
    ck_assert_int_eq(xids_vchan_client_init(ch, cd->raw, 3, ref, port, 0), 0);
    world_run(&w, SECOND);
    ck_assert_uint_eq(h->opened, 1);
    xids_vchan_fini(ch);
    free(ch);
    down();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("service");
    TCase *t = tcase_create("service");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, clients_of_one_domain_are_served_side_by_side, 0, SEEDS);
    tcase_add_loop_test(t, only_those_who_may_come_do, 0, SEEDS);
    tcase_add_loop_test(t, early_clients_and_late_domains_meet, 0, SEEDS);
    tcase_add_loop_test(t, nothing_happens_while_nothing_happens, 0, 3);
    tcase_add_loop_test(t, the_end_leaves_nothing, 0, SEEDS);
    tcase_add_loop_test(t, a_killed_service_is_followed_by_another, 0, SEEDS);
    tcase_add_loop_test(t, of_two_services_one_is_refused_until_the_other_ends, 0, SEEDS);
    tcase_add_loop_test(t, services_of_one_moment_do_not_both_serve, 0, SEEDS);
    tcase_add_loop_test(t, a_store_that_has_forgotten_everything_is_told_again, 0, SEEDS);
    tcase_add_loop_test(t, clients_come_and_go, 0, SEEDS);
    tcase_add_loop_test(t, who_comes_and_goes_all_the_time_costs_little, 0, 3);
    tcase_add_loop_test(t, one_domain_has_no_more_channels_than_it_may, 0, SEEDS);
    tcase_add_loop_test(t, one_domain_leaves_room_for_the_others, 0, SEEDS);
    tcase_add_loop_test(t, the_death_of_a_domain_is_noticed, 0, SEEDS);
    tcase_add_loop_test(t, each_request_may_fail, 0, 6);
    tcase_add_loop_test(t, each_call_may_fail, 0, 5);
    tcase_add_loop_test(t, it_may_be_suspended_at_any_moment, 0, 3);
    tcase_add_loop_test(t, an_end_that_does_not_wait_is_cleaned_by_the_next, 0, SEEDS);
    tcase_add_loop_test(t, everybody_is_found_where_it_is, 0, SEEDS);
    tcase_add_loop_test(t, two_hundred_domains_are_served, 0, 2);
    tcase_add_loop_test(t, a_long_list_of_domains_is_read_in_parts, 0, 3);
    tcase_add_loop_test(t, a_domain_that_goes_takes_everything_along, 0, SEEDS);
    tcase_add_loop_test(t, a_number_that_is_given_out_again_at_once_is_another_domain, 0, SEEDS);
    tcase_add_loop_test(t, the_store_may_be_started_again, 0, SEEDS);
    tcase_add_loop_test(t, a_name_alone_is_enough, 0, SEEDS);
    tcase_add_loop_test(t, a_name_may_move_to_another_domain, 0, SEEDS);
    tcase_add_test(t, names_are_checked);
    tcase_add_test(t, the_longest_name_serves);
    suite_add_tcase(suite, t);
    return suite;
}
