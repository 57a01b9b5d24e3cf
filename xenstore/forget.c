/* SPDX-License-Identifier: ISC */
/*
 * What becomes of a dead domain's nodes and rights, and the check of the whole tree.
 *
 * Each node knows a superset of the domains named in and below it, as 64 bits. Creating a node and giving rights
 * adds to it on the way down; nothing is taken away until a search comes by, finds nothing, and notes what is really
 * there. So a search goes only where something is or has been, and where something has been only once.
 */
#include "xenstore/store_impl.h"

static bool names(const struct perms *p, uint16_t domid)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->e[i].domid == domid)
            return true;
    }
    return false;
}

static uint64_t mask_below(const struct xids_store_node *n)
{
    return n != NULL ? n->mask : 0;
}

/* Nodes looked at that count as much as one changed: guests can give others rights so that searches go far. */
#define LOOKS_PER_CHANGE 256u

/*
 * The next node, from the top down, that names the domain; its path is then in s->scratch. NULL: there is none. Adds
 * to *looks the number of nodes looked at. *depth is how much of the way is on the stack; 0: it begins at the top.
 */
static const struct xids_store_node *search(struct xids_store *s, uint32_t *depth, uint32_t *looks, uint16_t domid)
{
    uint64_t mask = mask_of(domid);
    uint32_t sp = *depth;
    bool found = false;
    if (sp == 0)
        s->stack[sp++] = (struct step){.n = s->top};
    while (sp > 0) {
        struct step at = s->stack[--sp];
        struct xids_store_node *n = at.n;
        ++*looks;
        s->work++;
        if (at.leaving) {
            n->mask = n->perms->mask | mask_below(n->children) | mask_below(n->kid[0]) | mask_below(n->kid[1]);
            continue;
        }
        if ((n->mask & mask) == 0)
            continue;
        s->chain[at.depth] = n;
        if (at.depth > 0 && names(n->perms, domid)) {
            xids_store_path_from_chain(s, s->scratch, at.depth);
            found = true;
        }
        s->stack[sp++] = (struct step){.n = n, .depth = at.depth, .leaving = true};
        for (unsigned int k = 0; k < 2; k++) {
            if (n->kid[k] != NULL)
                s->stack[sp++] = (struct step){.n = n->kid[k], .depth = at.depth};
        }
        if (n->children != NULL)
            s->stack[sp++] = (struct step){.n = n->children, .depth = at.depth + 1};
        *depth = sp;
        if (found)
            return n;
    }
    return NULL;
}

/* Strikes the domain from a node's permissions; as their owner it is replaced by the store's. */
static int strike(struct xids_store *s, const struct xids_store_node *n, const struct xids_store_who *who,
                  uint16_t domid)
{
    size_t bytes = n->perms->count * sizeof(struct xids_xs_perm);
    struct xids_xs_perm *e = xids_store_get(s, bytes);
    if (e == NULL)
        return -XEN_ENOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->perms->count; i++) {
        e[count] = n->perms->e[i];
        if (i == 0 && e[0].domid == domid)
            e[0].domid = s->owner;
        if (i == 0 || e[count].domid != domid)
            count++;
    }
    int rc = -XEN_ENOMEM;
    struct perms *perms = xids_store_perms_get(s, e, count);
    if (perms != NULL) {
        const struct view v = {.top = &s->top};
        rc = xids_store_do_set_perms(s, &v, who, s->scratch, perms);
        xids_store_perms_unref(s, perms);
    }
    xids_store_put(s, e, bytes);
    if (rc == 0)
        s->version++;
    return rc;
}

int xids_store_forget_domain(struct xids_store *s, uint16_t domid, unsigned int max)
{
    const struct xids_store_who who = {.domid = s->owner, .target = -1, .privileged = true};
    if (domid == s->owner)
        return -XEN_EINVAL;
    uint32_t looks = 0, depth = 0;
    for (unsigned int changes = 0; changes < max && looks / LOOKS_PER_CHANGE < max; changes++) {
        const struct xids_store_node *n = search(s, &depth, &looks, domid);
        if (n == NULL)
            return 0;
        uint64_t made = s->made;
        bool owned = n->perms->e[0].domid == domid && s->scratch->depth > 1;
        int rc = owned ? xids_store_rm(s, NULL, &who, s->scratch) : strike(s, n, &who, domid);
        if (rc < 0)
            return rc;
        /* Nodes are no more where they were: not even when a snapshot had them as well, and they were copied. */
        if (owned || s->made != made)
            depth = 0;
    }
    return 1;
}

/* ---- the check ---- */

/* The rules of one node; kids lie deeper by one level of the directory's search tree. */
static const char *check_node(const struct xids_store_node *n)
{
    uint64_t below = mask_below(n->children) | mask_below(n->kid[0]) | mask_below(n->kid[1]) | n->perms->mask;
    if (n->refs == 0)
        return "a node in use without a reference";
    if ((below & ~n->mask) != 0)
        return "a node that does not know who is below it";
    if (n->perms->count == 0 || n->perms->refs == 0)
        return "a node without permissions";
    if ((n->children == NULL) != (n->nchildren == 0))
        return "a wrong number of children";
    return NULL;
}

/* Counts what lies in a directory and looks whether each child is found by its name. */
static const char *check_dir(struct xids_store *s, const struct xids_store_node *dir, uint32_t sp)
{
    uint32_t count = 0, bytes = 0, base = sp;
    if (dir->children != NULL)
        s->stack[sp++].n = dir->children;
    while (sp > base) {
        struct xids_store_node *n = s->stack[--sp].n;
        count++;
        bytes += n->name_len + 1u;
        if (xids_store_child(dir, n->hash, n->bytes, n->name_len) != n)
            return "a child that is not found by its name";
        if (n->hash != xids_store_hash(s->key, n->bytes, n->name_len))
            return "a child with a wrong hash";
        for (unsigned int k = 0; k < 2; k++) {
            if (n->kid[k] != NULL)
                s->stack[sp++].n = n->kid[k];
        }
    }
    if (count != dir->nchildren || bytes != dir->childbytes)
        return "a directory that miscounts its children";
    return NULL;
}

const char *xids_store_check(struct xids_store *s)
{
    uint32_t sp = 0, nodes = 0;
    while (xids_store_settle(s, UINT32_MAX)) {
    }
    uint64_t owned = 0, bytes = 0, owned_bytes = 0;
    s->stack[sp++].n = s->top;
    while (sp > 0) {
        struct xids_store_node *n = s->stack[--sp].n;
        nodes += n != s->top;
        bytes += n != s->top ? xids_store_node_cost(n) : 0;
        const char *broken = check_node(n);
        for (unsigned int k = 0; k < 2; k++) {
            if (n->kid[k] != NULL)
                s->stack[sp++].n = n->kid[k];
        }
        if (n->children != NULL)
            s->stack[sp++].n = n->children;
        if (broken == NULL && 2 * sp < s->stack_cap)
            broken = check_dir(s, n, sp);
        if (broken != NULL)
            return broken;
    }
    for (unsigned int i = 0; i < 256; i++) {
        for (unsigned int j = 0; s->owned[i] != NULL && j < 256; j++) {
            owned += s->owned[i][j].nodes;
            owned_bytes += s->owned[i][j].bytes;
        }
    }
    if (nodes != s->nodes || owned != nodes)
        return "a wrong count of nodes";
    if (bytes != s->bytes || owned_bytes != bytes)
        return "a wrong count of bytes";
    return NULL;
}
