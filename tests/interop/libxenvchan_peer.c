/* SPDX-License-Identifier: ISC */
/*
 * A program of the real libxenvchan, for tests: one end of a channel.
 *
 *     libxenvchan_peer echo DOMID PATH SIZE       serves, sends back what comes, until the client goes: prints "closed"
 *     libxenvchan_peer send DOMID PATH COUNT      sends so many bytes, expects them back: prints "echoed COUNT"
 *     libxenvchan_peer packets DOMID PATH COUNT   the same with packets of sizes from 1 to 900 bytes
 *     libxenvchan_peer hold DOMID PATH 0          exchanges one byte, prints "connected", waits for its peer to go:
 *                                                 prints "closed"
 *     libxenvchan_peer serve-hold DOMID PATH SIZE the same as a server
 *
 * SIZE: of either ring in bytes. Anything unexpected ends it with status 1 and says so on stderr.
 */
#include <libxenvchan.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PACKET_MAX 900u

static int fail(const char *what)
{
    (void)fprintf(stderr, "libxenvchan_peer: %s\n", what);
    return EXIT_FAILURE;
}

static void say(const char *what)
{
    (void)printf("%s\n", what);
    (void)fflush(stdout);
}

/* The n-th byte of the stream. */
static uint8_t byte_at(unsigned long n)
{
    return (uint8_t)((n * 2654435761u) >> 13);
}

static struct libxenvchan *serve(int domid, const char *path, size_t size)
{
    struct libxenvchan *v = libxenvchan_server_init(NULL, domid, path, size, size);
    if (v != NULL)
        v->blocking = -1; /* a signed field of one bit, which libxenvchan leaves as malloc gave it */
    return v;
}

static struct libxenvchan *join(int domid, const char *path)
{
    for (int i = 0; i < 200; i++) {
        struct libxenvchan *v = libxenvchan_client_init(NULL, domid, path);
        if (v != NULL) {
            v->blocking = -1;
            return v;
        }
        (void)usleep(50 * 1000);
    }
    return NULL;
}

static int echo(struct libxenvchan *v)
{
    static char buffer[65536];
    for (;;) {
        int n = libxenvchan_read(v, buffer, sizeof(buffer));
        if (n < 0)
            break;
        for (int done = 0; done < n;) {
            int sent = libxenvchan_write(v, buffer + done, (size_t)(n - done));
            if (sent < 0)
                return fail("the client went before its bytes came back");
            done += sent;
        }
    }
    say("closed");
    return EXIT_SUCCESS;
}

static int send_stream(struct libxenvchan *v, unsigned long count)
{
    uint8_t buffer[3000];
    unsigned long sent = 0, got = 0;
    v->blocking = 0;
    while (got < count) {
        int moved = 0, n;
        if (sent < count) {
            size_t len = count - sent < sizeof(buffer) ? count - sent : sizeof(buffer);
            for (size_t i = 0; i < len; i++)
                buffer[i] = byte_at(sent + i);
            n = libxenvchan_write(v, buffer, len);
            if (n < 0)
                return fail("writing");
            sent += (unsigned long)n;
            moved += n;
        }
        n = libxenvchan_read(v, buffer, sizeof(buffer));
        if (n < 0)
            return fail("reading");
        for (int i = 0; i < n; i++)
            if (buffer[i] != byte_at(got + (unsigned long)i))
                return fail("a byte came back wrong");
        got += (unsigned long)n;
        if (moved + n == 0 && libxenvchan_wait(v) < 0)
            return fail("waiting");
    }
    (void)printf("echoed %lu\n", got);
    return EXIT_SUCCESS;
}

static int send_packets(struct libxenvchan *v, unsigned long count)
{
    uint8_t out[PACKET_MAX], in[PACKET_MAX];
    for (unsigned long i = 0; i < count; i++) {
        size_t len = i * 37 % PACKET_MAX + 1;
        for (size_t k = 0; k < len; k++)
            out[k] = byte_at(i + k);
        if (libxenvchan_send(v, out, len) != (int)len)
            return fail("sending a packet");
        if (libxenvchan_recv(v, in, len) != (int)len || memcmp(in, out, len) != 0)
            return fail("a packet came back wrong");
    }
    (void)printf("echoed %lu\n", count);
    return EXIT_SUCCESS;
}

static int hold(struct libxenvchan *v, int first)
{
    char byte = 'x';
    if ((first && libxenvchan_write(v, &byte, 1) != 1) || libxenvchan_read(v, &byte, 1) != 1 ||
        (!first && libxenvchan_write(v, &byte, 1) != 1))
        return fail("exchanging a byte");
    say("connected");
    if (libxenvchan_read(v, &byte, 1) >= 0)
        return fail("a byte came that nobody sent");
    say("closed");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fail("usage: libxenvchan_peer echo|send|packets|hold|serve-hold DOMID PATH NUMBER");
    const char *what = argv[1];
    int domid = atoi(argv[2]);
    unsigned long number = strtoul(argv[4], NULL, 10);
    int server = strcmp(what, "echo") == 0 || strcmp(what, "serve-hold") == 0;
    struct libxenvchan *v = server ? serve(domid, argv[3], number) : join(domid, argv[3]);
    if (v == NULL)
        return fail(server ? "the server could not begin" : "the client could not connect");
    int status = strcmp(what, "echo") == 0      ? echo(v)
                 : strcmp(what, "send") == 0    ? send_stream(v, number)
                 : strcmp(what, "packets") == 0 ? send_packets(v, number)
                                                : hold(v, !server);
    libxenvchan_close(v);
    return status;
}
