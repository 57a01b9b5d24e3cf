/* SPDX-License-Identifier: ISC */
/* Transactions: what they see, what makes them conflict and what does not, and the events of a commit. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *c, *o; /* whose transaction it is, and who gets in between */

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
    o = world_socket(w);
    EXPECT(o, XS_WRITE, "/a|old", "write OK|");
    EXPECT(o, XS_WRITE, "/d/x|1", "write OK|");
    EXPECT(o, XS_WRITE, "/d/y|2", "write OK|");
}

static void teardown(void)
{
    world_down(w);
}

START_TEST(a_transaction_sees_a_snapshot)
{
    uint32_t tx = tx_start(w, c);
    EXPECT(o, XS_WRITE, "/a|new", "write OK|");
    EXPECT(o, XS_RM, "/d|", "rm OK|");
    EXPECT(o, XS_MKDIR, "/e|", "mkdir OK|");
    EXPECT_TX(c, tx, XS_READ, "/a|", "read old");
    EXPECT_TX(c, tx, XS_DIRECTORY, "/d|", "directory x|y|");
    EXPECT_TX(c, tx, XS_READ, "/e|", "error ENOENT|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "F|", "end OK|");
    EXPECT(c, XS_READ, "/a|", "read new");
}
END_TEST

START_TEST(what_a_transaction_does_is_seen_by_itself_alone_until_it_ends)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/a|mine", "write OK|");
    EXPECT_TX(c, tx, XS_MKDIR, "/d/z|", "mkdir OK|");
    EXPECT_TX(c, tx, XS_RM, "/d/x|", "rm OK|");
    EXPECT_TX(c, tx, XS_READ, "/a|", "read mine");
    EXPECT_TX(c, tx, XS_DIRECTORY, "/d|", "directory y|z|");
    EXPECT(o, XS_READ, "/a|", "read old");
    EXPECT(c, XS_DIRECTORY, "/d|", "directory x|y|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT(o, XS_READ, "/a|", "read mine");
    EXPECT(o, XS_DIRECTORY, "/d|", "directory y|z|");
}
END_TEST

START_TEST(an_aborted_transaction_leaves_nothing)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/new/one|1", "write OK|");
    EXPECT_TX(c, tx, XS_RM, "/d|", "rm OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "F|", "end OK|");
    EXPECT(o, XS_DIRECTORY, "/|", "directory tool|a|d|");
}
END_TEST

START_TEST(an_unknown_transaction_is_enoent)
{
    EXPECT_TX(c, 12345, XS_READ, "/a|", "error ENOENT|");
    EXPECT_TX(c, 12345, XS_TRANSACTION_END, "T|", "error ENOENT|");
    EXPECT(c, XS_TRANSACTION_END, "T|", "error ENOENT|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(o, tx + 7, XS_READ, "/a|", "error ENOENT|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(c, tx, XS_READ, "/a|", "error ENOENT|");
}
END_TEST

START_TEST(a_transaction_in_a_transaction_is_ebusy)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_TRANSACTION_START, "|", "error EBUSY|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "F|", "end OK|");
}
END_TEST

START_TEST(a_connection_has_several_transactions_at_a_time)
{
    uint32_t a = tx_start(w, c), b = tx_start(w, c);
    ck_assert_uint_ne(a, b);
    EXPECT_TX(c, a, XS_WRITE, "/a|from a", "write OK|");
    EXPECT_TX(c, b, XS_READ, "/a|", "read old");
    EXPECT_TX(c, a, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(c, b, XS_WRITE, "/b|", "write OK|");
    EXPECT_TX(c, b, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

START_TEST(a_guest_opens_no_more_transactions_than_its_limit)
{
    world_introduce(w, 1);
    uint32_t first = dom_tx_start(w, 1);
    for (int i = 1; i < 10; i++)
        (void)dom_tx_start(w, 1);
    DOM_EXPECT(1, XS_TRANSACTION_START, "|", "error ENOSPC|");
    DOM_EXPECT_TX(1, first, XS_TRANSACTION_END, "F|", "end OK|");
    (void)dom_tx_start(w, 1);
}
END_TEST

/*
 * What the transaction does (it also writes something), what somebody else does in the meantime, and whether that
 * makes it fail.
 */
struct conflict {
    uint32_t type;
    const char *mine;
    uint32_t other_type;
    const char *others;
    bool fails;
};

static const struct conflict matrix[] = {
    /* the value of a node */
    {XS_READ, "/a|", XS_WRITE, "/a|new", true},
    {XS_READ, "/a|", XS_WRITE, "/a|old", false},
    {XS_READ, "/a|", XS_RM, "/a|", true},
    {XS_READ, "/a|", XS_WRITE, "/a/child|", false},
    {XS_READ, "/a|", XS_SET_PERMS, "/a|n0|r5|", false},
    {XS_READ, "/a|", XS_WRITE, "/b|", false},
    {XS_READ, "/d|", XS_RM, "/d/x|", false},
    /* that a node is missing */
    {XS_READ, "/m|", XS_WRITE, "/m|", true},
    {XS_READ, "/m|", XS_WRITE, "/n|", false},
    {XS_READ, "/m/n|", XS_WRITE, "/m/n/o|", true},
    {XS_READ, "/m/n|", XS_WRITE, "/m/q|", false},
    /* the list of children */
    {XS_DIRECTORY, "/d|", XS_WRITE, "/d/z|", true},
    {XS_DIRECTORY, "/d|", XS_RM, "/d/x|", true},
    {XS_DIRECTORY, "/d|", XS_WRITE, "/d/x|changed", false},
    {XS_DIRECTORY, "/d|", XS_WRITE, "/d/x/deeper|", false},
    {XS_DIRECTORY, "/d|", XS_WRITE, "/d|value", false},
    {XS_DIRECTORY, "/d|", XS_RM, "/d|", true},
    {XS_DIRECTORY_PART, "/d|0|", XS_WRITE, "/d/z|", true},
    /* permissions */
    {XS_GET_PERMS, "/a|", XS_SET_PERMS, "/a|n0|r5|", true},
    {XS_GET_PERMS, "/a|", XS_SET_PERMS, "/a|n0|", false},
    {XS_GET_PERMS, "/a|", XS_WRITE, "/a|new", false},
    {XS_GET_PERMS, "/a|", XS_RM, "/a|", true},
    /* changes made without looking */
    {XS_WRITE, "/a|mine", XS_WRITE, "/a|new", false},
    {XS_WRITE, "/a|mine", XS_RM, "/a|", false},
    {XS_WRITE, "/a/b/c|mine", XS_RM, "/a|", false},
    {XS_WRITE, "/d/z|mine", XS_WRITE, "/d/q|", false},
    {XS_WRITE, "/d/z|mine", XS_WRITE, "/d/z|", false},
    {XS_MKDIR, "/d/z|", XS_MKDIR, "/d/q|", false},
    {XS_MKDIR, "/d/z|", XS_MKDIR, "/d/z|", false},
    {XS_MKDIR, "/a|", XS_RM, "/a|", false},
    {XS_RM, "/d|", XS_WRITE, "/d/q|", false},
    {XS_RM, "/d|", XS_RM, "/d|", false},
    {XS_RM, "/d/x|", XS_RM, "/d|", false},
    {XS_RM, "/m|", XS_WRITE, "/m|", false},
    {XS_RM, "/no/such|", XS_WRITE, "/no/such|", true},
    {XS_SET_PERMS, "/a|n0|r1|", XS_SET_PERMS, "/a|n0|r2|", false},
    {XS_SET_PERMS, "/a|n0|r1|", XS_WRITE, "/a|new", false},
    {XS_SET_PERMS, "/a|n0|r1|", XS_RM, "/a|", true},
    {XS_SET_PERMS, "/m|n0|r1|", XS_WRITE, "/m|", true},
};

START_TEST(only_what_was_read_and_is_different_makes_a_conflict)
{
    const struct conflict *m = &matrix[_i];
    uint32_t tx = tx_start(w, c);
    (void)ask_tx(w, c, tx, m->type, m->mine);
    EXPECT_TX(c, tx, XS_WRITE, "/result|1", "write OK|");
    const char *text = ask(w, o, m->other_type, m->others);
    ck_assert_ptr_nonnull(strstr(text, " OK|"));
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", m->fails ? "error EAGAIN|" : "end OK|");
    EXPECT(o, XS_READ, "/result|", m->fails ? "error ENOENT|" : "read 1");
}
END_TEST

START_TEST(who_only_reads_is_never_refused)
{
    const struct conflict *m = &matrix[_i];
    uint32_t tx = tx_start(w, c);
    (void)ask_tx(w, c, tx, m->type, m->mine);
    (void)ask(w, o, m->other_type, m->others);
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(what_one_has_written_oneself_makes_no_conflict)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/a|mine", "write OK|");
    EXPECT_TX(c, tx, XS_READ, "/a|", "read mine");
    EXPECT_TX(c, tx, XS_RM, "/d|", "rm OK|");
    EXPECT_TX(c, tx, XS_READ, "/d/x|", "error ENOENT|");
    EXPECT_TX(c, tx, XS_MKDIR, "/d|", "mkdir OK|");
    EXPECT_TX(c, tx, XS_DIRECTORY, "/d|", "directory ");
    EXPECT(o, XS_WRITE, "/a|theirs", "write OK|");
    EXPECT(o, XS_WRITE, "/d/z|theirs", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT(o, XS_READ, "/a|", "read mine");
    EXPECT(o, XS_DIRECTORY, "/d|", "directory ");
}
END_TEST

START_TEST(siblings_created_by_many_transactions_all_come_into_being)
{
    uint32_t tx[32];
    char payload[64];
    for (int i = 0; i < 32; i++) {
        tx[i] = tx_start(w, c);
        (void)sprintf(payload, "/local/domain/%d|", i);
        EXPECT_TX(c, tx[i], XS_RM, payload, "error ENOENT|");
        (void)sprintf(payload, "/local/domain/%d/name|guest", i);
        EXPECT_TX(c, tx[i], XS_WRITE, payload, "write OK|");
    }
    unsigned int ok = 0;
    for (int i = 0; i < 32; i++)
        ok += strcmp(ask_tx(w, c, tx[i], XS_TRANSACTION_END, "T|"), "end OK|") == 0;
    /* That /local/domain itself was missing is no reason to refuse the others. */
    ck_assert_uint_eq(ok, 32);
    for (int i = 1; i < 32; i++) {
        tx[i] = tx_start(w, c);
        (void)sprintf(payload, "/local/domain/%d|", i);
        EXPECT_TX(c, tx[i], XS_RM, payload, "rm OK|");
        EXPECT_TX(c, tx[i], XS_READ, payload, "error ENOENT|");
        (void)sprintf(payload, "/local/domain/%d/name|guest", i);
        EXPECT_TX(c, tx[i], XS_WRITE, payload, "write OK|");
        EXPECT_TX(c, tx[i], XS_READ, "/local/domain|", "read ");
    }
    for (int i = 1; i < 32; i++)
        EXPECT_TX(c, tx[i], XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(a_value_changed_and_changed_back_is_no_conflict)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_READ, "/a|", "read old");
    EXPECT_TX(c, tx, XS_WRITE, "/b|", "write OK|");
    EXPECT(o, XS_WRITE, "/a|new", "write OK|");
    EXPECT(o, XS_WRITE, "/a|old", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(a_child_removed_and_made_again_is_a_conflict_for_who_listed_it)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_DIRECTORY, "/d|", "directory x|y|");
    EXPECT_TX(c, tx, XS_WRITE, "/b|", "write OK|");
    EXPECT(o, XS_RM, "/d/x|", "rm OK|");
    EXPECT(o, XS_MKDIR, "/d/x|", "mkdir OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

START_TEST(a_lost_right_makes_a_guests_transaction_fail)
{
    world_introduce(w, 1);
    EXPECT(o, XS_SET_PERMS, "/a|n0|b1|", "set-perms OK|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/a|its", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/a|n0|", "set-perms OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT(o, XS_READ, "/a|", "read old");
}
END_TEST

START_TEST(a_changed_right_that_changes_nothing_for_the_guest_is_no_conflict)
{
    world_introduce(w, 1);
    EXPECT(o, XS_SET_PERMS, "/a|n0|b1|", "set-perms OK|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_READ, "/a|", "read old");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/a|its", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/a|n0|b1|r2|", "set-perms OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(a_guests_limit_holds_in_a_transaction_and_at_its_end)
{
    struct xids_xs_limits limits = xids_xs_limits_default;
    world_down(w);
    limits.store.nodes = 5;
    w = world_up_with(&limits);
    c = world_socket(w);
    world_introduce(w, 1);
    EXPECT(c, XS_WRITE, "/g|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/g|n1|", "set-perms OK|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/g/1/2/3|", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/g/4|", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/g/5|", "error ENOSPC|");
    DOM_EXPECT(1, XS_WRITE, "/g/6|", "write OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error ENOSPC|");
    ck_assert_uint_eq(xids_store_owned(xids_xs_server_store(w->server), 1), 2);
}
END_TEST

/* What both the transaction and somebody else have removed is not counted as less than nothing. */
START_TEST(what_is_removed_twice_makes_room_once)
{
    world_home(w, 1);
    DOM_EXPECT(1, XS_MKDIR, "d/e/f/g/h/i/j|", "mkdir OK|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_RM, "d|", "rm OK|");
    EXPECT(c, XS_RM, "/local/domain/1/d|", "rm OK|");
    while (xids_xs_server_idle(w->server, 100)) {
    }
    DOM_EXPECT_TX(1, tx, XS_MKDIR, "x|", "mkdir OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_eq(world_used(w, 1, "nodes"), 2);
}
END_TEST

START_TEST(a_guests_transaction_touches_no_more_paths_than_its_limit)
{
    char payload[40];
    world_introduce(w, 1);
    uint32_t tx = dom_tx_start(w, 1);
    for (int i = 0; i < 1024; i++) {
        (void)sprintf(payload, "/n%d|", i);
        DOM_EXPECT_TX(1, tx, XS_READ, payload, "error EACCES|");
    }
    DOM_EXPECT_TX(1, tx, XS_READ, "/one/more|", "error ENOSPC|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/n5|", "error EACCES|");
}
END_TEST

START_TEST(writing_the_same_again_and_again_in_a_transaction_is_bounded)
{
    world_introduce(w, 1);
    EXPECT(o, XS_WRITE, "/g|", "write OK|");
    EXPECT(o, XS_SET_PERMS, "/g|n1|", "set-perms OK|");
    uint32_t tx = dom_tx_start(w, 1);
    bool refused = false;
    for (int i = 0; i < 20000 && !refused; i++)
        refused = strcmp(dom_ask_tx(w, 1, tx, XS_WRITE, "/g|x"), "error ENOSPC|") == 0;
    ck_assert(refused);
}
END_TEST

START_TEST(a_guests_transaction_on_deep_paths_is_bounded)
{
    static char path[1000] = "/d";
    world_introduce(w, 1);
    EXPECT(o, XS_SET_PERMS, "/d|n1|", "set-perms OK|");
    for (unsigned int i = 0; i < 400; i++)
        strcat(path, "/a");
    strcat(path, "|1");
    uint32_t tx = dom_tx_start(w, 1);
    unsigned int done = 0;
    while (done < 4000 && strcmp(dom_ask_tx(w, 1, tx, XS_WRITE, path), "write OK|") == 0)
        done++;
    /* Each counts 402 levels, the path itself as much once more: 512 for each of 1024 paths. */
    ck_assert_uint_eq(done, 512 * 1024 / 402 - 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, path, "error ENOSPC|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(nodes_of_a_transaction_are_counted_when_it_ends)
{
    struct xids_store *s = xids_xs_server_store(w->server);
    uint32_t nodes = xids_store_nodes(s), tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/n/m|", "write OK|");
    EXPECT_TX(c, tx, XS_RM, "/d|", "rm OK|");
    ck_assert_uint_eq(xids_store_nodes(s), nodes);
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_eq(xids_store_nodes(s), nodes + 2 - 3);
}
END_TEST

START_TEST(a_closed_connection_ends_its_transactions)
{
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/n|", "write OK|");
    xids_xs_server_disconnect(c);
    EXPECT(o, XS_READ, "/n|", "error ENOENT|");
}
END_TEST

/* ---- events ---- */

START_TEST(a_commit_has_one_event_for_each_path_in_the_order_of_first_touch)
{
    EXPECT(o, XS_WATCH, "/|t|", "watch OK|\nevent /|t|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_READ, "/d/y|", "read 2");
    EXPECT_TX(c, tx, XS_WRITE, "/a|1", "write OK|");
    EXPECT_TX(c, tx, XS_WRITE, "/n|1", "write OK|");
    EXPECT_TX(c, tx, XS_WRITE, "/a|2", "write OK|");
    EXPECT_TX(c, tx, XS_WRITE, "/d/y|3", "write OK|");
    EXPECT_TX(c, tx, XS_SET_PERMS, "/a|n0|", "set-perms OK|");
    ck_assert_str_eq(heard(w, o), "");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, o), "event /d/y|t|\nevent /a|t|\nevent /n|t|");
}
END_TEST

START_TEST(a_commit_on_another_tree_has_the_same_events)
{
    EXPECT(o, XS_WATCH, "/|t|", "watch OK|\nevent /|t|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/n|1", "write OK|");
    EXPECT_TX(c, tx, XS_WRITE, "/a|2", "write OK|");
    EXPECT(c, XS_WRITE, "/elsewhere|", "write OK|");
    (void)heard(w, o);
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, o), "event /n|t|\nevent /a|t|");
}
END_TEST

START_TEST(a_refused_or_aborted_transaction_has_no_events)
{
    EXPECT(o, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/a|1", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "F|", "end OK|");
    tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_READ, "/d/x|", "read 1");
    EXPECT_TX(c, tx, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_WRITE, "/d/x|2", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    ck_assert_str_eq(heard(w, o), "");
}
END_TEST

START_TEST(what_is_made_and_removed_in_a_transaction_has_no_event)
{
    EXPECT(o, XS_WATCH, "/n|t|", "watch OK|\nevent /n|t|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/n|1", "write OK|");
    EXPECT_TX(c, tx, XS_RM, "/n|", "rm OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, o), "");
}
END_TEST

START_TEST(a_removal_in_a_transaction_fires_what_is_watched_below)
{
    EXPECT(o, XS_WATCH, "/d/x|x|", "watch OK|\nevent /d/x|x|");
    EXPECT(o, XS_WATCH, "/d/y|y|", "watch OK|\nevent /d/y|y|");
    EXPECT(o, XS_WATCH, "/d|d|", "watch OK|\nevent /d|d|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_RM, "/d|", "rm OK|");
    EXPECT_TX(c, tx, XS_WRITE, "/d/y|again", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    /* /d, with /d/x that is no more; then /d/y, once. */
    ck_assert_str_eq(heard(w, o), "event /d|d|\nevent /d/x|x|\nevent /d/y|y|\nevent /d/y|d|");
}
END_TEST

START_TEST(a_guest_hears_of_a_commit_what_it_may)
{
    world_introduce(w, 1);
    EXPECT(o, XS_SET_PERMS, "/d/x|r0|", "set-perms OK|");
    (void)dom_ask(w, 1, XS_WATCH, "/|t|");
    (void)dom_ask(w, 1, XS_WATCH, "/d/x|x|");
    uint32_t tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_WRITE, "/d/y|5", "write OK|");
    EXPECT_TX(c, tx, XS_RM, "/d/x|", "rm OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /d/x|t|\nevent /d/x|x|");
}
END_TEST

Suite *xids_suite(void)
{
    int rows = sizeof(matrix) / sizeof(matrix[0]);
    Suite *suite = suite_create("xsd_tx");
    TCase *t = tcase_create("transactions");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_transaction_sees_a_snapshot);
    tcase_add_test(t, what_a_transaction_does_is_seen_by_itself_alone_until_it_ends);
    tcase_add_test(t, an_aborted_transaction_leaves_nothing);
    tcase_add_test(t, an_unknown_transaction_is_enoent);
    tcase_add_test(t, a_transaction_in_a_transaction_is_ebusy);
    tcase_add_test(t, a_connection_has_several_transactions_at_a_time);
    tcase_add_test(t, a_guest_opens_no_more_transactions_than_its_limit);
    tcase_add_loop_test(t, only_what_was_read_and_is_different_makes_a_conflict, 0, rows);
    tcase_add_loop_test(t, who_only_reads_is_never_refused, 0, 22);
    tcase_add_test(t, what_one_has_written_oneself_makes_no_conflict);
    tcase_add_test(t, siblings_created_by_many_transactions_all_come_into_being);
    tcase_add_test(t, a_value_changed_and_changed_back_is_no_conflict);
    tcase_add_test(t, a_child_removed_and_made_again_is_a_conflict_for_who_listed_it);
    tcase_add_test(t, a_lost_right_makes_a_guests_transaction_fail);
    tcase_add_test(t, a_changed_right_that_changes_nothing_for_the_guest_is_no_conflict);
    tcase_add_test(t, a_guests_limit_holds_in_a_transaction_and_at_its_end);
    tcase_add_test(t, what_is_removed_twice_makes_room_once);
    tcase_add_test(t, a_guests_transaction_touches_no_more_paths_than_its_limit);
    tcase_add_test(t, writing_the_same_again_and_again_in_a_transaction_is_bounded);
    tcase_add_test(t, a_guests_transaction_on_deep_paths_is_bounded);
    tcase_add_test(t, nodes_of_a_transaction_are_counted_when_it_ends);
    tcase_add_test(t, a_closed_connection_ends_its_transactions);
    suite_add_tcase(suite, t);
    t = tcase_create("events");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_commit_has_one_event_for_each_path_in_the_order_of_first_touch);
    tcase_add_test(t, a_commit_on_another_tree_has_the_same_events);
    tcase_add_test(t, a_refused_or_aborted_transaction_has_no_events);
    tcase_add_test(t, what_is_made_and_removed_in_a_transaction_has_no_event);
    tcase_add_test(t, a_removal_in_a_transaction_fires_what_is_watched_below);
    tcase_add_test(t, a_guest_hears_of_a_commit_what_it_may);
    suite_add_tcase(suite, t);
    return suite;
}
