/* SPDX-License-Identifier: ISC */
/*
 * The unix socket's clients. Each wake-up reads once, as much as there is, lets the server carry out what it will and
 * writes once for every connection that has got something. What was put off is done between the wake-ups, a slice for
 * each time that all who have something to say were asked.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

#define READ_BYTES (64u * 1024u)
#define SLICE 500u

struct client {
    struct daemon *daemon;
    struct xids_xs_conn *conn;
    uv_poll_t poll;
    int fd;
    uint32_t number; /* in the trace */
    int events;      /* waited for */
    uint8_t *rest;   /* read, but the server does not take it yet: rest_len bytes from rest_at on */
    size_t rest_at, rest_len;
    bool closing;
};

/* One buffer for all: what is in it is used up, or kept aside, before the next read. */
static uint8_t read_buffer[READ_BYTES];

static void on_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;
    (void)close(c->fd);
    socket_resume(c->daemon);
    free(c->rest);
    free(c);
}

static void client_close(struct client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    tracing_note(c->daemon, TRACE_DISCONNECT, c->number, 0, 0);
    live_forget(c->daemon, c->conn);
    xids_xs_server_disconnect(c->conn);
    c->conn = NULL;
    c->daemon->clients[c->fd] = NULL;
    (void)uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, on_closed);
}

uint32_t client_number(const struct xids_xs_conn *conn)
{
    return ((const struct client *)xids_xs_conn_data(conn))->number;
}

static void on_event(uv_poll_t *poll, int status, int events);

static void wait_for(struct client *c, int events)
{
    if (c->events == events)
        return;
    c->events = events;
    if (uv_poll_start(&c->poll, events, on_event) != 0)
        client_close(c);
}

/* Writes what there is. False: the connection is gone. */
static bool client_write(struct client *c)
{
    const void *bytes;
    size_t len;
    if (c->daemon->journal != NULL)
        journal_sync(c->daemon);
    while ((len = xids_xs_server_output(c->conn, &bytes)) > 0) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            client_close(c);
            return false;
        }
        xids_xs_server_sent(c->conn, (size_t)n);
    }
    return true;
}

/*
 * What to wait for next: room to write while there is output, more input while the server takes it. Input that comes
 * before the next share is left where it is: it is not worth two system calls to hear no more of it for so short a
 * time.
 */
static void client_rearm(struct client *c)
{
    const void *bytes;
    int events = 0;
    if (xids_xs_server_output(c->conn, &bytes) > 0)
        events |= UV_WRITABLE;
    if (xids_xs_server_spent(c->conn) || (c->rest_len == 0 && xids_xs_server_hungry(c->conn)))
        events |= UV_READABLE;
    wait_for(c, events != 0 ? events : UV_DISCONNECT);
}

/* Gives bytes to the server and sets *used. False: the connection is gone. */
static bool client_feed(struct client *c, size_t *used, const uint8_t *bytes, size_t len)
{
    int rc = xids_xs_server_input(c->conn, used, bytes, len);
    if (rc >= 0)
        return true;
    log_msg(LOG_LEVEL_WARNING, "closing a connection: %s",
            rc == -XEN_EBADMSG ? "it sent a message that is too long" : "out of memory");
    /* What was answered before the fault is still due. */
    if (client_write(c))
        client_close(c);
    return false;
}

/* Keeps what the server does not want yet. */
static bool client_keep(struct client *c, const uint8_t *bytes, size_t len)
{
    c->rest = malloc(len);
    if (c->rest == NULL) {
        client_close(c);
        return false;
    }
    memcpy(c->rest, bytes, len);
    c->rest_at = 0;
    c->rest_len = len;
    return true;
}

/* Reads once. */
static void client_read(struct client *c)
{
    ssize_t n;
    size_t used;
    if (c->rest_len > 0)
        return;
    do
        n = recv(c->fd, read_buffer, sizeof(read_buffer), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    if (!client_feed(c, &used, read_buffer, (size_t)n))
        return;
    if (used < (size_t)n && !client_keep(c, read_buffer + used, (size_t)n - used))
        return;
    if (!xids_xs_server_hungry(c->conn))
        client_rearm(c);
}

/* The server had enough; when its answers have gone, or the client has another share, it takes the rest. */
static bool client_resume(struct client *c)
{
    while (c->rest_len > 0 && xids_xs_server_hungry(c->conn)) {
        size_t used;
        if (!client_feed(c, &used, c->rest + c->rest_at, c->rest_len))
            return false;
        c->rest_at += used;
        c->rest_len -= used;
        if (c->rest_len == 0) {
            free(c->rest);
            c->rest = NULL;
        }
        if (!client_write(c))
            return false;
    }
    return true;
}

static void write_ready(struct daemon *d)
{
    struct xids_xs_conn *conn;
    while ((conn = xids_xs_server_ready(d->server)) != NULL) {
        struct client *c = xids_xs_conn_data(conn);
        if (client_write(c) && client_resume(c))
            client_rearm(c);
    }
}

static void serve(struct client *c, bool readable, bool writable)
{
    struct daemon *d = c->daemon;
    if (writable && client_write(c) && client_resume(c))
        client_rearm(c);
    if (!c->closing && readable)
        client_read(c);
    write_ready(d);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct client *c = poll->data;
    struct daemon *d = c->daemon;
    tell_time(d);
    if (status < 0 || (events & UV_DISCONNECT) != 0) {
        client_close(c);
    } else {
        serve(c, (events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0);
        d->served = true;
    }
    flush_output(d);
}

bool socket_event(struct daemon *d, int fd, uint32_t events)
{
    struct client *c = (size_t)fd < d->clients_room ? d->clients[fd] : NULL;
    if (c == NULL || (events & (EPOLLIN | EPOLLOUT)) == 0 || (events & EPOLLERR) != 0)
        return false;
    serve(c, (events & EPOLLIN) != 0, (events & EPOLLOUT) != 0);
    return true;
}

/* Once in each turn of the loop, while there is work put off. */
static void on_idle(uv_idle_t *idle)
{
    struct daemon *d = idle->data;
    tell_time(d);
    (void)xids_xs_server_idle(d->server, SLICE);
    flush_output(d);
}

static void on_deadline(uv_timer_t *timer)
{
    tell_time(timer->data);
    flush_output(timer->data);
}

void tell_time(struct daemon *d)
{
    xids_xs_server_time(d->server, uv_now(&d->loop));
}

/* Has the loop come back when the server wants to be told the time. */
static void wait_until_deadline(struct daemon *d)
{
    uint64_t at = xids_xs_server_deadline(d->server), now = uv_now(&d->loop);
    if (at == UINT64_MAX)
        (void)uv_timer_stop(&d->deadline);
    else
        (void)uv_timer_start(&d->deadline, on_deadline, at > now ? at - now : 0, 0);
}

void flush_output(struct daemon *d)
{
    write_ready(d);
    if (d->journal != NULL)
        journal_sync(d);
    if (xids_xs_server_busy(d->server))
        (void)uv_idle_start(&d->idle, on_idle);
    else
        (void)uv_idle_stop(&d->idle);
    wait_until_deadline(d);
}

/* ---- coming and going ---- */

/* A place in the table for a descriptor. */
static int reserve_place(struct daemon *d, int fd)
{
    if ((size_t)fd < d->clients_room)
        return 0;
    size_t room = ((size_t)fd | 63) + 1;
    struct client **clients = realloc(d->clients, room * sizeof(struct client *));
    if (clients == NULL)
        return -ENOMEM;
    memset(clients + d->clients_room, 0, (room - d->clients_room) * sizeof(struct client *));
    d->clients = clients;
    d->clients_room = room;
    return 0;
}

void client_new(struct daemon *d, int fd)
{
    struct client *c = calloc(1, sizeof(*c));
    if (c == NULL || reserve_place(d, fd) < 0 || xids_xs_server_connect(d->server, &c->conn, c) < 0) {
        log_limited(LOG_LEVEL_ERROR, "out of memory for a new connection");
        free(c);
        (void)close(fd);
        return;
    }
    c->daemon = d;
    c->fd = fd;
    if (uv_poll_init(&d->loop, &c->poll, fd) != 0) {
        xids_xs_server_disconnect(c->conn);
        free(c);
        (void)close(fd);
        return;
    }
    c->poll.data = c;
    d->clients[fd] = c;
    c->number = TRACE_SOCKET + (uint32_t)d->accepted++;
    tracing_note(d, TRACE_CONNECT, c->number, 0, 0);
    wait_for(c, UV_READABLE);
}

int client_adopt(struct daemon *d, struct xids_xs_conn *conn, int fd, const void *rest, size_t len)
{
    int flags = fcntl(fd, F_GETFL);
    struct client *c = calloc(1, sizeof(*c));
    int rc = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
    if (rc == 0 && (c == NULL || reserve_place(d, fd) < 0))
        rc = -ENOMEM;
    if (rc == 0 && len > 0) {
        c->rest = malloc(len);
        rc = c->rest == NULL ? -ENOMEM : 0;
    }
    if (rc == 0)
        rc = uv_poll_init(&d->loop, &c->poll, fd);
    if (rc < 0) {
        if (c != NULL)
            free(c->rest);
        free(c);
        return rc;
    }
    if (len > 0)
        memcpy(c->rest, rest, len);
    c->rest_len = len;
    c->daemon = d;
    c->conn = conn;
    c->fd = fd;
    c->poll.data = c;
    d->clients[fd] = c;
    c->number = TRACE_SOCKET + (uint32_t)d->accepted++;
    tracing_note(d, TRACE_CONNECT, c->number, 0, 0);
    xids_xs_conn_set_data(conn, c);
    return 0;
}

void clients_start(struct daemon *d)
{
    for (size_t i = 0; i < d->clients_room; i++) {
        struct client *c = d->clients[i];
        if (c != NULL && client_write(c) && client_resume(c))
            client_rearm(c);
    }
    flush_output(d);
}

int client_state(const struct xids_xs_conn *conn, const void **rest, size_t *len)
{
    const struct client *c = xids_xs_conn_data(conn);
    *rest = c->rest_len > 0 ? c->rest + c->rest_at : NULL;
    *len = c->rest_len;
    return c->fd;
}

void clients_keep(const struct daemon *d, bool keep)
{
    for (size_t i = 0; i < d->clients_room; i++) {
        if (d->clients[i] != NULL)
            (void)fcntl((int)i, F_SETFD, keep ? 0 : FD_CLOEXEC);
    }
}

static void close_client(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (handle->type == UV_POLL && ((uv_poll_t *)handle)->poll_cb == on_event)
        client_close(handle->data);
}

void clients_close(struct daemon *d)
{
    uv_walk(&d->loop, close_client, NULL);
}
