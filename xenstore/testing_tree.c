/* SPDX-License-Identifier: ISC */
/* The harness's own requests, over the wire like anybody's: a tree out, a tree in. */
#include "xenstore/testing_impl.h"

#include <stdlib.h>
#include <string.h>

/* How often the server may say that it has nothing left to do, and still owe an answer. */
#define PATIENCE 1000

/* ---- requests ---- */

/* Takes the answer, if it is there: 1, with its payload in answer; 0; or its error. */
static int take_answer(struct tst_core *core, struct tst_text *answer)
{
    const void *bytes;
    struct xids_xswire_msg msg;
    size_t len = xids_xs_server_output(core->own, &bytes);
    int n = xids_xswire_peek(&msg, bytes, len);
    if (n <= 0)
        return n;
    int rc = msg.type == XS_ERROR ? xids_xswire_error_number(msg.payload, msg.len) : 1;
    answer->len = 0;
    tst_text_add(answer, msg.payload, msg.len);
    xids_xs_server_sent(core->own, (size_t)n);
    return answer->failed ? -XEN_ENOMEM : rc;
}

static int ask(struct tst_core *core, struct tst_text *answer, uint32_t type, const struct xids_xswire_part *parts,
               unsigned int count)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    int len = xids_xswire_build(out, sizeof(out), type, 0, 0, parts, count);
    if (len < 0)
        return len;
    unsigned int idle = 0;
    for (size_t at = 0; idle < PATIENCE;) {
        if (at < (size_t)len) {
            size_t used;
            int rc = xids_xs_server_input(core->own, &used, out + at, (size_t)len - at);
            if (rc < 0)
                return rc;
            at += used;
        }
        int rc = take_answer(core, answer);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        if (!xids_xs_server_idle(core->server, 1000))
            idle++;
    }
    return -XEN_EIO;
}

int tst_ask_ok(struct tst_core *core, uint32_t type, const char *payload, size_t len)
{
    const struct xids_xswire_part part = {payload, len};
    struct tst_text answer = {0};
    int rc = ask(core, &answer, type, &part, 1);
    tst_text_free(&answer);
    return rc;
}

/* ---- out ---- */

/* The names of a node's children, each with its NUL, in the order of creation. */
static int list(struct tst_core *core, struct tst_text *names, const char *path)
{
    struct tst_text answer = {0};
    int rc = 0;
    for (bool last = false; rc == 0 && !last;) {
        char offset[21];
        (void)xids_xswire_format_decimal64(offset, names->len);
        const struct xids_xswire_part parts[] = {xids_xswire_string(path), xids_xswire_string(offset)};
        rc = ask(core, &answer, XS_DIRECTORY_PART, parts, 2);
        if (rc < 0)
            break;
        size_t skip = strlen(answer.s) + 1; /* the generation; nothing changes it here */
        if (answer.len <= skip) {
            rc = -XEN_EBADMSG;
            break;
        }
        last = answer.s[answer.len - 1] == '\0' && answer.s[answer.len - 2] == '\0';
        tst_text_add(names, answer.s + skip, answer.len - skip - (last ? 1u : 0u));
    }
    tst_text_free(&answer);
    return rc == 0 && names->failed ? -XEN_ENOMEM : rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int line(struct tst_core *core, struct tst_text *out, const char *path, unsigned int flags)
{
    const struct xids_xswire_part part = xids_xswire_string(path);
    struct tst_text answer = {0};
    int rc = ask(core, &answer, XS_READ, &part, 1);
    if (rc == 0) {
        tst_text_str(out, path);
        tst_text_str(out, " = ");
        tst_text_quoted(out, answer.s, answer.len);
        if ((flags & XIDS_TEST_STORE_NO_PERMS) == 0)
            rc = ask(core, &answer, XS_GET_PERMS, &part, 1);
    }
    if (rc == 0 && (flags & XIDS_TEST_STORE_NO_PERMS) == 0) {
        for (size_t i = 0; i + 1 < answer.len; i++) {
            if (answer.s[i] == '\0')
                answer.s[i] = ',';
        }
        tst_text_str(out, " (");
        tst_text_str(out, answer.s);
        tst_text_str(out, ")");
    }
    tst_text_str(out, "\n");
    tst_text_free(&answer);
    return rc;
}

static int below(struct tst_core *core, struct tst_text *out, struct tst_text *path, unsigned int flags);

static int children(struct tst_core *core, struct tst_text *out, struct tst_text *path, const struct tst_text *names,
                    unsigned int flags)
{
    size_t count = 0, len = path->len;
    for (size_t i = 0; i < names->len; i++)
        count += names->s[i] == '\0';
    const char **sorted = malloc((count + 1) * sizeof(*sorted));
    if (sorted == NULL)
        return -XEN_ENOMEM;
    const char *name = names->s;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = name;
        name += strlen(name) + 1;
    }
    if ((flags & XIDS_TEST_STORE_BY_AGE) == 0)
        qsort(sorted, count, sizeof(*sorted), by_name);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        path->len = len;
        if (len > 1)
            tst_text_str(path, "/");
        tst_text_str(path, sorted[i]);
        rc = path->failed ? -XEN_ENOMEM : below(core, out, path, flags);
    }
    free(sorted);
    return rc;
}

/* The node at path and what is below it. Goes as deep as a path can be. */
static int below(struct tst_core *core, struct tst_text *out, struct tst_text *path, unsigned int flags)
{
    struct tst_text names = {0};
    int rc = line(core, out, path->s, flags);
    if (rc == 0)
        rc = list(core, &names, path->s);
    if (rc == 0 && names.len > 0)
        rc = children(core, out, path, &names, flags);
    tst_text_free(&names);
    return rc;
}

int tst_dump(struct tst_core *core, struct tst_text *out, const char *path, unsigned int flags)
{
    struct tst_text at = {0};
    tst_text_str(&at, path != NULL ? path : "/");
    int rc = at.failed ? -XEN_ENOMEM : below(core, out, &at, flags);
    tst_text_free(&at);
    return rc;
}

/* ---- in ---- */

static int load_line(struct tst_core *core, const struct tst_line *l)
{
    struct tst_text payload = {0};
    int rc = 0;
    tst_text_add(&payload, l->path, l->path_len + 1);
    tst_text_add(&payload, l->value, l->value_len);
    if (rc == 0 && !payload.failed && l->path[0] == '/')
        rc = tst_ask_ok(core, XS_WRITE, payload.s, payload.len);
    if (rc == 0 && !payload.failed && l->perms != NULL) {
        payload.len = l->path_len + 1;
        tst_text_add(&payload, l->perms, l->perms_len);
        tst_text_add(&payload, "", 1);
        for (size_t i = l->path_len + 1; !payload.failed && i < payload.len; i++) {
            if (payload.s[i] == ',')
                payload.s[i] = '\0';
        }
        if (!payload.failed)
            rc = tst_ask_ok(core, XS_SET_PERMS, payload.s, payload.len);
    }
    if (payload.failed)
        rc = -XEN_ENOMEM;
    tst_text_free(&payload);
    return rc;
}

int tst_load(struct tst_core *core, unsigned int *line_number, const char *text)
{
    struct tst_lines lines;
    int rc = tst_lines_parse(&lines, text, line_number);
    for (size_t i = 0; rc == 0 && i < lines.n; i++) {
        *line_number = lines.v[i].number;
        if (lines.v[i].any)
            rc = -XEN_EINVAL; /* for comparing only */
    }
    for (size_t i = 0; rc == 0 && i < lines.n; i++) {
        *line_number = lines.v[i].number;
        rc = load_line(core, &lines.v[i]);
    }
    tst_lines_free(&lines);
    return rc;
}
