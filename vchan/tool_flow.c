/* SPDX-License-Identifier: ISC */
/* xids-vchan: one channel and its end, from the moment the peer is there. */
#include "vchan/tool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* How many pieces one turn moves at most, so that every channel has its turn. */
#define PIECES_MAX 8

/* How long a channel whose end has gone waits for its peer to read what was sent. */
#define LINGER (10000 * MS)

static int know_port(struct tool *t, evtchn_port_t port, struct flow *f)
{
    if (port >= t->port_count) {
        size_t count = (size_t)port + 64;
        struct flow **table = realloc(t->by_port, count * sizeof(struct flow *));
        if (table == NULL)
            return -XEN_ENOMEM;
        memset(table + t->port_count, 0, (count - t->port_count) * sizeof(struct flow *));
        t->by_port = table;
        t->port_count = count;
    }
    t->by_port[port] = f;
    return 0;
}

struct flow *flow_of_port(const struct tool *t, evtchn_port_t port)
{
    return port < t->port_count ? t->by_port[port] : NULL;
}

struct flow *flow_new(struct tool *t, struct xids_vchan_link *link, enum flow_state state)
{
    struct flow *f = calloc(1, sizeof(*f));
    struct flow **flows = realloc(t->flows, (t->flow_count + 1) * sizeof(struct flow *));
    if (flows != NULL)
        t->flows = flows;
    if (f == NULL || flows == NULL || know_port(t, xids_vchan_port(xids_vchan_of(link)), f) < 0) {
        free(f);
        return NULL;
    }
    *f = (struct flow){.tool = t, .link = link, .ch = xids_vchan_of(link), .state = state, .run = true};
    f->end.in.fd.fd = f->end.out.fd.fd = -1;
    f->poll_in = f->poll_out = -1;
    t->flows[t->flow_count++] = f;
    return f;
}

void flow_free(struct tool *t, struct flow *f)
{
    size_t i = 0;
    while (t->flows[i] != f)
        i++;
    t->flows[i] = t->flows[--t->flow_count];
    t->by_port[xids_vchan_port(f->ch)] = NULL;
    end_close(t, f);
    if (t->publisher == f)
        t->publisher = NULL;
    xids_vchan_unlink(f->link);
    free(f);
}

/* It is over because of an error. */
static void fail(struct flow *f, const char *what, int error)
{
    if (f->what == NULL) {
        f->what = what;
        f->error = error;
    }
    f->state = FLOW_OVER;
}

static void fail_channel(struct flow *f, int error)
{
    const char *reason = xids_vchan_reason(f->ch);
    fail(f, reason[0] != '\0' ? reason : "channel", error);
}

/* Nothing more is taken from our end. */
static void stop_input(struct flow *f)
{
    f->in_ended = true;
    end_drop(f->tool, &f->end);
}

/* The peer has left, or its whole domain: what it did not read is lost, what it left is not. */
static void peer_left(struct flow *f)
{
    if (f->gone)
        return;
    f->gone = true;
    f->lost = xids_vchan_unread(f->ch) > 0 || (!f->in_ended && end_holds(&f->end));
    stop_input(f);
}

/* Our end writes no more. A peer that knows half-closes is told; any other learns by our closing. */
static void input_ended(struct flow *f)
{
    f->in_ended = true;
    if (f->end.kind == END_STDIO)
        f->tool->input_ended = true;
    f->shut = xids_vchan_shutdown(f->ch) == 0;
}

/* Whether the error of a descriptor means no more than that the other side of it has gone. */
static bool is_leaving(int error)
{
    return error == -EPIPE || error == -ECONNRESET;
}

/* What a descriptor's error means for the flow. */
static void end_failed(struct flow *f, const char *what, int error)
{
    if (f->end.kind == END_STDIO) {
        f->own_fault = true;
        fail(f, what, error);
        return;
    }
    if (!is_leaving(error))
        fail(f, what, error);
    f->deaf = true;
}

/* A piece from our end to the peer. Whether to go on. */
static bool step_in(struct flow *f)
{
    struct way *in = &f->end.in;
    enum xids_vchan_side side = XIDS_VCHAN_SIDE_CHANNEL;
    if (f->in_ended || !in->ready || f->state == FLOW_OVER)
        return false;
    int rc = xids_vchan_from_fd(f->ch, &side, &in->fd, in->max);
    if (rc > 0) {
        f->sent += (uint64_t)rc;
        f->tool->sent += (uint64_t)rc;
        in->ready = !in->blocks;
        return in->ready;
    }
    if (side == XIDS_VCHAN_SIDE_CHANNEL) {
        if (rc == -XEN_ENOTCONN || rc == -XEN_ENODEV)
            peer_left(f);
        else if (rc != -XEN_EAGAIN)
            fail_channel(f, rc);
    } else if (rc == 0) {
        input_ended(f);
    } else if (rc == -XEN_EAGAIN) {
        in->ready = false;
    } else if (rc != -XEN_EINTR) {
        input_ended(f);
        end_failed(f, "input", rc);
    }
    return rc == -XEN_EINTR;
}

/* A piece from the peer to our end. Whether to go on. */
static bool step_out(struct flow *f)
{
    struct way *out = &f->end.out;
    enum xids_vchan_side side = XIDS_VCHAN_SIDE_CHANNEL;
    if (f->out_ended || f->deaf || !out->ready || f->state == FLOW_OVER)
        return false;
    int rc = xids_vchan_to_fd(f->ch, &side, &out->fd, out->max);
    if (rc > 0) {
        f->received += (uint64_t)rc;
        f->tool->received += (uint64_t)rc;
        out->ready = !out->blocks;
        return out->ready;
    }
    if (side == XIDS_VCHAN_SIDE_CHANNEL) {
        if (rc == 0 || rc == -XEN_ENODEV) {
            f->out_ended = true;
            end_shut(f->tool, &f->end);
        } else if (rc != -XEN_EAGAIN) {
            fail_channel(f, rc);
        }
    } else if (rc == -XEN_EAGAIN) {
        out->ready = false;
    } else if (rc != -XEN_EINTR) {
        end_failed(f, "output", rc);
    }
    return rc == -XEN_EINTR;
}

/* Whether our end has ended altogether, so that to send all is all there is to do. */
static bool ends_with_input(const struct flow *f)
{
    const struct options *o = f->tool->o;
    if (f->shut)
        return f->out_ended;
    /*
     * A peer that does not know half-closes. A process or connection that has ended is the end of all, as it is for
     * vchan-socket-proxy; standard input is so if something came from it.
     */
    return !o->keep && (f->end.kind != END_STDIO || f->sent > 0) && (f->out_ended || xids_vchan_readable(f->ch) <= 0);
}

static bool is_over(struct flow *f)
{
    if (f->state == FLOW_OVER)
        return true;
    if (f->gone)
        return f->out_ended || f->deaf;
    if (!f->in_ended)
        return false;
    if (f->deaf && f->over_at == 0)
        f->over_at = tool_now(f->tool) + LINGER;
    if (!f->deaf && !ends_with_input(f))
        return false;
    return xids_vchan_unread(f->ch) <= 0 || (f->over_at != 0 && tool_now(f->tool) >= f->over_at);
}

static void join(struct flow *f)
{
    if (tool_now(f->tool) < f->end.join_at && f->end.join_at != UINT64_MAX)
        return;
    int rc = end_join(f->tool, &f->end);
    if (rc < 0)
        fail(f, f->tool->o->address, rc);
    else if (!f->end.joining)
        f->state = FLOW_MOVING;
}

void flow_step(struct tool *t, struct flow *f)
{
    f->run = false;
    if (f->state == FLOW_OFFERED)
        return;
    enum xids_vchan_state state = xids_vchan_state(f->ch);
    if (state == XIDS_VCHAN_BROKEN)
        fail_channel(f, xids_vchan_error(f->ch));
    if (f->state == FLOW_JOINING)
        join(f);
    if (f->state == FLOW_MOVING && f->end.kind == END_STDIO && t->input_ended && !f->in_ended)
        input_ended(f);
    bool more = f->state == FLOW_MOVING;
    for (int i = 0; more && i < PIECES_MAX; i++) {
        more = step_in(f);
        more = step_out(f) || more;
    }
    f->run = more;
    if (f->state == FLOW_MOVING && (state == XIDS_VCHAN_DRAINING || state == XIDS_VCHAN_CLOSED))
        peer_left(f);
    if (f->state != FLOW_JOINING && is_over(f))
        f->state = FLOW_OVER;
}

bool flow_arm(struct tool *t, struct flow *f)
{
    /* After the peer's end there is nothing to be woken for. */
    if (f->gone || f->state == FLOW_OVER || f->run)
        return f->run || f->state == FLOW_OVER;
    uint32_t want_read = 0, want_write = 0;
    if (f->state == FLOW_MOVING) {
        want_read = !f->out_ended && !f->deaf && f->end.out.ready;
        if (!f->in_ended)
            want_write = f->end.in.ready;
        else if (xids_vchan_unread(f->ch) > 0)
            want_write = xids_vchan_write_size(f->ch);
    }
    int rc = xids_vchan_arm(f->ch, want_read, want_write);
    if (rc < 0)
        fail_channel(f, rc);
    (void)t;
    /* While our end is being connected, an end of the peer is no reason to stay awake. */
    f->run = rc < 0 || (rc > 0 && f->state == FLOW_MOVING);
    return f->run;
}

short flow_wants_in(const struct flow *f)
{
    if (f->state == FLOW_JOINING)
        return f->end.join_at == UINT64_MAX ? POLLOUT : 0;
    return f->state == FLOW_MOVING && !f->in_ended && !f->end.in.ready ? POLLIN : 0;
}

bool flow_polls_out(const struct flow *f, short *events)
{
    *events = 0;
    if (f->state != FLOW_MOVING || f->end.out.fd.fd < 0 || f->deaf)
        return false;
    if (!f->end.out.ready)
        *events = POLLOUT;
    /* Whether anybody is there at all is worth knowing when nothing comes from the end any more. */
    return *events != 0 || (f->in_ended && f->end.kind != END_STDIO);
}

void flow_polled(struct flow *f, short in, short out)
{
    if (in == 0 && out == 0)
        return;
    f->run = true;
    if (f->state != FLOW_MOVING)
        return;
    if (in != 0)
        f->end.in.ready = true;
    if (out != 0)
        f->end.out.ready = true;
    if (f->in_ended && f->end.kind != END_STDIO && (out & (POLLERR | POLLHUP)) != 0)
        f->deaf = true;
}
