/* SPDX-License-Identifier: ISC */
/*
 * xids-entropy-demo: a program in a guest that gets its entropy from randomd and tells so in one line. It is also what
 * the interop tests run: with --stay it goes on, and prints a line for each channel it gets.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/randomd_vchan.h>
#include <xids/xs.h>

#define MS 1000000ull
#define S 1000000000ull

struct demo {
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan *ch; /* memory for it */
    struct xids_randomd_client *client;
    struct xids_randomd_pull pull;
    char *backend; /* NULL: not found yet */
    uint64_t started, seeded, pull_began, pull_took;
    uint64_t give_up, retry_at;
    domid_t server;
    bool connected;
    bool said; /* of this channel */
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

static void fingerprint(char text[17], struct xids_randomd_client *client)
{
    uint8_t value[32], hash[8] = {0};
    struct xids_blake2s b;
    if (xids_randomd_client_random(client, value, sizeof(value)) == 0 &&
        xids_blake2s_init(&b, sizeof(hash), (const uint8_t *)"xids-entropy-demo fingerprint", 29) == 0) {
        xids_blake2s_update(&b, value, sizeof(value));
        xids_blake2s_final(&b, hash);
    }
    xids_wipe(value, sizeof(value));
    for (unsigned int i = 0; i < sizeof(hash); i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

static void tell(struct demo *d, bool first)
{
    static const char *const grades[] = {"NONE", "LOCAL", "HOST"};
    char print[17];
    fingerprint(print, d->client);
    printf("domain %u: seed fingerprint %s grade %s, ", d->platform->domid, print,
           grades[xids_randomd_client_grade(d->client)]);
    bool mib = d->pull.len % (1u << 20) == 0;
    if (first && d->pull.len > 0)
        printf("first seed after %" PRIu64 " us, %zu %s pulled at %.1f MB/s\n", (d->seeded - d->started) / 1000,
               mib ? d->pull.len >> 20 : d->pull.len, mib ? "MiB" : "bytes",
               (double)d->pull.len * 1000.0 / (double)(d->pull_took > 0 ? d->pull_took : 1));
    else
        printf("epoch %016" PRIx64 "\n", xids_randomd_client_epoch(d->client));
    fflush(stdout);
}

/* ---- finding the channel ---- */

static int find_backend(struct demo *d)
{
    uint32_t id = 0;
    char *path = NULL;
    int rc = xids_xs_read(d->xs, &path, NULL, XIDS_XS_NO_TX, "device/randomd/0/backend");
    if (rc >= 0)
        rc = xids_xs_read_u32(d->xs, &id, XIDS_XS_NO_TX, "device/randomd/0/backend-id");
    if (rc >= 0)
        rc = xids_xs_watch(d->xs, path, "backend");
    if (rc < 0) {
        free(path);
        return rc;
    }
    d->backend = path;
    d->server = (domid_t)id;
    return 0;
}

static int read_node(struct demo *d, const char *name, uint32_t *number)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", d->backend, name);
    return xids_xs_read_u32(d->xs, number, XIDS_XS_NO_TX, path);
}

/* 0: connected. -XEN_ENOENT and others: not now, a watch will tell when to try again. */
static int connect_channel(struct demo *d)
{
    uint32_t port = 0, ref = 0, again = 0;
    int rc = d->backend == NULL ? find_backend(d) : 0;
    if (rc >= 0)
        rc = read_node(d, "event-channel", &port);
    if (rc >= 0)
        rc = read_node(d, "ring-ref", &ref);
    if (rc >= 0)
        rc = read_node(d, "event-channel", &again);
    if (rc >= 0 && port != again)
        rc = -XEN_EAGAIN;
    if (rc >= 0)
        rc = xids_vchan_client_init(d->ch, d->platform, d->server, ref, port, XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH);
    if (rc < 0)
        return rc;
    d->connected = true;
    d->said = false;
    xids_randomd_client_connected(d->client, now_ns());
    return 0;
}

static void disconnect(struct demo *d)
{
    xids_randomd_client_disconnected(d->client);
    xids_vchan_fini(d->ch);
    d->connected = false;
}

/* ---- the loop ---- */

/* How long to sleep, in ms. */
static int sleep_ms(const struct demo *d)
{
    uint64_t now = now_ns(), until = d->give_up;
    uint64_t deadline = d->connected ? xids_randomd_client_deadline(d->client) : d->retry_at;
    if (deadline < until)
        until = deadline;
    if (until == UINT64_MAX)
        return -1;
    if (until <= now)
        return 0;
    uint64_t ms = (until - now) / MS + 1;
    return ms < 1000 ? (int)ms : 1000;
}

/* Takes the events of the store. 1: there were some; 0; or an error. */
static int take_store_events(struct demo *d)
{
    struct xids_xs_event event;
    int rc, some = 0;
    while ((rc = xids_xs_next_event(d->xs, &event, 0)) == 1) {
        d->retry_at = now_ns();
        some = 1;
    }
    return rc < 0 ? rc : some;
}

static int sleep_till_news(struct demo *d)
{
    /* Those that came in beside the answers of our last requests are not on the descriptor any more. */
    int rc = take_store_events(d);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct pollfd fds[2] = {{.fd = xids_platform_xen_event_fd(d->platform), .events = POLLIN},
                            {.fd = xids_xs_fd(d->xs), .events = POLLIN}};
    if (poll(fds, 2, sleep_ms(d)) < 0 && errno != EINTR)
        return -errno;
    while (d->platform->ops->evtchn_pending(d->platform->ctx) > 0)
        if (d->connected)
            (void)xids_vchan_event(d->ch);
    rc = take_store_events(d);
    return rc < 0 ? rc : 0;
}

/* 0: sleep, 1: there is more to do, or an error. */
static int turn(struct demo *d)
{
    if (!d->connected && now_ns() >= d->retry_at) {
        d->retry_at = UINT64_MAX;
        int rc = connect_channel(d);
        if (rc == -XEN_ENOTCONN || rc == -XEN_EPERM)
            return rc;
        if (rc < 0 && rc != -XEN_ENOENT)
            d->retry_at = now_ns() + 20 * MS; /* between two channels */
    }
    if (!d->connected)
        return 0;
    int rc = xids_randomd_client_serve(d->client, d->ch, now_ns());
    if (rc < 0) {
        if (rc != -XEN_ENOTCONN)
            fprintf(stderr, "xids-entropy-demo: channel: %s\n", strerror(-rc));
        disconnect(d);
        d->retry_at = now_ns();
        return 1;
    }
    return rc;
}

static void look(struct demo *d)
{
    if (d->seeded == 0 && xids_randomd_client_grade(d->client) == XIDS_RANDOMD_GRADE_HOST) {
        d->seeded = now_ns();
        d->pull_began = d->seeded;
    }
    if (d->pull.status == 0 && d->pull_took == 0 && d->pull.len > 0)
        d->pull_took = now_ns() - d->pull_began;
}

static bool finished(const struct demo *d)
{
    return d->seeded != 0 && (d->pull.len == 0 || d->pull.status == 0) && xids_randomd_client_epoch(d->client) != 0;
}

static int run(struct demo *d, bool stay)
{
    bool first = true;
    while (!stop) {
        int rc = turn(d);
        if (rc < 0)
            return rc;
        look(d);
        if (!d->said && d->connected && finished(d)) {
            tell(d, first);
            d->said = true;
            first = false;
            d->give_up = UINT64_MAX;
            if (!stay)
                return 0;
        }
        if (now_ns() >= d->give_up)
            return -XEN_ETIMEDOUT;
        if (rc == 0)
            rc = sleep_till_news(d);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- start ---- */

static int open_all(struct demo *d, void *client_mem)
{
    struct xids_randomd_client_config config;
    uint64_t differs[2] = {now_ns(), (uint64_t)getpid()};
    memset(&config, 0, sizeof(config));
    memcpy(config.nonce, differs, sizeof(differs));
    domid_t self = 0;
    int rc = xids_xs_open(&d->xs, NULL);
    if (rc < 0) {
        fputs("xids-entropy-demo: xenstore cannot be reached\n", stderr);
        return rc;
    }
    uint64_t left = d->give_up > now_ns() ? d->give_up - now_ns() : 0;
    xids_xs_set_timeout(d->xs, (unsigned int)(left / 1000000u) + 1);
    rc = xids_xs_own_domid(d->xs, &self);
    if (rc < 0)
        fputs("xids-entropy-demo: xenstore does not say which domain this is\n", stderr);
    else
        rc = xids_platform_xen_open_as(&d->platform, self, XIDS_PLATFORM_XEN_NO_STATUS);
    if (rc == 0)
        rc = xids_xs_watch(d->xs, "device/randomd", "pointer");
    if (rc == 0)
        rc = xids_randomd_client_init(&d->client, client_mem, xids_randomd_client_size(), &config, now_ns());
    return rc;
}

static int number(const char *text, uint64_t *to)
{
    char *end;
    errno = 0;
    *to = strtoull(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' ? 0 : -EINVAL;
}

static const char usage[] = "usage: xids-entropy-demo [--start NS] [--pull BYTES] [--timeout SECONDS] [--stay]\n"
                            "NS: when the domain was started, CLOCK_MONOTONIC (or XIDS_DOMAIN_START)\n";

static int parse(struct demo *d, size_t *pull, bool *stay, int argc, char **argv)
{
    static const struct option longs[] = {
        {"start", required_argument, NULL, 's'},   {"pull", required_argument, NULL, 'p'},
        {"timeout", required_argument, NULL, 't'}, {"stay", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    const char *start = getenv("XIDS_DOMAIN_START");
    uint64_t bytes = 1u << 20, seconds = 10;
    int opt;
    d->started = now_ns();
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (opt == 's')
            start = optarg;
        else if (opt == 'p' && number(optarg, &bytes) == 0 && bytes <= (64u << 20))
            *pull = (size_t)bytes;
        else if (opt == 't' && number(optarg, &seconds) == 0 && seconds <= 3600)
            d->give_up = seconds;
        else if (opt == 'k')
            *stay = true;
        else if (opt == 'h')
            exit(fputs(usage, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        else
            return -EINVAL;
    }
    if (optind < argc)
        return -EINVAL;
    d->give_up = d->started + seconds * S;
    return start == NULL ? 0 : number(start, &d->started);
}

int main(int argc, char **argv)
{
    static struct demo d;
    size_t pull = 1u << 20;
    bool stay = false;
    if (parse(&d, &pull, &stay, argc, argv) < 0) {
        fputs(usage, stderr);
        return 2;
    }
    struct sigaction act;
    memset(&act, 0, sizeof(act));
    act.sa_handler = on_signal;
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    void *client_mem = malloc(xids_randomd_client_size());
    uint8_t *buffer = malloc(pull > 0 ? pull : 1);
    d.ch = malloc(xids_vchan_size());
    int rc = client_mem == NULL || buffer == NULL || d.ch == NULL ? -XEN_ENOMEM : open_all(&d, client_mem);
    if (rc == 0 && pull > 0) {
        d.pull.to = buffer;
        d.pull.len = pull;
        rc = xids_randomd_client_pull(d.client, &d.pull);
    }
    if (rc == 0)
        rc = run(&d, stay);
    if (rc < 0)
        fprintf(stderr, "xids-entropy-demo: %s\n",
                rc == -XEN_ETIMEDOUT ? "no entropy came in time (does xids-randomd run in domain 0?)" : strerror(-rc));
    if (d.connected)
        disconnect(&d);
    xids_randomd_client_fini(d.client);
    xids_platform_xen_close(d.platform);
    xids_xs_close(d.xs);
    if (buffer != NULL)
        xids_wipe(buffer, pull > 0 ? pull : 1);
    free(buffer);
    free(client_mem);
    free(d.ch);
    free(d.backend);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
