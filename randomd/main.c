/* SPDX-License-Identifier: ISC */
/* xids-randomd: options, the loop, and the connection to xenstore. */
#include "config.h"
#include "randomd/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/xen/xids-randomd.conf"
#define MS 1000000ull

static const char watch_introduce[] = "introduce", watch_release[] = "release";

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- the loop ---- */

static void after(struct daemon *d);
static void store_back(struct daemon *d);

static void on_idle(uv_idle_t *h)
{
    struct daemon *d = h->data;
    if (!serve_busy(d))
        uv_idle_stop(h);
    after(d);
}

static void on_event(uv_poll_t *h, int status, int events)
{
    struct daemon *d = h->data;
    (void)events;
    if (status == 0)
        serve_events(d);
    after(d);
}

static void on_store(uv_poll_t *h, int status, int events)
{
    struct daemon *d = h->data;
    (void)status;
    (void)events;
    int rc = xids_xs_pump(d->xs);
    store_check(d, rc);
    if (d->store_lost && rc == 0)
        store_back(d);
    after(d);
}

/* Makes (again) the poll handle of the store's descriptor, which changes with each connection. */
static int poll_store(struct daemon *d)
{
    int rc = uv_poll_init(&d->loop, &d->store_poll, xids_xs_fd(d->xs));
    d->store_poll.data = d;
    d->store_polled = rc == 0;
    return rc < 0 ? rc : uv_poll_start(&d->store_poll, UV_READABLE, on_store);
}

static void store_poll_closed(uv_handle_t *h)
{
    struct daemon *d = h->data;
    d->store_polled = false;
}

void store_check(struct daemon *d, int rc)
{
    struct xids_xs_client *client = xids_xs_client(d->xs);
    /* Who does not answer once is not asked again: every guest would wait each time. */
    if (rc == -XEN_ETIMEDOUT)
        xids_xs_client_fail(client, -XEN_ENOTCONN, "no answer in time");
    if (xids_xs_client_error(client) == 0)
        return;
    if (!d->store_lost)
        log_line(SAY_ERROR, "xenstore: %s", xids_xs_reason(d->xs));
    d->store_lost = true;
    if (d->store_polled && !uv_is_closing((uv_handle_t *)&d->store_poll))
        uv_close((uv_handle_t *)&d->store_poll, store_poll_closed);
}

/* Connects anew, without waiting: a store that hangs accepts connections too. Its first word ends the loss. */
static void store_reconnect(struct daemon *d)
{
    /* The old handle must be gone before it is made anew. */
    if (d->store_polled || xids_xs_reconnect(d->xs) < 0)
        return;
    int rc = poll_store(d);
    if (rc < 0)
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
    store_check(d, xids_xs_pump(d->xs));
}

static void store_back(struct daemon *d)
{
    struct xids_xs_event event;
    /* Each watch gives an event when it is set again. */
    if (xids_xs_next_event(d->xs, &event, 0) != 1)
        return;
    d->store_lost = false;
    d->count.store_reconnects++;
    log_line(SAY_INFO, "xenstore is back");
    store_check(d, publish_begin(d));
    guests_republish(d);
    d->rescan = true;
}

void store_turn(struct daemon *d)
{
    struct xids_xs_event event;
    int rc = 0;
    if (d->store_lost)
        return;
    while ((rc = xids_xs_next_event(d->xs, &event, 0)) == 1)
        d->rescan = true;
    store_check(d, rc);
    /* A scan makes calls to the store, with which more events come: they are looked at once more, then at the next
     * turn. */
    if (d->rescan && !d->store_lost) {
        d->rescan = false;
        guests_scan(d);
        if (!d->store_lost && xids_xs_next_event(d->xs, &event, 0) == 1)
            d->rescan = true;
    }
}

static void on_timer(uv_timer_t *h)
{
    struct daemon *d = h->data;
    if (d->store_lost)
        store_reconnect(d);
    if (!d->was_ready && master_ready(d->master)) {
        d->was_ready = true;
        log_line(SAY_INFO, "the kernel's generator is ready");
        guests_ready(d);
    }
    after(d);
}

void timer_rearm(struct daemon *d)
{
    uint64_t due = guests_due(d), now = now_ns();
    uint64_t ms = due == UINT64_MAX ? UINT64_MAX : due <= now ? 1 : (due - now) / MS + 1;
    if (d->rescan && !d->store_lost)
        ms = 1;
    if (d->store_lost && ms > STORE_RETRY_MS)
        ms = STORE_RETRY_MS;
    if (!d->was_ready && ms > NOT_READY_POLL_MS)
        ms = NOT_READY_POLL_MS;
    if (ms == UINT64_MAX)
        uv_timer_stop(&d->timer);
    else
        uv_timer_start(&d->timer, on_timer, ms, 0);
}

/* What every turn of the loop ends with. */
static void after(struct daemon *d)
{
    if (d->stopping)
        return;
    store_turn(d);
    timer_rearm(d);
    if (d->busy != NULL && !uv_is_active((uv_handle_t *)&d->idle))
        uv_idle_start(&d->idle, on_idle);
}

static void on_signal(uv_signal_t *h, int number)
{
    struct daemon *d = h->data;
    log_line(SAY_INFO, "%s: stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    d->stopping = true;
    uv_stop(&d->loop);
}

/* ---- start and stop ---- */

static int open_store(struct daemon *d)
{
    int rc = xids_xs_open(&d->xs, NULL);
    if (rc < 0) {
        log_line(SAY_ERROR, "xenstore cannot be reached (does xenstored run?): %s", strerror(-rc));
        return rc;
    }
    xids_xs_set_timeout(d->xs, STORE_TIMEOUT_MS);
    /* Every other domain finds its number in its home; domain 0 only if somebody has put it there. */
    rc = xids_xs_own_domid(d->xs, &d->domid);
    if (rc < 0 && rc != -XEN_ENOENT) {
        log_line(SAY_ERROR, "xenstore does not say which domain this is: %s", strerror(-rc));
        return rc;
    }
    rc = xids_xs_watch(d->xs, "@introduceDomain", watch_introduce);
    if (rc == 0)
        rc = xids_xs_watch(d->xs, "@releaseDomain", watch_release);
    if (rc == 0)
        rc = publish_begin(d);
    if (rc < 0)
        log_line(SAY_ERROR, "xenstore does not do what a daemon's domain may ask: %s", strerror(-rc));
    return rc;
}

static int open_platform(struct daemon *d)
{
    int rc = xids_platform_xen_open_as(&d->platform, d->domid, XIDS_PLATFORM_XEN_NO_STATUS);
    if (rc < 0) {
        log_line(SAY_ERROR, "Xen's devices: %s", strerror(-rc));
        return rc;
    }
    return 0;
}

static int open_loop(struct daemon *d)
{
    int rc = uv_timer_init(&d->loop, &d->timer);
    d->timer.data = d->idle.data = d->event_poll.data = d->on_term.data = d->on_int.data = d;
    if (rc == 0)
        rc = uv_idle_init(&d->loop, &d->idle);
    if (rc == 0)
        rc = uv_signal_init(&d->loop, &d->on_term);
    if (rc == 0)
        rc = uv_signal_init(&d->loop, &d->on_int);
    if (rc == 0)
        rc = uv_poll_init(&d->loop, &d->event_poll, xids_platform_xen_event_fd(d->platform));
    if (rc == 0)
        rc = uv_poll_start(&d->event_poll, UV_READABLE, on_event);
    if (rc == 0)
        rc = poll_store(d);
    if (rc == 0)
        rc = uv_signal_start(&d->on_term, on_signal, SIGTERM);
    if (rc == 0)
        rc = uv_signal_start(&d->on_int, on_signal, SIGINT);
    if (rc < 0)
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
    return rc;
}

static void close_handle(uv_handle_t *h, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void run(struct daemon *d, int ready_fd)
{
    if (control_start(d) < 0 || master_new(&d->master) < 0 || open_store(d) < 0 || open_platform(d) < 0 ||
        open_loop(d) < 0) {
        d->status = EXIT_FAILURE;
        return;
    }
    d->was_ready = master_ready(d->master);
    if (!d->was_ready)
        log_line(SAY_WARN, "the kernel's generator is not seeded yet: guests are told so");
    if (!secret_locked())
        log_line(SAY_WARN, "memory for secrets cannot be locked; raise the limit (LimitMEMLOCK)");
    d->rescan = true;
    after(d);
    notify_manager("READY=1\nSTATUS=serving");
    background_ready(ready_fd);
    log_line(SAY_INFO, "serving from domain %u", d->domid);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    notify_manager("STOPPING=1");
    guests_stop(d);
    publish_end(d);
}

static void finish(struct daemon *d)
{
    control_stop(d);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    free(d->control);
    xids_xs_close(d->xs);
    xids_platform_xen_close(d->platform);
    master_free(d->master);
}

static const char usage[] =
    "usage: xids-randomd [--foreground] [--config FILE] [--control SOCKET] [--log-level LEVEL]\n"
    "       xids-randomd [--config FILE] [--control SOCKET] --status\n"
    "Gives every guest its entropy over vchan.\n"
    "  --foreground         stay, and log to standard error; otherwise to syslog\n"
    "  --config FILE        settings, instead of " DEFAULT_CONFIG "\n"
    "  --control SOCKET     the control socket\n"
    "  --log-level LEVEL    error, warning, info or debug\n"
    "  --status             ask the daemon that runs for its state and counters, in JSON\n"
    "  --help, --version\n"
    "xids-randomd(8) tells more.\n";

struct options {
    const char *config, *control, *level;
    bool foreground, ask;
};

/* -1: go on, else the exit status. */
static int parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"foreground", no_argument, NULL, 'f'},    {"config", required_argument, NULL, 'c'},
        {"control", required_argument, NULL, 's'}, {"log-level", required_argument, NULL, 'l'},
        {"status", no_argument, NULL, 'q'},        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0},
    };
    int opt;
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'f':
            o->foreground = true;
            break;
        case 'c':
            o->config = optarg;
            break;
        case 's':
            o->control = optarg;
            break;
        case 'l':
            o->level = optarg;
            break;
        case 'q':
            o->ask = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("xids-randomd (xids) " PACKAGE_VERSION);
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
    return -1;
}

static int configure(struct config *c, const struct options *o)
{
    config_defaults(c);
    if (config_read(c, o->config != NULL ? o->config : DEFAULT_CONFIG, o->config != NULL) < 0)
        return EXIT_USAGE;
    if (o->level != NULL && log_level_from(&c->log_level, o->level) < 0) {
        log_line(SAY_ERROR, "--log-level: error, warning, info or debug, not \"%s\"", o->level);
        return EXIT_USAGE;
    }
    if (o->control != NULL) {
        if (strlen(o->control) >= sizeof(c->control)) {
            log_line(SAY_ERROR, "the control socket's path is too long");
            return EXIT_USAGE;
        }
        memcpy(c->control, o->control, strlen(o->control) + 1);
    }
    log_set_level(c->log_level);
    return -1;
}

int main(int argc, char **argv)
{
    static struct daemon d;
    struct options o = {0};
    int status = parse(&o, argc, argv);
    if (status < 0)
        status = configure(&d.config, &o);
    if (status >= 0)
        return status;
    if (o.ask)
        return control_ask(d.config.control, "status");
    /* Before the loop and the devices are opened: they do not survive a fork. */
    int ready_fd = -1;
    if (!o.foreground) {
        ready_fd = background_begin();
        if (ready_fd < 0) {
            log_line(SAY_ERROR, "cannot go into the background: %s", strerror(-ready_fd));
            return EXIT_FAILURE;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    secret_process();
    d.busy_end = &d.busy;
    int rc = uv_loop_init(&d.loop);
    if (rc < 0) {
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
        return EXIT_FAILURE;
    }
    run(&d, ready_fd);
    finish(&d);
    return d.status;
}
