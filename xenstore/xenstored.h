/* SPDX-License-Identifier: ISC */
/* Inside xids-xenstored: what its files share. */
#ifndef XIDS_XENSTORE_XENSTORED_H
#define XIDS_XENSTORE_XENSTORED_H

#include <uv.h>
#include <xids/xs_server.h>

#include "xenstore/trace.h"

struct client;
struct domains;
struct journal;
struct live;
struct tracing;

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/* What the command line and the file of settings say. */
struct options {
    bool no_domain_init;
    bool foreground;
    bool print_pid;
    bool no_sandbox;
    bool no_live_update; /* then the sandbox can be tighter */
    bool live_update;    /* we go on in the place of another program */
    uint32_t state_fd;   /* with its state; 0: it is in a file, as C xenstored writes it */
    uint32_t check_fd;   /* a state that is only to be looked at; 0: none */
    enum log_level log_level;
    char *pid_file;
    char *control_path;
    bool ask_status, ask_domains; /* be no daemon, but ask the one that runs */
    char *replay;                 /* a trace to be replayed, instead of all else */
    bool replay_print;            /* only shown */
    char *trace_file;
    char *journal;             /* what a crash leaves for the next one; NULL: nothing */
    uint32_t trace_switches;   /* what goes into it */
    uint32_t trace_mib;        /* its size */
    uint32_t own_domid;        /* the domain that we are in */
    uint32_t privileged_domid; /* the one that may do everything */
    uint32_t event_port;       /* its port for its ring, when we are in another; 0: none */
    struct xids_xs_limits limits;
};

struct daemon {
    const struct options *options;
    uv_loop_t loop;
    struct xids_xs_server *server;
    uv_poll_t listen_poll;
    uv_timer_t listen_pause;
    int listen_fd;
    int handed_fd; /* the same when the service manager has opened it, else -1 */
    bool listen_paused;
    bool pid_written;
    uv_check_t linger;
    bool served; /* clients, in this turn of the loop */
    uv_idle_t idle;
    uv_timer_t deadline;
    uv_signal_t term, interrupt, hangup;
    uv_pipe_t control;
    bool control_open;
    unsigned int control_sessions;
    const char *control_path;
    const char *socket_path;
    char *folder; /* where it was started, and is not any more; NULL: it is still there */
    bool sandboxed;
    struct tracing *tracing;
    struct journal *journal; /* NULL: none */
    bool restored;           /* out of it, when we began */
    struct live *live;       /* NULL: no live update is under way */
    char **argv;             /* ours */
    struct domains *domains; /* NULL with --no-domain-init */
    uint64_t accepted;
    struct client **clients; /* by their sockets' descriptors */
    size_t clients_room;
};

/* The exit status for a command line that is wrong. */
#define EXIT_USAGE 2

/* ---- xenstored_main.c ---- */

/* A daemon in the background keeps no folder busy. What was named on its command line is where it was started. */
void leave_folder(const struct daemon *d);
void return_to_folder(const struct daemon *d);

/* ---- xenstored_options.c ---- */

/* Sets all of *o. -1: go on, else the exit status; says why. options_free in either case. */
int options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o);

/* A setting by its option's long name; a flag's value is yes or no. NULL, or why not. */
const char *options_set(struct options *o, const char *name, const char *value);

/* ---- xenstored_config.c ---- */

/* 0 or -XEN_EINVAL; says why: file, line and reason. */
int config_read(struct options *o, const char *path, bool must_exist);

/* ---- xenstored_log.c ---- */
void log_open(enum log_level level, bool to_syslog);
void log_msg(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool log_level_parse(enum log_level *level, const char *name);

/* The same for what others can cause at will: limited in number, and counted when dropped. */
void log_limited(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t log_dropped(void);

/* ---- xenstored_quota.c ---- */

/* "NAME=NUMBER", by C xenstored's names; soft: the limits that are only warned of. False: not one of them. */
bool quota_option(struct xids_xs_limits *limits, const char *text, bool soft);

/* As in struct xids_xs_host. What is denied is logged, for a domain once in a while. */
void quota_denied(void *daemon, uint16_t domid, const char *quota, const char *path);
int quota_report(void *daemon, const char *file, const char *text, size_t len);

/* ---- xenstored_trace.c: 0 or a negative errno; why is logged ---- */

extern const uint32_t tracing_switches_default;

/* Makes d->tracing, and begins to trace if a file is named on the command line. After the server is made. */
int tracing_open(struct daemon *d);
void tracing_close(struct daemon *d);

/* Begins anew, in the file that was named last; what was there is kept beside it. Nothing when none was named. */
int tracing_on(struct daemon *d);
bool tracing_is_on(const struct daemon *d);
void tracing_off(struct daemon *d);

/* Begins anew in another file. */
int tracing_file(struct daemon *d, const char *name, size_t len);

/* C xenstored's switches, of which obj and io do something: "+NAME" or "-NAME". False: there is none of that name. */
bool tracing_switch(uint32_t *set, const char *text, size_t len);
uint32_t *tracing_switches(const struct daemon *d);
/* After one of them was changed. */
void tracing_apply(struct daemon *d);
/* Their state as a text with a NUL; returns its length without it. */
int tracing_show(const struct daemon *d, char *text, size_t room);

/* A record of what the host did or was asked; conn is the domid for a domain's ring. */
void tracing_note(const struct daemon *d, enum trace_kind kind, uint32_t conn, uint16_t domid, int result);

/* ---- xenstored_commands.c: the host's part of CONTROL, as in struct xids_xs_host ---- */

extern const char commands_help[];
int commands_run(void *daemon, struct xids_xs_conn *conn, char *answer, size_t room, const struct xids_xswire_str *argv,
                 unsigned int argc);

/* ---- xenstored_socket.c ---- */

/* The number of a socket's connection, in the trace. */
uint32_t client_number(const struct xids_xs_conn *conn);

/* A new client on that descriptor, which is its from now on. */
void client_new(struct daemon *d, int fd);
void clients_close(struct daemon *d);

/* For a live update. A connection's descriptor, and what was read from it and is still to be used. */
int client_state(const struct xids_xs_conn *conn, const void **rest, size_t *len);
/* Takes up a connection with them; clients_start then begins to serve all. 0 or a negative errno. */
int client_adopt(struct daemon *d, struct xids_xs_conn *conn, int fd, const void *rest, size_t len);
void clients_start(struct daemon *d);
/* Whether their descriptors stay open when another program is executed. */
void clients_keep(const struct daemon *d, bool keep);

/* Tells the server the time. Before each thing that feeds it. */
void tell_time(struct daemon *d);

/* An event of a client's socket, by epoll's bits. False: it is no client's, or one for the loop; nothing was done. */
bool socket_event(struct daemon *d, int fd, uint32_t events);

/* Writes what there is for whom, and sees to work put off. After each thing that fed the server. */
void flush_output(struct daemon *d);

/* ---- xenstored_listen.c ---- */

/* The listening socket that systemd has opened for this process, or -1. Before it forks. */
int socket_handed_over(void);

/* Listens on d->handed_fd, else on d->socket_path. 0 or a negative errno; says why. */
int socket_open(struct daemon *d);
/* With its clients. */
void socket_close(struct daemon *d);
/* A descriptor has become free. */
void socket_resume(struct daemon *d);

/* ---- xenstored_linger.c ---- */

/* Serves clients without a whole turn of the loop for each of their requests. 0 or a negative errno. */
int linger_open(struct daemon *d);

/* A unix socket that listens, for its owner alone; who else may answer there is for the message. A descriptor or a
 * negative errno; says why. */
int unix_listen(const char *path, const char *who);
/* A descriptor or a negative errno. */
int unix_connect(const char *path);

/* ---- xenstored_control.c ---- */

/* Where the control socket is: what was asked for, or beside the socket. From malloc. */
char *control_path(const struct options *o, const char *socket_path);
int control_open(struct daemon *d);
void control_close(struct daemon *d);
/* Asks a running daemon and prints its answer: the exit status. */
int control_ask(const char *path, const char *request);

/* ---- xenstored_status.c ---- */

/* The answer to a request, from malloc. NULL: no memory. */
char *status_answer(struct daemon *d, const char *request);

/* ---- xenstored_domains.c ---- */

/* Opens the hypervisor and fills in the host's functions, whose context is d; then brings in the domains that need no
 * INTRODUCE: our own, when its kernel has a ring for us, and the privileged one. */
int domains_open(struct daemon *d, struct xids_xs_host *host);
int domains_start(struct daemon *d);
void domains_close(struct daemon *d);

/* For a live update. The port of a domain's ring, and what else is kept of it: at most 64 bytes. */
evtchn_port_t domains_state(const struct xids_xs_conn *conn, void *note, size_t *len);
/* Opens the hypervisor, with the event channels of the program before us; then takes up its domains. */
int domains_attach(struct daemon *d, int evtchn_fd);
int domains_adopt(struct daemon *d, void XIDS_PEER **page, struct xids_xs_conn *conn, evtchn_port_t port,
                  const void *note, size_t note_len);
/* The descriptor of the event channels, -1: without domains. */
int domains_fd(const struct daemon *d);
/* Prepares the event channels for another program, or has them back. Their descriptor, or -1. */
int domains_keep(struct daemon *d, bool keep);

/* For the journal, which another process reads: the domain's own port, and what else is kept of it. */
evtchn_port_t domains_lasting(const struct xids_xs_conn *conn, void *note, size_t *len);
/* Takes up a domain's ring that nobody serves. */
int domains_take(struct daemon *d, void XIDS_PEER **page, struct xids_xs_conn *conn, evtchn_port_t port,
                 const void *note, size_t note_len);

/* ---- xenstored_journal.c ---- */

/* Reads the journal, if one is asked for, into a server just made. 0 or a negative errno; says why. */
int journal_open(struct daemon *d);
/* Begins to write it, with all that there is. */
int journal_start(struct daemon *d);
/* Before answers go out. Next to nothing when nothing has changed. */
void journal_sync(struct daemon *d);
void journal_close(struct daemon *d);

/* ---- xenstored_live.c ---- */

/* CONTROL live-update, as in commands_run. */
int live_command(struct daemon *d, struct xids_xs_conn *conn, char *answer, size_t room,
                 const struct xids_xswire_str *argv, unsigned int argc);
/* A connection goes: what it has begun is over. */
void live_forget(struct daemon *d, const struct xids_xs_conn *conn);
/* Goes on with the state of the program before us, in a server just made. 0 or a negative errno; says why. */
int live_restore(struct daemon *d);
/* Looks at a state and says on standard output what is wrong with it. An exit status. */
int live_check(struct daemon *d);

#endif
