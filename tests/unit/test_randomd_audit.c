/* SPDX-License-Identifier: ISC */
/* The audit log: a chain that shows each change, over restarts, new files, and disks that are full. */
#include "tests/unit/suite.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "randomd/audit.h"
#include "randomd/daemon.h"

#define MOST (16u << 20)

static char folder[64], path[96], old_path[112];
static uint64_t clock_ns;

/* The daemon's clock is the test's. */
uint64_t now_ns(void)
{
    return clock_ns;
}

void guest_stats(const struct guest *g, struct xids_randomd_session_stats *stats)
{
    *stats = *g->before;
}

static void begin(void)
{
    clock_ns = 1000000000000ull;
    (void)snprintf(folder, sizeof(folder), "/tmp/xids-audit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    (void)snprintf(old_path, sizeof(old_path), "%s.1", path);
    log_set_level(SAY_ERROR);
}

static void end(void)
{
    char name[128];
    audit_close();
    (void)unlink(path);
    for (unsigned int i = 1; i < 10; i++) {
        (void)snprintf(name, sizeof(name), "%s.%u", path, i);
        (void)unlink(name);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static void open_log(void)
{
    ck_assert_int_eq(audit_open(path, MOST, 3), 0);
}

static void add_lines(unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        audit_line("test", "n=%u", i);
    audit_flush();
}

static bool whole(void)
{
    char *files[] = {path};
    return audit_verify(1, files) == 0;
}

static char *content(size_t *len)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fstat(fileno(f), &st), 0);
    char *all = malloc((size_t)st.st_size + 1);
    ck_assert_ptr_nonnull(all);
    *len = fread(all, 1, (size_t)st.st_size, f);
    all[*len] = '\0';
    ck_assert_uint_eq(*len, (size_t)st.st_size);
    (void)fclose(f);
    return all;
}

static void replace(const char *all, size_t len)
{
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(all, 1, len, f), len);
    (void)fclose(f);
}

static unsigned int count_text(const char *all, const char *text)
{
    unsigned int n = 0;
    for (const char *at = strstr(all, text); at != NULL; at = strstr(at + 1, text))
        n++;
    return n;
}

static bool has_text(const char *text)
{
    size_t len;
    char *all = content(&len);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

static struct audit_state state(void)
{
    struct audit_state s;
    audit_state(&s);
    return s;
}

START_TEST(without_a_file_there_is_none)
{
    ck_assert_int_eq(audit_open("", MOST, 3), 0);
    add_lines(10);
    ck_assert(!audit_wanted());
    ck_assert(!state().on);
}
END_TEST

START_TEST(what_is_written_is_whole)
{
    open_log();
    add_lines(100);
    ck_assert_uint_eq(state().lines, 100);
    ck_assert_uint_eq(state().last.number, 101);
    ck_assert(whole());
}
END_TEST

/* Every byte of it, one at a time; and every line taken away, doubled or put elsewhere. */
START_TEST(any_change_shows)
{
    size_t len;
    open_log();
    add_lines(3);
    audit_close();
    char *all = content(&len);
    for (size_t i = 0; i < len - 1; i++) {
        all[i] ^= 1;
        replace(all, len);
        ck_assert_msg(!whole(), "byte %zu", i);
        all[i] ^= 1;
    }
    replace(all, len);
    ck_assert(whole());
    free(all);
}
END_TEST

START_TEST(a_missing_line_shows)
{
    size_t len;
    open_log();
    add_lines(4);
    audit_close();
    char *all = content(&len), *cut = malloc(len);
    ck_assert_ptr_nonnull(cut);
    unsigned int lines = count_text(all, "\n");
    ck_assert_uint_eq(lines, 5);
    for (unsigned int missing = 0; missing < lines; missing++) {
        char *start = all;
        for (unsigned int i = 0; i < missing; i++)
            start = strchr(start, '\n') + 1;
        const char *rest = strchr(start, '\n') + 1;
        size_t before = (size_t)(start - all), after = len - (size_t)(rest - all);
        memcpy(cut, all, before);
        memcpy(cut + before, rest, after);
        replace(cut, before + after);
        /* Nobody but who has kept the last hash can see that the end is missing. */
        ck_assert_int_eq(whole(), missing == lines - 1);
    }
    free(cut);
    free(all);
}
END_TEST

START_TEST(the_next_run_goes_on_with_the_chain)
{
    for (unsigned int i = 0; i < 5; i++) {
        open_log();
        add_lines(i);
        audit_close();
    }
    ck_assert(whole());
    open_log();
    add_lines(1);
    ck_assert_uint_eq(state().last.number, 12);
    ck_assert(whole());
}
END_TEST

/* After a crash, wherever it cut the last line off. */
START_TEST(a_line_that_was_cut_off_is_taken_away)
{
    size_t len;
    open_log();
    add_lines(3);
    audit_close();
    char *all = content(&len);
    size_t last = len - 1;
    while (all[last - 1] != '\n')
        last--;
    for (size_t keep = last + 1; keep < len; keep++) {
        replace(all, keep);
        ck_assert(whole());
        open_log();
        add_lines(1);
        audit_close();
        ck_assert_msg(whole(), "%zu bytes of %zu", keep - last, len - last);
        ck_assert(has_text(" mended cut="));
    }
    /* Nothing but a part of the first line. */
    replace(all, 10);
    open_log();
    add_lines(1);
    ck_assert(whole());
    free(all);
}
END_TEST

START_TEST(a_changed_end_is_not_gone_on_with_in_silence)
{
    size_t len;
    open_log();
    add_lines(3);
    audit_close();
    char *all = content(&len);
    char *at = strstr(all, "n=2");
    ck_assert_ptr_nonnull(at);
    at[2] = '7';
    replace(all, len);
    open_log();
    add_lines(1);
    audit_close();
    ck_assert(!whole());
    ck_assert(has_text(" test n=0 "));
    free(all);
}
END_TEST

START_TEST(a_file_that_is_something_else_is_refused)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_lt(audit_open(path, MOST, 3), 0);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_lt(audit_open(path, MOST, 3), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/dev/null", path), 0);
    ck_assert_int_lt(audit_open(path, MOST, 3), 0);
    ck_assert_int_eq(audit_open("/proc/none/log", MOST, 3), -ENOENT);
    ck_assert(!audit_wanted());
}
END_TEST

START_TEST(a_file_that_was_moved_away_is_followed_by_another)
{
    char *both[] = {old_path, path}, *wrong[] = {path, old_path};
    open_log();
    add_lines(3);
    audit_reopen();
    ck_assert_uint_eq(state().files, 1);
    ck_assert_int_eq(rename(path, old_path), 0);
    audit_reopen();
    ck_assert_uint_eq(state().files, 2);
    add_lines(3);
    ck_assert_int_eq(audit_verify(2, both), 0);
    ck_assert(whole());
    ck_assert_int_ne(audit_verify(2, wrong), 0);
}
END_TEST

START_TEST(a_file_that_is_full_is_followed_by_another)
{
    struct stat st;
    char third[112], fourth[112];
    (void)snprintf(third, sizeof(third), "%s.2", path);
    (void)snprintf(fourth, sizeof(fourth), "%s.3", path);
    const uint64_t most = 2u * AUDIT_PENDING;
    ck_assert_int_eq(audit_open(path, most, 2), 0);
    for (unsigned int i = 0; i < 5000; i++)
        audit_line("test", "n=%u and much more of it to make the line longer than it has to be", i);
    audit_flush();
    char *files[] = {third, old_path, path};
    ck_assert_int_eq(audit_verify(3, files), 0);
    for (unsigned int i = 0; i < 3; i++) {
        ck_assert_int_eq(stat(files[i], &st), 0);
        ck_assert_uint_le((uint64_t)st.st_size, most);
    }
    ck_assert_int_ne(access(fourth, F_OK), 0);
    ck_assert_uint_eq(state().lines, 5000);
    ck_assert_uint_eq(state().lost, 0);
}
END_TEST

/* No file may grow beyond that, as if the disk were full: not those of the test's own reports either. */
static int limit_files(rlim_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
        return -1;
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    return setrlimit(RLIMIT_FSIZE, &limit);
}

START_TEST(what_does_not_fit_on_the_disk_is_counted_and_the_chain_goes_on)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t full = 0; full < 400; full += 37) {
        (void)unlink(path);
        int rc = limit_files(full);
        if (rc == 0)
            rc = audit_open(path, MOST, 3);
        add_lines(4);
        add_lines(3); /* too early for another attempt */
        struct audit_state first = state();
        clock_ns += AUDIT_RETRY_NS;
        add_lines(2);
        struct audit_state second = state();
        if (limit_files(RLIM_INFINITY) < 0)
            rc = -1;
        ck_assert_int_eq(rc, 0);
        ck_assert_msg(first.failing && second.failing, "%llu", (unsigned long long)full);
        ck_assert_uint_eq(first.lines, 0);
        ck_assert_uint_eq(first.lost, 7);
        ck_assert_uint_eq(second.lost, 9);
        clock_ns += AUDIT_RETRY_NS;
        add_lines(1);
        struct audit_state third = state();
        ck_assert(!third.failing);
        ck_assert_uint_eq(third.lost, 9);
        ck_assert_uint_eq(third.lines, 1);
        ck_assert(whole());
        ck_assert(has_text(" lost lines=9 "));
        audit_close();
    }
}
END_TEST

START_TEST(a_second_program_does_not_write_the_same_file)
{
    open_log();
    add_lines(1);
    pid_t pid = fork();
    if (pid == 0) {
        /* The lock is the open file's, which both have now: open it anew. */
        _exit(audit_open(path, MOST, 3) == -EWOULDBLOCK ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    add_lines(1);
    ck_assert(whole());
}
END_TEST

START_TEST(no_text_makes_a_line_of_its_own)
{
    char longer[2 * AUDIT_LINE];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    open_log();
    audit_line("test", "a\nb\x80\x01 %s", longer);
    audit_line("test", "%s", "");
    audit_flush();
    ck_assert(whole());
    ck_assert(has_text(" test a?b?? xxx"));
    ck_assert_uint_eq(state().last.number, 3);
}
END_TEST

/* ---- guests ---- */

static struct xids_randomd_session_stats had = {.bytes = 4242};
static struct guest guest = {.domid = 7, .channels = 3, .before = &had};

START_TEST(a_guest_is_named_with_all_that_counts)
{
    static const char uuid[] = "01234567-89ab-CDEF-0123-456789abcdef";
    open_log();
    audit_guest(&guest, "offered", NULL);
    ck_assert(uuid_from(guest.vm, uuid, strlen(uuid)));
    audit_guest(&guest, "closed", "violation");
    audit_flush();
    ck_assert(has_text(" offered domid=7 vm=- channel=3 epoch=0000000000000000 bytes=4242 "));
    ck_assert(has_text(" closed domid=7 vm=01234567-89ab-cdef-0123-456789abcdef channel=3 epoch=0000000000000000 "
                       "bytes=4242 why=violation "));
    ck_assert(whole());
}
END_TEST

START_TEST(what_is_no_uuid_is_not_taken_for_one)
{
    static const char *const wrong[] = {"", "01234567-89ab-cdef-0123-456789abcde",
                                        "01234567-89ab-cdef-0123-456789abcdefa", "01234567-89ab-cdef-0123-456789abcdeg",
                                        "0123456789ab-cdef-0123-456789abcdef-"};
    uint8_t uuid[16] = {1};
    for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert(!uuid_from(uuid, wrong[i], strlen(wrong[i])));
    ck_assert_uint_eq(uuid[0], 1);
}
END_TEST

START_TEST(a_guest_cannot_fill_the_log)
{
    size_t len;
    open_log();
    for (unsigned int i = 0; i < 10000; i++)
        audit_guest(&guest, "closed", NULL);
    audit_flush();
    char *all = content(&len);
    unsigned int written = count_text(all, " closed ");
    free(all);
    ck_assert_uint_ge(written, 4);
    ck_assert_uint_le(written, 16);
    /* Another is not concerned. */
    struct guest other = guest;
    other.domid = 8;
    audit_guest(&other, "closed", NULL);
    audit_flush();
    ck_assert(has_text(" closed domid=8 "));
    /* After an hour it can again; the next line tells how many there were in between. */
    clock_ns += 3600ull * 1000000000ull;
    audit_guest(&guest, "closed", NULL);
    audit_flush();
    char skipped[64];
    (void)snprintf(skipped, sizeof(skipped), " skipped=%u ", 10000 - written);
    ck_assert(has_text(skipped));
    ck_assert(whole());
}
END_TEST

START_TEST(the_last_line_of_a_guest_is_always_written)
{
    open_log();
    for (unsigned int i = 0; i < 100; i++)
        audit_guest(&guest, "closed", NULL);
    audit_guest_gone(&guest, "gone");
    /* The next of that number begins with a full measure. */
    audit_guest(&guest, "offered", NULL);
    audit_flush();
    ck_assert(has_text(" gone domid=7 "));
    ck_assert(has_text(" offered domid=7 "));
    ck_assert(whole());
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_audit");
    TCase *t = tcase_create("log");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, without_a_file_there_is_none);
    tcase_add_test(t, what_is_written_is_whole);
    tcase_add_test(t, any_change_shows);
    tcase_add_test(t, a_missing_line_shows);
    tcase_add_test(t, the_next_run_goes_on_with_the_chain);
    tcase_add_test(t, a_line_that_was_cut_off_is_taken_away);
    tcase_add_test(t, a_changed_end_is_not_gone_on_with_in_silence);
    tcase_add_test(t, a_file_that_is_something_else_is_refused);
    tcase_add_test(t, a_file_that_was_moved_away_is_followed_by_another);
    tcase_add_test(t, a_file_that_is_full_is_followed_by_another);
    tcase_add_test(t, what_does_not_fit_on_the_disk_is_counted_and_the_chain_goes_on);
    tcase_add_test(t, a_second_program_does_not_write_the_same_file);
    tcase_add_test(t, no_text_makes_a_line_of_its_own);
    tcase_add_test(t, a_guest_is_named_with_all_that_counts);
    tcase_add_test(t, what_is_no_uuid_is_not_taken_for_one);
    tcase_add_test(t, a_guest_cannot_fill_the_log);
    tcase_add_test(t, the_last_line_of_a_guest_is_always_written);
    suite_add_tcase(suite, t);
    return suite;
}
