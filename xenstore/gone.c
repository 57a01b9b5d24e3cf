/* SPDX-License-Identifier: ISC */
/*
 * Removed subtrees. A removal is one cut, however much hangs below; what its nodes counted for their owners is taken
 * back afterwards, a few nodes at a time. Nothing changes a removed subtree: whoever shares nodes with it copies them.
 */
#include "xenstore/store_impl.h"

struct gone {
    struct gone *next;
    struct xids_store_node *root;
    uint64_t number; /* in the order in which they came into force */
};

struct gone *xids_store_gone_new(struct xids_store *s)
{
    struct gone *g = xids_store_get(s, sizeof(*g));
    if (g != NULL)
        *g = (struct gone){0};
    return g;
}

void xids_store_gone_free(struct xids_store *s, struct gone *list)
{
    for (struct gone *g = list, *next; g != NULL; g = next) {
        next = g->next;
        xids_store_node_unref(s, g->root);
        xids_store_put(s, g, sizeof(*g));
    }
}

void xids_store_gone_add(struct gone **list, struct gone *g, struct xids_store_node *root)
{
    root->refs++;
    g->root = root;
    g->next = *list;
    *list = g;
}

/* In turn: who waits for what was removed before does not wait for what others remove meanwhile. */
void xids_store_gone_move(struct xids_store *s, struct gone **list)
{
    for (struct gone *g = *list; g != NULL; g = g->next) {
        g->number = ++s->removals;
        *(s->gone != NULL ? &s->gone_last->next : &s->gone) = g;
        s->gone_last = g;
    }
    *list = NULL;
}

bool xids_store_uncounted(const struct xids_store *s, const struct xids_store_who *who)
{
    if (s->gone == NULL || who->usage == NULL)
        return s->gone != NULL;
    if (who->usage->waits_for == 0)
        who->usage->waits_for = s->removals;
    return s->gone->number <= who->usage->waits_for;
}

static void push(struct xids_store *s, struct xids_store_node *n)
{
    if (n != NULL)
        s->settling[s->nsettling++] = n;
}

bool xids_store_settle(struct xids_store *s, unsigned int max)
{
    while (s->gone != NULL && max > 0) {
        struct gone *g = s->gone;
        if (s->nsettling == 0)
            push(s, g->root);
        for (; s->nsettling > 0 && max > 0; max--) {
            struct xids_store_node *n = s->settling[--s->nsettling];
            if (n != g->root) {
                push(s, n->kid[0]);
                push(s, n->kid[1]);
            }
            push(s, n->children);
            xids_store_count_add(s, NULL, n->perms->e[0].domid, -1, -(int64_t)xids_store_node_cost(n));
            s->work++;
        }
        if (s->nsettling > 0)
            break;
        s->gone = g->next;
        g->next = NULL;
        xids_store_gone_free(s, g);
    }
    return s->gone != NULL;
}
