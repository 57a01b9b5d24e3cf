/* SPDX-License-Identifier: ISC */
#include "tests/unit/xen_fakes.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

struct fakes fakes;
static char handle;

void fakes_init(void)
{
    memset(&fakes, 0, sizeof(fakes));
    if (pipe(fakes.event_pipe) < 0)
        _exit(99);
}

void fakes_fini(void)
{
    close(fakes.event_pipe[0]);
    close(fakes.event_pipe[1]);
}

void fakes_event(uint8_t port)
{
    if (write(fakes.event_pipe[1], &port, 1) != 1)
        _exit(99);
}

/* True when this call is to fail. */
static bool fails(void)
{
    if (fakes.fail == 0 || fakes.fail_after-- > 0)
        return false;
    errno = fakes.fail;
    return true;
}

static void *opened(void)
{
    if (fails())
        return NULL;
    fakes.open++;
    return &handle;
}

static int closed(void)
{
    fakes.open--;
    return 0;
}

static void *pages(unsigned int count)
{
    if (fails())
        return NULL;
    void *at = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* ---- libxenevtchn ---- */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return opened();
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    (void)xce;
    return closed();
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    (void)xce;
    return fails() ? -1 : fakes.event_pipe[0];
}

static xenevtchn_port_or_error_t new_port(void)
{
    return fails() ? -1 : ++fakes.ports;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
    (void)xce;
    (void)domid;
    return new_port();
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid, evtchn_port_t remote_port)
{
    (void)xce;
    (void)domid;
    (void)remote_port;
    errno = fakes.bind_errno;
    return fakes.bind_errno != 0 ? -1 : new_port();
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    (void)xce;
    (void)virq;
    return new_port();
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    (void)port;
    if (fails())
        return -1;
    fakes.notified++;
    return 0;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    (void)port;
    fakes.unbinds++;
    return fails() ? -1 : 0;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    (void)port;
    fakes.unmasks++;
    return fails() ? -1 : 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    uint8_t port;
    (void)xce;
    if (fails())
        return -1;
    return read(fakes.event_pipe[0], &port, 1) == 1 ? port : -1;
}

/* ---- libxengnttab ---- */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    (void)open_flags;
    return opened();
}

int xengnttab_close(xengnttab_handle *xgt)
{
    (void)xgt;
    return closed();
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
    (void)xgt;
    (void)domid;
    (void)refs;
    fakes.prot = prot;
    void *at = pages(count);
    if (at != NULL && count == 1 && fakes.foreign != NULL) {
        munmap(at, PAGE);
        at = fakes.foreign;
    }
    fakes.mapped += at != NULL ? (int)count : 0;
    return at;
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot,
                                     uint32_t notify_offset, evtchn_port_t notify_port)
{
    fakes.notify_offset = notify_offset;
    fakes.notify_port = notify_port;
    return xengnttab_map_domain_grant_refs(xgt, 1, domid, &ref, prot);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
    (void)xgt;
    if (fails())
        return -1;
    fakes.mapped -= (int)count;
    return start_address == fakes.foreign ? 0 : munmap(start_address, count * PAGE);
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
    (void)xgt;
    fakes.copy_calls++;
    if (fails())
        return -1;
    for (uint32_t i = 0; i < count; i++)
        segs[i].status = fakes.copy_status[fakes.copies++ % 64];
    fakes.last_copy = segs[count - 1];
    return 0;
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    (void)open_flags;
    void *h = opened();
    fakes.shares += h != NULL;
    return h;
}

int xengntshr_close(xengntshr_handle *xgs)
{
    (void)xgs;
    return closed();
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable)
{
    (void)xgs;
    (void)domid;
    fakes.writable = writable;
    void *at = pages((unsigned int)count);
    for (int i = 0; at != NULL && i < count; i++)
        refs[i] = (uint32_t)(8 + fakes.shared_pages++);
    return at;
}

void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref, int writable,
                                  uint32_t notify_offset, evtchn_port_t notify_port)
{
    fakes.notify_offset = notify_offset;
    fakes.notify_port = notify_port;
    return xengntshr_share_pages(xgs, domid, 1, ref, writable);
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
    (void)xgs;
    munmap(start_address, count * PAGE);
    fakes.shared_pages -= (int)count;
    return fails() ? -1 : 0;
}

/* ---- libxenctrl ---- */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger, unsigned open_flags)
{
    (void)logger;
    (void)dombuild_logger;
    (void)open_flags;
    return opened();
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return closed();
}

int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status)
{
    (void)xch;
    if (fails())
        return -1;
    errno = fakes.status_errno;
    if (errno != 0)
        return -1;
    status->status = fakes.status;
    return 0;
}
