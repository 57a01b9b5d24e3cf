/* SPDX-License-Identifier: ISC */
/* The link's inside: its channels are in link.c, what it asks xenstore in link_store.c. */
#ifndef XIDS_RANDOMD_LINK_INTERNAL_H
#define XIDS_RANDOMD_LINK_INTERNAL_H

#include <xids/randomd_link.h>
#include <xids/vchan_meet.h>

/* How long (ns) the first server's seed waits for those of the others that the store names. */
#define LINK_PATIENCE 100000000ull

#define SERVERS XIDS_ENTROPY_SERVERS

/* What a pointer consists of. */
enum { BACKEND, BACKEND_ID, ANSWERS };

struct link_server;

struct link_answer {
    struct link_server *s;
    int rc;
    bool waiting;
};

struct link_server {
    struct xids_randomd_link *l;
    struct xids_vchan_meet_user user;
    struct xids_randomd_client *client;
    struct xids_vchan_meet *meet; /* NULL: no pointer yet */
    void *meet_mem;
    struct link_answer answers[ANSWERS];
    uint32_t found_id;
    int told; /* the last refusal */
    domid_t domid;
    uint8_t number;
    bool asking;
    char backend[XIDS_VCHAN_MEET_PATH + 1u]; /* where the meeting is */
    char found[XIDS_VCHAN_MEET_PATH + 1u];   /* what the store says */
};

struct xids_randomd_link {
    struct xids_part part;
    struct xids_randomd_link_config config;
    struct xids_entropy *entropy; /* own, or what the owner gave */
    struct xids_entropy own;
    struct link_server servers[SERVERS];
    uint64_t now;        /* of the last step */
    uint64_t not_before; /* the pointers are not read before this */
    uint64_t retry_at;
    uint64_t epoch; /* what the owner was told last */
    enum xids_randomd_grade grade;
    uint32_t copies, doubts; /* of the generator's, those that all clients know of */
    uint32_t watch;
    uint8_t listed; /* the servers that the store names, beside the first, and which are not asked for yet */
    bool listing, changed, suspended;
    bool salted, salting; /* our place in the toolstack's tree is known, is asked for */
};

static inline bool any_meeting(const struct xids_randomd_link *l)
{
    bool any = false;
    for (unsigned int i = 0; i < SERVERS; i++)
        any = any || l->servers[i].meet != NULL;
    return any;
}

/* Tells the owner of a refusal, once until rc changes. */
void randomd_link_refuse(struct link_server *s, int rc, const char *reason);

/* ---- link_store.c ---- */

/* Asks for the first server's pointer and for the list of them, and once who we are. */
void randomd_link_ask(struct xids_randomd_link *l, uint64_t now);
/* Asks for the pointers to the others that are listed. */
void randomd_link_ask_listed(struct xids_randomd_link *l, uint64_t now);
/* Takes back what is asked. */
void randomd_link_hush(struct xids_randomd_link *l);
bool randomd_link_asking(const struct xids_randomd_link *l);
/* Whether a pointer that was asked for has been answered. */
bool randomd_link_answered(const struct link_server *s);
/* That answer: 0, and where the server is is in found and found_id; or why not. */
int randomd_link_found(const struct link_server *s);

#endif
