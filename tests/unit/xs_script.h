/* SPDX-License-Identifier: ISC */
/*
 * A xenstore that follows a script, in a thread of its own, for tests of the blocking client: it expects requests in
 * order and answers each as it is told. A request that was not expected ends the connection.
 */
#ifndef TESTS_UNIT_XS_SCRIPT_H
#define TESTS_UNIT_XS_SCRIPT_H

#include "tests/unit/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xids/xs.h>

#define TEXT(s) (s), sizeof(s)      /* with its NUL */
#define BYTES(s) (s), sizeof(s) - 1 /* without */
#define OK TEXT("OK")
#define SILENT ((const char *)-1), 0 /* no answer; the next step's comes after it */

struct step {
    uint32_t type;       /* the request that is expected; 0: none, the answer is sent at once */
    const char *request; /* its payload, or NULL: any */
    size_t request_len;
    const char *answer; /* the payload of the answer */
    size_t answer_len;
    uint32_t answer_type; /* 0: as the request's */
    const char *event;    /* a path: an event at it with the last watch's token follows the answer */
};

struct script {
    const struct step *steps;
    unsigned int count;
    int fd;
    bool followed; /* to the end, without surprise */
    pthread_t thread;
    uint32_t silent_id;
    char token[32];
};

static inline bool script_read(int fd, void *to, size_t len)
{
    uint8_t *at = to;
    while (len > 0) {
        ssize_t n = read(fd, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline void script_send(int fd, uint32_t type, uint32_t req_id, const void *data, size_t len)
{
    static _Thread_local uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_part part = {data, len};
    int n = xids_xswire_build(out, sizeof(out), type, req_id, 0, &part, 1);
    if (n > 0)
        (void)!send(fd, out, (size_t)n, MSG_NOSIGNAL);
}

/* A step that closes the connection. */
#define HANG_UP                               \
    {                                         \
        XS_INVALID, NULL, 0, NULL, 0, 0, NULL \
    }

/* One step. False: the client did something else, or went. */
static inline bool script_step(struct script *s, const struct step *st)
{
    static _Thread_local char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    uint32_t header[4] = {0, 0, 0, 0};
    if (st->type == XS_INVALID)
        return shutdown(s->fd, SHUT_RDWR) == 0;
    if (st->type != 0) {
        if (!script_read(s->fd, header, sizeof(header)) || header[3] > XIDS_XSWIRE_PAYLOAD_MAX || header[3] == 0 ||
            !script_read(s->fd, payload, header[3]))
            return false;
        payload[header[3]] = '\0';
        if (header[0] != st->type)
            return false;
        if (st->request != NULL && (header[3] != st->request_len || memcmp(payload, st->request, st->request_len) != 0))
            return false;
        if (header[0] == XS_WATCH)
            snprintf(s->token, sizeof(s->token), "%.31s", payload + strlen(payload) + 1);
    }
    if (st->answer == (const char *)-1) {
        s->silent_id = header[1];
        return true;
    }
    if (st->answer != NULL)
        script_send(s->fd, st->answer_type != 0 ? st->answer_type : st->type, st->type != 0 ? header[1] : s->silent_id,
                    st->answer, st->answer_len);
    if (st->event != NULL) {
        int n = snprintf(payload, sizeof(payload), "%s%c%s", st->event, 0, s->token);
        script_send(s->fd, XS_WATCH_EVENT, 0, payload, (size_t)n + 1);
    }
    return true;
}

static inline void *script_main(void *arg)
{
    struct script *s = arg;
    unsigned int i = 0;
    while (i < s->count && script_step(s, &s->steps[i]))
        i++;
    char more;
    s->followed = i == s->count && read(s->fd, &more, 1) == 0;
    shutdown(s->fd, SHUT_RDWR);
    return NULL;
}

/* Starts the script at one end of a pair of sockets, and opens a client at the other. */
static inline void script_start(struct script *s, struct xids_xs **xs, const struct step *steps, unsigned int count)
{
    int pair[2];
    *s = (struct script){.steps = steps, .count = count};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->fd = pair[0];
    ck_assert_int_eq(xids_xs_attach(xs, pair[1]), 0);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, script_main, s), 0);
}

/* Closes the client, and checks that the script was followed. */
static inline void script_end(struct script *s, struct xids_xs *xs)
{
    xids_xs_close(xs);
    ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
    close(s->fd);
    ck_assert_msg(s->followed, "the client did not follow the script");
}

#define SCRIPT(...)                                   \
    static const struct step steps[] = {__VA_ARGS__}; \
    struct script script;                             \
    struct xids_xs *xs;                               \
    script_start(&script, &xs, steps, sizeof(steps) / sizeof(steps[0]))

#endif
