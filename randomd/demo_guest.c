/* SPDX-License-Identifier: ISC */
/*
 * xids-entropy-demo: a program in a guest that gets its entropy from randomd and tells so in one line. It is also what
 * the interop tests run: with --stay it goes on, and prints a line for each channel it gets; with --servers it combines
 * several randomds, and is content when all have given.
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

/* One server's. */
struct end {
    struct xids_vchan *ch; /* memory for it, and for the client */
    void *client_mem;
    struct xids_randomd_client *client;
    char *backend; /* NULL: not found yet */
    uint64_t retry_at;
    unsigned int number;
    domid_t server;
    bool connected;
    bool said; /* of this channel */
};

struct demo {
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_entropy entropy;
    struct end ends[XIDS_ENTROPY_SERVERS];
    unsigned int servers;
    struct xids_randomd_pull pull;
    uint64_t started, seeded, pull_began, pull_took;
    uint64_t give_up;
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

static void fingerprint(char text[17], struct xids_entropy *entropy)
{
    uint8_t value[32], hash[8] = {0};
    struct xids_blake2s b;
    if (xids_entropy_random(entropy, value, sizeof(value)) == 0 &&
        xids_blake2s_init(&b, sizeof(hash), (const uint8_t *)"xids-entropy-demo fingerprint", 29) == 0) {
        xids_blake2s_update(&b, value, sizeof(value));
        xids_blake2s_final(&b, hash);
    }
    xids_wipe(value, sizeof(value));
    for (unsigned int i = 0; i < sizeof(hash); i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

static void tell(struct demo *d, const struct end *e, bool first)
{
    static const char *const grades[] = {"NONE", "LOCAL", "HOST"};
    char print[17];
    fingerprint(print, &d->entropy);
    printf("domain %u: seed fingerprint %s grade %s, ", d->platform->domid, print,
           grades[xids_entropy_grade(&d->entropy)]);
    bool mib = d->pull.len % (1u << 20) == 0;
    if (first && d->pull.len > 0)
        printf("first seed after %" PRIu64 " us, %zu %s pulled at %.1f MB/s\n", (d->seeded - d->started) / 1000,
               mib ? d->pull.len >> 20 : d->pull.len, mib ? "MiB" : "bytes",
               (double)d->pull.len * 1000.0 / (double)(d->pull_took > 0 ? d->pull_took : 1));
    else
        printf("epoch %016" PRIx64 "\n", xids_randomd_client_epoch(e->client));
    for (unsigned int i = 0; first && d->servers > 1 && i < d->servers; i++)
        printf("server %u: domain %u, epoch %016" PRIx64 "\n", i, d->ends[i].server,
               xids_randomd_client_epoch(d->ends[i].client));
    fflush(stdout);
}

/* ---- finding the channel ---- */

static int find_backend(struct demo *d, struct end *e)
{
    char node[40];
    uint32_t id = 0;
    char *path = NULL;
    snprintf(node, sizeof(node), "device/randomd/%u/backend", e->number);
    int rc = xids_xs_read(d->xs, &path, NULL, XIDS_XS_NO_TX, node);
    snprintf(node, sizeof(node), "device/randomd/%u/backend-id", e->number);
    if (rc >= 0)
        rc = xids_xs_read_u32(d->xs, &id, XIDS_XS_NO_TX, node);
    if (rc >= 0)
        rc = xids_xs_watch(d->xs, path, "backend");
    if (rc < 0) {
        free(path);
        return rc;
    }
    e->backend = path;
    e->server = (domid_t)id;
    return 0;
}

static int read_node(struct demo *d, const struct end *e, const char *name, uint32_t *number)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", e->backend, name);
    return xids_xs_read_u32(d->xs, number, XIDS_XS_NO_TX, path);
}

/* 0: connected. -XEN_ENOENT and others: not now, a watch will tell when to try again. */
static int connect_channel(struct demo *d, struct end *e)
{
    uint32_t port = 0, ref = 0, again = 0;
    int rc = e->backend == NULL ? find_backend(d, e) : 0;
    if (rc >= 0)
        rc = read_node(d, e, "event-channel", &port);
    if (rc >= 0)
        rc = read_node(d, e, "ring-ref", &ref);
    if (rc >= 0)
        rc = read_node(d, e, "event-channel", &again);
    if (rc >= 0 && port != again)
        rc = -XEN_EAGAIN;
    if (rc >= 0)
        rc = xids_vchan_client_init(e->ch, d->platform, e->server, ref, port, XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH);
    if (rc < 0)
        return rc;
    e->connected = true;
    e->said = false;
    xids_randomd_client_connected(e->client, now_ns());
    return 0;
}

static void disconnect(struct end *e)
{
    xids_randomd_client_disconnected(e->client);
    xids_vchan_fini(e->ch);
    e->connected = false;
}

/* ---- the loop ---- */

/* How long to sleep, in ms. */
static int sleep_ms(const struct demo *d)
{
    uint64_t now = now_ns(), until = d->give_up;
    uint64_t waits = xids_entropy_deadline(&d->entropy);
    until = waits < until ? waits : until;
    for (unsigned int i = 0; i < d->servers; i++) {
        const struct end *e = &d->ends[i];
        uint64_t deadline = e->connected ? xids_randomd_client_deadline(e->client) : e->retry_at;
        until = deadline < until ? deadline : until;
    }
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
        for (unsigned int i = 0; i < d->servers; i++)
            d->ends[i].retry_at = now_ns();
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
        for (unsigned int i = 0; i < d->servers; i++)
            if (d->ends[i].connected)
                (void)xids_vchan_event(d->ends[i].ch);
    rc = take_store_events(d);
    return rc < 0 ? rc : 0;
}

/* 0: sleep, 1: there is more to do, or an error. */
static int turn_end(struct demo *d, struct end *e)
{
    if (!e->connected && now_ns() >= e->retry_at) {
        e->retry_at = UINT64_MAX;
        int rc = connect_channel(d, e);
        if (rc == -XEN_ENOTCONN || rc == -XEN_EPERM)
            return rc;
        if (rc < 0 && rc != -XEN_ENOENT)
            e->retry_at = now_ns() + 20 * MS; /* between two channels */
    }
    if (!e->connected)
        return 0;
    int rc = xids_randomd_client_serve(e->client, e->ch, now_ns());
    if (rc < 0) {
        if (rc != -XEN_ENOTCONN)
            fprintf(stderr, "xids-entropy-demo: channel: %s\n", strerror(-rc));
        disconnect(e);
        e->retry_at = now_ns();
        return 1;
    }
    return rc;
}

static int turn(struct demo *d)
{
    int more = 0;
    for (unsigned int i = 0; i < d->servers; i++) {
        int rc = turn_end(d, &d->ends[i]);
        if (rc < 0)
            return rc;
        more = rc > 0 ? 1 : more;
    }
    xids_entropy_tick(&d->entropy, now_ns());
    return more;
}

static void look(struct demo *d)
{
    if (d->seeded == 0 && xids_entropy_grade(&d->entropy) == XIDS_RANDOMD_GRADE_HOST) {
        d->seeded = now_ns();
        d->pull_began = d->seeded;
    }
    if (d->pull.status == 0 && d->pull_took == 0 && d->pull.len > 0)
        d->pull_took = now_ns() - d->pull_began;
}

static bool finished(const struct demo *d, const struct end *e)
{
    for (unsigned int i = 0; i < d->servers; i++)
        if (xids_entropy_server_age(&d->entropy, i, now_ns()) == UINT64_MAX)
            return false;
    return d->seeded != 0 && (d->pull.len == 0 || d->pull.status == 0) && xids_randomd_client_epoch(e->client) != 0;
}

/* The channel of which there is something to say. */
static struct end *unsaid(struct demo *d)
{
    for (unsigned int i = 0; i < d->servers; i++)
        if (!d->ends[i].said && d->ends[i].connected && finished(d, &d->ends[i]))
            return &d->ends[i];
    return NULL;
}

static int run(struct demo *d, bool stay)
{
    bool first = true;
    while (!stop) {
        int rc = turn(d);
        if (rc < 0)
            return rc;
        look(d);
        struct end *news = unsaid(d);
        if (news != NULL) {
            tell(d, news, first);
            news->said = true;
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

static int open_end(struct demo *d, unsigned int number, const struct xids_entropy_config *own)
{
    struct end *e = &d->ends[number];
    struct xids_randomd_client_config config;
    memset(&config, 0, sizeof(config));
    memcpy(config.nonce, own->nonce, sizeof(config.nonce));
    config.entropy = &d->entropy;
    config.server = number;
    e->number = number;
    e->ch = malloc(xids_vchan_size());
    e->client_mem = malloc(xids_randomd_client_size());
    if (e->ch == NULL || e->client_mem == NULL)
        return -XEN_ENOMEM;
    if (number > 0)
        xids_entropy_expect(&d->entropy, number, d->give_up);
    return xids_randomd_client_init(&e->client, e->client_mem, xids_randomd_client_size(), &config, now_ns());
}

static void close_end(struct end *e)
{
    if (e->connected)
        disconnect(e);
    xids_randomd_client_fini(e->client);
    free(e->client_mem);
    free(e->ch);
    free(e->backend);
}

static int open_all(struct demo *d)
{
    struct xids_entropy_config own;
    uint64_t differs[2] = {now_ns(), (uint64_t)getpid()};
    memset(&own, 0, sizeof(own));
    memcpy(own.nonce, differs, sizeof(differs));
    xids_entropy_init(&d->entropy, &own, now_ns());
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
    for (unsigned int i = 0; i < d->servers && rc == 0; i++)
        rc = open_end(d, i, &own);
    return rc;
}

static int number(const char *text, uint64_t *to)
{
    char *end;
    errno = 0;
    *to = strtoull(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' ? 0 : -EINVAL;
}

static const char usage[] =
    "usage: xids-entropy-demo [--start NS] [--pull BYTES] [--timeout SECONDS] [--stay] [--servers N]\n"
    "NS: when the domain was started, CLOCK_MONOTONIC (or XIDS_DOMAIN_START)\n";

static int parse(struct demo *d, size_t *pull, bool *stay, int argc, char **argv)
{
    static const struct option longs[] = {{"start", required_argument, NULL, 's'},
                                          {"pull", required_argument, NULL, 'p'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"servers", required_argument, NULL, 'n'},
                                          {"stay", no_argument, NULL, 'k'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *start = getenv("XIDS_DOMAIN_START");
    uint64_t bytes = 1u << 20, seconds = 10, servers = 1;
    int opt;
    d->started = now_ns();
    d->servers = 1;
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (opt == 's')
            start = optarg;
        else if (opt == 'p' && number(optarg, &bytes) == 0 && bytes <= (64u << 20))
            *pull = (size_t)bytes;
        else if (opt == 't' && number(optarg, &seconds) == 0 && seconds <= 3600)
            d->give_up = seconds;
        else if (opt == 'n' && number(optarg, &servers) == 0 && servers >= 1 && servers <= XIDS_ENTROPY_SERVERS)
            d->servers = (unsigned int)servers;
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
    uint8_t *buffer = malloc(pull > 0 ? pull : 1);
    int rc = buffer == NULL ? -XEN_ENOMEM : open_all(&d);
    if (rc == 0 && pull > 0) {
        d.pull.to = buffer;
        d.pull.len = pull;
        rc = xids_randomd_client_pull(d.ends[0].client, &d.pull);
    }
    if (rc == 0)
        rc = run(&d, stay);
    if (rc < 0)
        fprintf(stderr, "xids-entropy-demo: %s\n",
                rc == -XEN_ETIMEDOUT ? "no entropy came in time (does xids-randomd run in domain 0?)" : strerror(-rc));
    for (unsigned int i = 0; i < d.servers; i++)
        close_end(&d.ends[i]);
    xids_entropy_wipe(&d.entropy);
    xids_platform_xen_close(d.platform);
    xids_xs_close(d.xs);
    if (buffer != NULL)
        xids_wipe(buffer, pull > 0 ? pull : 1);
    free(buffer);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
