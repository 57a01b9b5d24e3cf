/* SPDX-License-Identifier: ISC */
/* Quotas and features: by name, for all domains and for one, before and after it is introduced. */
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
    EXPECT(c, XS_MKDIR, payload, "mkdir OK|");
    (void)sprintf(payload, "/local/domain/%u|n%u|", domid, domid);
    EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
}

#define SET(payload) EXPECT(c, XIDS_XS_SET_QUOTA, payload, "set-quota OK|")

/* ---- the wire ---- */

START_TEST(the_names_of_all_quotas_are_listed)
{
    EXPECT(c, XIDS_XS_GET_QUOTA, "",
           "get-quota nodes watches outstanding memory soft-memory transactions transaction-nodes node-permissions "
           "path-max node-size|");
}
END_TEST

static const struct {
    const char *name;
    unsigned int value;
} defaults[] = {
    {"nodes", 1000},          {"watches", 128},     {"outstanding", 20}, {"memory", 2621440},
    {"soft-memory", 2097152}, {"transactions", 10}, {"node-size", 2048}, {"transaction-nodes", 1024},
    {"node-permissions", 5},  {"path-max", 2048},
};

START_TEST(every_quota_has_its_default_and_can_be_set_for_all_and_for_one)
{
    char payload[64], want[64];
    const char *name = defaults[_i].name;
    (void)sprintf(payload, "%s|", name);
    (void)sprintf(want, "get-quota %u|", defaults[_i].value);
    EXPECT(c, XIDS_XS_GET_QUOTA, payload, want);
    world_introduce(w, 1);
    (void)sprintf(payload, "%s|%u|", name, defaults[_i].value + 1);
    SET(payload);
    (void)sprintf(payload, "1|%s|", name);
    EXPECT(c, XIDS_XS_GET_QUOTA, payload, want); /* it came before */
    world_introduce(w, 2);
    (void)sprintf(payload, "1|%s|0|", name);
    SET(payload);
    (void)sprintf(payload, "1|%s|", name);
    EXPECT(c, XIDS_XS_GET_QUOTA, payload, "get-quota 0|");
    (void)sprintf(payload, "2|%s|", name);
    (void)sprintf(want, "get-quota %u|", defaults[_i].value + 1);
    EXPECT(c, XIDS_XS_GET_QUOTA, payload, want);
}
END_TEST

static const struct {
    uint32_t type;
    const char *payload, *error;
} refused[] = {
    {XIDS_XS_GET_QUOTA, "nonsense|", "error EINVAL|"},
    {XIDS_XS_GET_QUOTA, "|", "error EINVAL|"},
    {XIDS_XS_GET_QUOTA, "soft-nodes|", "error EINVAL|"},
    {XIDS_XS_GET_QUOTA, "1|nonsense|", "error EINVAL|"},
    {XIDS_XS_GET_QUOTA, "x|nodes|", "error EINVAL|"},
    {XIDS_XS_GET_QUOTA, "70000|nodes|", "error EINVAL|"},
    {XIDS_XS_GET_QUOTA, "9|nodes|", "error ENOENT|"},
    {XIDS_XS_GET_QUOTA, "32757|nodes|", "error ENOENT|"},
    {XIDS_XS_GET_QUOTA, "1|nodes|3|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "nodes|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "nonsense|1|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "nodes|many|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "nodes|-1|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "nodes|4294967295|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "soft-watches|1|", "error EINVAL|"},
    {XIDS_XS_SET_QUOTA, "9|nodes|1|", "error ENOENT|"},
    {XIDS_XS_SET_QUOTA, "1|nodes|1|2|", "error EINVAL|"},
    {XIDS_XS_GET_FEATURE, "1|2|", "error EINVAL|"},
    {XIDS_XS_GET_FEATURE, "one|", "error EINVAL|"},
    {XIDS_XS_GET_FEATURE, "9|", "error ENOENT|"},
    {XIDS_XS_SET_FEATURE, "1|", "error EINVAL|"},
    {XIDS_XS_SET_FEATURE, "1|all|", "error EINVAL|"},
    {XIDS_XS_SET_FEATURE, "2|64|", "error EINVAL|"},
    {XIDS_XS_SET_FEATURE, "9|2|", "error ENOENT|"},
    {XIDS_XS_SET_FEATURE, "1|2|", "error EBUSY|"},
    {XIDS_XS_SET_FEATURE, "0|2|", "error EBUSY|"},
};

START_TEST(a_wrong_request_changes_nothing)
{
    world_introduce(w, 1);
    w->gone[9] = true;
    EXPECT(c, refused[_i].type, refused[_i].payload, refused[_i].error);
    EXPECT(c, XIDS_XS_GET_QUOTA, "nodes|", "get-quota 1000|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 1000|");
    EXPECT(c, XIDS_XS_GET_FEATURE, "1|", "get-feature 15|");
}
END_TEST

START_TEST(a_guest_may_ask_for_its_own_features_and_for_nothing_else)
{
    world_introduce(w, 1);
    world_introduce(w, 0);
    DOM_EXPECT(1, XIDS_XS_GET_FEATURE, "", "get-feature 15|");
    DOM_EXPECT(1, XIDS_XS_GET_FEATURE, "1|", "error EACCES|");
    DOM_EXPECT(1, XIDS_XS_SET_FEATURE, "1|2|", "error EACCES|");
    DOM_EXPECT(1, XIDS_XS_GET_QUOTA, "", "error EACCES|");
    DOM_EXPECT(1, XIDS_XS_GET_QUOTA, "nodes|", "error EACCES|");
    DOM_EXPECT(1, XIDS_XS_SET_QUOTA, "1|nodes|0|", "error EACCES|");
    DOM_EXPECT(0, XIDS_XS_SET_QUOTA, "1|nodes|7|", "set-quota OK|");
    DOM_EXPECT(0, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 7|");
}
END_TEST

/* ---- one domain ---- */

START_TEST(what_is_set_for_one_domain_binds_it_and_no_other)
{
    give_home(1);
    give_home(2);
    SET("1|watches|1|");
    SET("1|nodes|2|");
    SET("1|transactions|1|");
    SET("1|node-size|30|");
    SET("1|node-permissions|1|");
    SET("1|path-max|10|");
    for (uint16_t d = 2; d >= 1; d--) {
        bool bound = d == 1;
        DOM_EXPECT(d, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
        DOM_EXPECT(d, XS_WATCH, "b|t|", bound ? "error ENOSPC|" : "watch OK|\nevent b|t|");
        (void)dom_tx_start(w, d);
        ck_assert_int_eq(strncmp(dom_ask(w, d, XS_TRANSACTION_START, "|"), "error ENOSPC|", 13) == 0, bound);
        DOM_EXPECT(d, XS_WRITE, "a|12345678901234567890", bound ? "error ENOSPC|" : "event a|t|\nwrite OK|");
        DOM_EXPECT(d, XS_WRITE, "a/a|", bound ? "error ENOSPC|" : "event a/a|t|\nwrite OK|");
        DOM_EXPECT(d, XS_WRITE, "name-of-20-characters|", bound ? "error EINVAL|" : "write OK|");
        DOM_EXPECT(d, XS_SET_PERMS, d == 1 ? "/local/domain/1|n1|r2|" : "/local/domain/2|n2|r1|",
                   bound ? "error ENOSPC|" : "set-perms OK|");
    }
}
END_TEST

START_TEST(no_limit_is_no_limit)
{
    char payload[64];
    give_home(1);
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        (void)sprintf(payload, "1|%s|0|", defaults[i].name);
        SET(payload);
    }
    for (unsigned int i = 0; i < 1100; i++) {
        (void)sprintf(payload, "n/%u|x", i);
        DOM_EXPECT(1, XS_WRITE, payload, "write OK|");
    }
    for (unsigned int i = 0; i < 200; i++) {
        (void)sprintf(payload, "w%u|t|", i);
        ck_assert_int_eq(strncmp(dom_ask(w, 1, XS_WATCH, payload), "watch OK|", 9), 0);
    }
    uint32_t tx = 0;
    for (unsigned int i = 0; i < 20; i++)
        tx = dom_tx_start(w, 1);
    for (unsigned int i = 0; i < 1100; i++) {
        (void)sprintf(payload, "n/%u|y", i);
        DOM_EXPECT_TX(1, tx, XS_WRITE, payload, "write OK|");
    }
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "n|n1|r2|r3|r4|r5|r6|r7|", "set-perms OK|");
}
END_TEST

START_TEST(settings_made_before_the_introduction_hold_after_it)
{
    SET("1|nodes|5|");
    SET("nodes|6|");
    EXPECT(c, XIDS_XS_SET_FEATURE, "1|2|", "set-feature OK|");
    SET("1|watches|3|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 5|");
    EXPECT(c, XIDS_XS_GET_FEATURE, "1|", "get-feature 2|");
    world_introduce(w, 1);
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 5|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|watches|", "get-quota 3|");
    EXPECT(c, XIDS_XS_GET_FEATURE, "1|", "get-feature 2|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "2|nodes|", "get-quota 6|");
    /* Introducing it again is not another domain. */
    world_introduce(w, 1);
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 5|");
}
END_TEST

START_TEST(settings_die_with_the_domain)
{
    SET("1|nodes|5|");
    EXPECT(c, XIDS_XS_SET_FEATURE, "1|0|", "set-feature OK|");
    if (_i == 1)
        world_introduce(w, 1);
    xids_xs_server_release(w->server, 1);
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 1000|");
    world_introduce(w, 1);
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 1000|");
    EXPECT(c, XIDS_XS_GET_FEATURE, "1|", "get-feature 15|");
}
END_TEST

static void note(void *ctx, uint16_t domid)
{
    *(unsigned int *)ctx += domid;
}

START_TEST(the_host_learns_of_domains_that_have_settings_alone)
{
    unsigned int sum = 0;
    SET("7|nodes|5|");
    xids_xs_server_each_domain(w->server, note, &sum);
    ck_assert_uint_eq(sum, 7);
}
END_TEST

START_TEST(a_number_that_has_passed_on_keeps_no_settings)
{
    world_introduce(w, 1);
    SET("1|nodes|5|");
    w->replaced[1] = true;
    SET("1|watches|9|"); /* for the new one */
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 1000|");
    world_introduce(w, 1);
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 1000|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|watches|", "get-quota 9|");
}
END_TEST

/* ---- features ---- */

START_TEST(masked_features_are_not_there)
{
    const struct xenstore_domain_interface *page;
    EXPECT(c, XIDS_XS_SET_FEATURE, "1|2|", "set-feature OK|");
    give_home(1);
    give_home(2);
    page = (const void *)w->rings[1].page;
    ck_assert_uint_eq(page->server_features, 2);
    page = (const void *)w->rings[2].page;
    ck_assert_uint_eq(page->server_features, 15);
    DOM_EXPECT(1, XIDS_XS_GET_FEATURE, "", "get-feature 2|");
    DOM_EXPECT(1, XS_WATCH, "a|t|1|", "error EINVAL|");
    DOM_EXPECT(2, XS_WATCH, "a|t|1|", "watch OK|\nevent a|t|");
    DOM_EXPECT(1, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    /* A permission for all is kept without effect. */
    DOM_EXPECT(1, XS_WRITE, "x|1", "write OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "x|n1|r32757|", "set-perms OK|");
    DOM_EXPECT(1, XS_GET_PERMS, "x|", "get-perms n1|r32757|");
    DOM_EXPECT(2, XS_READ, "/local/domain/1/x|", "error EACCES|");
    DOM_EXPECT(2, XS_WRITE, "x|2", "write OK|");
    DOM_EXPECT(2, XS_SET_PERMS, "x|n2|r32757|", "set-perms OK|");
    DOM_EXPECT(1, XS_READ, "/local/domain/2/x|", "read 2");
    EXPECT(c, XIDS_XS_GET_FEATURE, "", "get-feature 15|");
}
END_TEST

/* ---- memory runs out ---- */

START_TEST(a_setting_that_cannot_be_kept_leaves_things_as_they_were)
{
    EXPECT(c, XIDS_XS_GET_QUOTA, "5|nodes|", "get-quota 1000|"); /* leaves a buffer for the answers */
    for (unsigned long i = 1;; i++) {
        w->alloc.fail_at = w->alloc.calls + i;
        const char *text = ask(w, c, XIDS_XS_SET_QUOTA, "5|nodes|5|");
        bool done = strcmp(text, "set-quota OK|") == 0;
        w->alloc.fail_at = 0;
        if (done)
            break;
        ck_assert_str_eq(text, "error ENOMEM|");
        EXPECT(c, XIDS_XS_GET_QUOTA, "5|nodes|", "get-quota 1000|");
        ck_assert_uint_lt(i, 10);
    }
    EXPECT(c, XIDS_XS_GET_QUOTA, "5|nodes|", "get-quota 5|");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_quota");
    TCase *t = tcase_create("requests");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_names_of_all_quotas_are_listed);
    tcase_add_loop_test(t, every_quota_has_its_default_and_can_be_set_for_all_and_for_one, 0,
                        sizeof(defaults) / sizeof(defaults[0]));
    tcase_add_loop_test(t, a_wrong_request_changes_nothing, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(t, a_guest_may_ask_for_its_own_features_and_for_nothing_else);
    tcase_add_test(t, a_setting_that_cannot_be_kept_leaves_things_as_they_were);
    suite_add_tcase(suite, t);
    t = tcase_create("domains");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_set_for_one_domain_binds_it_and_no_other);
    tcase_add_test(t, no_limit_is_no_limit);
    tcase_add_test(t, settings_made_before_the_introduction_hold_after_it);
    tcase_add_loop_test(t, settings_die_with_the_domain, 0, 2);
    tcase_add_test(t, the_host_learns_of_domains_that_have_settings_alone);
    tcase_add_test(t, a_number_that_has_passed_on_keeps_no_settings);
    tcase_add_test(t, masked_features_are_not_there);
    suite_add_tcase(suite, t);
    return suite;
}
