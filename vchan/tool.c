/* SPDX-License-Identifier: ISC */
/* xids-vchan: joins vchans to standard input and output, sockets and processes. This file: the turns it takes. */
#include "vchan/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256

/* How often the peers' domains are looked after. */
#define LOOK_AFTER (1000 * MS)

/* A turn comes at least so often, for what is done by the clock. */
#define TURN_MS 1000
#define TURN_SOON_MS 50

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    if (number != SIGCHLD)
        stopped = number;
}

int tool_stopped(void)
{
    return stopped;
}

uint64_t tool_now(const struct tool *t)
{
    return t->platform->ops->now(t->platform->ctx);
}

/* ---- the list of descriptors ---- */

struct list {
    struct pollfd *fds;
    size_t count, room;
};

/* Where it is in the list, or -1: no memory, and it is not looked at this time. */
static int add(struct list *l, int fd, short events)
{
    if (l->count == l->room) {
        size_t room = l->room * 2 + 16;
        struct pollfd *fds = realloc(l->fds, room * sizeof(*fds));
        if (fds == NULL)
            return -1;
        l->fds = fds;
        l->room = room;
    }
    l->fds[l->count] = (struct pollfd){.fd = fd, .events = events};
    return (int)l->count++;
}

static short found(const struct list *l, int place)
{
    return place >= 0 ? l->fds[place].revents : 0;
}

static void add_flow(struct list *l, struct flow *f)
{
    short events = flow_wants_in(f);
    f->poll_in = events != 0 ? add(l, f->end.in.fd.fd, events) : -1;
    f->poll_out = flow_polls_out(f, &events) ? add(l, f->end.out.fd.fd, events) : -1;
}

static bool accepts_now(const struct tool *t)
{
    return t->listener >= 0 && !t->over && t->flow_count + t->guest_count < t->o->channels + (t->offer != NULL) &&
           !(t->o->one && t->served > 0) && tool_now(t) >= t->accept_at;
}

/* Fills the list. Places 0 and 1 are the event channels and the watch. */
static int list_up(struct tool *t, struct list *l)
{
    l->count = 0;
    int rc = add(l, xids_platform_xen_event_fd(t->platform), POLLIN);
    if (rc == 0)
        rc = add(l, t->watch != NULL && !t->store_lost ? xids_xs_fd(t->watch) : -1, POLLIN);
    if (rc == 1)
        rc = add(l, accepts_now(t) ? t->listener : -1, POLLIN);
    for (size_t i = 0; i < t->guest_count; i++)
        t->guests[i].poll = add(l, t->guests[i].fd, 0);
    for (size_t i = 0; i < t->flow_count; i++)
        add_flow(l, t->flows[i]);
    return rc == 2 ? 0 : -XEN_ENOMEM;
}

/* ---- what the list has found ---- */

static int take_events(struct tool *t)
{
    const struct xids_platform *p = t->platform;
    int port = 0;
    /* Not without end: a peer can send events faster than they are taken. */
    for (int i = 0; i < EVENTS_AT_ONCE && (port = p->ops->evtchn_pending(p->ctx)) > 0; i++) {
        struct flow *f = flow_of_port(t, (evtchn_port_t)port);
        if (f == NULL) {
            (void)p->ops->evtchn_unmask(p->ctx, (evtchn_port_t)port);
            continue;
        }
        (void)xids_vchan_event(f->ch);
        f->run = true;
    }
    return port < 0 ? port : 0;
}

static void accept_one(struct tool *t)
{
    int fd = socket_accept(t);
    if (fd >= 0) {
        meet_guest(t, fd);
    } else if (fd != -EAGAIN && fd != -ECONNABORTED && fd != -EINTR) {
        report(t, t->o->address, fd);
        /* What is short now, descriptors perhaps, will not be there at once. */
        t->accept_at = tool_now(t) + TURN_MS * MS;
    }
}

static int dispatch(struct tool *t, const struct list *l)
{
    int rc = found(l, 0) != 0 ? take_events(t) : 0;
    if (found(l, 1) != 0)
        meet_watched(t);
    for (size_t i = 0; i < t->flow_count; i++)
        flow_polled(t->flows[i], found(l, t->flows[i]->poll_in), found(l, t->flows[i]->poll_out));
    for (size_t i = t->guest_count; i-- > 0;) {
        if (found(l, t->guests[i].poll) != 0)
            meet_guest_left(t, i);
    }
    if (found(l, 2) != 0)
        accept_one(t);
    return rc;
}

/* ---- a turn ---- */

/* Not only when nothing moves: a link must have seen a server in order to miss it. */
static void look_after_peers(struct tool *t)
{
    uint64_t now = tool_now(t);
    if (now < t->look_at)
        return;
    for (size_t i = 0; i < t->flow_count; i++) {
        (void)xids_vchan_link_check(t->flows[i]->link);
        t->flows[i]->run = true;
    }
    t->look_at = now + LOOK_AFTER;
}

static void move_all(struct tool *t)
{
    for (size_t i = 0; i < t->flow_count;) {
        struct flow *f = t->flows[i];
        if (f->run)
            flow_step(t, f);
        if (f->state == FLOW_OVER)
            meet_over(t, f);
        else
            i++;
    }
}

/* How long to sleep, in milliseconds. */
static int patience(struct tool *t)
{
    bool awake = false, soon = false;
    for (size_t i = 0; i < t->flow_count; i++) {
        awake = flow_arm(t, t->flows[i]) || awake;
        soon = soon || t->flows[i]->state == FLOW_JOINING;
    }
    if (awake || (t->offer != NULL && xids_vchan_state(t->offer->ch) != XIDS_VCHAN_CONNECTING))
        return 0;
    uint64_t now = tool_now(t);
    uint64_t until = t->look_at;
    if (t->o->progress && t->report_at < until)
        until = t->report_at;
    if (t->try_at > now && t->try_at < until)
        until = t->try_at;
    if (t->deadline > now && t->deadline < until)
        until = t->deadline;
    int ms = until > now ? (int)((until - now) / MS) + 1 : 0;
    return soon && ms > TURN_SOON_MS ? TURN_SOON_MS : ms;
}

static int turn(struct tool *t, struct list *l, const sigset_t *signals)
{
    process_reap(t, false);
    meet_step(t);
    move_all(t);
    progress(t, false);
    if (t->over)
        return 0;
    int ms = patience(t);
    struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    int rc = list_up(t, l);
    if (rc < 0)
        return rc;
    if (ppoll(l->fds, (nfds_t)l->count, &limit, signals) < 0)
        return errno == EINTR ? 0 : -errno;
    look_after_peers(t);
    return dispatch(t, l);
}

/* Processes get their time to end, and then less of it. */
static void wait_for_children(struct tool *t, const sigset_t *signals)
{
    const struct timespec slice = {.tv_nsec = TURN_SOON_MS * 1000000};
    for (process_reap(t, stopped != 0); t->child_count > 0; process_reap(t, stopped != 0))
        (void)ppoll(NULL, 0, &slice, signals);
}

/* Signals come while we sleep, and only then. before: what was held back until now. */
static void hold_signals(sigset_t *before)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    const struct sigaction action = {.sa_handler = on_signal};
    struct sigaction inherited;
    sigset_t held;
    (void)sigemptyset(&held);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaddset(&held, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &held, before);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        /* As nohup(1) wants it. */
        bool ignored =
            numbers[i] == SIGHUP && sigaction(SIGHUP, NULL, &inherited) == 0 && inherited.sa_handler == SIG_IGN;
        if (!ignored)
            (void)sigaction(numbers[i], &action, NULL);
    }
}

static void run(struct tool *t, const sigset_t *signals)
{
    struct list l = {0};
    int rc = 0;
    t->begun = tool_now(t);
    t->look_at = t->begun + LOOK_AFTER;
    while (rc == 0 && stopped == 0 && !t->over)
        rc = turn(t, &l, signals);
    if (rc < 0)
        report(t, "event channels", rc);
    progress(t, true);
    free(l.fds);
}

static int serve(struct tool *t)
{
    sigset_t signals;
    hold_signals(&signals);
    int rc = t->o->accepts ? socket_listen(t) : 0;
    if (rc < 0)
        report(t, t->o->address, rc);
    if (rc == 0)
        rc = meet_begin(t);
    if (rc == 0)
        run(t, &signals);
    meet_end(t);
    wait_for_children(t, &signals);
    if (t->listener >= 0)
        (void)close(t->listener);
    if (t->bound != NULL)
        (void)unlink(t->bound);
    free(t->bound);
    free(t->flows);
    free(t->by_port);
    free(t->guests);
    free(t->children);
    return stopped != 0 ? 128 + stopped : t->status;
}

/* ---- the start ---- */

/*
 * Numbers 0 to 2 are taken, so that no descriptor of ours is mistaken for a standard one. What is written to a standard
 * output that was closed must fail, not vanish.
 */
static void fill_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

/* Each channel takes a few. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What a process of --exec may want to know. */
static void set_environment(const struct options *o)
{
    char domid[16];
    (void)snprintf(domid, sizeof(domid), "%u", o->remote);
    (void)setenv("XIDS_VCHAN_DOMID", domid, 1);
    (void)setenv("XIDS_VCHAN_NAME", o->where, 1);
}

static int fail(const char *what, int rc)
{
    (void)fprintf(stderr, "xids-vchan: %s: %s\n", what, strerror(-rc));
    return EXIT_FAILURE;
}

static int open_store(struct tool *t, domid_t *self)
{
    const char *store = t->o->store;
    int rc = xids_xs_open(&t->xs, store);
    if (rc < 0)
        return fail(store != NULL ? store : "xenstore cannot be reached", rc);
    /* Until something is published a signal simply ends the program, also while xenstore does not answer. */
    xids_xs_set_timeout(t->xs, STORE_TIMEOUT_MS);
    rc = xids_xs_own_domid(t->xs, self);
    if (rc == 0)
        return 0;
    return fail(rc == -XEN_ETIMEDOUT ? "xenstore does not answer"
                : rc == -XEN_ENOENT  ? "xenstore has no node \"domid\" for this domain"
                                     : "xenstore",
                rc);
}

int main(int argc, char **argv)
{
    struct options o;
    struct tool t = {.o = &o, .listener = -1};
    domid_t self = 0;
    int status = options_parse(&o, argc, argv);
    if (status >= 0)
        return status;
    int rc = socket_check(&o);
    if (rc < 0) {
        (void)fail(o.address, rc);
        return 2;
    }
    fill_standard();
    raise_limit();
    set_environment(&o);
    (void)signal(SIGPIPE, SIG_IGN);
    status = open_store(&t, &self);
    if (status == 0 && o.remote == self) {
        (void)fprintf(stderr, "xids-vchan: domain %u is this one, and a channel is between two\n", self);
        status = 2;
    }
    if (status == 0) {
        rc = xids_platform_xen_open_as(&t.platform, self, 0);
        status = rc < 0 ? fail("Xen's devices", rc) : serve(&t);
    }
    xids_platform_xen_close(t.platform);
    xids_xs_close(t.xs);
    return status;
}
