/* SPDX-License-Identifier: ISC */
#include "tests/unit/lxs_world.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xids/xs_server.h>

#define CLIENTS 8

static char folder[] = "/tmp/xids-lxs.XXXXXX";
static char path[64];
static int listener = -1;
static int stop[2] = {-1, -1}; /* closing one end ends the store */
static pthread_t thread;
static world_act_fn *actor;

static void listen_there(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(listener, CLIENTS), 0);
    ck_assert_int_eq(pipe(stop), 0);
    setenv("XENSTORED_PATH", path, 1);
}

bool world_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

/* ---- our server ---- */

struct served {
    int fd;
    struct xids_xs_conn *conn;
};

static void *get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    (void)size;
    free(mem);
}

static void send_output(struct xids_xs_conn *conn)
{
    const struct served *s = xids_xs_conn_data(conn);
    const void *bytes;
    size_t len;
    while ((len = xids_xs_server_output(conn, &bytes)) > 0) {
        ssize_t n = send(s->fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        xids_xs_server_sent(conn, (size_t)n);
    }
}

static bool take_input(struct xids_xs_server *server, const struct served *s)
{
    uint8_t bytes[4096];
    ssize_t n = read(s->fd, bytes, sizeof(bytes));
    if (n <= 0)
        return false;
    for (size_t at = 0; at < (size_t)n;) {
        size_t used;
        if (xids_xs_server_input(s->conn, &used, bytes + at, (size_t)n - at) < 0)
            return false;
        at += used;
        send_output(s->conn);
        if (xids_xs_server_spent(s->conn))
            (void)xids_xs_server_idle(server, 1000);
    }
    return true;
}

static void drop(struct served *s)
{
    xids_xs_server_disconnect(s->conn);
    close(s->fd);
    s->fd = -1;
}

static void *serve(void *arg)
{
    const struct xids_xs_server_config config = {.alloc = {get, put, NULL}};
    struct xids_xs_server *server;
    struct xids_xs_conn *conn;
    struct served served[CLIENTS];
    struct pollfd polled[CLIENTS + 2] = {{.fd = listener, .events = POLLIN}, {.fd = stop[0], .events = POLLIN}};
    (void)arg;
    ck_assert_int_eq(xids_xs_server_new(&server, &config), 0);
    for (int i = 0; i < CLIENTS; i++)
        served[i].fd = -1;
    for (;;) {
        for (int i = 0; i < CLIENTS; i++)
            polled[i + 2] = (struct pollfd){.fd = served[i].fd, .events = POLLIN};
        if (poll(polled, CLIENTS + 2, -1) < 0 || polled[1].revents != 0)
            break;
        for (int i = 0; i < CLIENTS; i++) {
            if (served[i].fd >= 0 && polled[i + 2].revents != 0 && !take_input(server, &served[i]))
                drop(&served[i]);
            if (served[i].fd < 0 && polled[0].revents != 0) {
                polled[0].revents = 0;
                served[i].fd = accept(listener, NULL, NULL);
                ck_assert_int_eq(xids_xs_server_connect(server, &served[i].conn, &served[i]), 0);
            }
        }
        while ((conn = xids_xs_server_ready(server)) != NULL)
            send_output(conn);
        while (xids_xs_server_idle(server, 1000))
            continue;
    }
    for (int i = 0; i < CLIENTS; i++) {
        if (served[i].fd >= 0)
            drop(&served[i]);
    }
    xids_xs_server_free(server);
    return NULL;
}

void world_serve(void)
{
    listen_there();
    ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

/* ---- a test's own ---- */

static void *act_once(void *arg)
{
    (void)arg;
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) {
        actor(fd);
        close(fd);
    }
    return NULL;
}

void world_act(world_act_fn *act)
{
    listen_there();
    actor = act;
    ck_assert_int_eq(pthread_create(&thread, NULL, act_once, NULL), 0);
}

void world_end(void)
{
    close(stop[1]);
    pthread_join(thread, NULL);
    close(stop[0]);
    close(listener);
    unlink(path);
    rmdir(folder);
}

static bool read_all(int fd, void *to, size_t len)
{
    uint8_t *at = to;
    while (len > 0) {
        ssize_t n = read(fd, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool world_take(int fd, struct world_request *request)
{
    uint32_t header[4];
    if (!read_all(fd, header, sizeof(header)))
        return false;
    /* oxenstored hangs on requests without a payload. */
    ck_assert_uint_gt(header[3], 0);
    ck_assert_uint_le(header[3], XIDS_XSWIRE_PAYLOAD_MAX);
    request->type = header[0];
    request->req_id = header[1];
    request->tx_id = header[2];
    request->len = header[3];
    if (!read_all(fd, request->payload, request->len))
        return false;
    request->payload[request->len] = '\0';
    return true;
}

void world_send(int fd, uint32_t type, uint32_t req_id, const void *payload, size_t len)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, sizeof(out), type, req_id, 0, &part, 1);
    ck_assert_int_gt(n, 0);
    (void)!send(fd, out, (size_t)n, MSG_NOSIGNAL);
}

void world_say(int fd, const struct world_request *request, const char *text)
{
    world_send(fd, request->type, request->req_id, text, strlen(text) + 1);
}

void world_ok(int fd, const struct world_request *request)
{
    world_say(fd, request, "OK");
}

void world_event(int fd)
{
    world_send(fd, XS_WATCH_EVENT, 0, "/w\0t", 5);
}
