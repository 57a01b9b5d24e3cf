/* SPDX-License-Identifier: ISC */
/* xids-randomd: its life and the loop. */
#include "config.h"
#include "randomd/daemon.h"
#include "randomd/legacy_guests.h"
#include "xenstore/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- the loop ---- */

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
        serve_events(d);
    turn_end(d);
}

static void on_timer(uv_timer_t *h)
{
    struct daemon *d = h->data;
    store_retry(d);
    if (!d->was_ready && master_ready(d->master)) {
        d->was_ready = true;
        log_line(SAY_INFO, "the kernel's generator is ready");
        audit_line("ready", " ");
        guests_ready(d);
    }
    serve_turn(d);
    turn_end(d);
}

static void timer_rearm(struct daemon *d, uint64_t due)
{
    uint64_t now = now_ns();
    /* Never 0: a timer that is due at once keeps libuv in its timers, and from all else, as long as that goes on. */
    uint64_t ms = due == UINT64_MAX ? UINT64_MAX : due <= now ? 1 : (due - now) / MS + 1;
    if (!d->was_ready && ms > NOT_READY_POLL_MS)
        ms = NOT_READY_POLL_MS;
    if (ms == UINT64_MAX)
        uv_timer_stop(&d->timer);
    /* Not later than it is: turns that follow each other fast would put it off for ever. */
    else if (!uv_is_active((uv_handle_t *)&d->timer) || uv_timer_get_due_in(&d->timer) > ms)
        uv_timer_start(&d->timer, on_timer, ms, 0);
}

void loop_again(struct daemon *d)
{
    if (!d->stopping && !uv_is_active((uv_handle_t *)&d->idle))
        uv_idle_start(&d->idle, on_idle);
}

void turn_end(struct daemon *d)
{
    audit_flush();
    if (d->stopping)
        return;
    uint64_t due = guests_due(d), store_due = store_turn(d), held = serve_due(d);
    /* What the store has told can have made guests wait. */
    due = d->due < due ? d->due : due;
    due = held < due ? held : due;
    due = store_due < due ? store_due : due;
    timer_rearm(d, due);
    if (due == 0 || serve_waiting(d))
        loop_again(d);
}

int daemon_reload(struct daemon *d, unsigned int *changed, unsigned int *refused)
{
    struct config next;
    audit_reopen();
    if (options_configure(&next, d->options) < 0) {
        log_line(SAY_ERROR, "the settings stay as they were");
        return -XEN_EINVAL;
    }
    *changed = config_change(&d->config, &next, refused);
    log_set_level(d->config.log_level);
    serve_settings(d);
    guests_room(d);
    log_line(SAY_INFO, "settings read again: %u changed", *changed);
    audit_line("reload", "changed=%u", *changed);
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
        rc = store_poll(d);
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

/* Before there are threads, which have to be in it too. What is opened later must be on its list. */
static void give_up_rights(struct daemon *d)
{
    bool files = d->config.audit[0] != '\0';
    for (unsigned int i = 0; i < d->config.source_count; i++)
        files = files || d->config.sources[i].type->save != NULL;
    const struct sandbox_needs needs = {.pid = getpid(),
                                        .files = files,
                                        .pipes = true,   /* more pages need another of Xen's devices */
                                        .streams = true, /* xenstored, when it was started again */
                                        .threads = d->config.source_count > 0,
                                        .areas = getenv("XIDS_SIM_DIR") != NULL};
    int rc = d->options->no_sandbox ? -ENOTSUP : sandbox_enter(&needs);
    d->sandboxed = rc == 0;
    if (rc < 0 && rc != -ENOTSUP)
        log_line(SAY_WARN, "no sandbox: %s", strerror(-rc));
}

static void run(struct daemon *d, int ready_fd)
{
    if (control_start(d) < 0 || audit_open(d->config.audit, d->config.audit_size, d->config.audit_files) < 0 ||
        master_new(&d->master) < 0 || repeats_start(d->master) < 0 || store_open(d) < 0 || open_platform(d) < 0 ||
        open_loop(d) < 0 || reseed_open(d) < 0 || legacy_start(d) < 0) {
        d->status = EXIT_FAILURE;
        return;
    }
    give_up_rights(d);
    if (sources_new(&d->sources, &d->loop, d->master, d->config.sources, d->config.source_count) < 0) {
        d->status = EXIT_FAILURE;
        return;
    }
    d->was_ready = master_ready(d->master);
    if (!d->was_ready)
        log_line(SAY_WARN, "the kernel's generator is not seeded yet: guests are told so");
    if (!secret_locked())
        log_line(SAY_WARN, "memory for secrets cannot be locked; raise the limit (LimitMEMLOCK)");
    audit_line("start", "version=" PACKAGE_VERSION " pid=%d domid=%u", (int)getpid(), d->domid);
    turn_end(d);
    notify_manager("READY=1\nSTATUS=serving");
    background_ready(ready_fd);
    log_line(SAY_INFO, "serving from domain %u", d->domid);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    notify_manager("STOPPING=1");
    legacy_stop(d);
    guests_stop(d);
    store_end(d);
    audit_line("stop", " ");
}

static void finish(struct daemon *d)
{
    control_stop(d);
    audit_close();
    sources_stop(d->sources);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    free(d->control);
    sources_free(d->sources);
    legacy_free(d);
    xids_xs_close(d->xs);
    reseed_close(d);
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
    d.talkers_end = &d.talkers;
    d.due = UINT64_MAX;
    int rc = uv_loop_init(&d.loop);
    if (rc < 0) {
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
        return EXIT_FAILURE;
    }
    run(&d, ready_fd);
    finish(&d);
    return d.status;
}
