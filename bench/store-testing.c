/* SPDX-License-Identifier: ISC */
/*
 * How long a unit test waits for a xenstored of its own: from the call to the first answer, and until it has ended. The
 * peer is what a test without libxids-testing would do: start the daemon.
 */
#include "bench/bench.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xids/store-testing.h>

extern char **environ;

static char directory[] = "/tmp/xids-bench-XXXXXX";
static char pid_file[64], socket_path[64];
static unsigned int starts; /* in a measurement */

static bool answers(struct xids_xs *xs)
{
    char *value = NULL;
    int rc = xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/tool");
    free(value);
    xids_xs_close(xs);
    return rc == 0;
}

static bool test_store(enum xids_test_store_mode mode)
{
    const struct xids_test_store_config config = {.mode = mode};
    struct xids_test_store *store;
    struct xids_xs *xs = NULL;
    if (xids_test_store_new(&store, &config) < 0)
        return false;
    bool ok = xids_test_store_open(store, &xs, 0) == 0 && answers(xs);
    xids_test_store_free(store);
    return ok;
}

/* Microseconds for one start, or -1. */
static double time_starts(enum xids_test_store_mode mode)
{
    uint64_t begin = bench_now();
    for (unsigned int i = 0; i < starts; i++) {
        if (!test_store(mode))
            return -1;
    }
    return (double)(bench_now() - begin) / 1000.0 / starts;
}

static double run_thread(void *ctx)
{
    (void)ctx;
    return time_starts(XIDS_TEST_STORE_THREAD);
}

static double run_forked(void *ctx)
{
    (void)ctx;
    return time_starts(XIDS_TEST_STORE_FORKED);
}

static bool end_daemon(void)
{
    long pid = 0;
    FILE *in = fopen(pid_file, "re");
    bool ok = in != NULL && fscanf(in, "%ld", &pid) == 1 && pid > 1 && kill((pid_t)pid, SIGTERM) == 0;
    if (in != NULL)
        (void)fclose(in);
    /* It removes its socket on the way out. */
    const struct timespec moment = {.tv_nsec = 100000};
    while (ok && access(socket_path, F_OK) == 0)
        (void)nanosleep(&moment, NULL);
    return ok;
}

static double run_daemon(void *ctx)
{
    char program[] = "./xids-xenstored", option[] = "-D", with_pid[] = "-F",
         *argv[] = {program, option, with_pid, pid_file, NULL};
    struct xids_xs *xs = NULL;
    pid_t pid;
    int status;
    (void)ctx;
    uint64_t begin = bench_now();
    /* It returns when it serves, in the background. */
    posix_spawn_file_actions_t quiet;
    if (posix_spawn_file_actions_init(&quiet) != 0)
        return -1;
    (void)posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawn(&pid, program, &quiet, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&quiet);
    if (rc != 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return -1;
    bool ok = xids_xs_open(&xs, socket_path) == 0 && answers(xs);
    return end_daemon() && ok ? (double)(bench_now() - begin) / 1000.0 : -1;
}

int main(void)
{
    struct bench *b = bench_open("store-testing");
    if (b == NULL || mkdtemp(directory) == NULL)
        return EXIT_FAILURE;
    (void)snprintf(pid_file, sizeof(pid_file), "%s/pid", directory);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", directory);
    (void)setenv("XENSTORED_PATH", socket_path, 1);
    starts = bench_quick(b) ? 5 : 200;
    unsigned int rounds = bench_quick(b) ? 1 : 9;
    const struct bench_side thread[] = {{"xids", run_thread, NULL}, {"self", run_daemon, NULL}};
    const struct bench_side forked[] = {{"xids", run_forked, NULL}, {"self", run_daemon, NULL}};
    (void)bench_compare(b, "start-thread", "us", BENCH_LOWER, rounds, thread, 2);
    (void)bench_compare(b, "start-forked", "us", BENCH_LOWER, rounds, forked, 2);
    (void)unlink(pid_file);
    (void)rmdir(directory);
    return bench_close(b);
}
