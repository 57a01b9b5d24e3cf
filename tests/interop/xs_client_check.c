/* SPDX-License-Identifier: ISC */
/*
 * Our xenstore client against whatever xenstored serves this domain: xs_client_check BASE CHILDREN uses the nodes below
 * BASE, which may be relative, and removes them; one of them gets so many children. Exits with 0, or names the first
 * thing that went wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/xs.h>

#define EXPECT(what)                                                           \
    do {                                                                       \
        if (!(what)) {                                                         \
            printf("line %d: %s (%s)\n", __LINE__, #what, xids_xs_reason(xs)); \
            return EXIT_FAILURE;                                               \
        }                                                                      \
    } while (0)

static char buffers[4][512];
static unsigned int children;

/* A node below the base; the last four results are valid. */
static const char *at(const char *base, const char *name)
{
    static unsigned int turn;
    char *path = buffers[turn++ % 4];
    snprintf(path, sizeof(buffers[0]), "%s/%s", base, name);
    return path;
}

struct work {
    const char *base;
    struct xids_xs *other;
    int runs;
};

/* Adds one to a counter; another connection does so in between, the first time. */
static int increment(struct xids_xs *xs, uint32_t tx, void *ctx)
{
    struct work *w = ctx;
    uint32_t n;
    int rc = xids_xs_read_u32(xs, &n, tx, at(w->base, "counter"));
    if (rc == 0 && w->runs++ == 0)
        rc = xids_xs_printf(w->other, XIDS_XS_NO_TX, at(w->base, "counter"), "%u", n + 1);
    return rc != 0 ? rc : xids_xs_printf(xs, tx, at(w->base, "counter"), "%u", n + 1);
}

static int check_values(struct xids_xs *xs, const char *base)
{
    static char big[1900];
    char *value;
    size_t len;
    memset(big, 'b', sizeof(big));
    EXPECT(xids_xs_write(xs, 0, at(base, "big"), big, sizeof(big)) == 0);
    EXPECT(xids_xs_read(xs, &value, &len, 0, at(base, "big")) == 0);
    EXPECT(len == sizeof(big) && memcmp(value, big, len) == 0);
    free(value);
    EXPECT(xids_xs_write(xs, 0, at(base, "empty"), NULL, 0) == 0);
    EXPECT(xids_xs_read(xs, &value, &len, 0, at(base, "empty")) == 0 && len == 0);
    free(value);
    EXPECT(xids_xs_read(xs, &value, NULL, 0, at(base, "none")) == -XEN_ENOENT);
    struct xids_xs_perm *perms;
    unsigned int count;
    EXPECT(xids_xs_get_perms(xs, &perms, &count, 0, at(base, "big")) == 0 && count >= 1);
    EXPECT(xids_xs_set_perms(xs, 0, at(base, "big"), perms, count) == 0);
    free(perms);
    return 0;
}

static void count_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    *(unsigned int *)ctx += rc == 0;
}

/* Many requests under way at once, and a directory that does not fit in one message. */
static int check_directory(struct xids_xs *xs, const char *base)
{
    char name[64], **names;
    unsigned int count, replies = 0;
    for (unsigned int i = 0; i < children; i++) {
        snprintf(name, sizeof(name), "dir/a-name-of-some-length-%u", i);
        EXPECT(xids_xs_client_mkdir(xids_xs_client(xs), 0, at(base, name), count_reply, &replies) == 0);
    }
    EXPECT(xids_xs_mkdir(xs, 0, at(base, "dir")) == 0);
    EXPECT(replies == children);
    EXPECT(xids_xs_directory(xs, &names, &count, 0, at(base, "dir")) == 0);
    EXPECT(count == children);
    free(names);
    return 0;
}

static int check_watch(struct xids_xs *xs, struct xids_xs *other, const char *base)
{
    static const char token[] = "token";
    struct xids_xs_event e;
    char path[512];
    snprintf(path, sizeof(path), "%s/watched", base);
    EXPECT(xids_xs_watch(xs, path, token) == 0);
    EXPECT(xids_xs_next_event(xs, &e, 20000) == 1 && strcmp(e.path, path) == 0 && e.token == token);
    EXPECT(xids_xs_write(other, 0, at(base, "watched/x"), "1", 1) == 0);
    bool seen = false;
    while (!seen) {
        EXPECT(xids_xs_next_event(xs, &e, 20000) == 1);
        seen = strcmp(e.path, at(base, "watched/x")) == 0;
    }
    EXPECT(xids_xs_unwatch(xs, path, token) == 0);
    return 0;
}

static int check(struct xids_xs *xs, struct xids_xs *other, const char *base)
{
    domid_t domid;
    EXPECT(xids_xs_own_domid(xs, &domid) == 0);
    EXPECT(xids_xs_mkdir(xs, 0, base) == 0);
    int rc = check_values(xs, base);
    if (rc == 0)
        rc = check_watch(xs, other, base);
    if (rc == 0)
        rc = check_directory(xs, base);
    if (rc != 0)
        return rc;
    struct work w = {base, other, 0};
    uint32_t n;
    EXPECT(xids_xs_write(xs, 0, at(base, "counter"), "5", 1) == 0);
    EXPECT(xids_xs_transaction(xs, increment, &w) == 0);
    EXPECT(w.runs >= 2);
    EXPECT(xids_xs_read_u32(other, &n, 0, at(base, "counter")) == 0 && n == 7);
    EXPECT(xids_xs_rm(xs, 0, base) == 0);
    EXPECT(xids_xs_read_u32(other, &n, 0, at(base, "counter")) == -XEN_ENOENT);
    return 0;
}

int main(int argc, char **argv)
{
    struct xids_xs *xs, *other;
    if (argc != 3 || xids_xs_open(&xs, NULL) < 0 || xids_xs_open(&other, NULL) < 0) {
        printf("no argument or no xenstore\n");
        return EXIT_FAILURE;
    }
    children = (unsigned int)atoi(argv[2]);
    int rc = check(xs, other, argv[1]);
    xids_xs_close(xs);
    xids_xs_close(other);
    return rc;
}
