/* SPDX-License-Identifier: ISC */
/*
 * Xen's security advisories about xenstored up to number 354, a case for each. What went wrong there is said in front
 * of each. 354 itself is about what xapi does with guests' nodes. test_xsd_xsa4.c has the later ones.
 */
#include "tests/unit/xsd_world.h"

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

static void dies(uint16_t domid)
{
    w->gone[domid] = true;
    xids_xs_server_release(w->server, domid);
    while (xids_xs_server_idle(w->server, 10000)) {
    }
}

/* Events were sent, and special watches fired, without a look at the watcher's rights; IS_DOMAIN_INTRODUCED likewise.
 */
START_TEST(xsa_115_no_events_without_the_right_to_read)
{
    world_home(w, 1);
    EXPECT(c, XS_SET_PERMS, "@introduceDomain|n0|", "set-perms OK|");
    DOM_EXPECT(1, XS_WATCH, "/|t|", "watch OK|\nevent /|t|");
    DOM_EXPECT(1, XS_WATCH, "/secret|u|", "watch OK|\nevent /secret|u|");
    DOM_EXPECT(1, XS_WATCH, "@introduceDomain|i|", "watch OK|\nevent @introduceDomain|i|");
    EXPECT(c, XS_WRITE, "/secret/below|v", "write OK|");
    EXPECT(c, XS_WRITE, "/secret|v", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/secret|b0|n1|", "set-perms OK|");
    EXPECT(c, XS_RM, "/secret|", "rm OK|");
    world_introduce(w, 2);
    ck_assert_str_eq(dom_heard(w, 1), "");
    DOM_EXPECT(1, XS_IS_DOMAIN_INTRODUCED, "2|", "error EACCES|");
}
END_TEST

/* A guest that writes all the time had everybody's transactions refused. Here it disturbs who reads what it writes. */
START_TEST(xsa_206_writes_elsewhere_refuse_no_transaction)
{
    world_home(w, 1);
    EXPECT(c, XS_WRITE, "/tool/a|1", "write OK|");
    for (int i = 0; i < 50; i++) {
        uint32_t tx = tx_start(w, c);
        EXPECT_TX(c, tx, XS_READ, "/tool/a|", "read 1");
        DOM_EXPECT(1, XS_WRITE, "data|v", "write OK|");
        EXPECT_TX(c, tx, XS_WRITE, "/tool/b|2", "write OK|");
        DOM_EXPECT(1, XS_MKDIR, "data/new|", "mkdir OK|");
        EXPECT_TX(c, tx, XS_WRITE, "/local/domain/1/device/x|2", "write OK|");
        DOM_EXPECT(1, XS_RM, "data/new|", "rm OK|");
        EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    }
}
END_TEST

/* It also writes what a toolstack reads, whenever it can. Once refused, the toolstack comes first. */
START_TEST(xsa_206_writes_refuse_no_toolstack_for_ever)
{
    unsigned int refused = 0;
    world_home(w, 1);
    EXPECT(c, XS_WRITE, "/tool/a|1", "write OK|");
    for (int i = 0; i < 200; i++) {
        xids_xs_server_time(w->server, (uint64_t)i);
        uint32_t tx = tx_start(w, c);
        (void)dom_ask(w, 1, XS_WRITE, i % 2 == 0 ? "x|1" : "x|2");
        (void)ask_tx(w, c, tx, XS_READ, "/local/domain/1/x|");
        (void)dom_ask(w, 1, XS_WRITE, i % 2 == 0 ? "x|3" : "x|4");
        EXPECT_TX(c, tx, XS_WRITE, "/tool/a|2", "write OK|");
        refused += strcmp(ask_tx(w, c, tx, XS_TRANSACTION_END, "T|"), "end OK|") != 0;
        /* The guest is served as well. */
        while (xids_xs_server_idle(w->server, 100)) {
        }
        (void)dom_heard(w, 1);
    }
    ck_assert_uint_le(refused, 100);
    DOM_EXPECT(1, XS_WRITE, "x|5", "write OK|");
    /* A toolstack that falls asleep in its transaction does not stop it for long. */
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_READ, "/local/domain/1/x|", "read 5");
    EXPECT_TX(c, tx, XS_WRITE, "/tool/a|3", "write OK|");
    DOM_EXPECT(1, XS_WRITE, "x|6", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    tx = tx_start(w, c);
    DOM_EXPECT(1, XS_WRITE, "x|7", "");
    DOM_EXPECT(1, XS_READ, "x|", "");
    xids_xs_server_time(w->server, 260);
    while (xids_xs_server_idle(w->server, 100)) {
    }
    ck_assert_str_eq(dom_heard(w, 1), "write OK|\nread 7");
}
END_TEST

/* A stub domain holds its target's connection; when both died at once it was unlinked twice. */
START_TEST(xsa_233_a_stub_domain_and_its_target_die_together)
{
    static const uint16_t orders[][3] = {{1, 2, 3}, {2, 1, 3}, {3, 2, 1}, {3, 1, 2}};
    for (uint16_t domid = 1; domid <= 3; domid++)
        world_home(w, domid);
    EXPECT(c, XS_SET_TARGET, "1|2|", "target OK|");
    EXPECT(c, XS_SET_TARGET, "2|1|", "target OK|");
    EXPECT(c, XS_SET_TARGET, "3|3|", "target OK|");
    DOM_EXPECT(1, XS_WRITE, "/local/domain/2/x|v", "write OK|");
    for (int i = 0; i < 3; i++)
        xids_xs_server_release(w->server, orders[_i][i]);
    for (int i = 0; i < 3; i++)
        xids_xs_server_release(w->server, orders[_i][i]);
    while (xids_xs_server_idle(w->server, 10000)) {
    }
    EXPECT(c, XS_READ, "/local/domain/2|", "error ENOENT|");
}
END_TEST

/* The limit of nodes was not looked at, for want of an evaluation. */
START_TEST(xsa_272_the_limit_of_nodes_holds)
{
    char payload[64];
    unsigned int made = 0;
    world_home(w, 1);
    for (int i = 0; i < 50; i++) {
        uint32_t tx = i % 2 == 0 ? dom_tx_start(w, 1) : 0;
        for (int k = 0; k < 50; k++) {
            (void)sprintf(payload, "d%d/n%d|v", i, k);
            (void)dom_ask_tx(w, 1, tx, XS_WRITE, payload);
        }
        if (tx != 0)
            (void)dom_ask_tx(w, 1, tx, XS_TRANSACTION_END, "T|");
        made = xids_store_owned(xids_xs_server_store(w->server), 1);
        ck_assert_uint_le(made, 1000);
    }
    ck_assert_uint_ge(made, 900);
}
END_TEST

/* Rights stayed when a domain died, and its successor of the same number had them. */
START_TEST(xsa_322_a_new_domain_has_no_rights_of_the_last_one)
{
    world_home(w, 1);
    EXPECT(c, XS_WRITE, "/for-one|secret", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/for-one|n0|b1|", "set-perms OK|");
    DOM_EXPECT(1, XS_WRITE, "own|secret", "write OK|");
    DOM_EXPECT(1, XS_READ, "/for-one|", "read secret");
    dies(1);
    w->gone[1] = false;
    world_introduce(w, 1);
    DOM_EXPECT(1, XS_READ, "/for-one|", "error EACCES|");
    EXPECT(c, XS_GET_PERMS, "/for-one|", "get-perms n0|");
    DOM_EXPECT(1, XS_READ, "own|", "error EACCES|");
    EXPECT(c, XS_READ, "/local/domain/1/own|", "error ENOENT|");
}
END_TEST

/* The length of a path was looked at before the domain's own directory was put in front of it, or not at all. */
START_TEST(xsa_323_a_path_is_as_long_as_it_is_in_the_end)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX];
    static const char *const starts[] = {"", "/local/domain/1/", "/local/domain/2/", "/"};
    world_home(w, 1);
    for (unsigned int i = 0; i < 4; i++) {
        size_t begin = strlen(starts[i]), uncounted = begin > 1 ? begin : 0;
        for (size_t len = 2046; len < 2050; len++) {
            (void)sprintf(payload, "%s", starts[i]);
            memset(payload + begin, 'p', uncounted + len - begin);
            (void)sprintf(payload + uncounted + len, "|");
            const char *got = dom_ask(w, 1, XS_READ, payload);
            ck_assert_msg((strcmp(got, "error EINVAL|") == 0) == (len >= 2048), "%s, %zu: %s", starts[i], len, got);
        }
    }
    memset(payload, 'p', 4090);
    (void)sprintf(payload + 4090, "|");
    DOM_EXPECT(1, XS_MKDIR, payload, "error EINVAL|");
    DOM_EXPECT(1, XS_WATCH, payload, "error EINVAL|");
}
END_TEST

/* An event's path and token together did not fit in a message: an assertion. */
START_TEST(xsa_324_an_event_that_is_too_long_is_dropped)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX], path[2000];
    world_home(w, 1);
    for (size_t len = 2500; len < 4000; len += 100) {
        size_t at = (size_t)sprintf(payload, "own|");
        memset(payload + at, 't', len);
        (void)sprintf(payload + at + len, "|");
        ck_assert_int_eq(strncmp(dom_ask(w, 1, XS_WATCH, payload), "watch OK|", 9), 0);
    }
    DOM_EXPECT(1, XS_WATCH, "own|short|", "watch OK|\nevent own|short|");
    (void)sprintf(path, "own/");
    memset(path + 4, 'p', 1700);
    (void)sprintf(path + 1704, "|v");
    const char *got = dom_ask(w, 1, XS_WRITE, path);
    ck_assert_ptr_nonnull(strstr(got, "|short|"));
    ck_assert_ptr_nonnull(strstr(got, "write OK|"));
    DOM_EXPECT(1, XS_RM, "nothing|", "rm OK|");
}
END_TEST

/* A guest that broke the protocol was taken for gone at once, and its real end was never told. */
START_TEST(xsa_325_a_broken_guest_ends_when_it_ends)
{
    static const uint32_t too_long[4] = {XS_READ, 1, 0, 4097};
    world_home(w, 1);
    EXPECT(c, XS_WATCH, "@releaseDomain|r|", "watch OK|\nevent @releaseDomain|r|");
    struct world_ring *r = &w->rings[1];
    ck_assert_int_eq(xids_bytering_write(&r->out, too_long, sizeof(too_long)), sizeof(too_long));
    (void)xids_bytering_publish(&r->out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
    ck_assert_str_eq(heard(w, c), "");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "1|", "introduced T|");
    EXPECT(c, XS_READ, "/local/domain/1|", "read ");
    dies(1);
    ck_assert_str_eq(heard(w, c), "event @releaseDomain|r|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "1|", "introduced F|");
    EXPECT(c, XS_READ, "/local/domain/1|", "error ENOENT|");
    ck_assert(!r->introduced);
}
END_TEST

/* Without bound were kept: answers nobody fetches, events, what transactions touch, requests under way. */
START_TEST(xsa_326_what_a_guest_makes_us_keep_is_bounded)
{
    char payload[2048];
    uint8_t request[128];
    struct world_ring *r = &w->rings[1];
    world_home(w, 1);
    (void)sprintf(payload, "big|%01900d", 7);
    DOM_EXPECT(1, XS_WRITE, payload, "write OK|");
    DOM_EXPECT(1, XS_WATCH, "/local/domain/1|t|", "watch OK|\nevent /local/domain/1|t|");
    for (int t = 0; t < 10; t++) {
        uint32_t tx = dom_tx_start(w, 1);
        for (int i = 0; i < 1200; i++) {
            (void)sprintf(payload, "n%d|", i);
            (void)dom_ask_tx(w, 1, tx, XS_READ, payload);
        }
    }
    const struct xids_xswire_part part = {"big", 4};
    int n = xids_xswire_build(request, sizeof(request), XS_READ, 77, 0, &part, 1);
    size_t bytes = 0;
    for (int i = 0; i < 6000; i++) {
        /* It asks as long as the ring takes it, and fetches nothing. */
        if (xids_bytering_look(&r->out) >= n) {
            ck_assert_int_eq(xids_bytering_write(&r->out, request, (uint32_t)n), n);
            (void)xids_bytering_publish(&r->out);
        }
        xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
        (void)sprintf(payload, "/local/domain/1/e%d|v", i % 900);
        EXPECT(c, XS_WRITE, payload, "write OK|");
        (void)xids_xs_server_ready(w->server);
        if (i == 2000)
            bytes = w->alloc.bytes;
        if (i > 2000)
            ck_assert_uint_le(w->alloc.bytes, bytes);
    }
    ck_assert_uint_lt(bytes, 2u * 1024 * 1024);
}
END_TEST

/* RESET_WATCHES forgot some of what it should have freed. */
START_TEST(xsa_330_reset_watches_leaves_nothing)
{
    char payload[64];
    world_home(w, 1);
    size_t blocks = 0;
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 100; k++) {
            (void)sprintf(payload, "never/%d/%d|t%d|", i, k, k);
            (void)dom_ask(w, 1, XS_WATCH, payload);
        }
        DOM_EXPECT(1, XS_RESET_WATCHES, "|", "reset OK|");
        if (i == 0)
            blocks = w->alloc.blocks;
        ck_assert_uint_eq(w->alloc.blocks, blocks);
    }
}
END_TEST

/* A guest could give its nodes to others, who paid for them. */
START_TEST(xsa_352_a_guest_cannot_give_a_node_away)
{
    world_home(w, 1);
    world_home(w, 2);
    DOM_EXPECT(1, XS_WRITE, "own|v", "write OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "own|n2|", "error EPERM|");
    DOM_EXPECT(1, XS_SET_PERMS, "own|n0|b1|", "error EPERM|");
    DOM_EXPECT(1, XS_SET_PERMS, "own|n32757|", "error EPERM|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_SET_PERMS, "own|n2|", "error EPERM|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT(c, XS_GET_PERMS, "/local/domain/1/own|", "get-perms n1|");
}
END_TEST

/* For "/" alone no rights were looked at. */
START_TEST(xsa_353_the_root_has_rights_too)
{
    world_home(w, 1);
    DOM_EXPECT(1, XS_READ, "/|", "error EACCES|");
    DOM_EXPECT(1, XS_DIRECTORY, "/|", "error EACCES|");
    DOM_EXPECT(1, XS_DIRECTORY_PART, "/|0|", "error EACCES|");
    DOM_EXPECT(1, XS_GET_PERMS, "/|", "error EACCES|");
    DOM_EXPECT(1, XS_WRITE, "/|v", "error EACCES|");
    DOM_EXPECT(1, XS_MKDIR, "/x|", "error EACCES|");
    DOM_EXPECT(1, XS_RM, "/|", "error EACCES|");
    DOM_EXPECT(1, XS_SET_PERMS, "/|b1|", "error EACCES|");
    EXPECT(c, XS_GET_PERMS, "/|", "get-perms n0|");
    EXPECT(c, XS_READ, "/|", "read ");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xsd_xsa");
    TCase *t = tcase_create("xsa");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, xsa_115_no_events_without_the_right_to_read);
    tcase_add_test(t, xsa_206_writes_elsewhere_refuse_no_transaction);
    tcase_add_test(t, xsa_206_writes_refuse_no_toolstack_for_ever);
    tcase_add_loop_test(t, xsa_233_a_stub_domain_and_its_target_die_together, 0, 4);
    tcase_add_test(t, xsa_272_the_limit_of_nodes_holds);
    tcase_add_test(t, xsa_322_a_new_domain_has_no_rights_of_the_last_one);
    tcase_add_test(t, xsa_323_a_path_is_as_long_as_it_is_in_the_end);
    tcase_add_test(t, xsa_324_an_event_that_is_too_long_is_dropped);
    tcase_add_test(t, xsa_325_a_broken_guest_ends_when_it_ends);
    tcase_add_test(t, xsa_326_what_a_guest_makes_us_keep_is_bounded);
    tcase_add_test(t, xsa_330_reset_watches_leaves_nothing);
    tcase_add_test(t, xsa_352_a_guest_cannot_give_a_node_away);
    tcase_add_test(t, xsa_353_the_root_has_rights_too);
    suite_add_tcase(s, t);
    return s;
}
