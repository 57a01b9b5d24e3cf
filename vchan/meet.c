/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore without blocking: when to try, and the life of the channel. */
#include "vchan/meet_internal.h"

/* While a client has time to unmap: how often, in ns, it is looked whether it has. Nothing tells of it. */
#define LINGER_LOOK 20000000ull

static uint64_t later(uint64_t now, uint64_t ns)
{
    return ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- refusals ---- */

static void refuse(struct xids_vchan_meet *m, int rc, const char *reason)
{
    if (rc == m->told)
        return;
    m->told = rc;
    if (m->user->refused != NULL)
        m->user->refused(m->user->ctx, rc, reason);
}

/* The next attempt comes by itself, and later each time. */
static void try_later(struct xids_vchan_meet *m, uint64_t now)
{
    m->retry_at = earlier(m->retry_at, later(now, m->pause));
    m->pause = earlier(m->pause * 2u, XIDS_VCHAN_MEET_RETRY_MAX);
}

/*
 * Server: a store takes permissions for a domain that is not there yet for void, and nobody tells us when it comes. So
 * they are given again from time to time, until a client has come.
 */
static void permit_later(struct xids_vchan_meet *m, uint64_t now)
{
    m->permit_at = later(now, m->permit_pause);
    m->permit_pause = earlier(m->permit_pause * 2u, XIDS_VCHAN_MEET_RETRY_MAX);
}

static const char *store_reason(const struct xids_vchan_meet *m, int rc)
{
    if (rc == -XEN_EBADMSG)
        return "what should be a number in xenstore is none";
    if (rc == -XEN_EACCES && m->server)
        return "xenstore does not let us write there";
    if (rc == -XEN_EACCES || rc == -XEN_ENOENT)
        return "no server has published its numbers for us";
    return "xenstore failed";
}

static void store_failed(struct xids_vchan_meet *m, int rc, uint64_t now)
{
    /*
     * In a folder that we may not read, what is not there looks forbidden. A node that comes, and its permissions,
     * bring an event of the watch; a look from time to time is for the store that forgot to tell.
     */
    if ((rc == -XEN_ENOENT || rc == -XEN_EACCES) && !m->server)
        m->retry_at = earlier(m->retry_at, later(now, XIDS_VCHAN_MEET_RETRY_MAX));
    else
        try_later(m, now);
    if (m->lonely)
        permit_later(m, now);
    /* Busy is only the connection, with others' requests. */
    refuse(m, rc == -XEN_EBUSY ? -XEN_EAGAIN : rc, store_reason(m, rc));
}

/* ---- the end of a channel ---- */

/* Gives back what is left of it. */
static void bury(struct xids_vchan_meet *m)
{
    bool held = xids_vchan_give_back_(&m->ch);
    m->have = m->resting = m->leaving = m->current = false;
    if (held && ++m->held > XIDS_VCHAN_MEET_HELD) {
        m->stopped = true;
        refuse(m, -XEN_EBUSY, "the client keeps the pages of too many channels");
    }
}

static void tell_closed(struct xids_vchan_meet *m, int rc, const char *reason)
{
    if (m->opened && m->user->closed != NULL)
        m->user->closed(m->user->ctx, &m->ch, rc, reason);
    m->opened = m->dropped = m->look = false;
    m->told = 0;
}

/* Server: the next client may use what this one leaves. Nothing of the old one's lies in it, and it was no stranger. */
static bool reoffer(struct xids_vchan_meet *m)
{
    return xids_vchan_look_out_(&m->ch) == (int)m->ch.out.at.size && xids_vchan_reoffer(&m->ch) == 0;
}

/* Gives up the channel; another attempt follows. */
static void retire(struct xids_vchan_meet *m, uint64_t now)
{
    try_later(m, now);
    xids_meet_hush_(m);
    if (!m->server) {
        xids_vchan_fini(&m->ch);
        m->have = false;
        return;
    }
    /* First the numbers, so that nobody connects to what is about to go. */
    xids_meet_withdraw_(m, false);
    xids_vchan_leave_(&m->ch);
    m->leaving = true;
    m->linger_until = later(now, XIDS_VCHAN_MEET_LINGER);
}

/*
 * Server: when the next client may come. At once, unless one that comes and leaves in a loop keeps us busy: then later
 * each time. Who comes meanwhile waits, with what it has written.
 */
static void rest(struct xids_vchan_meet *m, uint64_t now)
{
    m->resting = true;
    m->rest_until = now;
    if (++m->quick <= XIDS_VCHAN_MEET_QUICK)
        return;
    m->rest_until = later(now, m->pause);
    m->pause = earlier(m->pause * 2u, XIDS_VCHAN_MEET_RETRY_MAX);
}

static void end_rest(struct xids_vchan_meet *m, uint64_t now)
{
    m->resting = false;
    if (!reoffer(m))
        retire(m, now);
    else
        m->look = true;
}

static void end_channel(struct xids_vchan_meet *m, uint64_t now)
{
    int rc = m->dropped ? m->drop_rc : xids_vchan_error(&m->ch);
    const char *reason = m->dropped ? m->drop_reason : rc != 0 ? xids_vchan_reason(&m->ch) : "the peer has closed";
    bool known = m->opened, again = m->server && known && !m->dropped && rc == 0;
    if (known && now - m->opened_at >= XIDS_VCHAN_MEET_RETRY_MAX) {
        m->pause = XIDS_VCHAN_MEET_RETRY_MIN;
        m->quick = 0;
    }
    /* What a dead domain kept mapped it keeps no more. */
    if (!m->dropped && rc == -XEN_ENODEV)
        m->held = 0;
    if (m->dropped && later(now, m->drop_delay) > m->not_before)
        m->not_before = later(now, m->drop_delay);
    tell_closed(m, rc, reason);
    if (!known && rc < 0)
        refuse(m, rc, reason);
    if (!again) {
        retire(m, now);
        return;
    }
    rest(m, now);
    if (m->rest_until <= now)
        end_rest(m, now);
}

/* ---- a channel that is there ---- */

static void serve(struct xids_vchan_meet *m, uint64_t now)
{
    if (!m->opened) {
        m->opened = true;
        m->lonely = false;
        m->opened_at = now;
        m->told = 0;
        m->serve_at = UINT64_MAX;
        m->look_at = later(now, XIDS_VCHAN_MEET_LOOK);
        if (m->user->opened != NULL)
            m->user->opened(m->user->ctx, &m->ch);
    }
    m->look = false;
    if (!m->dropped)
        m->serve_at = m->user->serve != NULL ? m->user->serve(m->user->ctx, &m->ch, now) : UINT64_MAX;
    enum xids_vchan_state state = xids_vchan_state(&m->ch);
    if (m->dropped || state == XIDS_VCHAN_CLOSED || state == XIDS_VCHAN_BROKEN)
        end_channel(m, now);
}

/*
 * Server, offering again: a client came, wrote and left before we looked; the next must not be taken for it. A client
 * is alive before it writes, so that one who is only just coming is seen at the second look.
 */
static bool came_unseen(struct xids_vchan_meet *m)
{
    return xids_vchan_readable(&m->ch) > 0 && xids_vchan_state(&m->ch) == XIDS_VCHAN_CONNECTING;
}

static void step_channel(struct xids_vchan_meet *m, uint64_t now)
{
    if (!m->have)
        return;
    if (m->leaving) {
        if (now >= m->linger_until || xids_vchan_unbound_(&m->ch))
            bury(m);
        return;
    }
    if (m->resting) {
        if (now < m->rest_until)
            return;
        end_rest(m, now);
        if (!m->have || m->leaving)
            return;
    }
    if (m->opened && now >= m->look_at) {
        m->look_at = later(now, XIDS_VCHAN_MEET_LOOK);
        m->look |= xids_vchan_check_peer(&m->ch) != XIDS_VCHAN_OPEN;
    }
    if (!m->look && !m->dropped && !(m->opened && now >= m->serve_at))
        return;
    switch (xids_vchan_state(&m->ch)) {
    case XIDS_VCHAN_CONNECTING:
        m->look = false;
        if (came_unseen(m))
            end_channel(m, now);
        break;
    case XIDS_VCHAN_BROKEN:
        if (!m->opened) {
            end_channel(m, now);
            break;
        }
        serve(m, now);
        break;
    case XIDS_VCHAN_OPEN:
    case XIDS_VCHAN_DRAINING:
    case XIDS_VCHAN_CLOSED:
        serve(m, now);
        break;
    }
}

/* ---- attempts ---- */

/* When the store is to be asked next. */
static uint64_t attempt_at(const struct xids_vchan_meet *m)
{
    uint64_t at = UINT64_MAX;
    if (m->talk != MEET_SILENT || m->leaving || m->stopped)
        return at;
    if (!m->have)
        at = m->changed && !m->server ? 0 : m->retry_at;
    else if (m->server && !m->current)
        at = m->retry_at;
    else if (m->server && !m->opened)
        at = m->changed ? 0 : m->lonely ? m->permit_at : at;
    return at == UINT64_MAX || at > m->not_before ? at : m->not_before;
}

static enum meet_talk what_to_ask(const struct xids_vchan_meet *m)
{
    if (!m->server)
        return m->anywhere ? MEET_FINDING : MEET_READING;
    return !m->current ? MEET_PREPARING : m->changed ? MEET_VERIFYING : MEET_PERMITTING;
}

static void attempt(struct xids_vchan_meet *m, uint64_t now)
{
    m->retry_at = UINT64_MAX;
    m->not_before = later(now, XIDS_VCHAN_MEET_RETRY_MIN);
    if (m->server && !m->have) {
        int rc = xids_vchan_server_init(&m->ch, m->platform, m->remote, m->left_order, m->right_order, m->flags);
        if (rc < 0) {
            try_later(m, now);
            refuse(m, rc, "the channel cannot be made");
            return;
        }
        m->have = true;
        m->current = false;
    }
    int rc = xids_meet_watch_(m);
    if (rc == 0)
        rc = xids_meet_ask_(m, what_to_ask(m));
    /* What happens from here on is news. */
    m->changed = false;
    if (rc < 0)
        store_failed(m, rc, now);
}

static void connect_client(struct xids_vchan_meet *m, uint64_t now)
{
    static const char gone[] = "the server that published its numbers has gone";
    if (m->answers[0].number != m->answers[2].number || m->answers[0].number == 0) {
        try_later(m, now);
        refuse(m, -XEN_EAGAIN, "the server is about to change its numbers");
        return;
    }
    int rc =
        xids_vchan_client_init(&m->ch, m->platform, m->remote, m->answers[1].number, m->answers[0].number, m->flags);
    if (rc == 0) {
        m->have = m->look = true;
        return;
    }
    try_later(m, now);
    refuse(m, rc,
           rc == -XEN_ECONNREFUSED || rc == -XEN_ENODEV ? gone
           : rc == -XEN_EBUSY                           ? "the server is not done with the client before"
           : rc == -XEN_EBADMSG                         ? "the server's control page makes no sense"
           : rc == -XEN_EINVAL                          ? "the server's port is taken, or gone, or not for us"
           : rc == -XEN_EACCES                          ? "the server's pages are not for us"
                                                        : "the channel cannot be connected");
}

/* Client: goes on to the numbers of the server that our own tree names. */
static int go_there(struct xids_vchan_meet *m)
{
    uint32_t remote = m->answers[0].number;
    int rc = 0;
    if (remote >= DOMID_FIRST_RESERVED)
        return -XEN_EBADMSG;
    if (!m->known || remote != m->remote) {
        xids_meet_unwatch_port_(m);
        m->remote = (domid_t)remote;
        m->known = true;
        rc = xids_meet_path_(m);
    }
    if (rc == 0)
        rc = xids_meet_watch_(m);
    return rc < 0 ? rc : xids_meet_ask_(m, MEET_READING);
}

/* Server: the first that went wrong among those answers that must be good. */
static int worst(const struct xids_vchan_meet *m, unsigned int from, unsigned int to)
{
    for (unsigned int i = from; i < to; i++)
        if (m->answers[i].rc < 0)
            return m->answers[i].rc;
    return 0;
}

/* Server: somebody else's numbers, or none (a store that was started afresh). */
static bool overwritten(const struct xids_vchan_meet *m)
{
    const struct meet_answer *a = m->answers;
    return worst(m, 0, 3) < 0 || a[0].number != xids_vchan_port(&m->ch) || a[2].number != a[0].number ||
           a[1].number != xids_vchan_ring_ref(&m->ch);
}

/* Goes on with what the store has answered. */
static void answered(struct xids_vchan_meet *m, uint64_t now)
{
    enum meet_talk talk = m->talk;
    int rc = 0;
    m->talk = MEET_SILENT;
    switch (talk) {
    case MEET_SILENT:
        break;
    case MEET_FINDING:
        rc = m->answers[0].rc < 0 ? m->answers[0].rc : go_there(m);
        break;
    case MEET_READING:
        rc = worst(m, 0, 3);
        if (rc == 0)
            connect_client(m, now);
        break;
    case MEET_PREPARING:
        m->made |= m->answers[0].rc == -XEN_ENOENT;
        /* There may have been no port to remove. */
        rc = m->answers[1].rc == -XEN_ENOENT ? 0 : m->answers[1].rc;
        if (rc == 0)
            rc = worst(m, 2, 4);
        if (rc == 0)
            rc = xids_meet_ask_(m, MEET_PUBLISHING);
        break;
    case MEET_PUBLISHING:
        rc = worst(m, 0, 2);
        if (rc < 0)
            xids_meet_withdraw_(m, false);
        m->current = rc == 0;
        if (!m->current)
            break;
        m->told = 0;
        m->lonely = m->remote != 0;
        m->permit_pause = XIDS_VCHAN_MEET_LOOK;
        permit_later(m, now);
        break;
    case MEET_PERMITTING:
        /* If the nodes have vanished the watch tells. */
        permit_later(m, now);
        return;
    case MEET_VERIFYING:
        rc = worst(m, 0, 3);
        if (rc == -XEN_ENOTCONN)
            m->changed = true; /* the connection to the store is another; ask again */
        else if (overwritten(m)) {
            m->current = false;
            try_later(m, now);
        }
        return;
    }
    if (rc < 0)
        store_failed(m, rc, now);
}

/* ---- the part ---- */

static uint64_t next_step(const struct xids_vchan_meet *m, uint64_t now)
{
    uint64_t at = attempt_at(m);
    /* What was asked of the store is sent by its own part, which may have had its turn. */
    if (m->sent)
        return 0;
    if (m->leaving)
        at = earlier(at, earlier(later(now, LINGER_LOOK), m->linger_until));
    else if (m->resting)
        at = earlier(at, m->rest_until);
    else if (m->have && (m->look || m->dropped))
        at = 0;
    else if (m->have && m->opened)
        at = earlier(at, earlier(m->serve_at, m->look_at));
    return at;
}

static uint64_t part_step(void *ctx, uint64_t now)
{
    struct xids_vchan_meet *m = ctx;
    if (m->suspended)
        return UINT64_MAX;
    m->now = now;
    m->sent = false;
    step_channel(m, now);
    if (m->talk != MEET_SILENT && xids_meet_answered_(m))
        answered(m, now);
    if (attempt_at(m) <= now)
        attempt(m, now);
    return next_step(m, now);
}

static bool part_event(void *ctx, evtchn_port_t port)
{
    struct xids_vchan_meet *m = ctx;
    if (!m->have || port != xids_vchan_port(&m->ch))
        return false;
    (void)xids_vchan_event(&m->ch);
    m->look = true;
    return true;
}

/* Drops everything that another host, or another life, would not know. */
static void drop_all(struct xids_vchan_meet *m)
{
    xids_meet_hush_(m);
    if (!m->have)
        return;
    if (!m->leaving)
        xids_vchan_leave_(&m->ch);
    (void)xids_vchan_give_back_(&m->ch);
    m->have = m->resting = m->leaving = m->current = false;
}

static void part_suspend(void *ctx)
{
    struct xids_vchan_meet *m = ctx;
    tell_closed(m, -XEN_EINTR, "the domain will be suspended");
    drop_all(m);
    m->suspended = true;
}

static void begin(struct xids_vchan_meet *m)
{
    m->suspended = m->stopped = m->changed = m->look = m->dropped = false;
    m->not_before = m->retry_at = 0;
    m->pause = XIDS_VCHAN_MEET_RETRY_MIN;
    m->held = m->quick = 0;
    m->resting = false;
    m->told = 0;
}

static void part_resume(void *ctx)
{
    struct xids_vchan_meet *m = ctx;
    begin(m);
    /* A folder that is there now need not be the one that we made. */
    m->made = false;
    /* Our own number is in a client's path; init saw to it that there is room for any. */
    if (m->named && !m->server) {
        xids_meet_unwatch_(m);
        (void)!xids_meet_path_(m);
    }
}

/* ---- life ---- */

size_t xids_vchan_meet_size(void)
{
    return sizeof(struct xids_vchan_meet);
}

int xids_vchan_meet_init(struct xids_vchan_meet **meet, void *mem, size_t size,
                         const struct xids_vchan_meet_config *config)
{
    struct xids_vchan_meet *m = mem;
    const char *given = config->path != NULL ? config->path : config->name;
    if (mem == NULL || size < sizeof(*m) || (uintptr_t)mem % _Alignof(struct xids_vchan_meet) != 0 || given == NULL)
        return -XEN_EINVAL;
    size_t len = xids_xswire_string(given).len, most = sizeof(m->given);
    if (config->path == NULL)
        most -= sizeof("/local/domain/65535/data/vchan/65535/") - 1u;
    if (len > most)
        return -XEN_ENAMETOOLONG;
    __builtin_memset(m, 0, sizeof(*m));
    __builtin_memcpy(m->given, given, len);
    m->named = config->path == NULL;
    m->platform = config->platform;
    m->xs = config->xs;
    m->user = config->user;
    m->server = config->server;
    m->remote = config->remote;
    m->anywhere = !m->server && m->named && config->remote == DOMID_INVALID;
    m->left_order = config->left_order;
    m->right_order = config->right_order;
    m->flags = config->flags;
    m->part = (struct xids_part){
        .event = part_event, .step = part_step, .suspend = part_suspend, .resume = part_resume, .ctx = m};
    int rc = xids_meet_path_(m);
    if (rc < 0)
        return rc;
    begin(m);
    *meet = m;
    return 0;
}

void xids_vchan_meet_fini(struct xids_vchan_meet *m)
{
    if (m == NULL)
        return;
    xids_meet_unwatch_(m);
    xids_meet_withdraw_(m, true);
    drop_all(m);
    __builtin_memset(m, 0, sizeof(*m));
}

struct xids_part *xids_vchan_meet_part(struct xids_vchan_meet *m)
{
    return &m->part;
}

struct xids_vchan *xids_vchan_meet_channel(struct xids_vchan_meet *m)
{
    return m->opened ? &m->ch : NULL;
}

void xids_vchan_meet_poke(struct xids_vchan_meet *m)
{
    m->look |= m->opened;
}

void xids_vchan_meet_drop(struct xids_vchan_meet *m, int rc, const char *reason, uint64_t delay)
{
    if (!m->opened || m->dropped)
        return;
    m->dropped = true;
    m->drop_rc = rc;
    m->drop_reason = reason;
    m->drop_delay = delay;
}
