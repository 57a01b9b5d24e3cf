/* SPDX-License-Identifier: ISC */
/* A vchan service: its channels from offer to end, and its own life. */
#include "vchan/service_internal.h"

/* While a client has time to unmap: how often, in ns, it is looked whether it has. Nothing tells of it. */
#define LINGER_LOOK 20000000ull

/* How many domains and channels have their turn in one step, so that the others in the loop get theirs. */
#define TURNS 64u

/* ---- refusals ---- */

void xids_svc_refuse_(struct xids_vchan_service *s, struct svc_domain *d, int rc, const char *reason)
{
    int *told = d != NULL ? &d->told : &s->told;
    if (rc == *told)
        return;
    *told = rc;
    if (rc != 0 && s->user->refused != NULL)
        s->user->refused(s->user->ctx, d != NULL ? d->domid : (domid_t)DOMID_INVALID, rc, reason);
}

/* ---- channels ---- */

static void ready(struct svc_channel *c)
{
    struct xids_vchan_service *s = c->d->s;
    if (c->ready)
        return;
    c->ready = true;
    c->next_ready = NULL;
    *s->ready_end = c;
    s->ready_end = &c->next_ready;
}

static struct svc_channel **bucket(const struct xids_vchan_service *s, evtchn_port_t port)
{
    return &s->buckets[port & s->bucket_mask];
}

static void unready(struct svc_channel *c)
{
    struct xids_vchan_service *s = c->d->s;
    struct svc_channel **at = &s->ready;
    while (*at != NULL && *at != c)
        at = &(*at)->next_ready;
    if (*at == NULL)
        return;
    *at = c->next_ready;
    if (*at == NULL)
        s->ready_end = at;
    c->ready = false;
}

/* Gives it back. What the client still maps then the platform keeps aside. */
static void bury(struct svc_channel *c)
{
    struct svc_domain *d = c->d;
    struct xids_vchan_service *s = d->s;
    struct svc_channel **at = bucket(s, xids_vchan_port(&c->ch));
    while (*at != c)
        at = &(*at)->next_port;
    *at = c->next_port;
    for (at = &d->channels; *at != c;)
        at = &(*at)->next;
    *at = c->next;
    if (c->ready)
        unready(c);
    if (xids_vchan_give_back_(&c->ch))
        d->held++;
    xids_svc_timer_set_(s, &c->timer, SVC_NEVER);
    s->used--;
    s->served -= --d->count == 0;
    c->d = NULL;
    c->next = s->free;
    s->free = c;
    xids_svc_domain_queue_(d);
}

void xids_svc_channel_end_(struct svc_channel *c, int rc, const char *reason)
{
    struct svc_domain *d = c->d;
    struct xids_vchan_service *s = d->s;
    bool told = c->told;
    if (c->opened && s->now - c->opened_at >= XIDS_VCHAN_SERVICE_RETRY_MAX)
        d->quick = 0;
    if (told && s->user->closed != NULL)
        s->user->closed(s->user->ctx, &c->ch, rc, reason);
    if (c->opened) {
        d->open--;
        s->open--;
    }
    if (d->offer == c) {
        d->offer = NULL;
        s->offers -= d->current;
        d->current = false;
    }
    c->opened = c->told = c->look = c->dropped = false;
    xids_vchan_leave_(&c->ch);
    c->leaving = true;
    c->linger_until = svc_later(s->now, XIDS_VCHAN_SERVICE_LINGER);
    xids_svc_timer_set_(s, &c->timer, s->now);
    xids_svc_domain_queue_(d);
}

int xids_svc_channel_offer_(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    struct svc_channel *c = s->free;
    /* One for each domain that has none is kept back. */
    unsigned int kept = d->count > 0 ? s->in_use - s->served : 0;
    if (c == NULL || s->used + kept >= s->limits.channels)
        return -XEN_ENOSPC;
    int rc = xids_vchan_server_init(&c->ch, s->platform, d->domid, s->left_order, s->right_order, s->flags);
    if (rc < 0)
        return rc;
    c->data = NULL;
    rc = s->user->offered != NULL ? s->user->offered(s->user->ctx, &c->ch) : 0;
    if (rc < 0) {
        xids_vchan_fini(&c->ch);
        return rc;
    }
    s->free = c->next;
    c->d = d;
    c->told = s->user->offered != NULL;
    c->opened = c->look = c->dropped = c->leaving = c->ready = false;
    c->next = d->channels;
    d->channels = c;
    struct svc_channel **at = bucket(s, xids_vchan_port(&c->ch));
    c->next_port = *at;
    *at = c;
    d->offer = c;
    s->served += d->count++ == 0;
    s->used++;
    return 0;
}

static void serve(struct svc_channel *c)
{
    struct svc_domain *d = c->d;
    struct xids_vchan_service *s = d->s;
    if (!c->opened) {
        c->opened = c->told = true;
        d->open++;
        s->open++;
        d->told = 0;
        if (s->now - d->offered_at >= XIDS_VCHAN_SERVICE_RETRY_MAX)
            d->quick = 0;
        c->opened_at = s->now;
        c->serve_at = SVC_NEVER;
        c->look_at = svc_later(s->now, XIDS_VCHAN_SERVICE_LOOK);
        /* The next client of this domain needs another. */
        d->offer = NULL;
        s->offers -= d->current;
        d->current = false;
        xids_svc_domain_queue_(d);
        if (s->user->opened != NULL)
            s->user->opened(s->user->ctx, &c->ch);
    }
    c->look = false;
    if (!c->dropped)
        c->serve_at = s->user->serve != NULL ? s->user->serve(s->user->ctx, &c->ch, s->now) : SVC_NEVER;
    enum xids_vchan_state state = xids_vchan_state(&c->ch);
    if (c->dropped) {
        xids_svc_channel_end_(c, c->drop_rc, c->drop_reason);
    } else if (state == XIDS_VCHAN_CLOSED || state == XIDS_VCHAN_BROKEN) {
        int rc = xids_vchan_error(&c->ch);
        xids_svc_channel_end_(c, rc, rc != 0 ? xids_vchan_reason(&c->ch) : "the client has closed");
    } else {
        xids_svc_timer_set_(s, &c->timer, svc_earlier(c->serve_at, c->look_at));
        if (c->look || c->dropped || c->serve_at <= s->now)
            ready(c);
    }
}

static void step_channel(struct svc_channel *c)
{
    struct svc_domain *d = c->d;
    struct xids_vchan_service *s = d->s;
    if (c->leaving) {
        if (s->now >= c->linger_until || xids_vchan_unbound_(&c->ch))
            bury(c);
        else
            xids_svc_timer_set_(s, &c->timer, svc_earlier(svc_later(s->now, LINGER_LOOK), c->linger_until));
        return;
    }
    if (c->opened && s->now >= c->look_at) {
        c->look_at = svc_later(s->now, XIDS_VCHAN_SERVICE_LOOK);
        (void)xids_vchan_check_peer(&c->ch);
    }
    enum xids_vchan_state state = xids_vchan_state(&c->ch);
    if (state == XIDS_VCHAN_BROKEN && !c->opened) {
        xids_svc_refuse_(s, d, xids_vchan_error(&c->ch), xids_vchan_reason(&c->ch));
        xids_svc_channel_end_(c, xids_vchan_error(&c->ch), xids_vchan_reason(&c->ch));
    } else if (state == XIDS_VCHAN_OPEN && c->opened && !c->look && !c->dropped && s->now < c->serve_at) {
        xids_svc_timer_set_(s, &c->timer, svc_earlier(c->serve_at, c->look_at));
    } else if (state != XIDS_VCHAN_CONNECTING) {
        serve(c);
    }
}

/* ---- the part ---- */

static void timers(struct xids_vchan_service *s)
{
    struct svc_timer *t;
    while ((t = xids_svc_timer_due_(s, s->now)) != NULL) {
        if (!t->channel) {
            xids_svc_domain_queue_((struct svc_domain *)(void *)((char *)t - offsetof(struct svc_domain, timer)));
            continue;
        }
        struct svc_channel *c = (struct svc_channel *)(void *)((char *)t - offsetof(struct svc_channel, timer));
        if (c->leaving)
            step_channel(c);
        else
            ready(c);
    }
}

static void channels(struct xids_vchan_service *s)
{
    for (unsigned int i = 0; i < TURNS && s->ready != NULL; i++) {
        struct svc_channel *c = s->ready;
        s->ready = c->next_ready;
        if (s->ready == NULL)
            s->ready_end = &s->ready;
        c->ready = false;
        step_channel(c);
    }
}

static void domains(struct xids_vchan_service *s)
{
    for (unsigned int i = 0; i < TURNS && s->queue != NULL; i++) {
        struct svc_domain *d = s->queue;
        s->queue = d->next_queued;
        if (s->queue == NULL)
            s->queue_end = &s->queue;
        d->queued = false;
        if (d->used)
            xids_svc_domain_step_(d);
    }
}

static uint64_t part_step(void *ctx, uint64_t now)
{
    struct xids_vchan_service *s = ctx;
    if (s->suspended)
        return SVC_NEVER;
    s->now = now;
    s->sent = s->stalled = false;
    timers(s);
    channels(s);
    domains(s);
    uint64_t at = xids_svc_name_step_(s);
    at = svc_earlier(at, xids_svc_timer_next_(s));
    /* What was asked of the store is sent by its own part, which may have had its turn. */
    if (s->sent || s->ready != NULL || (s->queue != NULL && !s->stalled))
        return 0;
    /* An answer of ours wakes us; but others may have filled the connection. */
    return s->stalled ? svc_earlier(at, svc_later(now, XIDS_VCHAN_SERVICE_RETRY_MIN)) : at;
}

static bool part_event(void *ctx, evtchn_port_t port)
{
    struct xids_vchan_service *s = ctx;
    struct svc_channel *c = *bucket(s, port);
    while (c != NULL && xids_vchan_port(&c->ch) != port)
        c = c->next_port;
    if (c == NULL)
        return false;
    (void)xids_vchan_event(&c->ch);
    c->look = true;
    if (!c->leaving)
        ready(c);
    return true;
}

/* Drops everything that another host, or another life, would not know. */
static void drop_all(struct xids_vchan_service *s, int rc, const char *reason)
{
    xids_svc_name_hush_(s);
    for (unsigned int i = 0; i < s->limits.domains; i++) {
        struct svc_domain *d = &s->domains[i];
        if (!d->used)
            continue;
        xids_svc_hush_(d);
        while (d->channels != NULL) {
            if (!d->channels->leaving)
                xids_svc_channel_end_(d->channels, rc, reason);
            bury(d->channels);
        }
        xids_svc_domain_forget_(d);
    }
    s->in_flight = 0;
}

static void part_suspend(void *ctx)
{
    struct xids_vchan_service *s = ctx;
    drop_all(s, -XEN_EINTR, "the domain will be suspended");
    s->suspended = true;
}

static void begin(struct xids_vchan_service *s)
{
    s->suspended = false;
    s->told = 0;
    xids_svc_name_begin_(s);
    for (unsigned int i = 0; i < s->limits.domains; i++) {
        struct svc_domain *d = &s->domains[i];
        if (!d->used)
            continue;
        d->held = d->quick = 0;
        d->told = 0;
        d->there = false;
        d->check = true;
        d->retry_at = d->offer_at = 0;
        d->pause = XIDS_VCHAN_SERVICE_RETRY_MIN;
        xids_svc_domain_queue_(d);
    }
}

static void part_resume(void *ctx)
{
    begin(ctx);
}

/* ---- life ---- */

/* With the defaults. False: out of bounds. */
static bool limits_of(struct xids_vchan_service_limits *to, const struct xids_vchan_service_limits *from)
{
    *to = from != NULL ? *from : (struct xids_vchan_service_limits){0};
    if (to->domains == 0)
        to->domains = 64;
    if (to->per_domain == 0)
        to->per_domain = 8;
    if (to->channels == 0)
        to->channels = to->domains < 0x8000u ? (uint16_t)(2u * to->domains) : 0xffffu;
    if (to->name == 0)
        to->name = 64;
    if (to->requests == 0)
        to->requests = 16;
    return to->domains < DOMID_FIRST_RESERVED && to->name <= XIDS_VCHAN_SERVICE_NAME && to->requests >= SVC_ANSWERS;
}

static size_t aligned(size_t n)
{
    return (n + _Alignof(max_align_t) - 1u) & ~(_Alignof(max_align_t) - 1u);
}

static size_t buckets_of(const struct xids_vchan_service_limits *l)
{
    size_t n = 1;
    while (n < l->channels)
        n *= 2;
    return n;
}

/* Where everything lies behind the object; and its size. */
static size_t lay_out(struct xids_vchan_service *s, char *mem, const struct xids_vchan_service_limits *l)
{
    const size_t sizes[] = {sizeof(*s),
                            l->domains * sizeof(struct svc_domain),
                            l->channels * sizeof(struct svc_channel),
                            buckets_of(l) * sizeof(struct svc_channel *),
                            ((size_t)l->domains + l->channels) * sizeof(struct svc_timer *),
                            (size_t)l->name + SVC_PATH,
                            (size_t)l->name + 1u};
    size_t at[sizeof(sizes) / sizeof(sizes[0])], total = 0;
    for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        at[i] = total;
        total += aligned(sizes[i]);
    }
    if (s == NULL)
        return total;
    __builtin_memset(mem, 0, total);
    s->domains = (void *)(mem + at[1]);
    s->channels = (void *)(mem + at[2]);
    s->buckets = (void *)(mem + at[3]);
    s->heap = (void *)(mem + at[4]);
    s->path = mem + at[5];
    s->name = mem + at[6];
    return total;
}

size_t xids_vchan_service_size(const struct xids_vchan_service_limits *limits)
{
    struct xids_vchan_service_limits l;
    return limits_of(&l, limits) ? lay_out(NULL, NULL, &l) : 0;
}

int xids_vchan_service_init(struct xids_vchan_service **service, void *mem, size_t size,
                            const struct xids_vchan_service_config *config)
{
    struct xids_vchan_service *s = mem;
    struct xids_vchan_service_limits l;
    if (!limits_of(&l, &config->limits) || config->name == NULL || config->name[0] == '\0' || mem == NULL ||
        size < lay_out(NULL, NULL, &l) || (uintptr_t)mem % _Alignof(max_align_t) != 0)
        return -XEN_EINVAL;
    size_t len = xids_xswire_string(config->name).len;
    if (len - 1u > l.name)
        return -XEN_ENAMETOOLONG;
    (void)lay_out(s, mem, &l);
    __builtin_memcpy(s->name, config->name, len);
    const char *const parts[] = {SVC_OWNERS, s->name};
    const char *path = xids_svc_path_(s, parts, 2);
    int rc = xids_xswire_path_check(path, xids_xswire_string(path).len - 1u);
    if (rc < 0)
        return rc;
    s->platform = config->platform;
    s->xs = config->xs;
    s->user = config->user;
    s->limits = l;
    s->everybody = config->everybody;
    s->announce = config->announce;
    s->left_order = config->left_order;
    s->right_order = config->right_order;
    s->flags = config->flags;
    s->salt = config->salt;
    s->bucket_mask = (uint32_t)buckets_of(&l) - 1u;
    s->queue_end = &s->queue;
    s->ready_end = &s->ready;
    for (unsigned int i = l.channels; i-- > 0;) {
        s->channels[i].timer.channel = true;
        s->channels[i].next = s->free;
        s->free = &s->channels[i];
    }
    s->part = (struct xids_part){
        .event = part_event, .step = part_step, .suspend = part_suspend, .resume = part_resume, .ctx = s};
    begin(s);
    *service = s;
    return 0;
}

struct xids_part *xids_vchan_service_part(struct xids_vchan_service *s)
{
    return &s->part;
}

int xids_vchan_service_allow(struct xids_vchan_service *s, domid_t domid)
{
    if (domid >= DOMID_FIRST_RESERVED || domid == s->platform->domid)
        return -XEN_EINVAL;
    struct svc_domain *d = xids_svc_domain_find_(s, domid);
    if (d == NULL)
        d = xids_svc_domain_add_(s, domid);
    if (d == NULL)
        return -XEN_ENOSPC;
    d->allowed = d->listed = true;
    xids_svc_domain_queue_(d);
    return 0;
}

void xids_vchan_service_forbid(struct xids_vchan_service *s, domid_t domid)
{
    struct svc_domain *d = xids_svc_domain_find_(s, domid);
    if (d == NULL || !d->listed)
        return;
    d->listed = false;
    d->allowed = s->everybody;
    xids_svc_domain_queue_(d);
}

void xids_vchan_service_stop(struct xids_vchan_service *s)
{
    s->stopping = true;
    s->everybody = s->want_domains = s->want_left = false;
    for (unsigned int i = 0; i < s->limits.domains; i++) {
        struct svc_domain *d = &s->domains[i];
        d->allowed = d->listed = false;
        if (d->used)
            xids_svc_domain_queue_(d);
    }
}

bool xids_vchan_service_stopped(const struct xids_vchan_service *s)
{
    return s->stopping && ((s->finishing && s->in_use == 0) || xids_xs_client_error(s->xs) != 0);
}

void xids_vchan_service_fini(struct xids_vchan_service *s)
{
    if (s == NULL)
        return;
    bool ours = s->owner == SVC_HOLDING;
    for (unsigned int i = 0; ours && i < s->limits.domains; i++)
        if (s->domains[i].used && s->domains[i].published)
            xids_svc_remove_now_(&s->domains[i]);
    drop_all(s, 0, "the service ends");
    xids_svc_name_end_(s);
    __builtin_memset(s, 0, sizeof(*s));
}

/* ---- for the owner's functions ---- */

static struct svc_channel *channel_of(struct xids_vchan *ch)
{
    return (struct svc_channel *)(void *)ch;
}

void **xids_vchan_service_data(struct xids_vchan *ch)
{
    return &channel_of(ch)->data;
}

void xids_vchan_service_poke(struct xids_vchan *ch)
{
    struct svc_channel *c = channel_of(ch);
    if (c->d == NULL || !c->opened || c->leaving)
        return;
    c->look = true;
    ready(c);
}

void xids_vchan_service_drop(struct xids_vchan *ch, int rc, const char *reason)
{
    struct svc_channel *c = channel_of(ch);
    if (c->d == NULL || !c->opened || c->dropped || c->leaving)
        return;
    c->dropped = true;
    c->drop_rc = rc;
    c->drop_reason = reason;
    ready(c);
}

unsigned int xids_vchan_service_offers(const struct xids_vchan_service *s)
{
    return s->offers;
}

unsigned int xids_vchan_service_open(const struct xids_vchan_service *s)
{
    return s->open;
}
