/* SPDX-License-Identifier: ISC */
/* Request/response rings: the index arithmetic, once for all message types. Indices run freely modulo 2^32. */
#include <xids/ring.h>

uint32_t xids_ring_slots(size_t bytes, size_t slot_bytes)
{
    if (slot_bytes == 0 || bytes < XIDS_RING_HEADER + slot_bytes)
        return 0;
    size_t fit = (bytes - XIDS_RING_HEADER) / slot_bytes;
    uint32_t size = 1;
    while (size <= fit / 2 && size < (1u << 30))
        size *= 2;
    return size;
}

int xids_ring_attach(struct xids_ring *r, void XIDS_PEER *shared, size_t bytes, size_t slot_bytes, bool front)
{
    uint8_t XIDS_PEER *base = shared;
    uint32_t size = xids_ring_slots(bytes, slot_bytes);
    if (size == 0 || slot_bytes > UINT32_MAX)
        return -XEN_EINVAL;
    uint32_t XIDS_PEER *word = (uint32_t XIDS_PEER *)shared;
    *r = (struct xids_ring){
        .slots = base + XIDS_RING_HEADER,
        .out_prod = front ? word : word + 2,
        .out_event = front ? word + 1 : word + 3,
        .in_prod = front ? word + 2 : word,
        .in_event = front ? word + 3 : word + 1,
        .size = size,
        .slot_bytes = (uint32_t)slot_bytes,
        .front = front,
    };
    return 0;
}

int xids_ring_attach_back_in_use(struct xids_ring *r, void XIDS_PEER *shared, size_t bytes, size_t slot_bytes)
{
    int rc = xids_ring_attach(r, shared, bytes, slot_bytes, false);
    if (rc != 0)
        return rc;
    uint32_t done = xids_peer_load(r->out_prod);
    uint32_t asked = xids_peer_load_acquire(r->in_prod);
    if (asked - done > r->size) {
        r->error = -XEN_EBADMSG;
        return r->error;
    }
    r->out = r->published = r->in = r->in_seen = done;
    return 0;
}

void xids_ring_init_shared(void XIDS_PEER *shared)
{
    uint32_t XIDS_PEER *word = (uint32_t XIDS_PEER *)shared;
    xids_peer_wipe(shared, XIDS_RING_HEADER);
    xids_peer_store(word + 1, 1);
    xids_peer_store_release(word + 3, 1);
}

int xids_ring_push(struct xids_ring *r)
{
    if (r->error != 0)
        return r->error;
    uint32_t old = r->published;
    uint32_t new = r->out;
    if (old == new)
        return 0;
    /* Pairs with the peer's acquire load of this index in look: it sees the messages. */
    xids_peer_store_release(r->out_prod, new);
    r->published = new;
    /* The store above before the load below; the peer does the reverse in arm. One of us sees the other. */
    xids_peer_fence();
    uint32_t event = xids_peer_load(r->out_event);
    return new - event < new - old;
}

int xids_ring_look(struct xids_ring *r)
{
    if (r->error != 0)
        return r->error;
    uint32_t prod = xids_peer_load_acquire(r->in_prod);
    /* A frontend can expect no more answers than it has pushed questions; a backend no more than fit the ring less
     * those it has not answered. And what was published cannot be taken back. */
    uint32_t limit = r->front ? r->published - r->in : r->size - (r->in - r->published);
    if (prod - r->in > limit || prod - r->in < r->in_seen - r->in) {
        r->error = -XEN_EBADMSG;
        return r->error;
    }
    r->in_seen = prod;
    return (int)(prod - r->in);
}

int xids_ring_arm(struct xids_ring *r, uint32_t n)
{
    if (r->error != 0)
        return r->error;
    if (n == 0 || n > r->size)
        return -XEN_EINVAL;
    xids_peer_store(r->in_event, r->in + n);
    xids_peer_fence();
    int have = xids_ring_look(r);
    if (have < 0)
        return have;
    return (uint32_t)have >= n;
}
