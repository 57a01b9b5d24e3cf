/* SPDX-License-Identifier: ISC */
/* Inside the server. */
#ifndef XIDS_XENSTORE_SERVER_IMPL_H
#define XIDS_XENSTORE_SERVER_IMPL_H

#include <xids/xs_server.h>

#include "xenstore/store_impl.h"

/* Output of one connection: requests wait beyond the first, events beyond the second. */
#define OUT_STOP_SOCKET (256u * 1024u)
#define OUT_STOP_DOMAIN (8u * 1024u)
#define OUT_EVENTS_SOCKET (512u * 1024u)
#define OUT_EVENTS_DOMAIN (16u * 1024u)

/* What things cost, in nodes looked at: a request, so many bytes in or out, an event. */
#define COST_REQUEST 8u
#define COST_BYTES 64u
#define COST_EVENT 4u

/* Different paths that wait for one watch; then its own path stands for all. */
#define PENDING_MAX 32u

/* What a domain may be offered: server_features of its ring. */
#define FEATURES \
    (XIDS_XS_FEATURE_RECONNECTION | XIDS_XS_FEATURE_ERROR | XIDS_XS_FEATURE_WATCHDEPTH | XIDS_XS_FEATURE_DOMID_ANY)

/* In the order in which C xenstored lists them. */
enum quota {
    QUOTA_NODES,
    QUOTA_WATCHES,
    QUOTA_OUTSTANDING,
    QUOTA_MEMORY,
    QUOTA_TRANSACTIONS,
    QUOTA_TX_NODES,
    QUOTA_PERMS,
    QUOTA_PATH_MAX,
    QUOTA_NODE_SIZE,
    QUOTAS,
};

/* What is set for one domain. It dies with the domain. */
struct settings {
    struct xids_xs_limits limits;
    uint32_t features;
};

/* Those of a domain that is not introduced yet. */
struct early {
    struct early *next;
    struct settings settings;
    uint16_t domid;
};

/* A name in the tree of watched paths. */
struct watch_node {
    struct watch_node *parent;
    struct watch_node *kid[2];
    struct watch_node *children; /* search tree, as in the store */
    struct watch_node *first;    /* the same children as a list */
    struct watch_node *next, *prev;
    struct watch *watches, *watches_last;
    const struct xids_store_node *was, *now; /* during the dispatch of a removal */
    uint32_t hash;
    uint16_t name_len;
    char name[];
};

struct watch {
    struct watch_node *at;
    struct xids_xs_conn *conn;
    struct watch *next, *prev;           /* at the same path */
    struct watch *conn_next, *conn_prev; /* of the same connection */
    struct watch *overflow_next;
    struct pending *pending; /* events that wait for room */
    uint64_t seq;
    uint32_t epoch;  /* its connection's, else it is gone and only to be freed */
    int32_t depth;   /* levels below that count, or -1: all */
    uint16_t prefix; /* bytes of the path that a relative watch does not see */
    uint16_t path_len;
    uint8_t npending;
    bool overflow; /* more than could be kept: one event for the watch's own path is due */
    uint16_t token_len;
    char token[];
};

struct pending {
    struct pending *next;       /* of the connection, oldest first */
    struct pending *watch_next; /* of the watch */
    struct watch *watch;
    uint16_t len;
    char path[];
};

struct transaction {
    struct transaction *next;
    uint32_t id;
    struct xids_store_tx *tx;
    int64_t held; /* bytes that its connection has been charged with */
};

/* Connections whose TRANSACTION_END is not answered yet. */
struct turn_list {
    struct xids_xs_conn *first, *last;
};

struct turns {
    bool timed;                    /* the host tells the time: else there are no turns */
    uint64_t now, since, start_by; /* milliseconds */
    struct xids_xs_conn *holder;   /* whose turn it is, or NULL */
    struct transaction *reader;    /* the transaction that has precedence, once it has started */
    /* whose answers are held back: because they were refused, and it is not their turn yet */
    struct turn_list refused, refused_guests;
    /* because they would make untrue what the reader was told, or would have */
    struct turn_list disturbing, again;
    /* and guests whose plain requests would */
    struct turn_list changing;
    /* because it is not counted yet whether there is room for them */
    struct turn_list counting;
};

struct forgotten {
    struct forgotten *next;
    uint16_t domid;
    bool was_known;
};

struct out {
    uint8_t *bytes;
    size_t cap, start, end;
    size_t mark; /* where some message begins, or the last one ends: in what is held or has been sent */
};

struct xids_xs_conn {
    struct xids_xs_server *server;
    void *data;
    struct xids_xs_conn *next, *prev;             /* of its kind */
    struct xids_xs_conn *ready_next, *ready_prev; /* ready_next == self: not in the list */
    struct xids_store_who who;
    struct settings settings;
    bool ring;
    bool broken;     /* has broken the protocol: nothing more is read or said */
    bool shutdown;   /* of a domain: it has shut down */
    bool again;      /* in the list of those to be looked at again */
    bool spent;      /* not read from until then */
    int32_t credit;  /* what is left of its share; less than 0: owed */
    bool unfinished; /* the journal says that something of its ring is on its way */
    bool repeat;     /* a request could not be carried out yet: it is looked at anew */
    uint32_t print;  /* by which it is known again: it stands in memory that its guest can write */
    bool later;      /* a request waits for xids_xs_server_answer */
    uint32_t later_req_id, later_tx_id;
    struct xids_xs_conn *again_next, *again_prev;
    /* input */
    uint8_t head[XIDS_XSWIRE_HEADER];
    uint32_t have; /* bytes of the partial message, header included */
    uint8_t *partial;
    uint32_t partial_cap;
    struct out taken; /* of a ring: what was in it before our time; comes before what is in it */
    /* output */
    struct out out;
    struct pending *pending, **pending_last;
    struct watch *overflow, **overflow_last;
    /* what it holds */
    struct watch *watches, *watches_last;
    uint32_t nwatches;
    uint32_t epoch; /* of the watches: a new one when all are removed */
    /* removed all at once, and still to be freed: watches, and events that waited for them */
    struct watch *stale, *stale_last;
    struct pending *stale_pending, **stale_pending_last;
    struct xids_xs_conn *stale_next; /* of those that have any */
    bool waits_reaping;
    bool dead; /* and then freed itself */
    struct transaction *transactions;
    uint32_t ntransactions, next_tx;
    /* the end of a transaction that is held back */
    struct {
        struct turn_list *list; /* NULL: none */
        struct xids_xs_conn *next, *prev;
        uint32_t transaction; /* 0: it is over */
        uint32_t req_id, tx_id;
        uint64_t until;
    } held;
    uint64_t turn_after;              /* no other turn before */
    struct xids_store_tx *refused_tx; /* what it had read, until its turn is over */
    struct {
        uint64_t requests, events, commits, conflicts, denials;
    } done;
    struct xids_store_usage usage;
    uint32_t outstanding;  /* of a domain: answers whose first byte it has not got */
    uint32_t peak[QUOTAS]; /* the most it has used, as far as usage does not say it */
    bool soft_told;        /* the host knows that it is beyond a limit that is only warned of */
    /* of a domain */
    void XIDS_PEER *page;
    struct xids_bytering requests, replies;
    char home[24]; /* /local/domain/N */
    uint8_t home_len;
    struct forgotten *forgotten; /* made with the connection, so that its end needs no memory */
};

struct xids_xs_server {
    struct xids_alloc alloc;
    struct xids_xs_host host;
    const struct xids_xs_tracer *tracer; /* NULL: none */
    struct journalling *journal;         /* NULL: none */
    struct xids_xs_limits limits;        /* of domains to come */
    uint16_t own_domid, privileged_domid;
    struct xids_store *store;
    struct xids_store_path *path, *path2, *event_path;
    struct xids_xs_conn *sockets, *rings;
    struct xids_xs_conn **domains[256];
    uint64_t awaited[65536 / 64]; /* domains given rights before they are known, a bit each */
    struct early *early;
    uint32_t peak[QUOTAS]; /* the most that unprivileged domains have used which are gone now */
    enum quota denied;     /* by the request in work; QUOTAS: none */
    struct xids_xs_conn *ready, *ready_last;
    struct watch_node *watch_top;
    struct watch **matches;
    uint32_t matches_cap;
    uint64_t watch_seq;
    struct xids_xs_server_stats stats;
    struct forgotten *forgotten; /* domains whose nodes are still to be removed */
    struct xids_xs_conn *again, *again_last;
    struct xids_xs_conn *stale; /* connections with watches to be freed */
    uint64_t cost;
    struct turns turns;
    struct out spare; /* a buffer for the next who needs one */
    struct xids_xs_perm perms[XIDS_XSWIRE_PAYLOAD_MAX / 3 + 1];
};

/* One request in work. */
struct request {
    struct xids_xs_conn *conn;
    const struct xids_xswire_msg *msg;
    struct xids_store_tx *tx;
    struct transaction *transaction;
    const struct xids_store_path *path; /* that it names */
    bool answered;
};

/* ---- server.c ---- */
void *xids_xs_get(struct xids_xs_server *s, size_t size);
void xids_xs_put(struct xids_xs_server *s, void *mem, size_t size);
int xids_xs_conn_new(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data, uint16_t domid, bool ring);
void xids_xs_conn_free(struct xids_xs_conn *conn);
void xids_xs_conn_reset(struct xids_xs_conn *conn);
/* xids_xs_server_input, out of the share that there is. */
int xids_xs_conn_input(struct xids_xs_conn *conn, size_t *used, const void *bytes, size_t len);
bool xids_xs_conn_owes(const struct xids_xs_conn *conn);
void xids_xs_drop_transactions(struct xids_xs_conn *conn);
/* Whether the server cannot be without the domain: it is its own or the privileged one. */
bool xids_xs_lasting(const struct xids_xs_server *s, uint16_t domid);
/* A connection's transaction by its number, or NULL. */
struct transaction *xids_xs_find_transaction(const struct xids_xs_conn *conn, uint32_t id);
/* Takes a transaction away from its connection; it is to be ended. */
struct xids_store_tx *xids_xs_take_transaction(struct xids_xs_conn *conn, struct transaction *t);
/* Ends one without effect. */
void xids_xs_abort_transaction(struct xids_xs_conn *conn, struct transaction *t);

/* ---- server_out.c ---- */
int xids_xs_out_reserve(struct xids_xs_conn *conn, size_t room);
void xids_xs_reply(struct request *r, const void *data, size_t len);
void xids_xs_reply_parts(struct request *r, const struct xids_xswire_part *parts, unsigned int count);
void xids_xs_reply_ok(struct request *r);
void xids_xs_reply_error(struct request *r, int err);
void xids_xs_reply_later(struct request *r);
void xids_xs_event(struct watch *w, const char *path, size_t len);
/* The two ways in which an event waits for room: as it is, or as one for the path of the watch. */
void xids_xs_event_keep(struct watch *w, const char *path, size_t len);
void xids_xs_event_overflow(struct watch *w);
void xids_xs_out_flush_pending(struct xids_xs_conn *conn);
size_t xids_xs_out_rest(const struct out *o);
void xids_xs_out_free(struct xids_xs_conn *conn);
/* Events that wait for a connection: taken away; and one that was taken away freed, false: there is none. */
void xids_xs_out_take_pending(struct xids_xs_conn *conn);
bool xids_xs_out_reap_pending(struct xids_xs_conn *conn);
void xids_xs_watch_forget_pending(struct watch *w);
void xids_xs_mark_ready(struct xids_xs_conn *conn);
void xids_xs_unmark_ready(struct xids_xs_conn *conn);

/* ---- server_watch.c ---- */
int xids_xs_watch_add(struct xids_xs_conn *conn, struct watch **watch, const struct xids_store_path *p,
                      const struct xids_xswire_str *token, int32_t depth, size_t prefix);
int xids_xs_watch_remove(struct xids_xs_conn *conn, const struct xids_store_path *p,
                         const struct xids_xswire_str *token);
void xids_xs_watch_remove_all(struct xids_xs_conn *conn);
/* What a watch costs, with its path as if nobody else watched it. */
size_t xids_xs_watch_cost(const struct watch *w);
/* Frees at most so many watches, and events that waited, of those removed all at once. */
void xids_xs_watch_reap(struct xids_xs_server *s, unsigned int max);
void xids_xs_fire(void *ctx, const struct xids_store_event *event);
void xids_xs_fire_special(struct xids_xs_server *s, const char *name, uint16_t domid, bool plain, bool with_domid);
void xids_xs_watch_free_all(struct xids_xs_server *s);

/* ---- server_ops.c ---- */
/* Carries a request out. False: it cannot be yet; the connection is looked at again, and the request with it. */
bool xids_xs_handle(struct xids_xs_conn *conn, const struct xids_xswire_msg *msg);
int xids_xs_path(struct request *r, struct xids_store_path *p, const struct xids_xswire_str *str, bool special,
                 size_t *prefix);
int xids_xs_one_arg(const struct request *r, struct xids_xswire_str *arg);

bool xids_xs_is_unknown(const struct xids_xs_server *s, uint16_t domid);

/* ---- server_quota.c ---- */
extern const struct quota_name {
    const char *name;
    const char *what;
    size_t hard, soft; /* in struct xids_xs_limits; 0: there is none, which no limit is at */
} xids_xs_quotas[QUOTAS];

/* The quota of a name of len bytes, or QUOTAS. */
enum quota xids_xs_quota_find(const char *name, size_t len);
/* Where a limit is; NULL: there is no such soft one. */
uint32_t *xids_xs_quota_limit(struct xids_xs_limits *limits, enum quota quota, bool soft);

int xids_xs_op_get_quota(struct request *r);
int xids_xs_op_set_quota(struct request *r);
int xids_xs_op_get_feature(struct request *r);
int xids_xs_op_set_feature(struct request *r);

/* The name of a limit by its number; NULL: there are no more. */
const char *xids_xs_limit_name(unsigned int i);

/* What was set for a domain before it was introduced, NULL: nothing; the same, made when there is none. */
struct early *xids_xs_early(struct xids_xs_server *s, uint16_t domid);
int xids_xs_early_make(struct xids_xs_server *s, struct early **early, uint16_t domid);
/* The same for one that is known to have none. */
int xids_xs_early_new(struct xids_xs_server *s, struct early **early, uint16_t domid);

/* The domain is known from now on: what was set for it is its connection's. */
void xids_xs_early_take(struct xids_xs_conn *conn);
/* The domain has died before it was introduced. */
void xids_xs_early_drop(struct xids_xs_server *s, uint16_t domid);
void xids_xs_early_free_all(struct xids_xs_server *s);

/* ---- server_run.c ---- */

/* Has xids_xs_server_idle look at a connection; and not read from it until then; or not at all. */
void xids_xs_look_again(struct xids_xs_conn *conn);
void xids_xs_wait(struct xids_xs_conn *conn);
void xids_xs_look_no_more(struct xids_xs_conn *conn);

/* What all work so far has cost. */
uint64_t xids_xs_cost(const struct xids_xs_server *s);

/* The connection is about to be served: it gets a share. False: it has to wait. Then what it did, out of that. */
bool xids_xs_share(struct xids_xs_conn *conn);
void xids_xs_pay(struct xids_xs_conn *conn, uint64_t before);

/* ---- server_turn.c ---- */

/* A transaction has started, or was ended without effect. */
void xids_xs_turn_started(struct xids_xs_conn *conn, struct transaction *t);
void xids_xs_turn_ended(struct xids_xs_conn *conn, const struct transaction *t);

/*
 * Ends a transaction and puts it into force: as xids_store_tx_commit, or XIDS_XS_HELD: it is held back, and answered
 * when that is over.
 */
#define XIDS_XS_HELD 2
int xids_xs_turn_commit(struct xids_xs_conn *conn, struct transaction *t, uint32_t req_id);

/*
 * A guest's plain request would change the node of a path, or with below all that is below as well: whether it has to
 * wait for a turn's end. Its answer is XIDS_XS_WAITS then, and it is carried out anew.
 */
#define XIDS_XS_WAITS 3
bool xids_xs_turn_waits(const struct request *r, const struct xids_store_path *p, bool below);

/* The connection loses what it holds: nothing of it is held back any more, and its turn is over. */
void xids_xs_turn_drop(struct xids_xs_conn *conn);

/* An end that was held back before our time: it is gone on with when idle. transaction 0: it was refused. */
void xids_xs_turn_held(struct xids_xs_conn *conn, uint32_t transaction, uint32_t req_id, uint32_t tx_id);

/* Goes on with one end that was held back; whether there is any to go on with. */
void xids_xs_turn_idle(struct xids_xs_server *s);
bool xids_xs_turn_busy(const struct xids_xs_server *s);

/* ---- server_account.c ---- */

/* What is counted as held for a connection, or no more. */
static inline void charge(struct xids_xs_conn *conn, int64_t bytes)
{
    conn->usage.held += (uint64_t)bytes;
}

/* The bytes that a transaction holds more than when its connection was charged last. */
void xids_xs_charge_transaction(struct xids_xs_conn *conn, struct transaction *t);
void xids_xs_uncharge_transaction(struct xids_xs_conn *conn, const struct transaction *t);

/* After a domain's request: the most it has used, and whether that is more than it should. */
void xids_xs_account(struct xids_xs_conn *conn);
/* The domain is going: what it has used counts for the most that any has. */
void xids_xs_account_end(struct xids_xs_conn *conn);

/* What a domain uses now, and the most it has used. */
struct used {
    uint32_t now[QUOTAS], most[QUOTAS];
};
void xids_xs_used(const struct xids_xs_server *s, struct used *used, uint16_t domid);
/* The most that any unprivileged domain has used. */
void xids_xs_used_most(const struct xids_xs_server *s, uint32_t most[QUOTAS]);
void xids_xs_forget_most(struct xids_xs_server *s);

/* Notes which quota is the reason for what it returns, -XEN_ENOSPC. */
int xids_xs_deny(struct xids_xs_server *s, enum quota quota);
/* Tells the host of a request that was denied for a quota; QUOTAS: the one that was noted, by the store or here. */
void xids_xs_denied(struct xids_xs_conn *conn, enum quota quota, const struct xids_store_path *path);

/* ---- journal_out.c ---- */

/* There is a journal, and what is kept of a domain has changed; of others; where a domain's ring stands. */
void xids_xs_journal_note_domain(struct xids_xs_server *s, uint16_t domid);
void xids_xs_journal_note_globals(struct xids_xs_server *s);
void xids_xs_journal_note_ring(struct xids_xs_conn *c);
/* A ring's page is about to be told what was taken from it; of answers. The journal comes first. */
void xids_xs_journal_before_room(struct xids_xs_conn *c);
void xids_xs_journal_before_answers(struct xids_xs_conn *c);

static inline void note_domain(struct xids_xs_server *s, uint16_t domid)
{
    if (s->journal != NULL)
        xids_xs_journal_note_domain(s, domid);
}

/* A change of a connection: only rings are kept. */
static inline void note_conn(struct xids_xs_conn *c)
{
    if (c->ring)
        note_domain(c->server, c->who.domid);
}

static inline void note_globals(struct xids_xs_server *s)
{
    if (s->journal != NULL)
        xids_xs_journal_note_globals(s);
}

/* ---- server_control.c ---- */
int xids_xs_op_control(struct request *r);
bool xids_xs_is_word(const struct xids_xswire_str *arg, const char *word);

/* ---- server_report.c ---- */
int xids_xs_control_quota(struct request *r, const struct xids_xswire_str *argv, unsigned int argc);
int xids_xs_control_quota_soft(struct request *r, const struct xids_xswire_str *argv, unsigned int argc);
int xids_xs_control_memreport(struct request *r, const struct xids_xswire_str *argv, unsigned int argc);

/* ---- server_domain.c ---- */
int xids_xs_op_introduce(struct request *r);
int xids_xs_op_release(struct request *r);
int xids_xs_op_resume(struct request *r);
int xids_xs_op_set_target(struct request *r);
int xids_xs_op_is_introduced(struct request *r);
int xids_xs_op_domain_path(struct request *r);
/*
 * Before a domain that exists gets rights from a connection: so that it is taken care of when it dies before it is
 * known, and that the rights are not taken away again with those of the last domain of that number.
 */
int xids_xs_give_rights(const struct xids_xs_conn *from, uint16_t domid);
void xids_xs_ring_push(struct xids_xs_conn *conn);
/* Goes on with the removal of what dead domains owned; true when there is more. */
bool xids_xs_forget_some(struct xids_xs_server *s, unsigned int max);
/* Whether a domain is known, or has been given rights before. */
bool xids_xs_is_known(const struct xids_xs_server *s, uint16_t domid);
int xids_xs_domid_arg(uint16_t *domid, const struct xids_xswire_str *arg);
/* A domain's new connection becomes known, without a ring. -XEN_ENOMEM. */
int xids_xs_take_up(struct xids_xs_conn *conn);
/* Where a page says that a ring stands; and that it is not known where it does: the domain is told. */
void xids_xs_ring_indices(void XIDS_PEER *page, uint32_t *req_cons, uint32_t *rsp_prod);
void xids_xs_ring_lost(struct xids_xs_conn *conn);
/* Its ring is served where it stood: with our own indices when they are known. Without a page it is broken. */
void xids_xs_serve_again(struct xids_xs_conn *conn, void XIDS_PEER *page, bool indices, uint32_t req_cons,
                         uint32_t rsp_prod);

#endif
