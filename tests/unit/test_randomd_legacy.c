/* SPDX-License-Identifier: ISC */
/* The server's end of the console protocol, with honest guests, servers that die, and hostile guests. */
#include "tests/unit/randomd_wire.h"

#include <xen/io/console.h>
#include <xids/randomd_legacy.h>

#define GREETING XIDS_RANDOMD_LEGACY_GREETING
#define RESPONSE XIDS_RANDOMD_LEGACY_RESPONSE
#define GREETING_LEN 33u
#define RESPONSE_LEN 61u
#define AHEAD XIDS_RANDOMD_LEGACY_AHEAD
#define GUARD 4096u

static const char greeting[] = GREETING;

/* The page lies between two others, which nobody may touch. */
struct fixture {
    struct source source;
    struct xids_randomd_legacy *l;
    void *mem;
    uint8_t *area;
    struct xencons_interface *page;
    uint64_t now;
};

static void make_engine(struct fixture *f, const char *who)
{
    const struct xids_randomd_session_config config = {.source = source_get,
                                                       .source_ctx = &f->source,
                                                       .who = who,
                                                       .who_len = strlen(who),
                                                       .reseed_bytes = 1024,
                                                       .reseed_ns = 60 * S};
    f->mem = malloc(xids_randomd_legacy_size());
    ck_assert_int_eq(xids_randomd_legacy_init(&f->l, f->mem, xids_randomd_legacy_size(), &config), 0);
}

/* Not attached. */
static void begin_as(struct fixture *f, const char *who, struct source source)
{
    memset(f, 0, sizeof(*f));
    f->source = source;
    f->now = 5 * S;
    f->area = calloc(3, GUARD);
    memset(f->area, 0x77, GUARD);
    memset(f->area + 2 * GUARD, 0x77, GUARD);
    f->page = (struct xencons_interface *)(void *)(f->area + GUARD);
    make_engine(f, who);
}

static void begin(struct fixture *f)
{
    begin_as(f, "guest 1", (struct source){0});
    ck_assert_int_eq(xids_randomd_legacy_attach(f->l, f->page), 0);
}

static void end(struct fixture *f)
{
    for (unsigned int i = 0; i < GUARD; i++)
        ck_assert(f->area[i] == 0x77 && f->area[2 * GUARD + i] == 0x77);
    xids_randomd_legacy_fini(f->l);
    free(f->mem);
    free(f->area);
}

/* The server dies where it stands, and another one comes. */
static void killed(struct fixture *f)
{
    free(f->mem);
    make_engine(f, "guest 1 again");
    ck_assert_int_eq(xids_randomd_legacy_attach(f->l, f->page), 0);
}

static int serve(struct fixture *f)
{
    return xids_randomd_legacy_serve(f->l, f->now);
}

/* ---- the guest's side ---- */

static void say(struct fixture *f, const void *text, size_t len)
{
    const char *from = text;
    for (size_t i = 0; i < len; i++) {
        f->page->out[f->page->out_prod % sizeof(f->page->out)] = from[i];
        f->page->out_prod++;
    }
}

static uint32_t unread(const struct fixture *f)
{
    return f->page->in_prod - f->page->in_cons;
}

static void take(struct fixture *f, void *to, uint32_t len)
{
    char *at = to;
    ck_assert_uint_le(len, unread(f));
    for (uint32_t i = 0; i < len; i++, f->page->in_cons++)
        at[i] = f->page->in[f->page->in_cons % sizeof(f->page->in)];
}

static void take_response(struct fixture *f)
{
    char got[RESPONSE_LEN];
    take(f, got, RESPONSE_LEN);
    ck_assert_mem_eq(got, RESPONSE, RESPONSE_LEN);
}

static void greet(struct fixture *f)
{
    say(f, GREETING, GREETING_LEN);
    ck_assert_int_eq(serve(f), 1);
    take_response(f);
}

/* Takes len bytes of the stream, as they come. */
static void pull(struct fixture *f, uint8_t *to, size_t len)
{
    while (len > 0) {
        ck_assert_int_ge(serve(f), 0);
        uint32_t n = unread(f) < len ? unread(f) : (uint32_t)len;
        ck_assert_uint_gt(n, 0);
        take(f, to, n);
        to += n;
        len -= n;
    }
}

/* ---- making ---- */

START_TEST(memory_that_does_not_do_is_refused)
{
    struct source source = {0};
    struct xids_randomd_legacy *l;
    size_t size = xids_randomd_legacy_size();
    uint8_t *mem = malloc(size + 8);
    struct xids_randomd_session_config config = {.source = source_get, .source_ctx = &source};
    ck_assert_int_eq(xids_randomd_legacy_init(&l, mem, size - 1, &config), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_legacy_init(&l, mem + 1, size, &config), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_legacy_init(&l, NULL, size, &config), -XEN_EINVAL);
    config.source = NULL;
    ck_assert_int_eq(xids_randomd_legacy_init(&l, mem, size, &config), -XEN_EINVAL);
    free(mem);
}
END_TEST

START_TEST(fini_leaves_only_zeros)
{
    struct fixture f;
    begin(&f);
    greet(&f);
    xids_randomd_legacy_fini(f.l);
    uint8_t *mem = f.mem;
    for (size_t i = 0; i < xids_randomd_legacy_size(); i++)
        ck_assert_uint_eq(mem[i], 0);
    make_engine(&f, "");
    free(mem);
    end(&f);
    xids_randomd_legacy_fini(NULL);
}
END_TEST

START_TEST(without_a_page_nothing_is_served)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){0});
    ck_assert_int_eq(serve(&f), -XEN_ENOTCONN);
    xids_randomd_legacy_detach(f.l, true);
    ck_assert(!xids_randomd_legacy_greeted(f.l));
    end(&f);
}
END_TEST

/* ---- greeting and response ---- */

START_TEST(the_texts_have_their_lengths)
{
    ck_assert_uint_eq(strlen(XIDS_RANDOMD_LEGACY_NAME), 24);
    ck_assert_uint_eq(strlen(GREETING), GREETING_LEN);
    ck_assert_uint_eq(strlen(RESPONSE), RESPONSE_LEN);
}
END_TEST

START_TEST(greeting_is_answered_whole_and_taken)
{
    struct fixture f;
    begin(&f);
    ck_assert_int_eq(serve(&f), 0);
    say(&f, GREETING, GREETING_LEN);
    ck_assert_int_eq(serve(&f), 1);
    ck_assert(xids_randomd_legacy_greeted(f.l));
    ck_assert_uint_eq(f.page->out_cons, GREETING_LEN);
    ck_assert_uint_eq(unread(&f), AHEAD);
    take_response(&f);
    ck_assert_int_eq(serve(&f), 1);
    ck_assert_uint_eq(unread(&f), AHEAD);
    ck_assert_int_eq(serve(&f), 0);
    end(&f);
}
END_TEST

/* _i: where it is cut; at GREETING_LEN: between all bytes. */
START_TEST(greeting_may_be_cut_anywhere)
{
    struct fixture f;
    begin(&f);
    for (unsigned int i = 0; i < GREETING_LEN; i++) {
        say(&f, &greeting[i], 1);
        ck_assert_uint_eq(f.page->in_prod, 0);
        if (i + 1 == (unsigned int)_i || _i == GREETING_LEN)
            ck_assert_int_eq(serve(&f), 1);
    }
    ck_assert_int_ge(serve(&f), 0);
    take_response(&f);
    end(&f);
}
END_TEST

START_TEST(greeting_may_be_there_before_the_server)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){0});
    say(&f, GREETING, GREETING_LEN);
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
    ck_assert_int_eq(serve(&f), 1);
    take_response(&f);
    end(&f);
}
END_TEST

START_TEST(what_comes_before_the_greeting_is_thrown_away)
{
    static const char *const before[] = {"login: ",
                                         "H",
                                         "HH",
                                         "Hello, ",
                                         "Hello, may I have some entropy?\n",
                                         "Hello, may I have some entropy?\r",
                                         "hello, may I have some entropy?\r\n"};
    for (unsigned int i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        struct fixture f;
        struct xids_randomd_legacy_stats stats;
        begin(&f);
        say(&f, before[i], strlen(before[i]));
        ck_assert_int_eq(serve(&f), 1);
        ck_assert_uint_eq(f.page->in_prod, 0);
        greet(&f);
        xids_randomd_legacy_stats(f.l, &stats);
        ck_assert_uint_eq(stats.greetings, 1);
        ck_assert_uint_eq(stats.discarded, strlen(before[i]));
        end(&f);
    }
}
END_TEST

START_TEST(a_greeting_that_wraps_in_its_ring_is_found)
{
    static const char junk[2048 - 10];
    struct fixture f;
    begin(&f);
    say(&f, junk, sizeof(junk));
    ck_assert_int_eq(serve(&f), 1);
    greet(&f);
    end(&f);
}
END_TEST

START_TEST(without_a_greeting_there_is_nothing)
{
    char junk[2048];
    struct fixture f;
    memset(junk, 'H', sizeof(junk));
    begin(&f);
    for (unsigned int i = 0; i < 64; i++) {
        say(&f, junk, sizeof(junk));
        ck_assert_int_eq(serve(&f), 1);
        ck_assert_uint_eq(f.page->out_cons, f.page->out_prod);
        ck_assert_uint_eq(f.page->in_prod, 0);
    }
    end(&f);
}
END_TEST

START_TEST(what_comes_after_the_greeting_is_thrown_away)
{
    struct fixture f;
    struct xids_randomd_legacy_stats stats;
    begin(&f);
    say(&f, GREETING "and more", GREETING_LEN + 8);
    ck_assert_int_eq(serve(&f), 1);
    take_response(&f);
    say(&f, GREETING, GREETING_LEN);
    ck_assert_int_eq(serve(&f), 1);
    ck_assert_uint_eq(f.page->out_cons, f.page->out_prod);
    xids_randomd_legacy_stats(f.l, &stats);
    ck_assert_uint_eq(stats.greetings, 1);
    ck_assert_uint_eq(stats.discarded, 8 + GREETING_LEN);
    ck_assert_uint_eq(unread(&f), AHEAD);
    ck_assert(!found_in(f.page->in, sizeof(f.page->in), RESPONSE, 8));
    end(&f);
}
END_TEST

/* ---- the stream ---- */

START_TEST(no_more_than_the_bound_lies_unread)
{
    struct fixture f;
    uint8_t got[AHEAD];
    begin(&f);
    greet(&f);
    for (unsigned int i = 0; i < 5000; i++) {
        ck_assert_int_ge(serve(&f), 0);
        ck_assert_uint_eq(unread(&f), AHEAD);
        take(&f, got, i * 7 % (AHEAD + 1));
    }
    end(&f);
}
END_TEST

START_TEST(the_stream_does_not_repeat)
{
    struct fixture f;
    uint8_t got[4096];
    begin(&f);
    greet(&f);
    pull(&f, got, sizeof(got));
    for (size_t i = 0; i < sizeof(got); i += 16)
        ck_assert(!found_in(got + i + 16, sizeof(got) - i - 16, got + i, 8));
    end(&f);
}
END_TEST

START_TEST(guests_get_different_streams_from_one_source)
{
    struct fixture f;
    uint8_t one[64], two[64];
    begin_as(&f, "guest 1", (struct source){.fixed = true});
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
    greet(&f);
    pull(&f, one, sizeof(one));
    end(&f);
    begin_as(&f, "guest 2", (struct source){.fixed = true});
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
    greet(&f);
    pull(&f, two, sizeof(two));
    end(&f);
    ck_assert_mem_ne(one, two, sizeof(one));
}
END_TEST

START_TEST(a_guest_that_begins_anew_gets_other_bytes)
{
    struct fixture f;
    uint8_t one[64], two[64];
    begin_as(&f, "g", (struct source){.fixed = true});
    for (unsigned int i = 0; i < 2; i++) {
        memset(f.page, 0, sizeof(*f.page));
        ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
        greet(&f);
        pull(&f, i == 0 ? one : two, sizeof(one));
    }
    ck_assert_mem_ne(one, two, sizeof(one));
    end(&f);
}
END_TEST

START_TEST(what_was_given_is_not_kept)
{
    struct fixture f;
    begin(&f);
    greet(&f);
    ck_assert_int_eq(serve(&f), 1);
    for (unsigned int at = 0; at + 8 <= AHEAD; at += 8)
        ck_assert(!found_in(f.mem, xids_randomd_legacy_size(), f.page->in + RESPONSE_LEN + at, 8));
    end(&f);
}
END_TEST

START_TEST(fresh_bytes_come_by_time_and_by_volume)
{
    struct fixture f;
    struct xids_randomd_legacy_stats stats;
    uint8_t got[1024];
    begin(&f);
    greet(&f);
    xids_randomd_legacy_stats(f.l, &stats);
    ck_assert_uint_eq(stats.reseeds, 1);
    pull(&f, got, 512);
    f.now += 60 * S;
    ck_assert_int_eq(serve(&f), 1);
    xids_randomd_legacy_stats(f.l, &stats);
    ck_assert_uint_eq(stats.reseeds, 2);
    pull(&f, got, sizeof(got));
    ck_assert_int_eq(serve(&f), 1);
    xids_randomd_legacy_stats(f.l, &stats);
    ck_assert_uint_eq(stats.reseeds, 3);
    ck_assert_uint_eq(stats.bytes, f.page->in_prod - RESPONSE_LEN);
    end(&f);
}
END_TEST

START_TEST(without_a_ready_source_there_is_the_response_alone)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){.rc = -XEN_EAGAIN});
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
    say(&f, GREETING, GREETING_LEN);
    ck_assert_int_eq(serve(&f), -XEN_EAGAIN);
    take_response(&f);
    ck_assert_int_eq(serve(&f), -XEN_EAGAIN);
    ck_assert_uint_eq(unread(&f), 0);
    f.source.rc = -XEN_EIO;
    ck_assert_int_eq(serve(&f), -XEN_EAGAIN);
    ck_assert_uint_eq(unread(&f), 0);
    f.source.rc = 0;
    ck_assert_int_eq(serve(&f), 1);
    ck_assert_uint_eq(unread(&f), AHEAD);
    /* Nor is there more when it fails at the time of a reseed. */
    f.now += 61 * S;
    f.source.rc = -XEN_EIO;
    f.page->in_cons = f.page->in_prod;
    ck_assert_int_eq(serve(&f), -XEN_EAGAIN);
    ck_assert_uint_eq(unread(&f), 0);
    end(&f);
}
END_TEST

/* ---- what stays in the page ---- */

static void assert_zeros(const struct fixture *f, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i != to; i++)
        ck_assert_int_eq(f->page->in[i % sizeof(f->page->in)], 0);
}

START_TEST(what_was_taken_is_wiped)
{
    struct fixture f;
    uint8_t got[AHEAD];
    begin(&f);
    greet(&f);
    for (uint32_t i = 0; i < 300; i++) {
        ck_assert_int_ge(serve(&f), 0);
        assert_zeros(&f, f.page->in_prod, f.page->in_cons + 1024);
        take(&f, got, i % (AHEAD + 1));
    }
    end(&f);
}
END_TEST

START_TEST(what_an_earlier_server_left_is_wiped)
{
    struct fixture f;
    uint8_t got[40];
    begin(&f);
    greet(&f);
    pull(&f, got, sizeof(got));
    /* Taken, and not yet wiped; and a part that nobody should have written. */
    memset(f.page->in + 500, 0x55, 100);
    killed(&f);
    assert_zeros(&f, f.page->in_prod, f.page->in_cons + 1024);
    ck_assert_uint_gt(unread(&f), 0);
    end(&f);
}
END_TEST

START_TEST(unread_bytes_stay_for_who_reads_on_and_go_with_who_has_gone)
{
    static const char zeros[1024];
    struct fixture f;
    char before[1024];
    uint8_t got[40];
    begin(&f);
    greet(&f);
    ck_assert_int_eq(serve(&f), 1);
    take(&f, got, 40);
    uint32_t from = f.page->in_cons;
    memcpy(before, f.page->in, sizeof(before));
    xids_randomd_legacy_detach(f.l, false);
    assert_zeros(&f, f.page->in_prod, from + 1024);
    for (uint32_t i = from; i != f.page->in_prod; i++)
        ck_assert_int_eq(f.page->in[i % 1024], before[i % 1024]);
    ck_assert_int_eq(serve(&f), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
    xids_randomd_legacy_detach(f.l, true);
    ck_assert_mem_eq(f.page->in, zeros, sizeof(zeros));
    end(&f);
}
END_TEST

/* ---- servers that die ---- */

START_TEST(greeting_cut_by_a_servers_death_is_completed)
{
    struct fixture f;
    begin(&f);
    say(&f, "HH", 2);
    for (unsigned int i = 0; i < GREETING_LEN; i++) {
        killed(&f);
        ck_assert_uint_eq(f.page->in_prod, 0);
        say(&f, &greeting[i], 1);
        ck_assert_int_eq(serve(&f), 1);
    }
    take_response(&f);
    end(&f);
}
END_TEST

START_TEST(response_is_not_given_twice)
{
    struct fixture f;
    uint8_t got[AHEAD];
    begin(&f);
    say(&f, GREETING, GREETING_LEN);
    ck_assert_int_eq(serve(&f), 1);
    /* It died before it said that it had taken the greeting. */
    f.page->out_cons = 0;
    killed(&f);
    ck_assert(xids_randomd_legacy_greeted(f.l));
    ck_assert_int_eq(serve(&f), 1);
    ck_assert_uint_eq(f.page->out_cons, GREETING_LEN);
    take_response(&f);
    killed(&f);
    ck_assert_int_eq(serve(&f), 1);
    take(&f, got, AHEAD);
    ck_assert(!found_in(got, sizeof(got), RESPONSE, 8));
    end(&f);
}
END_TEST

START_TEST(the_index_that_means_no_response_does_not_come_again)
{
    for (uint32_t before = 1; before <= 2 * AHEAD; before++) {
        struct fixture f;
        uint8_t got[AHEAD];
        begin_as(&f, "g", (struct source){0});
        f.page->in_prod = f.page->in_cons = 0u - before;
        ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
        for (unsigned int i = 0; i < 400; i++) {
            ck_assert_int_ge(serve(&f), 0);
            ck_assert_uint_ne(f.page->in_prod, 0);
            ck_assert_uint_ge(unread(&f), AHEAD - 1);
            take(&f, got, 1 + i * 5 % unread(&f));
        }
        ck_assert_uint_lt(f.page->in_prod, 400 * AHEAD);
        end(&f);
    }
}
END_TEST

/* ---- hostile guests ---- */

START_TEST(impossible_indices_are_not_attached)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){0});
    f.page->out_prod = 2049;
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), -XEN_EBADMSG);
    ck_assert_int_eq(serve(&f), -XEN_ENOTCONN);
    f.page->out_prod = 0;
    f.page->in_prod = 1025;
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), -XEN_EBADMSG);
    f.page->in_prod = 0;
    f.page->in_cons = 1;
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), -XEN_EBADMSG);
    ck_assert_int_eq(serve(&f), -XEN_ENOTCONN);
    f.page->in_cons = 0;
    ck_assert_int_eq(xids_randomd_legacy_attach(f.l, f.page), 0);
    greet(&f);
    end(&f);
}
END_TEST

START_TEST(every_index_may_become_anything)
{
    static const uint32_t offsets[] = {0,    1,    2,    63,   64,         65,         1023,      1024,
                                       1025, 2047, 2048, 2049, 0x7fffffff, 0x80000000, 0xffffffff};
    for (unsigned int field = 0; field < 4; field++) {
        for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
            struct fixture f;
            begin(&f);
            greet(&f);
            ck_assert_int_eq(serve(&f), 1);
            uint32_t *fields[] = {&f.page->in_cons, &f.page->in_prod, &f.page->out_cons, &f.page->out_prod};
            /* Only the guest's own two are read at all; each may go on as far as there is something. */
            uint32_t limit = field == 0 ? AHEAD : field == 3 ? 2048 : UINT32_MAX;
            *fields[field] += offsets[i];
            int rc = serve(&f);
            ck_assert(offsets[i] <= limit ? rc >= 0 : rc == -XEN_EBADMSG);
            if (rc < 0)
                ck_assert_int_eq(serve(&f), -XEN_EBADMSG);
            end(&f);
        }
    }
}
END_TEST

START_TEST(a_page_of_noise_is_survived)
{
    struct fixture f;
    uint32_t word = (uint32_t)(_i + 1) * 2654435761u;
    begin_as(&f, "g", (struct source){0});
    for (unsigned int i = 0; i < 4000; i++) {
        word = word * 1664525u + 1013904223u;
        uint8_t *bytes = (uint8_t *)f.page;
        switch (word >> 29) {
        case 0:
            f.page->in_cons = f.page->in_prod - (word >> 8) % 1100;
            break;
        case 1:
            f.page->out_prod = f.page->out_cons + (word >> 8) % 2100;
            break;
        case 2:
            if (xids_randomd_legacy_attach(f.l, f.page) < 0)
                memset(f.page, 0, sizeof(*f.page));
            break;
        case 3:
            say(&f, GREETING, GREETING_LEN);
            break;
        default:
            bytes[(word >> 8) % 3100] ^= (uint8_t)word;
            break;
        }
        int rc = serve(&f);
        ck_assert(rc == 0 || rc == 1 || rc == -XEN_EBADMSG || rc == -XEN_ENOTCONN);
    }
    end(&f);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_legacy");
    TCase *t = tcase_create("making");
    tcase_add_test(t, memory_that_does_not_do_is_refused);
    tcase_add_test(t, fini_leaves_only_zeros);
    tcase_add_test(t, without_a_page_nothing_is_served);
    suite_add_tcase(s, t);
    t = tcase_create("greeting");
    tcase_add_test(t, the_texts_have_their_lengths);
    tcase_add_test(t, greeting_is_answered_whole_and_taken);
    tcase_add_loop_test(t, greeting_may_be_cut_anywhere, 1, GREETING_LEN + 1);
    tcase_add_test(t, greeting_may_be_there_before_the_server);
    tcase_add_test(t, what_comes_before_the_greeting_is_thrown_away);
    tcase_add_test(t, a_greeting_that_wraps_in_its_ring_is_found);
    tcase_add_test(t, without_a_greeting_there_is_nothing);
    tcase_add_test(t, what_comes_after_the_greeting_is_thrown_away);
    suite_add_tcase(s, t);
    t = tcase_create("stream");
    tcase_add_test(t, no_more_than_the_bound_lies_unread);
    tcase_add_test(t, the_stream_does_not_repeat);
    tcase_add_test(t, guests_get_different_streams_from_one_source);
    tcase_add_test(t, a_guest_that_begins_anew_gets_other_bytes);
    tcase_add_test(t, what_was_given_is_not_kept);
    tcase_add_test(t, fresh_bytes_come_by_time_and_by_volume);
    tcase_add_test(t, without_a_ready_source_there_is_the_response_alone);
    suite_add_tcase(s, t);
    t = tcase_create("page");
    tcase_add_test(t, what_was_taken_is_wiped);
    tcase_add_test(t, what_an_earlier_server_left_is_wiped);
    tcase_add_test(t, unread_bytes_stay_for_who_reads_on_and_go_with_who_has_gone);
    suite_add_tcase(s, t);
    t = tcase_create("death");
    tcase_add_test(t, greeting_cut_by_a_servers_death_is_completed);
    tcase_add_test(t, response_is_not_given_twice);
    tcase_add_test(t, the_index_that_means_no_response_does_not_come_again);
    suite_add_tcase(s, t);
    t = tcase_create("hostile");
    tcase_add_test(t, impossible_indices_are_not_attached);
    tcase_add_test(t, every_index_may_become_anything);
    tcase_add_loop_test(t, a_page_of_noise_is_survived, 0, 20);
    suite_add_tcase(s, t);
    return s;
}
