/* SPDX-License-Identifier: ISC */
/*
 * Xen's security advisories about xenstored from number 414 on, and bugs found in the newest xenstoreds, a case for
 * each. What went wrong there is said in front of each. test_xsd_xsa.c has the earlier ones; test_xsd_state.c has the
 * depth of watches, which C xenstored loses over a live update.
 */
#include "tests/unit/xsd_world.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *c;

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

static void settle(void)
{
    while (xids_xs_server_idle(w->server, 10000)) {
    }
}

static void dies(uint16_t domid)
{
    w->gone[domid] = true;
    xids_xs_server_release(w->server, domid);
    settle();
}

static void is_born_again(uint16_t domid)
{
    w->gone[domid] = false;
    world_home(w, domid);
}

static void check_tree(void)
{
    const char *wrong = xids_store_check(xids_xs_server_store(w->server));
    ck_assert_msg(wrong == NULL, "the tree has %s", wrong);
}

static uint32_t owned(uint16_t domid)
{
    return xids_store_owned(xids_xs_server_store(w->server), domid);
}

/* When a node could not be made the error path freed by a wrong pointer. */
START_TEST(xsa_414_creation_may_fail_anywhere)
{
    world_home(w, 1);
    DOM_EXPECT(1, XS_MKDIR, "warm/up|", "mkdir OK|");
    for (unsigned long i = 1; i < 60; i++) {
        char payload[64];
        uint8_t out[128];
        size_t used;
        (void)sprintf(payload, "/local/domain/1/d%lu/a/b/c/d/e%cv", i, 0);
        const struct xids_xswire_part part = {payload, strlen(payload) + 2};
        int n = xids_xswire_build(out, sizeof(out), XS_WRITE, 77, 0, &part, 1);
        w->alloc.fail_at = w->alloc.calls + i;
        int rc = xids_xs_server_input(c, &used, out, (size_t)n);
        w->alloc.fail_at = 0;
        if (rc < 0)
            ck_assert_int_eq(xids_xs_server_input(c, &used, out + used, (size_t)n - used), 0);
        (void)heard(w, c);
        check_tree();
    }
    DOM_EXPECT(1, XS_READ, "warm/up|", "read ");
}
END_TEST

/* What a creation that failed in a transaction had already made was committed, without a parent. */
START_TEST(xsa_415_a_failed_creation_leaves_no_orphans)
{
    EXPECT(c, XIDS_XS_SET_QUOTA, "nodes|5|", "set-quota OK|");
    world_home(w, 1);
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "a/b|v", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "d/e/f/g|v", "error ENOSPC|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    check_tree();
    EXPECT(c, XS_DIRECTORY, "/local/domain/1|", "directory a|");
    ck_assert_uint_eq(owned(1), 3);
    EXPECT(c, XS_READ, "/local/domain/1/d/e|", "error ENOENT|");
    DOM_EXPECT(1, XS_MKDIR, "d/e|", "mkdir OK|");
}
END_TEST

/* What a request needed for a while was kept until its answer was fetched, which a guest need not do. */
START_TEST(xsa_416_unfetched_answers_hold_little)
{
    char payload[2048];
    uint8_t request[XIDS_XSWIRE_MESSAGE_MAX];
    struct world_ring *r = &w->rings[1];
    world_home(w, 1);
    (void)sprintf(payload, "x%c%01500d", 0, 7);
    const struct xids_xswire_part part = {payload, 1502};
    int n = xids_xswire_build(request, sizeof(request), XS_WRITE, 77, 0, &part, 1);
    size_t bytes = 0;
    for (int i = 0; i < 6000; i++) {
        const uint8_t *at = request;
        for (int left = n; left > 0;) {
            int k = xids_bytering_write(&r->out, at, (uint32_t)left);
            ck_assert_int_ge(k, 0);
            (void)xids_bytering_publish(&r->out);
            xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
            if (k == 0)
                break;
            at += k;
            left -= k;
        }
        if (i == 0)
            bytes = w->alloc.bytes;
    }
    ck_assert_uint_lt(w->alloc.bytes, bytes + 32 * 1024);
}
END_TEST

/* A dead domain's entries became valid again when a node was written before the next domain of that number came. */
START_TEST(xsa_417_a_write_revives_no_rights)
{
    world_home(w, 1);
    world_home(w, 2);
    DOM_EXPECT(2, XS_WRITE, "shared|v", "write OK|");
    DOM_EXPECT(2, XS_SET_PERMS, "shared|n2|b1|", "set-perms OK|");
    dies(1);
    DOM_EXPECT(2, XS_WRITE, "shared|for nobody", "write OK|");
    /* Also what names a domain between two lives of its number. */
    DOM_EXPECT(2, XS_WRITE, "early|v", "write OK|");
    DOM_EXPECT(2, XS_SET_PERMS, "early|n2|b1|", "set-perms OK|");
    DOM_EXPECT(2, XS_WRITE, "early|for nobody", "write OK|");
    is_born_again(1);
    DOM_EXPECT(2, XS_WRITE, "early|still", "write OK|");
    DOM_EXPECT(1, XS_READ, "/local/domain/2/shared|", "error EACCES|");
    DOM_EXPECT(1, XS_READ, "/local/domain/2/early|", "error EACCES|");
}
END_TEST

static void *deep_tree(void *ctx)
{
    static char path[XIDS_XSWIRE_PAYLOAD_MAX];
    size_t levels = *(const size_t *)ctx;
    for (size_t i = 0; i < levels; i++)
        memcpy(path + 2 * i, "/d", 2);
    (void)sprintf(path + 2 * levels, "|");
    EXPECT(c, XS_MKDIR, path, "mkdir OK|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/d/d/x|v", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT(c, XS_SET_PERMS, "/d|n1|", "set-perms OK|");
    if (levels % 2 == 0) {
        EXPECT(c, XS_RM, "/d|", "rm OK|");
    } else {
        dies(1);
    }
    settle();
    check_tree();
    return NULL;
}

/* Removal called itself for each level, and a guest's tree could be deeper than the stack. */
START_TEST(xsa_418_depth_costs_no_stack)
{
    static const size_t levels[] = {2040, 2039};
    pthread_attr_t attr;
    pthread_t thread;
    world_home(w, 1);
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 160u * 1024), 0);
    size_t n = levels[_i];
    ck_assert_int_eq(pthread_create(&thread, &attr, deep_tree, &n), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(pthread_attr_destroy(&attr), 0);
    EXPECT(c, XS_READ, "/d|", "error ENOENT|");
}
END_TEST

/* What a dead domain had made in another's directory was given to domain 0, which has no limit: again and again. */
START_TEST(xsa_419_nodes_of_the_dead_do_not_pile_up)
{
    char payload[64];
    world_home(w, 1);
    DOM_EXPECT(1, XS_MKDIR, "open|", "mkdir OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "open|n1|b2|", "set-perms OK|");
    uint32_t nodes = xids_store_nodes(xids_xs_server_store(w->server)), dom0 = owned(0);
    for (int life = 0; life < 5; life++) {
        is_born_again(2);
        EXPECT(c, XS_SET_PERMS, "/local/domain/1/open|n1|b2|", "set-perms OK|");
        for (int i = 0; i < 300; i++) {
            (void)sprintf(payload, "/local/domain/1/open/%d-%d|v", life, i);
            (void)dom_ask(w, 2, XS_WRITE, payload);
        }
        ck_assert_uint_gt(owned(2), 40);
        dies(2);
        ck_assert_uint_eq(owned(2), 0);
        ck_assert_uint_eq(owned(0), dom0);
        ck_assert_uint_eq(xids_store_nodes(xids_xs_server_store(w->server)), nodes);
    }
}
END_TEST

/* Lengths and indices of 32 bits were cut to 31, and then negative. */
START_TEST(xsa_420_large_numbers_are_large)
{
    static const uint32_t lengths[] = {0x40000000, 0x7fffffff, 0x80000000, 0x80001000, 0xc0000010, 0xffffffff};
    world_home(w, 1);
    world_home(w, 2);
    const uint32_t message[4] = {XS_READ, 1, 0, lengths[_i]};
    struct xenstore_domain_interface *page = (void *)w->rings[1].page;
    struct world_ring *r = &w->rings[1];
    ck_assert_int_eq(xids_bytering_write(&r->out, message, sizeof(message)), sizeof(message));
    (void)xids_bytering_publish(&r->out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
    ck_assert_uint_eq(page->error, XENSTORE_ERROR_PROTO);
    page = (void *)w->rings[2].page;
    page->req_prod = page->req_cons + lengths[_i];
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 2));
    ck_assert_uint_eq(page->error, XENSTORE_ERROR_RINGIDX);
    struct xids_xs_conn *o = world_socket(w);
    size_t used;
    ck_assert_int_eq(xids_xs_server_input(o, &used, message, sizeof(message)), -XEN_EBADMSG);
}
END_TEST

/* A node made and removed in one transaction was not counted right, and the limit of nodes no more. */
START_TEST(xsa_421_made_and_removed_in_a_transaction_counts_nothing)
{
    char payload[64];
    world_home(w, 1);
    for (int i = 0; i < 30; i++) {
        uint32_t tx = dom_tx_start(w, 1);
        for (int k = 0; k < 20; k++) {
            (void)sprintf(payload, "t/%d/x|v", k);
            DOM_EXPECT_TX(1, tx, XS_WRITE, payload, "write OK|");
            (void)sprintf(payload, "t/%d|", k);
            DOM_EXPECT_TX(1, tx, XS_RM, payload, "rm OK|");
        }
        if (i % 2 == 0)
            DOM_EXPECT_TX(1, tx, XS_RM, "t|", "rm OK|");
        DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, i % 3 == 0 ? "F|" : "T|", "end OK|");
        check_tree();
        ck_assert_uint_le(owned(1), 2);
    }
    (void)dom_ask(w, 1, XS_RM, "t|");
    ck_assert_uint_eq(owned(1), 1);
}
END_TEST

/* A domain's soft reset let go of a connection while the list of all was walked. */
START_TEST(xsa_425_release_and_introduce_while_others_die)
{
    for (uint16_t domid = 1; domid <= 6; domid++) {
        world_home(w, domid);
        DOM_EXPECT(domid, XS_WATCH, "@releaseDomain|r|", "watch OK|\nevent @releaseDomain|r|");
    }
    for (uint16_t domid = 1; domid <= 6; domid = (uint16_t)(domid + 2))
        xids_xs_server_release(w->server, domid);
    EXPECT(c, XS_RELEASE, "2|", "release OK|");
    world_introduce(w, 2);
    DOM_EXPECT(2, XS_GET_DOMAIN_PATH, "2|", "path /local/domain/2|");
    EXPECT(c, XS_RELEASE, "4|", "release OK|");
    xids_xs_server_release(w->server, 6);
    settle();
    for (uint16_t domid = 1; domid <= 6; domid++)
        ck_assert_int_eq(w->rings[domid].introduced, domid == 2);
}
END_TEST

/* A path that ends where a domid should stand clobbered an errno that was then asserted. */
START_TEST(xsa_481_a_path_without_the_domid)
{
    static const char *const paths[] = {"/local/domain/|",  "/local/domain//|",      "/local/domain/x|",
                                        "/local/domain/-|", "/local/domain/999999|", "/local/domain/1x/y|"};
    world_home(w, 1);
    static const uint32_t types[] = {XS_READ, XS_MKDIR, XS_RM, XS_GET_PERMS, XS_DIRECTORY};
    for (unsigned int k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
        const char *got = dom_ask(w, 1, types[k], paths[_i]);
        ck_assert_str_eq(got, _i < 2 ? "error EINVAL|" : "error EACCES|");
        ck_assert_ptr_nonnull(strchr(ask(w, c, types[k], paths[_i]), ' '));
    }
    DOM_EXPECT(1, XS_GET_DOMAIN_PATH, "1|", "path /local/domain/1|");
}
END_TEST

/* What a dead domain had used up was counted against its successor. */
START_TEST(xsa_483_counts_end_with_the_domain)
{
    char payload[64];
    unsigned int first[3] = {0};
    for (int life = 0; life < 3; life++) {
        unsigned int made[3] = {0};
        is_born_again(1);
        for (int i = 0; i < 1100; i++) {
            (void)sprintf(payload, "%d/%d|v", i / 40, i);
            made[0] += strcmp(dom_ask(w, 1, XS_WRITE, payload), "write OK|") == 0;
        }
        for (int i = 0; i < 200; i++) {
            (void)sprintf(payload, "/w%d|t|", i);
            made[1] += strncmp(dom_ask(w, 1, XS_WATCH, payload), "watch OK|", 9) == 0;
            made[2] += strncmp(dom_ask(w, 1, XS_TRANSACTION_START, "|"), "start ", 6) == 0;
        }
        if (life == 0)
            memcpy(first, made, sizeof(first));
        ck_assert_mem_eq(made, first, sizeof(made));
        ck_assert_uint_gt(made[0], 900);
        dies(1);
    }
}
END_TEST

/* RESET_WATCHES ended the transaction that it came in, which was then asserted to be there. */
START_TEST(xsa_484_reset_watches_in_a_transaction)
{
    world_home(w, 1);
    uint32_t tx = dom_tx_start(w, 1), other = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "a|v", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_RESET_WATCHES, "|", "reset OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error ENOENT|");
    DOM_EXPECT_TX(1, other, XS_TRANSACTION_END, "T|", "error ENOENT|");
    DOM_EXPECT(1, XS_READ, "a|", "error ENOENT|");
    tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_RESET_WATCHES, "|", "reset OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error ENOENT|");
}
END_TEST

/* ---- not advisories ---- */

/* C: whoever sets it is looked up as a domain, which a socket is not. */
START_TEST(bug_permissions_for_every_domain_from_a_socket)
{
    EXPECT(c, XS_WRITE, "/a|v", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/a|n0|r32757|", "set-perms OK|");
    world_home(w, 1);
    DOM_EXPECT(1, XS_READ, "/a|", "read v");
}
END_TEST

/* C: events for a socket whose client does not read hold up the guests that cause them. */
START_TEST(bug_a_deaf_socket_stalls_no_guest)
{
    world_home(w, 1);
    struct xids_xs_conn *deaf = world_socket(w);
    EXPECT(deaf, XS_WATCH, "/|t|", "watch OK|\nevent /|t|");
    for (int i = 0; i < 2000; i++)
        DOM_EXPECT(1, XS_WRITE, i % 2 == 0 ? "a|v" : "b|v", "write OK|");
}
END_TEST

/* OCaml: a request without payload over a socket is never answered. */
START_TEST(bug_a_request_without_payload_is_answered)
{
    for (uint32_t type = 0; type <= XIDS_XS_SET_QUOTA; type++)
        ck_assert_str_ne(ask(w, c, type, ""), "");
}
END_TEST

/* C: a freed message is gone on with when a domain is introduced again in the middle of it. */
START_TEST(bug_introduction_in_the_middle_of_a_message)
{
    static const uint32_t half[4] = {XS_WRITE, 9, 0, 3000};
    world_home(w, 1);
    dom_send(w, 1, half, sizeof(half));
    dom_send(w, 1, "abc", 3);
    world_introduce(w, 1);
    DOM_EXPECT(1, XS_GET_DOMAIN_PATH, "1|", "path /local/domain/1|");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xsd_xsa4");
    TCase *t = tcase_create("xsa");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, xsa_414_creation_may_fail_anywhere);
    tcase_add_test(t, xsa_415_a_failed_creation_leaves_no_orphans);
    tcase_add_test(t, xsa_416_unfetched_answers_hold_little);
    tcase_add_test(t, xsa_417_a_write_revives_no_rights);
    tcase_add_loop_test(t, xsa_418_depth_costs_no_stack, 0, 2);
    tcase_add_test(t, xsa_419_nodes_of_the_dead_do_not_pile_up);
    tcase_add_loop_test(t, xsa_420_large_numbers_are_large, 0, 6);
    tcase_add_test(t, xsa_421_made_and_removed_in_a_transaction_counts_nothing);
    tcase_add_test(t, xsa_425_release_and_introduce_while_others_die);
    tcase_add_loop_test(t, xsa_481_a_path_without_the_domid, 0, 6);
    tcase_add_test(t, xsa_483_counts_end_with_the_domain);
    tcase_add_test(t, xsa_484_reset_watches_in_a_transaction);
    suite_add_tcase(s, t);
    t = tcase_create("bugs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bug_permissions_for_every_domain_from_a_socket);
    tcase_add_test(t, bug_a_deaf_socket_stalls_no_guest);
    tcase_add_test(t, bug_a_request_without_payload_is_answered);
    tcase_add_test(t, bug_introduction_in_the_middle_of_a_message);
    suite_add_tcase(s, t);
    return s;
}
