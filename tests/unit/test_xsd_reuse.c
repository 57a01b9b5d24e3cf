/* SPDX-License-Identifier: ISC */
/* A domain's number that is another's before the server has heard of the death. */
#include "tests/unit/xsd_world.h"

static struct world *w;
static struct xids_xs_conn *c;

/* Domain 3 with a node of its own, and rights to /n; then it is domain 3 no more. */
static void setup(void)
{
    w = world_up();
    c = world_socket(w);
    world_introduce(w, 3);
    world_introduce(w, 4);
    EXPECT(c, XS_WRITE, "/its|secret", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/its|n3|", "set-perms OK|");
    EXPECT(c, XS_WRITE, "/n|secret", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|r3|", "set-perms OK|");
    DOM_EXPECT(3, XS_READ, "/n|", "read secret");
    DOM_EXPECT(3, XS_WATCH, "/n|t|", "watch OK|\nevent /n|t|");
    EXPECT(c, XS_WATCH, "/its|t|", "watch OK|\nevent /its|t|");
    EXPECT(c, XS_WATCH, "@releaseDomain|r|", "watch OK|\nevent @releaseDomain|r|");
    EXPECT(c, XS_WATCH, "@introduceDomain|i|", "watch OK|\nevent @introduceDomain|i|");
    w->replaced[3] = true;
}

static void teardown(void)
{
    world_down(w);
}

#define DEATH "event /its|t|\nevent @releaseDomain|r|\n"

START_TEST(introducing_it_is_the_death_of_the_first)
{
    struct xids_xs_server_stats st;
    EXPECT(c, XS_INTRODUCE, "3|0|99|", DEATH "event @introduceDomain|i|\nintroduce OK|");
    ck_assert_uint_eq(w->rings[3].port, 99);
    xids_xs_server_stats(w->server, &st);
    ck_assert_uint_eq(st.watches, 3);
    ck_assert_uint_eq(st.domains, 2);
    EXPECT(c, XS_READ, "/its|", "error ENOENT|");
    EXPECT(c, XS_GET_PERMS, "/n|", "get-perms n0|");
}
END_TEST

START_TEST(the_second_is_served_and_inherits_nothing)
{
    EXPECT(c, XS_WRITE, "/local/domain/3|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/local/domain/3|n3|", DEATH "set-perms OK|");
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_WRITE, "mine|1", "write OK|");
    DOM_EXPECT(3, XS_READ, "/n|", "error EACCES|");
    ck_assert_str_eq(heard(w, c), "event @introduceDomain|i|");
    EXPECT(c, XS_WRITE, "/n|x", "write OK|");
    ck_assert_str_eq(dom_heard(w, 3), "");
}
END_TEST

START_TEST(what_it_is_given_before_it_is_introduced_is_kept)
{
    EXPECT(c, XS_WRITE, "/new|it", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/new|n0|r3|", DEATH "set-perms OK|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced F|");
    ck_assert(!w->rings[3].introduced);
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_READ, "/new|", "read it");
    DOM_EXPECT(3, XS_READ, "/n|", "error EACCES|");
}
END_TEST

START_TEST(what_it_is_given_in_a_transaction_is_kept)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/new|it", "write OK|");
    EXPECT_TX(c, tx, XS_SET_PERMS, "/new|n0|r3|", DEATH "set-perms OK|");
    EXPECT_TX(c, tx, XS_SET_PERMS, "/n|n0|r3|", "set-perms OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_READ, "/new|", "read it");
    DOM_EXPECT(3, XS_READ, "/n|", "read secret");
}
END_TEST

START_TEST(a_transaction_with_rights_for_the_first_fails)
{
    uint32_t tx = tx_start(w, c);
    w->replaced[3] = false;
    EXPECT_TX(c, tx, XS_WRITE, "/new|it", "write OK|");
    EXPECT_TX(c, tx, XS_SET_PERMS, "/new|n0|r3|", "set-perms OK|");
    w->replaced[3] = true;
    EXPECT(c, XS_INTRODUCE, "3|0|99|", DEATH "event @introduceDomain|i|\nintroduce OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT(c, XS_READ, "/new|", "error ENOENT|");
}
END_TEST

START_TEST(another_guest_that_gives_it_rights_learns_no_more)
{
    EXPECT(c, XS_WRITE, "/fours|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/fours|n4|", "set-perms OK|");
    DOM_EXPECT(4, XS_SET_PERMS, "/fours|n4|r3|", "set-perms OK|");
    ck_assert_str_eq(heard(w, c), "event /its|t|\nevent @releaseDomain|r|");
    EXPECT(c, XS_GET_PERMS, "/fours|", "get-perms n4|r3|");
    EXPECT(c, XS_GET_PERMS, "/n|", "get-perms n0|");
}
END_TEST

/* Who asks over its own ring has not died, whatever the host says: the ground stays under its answer. */
START_TEST(a_domain_does_not_end_itself)
{
    DOM_EXPECT(3, XS_SET_PERMS, "/its|n3|r4|", "set-perms OK|");
    ck_assert_str_eq(heard(w, c), "event /its|t|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced T|");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_reuse");
    TCase *t = tcase_create("reuse");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, introducing_it_is_the_death_of_the_first);
    tcase_add_test(t, the_second_is_served_and_inherits_nothing);
    tcase_add_test(t, what_it_is_given_before_it_is_introduced_is_kept);
    tcase_add_test(t, what_it_is_given_in_a_transaction_is_kept);
    tcase_add_test(t, a_transaction_with_rights_for_the_first_fails);
    tcase_add_test(t, another_guest_that_gives_it_rights_learns_no_more);
    tcase_add_test(t, a_domain_does_not_end_itself);
    suite_add_tcase(suite, t);
    return suite;
}
