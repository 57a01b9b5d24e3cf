/* SPDX-License-Identifier: ISC */
/* Request/response rings: alone, against Xen's own macros on the other side, and against a peer that lies. */
#include "tests/unit/suite.h"

/* Xen's macros, expanded here, mix signs. */
#pragma GCC diagnostic ignored "-Wsign-conversion"

#include <stdlib.h>
#include <string.h>
#include <xids/ring.h>

/* Xen's macros bring their own barriers; these are strong enough for one thread. */
#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#include <xen/io/ring.h>

struct ask {
    uint64_t id;
    uint32_t body[6];
};

struct answer {
    uint64_t id;
    int32_t status;
};

XIDS_RING_DEFINE(echo, struct ask, struct answer)
DEFINE_RING_TYPES(xen_echo, struct ask, struct answer);

static uint8_t page[4 * XIDS_PAGE_SIZE] __attribute__((aligned(XIDS_PAGE_SIZE)));

static void start(void)
{
    memset(page, 0xa5, sizeof(page));
}

static struct ask ask_of(uint64_t id)
{
    return (struct ask){.id = id, .body = {(uint32_t)id * 3u, 2, 3, 4, 5, (uint32_t)id}};
}

static struct echo_front front;
static struct echo_back back;

static void both(size_t bytes)
{
    start();
    ck_assert_int_eq(echo_front_init(&front, page, bytes), 0);
    ck_assert_int_eq(echo_back_init(&back, page, bytes), 0);
}

/* Puts both sides and the page at a free-running index, as after that many messages. */
static void both_at(uint32_t index)
{
    both(XIDS_PAGE_SIZE);
    struct xids_ring_shared *s = (struct xids_ring_shared *)page;
    s->req_prod = s->rsp_prod = index;
    s->req_event = s->rsp_event = index + 1;
    front.ring.out = front.ring.published = front.ring.in = front.ring.in_seen = index;
    back.ring.out = back.ring.published = back.ring.in = back.ring.in_seen = index;
}

static const size_t pages[] = {1, 2, 4};
static const uint32_t starts[] = {0, 1, 31, 0x7ffffff0u, 0xfffffff0u, 0xffffffffu};

START_TEST(slots_are_what_xens_macro_computes)
{
    size_t bytes = pages[_i] * XIDS_PAGE_SIZE;
    xen_echo_back_ring_t xb;
    BACK_RING_INIT(&xb, (xen_echo_sring_t *)page, bytes);
    ck_assert_uint_eq(xids_ring_slots(bytes, sizeof(union echo_slot)), xb.nr_ents);
}
END_TEST

START_TEST(slots_of_too_little_memory_are_none)
{
    struct echo_front f;
    ck_assert_uint_eq(xids_ring_slots(64, 1), 0);
    ck_assert_uint_eq(xids_ring_slots(0, 8), 0);
    ck_assert_uint_eq(xids_ring_slots(4096, 0), 0);
    ck_assert_uint_eq(xids_ring_slots(65, 1), 1);
    ck_assert_uint_eq(xids_ring_slots(66, 1), 2);
    ck_assert_uint_eq(xids_ring_slots(67, 1), 2);
    ck_assert_int_eq(echo_front_init(&f, page, 70), -XEN_EINVAL);
}
END_TEST

START_TEST(layout_is_the_one_of_ring_h)
{
    xen_echo_sring_t *s = (xen_echo_sring_t *)page;
    both(XIDS_PAGE_SIZE);
    ck_assert_ptr_eq((void *)front.ring.out_prod, (void *)&s->req_prod);
    ck_assert_ptr_eq((const void *)front.ring.out_event, (void *)&s->req_event);
    ck_assert_ptr_eq((const void *)front.ring.in_prod, (void *)&s->rsp_prod);
    ck_assert_ptr_eq((void *)front.ring.in_event, (void *)&s->rsp_event);
    ck_assert_ptr_eq((void *)xids_ring_slot(&front.ring, 5), (void *)&s->ring[5]);
}
END_TEST

START_TEST(front_init_asks_for_the_first_message_both_ways)
{
    both(XIDS_PAGE_SIZE);
    xen_echo_sring_t *s = (xen_echo_sring_t *)page;
    ck_assert_uint_eq(s->req_prod, 0);
    ck_assert_uint_eq(s->rsp_prod, 0);
    ck_assert_uint_eq(s->req_event, 1);
    ck_assert_uint_eq(s->rsp_event, 1);
}
END_TEST

START_TEST(messages_arrive_in_order_whatever_the_index)
{
    both_at(starts[_i]);
    uint64_t sent = 0, asked = 0, answered = 0;
    unsigned int rng = 7;
    while (answered < 5000) {
        rng = rng * 1103515245u + 12345u;
        for (unsigned int n = (rng >> 16) % 40; n > 0; n--) {
            struct ask a = ask_of(sent);
            int rc = echo_front_put(&front, &a);
            ck_assert_int_ge(rc, 0);
            sent += (uint64_t)rc;
        }
        ck_assert_int_ge(echo_front_push(&front), 0);
        struct ask a;
        int rc;
        while ((rc = echo_back_take(&back, &a)) == 1) {
            struct ask want = ask_of(asked++);
            ck_assert_mem_eq(&a, &want, sizeof(a));
            struct answer r = {.id = a.id, .status = (int32_t)a.id};
            ck_assert_int_eq(echo_back_put(&back, &r), 1);
            if ((rng >> 8) % 3 == 0)
                ck_assert_int_ge(echo_back_push(&back), 0);
        }
        ck_assert_int_eq(rc, 0);
        ck_assert_int_ge(echo_back_push(&back), 0);
        struct answer r;
        while ((rc = echo_front_take(&front, &r)) == 1)
            ck_assert_uint_eq(r.id, answered++);
        ck_assert_int_eq(rc, 0);
    }
    ck_assert_uint_eq(sent, answered);
}
END_TEST

START_TEST(a_full_ring_refuses_until_an_answer_is_taken)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(1);
    uint32_t n = 0;
    while (echo_front_put(&front, &a) == 1)
        n++;
    ck_assert_uint_eq(n, front.ring.size);
    ck_assert_uint_eq(echo_front_room(&front), 0);
    ck_assert_int_eq(echo_front_push(&front), 1);
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    struct answer r = {.id = 1};
    ck_assert_int_eq(echo_back_put(&back, &r), 1);
    ck_assert_int_eq(echo_back_push(&back), 1);
    ck_assert_int_eq(echo_front_put(&front, &a), 0);
    ck_assert_int_eq(echo_front_take(&front, &r), 1);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
}
END_TEST

START_TEST(back_cannot_answer_more_than_it_was_asked)
{
    both(XIDS_PAGE_SIZE);
    struct answer r = {.id = 1};
    ck_assert_uint_eq(echo_back_room(&back), 0);
    ck_assert_int_eq(echo_back_put(&back, &r), 0);
}
END_TEST

START_TEST(nothing_is_visible_before_push)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(9);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_back_take(&back, &a), 0);
    ck_assert_int_eq(echo_front_push(&front), 1);
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
}
END_TEST

START_TEST(push_without_news_does_not_notify)
{
    both(XIDS_PAGE_SIZE);
    ck_assert_int_eq(echo_front_push(&front), 0);
}
END_TEST

START_TEST(push_notifies_only_a_peer_that_armed)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(0);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_front_push(&front), 1);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_front_push(&front), 0); /* the back has not armed again */
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    ck_assert_int_eq(echo_back_arm(&back, 1), 0);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_front_push(&front), 1);
}
END_TEST

START_TEST(arm_sees_what_came_before_it)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(0);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_ge(echo_front_push(&front), 0);
    ck_assert_int_eq(echo_back_arm(&back, 1), 1);
}
END_TEST

START_TEST(arm_for_several_wakes_at_the_last)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(0);
    ck_assert_int_eq(echo_back_arm(&back, 3), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(echo_front_put(&front, &a), 1);
        ck_assert_int_eq(echo_front_push(&front), i == 2);
    }
}
END_TEST

START_TEST(arm_refuses_a_threshold_out_of_bounds)
{
    both(XIDS_PAGE_SIZE);
    ck_assert_int_eq(echo_back_arm(&back, 0), -XEN_EINVAL);
    ck_assert_int_eq(echo_back_arm(&back, back.ring.size + 1), -XEN_EINVAL);
    ck_assert_int_eq(echo_back_arm(&back, back.ring.size), 0);
}
END_TEST

/* ---- Xen's macros on the other side ---- */

START_TEST(our_front_talks_to_xens_back)
{
    both_at(starts[_i]);
    xen_echo_back_ring_t xb;
    BACK_RING_ATTACH(&xb, (xen_echo_sring_t *)page, starts[_i], XIDS_PAGE_SIZE);
    uint64_t sent = 0, seen = 0, answered = 0;
    int more;
    while (answered < 1000) {
        for (int i = 0; i < 7; i++) {
            struct ask a = ask_of(sent);
            sent += (uint64_t)echo_front_put(&front, &a);
        }
        int notify = echo_front_push(&front);
        ck_assert_int_eq(notify, seen == sent ? 0 : 1); /* Xen's side always slept with its final check done */
        while (RING_HAS_UNCONSUMED_REQUESTS(&xb)) {
            struct ask a, want = ask_of(seen++);
            RING_COPY_REQUEST(&xb, xb.req_cons, &a);
            xb.req_cons++;
            ck_assert_mem_eq(&a, &want, sizeof(a));
            struct answer r = {.id = a.id};
            *RING_GET_RESPONSE(&xb, xb.rsp_prod_pvt) = r;
            xb.rsp_prod_pvt++;
        }
        RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&xb, notify);
        ck_assert_int_eq(notify, 1);
        RING_FINAL_CHECK_FOR_REQUESTS(&xb, more);
        ck_assert_int_eq(more, 0);
        struct answer r;
        while (echo_front_take(&front, &r) == 1)
            ck_assert_uint_eq(r.id, answered++);
        ck_assert_int_eq(echo_front_arm(&front, 1), 0);
    }
}
END_TEST

START_TEST(our_back_talks_to_xens_front)
{
    both_at(starts[_i]);
    xen_echo_front_ring_t xf;
    FRONT_RING_ATTACH(&xf, (xen_echo_sring_t *)page, starts[_i], XIDS_PAGE_SIZE);
    uint64_t sent = 0, seen = 0, answered = 0;
    int notify, more;
    while (answered < 1000) {
        for (int i = 0; i < 9 && !RING_FULL(&xf); i++) {
            *RING_GET_REQUEST(&xf, xf.req_prod_pvt) = ask_of(sent++);
            xf.req_prod_pvt++;
        }
        RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&xf, notify);
        ck_assert_int_eq(notify, 1);
        struct ask a;
        while (echo_back_take(&back, &a) == 1) {
            struct ask want = ask_of(seen++);
            ck_assert_mem_eq(&a, &want, sizeof(a));
            struct answer r = {.id = a.id};
            ck_assert_int_eq(echo_back_put(&back, &r), 1);
        }
        ck_assert_int_eq(echo_back_arm(&back, 1), 0);
        ck_assert_int_eq(echo_back_push(&back), 1);
        while (RING_HAS_UNCONSUMED_RESPONSES(&xf)) {
            struct answer r;
            RING_COPY_RESPONSE(&xf, xf.rsp_cons, &r);
            xf.rsp_cons++;
            ck_assert_uint_eq(r.id, answered++);
        }
        RING_FINAL_CHECK_FOR_RESPONSES(&xf, more);
        ck_assert_int_eq(more, 0);
    }
}
END_TEST

/* ---- a peer that lies ---- */

static struct xids_ring_shared *shared(void)
{
    return (struct xids_ring_shared *)page;
}

START_TEST(more_requests_than_slots_break_the_back)
{
    both_at(starts[_i]);
    struct ask a;
    shared()->req_prod = starts[_i] + back.ring.size + 1;
    ck_assert_int_eq(echo_back_take(&back, &a), -XEN_EBADMSG);
    shared()->req_prod = starts[_i] + 1; /* too late to be honest */
    ck_assert_int_eq(echo_back_take(&back, &a), -XEN_EBADMSG);
    ck_assert_int_eq(echo_back_push(&back), -XEN_EBADMSG);
    ck_assert_int_eq(echo_back_arm(&back, 1), -XEN_EBADMSG);
}
END_TEST

START_TEST(exactly_as_many_requests_as_slots_are_fine)
{
    both_at(starts[_i]);
    shared()->req_prod = starts[_i] + back.ring.size;
    ck_assert_int_eq(xids_ring_look(&back.ring), (int)back.ring.size);
}
END_TEST

START_TEST(unanswered_requests_count_against_the_slots)
{
    both(XIDS_PAGE_SIZE);
    struct ask a;
    shared()->req_prod = 2;
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    shared()->req_prod = back.ring.size + 1; /* would overwrite slots whose answers are not out */
    ck_assert_int_eq(echo_back_take(&back, &a), -XEN_EBADMSG);
}
END_TEST

START_TEST(request_index_going_back_breaks_the_back)
{
    both(XIDS_PAGE_SIZE);
    struct ask a;
    shared()->req_prod = 5;
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    shared()->req_prod = 4;
    ck_assert_int_eq(xids_ring_look(&back.ring), -XEN_EBADMSG);
}
END_TEST

START_TEST(answers_to_questions_never_asked_break_the_front)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(0);
    struct answer r;
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_front_push(&front), 1);
    shared()->rsp_prod = 2;
    ck_assert_int_eq(echo_front_take(&front, &r), -XEN_EBADMSG);
    ck_assert_int_eq(echo_front_put(&front, &a), -XEN_EBADMSG);
}
END_TEST

START_TEST(answers_before_push_break_the_front)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(0);
    struct answer r;
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    shared()->rsp_prod = 1;
    ck_assert_int_eq(echo_front_take(&front, &r), -XEN_EBADMSG);
}
END_TEST

START_TEST(rewriting_our_own_indices_changes_nothing)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(3);
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_front_push(&front), 1);
    shared()->req_prod = 0xdeadbeef;
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_ge(echo_front_push(&front), 0);
    ck_assert_uint_eq(shared()->req_prod, 2);
}
END_TEST

START_TEST(any_event_index_only_costs_or_spares_a_notification)
{
    both(XIDS_PAGE_SIZE);
    for (uint32_t i = 0; i < 4096; i++) {
        struct ask a = ask_of(i), got;
        struct answer r = {.id = i};
        shared()->req_event = i * 0x9e3779b9u;
        shared()->rsp_event = ~shared()->req_event;
        ck_assert_int_eq(echo_front_put(&front, &a), 1);
        int rc = echo_front_push(&front);
        ck_assert(rc == 0 || rc == 1);
        ck_assert_int_eq(echo_back_take(&back, &got), 1);
        ck_assert_int_eq(echo_back_put(&back, &r), 1);
        ck_assert_int_ge(echo_back_push(&back), 0);
        ck_assert_int_eq(echo_front_take(&front, &r), 1);
    }
}
END_TEST

START_TEST(a_taken_message_does_not_change_any_more)
{
    both(XIDS_PAGE_SIZE);
    struct ask a = ask_of(77), got;
    ck_assert_int_eq(echo_front_put(&front, &a), 1);
    ck_assert_int_eq(echo_front_push(&front), 1);
    ck_assert_int_eq(echo_back_take(&back, &got), 1);
    memset(page + 64, 0xff, XIDS_PAGE_SIZE - 64);
    ck_assert_mem_eq(&a, &got, sizeof(a));
}
END_TEST

/* Random shared words between any two steps: results stay in range and memory stays ours. */
START_TEST(random_lies_never_get_past_the_checks)
{
    unsigned int rng = (unsigned int)_i + 1;
    for (int world = 0; world < 200; world++) {
        both(XIDS_PAGE_SIZE);
        uint32_t taken = 0;
        for (int step = 0; step < 200; step++) {
            rng = rng * 1103515245u + 12345u;
            uint32_t lie = (rng >> 3) % 4 == 0 ? rng : (rng >> 8) % 70;
            struct ask a;
            switch ((rng >> 16) % 4) {
            case 0:
                shared()->req_prod = lie;
                break;
            case 1:
                shared()->rsp_event = lie;
                break;
            default: {
                int rc = echo_back_take(&back, &a);
                ck_assert(rc == 0 || rc == 1 || rc == -XEN_EBADMSG);
                if (rc == 1) {
                    taken++;
                    struct answer r = {.id = 1};
                    ck_assert_int_eq(echo_back_put(&back, &r), 1);
                    ck_assert_int_ge(echo_back_push(&back), 0);
                }
            }
            }
        }
        ck_assert_uint_le(taken, 200);
    }
}
END_TEST

/* ---- a restarted backend ---- */

START_TEST(a_restarted_back_takes_unanswered_requests_again)
{
    both_at(starts[_i]);
    for (uint64_t i = 0; i < 4; i++) {
        struct ask a = ask_of(i);
        ck_assert_int_eq(echo_front_put(&front, &a), 1);
    }
    ck_assert_int_ge(echo_front_push(&front), 0);
    struct ask a;
    ck_assert_int_eq(echo_back_take(&back, &a), 1);
    struct answer r = {.id = a.id};
    ck_assert_int_eq(echo_back_put(&back, &r), 1);
    ck_assert_int_ge(echo_back_push(&back), 0);
    ck_assert_int_eq(echo_back_take(&back, &a), 1); /* taken, not answered, and now the backend dies */
    struct xids_ring again;
    ck_assert_int_eq(xids_ring_attach_back_in_use(&again, page, XIDS_PAGE_SIZE, sizeof(union echo_slot)), 0);
    ck_assert_int_eq(xids_ring_take(&again, &a, sizeof(a)), 1);
    ck_assert_uint_eq(a.id, 1);
    ck_assert_int_eq(xids_ring_look(&again), 2);
}
END_TEST

START_TEST(a_restarted_back_refuses_impossible_indices)
{
    both(XIDS_PAGE_SIZE);
    struct xids_ring again;
    shared()->rsp_prod = 5;
    shared()->req_prod = 4;
    ck_assert_int_eq(xids_ring_attach_back_in_use(&again, page, XIDS_PAGE_SIZE, sizeof(union echo_slot)), -XEN_EBADMSG);
}
END_TEST

Suite *xids_suite(void)
{
    const int n_starts = (int)(sizeof(starts) / sizeof(starts[0]));
    Suite *s = suite_create("ring");
    TCase *t = tcase_create("layout");
    tcase_add_loop_test(t, slots_are_what_xens_macro_computes, 0, 3);
    tcase_add_test(t, slots_of_too_little_memory_are_none);
    tcase_add_test(t, layout_is_the_one_of_ring_h);
    tcase_add_test(t, front_init_asks_for_the_first_message_both_ways);
    suite_add_tcase(s, t);
    t = tcase_create("messages");
    tcase_add_loop_test(t, messages_arrive_in_order_whatever_the_index, 0, n_starts);
    tcase_add_test(t, a_full_ring_refuses_until_an_answer_is_taken);
    tcase_add_test(t, back_cannot_answer_more_than_it_was_asked);
    tcase_add_test(t, nothing_is_visible_before_push);
    suite_add_tcase(s, t);
    t = tcase_create("notification");
    tcase_add_test(t, push_without_news_does_not_notify);
    tcase_add_test(t, push_notifies_only_a_peer_that_armed);
    tcase_add_test(t, arm_sees_what_came_before_it);
    tcase_add_test(t, arm_for_several_wakes_at_the_last);
    tcase_add_test(t, arm_refuses_a_threshold_out_of_bounds);
    suite_add_tcase(s, t);
    t = tcase_create("xens-macros");
    tcase_add_loop_test(t, our_front_talks_to_xens_back, 0, n_starts);
    tcase_add_loop_test(t, our_back_talks_to_xens_front, 0, n_starts);
    suite_add_tcase(s, t);
    t = tcase_create("hostile-peer");
    tcase_add_loop_test(t, more_requests_than_slots_break_the_back, 0, n_starts);
    tcase_add_loop_test(t, exactly_as_many_requests_as_slots_are_fine, 0, n_starts);
    tcase_add_test(t, unanswered_requests_count_against_the_slots);
    tcase_add_test(t, request_index_going_back_breaks_the_back);
    tcase_add_test(t, answers_to_questions_never_asked_break_the_front);
    tcase_add_test(t, answers_before_push_break_the_front);
    tcase_add_test(t, rewriting_our_own_indices_changes_nothing);
    tcase_add_test(t, any_event_index_only_costs_or_spares_a_notification);
    tcase_add_test(t, a_taken_message_does_not_change_any_more);
    tcase_add_loop_test(t, random_lies_never_get_past_the_checks, 0, 4);
    suite_add_tcase(s, t);
    t = tcase_create("restart");
    tcase_add_loop_test(t, a_restarted_back_takes_unanswered_requests_again, 0, n_starts);
    tcase_add_test(t, a_restarted_back_refuses_impossible_indices);
    suite_add_tcase(s, t);
    return s;
}
