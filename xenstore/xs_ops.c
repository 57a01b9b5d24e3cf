/* SPDX-License-Identifier: ISC */
/* The blocking xenstore client's requests. */
#include "xenstore/xs_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a big directory that changes under our eyes is begun again, and how big it may be. */
#define DIRECTORY_TRIES 16
#define DIRECTORY_MAX (64u << 20)

static int call_path(struct xids_xs *xs, struct xsb_reply *rep, uint32_t type, uint32_t tx, const char *path)
{
    struct xids_xswire_part part = xids_xswire_string(path);
    return xsb_call(xs, rep, type, tx, &part, 1);
}

static int simple(struct xids_xs *xs, uint32_t type, uint32_t tx, const char *path)
{
    struct xsb_reply rep = {.keep = false};
    return call_path(xs, &rep, type, tx, path);
}

/* ---- values ---- */

int xids_xs_read(struct xids_xs *xs, char **value, size_t *len, uint32_t tx, const char *path)
{
    struct xsb_reply rep = {.keep = true};
    int rc = call_path(xs, &rep, XS_READ, tx, path);
    if (rc < 0)
        return rc;
    *value = rep.data;
    if (len != NULL)
        *len = rep.len;
    return 0;
}

static int parse_number(uint64_t *number, const char *s, size_t len)
{
    uint64_t v = 0;
    if (len > 0 && s[len - 1] == '\0')
        len--;
    if (len == 0)
        return -XEN_EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -XEN_EINVAL;
    }
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return -XEN_ERANGE;
        v = v * 10 + digit;
    }
    *number = v;
    return 0;
}

int xids_xs_read_u64(struct xids_xs *xs, uint64_t *number, uint32_t tx, const char *path)
{
    char *value;
    size_t len;
    int rc = xids_xs_read(xs, &value, &len, tx, path);
    if (rc < 0)
        return rc;
    rc = parse_number(number, value, len);
    free(value);
    return rc;
}

int xids_xs_read_u32(struct xids_xs *xs, uint32_t *number, uint32_t tx, const char *path)
{
    uint64_t v;
    int rc = xids_xs_read_u64(xs, &v, tx, path);
    if (rc < 0)
        return rc;
    if (v > UINT32_MAX)
        return -XEN_ERANGE;
    *number = (uint32_t)v;
    return 0;
}

int xids_xs_write(struct xids_xs *xs, uint32_t tx, const char *path, const void *value, size_t len)
{
    struct xsb_reply rep = {.keep = false};
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {value, len}};
    return xsb_call(xs, &rep, XS_WRITE, tx, parts, 2);
}

int xids_xs_printf(struct xids_xs *xs, uint32_t tx, const char *path, const char *format, ...)
{
    char text[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0)
        return -XEN_EINVAL;
    if ((size_t)n >= sizeof(text))
        return -XEN_E2BIG;
    return xids_xs_write(xs, tx, path, text, (size_t)n);
}

int xids_xs_mkdir(struct xids_xs *xs, uint32_t tx, const char *path)
{
    return simple(xs, XS_MKDIR, tx, path);
}

int xids_xs_rm(struct xids_xs *xs, uint32_t tx, const char *path)
{
    return simple(xs, XS_RM, tx, path);
}

/* ---- directories ---- */

/* Turns a list of terminated names into one block: pointers, then the names. */
static int make_names(char ***names, unsigned int *count, const char *list, size_t len)
{
    if (len > 0 && list[len - 1] != '\0')
        return -XEN_EBADMSG;
    unsigned int n = xids_xswire_count(list, len);
    char **block = malloc((n + 1u) * sizeof(char *) + len);
    if (block == NULL)
        return -XEN_ENOMEM;
    char *at = (char *)(block + n + 1u);
    if (len > 0)
        memcpy(at, list, len);
    for (unsigned int i = 0; i < n; i++) {
        block[i] = at;
        at += strlen(at) + 1;
    }
    block[n] = NULL;
    *names = block;
    *count = n;
    return 0;
}

/* A directory as far as it was read in parts. */
struct parts {
    char *list;
    size_t len;
    char generation[24];
    bool whole;
};

/* Adds one part. -XEN_EAGAIN: the directory has changed since the first. */
static int add_part(struct parts *p, const char *payload, size_t len)
{
    struct xids_xswire_str generation;
    size_t rest;
    if (xids_xswire_split(&generation, 1, &rest, payload, len) != 1 || generation.len >= sizeof(p->generation))
        return -XEN_EBADMSG;
    if (p->len == 0)
        memcpy(p->generation, generation.s, generation.len + 1);
    else if (strcmp(p->generation, generation.s) != 0)
        return -XEN_EAGAIN;
    const char *names = payload + len - rest;
    if (rest == 0 || names[rest - 1] != '\0')
        return -XEN_EBADMSG;
    /* An empty name, which no node has, is the end. */
    if (rest == 1 || names[rest - 2] == '\0') {
        p->whole = true;
        rest--;
    }
    if (p->len + rest > DIRECTORY_MAX)
        return -XEN_E2BIG;
    if (rest > 0) {
        char *list = realloc(p->list, p->len + rest);
        if (list == NULL)
            return -XEN_ENOMEM;
        memcpy(list + p->len, names, rest);
        p->list = list;
        p->len += rest;
    }
    return 0;
}

static int read_parts(struct xids_xs *xs, struct parts *p, uint32_t tx, const char *path)
{
    while (!p->whole) {
        char offset[11];
        size_t digits = xids_xswire_format_decimal(offset, (uint32_t)p->len);
        const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {offset, digits + 1}};
        struct xsb_reply rep = {.keep = true};
        int rc = xsb_call(xs, &rep, XS_DIRECTORY_PART, tx, parts, 2);
        if (rc == 0)
            rc = add_part(p, rep.data, rep.len);
        free(rep.data);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int big_directory(struct xids_xs *xs, char ***names, unsigned int *count, uint32_t tx, const char *path)
{
    int rc = -XEN_EAGAIN;
    for (int i = 0; i < DIRECTORY_TRIES && rc == -XEN_EAGAIN; i++) {
        struct parts p = {.list = NULL};
        rc = read_parts(xs, &p, tx, path);
        if (rc == 0)
            rc = make_names(names, count, p.list, p.len);
        free(p.list);
    }
    return rc;
}

int xids_xs_directory(struct xids_xs *xs, char ***names, unsigned int *count, uint32_t tx, const char *path)
{
    struct xsb_reply rep = {.keep = true};
    int rc = call_path(xs, &rep, XS_DIRECTORY, tx, path);
    if (rc == -XEN_E2BIG)
        return big_directory(xs, names, count, tx, path);
    if (rc == 0)
        rc = make_names(names, count, rep.data, rep.len);
    free(rep.data);
    return rc;
}

/* ---- permissions ---- */

int xids_xs_get_perms(struct xids_xs *xs, struct xids_xs_perm **perms, unsigned int *count, uint32_t tx,
                      const char *path)
{
    struct xsb_reply rep = {.keep = true};
    int rc = call_path(xs, &rep, XS_GET_PERMS, tx, path);
    if (rc < 0)
        return rc;
    unsigned int n = xids_xswire_count(rep.data, rep.len);
    struct xids_xs_perm *list = malloc((n + 1u) * sizeof(*list));
    if (list == NULL)
        rc = -XEN_ENOMEM;
    else if (n == 0 || rep.data[rep.len - 1] != '\0')
        rc = -XEN_EBADMSG;
    const char *at = rep.data;
    for (unsigned int i = 0; i < n && rc == 0; i++) {
        size_t len = strlen(at);
        if (xids_xswire_perm_parse(&list[i], at, len) < 0)
            rc = -XEN_EBADMSG;
        at += len + 1;
    }
    free(rep.data);
    if (rc < 0) {
        free(list);
        return rc;
    }
    *perms = list;
    *count = n;
    return 0;
}

int xids_xs_set_perms(struct xids_xs *xs, uint32_t tx, const char *path, const struct xids_xs_perm *perms,
                      unsigned int count)
{
    char text[XIDS_XSWIRE_PAYLOAD_MAX + XIDS_XS_PERM_BYTES];
    size_t len = 0;
    if (count == 0)
        return -XEN_EINVAL;
    for (unsigned int i = 0; i < count; i++) {
        if (len > XIDS_XSWIRE_PAYLOAD_MAX)
            return -XEN_E2BIG;
        len += xids_xswire_perm_format(text + len, &perms[i]) + 1;
    }
    struct xsb_reply rep = {.keep = false};
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {text, len}};
    return xsb_call(xs, &rep, XS_SET_PERMS, tx, parts, 2);
}

/* ---- transactions ---- */

static int start(struct xids_xs *xs, uint32_t *tx)
{
    struct xsb_reply rep = {.keep = true};
    int rc = xsb_call(xs, &rep, XS_TRANSACTION_START, 0, NULL, 0);
    if (rc == 0 && (rep.len < 2 || rep.data[rep.len - 1] != '\0' ||
                    xids_xswire_decimal(tx, rep.data, rep.len - 1, UINT32_MAX) < 0 || *tx == 0))
        rc = -XEN_EBADMSG;
    free(rep.data);
    return rc;
}

static int end(struct xids_xs *xs, uint32_t tx, bool commit)
{
    return simple(xs, XS_TRANSACTION_END, tx, commit ? "T" : "F");
}

int xids_xs_transaction(struct xids_xs *xs, xids_xs_body_fn *body, void *ctx)
{
    int rc = -XEN_EAGAIN;
    for (unsigned int i = 0; i < XIDS_XS_TRIES && rc == -XEN_EAGAIN; i++) {
        uint32_t tx = 0;
        rc = start(xs, &tx);
        /* A conflict is the end's to report. */
        if (rc < 0)
            return rc;
        rc = body(xs, tx, ctx);
        int ended = end(xs, tx, rc == 0);
        if (rc == 0)
            rc = ended;
    }
    return rc;
}

/* ---- domains ---- */

static int call_numbers(struct xids_xs *xs, struct xsb_reply *rep, uint32_t type, const uint64_t *numbers,
                        unsigned int count)
{
    char text[3][21];
    struct xids_xswire_part parts[3];
    for (unsigned int i = 0; i < count; i++)
        parts[i] = (struct xids_xswire_part){text[i], xids_xswire_format_decimal64(text[i], numbers[i]) + 1};
    return xsb_call(xs, rep, type, 0, parts, count);
}

int xids_xs_own_domid(struct xids_xs *xs, domid_t *domid)
{
    uint32_t id;
    int rc = xids_xs_read_u32(xs, &id, XIDS_XS_NO_TX, "domid");
    if (rc < 0)
        return rc;
    if (id >= DOMID_FIRST_RESERVED)
        return -XEN_ERANGE;
    *domid = (domid_t)id;
    return 0;
}

int xids_xs_get_domain_path(struct xids_xs *xs, char **path, domid_t domid)
{
    struct xsb_reply rep = {.keep = true};
    const uint64_t id = domid;
    int rc = call_numbers(xs, &rep, XS_GET_DOMAIN_PATH, &id, 1);
    if (rc == 0)
        *path = rep.data;
    return rc;
}

int xids_xs_is_introduced(struct xids_xs *xs, domid_t domid)
{
    struct xsb_reply rep = {.keep = true};
    const uint64_t id = domid;
    int rc = call_numbers(xs, &rep, XS_IS_DOMAIN_INTRODUCED, &id, 1);
    if (rc < 0)
        return rc;
    rc = -XEN_EBADMSG;
    if (rep.data[0] == 'T' || rep.data[0] == 'F')
        rc = rep.data[0] == 'T';
    free(rep.data);
    return rc;
}

int xids_xs_introduce(struct xids_xs *xs, domid_t domid, uint64_t gfn, evtchn_port_t port)
{
    struct xsb_reply rep = {.keep = false};
    const uint64_t numbers[3] = {domid, gfn, port};
    return call_numbers(xs, &rep, XS_INTRODUCE, numbers, 3);
}

int xids_xs_release(struct xids_xs *xs, domid_t domid)
{
    struct xsb_reply rep = {.keep = false};
    const uint64_t id = domid;
    return call_numbers(xs, &rep, XS_RELEASE, &id, 1);
}
