/* SPDX-License-Identifier: ISC */
/*
 * Tells guests that were not asked that their memory has been copied: docs/spec/randomd.md, 8.2 and 8.3. The place of a
 * guest's reseed page is asked of the store without waiting, for few guests at a time; what it names is the guest's
 * word, and used for nothing but mapping that one frame of that very domain while it is paused.
 */

/* First: it wants more of Xen's headers than others. */
#include <xenctrl.h>

#include "randomd/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/params.h>
#include <xenforeignmemory.h>
#include <xids/reseed.h>

#define ASKED_MAX 32u /* guests whose place is asked for at once */
#define ASKED_FEW 4u  /* as long as guests wait for their channels' nodes */
#define FRAME_DIGITS 13u
#define LIST_AT_ONCE 64u
#define SUSPENDED_POLL_MS 100u /* between looks whether a suspended guest runs again */

struct asked {
    struct reseed *r;
    domid_t domid;
    bool used;
};

struct reseed {
    struct daemon *d;
    xc_interface *control; /* NULL: we may not do this */
    xenforeignmemory_handle *memory;
    uv_timer_t poll;
    struct asked asked[ASKED_MAX];
    unsigned int asking, wanted_count, suspended_count;
    uint32_t next; /* domid */
    uint8_t wanted[(DOMID_FIRST_RESERVED + 7u) / 8u], suspended[(DOMID_FIRST_RESERVED + 7u) / 8u];
};

static bool is_set(const uint8_t *set, unsigned int domid)
{
    return (set[domid / 8u] & 1u << domid % 8u) != 0;
}

static void add(uint8_t *set, unsigned int *count, unsigned int domid)
{
    if (is_set(set, domid))
        return;
    set[domid / 8u] |= (uint8_t)(1u << domid % 8u);
    (*count)++;
}

static void take(uint8_t *set, unsigned int *count, unsigned int domid)
{
    if (!is_set(set, domid))
        return;
    set[domid / 8u] &= (uint8_t) ~(1u << domid % 8u);
    (*count)--;
}

/* ---- the page ---- */

/* The domain is paused. */
static int fill_frame(struct reseed *r, domid_t domid, uint64_t frame)
{
    uint8_t fresh[XIDS_RESEED_SEED + XIDS_RESEED_GENERATION];
    xen_pfn_t pfn = (xen_pfn_t)frame;
    int failed = 0;
    int rc = master_source(r->d->master, fresh, sizeof(fresh));
    void *page = NULL;
    if (rc == 0 && pfn == frame)
        page = xenforeignmemory_map(r->memory, domid, PROT_READ | PROT_WRITE, 1, &pfn, &failed);
    if (rc == 0 && (page == NULL || failed != 0))
        rc = -XEN_EFAULT;
    if (rc == 0)
        rc = xids_reseed_write((void XIDS_PEER *)page, fresh, fresh + XIDS_RESEED_SEED);
    xids_wipe(fresh, sizeof(fresh));
    if (page != NULL)
        (void)xenforeignmemory_unmap(r->memory, page, 1);
    return rc;
}

static void give_up(struct reseed *r, const char *why)
{
    log_line(SAY_INFO, "guests are not told of copies of their memory: %s", why);
    if (r->control != NULL)
        xc_interface_close(r->control);
    if (r->memory != NULL)
        xenforeignmemory_close(r->memory);
    r->control = NULL;
    r->memory = NULL;
}

static void write_page(struct reseed *r, domid_t domid, uint64_t frame)
{
    if (xc_domain_pause(r->control, domid) < 0) {
        if (errno == EPERM || errno == ENOSYS)
            give_up(r, strerror(errno));
        return; /* else it has gone */
    }
    int rc = fill_frame(r, domid, frame);
    if (xc_domain_unpause(r->control, domid) < 0 && errno != ESRCH)
        log_guest(SAY_ERROR, "domain %u cannot be unpaused: %s", domid, strerror(errno));
    if (rc < 0) {
        r->d->count.reseed_pages_refused++;
        if (log_allows(domid))
            log_guest(SAY_WARN, "domain %u has no reseed page where it says: %s", domid, strerror(-rc));
        return;
    }
    r->d->count.reseed_pages++;
    log_guest(SAY_DEBUG, "domain %u: reseed page written", domid);
}

/* ---- its place ---- */

static int parse_frame(uint64_t *frame, const char *text, uint32_t len)
{
    uint64_t n = 0;
    if (len == 0 || len > FRAME_DIGITS)
        return -XEN_EINVAL;
    for (uint32_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -XEN_EINVAL;
        n = n * 10u + (uint64_t)(text[i] - '0');
    }
    *frame = n;
    return n <= XIDS_RESEED_FRAME_MAX ? 0 : -XEN_EINVAL;
}

/* Where Xen keeps the address of a generation for the guest, in its image too. Not every guest has parameters. */
static int frame_of_param(struct reseed *r, domid_t domid, uint64_t *frame)
{
    uint64_t at = 0;
    if (xc_hvm_param_get(r->control, domid, HVM_PARAM_VM_GENERATION_ID_ADDR, &at) < 0 || at == 0)
        return -XEN_ENOENT;
    *frame = at / XIDS_PAGE_SIZE;
    /* Somebody else's generation, of a firmware's, lies elsewhere in its page. */
    return at % XIDS_PAGE_SIZE == XIDS_RESEED_GENERATION_AT && *frame <= XIDS_RESEED_FRAME_MAX ? 0 : -XEN_ENOENT;
}

static void on_node(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct asked *a = ctx;
    struct reseed *r = a->r;
    uint64_t frame = 0;
    a->used = false;
    r->asking--;
    r->d->store_late = r->d->store_late || rc == -XEN_ETIMEDOUT;
    if (rc == -XEN_ENOTCONN || rc == -XEN_ETIMEDOUT) {
        add(r->wanted, &r->wanted_count, a->domid); /* until the store is back */
        return;
    }
    if (r->control == NULL)
        return;
    if (rc == 0) {
        rc = parse_frame(&frame, payload, len);
        if (rc < 0) {
            r->d->count.reseed_pages_refused++;
            if (log_allows(a->domid))
                log_guest(SAY_WARN, "domain %u: %s is no frame number", a->domid, XIDS_RESEED_NODE);
        }
    } else {
        rc = frame_of_param(r, a->domid, &frame);
    }
    if (rc == 0)
        write_page(r, a->domid, frame);
}

static int ask(struct reseed *r, domid_t domid)
{
    char path[64];
    struct asked *a = r->asked;
    while (a->used)
        a++;
    *a = (struct asked){.r = r, .domid = domid, .used = true};
    snprintf(path, sizeof(path), "/local/domain/%u/" XIDS_RESEED_NODE, domid);
    int rc = xids_xs_client_read(xids_xs_client(r->d->xs), 0, path, on_node, a);
    a->used = rc == 0;
    r->asking += rc == 0;
    return rc;
}

void reseed_turn(struct daemon *d)
{
    struct reseed *r = d->reseed;
    /* Without seeds there is nothing to tell. */
    if (r == NULL || r->control == NULL || r->wanted_count == 0 || d->store_lost || !d->was_ready)
        return;
    /* A daemon that begins anew has a channel to publish for each guest: that comes first. */
    unsigned int most = d->talkers != NULL ? ASKED_FEW : ASKED_MAX;
    while (r->wanted_count > 0 && r->asking < most) {
        while (!is_set(r->wanted, r->next))
            r->next = r->next + 1u < DOMID_FIRST_RESERVED ? r->next + 1u : 0;
        if (ask(r, (domid_t)r->next) < 0)
            break;
        take(r->wanted, &r->wanted_count, r->next);
    }
}

void reseed_want(struct daemon *d, domid_t domid)
{
    struct reseed *r = d->reseed;
    if (r != NULL && r->control != NULL && domid < DOMID_FIRST_RESERVED)
        add(r->wanted, &r->wanted_count, domid);
}

bool reseed_wanted(const struct daemon *d, domid_t domid)
{
    const struct reseed *r = d->reseed;
    bool wanted = r->control != NULL && domid < DOMID_FIRST_RESERVED && is_set(r->wanted, domid);
    for (unsigned int i = 0; i < ASKED_MAX; i++)
        wanted = wanted || (r->asked[i].used && r->asked[i].domid == domid);
    return wanted;
}

/* ---- guests that run on after they were suspended ---- */

static bool is_suspended(const xc_domaininfo_t *info)
{
    unsigned int reason = info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
    return (info->flags & XEN_DOMINF_shutdown) != 0 && (info->flags & XEN_DOMINF_dying) == 0 &&
           reason == SHUTDOWN_suspend;
}

static void look_again(uv_timer_t *t)
{
    struct reseed *r = t->data;
    for (unsigned int domid = 0; domid < DOMID_FIRST_RESERVED && r->suspended_count > 0 && r->control != NULL;
         domid++) {
        xc_domaininfo_t info;
        if (!is_set(r->suspended, domid))
            continue;
        bool there = xc_domain_getinfolist(r->control, domid, 1, &info) == 1 && info.domain == domid;
        if (there && is_suspended(&info))
            continue;
        take(r->suspended, &r->suspended_count, domid);
        if (there && (info.flags & XEN_DOMINF_shutdown) == 0)
            (void)guests_restored(r->d, (domid_t)domid); /* it goes on, and its image may too */
    }
    if (r->suspended_count == 0 || r->control == NULL)
        uv_timer_stop(t);
    turn_end(r->d);
}

void reseed_look(struct daemon *d)
{
    static xc_domaininfo_t infos[LIST_AT_ONCE];
    struct reseed *r = d->reseed;
    uint32_t from = 0;
    if (r == NULL)
        return;
    int n = r->control != NULL ? (int)LIST_AT_ONCE : 0;
    while (n == (int)LIST_AT_ONCE) {
        n = xc_domain_getinfolist(r->control, from, LIST_AT_ONCE, infos);
        for (int i = 0; i < n; i++) {
            if (is_suspended(&infos[i]) && infos[i].domain < DOMID_FIRST_RESERVED)
                add(r->suspended, &r->suspended_count, infos[i].domain);
            from = infos[i].domain + 1u;
        }
    }
    if (n < 0 && errno == EPERM)
        give_up(r, strerror(errno));
    if (r->suspended_count > 0 && !uv_is_active((uv_handle_t *)&r->poll))
        (void)uv_timer_start(&r->poll, look_again, SUSPENDED_POLL_MS, SUSPENDED_POLL_MS);
}

unsigned int reseed_suspended(const struct daemon *d)
{
    return d->reseed != NULL ? d->reseed->suspended_count : 0;
}

/* ---- life ---- */

int reseed_open(struct daemon *d)
{
    struct reseed *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return -XEN_ENOMEM;
    d->reseed = r;
    r->d = d;
    r->poll.data = r;
    if (d->config.discover)
        return uv_timer_init(&d->loop, &r->poll); /* the toolstack's domain does it */
    r->control = xc_interface_open(NULL, NULL, 0);
    if (r->control != NULL)
        r->memory = xenforeignmemory_open(NULL, 0);
    if (r->memory == NULL)
        give_up(r, strerror(errno));
    return uv_timer_init(&d->loop, &r->poll);
}

void reseed_close(struct daemon *d)
{
    struct reseed *r = d->reseed;
    if (r == NULL)
        return;
    if (r->memory != NULL)
        xenforeignmemory_close(r->memory);
    if (r->control != NULL)
        xc_interface_close(r->control);
    free(r);
    d->reseed = NULL;
}
