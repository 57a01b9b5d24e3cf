/* SPDX-License-Identifier: ISC */
#include "tests/interop/store_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- paths ---- */

static void parent_of(char *out, const char *path)
{
    memmove(out, path, strlen(path) + 1);
    char *slash = strrchr(out, '/');
    slash[slash == out] = '\0';
}

static bool is_root(const char *path)
{
    return strcmp(path, "/") == 0;
}

static bool is_in(const char *path, const char *top)
{
    size_t len = is_root(top) ? 0 : strlen(top);
    return strncmp(path, top, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static int levels(const char *path)
{
    int n = 0;
    for (; *path != '\0'; path++)
        n += path[0] == '/' && path[1] != '\0';
    return n;
}

/* ---- the tree ---- */

void model_init(struct model_tree *t)
{
    memset(t, 0, sizeof(*t));
    t->n = 1;
    strcpy(t->v[0].path, "/");
    t->v[0].perms = (struct model_perms){.n = 1};
}

struct model_node *model_find(struct model_tree *t, const char *path)
{
    for (unsigned int i = 0; i < t->n; i++) {
        if (strcmp(t->v[i].path, path) == 0)
            return &t->v[i];
    }
    return NULL;
}

/* The node or the nearest one above it that exists. */
static struct model_node *nearest(struct model_tree *t, const char *path)
{
    char up[MODEL_PATH];
    strcpy(up, path);
    struct model_node *n;
    while ((n = model_find(t, up)) == NULL)
        parent_of(up, up);
    return n;
}

static struct model_node *make(struct model_tree *t, const char *path, const struct model_who *who)
{
    char up[MODEL_PATH];
    struct model_node *n = model_find(t, path);
    if (n != NULL)
        return n;
    parent_of(up, path);
    struct model_perms perms = make(t, up, who)->perms;
    if (!who->privileged)
        perms.v[0].domid = who->domid;
    if (t->n == MODEL_NODES)
        abort();
    n = &t->v[t->n++];
    memset(n, 0, sizeof(*n));
    strcpy(n->path, path);
    n->perms = perms;
    return n;
}

static void rm(struct model_tree *t, const char *path)
{
    unsigned int kept = 0;
    for (unsigned int i = 0; i < t->n; i++) {
        if (!is_in(t->v[i].path, path))
            t->v[kept++] = t->v[i];
    }
    t->n = kept;
}

/* ---- rights ---- */

static bool meant(uint16_t domid, const struct model_who *who)
{
    return domid == who->domid || (int)domid == who->target || domid == XIDS_XS_DOMID_ANY;
}

static bool owns(const struct model_perms *p, const struct model_who *who)
{
    return who->privileged || meant(p->v[0].domid, who);
}

static unsigned int access_of(const struct model_perms *p, const struct model_who *who)
{
    if (owns(p, who))
        return XIDS_XS_BOTH;
    for (unsigned int i = 1; i < p->n; i++) {
        if (meant(p->v[i].domid, who))
            return p->v[i].access;
    }
    return p->v[0].access;
}

static bool parse_perms(struct model_perms *p, const char *text)
{
    p->n = 0;
    for (const char *end; (end = strchr(text, '|')) != NULL; text = end + 1) {
        if (p->n == MODEL_PERMS || xids_xswire_perm_parse(&p->v[p->n++], text, (size_t)(end - text)) < 0)
            return false;
    }
    return p->n > 0;
}

/* ---- events ---- */

static void add_event(struct model_events *events, const char *path, bool exact, const struct model_perms *before,
                      const struct model_node *node, const struct model_node *parent)
{
    if (events == NULL)
        return;
    if (events->n == MODEL_EVENTS)
        abort();
    struct model_event *e = &events->v[events->n++];
    *e = (struct model_event){.exact = exact};
    strcpy(e->path, path);
    if (before != NULL) {
        e->has_before = true;
        e->before = *before;
    }
    if (node != NULL) {
        e->has_node = true;
        e->node = node->perms;
    }
    if (parent != NULL) {
        e->has_parent = true;
        e->parent = parent->perms;
    }
}

static struct model_node *above(struct model_tree *t, const char *path)
{
    char up[MODEL_PATH];
    parent_of(up, path);
    return is_root(path) ? NULL : model_find(t, up);
}

/* What is told of a removed node otherwise: nothing, itself, or itself and what was below it. */
enum told {
    NOT_TOLD,
    ITSELF_TOLD,
    ALL_TOLD,
};

/* The nodes below one that is removed, for those alone who watch them: a directory's own after or before its content.
 */
static void below_removed(struct model_tree *was, struct model_events *events, const char *path, bool first,
                          enum told (*otherwise)(void *ctx, const char *path), void *ctx)
{
    for (unsigned int i = 0; i < was->n; i++) {
        struct model_node *n = &was->v[i];
        char up[MODEL_PATH];
        parent_of(up, n->path);
        if (is_root(n->path) || strcmp(up, path) != 0)
            continue;
        enum told told = otherwise != NULL ? otherwise(ctx, n->path) : NOT_TOLD;
        if (told == ALL_TOLD)
            continue;
        if (first && told == NOT_TOLD)
            add_event(events, n->path, true, NULL, n, above(was, n->path));
        below_removed(was, events, n->path, first, otherwise, ctx);
        if (!first)
            add_event(events, n->path, true, NULL, n, above(was, n->path));
    }
}

bool model_told(const struct model_watch *w, const struct model_event *e, const struct model_who *who)
{
    if (e->exact ? strcmp(w->path, e->path) != 0 : !is_in(e->path, w->path))
        return false;
    if (w->depth >= 0 && levels(e->path) - levels(w->path) > w->depth)
        return false;
    unsigned int access = 0;
    if (e->has_before)
        access |= access_of(&e->before, who);
    if (e->has_node)
        access |= access_of(&e->node, who);
    if (e->has_parent && (e->has_before || e->has_node))
        access |= access_of(&e->parent, who);
    return (access & XIDS_XS_READ) != 0;
}

/* ---- requests ---- */

static void list(struct model_tree *t, char *out, const char *path)
{
    char up[MODEL_PATH];
    strcpy(out, "directory ");
    for (unsigned int i = 0; i < t->n; i++) {
        parent_of(up, t->v[i].path);
        if (is_root(t->v[i].path) || strcmp(up, path) != 0)
            continue;
        strcat(out, strrchr(t->v[i].path, '/') + 1);
        strcat(out, "|");
    }
}

static void show_perms(char *out, const struct model_perms *p)
{
    char text[XIDS_XS_PERM_BYTES];
    strcpy(out, "get-perms ");
    for (unsigned int i = 0; i < p->n; i++) {
        (void)xids_xswire_perm_format(text, &p->v[i]);
        strcat(out, text);
        strcat(out, "|");
    }
}

static void look(struct model_tree *t, const struct model_step *s, const struct model_who *who, char *out)
{
    const struct model_node *n = model_find(t, s->path);
    if ((access_of(&nearest(t, s->path)->perms, who) & XIDS_XS_READ) == 0)
        strcpy(out, "error EACCES|");
    else if (n == NULL)
        strcpy(out, "error ENOENT|");
    else if (s->type == XS_READ)
        (void)sprintf(out, "read %s", n->value);
    else if (s->type == XS_DIRECTORY)
        list(t, out, s->path);
    else
        show_perms(out, &n->perms);
}

static void set_perms(struct model_tree *t, struct model_events *events, const struct model_step *s,
                      const struct model_who *who, char *out)
{
    struct model_node *n = model_find(t, s->path);
    struct model_perms perms;
    strcpy(out, "set-perms OK|");
    if (!parse_perms(&perms, s->arg)) {
        strcpy(out, "error EINVAL|");
    } else if (n == NULL) {
        bool may = (access_of(&nearest(t, s->path)->perms, who) & XIDS_XS_WRITE) != 0;
        strcpy(out, may ? "error ENOENT|" : "error EACCES|");
    } else if (!owns(&n->perms, who)) {
        strcpy(out, "error EACCES|");
    } else if (!who->privileged && n->perms.v[0].domid != perms.v[0].domid) {
        strcpy(out, "error EPERM|");
    } else {
        struct model_perms before = n->perms;
        n->perms = perms;
        add_event(events, s->path, false, &before, n, above(t, s->path));
    }
}

static void remove_node(struct model_tree *t, struct model_events *events, const struct model_step *s, char *out)
{
    const struct model_node *n = model_find(t, s->path);
    char up[MODEL_PATH];
    parent_of(up, s->path);
    strcpy(out, "rm OK|");
    if (is_root(s->path)) {
        strcpy(out, "error EINVAL|");
    } else if (n == NULL) {
        if (model_find(t, up) == NULL)
            strcpy(out, "error ENOENT|");
    } else {
        struct model_node gone = *n;
        below_removed(t, events, s->path, false, NULL, NULL);
        rm(t, s->path);
        add_event(events, s->path, false, NULL, &gone, above(t, s->path));
    }
}

void model_do(struct model_tree *t, struct model_events *events, const struct model_step *s,
              const struct model_who *who, char answer[MODEL_ANSWER])
{
    if (!model_changes(s)) {
        look(t, s, who, answer);
        return;
    }
    if (s->type == XS_SET_PERMS) {
        set_perms(t, events, s, who, answer);
        return;
    }
    if ((access_of(&nearest(t, s->path)->perms, who) & XIDS_XS_WRITE) == 0) {
        strcpy(answer, "error EACCES|");
        return;
    }
    bool was = model_find(t, s->path) != NULL;
    switch (s->type) {
    case XS_WRITE:
        strcpy(make(t, s->path, who)->value, s->arg);
        strcpy(answer, "write OK|");
        break;
    case XS_MKDIR:
        (void)make(t, s->path, who);
        strcpy(answer, "mkdir OK|");
        break;
    default:
        remove_node(t, events, s, answer);
        return;
    }
    if (s->type == XS_WRITE || !was)
        add_event(events, s->path, false, NULL, model_find(t, s->path), above(t, s->path));
}

bool model_changes(const struct model_step *s)
{
    return s->type == XS_WRITE || s->type == XS_MKDIR || s->type == XS_RM || s->type == XS_SET_PERMS;
}

/* ---- transactions ---- */

/* The paths that a transaction changed. */
struct touched {
    unsigned int n;
    struct {
        const char *path;
        bool changed, removed;
    } v[MODEL_STEPS];
    struct model_tree *now;
};

static unsigned int touch(struct touched *t, const char *path)
{
    unsigned int i = 0;
    while (i < t->n && strcmp(t->v[i].path, path) != 0)
        i++;
    if (i == t->n) {
        t->v[i].path = path;
        t->v[i].changed = t->v[i].removed = false;
        t->n++;
    }
    return i;
}

/* What a removal in a transaction does not tell of: what has its own event, or is there again. */
static enum told told_otherwise(void *ctx, const char *path)
{
    const struct touched *t = ctx;
    for (unsigned int i = 0; i < t->n; i++) {
        if (t->v[i].changed && strcmp(t->v[i].path, path) == 0)
            return t->v[i].removed ? ALL_TOLD : ITSELF_TOLD;
    }
    return model_find(t->now, path) != NULL ? ITSELF_TOLD : NOT_TOLD;
}

bool model_replay(struct model_tree *t, struct model_events *events, char why[MODEL_ANSWER * 3],
                  const struct model_step *steps, unsigned int n, const struct model_who *who)
{
    static struct model_tree was;
    static struct model_events each;
    struct touched touched = {.now = t};
    char answer[MODEL_ANSWER];
    bool same = true;
    was = *t;
    for (unsigned int i = 0; i < n; i++) {
        const struct model_step *s = &steps[i];
        each.n = 0;
        model_do(t, &each, s, who, answer);
        unsigned int at = touch(&touched, s->path);
        touched.v[at].changed = touched.v[at].changed || each.n > 0;
        touched.v[at].removed = touched.v[at].removed || (s->type == XS_RM && each.n > 0);
        /* A removal that found nothing is a removal all the same, also when there was no parent. */
        bool both_gone =
            s->type == XS_RM && strcmp(answer, "error EACCES|") != 0 && strcmp(s->answer, "error EACCES|") != 0;
        if (strcmp(answer, s->answer) != 0 && !both_gone) {
            (void)sprintf(why, "%s: %s, not %s", s->path, s->answer, answer);
            same = false;
        }
    }
    for (unsigned int i = 0; i < touched.n; i++) {
        const char *path = touched.v[i].path;
        const struct model_node *before = model_find(&was, path), *after = model_find(t, path);
        if (!touched.v[i].changed || (before == NULL && after == NULL))
            continue;
        add_event(events, path, false, before != NULL ? &before->perms : NULL, after != NULL ? after : before,
                  above(t, path));
        if (touched.v[i].removed && before != NULL)
            below_removed(&was, events, path, true, told_otherwise, &touched);
    }
    return same;
}
