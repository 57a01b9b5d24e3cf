/* SPDX-License-Identifier: ISC */
/*
 * libxenstore.so.4 on the engine of <xids/xs_client.h>: what its files share. The functions it exports are those of
 * <xenstore.h>; those that are newer than Xen 4.17's header are declared here.
 *
 * Any number of threads may use one handle. There is no helper thread: of the threads that wait for answers, one reads
 * the connection for all, and when it has its own, another takes its place. While there is none, what xs_fileno gives
 * watches the connection itself; threads that wait for events sleep at that, too, and read only what wakes them.
 */
#ifndef XENSTORE_LIBXENSTORE_H
#define XENSTORE_LIBXENSTORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <xenstore.h>
#include <xids/xs_client.h>

/* What libxentoolcore keeps of a handle, by its ABI, for xentoolcore_restrict_all. Its header is not installed. */
struct lxs_active {
    int (*restrict_callback)(struct lxs_active *active, domid_t domid);
    struct {
        struct lxs_active *next;
        struct lxs_active **prev;
    } entry;
};

/*
 * When so many events wait that nobody fetches, each watch gets one more, at its own path, for all that follow: what
 * writers below a watched path can make a program keep is bounded.
 */
#define LXS_EVENTS_MAX 4096u

struct lxs_watch {
    TAILQ_ENTRY(lxs_watch) entry;
    bool summed; /* that one event waits */
    const char *token;
    uint32_t len;
    char text[]; /* path and token, each with its NUL */
};

struct lxs_event {
    TAILQ_ENTRY(lxs_event) entry;
    char **strings; /* what the user gets: one block */
    unsigned int count;
    struct lxs_watch *sum_of; /* NULL: it is an event of its own */
};

/* A thread's request that is under way. */
struct lxs_call {
    TAILQ_ENTRY(lxs_call) entry; /* until it is done */
    struct xs_handle *h;
    pthread_cond_t wake;
    bool done;
    int rc;
    char *data; /* malloc'ed, with a NUL after its len bytes */
    uint32_t len;
};

TAILQ_HEAD(lxs_calls, lxs_call);
TAILQ_HEAD(lxs_events, lxs_event);
TAILQ_HEAD(lxs_watches, lxs_watch);

struct xs_handle {
    struct lxs_active active;
    int fd;
    bool device; /* Xen's device file: one write, one message */
    bool filter; /* XS_UNWATCH_FILTER */

    pthread_mutex_t lock; /* for all that follows */
    struct xids_xs_client *client;
    bool reading;   /* a thread reads the connection, and in[] is its own */
    uint32_t whole; /* bytes left of the message whose first part the device has taken */
    struct lxs_calls calls;
    struct lxs_events events;
    struct lxs_watches watches;
    unsigned int waiting; /* events */
    pthread_cond_t room;  /* a request can be made, or there is nobody who reads */
    unsigned int crowded; /* threads that wait for that */
    atomic_uint watchers; /* threads in xs_read_watch, which wait at poll_fd; one that is cancelled takes no lock */
    bool loss_told;       /* a user of events knows that the connection is lost */

    /*
     * What xs_fileno gives, -1 before there is need of it: an epoll set of the connection, while nobody reads that, and
     * of the bell.
     */
    int poll_fd, bell_fd;
    bool rung; /* events wait, or the loss is not told */
    bool armed;

    bool features_known;
    unsigned int features;
    uint8_t in[16384];
};

/* ---- libxenstore_talk.c ---- */

/* Makes the engine. 0, or a negative errno. */
int lxs_start(struct xs_handle *h);

/*
 * Between these two the thread is not cancelled: it would leave the lock behind, or a request whose answer has to go
 * somewhere. lxs_lock returns what lxs_unlock needs.
 */
int lxs_lock(struct xs_handle *h);
void lxs_unlock(struct xs_handle *h, int state);

/*
 * Makes a request and waits for its answer: sets *data, malloc'ed, which is the caller's, with a NUL after its *len
 * bytes; either may be NULL. False: errno is set.
 */
bool lxs_talk(struct xs_handle *h, char **data, uint32_t *len, uint32_t type, uint32_t tx,
              const struct xids_xswire_part *parts, unsigned int count);

/* Locked: reads what is there without waiting, unless a thread is at it. */
void lxs_look(struct xs_handle *h);

/* Locked: reads, or waits on cond while another thread does; *reading says which. */
void lxs_wait(struct xs_handle *h, bool *reading, pthread_cond_t *cond);

/* Locked: ends what lxs_wait began: another thread that waits is to read, or the descriptor of xs_fileno to watch. */
void lxs_stop_reading(struct xs_handle *h, bool reading);

/* ---- libxenstore_events.c ---- */

/* Locked: the engine's callback for events. ctx: the handle. */
void lxs_on_event(void *ctx, const char *payload, uint32_t len);

/*
 * Locked: the strings of the first event, *count of them, which are the user's to free; or NULL with *error: EAGAIN, or
 * EINVAL when the connection is lost, which is told then.
 */
char **lxs_next_event(struct xs_handle *h, unsigned int *count, int *error);

/* Drops waiting events with this token at or below path. */
void lxs_drop_events(struct xs_handle *h, const char *path, const char *token);

/* Keeps a watch in mind, before it is made; finds one; and forgets one, when it is no more or was refused. NULL: none.
 */
struct lxs_watch *lxs_add_watch(struct xs_handle *h, const char *path, const char *token);
struct lxs_watch *lxs_find_watch(struct xs_handle *h, const char *path, const char *token);
void lxs_remove_watch(struct xs_handle *h, struct lxs_watch *w);

/* Not locked: the end of the handle. */
void lxs_free_events(struct xs_handle *h);

/* ---- libxenstore_watch.c ---- */

/* Locked: makes the descriptor of xs_fileno say what is so. */
void lxs_set_bell(struct xs_handle *h);
void lxs_arm(struct xs_handle *h, bool on);
void lxs_disarm_for_good(struct xs_handle *h);

/* ---- functions newer than Xen 4.17's header ---- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth);
bool xs_watch_try_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth);
bool xs_get_features_supported(struct xs_handle *h, unsigned int *features);
bool xs_get_features_domain(struct xs_handle *h, unsigned int domid, unsigned int *features);
bool xs_set_features_domain(struct xs_handle *h, unsigned int domid, unsigned int features);
const char **xs_get_quota_names(struct xs_handle *h, unsigned int *num);
bool xs_get_global_quota(struct xs_handle *h, const char *quota, unsigned int *value);
bool xs_set_global_quota(struct xs_handle *h, const char *quota, unsigned int value);
bool xs_get_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int *value);
bool xs_set_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int value);
bool xs_write_all(int fd, const void *data, unsigned int len); /* gone from the newest header, still exported */
#pragma GCC diagnostic pop

#endif
