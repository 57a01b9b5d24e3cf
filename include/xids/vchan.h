/* SPDX-License-Identifier: ISC */
/*
 * vchan: a byte channel between two domains through shared memory, wire-compatible with libxenvchan. The server shares
 * a control page and two rings and allocates an event channel; the client maps and binds them. The two numbers that the
 * client needs (ring reference and port) travel through xenstore (vchan_open.h) or in any other way.
 *
 *     left ring:  client to server        right ring:  server to client
 *
 * This is the core: it never blocks, allocates or prints, and makes a platform call only to notify a peer that asked.
 * A channel lives in xids_vchan_size() bytes of the caller's, aligned for any type. One thread per channel at a time.
 *
 * A loop around a channel:
 *
 *     for (;;) {
 *         read, write, ... until -XEN_EAGAIN
 *         (xids_vchan_spin(ch, 1, 0, budget)    where a fast peer is worth it; 1: go on)
 *         rc = xids_vchan_arm(ch, 1, 0)       what to be woken for; 1: it is there already, go on
 *         if (rc == 0)  sleep until the port of xids_vchan_port is pending, take it, xids_vchan_event(ch)
 *     }
 *
 * An event is only a hint: after xids_vchan_event look at everything. Many channels can share one platform and its
 * one queue of pending ports.
 *
 * Trust. Both sides write the control page at will. Our own indices are private; the peer's are read once per look and
 * checked, orders and grant references are read once at init. An index that no honest peer could publish breaks the
 * channel for good: every call says -XEN_EBADMSG, never "nothing there". Bytes seen through peek can change while they
 * are looked at.
 *
 * Errors common to the calls that move bytes, once everything before was delivered:
 *     -XEN_EBADMSG   the peer broke the protocol; xids_vchan_reason says how
 *     -XEN_ENODEV    the peer's domain died without closing (found by xids_vchan_check_peer)
 *     another        the platform failed to send a notification; the channel cannot go on
 *
 * docs/spec/vchan.md has the wire format.
 */
#ifndef XIDS_VCHAN_H
#define XIDS_VCHAN_H

#include <xids/platform.h>

XIDS_BEGIN_DECLS

/* A ring of order n has 2^n bytes. 10 and 11 lie inside the control page, larger ones in pages of their own. */
#define XIDS_VCHAN_ORDER_MIN 10u
#define XIDS_VCHAN_ORDER_MAX 20u

enum xids_vchan_flags {
    /*
     * Writes and reads are published in batches: when a quarter of the ring (32 KiB at most) has gathered, when the
     * peer asked to be woken, and in flush and arm. Meant for small messages. Who sets it must call arm or flush before
     * he turns to anything else; without it every call publishes at once.
     */
    XIDS_VCHAN_BATCH = 1u << 0,
    /*
     * The channel carries secrets: bytes are zeroed in the ring by the reader before he gives the room back, by the
     * writer when the peer has taken them, and everything is zeroed before pages are given up, except bytes that a
     * living peer has still to read.
     */
    XIDS_VCHAN_WIPE = 1u << 1,
    /*
     * Neither offers nor takes the extension (docs/spec/vchan.md, section 10): the channel is what libxenvchan makes.
     * Without this two ends of xids find each other by themselves, and others never notice.
     */
    XIDS_VCHAN_PLAIN = 1u << 2,
};

enum xids_vchan_state {
    XIDS_VCHAN_CONNECTING = 1, /* server: no client has come yet. Writing is possible */
    XIDS_VCHAN_OPEN,
    XIDS_VCHAN_DRAINING, /* the peer closed or died, and left bytes to read */
    XIDS_VCHAN_CLOSED,   /* the peer closed or died, and all it sent has been read */
    XIDS_VCHAN_BROKEN,   /* see xids_vchan_error */
};

struct xids_vchan;

/* The bytes of memory that one channel needs. */
size_t xids_vchan_size(void);

/*
 * Makes the server's end for a client in domain remote: allocates the event channel, shares the pages. The orders are
 * of the left (client to server) and the right (server to client) ring; not both may be 10, nor both 11, and a ring of
 * order 20 cannot be combined with one of order 10. flags: enum xids_vchan_flags.
 * The channel keeps platform, which must outlive it.
 * Returns 0; -XEN_EINVAL: orders or flags; or what the platform says, and then nothing is left behind.
 */
int xids_vchan_server_init(struct xids_vchan *ch, const struct xids_platform *platform, domid_t remote,
                           unsigned int left_order, unsigned int right_order, unsigned int flags) XIDS_MUST_CHECK;

/*
 * Makes the client's end from what the server in domain remote published: binds the event channel, maps the pages,
 * tells the server.
 * Returns 0; -XEN_EBADMSG: the control page makes no sense; -XEN_ECONNREFUSED: its server has gone; -XEN_EBUSY: its
 * server is not done with the client before; -XEN_EINVAL: flags, or the port is taken (another client) or not for us;
 * or what the platform says. On an error nothing is left behind.
 */
int xids_vchan_client_init(struct xids_vchan *ch, const struct xids_platform *platform, domid_t remote,
                           grant_ref_t ring_ref, evtchn_port_t port, unsigned int flags) XIDS_MUST_CHECK;

/*
 * Closes our end and gives everything back. What was written stays readable for the peer, who then sees the end. Pages
 * that the peer still maps are kept aside by the platform. Once per successful init.
 */
void xids_vchan_fini(struct xids_vchan *ch);

/* ---- identity ---- */

/* Server: the reference of the control page, to publish. */
grant_ref_t xids_vchan_ring_ref(const struct xids_vchan *ch);
/* Our port: the one to wait for and, on the server, to publish. */
evtchn_port_t xids_vchan_port(const struct xids_vchan *ch);
domid_t xids_vchan_remote(const struct xids_vchan *ch);
bool xids_vchan_is_server(const struct xids_vchan *ch);
/* The size in bytes of the ring that we read from, and of the one that we write to. */
uint32_t xids_vchan_read_size(const struct xids_vchan *ch);
uint32_t xids_vchan_write_size(const struct xids_vchan *ch);
/*
 * Whether both ends speak the extension: shutdown and heartbeat work, and wants of arm are exact. A server knows when
 * its client has come (state open).
 */
bool xids_vchan_extended(const struct xids_vchan *ch);

/* ---- bytes ----
 * Stream: as many bytes as there are, or as fit, up to len.
 */

/*
 * Returns the count; -XEN_EAGAIN: nothing there now; 0: the peer has closed, or shut down its side, and everything was
 * read (or len is 0).
 */
int xids_vchan_read(struct xids_vchan *ch, void *data, uint32_t len) XIDS_MUST_CHECK;

/*
 * Returns the count; -XEN_EAGAIN: no room now; -XEN_ENOTCONN: the peer has closed; -XEN_EINVAL: after shutdown; 0 only
 * for len 0.
 */
int xids_vchan_write(struct xids_vchan *ch, const void *data, uint32_t len) XIDS_MUST_CHECK;

/* ---- packets ----
 * All len bytes or nothing. The wire has no packet boundaries: both sides must agree on them.
 */

/*
 * Returns len; -XEN_EAGAIN: not all there yet; 0: the peer has closed and everything was read; -XEN_ENODATA: it closed
 * in the middle of a packet (xids_vchan_read has the rest); -XEN_EMSGSIZE: larger than the ring.
 */
int xids_vchan_recv(struct xids_vchan *ch, void *packet, uint32_t len) XIDS_MUST_CHECK;

/* Returns len; -XEN_EAGAIN: not enough room yet; -XEN_ENOTCONN; -XEN_EMSGSIZE: larger than the ring. */
int xids_vchan_send(struct xids_vchan *ch, const void *packet, uint32_t len) XIDS_MUST_CHECK;

/* ---- many pieces in one call ---- */

/* A piece of the caller's memory. Only the calls that read store into it. */
struct xids_vchan_iov {
    void *data;
    uint32_t len; /* in bytes */
};

/*
 * As read, write, recv and send, from and to count pieces in order; the sum of their lengths must be below 2^31
 * (-XEN_EINVAL). What they write is published at once, as one.
 */
int xids_vchan_readv(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count) XIDS_MUST_CHECK;
int xids_vchan_writev(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count) XIDS_MUST_CHECK;
int xids_vchan_recvv(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count) XIDS_MUST_CHECK;
int xids_vchan_sendv(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count) XIDS_MUST_CHECK;

/* ---- without copying ---- */

/*
 * The longest contiguous span to read (peek) or to fill (reserve), looking for news when less than want bytes are
 * known. Sets *span, valid until the next consume or commit. Returns its length, or as read and write.
 */
int xids_vchan_peek(struct xids_vchan *ch, const uint8_t XIDS_PEER **span, uint32_t want) XIDS_MUST_CHECK;
int xids_vchan_reserve(struct xids_vchan *ch, uint8_t XIDS_PEER **span, uint32_t want) XIDS_MUST_CHECK;

/* One contiguous part of a ring. */
struct xids_vchan_span {
    uint8_t XIDS_PEER *data;
    uint32_t len; /* in bytes; 0: data is NULL */
};

/* The same, with what lies beyond the end of the ring in the second span. Return the sum of both, or as peek. */
int xids_vchan_peekv(struct xids_vchan *ch, struct xids_vchan_span spans[2], uint32_t want) XIDS_MUST_CHECK;
int xids_vchan_reservev(struct xids_vchan *ch, struct xids_vchan_span spans[2], uint32_t want) XIDS_MUST_CHECK;

/*
 * Takes n bytes as used or filled, of either form of spans. 0; -XEN_EINVAL: more than was known; commit: -XEN_EINVAL
 * after shutdown.
 */
int xids_vchan_consume(struct xids_vchan *ch, uint32_t n) XIDS_MUST_CHECK;
int xids_vchan_commit(struct xids_vchan *ch, uint32_t n) XIDS_MUST_CHECK;

/* The bytes that can be read, or written, now. They ask for no notification. 0 and more, or the channel's error. */
int xids_vchan_readable(struct xids_vchan *ch) XIDS_MUST_CHECK;
int xids_vchan_writable(struct xids_vchan *ch) XIDS_MUST_CHECK;

/* The bytes that were written and the peer has not read, also when it has gone. 0 and more, or the channel's error. */
int xids_vchan_unread(struct xids_vchan *ch) XIDS_MUST_CHECK;

/* Publishes what is gathered, and notifies the peer if it asked to be. 0 or the channel's error. */
int xids_vchan_flush(struct xids_vchan *ch) XIDS_MUST_CHECK;

/*
 * Half-close: says that we write no more. The peer reads what there is, then 0 as at the end, and can go on writing to
 * us. Writing is -XEN_EINVAL from here on. Once more does nothing.
 * Returns 0; -XEN_EOPNOTSUPP: the peer does not speak the extension, so that only fini can say it; -XEN_EAGAIN: no
 * client has come yet; -XEN_ENOTCONN: the peer has gone; or the channel's error.
 */
int xids_vchan_shutdown(struct xids_vchan *ch) XIDS_MUST_CHECK;

/* ---- sleeping ---- */

/*
 * Before sleeping: flushes, asks the peer for an event when bytes were written (want_read not 0) or room was given back
 * (want_write not 0), and looks again. The close of the peer, and on a server the coming of the client, always bring
 * an event, also with 0, 0.
 * Returns 1: do not sleep, at least want_read bytes can be read, or want_write written, or the peer has gone; 0: sleep;
 * -XEN_EMSGSIZE: more than the ring holds; or the channel's error.
 */
int xids_vchan_arm(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write) XIDS_MUST_CHECK;

/*
 * Instead of sleeping, while the peer may answer sooner than an event would wake us: flushes, then looks again and
 * again, for budget nanoseconds by the platform's clock, whether there is a reason not to sleep. Asks the peer for no
 * event, so that neither side makes a call. To be followed by arm when it returns 0. Returns 1: as arm; 0: the budget
 * is used up; -XEN_EMSGSIZE: more than the ring holds; or the channel's error.
 */
int xids_vchan_spin(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint32_t budget) XIDS_MUST_CHECK;

/*
 * What the calls that block (vchan_open.h) spin at most before they sleep, in ns, when the channel was made: what two
 * wake-ups cost on Linux (half of the row rtt-sleep of `quickstart bench vchan` is one), so that a spin in vain costs
 * no more than the sleep that it was to save.
 */
#define XIDS_VCHAN_SPIN 20000u

/*
 * Sets that limit for this channel; 0 forbids to spin, where a CPU has better to do or a battery is to last. Below the
 * limit the channel finds by itself what is worth it: nothing when spins are in vain, because the peer is slow, asleep
 * or on the same CPU, and the whole limit as long as they succeed.
 */
void xids_vchan_set_spin(struct xids_vchan *ch, uint32_t limit);

/*
 * To be called for each event on our port, after the platform's evtchn_pending returned it: unmasks the port, looks at
 * the peer. Returns the state as xids_vchan_state.
 */
enum xids_vchan_state xids_vchan_event(struct xids_vchan *ch);

/* ---- life ---- */

/* Looks at the peer and says how things stand. */
enum xids_vchan_state xids_vchan_state(struct xids_vchan *ch);

/* 0, or the error that broke the channel; and its reason, a sentence in static memory ("" when there is none). */
int xids_vchan_error(const struct xids_vchan *ch);
const char *xids_vchan_reason(const struct xids_vchan *ch);

/*
 * Asks the platform whether the event channel is still connected: the only trace that the death of a whole domain
 * leaves, for Xen sends no event for it. Costs a hypercall: call it every few seconds while waiting for a peer, or
 * when xenstore says that a domain went. Returns as xids_vchan_state; the death shows as draining, then closed.
 * A platform that may not look (-XEN_EACCES) finds nothing.
 */
enum xids_vchan_state xids_vchan_check_peer(struct xids_vchan *ch);

/*
 * Asks the peer to answer, or sees what has become of the last question: a peer that has neither answered nor moved an
 * index for patience ns or more is taken for dead, which shows as in check_peer. To be called from time to time while
 * waiting, at least twice in patience, with the time now (ns, of any clock that does not go back). It costs an event at
 * the peer, which answers in event and arm: one that is paused, or computes for longer than patience, counts as dead.
 * Returns an enum xids_vchan_state; -XEN_EOPNOTSUPP: the peer does not speak the extension.
 */
int xids_vchan_heartbeat(struct xids_vchan *ch, uint64_t now, uint64_t patience) XIDS_MUST_CHECK;

/*
 * The same for an owner who may not ask the platform but knows, from xenstore, that the peer's domain is gone. To be
 * said before fini with XIDS_VCHAN_WIPE: fini leaves what a living peer has still to read. Returns as xids_vchan_state.
 */
enum xids_vchan_state xids_vchan_peer_died(struct xids_vchan *ch);

/*
 * Server, in state closed: waits for another client on the same pages and port, which a libxenvchan client reaches with
 * the numbers already published. Both rings go on at their indices, so that bytes which the old client left unread go
 * to the new one. Returns 0; -XEN_EINVAL: a client's end; -XEN_EBUSY: not closed; or the channel's error.
 */
int xids_vchan_reoffer(struct xids_vchan *ch) XIDS_MUST_CHECK;

/*
 * Server, in state closed: zeroes and takes back what the client left unread, so that the next one, after reoffer, does
 * not get it. Returns 0; -XEN_EINVAL: a client's end; -XEN_EBUSY: not closed; or the channel's error.
 */
int xids_vchan_discard(struct xids_vchan *ch) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
