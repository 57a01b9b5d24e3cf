/* SPDX-License-Identifier: ISC */
/*
 * Request/response rings: shared memory in which a frontend puts requests and a backend answers each, wire-compatible
 * with the macros of Xen's io/ring.h.
 *
 * XIDS_RING_DEFINE makes a ring typed by its request and response. Both sides:
 *
 *     put      one message, by value, into the next slot (private until push)
 *     push     publishes what was put; true when the other side asked to be notified
 *     take     the next message from the other side, by value: 1, 0 when there is none, or an error
 *     arm      asks for a notification once n more messages are there; true when they already are, so that the
 *              caller takes them instead of sleeping
 *
 * A consumer that goes to sleep does: loop { take until 0; if (!arm(1)) sleep; }.
 *
 * Trust. The shared page is the peer's as much as ours. Our own indices live here, never read back from the page;
 * the peer's are read once per look and checked. An index that no honest peer could publish makes the ring broken:
 * from then on take and push say -XEN_EBADMSG and nothing more is consumed. A message is copied before it is returned.
 *
 * One thread per side. No call blocks, allocates or makes a system call.
 */
#ifndef XIDS_RING_H
#define XIDS_RING_H

#include <xids/peer.h>

XIDS_BEGIN_DECLS

/* The shared header, 64 bytes, then the slots: the layout of io/ring.h. */
struct xids_ring_shared {
    uint32_t req_prod, req_event;
    uint32_t rsp_prod, rsp_event;
    uint8_t pad[48];
};

#define XIDS_RING_HEADER 64u

/*
 * One side of a ring, the part that does not depend on the message types. Read its fields at will; only the
 * functions below write them.
 */
struct xids_ring {
    uint8_t XIDS_PEER *slots;
    uint32_t XIDS_PEER *out_prod;        /* what we publish */
    const uint32_t XIDS_PEER *out_event; /* the peer wants a notification when out_prod passes this */
    const uint32_t XIDS_PEER *in_prod;   /* what the peer publishes */
    uint32_t XIDS_PEER *in_event;        /* where we ask for the notification */
    uint32_t size;                       /* slots, a power of two */
    uint32_t slot_bytes;
    uint32_t out;       /* messages we have put, private */
    uint32_t published; /* of which pushed */
    uint32_t in;        /* messages we have taken */
    uint32_t in_seen;   /* the peer's producer index as last read and found possible */
    int error;          /* 0, or why this ring is broken: -XEN_EBADMSG */
    bool front;
};

/* The number of slots that fit in bytes (a whole number of pages): the largest power of two. 0: not even one fits. */
uint32_t xids_ring_slots(size_t bytes, size_t slot_bytes);

/*
 * Makes the side (front or back) of a ring over shared memory of bytes bytes with slots of slot_bytes.
 * The frontend initialises the page with xids_ring_init_shared first, before it tells the backend.
 * -XEN_EINVAL: no slot fits.
 */
int xids_ring_attach(struct xids_ring *r, void XIDS_PEER *shared, size_t bytes, size_t slot_bytes, bool front)
    XIDS_MUST_CHECK;

/*
 * Like xids_ring_attach for the back of a ring that is already in use (the backend was restarted): it goes on at the
 * ring's own response index. Requests between that and the request index are taken again.
 * -XEN_EBADMSG: the indices in the page cannot be true.
 */
int xids_ring_attach_back_in_use(struct xids_ring *r, void XIDS_PEER *shared, size_t bytes, size_t slot_bytes)
    XIDS_MUST_CHECK;

/* Zeroes the indices and asks for a notification at the first message, on both sides. For the frontend. */
void xids_ring_init_shared(void XIDS_PEER *shared);

/* How many messages can be put before the ring is full. For the back: responses are bounded by the requests taken. */
static inline uint32_t xids_ring_room(const struct xids_ring *r)
{
    return r->front ? r->size - (r->out - r->in) : r->in - r->out;
}

/* Publishes what was put. 1: notify the peer; 0: no need to; -XEN_EBADMSG: the ring is broken. */
int xids_ring_push(struct xids_ring *r) XIDS_MUST_CHECK;

/* Looks how many messages there are to take: the count, or -XEN_EBADMSG. */
int xids_ring_look(struct xids_ring *r) XIDS_MUST_CHECK;

/* Asks for a notification once n (1 to size) more messages are there. 1: they are there now; 0: sleep; -XEN_EBADMSG. */
int xids_ring_arm(struct xids_ring *r, uint32_t n) XIDS_MUST_CHECK;

/* The address of the slot of a free-running index. For the typed functions. */
static inline uint8_t XIDS_PEER *xids_ring_slot(const struct xids_ring *r, uint32_t index)
{
    return r->slots + (size_t)(index & (r->size - 1u)) * r->slot_bytes;
}

/* Copies one message out of, or into, the next slot. 1: done; 0: none there, or no room; -XEN_EBADMSG. */
static inline int xids_ring_take(struct xids_ring *r, void *msg, size_t len)
{
    if (__builtin_expect(r->error != 0, 0))
        return r->error;
    if (r->in == r->in_seen) {
        int n = xids_ring_look(r);
        if (n <= 0)
            return n;
    }
    xids_peer_get(msg, xids_ring_slot(r, r->in), len);
    r->in++;
    return 1;
}

static inline int xids_ring_put(struct xids_ring *r, const void *msg, size_t len)
{
    if (__builtin_expect(r->error != 0, 0))
        return r->error;
    if (xids_ring_room(r) == 0)
        return 0;
    xids_peer_put(xids_ring_slot(r, r->out), msg, len);
    r->out++;
    return 1;
}

/*
 * Defines, for a ring called name with its two message types:
 *     struct name_front, struct name_back            each { struct xids_ring ring; }
 *     name_front_init(f, shared, bytes)              initialises the page too
 *     name_back_init(b, shared, bytes)
 *     name_front_put/take, name_back_put/take, name_*_push, name_*_arm, name_*_room
 */
#define XIDS_RING_DEFINE(name, request_type, response_type)                                                           \
    union name##_slot {                                                                                               \
        request_type request;                                                                                         \
        response_type response;                                                                                       \
    };                                                                                                                \
    struct name##_front {                                                                                             \
        struct xids_ring ring;                                                                                        \
    };                                                                                                                \
    struct name##_back {                                                                                              \
        struct xids_ring ring;                                                                                        \
    };                                                                                                                \
    XIDS_MUST_CHECK XIDS_RING_FN_ int name##_front_init(struct name##_front *f, void XIDS_PEER *shared, size_t bytes) \
    {                                                                                                                 \
        int rc = xids_ring_attach(&f->ring, shared, bytes, sizeof(union name##_slot), true);                          \
        if (rc == 0)                                                                                                  \
            xids_ring_init_shared(shared);                                                                            \
        return rc;                                                                                                    \
    }                                                                                                                 \
    XIDS_MUST_CHECK XIDS_RING_FN_ int name##_back_init(struct name##_back *b, void XIDS_PEER *shared, size_t bytes)   \
    {                                                                                                                 \
        return xids_ring_attach(&b->ring, shared, bytes, sizeof(union name##_slot), false);                           \
    }                                                                                                                 \
    XIDS_RING_SIDE_(name##_front, request_type, response_type)                                                        \
    XIDS_RING_SIDE_(name##_back, response_type, request_type)

/* Nobody uses every function of both sides, and clang warns of an unused one where the macro stands in a .c file. */
#define XIDS_RING_FN_ __attribute__((unused)) static inline

#define XIDS_RING_SIDE_(side, out_type, in_type)                                      \
    XIDS_MUST_CHECK XIDS_RING_FN_ int side##_put(struct side *s, const out_type *msg) \
    {                                                                                 \
        return xids_ring_put(&s->ring, msg, sizeof(*msg));                            \
    }                                                                                 \
    XIDS_MUST_CHECK XIDS_RING_FN_ int side##_take(struct side *s, in_type *msg)       \
    {                                                                                 \
        return xids_ring_take(&s->ring, msg, sizeof(*msg));                           \
    }                                                                                 \
    XIDS_MUST_CHECK XIDS_RING_FN_ int side##_push(struct side *s)                     \
    {                                                                                 \
        return xids_ring_push(&s->ring);                                              \
    }                                                                                 \
    XIDS_MUST_CHECK XIDS_RING_FN_ int side##_arm(struct side *s, uint32_t n)          \
    {                                                                                 \
        return xids_ring_arm(&s->ring, n);                                            \
    }                                                                                 \
    XIDS_RING_FN_ uint32_t side##_room(const struct side *s)                          \
    {                                                                                 \
        return xids_ring_room(&s->ring);                                              \
    }

XIDS_END_DECLS

#endif
