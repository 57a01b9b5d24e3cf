/* SPDX-License-Identifier: ISC */
/* xids-vchan: joins a vchan to standard input and output. */
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one write to standard output takes at most: a pipe that polls writable takes it without blocking. */
#define PIECE PIPE_BUF
#define CHUNK 65536

#define EVENTS_AT_ONCE 64

/* How often, in milliseconds, the peer's domain is looked after. */
#define LOOK_AFTER_MS 1000

/* For one answer of xenstore. */
#define STORE_TIMEOUT_MS 10000u

/* How long a signal has to wait at most while no server has come. */
#define SLICE_MS 300

struct options {
    bool server, keep;
    domid_t remote;
    const char *where;
    unsigned int left_order, right_order;
    int timeout_ms;
    const char *store;
};

/* One run: what is between standard input and the channel, and between the channel and standard output. */
struct flow {
    struct xids_platform *platform;
    struct xids_vchan_link *link;
    struct xids_vchan *ch;
    bool keep;
    bool input_ended, sent, peer_ended, lost;
    uint64_t look_at;
    uint8_t in[CHUNK], out[CHUNK];
    size_t in_at, in_len, out_at, out_len;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = number;
}

static int fail(const char *what, int rc)
{
    (void)fprintf(stderr, "xids-vchan: %s: %s\n", what, strerror(-rc));
    return EXIT_FAILURE;
}

/* Moves what can be moved without sleeping. 0, or the channel's error. */
static int move(struct flow *f)
{
    while (f->in_len > 0) {
        int rc = xids_vchan_write(f->ch, f->in + f->in_at, (uint32_t)f->in_len);
        if (rc == -XEN_EAGAIN)
            break;
        if (rc < 0)
            return rc;
        f->in_at += (size_t)rc;
        f->in_len -= (size_t)rc;
        f->sent = true;
    }
    if (f->out_len == 0 && !f->peer_ended) {
        int rc = xids_vchan_read(f->ch, f->out, CHUNK);
        if (rc < 0 && rc != -XEN_EAGAIN)
            return rc;
        f->peer_ended = rc == 0;
        f->out_at = 0;
        f->out_len = rc > 0 ? (size_t)rc : 0;
    }
    return 0;
}

/* Whether we are done sending: all of standard input has been read by the peer. */
static bool delivered(struct flow *f)
{
    return f->input_ended && f->in_len == 0 && xids_vchan_writable(f->ch) == (int)xids_vchan_write_size(f->ch);
}

static int take_events(struct flow *f)
{
    const struct xids_platform *p = f->platform;
    int port = 0;
    /* Not without end: a peer can send events faster than they are taken. */
    for (int i = 0; i < EVENTS_AT_ONCE && (port = p->ops->evtchn_pending(p->ctx)) > 0; i++) {
        if ((evtchn_port_t)port == xids_vchan_port(f->ch))
            (void)xids_vchan_event(f->ch);
        else
            (void)p->ops->evtchn_unmask(p->ctx, (evtchn_port_t)port);
    }
    return port < 0 ? port : 0;
}

static int read_input(struct flow *f)
{
    ssize_t n = read(STDIN_FILENO, f->in, CHUNK);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    f->input_ended = n == 0;
    f->in_at = 0;
    f->in_len = (size_t)n;
    return 0;
}

static int write_output(struct flow *f)
{
    ssize_t n = write(STDOUT_FILENO, f->out + f->out_at, f->out_len < PIECE ? f->out_len : PIECE);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    f->out_at += (size_t)n;
    f->out_len -= (size_t)n;
    return 0;
}

/* Nothing more is taken from standard input; whoever writes to it learns that at once. */
static void drop_input(struct flow *f)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0) {
        (void)dup2(nothing, STDIN_FILENO);
        (void)close(nothing);
    }
    f->in_len = 0;
    f->input_ended = true;
    f->sent = false;
}

/*
 * Whether the channel lets us sleep. When the peer has ended arm never does; but what we have still to write out can
 * block all the same, and then only the descriptors count.
 */
static bool may_sleep(struct flow *f, int armed)
{
    if (armed == 0 || f->peer_ended)
        return true;
    enum xids_vchan_state state = xids_vchan_state(f->ch);
    bool ended = state == XIDS_VCHAN_DRAINING || state == XIDS_VCHAN_CLOSED;
    return ended && f->out_len > 0 && f->in_len == 0;
}

/* Not only when nothing moves: the link must have seen a server in order to miss it. */
static void look_after_peer(struct flow *f)
{
    uint64_t now = f->platform->ops->now(f->platform->ctx);
    if (now < f->look_at)
        return;
    (void)xids_vchan_link_check(f->link);
    f->look_at = now + LOOK_AFTER_MS * UINT64_C(1000000);
}

/* Sleeps until a descriptor or the channel has something for us, and takes it. */
static int wait_and_take(struct flow *f)
{
    bool waiting_for_read = f->input_ended && f->in_len == 0 && f->sent;
    uint32_t want_write = f->in_len > 0 ? 1 : waiting_for_read ? xids_vchan_write_size(f->ch) : 0;
    if (want_write > 1 && delivered(f))
        want_write = 0;
    struct pollfd fds[] = {
        {.fd = xids_platform_xen_event_fd(f->platform), .events = POLLIN},
        {.fd = f->input_ended || f->in_len > 0 || f->peer_ended ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = f->out_len > 0 ? STDOUT_FILENO : -1, .events = POLLOUT},
    };
    int armed = xids_vchan_arm(f->ch, f->out_len == 0 && !f->peer_ended ? 1 : 0, want_write);
    if (armed < 0)
        return armed;
    int n = poll(fds, 3, may_sleep(f, armed) ? LOOK_AFTER_MS : 0);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    look_after_peer(f);
    int rc = fds[0].revents != 0 ? take_events(f) : 0;
    if (rc == 0 && fds[1].revents != 0)
        rc = read_input(f);
    if (rc == 0 && fds[2].revents != 0)
        rc = write_output(f);
    return rc;
}

/*
 * vchan has no half-close. So a side that has sent something and comes to the end of its input closes when the peer
 * has read it all; one that had nothing to send stays for what the peer sends, unless that one closes.
 */
static bool finished(struct flow *f)
{
    if (f->out_len > 0)
        return false;
    return f->peer_ended || (!f->keep && f->sent && delivered(f) && xids_vchan_readable(f->ch) <= 0);
}

static int run(struct flow *f)
{
    for (;;) {
        int rc = move(f);
        /* The peer, or its whole domain, has gone: what we still have is lost, what it left is not. */
        if (rc == -XEN_ENOTCONN || (rc == -XEN_ENODEV && f->in_len > 0)) {
            f->lost = true;
            drop_input(f);
            continue;
        }
        if (rc == 0 && f->lost && finished(f))
            return -XEN_ENOTCONN;
        if (rc < 0 || finished(f) || stopped != 0)
            return rc;
        rc = wait_and_take(f);
        if (rc < 0)
            return rc;
    }
}

/* Connects in slices, for waiting on xenstore does not end at a signal. */
static int connect_until_stopped(struct xids_vchan_link **link, const struct options *o,
                                 const struct xids_platform *platform, struct xids_xs *xs, const char *path)
{
    int left = o->timeout_ms;
    for (;;) {
        int slice = left < 0 || left > SLICE_MS ? SLICE_MS : left;
        int rc = xids_vchan_connect(link, platform, xs, o->remote, path, 0, slice);
        if (left >= 0)
            left -= slice;
        if (rc != -XEN_ETIMEDOUT || left == 0)
            return rc;
        if (stopped != 0)
            return -XEN_EINTR;
    }
}

static int serve(const struct options *o, struct xids_platform *platform, struct xids_xs *xs)
{
    static struct flow f;
    struct xids_vchan_link *link = NULL;
    char *made = NULL;
    const char *path = o->where;
    if (path[0] != '/') {
        int rc = xids_vchan_path(&made, o->server ? platform->domid : o->remote,
                                 o->server ? o->remote : platform->domid, o->where);
        if (rc < 0)
            return fail("path", rc);
        path = made;
    }
    int rc = o->server ? xids_vchan_listen(&link, platform, xs, o->remote, path, o->left_order, o->right_order, 0)
                       : connect_until_stopped(&link, o, platform, xs, path);
    if (rc < 0) {
        if (stopped == 0)
            (void)fail(path, rc);
        free(made);
        return stopped != 0 ? 128 + stopped : EXIT_FAILURE;
    }
    free(made);
    f = (struct flow){.platform = platform, .link = link, .ch = xids_vchan_of(link), .keep = o->keep};
    f.look_at = platform->ops->now(platform->ctx) + LOOK_AFTER_MS * UINT64_C(1000000);
    rc = run(&f);
    int status = EXIT_SUCCESS;
    if (rc < 0) {
        const char *reason = xids_vchan_reason(f.ch);
        status = fail(reason[0] != '\0' ? reason
                      : f.lost          ? "the peer closed before it had read everything"
                                        : "channel",
                      rc);
    }
    xids_vchan_unlink(link);
    return stopped != 0 ? 128 + stopped : status;
}

static void usage(FILE *to)
{
    (void)fprintf(to, "usage: xids-vchan [-k] [-l ORDER] [-r ORDER] [-s SOCKET] [-t SECONDS] listen|connect DOMID "
                      "NAME|PATH\n");
}

static bool number(unsigned long *value, const char *text, unsigned long max)
{
    char *end = NULL;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *value <= max;
}

static bool parse(struct options *o, int argc, char **argv)
{
    unsigned long n = 0;
    int c;
    *o = (struct options){.left_order = 16, .right_order = 16, .timeout_ms = -1};
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    while ((c = getopt_long(argc, argv, "hkl:r:s:t:V", longs, NULL)) != -1) {
        switch (c) {
        case 'h':
            usage(stdout);
            exit(EXIT_SUCCESS);
        case 'V':
            (void)puts("xids-vchan " XIDS_VERSION);
            exit(EXIT_SUCCESS);
        case 'k':
            o->keep = true;
            break;
        case 'l':
        case 'r':
            if (!number(&n, optarg, XIDS_VCHAN_ORDER_MAX))
                return false;
            *(c == 'l' ? &o->left_order : &o->right_order) = (unsigned int)n;
            break;
        case 's':
            o->store = optarg;
            break;
        case 't':
            if (!number(&n, optarg, INT_MAX / 1000))
                return false;
            o->timeout_ms = (int)n * 1000;
            break;
        default:
            return false;
        }
    }
    if (argc - optind != 3 || !number(&n, argv[optind + 1], DOMID_FIRST_RESERVED - 1) || argv[optind + 2][0] == '\0')
        return false;
    o->remote = (domid_t)n;
    o->where = argv[optind + 2];
    o->server = strcmp(argv[optind], "listen") == 0;
    return o->server || strcmp(argv[optind], "connect") == 0;
}

int main(int argc, char **argv)
{
    struct options o;
    if (!parse(&o, argc, argv)) {
        usage(stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);

    struct xids_xs *xs = NULL;
    struct xids_platform *platform = NULL;
    domid_t self = 0;
    int rc = xids_xs_open(&xs, o.store);
    if (rc < 0)
        return fail(o.store != NULL ? o.store : "xenstore cannot be reached", rc);
    /* Until something is published a signal simply ends the program, also while xenstore does not answer. */
    xids_xs_set_timeout(xs, STORE_TIMEOUT_MS);
    rc = xids_xs_own_domid(xs, &self);
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    int status = EXIT_FAILURE;
    if (rc < 0) {
        (void)fail(rc == -XEN_ETIMEDOUT ? "xenstore does not answer"
                   : rc == -XEN_ENOENT  ? "xenstore has no node \"domid\" for this domain"
                                        : "xenstore",
                   rc);
    } else {
        rc = xids_platform_xen_open_as(&platform, self, 0);
        status = rc < 0 ? fail("Xen's devices", rc) : serve(&o, platform, xs);
    }
    xids_platform_xen_close(platform);
    xids_xs_close(xs);
    return status;
}
