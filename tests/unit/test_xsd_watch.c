/* SPDX-License-Identifier: ISC */
/* Watches: what fires, for whom, in which order; and what becomes of events that nobody fetches. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *c, *o; /* the watcher, and somebody else */

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
    o = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

START_TEST(the_answer_comes_first_and_then_one_event)
{
    EXPECT(c, XS_WATCH, "/tool|t|", "watch OK|\nevent /tool|t|");
}
END_TEST

START_TEST(the_first_event_comes_for_a_missing_node_too)
{
    EXPECT(c, XS_WATCH, "/no/such|t|", "watch OK|\nevent /no/such|t|");
}
END_TEST

START_TEST(the_first_event_comes_for_an_unreadable_node_too)
{
    world_introduce(w, 1);
    DOM_EXPECT(1, XS_WATCH, "/tool|t|", "watch OK|\nevent /tool|t|");
}
END_TEST

START_TEST(a_watch_sees_its_node_and_what_is_below)
{
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a|t|");
    EXPECT(o, XS_WRITE, "/a/b/c|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a/b/c|t|");
    EXPECT(o, XS_WRITE, "/ab|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(a_watch_on_the_root_sees_all_but_special_names)
{
    EXPECT(c, XS_WATCH, "/|t|", "watch OK|\nevent /|t|");
    EXPECT(o, XS_MKDIR, "/x/y|", "mkdir OK|");
    ck_assert_str_eq(heard(w, c), "event /x/y|t|");
    world_introduce(w, 1);
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(parents_made_along_the_way_fire_nothing)
{
    EXPECT(c, XS_WATCH, "/p/q|t|", "watch OK|\nevent /p/q|t|");
    EXPECT(c, XS_WATCH, "/p/q/r|u|", "watch OK|\nevent /p/q/r|u|");
    EXPECT(o, XS_WRITE, "/p/q/r/s|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /p/q/r/s|t|\nevent /p/q/r/s|u|");
}
END_TEST

START_TEST(writing_the_same_value_fires)
{
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a|t|");
}
END_TEST

START_TEST(set_perms_fires)
{
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(o, XS_SET_PERMS, "/a|n0|", "set-perms OK|");
    ck_assert_str_eq(heard(w, c), "event /a|t|");
}
END_TEST

START_TEST(mkdir_of_an_existing_node_and_rm_of_a_missing_one_fire_nothing)
{
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_WATCH, "/|t|", "watch OK|\nevent /|t|");
    EXPECT(o, XS_MKDIR, "/a|", "mkdir OK|");
    EXPECT(o, XS_RM, "/b|", "rm OK|");
    EXPECT(o, XS_READ, "/a|", "read 1");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(a_refused_request_fires_nothing)
{
    world_introduce(w, 1);
    EXPECT(c, XS_WATCH, "/tool|t|", "watch OK|\nevent /tool|t|");
    DOM_EXPECT(1, XS_WRITE, "/tool/x|1", "error EACCES|");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(ones_own_event_comes_before_the_answer)
{
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(c, XS_WRITE, "/a|1", "event /a|t|\nwrite OK|");
    EXPECT(c, XS_RM, "/a|", "event /a|t|\nrm OK|");
}
END_TEST

START_TEST(watches_fire_in_the_order_in_which_they_were_set)
{
    EXPECT(c, XS_WATCH, "/a/b|1|", "watch OK|\nevent /a/b|1|");
    EXPECT(c, XS_WATCH, "/a|2|", "watch OK|\nevent /a|2|");
    EXPECT(c, XS_WATCH, "/a/b|3|", "watch OK|\nevent /a/b|3|");
    EXPECT(c, XS_WATCH, "/|4|", "watch OK|\nevent /|4|");
    EXPECT(o, XS_WRITE, "/a/b|x", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a/b|1|\nevent /a/b|2|\nevent /a/b|3|\nevent /a/b|4|");
}
END_TEST

START_TEST(a_relative_watch_has_relative_events)
{
    EXPECT(c, XS_WATCH, "device|t|", "watch OK|\nevent device|t|");
    EXPECT(o, XS_WRITE, "/local/domain/0/device/vif|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event device/vif|t|");
}
END_TEST

START_TEST(a_guests_relative_watch_has_relative_events)
{
    world_introduce(w, 7);
    EXPECT(o, XS_WRITE, "/local/domain/7/device|", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/local/domain/7/device|n7|", "set-perms OK|");
    DOM_EXPECT(7, XS_WATCH, "device|t|", "watch OK|\nevent device|t|");
    EXPECT(o, XS_WRITE, "/local/domain/7/device/vbd|1", "write OK|");
    ck_assert_str_eq(dom_heard(w, 7), "event device/vbd|t|");
}
END_TEST

START_TEST(the_same_path_and_token_twice_is_eexist)
{
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(c, XS_WATCH, "/a|t|", "error EEXIST|");
    EXPECT(c, XS_WATCH, "/a|u|", "watch OK|\nevent /a|u|");
    EXPECT(o, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
}
END_TEST

START_TEST(an_empty_token_is_a_token)
{
    EXPECT(c, XS_WATCH, "/a||", "watch OK|\nevent /a||");
    EXPECT(c, XS_UNWATCH, "/a||", "unwatch OK|");
}
END_TEST

START_TEST(unwatch_takes_away_one_watch)
{
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(c, XS_WATCH, "/a|u|", "watch OK|\nevent /a|u|");
    EXPECT(c, XS_UNWATCH, "/a|t|", "unwatch OK|");
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a|u|");
    EXPECT(c, XS_UNWATCH, "/a|t|", "error ENOENT|");
    EXPECT(o, XS_UNWATCH, "/a|u|", "error ENOENT|");
}
END_TEST

START_TEST(the_transaction_of_watch_is_not_looked_at)
{
    EXPECT_TX(c, 999, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT_TX(c, 999, XS_UNWATCH, "/a|t|", "unwatch OK|");
}
END_TEST

START_TEST(a_watch_with_depth_sees_so_many_levels)
{
    EXPECT(c, XS_WATCH, "/a|0|0|", "watch OK|\nevent /a|0|");
    EXPECT(c, XS_WATCH, "/a|1|1|", "watch OK|\nevent /a|1|");
    EXPECT(c, XS_WATCH, "/a|x|-1|", "error EINVAL|");
    EXPECT(o, XS_WRITE, "/a|", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a|0|\nevent /a|1|");
    EXPECT(o, XS_WRITE, "/a/b|", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a/b|1|");
    EXPECT(o, XS_WRITE, "/a/b/c|", "write OK|");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

/* ---- removals ---- */

START_TEST(a_removal_fires_what_is_watched_below_first)
{
    EXPECT(o, XS_WRITE, "/a/b/c|1", "write OK|");
    EXPECT(o, XS_WRITE, "/a/d|1", "write OK|");
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(c, XS_WATCH, "/a/d|d|", "watch OK|\nevent /a/d|d|");
    EXPECT(c, XS_WATCH, "/a/b/c|c|", "watch OK|\nevent /a/b/c|c|");
    EXPECT(c, XS_WATCH, "/a/b|b|", "watch OK|\nevent /a/b|b|");
    EXPECT(o, XS_RM, "/a|", "rm OK|");
    ck_assert_str_eq(heard(w, c), "event /a/b/c|c|\nevent /a/b|b|\nevent /a/d|d|\nevent /a|t|");
}
END_TEST

START_TEST(a_removal_fires_nothing_for_what_never_was)
{
    EXPECT(o, XS_WRITE, "/a/b|1", "write OK|");
    EXPECT(c, XS_WATCH, "/a/x|x|", "watch OK|\nevent /a/x|x|");
    EXPECT(c, XS_WATCH, "/a/b/y|y|", "watch OK|\nevent /a/b/y|y|");
    EXPECT(o, XS_RM, "/a|", "rm OK|");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(a_removal_fires_siblings_in_the_order_of_their_creation)
{
    static const char *const names[] = {"q", "c", "x", "a", "m", "b", "z", "k"};
    char payload[40], want[512] = "";
    for (int i = 0; i < 8; i++) {
        (void)sprintf(payload, "/s/%s|", names[i]);
        EXPECT(o, XS_MKDIR, payload, "mkdir OK|");
        (void)sprintf(want + strlen(want), "%sevent /s/%s|t|", i > 0 ? "\n" : "", names[i]);
    }
    for (int i = 7; i >= 0; i--) {
        (void)sprintf(payload, "/s/%s|t|", names[i]);
        (void)ask(w, c, XS_WATCH, payload);
    }
    EXPECT(o, XS_RM, "/s|", "rm OK|");
    ck_assert_str_eq(heard(w, c), want);
}
END_TEST

START_TEST(a_watch_outlives_its_node)
{
    EXPECT(o, XS_WRITE, "/a/b|1", "write OK|");
    EXPECT(c, XS_WATCH, "/a/b|t|", "watch OK|\nevent /a/b|t|");
    EXPECT(o, XS_RM, "/a|", "rm OK|");
    ck_assert_str_eq(heard(w, c), "event /a/b|t|");
    EXPECT(o, XS_WRITE, "/a/b|2", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /a/b|t|");
}
END_TEST

/* ---- who may hear ---- */

START_TEST(a_guest_hears_nothing_of_what_it_may_not_read)
{
    world_introduce(w, 1);
    (void)dom_ask(w, 1, XS_WATCH, "/|t|");
    EXPECT(o, XS_WRITE, "/secret|1", "write OK|");
    ck_assert_str_eq(dom_heard(w, 1), "");
    EXPECT(o, XS_WRITE, "/open|1", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/open|r0|", "set-perms OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /open|t|");
    EXPECT(o, XS_WRITE, "/open|2", "write OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /open|t|");
}
END_TEST

START_TEST(a_guest_that_may_read_the_parent_hears_of_the_node)
{
    world_introduce(w, 1);
    EXPECT(o, XS_WRITE, "/p|", "write OK|");
    EXPECT(o, XS_WRITE, "/p/secret|1", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/p|r0|", "set-perms OK|");
    (void)dom_ask(w, 1, XS_WATCH, "/p|t|");
    EXPECT(o, XS_WRITE, "/p/secret|2", "write OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /p/secret|t|");
}
END_TEST

START_TEST(who_loses_the_right_to_read_hears_of_it)
{
    world_introduce(w, 1);
    EXPECT(o, XS_WRITE, "/n|1", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/n|r0|", "set-perms OK|");
    (void)dom_ask(w, 1, XS_WATCH, "/n|t|");
    EXPECT(o, XS_SET_PERMS, "/n|n0|", "set-perms OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /n|t|");
    EXPECT(o, XS_WRITE, "/n|2", "write OK|");
    ck_assert_str_eq(dom_heard(w, 1), "");
}
END_TEST

START_TEST(who_could_read_a_removed_node_hears_of_it)
{
    world_introduce(w, 1);
    EXPECT(o, XS_WRITE, "/n/m|1", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/n/m|r0|", "set-perms OK|");
    (void)dom_ask(w, 1, XS_WATCH, "/n/m|t|");
    (void)dom_ask(w, 1, XS_WATCH, "/n|u|");
    EXPECT(o, XS_RM, "/n|", "rm OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /n/m|t|");
}
END_TEST

/* ---- special names ---- */

START_TEST(introduction_and_release_are_told)
{
    EXPECT(c, XS_WATCH, "@introduceDomain|i|", "watch OK|\nevent @introduceDomain|i|");
    EXPECT(c, XS_WATCH, "@releaseDomain|r|", "watch OK|\nevent @releaseDomain|r|");
    world_introduce(w, 5);
    ck_assert_str_eq(heard(w, c), "event @introduceDomain|i|");
    xids_xs_server_shutdown(w->server, 5);
    xids_xs_server_shutdown(w->server, 5);
    ck_assert_str_eq(heard(w, c), "event @releaseDomain|r|");
    EXPECT(o, XS_RELEASE, "5|", "release OK|");
    ck_assert_str_eq(heard(w, c), "event @releaseDomain|r|");
}
END_TEST

START_TEST(a_special_watch_with_depth_hears_the_number)
{
    EXPECT(c, XS_WATCH, "@releaseDomain|d|1|", "watch OK|\nevent @releaseDomain|d|");
    EXPECT(c, XS_WATCH, "@releaseDomain/6|s|", "watch OK|\nevent @releaseDomain/6|s|");
    world_introduce(w, 5);
    world_introduce(w, 6);
    EXPECT(o, XS_RELEASE, "5|", "release OK|");
    ck_assert_str_eq(heard(w, c), "event @releaseDomain/5|d|");
    EXPECT(o, XS_RELEASE, "6|", "release OK|");
    ck_assert_str_eq(heard(w, c), "event @releaseDomain/6|d|\nevent @releaseDomain/6|s|");
}
END_TEST

START_TEST(a_guest_hears_releases_but_no_introductions)
{
    world_introduce(w, 1);
    (void)dom_ask(w, 1, XS_WATCH, "@introduceDomain|i|");
    (void)dom_ask(w, 1, XS_WATCH, "@releaseDomain|r|");
    world_introduce(w, 5);
    EXPECT(o, XS_RELEASE, "5|", "release OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event @releaseDomain|r|");
}
END_TEST

START_TEST(any_special_name_may_be_watched)
{
    EXPECT(c, XS_WATCH, "@anything|t|", "watch OK|\nevent @anything|t|");
    EXPECT(c, XS_UNWATCH, "@anything|t|", "unwatch OK|");
}
END_TEST

/* ---- bounds ---- */

START_TEST(a_guest_sets_no_more_watches_than_its_limit)
{
    char payload[40];
    world_introduce(w, 1);
    for (int i = 0; i < 128; i++) {
        (void)sprintf(payload, "/w%d|t|", i);
        ck_assert_int_eq(strncmp(dom_ask(w, 1, XS_WATCH, payload), "watch OK|", 9), 0);
    }
    DOM_EXPECT(1, XS_WATCH, "/one/more|t|", "error ENOSPC|");
    DOM_EXPECT(1, XS_UNWATCH, "/w5|t|", "unwatch OK|");
    DOM_EXPECT(1, XS_WATCH, "/one/more|t|", "watch OK|\nevent /one/more|t|");
}
END_TEST

START_TEST(reset_watches_takes_all_and_the_transactions)
{
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    EXPECT(c, XS_WATCH, "/b|t|", "watch OK|\nevent /b|t|");
    uint32_t tx = tx_start(w, c);
    EXPECT(c, XS_RESET_WATCHES, "|", "reset OK|");
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "");
    EXPECT_TX(c, tx, XS_READ, "/a|", "error ENOENT|");
}
END_TEST

START_TEST(reset_watches_inside_a_transaction_is_no_trouble)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/a|1", "write OK|");
    EXPECT_TX(c, tx, XS_RESET_WATCHES, "|", "reset OK|");
    EXPECT(c, XS_READ, "/a|", "error ENOENT|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error ENOENT|");
}
END_TEST

START_TEST(an_event_that_is_too_long_for_a_message_is_not_sent)
{
    static char payload[4200];
    memcpy(payload, "/a|", 3);
    memset(payload + 3, 't', 4080);
    strcpy(payload + 4083, "|");
    (void)ask(w, c, XS_WATCH, payload);
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    ck_assert_uint_gt(strlen(heard(w, c)), 4000);
    EXPECT(o, XS_WRITE, "/a/b/c/d/e/f/g/h/i/j|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(a_watcher_that_never_reads_costs_a_bounded_amount)
{
    char payload[80];
    const void *bytes;
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    size_t before = w->alloc.bytes;
    for (int i = 0; i < 60000; i++) {
        (void)sprintf(payload, "/a/%d|1", i % 500);
        EXPECT(o, XS_WRITE, payload, "write OK|");
    }
    ck_assert_uint_lt(w->alloc.bytes - before, 2u * 1024 * 1024);
    /* What it hears in the end covers all that happened: the last of it is the watch's own path. */
    bool own = false;
    while (xids_xs_server_output(c, &bytes) > 0) {
        size_t len = xids_xs_server_output(c, &bytes);
        own = own || (len > 22 && memcmp((const char *)bytes + len - 5, "/a\0t", 5) == 0);
        xids_xs_server_sent(c, len);
    }
    ck_assert(own);
}
END_TEST

/* Takes what is in the buffer, without looking; what waited then moves up. */
static void skip(struct xids_xs_conn *conn)
{
    const void *bytes;
    xids_xs_server_sent(conn, xids_xs_server_output(conn, &bytes));
}

START_TEST(equal_events_that_wait_become_one)
{
    (void)ask(w, c, XS_WATCH, "/a|t|");
    for (int i = 0; i < 40000; i++)
        (void)ask(w, o, XS_WRITE, "/a/b|1");
    skip(c);
    ck_assert_str_eq(heard(w, c), "event /a/b|t|");
}
END_TEST

START_TEST(a_watch_that_goes_takes_its_waiting_events_along)
{
    size_t used;
    const uint32_t header[4] = {XS_UNWATCH, 77, 0, 5};
    char unwatch[21];
    memcpy(unwatch, header, 16);
    memcpy(unwatch + 16, "/a\0t", 5);
    (void)ask(w, c, XS_WATCH, "/a|t|");
    (void)ask(w, c, XS_WATCH, "/b|u|");
    for (int i = 0; i < 40000; i++) {
        (void)ask(w, o, XS_WRITE, "/a/x|1");
        (void)ask(w, o, XS_WRITE, "/b/y|1");
    }
    /* It has had enough: its request is taken once it has read something. */
    ck_assert(!xids_xs_server_hungry(c));
    ck_assert_int_eq(xids_xs_server_input(c, &used, unwatch, sizeof(unwatch)), 0);
    ck_assert_uint_eq(used, 0);
    const void *bytes;
    while (!xids_xs_server_hungry(c))
        xids_xs_server_sent(c, xids_xs_server_output(c, &bytes) / 2);
    ck_assert_int_eq(xids_xs_server_input(c, &used, unwatch, sizeof(unwatch)), 0);
    ck_assert_uint_eq(used, sizeof(unwatch));
    EXPECT(o, XS_WRITE, "/a/x|2", "write OK|");
    skip(c);
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(a_watch_among_ten_thousand_others_still_fires)
{
    char payload[40];
    for (int i = 0; i < 10000; i++) {
        (void)sprintf(payload, "/other/%d/%d|t|", i % 100, i);
        (void)ask(w, c, XS_WATCH, payload);
    }
    EXPECT(o, XS_WRITE, "/other/42/4242/x|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "event /other/42/4242/x|t|");
    EXPECT(o, XS_WRITE, "/elsewhere|1", "write OK|");
    ck_assert_str_eq(heard(w, c), "");
}
END_TEST

START_TEST(a_closed_connection_is_not_told_anything)
{
    (void)ask(w, c, XS_WATCH, "/a|t|");
    xids_xs_server_disconnect(c);
    EXPECT(o, XS_WRITE, "/a|1", "write OK|");
    struct xids_xs_server_stats st;
    xids_xs_server_stats(w->server, &st);
    ck_assert_uint_eq(st.watches, 0);
}
END_TEST

START_TEST(output_of_others_makes_them_ready_once)
{
    (void)ask(w, c, XS_WATCH, "/a|t|");
    while (xids_xs_server_ready(w->server) != NULL) {
    }
    (void)ask(w, o, XS_WRITE, "/a|1");
    (void)ask(w, o, XS_WRITE, "/a|2");
    unsigned int times = 0;
    for (struct xids_xs_conn *r; (r = xids_xs_server_ready(w->server)) != NULL;)
        times += r == c;
    ck_assert_uint_eq(times, 1);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_watch");
    TCase *t = tcase_create("watches");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_answer_comes_first_and_then_one_event);
    tcase_add_test(t, the_first_event_comes_for_a_missing_node_too);
    tcase_add_test(t, the_first_event_comes_for_an_unreadable_node_too);
    tcase_add_test(t, a_watch_sees_its_node_and_what_is_below);
    tcase_add_test(t, a_watch_on_the_root_sees_all_but_special_names);
    tcase_add_test(t, parents_made_along_the_way_fire_nothing);
    tcase_add_test(t, writing_the_same_value_fires);
    tcase_add_test(t, set_perms_fires);
    tcase_add_test(t, mkdir_of_an_existing_node_and_rm_of_a_missing_one_fire_nothing);
    tcase_add_test(t, a_refused_request_fires_nothing);
    tcase_add_test(t, ones_own_event_comes_before_the_answer);
    tcase_add_test(t, watches_fire_in_the_order_in_which_they_were_set);
    tcase_add_test(t, a_relative_watch_has_relative_events);
    tcase_add_test(t, a_guests_relative_watch_has_relative_events);
    tcase_add_test(t, the_same_path_and_token_twice_is_eexist);
    tcase_add_test(t, an_empty_token_is_a_token);
    tcase_add_test(t, unwatch_takes_away_one_watch);
    tcase_add_test(t, the_transaction_of_watch_is_not_looked_at);
    tcase_add_test(t, a_watch_with_depth_sees_so_many_levels);
    tcase_add_test(t, a_removal_fires_what_is_watched_below_first);
    tcase_add_test(t, a_removal_fires_nothing_for_what_never_was);
    tcase_add_test(t, a_removal_fires_siblings_in_the_order_of_their_creation);
    tcase_add_test(t, a_watch_outlives_its_node);
    tcase_add_test(t, a_guest_hears_nothing_of_what_it_may_not_read);
    tcase_add_test(t, a_guest_that_may_read_the_parent_hears_of_the_node);
    tcase_add_test(t, who_loses_the_right_to_read_hears_of_it);
    tcase_add_test(t, who_could_read_a_removed_node_hears_of_it);
    tcase_add_test(t, introduction_and_release_are_told);
    tcase_add_test(t, a_special_watch_with_depth_hears_the_number);
    tcase_add_test(t, a_guest_hears_releases_but_no_introductions);
    tcase_add_test(t, any_special_name_may_be_watched);
    suite_add_tcase(suite, t);
    t = tcase_create("bounds");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_guest_sets_no_more_watches_than_its_limit);
    tcase_add_test(t, reset_watches_takes_all_and_the_transactions);
    tcase_add_test(t, reset_watches_inside_a_transaction_is_no_trouble);
    tcase_add_test(t, an_event_that_is_too_long_for_a_message_is_not_sent);
    tcase_add_test(t, a_watcher_that_never_reads_costs_a_bounded_amount);
    tcase_add_test(t, equal_events_that_wait_become_one);
    tcase_add_test(t, a_watch_that_goes_takes_its_waiting_events_along);
    tcase_add_test(t, a_watch_among_ten_thousand_others_still_fires);
    tcase_add_test(t, a_closed_connection_is_not_told_anything);
    tcase_add_test(t, output_of_others_makes_them_ready_once);
    suite_add_tcase(suite, t);
    return suite;
}
