/* SPDX-License-Identifier: ISC */
/* vchan, many channels in one event loop. */
#include <xids/vchan_set.h>

#include "vchan/internal.h"

#define SECOND 1000000000u

int xids_vchan_set_init(struct xids_vchan_set *set, const struct xids_platform *platform,
                        struct xids_vchan_member **buckets, unsigned int count, unsigned int flags)
{
    if (count == 0 || (count & (count - 1u)) != 0 || (flags & ~(unsigned int)XIDS_VCHAN_SET_GIVEN) != 0)
        return -XEN_EINVAL;
    for (unsigned int i = 0; i < count; i++)
        buckets[i] = NULL;
    *set = (struct xids_vchan_set){.platform = platform, .buckets = buckets, .mask = count - 1u, .flags = flags};
    return 0;
}

/* ---- by port ---- */

/* Ports are given out from the lowest free one on, by our own hypervisor: their low bits are all different. */
static struct xids_vchan_member **bucket_of(const struct xids_vchan_set *set, evtchn_port_t port)
{
    return &set->buckets[port & set->mask];
}

static struct xids_vchan_member *find(const struct xids_vchan_set *set, evtchn_port_t port)
{
    struct xids_vchan_member *m = *bucket_of(set, port);
    while (m != NULL && m->port != port)
        m = m->chain;
    return m;
}

/* The member after this one, the first after the last. */
static struct xids_vchan_member *after(const struct xids_vchan_set *set, const struct xids_vchan_member *m)
{
    struct xids_vchan_member *found = m->chain;
    for (evtchn_port_t bucket = m->port + 1; found == NULL; bucket++)
        found = *bucket_of(set, bucket);
    return found;
}

/* ---- queues ---- */

/* To be looked at in the next turn, if it is not in a queue already. */
static void enqueue(struct xids_vchan_set *set, struct xids_vchan_member *m)
{
    if (m->queue != 0)
        return;
    unsigned int later = 1u - set->now;
    struct xids_vchan_queue *q = &set->queue[later];
    m->next = NULL;
    m->prev = q->last;
    if (q->last != NULL)
        q->last->next = m;
    else
        q->first = m;
    q->last = m;
    m->queue = (uint8_t)(later + 1u);
}

static void dequeue(struct xids_vchan_set *set, struct xids_vchan_member *m)
{
    if (m->queue == 0)
        return;
    struct xids_vchan_queue *q = &set->queue[m->queue - 1u];
    if (m->prev != NULL)
        m->prev->next = m->next;
    else
        q->first = m->next;
    if (m->next != NULL)
        m->next->prev = m->prev;
    else
        q->last = m->prev;
    m->queue = 0;
}

/* ---- members ---- */

static uint8_t state_of(struct xids_vchan *ch)
{
    enum xids_vchan_state state = xids_vchan_state(ch);
    return (uint8_t)state;
}

static int check_wants(const struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    return want_read > xids_vchan_read_size(ch) || want_write > xids_vchan_write_size(ch) ? -XEN_EMSGSIZE : 0;
}

int xids_vchan_set_add(struct xids_vchan_set *set, struct xids_vchan_member *member, struct xids_vchan *ch, void *user,
                       uint32_t want_read, uint32_t want_write)
{
    evtchn_port_t port = xids_vchan_port(ch);
    if (ch->platform != set->platform)
        return -XEN_EINVAL;
    if (find(set, port) != NULL)
        return -XEN_EEXIST;
    int rc = check_wants(ch, want_read, want_write);
    if (rc < 0)
        return rc;
    struct xids_vchan_member **bucket = bucket_of(set, port);
    uint8_t state = state_of(ch);
    *member = (struct xids_vchan_member){
        .ch = ch,
        .user = user,
        .chain = *bucket,
        .want_read = want_read,
        .want_write = want_write,
        .port = port,
        .state = state,
        .told = state,
        /* As if it had: an event that was taken before, a stray one then, left the port masked. */
        .fired = true,
    };
    *bucket = member;
    if (set->members++ == 0)
        set->sweep_at = member;
    enqueue(set, member);
    return 0;
}

int xids_vchan_set_want(struct xids_vchan_set *set, struct xids_vchan_member *member, uint32_t want_read,
                        uint32_t want_write)
{
    int rc = check_wants(member->ch, want_read, want_write);
    if (rc < 0)
        return rc;
    member->want_read = want_read;
    member->want_write = want_write;
    enqueue(set, member);
    return 0;
}

void xids_vchan_set_remove(struct xids_vchan_set *set, struct xids_vchan_member *member)
{
    dequeue(set, member);
    if (set->sweep_at == member)
        set->sweep_at = set->members > 1 ? after(set, member) : NULL;
    struct xids_vchan_member **at = bucket_of(set, member->port);
    while (*at != member)
        at = &(*at)->chain;
    *at = member->chain;
    if (--set->members == 0)
        set->sweep_due = 0;
    /* Whoever waits for this channel elsewhere from now on wants its port unmasked. */
    if (member->fired)
        (void)xids_vchan_event(member->ch);
}

struct xids_vchan_member *xids_vchan_set_any(const struct xids_vchan_set *set)
{
    return set->sweep_at;
}

/* ---- news ---- */

bool xids_vchan_set_event(struct xids_vchan_set *set, evtchn_port_t port)
{
    struct xids_vchan_member *m = find(set, port);
    if (m == NULL)
        return false;
    /* It stays masked until it is looked at, so that no port can take more than one of a turn's events. */
    m->fired = true;
    enqueue(set, m);
    return true;
}

static int take_events(struct xids_vchan_set *set)
{
    const struct xids_platform *p = set->platform;
    set->more = false;
    for (unsigned int i = 0; i < XIDS_VCHAN_SET_EVENTS; i++) {
        int port = p->ops->evtchn_pending(p->ctx);
        if (port <= 0)
            return port;
        if (!xids_vchan_set_event(set, (evtchn_port_t)port))
            set->strays++;
    }
    set->more = true;
    return 0;
}

static void has_news(struct xids_vchan_set *set, struct xids_vchan_member *m)
{
    if (state_of(m->ch) != m->told)
        enqueue(set, m);
}

unsigned int xids_vchan_set_domain_gone(struct xids_vchan_set *set, domid_t domid)
{
    struct xids_vchan_member *m = set->sweep_at;
    unsigned int ended = 0;
    for (unsigned int i = 0; i < set->members; i++, m = after(set, m)) {
        if (xids_vchan_remote(m->ch) != domid || xids_vchan_state(m->ch) != XIDS_VCHAN_OPEN)
            continue;
        (void)xids_vchan_peer_died(m->ch);
        has_news(set, m);
        ended++;
    }
    return ended;
}

void xids_vchan_set_heartbeat(struct xids_vchan_set *set, uint64_t patience)
{
    set->patience = patience;
}

/*
 * Looks after some peers, each at most once a second. So few at a time, and so rarely, that thousands of channels cost
 * no more than some.
 */
static void sweep(struct xids_vchan_set *set, uint64_t now)
{
    unsigned int slices = (set->members + XIDS_VCHAN_SET_SLICE - 1u) / XIDS_VCHAN_SET_SLICE;
    if (set->members == 0 || now < set->sweep_due)
        return;
    if (slices > XIDS_VCHAN_SET_SLICES)
        slices = XIDS_VCHAN_SET_SLICES;
    bool first = set->sweep_due == 0;
    set->sweep_due = now + SECOND / slices;
    if (first)
        return;
    unsigned int share = (set->members + slices - 1u) / slices;
    for (unsigned int i = 0; i < share && i < XIDS_VCHAN_SET_SLICE; i++) {
        struct xids_vchan_member *m = set->sweep_at;
        set->sweep_at = after(set, m);
        (void)xids_vchan_check_peer(m->ch);
        /* Who does not speak it says so each time: nothing is to be done about it. */
        if (set->patience != 0)
            (void)!xids_vchan_heartbeat(m->ch, now, set->patience);
        has_news(set, m);
    }
}

/* ---- turns ---- */

/* Learns the state of a member. True: it is news to its owner. */
static bool look(struct xids_vchan_member *m)
{
    m->state = (uint8_t)(m->fired ? xids_vchan_event(m->ch) : xids_vchan_state(m->ch));
    m->fired = false;
    return m->state != m->told;
}

/* Whether it can go on. Bytes to read are looked for before the peer is asked: usually there are, or we were not here.
 */
static bool ready(struct xids_vchan_member *m)
{
    if (m->want_read != 0) {
        int n = xids_vchan_readable(m->ch);
        if (n < 0 || (uint32_t)n >= m->want_read)
            return true;
    }
    return xids_vchan_arm(m->ch, m->want_read, m->want_write) != 0;
}

/*
 * At the end of a turn: what waits in the queue was returned, or is new. Those that are done have their peers asked, so
 * that no further turn is needed before the sleep.
 */
static void settle(struct xids_vchan_set *set)
{
    struct xids_vchan_member *next;
    for (struct xids_vchan_member *m = set->queue[1u - set->now].first; m != NULL; m = next) {
        next = m->next;
        bool news = look(m);
        if (xids_vchan_arm(m->ch, m->want_read, m->want_write) == 0 && !news)
            dequeue(set, m);
    }
}

static int begin(struct xids_vchan_set *set, uint64_t now)
{
    int rc = (set->flags & XIDS_VCHAN_SET_GIVEN) != 0 ? 0 : take_events(set);
    if (rc < 0)
        return rc;
    sweep(set, now);
    set->now = 1u - set->now;
    set->in_turn = true;
    return 0;
}

int xids_vchan_set_next(struct xids_vchan_set *set, struct xids_vchan_member **member, uint64_t now)
{
    struct xids_vchan_member *m;
    *member = NULL;
    if (!set->in_turn) {
        int rc = begin(set, now);
        if (rc < 0)
            return rc;
    }
    while ((m = set->queue[set->now].first) != NULL) {
        dequeue(set, m);
        if (!look(m) && !ready(m))
            continue;
        m->told = m->state;
        enqueue(set, m);
        *member = m;
        return 1;
    }
    settle(set);
    set->in_turn = false;
    return 0;
}

uint64_t xids_vchan_set_deadline(const struct xids_vchan_set *set)
{
    if (set->in_turn || set->more || set->queue[0].first != NULL || set->queue[1].first != NULL)
        return 0;
    return set->members == 0 ? UINT64_MAX : set->sweep_due;
}
