/* SPDX-License-Identifier: ISC */
/* What the files of xids-vchan share. */
#ifndef XIDS_VCHAN_TOOL_H
#define XIDS_VCHAN_TOOL_H

#include <xids/platform_xen.h>
#include <xids/vchan_fd.h>
#include <xids/vchan_open.h>

#include <stdio.h>
#include <sys/types.h>

#define MS UINT64_C(1000000)

/* For one answer of xenstore; and for one at the end, when nobody is left who could miss it. */
#define STORE_TIMEOUT_MS 10000u
#define STORE_PARTING_MS 3000u

/* The exit status when all went well but for a command of --exec. */
#define STATUS_COMMAND 3

/* What a channel is joined to. */
enum end_kind {
    END_STDIO,
    END_UNIX,
    END_TCP,
    END_EXEC,
};

struct options {
    domid_t remote;
    const char *where; /* name or path in xenstore */
    const char *store;
    unsigned int left_order, right_order, flags;
    unsigned int channels; /* at once */
    int timeout_ms;        /* of connecting; -1: never */
    enum end_kind end;
    const char *address; /* of END_UNIX and END_TCP */
    char **command;      /* of END_EXEC */
    bool server, keep, reconnect, verbose;
    bool accepts; /* the end is listened for, not connected to */
    bool one;     /* one channel, and then the program ends */
    bool progress, quiet;
};

/* One direction of an end: a descriptor, and whether it is worth trying. */
struct way {
    struct xids_vchan_fd fd; /* -1: there is none (any more) */
    bool own;                /* to be closed */
    bool blocks;             /* it may be used once after each poll that says so */
    bool ready;
    uint32_t max; /* bytes for one call */
};

/* What a channel is joined to: where bytes come from and where they go. */
struct end {
    enum end_kind kind;
    struct way in, out;
    pid_t pid;        /* END_EXEC */
    bool joining;     /* it is not connected yet */
    uint64_t join_at; /* joining: when to try again; UINT64_MAX: when in is writable */
};

enum flow_state {
    FLOW_OFFERED, /* no client has come */
    FLOW_JOINING, /* the peer is there, our end not yet */
    FLOW_MOVING,
    FLOW_OVER,
};

/* A channel and its end. */
struct flow {
    struct tool *tool;
    struct xids_vchan_link *link;
    struct xids_vchan *ch;
    struct end end;
    enum flow_state state;
    unsigned int number;
    uint64_t sent, received;
    uint64_t over_at;      /* not 0: when it ends even if the peer has not read everything */
    bool run;              /* there may be something to do */
    bool in_ended;         /* nothing more comes from the end */
    bool shut;             /* and the peer has been told */
    bool out_ended;        /* the peer sends no more, and all it sent has been written */
    bool deaf;             /* nobody takes what the peer sends */
    bool gone;             /* the peer has left */
    bool lost;             /* before it had read everything */
    bool own_fault;        /* standard input or output failed */
    int error;             /* why it ended, */
    const char *what;      /* and what of */
    int poll_in, poll_out; /* places in the list of descriptors, or -1 */
};

/* A connection that was accepted and waits for its channel. */
struct guest {
    int fd;
    uint64_t deadline;
    int poll;
};

struct child {
    pid_t pid;
    unsigned int number;
    uint64_t kill_at; /* when it is sent the next signal */
    int signal;
};

struct tool {
    const struct options *o;
    struct xids_platform *platform;
    struct xids_xs *xs;    /* for requests */
    struct xids_xs *watch; /* for the watch of a client */
    char *path, *port_path;
    struct flow **flows, *offer;
    struct flow *publisher; /* whose link holds the place in the store: the last one offered */
    struct flow **by_port;
    struct guest *guests;
    struct child *children;
    size_t flow_count, port_count, guest_count, child_count;
    int listener;
    char *bound; /* the socket in the file system that is ours to remove */
    uint64_t try_at, mend_at, accept_at, look_at, report_at;
    uint64_t deadline; /* of connecting, for an end that does not accept */
    uint64_t begun, sent, received, moved_before;
    unsigned int served; /* channels so far */
    bool input_ended;    /* standard input has */
    bool store_lost;     /* and to be connected anew */
    bool try_now;        /* something changed where the server publishes */
    bool over;
    int status;
};

/* ---- tool.c ---- */

uint64_t tool_now(const struct tool *t);
/* The number of the signal that asks us to end, or 0. */
int tool_stopped(void);

/* ---- tool_options.c ---- */

/* Fills *o. Returns -1, or the status to exit with. */
int options_parse(struct options *o, int argc, char **argv);

/* ---- tool_report.c ---- */

/* "xids-vchan: what: reason of error" to standard error, and the program's status is a failure. Not too often. */
void report(struct tool *t, const char *what, int error);
/* "xids-vchan: channel NUMBER: TEXT". */
void tell(struct tool *t, const struct flow *f, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Shows how much has moved, if it is time. last: at the end. */
void progress(struct tool *t, bool last);

/* ---- tool_end.c ---- */

/* Makes the end of a flow: standard input and output, a process, a connection made or begun; or fd, accepted, when it
 * is not -1. 0 or an error, that has been reported; in either case the flow's end is to be closed.
 */
int end_open(struct tool *t, struct flow *f, int fd);
/* Goes on with connecting. 0: it is connected, or still joining; or an error. */
int end_join(struct tool *t, struct end *e);
/* Nothing more goes to the end; it learns so. */
void end_shut(struct tool *t, struct end *e);
/* Nothing more is taken from the end; whoever writes to it learns so. */
void end_drop(struct tool *t, struct end *e);
void end_close(struct tool *t, struct flow *f);
/* Whether there are bytes waiting that were never taken. */
bool end_holds(const struct end *e);

/* ---- tool_socket.c ---- */

/* Whether the address of the options is one. 0 or an error. */
int socket_check(const struct options *o);
/* A socket that never blocks, or an error. */
int socket_new(const struct options *o);
/* As connect(2). */
int socket_connect(const struct options *o, int fd);
/* Makes t->listener, and t->bound. 0 or an error. */
int socket_listen(struct tool *t);
/* A connection, or an error of accept(2). */
int socket_accept(const struct tool *t);

/* ---- tool_process.c ---- */

/* Starts the command; ways: what it prints, and what it reads. 0 or an error. */
int process_start(const struct options *o, pid_t *pid, int ways[2]);
/*
 * Its channel, of this number, has gone, and it reads the end. What it still has to do is its affair, but it counts as
 * a channel until then.
 */
void process_leave(struct tool *t, pid_t pid, unsigned int number);
/* Collects those left that have ended, and tells of failures. all: the others are to end, too, by force if need be. */
void process_reap(struct tool *t, bool all);

/* ---- tool_flow.c ---- */

/* A flow over link, or NULL. */
struct flow *flow_new(struct tool *t, struct xids_vchan_link *link, enum flow_state state);
void flow_free(struct tool *t, struct flow *f);
struct flow *flow_of_port(const struct tool *t, evtchn_port_t port);
/* Moves what can be moved and sees whether it is over. */
void flow_step(struct tool *t, struct flow *f);
/* Before sleeping: asks the channel to wake us. Whether there is no need to sleep. */
bool flow_arm(struct tool *t, struct flow *f);
/* The descriptors to poll for it, and what was found. */
short flow_wants_in(const struct flow *f);
bool flow_polls_out(const struct flow *f, short *events);
void flow_polled(struct flow *f, short in, short out);

/* ---- tool_meet.c ---- */

/* Where to meet. 0 or an error, that has been reported. */
int meet_begin(struct tool *t);
/* Offers, takes clients, connects. */
void meet_step(struct tool *t);
/* The watch has something to say. */
void meet_watched(struct tool *t);
/* A connection was accepted. */
void meet_guest(struct tool *t, int fd);
/* The guest at this place has gone. */
void meet_guest_left(struct tool *t, size_t i);
/* A flow is over: whether there is to be another. */
void meet_over(struct tool *t, struct flow *f);
void meet_end(struct tool *t);

#endif
