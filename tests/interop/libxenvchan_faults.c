/* SPDX-License-Identifier: ISC */
/*
 * What is different between Xen's libxenvchan and ours, a case for each: a program of libxenvchan, to be run with
 * either. It is a server in a domain of the simulator; where a client matters, it writes into the shared page what the
 * client would.
 *
 *     libxenvchan_faults CASE DOMID    0: as ours; anything else, also by a signal: not so
 *     libxenvchan_faults               lists the cases, and whether Xen's fails here (shown) or need not (alone)
 */
#include <errno.h>
#include <libxenvchan.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#include <xenstore.h>

#define PATH "data/vchan/faults"
#define RING 4096
/* Longer than what Xen's library has room for. */
#define LONG_PATH "data/vchan/a-name-that-is-longer-than-what-xens-library-has-room-for/and-its-leaf"
#define ROUNDS 3000

static int domid;

static void must(int good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "not so: %s (errno: %s)\n", what, strerror(errno));
    exit(1);
}

static struct libxenvchan *serve(const char *path, size_t size)
{
    struct libxenvchan *v = libxenvchan_server_init(NULL, domid, path, size, size);
    must(v != NULL, "a server can be made");
    return v;
}

static struct libxenvchan *serve_client(void)
{
    struct libxenvchan *v = serve(PATH, RING);
    v->blocking = 0;
    v->server_persist = 0;
    __atomic_store_n(&v->ring->cli_live, 1, __ATOMIC_RELEASE);
    return v;
}

/* As the client: n bytes, each its own index. */
static void arrive(struct libxenvchan *v, uint32_t n)
{
    uint32_t prod = v->ring->left.prod;
    for (uint32_t i = 0; i < n; i++)
        ((uint8_t *)v->read.buffer)[(prod + i) % RING] = (uint8_t)(prod + i);
    __atomic_store_n(&v->ring->left.prod, prod + n, __ATOMIC_RELEASE);
}

/* ---- making ---- */

static void init_fails_whole(void)
{
    /* The simulator's connection is there by then; of two handles that a server needs the second cannot be opened. */
    xengntshr_handle *first = xengntshr_open(NULL, 0);
    int next = dup(STDERR_FILENO);
    const struct rlimit one = {(rlim_t)next + 1, (rlim_t)next + 1};
    must(first != NULL && next >= 0 && close(next) == 0, "there are descriptors");
    must(setrlimit(RLIMIT_NOFILE, &one) == 0, "the limit can be set");
    errno = 0;
    struct libxenvchan *v = libxenvchan_server_init(NULL, domid, PATH, RING, RING);
    must(v == NULL && errno == EMFILE, "a server without descriptors is refused with the reason");
}

static void flags_are_clear(void)
{
    struct libxenvchan *v = serve(PATH, RING);
    must(v->blocking == 0 && v->server_persist == 0, "the flags are 0 after init");
    libxenvchan_close(v);
}

static int exists(struct xs_handle *xs, const char *path)
{
    unsigned int len = 0;
    char *value = xs_read(xs, XBT_NULL, path, &len);
    if (value == NULL)
        return 0;
    free(value);
    return 1;
}

static void long_paths(void)
{
    struct xs_handle *xs = xs_open(0);
    struct libxenvchan *v = serve(LONG_PATH, RING);
    must(exists(xs, LONG_PATH "/ring-ref") && exists(xs, LONG_PATH "/event-channel"), "the numbers are at that path");
    libxenvchan_close(v);
    must(!exists(xs, LONG_PATH), "and are taken away");
    xs_close(xs);
}

static void others_nodes_stay(void)
{
    struct xs_handle *xs = xs_open(0);
    struct libxenvchan *v = serve(PATH, RING);
    must(xs_write(xs, XBT_NULL, PATH "/of-others", "x", 1), "a node can be written");
    libxenvchan_close(v);
    must(exists(xs, PATH "/of-others"), "what others put under the path stays");
    must(!exists(xs, PATH "/ring-ref") && !exists(xs, PATH "/event-channel"), "the numbers go");
    must(xs_rm(xs, XBT_NULL, PATH), "it can be removed");
    xs_close(xs);
}

static void successor_stays(void)
{
    struct xs_handle *xs = xs_open(0);
    struct libxenvchan *old = serve(PATH, RING), *new = serve(PATH, RING);
    libxenvchan_close(old);
    must(exists(xs, PATH "/ring-ref"), "a server that closes leaves what its successor published");
    libxenvchan_close(new);
    must(!exists(xs, PATH), "who takes it away");
    xs_close(xs);
}

static void no_transaction(void)
{
    struct xs_handle *xs = xs_open(0);
    /* Up to what the store lets a domain have under way. */
    while (xs_transaction_start(xs) != XBT_NULL)
        ;
    libxenvchan_close(serve(PATH, RING));
    xs_close(xs);
}

static void numbers_are_checked(void)
{
    struct xs_handle *xs = xs_open(0);
    struct libxenvchan *v = serve(PATH, RING);
    char port[32];
    (void)snprintf(port, sizeof(port), "%u and a half", v->event_port);
    must(xs_write(xs, XBT_NULL, PATH "/event-channel", port, (unsigned int)strlen(port)), "a node can be written");
    errno = 0;
    must(libxenvchan_client_init(NULL, domid, PATH) == NULL && errno == EINVAL, "what is no number is refused");
    xs_close(xs);
}

/* Whoever comes next must find it all where the header says. */
static void plain_page(void)
{
    struct libxenvchan *v = serve_client();
    const uint8_t *page = (const uint8_t *)v->ring;
    uint8_t byte;
    arrive(v, 3);
    must(libxenvchan_read(v, &byte, 1) == 1 && libxenvchan_write(v, "12", 2) == 2, "bytes go both ways");
    must(v->ring->left_order == 12 && v->ring->right_order == 12, "the orders stay");
    must(v->ring->left.cons == 1 && v->ring->right.prod == 2, "the indices are in their places");
    must(v->read.shr == &v->ring->left && v->write.shr == &v->ring->right, "the struct says where");
    for (size_t i = offsetof(struct vchan_interface, grants) + 2 * sizeof(uint32_t); i < 4096; i++)
        must(page[i] == 0, "and there is nothing else");
}

/* ---- the peer ---- */

static void bad_producer(void)
{
    struct libxenvchan *v = serve_client();
    char byte;
    v->ring->left.prod = RING + 1;
    must(libxenvchan_read(v, &byte, 1) == -1 && errno == EBADMSG, "an impossible producer is an error of read");
    must(libxenvchan_data_ready(v) == -1 && libxenvchan_recv(v, &byte, 1) == -1, "of data_ready and recv");
    must(libxenvchan_write(v, "x", 1) == -1, "and of everything after it");
    must(libxenvchan_is_open(v) == 0, "and the channel is not open");
}

static void bad_consumer(void)
{
    struct libxenvchan *v = serve_client();
    v->ring->right.cons = 1;
    must(libxenvchan_buffer_space(v) == -1 && errno == EBADMSG, "an impossible consumer is an error of buffer_space");
    must(libxenvchan_write(v, "x", 1) == -1 && libxenvchan_send(v, "x", 1) == -1, "of write and send");
}

static void own_index_is_ours(void)
{
    struct libxenvchan *v = serve_client();
    uint8_t bytes[5];
    arrive(v, 10);
    must(libxenvchan_recv(v, bytes, 5) == 5 && bytes[0] == 0, "bytes come");
    v->ring->left.cons = 0;
    must(libxenvchan_recv(v, bytes, 5) == 5 && bytes[0] == 5, "and none twice, whatever the client writes");
}

/* Clients, one after the other, that write a byte and close: at any moment of a read. */
static void *leave_at_once(void *ctx)
{
    struct libxenvchan *v = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        while (__atomic_load_n(&v->ring->cli_live, __ATOMIC_ACQUIRE) == 0)
            (void)sched_yield();
        for (int spin = i % 64; spin > 0; spin--)
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
        arrive(v, 1);
        __atomic_store_n(&v->ring->cli_live, 0, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void last_bytes(void)
{
    struct libxenvchan *v = serve_client();
    pthread_t clients;
    must(pthread_create(&clients, NULL, leave_at_once, v) == 0, "a thread can be made");
    for (int i = 0; i < ROUNDS; i++) {
        char byte;
        int n = 0;
        while (n == 0)
            n = libxenvchan_read(v, &byte, 1);
        must(n == 1, "the last byte comes before the end");
        while (n >= 0)
            n = libxenvchan_read(v, &byte, 1);
        __atomic_store_n(&v->ring->cli_live, 1, __ATOMIC_RELEASE);
    }
    must(pthread_join(clients, NULL) == 0, "the thread ends");
}

static void end_in_a_packet(void)
{
    struct libxenvchan *v = serve_client();
    char bytes[10];
    arrive(v, 4);
    v->ring->cli_live = 0;
    errno = 0;
    must(libxenvchan_recv(v, bytes, 10) == -1 && errno == ENODATA, "an end in the middle of a packet is told");
    must(libxenvchan_read(v, bytes, 10) == 4, "and its beginning can be read");
}

static void too_large(void)
{
    static char bytes[RING + 1];
    struct libxenvchan *v = serve_client();
    must(libxenvchan_send(v, bytes, RING + 1) == -1 && errno == EMSGSIZE, "a packet larger than the ring is refused");
    must(libxenvchan_recv(v, bytes, RING + 1) == -1 && errno == EMSGSIZE, "in either direction");
    must(libxenvchan_send(v, bytes, RING) == RING, "one that fits is not");
}

static void write_is_counted(void)
{
    struct libxenvchan *v = serve_client();
    v->ring->srv_notify = VCHAN_NOTIFY_WRITE;
    must(xenevtchn_unbind(v->event, v->event_port) == 0, "the port can be closed");
    must(libxenvchan_write(v, "12345", 5) == 5, "what is in the ring was written, though nobody could be notified");
    must(v->ring->right.prod == 5, "once");
    must(libxenvchan_write(v, "6", 1) == -1, "the next call says what happened");
}

static void ignore(int sig)
{
    (void)sig;
}

static void interrupted(void)
{
    static char bytes[RING + 100];
    struct libxenvchan *v = serve_client();
    /* Again and again: the first may come before it sleeps. */
    const struct itimerval often = {.it_interval = {.tv_usec = 20000}, .it_value = {.tv_usec = 20000}};
    struct sigaction action = {.sa_handler = ignore};
    must(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0, "a timer can be set");
    v->blocking = -1; /* a signed field of one bit */
    must(libxenvchan_write(v, bytes, RING + 100) == RING, "an interrupted write says what is in the ring");
    must(libxenvchan_write(v, bytes, 1) == -1 && errno == EINTR, "one that moved nothing that it was interrupted");
    must(libxenvchan_wait(v) == -1 && errno == EINTR, "and so does wait");
}

static const struct {
    const char *name, *theirs;
    void (*run)(void);
} cases[] = {
    {"init-fails-whole", "shown", init_fails_whole},
    {"flags-are-clear", "shown", flags_are_clear},
    {"long-paths", "shown", long_paths},
    {"others-nodes-stay", "shown", others_nodes_stay},
    {"successor-stays", "shown", successor_stays},
    {"no-transaction", "shown", no_transaction},
    {"numbers-are-checked", "alone", numbers_are_checked},
    {"plain-page", "alone", plain_page},
    {"bad-producer", "shown", bad_producer},
    {"bad-consumer", "shown", bad_consumer},
    {"own-index-is-ours", "shown", own_index_is_ours},
    {"last-bytes", "alone", last_bytes},
    {"end-in-a-packet", "shown", end_in_a_packet},
    {"too-large", "shown", too_large},
    {"write-is-counted", "shown", write_is_counted},
    {"interrupted", "shown", interrupted},
};

int main(int argc, char **argv)
{
    domid = argc > 2 ? atoi(argv[2]) : 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc == 1)
            (void)printf("%s %s\n", cases[i].name, cases[i].theirs);
        else if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return argc == 1 ? 0 : 2;
}
