/* SPDX-License-Identifier: ISC */
/* The parts of xids-randomd, each in a file of its name. One thread, one loop. */
#ifndef XIDS_RANDOMD_DAEMON_H
#define XIDS_RANDOMD_DAEMON_H

#include "randomd/source.h"

#include "randomd/audit.h"

#include <uv.h>
#include <xids/platform_xen.h>
#include <xids/randomd_vchan.h>
#include <xids/xs.h>

#include "randomd/fair.h"
#include "randomd/pace.h"

/* ---- bounds: what guests and local users can cost us ---- */

#define MAX_GUESTS 32000u      /* channels at once; a setting can lower it */
#define MAX_PORTS 131072u      /* Xen has no higher event channel */
#define REOFFERS_FREE 4u       /* channels that a guest gets one right after the other */
#define PAGES_MAX 32u          /* pages that one guest makes us give up: it may keep each mapped */
#define LINGER_MS 1000u        /* for a guest to close the channel that it has said good-bye to */
#define LINGER_LOOK_MS 20u     /* and how often it is looked whether it has */
#define REOFFER_MIN_MS 100u    /* then it waits, twice as long each time, */
#define REOFFER_MAX_MS 30000u  /* up to this */
#define REOFFER_CALM_MS 10000u /* a channel that lasted so long clears the count */
#define WAIT_STEP_MS 10u       /* between two looks for guests that have waited long enough */
#define LOG_BURST 20u          /* lines of log in a period, for what guests can cause */
#define LOG_EACH 4u            /* of them a guest can cause by what it says */
#define LOG_PERIOD_MS 10000u
#define EVENTS_AT_ONCE 256u /* events between two turns of guests: they can be sent without end */
#define COST_AT_ONCE 65536u /* what guests are given in one turn of the loop; see XIDS_RANDOMD_COST_* */
#define COST_UNSEEN 4096u   /* and between two looks for events, so that who comes new waits no longer */
#define LOOKS_AT_ONCE 64u   /* times that one event keeps the loop from the store, the clock and signals, 20 us each */
#define COST_EVENT 1024u    /* what an event of a guest's costs it */
#define COST_OPENING 16384u /* what a new channel is given: its first HELLO and 48 bytes are free */
#define BUSY_AFTER_MS 1000u /* who will be held for longer is told so */
#define BUSY_TRIES 4u       /* and we try no oftener to tell it, in one holding */
#define RATE_DEFAULT 1048576u /* of a guest's share, in bytes a second */
#define RATE_MIN 1024u
#define BURST_DEFAULT 4194304u /* that it may use at once */
#define BURST_MIN 16384u
#define CONTROL_CLIENTS 8u     /* connections to the control socket */
#define CONTROL_LINE 64u       /* bytes of a request there */
#define CONTROL_IDLE_MS 5000u  /* until it is dropped */
#define STORE_TIMEOUT_MS 2000u /* for one answer of xenstore */
#define STORE_ROUNDS 4u        /* of requests and answers in one turn of the loop */
#define DEVICES 4u             /* the numbers that an entropy domain's device can have end before this */
#define STORE_RETRY_MS 500u    /* between attempts to reach it again */
#define NOT_READY_POLL_MS 100u /* between looks whether the kernel's generator is seeded */

/* The exit status for wrong options or settings, as of all programs of xids. */
#define EXIT_USAGE 2

/* ---- log.c ---- */

enum log_level {
    SAY_ERROR,
    SAY_WARN,
    SAY_INFO,
    SAY_DEBUG,
};

/* To standard error, or to syslog once log_to_syslog was called. name: whose lines they are, kept by reference. */
void log_set_program(const char *name);
void log_set_level(enum log_level level);
int log_level_from(enum log_level *level, const char *name);
const char *log_level_name(enum log_level level);
void log_to_syslog(void);
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *fmt, ...);

/* The same for what a guest can cause at will: limited in number, and counted when dropped. */
__attribute__((format(printf, 2, 3))) void log_guest(enum log_level level, const char *fmt, ...);
uint64_t log_dropped(void);
/* Whether this guest may cause one more of these lines: so that one does not use up what is there for all. */
bool log_allows(domid_t domid);

/* Tells the service manager, if there is one: "READY=1". */
void notify_manager(const char *state);

/* ---- memory.c: memory for secrets: locked, left out of dumps, empty in a forked child, wiped when we end or crash
 * ---- */

/* Aligned to 16 bytes, and from 4096 bytes on to 64. */
void *secret_get(size_t size);
void secret_put(void *mem, size_t size);
/* False when the limit on locked memory did not allow all of it to be locked. */
bool secret_locked(void);
/* Makes the process as a whole undumpable, and has its secrets wiped when it ends. */
void secret_process(void);

/* ---- master.c: the generator that all sessions are seeded from ---- */

struct master;

/* 0 or -XEN_ENOMEM. It is ready at once, or as soon as the kernel's is. */
int master_new(struct master **m);
void master_free(struct master *m);
/* Fits struct xids_randomd_session_config: at most 64 fresh bytes. -XEN_EAGAIN: the kernel's generator is not seeded.
 */
int master_source(void *master, uint8_t *buf, size_t len);
bool master_ready(struct master *m);
uint64_t master_draws(const struct master *m);
/* Mixes in bytes of another source; whatever they are, they do no harm. */
void master_mix(struct master *m, uint8_t tag, const void *data, size_t len);
/* Has hungry called before each draws-th draw. NULL: no more. */
void master_on_use(struct master *m, uint64_t draws, void (*hungry)(void *ctx), void *ctx);
/* What the kernel's generator said last: 0, or the error. */
int master_kernel(const struct master *m);
uint64_t master_failures(const struct master *m);

/* ---- sources.c: other sources than the kernel; all functions but new take NULL ---- */

struct sources;

/* Starts them; configs must stay. *to has to be stopped and freed even when this fails. 0 or a negative errno. */
int sources_new(struct sources **to, uv_loop_t *loop, struct master *master, const struct source_config *configs,
                unsigned int count);
/* Asks for fresh bytes of all that are good. They are mixed as they come. */
void sources_gather(struct sources *all);
/* Does what the clock says is due. Its own timer calls it. */
void sources_turn(struct sources *all);
/* Saves what is to be saved, and closes its handles: then the loop has to run before free. */
void sources_stop(struct sources *all);
void sources_free(struct sources *all);

struct source_report {
    const char *name, *type, *state, *error;
    uint64_t samples, failures;
    bool alarm; /* it should be good and is not */
};

unsigned int sources_count(const struct sources *all);
/* index below the count. */
void sources_report(const struct sources *all, unsigned int index, struct source_report *r);

/* ---- repeats.c: that nothing is given out twice ---- */

/* Before the first session. 0 or -XEN_ENOMEM. */
int repeats_start(struct master *m);
/* Fits struct xids_randomd_session_config, with a struct guest as its context. */
bool repeats_unseen(void *guest, const uint8_t *bytes, size_t len, bool first);
uint64_t repeats_checked(void);
uint64_t repeats_found(void);

/* ---- guests ---- */

/* What is said to the store for a guest in one go: publish.c. */
enum talk {
    TALK_NONE,
    TALK_PROBE,    /* who is it? */
    TALK_DEVICE,   /* has it a folder of devices? */
    TALK_PREPARE,  /* the channel's numbers, but for the port */
    TALK_OPEN,     /* the port */
    TALK_TOUCH,    /* the port again, which wakes who waits for it */
    TALK_HIDE,     /* no port */
    TALK_FORGET,   /* nothing of it is to be left */
    TALK_SWEEP,    /* is its folder of devices empty, */
    TALK_SWEPT,    /* then that goes too */
    TALK_ROOT,     /* the folder of the entropy domain */
    TALK_SECOND,   /* where that domain and the guest are to meet */
    TALK_UNSECOND, /* that domain has gone */
};

/* Lies in memory for secrets, with room for its session and its channel behind it. Guests are many: keep it small. */
struct guest {
    struct daemon *d;
    struct guest *next, *prev; /* of all */
    struct guest *next_queued;
    struct xids_vchan *ch; /* NULL: no channel at the moment */
    struct xids_randomd_session *session;
    uint64_t since;                            /* when the channel was made, or had its end, ns */
    uint64_t reoffer_at;                       /* when the next one may be, or the store be asked again, ns */
    struct xids_randomd_session_stats *before; /* of its earlier channels; NULL: nothing yet */
    struct xids_fair_guest share;              /* of the daemon's work */
    uint8_t vm[16];                            /* its uuid, or a hash of what its home says else; zeros: nothing */
    evtchn_port_t port;
    uint32_t channels; /* made so far */
    uint32_t hellos;   /* of this channel's that the audit log has heard of */
    domid_t domid;
    uint16_t reoffers, pages; /* one right after the other; that we had to give up */
    int16_t rc;               /* of the talk, */
    uint8_t talk;             /* an enum talk, */
    uint8_t asked, pending;   /* of which so many requests are sent, and not answered */
    uint8_t device;           /* its number */
    uint8_t swept;
    uint8_t busy_tries; /* to tell it that it is held */
    bool kept : 1;      /* there is a closed channel, the page of which serves again */
    bool waiting : 1;   /* for reoffer_at: it has no channel */
    bool retry : 1;     /* the same, for the store to do what it has refused */
    bool event : 1;     /* taken, and its port still masked */
    bool queued : 1;    /* in the queue of those with something to say to the store */
    bool fresh : 1;     /* not known yet to be one */
    bool gone : 1;      /* it is no more, and neither are we when the store has nothing of it any more */
    bool again : 1;     /* but there is another with its number */
    bool counted : 1;   /* in d->probing */
    /* what the store is still to be told */
    bool probe : 1, show : 1, prepared : 1, touch : 1, hide : 1, all_asked : 1;
    /* what it has of us */
    bool dirty : 1;                 /* anything */
    bool laid : 1;                  /* all that stays from channel to channel */
    bool open : 1;                  /* a port */
    bool unsure : 1;                /* or not, after it was lost */
    bool made_device : 1;           /* ~/device was missing: it is ours to remove */
    bool looked : 1;                /* for that */
    bool second : 1;                /* the entropy domain's nodes */
    bool rooted : 1;                /* this is that domain, and has its folder */
    bool introduced : 1, other : 1; /* what a probe has found */
    bool pointed : 1, versioned : 1, emptied : 1;
};

struct counters {
    uint64_t events, scans, offers, channels_closed, violations, offer_failures, exhausted, store_reconnects;
    uint64_t pages_lost, store_refusals;
    uint64_t reseed_pages, reseed_pages_refused;
    uint64_t hellos, gets, bytes, errors, busy; /* of sessions that have ended */
    uint64_t events_held;                       /* events that were left masked: their guest was over its share */
};

struct config {
    enum log_level log_level;
    char control[108];
    bool legacy; /* the console protocol of old, too */
    unsigned int max_guests;
    unsigned int entropy_domain; /* serves our guests too, as device 1; 0: none */
    bool discover;               /* we are that domain: who appears in our own folder is served */
    uint64_t reseed_ns, reseed_bytes;
    uint64_t rate, burst;   /* of each guest's share */
    char audit[AUDIT_PATH]; /* empty: there is none */
    uint64_t audit_size;
    unsigned int audit_files;
    struct source_config sources[SOURCES_MAX];
    unsigned int source_count;
};

struct control;
struct legacy;
struct options;
struct reseed;

enum scan_state {
    SCAN_IDLE,
    SCAN_LIST,    /* to be listed, */
    SCAN_PARTS,   /* in parts; */
    SCAN_LISTED,  /* all names are there */
    SCAN_PROBING, /* the guests are asked for */
};

struct scan {
    uint64_t began, not_before;
    enum scan_state state;
    int rc;
    uint32_t offset, generation, restarts;
    bool want, want_check, want_left; /* a listing; a look at all that we have; at what an earlier run left */
    bool check, left, asked, failed;
    uint8_t listed[(DOMID_FIRST_RESERVED + 7u) / 8u];
};

struct daemon {
    struct config config;
    const struct options *options; /* what the command line said, for reading the settings again */
    uv_loop_t loop;
    uv_poll_t store_poll, event_poll;
    uv_timer_t timer;
    uv_idle_t idle;
    uv_signal_t on_term, on_int, on_hangup;
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct master *master;
    struct sources *sources; /* NULL: none but the kernel */
    struct control *control;
    struct legacy *legacy; /* NULL: off */
    struct reseed *reseed;
    struct guest *guests;
    struct guest *by_domid[DOMID_FIRST_RESERVED];
    domid_t by_port[MAX_PORTS]; /* 0: nobody's */
    unsigned int guest_count;
    struct xids_fair fair;
    struct pace pace;
    unsigned int probing;                 /* of the scan */
    uint64_t due;                         /* when the first of the guests that wait for a time has its turn, */
    uint64_t look_at;                     /* not before this */
    uint32_t serial;                      /* of guests: domain ids repeat */
    struct guest *talkers, **talkers_end; /* have something to say to the store */
    struct scan scan;
    uint64_t store_retry_at;
    int store_events;
    struct counters count;
    domid_t domid;
    bool made_backend; /* /local/domain/S/backend was missing: it is ours to remove */
    bool made_home;    /* so was /local/domain/S */
    bool turned_away;  /* a guest for which there was no room: it is to be found again */
    bool store_polled; /* store_poll is open */
    bool store_lost;   /* nothing is asked of the store until it has spoken again */
    bool store_spoke;
    bool store_late; /* an answer did not come in time */
    bool was_ready;
    bool sandboxed;
    bool stopping;
    int status; /* of the process */
};

uint64_t now_ns(void);

/* A scan has found a domain that we do not know, or what an earlier run has left for one that is no more. */
void guest_found(struct daemon *d, domid_t domid);
void guest_left(struct daemon *d, domid_t domid);
/* It has not found one, or cannot be sure that it is the same. */
void guest_gone(struct daemon *d, struct guest *g);
void guest_check(struct daemon *d, struct guest *g);

/* From publish.c: the store has said who it is (rc 0); has the channel; refuses something; has nothing more of it. */
void guest_probed(struct daemon *d, struct guest *g, int rc);
void guest_published(struct daemon *d, struct guest *g);
void guest_refused(struct daemon *d, struct guest *g, int rc);
void guest_forgotten(struct daemon *d, struct guest *g);
/* The store is another one, or has been restarted: it can have forgotten. */
void guests_restore(struct daemon *d);
/* Makes channels that had to wait. Returns when the next is due (ns), UINT64_MAX: none. */
uint64_t guests_due(struct daemon *d);
/* Fewer are served, or more may be: finds those that were turned away. */
void guests_room(struct daemon *d);
/* The kernel's generator has become ready. */
void guests_ready(struct daemon *d);
/*
 * Gives the guest's session a new key and epoch, and lets it hear so. 0; -XEN_ENOENT: it has no channel; -XEN_EAGAIN
 * and others of xids_randomd_session_renew.
 */
int guest_renew(struct daemon *d, struct guest *g, enum xids_randomd_reason reason);
/* The guest's memory was restored from an image, or lives elsewhere too. As guest_renew; -XEN_ENOENT: no such guest. */
int guests_restored(struct daemon *d, domid_t domid);
/* Says good-bye to all and closes. */
void guests_stop(struct daemon *d);
/* Closes the guest's channel because of why, a negative errno, and plans the next one. */
void guest_end(struct daemon *d, struct guest *g, int why);
void guest_stats(const struct guest *g, struct xids_randomd_session_stats *stats);

/* ---- serve.c ---- */

void serve_begin(struct daemon *d);
/* The settings have changed. */
void serve_settings(struct daemon *d);
/* A guest comes, and goes. */
void serve_join(struct daemon *d, struct guest *g);
void serve_forget(struct daemon *d, struct guest *g);
/* The guest has a new channel, or has lost the one it had. */
void serve_opened(struct daemon *d, struct guest *g);
void serve_closed(struct daemon *d, struct guest *g);
/* The guest's session has something to say, not because of the guest. */
void serve_guest(struct daemon *d, struct guest *g);
/* Takes pending ports and serves guests, those first that sleep most; some of them when there are many. */
void serve_turn(struct daemon *d);
/* The same for a loop that an event has woken: stays awake a little while more may come (pace.h). */
void serve_events(struct daemon *d);
/* Whether there are others to be served yet, at once. */
bool serve_waiting(const struct daemon *d);
/* When guests are to be served that are held now (ns), UINT64_MAX: none is. */
uint64_t serve_due(const struct daemon *d);

/* ---- publish.c: the nodes of docs/spec/randomd.md, 2.1 ---- */

/* The guest has something to say to the store. What, its fields tell. */
void publish_queue(struct guest *g);
/* Sends what can be sent. False: the connection has no room for more. */
bool publish_turn(struct daemon *d);
/* The guest is about to go. */
void publish_forget(struct guest *g);

/* ---- scan.c ---- */

/* Something has changed. check: also among those that we have. */
void scan_want(struct daemon *d, bool check);
/* The store has not said what it was asked: it will be asked again, after a while. */
void scan_again(struct daemon *d);
/* Goes on. */
void scan_turn(struct daemon *d, uint64_t now);
/* When it can go on (ns; 0: at once), UINT64_MAX: when an answer has come. */
uint64_t scan_due(const struct daemon *d);
/* Begins anew, over another connection. */
void scan_reset(struct daemon *d);

/* ---- store.c ---- */

int store_open(struct daemon *d);
/* The part of it that needs no more than d->xs. */
int store_begin(struct daemon *d);
int store_poll(struct daemon *d);
/* Moves what can be moved. Returns when it wants to be called again (ns). */
uint64_t store_turn(struct daemon *d);
/* Looks for a lost store. */
void store_retry(struct daemon *d);
/* After guests_stop: waits, not for ever, until the store has nothing more of us. */
void store_end(struct daemon *d);

/* ---- reseed.c: guests are told that their memory was copied ---- */

/* 0 or an error. That we may not do this in our domain is none: then, and without it, nothing below does anything. */
int reseed_open(struct daemon *d);
/* After the loop and the store have been closed. */
void reseed_close(struct daemon *d);
/* The guest may be a copy: its reseed page is to be written, if it has one. */
void reseed_want(struct daemon *d, domid_t domid);
bool reseed_wanted(const struct daemon *d, domid_t domid); /* not done yet */
/* Asks the store where pages are: sent with what else is asked. */
void reseed_turn(struct daemon *d);
/* A domain has gone or was suspended: looks for the latter, which are copied when they run on. */
void reseed_look(struct daemon *d);
/* How many of those there are at the moment. */
unsigned int reseed_suspended(const struct daemon *d);

/* ---- control.c, requests.c, status.c, ask.c ---- */

int control_start(struct daemon *d);
void control_stop(struct daemon *d);
/* Asks a running daemon and prints its answer. operand can be NULL. The exit status. */
int control_ask(const char *path, const char *request, const char *operand);

/* ---- background.c ---- */

/* Forks; the parent waits and ends with the fate of the child, in which this returns a descriptor for background_ready
 * or a negative errno. */
int background_begin(void);
/* The program serves: lets the parent end, and logs to syslog from now on. -1: it stayed in the foreground. */
void background_ready(int fd);

/* ---- config.c ---- */

void config_defaults(struct config *c);
/* Reads a file; must_exist: its absence is an error. Complains itself. */
int config_read(struct config *c, const char *path, bool must_exist);
/*
 * Brings c to what to says, as far as that can change in place; what cannot is counted in refused, and said. Returns
 * how many settings have changed.
 */
unsigned int config_change(struct config *c, const struct config *to, unsigned int *refused);

/* ---- config_source.c: false with what is wrong ---- */

#define CONFIG_WHY 200u /* bytes for that */

/* key = value in the section [source NAME]. */
bool config_source_set(struct config *c, const char *name, const char *key, const char *value, unsigned int line,
                       char why[CONFIG_WHY]);
/* At the end of the file: whether each section says enough; else where the first that does not begins. */
bool config_sources_whole(const struct config *c, unsigned int *line, char why[CONFIG_WHY]);
bool config_sources_same(const struct config *a, const struct config *b);

/* ---- options.c ---- */

struct options {
    const char *config, *control, *level; /* NULL: not given */
    const char *request, *operand;        /* to the daemon that runs */
    bool foreground, no_sandbox;
};

/* Takes the command line, and the settings with it. -1: go on, else the exit status. */
int options_parse(struct options *o, struct config *c, int argc, char **argv);
/* The settings' file, and over it what the command line says. 0 or -XEN_EINVAL; it has complained then. */
int options_configure(struct config *c, const struct options *o);

/* ---- claim.c ---- */

/*
 * Makes this process the one daemon of a domain, on the machine of the store at the other end of store_fd, until it
 * ends. A descriptor to be kept open, or a negative errno: -EADDRINUSE: there is another.
 */
int claim_domain(int store_fd, domid_t domid);

/* ---- main.c ---- */

/* What every turn of the loop ends with. */
void turn_end(struct daemon *d);
/* Reads the settings again. 0, or -XEN_EINVAL when they are wrong: then nothing was changed. */
int daemon_reload(struct daemon *d, unsigned int *changed, unsigned int *refused);
/* Guests wait to be served: the loop is not to sleep. */
void loop_again(struct daemon *d);

#endif
