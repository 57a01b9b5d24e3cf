/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "bench/vchan_end.h"

#include "bench/bench.h"
#include "bench/vchan_bare.h"
#include "bench/vchan_calls.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <libxenvchan.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>

#define BUFFER 65536u
/* Seconds after which an end gives up. A limit against hanging. */
#define PATIENCE 60u

struct end {
    struct duty duty;
    struct outcome outcome;
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan_link *link;
    struct xids_vchan *ours;
    struct libxenvchan *peers;
    struct bare *bare;
};

static uint8_t incoming[BUFFER], outgoing[BUFFER];

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench vchan: failed: %s\n", what);
    _exit(1);
}

uint64_t warm_up(const struct load *l)
{
    return l->pingpong ? 100 : (1u << l->ring_order) / l->message + 1;
}

/* ---- opening and closing ---- */

static void open_ours(struct end *e, const char *path)
{
    const struct duty *d = &e->duty;
    domid_t remote = (domid_t)d->remote;
    must(xids_xs_open(&e->xs, NULL) == 0 && xids_platform_xen_open(&e->platform, 0) == 0, "the platform");
    int rc = d->server ? xids_vchan_listen(&e->link, e->platform, e->xs, remote, path, d->load.ring_order,
                                           d->load.ring_order, XIDS_VCHAN_BATCH)
                       : xids_vchan_connect(&e->link, e->platform, e->xs, remote, path, XIDS_VCHAN_BATCH, -1);
    must(rc == 0, "meeting through xids");
    e->ours = xids_vchan_of(e->link);
    if (d->load.asleep)
        xids_vchan_set_spin(e->ours, 0);
    must(!d->server || xids_vchan_wait_client(e->ours, UINT64_MAX) == 1, "the client's coming");
}

static void open_libxenvchan(struct end *e, const char *path)
{
    const struct duty *d = &e->duty;
    size_t size = (size_t)1 << d->load.ring_order;
    if (d->server)
        e->peers = libxenvchan_server_init(NULL, (int)d->remote, path, size, size);
    /* Its client does not wait for a server. */
    for (int i = 0; !d->server && e->peers == NULL && i < 5000; i++) {
        e->peers = libxenvchan_client_init(NULL, (int)d->remote, path);
        if (e->peers == NULL)
            (void)usleep(2000);
    }
    must(e->peers != NULL, "meeting through libxenvchan");
    e->peers->blocking = -1; /* a signed field of one bit */
    while (d->server && libxenvchan_is_open(e->peers) == 2)
        must(libxenvchan_wait(e->peers) == 0, "the client's coming");
}

static void open_end(struct end *e)
{
    const struct duty *d = &e->duty;
    char path[128], name[32];
    if (d->kind == BARE) {
        e->bare = bare_open(FD_IN, d->load.ring_order, d->server);
        must(e->bare != NULL, "bare_open");
    }
    if (d->kind != OURS && d->kind != LIBXENVCHAN)
        return;
    const char *self = getenv("XIDS_SIM_DOMID");
    must(self != NULL, "a domain of the simulator");
    uint32_t own = (uint32_t)strtoul(self, NULL, 10);
    (void)snprintf(name, sizeof(name), "bench-%u", d->serial);
    (void)snprintf(path, sizeof(path), "/local/domain/%u/data/vchan/%u/%s", d->server ? own : d->remote,
                   d->server ? d->remote : own, name);
    if (d->kind == OURS)
        open_ours(e, path);
    else
        open_libxenvchan(e, path);
}

static void close_end(struct end *e)
{
    xids_vchan_unlink(e->link);
    xids_platform_xen_close(e->platform);
    xids_xs_close(e->xs);
    libxenvchan_close(e->peers);
}

/* ---- moving bytes ---- */

static void put(const struct end *e, const uint8_t *data, uint32_t len)
{
    if (e->peers != NULL) {
        must(libxenvchan_write(e->peers, data, len) == (int)len, "libxenvchan_write");
        return;
    }
    if (e->bare != NULL) {
        bare_put(e->bare, data, len);
        return;
    }
    for (uint32_t done = 0; done < len;) {
        ssize_t n = e->ours != NULL ? xids_vchan_write(e->ours, data + done, len - done)
                                    : write(FD_OUT, data + done, len - done);
        if (e->ours != NULL && n == -XEN_EAGAIN) {
            must(xids_vchan_wait(e->ours, 0, 1, UINT64_MAX) == 1, "xids_vchan_wait for room");
            continue;
        }
        must(n > 0, "write");
        done += (uint32_t)n;
    }
}

/* At least one byte, at most len; exactly len if whole. */
static uint32_t get(const struct end *e, uint8_t *data, uint32_t len, bool whole)
{
    if (e->ours != NULL) {
        for (;;) {
            int rc = whole ? xids_vchan_recv(e->ours, data, len) : xids_vchan_read(e->ours, data, len);
            must(rc > 0 || rc == -XEN_EAGAIN, "xids_vchan_read");
            if (rc > 0)
                return (uint32_t)rc;
            must(xids_vchan_wait(e->ours, whole ? len : 1, 0, UINT64_MAX) == 1, "xids_vchan_wait for bytes");
        }
    }
    if (e->peers != NULL) {
        int rc = whole ? libxenvchan_recv(e->peers, data, len) : libxenvchan_read(e->peers, data, len);
        must(rc > 0, "libxenvchan_read");
        return (uint32_t)rc;
    }
    uint32_t done = 0;
    do {
        ssize_t n = e->bare != NULL ? (ssize_t)bare_get(e->bare, data + done, len - done)
                                    : read(FD_IN, data + done, len - done);
        must(n > 0, "read");
        done += (uint32_t)n;
    } while (whole && done < len);
    return done;
}

static void flush(const struct end *e)
{
    if (e->ours != NULL)
        must(xids_vchan_flush(e->ours) == 0, "xids_vchan_flush");
    if (e->bare != NULL)
        bare_flush(e->bare);
}

/* ---- the loads ---- */

/* FNV-1a: it depends on the order of bytes, and not on how they were cut into pieces. */
static uint64_t sum(uint64_t before, const uint8_t *data, uint32_t len)
{
    uint64_t value = before;
    for (uint32_t i = 0; i < len; i++)
        value = (value ^ data[i]) * 0x100000001b3u;
    return value;
}

static void send_message(struct end *e)
{
    uint32_t len = e->duty.load.message;
    if (e->duty.load.verify) {
        uint64_t at = e->outcome.out;
        for (uint32_t i = 0; i < len; i++, at++)
            outgoing[i] = (uint8_t)(at * 7 + (at >> 8) * 31 + (at >> 16) * 5 + (e->duty.server ? 3 : 0));
        e->outcome.sum_out = sum(e->outcome.sum_out, outgoing, len);
    }
    put(e, outgoing, len);
    e->outcome.out += len;
    if (e->duty.load.pingpong)
        flush(e);
}

static uint32_t receive(struct end *e, uint32_t len, bool whole)
{
    uint32_t n = get(e, incoming, len, whole);
    e->outcome.in += n;
    if (e->duty.load.verify)
        e->outcome.sum_in = sum(e->outcome.sum_in, incoming, n);
    return n;
}

static void be_client(struct end *e)
{
    const struct load *l = &e->duty.load;
    for (uint64_t i = warm_up(l) + l->messages; i > 0; i--) {
        send_message(e);
        if (l->pingpong)
            (void)receive(e, l->message, true);
    }
    flush(e);
}

static void receive_messages(struct end *e, uint64_t messages)
{
    const struct load *l = &e->duty.load;
    bool whole = l->packets || l->pingpong;
    uint32_t want = whole ? l->message : BUFFER;
    for (uint64_t left = messages * l->message; left > 0;) {
        left -= receive(e, left < want ? (uint32_t)left : want, whole);
        if (l->pingpong)
            send_message(e);
    }
}

static void be_server(struct end *e)
{
    const struct load *l = &e->duty.load;
    receive_messages(e, warm_up(l));
    uint64_t start = bench_now();
    receive_messages(e, l->messages);
    e->outcome.seconds = (double)(bench_now() - start) / 1e9;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned int)cpu, &set);
    must(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
}

int end_main(void)
{
    static struct end e;
    char byte;
    must(read(FD_CONTROL, &e.duty, sizeof(e.duty)) == (ssize_t)sizeof(e.duty), "the duty");
    (void)alarm(PATIENCE);
    pin(e.duty.cpu);
    for (uint32_t i = 0; i < BUFFER; i++)
        outgoing[i] = incoming[i] = (uint8_t)(i * 7);
    open_end(&e);
    uint64_t before = calls_made();
    if (e.duty.server)
        be_server(&e);
    else
        be_client(&e);
    e.outcome.calls = calls_made() - before;
    must(write(FD_RESULT, &e.outcome, sizeof(e.outcome)) == (ssize_t)sizeof(e.outcome), "the outcome");
    /* Nobody closes under the other. */
    must(read(FD_CONTROL, &byte, 1) == 0, "the end");
    close_end(&e);
    return EXIT_SUCCESS;
}
