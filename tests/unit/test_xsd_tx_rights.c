/* SPDX-License-Identifier: ISC */
/* Transactions of guests: what they are told depends on rights, and others change those in the meantime. */
#include "tests/unit/xsd_world.h"

static struct world *w;
static struct xids_xs_conn *o; /* who changes them */
static uint32_t tx;            /* of domain 1 */

static void setup(void)
{
    w = world_up();
    o = world_socket(w);
    world_introduce(w, 1);
    world_introduce(w, 2);
    EXPECT(o, XS_MKDIR, "/d/in|", "mkdir OK|");
    EXPECT(o, XS_SET_PERMS, "/d|w0|", "set-perms OK|");
    tx = 0;
}

static void teardown(void)
{
    world_down(w);
}

static void refused(void)
{
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}

START_TEST(who_was_refused_as_a_stranger_and_is_the_owner_now_conflicts)
{
    EXPECT(o, XS_SET_PERMS, "/d|b0|", "set-perms OK|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_SET_PERMS, "/d|n1|", "error EACCES|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/d|1", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/d|n1|", "set-perms OK|");
    refused();
}
END_TEST

START_TEST(who_might_not_give_a_node_away_and_owns_it_otherwise_now_conflicts)
{
    EXPECT(o, XS_SET_TARGET, "1|2|", "target OK|");
    EXPECT(o, XS_SET_PERMS, "/d|n2|", "set-perms OK|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_SET_PERMS, "/d|n1|", "error EPERM|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/d|1", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/d|n1|", "set-perms OK|");
    refused();
}
END_TEST

START_TEST(a_node_read_after_it_was_written_must_still_be_readable)
{
    EXPECT(o, XS_SET_PERMS, "/d|b0|", "set-perms OK|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/d|1", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_DIRECTORY, "/d|", "directory in|");
    EXPECT(o, XS_SET_PERMS, "/d|w0|", "set-perms OK|");
    refused();
}
END_TEST

START_TEST(what_one_has_removed_is_missing_to_whom_may_read_its_directory)
{
    EXPECT(o, XS_SET_PERMS, "/d|b0|", "set-perms OK|");
    EXPECT(o, XS_SET_PERMS, "/d/in|n1|", "set-perms OK|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_RM, "/d/in|", "rm OK|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/d/in/x|", "error ENOENT|");
    EXPECT(o, XS_SET_PERMS, "/d|w0|", "set-perms OK|");
    refused();
}
END_TEST

START_TEST(below_a_directory_of_ones_own_others_may_have_made_theirs)
{
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/d/new/a|1", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/d/new/b|", "error ENOENT|");
    EXPECT(o, XS_MKDIR, "/d/new|", "mkdir OK|");
    refused();
}
END_TEST

START_TEST(a_directory_that_is_gone_is_made_anew_as_ones_own)
{
    EXPECT(o, XS_SET_PERMS, "/d/in|w0|", "set-perms OK|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/d/in/a|1", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/d/in/b|", "error EACCES|");
    EXPECT(o, XS_RM, "/d/in|", "rm OK|");
    refused();
}
END_TEST

START_TEST(looking_at_what_one_has_made_oneself_is_no_conflict)
{
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/d/new/a|1", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/d/new/b|", "error ENOENT|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/d/new/a|", "read 1");
    DOM_EXPECT_TX(1, tx, XS_RM, "/d/new/a|", "rm OK|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/d/new/a|", "error ENOENT|");
    EXPECT(o, XS_WRITE, "/d/other|1", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

/* ---- the events of a commit ---- */

START_TEST(what_two_removals_took_is_told_of_once)
{
    struct xids_xs_conn *c = world_socket(w);
    EXPECT(o, XS_MKDIR, "/e/f/g|", "mkdir OK|");
    (void)ask(w, o, XS_WATCH, "/e/f/g|t|");
    uint32_t t = tx_start(w, c);
    EXPECT_TX(c, t, XS_RM, "/e/f|", "rm OK|");
    EXPECT_TX(c, t, XS_RM, "/e|", "rm OK|");
    EXPECT_TX(c, t, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, o), "event /e/f/g|t|");
}
END_TEST

START_TEST(a_removal_that_finds_nothing_takes_nothing)
{
    struct xids_xs_conn *c = world_socket(w);
    EXPECT(o, XS_MKDIR, "/e/f/g|", "mkdir OK|");
    (void)ask(w, o, XS_WATCH, "/e|e|");
    (void)ask(w, o, XS_WATCH, "/e/f/g|t|");
    uint32_t t = tx_start(w, c);
    EXPECT_TX(c, t, XS_RM, "/e|", "rm OK|");
    EXPECT_TX(c, t, XS_MKDIR, "/e|", "mkdir OK|");
    EXPECT_TX(c, t, XS_RM, "/e/f|", "rm OK|");
    EXPECT_TX(c, t, XS_WRITE, "/e/f|1", "write OK|");
    EXPECT_TX(c, t, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, o), "event /e|e|\nevent /e/f/g|t|\nevent /e/f|e|");
}
END_TEST

START_TEST(what_is_looked_at_on_behalf_of_a_request_has_no_place_in_the_order)
{
    struct xids_xs_conn *c = world_socket(w);
    EXPECT(o, XS_MKDIR, "/e/f|", "mkdir OK|");
    (void)ask(w, o, XS_WATCH, "/e|t|");
    uint32_t t = tx_start(w, c);
    EXPECT_TX(c, t, XS_WRITE, "/e/f/g|1", "write OK|");
    EXPECT_TX(c, t, XS_GET_PERMS, "/e/f/g|", "get-perms n0|"); /* that come from /e/f */
    EXPECT_TX(c, t, XS_WRITE, "/e|1", "write OK|");
    EXPECT_TX(c, t, XS_WRITE, "/e/f|1", "write OK|");
    EXPECT_TX(c, t, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, o), "event /e/f/g|t|\nevent /e|t|\nevent /e/f|t|");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_tx_rights");
    TCase *t = tcase_create("rights");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, who_was_refused_as_a_stranger_and_is_the_owner_now_conflicts);
    tcase_add_test(t, who_might_not_give_a_node_away_and_owns_it_otherwise_now_conflicts);
    tcase_add_test(t, a_node_read_after_it_was_written_must_still_be_readable);
    tcase_add_test(t, what_one_has_removed_is_missing_to_whom_may_read_its_directory);
    tcase_add_test(t, below_a_directory_of_ones_own_others_may_have_made_theirs);
    tcase_add_test(t, a_directory_that_is_gone_is_made_anew_as_ones_own);
    tcase_add_test(t, looking_at_what_one_has_made_oneself_is_no_conflict);
    suite_add_tcase(suite, t);
    t = tcase_create("events");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_two_removals_took_is_told_of_once);
    tcase_add_test(t, a_removal_that_finds_nothing_takes_nothing);
    tcase_add_test(t, what_is_looked_at_on_behalf_of_a_request_has_no_place_in_the_order);
    suite_add_tcase(suite, t);
    return suite;
}
