/* SPDX-License-Identifier: ISC */
/*
 * Live update: another program is executed in our place and goes on with our state, sockets and event channels. Before
 * that it is started beside us once, to look at the state: if it does not take it we carry on. While it looks we serve.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xids/xs_state.h>

#include "xenstore/xenstored.h"

/* How long a program may look at the state, in seconds, and how often we look whether it has done so. */
#define CHECK_SECONDS 10u
#define CHECK_POLL_MS 2u
#define REASON_MAX 300u
/* What a program says that takes the state: to end well is not enough, /bin/true does that too. */
#define TAKEN "the state is taken"

struct live {
    struct daemon *daemon;
    struct xids_xs_conn *conn; /* whose doing it is; NULL: it has gone */
    char *file;
    char *command_line; /* NULL: ours */
    uv_timer_t timer;
    bool started;
    bool taken;
    pid_t child; /* that looks at the state; 0: none */
    int said;    /* what it says, -1: none */
    uint64_t until;
};

/* What we keep for ourselves in the stream. */
struct note {
    uint64_t accepted;
    uint8_t handed; /* the service manager has opened the socket */
    uint8_t pid_written;
};

/* ---- the state, out ---- */

static int write_state(void *ctx, const void *bytes, size_t len)
{
    const int *fd = ctx;
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t n = write(*fd, at, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static void conn_state(void *ctx, struct xids_xs_conn *conn, struct xids_xs_state_conn *state)
{
    static char note[64];
    (void)ctx;
    if (state->domid < 0) {
        state->handle = client_state(conn, &state->rest, &state->rest_len);
    } else {
        state->handle = (int32_t)domains_state(conn, note, &state->note_len);
        state->note = note;
    }
}

/* The descriptor of a file in memory with our state, or a negative errno. */
static int save(struct daemon *d, int evtchn_fd)
{
    const struct note note = {.accepted = d->accepted, .handed = d->handed_fd >= 0, .pid_written = d->pid_written};
    int fd = memfd_create("xenstore-state", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    const struct xids_xs_save save = {
        .global = {.socket_fd = d->listen_fd, .evtchn_fd = evtchn_fd, .note = &note, .note_len = sizeof(note)},
        .write = write_state,
        .conn = conn_state,
        .ctx = &fd};
    int rc = xids_xs_server_save(d->server, &save);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    return fd;
}

/* ---- the program ---- */

static bool is_ours(const char *arg)
{
    return strcmp(arg, "-U") == 0 || strcmp(arg, "--live-update") == 0 || strncmp(arg, "--state-fd=", 11) == 0 ||
           strncmp(arg, "--check-state=", 14) == 0;
}

/* Our own arguments, or those that were given, and two more. The last is to be freed, and the array. */
static char **arguments(struct live *l, const char *option, int fd)
{
    size_t n = 0, room = 5;
    for (char **a = l->daemon->argv; *a != NULL; a++)
        room++;
    if (l->command_line != NULL)
        room += strlen(l->command_line);
    char **argv = calloc(room, sizeof(char *)), *last = malloc(40);
    if (argv == NULL || last == NULL) {
        free(argv);
        free(last);
        return NULL;
    }
    argv[n++] = l->file;
    if (l->command_line != NULL) {
        char *state = NULL;
        for (char *w = strtok_r(l->command_line, " \t", &state); w != NULL; w = strtok_r(NULL, " \t", &state))
            argv[n++] = w;
    } else {
        for (char **a = l->daemon->argv + 1; *a != NULL; a++) {
            if (!is_ours(*a))
                argv[n++] = *a;
        }
    }
    static char update[] = "-U";
    argv[n++] = update;
    (void)snprintf(last, 40, "--%s=%d", option, fd);
    argv[n] = last;
    return argv;
}

static void free_arguments(char **argv)
{
    char **last = argv;
    while (last[1] != NULL)
        last++;
    free(*last);
    free(argv);
}

/* Executes it with the descriptor open; comes back with an errno when that cannot be. */
static int execute(struct live *l, const char *option, int fd)
{
    char *copy = l->command_line != NULL ? strdup(l->command_line) : NULL;
    char **argv = arguments(l, option, fd);
    int rc = argv == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        (void)fcntl(fd, F_SETFD, 0);
        return_to_folder(l->daemon);
        (void)execv(l->file, argv);
        rc = -errno;
        leave_folder(l->daemon);
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        free_arguments(argv);
    }
    free(l->command_line); /* it has been cut into words */
    l->command_line = copy;
    return rc;
}

/* ---- the session ---- */

static void on_live_closed(uv_handle_t *handle)
{
    struct live *l = handle->data;
    free(l->file);
    free(l->command_line);
    free(l);
}

static void end(struct live *l, const char *answer)
{
    struct daemon *d = l->daemon;
    d->live = NULL;
    if (l->said >= 0)
        (void)close(l->said);
    if (l->started)
        log_msg(LOG_LEVEL_WARNING, "live update: %s", answer);
    if (l->conn != NULL && l->started && xids_xs_server_answer(l->conn, answer, strlen(answer) + 1) < 0)
        log_msg(LOG_LEVEL_ERROR, "live update: no memory for the answer");
    uv_close((uv_handle_t *)&l->timer, on_live_closed);
    flush_output(d);
}

/* Signals wait until the other program can hear them. */
static void hold_signals(bool hold)
{
    sigset_t ours;
    (void)sigemptyset(&ours);
    (void)sigaddset(&ours, SIGTERM);
    (void)sigaddset(&ours, SIGINT);
    (void)sigaddset(&ours, SIGHUP);
    (void)sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &ours, NULL);
}

/* Another program in our place. When it cannot be started we are as before. */
static void become(struct live *l)
{
    struct daemon *d = l->daemon;
    int evtchn_fd = domains_keep(d, true), fd = save(d, evtchn_fd), rc = fd;
    if (fd >= 0) {
        log_msg(LOG_LEVEL_INFO, "live update: becoming %s", l->file);
        clients_keep(d, true);
        (void)fcntl(d->listen_fd, F_SETFD, 0);
        rc = execute(l, "state-fd", fd);
        (void)fcntl(d->listen_fd, F_SETFD, FD_CLOEXEC);
        clients_keep(d, false);
        (void)close(fd);
    }
    (void)domains_keep(d, false);
    hold_signals(false);
    char text[REASON_MAX + 100];
    (void)snprintf(text, sizeof(text), "the program cannot be started: %s", strerror(-rc));
    end(l, text);
}

/* What became of the program that looked at the state. */
static void judge(struct live *l, int status)
{
    char reason[REASON_MAX + 1], text[REASON_MAX + 100];
    ssize_t n = read(l->said, reason, REASON_MAX);
    reason[n > 0 ? n : 0] = '\0';
    reason[strcspn(reason, "\n")] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && strcmp(reason, TAKEN) == 0) {
        /* What has come already the loop hears before the timer's next turn: libuv's note of it would be lost. */
        hold_signals(true);
        l->taken = true;
        return;
    }
    if (WIFSIGNALED(status))
        (void)snprintf(text, sizeof(text), "the program was killed by signal %d when it looked at the state",
                       WTERMSIG(status));
    else if (reason[0] == '\0')
        (void)snprintf(text, sizeof(text), "the program does not take the state: it ended with %d%s",
                       WEXITSTATUS(status), WEXITSTATUS(status) == EXIT_USAGE ? ", as for wrong options" : "");
    else
        (void)snprintf(text, sizeof(text), "the program does not take the state: %s", reason);
    end(l, text);
}

static void on_timer(uv_timer_t *timer)
{
    struct live *l = timer->data;
    int status;
    if (l->taken) {
        become(l);
        return;
    }
    pid_t pid = waitpid(l->child, &status, WNOHANG);
    if (pid == l->child) {
        l->child = 0;
        judge(l, status);
    } else if (uv_now(&l->daemon->loop) >= l->until) {
        /* It has an alarm set, which kills it unless it was made to ignore that. */
        end(l, "the program does not come to an end with the state");
    }
}

/* In the child. */
__attribute__((noreturn)) static void look(struct live *l, int state, int say)
{
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(CHECK_SECONDS);
    (void)dup2(say, STDOUT_FILENO);
    int rc = execute(l, "check-state", state);
    char text[100];
    int len = snprintf(text, sizeof(text), "%s\n", strerror(-rc));
    if (write(STDOUT_FILENO, text, (size_t)len) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

static int start_check(struct live *l)
{
    int ends[2] = {-1, -1}, state = save(l->daemon, domains_fd(l->daemon)), rc = state;
    if (state < 0)
        return rc;
    rc = pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
    if (rc == 0) {
        l->child = fork();
        if (l->child == 0)
            look(l, state, ends[1]);
        rc = l->child < 0 ? -errno : 0;
        (void)close(ends[1]);
        l->said = ends[0];
    }
    (void)close(state);
    if (rc < 0) {
        l->child = 0;
        return rc;
    }
    l->until = uv_now(&l->daemon->loop) + 1000u * (CHECK_SECONDS + 1u);
    return uv_timer_start(&l->timer, on_timer, CHECK_POLL_MS, CHECK_POLL_MS);
}

void live_forget(struct daemon *d, const struct xids_xs_conn *conn)
{
    struct live *l = d->live;
    if (l == NULL || l->conn != conn)
        return;
    l->conn = NULL;
    /* One that has been started goes on. */
    if (!l->started)
        end(l, "");
}

/* ---- commands ---- */

static bool is(const struct xids_xswire_str *arg, const char *word)
{
    return arg->len == strlen(word) && memcmp(arg->s, word, arg->len) == 0;
}

static int say(char *answer, size_t room, const char *text)
{
    size_t len = strlen(text) + 1;
    if (len > room)
        return -XEN_E2BIG;
    memcpy(answer, text, len);
    return (int)len;
}

static const char *begin(struct daemon *d, struct xids_xs_conn *conn, const char *file)
{
    struct stat st;
    if (d->options->no_live_update)
        return "live update is switched off";
    if (stat(file, &st) < 0)
        return "there is no such file";
    if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0)
        return "the file is no program";
    if (d->live != NULL)
        return "another live update is under way";
    struct live *l = calloc(1, sizeof(*l));
    if (l != NULL)
        l->file = strdup(file);
    if (l == NULL || l->file == NULL || uv_timer_init(&d->loop, &l->timer) < 0) {
        if (l != NULL)
            free(l->file);
        free(l);
        return "out of memory";
    }
    l->daemon = d;
    l->conn = conn;
    l->said = -1;
    l->timer.data = l;
    d->live = l;
    return "OK";
}

/* Transactions need not end first, so that neither a time for them nor force is of any use; they may be given. */
static int start(struct daemon *d, char *answer, size_t room, const struct xids_xswire_str *argv, unsigned int argc)
{
    for (unsigned int i = 2; i < argc; i++) {
        if ((is(&argv[i], "-t") || is(&argv[i], "-v")) && i + 1 < argc)
            i++;
        else if (!is(&argv[i], "-F"))
            return -XEN_EINVAL;
    }
    d->live->started = true;
    int rc = start_check(d->live);
    if (rc >= 0)
        return XIDS_XS_LATER;
    d->live->conn = NULL;
    end(d->live, strerror(-rc));
    return say(answer, room, strerror(-rc));
}

int live_command(struct daemon *d, struct xids_xs_conn *conn, char *answer, size_t room,
                 const struct xids_xswire_str *argv, unsigned int argc)
{
    bool own = d->live != NULL && d->live->conn == conn && !d->live->started;
    if (argc == 3 && is(&argv[1], "-f"))
        return say(answer, room, begin(d, conn, argv[2].s));
    if (argc == 2 && is(&argv[1], "-a")) {
        if (d->live == NULL || d->live->started)
            return say(answer, room, "there is none to be given up");
        d->live->conn = NULL;
        end(d->live, "");
        return say(answer, room, "OK");
    }
    if (argc < 2 || (!is(&argv[1], "-c") && !is(&argv[1], "-s")))
        return -XEN_EINVAL;
    if (!own)
        return say(answer, room, "no program was named first");
    if (is(&argv[1], "-s"))
        return start(d, answer, room, argv, argc);
    if (argc != 3)
        return -XEN_EINVAL;
    free(d->live->command_line);
    d->live->command_line = strdup(argv[2].s);
    return say(answer, room, d->live->command_line != NULL ? "OK" : "out of memory");
}

/* ---- the state, in ---- */

struct mapped {
    void *bytes;
    size_t len;
};

static int map_state(struct mapped *m, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size <= 0)
        return -ENODATA;
    m->len = (size_t)st.st_size;
    m->bytes = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    return m->bytes == MAP_FAILED ? -errno : 0;
}

/* Where C xenstored leaves its state for whoever comes after it. */
static int open_file(void)
{
    const char *dir = getenv("XENSTORED_RUNDIR");
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/state_dump", dir != NULL && dir[0] != '\0' ? dir : "/run/xenstored");
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)unlink(path);
    return fd;
}

static int take_global(void *ctx, const struct xids_xs_state_global *global)
{
    struct daemon *d = ctx;
    struct note note;
    if (global->note_len == sizeof(note)) {
        memcpy(&note, global->note, sizeof(note));
        d->accepted = note.accepted;
        d->pid_written = note.pid_written != 0 && d->options->pid_file != NULL;
        if (note.handed != 0)
            d->handed_fd = global->socket_fd;
    }
    d->listen_fd = global->socket_fd;
    if (d->listen_fd >= 0 && (fcntl(d->listen_fd, F_SETFD, FD_CLOEXEC) < 0 ||
                              fcntl(d->listen_fd, F_SETFL, fcntl(d->listen_fd, F_GETFL) | O_NONBLOCK) < 0))
        return -errno;
    return d->domains != NULL ? domains_attach(d, global->evtchn_fd) : 0;
}

static int take_conn(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn,
                     const struct xids_xs_state_conn *state)
{
    if (state->domid < 0)
        return client_adopt(ctx, conn, state->handle, state->rest, state->rest_len);
    return domains_adopt(ctx, page, conn, (evtchn_port_t)state->handle, state->note, state->note_len);
}

static int restore_from(struct daemon *d, struct xids_xs_state_error *error, int fd,
                        const struct xids_xs_restore *restore)
{
    struct mapped m = {.len = 0};
    int rc = map_state(&m, fd);
    if (rc < 0)
        return rc;
    rc = xids_xs_server_restore(d->server, error, restore, m.bytes, m.len);
    (void)munmap(m.bytes, m.len);
    return rc;
}

int live_restore(struct daemon *d)
{
    const struct xids_xs_restore restore = {.global = take_global, .conn = take_conn, .ctx = d};
    struct xids_xs_state_error error = {0};
    int fd = d->options->state_fd != 0 ? (int)d->options->state_fd : open_file();
    int rc = fd < 0 ? fd : restore_from(d, &error, fd, &restore);
    if (fd >= 0)
        (void)close(fd);
    if (error.reason != NULL)
        log_msg(LOG_LEVEL_ERROR, "the state: record %u at %llu: %s", error.record, (unsigned long long)error.offset,
                error.reason);
    else if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "the state cannot be taken over: %s", strerror(-rc));
    return rc;
}

/* With the other choice there would be no hypervisor to be found, or all guests would wait for ever. */
static int check_global(void *ctx, const struct xids_xs_state_global *global)
{
    const struct daemon *d = ctx;
    return (global->evtchn_fd < 0) == d->options->no_domain_init ? 0 : -XEN_EPERM;
}

int live_check(struct daemon *d)
{
    const struct xids_xs_restore restore = {.global = check_global, .ctx = d};
    struct xids_xs_state_error error = {0};
    int rc = restore_from(d, &error, (int)d->options->check_fd, &restore);
    if (error.reason != NULL)
        (void)printf("record %u at %llu: %s\n", error.record, (unsigned long long)error.offset, error.reason);
    else if (rc == -XEN_EPERM)
        (void)printf("the state is of a store %s\n", d->options->no_domain_init
                                                         ? "with domains, not for --no-domain-init"
                                                         : "without domains, for --no-domain-init alone");
    else
        (void)puts(rc < 0 ? strerror(-rc) : TAKEN);
    /* The process ends without a look at its streams. */
    bool said = fflush(stdout) == 0;
    return rc == 0 && said ? EXIT_SUCCESS : EXIT_FAILURE;
}
