/* SPDX-License-Identifier: ISC */
/*
 * Inside the test store. One process serves: it has a struct tst_core, whose lock is held by whoever works on it, the
 * serving thread or a call. A call is a struct tst_op, carried out where the core is; another process sends it there.
 */
#ifndef XIDS_XENSTORE_TESTING_IMPL_H
#define XIDS_XENSTORE_TESTING_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <xids/store-testing.h>

/* ---- testing_text.c: texts that grow, and the lines of a tree ---- */

/* A failed allocation is remembered, so that only the end need look. */
struct tst_text {
    char *s;
    size_t len, cap;
    bool failed;
};

void tst_text_add(struct tst_text *t, const char *s, size_t len);
void tst_text_str(struct tst_text *t, const char *s);
__attribute__((format(printf, 2, 3))) void tst_text_printf(struct tst_text *t, const char *format, ...);
/* A value in quotes. */
void tst_text_quoted(struct tst_text *t, const char *s, size_t len);
/* The same without quotes where it needs none. */
void tst_text_word(struct tst_text *t, const char *s, size_t len);
void tst_text_free(struct tst_text *t);
/* Hands over the text, terminated; 0 or -XEN_ENOMEM. */
int tst_text_take(struct tst_text *t, char **s);

/* One line of a tree. */
struct tst_line {
    char *path, *value; /* in one allocation, which begins at path */
    size_t path_len, value_len;
    const char *perms; /* in the text it came from, without the parentheses; NULL: none */
    size_t perms_len;
    const char *raw; /* the line itself */
    size_t raw_len;
    unsigned int number;
    bool any; /* the value is * */
};

struct tst_lines {
    struct tst_line *v;
    size_t n, cap;
};

/* Takes a text apart; it must outlive the lines. -XEN_EINVAL with *bad, which may be NULL, the number of the line. */
int tst_lines_parse(struct tst_lines *lines, const char *text, unsigned int *bad);
void tst_lines_free(struct tst_lines *lines);
/* Both texts are trees. 0, 1 with *difference, or an error. */
int tst_compare(char **difference, const char *expected, const char *found, unsigned int flags);
/* Adds a line for each node of found that expected has not. The number, or an error. */
int tst_unexpected(struct tst_text *report, const char *expected, const char *found);

/* ---- what the core is made of ---- */

/* Who asks: a client or a domain's ring. The server's connections point to one; the core's own to none. */
struct tst_peer {
    struct tst_client *client; /* NULL: a ring */
    domid_t domid;
    uint32_t number;      /* of the connection */
    struct tst_text line; /* for the log, of the request in work */
    bool dropped;         /* that request is one that closes the connection */
    uint64_t asked;       /* requests that have come */
};

/* Something that epoll knows. */
enum tst_kind {
    TST_WAKE,
    TST_LIFELINE,
    TST_LISTENER,
    TST_CLIENT,
};

struct tst_source {
    enum tst_kind kind;
    int fd;
    void *owner; /* the struct tst_listener or tst_client it is part of, or NULL */
};

/* What becomes of one answer. */
struct tst_verdict {
    struct tst_verdict *next;
    uint64_t number; /* of the request */
    enum xids_test_store_action action;
    uint32_t bytes;
    /* a delay */
    bool placed; /* the answer is there: from this byte of the stream on nothing may go */
    uint64_t from;
    bool held; /* until let go */
    uint64_t until_requests, until_ns;
};

struct tst_client {
    struct tst_source source;
    struct tst_client *next;
    struct tst_peer peer;
    struct xids_xs_conn *conn;
    uint8_t *in;
    size_t in_len, in_cap;
    struct tst_text out;
    uint64_t sent;     /* bytes of the stream before out */
    uint64_t answered; /* answers that have come from the server */
    struct tst_verdict *verdicts;
    uint32_t interest; /* epoll's */
    bool ending;       /* what is in out, and then no more */
    bool dead;
};

/* A listening socket and the name that it has. */
struct tst_listener {
    struct tst_source source;
    struct tst_listener *next;
    int domid; /* -1: of calls from other processes */
    int name;  /* keeps the socket's file, which has no name in a folder any more; -1: it has */
    char path[XIDS_TEST_STORE_PATH_MAX];
};

struct tst_page {
    struct tst_page *next;
    void *page;
};

struct tst_domain {
    struct tst_domain *next;
    struct tst_core *core;
    struct tst_peer peer;
    bool introduced, gone, home;
    void *page;
    struct xids_platform platform; /* the guest's */
    bool due;                      /* the guest has sent an event */
    bool pending, masked;          /* its port */
    int event;                     /* readable while the port is pending */
};

struct tst_fault {
    struct tst_fault *next;
    int number;
    struct xids_test_store_fault f;
    char *path;
    uint32_t fitting, hits;
};

struct tst_core {
    pthread_mutex_t lock;
    atomic_uint callers; /* who wait for it: they go before the serving thread's next turn */
    struct xids_xs_server *server;
    struct xids_xs_conn *own; /* the harness's own connection, which no fault hits */
    int epoll;
    struct tst_source wake, lifeline;
    struct tst_listener *listeners;
    struct tst_client *clients;
    struct tst_domain *domains;
    struct tst_page *pages; /* of domains, until the end */
    struct tst_fault *faults;
    struct tst_text log;
    uint64_t log_lost;
    uint64_t requests;
    uint32_t connections; /* so far */
    int last_fault;
    bool manual, stop;
    char *directory;
    bool made_directory;
    struct tst_core *next; /* of those that a forked process has but may not use */
};

/* ---- calls ---- */

enum tst_code {
    TST_OP_PATH,
    TST_OP_INTRODUCE,
    TST_OP_SHUTDOWN,
    TST_OP_DESTROY,
    TST_OP_LIMIT,
    TST_OP_FAULT,
    TST_OP_HITS,
    TST_OP_CLEAR,
    TST_OP_LET_GO,
    TST_OP_SETTLE,
    TST_OP_DUMP,
    TST_OP_LOAD,
    TST_OP_LOG,
    TST_OP_LOG_CLEAR,
    TST_OP_WATCHES,
    TST_OP_TRANSACTIONS,
    TST_OP_COUNTS,
};

struct tst_op {
    uint32_t code;
    uint32_t a[10];
    bool has_text;
    const char *text; /* terminated */
};

struct tst_result {
    int rc;
    uint64_t v[5];
    struct tst_text text;
};

/* ---- testing_core.c ---- */
int tst_core_new(struct tst_core **core, const struct xids_test_store_config *config);
void tst_core_free(struct tst_core *core);
/* Carries out a call; the lock is held. */
void tst_execute(struct tst_core *core, const struct tst_op *op, struct tst_result *result);

/* ---- testing_serve.c ---- */
int tst_watch_fd(struct tst_core *core, struct tst_source *source, uint32_t events, bool add);
/* And closes it. To close it alone does not end its events: a process forked in the meantime may have it open, too. */
void tst_close_source(struct tst_core *core, const struct tst_source *source);
/* Does what there is to do; false: there was nothing. The lock is held. */
bool tst_turn(struct tst_core *core);
/* Turns until there is nothing to do, or all that was sent before has surely been done. The lock is held. */
void tst_turns(struct tst_core *core);
/* The lock, for those who make calls. */
void tst_lock(struct tst_core *core);
/* Waits for something to do, at most timeout ms (-1: for ever); the lock is not held. */
void tst_wait(struct tst_core *core, int timeout);
/* Serves until told to stop. */
void *tst_serve(void *core);
void tst_wake(struct tst_core *core);
/* Sends what may go. */
void tst_flush(struct tst_core *core);
uint64_t tst_now(void);
uint32_t tst_held_back(const struct tst_core *core);
void tst_client_free(struct tst_core *core, struct tst_client *client);
/* Closes the connections that act as a domain. */
void tst_drop_clients(struct tst_core *core, domid_t domid);

/* ---- testing_listen.c ---- */
int tst_listen(struct tst_core *core, int domid);
void tst_listener_free(struct tst_core *core, struct tst_listener *listener);
struct tst_listener *tst_listener_of(struct tst_core *core, int domid);

/* ---- testing_request.c ---- */
int tst_request(void *core, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg);
void tst_answered(void *core, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg, int rc);
int tst_fault_add(struct tst_core *core, const struct tst_op *op);
struct tst_fault *tst_fault_of(struct tst_core *core, int number);
int tst_fault_clear(struct tst_core *core, int number);
void tst_peer_name(struct tst_text *out, const struct tst_peer *peer);

/* ---- testing_platform.c ---- */
#define TST_GUEST_PORT 1u /* the store's, as each guest knows it */
extern const struct xids_platform_ops tst_guest_ops;
/* The store has sent the guest an event. */
void tst_guest_notify(struct tst_domain *d);

/* ---- testing_domain.c ---- */
extern const struct xids_xs_host tst_host; /* but for ctx */
struct tst_domain *tst_domain_of(const struct tst_core *core, domid_t domid);
int tst_introduce(struct tst_core *core, domid_t domid, bool home);
int tst_shutdown(struct tst_core *core, domid_t domid);
int tst_destroy(struct tst_core *core, domid_t domid);
int tst_limit(struct tst_core *core, domid_t domid, const char *name, uint32_t value);
/* Looks at the rings whose guests have sent an event; false: there was none. */
bool tst_ring_events(struct tst_core *core);
void tst_domains_free(struct tst_core *core);

/* ---- testing_tree.c: the harness's own requests ---- */
int tst_dump(struct tst_core *core, struct tst_text *out, const char *path, unsigned int flags);
int tst_load(struct tst_core *core, unsigned int *line, const char *text);
/* A request whose answer is OK. Arguments as they are on the wire. */
int tst_ask_ok(struct tst_core *core, uint32_t type, const char *payload, size_t len);

/* ---- testing_rpc.c ---- */
/* Asks the process that serves. */
void tst_call(const char *path, const struct tst_op *op, struct tst_result *result);
/* Answers one such call. */
void tst_answer_call(struct tst_core *core, int fd);

#endif
