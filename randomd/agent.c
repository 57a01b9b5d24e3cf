/* SPDX-License-Identifier: ISC */
/*
 * xids-entropy-agent: in a Linux guest, feeds the kernel's generator with what randomd gives: when the program starts,
 * when the guest was resumed, and every minute.
 *
 * Each time it makes its connection, takes the seed that waits there, and ends the connection. It could stay, and be
 * told by the server. But a Linux program that has an event channel when its machine is saved cannot give it up in the
 * restored one: the kernel takes that for a bug of its own, and ends the program and the device with it.
 */
#include "config.h"
#include "randomd/agent.h"
#include "randomd/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <xids/randomd_link.h>

#define MS 1000000ull
#define S 1000000000ull

#define REFRESH_NS (60 * S) /* between visits: the kernel begins anew as often by itself */
#define RETRY_NS S          /* between attempts to reach the store and Xen's devices */
#define READY_NS (10 * S)   /* whoever waits for us to be ready waits no longer */
#define ONCE_NS (30 * S)    /* --once without --timeout */
#define AGENT_EVENTS 64     /* in one turn */
#define TIMEOUT_MAX_S 1000000u

struct agent_options {
    uint64_t timeout_ns;
    bool foreground, once, credit;
};

struct agent {
    struct agent_options o;
    struct xids_xs *xs;
    struct xids_platform *platform;
    struct xids_randomd_link *link;
    void *link_mem;
    int random_fd, resume_fd, ready_fd;
    uint64_t retry_at;
    uint64_t ready_by;
    int told; /* why there is no connection */
    bool announced;
    bool fed;    /* the kernel was given something */
    bool failed; /* the kernel does not take them */
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

/* ---- what is told ---- */

static void on_refused(void *ctx, int rc, const char *reason)
{
    (void)ctx;
    log_line(SAY_WARN, "no entropy server: %s (%s)", reason, strerror(-rc));
}

/* Once: the system goes on booting, with the server's bytes or, after a time, without. */
static void announce(struct agent *a, const char *status)
{
    char text[128];
    snprintf(text, sizeof(text), "%sSTATUS=%s", a->announced ? "" : "READY=1\n", status);
    notify_manager(text);
    if (a->announced)
        return;
    a->announced = true;
    background_ready(a->ready_fd);
}

/* ---- the connection ---- */

static void hang_up(struct agent *a)
{
    xids_randomd_link_fini(a->link);
    a->link = NULL;
    xids_xs_close(a->xs);
    a->xs = NULL;
    xids_platform_xen_close(a->platform);
    a->platform = NULL;
}

static int open_link(struct agent *a)
{
    struct xids_randomd_link_config config = {
        .platform = a->platform, .xs = xids_xs_client(a->xs), .refused = on_refused, .ctx = a};
    /* It need not be secret, nor good: it must differ from that of a copy of this machine. */
    (void)!getrandom(config.client.nonce, sizeof(config.client.nonce), GRND_NONBLOCK | GRND_INSECURE);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    memcpy(config.client.identity, &t, sizeof(t) < sizeof(config.client.identity) ? sizeof(t) : 16);
    return xids_randomd_link_init(&a->link, a->link_mem, xids_randomd_link_size(), &config, now_ns());
}

static void hang_on(struct agent *a)
{
    int rc = xids_xs_open(&a->xs, NULL);
    const char *what = "xenstore cannot be reached";
    if (rc == 0) {
        what = "Xen's devices cannot be opened";
        rc = xids_platform_xen_open(&a->platform, XIDS_PLATFORM_XEN_NO_STATUS);
    }
    if (rc == 0)
        rc = open_link(a);
    if (rc < 0) {
        if (rc != a->told)
            log_line(SAY_WARN, "%s: %s", what, strerror(-rc));
        hang_up(a);
        a->retry_at = now_ns() + RETRY_NS;
    }
    a->told = rc;
}

/* The store's requests and answers, events, and what is due. When to come again, 0: at once. */
static uint64_t step(struct agent *a)
{
    const struct xids_platform_ops *ops = a->platform->ops;
    struct xids_part *part = xids_randomd_link_part(a->link);
    int rc = xids_xs_pump(a->xs), port = 0;
    for (int i = 0; i < AGENT_EVENTS && rc >= 0; i++) {
        port = ops->evtchn_pending(a->platform->ctx);
        if (port <= 0)
            break;
        if (!part->event(part->ctx, (evtchn_port_t)port))
            log_line(SAY_DEBUG, "an event of nobody's: port %d", port);
    }
    uint64_t due = part->step(part->ctx, now_ns());
    if (rc >= 0)
        rc = xids_xs_pump(a->xs);
    if (rc < 0 || port < 0) {
        log_line(SAY_WARN, "%s: %s", rc < 0 ? "xenstore" : "event channels", strerror(rc < 0 ? -rc : -port));
        hang_up(a);
        a->retry_at = now_ns() + RETRY_NS;
        return a->retry_at;
    }
    return due;
}

/* ---- the kernel ---- */

/* Gives the kernel what has come, and ends the visit. Only of a server: what this guest has by itself the kernel has.
 */
static void feed(struct agent *a)
{
    uint8_t bytes[FEED_BYTES];
    struct xids_entropy *entropy = xids_randomd_link_entropy(a->link);
    if (xids_entropy_grade(entropy) != XIDS_RANDOMD_GRADE_HOST)
        return;
    int rc = xids_entropy_random(entropy, bytes, sizeof(bytes));
    if (rc == 0)
        rc = feed_kernel(a->random_fd, bytes, a->o.credit ? FEED_BITS : 0);
    xids_wipe(bytes, sizeof(bytes));
    if (rc < 0) {
        log_line(SAY_ERROR, "/dev/random does not take what it is given: %s", strerror(-rc));
        a->failed = true;
        return;
    }
    log_line(a->fed ? SAY_DEBUG : SAY_INFO, "the kernel's generator was fed, %u bits credited, epoch %016" PRIx64,
             a->o.credit ? FEED_BITS : 0, xids_randomd_client_epoch(xids_randomd_link_client(a->link)));
    hang_up(a);
    a->fed = true;
    a->retry_at = now_ns() + REFRESH_NS;
    announce(a, "feeding the kernel's generator");
}

/* ---- the loop ---- */

static void sleep_until(struct agent *a, uint64_t due, const sigset_t *during)
{
    struct pollfd fds[3] = {{.fd = a->resume_fd, .events = POLLIN}};
    nfds_t count = 1;
    uint64_t now = now_ns();
    if (a->link != NULL) {
        short out = xids_xs_wants_write(a->xs) ? POLLOUT : 0;
        fds[count++] = (struct pollfd){.fd = xids_xs_fd(a->xs), .events = (short)(POLLIN | out)};
        fds[count++] = (struct pollfd){.fd = xids_platform_xen_event_fd(a->platform), .events = POLLIN};
    }
    uint64_t ns = due > now ? due - now : 0;
    const struct timespec wait = {.tv_sec = (time_t)(ns / S), .tv_nsec = (long)(ns % S)};
    if (ppoll(fds, count, due == UINT64_MAX ? NULL : &wait, during) <= 0 || fds[0].revents == 0)
        return;
    resume_take(a->resume_fd);
    log_line(SAY_INFO, "this machine was resumed, or its clock was set: beginning anew");
    hang_up(a);
    a->fed = false;
    a->retry_at = 0;
}

static int run(struct agent *a, const sigset_t *during)
{
    uint64_t give_up = a->o.timeout_ns == UINT64_MAX ? UINT64_MAX : now_ns() + a->o.timeout_ns;
    while (!stop && !a->failed) {
        uint64_t due = a->retry_at, now = now_ns();
        if (a->link == NULL && a->retry_at <= now)
            hang_on(a);
        if (a->link != NULL)
            due = step(a);
        if (a->link != NULL)
            feed(a);
        if (a->link == NULL)
            due = a->retry_at;
        if (a->o.once && (a->fed || now >= give_up))
            break;
        if (!a->announced && now >= a->ready_by)
            announce(a, "waiting for an entropy server");
        if (!a->announced && a->ready_by < due)
            due = a->ready_by;
        sleep_until(a, give_up < due ? give_up : due, during);
    }
    if (a->o.once && !a->fed && !a->failed)
        log_line(SAY_ERROR, "no entropy server in time");
    return a->failed || (a->o.once && !a->fed) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- start ---- */

static const char usage[] =
    "usage: xids-entropy-agent [--foreground] [--once] [--timeout SECONDS] [--no-credit] [--log-level LEVEL]\n"
    "Feeds this guest's kernel with entropy from xids-randomd.\n"
    "  --foreground         stay, and log to standard error; otherwise to syslog\n"
    "  --once               end when the kernel was fed; status 1 if it was not in time\n"
    "  --timeout SECONDS    the time for --once, instead of 30\n"
    "  --no-credit          give bytes, but do not let the kernel count them as entropy\n"
    "  --log-level LEVEL    error, warning, info or debug\n"
    "  --help, --version\n"
    "xids-entropy-agent(8) tells more.\n";

static bool seconds(uint64_t *ns, const char *text)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    *ns = n * S;
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= TIMEOUT_MAX_S;
}

/* -1: go on, else the exit status. */
static int parse(struct agent_options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"foreground", no_argument, NULL, 'f'},      {"once", no_argument, NULL, 'o'},
        {"timeout", required_argument, NULL, 't'},   {"no-credit", no_argument, NULL, 'n'},
        {"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},         {NULL, 0, NULL, 0},
    };
    enum log_level level;
    int opt;
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'f':
            o->foreground = true;
            break;
        case 'o':
            o->once = true;
            break;
        case 'n':
            o->credit = false;
            break;
        case 't':
            if (!seconds(&o->timeout_ns, optarg)) {
                log_line(SAY_ERROR, "--timeout: seconds, at most %u, not \"%s\"", TIMEOUT_MAX_S, optarg);
                return EXIT_USAGE;
            }
            break;
        case 'l':
            if (log_level_from(&level, optarg) < 0) {
                log_line(SAY_ERROR, "--log-level: error, warning, info or debug, not \"%s\"", optarg);
                return EXIT_USAGE;
            }
            log_set_level(level);
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("xids-entropy-agent (xids) " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!o->once && o->timeout_ns != UINT64_MAX) {
        log_line(SAY_ERROR, "--timeout goes with --once");
        return EXIT_USAGE;
    }
    if (o->once && o->timeout_ns == UINT64_MAX)
        o->timeout_ns = ONCE_NS;
    return -1;
}

/* Signals are taken only while it sleeps. */
static void catch_signals(sigset_t *during)
{
    const struct sigaction action = {.sa_handler = on_signal};
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, during);
    sigdelset(during, SIGTERM);
    sigdelset(during, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct agent a = {.o = {.credit = true, .timeout_ns = UINT64_MAX}, .ready_fd = -1};
    sigset_t during;
    log_set_program("xids-entropy-agent");
    int status = parse(&a.o, argc, argv);
    if (status >= 0)
        return status;
    int rc = feed_open(&a.random_fd);
    if (rc < 0) {
        log_line(SAY_ERROR, "/dev/random: %s", strerror(-rc));
        return EXIT_FAILURE;
    }
    rc = resume_open(&a.resume_fd);
    if (rc < 0) {
        log_line(SAY_ERROR, "timerfd: %s", strerror(-rc));
        return EXIT_FAILURE;
    }
    /* Before Xen's devices are opened: they do not survive a fork. */
    if (!a.o.foreground && !a.o.once) {
        a.ready_fd = background_begin();
        if (a.ready_fd < 0) {
            log_line(SAY_ERROR, "cannot go into the background: %s", strerror(-a.ready_fd));
            return EXIT_FAILURE;
        }
    }
    secret_process();
    a.link_mem = secret_get(xids_randomd_link_size());
    if (a.link_mem == NULL) {
        log_line(SAY_ERROR, "no memory");
        return EXIT_FAILURE;
    }
    catch_signals(&during);
    a.ready_by = now_ns() + READY_NS;
    status = run(&a, &during);
    notify_manager("STOPPING=1");
    hang_up(&a);
    secret_put(a.link_mem, xids_randomd_link_size());
    (void)close(a.resume_fd);
    (void)close(a.random_fd);
    return status;
}
