/* SPDX-License-Identifier: ISC */
/*
 * usage: randomd_secrets RAM [plain] [end]
 *
 * A guest of a simulated machine that asks its entropy server for bytes, remembers all it got, and then searches the
 * machine's whole memory (the file RAM: every page that domains share) for any eight bytes in a row of it: while the
 * session goes on, when it has closed the channel and been offered another, or with "end" when the server has ended.
 * plain: it knows nothing of zeroing, as libxenvchan, and only the search after its end counts. Ends with 0 when
 * nothing was found, but for the seed before it was read: that is found, or the search is no search.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/randomd.h>
#include <xids/vchan.h>
#include <xids/xs.h>

#include "randomd/wire.h"

#define ANSWERS 400u
#define ANSWER 1000u
#define PATIENCE UINT64_C(20000000000)
#define SLOTS (1u << 20)

static struct xids_platform *platform;
static struct xids_xs *xs;
static struct xids_vchan *ch;
static uint64_t known[SLOTS];
static unsigned int known_count;
static const char *ram_path;

__attribute__((noreturn)) static void fail(const char *what, int rc)
{
    (void)fprintf(stderr, "randomd_secrets: %s: %s\n", what, strerror(-rc));
    exit(EXIT_FAILURE);
}

/* ---- what must not be found ---- */

static uint64_t *slot_of(uint64_t value)
{
    uint64_t at = (value * UINT64_C(0x9e3779b97f4a7c15)) >> 44;
    while (known[at] != 0 && known[at] != value)
        at = (at + 1) % SLOTS;
    return &known[at];
}

static void learn(const uint8_t *secret, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i++) {
        uint64_t value;
        memcpy(&value, secret + i, sizeof(value));
        uint64_t *slot = slot_of(value);
        known_count += *slot == 0;
        *slot = value;
    }
}

/* How many eight bytes in a row there are in the machine's memory. */
static unsigned long found(void)
{
    unsigned long n = 0;
    struct stat st;
    int fd = open(ram_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        fail(ram_path, -errno);
    size_t size = (size_t)st.st_size;
    const uint8_t *ram = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (ram == MAP_FAILED)
        fail(ram_path, -errno);
    (void)close(fd);
    /* What was never used is no part of the file, and so looked over fast. */
    for (size_t i = 0; i + 8 <= size; i++) {
        uint64_t value;
        memcpy(&value, ram + i, sizeof(value));
        if (value == 0)
            i += 7 - (i & 7);
        else if (*slot_of(value) != 0)
            n++;
    }
    (void)munmap((void *)(uintptr_t)ram, size);
    return n;
}

static void nothing(const char *when)
{
    unsigned long n = found();
    if (n == 0)
        return;
    (void)fprintf(stderr, "randomd_secrets: %lu of %u found %s\n", n, known_count, when);
    exit(EXIT_FAILURE);
}

/* ---- the channel ---- */

static uint32_t node(const char *backend, const char *name)
{
    char path[200];
    uint32_t number = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", backend, name);
    return xids_xs_read_u32(xs, &number, XIDS_XS_NO_TX, path) < 0 ? 0 : number;
}

static void sleep_until_event(void)
{
    int port;
    uint64_t deadline = platform->ops->now(platform->ctx) + PATIENCE;
    if (platform->ops->wait(platform->ctx, deadline) != 1)
        fail("no answer", -ETIMEDOUT);
    while ((port = platform->ops->evtchn_pending(platform->ctx)) > 0)
        if ((evtchn_port_t)port == xids_vchan_port(ch))
            (void)xids_vchan_event(ch);
}

/* Waits until so many bytes are there. False: the server has ended. */
static bool await(uint32_t len)
{
    for (;;) {
        int n = xids_vchan_readable(ch);
        if (n >= (int)len)
            return true;
        enum xids_vchan_state state = xids_vchan_state(ch);
        if (n < 0 || state == XIDS_VCHAN_CLOSED || state == XIDS_VCHAN_DRAINING)
            return false;
        int rc = xids_vchan_arm(ch, len, 0);
        if (rc == 0)
            sleep_until_event();
        else if (rc < 0)
            return false;
    }
}

static void take(uint8_t *to, uint32_t len)
{
    if (!await(len) || xids_vchan_recv(ch, to, len) != (int)len)
        fail("the server ended", -EPIPE);
}

static void send_whole(const uint8_t *m, uint32_t len)
{
    if (xids_vchan_send(ch, m, len) != (int)len || xids_vchan_flush(ch) < 0)
        fail("sending", -EPIPE);
}

/* ---- the protocol ---- */

static struct randomd_header answer(uint8_t body[XIDS_RANDOMD_GET_MAX])
{
    uint8_t head[XIDS_RANDOMD_HEADER];
    take(head, sizeof(head));
    struct randomd_header h = get_header(head);
    if (h.len < sizeof(head) || h.len > XIDS_RANDOMD_MESSAGE_MAX)
        fail("a message", -EBADMSG);
    take(body, h.len - (uint32_t)sizeof(head));
    return h;
}

static void talk(void)
{
    static uint8_t body[XIDS_RANDOMD_GET_MAX];
    uint8_t m[HELLO_LEN] = {0};
    const uint8_t XIDS_PEER *seed = NULL;
    /* The seed is there before anything was asked. */
    if (!await(SEED_LEN) || xids_vchan_peek(ch, &seed, SEED_LEN) < (int)SEED_LEN)
        fail("no seed", -ENODATA);
    xids_peer_get(body, seed, SEED_LEN);
    learn(body + 32, XIDS_RANDOMD_SEED_BYTES);
    if (found() < XIDS_RANDOMD_SEED_BYTES - 7u)
        fail("the search does not find what is there", -ENOENT);
    (void)answer(body);
    put_header(m, XIDS_RANDOMD_HELLO, HELLO_LEN, 1, 0);
    put16(m + 16, XIDS_RANDOMD_VERSION);
    put16(m + 18, XIDS_RANDOMD_VERSION);
    send_whole(m, HELLO_LEN);
    if (answer(body).type != XIDS_RANDOMD_WELCOME)
        fail("no welcome", -EBADMSG);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        put_header(m, XIDS_RANDOMD_GET, GET_LEN, i, 0);
        put32(m + 16, ANSWER);
        put32(m + 20, 0);
        send_whole(m, GET_LEN);
        struct randomd_header h = answer(body);
        if (h.type != XIDS_RANDOMD_DATA)
            fail("no data", -EBADMSG);
        learn(body, h.len - (size_t)XIDS_RANDOMD_HEADER);
    }
}

static void heed(int what)
{
    struct xids_xs_event event;
    if (what < 0 || xids_xs_next_event(xs, &event, 20000) != 1)
        fail("no other channel", what < 0 ? what : -ETIMEDOUT);
}

/* The page can be the same one, and the numbers too: that they are written again tells. */
static void leave(const char *backend)
{
    heed(xids_xs_watch(xs, backend, "backend")); /* the event that each watch begins with */
    xids_vchan_fini(ch);
    do
        heed(0);
    while (node(backend, "event-channel") == 0);
}

int main(int argc, char **argv)
{
    bool plain = false, end = false;
    char *backend = NULL;
    uint32_t server = 0;
    for (int i = 2; i < argc; i++) {
        plain = plain || strcmp(argv[i], "plain") == 0;
        end = end || strcmp(argv[i], "end") == 0;
    }
    if (argc < 2)
        return 2;
    ram_path = argv[1];
    int rc = xids_platform_xen_open(&platform, 0);
    if (rc == 0)
        rc = xids_xs_open(&xs, NULL);
    if (rc == 0)
        rc = xids_xs_read(xs, &backend, NULL, XIDS_XS_NO_TX, "device/randomd/0/backend");
    if (rc >= 0)
        rc = xids_xs_read_u32(xs, &server, XIDS_XS_NO_TX, "device/randomd/0/backend-id");
    ch = malloc(xids_vchan_size());
    if (rc < 0 || ch == NULL)
        fail("no server", rc);
    rc = xids_vchan_client_init(ch, platform, (domid_t)server, node(backend, "ring-ref"),
                                node(backend, "event-channel"), plain ? XIDS_VCHAN_PLAIN : XIDS_VCHAN_WIPE);
    if (rc < 0)
        fail("the channel", rc);
    talk();
    if (!plain)
        nothing("while the session goes on");
    (void)puts("served");
    (void)fflush(stdout);
    if (end) {
        (void)await(XIDS_RANDOMD_GET_MAX); /* which nobody has asked for */
        if (!plain)
            nothing("when the server has ended");
    }
    if (end) {
        xids_vchan_fini(ch);
    } else {
        leave(backend);
        nothing("when another channel was offered");
    }
    (void)printf("%u not found\n", known_count);
    free(backend);
    xids_xs_close(xs);
    xids_platform_xen_close(platform);
    free(ch);
    return EXIT_SUCCESS;
}
