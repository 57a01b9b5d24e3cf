/* SPDX-License-Identifier: ISC */
/*
 * The entropy protocol's engines joined to a vchan: what a server and a client do when their channel's event has come.
 * Freestanding, without allocation; secrets in transit are wiped here. The channels must have been made with the flag
 * XIDS_VCHAN_WIPE, which zeroes the rings; XIDS_VCHAN_BATCH goes well with it. docs/spec/randomd.md, sections 2 and 6.
 */
#ifndef XIDS_RANDOMD_VCHAN_H
#define XIDS_RANDOMD_VCHAN_H

#include <xids/randomd.h>
#include <xids/vchan.h>

XIDS_BEGIN_DECLS

/* How many times one call of serve looks for more, so that one busy guest does not hold up the others. */
#define XIDS_RANDOMD_ROUNDS 16u

/*
 * Makes the server's end of a channel for domain remote, and puts the boot seed into it.
 * Returns 0; or as xids_vchan_server_init, and then nothing is left behind.
 */
int xids_randomd_session_offer(struct xids_randomd_session *s, struct xids_vchan *ch,
                               const struct xids_platform *platform, domid_t remote, uint64_t now) XIDS_MUST_CHECK;

/*
 * Offers a channel that its client has closed to the next client of the same domain: the same page and port, without a
 * byte of what there was, and with the boot seed of s, a new session. Errors as xids_vchan_discard and
 * xids_vchan_reoffer; the channel is then good for fini only.
 */
int xids_randomd_session_reoffer(struct xids_randomd_session *s, struct xids_vchan *ch, uint64_t now) XIDS_MUST_CHECK;

/*
 * Answers what the guest asked, as far as there is room, and asks to be woken.
 * Returns 0: sleep; 1: there may be more at once, call again after the others had their turn; -XEN_ENOTCONN: the
 * channel or the session has ended in good order; -XEN_EBADMSG and others: it is broken. After an error close the
 * channel.
 */
int xids_randomd_session_serve(struct xids_randomd_session *s, struct xids_vchan *ch, uint64_t now) XIDS_MUST_CHECK;

/* What one call may cost, and did. */
struct xids_randomd_share {
    uint32_t limit;   /* as in struct xids_randomd_io, at least 1 */
    uint32_t busy_ms; /* as there */
    uint32_t cost; /* set: at most the limit and one request; each look at the ring costs XIDS_RANDOMD_COST_REQUEST */
};

/* The same, but only as far as the share goes. When it is used up, 1 is returned and the guest is asked for no event.
 */
int xids_randomd_session_serve_share(struct xids_randomd_session *s, struct xids_vchan *ch,
                                     struct xids_randomd_share *share, uint64_t now) XIDS_MUST_CHECK;

/*
 * The client's counterpart, with the same results, and -XEN_EPERM: no version in common. To be called also after
 * xids_randomd_client_pull and at xids_randomd_client_deadline. After an error say xids_randomd_client_disconnected and
 * close the channel.
 */
int xids_randomd_client_serve(struct xids_randomd_client *c, struct xids_vchan *ch, uint64_t now) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
