/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "tests/unit/fake_source.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024u

const char *const fake_mode_names[FAKE_MODES] = {
    "fine",  "stuck", "biased", "dribble", "silent", "short", "long", "gone",
    "error", "busy",  "more",   "empty",   "cut",    "huge",  "tiny",
};

static enum fake_mode how;
static unsigned int asked; /* times */

int fake_source_make(enum fake_kind kind, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    unlink(path);
    if (kind == FAKE_PIPE)
        return mkfifo(path, 0600);
    if (strlen(path) >= sizeof(at.sun_path))
        return -1;
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 8) < 0)
        return -1;
    return fd;
}

static void nap_ms(long ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

/* Not random, but no two readings are alike, and no byte comes too often. */
static void make(uint8_t *to, size_t len)
{
    static uint64_t state;
    static unsigned int count;
    for (size_t i = 0; i < len; i++, count++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        to[i] = (uint8_t)(state >> 40);
        if (how == FAKE_STUCK || (how == FAKE_BIASED && count % 5 == 0))
            to[i] = 0x55;
    }
}

static bool put(int fd, const uint8_t *from, size_t len)
{
    size_t step = how == FAKE_DRIBBLE ? 1 : len;
    for (size_t at = 0; at < len; at += step) {
        if (how == FAKE_DRIBBLE)
            nap_ms(1);
        if (write(fd, from + at, step) != (ssize_t)step)
            return false;
    }
    return true;
}

static bool get(int fd, uint8_t *to, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = read(fd, to + have, len - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

/* An answer of len bytes at buf, which has room for MOST. False: hang up. */
static bool answer(int fd, uint8_t *buf, size_t len)
{
    if (how == FAKE_SILENT)
        return true;
    if (how == FAKE_SHORT) {
        (void)put(fd, buf, 3);
        return false;
    }
    if (how == FAKE_LONG) {
        make(buf + len, 5);
        len += 5;
    }
    return put(fd, buf, len);
}

static bool serve_egd(int fd)
{
    uint8_t request[2], buf[MOST];
    if (!get(fd, request, 2) || request[0] != 2)
        return false;
    make(buf, request[1]);
    return answer(fd, buf, request[1]);
}

static bool serve_tpm(int fd)
{
    static const uint8_t command[10] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b};
    uint8_t request[12], buf[MOST] = {0x80, 0x01};
    if (!get(fd, request, sizeof(request)) || memcmp(request, command, sizeof(command)) != 0)
        return false;
    size_t n = (size_t)request[10] << 8 | request[11];
    if (n > 64) /* what a TPM's longest digest is */
        n = 64;
    asked++;
    if (how == FAKE_MORE)
        n = 2 * n;
    if (how == FAKE_EMPTY)
        n = 0;
    size_t len = 12 + n;
    make(buf + 12, n);
    buf[11] = (uint8_t)n;
    if (how == FAKE_CUT)
        len -= 8;
    if (how == FAKE_ERROR || (how == FAKE_BUSY && asked % 3 != 0)) {
        buf[8] = how == FAKE_BUSY ? 0x09 : 0x01;
        buf[9] = how == FAKE_BUSY ? 0x22 : 0x01;
        len = 10;
    }
    buf[5] = how == FAKE_TINY ? 3 : (uint8_t)len;
    if (how == FAKE_HUGE)
        memset(buf + 2, 0xff, 4);
    return answer(fd, buf, len);
}

static bool serve_pipe(int fd)
{
    uint8_t buf[MOST];
    make(buf, 64);
    if (how == FAKE_SILENT)
        nap_ms(100);
    return answer(fd, buf, 64);
}

_Noreturn void fake_source_serve(enum fake_kind kind, int fd, const char *path, enum fake_mode mode)
{
    static bool (*const serve[])(int fd) = {serve_egd, serve_tpm, serve_pipe};
    how = mode;
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        /* A pipe's opening waits for a reader. */
        int peer = kind == FAKE_PIPE ? open(path, O_WRONLY | O_CLOEXEC) : accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (peer < 0)
            exit(EXIT_FAILURE);
        while (how != FAKE_GONE && serve[kind](peer))
            ;
        close(peer);
        if (kind == FAKE_PIPE)
            exit(EXIT_SUCCESS); /* opened again it would be the same pipe to its reader, without an end */
    }
}
