/* SPDX-License-Identifier: ISC */
/* The control socket: a line with a command in, an answer out. "status" answers in JSON. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

#define LINE_MAX_BYTES 256

struct session {
    struct daemon *daemon;
    uv_pipe_t pipe;
    uv_write_t write;
    char line[LINE_MAX_BYTES];
    size_t len;
    char *answer;
};

static char *status_json(struct daemon *d)
{
    struct xids_xs_server_stats st;
    xids_xs_server_stats(d->server, &st);
    struct json_object *o = json_object_new_object();
    if (o == NULL)
        return NULL;
    json_object_object_add(o, "daemon", json_object_new_string("xids-xenstored"));
    json_object_object_add(o, "pid", json_object_new_int64(getpid()));
    json_object_object_add(o, "socket", json_object_new_string(d->socket_path));
    json_object_object_add(o, "domain-init", json_object_new_boolean(d->domains != NULL));
    json_object_object_add(o, "sandbox", json_object_new_boolean(d->sandboxed));
    json_object_object_add(o, "sockets", json_object_new_int64(st.sockets));
    json_object_object_add(o, "domains", json_object_new_int64(st.domains));
    json_object_object_add(o, "nodes", json_object_new_int64(xids_store_nodes(xids_xs_server_store(d->server))));
    json_object_object_add(o, "watches", json_object_new_int64(st.watches));
    json_object_object_add(o, "transactions", json_object_new_int64(st.transactions));
    json_object_object_add(o, "accepted", json_object_new_uint64(d->accepted));
    json_object_object_add(o, "requests", json_object_new_uint64(st.requests));
    json_object_object_add(o, "events", json_object_new_uint64(st.events));
    json_object_object_add(o, "commits", json_object_new_uint64(st.commits));
    json_object_object_add(o, "conflicts", json_object_new_uint64(st.conflicts));
    json_object_object_add(o, "log-lines-dropped", json_object_new_uint64(log_dropped()));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
    char *copy = NULL;
    if (text != NULL) {
        size_t len = strlen(text);
        copy = malloc(len + 2);
        if (copy != NULL) {
            memcpy(copy, text, len);
            memcpy(copy + len, "\n", 2);
        }
    }
    json_object_put(o);
    return copy;
}

static void on_session_closed(uv_handle_t *handle)
{
    struct session *s = handle->data;
    free(s->answer);
    free(s);
}

static void on_written(uv_write_t *req, int status)
{
    struct session *s = req->data;
    (void)status;
    uv_close((uv_handle_t *)&s->pipe, on_session_closed);
}

static void answer(struct session *s)
{
    s->answer = strcmp(s->line, "status") == 0 ? status_json(s->daemon) : strdup("error: unknown command\n");
    (void)uv_read_stop((uv_stream_t *)&s->pipe);
    uv_buf_t buf = uv_buf_init(s->answer, s->answer != NULL ? (unsigned int)strlen(s->answer) : 0);
    s->write.data = s;
    if (s->answer == NULL || uv_write(&s->write, (uv_stream_t *)&s->pipe, &buf, 1, on_written) != 0)
        uv_close((uv_handle_t *)&s->pipe, on_session_closed);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct session *s = handle->data;
    (void)suggested;
    *buf = uv_buf_init(s->line + s->len, (unsigned int)(sizeof(s->line) - 1 - s->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct session *s = stream->data;
    (void)buf;
    if (n > 0)
        s->len += (size_t)n;
    s->line[s->len] = '\0';
    char *end = strchr(s->line, '\n');
    if (end == NULL && n > 0 && s->len < sizeof(s->line) - 1)
        return;
    if (end != NULL)
        *end = '\0';
    if (end == NULL && s->len == 0)
        uv_close((uv_handle_t *)&s->pipe, on_session_closed);
    else
        answer(s);
}

static void on_control(uv_stream_t *listener, int status)
{
    struct daemon *d = listener->data;
    if (status < 0)
        return;
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL || uv_pipe_init(&d->loop, &s->pipe, 0) != 0) {
        free(s);
        return;
    }
    s->daemon = d;
    s->pipe.data = s;
    if (uv_accept(listener, (uv_stream_t *)&s->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&s->pipe, on_room, on_read) != 0)
        uv_close((uv_handle_t *)&s->pipe, on_session_closed);
}

int control_open(struct daemon *d)
{
    if (d->options->control_path == NULL)
        return 0;
    int rc = uv_pipe_init(&d->loop, &d->control, 0);
    if (rc < 0)
        return rc;
    d->control_open = true;
    d->control.data = d;
    (void)unlink(d->options->control_path);
    mode_t mask = umask(0177);
    rc = uv_pipe_bind(&d->control, d->options->control_path);
    (void)umask(mask);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&d->control, 8, on_control);
    if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "%s: %s", d->options->control_path, uv_strerror(rc));
    return rc;
}

static void close_session(uv_handle_t *handle, void *arg)
{
    struct daemon *d = arg;
    if (handle->type == UV_NAMED_PIPE && handle != (uv_handle_t *)&d->control && !uv_is_closing(handle))
        uv_close(handle, on_session_closed);
}

void control_close(struct daemon *d)
{
    if (!d->control_open)
        return;
    d->control_open = false;
    uv_walk(&d->loop, close_session, d);
    uv_close((uv_handle_t *)&d->control, NULL);
    (void)unlink(d->options->control_path);
}
