/* SPDX-License-Identifier: ISC */
/* Rules: the toolstack's requests about domains, and what only it may ask. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>

static void privileged_only(void)
{
    static const uint32_t types[] = {XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_IS_DOMAIN_INTRODUCED,
                                     XS_RESUME,  XS_SET_TARGET};
    struct client *g = guest(0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        says(g, types[i], "!EACCES", "%u|1|1|", g->domid);
}

static void introduce_twice_known(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    says(s, XS_IS_DOMAIN_INTRODUCED, "F|", "%u|", g->domid);
    introduce(s, g);
    says(s, XS_IS_DOMAIN_INTRODUCED, "T|", "%u|", g->domid);
}

static void introduce_bad(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    says(s, XS_INTRODUCE, "!EINVAL", "%u|%u|0|", g->domid, g->frame);
    says(s, XS_INTRODUCE, "!EINVAL", "%u|%u|", g->domid, g->frame);
    says(s, XS_INTRODUCE, "!EINVAL", "x%u|%u|%u|", g->domid, g->frame, g->port);
    says(s, XS_IS_DOMAIN_INTRODUCED, "F|", "%u|", g->domid);
    introduce(s, g);
}

static void introduce_nobody(void)
{
    struct client *s = socket_client();
    NEED(ask(s, XS_INTRODUCE, 0, "%u|1|1|", domid_of(3))[0] == '!');
    says(s, XS_IS_DOMAIN_INTRODUCED, "F|", "%u|", domid_of(3));
}

/* The word behind the error field: set for domains that Xen itself builds. */
static void introduce_port_of_page(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    set_page_word(g, FIELD(error) + 4, g->port);
    done(s, XS_INTRODUCE, "%u|%u|%u|", g->domid, g->frame, g->port + 1000);
    reattach(g);
    says(g, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
}

static void introduce_more_strings(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    done(s, XS_INTRODUCE, "%u|%u|%u||", g->domid, g->frame, g->port);
}

/* After it the guest's watches and transactions are gone, and its ring is empty. */
static void introduce_again(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    watch(g, "/c/its|t|");
    uint32_t tx = start(g);
    introduce(s, g);
    done(s, XS_WRITE, "/c/its|v");
    hears_nothing(g);
    says_in(g, tx, XS_READ, "!ENOENT", "/c/its|");
    says(g, XS_READ, "v", "/c/its|");
    watch(g, "/c/its|t|");
}

static void introduce_again_in_message(void)
{
    static const uint32_t half[] = {XS_READ, 9, 0, 7};
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|r0|");
    send_bytes(g, half, sizeof(half));
    send_bytes(g, "/c/", 3);
    for (unsigned int i = 0; page_word(g, FIELD(req_cons)) != page_word(g, FIELD(req_prod)) && i < 100; i++)
        (void)ask(s, XS_GET_DOMAIN_PATH, 0, "7|");
    introduce(s, g);
    says(g, XS_READ, "v", "/c/a|");
}

static void introduce_again_silent(void)
{
    struct client *s = socket_client(), *g = guest(0);
    watch(s, "@introduceDomain|t|");
    introduce(s, g);
    hears_nothing(s);
}

static void introduced_self(void)
{
    struct client *s = socket_client();
    says(s, XS_IS_DOMAIN_INTRODUCED, "T|", "32752|");
    says(s, XS_IS_DOMAIN_INTRODUCED, "T|", "0|");
    says(s, XS_IS_DOMAIN_INTRODUCED, "F|", "32000|");
    says(s, XS_IS_DOMAIN_INTRODUCED, "!EINVAL", "abc|");
    says(s, XS_IS_DOMAIN_INTRODUCED, "!EINVAL", "65536|");
}

static void domain_path(void)
{
    struct client *s = socket_client(), *g = guest(0);
    says(s, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
    says(g, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
    says(s, XS_GET_DOMAIN_PATH, "/local/domain/7|", "007|");
}

static void domain_path_strict(void)
{
    struct client *s = socket_client();
    says(s, XS_GET_DOMAIN_PATH, "!EINVAL", "abc|");
    says(s, XS_GET_DOMAIN_PATH, "!EINVAL", "7x|");
    says(s, XS_GET_DOMAIN_PATH, "!EINVAL", "65536|");
    says(s, XS_GET_DOMAIN_PATH, "!EINVAL", "-1|");
}

static void release_errors(void)
{
    struct client *s = socket_client();
    says(s, XS_RELEASE, "!ENOENT", "%u|", domid_of(3));
    says(s, XS_RELEASE, "!EINVAL", "0|");
    says(s, XS_RELEASE, "!EINVAL", "abc|");
}

static void resume_errors(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_RESUME, "%u|", g->domid);
    says(s, XS_RESUME, "!ENOENT", "%u|", domid_of(3));
    says(s, XS_RESUME, "!EINVAL", "0|");
}

/* ---- SET_TARGET ---- */

static void target_rights(void)
{
    struct client *s = socket_client(), *g = guest(0), *target = guest(1);
    give(s, "/c/its", target);
    done(s, XS_WRITE, "/c/read|v");
    done(s, XS_SET_PERMS, "/c/read|n0|r%u|", target->domid);
    says(g, XS_READ, "!EACCES", "/c/its|");
    done(s, XS_SET_TARGET, "%u|%u|", g->domid, target->domid);
    done(g, XS_WRITE, "/c/its/a|v");
    says(g, XS_READ, "v", "/c/read|");
    says(target, XS_WRITE, "!EACCES", "/c/read|w");
    says(g, XS_WRITE, "!EACCES", "/c/read|w");
}

static void target_perms(void)
{
    struct client *s = socket_client(), *g = guest(0), *target = guest(1);
    give(s, "/c/its", target);
    done(s, XS_SET_TARGET, "%u|%u|", g->domid, target->domid);
    done(g, XS_SET_PERMS, "/c/its|r%u|", target->domid);
}

static void target_errors(void)
{
    struct client *s = socket_client(), *g = guest(0);
    says(s, XS_SET_TARGET, "!ENOENT", "%u|%u|", g->domid, domid_of(3));
    says(s, XS_SET_TARGET, "!ENOENT", "%u|%u|", domid_of(3), g->domid);
    says(s, XS_SET_TARGET, "!EINVAL", "%u|", g->domid);
    says(s, XS_SET_TARGET, "!EINVAL", "abc|%u|", g->domid);
}

static void target_dies(void)
{
    struct client *s = socket_client(), *g = guest(0), *target = guest(1);
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_TARGET, "%u|%u|", g->domid, target->domid);
    domain_dies(target);
    wait_until_unknown(s, target);
    target = reborn(1);
    introduce(s, target);
    done(s, XS_SET_PERMS, "/c/a|n0|b%u|", target->domid);
    done(target, XS_WRITE, "/c/a|v");
    says(g, XS_READ, "!EACCES", "/c/a|");
}

/* ---- RESET_WATCHES ---- */

static void reset_watches(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    watch(g, "/c/its|t|");
    watch(g, "/c/its|u|");
    done(g, XS_RESET_WATCHES, "|");
    done(g, XS_WRITE, "/c/its|v");
    hears_nothing(g);
    watch(g, "/c/its|t|");
}

static void reset_transactions(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    uint32_t tx = start(g);
    done_in(g, tx, XS_WRITE, "/c/its|v");
    done(g, XS_RESET_WATCHES, "|");
    says_in(g, tx, XS_TRANSACTION_END, "!ENOENT", "T|");
    says(g, XS_READ, "", "/c/its|");
}

/* ---- CONTROL ---- */

static void control(void)
{
    struct client *s = socket_client();
    says(s, XS_CONTROL, "!EINVAL", "frobnicate|");
    NEED(ask(s, XS_CONTROL, 0, "help|")[0] != '!');
    NEED(ask(s, XS_CONTROL, 0, "check|")[0] != '!');
    says(s, XS_CONTROL, "OK|", "print|conformance|");
}

const struct rule domain_rules[] = {
    {"privileged", "what the toolstack asks is EACCES for a guest", privileged_only},
    {"introduce", "IS_DOMAIN_INTRODUCED tells of INTRODUCE", introduce_twice_known},
    {"introduce-bad", "INTRODUCE without a domid or a port is EINVAL", introduce_bad},
    {"introduce-nobody", "INTRODUCE of a domain that does not exist is an error", introduce_nobody},
    {"introduce-page-port", "a port in the page counts more than the one that INTRODUCE names", introduce_port_of_page},
    {"introduce-reserved", "INTRODUCE may have one more string", introduce_more_strings},
    {"introduce-again", "INTRODUCE again forgets the ring, watches and transactions", introduce_again},
    {"introduce-in-message", "also in the middle of a message", introduce_again_in_message},
    {"introduce-again-silent", "and fires nothing", introduce_again_silent},
    {"introduced-values", "IS_DOMAIN_INTRODUCED is T for DOMID_SELF and 0, and wants a number", introduced_self},
    {"domain-path", "GET_DOMAIN_PATH gives the number back in its plain form", domain_path},
    {"domain-path-strict", "what is no domid is EINVAL", domain_path_strict},
    {"release-errors", "RELEASE of an unknown domain is ENOENT, of domain 0 EINVAL", release_errors},
    {"resume-errors", "RESUME likewise", resume_errors},
    {"target-rights", "SET_TARGET gives a domain the rights of another", target_rights},
    {"target-owner", "also those of an owner", target_perms},
    {"target-errors", "SET_TARGET wants two known domains", target_errors},
    {"target-dies", "it ends with the target", target_dies},
    {"reset-watches", "RESET_WATCHES takes all watches away", reset_watches},
    {"reset-transactions", "and ends all transactions", reset_transactions},
    {"control", "CONTROL knows help, check and print, and not everything", control},
    {NULL, NULL, NULL},
};
