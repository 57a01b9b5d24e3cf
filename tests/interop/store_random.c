/* SPDX-License-Identifier: ISC */
/*
 * Random requests of domain 0 and three guests, with watches and transactions, to a running xenstored; every answer
 * and every event is compared with those of store_model.c.
 *
 *   store_random SECONDS SOCKET 'COMMAND OF GUEST 1' '... 2' '... 3'
 *   store_random --agent        in a guest: moves bytes between its standard streams and the guest's store
 *
 * It makes domain 2 the target of domain 3. A run is cut into worlds that begin with the same tree; the seed of each is
 * printed, and XIDS_SEED=N runs that one world alone. With XIDS_RANDOM_LIVE_UPDATE=PROGRAM the daemon is updated to
 * that program now and then.
 */
#include "tests/interop/store_model.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <xids/xs.h>

#define CONNS 5u
#define GUESTS 3u
#define SESSIONS_PER_CONN 2u
#define STEPS_PER_WORLD 3000u
#define EVENTS_HELD 600u
#define HISTORY 60u
/* An answer or event that has not come by then is not coming: a limit for slow machines. */
#define PATIENCE_MS 20000

struct conn {
    int fd;
    struct model_who who;
    char home[32];
    size_t have;
    uint8_t bytes[65536];
    unsigned int heard, wanted, heard_at_answer;
    char heard_v[EVENTS_HELD][MODEL_PATH + 12];
    char wanted_v[EVENTS_HELD][MODEL_PATH + 12];
};

struct session {
    bool open, writes;
    uint32_t tx;
    unsigned int n;
    struct model_step steps[MODEL_STEPS];
    struct model_tree start, view;
};

static struct conn conns[CONNS];
static struct session sessions[CONNS][SESSIONS_PER_CONN];
static struct model_watch watches[MODEL_WATCHES];
static struct model_tree now;
static unsigned long watch_seq;
static uint64_t rng, seed;
static char history[HISTORY][600];
static unsigned int history_at;
static unsigned long requests, events_seen, commits, refusals, needless, updates;

static unsigned int pick(unsigned int n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned int)((rng >> 20) % n);
}

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
    va_list args;
    for (unsigned int i = 0; i < HISTORY; i++) {
        const char *line = history[(history_at + i) % HISTORY];
        if (line[0] != '\0')
            (void)printf("# %s\n", line);
    }
    (void)printf("# seed %#llx: ", (unsigned long long)seed);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    exit(EXIT_FAILURE);
}

static void remember(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void remember(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(history[history_at++ % HISTORY], sizeof(history[0]), format, args);
    va_end(args);
}

/* ---- the wire ---- */

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {
        [XS_CONTROL] = "control",
        [XS_DIRECTORY] = "directory",
        [XS_READ] = "read",
        [XS_GET_PERMS] = "get-perms",
        [XS_WATCH] = "watch",
        [XS_UNWATCH] = "unwatch",
        [XS_TRANSACTION_START] = "start",
        [XS_TRANSACTION_END] = "end",
        [XS_WRITE] = "write",
        [XS_MKDIR] = "mkdir",
        [XS_RM] = "rm",
        [XS_SET_PERMS] = "set-perms",
        [XS_ERROR] = "error",
        [XS_RESET_WATCHES] = "reset",
    };
    return type < sizeof(names) / sizeof(names[0]) && names[type] != NULL ? names[type] : "?";
}

static void to_text(char *out, size_t room, const char *bytes, size_t len)
{
    size_t n = len < room ? len : room - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = bytes[i] == '\0' ? '|' : bytes[i];
    out[n] = '\0';
}

/* Reads what is there or, when wait is set, waits for something. */
static void fetch(struct conn *c, bool wait)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    int n = poll(&p, 1, wait ? PATIENCE_MS : 0);
    if (n <= 0 && wait)
        fail("connection %u: nothing comes", (unsigned int)(c - conns));
    if (n <= 0)
        return;
    ssize_t got = read(c->fd, c->bytes + c->have, sizeof(c->bytes) - c->have);
    if (got <= 0)
        fail("connection %u is closed", (unsigned int)(c - conns));
    c->have += (size_t)got;
}

/* Takes one message out of what has been read. Events are put aside; true: it was an answer, in out. */
static bool take(struct conn *c, char out[MODEL_ANSWER])
{
    struct xids_xswire_msg msg;
    int len;
    bool answer = false;
    while (!answer && (len = xids_xswire_peek(&msg, c->bytes, c->have)) != 0) {
        if (len < 0)
            fail("a message that is too long");
        if (msg.type == XS_WATCH_EVENT) {
            if (c->heard == EVENTS_HELD)
                fail("events without end");
            to_text(c->heard_v[c->heard++], sizeof(c->heard_v[0]), msg.payload, msg.len);
            events_seen++;
        } else {
            int n = snprintf(out, MODEL_ANSWER, "%s ", type_name(msg.type));
            to_text(out + n, MODEL_ANSWER - (size_t)n, msg.payload, msg.len);
            answer = true;
        }
        c->have -= (size_t)len;
        memmove(c->bytes, c->bytes + len, c->have);
    }
    return answer;
}

/* One request, '|' standing for NUL, and its answer. */
static void ask(struct conn *c, char answer[MODEL_ANSWER], uint32_t tx, uint32_t type, const char *payload)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    char bytes[600];
    size_t len = strlen(payload);
    for (size_t i = 0; i < len; i++)
        bytes[i] = payload[i] == '|' ? '\0' : payload[i];
    const struct xids_xswire_part part = {bytes, len};
    int n = xids_xswire_build(out, sizeof(out), type, 5, tx, &part, 1);
    if (n < 0 || write(c->fd, out, (size_t)n) != n)
        fail("connection %u is closed", (unsigned int)(c - conns));
    while (!take(c, answer))
        fetch(c, true);
    c->heard_at_answer = c->heard;
    requests++;
    remember("%u tx %u: %s %s -> %s", (unsigned int)(c - conns), tx, type_name(type), payload, answer);
}

static void must(struct conn *c, uint32_t type, const char *payload)
{
    char answer[MODEL_ANSWER];
    ask(c, answer, 0, type, payload);
    if (strncmp(answer, "error", 5) == 0 && strcmp(answer, "error ENOENT|") != 0)
        fail("%s %s: %s", type_name(type), payload, answer);
}

/* ---- what is to be heard ---- */

static void want(struct conn *c, const char *path, const char *token)
{
    if (c->wanted == EVENTS_HELD)
        abort();
    (void)snprintf(c->wanted_v[c->wanted++], sizeof(c->wanted_v[0]), "%s|%s|", path, token);
}

static void want_all(const struct model_events *events)
{
    for (unsigned int i = 0; i < events->n; i++) {
        /* Each has a higher number than those before it in the array's order of use. */
        for (unsigned long s = 0; s < watch_seq; s++) {
            const struct model_watch *w = &watches[s % MODEL_WATCHES];
            if (w->used && w->seq == s && model_told(w, &events->v[i], &conns[w->conn].who))
                want(&conns[w->conn], events->v[i].path + w->prefix, w->token);
        }
    }
}

/* Waits for the events that are due, and compares them. */
static void settle(void)
{
    char answer[MODEL_ANSWER];
    for (unsigned int i = 0; i < CONNS; i++) {
        struct conn *c = &conns[i];
        while (c->heard < c->wanted) {
            remember("(connection %u has heard %u of %u events)", i, c->heard, c->wanted);
            if (take(c, answer))
                fail("an answer to nothing: %s", answer);
            if (c->heard < c->wanted)
                fetch(c, true);
        }
        for (unsigned int k = 0; k < c->heard; k++) {
            if (k >= c->wanted)
                fail("connection %u: event %s, not due", i, c->heard_v[k]);
            if (strcmp(c->heard_v[k], c->wanted_v[k]) != 0)
                fail("connection %u: event %s, not %s", i, c->heard_v[k], c->wanted_v[k]);
        }
        c->heard = c->wanted = 0;
    }
}

/* After an answer on a socket all events of its own have come. A guest's kernel may deal them out otherwise. */
static void check_order(const struct conn *c)
{
    if (c->who.privileged && c->heard_at_answer != c->wanted)
        fail("%u events before the answer, not %u", c->heard_at_answer, c->wanted);
}

/* ---- random things ---- */

static const char *const roots[] = {"/r", "/r", "/r", "/local/domain/1/data"};

static void random_path(char *path)
{
    static const char *const names[] = {"/a", "/b", "/c"};
    strcpy(path, roots[pick(4)]);
    for (unsigned int depth = pick(4); depth > 0; depth--)
        strcat(path, names[pick(3)]);
}

static void random_perms(char *out, const struct conn *c)
{
    static const unsigned int others[] = {0, 1, 2, 3, XIDS_XS_DOMID_ANY};
    unsigned int owner = pick(3) == 0 ? pick(4) : c->who.privileged ? pick(4) : c->who.domid;
    out += sprintf(out, "%c%u|", "nrwb"[pick(4)], owner);
    for (unsigned int n = pick(4); n > 0; n--)
        out += sprintf(out, "%c%u|", "nrwb"[pick(4)], others[pick(5)]);
}

static void random_step(struct model_step *s, const struct conn *c)
{
    static const uint32_t types[] = {XS_READ,  XS_READ,  XS_DIRECTORY, XS_DIRECTORY, XS_GET_PERMS, XS_WRITE,
                                     XS_WRITE, XS_WRITE, XS_MKDIR,     XS_RM,        XS_SET_PERMS, XS_SET_PERMS};
    memset(s, 0, sizeof(*s));
    s->type = types[pick(12)];
    random_path(s->path);
    if (s->type == XS_SET_PERMS)
        random_perms(s->arg, c);
    else
        (void)sprintf(s->arg, "%u", pick(4));
}

/* A path as this connection may also name it: relative to its home. */
static const char *named(const struct conn *c, const char *path, unsigned int *prefix)
{
    size_t len = strlen(c->home);
    bool relative = strncmp(path, c->home, len) == 0 && pick(2) == 0;
    *prefix = relative ? (unsigned int)len : 0;
    return path + *prefix;
}

static void send_step(struct conn *c, uint32_t tx, struct model_step *s)
{
    char payload[100];
    unsigned int prefix;
    bool value = s->type == XS_WRITE || s->type == XS_SET_PERMS;
    (void)snprintf(payload, sizeof(payload), "%s|%s", named(c, s->path, &prefix), value ? s->arg : "");
    ask(c, s->answer, tx, s->type, payload);
}

/* ---- what a client does ---- */

static void plain_request(struct conn *c)
{
    static struct model_events events;
    struct model_step s;
    char answer[MODEL_ANSWER];
    events.n = 0;
    random_step(&s, c);
    send_step(c, 0, &s);
    model_do(&now, &events, &s, &c->who, answer);
    if (strcmp(answer, s.answer) != 0)
        fail("%s, not %s", s.answer, answer);
    want_all(&events);
    check_order(c);
}

/* A guest's kernel tells its clients' watches apart by the text of the path, a store by what it means. */
static struct model_watch *find_watch(unsigned int conn, const char *path, unsigned int prefix, const char *token)
{
    for (unsigned int i = 0; i < MODEL_WATCHES; i++) {
        struct model_watch *w = &watches[i];
        if (w->used && w->conn == conn && strcmp(w->path, path) == 0 && strcmp(w->token, token) == 0 &&
            (conns[conn].who.privileged || w->prefix == prefix))
            return w;
    }
    return NULL;
}

static void watch(unsigned int conn)
{
    struct conn *c = &conns[conn];
    struct model_watch *w = &watches[watch_seq % MODEL_WATCHES];
    char payload[120], answer[MODEL_ANSWER], path[MODEL_PATH], token[11];
    if (w->used)
        return;
    unsigned int prefix;
    int depth = pick(3) == 0 ? (int)pick(3) : -1;
    random_path(path);
    (void)snprintf(token, sizeof(token), "%u", pick(3));
    const char *name = named(c, path, &prefix);
    int n = snprintf(payload, sizeof(payload), "%s|%s|", name, token);
    if (depth >= 0)
        (void)snprintf(payload + n, sizeof(payload) - (size_t)n, "%d|", depth);
    bool twice = find_watch(conn, path, prefix, token) != NULL;
    ask(c, answer, 0, XS_WATCH, payload);
    if (strcmp(answer, twice ? "error EEXIST|" : "watch OK|") != 0)
        fail("watch: %s", answer);
    if (twice)
        return;
    *w = (struct model_watch){.used = true, .conn = conn, .seq = watch_seq++, .depth = depth, .prefix = prefix};
    strcpy(w->path, path);
    strcpy(w->token, token);
    check_order(c);
    want(c, name, token);
}

static void unwatch(unsigned int conn)
{
    struct conn *c = &conns[conn];
    char payload[120], answer[MODEL_ANSWER], path[MODEL_PATH], token[11];
    unsigned int prefix, i = pick(MODEL_WATCHES);
    struct model_watch *w = watches[i].used && watches[i].conn == conn ? &watches[i] : NULL;
    random_path(path);
    const char *name = named(c, path, &prefix);
    (void)snprintf(token, sizeof(token), "%u", pick(3));
    if (w != NULL) {
        name = w->path + w->prefix;
        strcpy(token, w->token);
    } else {
        w = find_watch(conn, path, prefix, token);
    }
    (void)snprintf(payload, sizeof(payload), "%s|%s|", name, token);
    ask(c, answer, 0, XS_UNWATCH, payload);
    if (strcmp(answer, w != NULL ? "unwatch OK|" : "error ENOENT|") != 0)
        fail("unwatch: %s", answer);
    if (w != NULL)
        w->used = false;
}

static void reset_watches(unsigned int conn)
{
    char answer[MODEL_ANSWER];
    ask(&conns[conn], answer, 0, XS_RESET_WATCHES, "|");
    if (strcmp(answer, "reset OK|") != 0)
        fail("reset: %s", answer);
    for (unsigned int i = 0; i < MODEL_WATCHES; i++)
        watches[i].used = watches[i].used && watches[i].conn != conn;
    for (unsigned int i = 0; i < SESSIONS_PER_CONN; i++)
        sessions[conn][i].open = false;
}

static void begin(struct conn *c, struct session *x)
{
    char answer[MODEL_ANSWER];
    ask(c, answer, 0, XS_TRANSACTION_START, "|");
    if (strncmp(answer, "start ", 6) != 0)
        fail("start: %s", answer);
    x->open = true;
    x->writes = false;
    x->n = 0;
    x->tx = (uint32_t)strtoul(answer + 6, NULL, 10);
    x->start = x->view = now;
}

static void in_transaction(struct conn *c, struct session *x)
{
    struct model_step *s = &x->steps[x->n++];
    char answer[MODEL_ANSWER];
    random_step(s, c);
    send_step(c, x->tx, s);
    model_do(&x->view, NULL, s, &c->who, answer);
    if (strcmp(answer, s->answer) != 0)
        fail("in a transaction: %s, not %s", s->answer, answer);
    x->writes = x->writes || (model_changes(s) && strncmp(answer, "error", 5) != 0);
}

static void end(struct conn *c, struct session *x, bool commit)
{
    static struct model_tree after;
    static struct model_events events;
    char answer[MODEL_ANSWER], why[MODEL_ANSWER * 3] = "";
    events.n = 0;
    x->open = false;
    ask(c, answer, x->tx, XS_TRANSACTION_END, commit ? "T|" : "F|");
    if (!commit) {
        if (strcmp(answer, "end OK|") != 0)
            fail("an abort: %s", answer);
        return;
    }
    after = x->writes ? now : x->start;
    bool same = model_replay(&after, &events, why, x->steps, x->n, &c->who);
    if (strcmp(answer, "error EAGAIN|") == 0) {
        if (!x->writes)
            fail("a transaction that only read was refused");
        refusals++;
        needless += same;
        return;
    }
    if (strcmp(answer, "end OK|") != 0)
        fail("a commit: %s", answer);
    if (x->writes && events.n > 0) {
        for (unsigned int i = 0; i < x->n; i++)
            remember("(%s %s %s -> %s)", type_name(x->steps[i].type), x->steps[i].path, x->steps[i].arg,
                     x->steps[i].answer);
        for (unsigned int i = 0; i < events.n; i++)
            remember("(event %s%s)", events.v[i].path, events.v[i].exact ? " exactly" : "");
    }
    if (!same)
        fail("committed, but now it would be %s", why);
    commits++;
    if (x->writes) {
        now = after;
        want_all(&events);
        check_order(c);
    }
}

static void live_update(void)
{
    const char *program = getenv("XIDS_RANDOM_LIVE_UPDATE");
    char answer[MODEL_ANSWER], payload[500];
    if (program == NULL)
        return;
    (void)snprintf(payload, sizeof(payload), "live-update|-f|%s|", program);
    ask(&conns[0], answer, 0, XS_CONTROL, payload);
    if (strcmp(answer, "control OK|") == 0)
        ask(&conns[0], answer, 0, XS_CONTROL, "live-update|-s|");
    if (strcmp(answer, "control OK|") != 0)
        fail("live update: %s", answer);
    updates++;
}

static void one_step(void)
{
    unsigned int conn = pick(CONNS), what = pick(100);
    struct conn *c = &conns[conn];
    struct session *x = &sessions[conn][pick(SESSIONS_PER_CONN)];
    if (what < 40)
        plain_request(c);
    else if (what < 50)
        watch(conn);
    else if (what < 56)
        unwatch(conn);
    else if (what < 57 && c->who.privileged && pick(8) == 0)
        reset_watches(conn);
    else if (what < 58 && pick(20) == 0)
        live_update();
    else if (!x->open)
        begin(c, x);
    else if (x->n == MODEL_STEPS || pick(6) == 0)
        end(c, x, pick(8) != 0);
    else
        in_transaction(c, x);
}

/* ---- worlds ---- */

/* The nodes above our own are as the machine's tools have made them. */
static void look_around(void)
{
    static const char *const paths[] = {"/", "/local", "/local/domain", "/local/domain/1"};
    model_init(&now);
    for (unsigned int i = 0; i < 4; i++) {
        char answer[MODEL_ANSWER], payload[MODEL_PATH + 2];
        (void)snprintf(payload, sizeof(payload), "%s|", paths[i]);
        ask(&conns[0], answer, 0, XS_GET_PERMS, payload);
        struct model_node *n = &now.v[i];
        now.n = i + 1;
        strcpy(n->path, paths[i]);
        n->perms.n = 0;
        for (char *at = answer + sizeof("get-perms"), *bar; (bar = strchr(at, '|')) != NULL; at = bar + 1) {
            if (n->perms.n == MODEL_PERMS ||
                xids_xswire_perm_parse(&n->perms.v[n->perms.n++], at, (size_t)(bar - at)) < 0)
                fail("%s: permissions %s", paths[i], answer);
        }
    }
}

static void clear(void)
{
    for (unsigned int i = 0; i < CONNS; i++) {
        for (unsigned int k = 0; k < SESSIONS_PER_CONN; k++) {
            if (sessions[i][k].open)
                end(&conns[i], &sessions[i][k], false);
        }
    }
    for (unsigned int i = 0; i < MODEL_WATCHES; i++) {
        char payload[120], answer[MODEL_ANSWER];
        const struct model_watch *w = &watches[i];
        if (!w->used)
            continue;
        (void)snprintf(payload, sizeof(payload), "%s|%s|", w->path + w->prefix, w->token);
        ask(&conns[w->conn], answer, 0, XS_UNWATCH, payload);
        if (strcmp(answer, "unwatch OK|") != 0)
            fail("unwatch: %s", answer);
    }
    memset(watches, 0, sizeof(watches));
    watch_seq = 0;
}

static void base(const char *path, const char *perms)
{
    const struct model_who who = {.privileged = true, .target = -1};
    struct model_step s = {.type = XS_MKDIR};
    char payload[120], answer[MODEL_ANSWER];
    (void)snprintf(payload, sizeof(payload), "%s|", path);
    must(&conns[0], XS_RM, payload);
    must(&conns[0], XS_MKDIR, payload);
    (void)snprintf(payload, sizeof(payload), "%s|%s", path, perms);
    must(&conns[0], XS_SET_PERMS, payload);
    strcpy(s.path, path);
    model_do(&now, NULL, &s, &who, answer);
    s.type = XS_SET_PERMS;
    strcpy(s.arg, perms);
    model_do(&now, NULL, &s, &who, answer);
}

/* Everybody asks something, so that an event that is not due has come before the answer. */
static void barrier(void)
{
    char answer[MODEL_ANSWER];
    for (unsigned int i = 0; i < CONNS; i++)
        ask(&conns[i], answer, 0, XS_READ, "/r|");
    settle();
}

/* The whole tree, as domain 0 sees it. */
static void compare_trees(void)
{
    for (unsigned int i = 0; i < now.n; i++) {
        static const uint32_t looks[] = {XS_READ, XS_DIRECTORY, XS_GET_PERMS};
        struct model_step s = {0};
        char answer[MODEL_ANSWER];
        strcpy(s.path, now.v[i].path);
        if (strncmp(s.path, "/r", 2) != 0 && strstr(s.path, "/data") == NULL)
            continue;
        for (unsigned int k = 0; k < 3; k++) {
            s.type = looks[k];
            send_step(&conns[0], 0, &s);
            model_do(&now, NULL, &s, &conns[0].who, answer);
            if (strcmp(answer, s.answer) != 0)
                fail("in the end %s is %s, not %s", s.path, s.answer, answer);
        }
    }
}

static void world(uint64_t number)
{
    seed = rng = number;
    look_around();
    base("/r", "n0|b1|b2|");
    base("/local/domain/1/data", "n1|");
    for (unsigned int i = 0; i < STEPS_PER_WORLD; i++) {
        one_step();
        settle();
        if (i % 64 == 63)
            barrier();
    }
    compare_trees();
    clear();
    barrier();
}

/* ---- getting there ---- */

static int dial(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(addr.sun_path))
        return -1;
    strcpy(addr.sun_path, path);
    return connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 ? fd : -1;
}

/* Runs a command with a socket as its standard streams. */
static int spawn(const char *command)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        (void)dup2(ends[1], 0);
        (void)dup2(ends[1], 1);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    return ends[0];
}

static bool move_bytes(int from, int to)
{
    char bytes[4096];
    ssize_t n = read(from, bytes, sizeof(bytes));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    for (ssize_t done = 0; done < n;) {
        ssize_t m = write(to, bytes + done, (size_t)(n - done));
        if (m < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        done += m > 0 ? m : 0;
    }
    return n > 0;
}

static int agent(void)
{
    struct xids_xs *xs;
    int rc = xids_xs_open(&xs, NULL);
    if (rc < 0) {
        (void)fprintf(stderr, "no store: %s\n", strerror(-rc));
        return EXIT_FAILURE;
    }
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = xids_xs_fd(xs), .events = POLLIN}};
    for (bool going = true; going && poll(p, 2, -1) >= 0;) {
        if (p[0].revents != 0)
            going = move_bytes(STDIN_FILENO, p[1].fd);
        if (going && p[1].revents != 0)
            going = move_bytes(p[1].fd, STDOUT_FILENO);
    }
    xids_xs_close(xs);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--agent") == 0)
        return agent();
    if (argc != 3 + (int)GUESTS) {
        (void)fputs("usage: store_random SECONDS SOCKET COMMAND COMMAND COMMAND\n", stderr);
        return EXIT_FAILURE;
    }
    for (unsigned int i = 0; i < CONNS; i++) {
        bool guest = i >= CONNS - GUESTS;
        unsigned int domid = guest ? i - (CONNS - GUESTS) + 1 : 0;
        conns[i].who =
            (struct model_who){.domid = (uint16_t)domid, .target = domid == 3 ? 2 : -1, .privileged = !guest};
        (void)snprintf(conns[i].home, sizeof(conns[i].home), "/local/domain/%u/", domid);
        conns[i].fd = guest ? spawn(argv[2 + domid]) : dial(argv[2]);
        if (conns[i].fd < 0)
            fail("no connection %u", i);
    }
    must(&conns[0], XS_SET_TARGET, "3|2|");
    const char *given = getenv("XIDS_SEED");
    uint64_t number = given != NULL ? strtoull(given, NULL, 0) : 0;
    if (given == NULL && getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return EXIT_FAILURE;
    for (time_t stop = time(NULL) + atol(argv[1]);;) {
        (void)printf("# seed %#llx\n", (unsigned long long)(number | 1));
        (void)fflush(stdout);
        world(number | 1);
        if (given != NULL || time(NULL) >= stop)
            break;
        number = number * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
    }
    (void)printf("# %lu requests, %lu events, %lu commits, %lu refusals (%lu of them needless), %lu live updates\n",
                 requests, events_seen, commits, refusals, needless, updates);
    return commits > 0 && refusals > 0 && events_seen > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
