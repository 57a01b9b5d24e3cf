/* SPDX-License-Identifier: ISC */
/* A test store's fake domains: how they come and go, who acts as them, and their rings. */
#include "tests/unit/testing_fixture.h"

#include <stdio.h>
#include <unistd.h>

#define SERVED XIDS_TEST_STORE_MANUAL /* the modes below it serve by themselves */

static struct xids_test_store *s;
static struct xids_xs *tools;

static void setup(void)
{
    s = store_up(XIDS_TEST_STORE_THREAD, NULL);
    tools = open_as(s, 0);
}

static void teardown(void)
{
    xids_xs_close(tools);
    xids_test_store_free(s);
}

START_TEST(a_domain_is_introduced_with_what_a_toolstack_makes)
{
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_eq(xids_xs_is_introduced(tools, 5), 1);
    EXPECT_DUMP(s, "/local/domain/5", 0,
                "/local/domain/5 = \"\" (n0,r5)\n"
                "/local/domain/5/data = \"\" (n5)\n"
                "/local/domain/5/domid = \"5\" (n0,r5)\n");
    ck_assert_int_eq(xids_test_store_introduce(s, 6, false), 0);
    ck_assert_int_eq(xids_xs_is_introduced(tools, 6), 1);
    ck_assert(has(tools, "/local/domain/6", NULL));
}
END_TEST

START_TEST(a_program_introduces_domains_by_itself)
{
    ck_assert_int_eq(xids_xs_introduce(tools, 9, 1, 2), 0);
    struct xids_xs *guest = open_as(s, 9);
    ck_assert_int_eq(xids_test_store_introduce(s, 9, false), -XEN_EEXIST);
    ck_assert_int_eq(xids_xs_release(tools, 9), 0);
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "/x"), -XEN_ENOTCONN);
    xids_xs_close(guest);
}
END_TEST

START_TEST(numbers_that_are_no_guests_are_refused)
{
    struct xids_xs *xs = NULL;
    ck_assert_int_eq(xids_test_store_introduce(s, 0, false), -XEN_EINVAL);
    ck_assert_int_eq(xids_test_store_introduce(s, DOMID_FIRST_RESERVED, false), -XEN_EINVAL);
    ck_assert_int_eq(xids_test_store_open(s, &xs, 44), -XEN_ENOENT);
    ck_assert_int_eq(xids_test_store_shutdown(s, 44), -XEN_ENOENT);
    ck_assert_int_eq(xids_test_store_destroy(s, 44), -XEN_ENOENT);
}
END_TEST

START_TEST(a_guests_client_has_its_rights_and_its_home)
{
    domid_t domid = 0;
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 6, true), 0);
    struct xids_xs *guest = open_as(s, 5), *other = open_as(s, 6);
    ck_assert_int_eq(xids_xs_own_domid(guest, &domid), 0);
    ck_assert_uint_eq(domid, 5);
    put(guest, "data/x", "mine");
    ck_assert(has(tools, "/local/domain/5/data/x", "mine"));
    ck_assert_int_eq(xids_xs_write(guest, 0, "/local/domain/5/name", "x", 1), -XEN_EACCES);
    char *got = NULL;
    ck_assert_int_eq(xids_xs_read(other, &got, NULL, 0, "/local/domain/5/data/x"), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_release(guest, 6), -XEN_EACCES);
    xids_xs_close(guest);
    xids_xs_close(other);
}
END_TEST

START_TEST(several_programs_can_be_one_guest)
{
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_eq(xids_test_store_use(s, 5), 0);
    struct xids_xs *a = NULL, *b = NULL;
    ck_assert_int_eq(xids_xs_open(&a, NULL), 0);
    ck_assert_int_eq(xids_xs_open(&b, NULL), 0);
    put(a, "data/x", "1");
    ck_assert(has(b, "data/x", "1"));
    EXPECT_LOG(s, "dom5.2 WRITE data/x \"1\" -> OK\ndom5.3 READ data/x -> OK\n");
    xids_xs_close(a);
    xids_xs_close(b);
}
END_TEST

/* A device model's domain, for one. It may connect before or after it is given the target. */
START_TEST(a_domain_has_its_targets_rights_while_there_is_one)
{
    static const char payload[] = "5\0006";
    const struct xids_xswire_part part = {payload, sizeof(payload)};
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 6, true), 0);
    struct xids_xs *early = open_as(s, 5);
    ck_assert_int_eq(xids_xs_mkdir(early, 0, "/local/domain/6/data/a"), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_client_request(xids_xs_client(tools), XS_SET_TARGET, 0, &part, 1, NULL, NULL), 0);
    ck_assert_int_eq(xids_xs_pump(tools), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    struct xids_xs *late = open_as(s, 5);
    ck_assert_int_eq(xids_xs_mkdir(early, 0, "/local/domain/6/data/a"), 0);
    ck_assert_int_eq(xids_xs_mkdir(late, 0, "/local/domain/6/data/b"), 0);
    ck_assert_int_eq(xids_test_store_destroy(s, 6), 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 6, true), 0);
    ck_assert_int_eq(xids_xs_mkdir(early, 0, "/local/domain/6/data/c"), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_mkdir(late, 0, "/local/domain/6/data/c"), -XEN_EACCES);
    xids_xs_close(early);
    xids_xs_close(late);
}
END_TEST

START_TEST(limits_are_those_of_the_configuration)
{
    struct xids_xs_limits limits = xids_xs_limits_default;
    struct xids_test_store *small = NULL;
    limits.store.nodes = 4;
    limits.watches = 1;
    const struct xids_test_store_config config = {.mode = (enum xids_test_store_mode)_i, .limits = &limits};
    ck_assert_int_eq(xids_test_store_new(&small, &config), 0);
    ck_assert_int_eq(xids_test_store_introduce(small, 5, true), 0);
    struct xids_xs *guest = open_as(small, 5);
    put(guest, "data/a", "1");
    put(guest, "data/b", "1");
    put(guest, "data/c", "1");
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/d"), -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_watch(guest, "data", NULL), 0);
    ck_assert_int_eq(xids_xs_watch(guest, "data/a", NULL), -XEN_ENOSPC);
    xids_xs_close(guest);
    xids_test_store_free(small);
}
END_TEST

START_TEST(limits_are_set_for_one_domain_or_for_those_to_come)
{
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 6, true), 0);
    struct xids_xs *guest = open_as(s, 5), *other = open_as(s, 6);
    ck_assert_int_eq(xids_test_store_limit(s, 5, "nodes", 2), 0);
    put(guest, "data/a", "1");
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/b"), -XEN_ENOSPC);
    put(other, "data/a", "1");
    put(other, "data/b", "1");
    ck_assert_int_eq(xids_test_store_limit(s, 0, "nodes", 1), 0);
    put(other, "data/c", "1");
    ck_assert_int_eq(xids_test_store_introduce(s, 7, true), 0);
    struct xids_xs *late = open_as(s, 7);
    ck_assert_int_eq(xids_xs_mkdir(late, 0, "data/a"), -XEN_ENOSPC);
    ck_assert_int_eq(xids_test_store_limit(s, 5, "apples", 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_test_store_limit(s, 55, "nodes", 1), -XEN_ENOENT);
    xids_xs_close(guest);
    xids_xs_close(other);
    xids_xs_close(late);
}
END_TEST

static void expect_event(struct xids_xs *xs, const char *path)
{
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 20000), 1);
    ck_assert_str_eq(e.path, path);
}

START_TEST(coming_and_going_is_told)
{
    ck_assert_int_eq(xids_xs_watch(tools, "@introduceDomain", NULL), 0);
    expect_event(tools, "@introduceDomain");
    ck_assert_int_eq(xids_xs_watch(tools, "@releaseDomain", NULL), 0);
    expect_event(tools, "@releaseDomain");
    ck_assert_int_eq(xids_test_store_introduce(s, 5, false), 0);
    expect_event(tools, "@introduceDomain");
    ck_assert_int_eq(xids_test_store_shutdown(s, 5), 0);
    expect_event(tools, "@releaseDomain");
    ck_assert_int_eq(xids_xs_is_introduced(tools, 5), 1);
    ck_assert_int_eq(xids_test_store_destroy(s, 5), 0);
    expect_event(tools, "@releaseDomain");
    ck_assert_int_eq(xids_xs_is_introduced(tools, 5), 0);
}
END_TEST

START_TEST(a_destroyed_domain_is_gone_with_all_it_had)
{
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    struct xids_xs *guest = open_as(s, 5);
    struct xids_test_store_counts counts;
    put(guest, "data/x", "1");
    put(tools, "/given", "1");
    static const struct xids_xs_perm perms[] = {{0, XIDS_XS_NONE}, {5, XIDS_XS_READ}};
    ck_assert_int_eq(xids_xs_set_perms(tools, 0, "/given", perms, 2), 0);
    ck_assert_int_eq(xids_test_store_destroy(s, 5), 0);
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/y"), -XEN_ENOTCONN);
    ck_assert(has(tools, "/local/domain/5", NULL));
    EXPECT_DUMP(s, "/given", 0, "/given = \"1\" (n0)\n");
    ck_assert_int_eq(xids_test_store_counts(s, &counts), 0);
    ck_assert_uint_eq(counts.domains, 0);
    ck_assert_uint_eq(counts.connections, 1);
    xids_xs_close(guest);
    /* The number may be another's now, who inherits nothing. */
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    guest = open_as(s, 5);
    char *got = NULL;
    ck_assert_int_eq(xids_xs_read(guest, &got, NULL, 0, "/given"), -XEN_EACCES);
    xids_xs_close(guest);
}
END_TEST

START_TEST(a_domain_that_has_gone_is_given_nothing)
{
    static const struct xids_xs_perm owner[] = {{5, XIDS_XS_NONE}};
    put(tools, "/x", "1");
    ck_assert_int_eq(xids_xs_set_perms(tools, 0, "/x", owner, 1), 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 5, false), 0);
    ck_assert_int_eq(xids_test_store_destroy(s, 5), 0);
    put(tools, "/y", "1");
    ck_assert_int_eq(xids_xs_set_perms(tools, 0, "/y", owner, 1), -XEN_ENOENT);
}
END_TEST

/* ---- rings ---- */

struct guest {
    struct xids_xs_client *client;
    void *mem;
    struct xids_xs_ring ring;
    struct xids_test_store_ring at;
};

static void guest_up(struct guest *g, struct xids_test_store *store, domid_t domid)
{
    size_t size = xids_xs_client_size(NULL);
    g->mem = malloc(size);
    ck_assert_int_eq(xids_xs_client_init(&g->client, g->mem, size, NULL), 0);
    ck_assert_int_eq(xids_test_store_ring(store, &g->at, domid), 0);
    ck_assert_int_eq(xids_xs_ring_init(&g->ring, g->client, g->at.platform, g->at.page, g->at.port), 0);
}

static void guest_down(struct guest *g)
{
    xids_xs_client_fini(g->client);
    free(g->mem);
}

struct answer {
    bool come;
    int rc;
    char text[2048];
};

static void on_answer(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    a->come = true;
    a->rc = rc;
    ck_assert_uint_lt(len, sizeof(a->text));
    if (len > 0)
        memcpy(a->text, payload, len);
    a->text[len] = '\0';
}

/* As a guest's loop does it: pump, wait for the port, take it. */
static void until(struct guest *g, const bool *done)
{
    const struct xids_platform *p = g->at.platform;
    uint64_t end = p->ops->now(p->ctx) + UINT64_C(20000000000);
    ck_assert_int_eq(xids_xs_ring_pump(&g->ring), 0);
    while (!*done) {
        ck_assert_int_eq(p->ops->wait(p->ctx, end), 1);
        ck_assert_int_eq(p->ops->evtchn_pending(p->ctx), (int)g->at.port);
        ck_assert_int_eq(p->ops->evtchn_unmask(p->ctx, g->at.port), 0);
        ck_assert_int_eq(xids_xs_ring_pump(&g->ring), 0);
    }
}

static const enum xids_test_store_mode ring_modes[] = {XIDS_TEST_STORE_THREAD, XIDS_TEST_STORE_MANUAL};

START_TEST(a_guests_ring_is_served)
{
    struct xids_test_store *store = store_up(ring_modes[_i], NULL);
    struct guest g;
    struct answer a = {0};
    char big[1500];
    memset(big, 'b', sizeof(big));
    ck_assert_int_eq(xids_test_store_introduce(store, 5, true), 0);
    guest_up(&g, store, 5);
    ck_assert_int_eq(xids_xs_client_write(g.client, 0, "data/x", big, sizeof(big), on_answer, &a), 0);
    until(&g, &a.come);
    ck_assert_int_eq(a.rc, 0);
    a.come = false;
    ck_assert_int_eq(xids_xs_client_read(g.client, 0, "data/x", on_answer, &a), 0);
    until(&g, &a.come);
    ck_assert_int_eq(a.rc, 0);
    ck_assert_uint_eq(strlen(a.text), sizeof(big));
    a.come = false;
    ck_assert_int_eq(xids_xs_client_mkdir(g.client, 0, "/no", on_answer, &a), 0);
    until(&g, &a.come);
    ck_assert_int_eq(a.rc, -XEN_EACCES);
    guest_down(&g);
    xids_test_store_free(store);
}
END_TEST

static void on_watch(void *ctx, int what, const char *path)
{
    if (what == XIDS_XS_WATCH_FIRED && strcmp(path, "data/x") == 0)
        *(bool *)ctx = true;
}

START_TEST(a_guests_ring_is_told_of_events)
{
    struct xids_test_store *store = store_up(ring_modes[_i], NULL);
    struct guest g;
    bool fired = false;
    uint32_t id;
    ck_assert_int_eq(xids_test_store_introduce(store, 5, true), 0);
    guest_up(&g, store, 5);
    struct answer a = {0};
    ck_assert_int_eq(xids_xs_client_watch(g.client, &id, "data", on_watch, &fired), 0);
    ck_assert_int_eq(xids_xs_client_read(g.client, 0, "domid", on_answer, &a), 0);
    until(&g, &a.come);
    ck_assert_str_eq(a.text, "5");
    ck_assert(!fired);
    ck_assert_int_eq(xids_test_store_load(store, NULL, "/local/domain/5/data/x = \"1\"\n"), 0);
    until(&g, &fired);
    char *watches = NULL;
    ck_assert_int_eq(xids_test_store_watches(store, &watches), 0);
    ck_assert_int_eq(strncmp(watches, "dom5.ring /local/domain/5/data ", 31), 0);
    free(watches);
    guest_down(&g);
    xids_test_store_free(store);
}
END_TEST

START_TEST(faults_reach_rings)
{
    struct guest g;
    struct answer a = {0};
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_gt(xids_test_store_fail(s, XS_WRITE, "/local/domain/5", 1, -XEN_ENOSPC), 0);
    guest_up(&g, s, 5);
    ck_assert_int_eq(xids_xs_client_write(g.client, 0, "data/x", "1", 1, on_answer, &a), 0);
    until(&g, &a.come);
    ck_assert_int_eq(a.rc, -XEN_ENOSPC);
    EXPECT_LOG(s, "dom5.ring WRITE data/x \"1\" -> ENOSPC\n");
    guest_down(&g);
}
END_TEST

START_TEST(a_page_outlives_its_domain)
{
    struct guest g;
    struct answer a = {0};
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    guest_up(&g, s, 5);
    ck_assert_int_eq(g.at.platform->ops->evtchn_status(g.at.platform->ctx, g.at.port), XIDS_EVTCHN_INTERDOMAIN);
    ck_assert_int_eq(xids_test_store_destroy(s, 5), 0);
    ck_assert_int_eq(xids_xs_client_read(g.client, 0, "domid", on_answer, &a), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&g.ring), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&g.ring), 0);
    ck_assert(!a.come);
    ck_assert_int_eq(g.at.platform->ops->evtchn_status(g.at.platform->ctx, g.at.port), XIDS_EVTCHN_UNBOUND);
    guest_down(&g);
}
END_TEST

START_TEST(a_platform_has_no_more_than_it_says)
{
    struct xids_test_store_ring at;
    void *pages;
    ck_assert_int_eq(xids_test_store_ring(s, &at, 5), -XEN_ENOENT);
    ck_assert_int_eq(xids_test_store_introduce(s, 5, false), 0);
    ck_assert_int_eq(xids_test_store_ring(s, &at, 5), 0);
    const struct xids_platform_ops *ops = at.platform->ops;
    ck_assert_uint_eq(at.platform->domid, 5);
    ck_assert_int_eq(ops->page_alloc(at.platform->ctx, &pages, 1), -XEN_ENOSYS);
    ck_assert_int_eq(ops->evtchn_alloc(at.platform->ctx, 0), -XEN_ENOSYS);
    ck_assert_int_eq(ops->evtchn_notify(at.platform->ctx, at.port + 1), -XEN_EINVAL);
    struct xids_test_store *forked = store_up(XIDS_TEST_STORE_FORKED, NULL);
    ck_assert_int_eq(xids_test_store_introduce(forked, 5, false), 0);
    ck_assert_int_eq(xids_test_store_ring(forked, &at, 5), -XEN_ENOSYS);
    xids_test_store_free(forked);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("testing_domains");
    TCase *t = tcase_create("domains");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, a_domain_is_introduced_with_what_a_toolstack_makes);
    tcase_add_test(t, a_program_introduces_domains_by_itself);
    tcase_add_test(t, numbers_that_are_no_guests_are_refused);
    tcase_add_test(t, a_guests_client_has_its_rights_and_its_home);
    tcase_add_test(t, several_programs_can_be_one_guest);
    tcase_add_test(t, a_domain_has_its_targets_rights_while_there_is_one);
    tcase_add_loop_test(t, limits_are_those_of_the_configuration, 0, SERVED);
    tcase_add_test(t, limits_are_set_for_one_domain_or_for_those_to_come);
    tcase_add_test(t, coming_and_going_is_told);
    tcase_add_test(t, a_destroyed_domain_is_gone_with_all_it_had);
    tcase_add_test(t, a_domain_that_has_gone_is_given_nothing);
    suite_add_tcase(suite, t);
    t = tcase_create("rings");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, a_guests_ring_is_served, 0, 2);
    tcase_add_loop_test(t, a_guests_ring_is_told_of_events, 0, 2);
    tcase_add_test(t, faults_reach_rings);
    tcase_add_test(t, a_page_outlives_its_domain);
    tcase_add_test(t, a_platform_has_no_more_than_it_says);
    suite_add_tcase(suite, t);
    return suite;
}
