/* SPDX-License-Identifier: ISC */
/* xids-xenstored: options, going into the background, the loop, a clean end. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

struct options {
    bool foreground;
    bool domain_init;
    bool print_pid;
    enum log_level log_level;
};

enum {
    OPT_FOREGROUND = 256,
    OPT_LOG_LEVEL,
    OPT_CONTROL,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"no-domain-init", no_argument, NULL, 'D'},
    {"entry-nb", required_argument, NULL, 'E'},
    {"pid-file", required_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'H'},
    {"no-fork", no_argument, NULL, 'N'},
    {"output-pid", no_argument, NULL, 'P'},
    {"entry-size", required_argument, NULL, 'S'},
    {"trace-file", required_argument, NULL, 'T'},
    {"trace-control", required_argument, NULL, 'c'},
    {"transaction", required_argument, NULL, 't'},
    {"perm-nb", required_argument, NULL, 'A'},
    {"path-max", required_argument, NULL, 'M'},
    {"quota", required_argument, NULL, 'Q'},
    {"quota-soft", required_argument, NULL, 'q'},
    {"timeout", required_argument, NULL, 'w'},
    {"no-recovery", no_argument, NULL, 'R'},
    {"internal-db", optional_argument, NULL, 'I'},
    {"verbose", no_argument, NULL, 'V'},
    {"watch-nb", required_argument, NULL, 'W'},
    {"keep-orphans", no_argument, NULL, 'K'},
    {"event", required_argument, NULL, 'e'},
    {"master-domid", required_argument, NULL, 'm'},
    {"priv-domid", required_argument, NULL, 'p'},
    {"live-update", no_argument, NULL, 'U'},
    {"foreground", no_argument, NULL, OPT_FOREGROUND},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static void usage(FILE *to)
{
    (void)fputs("usage: xids-xenstored [options]\n"
                "  -D, --no-domain-init     serve the socket alone, without a hypervisor\n"
                "  -N, --no-fork            stay in the foreground (also --foreground)\n"
                "  -F, --pid-file FILE      write the process id there\n"
                "  -P, --output-pid         print the process id\n"
                "  -V, --verbose            log more (also --log-level debug)\n"
                "      --log-level LEVEL    error, warning, info or debug\n"
                "      --control PATH       answer \"status\" on this unix socket\n"
                "  -E, -S, -W, -t, -A, -M   limits for a guest: nodes, bytes of a node, watches,\n"
                "                           transactions, permissions of a node, bytes of a path\n"
                "  -Q, --quota NAME=N       the same by name\n"
                "  -H, --help, --version\n"
                "xids-xenstored(8) tells more.\n",
                to);
}

static bool number(uint32_t *value, const char *text)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v > UINT32_MAX)
        return false;
    *value = v == 0 ? UINT32_MAX : (uint32_t)v; /* C xenstored: 0 is no limit */
    return true;
}

static bool quota(struct xids_xs_limits *l, const char *assignment)
{
    const struct {
        const char *name;
        uint32_t *limit;
    } quotas[] = {
        {"nodes", &l->store.nodes},
        {"node-size", &l->store.node_size},
        {"node-permissions", &l->store.perms},
        {"transaction-nodes", &l->store.tx_nodes},
        {"watches", &l->watches},
        {"transactions", &l->transactions},
        {"outstanding", &l->outstanding},
        {"path-max", &l->path_max},
    };
    const char *eq = strchr(assignment, '=');
    uint32_t ignored;
    if (eq == NULL || !number(&ignored, eq + 1))
        return false;
    for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
        if (strlen(quotas[i].name) == (size_t)(eq - assignment) &&
            strncmp(quotas[i].name, assignment, (size_t)(eq - assignment)) == 0)
            return number(quotas[i].limit, eq + 1);
    }
    return strncmp(assignment, "memory=", 7) == 0;
}

/* 0, or the exit status plus one. */
static int parse(struct options *o, struct daemon *d, int argc, char **argv)
{
    struct xids_xs_limits *l = &d->limits;
    int opt;
    while ((opt = getopt_long(argc, argv, "DE:F:HNPS:t:A:M:Q:q:T:c:RVW:w:UKe:m:p:I::", long_options, NULL)) != -1) {
        bool good = true;
        switch (opt) {
        case 'D':
            o->domain_init = false;
            break;
        case 'N':
        case OPT_FOREGROUND:
            o->foreground = true;
            break;
        case 'F':
            d->pid_file = optarg;
            break;
        case 'P':
            o->print_pid = true;
            break;
        case 'V':
            o->log_level = LOG_LEVEL_DEBUG;
            break;
        case OPT_LOG_LEVEL:
            good = log_level_parse(&o->log_level, optarg);
            break;
        case OPT_CONTROL:
            d->control_path = optarg;
            break;
        case 'E':
            good = number(&l->store.nodes, optarg);
            break;
        case 'S':
            good = number(&l->store.node_size, optarg);
            break;
        case 'A':
            good = number(&l->store.perms, optarg);
            break;
        case 'W':
            good = number(&l->watches, optarg);
            break;
        case 't':
            good = number(&l->transactions, optarg);
            break;
        case 'M':
            good = number(&l->path_max, optarg);
            break;
        case 'Q':
            good = quota(l, optarg);
            break;
        case 'H':
            usage(stdout);
            return 1;
        case OPT_VERSION:
            (void)puts("xids-xenstored (xids) " PACKAGE_VERSION);
            return 1;
        case 'T':
        case 'c':
        case 'q':
        case 'w':
        case 'R':
        case 'I':
        case 'K':
        case 'e':
        case 'm':
        case 'p':
        case 'U':
            /* Scripts written for C xenstored pass them; nobody should believe that they work. */
            (void)fprintf(stderr, "xids-xenstored: option -%c has no effect here\n", opt);
            break;
        default:
            usage(stderr);
            return 1 + EXIT_FAILURE;
        }
        if (!good) {
            (void)fprintf(stderr, "xids-xenstored: bad value: %s\n", optarg);
            return 1 + EXIT_FAILURE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "xids-xenstored: unexpected argument: %s\n", argv[optind]);
        return 1 + EXIT_FAILURE;
    }
    return 0;
}

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
    (void)chdir("/");
    if (write(fd, "", 1) < 0)
        log_msg(LOG_LEVEL_WARNING, "nobody waits for the daemon to be ready");
    (void)close(fd);
}

static int write_pid_file(const struct daemon *d)
{
    if (d->pid_file == NULL)
        return 0;
    FILE *f = fopen(d->pid_file, "we");
    int rc = f == NULL || fprintf(f, "%ld\n", (long)getpid()) < 0 ? -errno : 0;
    if (f != NULL && fclose(f) != 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "%s: %s", d->pid_file, strerror(-rc));
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
    struct xids_xs_server_config config = {
        .alloc = {.get = heap_get, .put = heap_put}, .limits = &d->limits, .host = host};
    if (getrandom(config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
        return -EIO;
    return xids_xs_server_new(&d->server, &config);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    log_msg(LOG_LEVEL_INFO, "signal %d: ending", number);
    uv_stop(&d->loop);
}

static int start(struct daemon *d, const struct options *o)
{
    struct xids_xs_host host = {.print = print};
    int rc = uv_loop_init(&d->loop);
    if (rc < 0)
        return rc;
    (void)uv_idle_init(&d->loop, &d->idle);
    d->idle.data = d;
    (void)uv_signal_init(&d->loop, &d->term);
    (void)uv_signal_init(&d->loop, &d->interrupt);
    d->term.data = d->interrupt.data = d;
    (void)uv_signal_start(&d->term, on_signal, SIGTERM);
    (void)uv_signal_start(&d->interrupt, on_signal, SIGINT);
    if (o->domain_init)
        rc = domains_open(d, &host);
    if (rc == 0)
        rc = make_server(d, &host);
    if (rc == 0)
        rc = socket_open(d);
    if (rc == 0 && o->domain_init)
        rc = domains_start(d);
    if (rc == 0)
        rc = control_open(d);
    if (rc == 0)
        rc = write_pid_file(d);
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
    socket_close(d);
    control_close(d);
    domains_close(d);
    uv_walk(&d->loop, close_rest, NULL);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&d->loop);
    xids_xs_server_free(d->server);
    if (d->pid_file != NULL)
        (void)unlink(d->pid_file);
}

int main(int argc, char **argv)
{
    struct options o = {.domain_init = true, .log_level = LOG_LEVEL_INFO};
    struct daemon d = {.limits = xids_xs_limits_default, .listen_fd = -1};
    int rc = parse(&o, &d, argc, argv);
    if (rc != 0)
        return rc - 1;
    char *path = default_socket();
    if (path == NULL)
        return EXIT_FAILURE;
    d.socket_path = path;
    (void)signal(SIGPIPE, SIG_IGN);
    log_open(o.log_level, false);
    int ready_fd = o.foreground ? -1 : background();
    rc = start(&d, &o);
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "cannot start: %s", strerror(-rc));
    } else {
        if (o.print_pid) {
            (void)printf("%ld\n", (long)getpid());
            (void)fflush(stdout);
        }
        log_msg(LOG_LEVEL_INFO, "serving %s%s", d.socket_path, o.domain_init ? "" : " (no domains)");
        notify_manager("READY=1");
        if (ready_fd >= 0)
            log_open(o.log_level, true);
        say_ready(ready_fd);
        (void)uv_run(&d.loop, UV_RUN_DEFAULT);
        notify_manager("STOPPING=1");
    }
    stop(&d);
    free(path);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
