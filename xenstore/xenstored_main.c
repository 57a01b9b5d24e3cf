/* SPDX-License-Identifier: ISC */
/* xids-xenstored: going into the background, the loop, a clean end. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "xenstore/replay.h"
#include "xenstore/sandbox.h"
#include "xenstore/xenstored.h"

/* ---- the outside ---- */

/* Tells systemd, or whoever set the variable. */
static void notify_manager(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(addr.sun_path))
        return;
    size_t len = strlen(path);
    memcpy(addr.sun_path, path, len);
    if (addr.sun_path[0] == '@')
        addr.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr, addr_len);
    (void)close(fd);
}

/* A descriptor for each client: as many as we may have. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Goes into the background. The parent stays until the child serves, and returns how it went; the child gets the
 * descriptor on which to say so. */
static int background(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        (void)close(ends[1]);
        ssize_t n = read(ends[0], &byte, 1);
        _exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    (void)close(ends[0]);
    (void)setsid();
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return ends[1];
}

void leave_folder(const struct daemon *d)
{
    if (d->folder != NULL)
        (void)chdir("/");
}

void return_to_folder(const struct daemon *d)
{
    if (d->folder != NULL && chdir(d->folder) < 0)
        log_msg(LOG_LEVEL_WARNING, "%s: %s", d->folder, strerror(errno));
}

static void say_ready(int fd)
{
    if (fd < 0)
        return;
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        for (int i = 0; i < 3; i++)
            (void)dup2(null, i);
        if (null > 2)
            (void)close(null);
    }
    if (write(fd, "", 1) < 0)
        log_msg(LOG_LEVEL_WARNING, "nobody waits for the daemon to be ready");
    (void)close(fd);
}

static int write_pid_file(struct daemon *d)
{
    const char *path = d->options->pid_file;
    if (path == NULL)
        return 0;
    FILE *f = fopen(path, "we");
    int rc = f == NULL || fprintf(f, "%ld\n", (long)getpid()) < 0 ? -errno : 0;
    d->pid_written = f != NULL;
    if (f != NULL && fclose(f) != 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "%s: %s", path, strerror(-rc));
    return rc;
}

static char *default_socket(void)
{
    const char *path = getenv("XENSTORED_PATH");
    if (path != NULL && path[0] != '\0')
        return strdup(path);
    const char *dir = getenv("XENSTORED_RUNDIR");
    if (dir == NULL || dir[0] == '\0')
        dir = "/run/xenstored";
    size_t len = strlen(dir) + sizeof("/socket");
    char *s = malloc(len);
    if (s != NULL)
        (void)stpcpy(stpcpy(s, dir), "/socket");
    return s;
}

/* ---- the inside ---- */

static void *heap_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void heap_put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    (void)size;
    free(mem);
}

static void print(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    log_msg(LOG_LEVEL_INFO, "control: %.*s", (int)(len < 400 ? len : 400), text);
}

static int make_server(struct daemon *d, const struct xids_xs_host *host)
{
    struct xids_xs_server_config config = {.alloc = {.get = heap_get, .put = heap_put},
                                           .limits = &d->options->limits,
                                           .host = host,
                                           .own_domid = (uint16_t)d->options->own_domid,
                                           .privileged_domid = (uint16_t)d->options->privileged_domid};
    if (getrandom(config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
        return -EIO;
    return xids_xs_server_new(&d->server, &config);
}

/* The last thing before the loop: what is opened later must be on the sandbox's list. */
static void give_up_rights(struct daemon *d)
{
    const struct options *o = d->options;
    const struct sandbox_needs needs = {.pid = getpid(),
                                        .files = o->trace_file != NULL || o->journal != NULL,
                                        .pipes = getenv("XIDS_SIM_DIR") != NULL,
                                        .areas = getenv("XIDS_SIM_DIR") != NULL,
                                        .exec = !o->no_live_update};
    int rc = o->no_sandbox ? -ENOTSUP : sandbox_enter(&needs);
    d->sandboxed = rc == 0;
    if (rc < 0 && rc != -ENOTSUP)
        log_msg(LOG_LEVEL_WARNING, "no sandbox: %s", strerror(-rc));
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    char state[64];
    (void)number;
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(uv_hrtime() / 1000));
    notify_manager(state);
    log_msg(LOG_LEVEL_INFO, "SIGHUP: the trace begins anew");
    (void)tracing_on(d);
    notify_manager("READY=1");
}

/* For whoever would become this program: it takes the state, or says why not. */
static int check_state(struct daemon *d)
{
    const struct xids_xs_host host = {.ctx = d};
    int status = EXIT_FAILURE;
    if (make_server(d, &host) == 0)
        status = live_check(d);
    /* The end of the process is quicker than taking it all back. */
    _exit(status);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    log_msg(LOG_LEVEL_INFO, "signal %d: ending", number);
    uv_stop(&d->loop);
}

/* Who was executed in the place of another one begins with them blocked. */
static void hear_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Who has taken over a store is the only one who has it: it may not end for what it can do without. The sandbox of the
 * one before it does not let it make files, nor may a folder be there. */
static int may_lack(const struct daemon *d, int rc)
{
    return d->options->live_update ? 0 : rc;
}

static int start(struct daemon *d)
{
    struct xids_xs_host host = {.denied = quota_denied,
                                .print = print,
                                .report = quota_report,
                                .control = commands_run,
                                .control_help = commands_help,
                                .ctx = d};
    int rc = uv_loop_init(&d->loop);
    if (rc < 0)
        return rc;
    (void)uv_idle_init(&d->loop, &d->idle);
    (void)uv_timer_init(&d->loop, &d->deadline);
    d->idle.data = d->deadline.data = d;
    rc = linger_open(d);
    if (rc < 0)
        return rc;
    (void)uv_signal_init(&d->loop, &d->term);
    (void)uv_signal_init(&d->loop, &d->interrupt);
    (void)uv_signal_init(&d->loop, &d->hangup);
    d->term.data = d->interrupt.data = d->hangup.data = d;
    (void)uv_signal_start(&d->hangup, on_hangup, SIGHUP);
    (void)uv_signal_start(&d->term, on_signal, SIGTERM);
    (void)uv_signal_start(&d->interrupt, on_signal, SIGINT);
    hear_signals();
    if (!d->options->no_domain_init)
        rc = domains_open(d, &host);
    if (rc == 0)
        rc = make_server(d, &host);
    if (rc == 0)
        rc = tracing_open(d);
    if (rc == 0 && d->options->live_update)
        rc = live_restore(d);
    if (rc == 0)
        rc = journal_open(d);
    if (rc == 0)
        rc = socket_open(d);
    if (rc == 0 && !d->options->no_domain_init)
        rc = domains_start(d);
    if (rc == 0)
        rc = may_lack(d, journal_start(d));
    if (rc == 0)
        rc = may_lack(d, control_open(d));
    if (rc == 0 && !d->pid_written)
        rc = may_lack(d, write_pid_file(d));
    if (rc == 0 && (d->options->live_update || d->restored))
        clients_start(d);
    return rc;
}

static void close_rest(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void stop(struct daemon *d)
{
    return_to_folder(d);
    socket_close(d);
    control_close(d);
    journal_close(d);
    domains_close(d);
    tracing_close(d);
    uv_walk(&d->loop, close_rest, NULL);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&d->loop);
    free(d->clients);
    xids_xs_server_free(d->server);
    if (d->pid_written)
        (void)unlink(d->options->pid_file);
    free(d->folder);
}

static int serve(struct daemon *d)
{
    const struct options *o = d->options;
    (void)signal(SIGPIPE, SIG_IGN);
    log_open(o->log_level, false);
    d->handed_fd = socket_handed_over();
    raise_descriptors();
    if (o->check_fd != 0)
        return check_state(d);
    int ready_fd = o->foreground || o->live_update ? -1 : background();
    d->folder = o->foreground ? NULL : getcwd(NULL, 0);
    int rc = start(d);
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "cannot start: %s", strerror(-rc));
    } else {
        if (o->print_pid) {
            (void)printf("%ld\n", (long)getpid());
            (void)fflush(stdout);
        }
        log_msg(LOG_LEVEL_INFO, "serving %s%s", d->socket_path, o->no_domain_init ? " (no domains)" : "");
        notify_manager("READY=1");
        if (ready_fd >= 0 || (o->live_update && !o->foreground))
            log_open(o->log_level, true);
        say_ready(ready_fd);
        leave_folder(d);
        give_up_rights(d);
        (void)uv_run(&d->loop, UV_RUN_DEFAULT);
        notify_manager("STOPPING=1");
    }
    stop(d);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options o;
    struct daemon d = {.options = &o, .listen_fd = -1, .handed_fd = -1, .argv = argv};
    int rc = options_parse(&o, argc, argv);
    if (rc >= 0) {
        options_free(&o);
        return rc;
    }
    char *path = default_socket(), *control = path != NULL ? control_path(&o, path) : NULL;
    d.socket_path = path;
    d.control_path = control;
    if (control == NULL)
        rc = EXIT_FAILURE;
    else if (o.replay != NULL)
        rc = replay_file(o.replay, o.replay_print);
    else if (o.ask_status || o.ask_domains)
        rc = control_ask(control, o.ask_status ? "status" : "domains");
    else
        rc = serve(&d);
    free(control);
    free(path);
    options_free(&o);
    return rc;
}
