/* SPDX-License-Identifier: ISC */
/* Two domains of the model for the tests of vchan, with counted calls, injected failures and deaths. */
#ifndef XIDS_TESTS_UNIT_VCHAN_WORLD_H
#define XIDS_TESTS_UNIT_VCHAN_WORLD_H

#include <xids/vchan.h>

/* Domain 0 of a world serves, domain 1 is the client, by habit only. Their domids: */
#define WORLD_DOMID(d) ((domid_t)(10 + (d)))

struct world;

struct world *world_new(void);
/* Fails the test when a page, grant, mapping or port is left. */
void world_free(struct world *w);

const struct xids_platform *world_platform(struct world *w, int d);

/* Takes all pending ports of the domain and gives each to the channel whose port it is. The number of events. */
int world_events(struct world *w, int d, struct xids_vchan *ch);

/* How often the domain has called evtchn_notify. */
unsigned int world_notifies(const struct world *w, int d);

/* The nth (from 1) call from now on that can fail in this domain fails with error. 0: none. */
void world_fail(struct world *w, int d, unsigned int nth, int error);
/* Whether the failure has happened. */
bool world_failed(const struct world *w);

/* Calls what right before the nth (from 1) share from now on in this domain. NULL: no more. */
void world_before_share(struct world *w, int d, unsigned int nth, void (*what)(void *ctx), void *ctx);

/* The process dies: mappings and shares go with their notifications, ports close. */
void world_kill(struct world *w, int d);
/* The domain dies: no notification of any kind. Another one with its id takes its place. */
void world_destroy(struct world *w, int d);

/* The memory of a grant reference that a domain gave, as the other side sees it. */
uint8_t *world_page(struct world *w, int d, grant_ref_t ref);

/* How many pages the domain has mapped read-only. */
unsigned int world_readonly_pages(const struct world *w, int d);

/* How often the domain has called map. */
unsigned int world_maps(const struct world *w, int d);
/* From here on the domain's platform has no copy. */
void world_cannot_copy(struct world *w, int d);

/*
 * A check fixture: pairs speak the extension from here on, in this test. Without it they are made with
 * XIDS_VCHAN_PLAIN, so that tests can look at the page as libxenvchan has it.
 */
void world_extended(void);

/* A channel between both, made and connected; its memory is malloc'ed. */
struct pair {
    struct world *w;
    struct xids_vchan *s, *c;
    grant_ref_t ref; /* of the control page */
    uint8_t *page;   /* the control page */
};

void pair_open(struct pair *p, unsigned int left_order, unsigned int right_order, unsigned int flags);
/* Server only. */
void pair_serve(struct pair *p, unsigned int left_order, unsigned int right_order, unsigned int flags);
int pair_connect(struct pair *p, unsigned int flags);
void pair_close(struct pair *p);

#endif
