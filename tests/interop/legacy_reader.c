/* SPDX-License-Identifier: ISC */
/*
 * A client of the console protocol of old, written from docs/spec/randomd-legacy.md alone ("section" below means its
 * sections), on Xen's libraries alone. It runs in a guest, simulated or not:
 *
 *     legacy_reader [OPTION...] [COUNT]       prints COUNT bytes (32 unless told) of the stream
 *
 *     --early          the greeting is in the ring before the server hears of it
 *     --pieces N       the greeting comes in pieces of N bytes, each when the one before was taken
 *     --before TEXT    TEXT comes before the greeting
 *     --state 3        as Linux's console driver begins
 *     --take N         takes no more than N bytes at once
 *     --close          ends the connection, and waits until the server has given the page back
 *     --ask            then does what each line of its input says:
 *                          COUNT      prints so many bytes of the stream
 *                          again      connects anew, after an end, with the page and the port that it has
 *                          resume     connects anew without an end, as drivers do after a resume
 *                          break      makes the indices impossible
 *     --timeout N      waits no longer than N seconds (20) for anything
 *
 * A Linux guest whose kernel has a driver for such consoles must be rid of it first: see section 7.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/io/console.h>

#define PAGE_BYTES 4096u
#define COUNT_MAX 65536u
#define UNREAD_MOST 64u
#define FOLDER "device/console" /* relative to the guest's own home */

static const char device_name[] = "org.openmirage.entropy.1";
static const char greeting[] = "Hello, may I have some entropy?\r\n";
static const char response[] = "You may treat everything following this message as entropy.\r\n";

#define GREETING_BYTES ((uint32_t)sizeof(greeting) - 1)
#define RESPONSE_BYTES ((uint32_t)sizeof(response) - 1)

struct options {
    bool early, close, ask;
    const char *before;
    const char *state;
    uint32_t pieces, take, timeout, count;
};

struct reader {
    struct options options;
    struct xs_handle *xs;
    xengntshr_handle *grants;
    xenevtchn_handle *events;
    struct xencons_interface *ring;
    uint32_t ref, backend_id, most;
    int port;
    uint32_t in_cons, out_prod; /* our own indices: what the page says of them is not asked */
    bool broken;
    char frontend[64];
    char backend[256];
    char backend_state[272];
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("legacy_reader: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static bool number(const char *text, uint32_t most, uint32_t *value)
{
    char *end = NULL;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || parsed > most) {
        return false;
    }
    *value = (uint32_t)parsed;
    return true;
}

/* ---- xenstore ---- */

/* Reads DIRECTORY/LEAF, or DIRECTORY where there is no leaf; false when it cannot, or when it does not fit. */
static bool read_node(struct reader *reader, const char *directory, const char *leaf, char *value, size_t size)
{
    char path[512];
    unsigned int length = 0;
    if ((size_t)snprintf(path, sizeof(path), "%s%s%s", directory, leaf[0] != '\0' ? "/" : "", leaf) >= sizeof(path)) {
        return false;
    }
    char *got = xs_read(reader->xs, XBT_NULL, path, &length);
    bool fits = got != NULL && length < size && memchr(got, '\0', length) == NULL;
    if (fits) {
        memcpy(value, got, length);
        value[length] = '\0';
    }
    free(got);
    return fits;
}

static bool write_node(struct reader *reader, xs_transaction_t transaction, const char *leaf, const char *value)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", reader->frontend, leaf);
    return xs_write(reader->xs, transaction, path, value, (unsigned int)strlen(value));
}

static time_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Waits for an event of the ring or of a watch, and takes what has come. */
static void wait_until(struct reader *reader, time_t deadline, const char *what)
{
    struct pollfd fds[2] = {{.fd = xs_fileno(reader->xs), .events = POLLIN},
                            {.fd = xenevtchn_fd(reader->events), .events = POLLIN}};
    time_t left = deadline - now();
    if (left <= 0 || poll(fds, 2, (int)left * 1000) == 0) {
        fail("waited too long for %s", what);
    }
    if (fds[0].revents != 0) {
        for (char **watch = xs_check_watch(reader->xs); watch != NULL; watch = xs_check_watch(reader->xs)) {
            free(watch);
        }
    }
    if (fds[1].revents != 0) {
        int port = xenevtchn_pending(reader->events);
        if (port < 0 || xenevtchn_unmask(reader->events, (evtchn_port_t)port) != 0) {
            fail("no events come: %s", strerror(errno));
        }
    }
}

static time_t deadline_of(const struct reader *reader)
{
    return now() + (time_t)reader->options.timeout;
}

/* The server's state, or 0 when the node is not there or is no number. */
static uint32_t server_state(struct reader *reader)
{
    char text[16];
    uint32_t state = 0;
    if (!read_node(reader, reader->backend_state, "", text, sizeof(text)) || !number(text, 6, &state)) {
        return 0;
    }
    return state;
}

/* A server that stops says so in the store, and nowhere else (section 4). */
static void still_served(struct reader *reader)
{
    uint32_t state = server_state(reader);
    if (state == 0 || state >= 5) {
        fail("the server has gone");
    }
}

/* ---- the device (section 4, steps 1 to 4) ---- */

static bool find_device(struct reader *reader)
{
    unsigned int count = 0;
    bool found = false;
    char **children = xs_directory(reader->xs, XBT_NULL, FOLDER, &count);
    for (unsigned int i = 0; children != NULL && i < count && !found; i++) {
        char name[sizeof(device_name)];
        size_t length = (size_t)snprintf(reader->frontend, sizeof(reader->frontend), FOLDER "/%s", children[i]);
        found = length < sizeof(reader->frontend) && read_node(reader, reader->frontend, "name", name, sizeof(name)) &&
                strcmp(name, device_name) == 0;
    }
    free(children);
    return found;
}

static void await_device(struct reader *reader)
{
    char text[16];
    time_t deadline = deadline_of(reader);
    if (!xs_watch(reader->xs, FOLDER, "device")) {
        fail("%s cannot be watched: %s", FOLDER, strerror(errno));
    }
    while (!find_device(reader)) {
        wait_until(reader, deadline, "a device");
    }
    xs_unwatch(reader->xs, FOLDER, "device");
    if (!read_node(reader, reader->frontend, "backend", reader->backend, sizeof(reader->backend)) ||
        !read_node(reader, reader->frontend, "backend-id", text, sizeof(text)) ||
        !number(text, DOMID_FIRST_RESERVED - 1, &reader->backend_id)) {
        fail("%s does not say where its server is", reader->frontend);
    }
    snprintf(reader->backend_state, sizeof(reader->backend_state), "%s/state", reader->backend);
}

static void make_page(struct reader *reader)
{
    reader->ring = xengntshr_share_pages(reader->grants, reader->backend_id, 1, &reader->ref, 1);
    if (reader->ring == NULL) {
        fail("no page can be granted: %s", strerror(errno));
    }
}

static void make_port(struct reader *reader)
{
    reader->port = xenevtchn_bind_unbound_port(reader->events, reader->backend_id);
    if (reader->port < 0) {
        fail("no port can be had: %s", strerror(errno));
    }
}

static void empty_ring(struct reader *reader)
{
    memset(reader->ring, 0, PAGE_BYTES);
    reader->in_cons = 0;
    reader->out_prod = 0;
    reader->broken = false;
}

static void publish(struct reader *reader)
{
    char ref[16];
    char port[16];
    snprintf(ref, sizeof(ref), "%u", reader->ref);
    snprintf(port, sizeof(port), "%d", reader->port);
    for (;;) {
        xs_transaction_t transaction = xs_transaction_start(reader->xs);
        if (transaction == XBT_NULL) {
            fail("no transaction can be had: %s", strerror(errno));
        }
        bool written = write_node(reader, transaction, "ring-ref", ref) &&
                       write_node(reader, transaction, "port", port) &&
                       write_node(reader, transaction, "state", reader->options.state);
        if (xs_transaction_end(reader->xs, transaction, !written) && written) {
            return;
        }
        if (!written || errno != EAGAIN) {
            fail("%s cannot be written", reader->frontend);
        }
    }
}

/* Publishes the ring and waits until the server has it. */
static void connect_ring(struct reader *reader)
{
    time_t deadline = deadline_of(reader);
    publish(reader);
    for (uint32_t state = server_state(reader); state != 4; state = server_state(reader)) {
        if (state == 0 || state >= 5) {
            fail("the server has gone");
        }
        wait_until(reader, deadline, "the server to connect");
    }
}

/* ---- the ring (section 3) ---- */

static void notify(struct reader *reader)
{
    if (xenevtchn_notify(reader->events, (evtchn_port_t)reader->port) != 0) {
        fail("no event can be sent: %s", strerror(errno));
    }
}

/* How many bytes the server has not taken yet. */
static uint32_t untaken(struct reader *reader)
{
    uint32_t count = reader->out_prod - __atomic_load_n(&reader->ring->out_cons, __ATOMIC_ACQUIRE);
    if (count > sizeof(reader->ring->out)) {
        fail("the server's indices are impossible");
    }
    return count;
}

/* How many bytes we have not taken yet. */
static uint32_t unread(struct reader *reader)
{
    uint32_t count = __atomic_load_n(&reader->ring->in_prod, __ATOMIC_ACQUIRE) - reader->in_cons;
    if (count > sizeof(reader->ring->in)) {
        fail("the server's indices are impossible");
    }
    if (count > reader->most) {
        reader->most = count;
    }
    return count;
}

static void put(struct reader *reader, const char *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        reader->ring->out[MASK_XENCONS_IDX(reader->out_prod + i, reader->ring->out)] = bytes[i];
    }
    reader->out_prod += count;
    __atomic_store_n(&reader->ring->out_prod, reader->out_prod, __ATOMIC_RELEASE);
    notify(reader);
}

static void await_taken(struct reader *reader)
{
    time_t deadline = deadline_of(reader);
    while (untaken(reader) > 0) {
        wait_until(reader, deadline, "the server to take what was written");
        still_served(reader);
    }
}

static void send_all(struct reader *reader, const char *bytes, uint32_t count)
{
    for (uint32_t done = 0, piece; done < count; done += piece) {
        piece = count - done < reader->options.pieces ? count - done : reader->options.pieces;
        put(reader, bytes + done, piece);
        if (done + piece < count) {
            await_taken(reader);
        }
    }
}

static void take(struct reader *reader, char *bytes, uint32_t count)
{
    time_t deadline = deadline_of(reader);
    for (uint32_t done = 0; done < count;) {
        uint32_t there = unread(reader);
        if (there == 0) {
            wait_until(reader, deadline, "bytes");
            still_served(reader);
            continue;
        }
        there = there < count - done ? there : count - done;
        there = there < reader->options.take ? there : reader->options.take;
        for (uint32_t i = 0; i < there; i++) {
            bytes[done + i] = reader->ring->in[MASK_XENCONS_IDX(reader->in_cons + i, reader->ring->in)];
        }
        done += there;
        reader->in_cons += there;
        __atomic_store_n(&reader->ring->in_cons, reader->in_cons, __ATOMIC_RELEASE);
        notify(reader);
        deadline = deadline_of(reader);
    }
}

/* ---- what is said (section 4, steps 5 to 7) ---- */

static void greet(struct reader *reader)
{
    if (reader->options.before != NULL) {
        put(reader, reader->options.before, (uint32_t)strlen(reader->options.before));
    }
    send_all(reader, greeting, GREETING_BYTES);
}

static void expect_response(struct reader *reader)
{
    char got[RESPONSE_BYTES];
    take(reader, got, RESPONSE_BYTES);
    bool right = memcmp(got, response, RESPONSE_BYTES) == 0;
    explicit_bzero(got, sizeof(got));
    if (!right) {
        fail("that is not the response");
    }
    printf("response %u bytes\n", RESPONSE_BYTES);
}

static void print_stream(struct reader *reader, uint32_t count)
{
    char *bytes = malloc(count);
    if (bytes == NULL) {
        fail("no memory");
    }
    take(reader, bytes, count);
    printf("stream ");
    for (uint32_t i = 0; i < count; i++) {
        printf("%02x", (unsigned int)(unsigned char)bytes[i]);
    }
    printf("\n");
    explicit_bzero(bytes, count);
    free(bytes);
}

/* From a ring of zeros to the response. */
static void converse(struct reader *reader)
{
    empty_ring(reader);
    if (reader->options.early) {
        greet(reader);
    }
    connect_ring(reader);
    if (!reader->options.early) {
        greet(reader);
    }
    expect_response(reader);
}

/* The server has the page all the while: with so many unread bytes, and no port, it writes nothing there (section 5).
 */
static void resume(struct reader *reader)
{
    time_t deadline = deadline_of(reader);
    while (unread(reader) < UNREAD_MOST) {
        wait_until(reader, deadline, "the server to be done");
    }
    if (xenevtchn_unbind(reader->events, (evtchn_port_t)reader->port) != 0) {
        fail("the port cannot be closed: %s", strerror(errno));
    }
    make_port(reader);
    converse(reader);
}

static void break_indices(struct reader *reader)
{
    __atomic_store_n(&reader->ring->out_prod, reader->out_prod + PAGE_BYTES, __ATOMIC_RELEASE);
    notify(reader);
    reader->broken = true;
    printf("broken\n");
}

/* Ends the connection. When this returns the page is ours alone, and nothing of the stream is in it. */
static void end_connection(struct reader *reader)
{
    time_t deadline = deadline_of(reader);
    if (!write_node(reader, XBT_NULL, "state", "6")) {
        fail("%s cannot be written", reader->frontend);
    }
    for (uint32_t state = server_state(reader); state == 4; state = server_state(reader)) {
        wait_until(reader, deadline, "the server to let go");
    }
    for (uint32_t i = 0; i < sizeof(reader->ring->in); i++) {
        if (reader->ring->in[i] != 0 && !reader->broken) {
            fail("bytes were left in the page");
        }
    }
}

/* With the page and the port that there are. It must be ours while it is cleared; with impossible indices the server
 * lets it be. */
static void begin_again(struct reader *reader)
{
    if (!reader->broken) {
        end_connection(reader);
    }
    converse(reader);
}

static void obey(struct reader *reader)
{
    char line[64];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        uint32_t count = 0;
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "again") == 0) {
            begin_again(reader);
        } else if (strcmp(line, "resume") == 0) {
            resume(reader);
        } else if (strcmp(line, "break") == 0) {
            break_indices(reader);
        } else if (number(line, COUNT_MAX, &count) && count > 0) {
            print_stream(reader, count);
        } else {
            fail("what is \"%s\"?", line);
        }
    }
}

static void parse(struct options *options, int argc, char **argv)
{
    enum { EARLY, CLOSE, ASK, BEFORE, STATE, PIECES, TAKE, TIMEOUT };
    static const struct option known[] = {
        {"early", no_argument, NULL, EARLY},
        {"close", no_argument, NULL, CLOSE},
        {"ask", no_argument, NULL, ASK},
        {"before", required_argument, NULL, BEFORE},
        {"state", required_argument, NULL, STATE},
        {"pieces", required_argument, NULL, PIECES},
        {"take", required_argument, NULL, TAKE},
        {"timeout", required_argument, NULL, TIMEOUT},
        {NULL, 0, NULL, 0},
    };
    bool good = true;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case EARLY:
            options->early = true;
            break;
        case CLOSE:
            options->close = true;
            break;
        case ASK:
            options->ask = true;
            break;
        case BEFORE:
            options->before = optarg;
            good = good && strlen(optarg) <= 1024;
            break;
        case STATE:
            options->state = optarg;
            break;
        case PIECES:
            good = good && number(optarg, GREETING_BYTES, &options->pieces) && options->pieces > 0;
            break;
        case TAKE:
            good = good && number(optarg, PAGE_BYTES, &options->take) && options->take > 0;
            break;
        case TIMEOUT:
            good = good && number(optarg, 3600, &options->timeout);
            break;
        default:
            good = false;
        }
    }
    if (optind < argc) {
        good = good && number(argv[optind++], COUNT_MAX, &options->count) && options->count > 0;
    }
    if (!good || optind < argc) {
        fail("usage: legacy_reader [--early] [--pieces N] [--before TEXT] [--state N] [--take N] [--close] [--ask] "
             "[--timeout N] [COUNT]");
    }
}

int main(int argc, char **argv)
{
    static struct reader reader = {
        .options = {.state = "4", .pieces = GREETING_BYTES, .take = PAGE_BYTES, .timeout = 20, .count = 32},
    };
    parse(&reader.options, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    reader.xs = xs_open(0);
    reader.grants = xengntshr_open(NULL, 0);
    reader.events = xenevtchn_open(NULL, 0);
    if (reader.xs == NULL || reader.grants == NULL || reader.events == NULL) {
        fail("this is no guest of Xen's: %s", strerror(errno));
    }
    await_device(&reader);
    if (!xs_watch(reader.xs, reader.backend_state, "state")) {
        fail("%s cannot be watched: %s", reader.backend_state, strerror(errno));
    }
    make_page(&reader);
    make_port(&reader);
    converse(&reader);
    print_stream(&reader, reader.options.count);
    if (reader.options.ask) {
        obey(&reader);
    }
    printf("most %u\n", reader.most);
    if (reader.options.close) {
        end_connection(&reader);
        if (xenevtchn_unbind(reader.events, (evtchn_port_t)reader.port) != 0 ||
            xengntshr_unshare(reader.grants, reader.ring, 1) != 0) {
            fail("the port or the page cannot be had back: %s", strerror(errno));
        }
    }
    xenevtchn_close(reader.events);
    xengntshr_close(reader.grants);
    xs_close(reader.xs);
    return 0;
}
