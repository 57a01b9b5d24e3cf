/* SPDX-License-Identifier: ISC */
/* Connections of the conformance program, and what is asked and heard on them. */
#include "tests/interop/conformance.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A limit for machines that are slow: a store that takes longer does not answer. */
#define ANSWER_MS 5000

void broken(const char *fmt, ...)
{
    char text[8192];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)printf("# ");
    for (const char *p = text; *p != '\0'; p++)
        (void)printf(*p == '\n' ? "\n# " : "%c", *p);
    (void)printf("\n");
    (void)fflush(stdout);
    _exit(1);
}

/* ---- bytes ---- */

static int now_ms(void)
{
    static time_t first;
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    if (first == 0)
        first = ts.tv_sec;
    return (int)((ts.tv_sec - first) * 1000 + ts.tv_nsec / 1000000);
}

int socket_open(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/xenstored/socket", machine.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

struct client *socket_client(void)
{
    struct client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        broken("no memory");
    c->fd = socket_open();
    if (c->fd < 0)
        broken("the socket cannot be connected to: %s", strerror(errno));
    return c;
}

/* Waits for what may have changed; false when the time is up. */
static bool wait_for(struct client *c, int end)
{
    struct pollfd fd = {.fd = c->fd, .events = POLLIN};
    evtchn_port_t port;
    int left = end - now_ms();
    if (left <= 0 || poll(&fd, 1, left) <= 0)
        return false;
    if (c->ring && read(c->fd, &port, sizeof(port)) == sizeof(port) &&
        xids_hv_evtchn_take(&machine.hv, c->owner, port) == 1 &&
        xids_hv_evtchn_unmask(&machine.hv, c->owner, port) < 0) {
    }
    return true;
}

static void send_ring(struct client *c, const uint8_t *bytes, size_t len)
{
    int end = now_ms() + ANSWER_MS;
    while (len > 0) {
        int n = xids_bytering_write(&c->out, bytes, (uint32_t)len);
        if (n < 0)
            broken("the store broke the ring");
        bytes += n;
        len -= (size_t)n;
        if (xids_bytering_publish(&c->out))
            notify_store(c);
        if (n == 0 && !wait_for(c, end))
            broken("the store takes nothing from domain %u's ring", c->domid);
    }
}

void send_bytes(struct client *c, const void *bytes, size_t len)
{
    if (c->ring)
        send_ring(c, bytes, len);
    else if (send(c->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        c->closed = true;
}

uint32_t send_request(struct client *c, uint32_t type, uint32_t tx, const void *payload, size_t len)
{
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(bytes, sizeof(bytes), type, ++c->last_id, tx, &part, 1);
    if (n < 0)
        broken("a request of %zu bytes cannot be sent", len);
    send_bytes(c, bytes, (size_t)n);
    return c->last_id;
}

static int receive(struct client *c)
{
    uint8_t *to = c->bytes + c->have;
    size_t room = sizeof(c->bytes) - c->have;
    if (!c->ring) {
        ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            c->closed = true;
        return n > 0 ? (int)n : 0;
    }
    int n = xids_bytering_read(&c->in, to, (uint32_t)room);
    if (n < 0)
        broken("the store broke the ring");
    if (xids_bytering_publish(&c->in))
        notify_store(c);
    return n;
}

bool next_message_within(struct client *c, struct xids_xswire_msg *msg, int limit)
{
    int end = now_ms() + limit;
    /* What was handed out last is used up. */
    memmove(c->bytes, c->bytes + c->taken, c->have - c->taken);
    c->have -= c->taken;
    c->taken = 0;
    for (;;) {
        int n = xids_xswire_peek(msg, c->bytes, c->have);
        if (n < 0)
            broken("the store sent an over-long message");
        if (n > 0) {
            c->taken = (size_t)n;
            return true;
        }
        if (c->closed)
            return false;
        n = receive(c);
        c->have += (size_t)n;
        if (n == 0 && !c->closed && !wait_for(c, end))
            return false;
    }
}

bool next_message(struct client *c, struct xids_xswire_msg *msg)
{
    return next_message_within(c, msg, ANSWER_MS);
}

/* ---- text ---- */

static void to_text(char *out, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = bytes[i] == '\0' ? '|' : bytes[i];
    out[len] = '\0';
}

static void keep_event(struct client *c, const struct xids_xswire_msg *msg)
{
    if (msg->req_id != 0 || msg->tx_id != 0)
        broken("an event with req_id %u and tx_id %u, not 0", msg->req_id, msg->tx_id);
    if (c->events_len + msg->len + 2 > sizeof(c->events))
        broken("more events than this program keeps");
    if (c->events_len > 0)
        c->events[c->events_len++] = ' ';
    to_text(c->events + c->events_len, msg->payload, msg->len);
    c->events_len += msg->len;
}

const char *ask_bytes(struct client *c, uint32_t type, uint32_t tx, const void *payload, size_t len)
{
    static char text[2][XIDS_XSWIRE_PAYLOAD_MAX + 2];
    static unsigned int turn;
    char *out = text[turn++ % 2];
    struct xids_xswire_msg msg;
    uint32_t id = send_request(c, type, tx, payload, len);
    while (next_message(c, &msg)) {
        if (msg.type == XS_WATCH_EVENT) {
            keep_event(c, &msg);
            continue;
        }
        if (msg.req_id != id || msg.tx_id != tx || (msg.type != type && msg.type != XS_ERROR))
            broken("the answer to type %u, req_id %u, tx_id %u has %u, %u, %u", type, id, tx, msg.type, msg.req_id,
                   msg.tx_id);
        to_text(out + 1, msg.payload, msg.len);
        if (msg.type != XS_ERROR)
            return out + 1;
        if (msg.len == 0 || msg.payload[msg.len - 1] != '\0')
            broken("an error without its NUL");
        out[0] = '!';
        out[msg.len] = '\0';
        return out;
    }
    broken(c->closed ? "the store closed the connection at a request of type %u" : "no answer to a request of type %u",
           type);
}

__attribute__((format(printf, 3, 0))) static size_t from_text(char *out, size_t room, const char *fmt, va_list args)
{
    int n = vsnprintf(out, room, fmt, args);
    if (n < 0 || (size_t)n >= room)
        broken("a payload that is too long");
    for (int i = 0; i < n; i++)
        out[i] = out[i] == '|' ? '\0' : out[i];
    return (size_t)n;
}

const char *ask(struct client *c, uint32_t type, uint32_t tx, const char *fmt, ...)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    va_list args;
    va_start(args, fmt);
    size_t len = from_text(payload, sizeof(payload), fmt, args);
    va_end(args);
    return ask_bytes(c, type, tx, payload, len);
}

void check_says(const char *file, int line, struct client *c, uint32_t type, uint32_t tx, const char *want,
                const char *fmt, ...)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1], asked[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    va_list args;
    va_start(args, fmt);
    size_t len = from_text(payload, sizeof(payload), fmt, args);
    va_end(args);
    to_text(asked, payload, len);
    const char *got = ask_bytes(c, type, tx, payload, len);
    if (strcmp(got, want) != 0)
        broken("%s:%d: %s %d asked type %u of %.200s\nsaid %.300s, not %.300s", file, line,
               c->ring ? "domain" : "socket", c->ring ? c->domid : c->fd, type, asked, got, want);
}

/* A question that nothing depends on: what the store had for us before lies before its answer. */
const char *events_of(struct client *c)
{
    static char text[EVENTS_BYTES];
    (void)ask_bytes(c, XS_GET_DOMAIN_PATH, 0, "0", 2);
    memcpy(text, c->events, c->events_len);
    text[c->events_len] = '\0';
    c->events_len = 0;
    return text;
}

void check_hears(const char *file, int line, struct client *c, const char *fmt, ...)
{
    char want[4096];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(want, sizeof(want), fmt, args);
    va_end(args);
    const char *got = events_of(c);
    if (strcmp(got, want) != 0)
        broken("%s:%d: %s %d heard %.1000s\nnot %.1000s", file, line, c->ring ? "domain" : "socket",
               c->ring ? c->domid : c->fd, got[0] == '\0' ? "nothing" : got, want[0] == '\0' ? "nothing" : want);
}

void watch(struct client *c, const char *fmt, ...)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    va_list args;
    va_start(args, fmt);
    size_t len = from_text(payload, sizeof(payload), fmt, args);
    va_end(args);
    const char *got = ask_bytes(c, XS_WATCH, 0, payload, len);
    if (strcmp(got, "OK|") != 0)
        broken("WATCH of %s: %s", payload, got);
    (void)events_of(c);
}

uint32_t start(struct client *c)
{
    char *end;
    const char *got = ask(c, XS_TRANSACTION_START, 0, "|");
    unsigned long id = strtoul(got, &end, 10);
    if (id == 0 || strcmp(end, "|") != 0)
        broken("TRANSACTION_START: %s", got);
    return (uint32_t)id;
}

void give(struct client *by, const char *path, const struct client *to)
{
    done(by, XS_MKDIR, "%s|", path);
    done(by, XS_SET_PERMS, "%s|n%u|", path, to->domid);
}
