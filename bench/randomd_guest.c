/* SPDX-License-Identifier: ISC */
/* A guest of xids-randomd: finds its channel as the specification says, and times what it asks of it. */
#include "config.h"

#include "bench/randomd_suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/randomd_vchan.h>
#include <xids/vchan_open.h>
#include <xids/xs.h>

/* Seconds after which a guest gives up. A limit against hanging. */
#define PATIENCE 60u
#define LONGEST (1u << 20)

struct guest {
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan *ch;
    struct xids_randomd_client *client;
    void *client_memory;
    char *backend;
    uint32_t backend_id, ring_ref, port;
};

static uint8_t buffer[LONGEST];

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench randomd: a guest failed: %s\n", what);
    _exit(1);
}

/* ---- the channel ---- */

static void open_guest(struct guest *g)
{
    domid_t self = 0;
    must(xids_xs_open(&g->xs, NULL) == 0 && xids_xs_own_domid(g->xs, &self) == 0, "xenstore");
    must(xids_platform_xen_open_as(&g->platform, self, XIDS_PLATFORM_XEN_NO_STATUS) == 0, "the platform");
    g->ch = malloc(xids_vchan_size());
    g->client_memory = malloc(xids_randomd_client_size());
    must(g->ch != NULL && g->client_memory != NULL, "memory");
}

static void close_guest(struct guest *g)
{
    xids_platform_xen_close(g->platform);
    xids_xs_close(g->xs);
    free(g->ch);
    free(g->client_memory);
    free(g->backend);
}

static bool read_node(struct guest *g, const char *leaf, uint32_t *number)
{
    char path[128];
    must(snprintf(path, sizeof(path), "%s/%s", g->backend, leaf) < (int)sizeof(path), "a path");
    return xids_xs_read_u32(g->xs, number, XIDS_XS_NO_TX, path) >= 0;
}

/* Whether xenstore names a channel. */
static bool look_up(struct guest *g)
{
    free(g->backend);
    g->backend = NULL;
    return xids_xs_read(g->xs, &g->backend, NULL, XIDS_XS_NO_TX, "device/randomd/0/backend") >= 0 &&
           xids_xs_read_u32(g->xs, &g->backend_id, XIDS_XS_NO_TX, "device/randomd/0/backend-id") >= 0 &&
           read_node(g, "event-channel", &g->port) && read_node(g, "ring-ref", &g->ring_ref);
}

/*
 * From the numbers of the channel to the host's bytes in the guest's generator. Returns the time in ns; 0: the channel
 * is not (yet) for us.
 */
static uint64_t meet(struct guest *g)
{
    struct xids_randomd_client_config config;
    memset(&config, 0, sizeof(config));
    uint64_t start = bench_now();
    memcpy(config.nonce, &start, sizeof(start));
    must(xids_randomd_client_init(&g->client, g->client_memory, xids_randomd_client_size(), &config, start) == 0,
         "xids_randomd_client_init");
    if (xids_vchan_client_init(g->ch, g->platform, (domid_t)g->backend_id, g->ring_ref, g->port,
                               XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH) < 0)
        return 0;
    xids_randomd_client_connected(g->client, start);
    must(xids_randomd_client_serve(g->client, g->ch, start) >= 0, "the first step");
    uint64_t took = bench_now() - start;
    must(xids_randomd_client_grade(g->client) == XIDS_RANDOMD_GRADE_HOST, "a seed in the channel");
    return took;
}

/* Asks the store again and again, as long as there is no new channel: its answers take time enough. */
static uint64_t meet_soon(struct guest *g)
{
    uint64_t took = 0;
    while (took == 0)
        took = look_up(g) ? meet(g) : 0;
    return took;
}

static void part(struct guest *g)
{
    xids_randomd_client_fini(g->client);
    xids_vchan_fini(g->ch);
}

/* ---- pulls ---- */

/* Sleeps, or spins for a while, until something has come. */
static void pull(struct guest *g, uint32_t len)
{
    struct xids_randomd_pull p;
    memset(&p, 0, sizeof(p));
    p.to = buffer;
    p.len = len;
    must(xids_randomd_client_pull(g->client, &p) == 0, "xids_randomd_client_pull");
    for (;;) {
        int rc = xids_randomd_client_serve(g->client, g->ch, bench_now());
        must(rc >= 0, "xids_randomd_client_serve");
        if (p.status == 0)
            return;
        if (rc == 0)
            must(xids_vchan_wait(g->ch, 1, 0, UINT64_MAX) == 1, "xids_vchan_wait");
    }
}

static void connect_and_settle(struct guest *g)
{
    (void)meet_soon(g);
    for (int i = 0; i < 100; i++)
        pull(g, 32);
}

/* pull COUNT: prints the median time of so many pulls of 32 bytes, in us. */
static void time_pulls(struct guest *g, unsigned int count)
{
    double *times = malloc(count * sizeof(*times));
    must(times != NULL, "memory");
    connect_and_settle(g);
    for (unsigned int i = 0; i < count; i++) {
        uint64_t start = bench_now();
        pull(g, 32);
        times[i] = (double)(bench_now() - start) / 1000;
    }
    printf("%f\n", bench_median(times, count));
    free(times);
    part(g);
}

/* bulk COUNT: prints the rate of so many pulls of 1 MiB, one after the other, in GB/s. */
static void time_bulk(struct guest *g, unsigned int count)
{
    connect_and_settle(g);
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < count; i++)
        pull(g, LONGEST);
    printf("%f\n", (double)count * LONGEST / (double)(bench_now() - start));
    part(g);
}

/* seed COUNT: prints so many times of meet, in us. */
static void time_seeds(struct guest *g, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        uint64_t took = meet_soon(g);
        printf("%f ", (double)took / 1000);
        part(g);
    }
}

int guest_main(int argc, char **argv)
{
    static struct guest g;
    (void)alarm(PATIENCE);
    must(argc >= 3, "arguments");
    unsigned int count = (unsigned int)strtoul(argv[2], NULL, 10);
    open_guest(&g);
    if (strcmp(argv[1], "pull") == 0)
        time_pulls(&g, count);
    else if (strcmp(argv[1], "bulk") == 0)
        time_bulk(&g, count);
    else if (strcmp(argv[1], "seed") == 0)
        time_seeds(&g, count);
    else
        must(false, argv[1]);
    close_guest(&g);
    return EXIT_SUCCESS;
}
