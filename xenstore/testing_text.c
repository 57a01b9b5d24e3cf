/* SPDX-License-Identifier: ISC */
/* Trees as text: quoting, reading and comparing. */
#include "xenstore/testing_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts that grow ---- */

void tst_text_add(struct tst_text *t, const char *s, size_t len)
{
    if (t->failed)
        return;
    if (t->cap - t->len <= len) {
        size_t cap = t->cap == 0 ? 256 : t->cap;
        while (cap - t->len <= len)
            cap *= 2;
        char *grown = realloc(t->s, cap);
        if (grown == NULL) {
            t->failed = true;
            return;
        }
        t->s = grown;
        t->cap = cap;
    }
    if (len > 0)
        memcpy(t->s + t->len, s, len);
    t->len += len;
    t->s[t->len] = '\0';
}

void tst_text_str(struct tst_text *t, const char *s)
{
    tst_text_add(t, s, strlen(s));
}

void tst_text_printf(struct tst_text *t, const char *format, ...)
{
    char buf[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(buf, sizeof(buf), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(buf))
        t->failed = true;
    else
        tst_text_add(t, buf, (size_t)n);
}

static bool printable(char c)
{
    return c >= ' ' && c <= '~';
}

static void add_escaped(struct tst_text *t, char c)
{
    static const char from[] = "\n\r\t\"\\", to[] = "nrt\"\\";
    const char *at = c != '\0' ? strchr(from, c) : NULL;
    if (at != NULL)
        tst_text_printf(t, "\\%c", to[at - from]);
    else if (printable(c))
        tst_text_add(t, &c, 1);
    else
        tst_text_printf(t, "\\x%02x", (unsigned int)(unsigned char)c);
}

void tst_text_quoted(struct tst_text *t, const char *s, size_t len)
{
    tst_text_str(t, "\"");
    for (size_t i = 0; i < len; i++)
        add_escaped(t, s[i]);
    tst_text_str(t, "\"");
}

void tst_text_word(struct tst_text *t, const char *s, size_t len)
{
    bool plain = len > 0;
    for (size_t i = 0; i < len; i++)
        plain = plain && printable(s[i]) && s[i] != ' ' && s[i] != '"' && s[i] != '\\';
    if (plain)
        tst_text_add(t, s, len);
    else
        tst_text_quoted(t, s, len);
}

void tst_text_free(struct tst_text *t)
{
    free(t->s);
    *t = (struct tst_text){0};
}

int tst_text_take(struct tst_text *t, char **s)
{
    tst_text_add(t, "", 0);
    if (t->failed) {
        tst_text_free(t);
        return -XEN_ENOMEM;
    }
    *s = t->s;
    *t = (struct tst_text){0};
    return 0;
}

/* ---- reading a line ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of a quoted value: the characters that it takes up, 0 when it is wrong. */
static size_t unescape(char *out, const char *s, const char *end)
{
    static const char from[] = "nrt\"\\", to[] = "\n\r\t\"\\";
    if (*s != '\\') {
        *out = *s;
        return 1;
    }
    if (end - s < 2)
        return 0;
    if (s[1] == 'x') {
        if (end - s < 4 || hex_digit(s[2]) < 0 || hex_digit(s[3]) < 0)
            return 0;
        *out = (char)(hex_digit(s[2]) * 16 + hex_digit(s[3]));
        return 4;
    }
    const char *at = s[1] != '\0' ? strchr(from, s[1]) : NULL;
    if (at == NULL)
        return 0;
    *out = to[at - from];
    return 2;
}

static bool perms_are_good(const char *s, size_t len)
{
    struct xids_xs_perm perm;
    for (;;) {
        const char *comma = memchr(s, ',', len);
        size_t n = comma != NULL ? (size_t)(comma - s) : len;
        if (xids_xswire_perm_parse(&perm, s, n) < 0)
            return false;
        if (comma == NULL)
            return true;
        s += n + 1;
        len -= n + 1;
    }
}

/* path = "value" (perms), without spaces at its ends. */
static int parse_line(struct tst_line *l, const char *s, size_t len)
{
    const char *end = s + len;
    const char *eq = memchr(s, ' ', len);
    l->raw = s;
    l->raw_len = len;
    l->path = malloc(2 * len + 2);
    if (l->path == NULL)
        return -XEN_ENOMEM;
    l->path_len = eq != NULL ? (size_t)(eq - s) : 0;
    if (eq == NULL || end - eq < 4 || memcmp(eq, " = ", 3) != 0 || xids_xswire_path_check(s, l->path_len) < 0 ||
        (s[0] != '/' && s[0] != '@'))
        return -XEN_EINVAL;
    memcpy(l->path, s, l->path_len);
    l->path[l->path_len] = '\0';
    l->value = l->path + l->path_len + 1;
    s = eq + 3;
    if (*s == '*') {
        l->any = true;
        s++;
    } else if (*s++ == '"') {
        while (s < end && *s != '"') {
            size_t n = unescape(&l->value[l->value_len++], s, end);
            if (n == 0)
                return -XEN_EINVAL;
            s += n;
        }
        if (s == end)
            return -XEN_EINVAL;
        s++;
    } else {
        return -XEN_EINVAL;
    }
    if (s == end)
        return 0;
    if (end - s < 5 || s[0] != ' ' || s[1] != '(' || end[-1] != ')')
        return -XEN_EINVAL;
    l->perms = s + 2;
    l->perms_len = (size_t)(end - s) - 3;
    return perms_are_good(l->perms, l->perms_len) ? 0 : -XEN_EINVAL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

int tst_lines_parse(struct tst_lines *lines, const char *text, unsigned int *bad)
{
    unsigned int number = 0;
    *lines = (struct tst_lines){0};
    for (const char *s = text, *next; *s != '\0'; s = next) {
        const char *end = strchr(s, '\n');
        number++;
        next = end != NULL ? end + 1 : s + strlen(s);
        end = end != NULL ? end : next;
        while (s < end && is_space(*s))
            s++;
        while (end > s && is_space(end[-1]))
            end--;
        if (s == end || *s == '#')
            continue;
        if (lines->n == lines->cap) {
            size_t cap = lines->cap == 0 ? 64 : lines->cap * 2;
            struct tst_line *v = realloc(lines->v, cap * sizeof(*v));
            if (v == NULL) {
                tst_lines_free(lines);
                return -XEN_ENOMEM;
            }
            lines->v = v;
            lines->cap = cap;
        }
        struct tst_line *l = &lines->v[lines->n++];
        *l = (struct tst_line){.number = number};
        int rc = parse_line(l, s, (size_t)(end - s));
        if (rc < 0) {
            if (bad != NULL)
                *bad = number;
            tst_lines_free(lines);
            return rc;
        }
    }
    return 0;
}

void tst_lines_free(struct tst_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        free(lines->v[i].path);
    free(lines->v);
    *lines = (struct tst_lines){0};
}

/* ---- comparing ---- */

/* Below its parent and before its younger siblings: / counts as the smallest character. */
static int by_path(const void *a, const void *b)
{
    const struct tst_line *x = a, *y = b;
    const unsigned char *s = (const unsigned char *)x->path, *t = (const unsigned char *)y->path;
    while (*s == *t && *s != '\0') {
        s++;
        t++;
    }
    int cs = *s == '/' ? 1 : *s, ct = *t == '/' ? 1 : *t;
    if (cs != ct)
        return cs < ct ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool same(const struct tst_line *want, const struct tst_line *have, unsigned int flags)
{
    if (!want->any && (want->value_len != have->value_len || memcmp(want->value, have->value, have->value_len) != 0))
        return false;
    if (want->perms == NULL || have->perms == NULL || (flags & XIDS_TEST_STORE_NO_PERMS) != 0)
        return true;
    return want->perms_len == have->perms_len && memcmp(want->perms, have->perms, have->perms_len) == 0;
}

static void say(struct tst_text *out, const char *mark, const struct tst_line *l)
{
    tst_text_str(out, mark);
    tst_text_add(out, l->raw, l->raw_len);
    tst_text_str(out, "\n");
}

/* Both sorted by path. */
static void differ(struct tst_text *out, const struct tst_lines *want, const struct tst_lines *have, unsigned int flags)
{
    size_t i = 0, j = 0;
    while (i < want->n || j < have->n) {
        const struct tst_line *w = i < want->n ? &want->v[i] : NULL, *h = j < have->n ? &have->v[j] : NULL;
        int order = w == NULL ? 1 : -1;
        if (w != NULL && h != NULL)
            order = strcmp(w->path, h->path) == 0 ? 0 : by_path(w, h);
        bool equal = w != NULL && h != NULL && order == 0 && same(w, h, flags);
        if (w != NULL && order <= 0 && !equal)
            say(out, "- ", w);
        if (h != NULL && order >= 0 && !equal)
            say(out, "+ ", h);
        i += order <= 0;
        j += order >= 0;
    }
}

static void sort(struct tst_lines *lines)
{
    if (lines->n > 0)
        qsort(lines->v, lines->n, sizeof(lines->v[0]), by_path);
}

static int by_number(const void *a, const void *b)
{
    const struct tst_line *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* The same nodes in both, but perhaps not in the same order: says the first that is elsewhere. */
static void differ_in_order(struct tst_text *out, struct tst_lines *want, struct tst_lines *have)
{
    if (want->n > 0)
        qsort(want->v, want->n, sizeof(want->v[0]), by_number);
    if (have->n > 0)
        qsort(have->v, have->n, sizeof(have->v[0]), by_number);
    for (size_t i = 0; i < want->n && i < have->n; i++) {
        if (strcmp(want->v[i].path, have->v[i].path) == 0)
            continue;
        tst_text_str(out, "the order is another, first here:\n");
        say(out, "- ", &want->v[i]);
        say(out, "+ ", &have->v[i]);
        return;
    }
}

int tst_compare(char **difference, const char *expected, const char *found, unsigned int flags)
{
    struct tst_lines want = {0}, have = {0};
    struct tst_text out = {0};
    *difference = NULL;
    int rc = tst_lines_parse(&want, expected, NULL);
    if (rc == 0)
        rc = tst_lines_parse(&have, found, NULL);
    if (rc == 0) {
        sort(&want);
        sort(&have);
        differ(&out, &want, &have, flags);
        if (out.len == 0 && (flags & XIDS_TEST_STORE_BY_AGE) != 0)
            differ_in_order(&out, &want, &have);
        if (out.failed || out.len > 0)
            rc = tst_text_take(&out, difference) < 0 ? -XEN_ENOMEM : 1;
    }
    tst_lines_free(&want);
    tst_lines_free(&have);
    return rc;
}

int tst_unexpected(struct tst_text *report, const char *expected, const char *found)
{
    struct tst_lines want = {0}, have = {0};
    int rc = tst_lines_parse(&want, expected, NULL);
    if (rc == 0)
        rc = tst_lines_parse(&have, found, NULL);
    if (rc == 0) {
        sort(&want);
        sort(&have);
        size_t i = 0;
        for (size_t j = 0; j < have.n; j++) {
            while (i < want.n && strcmp(want.v[i].path, have.v[j].path) != 0 && by_path(&want.v[i], &have.v[j]) < 0)
                i++;
            if (i < want.n && strcmp(want.v[i].path, have.v[j].path) == 0)
                continue;
            say(report, "node ", &have.v[j]);
            rc++;
        }
    }
    tst_lines_free(&want);
    tst_lines_free(&have);
    return rc;
}
