/* SPDX-License-Identifier: ISC */
/*
 * Byte rings: one direction of a byte stream through shared memory. A power-of-two buffer and two free-running 32-bit
 * indices, the producer's and the consumer's; bytes from cons to prod are in flight. vchan, the xenstore ring and the
 * console all have this shape and differ only in where the pieces lie; xids_bytering_*_layout know.
 *
 * A struct xids_bytering is one side of one direction: a writer or a reader. Progress is private until published:
 *
 *     writer:  reserve a contiguous span, fill it, commit n bytes; or write, which copies; then publish
 *     reader:  peek at a contiguous span, use it, consume n bytes; or read, which copies; then publish
 *
 * Publishing tells whether anything changed; whether the peer must be notified is the protocol's affair (vchan has
 * request bits, xenstore and the console always notify).
 *
 * Trust: as in ring.h. Our own index is kept here and only ever stored to the page. The peer's is read once per look:
 * one that leaves more than the buffer's size in flight, or that goes back, breaks the ring for good (-XEN_EBADMSG).
 * What peek shows can change while it is looked at: copy before you validate.
 *
 * One thread per side. No call blocks, allocates or makes a system call.
 */
#ifndef XIDS_BYTERING_H
#define XIDS_BYTERING_H

#include <xids/peer.h>

XIDS_BEGIN_DECLS

/* Where one direction lies in shared memory. */
struct xids_bytering_layout {
    uint8_t XIDS_PEER *buffer;
    uint32_t size; /* of the buffer in bytes, a power of two, at most 2^30 */
    uint32_t XIDS_PEER *prod;
    uint32_t XIDS_PEER *cons;
};

/* One side. Read its fields at will; only the functions below write them. */
struct xids_bytering {
    struct xids_bytering_layout at;
    uint32_t own;       /* our index, private: the writer's producer, the reader's consumer */
    uint32_t published; /* our index as last stored to the page */
    uint32_t peer;      /* the peer's index as last read and found possible */
    int16_t error;      /* 0, or -XEN_EBADMSG */
    bool writer;
};

/* The two directions of a domain's xenstore page (io/xs_wire.h): requests from the guest, replies to it. */
struct xids_bytering_layout xids_bytering_xenstore_requests(void XIDS_PEER *page);
struct xids_bytering_layout xids_bytering_xenstore_replies(void XIDS_PEER *page);

/* The two directions of a console page (io/console.h), named from the guest: output goes to the backend. */
struct xids_bytering_layout xids_bytering_console_output(void XIDS_PEER *page);
struct xids_bytering_layout xids_bytering_console_input(void XIDS_PEER *page);

/*
 * Makes a side that starts where the page says the stream stands: our own index is read from the page this once.
 * A new, zeroed page starts at 0. -XEN_EINVAL: the size is no power of two; -XEN_EBADMSG: impossible indices.
 */
int xids_bytering_attach(struct xids_bytering *r, const struct xids_bytering_layout *at, bool writer) XIDS_MUST_CHECK;

/* Reads the peer's index again. Bytes that can be written (writer) or read (reader) now, or -XEN_EBADMSG. */
int xids_bytering_look(struct xids_bytering *r) XIDS_MUST_CHECK;

/* The same as last looked at: no access to shared memory. */
static inline uint32_t xids_bytering_known(const struct xids_bytering *r)
{
    return r->writer ? r->at.size - (r->own - r->peer) : r->peer - r->own;
}

/*
 * The longest contiguous span that can be filled (reserve) or read (peek) now; looks at the peer's index when what is
 * known is less than want bytes. Sets *span. Returns its length, 0 when there is none, or -XEN_EBADMSG.
 * The span is valid until the next commit or consume.
 */
int xids_bytering_reserve(struct xids_bytering *r, uint8_t XIDS_PEER **span, uint32_t want) XIDS_MUST_CHECK;
int xids_bytering_peek(struct xids_bytering *r, const uint8_t XIDS_PEER **span, uint32_t want) XIDS_MUST_CHECK;

/* Takes n bytes of the ring's known room or data as filled or used. n beyond what is known is the caller's bug:
 * -XEN_EINVAL. */
int xids_bytering_commit(struct xids_bytering *r, uint32_t n) XIDS_MUST_CHECK;
int xids_bytering_consume(struct xids_bytering *r, uint32_t n) XIDS_MUST_CHECK;

/* Copy as much of len as there is room or data for, wrapping. Return the count, 0 included, or -XEN_EBADMSG. */
int xids_bytering_write(struct xids_bytering *r, const void *data, uint32_t len) XIDS_MUST_CHECK;
int xids_bytering_read(struct xids_bytering *r, void *data, uint32_t len) XIDS_MUST_CHECK;

/*
 * Publishes our index: a writer's bytes become visible, a reader's room is given back. True when it changed.
 * The full barrier that must stand before looking at the peer's request for a notification is the caller's.
 */
bool xids_bytering_publish(struct xids_bytering *r);

XIDS_END_DECLS

#endif
