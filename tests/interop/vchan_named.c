/* SPDX-License-Identifier: ISC */
/*
 * A vchan service that echoes, and a client of one, for the tests on the simulator.
 *
 * usage: vchan_named serve NAME all|DOMID...    until SIGTERM; says whom it refuses ("refused DOMID ERROR")
 *        vchan_named send NAME any|DOMID COUNT SECONDS    says "echoed COUNT" when all came back
 *        vchan_named hold NAME any|DOMID        says "connected", and "closed" when the service has gone
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>

#define PIECE 4096u

static struct xids_platform *platform;
static struct xids_xs *xs;
static volatile sig_atomic_t stopped;

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static void say(const char *what, long a, long b)
{
    (void)printf("%s %ld %ld\n", what, a, b);
    (void)fflush(stdout);
}

/* ---- the service ---- */

static void on_signal(int number)
{
    stopped = number;
}

static void refused(void *ctx, domid_t domid, int rc, const char *reason)
{
    (void)ctx;
    (void)reason;
    say("refused", domid, rc);
}

static uint64_t echo(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    uint8_t data[PIECE];
    (void)ctx;
    (void)now;
    for (;;) {
        int room = xids_vchan_writable(ch);
        if (room <= 0)
            return xids_vchan_arm(ch, 0, 1) == 1 && room == 0 ? 0 : UINT64_MAX;
        int n = xids_vchan_read(ch, data, (uint32_t)room < PIECE ? (uint32_t)room : PIECE);
        if (n == -XEN_EAGAIN && xids_vchan_arm(ch, 1, 0) == 1)
            continue;
        if (n <= 0)
            return UINT64_MAX;
        must(xids_vchan_write(ch, data, (uint32_t)n) == n, "room that was there");
    }
}

static int serve(const char *name, char **domains, int count)
{
    const struct xids_vchan_service_user user = {.serve = echo, .refused = refused};
    bool all = strcmp(domains[0], "all") == 0;
    const struct xids_vchan_service_config config = {
        .platform = platform,
        .xs = xids_xs_client(xs),
        .user = &user,
        .limits = {.name = XIDS_VCHAN_SERVICE_NAME},
        .name = name,
        .everybody = all,
        .announce = all,
        .left_order = 12,
        .right_order = 13,
        .salt = (uint64_t)getpid(),
    };
    size_t size = xids_vchan_service_size(&config.limits);
    void *mem = malloc(size);
    struct xids_vchan_service *s;
    must(xids_vchan_service_init(&s, mem, size, &config) == 0, "init");
    for (int i = 0; i < count && !all; i++)
        must(xids_vchan_service_allow(s, (domid_t)atoi(domains[i])) == 0, "allow");
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    int fd = xids_platform_xen_event_fd(platform);
    for (bool stopping = false; !stopping || !xids_vchan_service_stopped(s);) {
        /* A signal that comes just before the sleep has to wait for so long. */
        int rc = xids_vchan_service_turn(s, platform, fd, xs, 200);
        must(rc >= 0 || rc == -XEN_EINTR, "turn");
        if (stopped != 0 && !stopping) {
            xids_vchan_service_stop(s);
            stopping = true;
        }
    }
    xids_vchan_service_fini(s);
    free(mem);
    return 0;
}

/* ---- clients ---- */

static struct xids_vchan_link *find(const char *name, const char *where, int seconds)
{
    struct xids_vchan_link *link;
    domid_t remote = strcmp(where, "any") == 0 ? (domid_t)DOMID_INVALID : (domid_t)atoi(where);
    int rc = xids_vchan_connect_name(&link, platform, xs, remote, name, 0, 1000 * seconds);
    if (rc < 0)
        (void)fprintf(stderr, "%s\n", strerror(-rc));
    must(rc == 0, "connect");
    return link;
}

static int send_all(const char *name, const char *where, uint32_t total, int seconds)
{
    struct xids_vchan_link *link = find(name, where, seconds);
    struct xids_vchan *ch = xids_vchan_of(link);
    static uint8_t out[PIECE], in[PIECE];
    for (uint32_t done = 0; done < total;) {
        uint32_t n = total - done < PIECE ? total - done : PIECE;
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint8_t)((done + i) * 31u);
        must(xids_vchan_write_all(ch, NULL, out, n, UINT64_MAX) == 0, "write");
        must(xids_vchan_read_all(ch, NULL, in, n, UINT64_MAX) == 0, "read");
        must(memcmp(in, out, n) == 0, "the bytes that were sent");
        done += n;
    }
    (void)printf("echoed %u\n", total);
    xids_vchan_unlink(link);
    return 0;
}

static int hold(const char *name, const char *where)
{
    struct xids_vchan_link *link = find(name, where, 50);
    uint8_t byte;
    say("connected", xids_vchan_remote(xids_vchan_of(link)), 0);
    must(xids_vchan_read_all(xids_vchan_of(link), NULL, &byte, 1, UINT64_MAX) < 0, "the end");
    say("closed", 0, 0);
    xids_vchan_unlink(link);
    return 0;
}

int main(int argc, char **argv)
{
    must(argc >= 4, "usage");
    must(xids_xs_open(&xs, NULL) == 0, "xids_xs_open");
    must(xids_platform_xen_open(&platform, 0) == 0, "xids_platform_xen_open");
    int status = 1;
    if (strcmp(argv[1], "serve") == 0)
        status = serve(argv[2], argv + 3, argc - 3);
    else if (strcmp(argv[1], "send") == 0 && argc == 6)
        status = send_all(argv[2], argv[3], (uint32_t)atoi(argv[4]), atoi(argv[5]));
    else if (strcmp(argv[1], "hold") == 0)
        status = hold(argv[2], argv[3]);
    xids_platform_xen_close(platform);
    xids_xs_close(xs);
    return status;
}
