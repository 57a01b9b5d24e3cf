/* SPDX-License-Identifier: ISC */
/* Calls from another process: a connection each, one message there, one back. Both ends are this library. */
#include "xenstore/testing_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Seconds that a caller, who may have been stopped, can keep the store waiting. */
#define PATIENCE 10

/* A log and some more. */
#define TEXT_MAX (64u << 20)

struct call_head {
    uint32_t code;
    uint32_t a[10];
    uint32_t has_text;
    uint32_t len;
};

struct answer_head {
    int32_t rc;
    uint32_t len;
    uint64_t v[5];
};

static bool put(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool get(int fd, void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static int exchange(int fd, const struct tst_op *op, struct tst_result *result)
{
    struct call_head head = {.code = op->code, .has_text = op->has_text};
    struct answer_head answer;
    memcpy(head.a, op->a, sizeof(head.a));
    head.len = op->has_text ? (uint32_t)strlen(op->text) : 0;
    if (!put(fd, &head, sizeof(head)) || !put(fd, op->text, head.len) || !get(fd, &answer, sizeof(answer)))
        return -XEN_ENOTCONN;
    char *text = malloc((size_t)answer.len + 1);
    if (text == NULL)
        return -XEN_ENOMEM;
    bool whole = get(fd, text, answer.len);
    if (whole)
        tst_text_add(&result->text, text, answer.len);
    free(text);
    memcpy(result->v, answer.v, sizeof(result->v));
    return whole ? answer.rc : -XEN_ENOTCONN;
}

void tst_call(const char *path, const struct tst_op *op, struct tst_result *result)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        result->rc = -errno;
        return;
    }
    result->rc = -XEN_ENOTCONN;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        result->rc = exchange(fd, op, result);
    (void)close(fd);
}

static void answer(struct tst_core *core, int fd, const struct call_head *head, const char *text)
{
    struct tst_op op = {.code = head->code, .has_text = head->has_text != 0, .text = text};
    struct tst_result result = {0};
    memcpy(op.a, head->a, sizeof(op.a));
    tst_execute(core, &op, &result);
    struct answer_head out = {.rc = result.rc, .len = (uint32_t)result.text.len};
    if (result.text.failed) {
        out.rc = -XEN_ENOMEM;
        out.len = 0;
    }
    memcpy(out.v, result.v, sizeof(out.v));
    if (put(fd, &out, sizeof(out)))
        (void)put(fd, result.text.s, out.len);
    tst_text_free(&result.text);
}

void tst_answer_call(struct tst_core *core, int fd)
{
    const struct timeval patience = {.tv_sec = PATIENCE};
    struct call_head head;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (get(fd, &head, sizeof(head)) && head.len <= TEXT_MAX) {
        char *text = malloc((size_t)head.len + 1);
        if (text != NULL && get(fd, text, head.len)) {
            text[head.len] = '\0';
            answer(core, fd, &head, text);
        }
        free(text);
    }
    (void)close(fd);
}
