/* SPDX-License-Identifier: ISC */
/* Rules: what a path is, what may be known, what a request makes of a node. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>

/* ---- hiding ---- */

static void hidden_is_eacces(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c/hidden|");
    done(s, XS_SET_PERMS, "/c/hidden|n0|");
    says(g, XS_READ, "!EACCES", "/c/hidden/no|");
    says(g, XS_DIRECTORY, "!EACCES", "/c/hidden/no|");
    says(g, XS_GET_PERMS, "!EACCES", "/c/hidden/no|");
    says(g, XS_WRITE, "!EACCES", "/c/hidden/no|v");
    says(g, XS_MKDIR, "!EACCES", "/c/hidden/no|");
    says(g, XS_RM, "!EACCES", "/c/hidden/no|");
}

static void hidden_deep(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c/hidden|");
    done(s, XS_SET_PERMS, "/c/hidden|n0|");
    says(g, XS_READ, "!EACCES", "/c/hidden/no/such/path|");
}

static void open_is_enoent(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c/open|");
    done(s, XS_SET_PERMS, "/c/open|r0|");
    says(g, XS_READ, "!ENOENT", "/c/open/no|");
    says(g, XS_DIRECTORY, "!ENOENT", "/c/open/no|");
    says(g, XS_READ, "!ENOENT", "/c/open/no/such/path|");
}

static void existing_unreadable(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_WRITE, "/c/open/secret|v");
    done(s, XS_SET_PERMS, "/c/open|r0|");
    done(s, XS_SET_PERMS, "/c/open/secret|n0|");
    says(g, XS_READ, "!EACCES", "/c/open/secret|");
    says(g, XS_WRITE, "!EACCES", "/c/open/secret|w");
    says(s, XS_READ, "v", "/c/open/secret|");
}

static void root_missing(void)
{
    struct client *s = socket_client();
    says(s, XS_READ, "!ENOENT", "/c/no|");
    says(s, XS_DIRECTORY, "!ENOENT", "/c/no/such|");
    says(s, XS_GET_PERMS, "!ENOENT", "/c/no|");
    says(s, XS_SET_PERMS, "!ENOENT", "/c/no|n0|");
}

/* ---- paths ---- */

static void bad_everywhere(const char *path)
{
    struct client *s = socket_client();
    says(s, XS_READ, "!EINVAL", "%s|", path);
    says(s, XS_WRITE, "!EINVAL", "%s|v", path);
    says(s, XS_MKDIR, "!EINVAL", "%s|", path);
    says(s, XS_RM, "!EINVAL", "%s|", path);
    says(s, XS_DIRECTORY, "!EINVAL", "%s|", path);
    says(s, XS_GET_PERMS, "!EINVAL", "%s|", path);
    says(s, XS_WATCH, "!EINVAL", "%s|t|", path);
}

static void path_double_slash(void)
{
    bad_everywhere("/c//x");
    bad_everywhere("//");
}

static void path_trailing_slash(void)
{
    bad_everywhere("/c/");
}

static void path_empty(void)
{
    bad_everywhere("");
}

static void path_characters(void)
{
    static const char *const bad[] = {"/c/a b", "/c/a.b", "/c/a:b", "/c/\xc3\xa4", "/c/\x01", "/c/a\\b", "/c/*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        bad_everywhere(bad[i]);
}

static void path_legal(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/aZ09-_@/x|v");
    says(s, XS_READ, "v", "/c/aZ09-_@/x|");
}

static void path_at_inside(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/@b|v");
    says(s, XS_READ, "v", "/c/@b|");
}

static void path_special_unknown(void)
{
    struct client *s = socket_client();
    says(s, XS_READ, "!EINVAL", "@foo|");
    says(s, XS_WRITE, "!EINVAL", "@foo|v");
    says(s, XS_MKDIR, "!EINVAL", "@foo|");
}

static void path_special_read(void)
{
    struct client *s = socket_client();
    says(s, XS_READ, "!EINVAL", "@releaseDomain|");
    says(s, XS_DIRECTORY, "!EINVAL", "@releaseDomain|");
}

/* A store that does remove it has no deaths to tell any more: so this comes in a transaction that is given up. */
static void path_special_rm(void)
{
    struct client *s = socket_client();
    uint32_t tx = start(s);
    says_in(s, tx, XS_RM, "!EINVAL", "@releaseDomain|");
    done_in(s, tx, XS_TRANSACTION_END, "F|");
}

static void path_special_perms(void)
{
    struct client *s = socket_client();
    const char *perms = ask(s, XS_GET_PERMS, 0, "@introduceDomain|");
    NEED(strncmp(perms, "n0|", 3) == 0);
    done(s, XS_SET_PERMS, "@introduceDomain|n0|");
    says(s, XS_GET_PERMS, "n0|", "@introduceDomain|");
}

static void path_relative_socket(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "c-relative|v");
    says(s, XS_READ, "v", "/local/domain/0/c-relative|");
    done(s, XS_RM, "c-relative|");
}

static void path_relative_guest(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char home[64];
    (void)snprintf(home, sizeof(home), "/local/domain/%u/data", g->domid);
    give(s, home, g);
    done(g, XS_WRITE, "data/x|v");
    says(s, XS_READ, "v", "%s/x|", home);
}

/* A path of len bytes in all that begins with start; names of at most 100 bytes, in a buffer that holds it. */
static const char *long_path(const char *begin, size_t len)
{
    static char path[XIDS_XSWIRE_PAYLOAD_MAX];
    size_t at = (size_t)snprintf(path, sizeof(path), "%s", begin);
    for (; at < len; at++)
        path[at] = at % 100 == 0 && at + 1 < len && path[at - 1] != '/' ? '/' : 'p';
    path[len] = '\0';
    return path;
}

static void path_limit_guest(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|r0|");
    says(g, XS_READ, "!ENOENT", "%s|", long_path("/c/", 2047));
    says(g, XS_READ, "!EINVAL", "%s|", long_path("/c/", 2048));
    says(g, XS_READ, "!EINVAL", "%s|", long_path("/c/", 3000));
}

static void path_limit_prefix(void)
{
    struct client *g = guest(0);
    char home[64];
    size_t len = (size_t)snprintf(home, sizeof(home), "/local/domain/%u/", g->domid);
    NEED(strcmp(ask(g, XS_READ, 0, "%s|", long_path(home, len + 2047)), "!EINVAL") != 0);
    says(g, XS_READ, "!EINVAL", "%s|", long_path(home, len + 2048));
    /* The same said relative to it. */
    NEED(strcmp(ask(g, XS_READ, 0, "%s|", long_path("r", 2047)), "!EINVAL") != 0);
    says(g, XS_READ, "!EINVAL", "%s|", long_path("r", 2048));
}

static void path_limit_dom0(void)
{
    struct client *s = socket_client();
    char path[XIDS_XSWIRE_PAYLOAD_MAX];
    (void)snprintf(path, sizeof(path), "%s", long_path("/c/", 3073));
    done(s, XS_WRITE, "%s|v", path);
    says(s, XS_READ, "v", "%s|", path);
    says(s, XS_READ, "!ENOENT", "%s|", long_path("/c/q", 4000));
}

/* ---- nodes ---- */

static void write_makes_parents(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/a/b/d|v");
    says(s, XS_READ, "", "/c/a/b|");
    says(s, XS_READ, "", "/c/a|");
    says(s, XS_DIRECTORY, "d|", "/c/a/b|");
}

static void write_keeps_children(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/a/b|1");
    done(s, XS_WRITE, "/c/a|2");
    says(s, XS_READ, "1", "/c/a/b|");
    says(s, XS_READ, "2", "/c/a|");
}

static void mkdir_keeps_value(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_MKDIR, "/c/a|");
    says(s, XS_READ, "v", "/c/a|");
    done(s, XS_MKDIR, "/c/e/f|");
    says(s, XS_READ, "", "/c/e/f|");
}

static void value_is_bytes(void)
{
    static const char request[] = "/c/bytes\0a\0b\xff\n\0";
    struct client *s = socket_client();
    NEED(strcmp(ask_bytes(s, XS_WRITE, 0, request, sizeof(request) - 1), "OK|") == 0);
    says(s, XS_READ, "a|b\xff\n|", "/c/bytes|");
    done(s, XS_WRITE, "/c/bytes|");
    says(s, XS_READ, "", "/c/bytes|");
}

static void root_node(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    const char *names = ask(s, XS_DIRECTORY, 0, "/|");
    NEED(strstr(names, "tool|") != NULL && strstr(names, "c|") != NULL);
}

const struct rule node_rules[] = {
    {"hidden-eacces", "under a directory that a guest may not read or write, a missing node is EACCES",
     hidden_is_eacces},
    {"hidden-deep", "so it is several levels below", hidden_deep},
    {"open-enoent", "under a readable one it is ENOENT", open_is_enoent},
    {"unreadable-eacces", "a node that a guest may not read or write is EACCES", existing_unreadable},
    {"missing-dom0", "for domain 0 a missing node is ENOENT", root_missing},
    {"path-double-slash", "// in a path, or alone, is EINVAL", path_double_slash},
    {"path-trailing-slash", "a path that ends in / is EINVAL", path_trailing_slash},
    {"path-empty", "an empty path is EINVAL", path_empty},
    {"path-characters", "other characters than letters, digits and -/_@ are EINVAL", path_characters},
    {"path-legal", "all of these characters can be used", path_legal},
    {"path-at-inside", "an @ may stand at the start of a name", path_at_inside},
    {"path-special-unknown", "@foo is EINVAL", path_special_unknown},
    {"path-special-read", "READ and DIRECTORY of @releaseDomain are EINVAL", path_special_read},
    {"path-special-rm", "RM of @releaseDomain is EINVAL", path_special_rm},
    {"path-special-perms", "GET_PERMS and SET_PERMS of @introduceDomain are allowed", path_special_perms},
    {"path-relative-socket", "a relative path over a socket means /local/domain/0/", path_relative_socket},
    {"path-relative-guest", "a guest's relative path means its own directory", path_relative_guest},
    {"path-limit-guest", "a guest's path of 2048 bytes or more is EINVAL", path_limit_guest},
    {"path-limit-prefix", "/local/domain/N/ does not count", path_limit_prefix},
    {"path-limit-dom0", "domain 0's is bounded by the message alone", path_limit_dom0},
    {"write-parents", "WRITE creates missing parents with empty values", write_makes_parents},
    {"write-children", "a value and children go together", write_keeps_children},
    {"mkdir-value", "MKDIR leaves what exists as it is", mkdir_keeps_value},
    {"value-bytes", "a value is any bytes, also none", value_is_bytes},
    {"root", "/ lists its children", root_node},
    {NULL, NULL, NULL},
};
