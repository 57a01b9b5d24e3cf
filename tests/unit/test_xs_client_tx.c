/* SPDX-License-Identifier: ISC */
/* The xenstore client's engine: transactions. */
#include "tests/unit/xs_harness.h"

static struct rig rig;

static void setup(void)
{
    rig_init(&rig, NULL);
}

static void teardown(void)
{
    rig_fini(&rig);
}

struct work {
    int bodies, done, rc;
    uint32_t ids[8];
    struct xids_xs_tx *tx;
    int abort_with; /* 0: commit at once; 1: leave it open */
};

static void body(void *ctx, struct xids_xs_tx *tx)
{
    struct work *w = ctx;
    ck_assert_int_lt(w->bodies, 8);
    w->ids[w->bodies++] = xids_xs_tx_id(tx);
    w->tx = tx;
    if (w->abort_with == 0)
        xids_xs_tx_commit(tx);
    else if (w->abort_with < 0)
        xids_xs_tx_abort(tx, w->abort_with);
}

static void done(void *ctx, int rc)
{
    struct work *w = ctx;
    w->done++;
    w->rc = rc;
}

static void begin(struct work *w, int abort_with, unsigned int tries)
{
    *w = (struct work){.abort_with = abort_with};
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, tries, body, done, w), 0);
    ck_assert_int_eq(w->bodies, 0);
}

static void start_as(const char *id)
{
    struct request q;
    expect(&rig, &q, XS_TRANSACTION_START);
    ck_assert_int_eq(answer(&rig, &q, id, strlen(id) + 1), 0);
}

static struct request *expect_end(struct request *q, uint32_t id, const char *how)
{
    expect(&rig, q, XS_TRANSACTION_END);
    ck_assert_uint_eq(q->msg.tx_id, id);
    ck_assert_str_eq(q->payload, how);
    return q;
}

START_TEST(a_transaction_commits)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    start_as("17");
    ck_assert_int_eq(w.bodies, 1);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 17, "T")), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_conflict_runs_the_body_again)
{
    struct work w;
    struct request q;
    begin(&w, 0, 5);
    start_as("1");
    ck_assert_int_eq(answer_error(&rig, expect_end(&q, 1, "T"), "EAGAIN"), 0);
    ck_assert_int_eq(w.done, 0);
    start_as("2");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 2, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
    ck_assert_uint_ne(w.ids[0], w.ids[1]);
}
END_TEST

START_TEST(conflicts_without_end_are_given_up)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    for (int i = 0; i < 3; i++) {
        start_as("9");
        ck_assert_int_eq(answer_error(&rig, expect_end(&q, 9, "T"), "EAGAIN"), 0);
    }
    ck_assert_int_eq(w.bodies, 3);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EAGAIN);
    ck_assert(!take(&rig, &q));
}
END_TEST

START_TEST(another_error_of_the_commit_is_final)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    start_as("9");
    ck_assert_int_eq(answer_error(&rig, expect_end(&q, 9, "T"), "ENOSPC"), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOSPC);
}
END_TEST

START_TEST(an_abort_gives_its_reason)
{
    struct work w;
    struct request q;
    begin(&w, -XEN_EEXIST, 3);
    start_as("4");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 4, "F")), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EEXIST);
    ck_assert_int_eq(w.bodies, 1);
}
END_TEST

START_TEST(a_body_can_ask_for_another_try)
{
    struct work w;
    struct request q;
    begin(&w, -XEN_EAGAIN, 2);
    start_as("4");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 4, "F")), 0);
    w.abort_with = 0;
    start_as("5");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 5, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_refused_start_ends_it)
{
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    ck_assert_int_eq(answer_error(&rig, expect(&rig, &q, XS_TRANSACTION_START), "ENOSPC"), 0);
    ck_assert_int_eq(w.bodies, 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOSPC);
}
END_TEST

START_TEST(a_malformed_id_breaks_the_connection)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0}, {"", 1}, {"12", 2}, {"0", 2}, {"x", 2}, {"4294967296", 11}, {"1 ", 3}, {"-1", 3}};
    struct work w;
    struct request q;
    begin(&w, 0, 3);
    expect(&rig, &q, XS_TRANSACTION_START);
    ck_assert_int_eq(answer(&rig, &q, bad[_i].text, bad[_i].len), -XEN_EBADMSG);
    ck_assert_int_eq(w.bodies, 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EBADMSG);
}
END_TEST

START_TEST(requests_in_a_transaction_carry_the_stores_id)
{
    struct work w;
    struct request q;
    struct answer a = {0};
    begin(&w, 1, 3);
    start_as("4000000000");
    ck_assert_int_eq(xids_xs_client_read(rig.c, xids_xs_tx_id(w.tx), "/a", on_reply, &a), 0);
    expect(&rig, &q, XS_READ);
    ck_assert_uint_eq(q.msg.tx_id, 4000000000u);
    ck_assert_int_eq(answer(&rig, &q, "v", 1), 0);
    xids_xs_tx_commit(w.tx);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 4000000000u, "T")), 0);
    ck_assert_int_eq(w.done, 1);
}
END_TEST

START_TEST(a_second_end_is_ignored)
{
    struct work w;
    struct request q;
    begin(&w, 1, 3);
    start_as("3");
    xids_xs_tx_commit(w.tx);
    xids_xs_tx_abort(w.tx, -XEN_EPERM);
    xids_xs_tx_commit(w.tx);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 3, "T")), 0);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
    ck_assert(!take(&rig, &q));
}
END_TEST

START_TEST(a_reset_before_the_start_was_answered_starts_again)
{
    struct work w;
    struct request q;
    begin(&w, 0, 1);
    expect(&rig, &q, XS_TRANSACTION_START);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(w.done, 0);
    start_as("1");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 1, "T")), 0);
    ck_assert_int_eq(w.rc, 0);
    ck_assert_int_eq(w.done, 1);
}
END_TEST

START_TEST(a_reset_in_the_body_runs_it_again_and_its_old_id_reaches_nobody)
{
    struct work w;
    struct request q;
    struct answer a = {0};
    begin(&w, 1, 2);
    start_as("1");
    uint32_t old = w.ids[0];
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(xids_xs_client_write(rig.c, old, "/a", "v", 1, on_reply, &a), -XEN_ENOTCONN);
    ck_assert(!take(&rig, &q));
    xids_xs_tx_commit(w.tx);
    ck_assert_int_eq(w.done, 0);
    w.abort_with = 0;
    start_as("1");
    ck_assert_uint_ne(w.ids[1], old);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 1, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_body_that_aborts_what_a_reset_took_runs_again)
{
    struct work w;
    begin(&w, 1, 2);
    start_as("1");
    xids_xs_client_reset(rig.c);
    xids_xs_tx_abort(w.tx, -XEN_ENOTCONN);
    ck_assert_int_eq(w.done, 0);
    w.abort_with = -XEN_EIO;
    struct request q;
    start_as("2");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 2, "F")), 0);
    ck_assert_int_eq(w.rc, -XEN_EIO);
    ck_assert_int_eq(w.done, 1);
}
END_TEST

START_TEST(a_commit_not_yet_sent_at_reset_runs_again)
{
    struct work w;
    struct request q;
    begin(&w, 0, 2);
    start_as("1");
    xids_xs_client_reset(rig.c);
    start_as("2");
    ck_assert_int_eq(answer_ok(&rig, expect_end(&q, 2, "T")), 0);
    ck_assert_int_eq(w.bodies, 2);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, 0);
}
END_TEST

START_TEST(a_commit_lost_on_the_way_is_not_repeated)
{
    struct work w;
    struct request q;
    begin(&w, 0, 5);
    start_as("1");
    expect_end(&q, 1, "T");
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(w.bodies, 1);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOTCONN);
    ck_assert(!take(&rig, &q));
}
END_TEST

/* Breaks the connection after so many of the store's answers: done must come exactly once, wherever it is. */
START_TEST(done_comes_once_wherever_the_connection_breaks)
{
    struct work w;
    struct request q;
    begin(&w, _i < 4 ? 0 : 1, 3);
    if (_i % 4 >= 1)
        expect(&rig, &q, XS_TRANSACTION_START);
    if (_i % 4 >= 2)
        ck_assert_int_eq(answer(&rig, &q, "1", 2), 0);
    if (_i == 3)
        expect(&rig, &q, XS_TRANSACTION_END);
    xids_xs_client_fail(rig.c, -XEN_EIO, "test");
    if (_i >= 4 && w.bodies > 0) {
        ck_assert_int_eq(w.done, 0);
        if (_i % 2 == 0)
            xids_xs_tx_commit(w.tx);
        else
            xids_xs_tx_abort(w.tx, -XEN_EIO);
    }
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_EIO);
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, 1, body, done, &w), -XEN_EIO);
}
END_TEST

START_TEST(the_end_of_the_client_ends_open_transactions)
{
    struct work w = {.abort_with = 1};
    struct rig r;
    struct request q;
    rig_init(&r, NULL);
    ck_assert_int_eq(xids_xs_client_transaction(r.c, 3, body, done, &w), 0);
    expect(&r, &q, XS_TRANSACTION_START);
    ck_assert_int_eq(answer(&r, &q, "1", 2), 0);
    rig_fini(&r);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ENOTCONN);
}
END_TEST

START_TEST(no_more_transactions_than_the_limit)
{
    static struct work w[5]; /* the teardown tells them of the end */
    for (int i = 0; i < 4; i++)
        begin(&w[i], 0, 1);
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, 1, body, done, &w[4]), -XEN_EBUSY);
    ck_assert_int_eq(xids_xs_client_transaction(rig.c, 0, body, done, &w[4]), -XEN_EINVAL);
}
END_TEST

START_TEST(a_start_answered_after_its_deadline_is_ended)
{
    struct work w;
    struct request q, e;
    xids_xs_client_timeout(rig.c, 10);
    begin(&w, 0, 3);
    expect(&rig, &q, XS_TRANSACTION_START);
    xids_xs_client_tick(rig.c, 20);
    ck_assert_int_eq(w.done, 1);
    ck_assert_int_eq(w.rc, -XEN_ETIMEDOUT);
    ck_assert_int_eq(answer(&rig, &q, "8", 2), 0);
    ck_assert_int_eq(answer_ok(&rig, expect_end(&e, 8, "F")), 0);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs_client_tx");
    TCase *t = tcase_create("transactions");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_transaction_commits);
    tcase_add_test(t, a_conflict_runs_the_body_again);
    tcase_add_test(t, conflicts_without_end_are_given_up);
    tcase_add_test(t, another_error_of_the_commit_is_final);
    tcase_add_test(t, an_abort_gives_its_reason);
    tcase_add_test(t, a_body_can_ask_for_another_try);
    tcase_add_test(t, a_refused_start_ends_it);
    tcase_add_loop_test(t, a_malformed_id_breaks_the_connection, 0, 8);
    tcase_add_test(t, requests_in_a_transaction_carry_the_stores_id);
    tcase_add_test(t, a_second_end_is_ignored);
    tcase_add_test(t, a_reset_before_the_start_was_answered_starts_again);
    tcase_add_test(t, a_reset_in_the_body_runs_it_again_and_its_old_id_reaches_nobody);
    tcase_add_test(t, a_body_that_aborts_what_a_reset_took_runs_again);
    tcase_add_test(t, a_commit_not_yet_sent_at_reset_runs_again);
    tcase_add_test(t, a_commit_lost_on_the_way_is_not_repeated);
    tcase_add_loop_test(t, done_comes_once_wherever_the_connection_breaks, 0, 8);
    tcase_add_test(t, the_end_of_the_client_ends_open_transactions);
    tcase_add_test(t, no_more_transactions_than_the_limit);
    tcase_add_test(t, a_start_answered_after_its_deadline_is_ended);
    suite_add_tcase(s, t);
    return s;
}
