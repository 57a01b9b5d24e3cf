/* SPDX-License-Identifier: ISC */
/* The handle of a test store: who serves, and calls that go there. */
#define _GNU_SOURCE
#include "xenstore/testing_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long the end of a serving process is waited for. */
#define END_MS 10000

struct xids_test_store {
    enum xids_test_store_mode mode;
    pid_t pid;             /* who made it */
    struct tst_core *core; /* NULL: another process serves */
    pthread_t thread;
    int lifeline;                           /* to the serving process, which ends with it */
    char control[XIDS_TEST_STORE_PATH_MAX]; /* where it takes calls */
    char used[XIDS_TEST_STORE_PATH_MAX];    /* what XENSTORED_PATH was set to */
};

/*
 * In a forked process a copy of the core is left, with a lock that nobody may hold and descriptors that are its maker's
 * as well. Freeing it could do harm; it stays, where leak checkers see it.
 */
static struct tst_core *left_alone;

/* ---- who serves ---- */

/* Signals are for the program's own threads. */
static int start_thread(struct xids_test_store *store)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&store->thread, NULL, tst_serve, store->core);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -rc;
}

/* In the serving process: nothing of the test's but the error output. */
static int leave_everything(int lifeline)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &plain, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Above the standard three, and not where it would be overwritten. */
    int kept = fcntl(lifeline, F_DUPFD_CLOEXEC, 4);
    int null = open("/dev/null", O_RDWR);
    if (kept < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(kept, 3) < 0)
        return -1;
    (void)fcntl(3, F_SETFD, FD_CLOEXEC);
    closefrom(4);
    return 3;
}

/* What the serving process says of its start. */
struct start {
    int rc;
    char control[XIDS_TEST_STORE_PATH_MAX];
};

static void serve_in_process(int lifeline, const struct xids_test_store_config *config)
{
    struct start start = {.rc = -XEN_EIO};
    struct tst_core *core = NULL;
    lifeline = leave_everything(lifeline);
    if (lifeline < 0)
        return;
    start.rc = tst_core_new(&core, config);
    if (start.rc == 0) {
        core->lifeline = (struct tst_source){TST_LIFELINE, lifeline, NULL};
        start.rc = tst_watch_fd(core, &core->lifeline, EPOLLIN, true);
        (void)snprintf(start.control, sizeof(start.control), "%s", tst_listener_of(core, -1)->path);
    }
    (void)!send(lifeline, &start, sizeof(start), MSG_NOSIGNAL);
    if (start.rc == 0)
        (void)tst_serve(core);
    if (core != NULL)
        tst_core_free(core);
}

/* By way of a process that ends at once, so that the program finds no child that it did not make. */
static int start_process(struct xids_test_store *store, const struct xids_test_store_config *config)
{
    struct start start = {.rc = -XEN_EIO};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            (void)close(pair[0]);
            serve_in_process(pair[1], config);
        }
        _exit(0);
    }
    int rc = pid < 0 ? -errno : 0;
    (void)close(pair[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0)
        rc = recv(pair[0], &start, sizeof(start), MSG_WAITALL) == (ssize_t)sizeof(start) ? start.rc : -XEN_EIO;
    if (rc < 0) {
        (void)close(pair[0]);
        return rc;
    }
    store->lifeline = pair[0];
    memcpy(store->control, start.control, sizeof(store->control));
    return 0;
}

static int start(struct xids_test_store *store, const struct xids_test_store_config *config)
{
    if (store->mode == XIDS_TEST_STORE_FORKED)
        return start_process(store, config);
    int rc = tst_core_new(&store->core, config);
    if (rc < 0 || store->mode == XIDS_TEST_STORE_MANUAL)
        return rc;
    memcpy(store->control, tst_listener_of(store->core, -1)->path, sizeof(store->control));
    rc = start_thread(store);
    if (rc < 0)
        tst_core_free(store->core);
    return rc;
}

int xids_test_store_new(struct xids_test_store **out, const struct xids_test_store_config *config)
{
    static const struct xids_test_store_config defaults;
    if (config == NULL)
        config = &defaults;
    if ((unsigned int)config->mode > XIDS_TEST_STORE_MANUAL)
        return -XEN_EINVAL;
    struct xids_test_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return -XEN_ENOMEM;
    store->mode = config->mode;
    store->pid = getpid();
    store->lifeline = -1;
    int rc = start(store, config);
    if (rc < 0) {
        free(store);
        return rc;
    }
    *out = store;
    return 0;
}

static void stop(struct xids_test_store *store)
{
    if (store->mode == XIDS_TEST_STORE_FORKED) {
        char end;
        struct pollfd p = {.fd = store->lifeline, .events = POLLIN};
        (void)shutdown(store->lifeline, SHUT_WR);
        if (poll(&p, 1, END_MS) > 0)
            (void)!read(store->lifeline, &end, 1);
        return;
    }
    if (store->mode == XIDS_TEST_STORE_THREAD) {
        tst_lock(store->core);
        store->core->stop = true;
        tst_wake(store->core);
        pthread_mutex_unlock(&store->core->lock);
        (void)pthread_join(store->thread, NULL);
    }
    tst_core_free(store->core);
}

void xids_test_store_free(struct xids_test_store *store)
{
    if (store == NULL)
        return;
    const char *path = getenv("XENSTORED_PATH");
    if (store->used[0] != '\0' && path != NULL && strcmp(path, store->used) == 0)
        (void)unsetenv("XENSTORED_PATH");
    if (store->pid == getpid()) {
        stop(store);
    } else if (store->core != NULL) {
        store->core->next = left_alone;
        left_alone = store->core;
    }
    if (store->lifeline >= 0)
        (void)close(store->lifeline);
    free(store);
}

/* ---- calls ---- */

static int call(struct xids_test_store *store, const struct tst_op *op, struct tst_result *result)
{
    *result = (struct tst_result){0};
    if (store->core != NULL && store->pid == getpid()) {
        tst_lock(store->core);
        tst_execute(store->core, op, result);
        tst_wake(store->core);
        pthread_mutex_unlock(&store->core->lock);
    } else if (store->mode == XIDS_TEST_STORE_MANUAL) {
        result->rc = -XEN_EPERM;
    } else {
        tst_call(store->control, op, result);
    }
    return result->rc;
}

static int call_simple(struct xids_test_store *store, enum tst_code code, uint32_t a, uint32_t b)
{
    const struct tst_op op = {.code = code, .a = {a, b}};
    struct tst_result result;
    int rc = call(store, &op, &result);
    tst_text_free(&result.text);
    return rc;
}

static int call_text(struct xids_test_store *store, char **text, const struct tst_op *op)
{
    struct tst_result result;
    int rc = call(store, op, &result);
    if (rc >= 0 && tst_text_take(&result.text, text) < 0)
        rc = -XEN_ENOMEM;
    tst_text_free(&result.text);
    return rc;
}

int xids_test_store_path(struct xids_test_store *store, char path[XIDS_TEST_STORE_PATH_MAX], domid_t domid)
{
    const struct tst_op op = {.code = TST_OP_PATH, .a = {domid}};
    char *text = NULL;
    int rc = call_text(store, &text, &op);
    if (rc < 0)
        return rc;
    (void)snprintf(path, XIDS_TEST_STORE_PATH_MAX, "%s", text);
    free(text);
    return 0;
}

int xids_test_store_use(struct xids_test_store *store, domid_t domid)
{
    int rc = xids_test_store_path(store, store->used, domid);
    if (rc < 0)
        return rc;
    return setenv("XENSTORED_PATH", store->used, 1) < 0 ? -errno : 0;
}

int xids_test_store_connect(struct xids_test_store *store, int *fd, domid_t domid)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int rc = xids_test_store_path(store, addr.sun_path, domid);
    if (rc < 0)
        return rc;
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -errno;
    if (connect(s, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        rc = -errno;
        (void)close(s);
        return rc;
    }
    *fd = s;
    return 0;
}

int xids_test_store_open(struct xids_test_store *store, struct xids_xs **xs, domid_t domid)
{
    char path[XIDS_TEST_STORE_PATH_MAX];
    int rc = xids_test_store_path(store, path, domid);
    return rc < 0 ? rc : xids_xs_open(xs, path);
}

/* ---- turns ---- */

static bool turned_by_hand(const struct xids_test_store *store)
{
    return store->mode == XIDS_TEST_STORE_MANUAL && store->pid == getpid();
}

int xids_test_store_settle(struct xids_test_store *store)
{
    return call_simple(store, TST_OP_SETTLE, 0, 0);
}

int xids_test_store_run(struct xids_test_store *store, int timeout_ms)
{
    if (!turned_by_hand(store))
        return -XEN_EPERM;
    struct tst_core *core = store->core;
    uint64_t before = core->requests;
    tst_wait(core, timeout_ms);
    tst_lock(core);
    tst_turns(core);
    pthread_mutex_unlock(&core->lock);
    return (int)(core->requests - before);
}

int xids_test_store_fd(const struct xids_test_store *store)
{
    return turned_by_hand(store) ? store->core->epoll : -XEN_EPERM;
}

/* ---- domains ---- */

int xids_test_store_introduce(struct xids_test_store *store, domid_t domid, bool home)
{
    return call_simple(store, TST_OP_INTRODUCE, domid, home);
}

int xids_test_store_shutdown(struct xids_test_store *store, domid_t domid)
{
    return call_simple(store, TST_OP_SHUTDOWN, domid, 0);
}

int xids_test_store_destroy(struct xids_test_store *store, domid_t domid)
{
    return call_simple(store, TST_OP_DESTROY, domid, 0);
}

int xids_test_store_limit(struct xids_test_store *store, domid_t domid, const char *name, uint32_t value)
{
    const struct tst_op op = {.code = TST_OP_LIMIT, .a = {domid, value}, .has_text = true, .text = name};
    struct tst_result result;
    int rc = call(store, &op, &result);
    tst_text_free(&result.text);
    return rc;
}

int xids_test_store_ring(struct xids_test_store *store, struct xids_test_store_ring *ring, domid_t domid)
{
    struct tst_core *core = store->core;
    if (core == NULL || store->pid != getpid())
        return -XEN_ENOSYS;
    tst_lock(core);
    struct tst_domain *d = tst_domain_of(core, domid);
    int rc = d != NULL && d->introduced ? 0 : -XEN_ENOENT;
    if (rc == 0) {
        ring->page = (void XIDS_PEER *)d->page;
        ring->port = TST_GUEST_PORT;
        ring->platform = &d->platform;
    }
    pthread_mutex_unlock(&core->lock);
    return rc;
}

/* ---- faults ---- */

int xids_test_store_fault(struct xids_test_store *store, const struct xids_test_store_fault *f)
{
    const struct tst_op op = {
        .code = TST_OP_FAULT,
        .a = {f->type, f->of_domain, f->domid, f->nth, f->times, f->action, (uint32_t)f->error, f->requests, f->ms,
              f->bytes},
        .has_text = f->path != NULL,
        .text = f->path,
    };
    struct tst_result result;
    int rc = call(store, &op, &result);
    tst_text_free(&result.text);
    return rc;
}

int xids_test_store_refuse_commits(struct xids_test_store *store, uint32_t nth, uint32_t times)
{
    const struct xids_test_store_fault fault = {
        .type = XS_TRANSACTION_END,
        .nth = nth,
        .times = times,
        .action = XIDS_TEST_STORE_ERROR,
        .error = -XEN_EAGAIN,
    };
    return xids_test_store_fault(store, &fault);
}

int xids_test_store_fail(struct xids_test_store *store, uint32_t type, const char *path, uint32_t nth, int error)
{
    const struct xids_test_store_fault fault = {
        .type = type,
        .path = path,
        .nth = nth,
        .action = XIDS_TEST_STORE_ERROR,
        .error = error,
    };
    return xids_test_store_fault(store, &fault);
}

int xids_test_store_fault_hits(struct xids_test_store *store, int fault)
{
    return call_simple(store, TST_OP_HITS, (uint32_t)fault, 0);
}

int xids_test_store_fault_clear(struct xids_test_store *store, int fault)
{
    return call_simple(store, TST_OP_CLEAR, (uint32_t)fault, 0);
}

int xids_test_store_let_go(struct xids_test_store *store)
{
    return call_simple(store, TST_OP_LET_GO, 0, 0);
}

/* ---- texts ---- */

int xids_test_store_dump(struct xids_test_store *store, char **text, const char *path, unsigned int flags)
{
    const struct tst_op op = {.code = TST_OP_DUMP, .a = {flags}, .has_text = path != NULL, .text = path};
    return call_text(store, text, &op);
}

int xids_test_store_load(struct xids_test_store *store, unsigned int *line, const char *text)
{
    const struct tst_op op = {.code = TST_OP_LOAD, .has_text = true, .text = text};
    struct tst_result result;
    int rc = call(store, &op, &result);
    if (line != NULL)
        *line = (unsigned int)result.v[0];
    tst_text_free(&result.text);
    return rc;
}

int xids_test_store_compare(struct xids_test_store *store, char **difference, const char *path, unsigned int flags,
                            const char *expected)
{
    char *found = NULL;
    *difference = NULL;
    int rc = xids_test_store_dump(store, &found, path, flags);
    /* Nothing there is a difference like others. */
    if (rc < 0 && rc != -XEN_ENOENT)
        return rc;
    rc = tst_compare(difference, expected, rc == 0 ? found : "", flags);
    free(found);
    return rc;
}

static int write_file(const char *file, const char *text)
{
    FILE *out = fopen(file, "we");
    if (out == NULL)
        return -errno;
    int rc = fputs(text, out) < 0 ? -errno : 0;
    if (fclose(out) != 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int read_file(char **text, const char *file)
{
    struct tst_text all = {0};
    char chunk[4096];
    FILE *in = fopen(file, "re");
    if (in == NULL)
        return -errno;
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
        tst_text_add(&all, chunk, n);
    int rc = ferror(in) ? -XEN_EIO : 0;
    (void)fclose(in);
    if (rc == 0)
        rc = tst_text_take(&all, text);
    tst_text_free(&all);
    return rc;
}

int xids_test_store_compare_file(struct xids_test_store *store, char **difference, const char *path, unsigned int flags,
                                 const char *file)
{
    char *text = NULL;
    *difference = NULL;
    bool update = getenv("XIDS_TEST_STORE_UPDATE") != NULL;
    int rc = update ? xids_test_store_dump(store, &text, path, flags) : read_file(&text, file);
    if (rc == 0)
        rc = update ? write_file(file, text) : xids_test_store_compare(store, difference, path, flags, text);
    free(text);
    return rc;
}

int xids_test_store_counts(struct xids_test_store *store, struct xids_test_store_counts *counts)
{
    const struct tst_op op = {.code = TST_OP_COUNTS};
    struct tst_result r;
    int rc = call(store, &op, &r);
    *counts =
        (struct xids_test_store_counts){r.v[0], (uint32_t)r.v[1], (uint32_t)r.v[2], (uint32_t)r.v[3], (uint32_t)r.v[4]};
    tst_text_free(&r.text);
    return rc;
}

int xids_test_store_log(struct xids_test_store *store, char **text)
{
    const struct tst_op op = {.code = TST_OP_LOG};
    return call_text(store, text, &op);
}

int xids_test_store_log_clear(struct xids_test_store *store)
{
    return call_simple(store, TST_OP_LOG_CLEAR, 0, 0);
}

int xids_test_store_watches(struct xids_test_store *store, char **text)
{
    const struct tst_op op = {.code = TST_OP_WATCHES};
    return call_text(store, text, &op);
}

/* Adds the lines of a list, each after a word. Returns how many. */
static int add_lines(struct tst_text *out, const char *word, const char *lines)
{
    int n = 0;
    for (const char *end; (end = strchr(lines, '\n')) != NULL; lines = end + 1) {
        tst_text_str(out, word);
        tst_text_add(out, lines, (size_t)(end - lines) + 1);
        n++;
    }
    return n;
}

static int leaks_of(struct xids_test_store *store, struct tst_text *report, const char *expected)
{
    const struct tst_op ops[2] = {{.code = TST_OP_TRANSACTIONS}, {.code = TST_OP_WATCHES}};
    char *text = NULL;
    int found = 0, rc = xids_test_store_settle(store);
    for (int i = 0; i < 2 && rc >= 0; i++) {
        rc = call_text(store, &text, &ops[i]);
        if (rc >= 0)
            found += add_lines(report, i == 0 ? "" : "watch of ", text);
        free(text);
        text = NULL;
    }
    if (rc >= 0 && expected != NULL) {
        rc = xids_test_store_dump(store, &text, NULL, 0);
        if (rc == 0)
            rc = tst_unexpected(report, expected, text);
        found += rc > 0 ? rc : 0;
        free(text);
    }
    return rc < 0 ? rc : found;
}

int xids_test_store_leaks(struct xids_test_store *store, char **report, const char *expected)
{
    struct tst_text text = {0};
    *report = NULL;
    int rc = leaks_of(store, &text, expected);
    if (rc >= 0 && tst_text_take(&text, report) < 0)
        rc = -XEN_ENOMEM;
    tst_text_free(&text);
    return rc;
}
