/* SPDX-License-Identifier: ISC */
/*
 * The control socket: a request is a line ("status"), the answer a JSON object and a line end, then the connection
 * closes. Only our own user may connect.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct control {
    uv_pipe_t listener;
    unsigned int clients;
};

struct client {
    uv_pipe_t pipe;
    uv_timer_t idle;
    uv_write_t write;
    struct daemon *d;
    char *answer;
    size_t have;
    unsigned int handles; /* still to be closed */
    char line[CONTROL_LINE];
};

/* ---- what is told ---- */

static void add_number(struct json_object *to, const char *name, uint64_t n)
{
    json_object_object_add(to, name, json_object_new_uint64(n));
}

static const char *state_name(const struct guest *g)
{
    if (g->ch == NULL)
        return g->reoffer_at == UINT64_MAX ? "exhausted" : "waiting";
    switch (xids_vchan_state(g->ch)) {
    case XIDS_VCHAN_CONNECTING:
        return "offered";
    case XIDS_VCHAN_OPEN:
        return "connected";
    case XIDS_VCHAN_DRAINING:
    case XIDS_VCHAN_CLOSED:
        return "closed";
    case XIDS_VCHAN_BROKEN:
    default:
        return "broken";
    }
}

static struct json_object *describe_guest(const struct guest *g)
{
    struct json_object *o = json_object_new_object();
    struct xids_randomd_session_stats s;
    char epoch[20];
    guest_stats(g, &s);
    snprintf(epoch, sizeof(epoch), "%016" PRIx64, g->session != NULL ? xids_randomd_session_epoch(g->session) : 0);
    add_number(o, "domid", g->domid);
    json_object_object_add(o, "state", json_object_new_string(state_name(g)));
    json_object_object_add(o, "epoch", json_object_new_string(epoch));
    add_number(o, "channels", g->channels);
    add_number(o, "hellos", s.hellos);
    add_number(o, "gets", s.gets);
    add_number(o, "bytes", s.bytes);
    add_number(o, "errors", s.errors);
    return o;
}

static char *status(struct daemon *d)
{
    struct json_object *all = json_object_new_object(), *counters = json_object_new_object();
    struct json_object *guests = json_object_new_array();
    json_object_object_add(all, "program", json_object_new_string("xids-randomd"));
    add_number(all, "domid", d->domid);
    json_object_object_add(all, "ready", json_object_new_boolean(d->was_ready));
    json_object_object_add(all, "store", json_object_new_boolean(!d->store_lost));
    json_object_object_add(all, "locked", json_object_new_boolean(secret_locked()));
    struct counters c = d->count;
    for (const struct guest *g = d->guests; g != NULL; g = g->next) {
        struct xids_randomd_session_stats s;
        guest_stats(g, &s);
        c.hellos += s.hellos;
        c.gets += s.gets;
        c.bytes += s.bytes;
        c.errors += s.errors;
        json_object_array_add(guests, describe_guest(g));
    }
    add_number(counters, "draws", master_draws(d->master));
    add_number(counters, "events", c.events);
    add_number(counters, "scans", c.scans);
    add_number(counters, "offers", c.offers);
    add_number(counters, "offer-failures", c.offer_failures);
    add_number(counters, "guests-exhausted", c.exhausted);
    add_number(counters, "channels-closed", c.channels_closed);
    add_number(counters, "violations", c.violations);
    add_number(counters, "store-reconnects", c.store_reconnects);
    add_number(counters, "log-lines-dropped", log_dropped());
    add_number(counters, "hellos", c.hellos);
    add_number(counters, "gets", c.gets);
    add_number(counters, "bytes", c.bytes);
    add_number(counters, "errors", c.errors);
    json_object_object_add(all, "counters", counters);
    json_object_object_add(all, "guests", guests);
    const char *text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
    size_t len = strlen(text);
    char *line = malloc(len + 2);
    if (line != NULL) {
        memcpy(line, text, len);
        memcpy(line + len, "\n", 2);
    }
    json_object_put(all);
    return line;
}

static char *answer_to(struct daemon *d, const char *request)
{
    if (strcmp(request, "status") == 0)
        return status(d);
    return strdup("{\"error\":\"unknown request\"}\n");
}

/* ---- connections ---- */

static void closed(uv_handle_t *h)
{
    struct client *c = h->data;
    if (--c->handles > 0)
        return;
    c->d->control->clients--;
    free(c->answer);
    free(c);
}

static void hang_up(struct client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    uv_close((uv_handle_t *)&c->pipe, closed);
    uv_close((uv_handle_t *)&c->idle, closed);
}

static void on_idle(uv_timer_t *t)
{
    hang_up(t->data);
}

static void on_written(uv_write_t *w, int rc)
{
    (void)rc;
    hang_up(w->data);
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
    c->answer = answer_to(c->d, c->line);
    if (c->answer == NULL) {
        hang_up(c);
        return;
    }
    uv_buf_t out = uv_buf_init(c->answer, (unsigned int)strlen(c->answer));
    c->write.data = c;
    if (uv_write(&c->write, stream, &out, 1, on_written) < 0)
        hang_up(c);
}

static void on_connect(uv_stream_t *listener, int rc)
{
    struct daemon *d = listener->data;
    struct client *c = rc == 0 ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL)
        return;
    c->d = d;
    c->handles = 2;
    d->control->clients++;
    uv_pipe_init(&d->loop, &c->pipe, 0);
    uv_timer_init(&d->loop, &c->idle);
    c->pipe.data = c->idle.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || d->control->clients > CONTROL_CLIENTS ||
        uv_timer_start(&c->idle, on_idle, CONTROL_IDLE_MS, 0) < 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, give_room, on_read) < 0)
        hang_up(c);
}

/* ---- life ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

int control_start(struct daemon *d)
{
    const char *path = d->config.control;
    int fd = connect_to(path);
    if (fd >= 0) {
        close(fd);
        log_line(SAY_ERROR, "another xids-randomd answers at %s", path);
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

void control_stop(struct daemon *d)
{
    if (d->control != NULL && !uv_is_closing((uv_handle_t *)&d->control->listener))
        uv_close((uv_handle_t *)&d->control->listener, listener_closed); /* which removes the socket too */
}

int control_ask(const char *path, const char *request)
{
    char buf[4096];
    int fd = connect_to(path);
    if (fd < 0) {
        fprintf(stderr, "xids-randomd: %s: %s\n", path, strerror(-fd));
        return EXIT_FAILURE;
    }
    ssize_t n = dprintf(fd, "%s\n", request) < 0 ? -1 : 0;
    bool any = false;
    while (n >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
        any = fwrite(buf, 1, (size_t)n, stdout) > 0;
    close(fd);
    return n == 0 && any ? EXIT_SUCCESS : EXIT_FAILURE;
}
