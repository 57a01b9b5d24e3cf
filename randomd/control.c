/* SPDX-License-Identifier: ISC */
/*
 * The control socket: a request is a line ("status"), the answer a JSON object and a line end, then the connection
 * closes. An answer is made and sent in pieces, a turn of the loop for each, so that neither its size nor a slow reader
 * keeps guests waiting. Only our own user may connect.
 */
#include "randomd/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HANDLES 3u /* of libuv, for one client */

struct control {
    uv_pipe_t listener;
    unsigned int clients;
};

struct client {
    uv_pipe_t pipe;
    uv_timer_t patience;
    uv_idle_t turns;
    uv_write_t write;
    size_t have;
    unsigned int handles; /* still to be closed */
    int left;             /* of the request: more turns, or 0 */
    char line[CONTROL_LINE];
    struct request request;
};

/* ---- connections ---- */

static void closed(uv_handle_t *h)
{
    struct client *c = h->data;
    if (--c->handles > 0)
        return;
    c->request.d->control->clients--;
    free(c);
}

static void hang_up(struct client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    uv_close((uv_handle_t *)&c->pipe, closed);
    uv_close((uv_handle_t *)&c->patience, closed);
    uv_close((uv_handle_t *)&c->turns, closed);
}

static void out_of_patience(uv_timer_t *t)
{
    hang_up(t->data);
}

static void on_turn(uv_idle_t *h);

static void on_written(uv_write_t *w, int rc)
{
    struct client *c = w->data;
    c->request.len = 0;
    if (rc < 0 || c->left <= 0 || uv_is_closing((uv_handle_t *)&c->turns) || uv_idle_start(&c->turns, on_turn) < 0)
        hang_up(c);
}

/* Its turns go on. */
static void waited(uv_timer_t *t)
{
    struct client *c = t->data;
    if (uv_idle_start(&c->turns, on_turn) < 0)
        hang_up(c);
}

/* Until there is something to send, or the request is done with. */
static void on_turn(uv_idle_t *h)
{
    struct client *c = h->data;
    c->left = c->request.turn(&c->request);
    turn_end(c->request.d);
    if (c->left == 1 && c->request.len == 0)
        return;
    uv_idle_stop(h);
    if (c->left == REQUEST_WAITS && c->request.len == 0) {
        if (uv_timer_start(&c->patience, waited, WAIT_MS, 0) < 0)
            hang_up(c);
        return;
    }
    uv_buf_t out = uv_buf_init(c->request.out, (unsigned int)c->request.len);
    c->write.data = c;
    if (uv_timer_start(&c->patience, out_of_patience, CONTROL_IDLE_MS, 0) < 0 ||
        uv_write(&c->write, (uv_stream_t *)&c->pipe, &out, 1, on_written) < 0)
        hang_up(c);
}

static void give_room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct client *c = h->data;
    (void)suggested;
    *buf = uv_buf_init(c->line + c->have, (unsigned int)(sizeof(c->line) - c->have));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    (void)buf;
    if (n < 0) {
        hang_up(c);
        return;
    }
    c->have += (size_t)n;
    char *end = memchr(c->line, '\n', c->have);
    if (end == NULL) {
        if (c->have == sizeof(c->line))
            hang_up(c);
        return;
    }
    *end = '\0';
    uv_read_stop(stream);
    /* What was asked for is done, also when whoever asked does not wait for it. */
    uv_timer_stop(&c->patience);
    request_begin(&c->request, c->line);
    if (uv_idle_start(&c->turns, on_turn) < 0)
        hang_up(c);
}

static void on_connect(uv_stream_t *listener, int rc)
{
    struct daemon *d = listener->data;
    struct client *c = rc == 0 ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL)
        return;
    c->request.d = d;
    c->handles = HANDLES;
    d->control->clients++;
    uv_pipe_init(&d->loop, &c->pipe, 0);
    uv_timer_init(&d->loop, &c->patience);
    uv_idle_init(&d->loop, &c->turns);
    c->pipe.data = c->patience.data = c->turns.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || d->control->clients > CONTROL_CLIENTS ||
        uv_timer_start(&c->patience, out_of_patience, CONTROL_IDLE_MS, 0) < 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, give_room, on_read) < 0)
        hang_up(c);
}

/* ---- life ---- */

int control_start(struct daemon *d)
{
    const char *path = d->config.control;
    int fd = control_connect(path);
    if (fd >= 0 || fd == -EAGAIN) {
        if (fd >= 0)
            close(fd);
        log_line(SAY_ERROR, "another xids-randomd %s at %s", fd >= 0 ? "answers" : "hangs", path);
        return -XEN_EBUSY;
    }
    struct stat there;
    if (lstat(path, &there) == 0 && !S_ISSOCK(there.st_mode)) {
        log_line(SAY_ERROR, "control socket %s: there is something else of that name", path);
        return -XEN_EEXIST;
    }
    unlink(path); /* left by one that was killed */
    struct control *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return -XEN_ENOMEM;
    uv_pipe_init(&d->loop, &c->listener, 0);
    c->listener.data = d;
    mode_t before = umask(0177);
    int rc = uv_pipe_bind(&c->listener, path);
    umask(before);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&c->listener, CONTROL_CLIENTS, on_connect);
    d->control = c;
    if (rc < 0)
        /* libuv calls a folder that does not exist "permission denied", too. */
        log_line(SAY_ERROR, "control socket %s: %s", path,
                 rc == UV_EACCES ? "its folder is missing or not ours to write" : uv_strerror(rc));
    return rc;
}

static void listener_closed(uv_handle_t *h)
{
    (void)h;
}

static void close_client(uv_handle_t *h, void *ctx)
{
    struct daemon *d = ctx;
    if (h->type == UV_NAMED_PIPE && h != (uv_handle_t *)&d->control->listener)
        hang_up(h->data);
}

void control_stop(struct daemon *d)
{
    if (d->control == NULL || uv_is_closing((uv_handle_t *)&d->control->listener))
        return;
    uv_close((uv_handle_t *)&d->control->listener, listener_closed); /* which removes the socket too */
    uv_walk(&d->loop, close_client, d);
}
