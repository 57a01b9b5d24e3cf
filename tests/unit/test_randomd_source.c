/* SPDX-License-Identifier: ISC */
/* Each type of source, against one that works and against every way in which it does not. */
#include "config.h"

#include "tests/unit/fake_source.h"
#include "tests/unit/suite.h"

#include "randomd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64], path[128];
static pid_t server;
static atomic_bool stop;
static struct source_io io;
static uint8_t buf[SOURCE_READ_MAX], second[SOURCE_READ_MAX + 1];

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void setup(void)
{
    static bool (*rdseed_word)(uint64_t * word);
    static uint64_t (*jitter_clock)(void);
    if (rdseed_word == NULL) {
        rdseed_word = source_rdseed_word;
        jitter_clock = source_jitter_clock;
    }
    source_rdseed_word = rdseed_word;
    source_jitter_clock = jitter_clock;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/xids-source.XXXXXX", tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/it", folder);
    signal(SIGPIPE, SIG_IGN);
    atomic_store(&stop, false);
    source_read_ms = SOURCE_READ_MS;
    io = (struct source_io){.path = path, .stop = &stop, .fd = -1};
    server = 0;
}

static void teardown(void)
{
    char other[160];
    source_close(&io);
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    snprintf(other, sizeof(other), "%s.new", path);
    unlink(other);
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void serve(enum fake_kind kind, enum fake_mode mode)
{
    int fd = fake_source_make(kind, path);
    ck_assert_int_ge(fd, 0);
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0)
        fake_source_serve(kind, fd, path, mode);
    if (fd > 0)
        close(fd);
}

static int open_and_read(const struct source_type *type, size_t len)
{
    int rc = type->open(&io);
    return rc < 0 ? rc : type->read(&io, buf, len);
}

/* ---- sockets and pipes ---- */

static const struct {
    const struct source_type *type;
    enum fake_kind kind;
    unsigned int len;
} types[] = {{&source_egd, FAKE_EGD, 64}, {&source_tpm, FAKE_TPM, 32}, {&source_hwrng, FAKE_PIPE, 64}};

START_TEST(working_source_gives_all_bytes)
{
    serve(types[_i].kind, FAKE_FINE);
    ck_assert_int_eq(open_and_read(types[_i].type, types[_i].len), (int)types[_i].len);
    ck_assert_int_eq(types[_i].type->read(&io, second, types[_i].len), (int)types[_i].len);
    ck_assert_mem_ne(buf, second, types[_i].len);
}
END_TEST

START_TEST(dribbling_source_gives_all_bytes)
{
    serve(types[_i].kind, FAKE_DRIBBLE);
    ck_assert_int_eq(open_and_read(types[_i].type, types[_i].len), (int)types[_i].len);
}
END_TEST

START_TEST(silent_source_times_out)
{
    source_read_ms = 50;
    serve(types[_i].kind, FAKE_SILENT);
    ck_assert_int_eq(open_and_read(types[_i].type, types[_i].len), -XEN_ETIMEDOUT);
    ck_assert_str_eq(io.why, "no answer in 50 ms");
}
END_TEST

START_TEST(waiting_ends_when_it_is_to_stop)
{
    serve(types[_i].kind, FAKE_SILENT);
    atomic_store(&stop, true);
    ck_assert_int_eq(open_and_read(types[_i].type, types[_i].len), -XEN_EINTR);
}
END_TEST

START_TEST(source_that_breaks_off_is_an_error)
{
    serve(types[_i].kind, FAKE_SHORT);
    ck_assert_int_eq(open_and_read(types[_i].type, types[_i].len), -XEN_EIO);
    ck_assert_ptr_nonnull(strstr(io.why, "ended after"));
}
END_TEST

START_TEST(source_that_hangs_up_is_an_error)
{
    serve(types[_i].kind, FAKE_GONE);
    ck_assert_int_lt(open_and_read(types[_i].type, types[_i].len), 0);
    ck_assert_str_ne(io.why, "");
}
END_TEST

START_TEST(source_that_is_not_there_is_an_error)
{
    ck_assert_int_eq(open_and_read(types[_i].type, types[_i].len), -XEN_ENOENT);
    ck_assert_ptr_nonnull(strstr(io.why, path));
}
END_TEST

START_TEST(file_in_its_place_is_refused)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    close(fd);
    ck_assert_int_lt(open_and_read(types[_i].type, types[_i].len), 0);
    ck_assert_str_ne(io.why, "");
}
END_TEST

/* What came too much would be taken for the next answer. */
START_TEST(egd_that_sends_too_much_is_refused)
{
    serve(FAKE_EGD, FAKE_LONG);
    ck_assert_int_eq(open_and_read(&source_egd, 64), 64);
    ck_assert_int_eq(source_egd.read(&io, buf, 64), -XEN_EBADMSG);
    ck_assert_str_eq(io.why, "it sent more than it was asked for");
}
END_TEST

START_TEST(tpm_that_is_busy_is_asked_again)
{
    serve(FAKE_TPM, FAKE_BUSY);
    ck_assert_int_eq(open_and_read(&source_tpm, 32), 32);
}
END_TEST

START_TEST(tpm_may_give_less_at_a_time)
{
    serve(FAKE_TPM, FAKE_FINE);
    ck_assert_int_eq(open_and_read(&source_tpm, 200), 200);
    ck_assert_mem_ne(buf, buf + 64, 64);
}
END_TEST

START_TEST(lying_tpm_is_refused)
{
    static const struct {
        enum fake_mode mode;
        int rc;
    } lies[] = {{FAKE_ERROR, -XEN_EIO},   {FAKE_MORE, -XEN_EBADMSG}, {FAKE_EMPTY, -XEN_EBADMSG},
                {FAKE_CUT, -XEN_EBADMSG}, {FAKE_HUGE, -XEN_EBADMSG}, {FAKE_TINY, -XEN_EBADMSG},
                {FAKE_LONG, -XEN_EBADMSG}};
    memset(buf, 0xee, sizeof(buf));
    memset(second, 0xee, sizeof(second));
    serve(FAKE_TPM, lies[_i].mode);
    ck_assert_int_eq(open_and_read(&source_tpm, 32), lies[_i].rc);
    ck_assert_mem_eq(buf, second, sizeof(buf));
    ck_assert_str_ne(io.why, "");
}
END_TEST

/* ---- the CPU's own ---- */

static unsigned int dry;

static bool some_words(uint64_t *word)
{
    static uint64_t n;
    if (++n % 4 != 0)
        return false;
    *word = n;
    return true;
}

static bool no_words(uint64_t *word)
{
    dry++;
    *word = 1;
    return false;
}

START_TEST(rdseed_is_asked_until_it_answers)
{
    uint64_t words[8];
    source_rdseed_word = some_words;
    ck_assert_int_eq(open_and_read(&source_rdseed, sizeof(words)), (int)sizeof(words));
    memcpy(words, buf, sizeof(words));
    for (unsigned int i = 0; i < 8; i++)
        ck_assert_uint_eq(words[i], 4 * (i + 1));
}
END_TEST

START_TEST(rdseed_that_never_answers_is_an_error)
{
    source_rdseed_word = no_words;
    ck_assert_int_eq(open_and_read(&source_rdseed, 64), -XEN_EIO);
    ck_assert_uint_eq(dry, 10000);
}
END_TEST

static uint64_t clock_at, clock_step;

static uint64_t given_clock(void)
{
    return clock_at += clock_step;
}

START_TEST(jitter_is_the_difference_of_two_readings)
{
    source_jitter_clock = given_clock;
    clock_step = 0x123;
    ck_assert_int_eq(open_and_read(&source_jitter, 16), 16);
    for (unsigned int i = 0; i < 16; i++)
        ck_assert_uint_eq(buf[i], 0x23);
}
END_TEST

START_TEST(clock_that_goes_back_is_an_error)
{
    source_jitter_clock = given_clock;
    clock_at = 1000;
    clock_step = UINT64_MAX; /* -1 */
    ck_assert_int_eq(open_and_read(&source_jitter, 16), -XEN_EIO);
}
END_TEST

/* On the machine at hand, whatever it is: the reading comes to its end. */
START_TEST(real_clock_gives_samples)
{
    ck_assert_int_eq(open_and_read(&source_jitter, 256), 256);
}
END_TEST

/* ---- a saved seed ---- */

static void write_seed(size_t len, mode_t rights)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    for (size_t i = 0; i < len; i++)
        second[i % sizeof(second)] = (uint8_t)(i * 7 + 1);
    ck_assert_int_eq((int)write(fd, second, len), (int)len);
    ck_assert_int_eq(fchmod(fd, rights), 0);
    close(fd);
}

static size_t read_seed(uint8_t *to)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &s), 0);
    ck_assert_uint_eq(s.st_mode & 0777, 0600);
    ssize_t n = read(fd, to, SOURCE_READ_MAX);
    close(fd);
    ck_assert_int_ge((int)n, 0);
    return (size_t)n;
}

START_TEST(seed_is_replaced_when_it_is_read)
{
    uint8_t next[SOURCE_READ_MAX], third[SOURCE_READ_MAX];
    write_seed(100, 0600);
    ck_assert_int_eq(open_and_read(&source_file, sizeof(buf)), 100);
    ck_assert_mem_eq(buf, second, 100);
    ck_assert_uint_eq(read_seed(next), SAVED_SEED);
    ck_assert_mem_ne(next, second, SAVED_SEED);
    ck_assert_int_eq(open_and_read(&source_file, sizeof(buf)), (int)SAVED_SEED);
    ck_assert_mem_eq(buf, next, SAVED_SEED);
    ck_assert_uint_eq(read_seed(third), SAVED_SEED);
    ck_assert_mem_ne(third, next, SAVED_SEED);
}
END_TEST

START_TEST(missing_seed_is_none)
{
    ck_assert_int_eq(open_and_read(&source_file, sizeof(buf)), 0);
}
END_TEST

START_TEST(seed_is_saved)
{
    uint8_t seed[SAVED_SEED], there[SOURCE_READ_MAX];
    memset(seed, 0x42, sizeof(seed));
    for (unsigned int i = 0; i < 2; i++) {
        ck_assert_int_eq(source_file.save(&io, seed), 0);
        ck_assert_uint_eq(read_seed(there), SAVED_SEED);
        ck_assert_mem_eq(there, seed, SAVED_SEED);
        seed[0]++;
    }
}
END_TEST

/* Not used, and not overwritten: it may be anything. */
static void refused(const char *why, int rc)
{
    struct stat before, after;
    uint8_t seed[SAVED_SEED] = {0};
    ck_assert_int_eq(lstat(path, &before), 0);
    memset(buf, 0, sizeof(buf));
    ck_assert_int_eq(open_and_read(&source_file, sizeof(buf)), rc);
    ck_assert_msg(strstr(io.why, why) != NULL, "%s", io.why);
    ck_assert_mem_eq(buf, seed, SAVED_SEED);
    ck_assert_int_lt(source_file.save(&io, seed), 0);
    ck_assert_int_eq(lstat(path, &after), 0);
    ck_assert(before.st_ino == after.st_ino);
}

START_TEST(seed_that_others_can_read_is_refused)
{
    static const mode_t rights[] = {0640, 0604, 0620, 0666};
    write_seed(64, rights[_i]);
    refused("not for us alone", -XEN_EPERM);
}
END_TEST

START_TEST(seed_of_a_wrong_length_is_refused)
{
    static const size_t lengths[] = {0, 31, 513};
    write_seed(lengths[_i], 0600);
    refused("bytes, not 32 to 512", -XEN_EINVAL);
}
END_TEST

START_TEST(seed_with_a_second_name_is_refused)
{
    char other[160];
    snprintf(other, sizeof(other), "%s/other", folder);
    write_seed(64, 0600);
    ck_assert_int_eq(link(path, other), 0);
    refused("2 names", -XEN_EPERM);
    unlink(other);
}
END_TEST

START_TEST(link_to_a_seed_is_refused)
{
    ck_assert_int_eq(symlink("/etc/hostname", path), 0);
    refused(path, -ELOOP);
}
END_TEST

START_TEST(seed_in_a_folder_of_all_is_refused)
{
    write_seed(64, 0600);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    refused("others may change", -XEN_EPERM);
}
END_TEST

/* It cannot be replaced, so it would be used again the next time. */
START_TEST(seed_that_cannot_be_replaced_is_not_used)
{
    char other[160];
    uint8_t zeros[SAVED_SEED] = {0};
    snprintf(other, sizeof(other), "%s.new", path);
    write_seed(64, 0600);
    ck_assert_int_eq(mkdir(other, 0700), 0);
    memset(buf, 0, sizeof(buf));
    ck_assert_int_lt(open_and_read(&source_file, sizeof(buf)), 0);
    rmdir(other);
    ck_assert_mem_eq(buf, zeros, SAVED_SEED);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd-source");
    TCase *tc = tcase_create("source");
    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, working_source_gives_all_bytes, 0, 3);
    tcase_add_loop_test(tc, dribbling_source_gives_all_bytes, 0, 3);
    tcase_add_loop_test(tc, silent_source_times_out, 0, 3);
    tcase_add_loop_test(tc, waiting_ends_when_it_is_to_stop, 0, 3);
    tcase_add_loop_test(tc, source_that_breaks_off_is_an_error, 0, 3);
    tcase_add_loop_test(tc, source_that_hangs_up_is_an_error, 0, 3);
    tcase_add_loop_test(tc, source_that_is_not_there_is_an_error, 0, 3);
    tcase_add_loop_test(tc, file_in_its_place_is_refused, 0, 3);
    tcase_add_test(tc, egd_that_sends_too_much_is_refused);
    tcase_add_test(tc, tpm_that_is_busy_is_asked_again);
    tcase_add_test(tc, tpm_may_give_less_at_a_time);
    tcase_add_loop_test(tc, lying_tpm_is_refused, 0, 7);
    tcase_add_test(tc, rdseed_is_asked_until_it_answers);
    tcase_add_test(tc, rdseed_that_never_answers_is_an_error);
    tcase_add_test(tc, jitter_is_the_difference_of_two_readings);
    tcase_add_test(tc, clock_that_goes_back_is_an_error);
    tcase_add_test(tc, real_clock_gives_samples);
    tcase_add_test(tc, seed_is_replaced_when_it_is_read);
    tcase_add_test(tc, missing_seed_is_none);
    tcase_add_test(tc, seed_is_saved);
    tcase_add_loop_test(tc, seed_that_others_can_read_is_refused, 0, 4);
    tcase_add_loop_test(tc, seed_of_a_wrong_length_is_refused, 0, 3);
    tcase_add_test(tc, seed_with_a_second_name_is_refused);
    tcase_add_test(tc, link_to_a_seed_is_refused);
    tcase_add_test(tc, seed_in_a_folder_of_all_is_refused);
    tcase_add_test(tc, seed_that_cannot_be_replaced_is_not_used);
    return suite;
}
