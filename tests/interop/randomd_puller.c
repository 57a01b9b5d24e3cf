/* SPDX-License-Identifier: ISC */
/*
 * A guest that pulls bytes from randomd without end, over whatever becomes of the daemon, and looks that it is never
 * told a wrong grade and never gets the same bytes twice. Prints a line for each session; at SIGTERM it writes the
 * first 8 bytes of all that it got to a file, for comparing with other guests, and ends with status 0.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/randomd_link.h>
#include <xids/xs.h>

#define SLOTS (1u << 20)
#define MOST (SLOTS / 2)
#define PULL 32u

struct puller {
    struct xids_xs *xs;
    struct xids_platform *platform;
    struct xids_randomd_link *link;
    struct xids_randomd_client *client;
    struct xids_randomd_pull pull;
    uint8_t bytes[PULL];
    uint64_t *seen; /* the first 8 bytes of each, 0: free */
    uint64_t epoch, pulls;
    unsigned int count;
    bool seeded, wrong;
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
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void remember(struct puller *p, const uint8_t *bytes, const char *what)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    if (p->count >= MOST)
        return;
    size_t at = value % SLOTS;
    while (p->seen[at] != 0 && p->seen[at] != value)
        at = (at + 1) % SLOTS;
    if (p->seen[at] == value) {
        printf("REPEAT of %s, after %u\n", what, p->count);
        p->wrong = true;
    }
    p->seen[at] = value;
    p->count++;
}

/* The client's own random numbers, and what its grade says of them. */
static void look(struct puller *p)
{
    uint8_t own[PULL];
    enum xids_randomd_grade grade = xids_randomd_client_grade(p->client);
    int rc = xids_randomd_client_random(p->client, own, sizeof(own));
    if ((rc == 0) != (grade != XIDS_RANDOMD_GRADE_NONE) || (p->seeded && grade != XIDS_RANDOMD_GRADE_HOST)) {
        printf("GRADE %d, random gives %d\n", (int)grade, rc);
        p->wrong = true;
    }
    p->seeded = p->seeded || grade == XIDS_RANDOMD_GRADE_HOST;
    if (rc == 0)
        remember(p, own, "its own");
    uint64_t epoch = xids_randomd_client_epoch(p->client);
    if (epoch == 0 || epoch == p->epoch || p->pull.status != 0)
        return;
    printf("epoch %016" PRIx64 " after %" PRIu64 " pulls\n", epoch, p->pulls);
    (void)fflush(stdout);
    p->epoch = epoch;
}

static int pull_again(struct puller *p)
{
    if (p->pull.status == -XEN_EBUSY)
        return 0;
    if (p->pull.len > 0) {
        remember(p, p->bytes, "the host's");
        p->pulls++;
    }
    p->pull.to = p->bytes;
    p->pull.len = PULL;
    int rc = xids_randomd_client_pull(p->client, &p->pull);
    xids_randomd_link_poke(p->link);
    return rc;
}

static int open_all(struct puller *p, void *mem)
{
    int rc = xids_xs_open(&p->xs, NULL);
    if (rc == 0)
        rc = xids_platform_xen_open(&p->platform, XIDS_PLATFORM_XEN_NO_STATUS);
    if (rc < 0)
        return rc;
    struct xids_randomd_link_config config = {.platform = p->platform, .xs = xids_xs_client(p->xs)};
    uint64_t differs[2] = {now_ns(), (uint64_t)getpid()};
    memcpy(config.client.nonce, differs, sizeof(differs));
    rc = xids_randomd_link_init(&p->link, mem, xids_randomd_link_size(), &config, now_ns());
    if (rc == 0)
        p->client = xids_randomd_link_client(p->link);
    return rc;
}

static int turn(struct puller *p)
{
    struct xids_part *part = xids_randomd_link_part(p->link);
    int rc = xids_xs_pump(p->xs), port;
    while (rc >= 0 && (port = p->platform->ops->evtchn_pending(p->platform->ctx)) > 0)
        (void)part->event(part->ctx, (evtchn_port_t)port);
    uint64_t due = part->step(part->ctx, now_ns());
    if (rc >= 0)
        rc = xids_xs_pump(p->xs);
    if (rc < 0)
        return rc;
    bool done = p->pull.status != -XEN_EBUSY;
    if (done) {
        look(p);
        return pull_again(p);
    }
    uint64_t now = now_ns(), wait = due <= now ? 0 : (due - now) / 1000000u + 1;
    struct pollfd fds[2] = {
        {.fd = xids_xs_fd(p->xs), .events = (short)(POLLIN | (xids_xs_wants_write(p->xs) ? POLLOUT : 0))},
        {.fd = xids_platform_xen_event_fd(p->platform), .events = POLLIN}};
    if (poll(fds, 2, wait > 100 ? 100 : (int)wait) == 0)
        look(p); /* also while there is no server */
    return 0;
}

static bool save(const struct puller *p, const char *path)
{
    FILE *f = fopen(path, "we");
    bool good = f != NULL;
    for (size_t i = 0; good && i < SLOTS; i++)
        good = p->seen[i] == 0 || fwrite(&p->seen[i], sizeof(p->seen[i]), 1, f) == 1;
    return f != NULL && fclose(f) == 0 && good;
}

int main(int argc, char **argv)
{
    static struct puller p;
    const struct sigaction act = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &act, NULL);
    void *mem = malloc(xids_randomd_link_size());
    p.seen = calloc(SLOTS, sizeof(*p.seen));
    if (argc != 2 || mem == NULL || p.seen == NULL)
        return 2;
    int rc = open_all(&p, mem);
    while (rc >= 0 && !stop && !p.wrong)
        rc = turn(&p);
    if (rc < 0)
        fprintf(stderr, "randomd_puller: %s\n", strerror(-rc));
    printf("end after %" PRIu64 " pulls\n", p.pulls);
    bool saved = save(&p, argv[1]);
    xids_randomd_link_fini(p.link);
    xids_platform_xen_close(p.platform);
    xids_xs_close(p.xs);
    free(mem);
    free(p.seen);
    return rc < 0 || p.wrong || !saved ? 1 : 0;
}
