/* SPDX-License-Identifier: ISC */
/*
 * vchans for programs: meeting through xenstore as libxenvchan does, and calls that block.
 *
 * The server writes two nodes under a path, ring-ref and then event-channel, readable by the client alone; the client
 * waits for the second. No transaction is used: domains have few of them.
 *
 * Thread: the channel's.
 */
#ifndef XIDS_VCHAN_OPEN_H
#define XIDS_VCHAN_OPEN_H

#include <xids/vchan.h>
#include <xids/vchan_service.h>
#include <xids/xs.h>

XIDS_BEGIN_DECLS

/* A channel that was opened through xenstore, and what was written there for it. */
struct xids_vchan_link;

/*
 * libxenvchan's customary place for a channel, "/local/domain/SERVER/data/vchan/CLIENT/NAME". *path is malloc'ed.
 * 0, -XEN_ENOMEM, -XEN_EINVAL: an empty name.
 */
int xids_vchan_path(char **path, domid_t server, domid_t client, const char *name) XIDS_MUST_CHECK;

/*
 * Makes a server's end for domain remote and publishes it under path (absolute, of any length xenstore takes).
 * orders and flags: as xids_vchan_server_init. What stands there from a server before is replaced. platform and xs stay
 * the caller's and must outlive the link. While no client is there the calls that look after the peer (below) publish
 * everything again from time to time: a store takes permissions for a domain that does not exist yet for void, and one
 * that was started afresh knows nothing.
 * Returns 0; or as xids_vchan_server_init and xenstore say, and then nothing is left behind.
 */
int xids_vchan_listen(struct xids_vchan_link **link, const struct xids_platform *platform, struct xids_xs *xs,
                      domid_t remote, const char *path, unsigned int left_order, unsigned int right_order,
                      unsigned int flags) XIDS_MUST_CHECK;

/*
 * For a server of many clients at one path: fresh, from listen at the same path, takes over from used, whose client has
 * come, what was made in xenstore; unlinking used leaves it alone from then on.
 */
void xids_vchan_hand_over(struct xids_vchan_link *fresh, struct xids_vchan_link *used);

/*
 * Connects to the server in domain remote that publishes, or will publish, under path. Waits up to timeout_ms
 * (-1: for ever; 0: not at all) for one that is alive: numbers left by a dead server are passed over, whatever they
 * stand for by now, and so is a port that another client has taken. It tries at each change in the store and, where
 * there are numbers, at growing pauses; a lost connection to the store is made anew (xids_xs_reconnect).
 * Returns 0; -XEN_ETIMEDOUT: there is none, or its path may not be read, or the store does not answer, which always has
 * a second (0: as long as xids_xs_set_timeout says); -XEN_EINTR: a signal came; or as xids_vchan_client_init and
 * xenstore say.
 */
int xids_vchan_connect(struct xids_vchan_link **link, const struct xids_platform *platform, struct xids_xs *xs,
                       domid_t remote, const char *path, unsigned int flags, int timeout_ms) XIDS_MUST_CHECK;

/* Where a domain's own tree says in which domain the services are that it uses: a number at "data/vchan-service/NAME".
 */
#define XIDS_VCHAN_POINTERS "data/vchan-service"

/*
 * The same for the service called name (docs/spec/vchan.md, section 5): at its customary place in domain remote; or,
 * when remote is DOMID_INVALID, in the domain that our own tree names, now or later.
 * -XEN_EINVAL: an empty name, or no domain's number.
 */
int xids_vchan_connect_name(struct xids_vchan_link **link, const struct xids_platform *platform, struct xids_xs *xs,
                            domid_t remote, const char *name, unsigned int flags, int timeout_ms) XIDS_MUST_CHECK;

/* The channel, the link's own. */
struct xids_vchan *xids_vchan_of(struct xids_vchan_link *link);

/*
 * As xids_vchan_check_peer; and where the platform may not look (a program in a Linux guest), a client looks at its
 * server's port in xenstore, which a toolstack removes with the domain: when it was there after the channel was open
 * and is missing in two looks, the server's domain has died. A server without a client publishes again (see listen).
 * Never waits for the store: a call sends a question and takes the answer to the one before, so call it a second apart
 * or more. The blocking calls below do it by themselves. A lost connection to the store is made anew.
 */
enum xids_vchan_state xids_vchan_link_check(struct xids_vchan_link *link);

/* Closes the channel, and removes the nodes that the link made, with the folders it made if nothing else is in them. */
void xids_vchan_unlink(struct xids_vchan_link *link);

/* ---- blocking ----
 * For programs with one channel per platform: events of other ports are taken and forgotten, and the event that ended a
 * sleep is left pending until the next sleep, so that the peer gets its answer first. deadline: on the
 * platform's clock (ns); UINT64_MAX: never. A peer whose whole domain dies is noticed within a second or so.
 */

/*
 * Waits until want_read bytes can be read or want_write written or the peer has gone.
 * Returns 1: so it is; 0: the deadline has come; -XEN_EINTR: a signal; or the channel's error.
 */
int xids_vchan_wait(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint64_t deadline) XIDS_MUST_CHECK;

/* Server: waits for the client. 1: it is (or was) there; else as wait. */
int xids_vchan_wait_client(struct xids_vchan *ch, uint64_t deadline) XIDS_MUST_CHECK;

/*
 * Read or write exactly len bytes, however many times the ring must turn. *done (may be NULL) is how many were moved.
 * Return 0; -XEN_ENODATA (read), -XEN_ENOTCONN (write): the peer has gone before; -XEN_ETIMEDOUT; -XEN_EINTR; or the
 * channel's error.
 */
int xids_vchan_read_all(struct xids_vchan *ch, uint32_t *done, void *data, uint32_t len, uint64_t deadline)
    XIDS_MUST_CHECK;
int xids_vchan_write_all(struct xids_vchan *ch, uint32_t *done, const void *data, uint32_t len, uint64_t deadline)
    XIDS_MUST_CHECK;

/* Waits until the peer has read everything that we wrote. 0, also when it has closed since then; or as write_all. */
int xids_vchan_drain(struct xids_vchan *ch, uint64_t deadline) XIDS_MUST_CHECK;

/* ---- a service in a program ---- */

/*
 * One turn of a service (vchan_service.h) in a program that does nothing else with its platform: gives it the events,
 * serves the connection to the store, steps it, and sleeps until there is more to do, at most timeout_ms (-1: no
 * limit). event_fd: readable when an event is pending (xids_platform_xen_event_fd). xs: the connection whose engine
 * (xids_xs_client) the service has; it is made anew when it was lost.
 * Returns 1: perhaps there is more to do; 0: the time is over; -XEN_EINTR: a signal; -XEN_ENOTCONN: the connection was
 * lost and cannot be made anew; or what the platform says.
 */
int xids_vchan_service_turn(struct xids_vchan_service *s, struct xids_platform *platform, int event_fd,
                            struct xids_xs *xs, int timeout_ms) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
