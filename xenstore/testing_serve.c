/* SPDX-License-Identifier: ISC */
/*
 * The loop: bytes from clients to the server, a request at a time, and answers back, as far as no fault holds them
 * back. Few clients, and costs that do not matter: each turn looks at all of them.
 */
#define _GNU_SOURCE
#include "xenstore/testing_impl.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 65536u
/* What is not fetched stops a client's requests here. */
#define OUT_STOP (1u << 20)
/* Events taken from epoll in a turn, so that a flood does not keep the rest waiting. */
#define EVENTS_PER_TURN 64

uint64_t tst_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int tst_watch_fd(struct tst_core *core, struct tst_source *source, uint32_t events, bool add)
{
    struct epoll_event ev = {.events = events, .data.ptr = source};
    return epoll_ctl(core->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, source->fd, &ev) < 0 ? -errno : 0;
}

void tst_close_source(struct tst_core *core, const struct tst_source *source)
{
    (void)epoll_ctl(core->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    (void)close(source->fd);
}

void tst_wake(struct tst_core *core)
{
    uint64_t one = 1;
    (void)!write(core->wake.fd, &one, sizeof(one));
}

/* ---- clients ---- */

void tst_client_free(struct tst_core *core, struct tst_client *c)
{
    struct tst_client **at = &core->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    xids_xs_server_disconnect(c->conn);
    /* A process forked in the meantime may have the descriptor too: the peer is to see the end all the same. */
    (void)shutdown(c->source.fd, SHUT_RDWR);
    tst_close_source(core, &c->source);
    while (c->verdicts != NULL) {
        struct tst_verdict *v = c->verdicts;
        c->verdicts = v->next;
        free(v);
    }
    tst_text_free(&c->out);
    tst_text_free(&c->peer.line);
    free(c->in);
    free(c);
}

void tst_drop_clients(struct tst_core *core, domid_t domid)
{
    for (struct tst_client *c = core->clients; c != NULL; c = c->next)
        c->dead = c->dead || c->peer.domid == domid;
}

static void sweep(struct tst_core *core)
{
    for (struct tst_client *c = core->clients, *next; c != NULL; c = next) {
        next = c->next;
        if (c->dead)
            tst_client_free(core, c);
    }
}

static void take_client(struct tst_core *core, domid_t domid, int fd)
{
    struct tst_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    c->source = (struct tst_source){TST_CLIENT, fd, c};
    c->peer = (struct tst_peer){.client = c, .domid = domid, .number = ++core->connections};
    if (xids_xs_server_connect_as(core->server, &c->conn, &c->peer, domid) < 0) {
        (void)close(fd);
        free(c);
        return;
    }
    c->next = core->clients;
    core->clients = c;
    c->interest = EPOLLIN;
    c->dead = tst_watch_fd(core, &c->source, c->interest, true) < 0;
}

/* ---- answers ---- */

static struct tst_verdict *verdict_of(const struct tst_client *c, uint64_t number)
{
    struct tst_verdict *v = c->verdicts;
    while (v != NULL && v->number != number)
        v = v->next;
    return v;
}

/* One message from the server, into what is to be sent. */
static void take_message(struct tst_client *c, const struct xids_xswire_msg *msg, const uint8_t *bytes, size_t len)
{
    struct tst_verdict *v = NULL;
    if (c->ending)
        return;
    if (msg->type != XS_WATCH_EVENT)
        v = verdict_of(c, ++c->answered);
    if (v != NULL && v->action == XIDS_TEST_STORE_DELAY) {
        v->placed = true;
        v->from = c->sent + c->out.len;
    } else if (v != NULL) {
        len = len < v->bytes ? len : v->bytes;
        c->ending = true;
    }
    tst_text_add(&c->out, (const char *)bytes, len);
    c->dead = c->dead || c->out.failed;
}

static void drain(struct tst_client *c)
{
    const void *bytes;
    size_t len;
    while (!c->dead && (len = xids_xs_server_output(c->conn, &bytes)) > 0) {
        struct xids_xswire_msg msg;
        size_t at = 0;
        int n;
        while ((n = xids_xswire_peek(&msg, (const uint8_t *)bytes + at, len - at)) > 0) {
            take_message(c, &msg, (const uint8_t *)bytes + at, (size_t)n);
            at += (size_t)n;
        }
        if (at == 0)
            return;
        xids_xs_server_sent(c->conn, at);
    }
}

/* Whether a delay is over. */
static bool over(const struct tst_core *core, const struct tst_verdict *v)
{
    return !v->held && core->requests >= v->until_requests && (v->until_ns == 0 || tst_now() >= v->until_ns);
}

/* The bytes that may go now. */
static size_t sendable(const struct tst_core *core, struct tst_client *c)
{
    struct tst_verdict *v;
    while ((v = c->verdicts) != NULL && (v->placed || v->action != XIDS_TEST_STORE_DELAY)) {
        if (v->action == XIDS_TEST_STORE_DELAY && !over(core, v))
            return (size_t)(v->from - c->sent);
        if (v->action != XIDS_TEST_STORE_DELAY && v->number > c->answered)
            break;
        c->verdicts = v->next;
        free(v);
    }
    return c->out.len;
}

/* True when something was sent. */
static bool flush(struct tst_core *core, struct tst_client *c)
{
    size_t len = sendable(core, c), at = 0;
    while (at < len) {
        ssize_t n = send(c->source.fd, c->out.s + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            c->dead = true;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    if (at > 0) {
        memmove(c->out.s, c->out.s + at, c->out.len - at);
        c->out.len -= at;
        c->sent += at;
    }
    c->dead = c->dead || (c->ending && c->out.len == 0);
    uint32_t interest = (at < len ? EPOLLOUT : 0) | (!c->ending && c->out.len < OUT_STOP ? EPOLLIN : 0);
    if (interest != c->interest && !c->dead) {
        c->interest = interest;
        c->dead = tst_watch_fd(core, &c->source, interest, false) < 0;
    }
    return at > 0;
}

/* ---- requests ---- */

static void read_client(struct tst_client *c)
{
    if (c->in_cap - c->in_len < READ_BYTES) {
        uint8_t *grown = realloc(c->in, c->in_len + READ_BYTES);
        if (grown == NULL) {
            c->dead = true;
            return;
        }
        c->in = grown;
        c->in_cap = c->in_len + READ_BYTES;
    }
    ssize_t n = recv(c->source.fd, c->in + c->in_len, READ_BYTES, MSG_DONTWAIT);
    if (n > 0)
        c->in_len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        c->dead = true;
}

/* Gives the server whole messages, one by one, so that each answer can be told from the next. */
static bool feed(struct tst_client *c)
{
    size_t at = 0;
    while (!c->dead && !c->ending && at < c->in_len) {
        struct xids_xswire_msg msg;
        size_t used;
        int n = xids_xswire_peek(&msg, c->in + at, c->in_len - at);
        if (n == 0)
            break;
        /* The server is to say itself what it thinks of a message that is too long. */
        size_t len = n > 0 ? (size_t)n : c->in_len - at;
        int rc = xids_xs_server_input(c->conn, &used, c->in + at, len);
        at += used;
        drain(c);
        c->ending = c->ending || rc < 0;
        if (used == 0)
            break;
    }
    if (at > 0) {
        memmove(c->in, c->in + at, c->in_len - at);
        c->in_len -= at;
    }
    return at > 0;
}

/* ---- turns ---- */

static void on_event(struct tst_core *core, struct tst_source *source, uint32_t events)
{
    const struct tst_listener *l;
    uint64_t n;
    int fd;
    switch (source->kind) {
    case TST_WAKE:
        (void)!read(source->fd, &n, sizeof(n));
        break;
    case TST_LIFELINE:
        core->stop = true;
        break;
    case TST_LISTENER:
        l = source->owner;
        fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            break;
        if (l->domid >= 0)
            take_client(core, (domid_t)l->domid, fd);
        else
            tst_answer_call(core, fd);
        break;
    case TST_CLIENT:
        if ((events & EPOLLIN) != 0)
            read_client(source->owner);
        else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
            ((struct tst_client *)source->owner)->dead = true;
        break;
    }
}

void tst_flush(struct tst_core *core)
{
    const struct xids_xs_conn *conn;
    do
        conn = xids_xs_server_ready(core->server); /* rings are served by the way, clients are all looked at */
    while (conn != NULL);
    for (struct tst_client *c = core->clients; c != NULL; c = c->next) {
        drain(c);
        if (!c->dead)
            (void)flush(core, c);
    }
    sweep(core);
}

bool tst_turn(struct tst_core *core)
{
    struct epoll_event ev;
    bool any = false;
    uint64_t before = core->requests;
    for (int i = 0; i < EVENTS_PER_TURN && epoll_wait(core->epoll, &ev, 1, 0) == 1; i++) {
        any = true;
        on_event(core, ev.data.ptr, ev.events);
        sweep(core); /* before the next event, which could be of one of them */
        if (core->stop)
            return false;
    }
    any = tst_ring_events(core) || any;
    for (struct tst_client *c = core->clients; c != NULL; c = c->next)
        any = feed(c) || any;
    any = xids_xs_server_idle(core->server, 1000) || any;
    tst_flush(core);
    return any || core->requests != before;
}

void tst_turns(struct tst_core *core)
{
    /* A turn reads at least a quarter of what a socket can hold, and passes over nobody twice. */
    unsigned int left = 32;
    for (const struct tst_client *c = core->clients; c != NULL; c = c->next)
        left++;
    while (left > 0 && tst_turn(core))
        left--;
}

void tst_lock(struct tst_core *core)
{
    atomic_fetch_add(&core->callers, 1);
    pthread_mutex_lock(&core->lock);
    atomic_fetch_sub(&core->callers, 1);
}

/* Milliseconds to the end of the first delay, at most timeout. */
static int next_end(const struct tst_core *core, int timeout)
{
    for (const struct tst_client *c = core->clients; c != NULL; c = c->next) {
        const struct tst_verdict *v = c->verdicts;
        if (v == NULL || !v->placed || v->held || v->until_ns == 0 || core->requests < v->until_requests)
            continue;
        uint64_t now = tst_now();
        uint64_t ms = v->until_ns > now ? (v->until_ns - now + 999999u) / 1000000u : 0;
        if (timeout < 0 || ms < (uint64_t)timeout)
            timeout = (int)ms;
    }
    return timeout;
}

void tst_wait(struct tst_core *core, int timeout)
{
    struct pollfd p = {.fd = core->epoll, .events = POLLIN};
    pthread_mutex_lock(&core->lock);
    timeout = next_end(core, timeout);
    pthread_mutex_unlock(&core->lock);
    (void)poll(&p, 1, timeout);
}

void *tst_serve(void *arg)
{
    struct tst_core *core = arg;
    bool stop = false;
    while (!stop) {
        while (atomic_load(&core->callers) > 0)
            (void)sched_yield();
        pthread_mutex_lock(&core->lock);
        bool any = tst_turn(core);
        stop = core->stop;
        pthread_mutex_unlock(&core->lock);
        if (!any && !stop)
            tst_wait(core, -1);
    }
    return NULL;
}

uint32_t tst_held_back(const struct tst_core *core)
{
    uint32_t count = 0;
    for (const struct tst_client *c = core->clients; c != NULL; c = c->next)
        count += c->out.len > 0;
    return count;
}
