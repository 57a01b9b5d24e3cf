/* SPDX-License-Identifier: ISC */
/* The platform of a domain of the model. */
#include <config.h>

#include "platform/model/model_internal.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* The hypervisor's answers in the platform's words: a domain that is gone, ours or the peer's, is ENODEV. */
static int answer(int ret)
{
    return ret == -XEN_ESRCH || ret == -XEN_EBADF ? -XEN_ENODEV : ret;
}

static uint32_t frame_of(const struct xids_model *m, const void *page)
{
    uintptr_t at = (uintptr_t)page, ram = (uintptr_t)m->ram;
    if (at < ram || at >= ram + m->ram_size || (at - ram) % XIDS_PAGE_SIZE != 0)
        return 0;
    return (uint32_t)((at - ram) / XIDS_PAGE_SIZE);
}

static int op_page_alloc(void *ctx, void **pages, unsigned int count)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    uint32_t first;
    if (model_fails(m, XIDS_MODEL_PAGE_ALLOC))
        return -XEN_ENOMEM;
    if (d->gone)
        return -XEN_ENODEV;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX)
        return -XEN_EINVAL;
    int ret = xids_hv_frame_alloc(&m->hv, &first, d->platform.domid, count);
    if (ret == 0)
        *pages = m->ram + (size_t)first * XIDS_PAGE_SIZE;
    return answer(ret);
}

static void op_page_free(void *ctx, void *pages, unsigned int count)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    if (d->gone)
        return;
    int ret = xids_hv_frame_free(&m->hv, d->platform.domid, frame_of(m, pages), count);
    if (ret < 0)
        model_misuse(m, ret == -XEN_EBUSY ? "pages freed while granted" : "pages freed that it does not have",
                     d->platform.domid, pages, count);
}

static int op_grant(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    model_preempt(d->model);
    if (model_fails(m, XIDS_MODEL_GRANT))
        return -XEN_ENOSPC;
    if (d->gone)
        return -XEN_ENODEV;
    return answer(xids_hv_grant(&m->hv, ref, d->platform.domid, domid, frame_of(m, page), flags, XIDS_HV_GRANT_ANY));
}

static int op_grant_end(void *ctx, grant_ref_t ref)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    if (d->gone)
        return -XEN_ENODEV;
    int ret = xids_hv_grant_end(&d->model->hv, d->platform.domid, ref);
    return ret == -XEN_ENOENT ? -XEN_EINVAL : answer(ret);
}

static struct model_area *area_add(struct model_domain *d, uint32_t count, bool share)
{
    struct model_area *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    *a = (struct model_area){.next = d->areas, .count = count, .share = share};
    d->areas = a;
    return a;
}

/* Of several, the oldest: a page that is mapped twice can have one address. */
static struct model_area **area_find(struct model_domain *d, const void *at, uint32_t count, bool share)
{
    struct model_area **found = NULL, **a = &d->areas;
    for (; *a; a = &(*a)->next)
        if ((*a)->at == at && (*a)->count == count && (*a)->share == share)
            found = a;
    return found ? found : a;
}

static void area_remove(struct model_area **at)
{
    struct model_area *a = *at;
    *at = a->next;
    if (a->mapped)
        munmap(a->at, (size_t)a->count * XIDS_PAGE_SIZE);
    free(a);
}

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *notify)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    uint32_t first;
    model_preempt(d->model);
    if (model_fails(m, XIDS_MODEL_SHARE))
        return -XEN_ENOSPC;
    struct model_area *a = area_add(d, count, true);
    if (!a)
        return -XEN_ENOMEM;
    int ret = xids_hv_share(&m->hv, &a->id, &first, refs, d->owner, domid, count, flags, notify);
    if (ret < 0) {
        area_remove(&d->areas);
        return answer(ret);
    }
    a->at = m->ram + (size_t)first * XIDS_PAGE_SIZE;
    *pages = a->at;
    return 0;
}

static int op_unshare(void *ctx, void *pages, unsigned int count)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    struct model_area **a = area_find(d, pages, count, true);
    model_preempt(d->model);
    if (!*a) {
        model_misuse(m, "pages unshared that were not shared so", d->platform.domid, pages, count);
        return -XEN_EINVAL;
    }
    int ret = xids_hv_unshare(&m->hv, d->owner, (*a)->id);
    area_remove(a);
    return answer(ret);
}

/* Maps frames one behind the other at an address of their own. */
static int area_map(struct xids_model *m, struct model_area *a, const uint32_t *frames, bool readonly)
{
    size_t size = (size_t)a->count * XIDS_PAGE_SIZE;
    int prot = readonly ? PROT_READ : PROT_READ | PROT_WRITE;
    char *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return -XEN_ENOMEM;
    for (uint32_t i = 0, n; i < a->count; i += n) {
        for (n = 1; i + n < a->count && frames[i + n] == frames[i] + n;)
            n++;
        if (mmap(at + (size_t)i * XIDS_PAGE_SIZE, (size_t)n * XIDS_PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, m->ram_fd,
                 (off_t)frames[i] * XIDS_PAGE_SIZE) == MAP_FAILED) {
            munmap(at, size);
            return -XEN_ENOMEM;
        }
    }
    a->at = at;
    a->mapped = true;
    return 0;
}

static bool in_a_row(const uint32_t *frames, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (frames[i] != frames[0] + i)
            return false;
    return true;
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    uint32_t frames[XIDS_PLATFORM_PAGES_MAX];
    model_preempt(d->model);
    if (model_fails(m, XIDS_MODEL_MAP))
        return -XEN_ENOMEM;
    struct model_area *a = area_add(d, count, false);
    if (!a)
        return -XEN_ENOMEM;
    int ret = xids_hv_map(&m->hv, &a->id, frames, d->owner, domid, refs, count, flags, NULL);
    if (ret == 0) {
        uint32_t id = a->id;
        if ((m->flags & XIDS_MODEL_SEPARATE) == 0 && in_a_row(frames, count))
            a->at = m->ram + (size_t)frames[0] * XIDS_PAGE_SIZE;
        else
            ret = area_map(m, a, frames, (flags & XIDS_MAP_READONLY) != 0);
        /* Only now, so that undoing a map that nobody got to see notifies nobody. */
        if (ret == 0 && notify)
            ret = xids_hv_set_notify(&m->hv, d->owner, id, notify);
        if (ret < 0)
            (void)!xids_hv_unmap(&m->hv, d->owner, id);
    }
    if (ret < 0) {
        area_remove(&d->areas);
        return answer(ret);
    }
    *area = (void XIDS_PEER *)a->at;
    return 0;
}

static int op_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct model_domain *d = ctx;
    struct model_area **a = area_find(d, XIDS_PEER_RAW(void, area), count, false);
    model_preempt(d->model);
    if (!*a) {
        model_misuse(d->model, "an area unmapped that was not mapped so", d->platform.domid, XIDS_PEER_RAW(void, area),
                     count);
        return -XEN_EINVAL;
    }
    int ret = xids_hv_unmap(&d->model->hv, d->owner, (*a)->id);
    area_remove(a);
    return answer(ret);
}

static int op_copy(void *ctx, struct xids_grant_copy *copies, unsigned int count)
{
    struct model_domain *d = ctx;
    bool fails = count != 0 && model_fails(d->model, XIDS_MODEL_COPY);
    int ret = xids_hv_copy(&d->model->hv, d->owner, copies + fails, count - fails);
    model_preempt(d->model);
    if (fails)
        copies[0].status = -XEN_EAGAIN;
    return answer(ret);
}

static int op_evtchn_alloc(void *ctx, domid_t remote)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    if (model_fails(d->model, XIDS_MODEL_EVTCHN_ALLOC))
        return -XEN_ENOSPC;
    return answer(xids_hv_evtchn_alloc(&d->model->hv, d->owner, remote));
}

static int op_evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    if (model_fails(d->model, XIDS_MODEL_EVTCHN_BIND))
        return -XEN_ENOSPC;
    return answer(xids_hv_evtchn_bind(&d->model->hv, d->owner, remote, remote_port));
}

static int op_evtchn_bind_virq(void *ctx, unsigned int virq)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    if (model_fails(d->model, XIDS_MODEL_EVTCHN_BIND_VIRQ))
        return -XEN_ENOSPC;
    return answer(xids_hv_evtchn_bind_virq(&d->model->hv, d->owner, virq));
}

/* A port that is not ours, while we live, breaks the bound on the argument. */
static int port_answer(struct model_domain *d, int ret)
{
    if (ret == -XEN_ENOTCONN)
        return d->gone ? -XEN_ENODEV : -XEN_EINVAL;
    return answer(ret);
}

static int op_evtchn_notify(void *ctx, evtchn_port_t port)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    if (model_fails(d->model, XIDS_MODEL_EVTCHN_NOTIFY))
        return -XEN_EIO;
    return port_answer(d, xids_hv_evtchn_notify(&d->model->hv, d->owner, port));
}

static int op_evtchn_mask(void *ctx, evtchn_port_t port)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    return port_answer(d, xids_hv_evtchn_mask(&d->model->hv, d->owner, port));
}

static int op_evtchn_unmask(void *ctx, evtchn_port_t port)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    if (model_fails(d->model, XIDS_MODEL_EVTCHN_UNMASK))
        return -XEN_EIO;
    return port_answer(d, xids_hv_evtchn_unmask(&d->model->hv, d->owner, port));
}

static int op_evtchn_close(void *ctx, evtchn_port_t port)
{
    struct model_domain *d = ctx;
    model_preempt(d->model);
    return port_answer(d, xids_hv_evtchn_close(&d->model->hv, d->owner, port));
}

static int op_evtchn_status(void *ctx, evtchn_port_t port)
{
    struct model_domain *d = ctx;
    struct xids_hv_port status;
    model_preempt(d->model);
    if (d->gone)
        return -XEN_ENODEV;
    int ret = xids_hv_evtchn_status(&d->model->hv, &status, d->platform.domid, d->platform.domid, port);
    return ret < 0 ? answer(ret) : (int)status.state;
}

bool model_pending(struct model_domain *d)
{
    struct xids_hv_port status;
    while (d->count != 0) {
        evtchn_port_t port = d->queue[d->head & (d->room - 1u)];
        if (xids_hv_evtchn_status(&d->model->hv, &status, d->platform.domid, d->platform.domid, port) == 0 &&
            status.queued && status.owner == d->owner)
            return true;
        (void)model_queue_pop(d);
    }
    return false;
}

static int op_evtchn_pending(void *ctx)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    model_preempt(d->model);
    if (d->gone)
        return -XEN_ENODEV;
    for (;;) {
        model_lock(m);
        evtchn_port_t port = d->count == 0 ? 0 : model_queue_pop(d);
        model_unlock(m);
        if (port == 0)
            return 0;
        if (xids_hv_evtchn_take(&m->hv, d->owner, port) == 1)
            return (int)port;
    }
}

/*
 * Threaded: any number in the queue counts, for asking the hypervisor about it would take its lock after ours. A stale
 * one makes a return of 1 with nothing to take, which a caller must bear anyway.
 */
static int wait_threaded(struct model_domain *d, uint64_t deadline)
{
    struct xids_model *m = d->model;
    uint64_t shift = __atomic_load_n(&m->now, __ATOMIC_RELAXED);
    struct timespec until = {0};
    if (deadline != UINT64_MAX && deadline > shift) {
        until.tv_sec = (time_t)((deadline - shift) / 1000000000u);
        until.tv_nsec = (long)((deadline - shift) % 1000000000u);
    }
    int ret = 0, late = 0;
    model_lock(m);
    while (!d->gone && (d->paused || d->count == 0) && late == 0)
        late = deadline == UINT64_MAX ? pthread_cond_wait(&m->woken, &m->lock)
                                      : pthread_cond_timedwait(&m->woken, &m->lock, &until);
    if (d->gone)
        ret = -XEN_ENODEV;
    else if (!d->paused && d->count != 0)
        ret = 1;
    model_unlock(m);
    return ret;
}

static int op_wait(void *ctx, uint64_t deadline)
{
    struct model_domain *d = ctx;
    struct xids_model *m = d->model;
    if (model_fails(m, XIDS_MODEL_WAIT))
        return -XEN_EINTR;
    if ((m->flags & XIDS_MODEL_THREADED) != 0)
        return wait_threaded(d, deadline);
    for (;;) {
        if (d->gone)
            return -XEN_ENODEV;
        if (!d->paused && model_pending(d))
            return 1;
        if (!d->paused && m->now >= deadline)
            return 0;
        if (model_step(m))
            continue;
        uint64_t next = model_next_deadline(m);
        if (!d->paused && deadline < next)
            next = deadline;
        if (next >= XIDS_MODEL_DONE)
            return -XEN_EDEADLK;
        m->now = next;
    }
}

static uint64_t op_now(void *ctx)
{
    struct model_domain *d = ctx;
    return xids_model_now(d->model);
}

const struct xids_platform_ops model_platform_ops = {
    .page_alloc = op_page_alloc,
    .page_free = op_page_free,
    .grant = op_grant,
    .grant_end = op_grant_end,
    .share = op_share,
    .unshare = op_unshare,
    .map = op_map,
    .unmap = op_unmap,
    .copy = op_copy,
    .evtchn_alloc = op_evtchn_alloc,
    .evtchn_bind = op_evtchn_bind,
    .evtchn_bind_virq = op_evtchn_bind_virq,
    .evtchn_notify = op_evtchn_notify,
    .evtchn_mask = op_evtchn_mask,
    .evtchn_unmask = op_evtchn_unmask,
    .evtchn_close = op_evtchn_close,
    .evtchn_status = op_evtchn_status,
    .evtchn_pending = op_evtchn_pending,
    .wait = op_wait,
    .now = op_now,
};
