/* SPDX-License-Identifier: ISC */
/* A guest's connection to its entropy server: the pointer in xenstore, the channel, the client. */
#include <xids/randomd_link.h>
#include <xids/randomd_vchan.h>
#include <xids/vchan_meet.h>

#define MS 1000000ull

/* How long to stay away from a server that broke the protocol, and from one that speaks no version of ours. */
#define BROKEN_MS 10000u
#define STRANGE_MS 60000u

#define POINTER "device/randomd"

/* What the pointer consists of. */
enum { BACKEND, BACKEND_ID, ANSWERS };

struct answer {
    struct xids_randomd_link *l;
    int rc;
    bool waiting;
};

struct xids_randomd_link {
    struct xids_part part;
    struct xids_randomd_link_config config;
    struct xids_vchan_meet_user user;
    struct xids_randomd_client *client;
    struct xids_vchan_meet *meet; /* NULL: no pointer yet */
    void *meet_mem;
    uint64_t now;        /* of the last step */
    uint64_t not_before; /* the pointer is not read before this */
    uint64_t retry_at;
    uint64_t epoch; /* what the owner was told last */
    enum xids_randomd_grade grade;
    struct answer answers[ANSWERS];
    uint32_t watch;
    uint32_t found_id;
    int told; /* the last refusal */
    domid_t server;
    bool asking, changed, suspended;
    char backend[XIDS_VCHAN_MEET_PATH + 1u]; /* where the meeting is */
    char found[XIDS_VCHAN_MEET_PATH + 1u];   /* what the store says */
};

static void refuse(struct xids_randomd_link *l, int rc, const char *reason)
{
    if (rc == l->told)
        return;
    l->told = rc;
    if (l->config.refused != NULL)
        l->config.refused(l->config.ctx, rc, reason);
}

static void reached(const struct xids_randomd_link *l, const char *step)
{
    if (l->config.reached != NULL)
        l->config.reached(l->config.ctx, step);
}

static void tell(struct xids_randomd_link *l)
{
    enum xids_randomd_grade grade = xids_randomd_client_grade(l->client);
    uint64_t epoch = xids_randomd_client_epoch(l->client);
    if (grade == l->grade && epoch == l->epoch)
        return;
    if (grade == XIDS_RANDOMD_GRADE_HOST && epoch != 0)
        reached(l, "seed received");
    l->grade = grade;
    l->epoch = epoch;
    if (l->config.changed != NULL)
        l->config.changed(l->config.ctx, grade, epoch);
}

/* ---- the channel ---- */

static void on_opened(void *ctx, struct xids_vchan *ch)
{
    struct xids_randomd_link *l = ctx;
    (void)ch;
    l->told = 0;
    reached(l, "channel open");
    xids_randomd_client_connected(l->client, l->now);
}

static uint64_t on_serve(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    struct xids_randomd_link *l = ctx;
    int rc = xids_randomd_client_serve(l->client, ch, now);
    if (rc >= 0)
        return rc == 1 ? 0 : xids_randomd_client_deadline(l->client);
    if (rc == -XEN_ENOTCONN)
        xids_vchan_meet_drop(l->meet, 0, "the server ended the session", xids_randomd_client_retry_ms(l->client) * MS);
    else if (rc == -XEN_EPERM)
        xids_vchan_meet_drop(l->meet, rc, "the server speaks no version of ours", STRANGE_MS * MS);
    else
        xids_vchan_meet_drop(l->meet, rc, "the server broke the protocol", BROKEN_MS * MS);
    return UINT64_MAX;
}

static void on_closed(void *ctx, struct xids_vchan *ch, int rc, const char *reason)
{
    struct xids_randomd_link *l = ctx;
    (void)ch;
    xids_randomd_client_disconnected(l->client);
    if (rc < 0)
        refuse(l, rc, reason);
}

static void on_refused(void *ctx, int rc, const char *reason)
{
    refuse(ctx, rc, reason);
}

static void leave(struct xids_randomd_link *l)
{
    if (l->meet == NULL)
        return;
    xids_vchan_meet_fini(l->meet);
    l->meet = NULL;
    xids_randomd_client_disconnected(l->client);
}

static void meet(struct xids_randomd_link *l)
{
    const struct xids_vchan_meet_config config = {
        .platform = l->config.platform,
        .xs = l->config.xs,
        .user = &l->user,
        .remote = l->server,
        .path = l->backend,
        .flags = XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH,
    };
    int rc = xids_vchan_meet_init(&l->meet, l->meet_mem, xids_vchan_meet_size(), &config);
    if (rc < 0) {
        l->meet = NULL;
        refuse(l, rc, "the entropy server's place in xenstore cannot be used");
    }
}

/* ---- the pointer ---- */

static void on_backend(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    struct xids_randomd_link *l = a->l;
    a->waiting = false;
    a->rc = rc;
    if (rc < 0)
        return;
    /* Absolute and clean: it is the start of other paths. A NUL is no letter of a path. */
    if (len >= sizeof(l->found) || xids_xswire_path_check(payload, len) != XIDS_XS_PATH_ABSOLUTE) {
        a->rc = -XEN_EBADMSG;
        return;
    }
    __builtin_memcpy(l->found, payload, len);
    l->found[len] = '\0';
}

static void on_backend_id(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    a->waiting = false;
    a->rc = rc;
    if (rc == 0 && xids_xswire_decimal(&a->l->found_id, payload, len, DOMID_FIRST_RESERVED - 1u) < 0)
        a->rc = -XEN_EBADMSG;
}

static xids_xs_reply_fn *const on_answer[ANSWERS] = {on_backend, on_backend_id};

static void hush(struct xids_randomd_link *l)
{
    for (unsigned int i = 0; i < ANSWERS; i++) {
        if (l->answers[i].waiting)
            (void)xids_xs_client_cancel(l->config.xs, on_answer[i], &l->answers[i]);
        l->answers[i].waiting = false;
    }
    l->asking = false;
}

static void on_watch(void *ctx, int what, const char *path)
{
    struct xids_randomd_link *l = ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED)
        l->changed = true;
    if (what < 0) {
        l->watch = 0;
        l->retry_at = l->now + XIDS_VCHAN_MEET_RETRY_MAX;
    }
}

static void ask(struct xids_randomd_link *l, uint64_t now)
{
    static const char *const nodes[ANSWERS] = {POINTER "/0/backend", POINTER "/0/backend-id"};
    int rc = 0;
    if (l->watch == 0)
        rc = xids_xs_client_watch(l->config.xs, &l->watch, POINTER, on_watch, l);
    l->changed = false;
    l->not_before = now + XIDS_VCHAN_MEET_RETRY_MIN;
    l->retry_at = l->meet == NULL || l->watch == 0 ? now + XIDS_VCHAN_MEET_RETRY_MAX : UINT64_MAX;
    l->asking = rc == 0;
    for (unsigned int i = 0; i < ANSWERS && rc == 0; i++) {
        l->answers[i] = (struct answer){.l = l, .rc = -XEN_EIO};
        rc = xids_xs_client_read(l->config.xs, 0, nodes[i], on_answer[i], &l->answers[i]);
        l->answers[i].waiting = rc == 0;
    }
    if (rc == 0)
        return;
    hush(l);
    l->retry_at = now + XIDS_VCHAN_MEET_RETRY_MAX;
    refuse(l, rc, "xenstore cannot be asked");
}

/* Stops at the end of text, which is before len when it is shorter. */
static bool starts(const char *text, const char *with, size_t len)
{
    size_t i = 0;
    while (i < len && text[i] == with[i])
        i++;
    return i == len;
}

/* Whether the place lies in the server's own part of the store: nobody else may say which pages to map of whom. */
static bool place_of_server(const struct xids_randomd_link *l)
{
    static const char domains[] = "/local/domain/";
    char id[11];
    size_t digits = xids_xswire_format_decimal(id, l->found_id), at = sizeof(domains) - 1u;
    return starts(l->found, domains, at) && starts(l->found + at, id, digits) && l->found[at + digits] == '/' &&
           l->found_id != l->config.platform->domid;
}

static bool same(const char *a, const char *b)
{
    size_t i = 0;
    while (a[i] == b[i] && a[i] != '\0')
        i++;
    return a[i] == b[i];
}

/* The store has said where the server is. */
static void found(struct xids_randomd_link *l, uint64_t now)
{
    l->asking = false;
    int rc = l->answers[BACKEND].rc < 0 ? l->answers[BACKEND].rc : l->answers[BACKEND_ID].rc;
    if (rc == 0 && !place_of_server(l))
        rc = -XEN_EBADMSG;
    if (rc < 0) {
        /* A meeting that there is goes on: its channel tells what becomes of it. */
        l->retry_at = now + XIDS_VCHAN_MEET_RETRY_MAX;
        refuse(l, rc,
               rc == -XEN_EBADMSG                       ? "the pointer to the entropy server makes no sense"
               : rc == -XEN_ENOENT || rc == -XEN_EACCES ? "no entropy server has offered a channel"
                                                        : "xenstore failed");
        return;
    }
    if (l->meet != NULL && l->server == l->found_id && same(l->backend, l->found))
        return;
    leave(l);
    reached(l, "entropy server found");
    l->server = (domid_t)l->found_id;
    __builtin_memcpy(l->backend, l->found, sizeof(l->backend));
    meet(l);
}

static bool answered(const struct xids_randomd_link *l)
{
    return !l->answers[BACKEND].waiting && !l->answers[BACKEND_ID].waiting;
}

/* ---- the part ---- */

static uint64_t ask_at(const struct xids_randomd_link *l)
{
    uint64_t at = l->changed ? 0 : l->retry_at;
    return l->asking ? UINT64_MAX : at > l->not_before ? at : l->not_before;
}

static uint64_t part_step(void *ctx, uint64_t now)
{
    struct xids_randomd_link *l = ctx;
    uint64_t due = UINT64_MAX;
    if (l->suspended)
        return due;
    l->now = now;
    if (l->asking && answered(l))
        found(l, now);
    if (ask_at(l) <= now) {
        ask(l, now);
        due = 0; /* the request is sent by the store's part, which may have had its turn */
    }
    if (l->meet != NULL) {
        struct xids_part *part = xids_vchan_meet_part(l->meet);
        uint64_t meet_due = part->step(part->ctx, now);
        due = meet_due < due ? meet_due : due;
    }
    tell(l);
    return ask_at(l) < due ? ask_at(l) : due;
}

static bool part_event(void *ctx, evtchn_port_t port)
{
    struct xids_randomd_link *l = ctx;
    if (l->meet == NULL)
        return false;
    struct xids_part *part = xids_vchan_meet_part(l->meet);
    return part->event(part->ctx, port);
}

/* The image of the domain will hold no key, and another place has other numbers. */
static void part_suspend(void *ctx)
{
    struct xids_randomd_link *l = ctx;
    l->suspended = true;
    hush(l);
    leave(l);
    xids_randomd_client_forget(l->client);
    tell(l);
}

static void part_resume(void *ctx)
{
    struct xids_randomd_link *l = ctx;
    l->suspended = false;
    l->not_before = l->retry_at = 0;
    l->told = 0;
}

/* ---- life ---- */

static size_t aligned(size_t n)
{
    return (n + 15u) & ~(size_t)15u;
}

size_t xids_randomd_link_size(void)
{
    return aligned(sizeof(struct xids_randomd_link)) + aligned(xids_randomd_client_size()) + xids_vchan_meet_size();
}

int xids_randomd_link_init(struct xids_randomd_link **link, void *mem, size_t size,
                           const struct xids_randomd_link_config *config, uint64_t now)
{
    struct xids_randomd_link *l = mem;
    if (mem == NULL || size < xids_randomd_link_size() || (uintptr_t)mem % _Alignof(max_align_t) != 0)
        return -XEN_EINVAL;
    __builtin_memset(l, 0, sizeof(*l));
    l->config = *config;
    l->now = now;
    l->user = (struct xids_vchan_meet_user){
        .opened = on_opened, .serve = on_serve, .closed = on_closed, .refused = on_refused, .ctx = l};
    l->part = (struct xids_part){
        .event = part_event, .step = part_step, .suspend = part_suspend, .resume = part_resume, .ctx = l};
    uint8_t *client_mem = (uint8_t *)mem + aligned(sizeof(*l));
    l->meet_mem = client_mem + aligned(xids_randomd_client_size());
    int rc = xids_randomd_client_init(&l->client, client_mem, xids_randomd_client_size(), &config->client, now);
    if (rc == 0)
        *link = l;
    return rc;
}

void xids_randomd_link_fini(struct xids_randomd_link *l)
{
    if (l == NULL)
        return;
    hush(l);
    leave(l);
    if (l->watch != 0)
        (void)xids_xs_client_unwatch(l->config.xs, l->watch);
    xids_randomd_client_fini(l->client);
    xids_wipe(l, sizeof(*l));
}

struct xids_part *xids_randomd_link_part(struct xids_randomd_link *l)
{
    return &l->part;
}

struct xids_randomd_client *xids_randomd_link_client(struct xids_randomd_link *l)
{
    return l->client;
}

void xids_randomd_link_poke(struct xids_randomd_link *l)
{
    if (l->meet != NULL)
        xids_vchan_meet_poke(l->meet);
}
