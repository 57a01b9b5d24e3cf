/* SPDX-License-Identifier: ISC */
/*
 * Event channels. Sending, taking, masking and unmasking change a port's word with one atomic operation and need no
 * lock. That operation is a read-modify-write even when it changes nothing: it orders what the sender stored before the
 * event against what the receiver reads after taking it.
 */
#include "platform/model/hv_block.h"

static uint32_t port_type(uint64_t word)
{
    return (uint32_t)word & HV_PORT_TYPE;
}

static bool port_swap(struct hv_port *p, uint64_t *expected, uint64_t wanted)
{
    return __atomic_compare_exchange_n(&p->word, expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void hv_port_change(struct hv_port *p, uint32_t clear, uint32_t set)
{
    uint64_t word = HV_LOAD(p->word);
    while (!port_swap(p, &word, (word & ~(uint64_t)clear) | set)) {
    }
}

static void port_wake(struct xids_hv *hv, const struct hv_port *p)
{
    if (hv->env.wake)
        hv->env.wake(hv->env.ctx, HV_LOAD(p->owner), HV_LOAD(p->number));
}

void hv_port_raise(struct xids_hv *hv, uint64_t ref)
{
    struct hv_port *p = hv_port_at(hv->block, hv_ref_index(ref));
    uint64_t word = HV_LOAD(p->word), wanted;
    do {
        if (word >> 32 != hv_ref_generation(ref) || port_type(word) == HV_PORT_FREE)
            return;
        wanted = word | ((word & (HV_PORT_QUEUED | HV_PORT_MASKED)) != 0 ? HV_PORT_LATCHED : HV_PORT_QUEUED);
    } while (!port_swap(p, &word, wanted));
    if ((word & (HV_PORT_QUEUED | HV_PORT_MASKED)) == 0)
        port_wake(hv, p);
}

void hv_port_send(struct xids_hv *hv, struct hv_port *p)
{
    uint64_t link = HV_LOAD(p->link);
    if (port_type(HV_LOAD(p->word)) == HV_PORT_INTERDOMAIN && link != 0)
        hv_port_raise(hv, link);
}

void hv_port_link(struct xids_hv_block *b, struct hv_port *p)
{
    struct hv_owner *o = hv_owner_at(b, xids_hv_owner_slot(p->owner));
    uint32_t at = hv_port_index(b, p) + 1u;
    p->prev = 0;
    p->next = o->port_list;
    if (p->next)
        hv_port_at(b, p->next - 1u)->prev = at;
    o->port_list = at;
}

static void port_unlink(struct xids_hv_block *b, struct hv_port *p)
{
    if (p->prev)
        hv_port_at(b, p->prev - 1u)->next = p->next;
    else
        hv_owner_at(b, xids_hv_owner_slot(p->owner))->port_list = p->next;
    if (p->next)
        hv_port_at(b, p->next - 1u)->prev = p->prev;
}

/* A new port of a domain, for an owner or (0) nobody; masked in that case, as there is nobody to queue it for. */
static int port_make(struct xids_hv *hv, struct hv_port **port, uint32_t slot, uint32_t owner, uint32_t type,
                     domid_t remote, uint64_t link, unsigned int virq)
{
    struct xids_hv_block *b = hv->block;
    uint32_t index;
    int number = hv_port_number_take(b, &index, slot, UINT32_MAX);
    if (number < 0)
        return number;
    struct hv_port *p = hv_port_at(b, index);
    HV_STORE(p->owner, owner);
    HV_STORE(p->number, (uint32_t)number);
    p->domain = slot;
    p->remote = remote;
    p->virq = (uint16_t)virq;
    p->pins = 0;
    HV_STORE(p->link, link);
    uint64_t generation = (HV_LOAD(p->word) >> 32) + 1u;
    HV_STORE(p->word, generation << 32 | (owner == 0 ? HV_PORT_MASKED : 0) | type);
    if (owner != 0)
        hv_port_link(b, p);
    hv_domain_at(b, slot)->ports++;
    *port = p;
    return number;
}

static uint64_t port_ref(struct xids_hv_block *b, struct hv_port *p)
{
    return hv_ref(hv_port_index(b, p), (uint32_t)(HV_LOAD(p->word) >> 32));
}

void hv_port_shut(struct xids_hv *hv, struct hv_port *p)
{
    struct xids_hv_block *b = hv->block;
    struct hv_domain *d = hv_domain_at(b, p->domain);
    uint64_t word = HV_LOAD(p->word), link = HV_LOAD(p->link), self = port_ref(b, p);
    if (port_type(word) == HV_PORT_INTERDOMAIN && link != 0) {
        struct hv_port *peer = hv_port_at(b, hv_ref_index(link));
        if (HV_LOAD(peer->link) == self && port_type(HV_LOAD(peer->word)) == HV_PORT_INTERDOMAIN) {
            HV_STORE(peer->link, 0);
            hv_port_change(peer, HV_PORT_TYPE, HV_PORT_UNBOUND);
        }
    } else if (port_type(word) == HV_PORT_VIRQ) {
        if (!hv_virq_is_global(p->virq))
            d->virq[p->virq] = 0;
        else if (b->global_virq[p->virq] == self)
            b->global_virq[p->virq] = 0;
    }
    if (p->owner != 0)
        port_unlink(b, p);
    hv_port_change(p, UINT32_MAX, HV_PORT_FREE);
    HV_STORE(p->owner, 0);
    hv_port_number_put(b, p->domain, p->number);
    d->ports--;
}

void hv_port_close(struct xids_hv *hv, struct hv_port *p)
{
    if (p->pins == 0) {
        hv_port_shut(hv, p);
        return;
    }
    hv_port_change(p, HV_PORT_QUEUED, HV_PORT_CLOSING | HV_PORT_MASKED);
    port_unlink(hv->block, p);
    HV_STORE(p->owner, 0);
}

void hv_port_unpin(struct xids_hv *hv, uint64_t ref)
{
    struct hv_port *p = hv_port_at(hv->block, hv_ref_index(ref));
    uint64_t word = HV_LOAD(p->word);
    if (word >> 32 != hv_ref_generation(ref) || port_type(word) == HV_PORT_FREE)
        return;
    if (--p->pins == 0 && (word & HV_PORT_CLOSING) != 0)
        hv_port_shut(hv, p);
}

/* Takes the lock and finds an owner. Without one, it gives the lock back and returns NULL. */
static struct hv_owner *owner_lock(struct xids_hv *hv, uint32_t owner)
{
    hv_lock(hv);
    struct hv_owner *o = hv_owner_find(hv->block, owner);
    if (!o)
        hv_unlock(hv, 0);
    return o;
}

static uint32_t domid_of(struct xids_hv_block *b, const struct hv_owner *o)
{
    return hv_domain_at(b, o->domain)->domid;
}

int xids_hv_evtchn_alloc(struct xids_hv *hv, uint32_t owner, domid_t remote)
{
    struct hv_port *p;
    const struct hv_owner *o = owner_lock(hv, owner);
    if (!o)
        return -XEN_EBADF;
    if (remote == DOMID_SELF)
        remote = (domid_t)domid_of(hv->block, o);
    if (remote >= HV_DOMIDS)
        return hv_unlock(hv, -XEN_EINVAL);
    return hv_unlock(hv, port_make(hv, &p, o->domain, owner, HV_PORT_UNBOUND, remote, 0, 0));
}

/* The slot of the domain that caller acts for, or an error. */
static int acts_for(struct xids_hv_block *b, domid_t caller, domid_t domid)
{
    uint32_t from = hv_domain_slot(b, caller);
    if (from == 0)
        return -XEN_ESRCH;
    if (domid == DOMID_SELF || domid == caller)
        return (int)from;
    if ((hv_domain_at(b, from)->flags & XIDS_HV_PRIVILEGED) == 0)
        return -XEN_EPERM;
    uint32_t slot = hv_domain_slot(b, domid);
    return slot == 0 ? -XEN_ESRCH : (int)slot;
}

int xids_hv_evtchn_alloc_for(struct xids_hv *hv, domid_t caller, domid_t domid, domid_t remote)
{
    struct hv_port *p;
    hv_lock(hv);
    int slot = acts_for(hv->block, caller, domid);
    if (slot < 0)
        return hv_unlock(hv, slot);
    if (remote == DOMID_SELF)
        remote = caller;
    if (remote >= HV_DOMIDS)
        return hv_unlock(hv, -XEN_EINVAL);
    return hv_unlock(hv, port_make(hv, &p, (uint32_t)slot, 0, HV_PORT_UNBOUND, remote, 0, 0));
}

int xids_hv_evtchn_adopt(struct xids_hv *hv, uint32_t owner, evtchn_port_t port)
{
    const struct hv_owner *o = owner_lock(hv, owner);
    if (!o)
        return -XEN_EBADF;
    struct hv_port *p = hv_port_find(hv->block, o->domain, port);
    if (!p || port_type(HV_LOAD(p->word)) == HV_PORT_FREE)
        return hv_unlock(hv, -XEN_EINVAL);
    if (p->owner != 0 || (HV_LOAD(p->word) & HV_PORT_CLOSING) != 0)
        return hv_unlock(hv, -XEN_EBUSY);
    HV_STORE(p->owner, owner);
    hv_port_link(hv->block, p);
    hv_unlock(hv, 0);
    return xids_hv_evtchn_unmask(hv, owner, port);
}

int xids_hv_evtchn_bind(struct xids_hv *hv, uint32_t owner, domid_t remote, evtchn_port_t remote_port)
{
    struct xids_hv_block *b = hv->block;
    struct hv_port *p;
    const struct hv_owner *o = owner_lock(hv, owner);
    if (!o)
        return -XEN_EBADF;
    domid_t self = (domid_t)domid_of(b, o);
    if (remote == DOMID_SELF)
        remote = self;
    uint32_t slot = hv_domain_slot(b, remote);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    struct hv_port *peer = hv_port_find(b, slot, remote_port);
    uint64_t word = peer ? HV_LOAD(peer->word) : 0;
    if (!peer || port_type(word) != HV_PORT_UNBOUND || (word & HV_PORT_CLOSING) != 0 || peer->remote != self)
        return hv_unlock(hv, -XEN_EINVAL);
    int port = port_make(hv, &p, o->domain, owner, HV_PORT_INTERDOMAIN, remote, port_ref(b, peer), 0);
    if (port > 0) {
        HV_STORE(peer->link, port_ref(b, p));
        hv_port_change(peer, HV_PORT_TYPE, HV_PORT_INTERDOMAIN);
        hv_port_raise(hv, port_ref(b, p));
    }
    return hv_unlock(hv, port);
}

bool hv_virq_is_global(uint32_t virq)
{
    return virq == VIRQ_CONSOLE || virq == VIRQ_DOM_EXC || virq == VIRQ_TBUF || virq == VIRQ_DEBUGGER ||
           virq == VIRQ_CON_RING || virq == VIRQ_PCPU_STATE || virq == VIRQ_MEM_EVENT || virq == VIRQ_ENOMEM;
}

int xids_hv_evtchn_bind_virq(struct xids_hv *hv, uint32_t owner, unsigned int virq)
{
    struct xids_hv_block *b = hv->block;
    struct hv_port *p;
    if (virq >= HV_VIRQS)
        return -XEN_EINVAL;
    const struct hv_owner *o = owner_lock(hv, owner);
    if (!o)
        return -XEN_EBADF;
    struct hv_domain *d = hv_domain_at(b, o->domain);
    bool global = hv_virq_is_global(virq);
    if (global && (d->flags & XIDS_HV_PRIVILEGED) == 0)
        return hv_unlock(hv, -XEN_EPERM);
    if (global ? b->global_virq[virq] != 0 : d->virq[virq] != 0)
        return hv_unlock(hv, -XEN_EEXIST);
    int port = port_make(hv, &p, o->domain, owner, HV_PORT_VIRQ, 0, 0, virq);
    if (port > 0 && global)
        b->global_virq[virq] = port_ref(b, p);
    else if (port > 0)
        d->virq[virq] = (uint32_t)port;
    return hv_unlock(hv, port);
}

void hv_virq_raise_global(struct xids_hv *hv, uint32_t virq)
{
    if (hv->block->global_virq[virq] != 0)
        hv_port_raise(hv, hv->block->global_virq[virq]);
}

int xids_hv_virq_raise(struct xids_hv *hv, domid_t domid, unsigned int virq)
{
    struct xids_hv_block *b = hv->block;
    if (virq >= HV_VIRQS)
        return -XEN_EINVAL;
    hv_lock(hv);
    if (hv_virq_is_global(virq)) {
        hv_virq_raise_global(hv, virq);
        return hv_unlock(hv, 0);
    }
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    struct hv_port *p = hv_port_find(b, slot, hv_domain_at(b, slot)->virq[virq]);
    if (p)
        hv_port_raise(hv, port_ref(b, p));
    return hv_unlock(hv, 0);
}

/* No lock: the port of an owner, with its word; NULL: not one of this owner. */
static struct hv_port *port_of(struct xids_hv *hv, uint64_t *word, uint32_t owner, evtchn_port_t port)
{
    const struct hv_owner *o = hv_owner_find(hv->block, owner);
    if (!o)
        return NULL;
    struct hv_port *p = hv_port_find(hv->block, HV_LOAD(o->domain), port);
    if (!p)
        return NULL;
    *word = HV_LOAD(p->word);
    return port_type(*word) != HV_PORT_FREE && HV_LOAD(p->owner) == owner ? p : NULL;
}

int xids_hv_evtchn_close(struct xids_hv *hv, uint32_t owner, evtchn_port_t port)
{
    uint64_t word;
    hv_lock(hv);
    struct hv_port *p = port_of(hv, &word, owner, port);
    if (p)
        hv_port_close(hv, p);
    return hv_unlock(hv, p ? 0 : -XEN_ENOTCONN);
}

int xids_hv_evtchn_notify(struct xids_hv *hv, uint32_t owner, evtchn_port_t port)
{
    uint64_t word;
    struct hv_port *p = port_of(hv, &word, owner, port);
    if (!p)
        return -XEN_ENOTCONN;
    if (port_type(word) == HV_PORT_VIRQ)
        return -XEN_EINVAL;
    hv_port_send(hv, p);
    return 0;
}

int xids_hv_evtchn_take(struct xids_hv *hv, uint32_t owner, evtchn_port_t port)
{
    uint64_t word;
    struct hv_port *p = port_of(hv, &word, owner, port);
    if (!p)
        return -XEN_ENOTCONN;
    uint64_t generation = word >> 32;
    do {
        if ((word & HV_PORT_QUEUED) == 0 || word >> 32 != generation)
            return 0;
    } while (!port_swap(p, &word, (word & ~(uint64_t)HV_PORT_QUEUED) | HV_PORT_MASKED));
    return 1;
}

int xids_hv_evtchn_mask(struct xids_hv *hv, uint32_t owner, evtchn_port_t port)
{
    uint64_t word, wanted;
    struct hv_port *p = port_of(hv, &word, owner, port);
    if (!p)
        return -XEN_ENOTCONN;
    do {
        wanted = word | HV_PORT_MASKED;
        if ((word & HV_PORT_QUEUED) != 0)
            wanted = (wanted & ~(uint64_t)HV_PORT_QUEUED) | HV_PORT_LATCHED;
    } while (!port_swap(p, &word, wanted));
    return 0;
}

int xids_hv_evtchn_unmask(struct xids_hv *hv, uint32_t owner, evtchn_port_t port)
{
    uint64_t word, wanted;
    struct hv_port *p = port_of(hv, &word, owner, port);
    if (!p)
        return -XEN_ENOTCONN;
    do {
        wanted = word & ~(uint64_t)HV_PORT_MASKED;
        if ((word & HV_PORT_MASKED) != 0 && (word & HV_PORT_LATCHED) != 0)
            wanted = (wanted & ~(uint64_t)HV_PORT_LATCHED) | HV_PORT_QUEUED;
    } while (!port_swap(p, &word, wanted));
    if ((wanted & ~word & HV_PORT_QUEUED) != 0)
        port_wake(hv, p);
    return 0;
}

int xids_hv_evtchn_status(struct xids_hv *hv, struct xids_hv_port *status, domid_t caller, domid_t domid,
                          evtchn_port_t port)
{
    struct xids_hv_block *b = hv->block;
    *status = (struct xids_hv_port){.state = XIDS_EVTCHN_CLOSED};
    hv_lock(hv);
    int slot = acts_for(b, caller, domid);
    if (slot < 0)
        return hv_unlock(hv, slot);
    const struct hv_port *p = hv_port_find(b, (uint32_t)slot, port);
    uint64_t word = p ? HV_LOAD(p->word) : 0;
    if (!p || port_type(word) == HV_PORT_FREE || (word & HV_PORT_CLOSING) != 0)
        return hv_unlock(hv, 0);
    status->owner = p->owner;
    status->remote = p->remote;
    status->queued = (word & HV_PORT_QUEUED) != 0;
    status->masked = (word & HV_PORT_MASKED) != 0;
    status->latched = (word & HV_PORT_LATCHED) != 0;
    if (port_type(word) == HV_PORT_VIRQ) {
        status->state = XIDS_EVTCHN_VIRQ;
        status->virq = p->virq;
    } else if (port_type(word) == HV_PORT_INTERDOMAIN) {
        status->state = XIDS_EVTCHN_INTERDOMAIN;
        status->remote_port = hv_port_at(b, hv_ref_index(HV_LOAD(p->link)))->number;
    } else {
        status->state = XIDS_EVTCHN_UNBOUND;
    }
    return hv_unlock(hv, 0);
}

int xids_hv_evtchn_reset(struct xids_hv *hv, domid_t domid)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    for (uint32_t number = 1; number < hv_domain_at(b, slot)->port_chunks * HV_CHUNK; number++) {
        struct hv_port *p = hv_port_find(b, slot, number);
        if (p && port_type(HV_LOAD(p->word)) != HV_PORT_FREE)
            hv_port_shut(hv, p);
    }
    return hv_unlock(hv, 0);
}
