/* SPDX-License-Identifier: ISC */
/* Guests that say anything, to the daemon's order of service: what is wrong ends them, and nobody else notices. */
#include "tests/unit/randomd_served.h"

static struct served w;

/* ---- every field of every message ---- */

static const uint64_t values[] = {
    0,      1,      2,    3,    15,         16,          0x7f,        0x80,       0xff,           0x7fff,
    0x8000, 0xffff, 1024, 1025, 0x7fffffff, 0x80000000u, 0xffffffffu, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};

#define VALUES (sizeof(values) / sizeof(values[0]))

/* What must become of a session that was OPEN: 0 it goes on, 1 it is over, -XEN_EBADMSG. As the specification says. */
static int judge(const uint8_t *m, size_t len)
{
    struct randomd_header h = get_header(m);
    size_t want = h.type == 1 ? 72 : h.type == 2 ? 24 : h.type == 3 ? 16 : 0;
    if (want == 0 || h.len != want || h.epoch != 0 || (h.type == 3 && h.id != 0))
        return -XEN_EBADMSG;
    ck_assert_uint_eq(want, len);
    if (h.type == 3)
        return 1;
    if (h.type == 2)
        return get32(m + 20) != 0 ? -XEN_EBADMSG : 0;
    if (get16(m + 16) > get16(m + 18) || get32(m + 20) != 0)
        return -XEN_EBADMSG;
    return get16(m + 16) > 2 || get16(m + 18) < 2 ? 1 : 0;
}

static size_t make(uint8_t *m, int type)
{
    switch (type) {
    case XIDS_RANDOMD_HELLO:
        return make_hello(m, 5, 0x40, 0xa0);
    case XIDS_RANDOMD_GET:
        return make_get(m, 5, 48);
    default:
        return make_client_bye(m);
    }
}

static void says_and_is_judged(const uint8_t *m, size_t len)
{
    struct served_guest *g = &w.guests[HOSTILE];
    int fate = judge(m, len);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    ck_assert_uint_eq(served_say(&w, HOSTILE, m, len), len);
    served_turns(&w);
    ck_assert_int_eq(g->ended, fate == 1 ? -XEN_ENOTCONN : fate);
    if (fate == 0) {
        served_hear(&w, HOSTILE);
        ck_assert_uint_ge(g->heard_len, XIDS_RANDOMD_HEADER + 1);
        ck_assert_uint_eq(get_header(g->heard).id, get32(m + 4));
    }
    served_close(&w, HOSTILE);
    served_victim_asks(&w);
    xids_model_advance(w.m, MS);
}

START_TEST(each_value_in_each_field_is_judged_and_harms_nobody)
{
    uint8_t m[HELLO_LEN];
    served_begin(&w, 2, 0, 0);
    size_t len = make(m, _i);
    for (size_t width = 1; width <= 8; width *= 2)
        for (size_t at = 0; at + width <= len; at += width)
            for (size_t v = 0; v < VALUES; v++) {
                (void)make(m, _i);
                for (size_t k = 0; k < width; k++)
                    m[at + k] = (uint8_t)(values[v] >> 8 * k);
                says_and_is_judged(m, len);
            }
    served_end(&w);
}
END_TEST

/* ---- when it comes in pieces, and ends anywhere ---- */

static size_t conversation(uint8_t *m)
{
    size_t len = make_hello(m, 1, 0x40, 0xa0);
    len += make_get(m + len, 2, 48);
    len += make_get(m + len, 3, 1024);
    len += make_get(m + len, 4, 1);
    return len + make_client_bye(m + len);
}

#define CONVERSATION (HELLO_LEN + 3 * GET_LEN + CLIENT_BYE_LEN)
#define ANSWERS (WELCOME_LEN + 64 + 1040 + 17)

static void say_and_hear(const uint8_t *m, size_t len)
{
    ck_assert_uint_eq(served_say(&w, HOSTILE, m, len), len);
    for (unsigned int i = 0; i < 4; i++) {
        served_turns(&w);
        served_hear(&w, HOSTILE);
    }
}

START_TEST(split_anywhere_it_is_answered_alike)
{
    uint8_t m[CONVERSATION];
    struct served_guest *g = &w.guests[HOSTILE];
    ck_assert_uint_eq(conversation(m), CONVERSATION);
    served_begin(&w, 2, 0, 0);
    for (size_t at = 0; at <= CONVERSATION; at++) {
        served_open(&w, HOSTILE);
        say_and_hear(m, at);
        served_victim_asks(&w);
        say_and_hear(m + at, CONVERSATION - at);
        ck_assert_uint_eq(g->heard_len, ANSWERS);
        ck_assert_int_eq(g->ended, -XEN_ENOTCONN);
        served_close(&w, HOSTILE);
        xids_model_advance(w.m, MS);
    }
    served_end(&w);
}
END_TEST

START_TEST(byte_for_byte_with_an_event_each_it_is_answered_alike)
{
    uint8_t m[CONVERSATION];
    struct served_guest *g = &w.guests[HOSTILE];
    ck_assert_uint_eq(conversation(m), CONVERSATION);
    served_begin(&w, 2, 0, 0);
    served_open(&w, HOSTILE);
    for (size_t at = 0; at < CONVERSATION; at++) {
        served_event(&w, HOSTILE);
        say_and_hear(m + at, 1);
    }
    ck_assert_uint_eq(g->heard_len, ANSWERS);
    ck_assert_int_eq(g->ended, -XEN_ENOTCONN);
    served_end(&w);
}
END_TEST

START_TEST(closed_anywhere_it_leaves_nothing)
{
    uint8_t m[CONVERSATION];
    ck_assert_uint_eq(conversation(m), CONVERSATION);
    served_begin(&w, 2, 0, 0);
    for (size_t at = 0; at <= 2 * CONVERSATION; at++) {
        struct served_guest *g = &w.guests[HOSTILE];
        served_open(&w, HOSTILE);
        ck_assert_uint_eq(served_say(&w, HOSTILE, m, at / 2), at / 2);
        /* It was looked at before, or not. */
        if (at % 2 == 0)
            served_turns(&w);
        xids_vchan_fini(g->ch);
        free(g->ch);
        g->ch = NULL;
        served_turns(&w);
        ck_assert_int_eq(g->ended, -XEN_ENOTCONN);
        served_victim_asks(&w);
        xids_model_advance(w.m, MS);
    }
    served_end(&w);
}
END_TEST

/* ---- the page ---- */

struct page {
    uint8_t XIDS_PEER *at;
    const struct xids_platform *platform;
};

static void page_open(struct page *p)
{
    const struct served_guest *g = &w.guests[HOSTILE];
    grant_ref_t ref = xids_vchan_ring_ref(g->guest.ch);
    void XIDS_PEER *area = NULL;
    p->platform = g->platform;
    ck_assert_int_eq(p->platform->ops->map(p->platform->ctx, &area, &ref, 0, 1, 0, NULL), 0);
    p->at = (uint8_t XIDS_PEER *)area;
}

static void page_close(struct page *p)
{
    ck_assert_int_eq(p->platform->ops->unmap(p->platform->ctx, p->at, 1), 0);
}

static void scribble(size_t at, size_t width, uint64_t value)
{
    uint8_t bytes[8];
    struct page p;
    put64(bytes, value);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    page_open(&p);
    xids_peer_put(p.at + at, bytes, width);
    served_event(&w, HOSTILE);
    served_turns(&w);
    served_victim_asks(&w);
    page_close(&p);
    served_close(&w, HOSTILE);
    xids_model_advance(w.m, MS);
}

START_TEST(whatever_stands_in_the_page_harms_nobody)
{
    static const uint64_t words[] = {0, 1, 1024, 2049, 0x7fffffff, 0x80000000u, 0xffffffffu};
    served_begin(&w, 2, 0, 0);
    for (size_t at = 0; at < 1024; at += 4)
        for (size_t v = 0; v < sizeof(words) / sizeof(words[0]); v++)
            scribble(at, 4, words[v]);
    for (size_t at = 16; at < 24; at++)
        for (unsigned int v = 0; v < 256; v += at < 20 ? 15 : 1)
            scribble(at, 1, v);
    served_end(&w);
}
END_TEST

/* What the guest says it has written, and read, beyond what is true; where, docs/spec/vchan.md tells. */
enum {
    PLAIN_WRITTEN = 4,
    PLAIN_READ = 8,
    EXTENDED_WRITTEN = 768 + 128,
    EXTENDED_READ = EXTENDED_WRITTEN + 4,
};
static const struct lie {
    size_t at;
    uint32_t beyond;
} lies[] = {
    {PLAIN_WRITTEN, 1025},
    {PLAIN_WRITTEN, 65536},
    {PLAIN_WRITTEN, 1u << 31},
    {PLAIN_WRITTEN, UINT32_MAX},
    {PLAIN_READ, 1},
    {PLAIN_READ, 2049},
    {PLAIN_READ, 1u << 31},
    {PLAIN_READ, UINT32_MAX - 4095},
    {EXTENDED_WRITTEN, 1025},
    {EXTENDED_WRITTEN, 65536},
    {EXTENDED_WRITTEN, 1u << 31},
    {EXTENDED_WRITTEN, UINT32_MAX},
    {EXTENDED_READ, 1},
    {EXTENDED_READ, 2049},
    {EXTENDED_READ, 1u << 31},
    {EXTENDED_READ, UINT32_MAX - 4095},
};

START_TEST(ring_indices_that_cannot_be_end_the_session)
{
    struct page p;
    uint8_t bytes[4];
    struct served_guest *g = &w.guests[HOSTILE];
    served_begin(&w, 2, 0, 0);
    w.flags = lies[_i].at <= PLAIN_READ ? XIDS_VCHAN_PLAIN : 0;
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    page_open(&p);
    xids_peer_get(bytes, p.at + lies[_i].at, 4);
    put32(bytes, get32(bytes) + lies[_i].beyond);
    xids_peer_put(p.at + lies[_i].at, bytes, 4);
    served_event(&w, HOSTILE);
    served_turns(&w);
    ck_assert_int_eq(g->ended, -XEN_EBADMSG);
    page_close(&p);
    served_victim_asks(&w);
    served_close(&w, HOSTILE);
    served_end(&w);
}
END_TEST

/* ---- floods ---- */

#define FLOOD_MS 2000u
#define FLOOD_RATE 200000u
#define FLOOD_BURST 400000u
#define FLOOD_SHARE (FLOOD_BURST + (uint64_t)FLOOD_RATE * FLOOD_MS / 1000u + COST_OPENING)

static size_t flood_message(uint8_t *m, int kind)
{
    switch (kind) {
    case 0:
        return make_hello(m, 5, 0x40, 0xa0);
    case 1:
        return make_get(m, 5, 1024);
    case 2:
        return make_get(m, 5, 1);
    case 3:
        return make_get(m, 5, 0);
    default:
        return 0;
    }
}

/* As many messages as go into the ring in each millisecond, with events, and all answers read. */
START_TEST(a_flood_is_bounded_and_the_victim_served_at_once)
{
    uint8_t m[HELLO_LEN];
    struct served_guest *g = &w.guests[HOSTILE];
    struct xids_randomd_session_stats stats;
    uint64_t asked = 0, before;
    served_begin(&w, 2, FLOOD_RATE, FLOOD_BURST);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    before = w.d->count.events;
    size_t len = flood_message(m, _i);
    for (unsigned int ms = 0; ms < FLOOD_MS; ms++) {
        for (unsigned int i = 0; i < 40; i++) {
            if (len > 0 && xids_vchan_writable(g->ch) >= (int)len)
                (void)served_say(&w, HOSTILE, m, len);
            served_event(&w, HOSTILE);
            if (i % 8 == 0) {
                serve_turn(w.d);
                served_hear(&w, HOSTILE);
                g->heard_len = 0;
            }
        }
        if (ms % 50 == 0) {
            served_victim_asks(&w);
            asked++;
        }
        served_turns(&w);
        xids_model_advance(w.m, MS);
    }
    ck_assert_int_eq(g->ended, 0);
    xids_randomd_session_stats(g->guest.session, &stats);
    /* One more event and one more request for each time that it was held. */
    uint64_t holds = w.d->fair.holds, events = w.d->count.events - before - asked;
    ck_assert_uint_gt(holds, 0);
    ck_assert_uint_le(holds, 16 * FLOOD_MS / 1000 + 2);
    ck_assert_uint_le(events, FLOOD_SHARE / COST_EVENT + holds);
    ck_assert_uint_le(w.d->count.events_held, holds * 2);
    ck_assert_uint_le(stats.hellos, FLOOD_SHARE / XIDS_RANDOMD_COST_HELLO + holds);
    ck_assert_uint_le(stats.bytes, FLOOD_SHARE + holds * 1024);
    ck_assert_uint_le(stats.gets, FLOOD_SHARE / XIDS_RANDOMD_COST_REQUEST + holds);
    served_end(&w);
}
END_TEST

/* Sends events until it is held. */
static void until_held(unsigned int i)
{
    for (unsigned int n = 0; xids_fair_wait(&w.guests[i].guest.share, now_ns()) == 0; n++) {
        ck_assert_uint_lt(n, 100000);
        served_event(&w, i);
        serve_turn(w.d);
    }
}

START_TEST(who_is_held_makes_the_daemon_do_nothing)
{
    served_begin(&w, 2, FLOOD_RATE, FLOOD_BURST);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    until_held(HOSTILE);
    uint64_t events = w.d->count.events, unmasked = xids_model_calls(w.m, XIDS_MODEL_EVTCHN_UNMASK);
    for (unsigned int i = 0; i < 1000; i++) {
        served_event(&w, HOSTILE);
        serve_turn(w.d);
    }
    ck_assert_uint_eq(w.d->count.events, events);
    ck_assert_uint_eq(xids_model_calls(w.m, XIDS_MODEL_EVTCHN_UNMASK), unmasked);
    ck_assert(!serve_waiting(w.d));
    /* Then it is heard again. */
    ck_assert_uint_ne(serve_due(w.d), UINT64_MAX);
    xids_model_advance(w.m, serve_due(w.d) - now_ns());
    served_turns(&w);
    ck_assert_uint_gt(w.d->count.events, events);
    served_end(&w);
}
END_TEST

START_TEST(what_was_asked_while_held_is_answered_after)
{
    uint8_t m[GET_LEN];
    struct served_guest *g = &w.guests[HOSTILE];
    served_begin(&w, 2, FLOOD_RATE, FLOOD_BURST);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    until_held(HOSTILE);
    ck_assert_uint_eq(served_say(&w, HOSTILE, m, make_get(m, 9, 48)), GET_LEN);
    served_turns(&w);
    served_hear(&w, HOSTILE);
    ck_assert_uint_eq(g->heard_len, 0);
    xids_model_advance(w.m, serve_due(w.d) - now_ns());
    served_turns(&w);
    served_hear(&w, HOSTILE);
    ck_assert_uint_eq(g->heard_len, 64);
    served_end(&w);
}
END_TEST

START_TEST(who_will_be_held_for_long_is_told_so)
{
    uint8_t m[GET_LEN];
    struct served_guest *g = &w.guests[HOSTILE];
    served_begin(&w, 2, RATE_MIN, BURST_MIN);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    /* Two HELLOs more than the share, so that it takes some seconds. */
    uint8_t hello[HELLO_LEN];
    for (unsigned int i = 0; i < 10 && xids_fair_wait(&g->guest.share, now_ns()) == 0; i++) {
        (void)served_say(&w, HOSTILE, hello, make_hello(hello, 5, 1, 1));
        served_turns(&w);
        served_hear(&w, HOSTILE);
    }
    uint64_t wait = xids_fair_wait(&g->guest.share, now_ns());
    ck_assert_uint_gt(wait, BUSY_AFTER_MS * MS);
    g->heard_len = 0;
    ck_assert_uint_eq(served_say(&w, HOSTILE, m, make_get(m, 9, 48)), GET_LEN);
    served_turns(&w);
    served_hear(&w, HOSTILE);
    ck_assert_uint_eq(g->heard_len, ERR_LEN);
    ck_assert_uint_eq(get_header(g->heard).id, 9);
    ck_assert_uint_eq(get32(g->heard + 16), XIDS_RANDOMD_CODE_BUSY);
    uint32_t retry_ms = get32(g->heard + 20);
    ck_assert_uint_ge(retry_ms, wait / MS);
    ck_assert_uint_le(retry_ms, wait / MS + 1);
    /* Asking on brings some more answers, and then none. */
    for (unsigned int i = 0; i < 20; i++) {
        (void)served_say(&w, HOSTILE, m, make_get(m, 9, 48));
        served_event(&w, HOSTILE);
        served_turns(&w);
        served_hear(&w, HOSTILE);
    }
    ck_assert_uint_le(g->heard_len, (1 + BUSY_TRIES * BUSY_TRIES) * ERR_LEN);
    g->heard_len = 0;
    /* At the time that was said there are bytes. */
    xids_model_advance(w.m, retry_ms * MS + 3 * MS);
    served_turns(&w);
    served_hear(&w, HOSTILE);
    ck_assert_uint_ge(g->heard_len, 16);
    ck_assert_uint_eq(get_header(g->heard).type, XIDS_RANDOMD_DATA);
    served_end(&w);
}
END_TEST

START_TEST(a_new_channel_has_its_seed_however_greedy_the_guest_was)
{
    uint8_t m[GET_LEN];
    struct served_guest *g = &w.guests[HOSTILE];
    served_begin(&w, 2, RATE_MIN, BURST_MIN);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    until_held(HOSTILE);
    served_close(&w, HOSTILE);
    served_open(&w, HOSTILE);
    served_hello(&w, HOSTILE);
    ck_assert_uint_eq(served_say(&w, HOSTILE, m, make_get(m, 9, 48)), GET_LEN);
    served_turns(&w);
    served_hear(&w, HOSTILE);
    ck_assert_uint_eq(g->heard_len, 64);
    /* And is held again, with what it owed. */
    until_held(HOSTILE);
    ck_assert_uint_gt(xids_fair_wait(&g->guest.share, now_ns()), 0);
    served_end(&w);
}
END_TEST

/* All hogs have an event, and fill their ring again. */
static void all_hogs_ask(void)
{
    uint8_t m[42 * GET_LEN];
    for (size_t i = 0; i < 42; i++)
        make_get(m + i * GET_LEN, (uint32_t)i, 900); /* two answers fill the ring */
    for (unsigned int i = 1; i < SERVED_MAX; i++) {
        (void)served_say(&w, i, m, (size_t)xids_vchan_writable(w.guests[i].ch) / GET_LEN * GET_LEN);
        served_event(&w, i);
        served_hear(&w, i);
        w.guests[i].heard_len = 0;
    }
}

START_TEST(the_victim_is_served_before_a_hundred_hogs)
{
    served_begin(&w, SERVED_MAX, RATE_DEFAULT, BURST_DEFAULT);
    for (unsigned int i = 1; i < SERVED_MAX; i++) {
        served_open(&w, i);
        served_hello(&w, i);
    }
    /* Until it can be known who is one; nobody is over its share by then. */
    for (unsigned int ms = 0; ms < 200; ms++) {
        all_hogs_ask();
        served_turns(&w);
        xids_model_advance(w.m, MS);
    }
    for (unsigned int ms = 0; ms < 50; ms++) {
        all_hogs_ask();
        /* All of them are waiting when it comes; and it may come at any moment of a turn. */
        uint64_t looks = w.looks;
        serve_turn(w.d);
        ck_assert(serve_waiting(w.d));
        ck_assert_uint_ge(w.looks - looks, COST_AT_ONCE / (2 * COST_UNSEEN));
        served_victim_asks(&w);
        xids_model_advance(w.m, MS);
    }
    ck_assert_uint_eq(w.d->fair.holds, 0);
    served_end(&w);
}
END_TEST

START_TEST(no_guest_uses_up_the_lines_of_the_log)
{
    served_begin(&w, 2, 0, 0);
    xids_model_advance(w.m, (LOG_PERIOD_MS + 1) * MS);
    for (unsigned int round = 0; round < 3; round++) {
        for (unsigned int i = 0; i < 1000; i++)
            ck_assert(log_allows(7) == (i < LOG_EACH));
        for (domid_t other = 8; other < 8 + LOG_BURST / LOG_EACH - 1; other++)
            for (unsigned int i = 0; i < LOG_EACH; i++)
                ck_assert(log_allows(other));
        xids_model_advance(w.m, (LOG_PERIOD_MS + 1) * MS);
    }
    served_end(&w);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_hostile");
    TCase *t = tcase_create("fields");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, each_value_in_each_field_is_judged_and_harms_nobody, 1, 4);
    tcase_add_test(t, split_anywhere_it_is_answered_alike);
    tcase_add_test(t, byte_for_byte_with_an_event_each_it_is_answered_alike);
    tcase_add_test(t, closed_anywhere_it_leaves_nothing);
    suite_add_tcase(s, t);
    t = tcase_create("page");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, whatever_stands_in_the_page_harms_nobody);
    tcase_add_loop_test(t, ring_indices_that_cannot_be_end_the_session, 0, (int)(sizeof(lies) / sizeof(lies[0])));
    suite_add_tcase(s, t);
    t = tcase_create("floods");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_flood_is_bounded_and_the_victim_served_at_once, 0, 5);
    tcase_add_test(t, who_is_held_makes_the_daemon_do_nothing);
    tcase_add_test(t, what_was_asked_while_held_is_answered_after);
    tcase_add_test(t, who_will_be_held_for_long_is_told_so);
    tcase_add_test(t, a_new_channel_has_its_seed_however_greedy_the_guest_was);
    tcase_add_test(t, no_guest_uses_up_the_lines_of_the_log);
    tcase_add_test(t, the_victim_is_served_before_a_hundred_hogs);
    suite_add_tcase(s, t);
    return s;
}
