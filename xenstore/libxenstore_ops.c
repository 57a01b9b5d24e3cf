/* SPDX-License-Identifier: ISC */
/* libxenstore.so.4: the tree, transactions and permissions. */
#include "xenstore/libxenstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often a directory that changes while it is read in parts is begun again. */
#define DIRECTORY_TRIES 1000

static bool talk_path(struct xs_handle *h, char **data, uint32_t *len, uint32_t type, xs_transaction_t t,
                      const char *path)
{
    const struct xids_xswire_part part = xids_xswire_string(path);
    return lxs_talk(h, data, len, type, t, &part, 1);
}

/* ---- values ---- */

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    char *data;
    return talk_path(h, &data, len, XS_READ, t, path) ? data : NULL;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len)
{
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {data, len}};
    return lxs_talk(h, NULL, NULL, XS_WRITE, t, parts, 2);
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return talk_path(h, NULL, NULL, XS_MKDIR, t, path);
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return talk_path(h, NULL, NULL, XS_RM, t, path);
}

/* ---- directories ---- */

/* Names, each with its NUL, as the user gets them: pointers and text in one block. */
static char **make_names(const char *list, size_t len, unsigned int *num)
{
    unsigned int count = xids_xswire_count(list, len);
    if (len > 0 && list[len - 1] != '\0') {
        errno = EBADMSG;
        return NULL;
    }
    char **names = malloc((count + 1u) * sizeof(*names) + len);
    if (names == NULL)
        return NULL;
    char *at = (char *)(names + count + 1u);
    if (len > 0)
        memcpy(at, list, len);
    for (unsigned int i = 0; i < count; i++) {
        names[i] = at;
        at += strlen(at) + 1;
    }
    names[count] = NULL;
    *num = count;
    return names;
}

/* A directory as far as it was read in parts. */
struct parts {
    char *list;
    size_t len;
    char generation[24];
    bool whole;
};

/* Adds one part: a generation, then names; an empty name after the last. False: errno is set, EAGAIN: begin again. */
static bool add_part(struct parts *p, const char *data, size_t len)
{
    struct xids_xswire_str generation;
    size_t rest;
    bool first = p->len == 0;
    errno = EBADMSG;
    if (xids_xswire_split(&generation, 1, &rest, data, len) != 1 || generation.len >= sizeof(p->generation) ||
        rest == 0 || data[len - 1] != '\0')
        return false;
    if (!first && strcmp(p->generation, generation.s) != 0) {
        errno = EAGAIN;
        return false;
    }
    memcpy(p->generation, generation.s, generation.len + 1);
    const char *names = data + len - rest;
    if (rest == 1 || names[rest - 2] == '\0') {
        p->whole = true;
        rest--;
    }
    char *list = realloc(p->list, p->len + rest + 1u);
    if (list == NULL)
        return false;
    memcpy(list + p->len, names, rest);
    p->list = list;
    p->len += rest;
    errno = 0;
    return true;
}

static bool read_parts(struct xs_handle *h, struct parts *p, xs_transaction_t t, const char *path)
{
    while (!p->whole) {
        char offset[11];
        size_t digits = xids_xswire_format_decimal(offset, (uint32_t)p->len);
        const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {offset, digits + 1}};
        char *data;
        uint32_t len;
        if (!lxs_talk(h, &data, &len, XS_DIRECTORY_PART, t, parts, 2)) {
            /* A store that has no way to tell a directory of this size. */
            if (errno == ENOSYS)
                errno = E2BIG;
            return false;
        }
        bool good = add_part(p, data, len);
        int error = errno;
        free(data);
        errno = error;
        if (!good)
            return false;
    }
    return true;
}

static char **big_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    for (int i = 0; i < DIRECTORY_TRIES; i++) {
        struct parts p = {.list = NULL};
        bool good = read_parts(h, &p, t, path);
        int error = errno;
        char **names = good ? make_names(p.list, p.len, num) : NULL;
        free(p.list);
        if (good)
            return names;
        errno = error;
        if (error != EAGAIN)
            return NULL;
    }
    return NULL;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    char *data;
    uint32_t len;
    if (!talk_path(h, &data, &len, XS_DIRECTORY, t, path))
        return errno == E2BIG ? big_directory(h, t, path, num) : NULL;
    char **names = make_names(data, len, num);
    int error = errno;
    free(data);
    errno = error;
    return names;
}

/* ---- permissions ---- */

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings)
{
    static const char letters[] = "nrwb";
    const char *at = strings;
    for (unsigned int i = 0; i < num; i++) {
        const char *letter = *at != '\0' ? strchr(letters, *at) : NULL;
        char *end;
        if (letter == NULL || at[1] == '\0') {
            errno = EINVAL;
            return false;
        }
        perms[i].perms = (unsigned int)(letter - letters);
        perms[i].id = (unsigned int)strtol(at + 1, &end, 0);
        if (*end != '\0') {
            errno = EINVAL;
            return false;
        }
        at = end + 1;
    }
    return true;
}

struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    char *data;
    uint32_t len;
    if (!talk_path(h, &data, &len, XS_GET_PERMS, t, path))
        return NULL;
    unsigned int count = xids_xswire_count(data, len);
    struct xs_permissions *perms = malloc((count + 1u) * sizeof(*perms));
    if (perms != NULL && !xs_strings_to_perms(perms, count, data)) {
        free(perms);
        perms = NULL;
        errno = EINVAL;
    }
    int error = errno;
    free(data);
    errno = error;
    *num = count;
    return perms;
}

/* One permission on the wire, with its NUL, at text (of 13 bytes). Its length, or 0: errno is set. */
static size_t format_perm(char *text, const struct xs_permissions *perm)
{
    unsigned int access = perm->perms & ~(unsigned int)XS_PERM_IGNORE;
    if (access > (XS_PERM_READ | XS_PERM_WRITE)) {
        errno = EINVAL;
        return 0;
    }
    return (size_t)snprintf(text, 13, "%c%d", "nrwb"[access], (int)perm -> id) + 1u;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path, struct xs_permissions *perms,
                        unsigned int num_perms)
{
    char text[XIDS_XSWIRE_PAYLOAD_MAX + 13];
    size_t len = 0;
    for (unsigned int i = 0; i < num_perms; i++) {
        if (len > XIDS_XSWIRE_PAYLOAD_MAX) {
            errno = E2BIG;
            return false;
        }
        size_t n = format_perm(text + len, &perms[i]);
        if (n == 0)
            return false;
        len += n;
    }
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {text, len}};
    return lxs_talk(h, NULL, NULL, XS_SET_PERMS, t, parts, 2);
}

/* ---- transactions ---- */

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    char *data;
    if (!talk_path(h, &data, NULL, XS_TRANSACTION_START, XBT_NULL, ""))
        return XBT_NULL;
    xs_transaction_t t = (xs_transaction_t)strtoul(data, NULL, 0);
    free(data);
    return t;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    return talk_path(h, NULL, NULL, XS_TRANSACTION_END, t, abort ? "F" : "T");
}

/* ---- without a handle ---- */

bool xs_path_is_subpath(const char *parent, const char *child)
{
    size_t len = strlen(parent);
    return strncmp(parent, child, len) == 0 && (child[len] == '\0' || child[len] == '/');
}

bool xs_write_all(int fd, const void *data, unsigned int len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (unsigned int)n;
    }
    return true;
}
