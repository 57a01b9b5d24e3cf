/* SPDX-License-Identifier: ISC */
/*
 * A xenstored for unit tests: the server of xids-xenstored, made by one call in the test's own process, with fake
 * domains, faults on demand, and everything in it to be looked at. Nothing of Xen is needed, nor any privilege.
 * Link with pkg-config xids-testing. docs/howto/store-testing.md has whole examples.
 *
 *     struct xids_test_store *s;
 *     xids_test_store_new(&s, NULL);
 *     xids_test_store_use(s, 0);            XENSTORED_PATH is set: what opens xenstore from now on opens this one
 *     ... the code under test ...
 *     xids_test_store_free(s);
 *
 * Its sockets have names below /proc/PID/fd. No file stays on any disk, however the test ends. A process can have any
 * number of stores.
 *
 * Calls return 0 or a count, else a negative Xen errno; nothing here aborts. -XEN_ENOMEM is possible everywhere.
 * Any thread may make them. So may a process forked from the one that made the store (Check runs each case in one),
 * unless the store is XIDS_TEST_STORE_MANUAL; such calls are carried out by the process that serves, and return
 * -XEN_ENOTCONN when it has ended. Texts are malloc'ed; the caller frees them.
 */
#ifndef XIDS_STORE_TESTING_H
#define XIDS_STORE_TESTING_H

#include <xids/xs.h>
#include <xids/xs_server.h>

XIDS_BEGIN_DECLS

struct xids_test_store;

/* ---- a store ---- */

enum xids_test_store_mode {
    XIDS_TEST_STORE_THREAD, /* a thread of this process serves; signals do not reach it */
    XIDS_TEST_STORE_FORKED, /* a process of its own serves, which ends when its last user does */
    XIDS_TEST_STORE_MANUAL, /* nobody serves but xids_test_store_run: no threads, no surprises */
};

/* All zero, or NULL in its place, is a good default. */
struct xids_test_store_config {
    enum xids_test_store_mode mode;
    const struct xids_xs_limits *limits; /* of guests; NULL: xids_xs_limits_default */
    const char *tree;                    /* what is in the store at first, as xids_test_store_load takes it; or NULL */
    /*
     * A folder, made if need be, for the sockets "socket" and "domN": for clients that cannot look into this process's
     * /proc. They stay until xids_test_store_free, or for ever when the test does not get there.
     */
    const char *directory;
};

/*
 * Starts a store; it serves when the call returns. -XEN_ENOSYS: no /proc, and no directory given; -XEN_EINVAL: the tree
 * is not one; -XEN_ENAMETOOLONG: the directory; other errors of socket(2), bind(2), fork(2), pthread_create(3).
 */
int xids_test_store_new(struct xids_test_store **store, const struct xids_test_store_config *config) XIDS_MUST_CHECK;

/*
 * Ends it: its connections are closed, and XENSTORED_PATH is taken back if it is still what _use made it. NULL is fine.
 * In a forked process only that process's handle ends. Pages of xids_test_store_ring are gone.
 */
void xids_test_store_free(struct xids_test_store *store);

/* The longest path of a socket, with its NUL. */
#define XIDS_TEST_STORE_PATH_MAX 108u

/*
 * The socket whose clients act as domid: with its rights, limits and relative paths. 0 is the toolstack's. It is
 * what to give a program as XENSTORED_PATH. -XEN_ENOENT: that domain is not introduced.
 */
int xids_test_store_path(struct xids_test_store *store, char path[XIDS_TEST_STORE_PATH_MAX], domid_t domid)
    XIDS_MUST_CHECK;

/* Sets XENSTORED_PATH to that socket, for this process and those it starts. It is setenv: not while threads use it. */
int xids_test_store_use(struct xids_test_store *store, domid_t domid) XIDS_MUST_CHECK;

/* A connected descriptor, close-on-exec, the caller's to close. */
int xids_test_store_connect(struct xids_test_store *store, int *fd, domid_t domid) XIDS_MUST_CHECK;

/* A client's handle, the caller's to close. Over XIDS_TEST_STORE_MANUAL its blocking calls would wait for ever. */
int xids_test_store_open(struct xids_test_store *store, struct xids_xs **xs, domid_t domid) XIDS_MUST_CHECK;

/* ---- turns ---- */

/*
 * Returns when all requests sent so far, by any connection or ring, are carried out and what could be sent of the
 * answers and events is, also when some program never stops asking: 0, or the number of connections that have more to
 * get, held back by a fault or not read.
 */
int xids_test_store_settle(struct xids_test_store *store) XIDS_MUST_CHECK;

/*
 * XIDS_TEST_STORE_MANUAL: waits up to timeout_ms (-1: for ever) for something to do, does all there is and returns the
 * number of requests carried out. -XEN_EPERM: another mode, or another process.
 */
int xids_test_store_run(struct xids_test_store *store, int timeout_ms) XIDS_MUST_CHECK;

/* XIDS_TEST_STORE_MANUAL: a descriptor that is readable when there is something to do, for poll. -XEN_EPERM: as run. */
int xids_test_store_fd(const struct xids_test_store *store) XIDS_MUST_CHECK;

/* ---- domains ---- */

/*
 * Makes a domain, 1 to 32751, known, as INTRODUCE does; INTRODUCE requests of the program under test do so as well.
 * home: /local/domain/N is made for it as well, which it may read, with domid, and data, which it owns; the destroy
 * below removes that again. -XEN_EEXIST: it is known.
 */
int xids_test_store_introduce(struct xids_test_store *store, domid_t domid, bool home) XIDS_MUST_CHECK;

/* It shuts down, and is there still: @releaseDomain fires. -XEN_ENOENT: it is not known. */
int xids_test_store_shutdown(struct xids_test_store *store, domid_t domid) XIDS_MUST_CHECK;

/*
 * It is gone, as the hypervisor would say: what it owned is removed, @releaseDomain fires, its connections are closed.
 * All this is done when the call returns. Permissions for it are void from now on, until it is introduced again.
 */
int xids_test_store_destroy(struct xids_test_store *store, domid_t domid) XIDS_MUST_CHECK;

/*
 * Sets a limit by C xenstored's name ("nodes", "node-size", "watches", "transactions", ...): of a known domain, or,
 * with domid 0, which has none itself, of those introduced from now on. 0: none. -XEN_EINVAL: no limit is called so;
 * -XEN_ENOENT: the domain is not known.
 */
int xids_test_store_limit(struct xids_test_store *store, domid_t domid, const char *name, uint32_t value)
    XIDS_MUST_CHECK;

/* A domain's xenstore page and the channel to the store, as the guest has them: what xids_xs_ring_init wants. */
struct xids_test_store_ring {
    void XIDS_PEER *page;
    evtchn_port_t port;
    struct xids_platform *platform; /* its event channels and its clock work, the rest is -XEN_ENOSYS */
};

/*
 * The ring of a known domain. Over XIDS_TEST_STORE_MANUAL the platform's wait serves the store. The page stays until
 * the store is freed, but after the domain's destroy nobody serves it. -XEN_ENOENT: not known; -XEN_ENOSYS: another
 * process serves.
 */
int xids_test_store_ring(struct xids_test_store *store, struct xids_test_store_ring *ring, domid_t domid)
    XIDS_MUST_CHECK;

/* ---- faults ---- */

enum xids_test_store_action {
    XIDS_TEST_STORE_COUNT,      /* does nothing; see xids_test_store_fault_hits */
    XIDS_TEST_STORE_ERROR,      /* answers with error; the request is not carried out; a commit ends its transaction */
    XIDS_TEST_STORE_DELAY,      /* carries it out, but holds back its answer and all that comes after */
    XIDS_TEST_STORE_DISCONNECT, /* closes the connection; the request is not carried out */
    XIDS_TEST_STORE_CUT,        /* carries it out, sends the first bytes of the answer, closes the connection */
};

#define XIDS_TEST_STORE_ALWAYS UINT32_MAX  /* for times */
#define XIDS_TEST_STORE_CONTROL UINT32_MAX /* for type: XS_CONTROL, whose number is 0 */

/*
 * Which requests it is for, all that is set having to fit; which of those it hits; and what becomes of them. DELAY,
 * DISCONNECT and CUT leave requests that come over a ring page alone.
 */
struct xids_test_store_fault {
    uint32_t type;    /* an enum xsd_sockmsg_type, of XS_TRANSACTION_END commits alone; 0: any */
    const char *path; /* requests that name this node or one below, relative ones included; NULL: any */
    bool of_domain;   /* requests of domid only */
    domid_t domid;
    uint32_t nth;   /* hits the nth that fits, from now on; 0 is 1, the next */
    uint32_t times; /* and so many in all, one after the other; 0 is 1, for COUNT all */
    enum xids_test_store_action action;
    int error;         /* ERROR: a negative errno that the protocol knows, as -XEN_ENOSPC */
    uint32_t requests; /* DELAY: until the store has carried out so many more, of whomever; */
    uint32_t ms;       /* and this time has passed; both 0: until xids_test_store_let_go */
    uint32_t bytes;    /* CUT: of the answer, header included; 0: none */
};

/*
 * Adds a fault; returns its number, from 1. Each fault counts what fits it; of those that hit one request the oldest
 * that is not COUNT acts. -XEN_EINVAL: an unknown action, or an error that is none.
 */
int xids_test_store_fault(struct xids_test_store *store, const struct xids_test_store_fault *fault) XIDS_MUST_CHECK;

/* The two that are wanted most. EAGAIN for the nth commit from now on, and those after it, times in all. */
int xids_test_store_refuse_commits(struct xids_test_store *store, uint32_t nth, uint32_t times) XIDS_MUST_CHECK;

/* And error for the nth request of a type (0: any) at or below path (NULL: any). */
int xids_test_store_fail(struct xids_test_store *store, uint32_t type, const char *path, uint32_t nth, int error)
    XIDS_MUST_CHECK;

/* How many requests it has hit. -XEN_ENOENT: no such fault. */
int xids_test_store_fault_hits(struct xids_test_store *store, int fault) XIDS_MUST_CHECK;

/* Takes back a fault, or all (0). What is held back stays so. -XEN_ENOENT. */
int xids_test_store_fault_clear(struct xids_test_store *store, int fault);

/* Sends all that is held back. */
int xids_test_store_let_go(struct xids_test_store *store);

/* ---- the tree as text (docs/spec/store-testing.md) ----
 * A line a node, parents before their children:
 *
 *     /local/domain/1/name = "guest" (n0,r1)
 *
 * In values \n, \r, \t, \", \\ stand for these and \x7f, with two digits, for any byte that is not printable ASCII.
 * Where a text is read, blank lines and lines that begin with # mean nothing, spaces at both ends neither, and the
 * permissions may be left out. One that a tree is compared with may say * for a value: any will do.
 */

enum xids_test_store_flags {
    XIDS_TEST_STORE_BY_AGE = 1,   /* siblings in the order of their creation; else sorted by name */
    XIDS_TEST_STORE_NO_PERMS = 2, /* permissions do not matter */
};

/* The tree from path down (NULL: "/"), which is its first line. -XEN_ENOENT: no such node. */
int xids_test_store_dump(struct xids_test_store *store, char **text, const char *path, unsigned int flags)
    XIDS_MUST_CHECK;

/*
 * Writes what a text says, line by line, as a toolstack would: watches fire. -XEN_EINVAL: a line is wrong, and nothing
 * is written; or the store's own errors, -XEN_E2BIG for what is too long for a request among them, and then the lines
 * before are. *line, which may be NULL, is the number of the line.
 */
int xids_test_store_load(struct xids_test_store *store, unsigned int *line, const char *text) XIDS_MUST_CHECK;

/*
 * Compares the tree from path down with a text: nodes, values, permissions where the text says some, and with
 * XIDS_TEST_STORE_BY_AGE the order. 0: equal, *difference is NULL. 1: not, and *difference says how, a line a node:
 * what the text has after "- ", what the store has after "+ ". -XEN_EINVAL: a line of the text is wrong.
 */
int xids_test_store_compare(struct xids_test_store *store, char **difference, const char *path, unsigned int flags,
                            const char *expected) XIDS_MUST_CHECK;

/*
 * The same with a file. When XIDS_TEST_STORE_UPDATE is set in the environment, the tree is written to the file instead,
 * and the answer is 0: look at the change, then keep it. Errors of open(2), read(2), write(2).
 */
int xids_test_store_compare_file(struct xids_test_store *store, char **difference, const char *path, unsigned int flags,
                                 const char *file) XIDS_MUST_CHECK;

/* ---- what has been done, and what is left ---- */

struct xids_test_store_counts {
    uint64_t requests;     /* carried out or refused so far */
    uint32_t connections;  /* open; rings not among them */
    uint32_t domains;      /* introduced */
    uint32_t watches;      /* set */
    uint32_t transactions; /* open */
};

int xids_test_store_counts(struct xids_test_store *store, struct xids_test_store_counts *counts) XIDS_MUST_CHECK;

/*
 * The requests since the start, or the last _log_clear, a line each:
 *
 *     dom0.1 tx1 WRITE /a/b "1" -> OK
 *     dom5.ring READ /secret -> EACCES
 *
 * Who asks (a domain, and the how-manieth connection of the store it is), the transaction if any, the request with its
 * arguments, the answer's error. Values, and what is not plain, are quoted as in a tree. At most 4 MiB are kept.
 */
int xids_test_store_log(struct xids_test_store *store, char **text) XIDS_MUST_CHECK;
int xids_test_store_log_clear(struct xids_test_store *store);

/* The watches, as "dom0.1 /a/b token", and " depth 2" if it has one: a line each, a connection's in their order. */
int xids_test_store_watches(struct xids_test_store *store, char **text) XIDS_MUST_CHECK;

/*
 * What a program has left behind: transactions still open, watches still set, and, unless expected is NULL, nodes that
 * are not in that text (an earlier dump, for one). Returns how many; *report says which, a line each. A connection's
 * are gone with it: before you look, close or kill what the test opened. Settles first.
 */
int xids_test_store_leaks(struct xids_test_store *store, char **report, const char *expected) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
