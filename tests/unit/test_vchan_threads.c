/* SPDX-License-Identifier: ISC */
/*
 * vchan between two threads that really sleep: a missing barrier shows under the thread sanitizer, or as a wake-up that
 * is lost.
 */
#include "tests/unit/suite.h"
#include "tests/unit/two_threads.h"

#include <time.h>

struct job {
    struct domain *d;
    struct xids_vchan *ch;
    uint32_t total, piece;
    bool packets, server;
};

static uint8_t pattern(uint32_t i)
{
    return (uint8_t)(i * 7u + (i >> 8));
}

static bool again(struct job *job, int rc, uint32_t want_read, uint32_t want_write)
{
    if (rc != -XEN_EAGAIN) {
        ck_assert_int_gt(rc, 0);
        return false;
    }
    rc = xids_vchan_arm(job->ch, want_read, want_write);
    ck_assert_int_ge(rc, 0);
    if (rc == 0) {
        nap(job->d);
        ck_assert_int_ne(xids_vchan_event(job->ch), XIDS_VCHAN_BROKEN);
    }
    return true;
}

static void send_all(struct job *job)
{
    uint8_t data[4096];
    for (uint32_t sent = 0; sent < job->total;) {
        uint32_t n = job->total - sent < job->piece ? job->total - sent : job->piece;
        for (uint32_t i = 0; i < n; i++)
            data[i] = pattern(sent + i);
        int rc = job->packets ? xids_vchan_send(job->ch, data, n) : xids_vchan_write(job->ch, data, n);
        if (!again(job, rc, 0, job->packets ? n : 1))
            sent += (uint32_t)rc;
    }
    ck_assert_int_eq(xids_vchan_flush(job->ch), 0);
}

static void recv_all(struct job *job)
{
    uint8_t data[4096];
    for (uint32_t got = 0; got < job->total;) {
        uint32_t n = job->total - got < job->piece ? job->total - got : job->piece;
        int rc = job->packets ? xids_vchan_recv(job->ch, data, n) : xids_vchan_read(job->ch, data, n);
        if (again(job, rc, job->packets ? n : 1, 0))
            continue;
        for (int i = 0; i < rc; i++)
            if (data[i] != pattern(got + (uint32_t)i))
                ck_abort_msg("byte %u is wrong", got + (uint32_t)i);
        got += (uint32_t)rc;
    }
}

static void *run(void *ctx)
{
    struct job *job = ctx;
    if (job->server) {
        recv_all(job);
        send_all(job);
    } else {
        send_all(job);
        recv_all(job);
    }
    xids_vchan_fini(job->ch);
    finish(job->d);
    return NULL;
}

static void run_both(void *(*run_one)(void *), void *first, void *second)
{
    pthread_t threads[2];
    ck_assert_int_eq(pthread_create(&threads[0], NULL, run_one, first), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, run_one, second), 0);
    for (int d = 0; d < 2; d++)
        (void)pthread_join(threads[d], NULL);
}

START_TEST(threads_that_sleep_lose_no_byte_and_no_wake_up)
{
    static const unsigned int flags[] = {0, XIDS_VCHAN_BATCH, XIDS_VCHAN_WIPE, XIDS_VCHAN_BATCH | XIDS_VCHAN_WIPE};
    static const uint32_t pieces[] = {16, 100, 1024, 700};
    static struct machine m;
    struct job jobs[2];
    unsigned int use = flags[_i % 4] | (_i >= 32 ? XIDS_VCHAN_PLAIN : 0u);
    machine_up(&m, (unsigned int[]){_i % 2 ? 12 : 10, 11}, (unsigned int[]){use, use});
    for (int d = 0; d < 2; d++)
        jobs[d] = (struct job){
            .d = &m.domain[d],
            .ch = m.domain[d].ch,
            .total = 60000,
            .piece = pieces[(_i / 4) % 4],
            .packets = _i % 32 >= 16,
            .server = d == 0,
        };
    run_both(run, &jobs[0], &jobs[1]);
    machine_down(&m);
}
END_TEST

/* ---- for long: all sizes, all ways to wait, both directions at once ---- */

struct talk {
    struct domain *d;
    uint64_t rng;
    uint32_t to_send, to_get, sent, got;
    bool ended;
};

static uint32_t chance(struct talk *t, uint32_t below)
{
    t->rng ^= t->rng << 13;
    t->rng ^= t->rng >> 7;
    t->rng ^= t->rng << 17;
    return (uint32_t)(t->rng >> 20) % below;
}

/* Up to most, small ones as likely as large ones. */
static uint32_t some(struct talk *t, uint32_t most)
{
    uint32_t n = 1 + chance(t, 1u << (1 + chance(t, 12)));
    return n < most ? n : most;
}

static bool push(struct talk *t)
{
    uint8_t data[4096];
    if (t->sent == t->to_send)
        return false;
    uint32_t n = some(t, t->to_send - t->sent);
    n = n < sizeof(data) ? n : (uint32_t)sizeof(data);
    for (uint32_t i = 0; i < n; i++)
        data[i] = pattern(t->sent + i);
    struct xids_vchan_iov iov[] = {{data, n / 2}, {data + n / 2, n - n / 2}};
    int rc = chance(t, 3) != 0 ? xids_vchan_write(t->d->ch, data, n) : xids_vchan_writev(t->d->ch, iov, 2);
    if (rc < 0 && rc != -XEN_EAGAIN)
        ck_abort_msg("write says %d", rc);
    t->sent += rc > 0 ? (uint32_t)rc : 0;
    return rc > 0;
}

static bool pull(struct talk *t)
{
    uint8_t data[4096];
    if (t->ended)
        return false;
    uint32_t n = some(t, sizeof(data));
    struct xids_vchan_iov iov[] = {{data, n / 2}, {data + n / 2, n - n / 2}};
    int rc = chance(t, 3) != 0 ? xids_vchan_read(t->d->ch, data, n) : xids_vchan_readv(t->d->ch, iov, 2);
    if (rc < 0 && rc != -XEN_EAGAIN)
        ck_abort_msg("read says %d", rc);
    for (int i = 0; i < rc; i++)
        if (data[i] != pattern(t->got + (uint32_t)i))
            ck_abort_msg("byte %u is wrong", t->got + (uint32_t)i);
    t->got += rc > 0 ? (uint32_t)rc : 0;
    t->ended = rc == 0 || (t->got == t->to_get && !xids_vchan_extended(t->d->ch));
    return rc >= 0;
}

/* Sleeps for one or the other, unless it is there. Two who want more than half of a ring could wait for each other. */
static void sleep_for(struct talk *t)
{
    uint32_t want_read = t->to_get - t->got, want_write = t->to_send - t->sent;
    uint32_t most_in = xids_vchan_read_size(t->d->ch) / 2, most_out = xids_vchan_write_size(t->d->ch) / 2;
    want_read = want_read != 0 ? some(t, want_read < most_in ? want_read : most_in) : !t->ended;
    want_write = want_write != 0 ? some(t, want_write < most_out ? want_write : most_out) : 0;
    int rc = xids_vchan_arm(t->d->ch, want_read, want_write);
    ck_assert_int_ge(rc, 0);
    if (rc == 0) {
        nap(t->d);
        ck_assert_int_ne(xids_vchan_event(t->d->ch), XIDS_VCHAN_BROKEN);
    }
}

static void *talk(void *ctx)
{
    struct talk *t = ctx;
    bool shut = false;
    while (!t->ended || t->sent < t->to_send) {
        bool moved = chance(t, 4) != 0 && push(t);
        moved |= chance(t, 4) != 0 && pull(t);
        if (t->sent == t->to_send && !shut) {
            int rc = xids_vchan_shutdown(t->d->ch);
            shut = rc == 0 || rc == -XEN_EOPNOTSUPP || rc == -XEN_ENOTCONN;
            ck_assert(shut || rc == -XEN_EAGAIN);
        }
        for (uint32_t i = chance(t, 8) == 0 ? chance(t, 2000) : 0; i > 0; i--)
            __asm__ volatile("");
        bool done = t->ended && t->sent == t->to_send;
        if (!done && (!moved || chance(t, 16) == 0))
            sleep_for(t);
    }
    if (t->got != t->to_get)
        ck_abort_msg("the end came after %u of %u bytes", t->got, t->to_get);
    xids_vchan_fini(t->d->ch);
    finish(t->d);
    return NULL;
}

static void talk_once(uint64_t seed)
{
    static struct machine m;
    static const unsigned int orders[][2] = {{10, 11}, {11, 10}, {12, 12}, {10, 13}};
    struct talk t[2];
    struct talk draw = {.rng = seed * 0x9e3779b97f4a7c15u + 1};
    const unsigned int *order = orders[chance(&draw, 4)];
    unsigned int flags[2];
    for (int d = 0; d < 2; d++)
        flags[d] = chance(&draw, 4) | (chance(&draw, 4) == 0 ? XIDS_VCHAN_PLAIN : 0u);
    machine_up(&m, order, flags);
    for (int d = 0; d < 2; d++) {
        t[d] = (struct talk){.d = &m.domain[d], .rng = draw.rng + (uint64_t)d + 1};
        t[d].to_send = some(&draw, 20000) * 7;
    }
    t[0].to_get = t[1].to_send;
    t[1].to_get = t[0].to_send;
    run_both(talk, &t[0], &t[1]);
    machine_down(&m);
}

/* XIDS_SOAK_SECONDS=3600: for that long. XIDS_SOAK_SEED: the first of the talks. */
START_TEST(threads_that_talk_at_random_never_both_sleep)
{
    const char *seconds = getenv("XIDS_SOAK_SECONDS"), *first = getenv("XIDS_SOAK_SEED");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 0) : (uint64_t)_i * 1000000;
    time_t until = seconds != NULL ? time(NULL) + atoi(seconds) / 4 : 0;
    for (int talks = 0; talks < 500 || time(NULL) < until; talks++) {
        (void)snprintf(what_talk, sizeof(what_talk), "talk %llu", (unsigned long long)seed);
        talk_once(seed++);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan threads");
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 60);
    tcase_add_loop_test(threads, threads_that_sleep_lose_no_byte_and_no_wake_up, 0, 64);
    suite_add_tcase(suite, threads);
    TCase *soak = tcase_create("soak");
    const char *seconds = getenv("XIDS_SOAK_SECONDS");
    tcase_set_timeout(soak, 60 + (seconds != NULL ? atoi(seconds) : 0));
    tcase_add_loop_test(soak, threads_that_talk_at_random_never_both_sleep, 0, 4);
    suite_add_tcase(suite, soak);
    return suite;
}
