/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE /* memfd_create */
#include "tests/unit/guest_fake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

#define PAGES 4096u
/* Grant tables of version 1 name pages by 32 bits, so our memory must lie low. */
#define LOW 0x20000000u
#define LOW_STEP 0x2000000u
#define BITS 64u

struct fake_xen fake;
struct xids_guest guest_the;

static uint8_t *memory, *space;
static bool taken[PAGES];
static struct grant_entry_v1 *table;
static unsigned int table_frames;
static struct shared_info *shared;
static int peer_fd = -1;

static _Noreturn void die(void)
{
    abort();
}

static void *low_pages(unsigned int place, size_t pages, int prot)
{
    void *hint = (void *)(uintptr_t)(LOW + place * LOW_STEP); /* not MAP_FIXED: somebody may be there */
    void *at = mmap(hint, pages * XIDS_PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || (uintptr_t)at >> 44 != 0)
        die();
    return at;
}

/* ---- memory.c ---- */

void *guest_pages_get(unsigned int count)
{
    unsigned int run = 0;
    if (count > fake.pages_left)
        return NULL;
    for (unsigned int i = 0; i < PAGES; i++) {
        run = taken[i] ? 0 : run + 1;
        if (run == count) {
            void *at = memory + (size_t)(i + 1 - count) * XIDS_PAGE_SIZE;
            memset(&taken[i + 1 - count], true, count);
            memset(at, 0, (size_t)count * XIDS_PAGE_SIZE);
            fake.pages += count;
            fake.pages_left -= count;
            return at;
        }
    }
    return NULL;
}

void guest_pages_put(void *pages, unsigned int count)
{
    size_t first = (size_t)((uint8_t *)pages - memory) / XIDS_PAGE_SIZE;
    for (unsigned int i = 0; i < count; i++) {
        if (!taken[first + i])
            die();
        taken[first + i] = false;
    }
    fake.pages -= count;
    fake.pages_left += count;
}

/* ---- time.c and the architecture ---- */

static void moment(void)
{
    if (fake.moment != NULL)
        fake.moment(fake.moments++);
}

uint64_t guest_now(void)
{
    moment();
    return fake.now;
}

void guest_timer_set(uint64_t deadline)
{
    moment();
    fake.timer_sets++;
    fake.timer_at = deadline;
}

evtchn_port_t guest_timer_port(void)
{
    return fake.timer;
}

int arch_upcall_init(void)
{
    return 0;
}

void arch_idle_begin(void)
{
    moment();
    fake.woken = false;
}

void arch_idle(void)
{
    moment();
    fake.idles++;
    if (fake.idle != NULL)
        fake.idle();
    if (fake.woken)
        return;
    if (fake.idle_event != 0) {
        fake_event(fake.idle_event);
    } else if (fake.timer_at != UINT64_MAX) {
        if (fake.now < fake.timer_at)
            fake.now = fake.timer_at;
        fake.timer_at = UINT64_MAX;
        fake_event(fake.timer);
    }
    if (!fake.woken) {
        /* A real guest would sleep on; the test goes on, and fails. */
        fake.slept_forever = true;
        fake.now = UINT64_MAX;
    }
}

/* ---- event channels ---- */

static bool bit_take(xen_ulong_t *bits, unsigned int n)
{
    xen_ulong_t bit = (xen_ulong_t)1 << (n % BITS);
    bool was = (bits[n / BITS] & bit) != 0;
    bits[n / BITS] |= bit;
    return was;
}

void fake_event(evtchn_port_t port)
{
    struct vcpu_info *cpu = &shared->vcpu_info[0];
    if (bit_take(shared->evtchn_pending, port) || (shared->evtchn_mask[port / BITS] >> (port % BITS) & 1u) != 0)
        return;
    if (bit_take(&cpu->evtchn_pending_sel, port / BITS))
        return;
    cpu->evtchn_upcall_pending = 1;
    guest_upcall();
    if (cpu->evtchn_upcall_pending != 0)
        die(); /* Xen would interrupt for ever */
    fake.woken = true;
}

void fake_peer_close(evtchn_port_t port)
{
    fake.ports[port].state = XIDS_EVTCHN_UNBOUND;
}

void fake_peer_bind(evtchn_port_t port)
{
    fake.ports[port].state = XIDS_EVTCHN_INTERDOMAIN;
    fake.ports[port].remote_port = 0;
}

/* The lowest free one, so that numbers come back at once. */
static evtchn_port_t port_new(enum xids_evtchn_state state, domid_t remote)
{
    evtchn_port_t port = 1;
    while (port < FAKE_PORTS && fake.ports[port].state != XIDS_EVTCHN_CLOSED)
        port++;
    if (port < FAKE_PORTS) {
        fake.ports[port] = (struct fake_port){.state = state, .remote = remote};
        fake.ports_out++;
    }
    return port;
}

static struct fake_port *port_at(evtchn_port_t port)
{
    return port < FAKE_PORTS && fake.ports[port].state != XIDS_EVTCHN_CLOSED ? &fake.ports[port] : NULL;
}

static int op_bind(struct evtchn_bind_interdomain *op)
{
    if (op->remote_dom != FAKE_DOMID && op->remote_dom != FAKE_PEER)
        return -XEN_ESRCH;
    if (op->remote_dom == FAKE_DOMID &&
        (op->remote_port >= FAKE_PORTS || fake.ports[op->remote_port].state != XIDS_EVTCHN_UNBOUND))
        return -XEN_EINVAL;
    op->local_port = port_new(XIDS_EVTCHN_INTERDOMAIN, op->remote_dom);
    if (op->local_port == FAKE_PORTS)
        return -XEN_ENOSPC;
    if (op->remote_dom == FAKE_DOMID) {
        fake.ports[op->local_port].remote_port = op->remote_port;
        fake.ports[op->remote_port].state = XIDS_EVTCHN_INTERDOMAIN;
        fake.ports[op->remote_port].remote_port = op->local_port;
    }
    fake_event(op->local_port);
    return 0;
}

static int op_send(const struct evtchn_send *op)
{
    const struct fake_port *p = port_at(op->port);
    if (p == NULL || p->state == XIDS_EVTCHN_VIRQ)
        return -XEN_EINVAL;
    if (p->state == XIDS_EVTCHN_INTERDOMAIN && p->remote_port != 0)
        fake_event(p->remote_port);
    return 0;
}

static int op_close(const struct evtchn_close *op)
{
    struct fake_port *p = port_at(op->port);
    if (p == NULL)
        return -XEN_EINVAL;
    if (p->remote_port != 0) {
        fake.ports[p->remote_port].state = XIDS_EVTCHN_UNBOUND;
        fake.ports[p->remote_port].remote_port = 0;
    }
    *p = (struct fake_port){.state = XIDS_EVTCHN_CLOSED};
    fake.ports_out--;
    return 0;
}

static int op_status(struct evtchn_status *op)
{
    static const uint32_t states[] = {EVTCHNSTAT_closed, EVTCHNSTAT_unbound, EVTCHNSTAT_interdomain, EVTCHNSTAT_virq};
    if (op->port >= FAKE_PORTS)
        return -XEN_EINVAL;
    op->status = states[fake.ports[op->port].state];
    return 0;
}

static int event_channel_op(unsigned int cmd, void *arg)
{
    struct evtchn_alloc_unbound *alloc = arg;
    struct evtchn_bind_virq *virq = arg;
    switch (cmd) {
    case EVTCHNOP_alloc_unbound:
        alloc->port = port_new(XIDS_EVTCHN_UNBOUND, alloc->remote_dom);
        return alloc->port == FAKE_PORTS ? -XEN_ENOSPC : 0;
    case EVTCHNOP_bind_virq:
        virq->port = port_new(XIDS_EVTCHN_VIRQ, 0);
        return virq->port == FAKE_PORTS ? -XEN_ENOSPC : 0;
    case EVTCHNOP_bind_interdomain:
        return op_bind(arg);
    case EVTCHNOP_send:
        return op_send(arg);
    case EVTCHNOP_close:
        return op_close(arg);
    case EVTCHNOP_status:
        return op_status(arg);
    default:
        return -XEN_ENOSYS;
    }
}

/* ---- memory ---- */

static void *in_space(uint64_t gfn)
{
    uint8_t *at = (uint8_t *)(uintptr_t)(gfn * XIDS_PAGE_SIZE);
    if (at < space || at >= space + (size_t)FAKE_SPACE * XIDS_PAGE_SIZE)
        die();
    return at;
}

static void *put_behind(void *at, int prot, int fd, uint64_t page)
{
    int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    if (mmap(at, XIDS_PAGE_SIZE, prot, flags, fd, fd < 0 ? 0 : (off_t)(page * XIDS_PAGE_SIZE)) != at)
        die();
    return at;
}

static int add_to_physmap(const struct xen_add_to_physmap *op)
{
    if (op->space == XENMAPSPACE_grant_table && op->idx >= fake.frames_max)
        return -XEN_EINVAL;
    void *at = put_behind(in_space(op->gpfn), PROT_READ | PROT_WRITE, -1, 0);
    if (op->space == XENMAPSPACE_shared_info) {
        shared = at;
    } else {
        if (op->idx == 0)
            table = at;
        if (at != (uint8_t *)table + op->idx * XIDS_PAGE_SIZE)
            die();
        table_frames = (unsigned int)op->idx + 1;
    }
    return 0;
}

static struct grant_entry_v1 *entry(grant_ref_t ref)
{
    return ref < table_frames * (XIDS_PAGE_SIZE / sizeof(*table)) ? &table[ref] : NULL;
}

bool fake_peer_map(grant_ref_t ref, bool write)
{
    struct grant_entry_v1 *e = entry(ref);
    if (e == NULL || (e->flags & GTF_type_mask) != GTF_permit_access || e->domid != FAKE_PEER ||
        (write && (e->flags & GTF_readonly) != 0))
        return false;
    e->flags |= write ? GTF_reading | GTF_writing : GTF_reading;
    return true;
}

void fake_peer_unmap(grant_ref_t ref)
{
    struct grant_entry_v1 *e = &table[ref];
    e->flags = (uint16_t)(e->flags & ~(GTF_reading | GTF_writing));
}

uintptr_t fake_granted_page(grant_ref_t ref)
{
    return (uintptr_t)table[ref].frame * XIDS_PAGE_SIZE;
}

static int16_t usable(domid_t domid, grant_ref_t ref, bool write)
{
    if (domid != FAKE_PEER)
        return GNTST_bad_domain;
    if (ref >= FAKE_PEER_REFS)
        return GNTST_bad_gntref;
    struct fake_grant *g = &fake.grants[ref];
    if (!g->granted || (write && g->readonly))
        return GNTST_general_error;
    if (g->eagain > 0) {
        g->eagain--;
        return GNTST_eagain;
    }
    return GNTST_okay;
}

static void map_one(struct gnttab_map_grant_ref *op)
{
    bool readonly = (op->flags & GNTMAP_readonly) != 0;
    op->status = usable(op->dom, op->ref, !readonly);
    if (op->status != GNTST_okay)
        return;
    put_behind(in_space(op->host_addr / XIDS_PAGE_SIZE), readonly ? PROT_READ : PROT_READ | PROT_WRITE, peer_fd,
               op->ref);
    op->handle = op->ref + 1000;
    fake.grants[op->ref].maps++;
    fake.maps_out++;
}

static void unmap_one(struct gnttab_unmap_grant_ref *op)
{
    unsigned int ref = op->handle - 1000;
    if (ref >= FAKE_PEER_REFS || fake.grants[ref].maps == 0) {
        op->status = GNTST_bad_handle;
        return;
    }
    put_behind(in_space(op->host_addr / XIDS_PAGE_SIZE), PROT_NONE, -1, 0);
    fake.grants[ref].maps--;
    fake.maps_out--;
    op->status = GNTST_okay;
}

static void copy_one(struct gnttab_copy *op)
{
    bool to = (op->flags & GNTCOPY_dest_gref) != 0;
    const struct gnttab_copy_ptr *grant = to ? &op->dest : &op->source, *own = to ? &op->source : &op->dest;
    if (grant->offset + op->len > XIDS_PAGE_SIZE || own->offset + op->len > XIDS_PAGE_SIZE) {
        op->status = GNTST_bad_copy_arg;
        return;
    }
    op->status = usable(grant->domid, grant->u.ref, to);
    if (op->status != GNTST_okay)
        return;
    uint8_t *theirs = fake.peer_pages + (size_t)grant->u.ref * XIDS_PAGE_SIZE + grant->offset;
    uint8_t *ours = (uint8_t *)(uintptr_t)(own->u.gmfn * XIDS_PAGE_SIZE + own->offset);
    memcpy(to ? theirs : ours, to ? ours : theirs, op->len);
}

static int grant_table_op(unsigned int cmd, void *ops, unsigned int count, int16_t first)
{
    struct gnttab_query_size *size = ops;
    struct gnttab_map_grant_ref *map = ops;
    struct gnttab_unmap_grant_ref *unmap = ops;
    struct gnttab_copy *copy = ops;
    for (unsigned int i = 0; i < count; i++) {
        bool fails = i == 0 && first != GNTST_okay;
        switch (cmd) {
        case GNTTABOP_query_size:
            size->nr_frames = 1;
            size->max_nr_frames = fake.frames_max;
            size->status = first;
            break;
        case GNTTABOP_map_grant_ref:
            if (fails)
                map[i].status = first;
            else
                map_one(&map[i]);
            break;
        case GNTTABOP_unmap_grant_ref:
            if (fails)
                unmap[i].status = first;
            else
                unmap_one(&unmap[i]);
            break;
        case GNTTABOP_copy:
            if (fails)
                copy[i].status = first;
            else
                copy_one(&copy[i]);
            break;
        default:
            return -XEN_ENOSYS;
        }
    }
    return 0;
}

long arch_hypercall(unsigned long number, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5)
{
    void *arg = (void *)a2;
    struct xen_hvm_param *param = arg;
    bool fails = fake.fail_in > 0 && --fake.fail_in == 0;
    (void)a4;
    (void)a5;
    fake.calls++;
    if (fails && (fake.fail_status == GNTST_okay || number != __HYPERVISOR_grant_table_op))
        return -XEN_EFAULT;
    switch (number) {
    case __HYPERVISOR_memory_op:
        return add_to_physmap(arg);
    case __HYPERVISOR_grant_table_op:
        return grant_table_op((unsigned int)a1, arg, (unsigned int)a3, fails ? fake.fail_status : (int16_t)GNTST_okay);
    case __HYPERVISOR_event_channel_op:
        return event_channel_op((unsigned int)a1, arg);
    case __HYPERVISOR_hvm_op:
        param->value = fake.params[param->index % 64];
        return a1 == HVMOP_get_param ? 0 : -XEN_ENOSYS;
    case __HYPERVISOR_sched_op:
        fake.suspends++;
        if (fake.suspended != NULL)
            fake.suspended();
        return fake.suspend_result;
    default:
        return -XEN_ENOSYS;
    }
}

/* ---- the test's view ---- */

void fake_init(void)
{
    fake = (struct fake_xen){.frames_max = 2, .pages_left = PAGES, .timer_at = UINT64_MAX, .now = 1000};
    guest_the = (struct xids_guest){.platform.domid = FAKE_DOMID};
    memset(taken, 0, sizeof(taken));
    memory = low_pages(0, PAGES, PROT_READ | PROT_WRITE);
    space = low_pages(1, FAKE_SPACE, PROT_NONE);
    peer_fd = memfd_create("peer", MFD_CLOEXEC);
    if (peer_fd < 0 || ftruncate(peer_fd, (off_t)FAKE_PEER_REFS * XIDS_PAGE_SIZE) < 0)
        die();
    fake.peer_pages =
        mmap(NULL, (size_t)FAKE_PEER_REFS * XIDS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, peer_fd, 0);
    if (fake.peer_pages == MAP_FAILED)
        die();
    struct guest_boot boot = {.space_start = (uintptr_t)space,
                              .space_end = (uintptr_t)space + (uintptr_t)FAKE_SPACE * XIDS_PAGE_SIZE};
    if (guest_space_init(&boot) < 0 || guest_shared_info_init() < 0 || guest_events_init(false) < 0)
        die();
    int timer = guest_evtchn_bind_virq(NULL, VIRQ_TIMER);
    if (timer <= 0 || guest_grants_init(false) < 0)
        die();
    fake.timer = (evtchn_port_t)timer;
}

void fake_fini(void)
{
    munmap(memory, (size_t)PAGES * XIDS_PAGE_SIZE);
    munmap(space, (size_t)FAKE_SPACE * XIDS_PAGE_SIZE);
    munmap(fake.peer_pages, (size_t)FAKE_PEER_REFS * XIDS_PAGE_SIZE);
    close(peer_fd);
}

unsigned int fake_free_space(void)
{
    static uintptr_t got[FAKE_SPACE];
    unsigned int n = 0;
    while (n < FAKE_SPACE && (got[n] = guest_space_get(1)) != 0)
        n++;
    for (unsigned int i = 0; i < n; i++)
        guest_space_put(got[i], 1);
    return n;
}

unsigned int fake_free_refs(void)
{
    static grant_ref_t refs[64 * 512];
    unsigned int n = 0;
    while (guest_grant(NULL, &refs[n], FAKE_PEER, memory, 0) == 0)
        n++;
    for (unsigned int i = 0; i < n; i++)
        if (guest_grant_end(NULL, refs[i]) < 0)
            die();
    return n;
}
