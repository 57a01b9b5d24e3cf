/* SPDX-License-Identifier: ISC */
/*
 * A guest's whole connection to its entropy servers, as one engine: finds the channels in xenstore
 * (docs/spec/randomd.md, section 2.1), up to four of them, ~/device/randomd/0 to 3, keeps them up through restarts of
 * the servers, drives the clients (randomd.h) which all feed one generator (entropy.h), forgets the generator before
 * the domain is suspended and is seeded anew afterwards. One server that lies, hangs or dies does not concern the
 * others.
 *
 *     xids_randomd_link_init(&link, mem, size, &config, now);
 *     xids_loop_add(loop, xids_randomd_link_part(link));
 *     client = xids_randomd_link_client(link);
 *     while (xids_randomd_client_grade(client) != XIDS_RANDOMD_GRADE_HOST)
 *         ... a turn of the loop ...
 *     rc = xids_randomd_client_random(client, key, sizeof(key));
 *
 * Memory is the caller's, and nothing is allocated. One thread.
 */
#ifndef XIDS_RANDOMD_LINK_H
#define XIDS_RANDOMD_LINK_H

#include <xids/local.h>
#include <xids/loop.h>
#include <xids/randomd.h>
#include <xids/xs_client.h>

XIDS_BEGIN_DECLS

struct xids_randomd_link;

struct xids_randomd_link_config {
    struct xids_platform *platform; /* both must outlive the link */
    struct xids_xs_client *xs;      /* with room for watched paths of 255 bytes */
    struct xids_randomd_client_config
        client; /* for each; server is not used. No entropy: the link has its own inside */
    /*
     * Sources of the guest's own that feed the same generator, or NULL: the link gives them their turns, and has them
     * forget before suspend. They must outlive it; so client.entropy must be given too.
     */
    struct xids_local *local;
    /*
     * The grade or the epoch is another one. The epoch is that of the first server with which there is a session; 0:
     * there is none at the moment. Called from the link's step and suspend, and must neither end the link nor suspend
     * the loop. May be NULL.
     */
    void (*changed)(void *ctx, enum xids_randomd_grade grade, uint64_t epoch);
    /*
     * There is no channel to a server (yet), and why, in static memory; told once until rc changes, of each server
     * for itself. The link goes on trying. May be NULL.
     */
    void (*refused)(void *ctx, int rc, const char *reason);
    /*
     * A step on the way is done: "entropy server found", "channel open", "seed received" (in static memory), each as
     * often as it happens. For who wants to know where the time goes. May be NULL.
     */
    void (*reached)(void *ctx, const char *step);
    void *ctx;
};

/* The bytes of memory that a link needs, aligned for any type. */
size_t xids_randomd_link_size(void);

/*
 * Makes a link in mem; it begins with the first step of its part. -XEN_EINVAL: mem is too small or not aligned, or
 * there are local sources without the entropy that they feed.
 */
int xids_randomd_link_init(struct xids_randomd_link **link, void *mem, size_t size,
                           const struct xids_randomd_link_config *config, uint64_t now) XIDS_MUST_CHECK;

/* Closes the channel and wipes everything. Its part must be out of the loop. NULL does nothing. */
void xids_randomd_link_fini(struct xids_randomd_link *l);

struct xids_part *xids_randomd_link_part(struct xids_randomd_link *l);

/* The generator, which lives as long as the link unless it was given: random, grade, age, local sources. */
struct xids_entropy *xids_randomd_link_entropy(struct xids_randomd_link *l);

/*
 * One server's client, which lives as long as the link: its epoch and pulls; for pull and forget see poke. NULL: server
 * is not below XIDS_ENTROPY_SERVERS. link_client is that of server 0.
 */
struct xids_randomd_client *xids_randomd_link_server(struct xids_randomd_link *l, unsigned int server);
struct xids_randomd_client *xids_randomd_link_client(struct xids_randomd_link *l);

/* Has the clients' wishes sent in the next step: to be called after xids_randomd_client_pull and _forget. */
void xids_randomd_link_poke(struct xids_randomd_link *l);

XIDS_END_DECLS

#endif
