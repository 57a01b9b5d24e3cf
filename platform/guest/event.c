/* SPDX-License-Identifier: ISC */
/*
 * Event channels by the two-level ABI: a pending and a mask bit for each port in the page of shared info.
 *
 * Nothing is done in the interrupt but to note it. Ports are found by looking at the bits, never through Xen's
 * selector of words, which only decides whether an event interrupts us: guest_wait clears it, then looks at all bits,
 * then sleeps. An event that comes after the look finds the selector clear and interrupts, so that the sleep ends; one
 * that came before was seen. For the same reason unmasking needs no call to Xen.
 *
 * Xen is trusted here, so these are plain atomic accesses, not those of xids/peer.h.
 */
#include "platform/guest/guest.h"

#include <xen/memory.h>

#define BITS ((unsigned int)(sizeof(xen_ulong_t) * 8))
#define WORDS BITS
#define PORTS (WORDS * BITS)

static struct shared_info *info;
static xen_ulong_t ours[WORDS];    /* ports that are open and belong to somebody here */
static xen_ulong_t closing[WORDS]; /* closed, but a notification still holds them */
static uint16_t pins[PORTS];       /* notifications that name the port */
static unsigned int words;         /* those that hold ports of ours */
static evtchn_port_t next;         /* where the search begins, so that each port gets its turn */
static uint64_t timer_at;          /* what the timer is set to; UINT64_MAX: to nothing, or it has fired */

static bool bit_get(const xen_ulong_t *bits, evtchn_port_t port)
{
    return (__atomic_load_n(&bits[port / BITS], __ATOMIC_RELAXED) >> (port % BITS) & 1u) != 0;
}

/* Both are full barriers: what the sender stored before its event is seen after the bit was taken. */
static void bit_set(xen_ulong_t *bits, evtchn_port_t port)
{
    (void)__atomic_fetch_or(&bits[port / BITS], (xen_ulong_t)1 << (port % BITS), __ATOMIC_SEQ_CST);
}

static void bit_clear(xen_ulong_t *bits, evtchn_port_t port)
{
    (void)__atomic_fetch_and(&bits[port / BITS], ~((xen_ulong_t)1 << (port % BITS)), __ATOMIC_SEQ_CST);
}

/* ---- shared info and the interrupt ---- */

struct shared_info *guest_shared_info(void)
{
    return info;
}

int guest_shared_info_init(void)
{
    static uintptr_t at; /* the same again after a resume */
    if (at == 0)
        at = guest_space_get(1);
    if (at == 0)
        return -XEN_ENOMEM;
    struct xen_add_to_physmap map = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = at / XIDS_PAGE_SIZE};
    int rc = hypercall_memory_op(XENMEM_add_to_physmap, &map);
    if (rc < 0)
        return rc;
    info = (struct shared_info *)at;
    for (unsigned int i = 0; i < WORDS; i++) {
        __atomic_store_n(&info->evtchn_mask[i], ~(xen_ulong_t)0, __ATOMIC_SEQ_CST);
        ours[i] = closing[i] = 0;
    }
    for (unsigned int i = 0; i < PORTS; i++)
        pins[i] = 0;
    words = 0;
    next = 0;
    timer_at = UINT64_MAX;
    return 0;
}

int guest_events_init(bool again)
{
    (void)again; /* a resumed domain has lost its upcall too */
    return arch_upcall_init();
}

void guest_upcall(void)
{
    /* As long as it is set, Xen interrupts again. */
    __atomic_store_n(&info->vcpu_info[0].evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
}

/* ---- ports ---- */

static bool is_ours(evtchn_port_t port)
{
    return port > 0 && port < PORTS && bit_get(ours, port);
}

int guest_port_adopt(evtchn_port_t port)
{
    if (port == 0 || port >= PORTS)
        return -XEN_EINVAL;
    bit_set(ours, port);
    if (port / BITS >= words)
        words = port / BITS + 1;
    bit_clear(info->evtchn_mask, port);
    return 0;
}

/* Takes in a port that Xen has just made; it can be pending already. */
static int adopt(evtchn_port_t port)
{
    int rc = guest_port_adopt(port);
    if (rc < 0) {
        struct evtchn_close op = {.port = port};
        (void)hypercall_event_channel_op(EVTCHNOP_close, &op);
        return -XEN_ENOSPC;
    }
    return (int)port;
}

/* Xen's way of saying that there is no such domain. */
static int answer(int rc)
{
    return rc == -XEN_ESRCH ? -XEN_ENODEV : rc;
}

int guest_evtchn_alloc(void *ctx, domid_t remote)
{
    (void)ctx;
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = remote};
    int rc = hypercall_event_channel_op(EVTCHNOP_alloc_unbound, &op);
    return rc < 0 ? answer(rc) : adopt(op.port);
}

int guest_evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    (void)ctx;
    struct evtchn_bind_interdomain op = {.remote_dom = remote, .remote_port = remote_port};
    int rc = hypercall_event_channel_op(EVTCHNOP_bind_interdomain, &op);
    return rc < 0 ? answer(rc) : adopt(op.local_port);
}

int guest_evtchn_bind_virq(void *ctx, unsigned int virq)
{
    (void)ctx;
    struct evtchn_bind_virq op = {.virq = virq, .vcpu = 0};
    int rc = hypercall_event_channel_op(EVTCHNOP_bind_virq, &op);
    return rc < 0 ? answer(rc) : adopt(op.port);
}

void guest_port_send(evtchn_port_t port)
{
    struct evtchn_send op = {.port = port};
    (void)hypercall_event_channel_op(EVTCHNOP_send, &op);
}

int guest_evtchn_notify(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    struct evtchn_send op = {.port = port};
    return is_ours(port) ? hypercall_event_channel_op(EVTCHNOP_send, &op) : -XEN_EINVAL;
}

int guest_evtchn_mask(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    if (!is_ours(port))
        return -XEN_EINVAL;
    bit_set(info->evtchn_mask, port);
    return 0;
}

int guest_evtchn_unmask(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    if (!is_ours(port))
        return -XEN_EINVAL;
    bit_clear(info->evtchn_mask, port);
    return 0;
}

static int close_now(evtchn_port_t port)
{
    struct evtchn_close op = {.port = port};
    int rc = hypercall_event_channel_op(EVTCHNOP_close, &op);
    /* The number can come back with the next port. */
    bit_clear(info->evtchn_pending, port);
    return rc;
}

int guest_evtchn_close(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    if (!is_ours(port))
        return -XEN_EINVAL;
    bit_set(info->evtchn_mask, port);
    bit_clear(ours, port);
    if (pins[port] == 0)
        return close_now(port);
    bit_set(closing, port);
    return 0;
}

int guest_port_pin(evtchn_port_t port)
{
    if (!is_ours(port) || pins[port] == UINT16_MAX)
        return -XEN_EINVAL;
    pins[port]++;
    return 0;
}

void guest_port_unpin(evtchn_port_t port)
{
    /* After a resume elsewhere there is nothing left to hold. */
    if (pins[port] == 0 || --pins[port] > 0 || !bit_get(closing, port))
        return;
    bit_clear(closing, port);
    (void)close_now(port);
}

int guest_evtchn_status(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    struct evtchn_status op = {.dom = DOMID_SELF, .port = port};
    if (port < PORTS && bit_get(closing, port))
        return XIDS_EVTCHN_CLOSED;
    int rc = hypercall_event_channel_op(EVTCHNOP_status, &op);
    if (rc < 0)
        return rc == -XEN_EINVAL ? XIDS_EVTCHN_CLOSED : answer(rc);
    switch (op.status) {
    case EVTCHNSTAT_closed:
        return XIDS_EVTCHN_CLOSED;
    case EVTCHNSTAT_unbound:
        return XIDS_EVTCHN_UNBOUND;
    case EVTCHNSTAT_interdomain:
        return XIDS_EVTCHN_INTERDOMAIN;
    case EVTCHNSTAT_virq:
        return XIDS_EVTCHN_VIRQ;
    default:
        return XIDS_EVTCHN_OTHER;
    }
}

/* ---- delivery ---- */

/* A port that is pending and not masked, the first at or after next, then those before it; 0: none. */
static evtchn_port_t find(void)
{
    evtchn_port_t timer = guest_timer_port();
    for (unsigned int i = 0; words > 0 && i <= words; i++) {
        unsigned int word = (next / BITS + i) % words;
        xen_ulong_t ready = __atomic_load_n(&info->evtchn_pending[word], __ATOMIC_SEQ_CST);
        ready &= ~__atomic_load_n(&info->evtchn_mask[word], __ATOMIC_RELAXED);
        /* The first word is looked at twice: from next on, and last what is before. */
        if (i == 0)
            ready &= ~(xen_ulong_t)0 << (next % BITS);
        /* The timer's only ends a sleep. */
        if (timer / BITS == word)
            ready &= ~((xen_ulong_t)1 << (timer % BITS));
        if (ready != 0)
            return word * BITS + (evtchn_port_t)__builtin_ctzl(ready);
    }
    return 0;
}

int guest_evtchn_pending(void *ctx)
{
    (void)ctx;
    evtchn_port_t port = find();
    if (port == 0)
        return 0;
    bit_set(info->evtchn_mask, port);
    bit_clear(info->evtchn_pending, port);
    next = port + 1 == words * BITS ? 0 : port + 1;
    return (int)port;
}

int guest_wait(void *ctx, uint64_t deadline)
{
    (void)ctx;
    struct vcpu_info *cpu = &info->vcpu_info[0];
    evtchn_port_t timer = guest_timer_port();
    for (;;) {
        arch_idle_begin();
        __atomic_store_n(&cpu->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
        (void)__atomic_exchange_n(&cpu->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
        if (find() != 0)
            return 1;
        /* Before the look at the clock: a bit left set would keep the next one from interrupting. */
        if (bit_get(info->evtchn_pending, timer)) {
            timer_at = UINT64_MAX;
            bit_clear(info->evtchn_pending, timer);
        }
        if (guest_now() >= deadline)
            return 0;
        bit_clear(info->evtchn_mask, timer);
        /* Most sleeps end by an event, and the next one has the same deadline: that spares a call to Xen. */
        if (timer_at != deadline) {
            timer_at = deadline;
            guest_timer_set(deadline);
        }
        arch_idle();
    }
}
