/* SPDX-License-Identifier: ISC */
/* The control socket: a request is a line, the answer a line of JSON, then the connection closes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

#define LINE_BYTES 64u
#define SESSIONS 8u   /* at once */
#define IDLE_MS 5000u /* until one is dropped */
#define HANDLES 2u    /* of libuv, for one */

struct session {
    struct daemon *daemon;
    uv_pipe_t pipe;
    uv_timer_t idle;
    uv_write_t write;
    unsigned int handles; /* still to be closed */
    char line[LINE_BYTES];
    size_t len;
    char *answer;
};

static void on_closed(uv_handle_t *handle)
{
    struct session *s = handle->data;
    if (--s->handles > 0)
        return;
    s->daemon->control_sessions--;
    free(s->answer);
    free(s);
}

static void hang_up(struct session *s)
{
    if (uv_is_closing((uv_handle_t *)&s->pipe))
        return;
    uv_close((uv_handle_t *)&s->pipe, on_closed);
    uv_close((uv_handle_t *)&s->idle, on_closed);
}

static void on_idle(uv_timer_t *timer)
{
    hang_up(timer->data);
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    hang_up(req->data);
}

static void answer(struct session *s)
{
    (void)uv_read_stop((uv_stream_t *)&s->pipe);
    s->answer = status_answer(s->daemon, s->line);
    uv_buf_t buf = uv_buf_init(s->answer, s->answer != NULL ? (unsigned int)strlen(s->answer) : 0);
    s->write.data = s;
    if (s->answer == NULL || uv_write(&s->write, (uv_stream_t *)&s->pipe, &buf, 1, on_written) != 0)
        hang_up(s);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct session *s = handle->data;
    (void)suggested;
    *buf = uv_buf_init(s->line + s->len, (unsigned int)(sizeof(s->line) - s->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct session *s = stream->data;
    (void)buf;
    if (n < 0) {
        hang_up(s);
        return;
    }
    s->len += (size_t)n;
    char *end = memchr(s->line, '\n', s->len);
    if (end != NULL) {
        *end = '\0';
        answer(s);
    } else if (s->len == sizeof(s->line)) {
        hang_up(s);
    }
}

static void on_control(uv_stream_t *listener, int status)
{
    struct daemon *d = listener->data;
    struct session *s = status == 0 ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL)
        return;
    s->daemon = d;
    s->handles = HANDLES;
    d->control_sessions++;
    (void)uv_pipe_init(&d->loop, &s->pipe, 0);
    (void)uv_timer_init(&d->loop, &s->idle);
    s->pipe.data = s->idle.data = s;
    if (uv_accept(listener, (uv_stream_t *)&s->pipe) != 0 || d->control_sessions > SESSIONS ||
        uv_timer_start(&s->idle, on_idle, IDLE_MS, 0) != 0 ||
        uv_read_start((uv_stream_t *)&s->pipe, on_room, on_read) != 0)
        hang_up(s);
}

/* ---- life ---- */

char *control_path(const struct options *o, const char *socket_path)
{
    static const char name[] = "xids-xenstored.sock";
    if (o->control_path != NULL)
        return strdup(o->control_path);
    const char *slash = strrchr(socket_path, '/');
    size_t folder = slash != NULL ? (size_t)(slash - socket_path) + 1 : 0;
    char *path = malloc(folder + sizeof(name));
    if (path != NULL) {
        memcpy(path, socket_path, folder);
        memcpy(path + folder, name, sizeof(name));
    }
    return path;
}

int control_open(struct daemon *d)
{
    int fd = unix_listen(d->control_path, "xids-xenstored");
    /* Where it is by default nobody has asked for it. */
    if (fd < 0)
        return d->options->control_path != NULL ? fd : 0;
    int rc = uv_pipe_init(&d->loop, &d->control, 0);
    if (rc == 0) {
        d->control_open = true;
        d->control.data = d;
        rc = uv_pipe_open(&d->control, fd);
    }
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&d->control, (int)SESSIONS, on_control);
    if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "%s: %s", d->control_path, uv_strerror(rc));
    return rc;
}

static void close_session(uv_handle_t *handle, void *arg)
{
    struct daemon *d = arg;
    if (handle->type == UV_NAMED_PIPE && handle != (uv_handle_t *)&d->control)
        hang_up(handle->data);
}

void control_close(struct daemon *d)
{
    if (!d->control_open)
        return;
    d->control_open = false;
    uv_walk(&d->loop, close_session, d);
    uv_close((uv_handle_t *)&d->control, NULL);
    (void)unlink(d->control_path);
}

int control_ask(const char *path, const char *request)
{
    char buf[4096];
    ssize_t n = -1;
    bool any = false;
    int fd = unix_connect(path);
    if (fd < 0) {
        (void)fprintf(stderr, "xids-xenstored: %s: %s\n", path, strerror(-fd));
        return EXIT_FAILURE;
    }
    if (dprintf(fd, "%s\n", request) > 0) {
        while ((n = read(fd, buf, sizeof(buf))) > 0)
            any = fwrite(buf, 1, (size_t)n, stdout) > 0;
    }
    (void)close(fd);
    return n == 0 && any && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
