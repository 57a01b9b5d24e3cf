/* SPDX-License-Identifier: ISC */
#include "tests/interop/vchan_case.h"

#include <stdio.h>
#include <string.h>

struct list {
    int set;
    unsigned int count;
    unsigned int turn; /* goes on with each case that may choose its rings */
    void (*run)(void *ctx, const struct vchan_case *c);
    void *ctx;
};

int case_set(const char *name)
{
    static const char *const names[] = {"quick", "all", "xen", "xen-all", "destroy-servers", "destroy-clients"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

bool case_at_once(int set)
{
    return set == SET_DESTROY_SERVERS || set == SET_DESTROY_CLIENTS;
}

static bool whole(const struct list *l)
{
    return l->set == SET_ALL || l->set == SET_XEN_ALL;
}

static bool slow(const struct list *l)
{
    return l->set == SET_XEN || l->set == SET_XEN_ALL;
}

static void add(struct list *l, struct vchan_case c)
{
    c.id = l->count++;
    l->run(l->ctx, &c);
}

/* ---- rings ---- */

/* Both in the page, or none with order 10: what libxenvchan's server makes. */
static bool offered_by_all(unsigned int left, unsigned int right)
{
    unsigned int smaller = left < right ? left : right, larger = left < right ? right : left;
    return smaller >= 12 || (smaller == 11 && larger >= 12) || (smaller == 10 && larger == 11);
}

static bool offered(enum implementation server, unsigned int left, unsigned int right)
{
    unsigned int smaller = left < right ? left : right, larger = left < right ? right : left;
    return offered_by_all(left, right) || (server != LIBXENVCHAN && smaller == 10 && larger >= 12 && larger < 20);
}

/* The rings of the next case in which they are not what matters. */
static void take_rings(struct list *l, struct vchan_case *c)
{
    static const unsigned char pairs[][2] = {{10, 11}, {12, 12}, {11, 10}, {10, 13}, {13, 11}, {14, 10},
                                             {11, 14}, {12, 15}, {16, 12}, {12, 10}, {10, 12}};
    const unsigned int count = sizeof(pairs) / sizeof(pairs[0]);
    do {
        c->left = pairs[l->turn % count][0];
        c->right = pairs[l->turn % count][1];
        l->turn++;
    } while (!offered(c->server, c->left, c->right));
}

/* ---- nobody ends early ---- */

static void exchange(struct list *l, enum implementation server, enum implementation client, unsigned int left,
                     unsigned int right)
{
    struct vchan_case c = {.server = server, .client = client, .left = left, .right = right, .how = NOT};
    if (!offered(server, left, right))
        return;
    for (int packets = 0; packets < 2; packets++) {
        c.packets = packets == 1;
        if (l->set == SET_XEN && (left + right) % 2 != (unsigned int)packets)
            continue;
        add(l, c);
    }
}

/* Each order on each side, different ones on both, all kinds of places for them; or all that there is. */
static void exchanges(struct list *l, enum implementation server, enum implementation client)
{
    static const unsigned char some[][2] = {{10, 11}, {11, 10}, {10, 12}, {12, 20}, {13, 10}, {14, 12}, {11, 15},
                                            {13, 19}, {15, 14}, {16, 13}, {17, 18}, {18, 11}, {19, 17}, {10, 19},
                                            {19, 10}, {20, 16}, {18, 15}, {12, 12}, {20, 20}};
    static const unsigned char few[][2] = {{10, 11}, {11, 10}, {10, 13}, {11, 14}, {12, 12}, {16, 11}, {20, 20}};
    if (whole(l)) {
        for (unsigned int left = 10; left <= 20; left++)
            for (unsigned int right = 10; right <= 20; right++)
                exchange(l, server, client, left, right);
    } else if (slow(l)) {
        for (size_t i = 0; i < sizeof(few) / sizeof(few[0]); i++)
            exchange(l, server, client, few[i][0], few[i][1]);
    } else {
        for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
            exchange(l, server, client, some[i][0], some[i][1]);
    }
}

/* ---- somebody does ---- */

static void end_at(struct list *l, struct vchan_case c, enum when when, uint32_t n)
{
    c.when = when;
    c.n = n;
    c.packets = when != UNFLUSHED && l->turn % 2 != 0;
    take_rings(l, &c);
    add(l, c);
}

static uint32_t size_of(unsigned int order)
{
    return 1u << order;
}

/* Around what is published at once, what fills the ring, and what needs it twice; for this side's ring. */
static void end_after_bytes(struct list *l, struct vchan_case c)
{
    for (int i = 0; i < (slow(l) ? 3 : 9); i++) {
        c.when = WROTE;
        c.packets = l->turn % 2 != 0;
        take_rings(l, &c);
        uint32_t size = size_of(c.server_ends ? c.right : c.left);
        const uint32_t points[] = {1,        size,     2 * size + 3, size / 8 - 1, size / 8 + 1,
                                   size / 8, size - 1, size + 1,     size / 4};
        c.n = points[i];
        add(l, c);
    }
    /* Where a batch of a large ring ends. */
    if (!slow(l))
        for (uint32_t n = 32767; n <= 32769; n++) {
            c.left = c.right = 19;
            c.packets = false;
            c.n = n;
            add(l, c);
        }
}

/* Evenly over what there is, or every one. step: between two of them in the quick set. */
static void end_at_steps(struct list *l, struct vchan_case c, enum when when, uint32_t last, uint32_t step)
{
    uint32_t by = l->set == SET_ALL ? 1 : slow(l) ? step * (l->set == SET_XEN ? 8 : 2) : step;
    c.how = KILL;
    for (uint32_t n = 1 + l->turn % by; n <= last; n += by)
        end_at(l, c, when, n);
}

static bool extended(const struct vchan_case *c)
{
    return c->server == XIDS && c->client == XIDS;
}

static void ends(struct list *l, struct vchan_case c)
{
    enum implementation who = c.server_ends ? c.server : c.client;
    for (c.how = CLOSE; c.how <= STOP; c.how++) {
        end_at(l, c, IDLE, 0);
        end_at(l, c, FULL, 0);
        end_at(l, c, BOTH, 0);
        if (extended(&c) && c.how == STOP && !c.server_ends)
            end_at(l, c, SILENT, 0);
        if (c.how == STOP)
            break;
        if (extended(&c))
            end_at(l, c, HALF_CLOSED, 0);
        end_after_bytes(l, c);
        end_at(l, c, BLOCKED, 0);
        end_at(l, c, TOOK, 1);
        end_at(l, c, TOOK, 5000);
        if (who != LIBXENVCHAN) {
            end_at(l, c, UNFLUSHED, 1);
            end_at(l, c, UNFLUSHED, 100);
        }
        end_at(l, c, AFTER_CLOSE, 0);
    }
    /*
     * libxenvchan's client tries the numbers of a dead server while the next one makes its pages with the same ones,
     * and finds a list of grants with zeros: the consoles of other domains, which domain 0 may map on the real Xen.
     */
    if (!slow(l) || !c.server_ends || c.client != LIBXENVCHAN)
        end_at_steps(l, c, AT_CONNECT, 160, 11);
    end_at_steps(l, c, AT_WRITE, 400, 29);
    end_at_steps(l, c, AT_READ, 300, 37);
    end_at_steps(l, c, AT_CLOSE, 60, 7);
}

/* With the domain: many at once in one that is destroyed. libxenvchan never learns of that. */
static void destroyed(struct list *l, struct vchan_case c)
{
    c.how = DESTROY;
    c.server_ends = l->set == SET_DESTROY_SERVERS;
    if ((c.server_ends ? c.client : c.server) == LIBXENVCHAN)
        return;
    end_at(l, c, IDLE, 0);
    end_at(l, c, WROTE, 1);
    end_at(l, c, WROTE, 3000);
    end_at(l, c, FULL, 0);
    end_at(l, c, BOTH, 0);
    end_at(l, c, BLOCKED, 0);
    end_at(l, c, TOOK, 5000);
    if ((c.server_ends ? c.server : c.client) != LIBXENVCHAN)
        end_at(l, c, UNFLUSHED, 100);
}

void case_each(int set, void (*run)(void *ctx, const struct vchan_case *c), void *ctx)
{
    struct list l = {.set = set, .run = run, .ctx = ctx};
    for (int server = XIDS; server < IMPLEMENTATIONS; server++)
        for (int client = XIDS; client < IMPLEMENTATIONS; client++) {
            struct vchan_case c = {.server = (enum implementation)server, .client = (enum implementation)client};
            if (case_at_once(set)) {
                destroyed(&l, c);
                continue;
            }
            exchanges(&l, c.server, c.client);
            for (int who = 0; who < 2; who++) {
                c.server_ends = who == 0;
                ends(&l, c);
            }
        }
}

/* ---- in words ---- */

static const char *name_of(enum implementation by)
{
    static const char *const names[] = {"xids", "xids without the extension", "libxenvchan"};
    return names[by];
}

void case_group(char *text, size_t size, const struct vchan_case *c)
{
    static const char *const hows[] = {"", "closes", "is killed", "is stopped and killed", "is destroyed"};
    if (c->how == NOT)
        (void)snprintf(text, size, "server %s, client %s: %s", name_of(c->server), name_of(c->client),
                       c->packets ? "packets" : "a stream");
    else
        (void)snprintf(text, size, "server %s, client %s: the %s%s %s", name_of(c->server), name_of(c->client),
                       c->server_ends ? "server" : "client", c->how == DESTROY ? "'s domain" : "", hows[c->how]);
}

void case_point(char *text, size_t size, const struct vchan_case *c)
{
    static const struct {
        const char *before, *after; /* the number; NULL: there is none */
    } whens[] = {
        [IDLE] = {"the other asleep", NULL},
        [WROTE] = {"after ", " bytes"},
        [FULL] = {"its ring full", NULL},
        [BOTH] = {"both rings full", NULL},
        [BLOCKED] = {"the other's ring full", NULL},
        [TOOK] = {"after reading ", " bytes"},
        [UNFLUSHED] = {"with ", " bytes not published"},
        [HALF_CLOSED] = {"half-closed", NULL},
        [SILENT] = {"asked whether it is alive", NULL},
        [AFTER_CLOSE] = {"right after the other's close", NULL},
        [AT_CONNECT] = {"system call ", " of the opening"},
        [AT_WRITE] = {"instruction ", " of a write"},
        [AT_READ] = {"instruction ", " of a read"},
        [AT_CLOSE] = {"system call ", " of the closing"},
    };
    const char *after = whens[c->when].after, *packets = c->packets ? ", packets" : "";
    if (c->how == NOT)
        (void)snprintf(text, size, "orders %u and %u", c->left, c->right);
    else if (after == NULL)
        (void)snprintf(text, size, "%s, orders %u and %u%s", whens[c->when].before, c->left, c->right, packets);
    else
        (void)snprintf(text, size, "%s%u%s, orders %u and %u%s", whens[c->when].before, c->n, after, c->left, c->right,
                       packets);
}

uint32_t case_unit(const struct vchan_case *c, uint32_t ring_size)
{
    return !c->packets ? 1 : ring_size / 3 < 2000 ? ring_size / 3 : 1999;
}

bool case_steps(const struct vchan_case *c)
{
    return c->when >= AT_CONNECT && c->how != NOT;
}
