/* SPDX-License-Identifier: ISC */
#include "bench/vchan_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#define PAGES 600u
#define FIRST_REF 8u
#define PORT(side) ((evtchn_port_t)(1 + (side)))

struct shared {
    uint32_t used;     /* pages handed out */
    uint32_t store[2]; /* ring-ref, event-channel */
    uint64_t calls;
};

static uint8_t *arena;
static struct shared *shared;
static int events[2] = {-1, -1};
static int self;

int machine_start(void)
{
    arena = mmap(NULL, (size_t)PAGES * XIDS_PAGE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    events[0] = eventfd(0, EFD_CLOEXEC);
    events[1] = eventfd(0, EFD_CLOEXEC);
    self = 0;
    return arena == MAP_FAILED || shared == MAP_FAILED || events[0] < 0 || events[1] < 0 ? -1 : 0;
}

void machine_stop(void)
{
    (void)munmap(arena, (size_t)PAGES * XIDS_PAGE_SIZE);
    (void)munmap(shared, sizeof(*shared));
    (void)close(events[0]);
    (void)close(events[1]);
}

void machine_be(int side)
{
    self = side;
}

uint64_t machine_calls(void)
{
    return __atomic_load_n(&shared->calls, __ATOMIC_RELAXED);
}

static void count_call(void)
{
    (void)__atomic_fetch_add(&shared->calls, 1u, __ATOMIC_RELAXED);
}

static int notify(void)
{
    const uint64_t one = 1;
    count_call();
    return write(events[1 - self], &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : -XEN_EIO;
}

void machine_nap(void)
{
    uint64_t times;
    count_call();
    if (read(events[self], &times, sizeof(times)) != (ssize_t)sizeof(times))
        abort();
}

static void *hand_out(uint32_t *refs, uint32_t count)
{
    if (shared->used + count > PAGES)
        return NULL;
    uint8_t *pages = arena + (size_t)shared->used * XIDS_PAGE_SIZE;
    for (uint32_t i = 0; i < count; i++)
        refs[i] = FIRST_REF + shared->used + i;
    shared->used += count;
    return pages;
}

static uint8_t *find(uint32_t ref)
{
    return ref < FIRST_REF || ref - FIRST_REF >= PAGES ? NULL : arena + (size_t)(ref - FIRST_REF) * XIDS_PAGE_SIZE;
}

/* ---- for xids ---- */

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *on_unmap)
{
    (void)ctx;
    (void)domid;
    (void)flags;
    (void)on_unmap;
    *pages = hand_out(refs, count);
    return *pages != NULL ? 0 : -XEN_ENOSPC;
}

static int op_unshare(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    (void)pages;
    (void)count;
    return 0;
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *on_unmap)
{
    (void)ctx;
    (void)domid;
    (void)count;
    (void)flags;
    (void)on_unmap;
    *area = find(refs[0]);
    return *area != NULL ? 0 : -XEN_EACCES;
}

static int op_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    (void)ctx;
    (void)area;
    (void)count;
    return 0;
}

static int op_alloc(void *ctx, domid_t remote)
{
    (void)ctx;
    (void)remote;
    return (int)PORT(self);
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    (void)ctx;
    (void)remote;
    (void)port;
    return (int)PORT(self);
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return notify();
}

static int op_none(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return 0;
}

const struct xids_platform *machine_platform(void)
{
    static const struct xids_platform_ops ops = {
        .share = op_share,
        .unshare = op_unshare,
        .map = op_map,
        .unmap = op_unmap,
        .evtchn_alloc = op_alloc,
        .evtchn_bind = op_bind,
        .evtchn_notify = op_notify,
        .evtchn_unmask = op_none,
        .evtchn_close = op_none,
    };
    static struct xids_platform platform = {.ops = &ops};
    return &platform;
}

/* ---- for libxenvchan: handles are never looked into, any address will do ---- */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return (xenevtchn_handle *)(void *)&events[self];
}

int xenevtchn_close(xenevtchn_handle *handle)
{
    (void)handle;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *handle, uint32_t domid)
{
    (void)handle;
    (void)domid;
    return (xenevtchn_port_or_error_t)PORT(self);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *handle, uint32_t domid, evtchn_port_t port)
{
    (void)handle;
    (void)domid;
    (void)port;
    return (xenevtchn_port_or_error_t)PORT(self);
}

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port)
{
    (void)handle;
    (void)port;
    return 0;
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
    (void)handle;
    (void)port;
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port)
{
    (void)handle;
    (void)port;
    return notify();
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle)
{
    (void)handle;
    machine_nap();
    return (xenevtchn_port_or_error_t)PORT(self);
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return (xengntshr_handle *)(void *)&events[self];
}

int xengntshr_close(xengntshr_handle *handle)
{
    (void)handle;
    return 0;
}

void *xengntshr_share_pages(xengntshr_handle *handle, uint32_t domid, int count, uint32_t *refs, int writable)
{
    (void)handle;
    (void)domid;
    (void)writable;
    return hand_out(refs, (uint32_t)count);
}

void *xengntshr_share_page_notify(xengntshr_handle *handle, uint32_t domid, uint32_t *ref, int writable,
                                  uint32_t offset, evtchn_port_t port)
{
    (void)offset;
    (void)port;
    return xengntshr_share_pages(handle, domid, 1, ref, writable);
}

int xengntshr_unshare(xengntshr_handle *handle, void *pages, uint32_t count)
{
    (void)handle;
    (void)pages;
    (void)count;
    return 0;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return (xengnttab_handle *)(void *)&events[self];
}

int xengnttab_close(xengnttab_handle *handle)
{
    (void)handle;
    return 0;
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *handle, uint32_t domid, uint32_t ref, int prot, uint32_t offset,
                                     evtchn_port_t port)
{
    (void)handle;
    (void)domid;
    (void)prot;
    (void)offset;
    (void)port;
    return find(ref);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *handle, uint32_t count, uint32_t domid, uint32_t *refs,
                                      int prot)
{
    (void)handle;
    (void)count;
    (void)domid;
    (void)prot;
    return find(refs[0]);
}

int xengnttab_unmap(xengnttab_handle *handle, void *area, uint32_t count)
{
    (void)handle;
    (void)area;
    (void)count;
    return 0;
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)(void *)&events[self];
}

void xs_close(struct xs_handle *handle)
{
    (void)handle;
}

static uint32_t *store_node(const char *path)
{
    const char *leaf = strrchr(path, '/');
    return &shared->store[leaf != NULL && strcmp(leaf, "/event-channel") == 0];
}

void *xs_read(struct xs_handle *handle, xs_transaction_t tx, const char *path, unsigned int *len)
{
    (void)handle;
    (void)tx;
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", strchr(path, '/') == NULL ? 0 : *store_node(path));
    if (len != NULL)
        *len = (unsigned int)n;
    return strdup(text);
}

bool xs_write(struct xs_handle *handle, xs_transaction_t tx, const char *path, const void *data, unsigned int len)
{
    (void)handle;
    (void)tx;
    (void)len;
    *store_node(path) = (uint32_t)strtoul(data, NULL, 10);
    return true;
}

bool xs_rm(struct xs_handle *handle, xs_transaction_t tx, const char *path)
{
    (void)handle;
    (void)tx;
    (void)path;
    return true;
}

bool xs_set_permissions(struct xs_handle *handle, xs_transaction_t tx, const char *path, struct xs_permissions *perms,
                        unsigned int count)
{
    (void)handle;
    (void)tx;
    (void)path;
    (void)perms;
    (void)count;
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *handle)
{
    (void)handle;
    return 1;
}

bool xs_transaction_end(struct xs_handle *handle, xs_transaction_t tx, bool abandon)
{
    (void)handle;
    (void)tx;
    (void)abandon;
    return true;
}
