/* SPDX-License-Identifier: ISC */
/* The peer called "virtio-rng" (randomd.c): one request in flight, 64 bytes each, and an event each way. */
#include "config.h"

#include "bench/randomd_suite.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xids/platform_xen.h>

#define PATIENCE 60u
#define BUFFER 64u

/* The shared page: the guest counts its requests, the backend its answers. */
#define AT_ASKED 0u
#define AT_DONE 64u
#define AT_BUFFER 128u

struct virtio {
    struct xids_platform *platform;
    uint8_t XIDS_PEER *page;
    evtchn_port_t port;
    uint32_t count;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench randomd: virtio-rng failed: %s\n", what);
    _exit(1);
}

static uint32_t XIDS_PEER *word(const struct virtio *v, size_t offset)
{
    return (uint32_t XIDS_PEER *)(void XIDS_PEER *)(v->page + offset);
}

static void notify(const struct virtio *v)
{
    must(v->platform->ops->evtchn_notify(v->platform->ctx, v->port) == 0, "evtchn_notify");
}

/* Takes the event that has come. */
static void take(const struct virtio *v)
{
    int port = v->platform->ops->evtchn_pending(v->platform->ctx);
    must(port >= 0, "evtchn_pending");
    if (port > 0)
        must(v->platform->ops->evtchn_unmask(v->platform->ctx, (evtchn_port_t)port) == 0, "evtchn_unmask");
}

/* ---- the backend ---- */

static void answer(struct virtio *v)
{
    uint8_t bytes[BUFFER];
    while (xids_peer_load_acquire(word(v, AT_ASKED)) != v->count) {
        must(getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes), "getrandom");
        xids_peer_put(v->page + AT_BUFFER, bytes, sizeof(bytes));
        xids_peer_store_release(word(v, AT_DONE), ++v->count);
        notify(v);
    }
}

/* virtio-backend GUEST: prints the grant reference and the port; serves until its standard input ends. */
int virtio_backend(int argc, char **argv)
{
    static struct virtio v;
    grant_ref_t ref = 0;
    void *page = NULL;
    (void)alarm(PATIENCE);
    must(argc == 2, "arguments");
    domid_t guest = (domid_t)strtoul(argv[1], NULL, 10);
    must(xids_platform_xen_open_as(&v.platform, 0, XIDS_PLATFORM_XEN_NO_STATUS) == 0, "the platform");
    const struct xids_platform_ops *ops = v.platform->ops;
    must(ops->share(v.platform->ctx, &page, &ref, guest, 1, 0, NULL) == 0, "share");
    v.page = (uint8_t XIDS_PEER *)page;
    int port = ops->evtchn_alloc(v.platform->ctx, guest);
    must(port > 0, "evtchn_alloc");
    v.port = (evtchn_port_t)port;
    printf("%u %u\n", ref, v.port);
    (void)fflush(stdout);
    for (;;) {
        struct pollfd fds[2] = {{.fd = xids_platform_xen_event_fd(v.platform), .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
        must(poll(fds, 2, -1) > 0 || errno == EINTR, "poll");
        if (fds[1].revents != 0)
            break;
        take(&v);
        answer(&v);
    }
    (void)ops->evtchn_close(v.platform->ctx, v.port);
    (void)ops->unshare(v.platform->ctx, page, 1);
    xids_platform_xen_close(v.platform);
    return EXIT_SUCCESS;
}

/* ---- the guest ---- */

static void pull(struct virtio *v, uint8_t *to, size_t len)
{
    uint8_t bytes[BUFFER];
    for (size_t done = 0; done < len; done += BUFFER) {
        xids_peer_store_release(word(v, AT_ASKED), ++v->count);
        notify(v);
        while (xids_peer_load_acquire(word(v, AT_DONE)) != v->count) {
            must(v->platform->ops->wait(v->platform->ctx, UINT64_MAX) == 1, "wait");
            take(v);
        }
        xids_peer_get(bytes, v->page + AT_BUFFER, BUFFER);
        memcpy(to + done, bytes, len - done < BUFFER ? len - done : BUFFER);
    }
}

static void meet(struct virtio *v, grant_ref_t ref, evtchn_port_t port)
{
    void XIDS_PEER *page = NULL;
    const struct xids_platform_ops *ops = v->platform->ops;
    must(ops->map(v->platform->ctx, &page, &ref, 0, 1, 0, NULL) == 0, "map");
    int bound = ops->evtchn_bind(v->platform->ctx, 0, port);
    must(bound > 0, "evtchn_bind");
    v->page = page;
    v->port = (evtchn_port_t)bound;
    v->count = xids_peer_load_acquire(word(v, AT_DONE));
}

/* The time of count pulls of len bytes in us. */
static void time_pulls(struct virtio *v, size_t len, unsigned int count)
{
    uint8_t *bytes = malloc(len);
    double *times = malloc(count * sizeof(*times)), sum = 0;
    must(bytes != NULL && times != NULL, "memory");
    for (int i = 0; i < 100; i++)
        pull(v, bytes, BUFFER < len ? BUFFER : len);
    for (unsigned int i = 0; i < count; i++) {
        uint64_t start = bench_now();
        pull(v, bytes, len);
        times[i] = (double)(bench_now() - start) / 1000;
        sum += times[i];
    }
    printf("%f %f\n", bench_median(times, count), sum / count);
    free(times);
    free(bytes);
}

static void open_guest(struct virtio *v, const char *domid)
{
    (void)alarm(PATIENCE);
    must(xids_platform_xen_open_as(&v->platform, (domid_t)strtoul(domid, NULL, 10), XIDS_PLATFORM_XEN_NO_STATUS) == 0,
         "the platform");
}

static void part(struct virtio *v)
{
    (void)v->platform->ops->evtchn_close(v->platform->ctx, v->port);
    (void)v->platform->ops->unmap(v->platform->ctx, v->page, 1);
}

/*
 * virtio-guest DOMID REF PORT pull LEN COUNT: prints the median and the mean time of so many pulls.
 * virtio-guest DOMID REF PORT seed COUNT: prints so many times, each from the numbers of the channel to 48 bytes.
 */
int virtio_guest(int argc, char **argv)
{
    static struct virtio v;
    uint8_t seed[48];
    must(argc >= 6, "arguments");
    open_guest(&v, argv[1]);
    grant_ref_t ref = (grant_ref_t)strtoul(argv[2], NULL, 10);
    evtchn_port_t port = (evtchn_port_t)strtoul(argv[3], NULL, 10);
    if (argc == 7) {
        meet(&v, ref, port);
        time_pulls(&v, strtoul(argv[5], NULL, 10), (unsigned int)strtoul(argv[6], NULL, 10));
        part(&v);
    }
    for (unsigned long left = argc == 6 ? strtoul(argv[5], NULL, 10) : 0; left > 0; left--) {
        uint64_t start = bench_now();
        meet(&v, ref, port);
        pull(&v, seed, sizeof(seed));
        printf("%f ", (double)(bench_now() - start) / 1000);
        part(&v);
    }
    xids_platform_xen_close(v.platform);
    return EXIT_SUCCESS;
}

/* ---- the suite's side ---- */

bool virtio_run(const struct suite *s, const char *guest, const char *const what[3], double *numbers, size_t n)
{
    const char *const for_backend[] = {"virtio-backend", guest, NULL};
    struct actor backend;
    double names[2];
    bool good = actor_start(s, &backend, "0", s->cpu[0], for_backend) && actor_says(&backend, names, 2);
    if (good) {
        char ref[16], port[16];
        (void)snprintf(ref, sizeof(ref), "%u", (unsigned int)names[0]);
        (void)snprintf(port, sizeof(port), "%u", (unsigned int)names[1]);
        const char *const arguments[] = {"virtio-guest", guest, ref, port, what[0], what[1], what[2], NULL};
        good = actor_run(s, guest, s->cpu[1], arguments, numbers, n);
    }
    return actor_end(&backend, good) && good;
}

struct virtio_times virtio_measure(const struct suite *s, unsigned int len, unsigned int count)
{
    char len_text[16], count_text[16];
    double times[2];
    (void)snprintf(len_text, sizeof(len_text), "%u", len);
    (void)snprintf(count_text, sizeof(count_text), "%u", count);
    const char *const what[] = {"pull", len_text, count_text, NULL};
    if (!virtio_run(s, s->guests[0], what, times, 2))
        return (struct virtio_times){-1, -1};
    return (struct virtio_times){times[0], times[1]};
}
