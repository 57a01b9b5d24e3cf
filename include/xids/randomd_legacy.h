/* SPDX-License-Identifier: ISC */
/*
 * The server's end of the old entropy protocol, `org.openmirage.entropy.1`, over a guest's console page:
 * docs/spec/randomd-legacy.md. Guests that can choose speak version 2 (<xids/randomd.h>).
 *
 * An engine without I/O: it is given a mapped page and the time, reads and writes the page, and says when the guest
 * is to be sent an event. It keeps a generator of the guest's own; where the stream stands is in the page, so that a
 * server that was killed can go on.
 *
 * The page is the guest's, who may write anything to it at any time: indices are checked, bytes are copied once, and
 * what cannot be ends the connection with -XEN_EBADMSG. Freestanding, without allocation, one thread.
 */
#ifndef XIDS_RANDOMD_LEGACY_H
#define XIDS_RANDOMD_LEGACY_H

#include <xids/peer.h>
#include <xids/randomd.h>

XIDS_BEGIN_DECLS

#define XIDS_RANDOMD_LEGACY_NAME "org.openmirage.entropy.1"
#define XIDS_RANDOMD_LEGACY_GREETING "Hello, may I have some entropy?\r\n"
#define XIDS_RANDOMD_LEGACY_RESPONSE "You may treat everything following this message as entropy.\r\n"

/* What lies unread in the page at most, in bytes: it is guest memory, which is saved and copied. */
#define XIDS_RANDOMD_LEGACY_AHEAD 64u

struct xids_randomd_legacy;

struct xids_randomd_legacy_stats {
    uint64_t greetings; /* answered */
    uint64_t bytes;     /* of entropy, the response not counted */
    uint64_t discarded; /* bytes of the guest's that were not the greeting's */
    uint64_t reseeds;
};

size_t xids_randomd_legacy_size(void);

/*
 * Makes an engine in mem, of at least xids_randomd_legacy_size bytes aligned for uint64_t, which stays in place until
 * fini. config as for a session of version 2; what it says is copied, but for the source, which is called when bytes
 * are due. -XEN_EINVAL: mem is too small or not aligned, or there is no source.
 */
int xids_randomd_legacy_init(struct xids_randomd_legacy **l, void *mem, size_t size,
                             const struct xids_randomd_session_config *config) XIDS_MUST_CHECK;

/* Detaches, as when the guest can go on to read, and wipes the engine, all of it. NULL does nothing. */
void xids_randomd_legacy_fini(struct xids_randomd_legacy *l);

/*
 * Takes up the page at what its indices say, after detaching from the one before; zeroes what is free of `in`. The page
 * (4096 bytes, writable) must stay mapped until detach or fini. -XEN_EBADMSG: the indices cannot be; nothing is
 * attached.
 */
int xids_randomd_legacy_attach(struct xids_randomd_legacy *l, void XIDS_PEER *page) XIDS_MUST_CHECK;

/*
 * Lets the page go. gone: the guest has ended the connection, or is no more, and what it has not read is wiped too.
 * Does nothing when none is attached.
 */
void xids_randomd_legacy_detach(struct xids_randomd_legacy *l, bool gone);

/*
 * One turn: wipes what the guest has taken, takes what it wrote, answers its greeting, and fills up to
 * XIDS_RANDOMD_LEGACY_AHEAD unread bytes. To be called when the guest's event has come and after attach.
 * now: ns of a clock that does not go back.
 * Returns 1: the guest is to be sent an event; 0: nothing was done; -XEN_EBADMSG: the indices cannot be, detach (the
 * page is left as it is); -XEN_EAGAIN: bytes are due but the source is not ready; the guest is to be sent an event, and
 * the call to be made again when the source is ready; -XEN_ENOTCONN: no page is attached.
 */
int xids_randomd_legacy_serve(struct xids_randomd_legacy *l, uint64_t now) XIDS_MUST_CHECK;

/* Whether the response has been given in this page. */
bool xids_randomd_legacy_greeted(const struct xids_randomd_legacy *l);

void xids_randomd_legacy_stats(const struct xids_randomd_legacy *l, struct xids_randomd_legacy_stats *stats);

XIDS_END_DECLS

#endif
