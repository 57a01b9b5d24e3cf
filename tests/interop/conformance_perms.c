/* SPDX-License-Identifier: ISC */
/* Rules: who may do what. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>

static void own_node(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char want[32];
    give(s, "/c/its", g);
    done(g, XS_WRITE, "/c/its/a|v");
    (void)snprintf(want, sizeof(want), "n%u|", g->domid);
    says(s, XS_GET_PERMS, want, "/c/its/a|");
    done(g, XS_RM, "/c/its/a|");
}

static void inherited(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    char want[32];
    done(s, XS_MKDIR, "/c/d|");
    done(s, XS_SET_PERMS, "/c/d|n0|b%u|r%u|", g->domid, h->domid);
    done(s, XS_MKDIR, "/c/d/dom0|");
    (void)snprintf(want, sizeof(want), "n0|b%u|r%u|", g->domid, h->domid);
    says(s, XS_GET_PERMS, want, "/c/d/dom0|");
    done(g, XS_MKDIR, "/c/d/its|");
    (void)snprintf(want, sizeof(want), "n%u|b%u|r%u|", g->domid, g->domid, h->domid);
    says(s, XS_GET_PERMS, want, "/c/d/its|");
}

/* Domain 0 gives a guest's directory a child: it stays the guest's. */
static void inherited_owner(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char want[32];
    give(s, "/c/its", g);
    done(s, XS_MKDIR, "/c/its/a|");
    (void)snprintf(want, sizeof(want), "n%u|", g->domid);
    says(s, XS_GET_PERMS, want, "/c/its/a|");
}

static void each_letter(void)
{
    static const struct {
        char letter;
        bool read, write;
    } rights[] = {{'n', false, false}, {'r', true, false}, {'w', false, true}, {'b', true, true}};
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    for (unsigned int i = 0; i < 4; i++) {
        for (unsigned int entry = 0; entry < 2; entry++) {
            done(s, XS_WRITE, "/c/a|v");
            if (entry == 0)
                done(s, XS_SET_PERMS, "/c/a|%c0|", rights[i].letter);
            else
                done(s, XS_SET_PERMS, "/c/a|n0|%c%u|", rights[i].letter, g->domid);
            says(g, XS_READ, rights[i].read ? "v" : "!EACCES", "/c/a|");
            says(g, XS_DIRECTORY, rights[i].read ? "" : "!EACCES", "/c/a|");
            says(g, XS_WRITE, rights[i].write ? "OK|" : "!EACCES", "/c/a|v");
        }
    }
}

static void own_entry_counts(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|r0|n%u|", g->domid);
    says(g, XS_READ, "!EACCES", "/c/a|");
    says(h, XS_READ, "v", "/c/a|");
}

static void first_entry_counts(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|n0|r%u|n%u|", g->domid, g->domid);
    says(g, XS_READ, "v", "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|n0|n%u|r%u|", g->domid, g->domid);
    says(g, XS_READ, "!EACCES", "/c/a|");
}

static void owner_may_all(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|n%u|n%u|", g->domid, g->domid);
    says(g, XS_READ, "v", "/c/a|");
    done(g, XS_WRITE, "/c/a|w");
    done(g, XS_SET_PERMS, "/c/a|r%u|", g->domid);
}

static void only_owner_sets(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|b0|");
    says(g, XS_SET_PERMS, "!EACCES", "/c/a|b0|r%u|", g->domid);
    says(g, XS_GET_PERMS, "b0|", "/c/a|");
}

static void owner_change(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    char want[32];
    give(s, "/c/its", g);
    says(g, XS_SET_PERMS, "!EPERM", "/c/its|n%u|", h->domid);
    says(g, XS_SET_PERMS, "!EPERM", "/c/its|n0|");
    (void)snprintf(want, sizeof(want), "n%u|", g->domid);
    says(s, XS_GET_PERMS, want, "/c/its|");
    done(s, XS_SET_PERMS, "/c/its|n%u|", h->domid);
}

static void dead_owner(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/a|");
    says(s, XS_SET_PERMS, "!ENOENT", "/c/a|n%u|", domid_of(3));
    says(s, XS_GET_PERMS, "n0|", "/c/a|");
}

static void dead_entry(void)
{
    struct client *s = socket_client();
    char want[32];
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|n0|r%u|", domid_of(2));
    (void)snprintf(want, sizeof(want), "n0|r%u|", domid_of(2));
    says(s, XS_GET_PERMS, want, "/c/a|");
    says(guest(2), XS_READ, "!EACCES", "/c/a|");
}

static void every_domain(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|n0|r32757|");
    says(s, XS_GET_PERMS, "n0|r32757|", "/c/a|");
    says(g, XS_READ, "v", "/c/a|");
    says(h, XS_READ, "v", "/c/a|");
    says(h, XS_WRITE, "!EACCES", "/c/a|w");
}

static void every_domain_offered(void)
{
    NEED((page_word(guest(0), FIELD(server_features)) & XIDS_XS_FEATURE_DOMID_ANY) != 0);
}

static void bad_perms(void)
{
    static const char *const bad[] = {"x0", "0", "r", "nx", "n-1x", "", "R0"};
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/a|");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        says(s, XS_SET_PERMS, "!EINVAL", "/c/a|%s|", bad[i]);
    says(s, XS_SET_PERMS, "!EINVAL", "/c/a|");
    says(s, XS_GET_PERMS, "n0|", "/c/a|");
}

static void reserved_bytes(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|b0|reserved");
    says(s, XS_GET_PERMS, "b0|", "/c/a|");
}

static void root_perms(void)
{
    struct client *s = socket_client(), *g = guest(0);
    NEED(ask(s, XS_GET_PERMS, 0, "/|")[0] != '!');
    says(g, XS_SET_PERMS, "!EACCES", "/|b%u|", g->domid);
    says(g, XS_WRITE, "!EACCES", "/mine|v");
    says(g, XS_MKDIR, "!EACCES", "/c/mine|");
}

static void between_guests(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    give(s, "/c/its", g);
    done(g, XS_WRITE, "/c/its/a|v");
    says(h, XS_READ, "!EACCES", "/c/its/a|");
    done(g, XS_SET_PERMS, "/c/its/a|n%u|r%u|", g->domid, h->domid);
    says(h, XS_READ, "v", "/c/its/a|");
    says(h, XS_WRITE, "!EACCES", "/c/its/a|w");
    says(h, XS_RM, "!EACCES", "/c/its/a|");
}

const struct rule perm_rules[] = {
    {"perms-own", "a guest owns what it creates", own_node},
    {"perms-inherited", "the entries come from the directory", inherited},
    {"perms-inherited-owner", "for domain 0 the owner does too", inherited_owner},
    {"perms-letters", "n, r, w and b, of the first entry for all, of another for its domain", each_letter},
    {"perms-own-entry", "an entry takes away as well as it gives", own_entry_counts},
    {"perms-first-entry", "the first entry of a domain counts", first_entry_counts},
    {"perms-owner", "the owner may do everything", owner_may_all},
    {"perms-only-owner", "nobody else may set permissions", only_owner_sets},
    {"perms-owner-change", "the owner may not give a node away: EPERM", owner_change},
    {"perms-dead-owner", "a domain that does not exist cannot own: ENOENT", dead_owner},
    {"perms-dead-entry", "an entry for one is kept, shown, and void", dead_entry},
    {"perms-any", "an entry for 32757 is for every domain", every_domain},
    {"perms-any-feature", "server_features says so", every_domain_offered},
    {"perms-bad", "what is no permission is EINVAL", bad_perms},
    {"perms-reserved", "bytes behind the last permission are reserved", reserved_bytes},
    {"perms-root", "a guest has no right to /", root_perms},
    {"perms-guests", "a guest lets in whom it names", between_guests},
    {NULL, NULL, NULL},
};
