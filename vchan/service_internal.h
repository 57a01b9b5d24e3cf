/* SPDX-License-Identifier: ISC */
/*
 * What the files of a service share: its channels and their lives (service.c), what it does for each domain
 * (service_domain.c), what is asked of the store (service_store.c), who has the name and who is there
 * (service_name.c), and when (service_timer.c).
 */
#ifndef XIDS_VCHAN_SERVICE_INTERNAL_H
#define XIDS_VCHAN_SERVICE_INTERNAL_H

#include "vchan/internal.h"

#include <xids/vchan_service.h>

/* Where a domain's own tree says in which domain the services are that it uses, and who has a name of its own. */
#define SVC_POINTERS "data/vchan-service/"
#define SVC_OWNERS "data/vchan-server/"
#define SVC_OFFERS "data/vchan"

/* Beside the name, in a path: "/local/domain/65535/data/vchan-service/" and more; "/event-channel" and its NUL. */
#define SVC_PATH 72u

/* "claim " and 20 digits and a NUL. */
#define SVC_TOKEN 28u

#define SVC_NEVER UINT64_MAX

struct svc_timer {
    uint64_t at;
    uint32_t place; /* in the heap, from 1; 0: it is not in it */
    bool channel;   /* it is a channel's, not a domain's */
};

/* What the store is being asked for one domain. */
enum svc_talk {
    SVC_SILENT,
    SVC_CHECKING,   /* whether it is there, and the one that it was */
    SVC_PREPARING,  /* to take the old port away and the ring's reference in */
    SVC_PUBLISHING, /* to take the port in */
    SVC_REPEATING,  /* to take everything in again, and the permissions */
    SVC_HIDING,     /* to take the port away */
    SVC_REMOVING,   /* to take everything away */
    SVC_LOOKING,    /* whether the folder of a domain that has gone is empty */
    SVC_TIDYING,    /* to take that away */
};

#define SVC_ANSWERS 5u

struct svc_answer {
    struct svc_domain *d;
    xids_xs_reply_fn *fn;
    int rc;
    bool waiting;
};

struct svc_channel {
    struct xids_vchan ch; /* first: the owner's pointer leads here */
    struct svc_timer timer;
    struct svc_domain *d;           /* NULL: free */
    struct svc_channel *next;       /* of the domain, or of those that are free */
    struct svc_channel *next_ready; /* of those that have something to do */
    struct svc_channel *next_port;  /* of those in the same bucket */
    void *data;
    const char *drop_reason;
    uint64_t opened_at, serve_at, look_at, linger_until;
    int drop_rc;
    bool ready;   /* it is in that queue */
    bool told;    /* the owner knows of it */
    bool opened;  /* a client has come */
    bool look;    /* serve is to be called */
    bool dropped; /* the owner wants it closed */
    bool leaving; /* the client has time to unmap */
};

struct svc_domain {
    struct xids_vchan_service *s;
    struct svc_timer timer;
    struct svc_domain *next_queued;
    struct svc_channel *channels;
    struct svc_channel *offer; /* one of them */
    struct svc_answer answers[SVC_ANSWERS];
    uint64_t retry_at;  /* no attempt before this */
    uint64_t offer_at;  /* and no further offer */
    uint64_t repeat_at; /* when to publish again, SVC_NEVER: not */
    uint64_t offered_at;
    uint64_t pause, repeat_pause;
    enum svc_talk talk;
    unsigned int asked, waiting; /* of the talk's requests: made; without an answer */
    unsigned int count, open;    /* of its channels: all; with a client */
    unsigned int held;           /* that were given up, and that it keeps mapped */
    unsigned int quick;          /* offers one right after the other */
    int told;                    /* the last refusal */
    domid_t domid;
    bool used;
    bool queued;    /* it has something to do */
    bool allowed;   /* it may come */
    bool listed;    /* because the owner said so, not because everybody may */
    bool there;     /* or it cannot be known */
    bool check;     /* it is to be asked for */
    bool current;   /* the store has the numbers of the offer */
    bool shown;     /* the store has, or may have, a port */
    bool published; /* the store has, or may have, nodes */
    bool pointed;   /* its own tree has a pointer to us */
};

/* Who has the name. */
enum svc_owner {
    SVC_NEW,
    SVC_CLAIMING,
    SVC_HOLDING, /* from when we have seen it, s->confirmed */
    SVC_LOST,
};

/* What the node that says so held, when it was read last. */
enum svc_found {
    SVC_FOUND_NOTHING,
    SVC_FOUND_OUR_CLAIM,
    SVC_FOUND_US,
    SVC_FOUND_CLAIM,
    SVC_FOUND_OTHER,
    SVC_FOUND_GARBAGE,
};

/* A listing of domains: those that there are, or those that an earlier service left nodes for. */
enum svc_list {
    SVC_LIST_NOT,
    SVC_LIST_DOMAINS,
    SVC_LIST_LEFT,
};

struct xids_vchan_service {
    struct xids_part part;
    struct xids_platform *platform;
    struct xids_xs_client *xs;
    const struct xids_vchan_service_user *user;
    struct xids_vchan_service_limits limits;
    struct svc_domain *domains;
    struct svc_channel *channels, *free;
    struct svc_channel **buckets; /* by port: limits.channels rounded up to a power of two */
    struct svc_timer **heap;
    unsigned int heap_len;
    uint32_t bucket_mask;
    struct svc_domain *queue, **queue_end;
    struct svc_channel *ready, **ready_end;
    uint64_t now;
    uint64_t salt;
    unsigned int left_order, right_order, flags;
    unsigned int in_flight;      /* requests of the domains */
    unsigned int in_use, served; /* domains: all; those that have channels */
    unsigned int used;           /* channels */
    unsigned int offers, open;
    /* the name */
    uint64_t owner_at; /* when to look again, or to end the claim */
    uint64_t pause;
    uint32_t owner_watch;
    enum svc_owner owner;
    enum svc_found found;
    int owner_rc, told;
    /* who is there */
    uint64_t list_at; /* no listing before this */
    uint32_t introduce_watch, release_watch;
    uint32_t list_offset;
    int list_rc;
    enum svc_list list;
    char held_text[SVC_TOKEN], claim_text[SVC_TOKEN];
    bool owner_asked, owner_read; /* a request is out; its answer has come */
    bool owner_changed;           /* the store has news of the name */
    bool confirmed, took_over;
    bool removing;
    bool list_asked, list_parts, list_done, list_short;
    bool want_domains, want_left; /* listings to be made */
    bool want_check;              /* the store has news of domains */
    bool privileged, blind;       /* domains can be asked for, or cannot; neither: not known yet */
    bool everybody, announce;
    bool sent, stalled; /* in this step: requests were made; there was no room for one */
    bool suspended, stopping, finishing;
    char *path; /* room for the longest */
    char *name;
};

static inline uint64_t svc_later(uint64_t now, uint64_t ns)
{
    return ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
}

static inline uint64_t svc_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- service_timer.c ---- */

/* SVC_NEVER takes it out. */
void xids_svc_timer_set_(struct xids_vchan_service *s, struct svc_timer *t, uint64_t at);
/* Takes out and returns one that is due, or NULL. */
struct svc_timer *xids_svc_timer_due_(struct xids_vchan_service *s, uint64_t now);
uint64_t xids_svc_timer_next_(const struct xids_vchan_service *s);

/* ---- service.c ---- */

/* Makes the domain's next offer. 0 or an error. */
int xids_svc_channel_offer_(struct svc_domain *d);
/* Ends a channel that is not leaving yet: tells the owner, says goodbye. */
void xids_svc_channel_end_(struct svc_channel *c, int rc, const char *reason);
void xids_svc_refuse_(struct xids_vchan_service *s, struct svc_domain *d, int rc, const char *reason);

/* ---- service_domain.c ---- */

void xids_svc_domain_queue_(struct svc_domain *d);
/* Does what can be done for it now. */
void xids_svc_domain_step_(struct svc_domain *d);
struct svc_domain *xids_svc_domain_find_(struct xids_vchan_service *s, domid_t domid);
/* NULL: no room. */
struct svc_domain *xids_svc_domain_add_(struct xids_vchan_service *s, domid_t domid);
/* Its channels end; another may come with its number. */
void xids_svc_domain_died_(struct svc_domain *d);
/* Forgets what is in the store: another store, or another service's. */
void xids_svc_domain_forget_(struct svc_domain *d);

/* ---- service_store.c ---- */

/* Sets s->path to the parts one after the other. */
const char *xids_svc_path_(struct xids_vchan_service *s, const char *const *parts, unsigned int count);
void xids_svc_ask_(struct svc_domain *d, enum svc_talk talk);
/* Makes those requests of the talk that are still to be made. True: all answers are there. */
bool xids_svc_talk_(struct svc_domain *d);
/* Ends the talk: its answers will not come. */
void xids_svc_hush_(struct svc_domain *d);
/* Without waiting: whatever of the domain's there is. */
void xids_svc_remove_now_(struct svc_domain *d);

/* ---- service_name.c ---- */

void xids_svc_name_begin_(struct xids_vchan_service *s);
/* Goes on with the name and the listings. Returns when it wants to be called again. */
uint64_t xids_svc_name_step_(struct xids_vchan_service *s);
void xids_svc_name_hush_(struct xids_vchan_service *s);
void xids_svc_name_end_(struct xids_vchan_service *s);
/* The answer to a question that only domain 0 may ask tells who we are. */
void xids_svc_privilege_(struct xids_vchan_service *s, int rc);

#endif
