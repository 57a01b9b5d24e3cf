/* SPDX-License-Identifier: ISC */
/*
 * The xenstore suite: requests over the sockets of xids-xenstored, C xenstored and oxenstored, with the same client
 * for all, in turns. Started by bench/xenstore.sh with KIND=SOCKET for each.
 */
#include "config.h"

#include "bench/bench.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xids/xswire.h>

#define ROUNDS 5u
#define WINDOW 64u
#define CLIENTS 64u
#define STARTS 32u

struct daemon {
    const char *socket;
    const char *name;
};

struct load {
    struct daemon *daemon;
    bool write;
    unsigned int count;
};

static void must(bool good)
{
    if (!good)
        abort();
}

static int dial(const struct daemon *d)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    must(strlen(d->socket) < sizeof(addr.sun_path));
    strcpy(addr.sun_path, d->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* C xenstored's backlog is 1: when many dial at once, some have to wait. */
    while (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        must(errno == EAGAIN || errno == EINTR);
    return fd;
}

static size_t request(uint8_t *out, uint32_t type, uint32_t tx, const char *payload, size_t len)
{
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, 0, tx, &part, 1);
    must(n > 0);
    return (size_t)n;
}

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        must(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

/* A stream of answers; events are passed over. */
struct answers {
    int fd;
    size_t have;
    uint8_t bytes[65536];
};

/* Reads once and counts the whole answers; the last is in *msg. */
static unsigned int take(struct answers *a, struct xids_xswire_msg *msg)
{
    ssize_t n = read(a->fd, a->bytes + a->have, sizeof(a->bytes) - a->have);
    must(n > 0);
    a->have += (size_t)n;
    size_t used = 0;
    unsigned int count = 0;
    struct xids_xswire_msg m;
    for (int len; (len = xids_xswire_peek(&m, a->bytes + used, a->have - used)) != 0; used += (size_t)len) {
        must(len > 0);
        count += m.type != XS_WATCH_EVENT;
        *msg = m;
    }
    a->have -= used;
    if (a->have > 0)
        memmove(a->bytes, a->bytes + used, a->have);
    return count;
}

/* One request and its answer's type. The payload's number goes to *number where there is one. */
static uint32_t ask(struct answers *a, uint32_t type, uint32_t tx, const char *payload, size_t len, uint32_t *number)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_msg msg = {0};
    send_all(a->fd, out, request(out, type, tx, payload, len));
    while (take(a, &msg) == 0) {
    }
    if (number != NULL && msg.type != XS_ERROR)
        must(xids_xswire_decimal(number, msg.payload, msg.len - 1, UINT32_MAX) == 0);
    return msg.type;
}

static const char write_payload[] = "/bench/value\0sixteen bytes...";
static const char read_payload[] = "/bench/value";

static size_t load_request(const struct load *l, uint8_t *out)
{
    return l->write ? request(out, XS_WRITE, 0, write_payload, sizeof(write_payload) - 1)
                    : request(out, XS_READ, 0, read_payload, sizeof(read_payload));
}

static double rate(unsigned int count, uint64_t start)
{
    return (double)count * 1e9 / (double)(bench_now() - start);
}

static double run_sync(void *ctx)
{
    const struct load *l = ctx;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static struct answers a;
    struct xids_xswire_msg msg;
    a = (struct answers){.fd = dial(l->daemon)};
    size_t len = load_request(l, out);
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < l->count; i++) {
        send_all(a.fd, out, len);
        while (take(&a, &msg) == 0) {
        }
    }
    double r = rate(l->count, start);
    (void)close(a.fd);
    return r;
}

static double run_pipelined(void *ctx)
{
    const struct load *l = ctx;
    static uint8_t out[WINDOW * 64];
    static struct answers a;
    struct xids_xswire_msg msg;
    size_t len = load_request(l, out);
    for (unsigned int i = 1; i < WINDOW; i++)
        memcpy(out + i * len, out, len);
    a = (struct answers){.fd = dial(l->daemon)};
    unsigned int sent = WINDOW, done = 0;
    uint64_t start = bench_now();
    send_all(a.fd, out, WINDOW * len);
    while (done < l->count) {
        unsigned int n = take(&a, &msg);
        done += n;
        if (n > 0 && sent < l->count) {
            send_all(a.fd, out, n * len);
            sent += n;
        }
    }
    double r = rate(done, start);
    (void)close(a.fd);
    return r;
}

static double run_clients(void *ctx)
{
    const struct load *l = ctx;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static struct answers a[CLIENTS];
    struct pollfd fds[CLIENTS];
    size_t len = load_request(l, out);
    for (unsigned int i = 0; i < CLIENTS; i++) {
        a[i] = (struct answers){.fd = dial(l->daemon)};
        fds[i] = (struct pollfd){.fd = a[i].fd, .events = POLLIN};
    }
    unsigned int done = 0;
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < CLIENTS; i++)
        send_all(a[i].fd, out, len);
    while (done < l->count) {
        must(poll(fds, CLIENTS, -1) > 0);
        for (unsigned int i = 0; i < CLIENTS; i++) {
            struct xids_xswire_msg msg;
            if (fds[i].revents != 0 && take(&a[i], &msg) > 0) {
                done++;
                send_all(a[i].fd, out, len);
            }
        }
    }
    double r = rate(done, start);
    for (unsigned int i = 0; i < CLIENTS; i++)
        (void)close(a[i].fd);
    return r;
}

/* STARTS clients in lockstep, each a transaction of 33 requests that creates below one parent. Commits a second. */
static double run_starts(void *ctx)
{
    const struct load *l = ctx;
    static struct answers a[STARTS];
    uint32_t tx[STARTS] = {0};
    unsigned int commits = 0;
    for (unsigned int i = 0; i < STARTS; i++)
        a[i] = (struct answers){.fd = dial(l->daemon)};
    uint64_t start = bench_now();
    for (unsigned int round = 0; round < l->count; round++) {
        for (unsigned int i = 0; i < STARTS; i++)
            (void)ask(&a[i], XS_TRANSACTION_START, 0, "", 1, &tx[i]);
        for (unsigned int k = 0; k < 31; k++) {
            for (unsigned int i = 0; i < STARTS; i++) {
                char payload[64];
                int n = snprintf(payload, sizeof(payload), "/bench/vm/%u/device/%u", i, k);
                must(n > 0);
                (void)ask(&a[i], XS_WRITE, tx[i], payload, (size_t)n + 1, NULL);
            }
        }
        for (unsigned int i = 0; i < STARTS; i++)
            commits += ask(&a[i], XS_TRANSACTION_END, tx[i], "T", 2, NULL) != XS_ERROR;
        static struct answers cleaner;
        cleaner = (struct answers){.fd = dial(l->daemon)};
        for (unsigned int i = 0; i < STARTS; i++) {
            char payload[64];
            int n = snprintf(payload, sizeof(payload), "/bench/vm/%u", i);
            must(n > 0);
            (void)ask(&cleaner, XS_RM, 0, payload, (size_t)n + 1, NULL);
        }
        (void)close(cleaner.fd);
    }
    double r = rate(commits, start);
    for (unsigned int i = 0; i < STARTS; i++)
        (void)close(a[i].fd);
    return r > 0 ? r : 0.001;
}

/* Creating children of one directory: the last tenth's time for one, in microseconds. */
static double run_children(void *ctx)
{
    const struct load *l = ctx;
    static struct answers a;
    a = (struct answers){.fd = dial(l->daemon)};
    uint64_t start = 0;
    for (unsigned int i = 0; i < l->count; i++) {
        char payload[64];
        int n = snprintf(payload, sizeof(payload), "/bench/children/%u", i);
        must(n > 0);
        if (i == l->count - l->count / 10)
            start = bench_now();
        (void)ask(&a, XS_MKDIR, 0, payload, (size_t)n + 1, NULL);
    }
    double us = (double)(bench_now() - start) / 1e3 / (l->count / 10);
    (void)ask(&a, XS_RM, 0, "/bench/children", sizeof("/bench/children"), NULL);
    (void)close(a.fd);
    return us;
}

static struct daemon daemons[3];
static size_t n_daemons;

static void compare(struct bench *b, const char *name, const char *unit, enum bench_better better,
                    double (*run)(void *ctx), bool write, unsigned int count)
{
    struct load loads[3];
    struct bench_side sides[3];
    for (size_t i = 0; i < n_daemons; i++) {
        loads[i] =
            (struct load){.daemon = &daemons[i], .write = write, .count = bench_quick(b) ? count / 20 + 20 : count};
        sides[i] = (struct bench_side){.name = daemons[i].name, .run = run, .ctx = &loads[i]};
    }
    (void)bench_compare(b, name, unit, better, ROUNDS, sides, n_daemons);
}

int main(int argc, char **argv)
{
    static const char *const names[][2] = {
        {"xids-xenstored=", "self"}, {"xenstored=", "C xenstored"}, {"oxenstored=", "oxenstored"}};
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < 3; k++) {
            size_t len = strlen(names[k][0]);
            if (strncmp(argv[i], names[k][0], len) == 0)
                daemons[n_daemons++] = (struct daemon){.socket = argv[i] + len, .name = names[k][1]};
        }
    }
    struct bench *b = bench_open("xenstore");
    if (b == NULL || n_daemons == 0) {
        (void)fputs("usage: bench/xenstore.sh\n", stderr);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < n_daemons; i++) {
        static struct answers a;
        a = (struct answers){.fd = dial(&daemons[i])};
        must(ask(&a, XS_WRITE, 0, write_payload, sizeof(write_payload) - 1, NULL) == XS_WRITE);
        (void)close(a.fd);
    }
    compare(b, "read-sync", "requests/s", BENCH_HIGHER, run_sync, false, 20000);
    compare(b, "write-sync", "requests/s", BENCH_HIGHER, run_sync, true, 20000);
    compare(b, "read-pipelined", "requests/s", BENCH_HIGHER, run_pipelined, false, 100000);
    compare(b, "write-pipelined", "requests/s", BENCH_HIGHER, run_pipelined, true, 100000);
    compare(b, "read-64-clients", "requests/s", BENCH_HIGHER, run_clients, false, 50000);
    compare(b, "vm-starts-32-parallel", "commits/s", BENCH_HIGHER, run_starts, true, 3);
    compare(b, "child-20000", "us", BENCH_LOWER, run_children, true, 20000);
    return bench_close(b);
}
