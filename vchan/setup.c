/* SPDX-License-Identifier: ISC */
/* vchan, the making and the end of a channel: event channel, control page, rings. */
#include "vchan/internal.h"

#define FLAGS_ALL ((unsigned int)XIDS_VCHAN_BATCH | (unsigned int)XIDS_VCHAN_WIPE | (unsigned int)XIDS_VCHAN_PLAIN)
#define RING_PAGES_MAX (1u << (XIDS_VCHAN_ORDER_MAX - VCHAN_ORDER_PAGE))

size_t xids_vchan_size(void)
{
    return sizeof(struct xids_vchan);
}

static unsigned int pages_of(unsigned int order)
{
    return order < VCHAN_ORDER_PAGE ? 0 : 1u << (order - VCHAN_ORDER_PAGE);
}

/* Orders that any implementation could offer: two rings cannot share a place in the page. */
static bool orders_possible(unsigned int left, unsigned int right)
{
    return left >= XIDS_VCHAN_ORDER_MIN && left <= XIDS_VCHAN_ORDER_MAX && right >= XIDS_VCHAN_ORDER_MIN &&
           right <= XIDS_VCHAN_ORDER_MAX && (left != right || left >= VCHAN_ORDER_PAGE);
}

/* And those that we offer: the list of grants must end before a ring of order 10 begins. */
static bool orders_good(unsigned int left, unsigned int right)
{
    size_t list = VCHAN_AT_GRANTS + (pages_of(left) + pages_of(right)) * sizeof(grant_ref_t);
    bool small = left == VCHAN_ORDER_SMALL || right == VCHAN_ORDER_SMALL;
    return orders_possible(left, right) && (!small || list <= VCHAN_AT_SMALL_RING);
}

static uint32_t XIDS_PEER *word(const struct xids_vchan *ch, size_t offset)
{
    return (uint32_t XIDS_PEER *)(void XIDS_PEER *)(ch->page + offset);
}

static uint16_t XIDS_PEER *half(const struct xids_vchan *ch, size_t offset)
{
    return (uint16_t XIDS_PEER *)(void XIDS_PEER *)(ch->page + offset);
}

/* Where one ring lies: its own pages, or a place in the control page. */
static struct xids_bytering_layout layout(const struct xids_vchan *ch, uint8_t XIDS_PEER *area, unsigned int order,
                                          size_t indices)
{
    uint8_t XIDS_PEER *in_page = ch->page + (order == VCHAN_ORDER_SMALL ? VCHAN_AT_SMALL_RING : VCHAN_AT_LARGE_RING);
    return (struct xids_bytering_layout){
        .buffer = order < VCHAN_ORDER_PAGE ? in_page : area,
        .size = 1u << order,
        .cons = word(ch, indices),
        .prod = word(ch, indices + 4),
    };
}

/* Finds the extension's place in the page; there may be none, and it may be forbidden. */
static void place_extension(struct xids_vchan *ch, unsigned int left_order, unsigned int right_order,
                            unsigned int flags)
{
    size_t at = (flags & XIDS_VCHAN_PLAIN) != 0 ? 0 : xids_vchan_extension_at_(left_order, right_order);
    ch->header = NULL;
    if (at == 0)
        return;
    ch->header = word(ch, at);
}

/* Both sides: the rings over pages that are shared or mapped by now, and the bytes of the page that this side uses. */
static int attach(struct xids_vchan *ch, unsigned int left_order, unsigned int right_order, unsigned int flags)
{
    bool server = ch->server;
    struct xids_bytering_layout left = layout(ch, server ? ch->in_area : ch->out_area, left_order, VCHAN_AT_LEFT);
    struct xids_bytering_layout right = layout(ch, server ? ch->out_area : ch->in_area, right_order, VCHAN_AT_RIGHT);
    place_extension(ch, left_order, right_order, flags);
    struct xids_bytering_layout in = server ? left : right, out = server ? right : left;
    if (!server && xids_vchan_find_offer_(ch))
        xids_vchan_use_lines_(ch, &in, &out);
    int rc = xids_bytering_attach(&ch->in, &in, false);
    if (rc < 0)
        return rc;
    rc = xids_bytering_attach(&ch->out, &out, true);
    if (rc < 0)
        return rc;
    ch->wiped = ch->out.peer;
    xids_vchan_set_spin(ch, XIDS_VCHAN_SPIN);
    bool batch = (flags & XIDS_VCHAN_BATCH) != 0;
    ch->in_batch = batch ? xids_vchan_batch_(&ch->in) : 1u;
    ch->out_batch = batch ? xids_vchan_batch_(&ch->out) : 1u;
    return 0;
}

bool xids_vchan_give_back_(struct xids_vchan *ch)
{
    const struct xids_platform *platform = ch->platform;
    void *ctx = platform->ctx;
    bool held = false;
    void XIDS_PEER *areas[] = {ch->in_area, ch->out_area, ch->page};
    unsigned int counts[] = {ch->in_pages, ch->out_pages, 1};
    for (int i = 0; i < 3; i++) {
        if (areas[i] == NULL)
            continue;
        /* Nothing can be done about a failure: a busy page is kept aside by the platform. */
        if (ch->server)
            held |= platform->ops->unshare(ctx, XIDS_PEER_RAW(void, areas[i]), counts[i]) == -XEN_EBUSY;
        else
            (void)platform->ops->unmap(ctx, areas[i], counts[i]);
    }
    /* Last: giving up the page still notifies through it. */
    (void)platform->ops->evtchn_close(ctx, ch->port);
    xids_wipe(ch, sizeof(*ch));
    return held;
}

/* Shares the pages of one ring, if it has any, and lists their references in the page from index first on. */
static int share_ring(struct xids_vchan *ch, uint8_t XIDS_PEER **area, uint16_t *count, unsigned int order,
                      unsigned int first)
{
    grant_ref_t refs[RING_PAGES_MAX];
    unsigned int pages = pages_of(order);
    void *start = NULL;
    if (pages == 0)
        return 0;
    int rc = ch->platform->ops->share(ch->platform->ctx, &start, refs, ch->remote, pages, 0, NULL);
    if (rc < 0)
        return rc;
    *area = start;
    *count = (uint16_t)pages;
    for (unsigned int i = 0; i < pages; i++)
        xids_peer_store(word(ch, VCHAN_AT_GRANTS + (size_t)(first + i) * sizeof(grant_ref_t)), refs[i]);
    return 0;
}

static int server_pages(struct xids_vchan *ch, unsigned int left_order, unsigned int right_order)
{
    /* If we die the platform clears srv_live and wakes the client. */
    const struct xids_unmap_notify on_death = {.clear_byte = true, .offset = VCHAN_AT_SRV_LIVE, .port = ch->port};
    void *page = NULL;
    int rc = ch->platform->ops->share(ch->platform->ctx, &page, &ch->ring_ref, ch->remote, 1, 0, &on_death);
    if (rc < 0)
        return rc;
    ch->page = page;
    xids_peer_store16(half(ch, VCHAN_AT_LEFT_ORDER), (uint16_t)left_order);
    xids_peer_store16(half(ch, VCHAN_AT_RIGHT_ORDER), (uint16_t)right_order);
    xids_peer_store8_release(ch->page + VCHAN_AT_CLI_LIVE, VCHAN_NOT_YET);
    xids_peer_store8_release(ch->page + VCHAN_AT_CLI_NOTIFY, VCHAN_NOTIFY_WRITE);
    rc = share_ring(ch, &ch->in_area, &ch->in_pages, left_order, 0);
    return rc < 0 ? rc : share_ring(ch, &ch->out_area, &ch->out_pages, right_order, ch->in_pages);
}

int xids_vchan_server_init(struct xids_vchan *ch, const struct xids_platform *platform, domid_t remote,
                           unsigned int left_order, unsigned int right_order, unsigned int flags)
{
    if (!orders_good(left_order, right_order) || (flags & ~FLAGS_ALL) != 0)
        return -XEN_EINVAL;
    *ch = (struct xids_vchan){.platform = platform, .remote = remote, .server = true, .reason = ""};
    int rc = platform->ops->evtchn_alloc(platform->ctx, remote);
    if (rc < 0)
        return rc;
    ch->port = (evtchn_port_t)rc;
    ch->wipe_in = ch->wipe_out = (flags & XIDS_VCHAN_WIPE) != 0;
    rc = server_pages(ch, left_order, right_order);
    if (rc == 0)
        rc = attach(ch, left_order, right_order, flags);
    if (rc < 0) {
        (void)xids_vchan_give_back_(ch);
        return rc;
    }
    xids_vchan_offer_(ch);
    /*
     * Last, with release: a client may come before we publish anything, with the same numbers from a server that was
     * killed. It loads this byte first (client_pages) and turns back, or finds all the rest.
     */
    xids_peer_store8_release(xids_vchan_own_live_(ch), VCHAN_LIVE);
    return 0;
}

/* Maps the pages of one ring, if it has any, by the references listed in the page from index first on. */
static int map_ring(struct xids_vchan *ch, uint8_t XIDS_PEER **area, uint16_t *count, unsigned int order,
                    unsigned int first, unsigned int flags)
{
    grant_ref_t refs[RING_PAGES_MAX];
    unsigned int pages = pages_of(order);
    void XIDS_PEER *start = NULL;
    if (pages == 0)
        return 0;
    for (unsigned int i = 0; i < pages; i++) {
        refs[i] = xids_peer_load(word(ch, VCHAN_AT_GRANTS + (size_t)(first + i) * sizeof(grant_ref_t)));
        /* 0 is the console's: a list that is not written yet. In domain 0 it could even be mapped. */
        if (refs[i] == 0)
            return -XEN_EBADMSG;
    }
    int rc = ch->platform->ops->map(ch->platform->ctx, &start, refs, ch->remote, pages, flags, NULL);
    if (rc < 0)
        return rc;
    *area = start;
    *count = (uint16_t)pages;
    return 0;
}

/*
 * Maps everything. Sets the orders: read once, for what is in the page later does not matter.
 *
 * Nothing is written to the page, and turning back clears nothing in it either: the numbers may be old ones, the page
 * that of a server in the making, which would take a cleared cli_live for a client that came and left, or no control
 * page at all any more.
 */
static int client_pages(struct xids_vchan *ch, unsigned int *left_order, unsigned int *right_order)
{
    void XIDS_PEER *page = NULL;
    int rc = ch->platform->ops->map(ch->platform->ctx, &page, &ch->ring_ref, ch->remote, 1, 0, NULL);
    if (rc < 0)
        return rc;
    ch->page = page;
    if (xids_peer_load8_acquire(ch->page + VCHAN_AT_SRV_LIVE) == VCHAN_GONE)
        return -XEN_ECONNREFUSED;
    /* Both at once: a server takes them away while it has another client. */
    uint32_t orders = xids_peer_load(word(ch, VCHAN_AT_LEFT_ORDER));
    *left_order = orders & 0xffffu;
    *right_order = orders >> 16;
    /* A server that serves again gives the orders last (reoffer): with them, the indices are as it set them. */
    xids_peer_fence();
    if (orders == 0)
        return -XEN_EBUSY;
    if (!orders_possible(*left_order, *right_order))
        return -XEN_EBADMSG;
    rc = map_ring(ch, &ch->out_area, &ch->out_pages, *left_order, 0, 0);
    if (rc < 0)
        return rc;
    /* We only read the right ring, unless we are to zero it; a server may have granted it for reading only. */
    unsigned int flags = ch->wipe_in ? 0 : XIDS_MAP_READONLY;
    rc = map_ring(ch, &ch->in_area, &ch->in_pages, *right_order, ch->out_pages, flags);
    if (rc == -XEN_EACCES && ch->wipe_in) {
        ch->wipe_in = false;
        rc = map_ring(ch, &ch->in_area, &ch->in_pages, *right_order, ch->out_pages, XIDS_MAP_READONLY);
    }
    return rc;
}

/* What of the page is looked at in a copy: all before the rings. */
#define HEAD_BYTES VCHAN_AT_SMALL_RING

/*
 * Whether a copy of the page's head says that it is a control page with both rings in it, and makes sense. It saves
 * mapping the page twice, which costs far more. Where it does not, for whatever reason, client_pages finds out.
 */
static bool look_ahead(const struct xids_vchan *ch, unsigned int *left_order, unsigned int *right_order,
                       unsigned int flags)
{
    uint8_t page[XIDS_PAGE_SIZE];
    struct xids_grant_copy head = {.domid = ch->remote, .ref = ch->ring_ref, .len = HEAD_BYTES, .memory = page};
    struct xids_vchan probe = *ch;
    const struct xids_platform_ops *ops = ch->platform->ops;
    /* Programs of libxenvchan have a platform that maps and does no more. */
    if (ops->copy == NULL || ops->copy(ch->platform->ctx, &head, 1) < 0 || head.status != 0)
        return false;
    probe.page = (uint8_t XIDS_PEER *)page;
    uint32_t orders = xids_peer_load(word(&probe, VCHAN_AT_LEFT_ORDER));
    *left_order = orders & 0xffffu;
    *right_order = orders >> 16;
    /* Orders before indices, as in client_pages: the true ones are looked at behind this. */
    xids_peer_fence();
    return xids_peer_load8(probe.page + VCHAN_AT_SRV_LIVE) != VCHAN_GONE &&
           orders_possible(*left_order, *right_order) && *left_order < VCHAN_ORDER_PAGE &&
           *right_order < VCHAN_ORDER_PAGE && attach(&probe, *left_order, *right_order, flags) == 0;
}

/*
 * Maps the control page, again where it is mapped already, so that the platform clears cli_live and wakes the server if
 * we die.
 */
static int promise_end(struct xids_vchan *ch)
{
    const struct xids_unmap_notify on_death = {.clear_byte = true, .offset = VCHAN_AT_CLI_LIVE, .port = ch->port};
    void XIDS_PEER *page = NULL;
    int rc = ch->platform->ops->map(ch->platform->ctx, &page, &ch->ring_ref, ch->remote, 1, 0, &on_death);
    if (rc < 0)
        return rc;
    if (ch->page != NULL)
        (void)ch->platform->ops->unmap(ch->platform->ctx, ch->page, 1);
    ch->page = page;
    return 0;
}

int xids_vchan_client_init(struct xids_vchan *ch, const struct xids_platform *platform, domid_t remote,
                           grant_ref_t ring_ref, evtchn_port_t port, unsigned int flags)
{
    unsigned int left_order = 0, right_order = 0;
    if ((flags & ~FLAGS_ALL) != 0)
        return -XEN_EINVAL;
    *ch = (struct xids_vchan){.platform = platform, .remote = remote, .ring_ref = ring_ref, .reason = ""};
    int rc = platform->ops->evtchn_bind(platform->ctx, remote, port);
    if (rc < 0)
        return rc;
    ch->port = (evtchn_port_t)rc;
    ch->connected = true;
    ch->wipe_in = ch->wipe_out = (flags & XIDS_VCHAN_WIPE) != 0;
    rc = 0;
    if (!look_ahead(ch, &left_order, &right_order, flags)) {
        rc = client_pages(ch, &left_order, &right_order);
        /* Twice: the indices must make sense too before we promise anything, and then the page lies elsewhere. */
        if (rc == 0)
            rc = attach(ch, left_order, right_order, flags);
    }
    if (rc == 0)
        rc = promise_end(ch);
    if (rc == 0)
        rc = attach(ch, left_order, right_order, flags);
    if (rc == 0) {
        if (ch->extended)
            xids_vchan_take_offer_(ch);
        xids_peer_store8_release(xids_vchan_own_live_(ch), VCHAN_LIVE);
        (void)xids_peer_set_bits8(xids_vchan_ask_(ch), VCHAN_NOTIFY_WRITE);
        /* Again after we were seen: a server that ended meanwhile may have wiped the rings (wipe_rings). */
        xids_peer_fence();
        if (xids_peer_load8_acquire(xids_vchan_peer_live_(ch)) == VCHAN_GONE)
            rc = -XEN_ECONNREFUSED;
        else if (!xids_vchan_offered_(ch)) {
            xids_vchan_leave_offer_(ch);
            rc = -XEN_EBUSY;
        } else
            rc = platform->ops->evtchn_notify(platform->ctx, ch->port);
    }
    if (rc < 0)
        (void)xids_vchan_give_back_(ch);
    return rc;
}

/*
 * Zeroes what the peer wrote for us and we leave unread. The rest of that ring is zeroed already, or room that the peer
 * may be filling this moment.
 */
static void wipe_in(struct xids_vchan *ch)
{
    int n = xids_vchan_look_in_(ch);
    if (ch->error == -XEN_EBADMSG)
        xids_vchan_wipe_(&ch->in.at, 0, ch->in.at.size);
    else
        xids_vchan_wipe_(&ch->in.at, ch->in.own, n > 0 ? (uint32_t)n : xids_bytering_known(&ch->in));
}

/*
 * Zeroes what we wrote, except what a living peer has still to read: that reader must not take zeros for it.
 * Our own live byte is 0 by now, so that a client that comes this moment is either seen here or turns back.
 */
static void wipe_out(struct xids_vchan *ch)
{
    xids_peer_fence();
    uint8_t live = xids_peer_load8_acquire(xids_vchan_peer_live_(ch));
    bool alone = ch->gone || live == VCHAN_GONE || (ch->server && live == VCHAN_NOT_YET);
    /* After another offer the byte may still be that of one who died with its domain. */
    alone = alone || (ch->after_lost && xids_vchan_unbound_(ch));
    /* Nor is a peer spared that broke the protocol: it may well live, only to keep bytes in a page that we give up. */
    if (alone || ch->error == -XEN_EBADMSG || xids_bytering_look(&ch->out) < 0) {
        xids_vchan_wipe_(&ch->out.at, 0, ch->out.at.size);
    } else {
        uint32_t unread = ch->out.published - ch->out.peer;
        xids_vchan_wipe_(&ch->out.at, ch->out.published, ch->out.at.size - unread);
    }
}

void xids_vchan_leave_(struct xids_vchan *ch)
{
    const struct xids_platform *platform = ch->platform;
    if (ch->error != -XEN_EBADMSG) {
        (void)xids_vchan_publish_(ch, &ch->out);
        (void)xids_vchan_publish_(ch, &ch->in);
    }
    /* A dead domain's live byte says for ever that there is a reader to be spared. */
    if (ch->wipe_out)
        (void)xids_vchan_look_at_port_(ch);
    if (ch->wipe_in)
        wipe_in(ch);
    /* Release: whoever sees the end sees all that we did before. */
    xids_peer_store8_release(xids_vchan_own_live_(ch), VCHAN_GONE);
    if (ch->wipe_out)
        wipe_out(ch);
    (void)platform->ops->evtchn_notify(platform->ctx, ch->port);
}

void xids_vchan_fini(struct xids_vchan *ch)
{
    if (ch->platform == NULL)
        return;
    xids_vchan_leave_(ch);
    (void)xids_vchan_give_back_(ch);
}

grant_ref_t xids_vchan_ring_ref(const struct xids_vchan *ch)
{
    return ch->ring_ref;
}

evtchn_port_t xids_vchan_port(const struct xids_vchan *ch)
{
    return ch->port;
}

domid_t xids_vchan_remote(const struct xids_vchan *ch)
{
    return ch->remote;
}

bool xids_vchan_is_server(const struct xids_vchan *ch)
{
    return ch->server;
}

uint32_t xids_vchan_read_size(const struct xids_vchan *ch)
{
    return ch->in.at.size;
}

uint32_t xids_vchan_write_size(const struct xids_vchan *ch)
{
    return ch->out.at.size;
}
