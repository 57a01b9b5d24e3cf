/* SPDX-License-Identifier: ISC */
/* Guests that choose the worst: domains that die at a bad moment, numbers used again, costs, and want of memory. */
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

static void give_home(uint16_t domid)
{
    char payload[64];
    world_introduce(w, domid);
    (void)sprintf(payload, "/local/domain/%u|", domid);
    EXPECT(c, XS_WRITE, payload, "write OK|");
    (void)sprintf(payload, "/local/domain/%u|n%u|", domid, domid);
    EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
}

/* ---- numbers used again ---- */

START_TEST(a_transaction_gives_nothing_to_a_domain_that_died_meanwhile)
{
    EXPECT(c, XS_WRITE, "/n|secret", "write OK|");
    world_introduce(w, 3);
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_SET_PERMS, _i == 0 ? "/n|n0|r3|" : "/n|n3|", "set-perms OK|");
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_READ, "/n|", "error EACCES|");
}
END_TEST

START_TEST(a_guests_transaction_gives_nothing_to_a_domain_that_died_meanwhile)
{
    give_home(2);
    world_introduce(w, 3);
    DOM_EXPECT(2, XS_WRITE, "n|secret", "write OK|");
    uint32_t tx = dom_tx_start(w, 2);
    DOM_EXPECT_TX(2, tx, XS_SET_PERMS, "n|n2|r3|", "set-perms OK|");
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    DOM_EXPECT_TX(2, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_READ, "/local/domain/2/n|", "error EACCES|");
}
END_TEST

START_TEST(a_death_stops_no_transaction_that_does_not_name_the_domain)
{
    world_introduce(w, 3);
    world_introduce(w, 4);
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/n|", "write OK|");
    EXPECT_TX(c, tx, XS_SET_PERMS, "/n|n0|r4|", "set-perms OK|");
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    DOM_EXPECT(4, XS_READ, "/n|", "read ");
}
END_TEST

/* As the toolstack makes a domain: first its nodes, then, if all went well, the introduction. */
START_TEST(rights_of_a_domain_that_died_before_its_introduction_are_struck)
{
    EXPECT(c, XS_WRITE, "/n|secret", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|r3|", "set-perms OK|");
    EXPECT(c, XS_WRITE, "/own|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/own|n3|", "set-perms OK|");
    (void)ask(w, c, XS_WATCH, "@releaseDomain|r|");
    /* What the host does when a domain has died. */
    xids_xs_server_release(w->server, 3);
    ck_assert_str_eq(heard(w, c), "");
    EXPECT(c, XS_GET_PERMS, "/n|", "get-perms n0|");
    EXPECT(c, XS_READ, "/own|", "error ENOENT|");
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_READ, "/n|", "error EACCES|");
}
END_TEST

static uint16_t told[8];
static unsigned int ntold;

static void tell(void *ctx, uint16_t domid)
{
    (void)ctx;
    ck_assert_uint_lt(ntold, 8);
    told[ntold++] = domid;
}

START_TEST(the_host_is_told_of_domains_that_have_rights_and_are_not_introduced)
{
    EXPECT(c, XS_WRITE, "/n|", "write OK|");
    world_introduce(w, 7);
    EXPECT(c, XS_SET_PERMS, "/n|n0|r3|r7|r32757|b299|", "set-perms OK|");
    ntold = 0;
    xids_xs_server_each_domain(w->server, tell, NULL);
    ck_assert_uint_eq(ntold, 3);
    ck_assert(told[0] == 7 && told[1] == 3 && told[2] == 299);
    world_introduce(w, 3);
    xids_xs_server_release(w->server, 299);
    ntold = 0;
    xids_xs_server_each_domain(w->server, tell, NULL);
    ck_assert_uint_eq(ntold, 2);
}
END_TEST

START_TEST(rights_given_to_the_next_of_a_number_outlive_the_removal_of_the_last)
{
    char payload[64];
    world_introduce(w, 3);
    for (int i = 0; i < 2500; i++) {
        (void)sprintf(payload, "/x/%d|", i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
        (void)sprintf(payload, "/x/%d|n3|", i);
        EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
    }
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    ck_assert_uint_gt(xids_store_owned(xids_xs_server_store(w->server), 3), 0); /* not done at once */
    EXPECT(c, XS_WRITE, "/local/domain/3|new", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/local/domain/3|n3|", "set-perms OK|");
    while (xids_xs_server_idle(w->server, 1000)) {
    }
    EXPECT(c, XS_READ, "/local/domain/3|", "read new");
    ck_assert_uint_eq(xids_store_owned(xids_xs_server_store(w->server), 3), 1);
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_WRITE, "a|", "write OK|");
}
END_TEST

START_TEST(a_domain_introduced_while_its_forerunner_is_being_removed_has_nothing_of_it)
{
    char payload[64];
    world_introduce(w, 3);
    for (int i = 0; i < 2500; i++) {
        (void)sprintf(payload, "/x/%d|secret", i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
        (void)sprintf(payload, "/x/%d|n%d|r3|", i, i % 2 == 0 ? 3 : 0);
        EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
    }
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    world_introduce(w, 3);
    ck_assert_uint_eq(xids_store_owned(xids_xs_server_store(w->server), 3), 0);
    for (int i = 0; i < 2500; i++) {
        (void)sprintf(payload, "/x/%d|", i);
        DOM_EXPECT(3, XS_READ, payload, "error EACCES|");
    }
}
END_TEST

START_TEST(rights_of_a_dead_domain_to_special_names_are_struck)
{
    world_introduce(w, 3);
    EXPECT(c, XS_SET_PERMS, "@introduceDomain|n0|r3|r4|", "set-perms OK|");
    EXPECT(c, XS_SET_PERMS, "/|n0|r3|", "set-perms OK|");
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    EXPECT(c, XS_GET_PERMS, "@introduceDomain|", "get-perms n0|r4|");
    EXPECT(c, XS_GET_PERMS, "/|", "get-perms n0|");
}
END_TEST

/* A removal puts another node into the place of the removed one: it must know who is below it from then on. */
START_TEST(rights_are_found_and_struck_however_many_siblings_have_been_removed)
{
    char payload[64];
    for (uint16_t d = 1; d < 60; d++) {
        world_introduce(w, d);
        (void)sprintf(payload, "/dir/%u|", d * 7919u);
        EXPECT(c, XS_WRITE, payload, "write OK|");
        (void)sprintf(payload, "/dir/%u|n0|r%u|", d * 7919u, d);
        EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
    }
    for (uint16_t d = 1; d < 60; d = (uint16_t)(d + 2)) {
        (void)sprintf(payload, "/dir/%u|", d * 7919u);
        EXPECT(c, XS_RM, payload, "rm OK|");
        EXPECT(c, XS_CONTROL, "check|", "control OK|");
    }
    for (uint16_t d = 2; d < 60; d = (uint16_t)(d + 2)) {
        (void)sprintf(payload, "%u|", d);
        EXPECT(c, XS_RELEASE, payload, "release OK|");
        (void)sprintf(payload, "/dir/%u|", d * 7919u);
        EXPECT(c, XS_GET_PERMS, payload, "get-perms n0|");
    }
}
END_TEST

START_TEST(a_path_changed_and_removed_with_its_parent_has_one_event)
{
    EXPECT(c, XS_WRITE, "/a/b|", "write OK|");
    EXPECT(c, XS_WATCH, "/a/b|b|", "watch OK|\nevent /a/b|b|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/a/b|1", "write OK|");
    EXPECT_TX(c, tx, XS_RM, "/a|", "rm OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "event /a/b|b|\nend OK|");
}
END_TEST

/* ---- costs ---- */

/* Each of these requests took a time that grew with the third power of the depth. The limit is that of the suite. */
START_TEST(a_deep_path_in_a_transaction_costs_no_more_than_its_length)
{
    char path[2048];
    size_t len = 0;
    give_home(1);
    DOM_EXPECT(1, XS_WRITE, "x|", "write OK|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_RM, "x|", "rm OK|");
    for (int i = 0; i < 600; i++)
        len += (size_t)sprintf(path + len, "%sd", i > 0 ? "/" : "");
    (void)strcpy(path + len, "|");
    DOM_EXPECT_TX(1, tx, XS_MKDIR, path, "mkdir OK|");
    for (int i = 0; i < 100; i++)
        DOM_EXPECT_TX(1, tx, XS_GET_PERMS, path, "get-perms n1|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(what_a_guests_transactions_remember_is_bounded)
{
    char payload[2048], value[1901];
    memset(value, 'v', 1900);
    value[1900] = '\0';
    give_home(1);
    DOM_EXPECT(1, XS_WRITE, "a|", "write OK|");
    size_t before = w->alloc.bytes;
    for (int t = 0; t < 10; t++) {
        uint32_t tx = dom_tx_start(w, 1);
        bool refused = false;
        for (int i = 0; i < 20000 && !refused; i++) {
            (void)sprintf(payload, "a|%s", value);
            refused = strcmp(dom_ask_tx(w, 1, tx, XS_WRITE, payload), "error ENOSPC|") == 0;
        }
        ck_assert(refused);
    }
    ck_assert_uint_lt(w->alloc.bytes - before, 10u * 1024 * 1024);
    DOM_EXPECT(1, XS_RESET_WATCHES, "|", "reset OK|");
}
END_TEST

START_TEST(a_transaction_of_a_thousand_writes_fits)
{
    char payload[64];
    give_home(1);
    uint32_t tx = dom_tx_start(w, 1);
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 9; k++) {
            (void)sprintf(payload, "device/vif/%d/some-key-%d|some value %d", i, k, k);
            if (i * 10 + k < 900)
                DOM_EXPECT_TX(1, tx, XS_WRITE, payload, "write OK|");
        }
    }
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(closing_who_has_many_waiting_events_is_quick)
{
    char payload[64];
    struct xids_xs_conn *deaf = world_socket(w);
    size_t used;
    const void *bytes;
    for (int i = 0; i < 4000; i++) {
        uint8_t out[128];
        char token[32];
        int n = sprintf(token, "/%c%d%c", 0, i, 0);
        const struct xids_xswire_part part = {token, (size_t)n};
        n = xids_xswire_build(out, sizeof(out), XS_WATCH, 1, 0, &part, 1);
        ck_assert_int_eq(xids_xs_server_input(deaf, &used, out, (size_t)n), 0);
        xids_xs_server_sent(deaf, xids_xs_server_output(deaf, &bytes));
    }
    for (int i = 0; i < 36; i++) {
        (void)sprintf(payload, "/name/%d|", i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
    }
    xids_xs_server_disconnect(deaf);
}
END_TEST

START_TEST(no_more_than_32_paths_wait_for_a_watch)
{
    char payload[64];
    struct xids_xs_conn *o = world_socket(w);
    EXPECT(o, XS_WATCH, "/dir|t|", "watch OK|\nevent /dir|t|");
    /* The first ones fill the buffer; nothing of it is fetched. */
    for (int i = 0; i < 20000; i++) {
        (void)sprintf(payload, "/dir/%d|", i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
    }
    size_t before = w->alloc.blocks;
    xids_xs_server_disconnect(o);
    ck_assert_uint_le(before - w->alloc.blocks, 32 + 8);
}
END_TEST

/* ---- want of memory ---- */

START_TEST(an_event_that_found_no_memory_comes_when_there_is_some)
{
    struct xids_xs_conn *o = world_socket(w);
    EXPECT(o, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(c, XS_WRITE, "/a|", "write OK|");
    ck_assert_str_eq(heard(w, o), "event /a|t|");
    /* For the event's buffer and for keeping it. */
    for (unsigned long i = 1; i < 12; i++) {
        w->alloc.fail_at = w->alloc.calls + i;
        w->alloc.fail_after = true;
        uint8_t out[64];
        size_t used;
        const void *bytes;
        const struct xids_xswire_part part = {"/a\0x", 4};
        int n = xids_xswire_build(out, sizeof(out), XS_WRITE, 1, 0, &part, 1);
        int rc = xids_xs_server_input(c, &used, out, (size_t)n);
        bool written = rc == 0 && xids_xs_server_output(c, &bytes) == 19;
        xids_xs_server_sent(c, xids_xs_server_output(c, &bytes));
        w->alloc.fail_at = 0;
        if (written)
            ck_assert_str_eq(heard(w, o), "event /a|t|");
        else
            (void)heard(w, o);
    }
    xids_xs_server_disconnect(o);
}
END_TEST

START_TEST(a_request_on_a_ring_that_found_no_memory_is_answered_when_there_is_some)
{
    uint8_t out[64];
    size_t used;
    give_home(3);
    DOM_EXPECT(3, XS_WRITE, "a|", "write OK|");
    while (xids_xs_server_idle(w->server, 100)) {
    }
    /* Somebody else has the buffer that lay ready, and the ring needs a new one. */
    struct xids_xs_conn *o = world_socket(w);
    const struct xids_xswire_part root = {"/", 2}, part = {"a", 2};
    int n = xids_xswire_build(out, sizeof(out), XS_READ, 77, 0, &root, 1);
    ck_assert_int_eq(xids_xs_server_input(o, &used, out, (size_t)n), 0);
    struct world_ring *r = &w->rings[3];
    n = xids_xswire_build(out, sizeof(out), XS_READ, 77, 0, &part, 1);
    /* Whole, or after its first half has been taken. */
    int first = _i == 0 ? 0 : 17;
    ck_assert_int_eq(xids_bytering_write(&r->out, out, (uint32_t)first), first);
    (void)xids_bytering_publish(&r->out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
    ck_assert_int_eq(xids_bytering_write(&r->out, out + first, (uint32_t)(n - first)), n - first);
    (void)xids_bytering_publish(&r->out);
    w->alloc.fail_at = w->alloc.calls + 1;
    w->alloc.fail_after = true;
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
    w->alloc.fail_at = 0;
    /* The guest says nothing more; the host comes back when there is nothing else to do. */
    for (int k = 0; k < 10 && xids_xs_server_idle(w->server, 100); k++) {
    }
    int got = xids_bytering_read(&r->in, r->heard, sizeof(r->heard));
    (void)xids_bytering_publish(&r->in);
    ck_assert_int_eq(got, 16);
    xids_xs_server_disconnect(o);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xenstore server: hostile guests");
    TCase *t = tcase_create("hostile");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_transaction_gives_nothing_to_a_domain_that_died_meanwhile, 0, 2);
    tcase_add_test(t, a_guests_transaction_gives_nothing_to_a_domain_that_died_meanwhile);
    tcase_add_test(t, a_death_stops_no_transaction_that_does_not_name_the_domain);
    tcase_add_test(t, rights_of_a_domain_that_died_before_its_introduction_are_struck);
    tcase_add_test(t, the_host_is_told_of_domains_that_have_rights_and_are_not_introduced);
    tcase_add_test(t, rights_given_to_the_next_of_a_number_outlive_the_removal_of_the_last);
    tcase_add_test(t, a_domain_introduced_while_its_forerunner_is_being_removed_has_nothing_of_it);
    tcase_add_test(t, rights_of_a_dead_domain_to_special_names_are_struck);
    tcase_add_test(t, rights_are_found_and_struck_however_many_siblings_have_been_removed);
    tcase_add_test(t, a_path_changed_and_removed_with_its_parent_has_one_event);
    tcase_add_test(t, a_deep_path_in_a_transaction_costs_no_more_than_its_length);
    tcase_add_test(t, what_a_guests_transactions_remember_is_bounded);
    tcase_add_test(t, a_transaction_of_a_thousand_writes_fits);
    tcase_add_test(t, closing_who_has_many_waiting_events_is_quick);
    tcase_add_test(t, no_more_than_32_paths_wait_for_a_watch);
    tcase_add_test(t, an_event_that_found_no_memory_comes_when_there_is_some);
    tcase_add_loop_test(t, a_request_on_a_ring_that_found_no_memory_is_answered_when_there_is_some, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
