/* SPDX-License-Identifier: ISC */
/*
 * The vchan suite: xids against the real libxenvchan, two processes on two cores, the same rings, messages and
 * machine under both (bench/vchan_machine.h); pipes, unix sockets and memcpy show where the floor is.
 */
#include "config.h"

#include "bench/bench.h"
#include "bench/vchan_machine.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <libxenvchan.h>
#include <xids/vchan.h>

#define BUFFER 65536u
#define ROUNDS 5u

struct load {
    uint32_t ring_order;
    uint32_t message;
    uint64_t messages;
    bool packets; /* messages are received one by one; else as many bytes as there are */
    bool pingpong;
    bool calls; /* the figure is system calls per message */
};

/* One end of a channel of either kind: both move everything or abort. */
struct end {
    struct xids_vchan *ours;
    struct libxenvchan *peers;
    int fd_in, fd_out;
};

static uint8_t buffer[BUFFER];

static void must(bool good)
{
    if (!good)
        abort();
}

static void ours_sleep(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    int rc = xids_vchan_arm(ch, want_read, want_write);
    must(rc >= 0);
    if (rc == 0) {
        machine_nap();
        must(xids_vchan_event(ch) != XIDS_VCHAN_BROKEN);
    }
}

static void put(const struct end *e, uint32_t len)
{
    if (e->ours != NULL) {
        for (uint32_t done = 0; done < len;) {
            int rc = xids_vchan_write(e->ours, buffer + done, len - done);
            must(rc > 0 || rc == -XEN_EAGAIN);
            if (rc > 0)
                done += (uint32_t)rc;
            else
                ours_sleep(e->ours, 0, 1);
        }
    } else if (e->peers != NULL) {
        must(libxenvchan_write(e->peers, buffer, len) == (int)len);
    } else {
        for (uint32_t done = 0; done < len;) {
            ssize_t n = write(e->fd_out, buffer + done, len - done);
            must(n > 0);
            done += (uint32_t)n;
        }
    }
}

/* At least one byte, at most len; exactly len if whole. */
static uint32_t get(const struct end *e, uint32_t len, bool whole)
{
    if (e->ours != NULL) {
        for (;;) {
            int rc = whole ? xids_vchan_recv(e->ours, buffer, len) : xids_vchan_read(e->ours, buffer, len);
            must(rc > 0 || rc == -XEN_EAGAIN);
            if (rc > 0)
                return (uint32_t)rc;
            ours_sleep(e->ours, whole ? len : 1, 0);
        }
    }
    if (e->peers != NULL) {
        int rc = whole ? libxenvchan_recv(e->peers, buffer, len) : libxenvchan_read(e->peers, buffer, len);
        must(rc > 0);
        return (uint32_t)rc;
    }
    uint32_t done = 0;
    do {
        ssize_t n = read(e->fd_in, buffer + done, len - done);
        must(n > 0);
        done += (uint32_t)n;
    } while (whole && done < len);
    return done;
}

static void flush(const struct end *e)
{
    if (e->ours != NULL)
        must(xids_vchan_flush(e->ours) == 0);
}

static void writer(const struct end *e, const struct load *l)
{
    for (uint64_t i = 0; i < l->messages; i++) {
        put(e, l->message);
        if (l->pingpong) {
            flush(e);
            (void)get(e, l->message, true);
        }
    }
    flush(e);
    /* The reader's last word, so that nobody closes under the other. */
    (void)get(e, 1, true);
}

/* Returns the seconds from the first message to the last. */
static double reader(const struct end *e, const struct load *l)
{
    uint64_t left = l->messages * l->message, start = 0;
    while (left > 0) {
        bool whole = l->packets || l->pingpong;
        uint32_t want = whole ? l->message : BUFFER;
        left -= get(e, left < want ? (uint32_t)left : want, whole);
        if (start == 0)
            start = bench_now();
        if (l->pingpong) {
            put(e, l->message);
            flush(e);
        }
    }
    double seconds = (double)(bench_now() - start) / 1e9;
    put(e, 1);
    flush(e);
    return seconds;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned int)cpu, &set);
    /* On a machine with one CPU both share it. */
    (void)sched_setaffinity(0, sizeof(set), &set);
}

/* The figure in the unit of the load: messages or bytes a second, microseconds, calls a message. */
static double figure(const struct load *l, double seconds, uint64_t calls)
{
    if (l->calls)
        return (double)calls / (double)l->messages;
    if (l->pingpong)
        return seconds * 1e6 / (double)l->messages;
    if (l->packets)
        return (double)l->messages / seconds / 1e6;
    return (double)l->messages * l->message / seconds / 1e9;
}

enum kind { OURS, LIBXENVCHAN, PIPE, UNIX_SOCKET };

static bool open_server(struct end *e, enum kind kind, const struct load *l, int fds[4])
{
    *e = (struct end){.fd_in = -1, .fd_out = -1};
    switch (kind) {
    case OURS:
        e->ours = malloc(xids_vchan_size());
        return e->ours != NULL && xids_vchan_server_init(e->ours, machine_platform(), 1, l->ring_order, l->ring_order,
                                                         XIDS_VCHAN_BATCH) == 0;
    case LIBXENVCHAN:
        e->peers = libxenvchan_server_init(NULL, 1, "/vchan", (size_t)1 << l->ring_order, (size_t)1 << l->ring_order);
        if (e->peers != NULL)
            e->peers->blocking = -1; /* a signed field of one bit */
        return e->peers != NULL;
    case PIPE:
        if (pipe(fds) != 0 || pipe(fds + 2) != 0)
            return false;
        e->fd_in = fds[0];
        e->fd_out = fds[3];
        return true;
    case UNIX_SOCKET:
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
            return false;
        e->fd_in = e->fd_out = fds[0];
        return true;
    }
    return false;
}

static bool open_client(struct end *e, const struct end *server, enum kind kind, const int fds[4])
{
    *e = (struct end){.fd_in = -1, .fd_out = -1};
    if (kind == OURS) {
        e->ours = malloc(xids_vchan_size());
        return e->ours != NULL &&
               xids_vchan_client_init(e->ours, machine_platform(), 0, xids_vchan_ring_ref(server->ours),
                                      xids_vchan_port(server->ours), XIDS_VCHAN_BATCH) == 0;
    }
    if (kind == LIBXENVCHAN) {
        e->peers = libxenvchan_client_init(NULL, 0, "/vchan");
        if (e->peers != NULL)
            e->peers->blocking = -1; /* a signed field of one bit */
        return e->peers != NULL;
    }
    e->fd_in = kind == PIPE ? fds[2] : fds[1];
    e->fd_out = fds[1];
    return true;
}

static void close_end(struct end *e)
{
    if (e->ours != NULL)
        xids_vchan_fini(e->ours);
    free(e->ours);
    libxenvchan_close(e->peers);
}

static double measure(const struct load *l, enum kind kind)
{
    struct end server, client;
    int fds[4] = {-1, -1, -1, -1};
    if (machine_start() != 0 || !open_server(&server, kind, l, fds))
        return -1;
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
        machine_be(1);
        pin(1);
        if (!open_client(&client, &server, kind, fds))
            _exit(1);
        writer(&client, l);
        close_end(&client);
        _exit(0);
    }
    cpu_set_t before;
    (void)sched_getaffinity(0, sizeof(before), &before);
    pin(0);
    double seconds = reader(&server, l);
    int status = 0;
    (void)waitpid(child, &status, 0);
    (void)sched_setaffinity(0, sizeof(before), &before);
    uint64_t calls = machine_calls();
    close_end(&server);
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    machine_stop();
    return status == 0 ? figure(l, seconds, calls) : -1;
}

static double run_ours(void *ctx)
{
    return measure(ctx, OURS);
}

static double run_libxenvchan(void *ctx)
{
    return measure(ctx, LIBXENVCHAN);
}

static double run_pipe(void *ctx)
{
    return measure(ctx, PIPE);
}

static double run_unix(void *ctx)
{
    return measure(ctx, UNIX_SOCKET);
}

/* In and out of a buffer of the ring's size, in one process: no channel that copies can do better. */
static double run_memcpy(void *ctx)
{
    const struct load *l = ctx;
    uint32_t size = 1u << l->ring_order;
    static uint8_t to[BUFFER];
    uint8_t *ring = malloc(size);
    if (ring == NULL)
        return -1;
    memset(ring, 1, size);
    uint64_t start = bench_now();
    for (uint64_t i = 0; i < l->messages; i++) {
        uint8_t *at = ring + (i * l->message & (size - 1));
        memcpy(at, buffer, l->message);
        __asm__ __volatile__("" : : "r"(at) : "memory");
        memcpy(to, at, l->message);
        __asm__ __volatile__("" : : "r"(to) : "memory");
    }
    double seconds = (double)(bench_now() - start) / 1e9;
    free(ring);
    return figure(l, seconds, 0);
}

static void compare(struct bench *bench, const char *name, const char *unit, enum bench_better better, struct load l,
                    bool floors)
{
    if (bench_quick(bench))
        l.messages = l.messages / 50 + 1;
    const struct bench_side sides[] = {
        {"self", run_ours, &l},        {"libxenvchan", run_libxenvchan, &l}, {"pipe", run_pipe, &l},
        {"unix-socket", run_unix, &l}, {"memcpy", run_memcpy, &l},
    };
    size_t n = !floors ? 2 : l.pingpong ? 4 : 5;
    (void)bench_compare(bench, name, unit, better, ROUNDS, sides, n);
}

int main(void)
{
    struct bench *bench = bench_open("vchan");
    if (bench == NULL)
        return EXIT_FAILURE;
    memset(buffer, 0x5a, sizeof(buffer));
    const struct load msg16 = {.ring_order = 16, .message = 16, .messages = 100000, .packets = true};
    compare(bench, "msg16", "Mmsg/s", BENCH_HIGHER, msg16, true);
    const struct {
        const char *name;
        struct load load;
        bool floors;
    } streams[] = {
        {"ring4k-msg4k", {.ring_order = 12, .message = 4096, .messages = 6000}, false},
        {"ring64k-msg4k", {.ring_order = 16, .message = 4096, .messages = 50000}, true},
        {"ring64k-msg64k", {.ring_order = 16, .message = 65536, .messages = 3000}, false},
        {"ring1m-msg4k", {.ring_order = 20, .message = 4096, .messages = 60000}, true},
        {"ring1m-msg64k", {.ring_order = 20, .message = 65536, .messages = 6000}, false},
    };
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        compare(bench, streams[i].name, "GB/s", BENCH_HIGHER, streams[i].load, streams[i].floors);
    compare(bench, "rtt-sleep", "us", BENCH_LOWER,
            (struct load){.ring_order = 16, .message = 64, .messages = 5000, .pingpong = true}, true);
    compare(bench, "syscalls-per-msg", "calls", BENCH_LOWER,
            (struct load){.ring_order = 16, .message = 4096, .messages = 50000, .calls = true}, false);
    return bench_close(bench);
}
