/* SPDX-License-Identifier: ISC */
/* The model's world: its memory, its domains, its failures and its report of what is left. */
#include <config.h>

#include "platform/model/model_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/sched.h>

#if defined(__SANITIZE_ADDRESS__)
#define MODEL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MODEL_ASAN 1
#endif
#endif
#ifdef MODEL_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* What freed pages are filled with: neither zeros nor a small number. */
#define POISON 0xdb

static const struct xids_hv_limits limits = {
    .domains = MODEL_DOMAINS,
    .owners = MODEL_OWNERS,
    .ports = 32768,
    .ports_per_domain = 4096,
    .grants = 16384,
    .grants_per_domain = 8192,
    .frames = 16384,
    .maps = 4096,
    .mapped = 32768,
};

void model_lock(struct xids_model *m)
{
    if ((m->flags & XIDS_MODEL_THREADED) != 0)
        pthread_mutex_lock(&m->lock);
}

void model_unlock(struct xids_model *m)
{
    if ((m->flags & XIDS_MODEL_THREADED) != 0)
        pthread_mutex_unlock(&m->lock);
}

static void env_lock(void *ctx)
{
    struct xids_model *m = ctx;
    pthread_mutex_lock(&m->hv_lock);
}

static void env_unlock(void *ctx)
{
    struct xids_model *m = ctx;
    pthread_mutex_unlock(&m->hv_lock);
}

/* A queue never holds more than twice the ports there are, but stale numbers make no sharper bound worth having. */
static void queue_push(struct model_domain *d, evtchn_port_t port)
{
    if (d->count == d->room) {
        uint32_t room = d->room == 0 ? 32 : d->room * 2u;
        evtchn_port_t *queue = malloc(room * sizeof(*queue));
        if (!queue)
            abort();
        for (uint32_t i = 0; i < d->count; i++)
            queue[i] = d->queue[(d->head + i) & (d->room - 1u)];
        free(d->queue);
        d->queue = queue;
        d->room = room;
        d->head = 0;
    }
    d->queue[(d->head + d->count++) & (d->room - 1u)] = port;
}

evtchn_port_t model_queue_pop(struct model_domain *d)
{
    evtchn_port_t port = d->queue[d->head & (d->room - 1u)];
    d->head++;
    d->count--;
    return port;
}

static void env_wake(void *ctx, uint32_t owner, evtchn_port_t port)
{
    struct xids_model *m = ctx;
    model_lock(m);
    struct model_domain *d = m->by_owner[xids_hv_owner_slot(owner)];
    if (d && d->owner == owner) {
        queue_push(d, port);
        if ((m->flags & XIDS_MODEL_THREADED) != 0)
            pthread_cond_broadcast(&m->woken);
    }
    model_unlock(m);
}

static void *env_frame(void *ctx, uint32_t frame)
{
    struct xids_model *m = ctx;
    model_frame_allow(m, frame);
    return m->ram + (size_t)frame * XIDS_PAGE_SIZE;
}

static void env_freed(void *ctx, uint32_t frame)
{
    struct xids_model *m = ctx;
    memset(env_frame(m, frame), POISON, XIDS_PAGE_SIZE);
    model_frame_forbid(m, frame);
}

#ifdef MODEL_ASAN
void model_frame_forbid(struct xids_model *m, uint32_t frame)
{
    __asan_poison_memory_region(m->ram + (size_t)frame * XIDS_PAGE_SIZE, XIDS_PAGE_SIZE);
}

void model_frame_allow(struct xids_model *m, uint32_t frame)
{
    __asan_unpoison_memory_region(m->ram + (size_t)frame * XIDS_PAGE_SIZE, XIDS_PAGE_SIZE);
}
#else
void model_frame_forbid(struct xids_model *m, uint32_t frame)
{
    (void)m;
    (void)frame;
}

void model_frame_allow(struct xids_model *m, uint32_t frame)
{
    (void)m;
    (void)frame;
}
#endif

/* ---- memory for engines ---- */

static void *alloc_get(void *ctx, size_t size)
{
    struct xids_model *m = ctx;
    const size_t head = (sizeof(struct model_block) + 15u) & ~(size_t)15u;
    bool fails = model_fails(m, XIDS_MODEL_ALLOC);
    struct model_block *block = fails || size > SIZE_MAX - head ? NULL : malloc(head + size);
    if (!block)
        return NULL;
    model_lock(m);
    block->size = size;
    block->number = ++m->blocks_made;
    block->next = &m->blocks;
    block->prev = m->blocks.prev;
    block->prev->next = block;
    m->blocks.prev = block;
    model_unlock(m);
    return (char *)block + head;
}

static void alloc_put(void *ctx, void *mem, size_t size)
{
    struct xids_model *m = ctx;
    const size_t head = (sizeof(struct model_block) + 15u) & ~(size_t)15u;
    if (!mem)
        return;
    struct model_block *block = (struct model_block *)(void *)((char *)mem - head);
    if (block->size != size)
        model_misuse(m, "memory put with another size", DOMID_INVALID, mem, (uint32_t)size);
    model_lock(m);
    block->prev->next = block->next;
    block->next->prev = block->prev;
    model_unlock(m);
    memset(mem, POISON, block->size);
    free(block);
}

const struct xids_alloc *xids_model_alloc(struct xids_model *m)
{
    return &m->alloc;
}

/* ---- the world ---- */

static bool ram_make(struct xids_model *m)
{
    m->ram_size = (limits.frames + 1ull) * XIDS_PAGE_SIZE;
    m->ram_fd = memfd_create("xids-model", MFD_CLOEXEC);
    if (m->ram_fd < 0)
        return false;
    if (ftruncate(m->ram_fd, (off_t)m->ram_size) != 0)
        return false;
    m->ram = mmap(NULL, m->ram_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->ram_fd, 0);
    return m->ram != MAP_FAILED;
}

struct xids_model *xids_model_new(uint64_t seed, unsigned int flags)
{
    struct xids_model *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->flags = flags;
    m->seed = m->choices = seed;
    m->random = ~seed;
    m->blocks.next = m->blocks.prev = &m->blocks;
    m->alloc = (struct xids_alloc){alloc_get, alloc_put, m};
    m->ram = MAP_FAILED;
    m->block_size = xids_hv_size(&limits);
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->hv_lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&m->woken, &clock);
    pthread_condattr_destroy(&clock);
    bool threaded = (flags & XIDS_MODEL_THREADED) != 0;
    struct xids_hv_env env = {
        .lock = threaded ? env_lock : NULL,
        .unlock = threaded ? env_unlock : NULL,
        .wake = env_wake,
        .frame = env_frame,
        .freed = env_freed,
        .ctx = m,
    };
    m->block = mmap(NULL, m->block_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->block == MAP_FAILED || !ram_make(m) || xids_hv_init(&m->hv, m->block, m->block_size, &limits, &env) != 0) {
        xids_model_free(m);
        return NULL;
    }
    return m;
}

void model_areas_drop(struct model_domain *d)
{
    for (struct model_area *a = d->areas, *next; a; a = next) {
        next = a->next;
        if (a->mapped)
            munmap(a->at, (size_t)a->count * XIDS_PAGE_SIZE);
        free(a);
    }
    d->areas = NULL;
}

void xids_model_free(struct xids_model *m)
{
    if (!m)
        return;
    for (struct model_domain *d = m->domains, *next; d; d = next) {
        next = d->next;
        model_areas_drop(d);
        free(d->queue);
        free(d);
    }
    model_tasks_drop(m, NULL);
    for (struct model_block *block = m->blocks.next, *next; block != &m->blocks; block = next) {
        next = block->next;
        free(block);
    }
    if (m->ram != MAP_FAILED) {
#ifdef MODEL_ASAN
        /* What is mapped here next is not what was forbidden. */
        __asan_unpoison_memory_region(m->ram, m->ram_size);
#endif
        munmap(m->ram, m->ram_size);
    }
    if (m->ram_fd > 0)
        close(m->ram_fd);
    if (m->block != MAP_FAILED)
        munmap(m->block, m->block_size);
    pthread_cond_destroy(&m->woken);
    pthread_mutex_destroy(&m->hv_lock);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

uint64_t xids_model_seed(const struct xids_model *m)
{
    return m->seed;
}

/* ---- domains ---- */

static struct model_domain *domain_find(struct xids_model *m, domid_t domid)
{
    struct model_domain *d = m->domains;
    while (d && (d->gone || d->platform.domid != domid))
        d = d->next;
    return d;
}

/* Opens the owner that stands for the domain's process. Events can come for it from then on. */
static int owner_open(struct xids_model *m, struct model_domain *d)
{
    uint32_t owner;
    int ret = xids_hv_owner_open(&m->hv, &owner, d->platform.domid, 0);
    if (ret < 0)
        return ret;
    model_lock(m);
    d->owner = owner;
    d->head = d->count = 0;
    m->by_owner[xids_hv_owner_slot(owner)] = d;
    model_unlock(m);
    return 0;
}

struct xids_platform *xids_model_domain_create(struct xids_model *m, domid_t domid)
{
    struct model_domain *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    int id = xids_hv_domain_create(&m->hv, domid, domid == 0 ? XIDS_HV_PRIVILEGED : 0, NULL);
    if (id < 0) {
        free(d);
        return NULL;
    }
    d->model = m;
    d->platform = (struct xids_platform){.ops = &model_platform_ops, .ctx = d, .domid = (domid_t)id};
    if (owner_open(m, d) < 0) {
        (void)xids_hv_domain_destroy(&m->hv, (domid_t)id);
        free(d);
        return NULL;
    }
    model_lock(m);
    d->next = m->domains;
    m->domains = d;
    model_unlock(m);
    return &d->platform;
}

static int domain_paused(struct xids_model *m, domid_t domid, bool paused)
{
    struct xids_hv_domain info;
    int ret = paused ? xids_hv_domain_pause(&m->hv, domid) : xids_hv_domain_unpause(&m->hv, domid);
    if (ret == 0)
        ret = xids_hv_domain_info(&m->hv, &info, domid);
    if (ret < 0)
        return ret;
    model_lock(m);
    struct model_domain *d = domain_find(m, domid);
    if (d)
        d->paused = (info.flags & XIDS_HV_PAUSED) != 0;
    pthread_cond_broadcast(&m->woken);
    model_unlock(m);
    return d ? 0 : -XEN_ESRCH;
}

int xids_model_domain_pause(struct xids_model *m, domid_t domid)
{
    return domain_paused(m, domid, true);
}

int xids_model_domain_unpause(struct xids_model *m, domid_t domid)
{
    return domain_paused(m, domid, false);
}

int xids_model_domain_crash(struct xids_model *m, domid_t domid)
{
    int ret = xids_hv_domain_shutdown(&m->hv, domid, SHUTDOWN_crash);
    return ret < 0 ? ret : domain_paused(m, domid, true);
}

int xids_model_domain_destroy(struct xids_model *m, domid_t domid)
{
    model_lock(m);
    struct model_domain *d = domain_find(m, domid);
    if (d)
        d->gone = true;
    pthread_cond_broadcast(&m->woken);
    model_unlock(m);
    if (!d)
        return -XEN_ESRCH;
    /* Mappings stay until the end of the world: whoever runs in the dead domain may still be on the stack. */
    model_tasks_drop(m, d);
    return xids_hv_domain_destroy(&m->hv, domid);
}

struct sweep {
    struct xids_model *m;
    domid_t domid;
    uint32_t refs[256], frames[256];
    uint32_t nrefs, nframes;
};

static void sweep_each(void *ctx, const struct xids_hv_item *item)
{
    struct sweep *s = ctx;
    if (item->domid != s->domid)
        return;
    if (item->kind == XIDS_HV_GRANT && item->count == 0 && s->nrefs < 256)
        s->refs[s->nrefs++] = item->id;
    else if (item->kind == XIDS_HV_FRAME && s->nframes < 256)
        s->frames[s->nframes++] = item->id;
}

/* Ends what grants of pages the kernel can end, and frees what pages it then can, as many at a time as fit. */
static void pages_sweep(struct xids_model *m, domid_t domid)
{
    uint32_t ended;
    do {
        struct sweep s = {.m = m, .domid = domid};
        xids_hv_each(&m->hv, XIDS_HV_GRANT | XIDS_HV_FRAME, sweep_each, &s);
        ended = 0;
        for (uint32_t i = 0; i < s.nrefs; i++)
            ended += xids_hv_grant_end(&m->hv, domid, s.refs[i]) == 0;
        for (uint32_t i = 0; i < s.nframes; i++)
            ended += xids_hv_frame_free(&m->hv, domid, s.frames[i], 1) == 0;
    } while (ended != 0);
}

int xids_model_process_kill(struct xids_model *m, domid_t domid)
{
    model_lock(m);
    struct model_domain *d = domain_find(m, domid);
    model_unlock(m);
    if (!d)
        return -XEN_ESRCH;
    model_tasks_drop(m, d);
    int ret = xids_hv_owner_close(&m->hv, d->owner);
    if (ret < 0)
        return ret;
    pages_sweep(m, domid);
    model_areas_drop(d);
    return owner_open(m, d);
}

int xids_model_virq(struct xids_model *m, domid_t domid, unsigned int virq)
{
    return xids_hv_virq_raise(&m->hv, domid, virq);
}

/* ---- failures ---- */

bool model_fails(struct xids_model *m, enum xids_model_call call)
{
    model_lock(m);
    m->calls[call]++;
    m->calls[XIDS_MODEL_CALLS]++;
    bool fails = false;
    if (m->fail_in != 0 && (m->fail_call == call || m->fail_call == XIDS_MODEL_CALLS))
        fails = --m->fail_in == 0;
    if (fails)
        m->failed = true;
    model_unlock(m);
    return fails;
}

void xids_model_fail(struct xids_model *m, enum xids_model_call call, uint64_t nth)
{
    m->fail_call = call;
    m->fail_in = nth;
    m->failed = false;
}

bool xids_model_failed(const struct xids_model *m)
{
    return m->failed;
}

uint64_t xids_model_calls(const struct xids_model *m, enum xids_model_call call)
{
    return m->calls[call];
}

void model_misuse(struct xids_model *m, const char *what, domid_t domid, const void *at, uint32_t count)
{
    model_lock(m);
    if (m->misuses++ == 0)
        snprintf(m->misuse, sizeof(m->misuse), "domain %u: %s (%u at %p)", domid, what, count, at);
    model_unlock(m);
}

/* ---- the report ---- */

struct report {
    char *buf;
    size_t len, used;
    unsigned int lines;
};

static void line(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct report *r, const char *format, ...)
{
    va_list args;
    r->lines++;
    if (r->used >= r->len)
        return;
    va_start(args, format);
    int n = vsnprintf(r->buf + r->used, r->len - r->used, format, args);
    va_end(args);
    if (n > 0)
        r->used += (size_t)n;
}

static void report_each(void *ctx, const struct xids_hv_item *item)
{
    struct report *r = ctx;
    unsigned int d = item->domid, id = item->id, remote = item->remote, count = item->count;
    switch (item->kind) {
    case XIDS_HV_PORT:
        line(r, "domain %u: port %u, remote domain %u\n", d, id, remote);
        break;
    case XIDS_HV_GRANT:
        line(r, "domain %u: grant %u of frame %u to domain %u, mapped %u times\n", d, id, item->frame, remote, count);
        break;
    case XIDS_HV_MAP:
    case XIDS_HV_FOREIGN:
        line(r, "domain %u: map of %u pages of domain %u\n", d, count, remote);
        break;
    case XIDS_HV_SHARE:
        line(r, "domain %u: share of %u pages from frame %u with domain %u\n", d, count, item->frame, remote);
        break;
    case XIDS_HV_FRAME:
        if (d == XIDS_HV_DOMID_ANY)
            line(r, "no domain: page in frame %u, mapped %u times\n", id, count);
        else
            line(r, "domain %u: page in frame %u, mapped %u times\n", d, id, count);
        break;
    case XIDS_HV_OWNER:
        break;
    }
}

unsigned int xids_model_check_clean(struct xids_model *m, char *buf, size_t len)
{
    struct report r = {.buf = buf, .len = len};
    if (len != 0)
        buf[0] = 0;
    xids_hv_each(&m->hv, XIDS_HV_PORT | XIDS_HV_GRANT | XIDS_HV_MAP | XIDS_HV_FOREIGN | XIDS_HV_SHARE | XIDS_HV_FRAME,
                 report_each, &r);
    model_lock(m);
    for (const struct model_block *block = m->blocks.next; block != &m->blocks; block = block->next)
        line(&r, "allocation %llu of %zu bytes\n", (unsigned long long)block->number, block->size);
    if (m->misuses != 0)
        line(&r, "misuse, %u in all, first: %s\n", m->misuses, m->misuse);
    model_unlock(m);
    const char *wrong = xids_hv_check(&m->hv);
    if (wrong)
        line(&r, "the hypervisor's own state: %s\n", wrong);
    return r.lines;
}
