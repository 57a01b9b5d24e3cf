/* SPDX-License-Identifier: ISC */
/* xids-randomd: its life, the loop, and the connection to xenstore. */
#include "randomd/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

static const char watch_introduce[] = "introduce", watch_release[] = "release";

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- the loop ---- */

static void store_back(struct daemon *d);

static void on_idle(uv_idle_t *h)
{
    struct daemon *d = h->data;
    serve_turn(d);
    if (!serve_waiting(d))
        uv_idle_stop(h);
    turn_end(d);
}

static void on_event(uv_poll_t *h, int status, int events)
{
    struct daemon *d = h->data;
    (void)events;
    if (status == 0)
        serve_turn(d);
    turn_end(d);
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
    turn_end(d);
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
    serve_turn(d);
    turn_end(d);
}

void timer_rearm(struct daemon *d)
{
    uint64_t due = guests_due(d), held = serve_due(d), now = now_ns();
    if (held < due)
        due = held;
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

void loop_again(struct daemon *d)
{
    if (!d->stopping && !uv_is_active((uv_handle_t *)&d->idle))
        uv_idle_start(&d->idle, on_idle);
}

void turn_end(struct daemon *d)
{
    if (d->stopping)
        return;
    store_turn(d);
    timer_rearm(d);
    if (serve_waiting(d))
        loop_again(d);
}

int daemon_reload(struct daemon *d, unsigned int *changed, unsigned int *refused)
{
    struct config next;
    if (options_configure(&next, d->options) < 0) {
        log_line(SAY_ERROR, "the settings stay as they were");
        return -XEN_EINVAL;
    }
    *changed = config_change(&d->config, &next, refused);
    log_set_level(d->config.log_level);
    serve_settings(d);
    log_line(SAY_INFO, "settings read again: %u changed", *changed);
    return 0;
}

static void on_hangup(uv_signal_t *h, int number)
{
    struct daemon *d = h->data;
    unsigned int changed, refused;
    char state[64];
    (void)number;
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_ns() / 1000);
    notify_manager(state);
    (void)daemon_reload(d, &changed, &refused);
    notify_manager("READY=1");
    turn_end(d);
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
    d->timer.data = d->idle.data = d->event_poll.data = d->on_term.data = d->on_int.data = d->on_hangup.data = d;
    if (rc == 0)
        rc = uv_idle_init(&d->loop, &d->idle);
    if (rc == 0)
        rc = uv_signal_init(&d->loop, &d->on_term);
    if (rc == 0)
        rc = uv_signal_init(&d->loop, &d->on_int);
    if (rc == 0)
        rc = uv_signal_init(&d->loop, &d->on_hangup);
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
    if (rc == 0)
        rc = uv_signal_start(&d->on_hangup, on_hangup, SIGHUP);
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
    if (control_start(d) < 0 || master_new(&d->master) < 0 || repeats_start(d->master) < 0 || open_store(d) < 0 ||
        open_platform(d) < 0 || open_loop(d) < 0 ||
        sources_new(&d->sources, &d->loop, d->master, d->config.sources, d->config.source_count) < 0) {
        d->status = EXIT_FAILURE;
        return;
    }
    d->was_ready = master_ready(d->master);
    if (!d->was_ready)
        log_line(SAY_WARN, "the kernel's generator is not seeded yet: guests are told so");
    if (!secret_locked())
        log_line(SAY_WARN, "memory for secrets cannot be locked; raise the limit (LimitMEMLOCK)");
    d->rescan = true;
    turn_end(d);
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
    sources_stop(d->sources);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    free(d->control);
    sources_free(d->sources);
    xids_xs_close(d->xs);
    xids_platform_xen_close(d->platform);
    master_free(d->master);
}

int main(int argc, char **argv)
{
    static struct daemon d;
    static struct options o;
    int status = options_parse(&o, &d.config, argc, argv);
    if (status >= 0)
        return status;
    d.options = &o;
    log_set_level(d.config.log_level);
    if (o.request != NULL)
        return control_ask(d.config.control, o.request, o.operand);
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
    serve_begin(&d);
    int rc = uv_loop_init(&d.loop);
    if (rc < 0) {
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
        return EXIT_FAILURE;
    }
    run(&d, ready_fd);
    finish(&d);
    return d.status;
}
