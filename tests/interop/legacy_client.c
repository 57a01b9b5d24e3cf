/* SPDX-License-Identifier: ISC */
/*
 * A client of the old entropy protocol, written from docs/spec/randomd-legacy.md and from nothing else: it shares no
 * header with the server. Numbers in comments are the sections of that page.
 *
 * usage: legacy_client [OPTION...] [BYTES]
 *   --pieces N     cut the greeting into pieces of N bytes
 *   --early        put the greeting into the ring before the server is told of it
 *   --state N      what is written to the frontend's state: 3 or 4
 *   --before TEXT  say this before the greeting
 *   --take N       take no more than N bytes of the stream at a time
 *   --ask          after BYTES: for each line on standard input "N" take N bytes; "again" zeroes the page and writes
 * the state again; "break" writes impossible indices
 *   --close        write state 6 at the end
 *   --timeout S    wait no longer than S seconds for anything
 *
 * It prints the response's length, then the stream in hexadecimal, a line for each stretch, and the most that lay
 * unread.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/xs.h>

static const char name[] = "org.openmirage.entropy.1";
static const char greeting[] = "Hello, may I have some entropy?\r\n";
static const char response[] = "You may treat everything following this message as entropy.\r\n";

/* 3 */
struct page {
    char in[1024];
    char out[2048];
    _Atomic uint32_t in_cons, in_prod, out_cons, out_prod;
};

_Static_assert(offsetof(struct page, in_cons) == 3072 && offsetof(struct page, out_prod) == 3084, "the page's layout");

struct client {
    struct xids_platform *p;
    struct xids_xs *xs;
    struct page *page;
    evtchn_port_t port;
    grant_ref_t ref;
    domid_t server;
    char frontend[64], backend[128];
    uint32_t most;
    uint64_t deadline;
    unsigned int timeout;
};

static const char *pieces_option = "33", *state_option = "4", *before_option = "", *take_option = "1024";

__attribute__((noreturn)) static void die(const char *what, int rc)
{
    fprintf(stderr, "legacy_client: %s: %s\n", what, rc < 0 ? strerror(-rc) : "");
    exit(1);
}

static void must(const char *what, int rc)
{
    if (rc < 0)
        die(what, rc);
}

static void patience(struct client *c)
{
    c->deadline = c->p->ops->now(c->p->ctx) + c->timeout * 1000000000ull;
}

static unsigned int milliseconds_left(const struct client *c, const char *what)
{
    uint64_t now = c->p->ops->now(c->p->ctx);
    if (now >= c->deadline)
        die(what, -ETIMEDOUT);
    return (unsigned int)((c->deadline - now) / 1000000u) + 1;
}

/* ---- the store ---- */

/* True and the text when the node is there. */
static bool read_text(struct client *c, char *to, size_t size, const char *folder, const char *leaf)
{
    char path[256], *value = NULL;
    snprintf(path, sizeof(path), "%s/%s", folder, leaf);
    int rc = xids_xs_read(c->xs, &value, NULL, XIDS_XS_NO_TX, path);
    if (rc == -XEN_ENOENT || rc == -XEN_EACCES)
        return false;
    must(path, rc);
    snprintf(to, size, "%s", value);
    free(value);
    return true;
}

/* 4.1: looks once. */
static bool look_for_device(struct client *c)
{
    char **names = NULL, text[64];
    unsigned int count = 0;
    bool found = false;
    int rc = xids_xs_directory(c->xs, &names, &count, XIDS_XS_NO_TX, "device/console");
    if (rc == -XEN_ENOENT)
        return false;
    must("device/console", rc);
    for (unsigned int i = 0; i < count && !found; i++) {
        snprintf(c->frontend, sizeof(c->frontend), "device/console/%.40s", names[i]);
        found = read_text(c, text, sizeof(text), c->frontend, "name") && strcmp(text, name) == 0;
    }
    free(names);
    return found;
}

static void wait_event(struct client *c, const char *what)
{
    struct xids_xs_event event;
    must(what, xids_xs_next_event(c->xs, &event, (int)milliseconds_left(c, what)));
}

static void find_device(struct client *c)
{
    char number[16];
    patience(c);
    must("a watch", xids_xs_watch(c->xs, "device/console", name));
    while (!look_for_device(c))
        wait_event(c, "no device of the name");
    must("a watch", xids_xs_unwatch(c->xs, "device/console", name));
    if (!read_text(c, c->backend, sizeof(c->backend), c->frontend, "backend") ||
        !read_text(c, number, sizeof(number), c->frontend, "backend-id"))
        die("the device has no backend", 0);
    c->server = (domid_t)strtoul(number, NULL, 10);
}

static int announce(struct xids_xs *xs, uint32_t tx, void *ctx)
{
    const struct client *c = ctx;
    char path[128];
    snprintf(path, sizeof(path), "%s/ring-ref", c->frontend);
    int rc = xids_xs_printf(xs, tx, path, "%" PRIu32, c->ref);
    snprintf(path, sizeof(path), "%s/port", c->frontend);
    if (rc == 0)
        rc = xids_xs_printf(xs, tx, path, "%" PRIu32, c->port);
    snprintf(path, sizeof(path), "%s/state", c->frontend);
    return rc < 0 ? rc : xids_xs_printf(xs, tx, path, "%s", state_option);
}

static void wait_backend(struct client *c, const char *state)
{
    char path[160], text[16] = "";
    patience(c);
    snprintf(path, sizeof(path), "%s/state", c->backend);
    must("a watch", xids_xs_watch(c->xs, path, state));
    while (!read_text(c, text, sizeof(text), c->backend, "state") || strcmp(text, state) != 0)
        wait_event(c, "the backend's state does not come");
    must("a watch", xids_xs_unwatch(c->xs, path, state));
}

/* ---- the ring ---- */

static void notify(struct client *c)
{
    must("notify", c->p->ops->evtchn_notify(c->p->ctx, c->port));
}

/* Until the server's event. */
static void wait_port(struct client *c)
{
    int rc = c->p->ops->wait(c->p->ctx, c->deadline);
    if (rc == 0)
        die("the server is silent", -ETIMEDOUT);
    must("wait", rc);
    rc = c->p->ops->evtchn_pending(c->p->ctx);
    must("pending", rc);
    if (rc > 0)
        must("unmask", c->p->ops->evtchn_unmask(c->p->ctx, (evtchn_port_t)rc));
}

static void say(struct client *c, const char *text, size_t len)
{
    struct page *r = c->page;
    for (size_t i = 0; i < len; i++) {
        uint32_t at = atomic_load(&r->out_prod);
        r->out[at % sizeof(r->out)] = text[i];
        atomic_store(&r->out_prod, at + 1);
    }
}

static void say_in_pieces(struct client *c, const char *text, size_t len)
{
    size_t piece = strtoul(pieces_option, NULL, 10);
    while (len > 0) {
        size_t n = piece < len ? piece : len;
        say(c, text, n);
        notify(c);
        text += n;
        len -= n;
    }
}

static void take(struct client *c, uint8_t *to, size_t len, uint32_t at_once)
{
    struct page *r = c->page;
    patience(c);
    while (len > 0) {
        uint32_t cons = atomic_load(&r->in_cons), unread = atomic_load(&r->in_prod) - cons;
        if (unread > c->most)
            c->most = unread;
        if (unread == 0) {
            wait_port(c);
            continue;
        }
        uint32_t n = unread < at_once ? unread : at_once;
        n = n < len ? n : (uint32_t)len;
        for (uint32_t i = 0; i < n; i++)
            to[i] = (uint8_t)r->in[(cons + i) % sizeof(r->in)];
        atomic_store(&r->in_cons, cons + n);
        notify(c);
        to += n;
        len -= n;
    }
}

/* 4.7 */
static void expect_response(struct client *c)
{
    uint8_t got[sizeof(response) - 1];
    take(c, got, sizeof(got), sizeof(c->page->in));
    if (memcmp(got, response, sizeof(got)) != 0)
        die("this is not the response", 0);
    printf("response %zu bytes\n", sizeof(got));
}

static void print_stream(struct client *c, size_t len)
{
    uint8_t *got = malloc(len + 1);
    if (got == NULL)
        die("memory", -ENOMEM);
    take(c, got, len, (uint32_t)strtoul(take_option, NULL, 10));
    printf("stream ");
    for (size_t i = 0; i < len; i++)
        printf("%02x", got[i]);
    printf("\n");
    fflush(stdout);
    free(got);
}

/* A driver that begins again with the page it has. */
static void again(struct client *c)
{
    memset(c->page, 0, 4096);
    must("the frontend's nodes", xids_xs_transaction(c->xs, announce, c));
    say_in_pieces(c, greeting, sizeof(greeting) - 1);
    expect_response(c);
    fflush(stdout);
}

static void obey(struct client *c)
{
    char line[64];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "again\n") == 0) {
            again(c);
        } else if (strcmp(line, "break\n") == 0) {
            atomic_store(&c->page->out_prod, atomic_load(&c->page->out_cons) + 5000);
            notify(c);
            printf("broken\n");
            fflush(stdout);
        } else {
            print_stream(c, strtoul(line, NULL, 10));
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"pieces", required_argument, NULL, 'p'},
        {"early", no_argument, NULL, 'e'},
        {"state", required_argument, NULL, 's'},
        {"before", required_argument, NULL, 'b'},
        {"take", required_argument, NULL, 't'},
        {"ask", no_argument, NULL, 'a'},
        {"close", no_argument, NULL, 'c'},
        {"timeout", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct client c = {.timeout = 20};
    bool early = false, asks = false, closes = false;
    void *pages = NULL;
    int opt;
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'p':
            pieces_option = optarg;
            break;
        case 'e':
            early = true;
            break;
        case 's':
            state_option = optarg;
            break;
        case 'b':
            before_option = optarg;
            break;
        case 't':
            take_option = optarg;
            break;
        case 'a':
            asks = true;
            break;
        case 'c':
            closes = true;
            break;
        case 'w':
            c.timeout = (unsigned int)strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    must("Xen's devices", xids_platform_xen_open(&c.p, XIDS_PLATFORM_XEN_NO_STATUS));
    must("xenstore", xids_xs_open(&c.xs, NULL));
    find_device(&c);
    /* 4.2 */
    must("a page", c.p->ops->share(c.p->ctx, &pages, &c.ref, c.server, 1, 0, NULL));
    c.page = pages;
    int port = c.p->ops->evtchn_alloc(c.p->ctx, c.server);
    must("a port", port);
    c.port = (evtchn_port_t)port;
    if (early)
        say(&c, greeting, sizeof(greeting) - 1);
    must("the frontend's nodes", xids_xs_transaction(c.xs, announce, &c));
    wait_backend(&c, "4");
    if (!early) {
        say_in_pieces(&c, before_option, strlen(before_option));
        say_in_pieces(&c, greeting, sizeof(greeting) - 1);
    }
    expect_response(&c);
    print_stream(&c, optind < argc ? strtoul(argv[optind], NULL, 10) : 32);
    if (asks)
        obey(&c);
    if (closes) {
        char path[128];
        snprintf(path, sizeof(path), "%s/state", c.frontend);
        must("the end", xids_xs_printf(c.xs, XIDS_XS_NO_TX, path, "6"));
        wait_backend(&c, "1");
    }
    printf("most %" PRIu32 "\n", c.most);
    xids_xs_close(c.xs);
    xids_platform_xen_close(c.p);
    return 0;
}
