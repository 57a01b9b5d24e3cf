/* SPDX-License-Identifier: ISC */
/*
 * What xids-randomd does with its sources: they are tested, mixed, dropped when they fail in any way, and tried again.
 * The sources here do as they are told; the clock and the kernel's generator are ours.
 */
#include "tests/unit/suite.h"

#include "randomd/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECOND 1000000000ull

/* ---- the world ---- */

static atomic_ullong clock_now;
static unsigned int warnings;
static uint64_t kernel_counter;
static int kernel_error; /* errno of the next calls */
static size_t kernel_piece;
static bool kernel_stuck;

uint64_t now_ns(void)
{
    return atomic_load(&clock_now);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    (void)fmt;
    warnings += level <= SAY_WARN;
}

/* Each 8 bytes are the count of them: no two draws are alike, and all runs are. */
ssize_t getrandom(void *buf, size_t len, unsigned int flags)
{
    uint8_t *to = buf;
    ck_assert_uint_eq(flags, GRND_NONBLOCK);
    if (kernel_error != 0) {
        errno = kernel_error;
        return -1;
    }
    if (kernel_piece != 0 && len > kernel_piece)
        len = kernel_piece;
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(kernel_stuck ? 9 : kernel_counter >> (8 * (i % 8)));
    kernel_counter++;
    return (ssize_t)len;
}

/* ---- a source that does as it is told ---- */

enum mode {
    FINE,
    STUCK,
    BIASED,
    ERROR,
    HANG,
    NOTHING,
};

static atomic_int mode, opened, closed, readings, saved;
static uint64_t next_byte;
static uint8_t saved_bytes[SAVED_SEED];

static int fake_open(struct source_io *io)
{
    (void)io;
    atomic_fetch_add(&opened, 1);
    return 0;
}

static void fake_close(struct source_io *io)
{
    (void)io;
    atomic_fetch_add(&closed, 1);
}

static int fake_read(struct source_io *io, uint8_t *buf, size_t len)
{
    atomic_fetch_add(&readings, 1);
    int now = atomic_load(&mode);
    while (atomic_load(&mode) == HANG)
        if (source_nap(io, 1) < 0)
            return -XEN_EINTR;
    if (now == ERROR)
        return source_fail(io, -XEN_EIO, "it burns");
    if (now == NOTHING)
        return 0;
    for (size_t i = 0; i < len; i++, next_byte++)
        /* A fifth of them, the first among them, is too much for 4 bits, and not yet out of the question. */
        buf[i] = (uint8_t)(now == STUCK ? 0x77 : now == BIASED && next_byte % 5 == 0 ? 0 : 1 + next_byte * 167 % 251);
    return (int)len;
}

static int fake_save(struct source_io *io, const uint8_t seed[SAVED_SEED])
{
    (void)io;
    memcpy(saved_bytes, seed, SAVED_SEED);
    atomic_fetch_add(&saved, 1);
    return 0;
}

static const struct source_type fake = {
    .name = "fake",
    .kind = XIDS_HEALTH_BYTES,
    .claim = 4 * XIDS_HEALTH_BIT,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = 64,
    .open = fake_open,
    .read = fake_read,
    .close = fake_close,
};

static const struct source_type fake_file = {
    .name = "fake-file",
    .kind = XIDS_HEALTH_BYTES,
    .claim = 4 * XIDS_HEALTH_BIT,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = 64,
    .once = true,
    .open = fake_open,
    .read = fake_read,
    .close = fake_close,
    .save = fake_save,
};

/* ---- the case ---- */

static uv_loop_t loop;
static struct master *master;
static struct sources *sources;
static struct source_config config;

static void begin(const struct source_type *type, enum mode how)
{
    atomic_store(&mode, (int)how);
    config = (struct source_config){.name = "one", .type = type};
    ck_assert_int_eq(sources_new(&sources, &loop, master, &config, 1), 0);
}

static void setup(void)
{
    atomic_store(&clock_now, 1000 * SECOND);
    warnings = 0;
    kernel_counter = next_byte = 0;
    kernel_error = 0;
    kernel_piece = 0;
    kernel_stuck = false;
    atomic_store(&opened, 0);
    atomic_store(&closed, 0);
    atomic_store(&readings, 0);
    atomic_store(&saved, 0);
    sources = NULL;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(master_new(&master), 0);
}

static void teardown(void)
{
    sources_stop(sources);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    sources_free(sources);
    master_free(master);
    ck_assert_int_eq(atomic_load(&opened), atomic_load(&closed));
}

static struct source_report report(void)
{
    struct source_report r;
    ck_assert_uint_eq(sources_count(sources), 1);
    sources_report(sources, 0, &r);
    return r;
}

/* Runs the loop until the source says so. Its jobs' ends wake the loop; the case's limit of time ends a vain wait. */
static void until(const char *state)
{
    while (strcmp(report().state, state) != 0)
        uv_run(&loop, UV_RUN_ONCE);
}

static void until_readings(int count)
{
    while (atomic_load(&readings) < count)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/* Until the loop has taken what is under way: the sample count stands. */
static void until_samples(uint64_t count)
{
    while (report().samples < count)
        uv_run(&loop, UV_RUN_ONCE);
}

static void pass_time(uint64_t ns)
{
    atomic_fetch_add(&clock_now, ns);
    sources_turn(sources);
}

static void draw(uint8_t out[64])
{
    ck_assert_int_eq(master_source(master, out, 64), 0);
}

/* What a generator that no source was mixed into gives for the same bytes of the kernel's. */
static void draw_alone(uint8_t out[64])
{
    struct master *other;
    uint64_t count = kernel_counter;
    kernel_counter = 0;
    ck_assert_int_eq(master_new(&other), 0);
    ck_assert_int_eq(master_source(other, out, 64), 0);
    master_free(other);
    kernel_counter = count;
}

START_TEST(good_source_is_tested_and_mixed)
{
    uint8_t with[64], without[64];
    draw_alone(without);
    begin(&fake, FINE);
    ck_assert_str_eq(report().state, "testing");
    ck_assert(!report().alarm);
    until("good");
    ck_assert_uint_eq(report().samples, XIDS_HEALTH_STARTUP);
    ck_assert_uint_eq(report().failures, 0);
    ck_assert_uint_eq(warnings, 0);
    draw(with);
    ck_assert_mem_ne(with, without, 64);
}
END_TEST

/* The counterpart of the case above: the same draw without the source is the same. */
START_TEST(bytes_that_fail_are_not_mixed)
{
    static const enum mode bad[] = {STUCK, BIASED, ERROR};
    uint8_t with[64], without[64];
    draw_alone(without);
    begin(&fake, bad[_i]);
    until(bad[_i] == STUCK ? "condemned" : "failed");
    draw(with);
    ck_assert_mem_eq(with, without, 64);
    ck_assert(report().alarm);
    ck_assert_uint_eq(report().failures, 1);
    ck_assert_str_eq(report().error, bad[_i] == ERROR ? "it burns" : "its samples are stuck or biased");
    ck_assert_uint_eq(warnings, 1);
}
END_TEST

START_TEST(good_source_that_goes_bad_is_dropped)
{
    begin(&fake, FINE);
    until("good");
    atomic_store(&mode, STUCK);
    sources_gather(sources);
    until("condemned");
    int before = atomic_load(&readings);
    sources_gather(sources);
    pass_time(3600 * SECOND);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(atomic_load(&readings), before);
    ck_assert_str_eq(report().state, "condemned");
}
END_TEST

START_TEST(source_that_comes_back_is_tested_from_the_start)
{
    begin(&fake, FINE);
    until("good");
    atomic_store(&mode, ERROR);
    sources_gather(sources);
    until("failed");
    ck_assert_uint_eq(report().samples, XIDS_HEALTH_STARTUP);
    atomic_store(&mode, FINE);
    pass_time(SECOND);
    ck_assert_str_eq(report().state, "testing");
    until("good");
    ck_assert_uint_eq(report().samples, 2 * XIDS_HEALTH_STARTUP);
    ck_assert_uint_eq(report().failures, 1);
    ck_assert_str_eq(report().error, "it burns");
    ck_assert(!report().alarm);
    ck_assert_int_eq(atomic_load(&opened), 2);
}
END_TEST

START_TEST(bias_is_forgiven_after_a_start_up_test)
{
    begin(&fake, BIASED);
    until("failed");
    atomic_store(&mode, FINE);
    pass_time(SECOND);
    until("good");
}
END_TEST

/* 1 s, 2 s, 4 s ... 300 s; one line of log for all of them. */
START_TEST(failing_source_is_tried_less_and_less)
{
    uint64_t wait = 1;
    begin(&fake, ERROR);
    until("failed");
    for (int tries = 1; tries <= 12; tries++) {
        ck_assert_int_eq(atomic_load(&readings), tries);
        pass_time(wait * SECOND - 1);
        uv_run(&loop, UV_RUN_NOWAIT);
        ck_assert_str_eq(report().state, "failed");
        pass_time(1);
        ck_assert_str_eq(report().state, "testing");
        until("failed");
        wait = wait * 2 < 300 ? wait * 2 : 300;
    }
    ck_assert_uint_eq(warnings, 1);
    ck_assert_uint_eq(report().failures, 13);
}
END_TEST

START_TEST(calm_source_is_tried_soon_again)
{
    begin(&fake, ERROR);
    until("failed");
    pass_time(SECOND);
    until("failed");
    atomic_store(&mode, FINE);
    pass_time(2 * SECOND);
    until("good");
    pass_time(601 * SECOND);
    atomic_store(&mode, ERROR);
    sources_gather(sources);
    until("failed");
    pass_time(SECOND);
    ck_assert_str_eq(report().state, "testing");
    until("failed");
    ck_assert_uint_eq(warnings, 2);
}
END_TEST

START_TEST(hanging_source_is_given_up_and_its_late_answer_not_used)
{
    uint8_t with[64], without[64];
    draw_alone(without);
    begin(&fake, HANG);
    until_readings(1);
    pass_time(10 * SECOND - 1);
    ck_assert_str_eq(report().state, "testing");
    pass_time(1);
    ck_assert_str_eq(report().state, "failed");
    ck_assert_str_eq(report().error, "no answer in 10 s");
    /* Others are served meanwhile; it is not asked twice at once. */
    draw(with);
    ck_assert_mem_eq(with, without, 64);
    pass_time(SECOND);
    ck_assert_int_eq(atomic_load(&readings), 1);
    atomic_store(&mode, FINE);
    while (strcmp(report().state, "failed") == 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
        pass_time(SECOND);
    }
    until("good");
    /* Of all readings one did not count, the late one. */
    until_samples(64 * ((uint64_t)atomic_load(&readings) - 1));
    ck_assert_uint_eq(report().samples, 64 * ((uint64_t)atomic_load(&readings) - 1));
    ck_assert_uint_eq(report().failures, 1);
    ck_assert_uint_eq(warnings, 1);
}
END_TEST

/* What teardown asserts: the end does not wait for the source's own. */
START_TEST(daemon_can_stop_while_a_source_hangs)
{
    begin(&fake, HANG);
    until_readings(1);
}
END_TEST

START_TEST(bytes_are_gathered_by_time_while_they_are_used)
{
    uint8_t out[64];
    begin(&fake, FINE);
    until("good");
    int before = atomic_load(&readings);
    pass_time(31 * SECOND);
    pass_time(31 * SECOND);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(atomic_load(&readings), before); /* nobody wanted any */
    draw(out);
    pass_time(31 * SECOND);
    until_readings(before + 1);
    until_samples(XIDS_HEALTH_STARTUP + 64);
}
END_TEST

START_TEST(bytes_are_gathered_by_volume)
{
    uint8_t out[64];
    begin(&fake, FINE);
    until("good");
    int before = atomic_load(&readings);
    for (unsigned int i = 0; i < SOURCE_GATHER_DRAWS - 1; i++)
        draw(out);
    ck_assert_int_eq(atomic_load(&readings), before);
    draw(out);
    until_readings(before + 1);
}
END_TEST

START_TEST(saved_seed_is_read_once_and_renewed_at_the_end)
{
    uint8_t with[64], without[64];
    draw_alone(without);
    begin(&fake_file, FINE);
    until("good");
    draw(with);
    ck_assert_mem_ne(with, without, 64);
    sources_gather(sources);
    pass_time(3600 * SECOND);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(atomic_load(&readings), 1);
    sources_stop(sources);
    ck_assert_int_eq(atomic_load(&saved), 1);
    ck_assert_mem_ne(saved_bytes, with, SAVED_SEED);
}
END_TEST

START_TEST(missing_seed_is_no_failure)
{
    begin(&fake_file, NOTHING);
    until("good");
    ck_assert_uint_eq(report().samples, 0);
    ck_assert_uint_eq(report().failures, 0);
}
END_TEST

START_TEST(nothing_is_saved_when_the_kernel_has_given_nothing)
{
    begin(&fake_file, NOTHING);
    until("good");
    kernel_error = EAGAIN;
    sources_stop(sources);
    ck_assert_int_eq(atomic_load(&saved), 0);
}
END_TEST

START_TEST(stuck_seed_is_condemned)
{
    begin(&fake_file, STUCK);
    until("condemned");
}
END_TEST

/* ---- the kernel's generator ---- */

START_TEST(kernel_that_is_not_ready_is_told_apart_from_one_that_fails)
{
    uint8_t out[64] = {0}, zeros[64] = {0};
    kernel_error = EAGAIN;
    ck_assert(!master_ready(master));
    ck_assert_int_eq(master_source(master, out, 64), -XEN_EAGAIN);
    ck_assert_uint_eq(master_failures(master), 0);
    ck_assert_uint_eq(warnings, 0);
    static const int errors[] = {EIO, ENOSYS, EPERM, EFAULT};
    for (unsigned int i = 0; i < 4; i++) {
        kernel_error = errors[i];
        ck_assert_int_eq(master_source(master, out, 64), -XEN_EIO);
        ck_assert_int_eq(master_source(master, out, 64), -XEN_EIO);
        ck_assert_int_eq(master_kernel(master), -errors[i]);
        ck_assert_uint_eq(master_failures(master), 3 * i + 2);
        ck_assert_uint_eq(warnings, i + 1);
        ck_assert(!master_ready(master));
    }
    ck_assert_mem_eq(out, zeros, 64);
    kernel_error = 0;
    ck_assert(master_ready(master));
    ck_assert_int_eq(master_kernel(master), 0);
}
END_TEST

/* Whatever the other sources gave. */
START_TEST(sources_do_not_make_up_for_the_kernel)
{
    uint8_t out[64];
    kernel_error = EAGAIN;
    begin(&fake, FINE);
    until("good");
    ck_assert(!master_ready(master));
    ck_assert_int_eq(master_source(master, out, 64), -XEN_EAGAIN);
}
END_TEST

START_TEST(short_answers_of_the_kernel_are_put_together)
{
    uint8_t a[64], b[64];
    kernel_piece = 7;
    draw(a);
    ck_assert_uint_eq(kernel_counter, 10); /* 64 bytes by sevens */
    draw(b);
    ck_assert_mem_ne(a, b, 64);
}
END_TEST

START_TEST(kernel_that_repeats_itself_is_not_believed)
{
    uint8_t out[64];
    kernel_stuck = true;
    draw(out);
    ck_assert_int_eq(master_source(master, out, 64), -XEN_EIO);
    ck_assert_int_eq(master_source(master, out, 64), -XEN_EIO);
    ck_assert_uint_eq(warnings, 1);
    kernel_stuck = false;
    draw(out);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd-sources");
    TCase *tc = tcase_create("sources");
    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, good_source_is_tested_and_mixed);
    tcase_add_loop_test(tc, bytes_that_fail_are_not_mixed, 0, 3);
    tcase_add_test(tc, good_source_that_goes_bad_is_dropped);
    tcase_add_test(tc, source_that_comes_back_is_tested_from_the_start);
    tcase_add_test(tc, bias_is_forgiven_after_a_start_up_test);
    tcase_add_test(tc, failing_source_is_tried_less_and_less);
    tcase_add_test(tc, calm_source_is_tried_soon_again);
    tcase_add_test(tc, hanging_source_is_given_up_and_its_late_answer_not_used);
    tcase_add_test(tc, daemon_can_stop_while_a_source_hangs);
    tcase_add_test(tc, bytes_are_gathered_by_time_while_they_are_used);
    tcase_add_test(tc, bytes_are_gathered_by_volume);
    tcase_add_test(tc, saved_seed_is_read_once_and_renewed_at_the_end);
    tcase_add_test(tc, missing_seed_is_no_failure);
    tcase_add_test(tc, nothing_is_saved_when_the_kernel_has_given_nothing);
    tcase_add_test(tc, stuck_seed_is_condemned);
    tcase_add_test(tc, kernel_that_is_not_ready_is_told_apart_from_one_that_fails);
    tcase_add_test(tc, sources_do_not_make_up_for_the_kernel);
    tcase_add_test(tc, short_answers_of_the_kernel_are_put_together);
    tcase_add_test(tc, kernel_that_repeats_itself_is_not_believed);
    return suite;
}
