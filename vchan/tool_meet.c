/* SPDX-License-Identifier: ISC */
/*
 * xids-vchan: meeting. All channels meet at one path: when a client has come the server makes a fresh offer there, and
 * clients wait until there is one that nobody has taken. So do vchan-socket-proxy and libxenvchan's own programs, one
 * after the other.
 */
#include "vchan/tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How soon what failed for want of something is tried again. */
#define RETRY (1000 * MS)

/* How soon a channel follows one that has ended at once: a peer can make this happen without end. */
#define PAUSE (100 * MS)

/* How many events of the store are taken before something else has its turn. */
#define EVENTS_AT_ONCE 64

static int store_watch(struct tool *t)
{
    if (t->o->server)
        return 0;
    int rc = xids_xs_open(&t->watch, t->o->store);
    if (rc < 0)
        return rc;
    xids_xs_set_timeout(t->watch, STORE_TIMEOUT_MS);
    return xids_xs_watch(t->watch, t->port_path, t);
}

int meet_begin(struct tool *t)
{
    const struct options *o = t->o;
    domid_t self = t->platform->domid;
    int rc = 0;
    if (o->where[0] == '/') {
        t->path = strdup(o->where);
        rc = t->path != NULL ? 0 : -XEN_ENOMEM;
    } else {
        rc = xids_vchan_path(&t->path, o->server ? self : o->remote, o->server ? o->remote : self, o->where);
    }
    if (rc == 0 && asprintf(&t->port_path, "%s/event-channel", t->path) < 0)
        rc = -XEN_ENOMEM;
    if (rc == 0)
        rc = store_watch(t);
    if (rc < 0)
        report(t, t->path != NULL ? t->path : "path", rc);
    t->try_now = true;
    if (o->timeout_ms >= 0)
        t->deadline = tool_now(t) + (uint64_t)o->timeout_ms * MS;
    return rc;
}

/* The connections to the store are made anew, when one is lost; channels that are open need none. */
static void mend_store(struct tool *t)
{
    int rc = xids_xs_reconnect(t->xs);
    if (t->watch != NULL)
        rc = xids_xs_reconnect(t->watch);
    t->store_lost = rc < 0;
    t->mend_at = tool_now(t) + RETRY;
}

/* There is no channel, and why. */
static void refused(struct tool *t, int rc)
{
    report(t, t->path, rc);
    t->try_at = tool_now(t) + RETRY;
    if (t->o->one)
        t->over = true;
    else if (rc == -XEN_ENOTCONN)
        t->store_lost = true;
}

static size_t busy(const struct tool *t)
{
    return t->flow_count - (t->offer != NULL) + t->child_count;
}

/* ---- guests: accepted connections ---- */

void meet_guest(struct tool *t, int fd)
{
    struct guest *guests = realloc(t->guests, (t->guest_count + 1) * sizeof(*guests));
    if (guests == NULL) {
        (void)close(fd);
        return;
    }
    t->guests = guests;
    uint64_t deadline = t->o->timeout_ms < 0 ? UINT64_MAX : tool_now(t) + (uint64_t)t->o->timeout_ms * MS;
    t->guests[t->guest_count++] = (struct guest){.fd = fd, .deadline = deadline, .poll = -1};
    t->try_now = true;
}

/* The oldest keep their order. */
static int take_guest(struct tool *t, size_t i)
{
    int fd = t->guests[i].fd;
    memmove(&t->guests[i], &t->guests[i + 1], (t->guest_count - i - 1) * sizeof(t->guests[0]));
    t->guest_count--;
    return fd;
}

void meet_guest_left(struct tool *t, size_t i)
{
    (void)close(take_guest(t, i));
}

/* Those for whom no server came in time. */
static void dismiss_guests(struct tool *t)
{
    uint64_t now = tool_now(t);
    while (t->guest_count > 0 && t->guests[0].deadline <= now) {
        report(t, t->path, -XEN_ETIMEDOUT);
        meet_guest_left(t, 0);
        if (t->o->one)
            t->over = true;
    }
}

/* ---- channels ---- */

/* The peer is there: the flow gets its end. */
static void join(struct tool *t, struct flow *f)
{
    int fd = t->o->accepts && t->guest_count > 0 ? take_guest(t, 0) : -1;
    /* What went wrong before there was a channel went well in the end. */
    t->status = EXIT_SUCCESS;
    f->number = ++t->served;
    f->state = FLOW_MOVING;
    f->run = true;
    /* It was accepted, and has gone since. */
    if (t->o->accepts && fd < 0)
        f->state = FLOW_OVER;
    else if (end_open(t, f, fd) < 0)
        f->state = FLOW_OVER;
    else if (f->end.joining)
        f->state = FLOW_JOINING;
    if (f->state == FLOW_OVER)
        f->what = "";
    if (t->o->verbose)
        tell(t, f, "open, ring %u and %u bytes", xids_vchan_read_size(f->ch), xids_vchan_write_size(f->ch));
}

static bool wants_channel(const struct tool *t)
{
    if (t->over || busy(t) >= t->o->channels || (t->o->one && t->served > 0))
        return false;
    return !t->o->accepts || t->guest_count > 0;
}

/* Makes an offer; the one before, if it is in use, hands over its place in the store. */
static void offer(struct tool *t)
{
    struct xids_vchan_link *link = NULL;
    const struct options *o = t->o;
    if (tool_now(t) < t->try_at)
        return;
    int rc = xids_vchan_listen(&link, t->platform, t->xs, o->remote, t->path, o->left_order, o->right_order, o->flags);
    if (rc == 0 && t->publisher != NULL)
        xids_vchan_hand_over(link, t->publisher->link);
    t->offer = rc == 0 ? flow_new(t, link, FLOW_OFFERED) : NULL;
    if (rc == 0)
        t->publisher = t->offer;
    if (rc == 0 && t->offer == NULL) {
        xids_vchan_unlink(link);
        rc = -XEN_ENOMEM;
    }
    if (rc < 0)
        refused(t, rc);
}

static void serve(struct tool *t)
{
    if (t->offer != NULL && xids_vchan_state(t->offer->ch) != XIDS_VCHAN_CONNECTING) {
        struct flow *used = t->offer;
        t->offer = NULL;
        join(t, used);
    }
    if (t->offer == NULL && wants_channel(t))
        offer(t);
    /* Whoever it was made for has gone. */
    if (t->offer != NULL && !wants_channel(t)) {
        struct flow *left = t->offer;
        t->offer = NULL;
        flow_free(t, left);
    }
}

/* Whether there is to be another try. */
static bool connect_one(struct tool *t)
{
    struct xids_vchan_link *link = NULL;
    int rc = xids_vchan_connect(&link, t->platform, t->xs, t->o->remote, t->path, t->o->flags, 0);
    if (rc == -XEN_ETIMEDOUT || rc == -XEN_EINTR)
        return false;
    struct flow *f = rc == 0 ? flow_new(t, link, FLOW_MOVING) : NULL;
    if (rc == 0 && f == NULL) {
        xids_vchan_unlink(link);
        rc = -XEN_ENOMEM;
    }
    if (rc < 0) {
        refused(t, rc);
        return false;
    }
    join(t, f);
    return true;
}

static void connect_all(struct tool *t)
{
    if (!wants_channel(t) || (!t->try_now && tool_now(t) < t->try_at))
        return;
    t->try_now = false;
    t->try_at = tool_now(t) + RETRY;
    while (wants_channel(t) && connect_one(t))
        ;
    if (t->deadline != 0 && !t->o->accepts && wants_channel(t) && tool_now(t) >= t->deadline) {
        report(t, t->path, -XEN_ETIMEDOUT);
        t->over = true;
    }
}

void meet_step(struct tool *t)
{
    if (t->store_lost && tool_now(t) >= t->mend_at)
        mend_store(t);
    dismiss_guests(t);
    if (t->o->server)
        serve(t);
    else
        connect_all(t);
}

void meet_watched(struct tool *t)
{
    struct xids_xs_event event;
    int rc = 1;
    for (int i = 0; i < EVENTS_AT_ONCE && (rc = xids_xs_next_event(t->watch, &event, 0)) > 0; i++)
        t->try_now = true;
    if (rc < 0)
        t->store_lost = true;
}

/* Whether standard input was all there was to do, and has been sent. */
static bool input_was_all(const struct tool *t)
{
    return t->o->end == END_STDIO && t->input_ended && t->sent > 0;
}

static void say_end(struct tool *t, const struct flow *f)
{
    if (f->what != NULL && f->what[0] != '\0')
        report(t, f->what, f->error);
    else if (f->gone && xids_vchan_error(f->ch) < 0)
        report(t, xids_vchan_reason(f->ch), xids_vchan_error(f->ch));
    else if (f->lost)
        report(t, "the peer closed before it had read everything", -XEN_ENOTCONN);
    if (t->o->verbose)
        tell(t, f, "over, %llu bytes sent, %llu received", (unsigned long long)f->sent,
             (unsigned long long)f->received);
}

void meet_over(struct tool *t, struct flow *f)
{
    say_end(t, f);
    if (t->o->one || input_was_all(t) || f->own_fault)
        t->over = true;
    /* In a run without end, one channel's fate is not the program's. */
    else
        t->status = EXIT_SUCCESS;
    t->try_now = !t->o->reconnect;
    if (t->o->reconnect)
        t->try_at = tool_now(t) + PAUSE;
    if (t->o->timeout_ms >= 0)
        t->deadline = tool_now(t) + (uint64_t)t->o->timeout_ms * MS;
    flow_free(t, f);
}

void meet_end(struct tool *t)
{
    xids_xs_set_timeout(t->xs, STORE_PARTING_MS);
    while (t->flow_count > 0)
        flow_free(t, t->flows[t->flow_count - 1]);
    t->offer = NULL;
    while (t->guest_count > 0)
        meet_guest_left(t, 0);
    xids_xs_close(t->watch);
    free(t->path);
    free(t->port_path);
}
