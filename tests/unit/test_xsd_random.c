/* SPDX-License-Identifier: ISC */
/*
 * The server against a tree so simple that it is right: an array of nodes. Random requests must have the same answers.
 * Transactions, interleaved at random, must have the same answers as if each had run alone at its end (who only
 * reads: at its start); and one that is refused must have read something that would now be different.
 *
 * XIDS_SEED repeats a run; each failure says its seed.
 */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

#define NODES 400
#define SESSIONS 4
#define OPS 12

struct simple_node {
    char path[24], value[16], perms[16];
    unsigned long seq;
};

struct simple {
    struct simple_node v[NODES];
    unsigned int n;
    unsigned long seq;
};

static uint64_t rng;

static unsigned int pick(unsigned int n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned int)((rng >> 20) % n);
}

/* ---- the simple tree ---- */

static struct simple_node *simple_find(struct simple *t, const char *path)
{
    for (unsigned int i = 0; i < t->n; i++) {
        if (strcmp(t->v[i].path, path) == 0)
            return &t->v[i];
    }
    return NULL;
}

static void parent_of(char *out, const char *path)
{
    strcpy(out, path);
    char *slash = strrchr(out, '/');
    slash[slash == out] = '\0';
}

static struct simple_node *simple_make(struct simple *t, const char *path)
{
    char up[24];
    struct simple_node *n = simple_find(t, path);
    if (n != NULL)
        return n;
    parent_of(up, path);
    char perms[16];
    strcpy(perms, simple_make(t, up)->perms);
    ck_assert_uint_lt(t->n, NODES);
    n = &t->v[t->n++];
    memset(n, 0, sizeof(*n));
    strcpy(n->path, path);
    strcpy(n->perms, perms);
    n->seq = ++t->seq;
    return n;
}

static bool is_below(const char *path, const char *top)
{
    size_t len = strlen(top);
    return strncmp(path, top, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static void simple_rm(struct simple *t, const char *path)
{
    unsigned int kept = 0;
    for (unsigned int i = 0; i < t->n; i++) {
        if (!is_below(t->v[i].path, path))
            t->v[kept++] = t->v[i];
    }
    t->n = kept;
}

/* The array is in order of creation, so listing it is walking it. */
static void simple_list(struct simple *t, char *out, const char *path)
{
    char up[24];
    strcpy(out, "directory ");
    for (unsigned int i = 0; i < t->n; i++) {
        if (strcmp(t->v[i].path, "/") == 0)
            continue;
        parent_of(up, t->v[i].path);
        if (strcmp(up, path) != 0)
            continue;
        strcat(out, strrchr(t->v[i].path, '/') + 1);
        strcat(out, "|");
    }
}

/* One request: what, on which path, with which value or permissions. */
struct step {
    uint32_t type;
    char path[24];
    char arg[16];
    char answer[256];
};

static const char *const path_names[] = {"a", "b", "c"};

static void random_step(struct step *s)
{
    static const uint32_t types[] = {XS_READ,  XS_READ,  XS_DIRECTORY, XS_GET_PERMS, XS_WRITE,
                                     XS_WRITE, XS_MKDIR, XS_RM,        XS_SET_PERMS};
    unsigned int depth = 1 + pick(3);
    s->type = types[pick(9)];
    strcpy(s->path, "");
    for (unsigned int i = 0; i < depth; i++) {
        strcat(s->path, "/");
        strcat(s->path, path_names[pick(3)]);
    }
    if (s->type == XS_SET_PERMS)
        (void)sprintf(s->arg, "n%u", pick(3));
    else
        (void)sprintf(s->arg, "%u", pick(4));
}

static void simple_do(struct simple *t, const struct step *s, char *out)
{
    char up[24];
    struct simple_node *n = simple_find(t, s->path);
    strcpy(out, "error ENOENT|");
    switch (s->type) {
    case XS_READ:
        if (n != NULL)
            (void)sprintf(out, "read %s", n->value);
        break;
    case XS_DIRECTORY:
        if (n != NULL)
            simple_list(t, out, s->path);
        break;
    case XS_GET_PERMS:
        if (n != NULL)
            (void)sprintf(out, "get-perms %s|", n->perms);
        break;
    case XS_SET_PERMS:
        if (n != NULL) {
            strcpy(n->perms, s->arg);
            strcpy(out, "set-perms OK|");
        }
        break;
    case XS_WRITE:
        strcpy(simple_make(t, s->path)->value, s->arg);
        strcpy(out, "write OK|");
        break;
    case XS_MKDIR:
        (void)simple_make(t, s->path);
        strcpy(out, "mkdir OK|");
        break;
    default:
        parent_of(up, s->path);
        if (n != NULL || simple_find(t, up) != NULL)
            strcpy(out, "rm OK|");
        simple_rm(t, s->path);
        break;
    }
}

static const char *real_do(struct world *w, struct xids_xs_conn *c, uint32_t tx, const struct step *s)
{
    char payload[48];
    bool value = s->type == XS_WRITE || s->type == XS_SET_PERMS;
    (void)sprintf(payload, "%s|%s%s", s->path, value ? s->arg : "", s->type == XS_SET_PERMS ? "|" : "");
    return ask_tx(w, c, tx, s->type, payload);
}

static void simple_init(struct simple *t)
{
    memset(t, 0, sizeof(*t));
    t->n = 1;
    strcpy(t->v[0].path, "/");
    strcpy(t->v[0].perms, "n0");
}

static uint64_t seed_of(int loop)
{
    const char *text = getenv("XIDS_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 0x9e3779b97f4a7c15u * (uint64_t)(loop + 1);
}

static void same_trees(struct world *w, struct xids_xs_conn *c, struct simple *t, uint64_t seed)
{
    char want[256];
    for (unsigned int i = 1; i < t->n; i++) {
        for (unsigned int k = 0; k < 3; k++) {
            static const uint32_t looks[] = {XS_READ, XS_DIRECTORY, XS_GET_PERMS};
            struct step s = {.type = looks[k]};
            strcpy(s.path, t->v[i].path);
            simple_do(t, &s, want);
            const char *got = real_do(w, c, 0, &s);
            ck_assert_msg(strcmp(got, want) == 0, "seed %#llx: %s: %s, not %s", (unsigned long long)seed, s.path, got,
                          want);
        }
    }
    ck_assert_msg(xids_store_nodes(xids_xs_server_store(w->server)) == t->n + 4, "seed %#llx: nodes",
                  (unsigned long long)seed);
    const char *broken = xids_store_check(xids_xs_server_store(w->server));
    ck_assert_msg(broken == NULL, "seed %#llx: the tree has %s", (unsigned long long)seed, broken);
}

START_TEST(random_requests_have_the_answers_of_a_simple_tree)
{
    uint64_t seed = seed_of(_i);
    static struct simple t;
    char want[256];
    struct world *w = world_up();
    struct xids_xs_conn *c = world_socket(w);
    rng = seed;
    simple_init(&t);
    for (int i = 0; i < 5000; i++) {
        struct step s;
        random_step(&s);
        simple_do(&t, &s, want);
        const char *got = real_do(w, c, 0, &s);
        ck_assert_msg(strcmp(got, want) == 0, "seed %#llx, request %d on %s: %s, not %s", (unsigned long long)seed, i,
                      s.path, got, want);
    }
    same_trees(w, c, &t, seed);
    world_down(w);
}
END_TEST

struct session {
    bool open, writes;
    uint32_t tx;
    unsigned int n;
    struct step steps[OPS];
    struct simple start;
};

static bool changes(const struct step *s)
{
    return s->type == XS_WRITE || s->type == XS_MKDIR || s->type == XS_SET_PERMS || s->type == XS_RM;
}

/* Whether the session, run alone on a tree, would be told the same. Leaves the tree as the session makes it. */
static bool same_alone(struct session *x, struct simple *t, char *why)
{
    char want[256];
    bool same = true;
    for (unsigned int i = 0; i < x->n; i++) {
        struct step *s = &x->steps[i];
        simple_do(t, s, want);
        /* That a removal found no parent either is all the same: in the end there is no node. */
        if (strcmp(want, s->answer) != 0 && s->type != XS_RM) {
            (void)sprintf(why, "%s: %s, not %s", s->path, s->answer, want);
            same = false;
        }
    }
    return same;
}

static unsigned int commits, refusals, needless;

static void end(struct world *w, struct xids_xs_conn *c, struct session *x, struct simple *now, uint64_t seed)
{
    static struct simple after;
    char why[600] = "";
    after = x->writes ? *now : x->start;
    bool same = same_alone(x, &after, why);
    const char *text = ask_tx(w, c, x->tx, XS_TRANSACTION_END, "T|");
    x->open = false;
    if (strcmp(text, "end OK|") == 0) {
        commits++;
        ck_assert_msg(same, "seed %#llx: committed, but %s", (unsigned long long)seed, why);
        if (x->writes)
            *now = after;
        return;
    }
    ck_assert_msg(strcmp(text, "error EAGAIN|") == 0, "seed %#llx: %s", (unsigned long long)seed, text);
    ck_assert_msg(x->writes, "seed %#llx: refused, but it only read", (unsigned long long)seed);
    refusals++;
    needless += same;
}

START_TEST(interleaved_transactions_are_as_if_each_had_run_alone)
{
    static struct session sessions[SESSIONS];
    static struct simple now;
    uint64_t seed = seed_of(_i);
    struct world *w = world_up();
    struct xids_xs_conn *c = world_socket(w);
    rng = seed;
    commits = refusals = needless = 0;
    simple_init(&now);
    memset(sessions, 0, sizeof(sessions));
    for (int i = 0; i < 4000; i++) {
        struct session *x = &sessions[pick(SESSIONS)];
        if (!x->open) {
            memset(x, 0, sizeof(*x));
            x->open = true;
            x->tx = tx_start(w, c);
            memcpy(&x->start, &now, sizeof(now));
            continue;
        }
        if (x->n == OPS || pick(6) == 0) {
            end(w, c, x, &now, seed);
            continue;
        }
        struct step *s = &x->steps[x->n++];
        random_step(s);
        strcpy(s->answer, real_do(w, c, x->tx, s));
        x->writes = x->writes || (changes(s) && strncmp(s->answer, "error", 5) != 0);
    }
    for (int i = 0; i < SESSIONS; i++) {
        if (sessions[i].open)
            end(w, c, &sessions[i], &now, seed);
    }
    same_trees(w, c, &now, seed);
    ck_assert_uint_gt(commits, 100);
    ck_assert_uint_gt(refusals, 20);
    /* A child made anew, or a parent that came along with something else, may cost a refusal that was not needed. */
    ck_assert_msg(needless * 8 <= refusals, "seed %#llx: %u of %u refusals were needless", (unsigned long long)seed,
                  needless, refusals);
    world_down(w);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_random");
    TCase *t = tcase_create("random");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, random_requests_have_the_answers_of_a_simple_tree, 0, 8);
    tcase_add_loop_test(t, interleaved_transactions_are_as_if_each_had_run_alone, 0, 12);
    suite_add_tcase(suite, t);
    return suite;
}
