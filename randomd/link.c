/* SPDX-License-Identifier: ISC */
/* A guest's connections to its entropy servers: the channels, the clients. */
#include "randomd/link.h"

#include <xids/randomd_vchan.h>

#define MS 1000000ull

/* How long to stay away from a server that broke the protocol, and from one that speaks no version of ours. */
#define BROKEN_MS 10000u
#define STRANGE_MS 60000u

void randomd_link_refuse(struct link_server *s, int rc, const char *reason)
{
    const struct xids_randomd_link *l = s->l;
    if (rc == s->told)
        return;
    s->told = rc;
    if (l->config.refused != NULL)
        l->config.refused(l->config.ctx, rc, reason);
}

static void reached(const struct xids_randomd_link *l, const char *step)
{
    if (l->config.reached != NULL)
        l->config.reached(l->config.ctx, step);
}

/* Of the first server with which there is a session. */
static uint64_t epoch_of(const struct xids_randomd_link *l)
{
    for (unsigned int i = 0; i < SERVERS; i++) {
        uint64_t epoch = xids_randomd_client_epoch(l->servers[i].client);
        if (epoch != 0)
            return epoch;
    }
    return 0;
}

/* True: there is something new, and who waits for it in the loop wants to look. */
static bool tell(struct xids_randomd_link *l)
{
    enum xids_randomd_grade grade = xids_entropy_grade(l->entropy);
    uint64_t epoch = epoch_of(l);
    if (grade == l->grade && epoch == l->epoch)
        return false;
    if (grade == XIDS_RANDOMD_GRADE_HOST && epoch != 0)
        reached(l, "seed received");
    l->grade = grade;
    l->epoch = epoch;
    if (l->config.changed != NULL)
        l->config.changed(l->config.ctx, grade, epoch);
    return true;
}

/* ---- a channel ---- */

static void on_opened(void *ctx, struct xids_vchan *ch)
{
    struct link_server *s = ctx;
    (void)ch;
    s->told = 0;
    reached(s->l, "channel open");
    xids_randomd_client_connected(s->client, s->l->now);
}

static uint64_t on_serve(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    struct link_server *s = ctx;
    int rc = xids_randomd_client_serve(s->client, ch, now);
    if (rc >= 0)
        return rc == 1 ? 0 : xids_randomd_client_deadline(s->client);
    if (rc == -XEN_ENOTCONN)
        xids_vchan_meet_drop(s->meet, 0, "the server ended the session", xids_randomd_client_retry_ms(s->client) * MS);
    else if (rc == -XEN_EPERM)
        xids_vchan_meet_drop(s->meet, rc, "the server speaks no version of ours", STRANGE_MS * MS);
    else
        xids_vchan_meet_drop(s->meet, rc, "the server broke the protocol", BROKEN_MS * MS);
    return UINT64_MAX;
}

static void on_closed(void *ctx, struct xids_vchan *ch, int rc, const char *reason)
{
    struct link_server *s = ctx;
    (void)ch;
    xids_randomd_client_disconnected(s->client);
    if (rc < 0)
        randomd_link_refuse(s, rc, reason);
}

static void on_refused(void *ctx, int rc, const char *reason)
{
    randomd_link_refuse(ctx, rc, reason);
}

static void leave(struct link_server *s)
{
    if (s->meet == NULL)
        return;
    xids_vchan_meet_fini(s->meet);
    s->meet = NULL;
    xids_randomd_client_disconnected(s->client);
}

static void meet(struct link_server *s)
{
    const struct xids_vchan_meet_config config = {
        .platform = s->l->config.platform,
        .xs = s->l->config.xs,
        .user = &s->user,
        .remote = s->domid,
        .path = s->backend,
        .flags = XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH,
    };
    int rc = xids_vchan_meet_init(&s->meet, s->meet_mem, xids_vchan_meet_size(), &config);
    if (rc < 0) {
        s->meet = NULL;
        randomd_link_refuse(s, rc, "the entropy server's place in xenstore cannot be used");
    }
}

static bool same(const char *a, const char *b)
{
    size_t i = 0;
    while (a[i] == b[i] && a[i] != '\0')
        i++;
    return a[i] == b[i];
}

/* A meeting that there is goes on: its channel tells what becomes of it. */
static void not_found(struct link_server *s, int rc, uint64_t now)
{
    struct xids_randomd_link *l = s->l;
    bool absent = rc == -XEN_ENOENT || rc == -XEN_EACCES;
    xids_entropy_lost(l->entropy, s->number);
    /* The watch tells when there is another server beside those that we have. */
    if (absent && any_meeting(l))
        return;
    l->retry_at = now + XIDS_VCHAN_MEET_RETRY_MAX;
    randomd_link_refuse(s, rc,
                        rc == -XEN_EBADMSG ? "the pointer to the entropy server makes no sense"
                        : absent           ? "no entropy server has offered a channel"
                                           : "xenstore failed");
}

/* The store has said where a server is. */
static void found(struct link_server *s, uint64_t now)
{
    struct xids_randomd_link *l = s->l;
    s->asking = false;
    int rc = randomd_link_found(s);
    if (rc < 0) {
        not_found(s, rc, now);
        return;
    }
    if (s->meet != NULL && s->domid == s->found_id && same(s->backend, s->found))
        return;
    leave(s);
    reached(l, "entropy server found");
    xids_entropy_expect(l->entropy, s->number, now + LINK_PATIENCE);
    s->domid = (domid_t)s->found_id;
    __builtin_memcpy(s->backend, s->found, sizeof(s->backend));
    meet(s);
}

/* ---- the part ---- */

static uint64_t ask_at(const struct xids_randomd_link *l)
{
    uint64_t at = l->changed ? 0 : l->retry_at;
    return randomd_link_asking(l) ? UINT64_MAX : at > l->not_before ? at : l->not_before;
}

static uint64_t step_server(struct link_server *s, uint64_t now)
{
    if (randomd_link_answered(s))
        found(s, now);
    if (s->meet == NULL)
        return UINT64_MAX;
    struct xids_part *part = xids_vchan_meet_part(s->meet);
    return part->step(part->ctx, now);
}

/* What one client, or the owner, did to the generator concerns all. True: they have something to do now. */
static bool spread(struct xids_randomd_link *l)
{
    uint32_t copies = xids_entropy_copies(l->entropy), doubts = xids_entropy_doubts(l->entropy);
    if (copies == l->copies && doubts == l->doubts)
        return false;
    l->copies = copies;
    l->doubts = doubts;
    xids_randomd_link_poke(l);
    return true;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t part_step(void *ctx, uint64_t now)
{
    struct xids_randomd_link *l = ctx;
    uint64_t due = UINT64_MAX;
    if (l->suspended)
        return due;
    l->now = now;
    if (ask_at(l) <= now) {
        randomd_link_ask(l, now);
        due = 0; /* the request is sent by the store's part, which may have had its turn */
    }
    if (l->listed != 0) {
        randomd_link_ask_listed(l, now);
        due = 0;
    }
    for (unsigned int i = 0; i < SERVERS; i++)
        due = sooner(step_server(&l->servers[i], now), due);
    if (spread(l))
        due = 0;
    if (l->config.local != NULL)
        due = sooner(xids_local_turn(l->config.local, now), due);
    xids_entropy_tick(l->entropy, now);
    if (tell(l))
        due = 0;
    return sooner(sooner(ask_at(l), xids_entropy_deadline(l->entropy)), due);
}

static bool part_event(void *ctx, evtchn_port_t port)
{
    struct xids_randomd_link *l = ctx;
    for (unsigned int i = 0; i < SERVERS; i++) {
        struct xids_part *part = l->servers[i].meet != NULL ? xids_vchan_meet_part(l->servers[i].meet) : NULL;
        if (part != NULL && part->event(part->ctx, port))
            return true;
    }
    return false;
}

/* The image of the domain will hold no key, and another place has other numbers. */
static void part_suspend(void *ctx)
{
    struct xids_randomd_link *l = ctx;
    l->suspended = true;
    randomd_link_hush(l);
    for (unsigned int i = 0; i < SERVERS; i++) {
        leave(&l->servers[i]);
        xids_randomd_client_forget(l->servers[i].client);
    }
    if (l->config.local != NULL)
        xids_local_forget(l->config.local);
    (void)tell(l);
}

static void part_resume(void *ctx)
{
    struct xids_randomd_link *l = ctx;
    l->suspended = l->salted = false;
    l->not_before = l->retry_at = 0;
    for (unsigned int i = 0; i < SERVERS; i++)
        l->servers[i].told = 0;
}

/* ---- life ---- */

static size_t aligned(size_t n)
{
    return (n + 15u) & ~(size_t)15u;
}

static size_t server_size(void)
{
    return aligned(xids_randomd_client_size()) + aligned(xids_vchan_meet_size());
}

size_t xids_randomd_link_size(void)
{
    return aligned(sizeof(struct xids_randomd_link)) + SERVERS * server_size();
}

static int init_server(struct xids_randomd_link *l, unsigned int number, uint8_t *mem, uint64_t now)
{
    struct link_server *s = &l->servers[number];
    struct xids_randomd_client_config config = l->config.client;
    s->l = l;
    s->number = (uint8_t)number;
    s->user = (struct xids_vchan_meet_user){
        .opened = on_opened, .serve = on_serve, .closed = on_closed, .refused = on_refused, .ctx = s};
    s->meet_mem = mem + aligned(xids_randomd_client_size());
    config.entropy = l->entropy;
    config.server = number;
    return xids_randomd_client_init(&s->client, mem, xids_randomd_client_size(), &config, now);
}

int xids_randomd_link_init(struct xids_randomd_link **link, void *mem, size_t size,
                           const struct xids_randomd_link_config *config, uint64_t now)
{
    struct xids_randomd_link *l = mem;
    struct xids_entropy_config own;
    if (mem == NULL || size < xids_randomd_link_size() || (uintptr_t)mem % _Alignof(max_align_t) != 0 ||
        (config->local != NULL && config->client.entropy == NULL))
        return -XEN_EINVAL;
    __builtin_memset(l, 0, sizeof(*l));
    l->config = *config;
    l->now = now;
    l->part = (struct xids_part){
        .event = part_event, .step = part_step, .suspend = part_suspend, .resume = part_resume, .ctx = l};
    l->entropy = config->client.entropy;
    if (l->entropy == NULL) {
        __builtin_memcpy(own.nonce, config->client.nonce, sizeof(own.nonce));
        __builtin_memcpy(own.identity, config->client.identity, sizeof(own.identity));
        l->entropy = &l->own;
        xids_entropy_init(&l->own, &own, now);
    }
    int rc = 0;
    for (unsigned int i = 0; i < SERVERS && rc == 0; i++)
        rc = init_server(l, i, (uint8_t *)mem + aligned(sizeof(*l)) + i * server_size(), now);
    l->copies = xids_entropy_copies(l->entropy);
    l->doubts = xids_entropy_doubts(l->entropy);
    if (rc == 0)
        *link = l;
    return rc;
}

void xids_randomd_link_fini(struct xids_randomd_link *l)
{
    if (l == NULL)
        return;
    randomd_link_hush(l);
    for (unsigned int i = 0; i < SERVERS; i++) {
        leave(&l->servers[i]);
        xids_randomd_client_fini(l->servers[i].client);
    }
    if (l->watch != 0)
        (void)xids_xs_client_unwatch(l->config.xs, l->watch);
    xids_wipe(l, sizeof(*l));
}

struct xids_part *xids_randomd_link_part(struct xids_randomd_link *l)
{
    return &l->part;
}

struct xids_entropy *xids_randomd_link_entropy(struct xids_randomd_link *l)
{
    return l->entropy;
}

struct xids_randomd_client *xids_randomd_link_server(struct xids_randomd_link *l, unsigned int server)
{
    return server < SERVERS ? l->servers[server].client : NULL;
}

struct xids_randomd_client *xids_randomd_link_client(struct xids_randomd_link *l)
{
    return l->servers[0].client;
}

void xids_randomd_link_poke(struct xids_randomd_link *l)
{
    for (unsigned int i = 0; i < SERVERS; i++)
        if (l->servers[i].meet != NULL)
            xids_vchan_meet_poke(l->servers[i].meet);
}
