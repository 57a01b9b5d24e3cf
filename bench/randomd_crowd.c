/* SPDX-License-Identifier: ISC */
/*
 * Ten thousand guests of one daemon: what it holds, and how long it takes until all are seeded when it was killed.
 *
 * The guests are domains of a machine of their own, without processes: one process outside of the machine, the crowd,
 * acts for all of them, with the hypervisor's calls for each. It reads the store for them over one connection, which is
 * told of all changes. A guest's events are not waited for: the crowd looks at what the store has told, and, where a
 * guest expects an answer, at its ring. bench/randomd_crowd.sh makes the machine.
 */
#include "config.h"

#include "bench/randomd_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sim/machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xids/randomd_vchan.h>
#include <xids/xs.h>

#define CROWD 10000u
#define ASKED_AT_ONCE 400u         /* numbers, which must fit what waits to be sent */
#define PATIENCE_NS 60000000000ull /* a limit against hanging */
#define FOLDER "/local/domain/0/backend/randomd"

struct mapping {
    void *at;
    uint32_t id;
};

struct guest {
    struct xids_platform platform;
    struct crowd *crowd;
    struct xids_vchan *ch;
    struct xids_randomd_client *client;
    uint64_t epoch;
    uint32_t owner;
    uint32_t port, again, ref; /* as read */
    struct mapping maps[2];    /* the older first */
    bool asked, changed, connected, failed;
};

struct crowd {
    struct xids_sim_machine machine;
    struct xids_xs *xs;
    struct guest *guests;
    unsigned int count;
    unsigned int by_domid[65536]; /* its guest's index plus 1 */
    unsigned int shown;           /* ports that were written since the daemon was started */
    unsigned int fresh;           /* guests with an epoch that they did not have then */
    const char **randomd;         /* how to start it */
    pid_t pid;
};

static struct crowd crowd;

static void need(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench randomd: the crowd failed: %s (%s)\n", what, strerror(errno));
    if (crowd.pid > 0)
        (void)kill(crowd.pid, SIGKILL);
    _exit(1);
}

/* ---- a guest's platform: what a vchan's client needs of it ---- */

static int guest_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                     unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct guest *g = ctx;
    struct xids_hv *hv = &g->crowd->machine.hv;
    uint32_t frame = 0;
    struct mapping *m = g->maps[0].at == NULL ? &g->maps[0] : &g->maps[1];
    int rc = count == 1 && m->at == NULL ? xids_hv_map(hv, &m->id, &frame, g->owner, domid, refs, 1, flags, notify)
                                         : -XEN_EINVAL;
    if (rc < 0)
        return rc;
    m->at = hv->env.frame(hv->env.ctx, frame);
    *area = (void XIDS_PEER *)(uintptr_t)m->at;
    return 0;
}

static int guest_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct guest *g = ctx;
    struct mapping *m = g->maps[0].at == XIDS_PEER_RAW(void, area) ? &g->maps[0] : &g->maps[1];
    int rc = count == 1 && m->at != NULL ? xids_hv_unmap(&g->crowd->machine.hv, g->owner, m->id) : -XEN_EINVAL;
    *m = g->maps[1];
    g->maps[1].at = NULL;
    return rc;
}

static int guest_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    struct guest *g = ctx;
    return xids_hv_evtchn_bind(&g->crowd->machine.hv, g->owner, remote, port);
}

static int guest_notify(void *ctx, evtchn_port_t port)
{
    struct guest *g = ctx;
    return xids_hv_evtchn_notify(&g->crowd->machine.hv, g->owner, port);
}

static int guest_unmask(void *ctx, evtchn_port_t port)
{
    struct guest *g = ctx;
    return xids_hv_evtchn_unmask(&g->crowd->machine.hv, g->owner, port);
}

static int guest_close(void *ctx, evtchn_port_t port)
{
    struct guest *g = ctx;
    return xids_hv_evtchn_close(&g->crowd->machine.hv, g->owner, port);
}

static int guest_status(void *ctx, evtchn_port_t port)
{
    struct guest *g = ctx;
    struct xids_hv_port status;
    int rc = xids_hv_evtchn_status(&g->crowd->machine.hv, &status, g->platform.domid, g->platform.domid, port);
    return rc < 0 ? rc : (int)status.state;
}

static uint64_t guest_now(void *ctx)
{
    (void)ctx;
    return bench_now();
}

static const struct xids_platform_ops guest_ops = {
    .map = guest_map,
    .unmap = guest_unmap,
    .evtchn_bind = guest_bind,
    .evtchn_notify = guest_notify,
    .evtchn_unmask = guest_unmask,
    .evtchn_close = guest_close,
    .evtchn_status = guest_status,
    .now = guest_now,
};

/* ---- making them ---- */

static void write_node(domid_t domid, const char *leaf, const char *value)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/local/domain/%u%s", domid, leaf);
    int rc;
    while ((rc = xids_xs_client_write(xids_xs_client(crowd.xs), 0, path, value, (uint32_t)strlen(value), NULL, NULL)) ==
           -XEN_EBUSY)
        (void)!xids_xs_pump(crowd.xs);
    need(rc == 0, "a node");
}

/* A domain as a toolstack leaves it, as far as it matters here. */
static void make_guest(struct guest *g, unsigned int i)
{
    struct xids_hv *hv = &crowd.machine.hv;
    char vm[64];
    uint32_t frame;
    grant_ref_t ref;
    struct xids_randomd_client_config config;
    int domid = xids_hv_domain_create(hv, XIDS_HV_DOMID_ANY, 0, NULL);
    need(domid > 0 && domid < 65536, "a domain");
    g->crowd = &crowd;
    g->platform = (struct xids_platform){.ops = &guest_ops, .ctx = g, .domid = (domid_t)domid};
    crowd.by_domid[domid] = i + 1;
    need(xids_hv_owner_open(hv, &g->owner, (domid_t)domid, (uint32_t)getpid()) == 0, "a kernel");
    need(xids_hv_frame_alloc(hv, &frame, (domid_t)domid, 1) == 0, "a page");
    need(xids_hv_grant(hv, &ref, (domid_t)domid, 0, frame, 0, GNTTAB_RESERVED_XENSTORE) == 0, "a grant");
    int port = xids_hv_evtchn_alloc_for(hv, 0, (domid_t)domid, 0);
    need(port > 0, "a port");
    (void)snprintf(vm, sizeof(vm), "/vm/%08x-0000-4000-8000-000000000000", i);
    write_node((domid_t)domid, "/vm", vm);
    write_node((domid_t)domid, "/device", "");
    need(xids_xs_introduce(crowd.xs, (domid_t)domid, frame, (evtchn_port_t)port) == 0, "an introduction");
    memset(&config, 0, sizeof(config));
    memcpy(config.nonce, &i, sizeof(i));
    g->ch = malloc(xids_vchan_size());
    void *mem = malloc(xids_randomd_client_size());
    need(g->ch != NULL && mem != NULL, "memory");
    need(xids_randomd_client_init(&g->client, mem, xids_randomd_client_size(), &config, bench_now()) == 0, "a client");
}

/* ---- a guest's way to its channel ---- */

static void look_at(struct guest *g)
{
    int rc = xids_randomd_client_serve(g->client, g->ch, bench_now());
    need(rc >= 0, "a session");
    uint64_t epoch = xids_randomd_client_epoch(g->client);
    if (epoch == 0 || epoch == g->epoch)
        return;
    g->epoch = epoch;
    crowd.fresh++;
}

static void leave(struct guest *g)
{
    if (!g->connected)
        return;
    g->connected = false;
    xids_randomd_client_disconnected(g->client);
    xids_vchan_fini(g->ch);
}

static void meet(struct guest *g)
{
    leave(g);
    if (xids_vchan_client_init(g->ch, &g->platform, 0, g->ref, g->port, XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH) < 0)
        return; /* the numbers were old ones: the next event tells */
    g->connected = true;
    xids_randomd_client_connected(g->client, bench_now());
    look_at(g);
}

static void ask(struct guest *g);

/* The answers come in order: this is the last. */
static void on_number(struct guest *g, uint32_t *to, int rc, const void *payload, uint32_t len)
{
    if (rc < 0 || xids_xswire_decimal(to, payload, len, UINT32_MAX) < 0)
        g->failed = true;
    if (to != &g->again)
        return;
    g->asked = false;
    if (g->changed)
        ask(g);
    else if (!g->failed && g->port == g->again)
        meet(g);
}

static void on_port(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    on_number(g, &g->port, rc, payload, len);
}

static void on_ref(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    on_number(g, &g->ref, rc, payload, len);
}

static void on_again(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    on_number(g, &g->again, rc, payload, len);
}

/* As the specification says: the port, the reference, the port again. */
static void ask(struct guest *g)
{
    struct xids_xs_client *c = xids_xs_client(crowd.xs);
    char port[64], ref[64];
    g->changed = true;
    if (g->asked || xids_xs_client_outstanding(c) > ASKED_AT_ONCE)
        return; /* when there is room */
    (void)snprintf(port, sizeof(port), FOLDER "/%u/0/event-channel", g->platform.domid);
    (void)snprintf(ref, sizeof(ref), FOLDER "/%u/0/ring-ref", g->platform.domid);
    g->changed = g->failed = false;
    g->asked = true;
    int rc = xids_xs_client_read(c, 0, port, on_port, g);
    rc = rc == 0 ? xids_xs_client_read(c, 0, ref, on_ref, g) : rc;
    rc = rc == 0 ? xids_xs_client_read(c, 0, port, on_again, g) : rc;
    need(rc == 0, "a question to the store");
}

static void on_folder(void *ctx, int what, const char *path)
{
    static const char last[] = "/0/event-channel";
    (void)ctx;
    size_t len = strlen(path), tail = sizeof(last) - 1, head = sizeof(FOLDER);
    if (what != XIDS_XS_WATCH_FIRED || len < head + tail || strcmp(path + len - tail, last) != 0)
        return;
    unsigned long domid = strtoul(path + head, NULL, 10);
    unsigned int i = domid < 65536 ? crowd.by_domid[domid] : 0;
    if (i == 0)
        return;
    crowd.shown++;
    ask(&crowd.guests[i - 1]);
}

/* ---- the daemon ---- */

static void start_randomd(void)
{
    crowd.pid = fork();
    need(crowd.pid >= 0, "fork");
    if (crowd.pid > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    (void)execv(crowd.randomd[0], (char **)(void *)crowd.randomd);
    _exit(127);
}

static void kill_randomd(void)
{
    need(kill(crowd.pid, SIGKILL) == 0 && waitpid(crowd.pid, NULL, 0) == crowd.pid, "kill -9");
}

/* Goes on until a counter has come so far. all: looks at the rings, too. Returns the time. */
static uint64_t until(const unsigned int *counter, unsigned int to, bool all)
{
    uint64_t end = bench_now() + PATIENCE_NS;
    while (*counter < to) {
        struct pollfd p = {.fd = xids_xs_fd(crowd.xs), .events = POLLIN};
        need(bench_now() < end, "to wait any longer");
        (void)poll(&p, 1, 1);
        need(xids_xs_pump(crowd.xs) == 0, "the store");
        for (unsigned int i = 0; i < crowd.count; i++) {
            struct guest *g = &crowd.guests[i];
            if (g->changed && !g->asked)
                ask(g);
            else if (all && g->connected)
                look_at(g);
        }
    }
    return bench_now();
}

static double since(uint64_t start, uint64_t end)
{
    return (double)(end - start) / 1e9;
}

/* ---- what it holds ---- */

/*
 * Private bytes of what is not the machine: of that the daemon has its rings. Nor is what the simulator's libraries
 * remember of its pages, as Linux's kernel would.
 */
static double private_bytes(pid_t pid)
{
    char path[40], line[512];
    double sum = 0;
    bool ours = true;
    (void)snprintf(path, sizeof(path), "/proc/%ld/smaps", (long)pid);
    FILE *f = fopen(path, "re");
    need(f != NULL, path);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long kib;
        if (strstr(line, "xids-sim-areas") != NULL || strstr(line, " rw-s ") != NULL ||
            strstr(line, " r--s ") != NULL || strstr(line, " ---p ") != NULL)
            ours = false;
        else if (strstr(line, " rw-p ") != NULL || strstr(line, " r--p ") != NULL || strstr(line, " r-xp ") != NULL)
            ours = true;
        else if (ours &&
                 (sscanf(line, "Private_Clean: %lu", &kib) == 1 || sscanf(line, "Private_Dirty: %lu", &kib) == 1))
            sum += (double)kib * 1024;
    }
    (void)fclose(f);
    return sum;
}

static double descriptors(pid_t pid)
{
    char path[64];
    double n = 0;
    for (int fd = 0; fd < 4096; fd++) {
        (void)snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
        n += access(path, F_OK) == 0 || errno != ENOENT;
    }
    return n;
}

/* ---- the actor ---- */

/* Has the daemon reseed everybody, and waits until they have heard so. */
static double reseed(const char *control)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    need(strlen(control) < sizeof(at.sun_path), "the control socket's path");
    strcpy(at.sun_path, control);
    (void)until(&crowd.fresh, crowd.count, true);
    crowd.fresh = 0;
    uint64_t start = bench_now();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0, "the control socket");
    need(write(fd, "reseed\n", 7) == 7, "a request");
    double took = since(start, until(&crowd.fresh, crowd.count, true));
    (void)close(fd);
    return took;
}

/*
 * crowd DIR COUNT CONTROL START...: prints bytes, private bytes, descriptors; and in seconds how long it takes from the
 * kill until all is published again, and until all are seeded again; to begin; and to reseed all without that.
 */
int crowd_main(int argc, char **argv)
{
    char store[128];
    uint32_t id;
    if (argc < 5)
        return EXIT_FAILURE;
    crowd.count = (unsigned int)strtoul(argv[2], NULL, 10);
    crowd.randomd = (const char **)(void *)(argv + 4);
    crowd.guests = calloc(crowd.count, sizeof(*crowd.guests));
    need(crowd.guests != NULL && xids_sim_machine_attach(&crowd.machine, argv[1]) == 0, "the machine");
    (void)snprintf(store, sizeof(store), "%s/run/xenstored/socket", argv[1]);
    need(xids_xs_open(&crowd.xs, store) == 0, "the store");
    for (unsigned int i = 0; i < crowd.count; i++)
        make_guest(&crowd.guests[i], i);
    need(xids_xs_client_watch(xids_xs_client(crowd.xs), &id, FOLDER, on_folder, NULL) == 0, "a watch");

    uint64_t start = bench_now();
    start_randomd();
    double began = since(start, until(&crowd.fresh, crowd.count, false));
    double own = private_bytes(crowd.pid), fds = descriptors(crowd.pid);

    crowd.fresh = crowd.shown = 0;
    start = bench_now();
    kill_randomd();
    start_randomd();
    /* Each port is removed, and written again. */
    double shown = since(start, until(&crowd.shown, 2 * crowd.count, false));
    double seeded = since(start, until(&crowd.fresh, crowd.count, false));
    double reseeded = reseed(argv[3]);
    printf("%f %f %f %f %f %f %f\n", own + (double)crowd.count * XIDS_PAGE_SIZE, own, fds, shown, seeded, began,
           reseeded);
    (void)fflush(stdout);
    kill_randomd();
    for (unsigned int i = 0; i < crowd.count; i++)
        leave(&crowd.guests[i]);
    return EXIT_SUCCESS;
}

/* ---- the suite's side ---- */

bool case_crowd(struct suite *s)
{
    double n[7];
    char script[SELF_MAX], count[16];
    const char *src = getenv("XIDS_SRCDIR");
    if (!bench_wanted(s->b, "guests-10000-bytes") && !bench_wanted(s->b, "guests-10000-fds") &&
        !bench_wanted(s->b, "guests-10000-reseed"))
        return true;
    unsigned int guests = bench_quick(s->b) ? CROWD / 50 : CROWD;
    (void)snprintf(count, sizeof(count), "%u", guests);
    if (snprintf(script, sizeof(script), "%s/bench/randomd_crowd.sh", src != NULL ? src : ".") >= (int)sizeof(script))
        return false;
    const char *const command[] = {"bash", script, count, NULL};
    struct actor a;
    bool good = actor_spawn(&a, command) && actor_says(&a, n, sizeof(n) / sizeof(n[0]));
    if (!actor_end(&a, good) || !good) {
        (void)fprintf(stderr, "bench randomd: the crowd of %u guests: failed\n", guests);
        return false;
    }
    (void)printf("%u guests: %.0f private bytes each beside its page of 4096; kill -9 and anew: %.3f s until all is "
                 "published, %.3f s until all are seeded; the first start: %.3f s; reseeding all: %.3f s\n",
                 guests, n[1] / guests, n[3], n[4], n[5], n[6]);
    bench_row(s->b, "guests-10000-bytes", "MiB", BENCH_LOWER, n[0] / 1048576, 0, NULL);
    bench_row(s->b, "guests-10000-fds", "fds", BENCH_LOWER, n[2], 0, NULL);
    bench_row(s->b, "guests-10000-reseed", "s", BENCH_LOWER, n[4], 0, NULL);
    return true;
}
