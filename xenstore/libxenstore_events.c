/* SPDX-License-Identifier: ISC */
/* libxenstore.so.4: the queue of events that nobody has fetched yet, and its bound. */
#include "xenstore/libxenstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- watches, as far as they are kept in mind here ---- */

struct lxs_watch *lxs_add_watch(struct xs_handle *h, const char *path, const char *token)
{
    size_t path_len = strlen(path) + 1, token_len = strlen(token) + 1;
    struct lxs_watch *w = malloc(sizeof(*w) + path_len + token_len);
    if (w == NULL)
        return NULL;
    w->summed = false;
    w->len = (uint32_t)(path_len + token_len);
    w->token = w->text + path_len;
    memcpy(w->text, path, path_len);
    memcpy(w->text + path_len, token, token_len);
    int state = lxs_lock(h);
    TAILQ_INSERT_TAIL(&h->watches, w, entry);
    lxs_unlock(h, state);
    return w;
}

struct lxs_watch *lxs_find_watch(struct xs_handle *h, const char *path, const char *token)
{
    int state = lxs_lock(h);
    struct lxs_watch *w;
    TAILQ_FOREACH(w, &h->watches, entry)
    {
        if (strcmp(w->text, path) == 0 && strcmp(w->token, token) == 0)
            break;
    }
    lxs_unlock(h, state);
    return w;
}

void lxs_remove_watch(struct xs_handle *h, struct lxs_watch *w)
{
    struct lxs_event *e;
    if (w == NULL)
        return;
    int state = lxs_lock(h);
    TAILQ_FOREACH(e, &h->events, entry)
    {
        if (e->sum_of == w)
            e->sum_of = NULL;
    }
    TAILQ_REMOVE(&h->watches, w, entry);
    lxs_unlock(h, state);
    free(w);
}

/* The watch that an event with this path and token is of, or NULL. */
static struct lxs_watch *watch_of(struct xs_handle *h, const char *path, const char *token)
{
    struct lxs_watch *w;
    TAILQ_FOREACH(w, &h->watches, entry)
    {
        bool root = strcmp(w->text, "/") == 0 && path[0] == '/';
        if (strcmp(w->token, token) == 0 && (root || xs_path_is_subpath(w->text, path)))
            break;
    }
    return w;
}

/* ---- the queue ---- */

/* The strings of an event as the user gets them: pointers and text in one block. */
static char **make_strings(const char *payload, uint32_t len, unsigned int count)
{
    char **strings = malloc(count * sizeof(*strings) + len);
    if (strings == NULL)
        return NULL;
    char *at = (char *)(strings + count);
    memcpy(at, payload, len);
    for (unsigned int i = 0; i < count; i++) {
        strings[i] = at;
        at += strlen(at) + 1;
    }
    return strings;
}

void lxs_on_event(void *ctx, const char *payload, uint32_t len)
{
    struct xs_handle *h = ctx;
    struct lxs_watch *sum_of = NULL;
    if (h->waiting >= LXS_EVENTS_MAX) {
        sum_of = watch_of(h, payload, payload + strlen(payload) + 1);
        /* What is no watch's any more nobody misses. */
        if (sum_of == NULL || sum_of->summed)
            return;
        payload = sum_of->text;
        len = sum_of->len;
    }
    unsigned int count = xids_xswire_count(payload, len);
    struct lxs_event *e = malloc(sizeof(*e));
    char **strings = e != NULL ? make_strings(payload, len, count) : NULL;
    if (strings == NULL) {
        free(e);
        /* An event that is lost without a word would be worse. */
        xids_xs_client_fail(h->client, -XEN_ENOMEM, "no memory for an event");
        return;
    }
    *e = (struct lxs_event){.strings = strings, .count = count, .sum_of = sum_of};
    if (sum_of != NULL)
        sum_of->summed = true;
    TAILQ_INSERT_TAIL(&h->events, e, entry);
    h->waiting++;
}

static char **take_event(struct xs_handle *h, struct lxs_event *e)
{
    char **strings = e->strings;
    if (e->sum_of != NULL)
        e->sum_of->summed = false;
    TAILQ_REMOVE(&h->events, e, entry);
    h->waiting--;
    free(e);
    return strings;
}

char **lxs_next_event(struct xs_handle *h, unsigned int *count, int *error)
{
    struct lxs_event *e = TAILQ_FIRST(&h->events);
    if (e == NULL) {
        bool lost = xids_xs_client_error(h->client) != 0;
        h->loss_told |= lost;
        *error = lost ? EINVAL : EAGAIN;
        return NULL;
    }
    *count = e->count;
    return take_event(h, e);
}

void lxs_drop_events(struct xs_handle *h, const char *path, const char *token)
{
    int state = lxs_lock(h);
    struct lxs_event *e = TAILQ_FIRST(&h->events);
    while (e != NULL) {
        struct lxs_event *next = TAILQ_NEXT(e, entry);
        if (strcmp(e->strings[XS_WATCH_TOKEN], token) == 0 && xs_path_is_subpath(path, e->strings[XS_WATCH_PATH]))
            free(take_event(h, e));
        e = next;
    }
    lxs_set_bell(h);
    lxs_unlock(h, state);
}

void lxs_free_events(struct xs_handle *h)
{
    struct lxs_event *e;
    struct lxs_watch *w;
    while ((e = TAILQ_FIRST(&h->events)) != NULL)
        free(take_event(h, e));
    while ((w = TAILQ_FIRST(&h->watches)) != NULL) {
        TAILQ_REMOVE(&h->watches, w, entry);
        free(w);
    }
}
