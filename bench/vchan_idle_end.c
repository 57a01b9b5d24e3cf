/* SPDX-License-Identifier: ISC */
/* The holder and the caller of many idle channels, each a process in a domain of the simulator. */
#include "config.h"

#include "bench/vchan_idle_end.h"

#include "bench/bench.h"
#include "bench/vchan_idle.h"

#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <libxenvchan.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>
#include <xids/vchan_set.h>

/* Seconds after which an end gives up. A limit against hanging. */
#define PATIENCE 120u
/* The simulator keeps so many queues of other processes open: who calls more in turn would measure that. */
#define CALLED 64u

struct channel {
    struct xids_vchan_link *link;
    struct xids_vchan_member member;
};

static struct {
    bool holder;
    uint32_t count;
    uint32_t self, other;
    enum idle_kind kind;
    /* xids */
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct channel *channels;
    struct xids_vchan_member **buckets;
    struct xids_vchan_set set;
    /* libxenvchan */
    struct libxenvchan **peers;
    struct pollfd *polled;
    int epoll;
    double heap;  /* before anything was opened */
    uint32_t fds; /* likewise */
} end = {.epoll = -1};

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench vchan: idle channels: failed: %s\n", what);
    _exit(1);
}

static void tell(const void *what, size_t size)
{
    must(write(1, what, size) == (ssize_t)size, "telling");
}

/* ---- what it costs ---- */

static double heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

static uint32_t open_fds(void)
{
    uint32_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    must(dir != NULL, "/proc/self/fd");
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static void tell_cost(void)
{
    struct idle_cost cost;
    memset(&cost, 0, sizeof(cost));
    cost.bytes = heap() - end.heap;
    cost.fds = open_fds() - end.fds;
    if (end.kind == IDLE_XIDS)
        cost.own = (double)end.count * (double)(xids_vchan_size() + sizeof(struct xids_vchan_member));
    tell(&cost, sizeof(cost));
}

/* ---- opening ---- */

static void name(char *path, size_t size, uint32_t i)
{
    (void)snprintf(path, size, "/local/domain/%u/data/vchan/%u/idle-%u", end.holder ? end.self : end.other,
                   end.holder ? end.other : end.self, i);
}

static void *zeroed(size_t count, size_t size)
{
    void *mem = calloc(count, size);
    must(mem != NULL, "memory");
    return mem;
}

static void open_xids(void)
{
    domid_t other = (domid_t)end.other;
    double before = heap();
    unsigned int buckets = 1;
    while (buckets < end.count)
        buckets *= 2;
    /* A connection to the store is no part of a channel: a program that has met its peers can close it. */
    must(xids_xs_open(&end.xs, NULL) == 0, "the store");
    end.heap += heap() - before;
    must(xids_platform_xen_open_as(&end.platform, (domid_t)end.self, 0) == 0, "the platform");
    end.channels = zeroed(end.count, sizeof(*end.channels));
    end.buckets = zeroed(buckets, sizeof(*end.buckets));
    must(xids_vchan_set_init(&end.set, end.platform, end.buckets, buckets, 0) == 0, "the set");
    for (uint32_t i = 0; i < end.count; i++) {
        struct channel *c = &end.channels[i];
        char path[128];
        name(path, sizeof(path), i);
        int rc = end.holder ? xids_vchan_listen(&c->link, end.platform, end.xs, other, path, IDLE_ORDER, IDLE_ORDER, 0)
                            : xids_vchan_connect(&c->link, end.platform, end.xs, other, path, 0, -1);
        must(rc == 0, "meeting through xids");
        /* The caller waits for one answer at a time, and needs no set. */
        if (end.holder)
            must(xids_vchan_set_add(&end.set, &c->member, xids_vchan_of(c->link), c, 1, 0) == 0, "adding to the set");
    }
}

static void open_libxenvchan(void)
{
    end.peers = zeroed(end.count, sizeof(struct libxenvchan *));
    if (end.kind == IDLE_EPOLL)
        end.epoll = epoll_create1(EPOLL_CLOEXEC);
    else
        end.polled = zeroed(end.count, sizeof(*end.polled));
    for (uint32_t i = 0; i < end.count; i++) {
        char path[128];
        name(path, sizeof(path), i);
        struct libxenvchan *v = end.holder ? libxenvchan_server_init(NULL, (int)end.other, path,
                                                                     (size_t)1 << IDLE_ORDER, (size_t)1 << IDLE_ORDER)
                                           : libxenvchan_client_init(NULL, (int)end.other, path);
        must(v != NULL, "meeting through libxenvchan");
        v->blocking = -1; /* a signed field of one bit */
        end.peers[i] = v;
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};
        int fd = libxenvchan_fd_for_select(v);
        if (end.kind == IDLE_EPOLL)
            must(epoll_ctl(end.epoll, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll_ctl");
        else
            end.polled[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
}

static void close_all(void)
{
    for (uint32_t i = 0; i < end.count; i++) {
        if (end.kind == IDLE_XIDS && end.holder)
            xids_vchan_set_remove(&end.set, &end.channels[i].member);
        if (end.kind == IDLE_XIDS)
            xids_vchan_unlink(end.channels[i].link);
        else
            libxenvchan_close(end.peers[i]);
    }
    xids_platform_xen_close(end.platform);
    xids_xs_close(end.xs);
}

/* ---- the holder ---- */

static uint64_t now(void)
{
    return end.platform->ops->now(end.platform->ctx);
}

/* The next channel of ours that has a call to be read, or NULL when the wait was for nothing. */
static struct xids_vchan *next_xids(int epoll)
{
    struct xids_vchan_member *m;
    int rc = xids_vchan_set_next(&end.set, &m, now());
    must(rc >= 0, "xids_vchan_set_next");
    if (rc == 1)
        return m->ch;
    uint64_t deadline = xids_vchan_set_deadline(&end.set), moment = deadline != 0 ? now() : 0;
    uint64_t left = deadline > moment ? (deadline - moment) / 1000000u + 1 : 0;
    struct epoll_event ev;
    if (left != 0)
        must(epoll_wait(epoll, &ev, 1, left < 60000 ? (int)left : 60000) >= 0, "epoll_wait");
    return NULL;
}

/* The next of libxenvchan's whose event has been taken. */
static struct libxenvchan *next_libxenvchan(void)
{
    uint32_t i = 0;
    struct epoll_event ev = {.data.u32 = 0};
    if (end.kind == IDLE_EPOLL) {
        must(epoll_wait(end.epoll, &ev, 1, -1) == 1, "epoll_wait");
        i = ev.data.u32;
    } else {
        must(poll(end.polled, end.count, -1) >= 1, "poll");
        while (end.polled[i].revents == 0)
            i++;
    }
    must(libxenvchan_wait(end.peers[i]) == 0, "libxenvchan_wait");
    return end.peers[i];
}

/* Until all clients have come, and what they brought has been handled. */
static void settle(int epoll)
{
    uint32_t open = 0;
    if (end.kind != IDLE_XIDS) {
        for (uint32_t i = 0; i < end.count; i++)
            while (libxenvchan_is_open(end.peers[i]) == 2)
                must(libxenvchan_wait(end.peers[i]) == 0, "libxenvchan_wait");
        return;
    }
    while (open < end.count || xids_vchan_set_deadline(&end.set) == 0) {
        struct xids_vchan *ch = next_xids(epoll);
        open += ch != NULL && xids_vchan_state(ch) == XIDS_VCHAN_OPEN;
    }
}

/* Reads a call where there is one, answers it, and tells how long it was under way; negative: there was none. */
static double answer(struct xids_vchan *ours, struct libxenvchan *peers)
{
    struct idle_call call;
    const uint32_t size = sizeof(call);
    int n;
    if (ours != NULL)
        n = xids_vchan_recv(ours, &call, size);
    else
        n = libxenvchan_data_ready(peers) >= (int)size ? libxenvchan_recv(peers, &call, size) : 0;
    uint64_t moment = bench_now();
    if (n != (int)size)
        return -1;
    n = ours != NULL ? xids_vchan_send(ours, &call, size) : libxenvchan_send(peers, &call, size);
    must(n == (int)size, "answering");
    return (double)(moment - call.when) / 1e3;
}

static void hold(void)
{
    uint32_t rounds = end.count;
    int epoll = -1;
    if (end.kind == IDLE_XIDS) {
        struct epoll_event ev = {.events = EPOLLIN};
        epoll = epoll_create1(EPOLL_CLOEXEC);
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, xids_platform_xen_event_fd(end.platform), &ev) == 0, "epoll_ctl");
    }
    tell(&rounds, sizeof(rounds));
    must(read(0, &rounds, sizeof(rounds)) == (ssize_t)sizeof(rounds), "the question");
    settle(epoll);
    tell_cost();
    double *times = zeroed(rounds, sizeof(*times));
    for (uint32_t i = 0; i < rounds;) {
        struct xids_vchan *ours = end.kind == IDLE_XIDS ? next_xids(epoll) : NULL;
        struct libxenvchan *peers = end.kind != IDLE_XIDS ? next_libxenvchan() : NULL;
        if (ours == NULL && peers == NULL)
            continue;
        double time = answer(ours, peers);
        if (time >= 0)
            times[i++] = time;
    }
    double median = bench_median(times, rounds);
    free(times);
    tell(&median, sizeof(median));
}

/* ---- the caller ---- */

static void call_once(uint32_t at, uint64_t round)
{
    struct idle_call call = {bench_now(), round}, answered;
    const uint32_t size = sizeof(call);
    memset(&answered, 0, sizeof(answered));
    if (end.kind == IDLE_XIDS) {
        struct xids_vchan *ch = xids_vchan_of(end.channels[at].link);
        uint32_t done = 0;
        must(xids_vchan_send(ch, &call, size) == (int)size, "xids_vchan_send");
        must(xids_vchan_read_all(ch, &done, &answered, size, UINT64_MAX) == 0, "xids_vchan_read_all");
    } else {
        must(libxenvchan_send(end.peers[at], &call, size) == (int)size, "libxenvchan_send");
        must(libxenvchan_recv(end.peers[at], &answered, size) == (int)size, "libxenvchan_recv");
    }
    must(answered.round == round && answered.when == call.when, "the answer to this call");
}

static void make_calls(void)
{
    uint32_t rounds = 0;
    tell_cost();
    must(read(0, &rounds, sizeof(rounds)) == (ssize_t)sizeof(rounds), "the question");
    uint32_t called = end.count < CALLED ? end.count : CALLED, from = (end.count - called) / 2;
    for (uint32_t i = 0; i < rounds; i++)
        call_once(from + i * 29u % called, i);
    tell(&rounds, sizeof(rounds));
}

int idle_main(int argc, char **argv)
{
    char byte;
    must(argc == 8, "bench/vchan.sh runs this");
    end.holder = strcmp(argv[2], "holder") == 0;
    end.self = (uint32_t)strtoul(argv[3], NULL, 10);
    end.other = (uint32_t)strtoul(argv[4], NULL, 10);
    unsigned long kind = strtoul(argv[5], NULL, 10);
    end.kind = (enum idle_kind)kind;
    end.count = (uint32_t)strtoul(argv[6], NULL, 10);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned int)strtoul(argv[7], NULL, 10), &set);
    must(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)alarm(PATIENCE);
    end.fds = open_fds();
    end.heap = heap();
    if (end.kind == IDLE_XIDS)
        open_xids();
    else
        open_libxenvchan();
    if (end.holder)
        hold();
    else
        make_calls();
    /* Nobody closes under the other. */
    must(read(0, &byte, 1) == 0, "the end");
    close_all();
    return EXIT_SUCCESS;
}
