/* SPDX-License-Identifier: ISC */
/* Nodes, paths, answers, rights and limits, as a client of the server sees them. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *c;

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

/* A payload made of a path of len bytes and a value. */
static const char *long_path(const char *start, size_t len, const char *rest)
{
    static char text[8192];
    size_t n = strlen(start);
    memcpy(text, start, n);
    memset(text + n, 'p', len - n);
    strcpy(text + len, rest);
    return text;
}

START_TEST(a_new_store_has_tool_xenstored_and_nothing_else)
{
    EXPECT(c, XS_DIRECTORY, "/|", "directory tool|");
    EXPECT(c, XS_DIRECTORY, "/tool|", "directory xenstored|");
    EXPECT(c, XS_DIRECTORY, "/tool/xenstored|", "directory ");
    EXPECT(c, XS_GET_PERMS, "/|", "get-perms n0|");
    EXPECT(c, XS_GET_PERMS, "@introduceDomain|", "get-perms n0|");
    EXPECT(c, XS_GET_PERMS, "@releaseDomain|", "get-perms n0|r32757|");
}
END_TEST

START_TEST(a_value_is_read_as_it_was_written_without_a_nul_added)
{
    EXPECT(c, XS_WRITE, "/a|value", "write OK|");
    EXPECT(c, XS_READ, "/a|", "read value");
    EXPECT(c, XS_WRITE, "/a|", "write OK|");
    EXPECT(c, XS_READ, "/a|", "read ");
}
END_TEST

START_TEST(a_value_may_hold_nuls)
{
    EXPECT(c, XS_WRITE, "/a|x|y||", "write OK|");
    EXPECT(c, XS_READ, "/a|", "read x|y||");
}
END_TEST

START_TEST(values_of_every_length_are_kept)
{
    char payload[320] = "/v|", want[320] = "read ";
    for (size_t len = 0; len < 300; len += 7) {
        memset(payload + 3, 'v', len);
        memset(want + 5, 'v', len);
        EXPECT(c, XS_WRITE, payload, "write OK|");
        EXPECT(c, XS_READ, "/v|", want);
    }
}
END_TEST

START_TEST(writing_creates_missing_parents)
{
    EXPECT(c, XS_WRITE, "/a/b/c|1", "write OK|");
    EXPECT(c, XS_READ, "/a/b|", "read ");
    EXPECT(c, XS_DIRECTORY, "/a|", "directory b|");
}
END_TEST

START_TEST(mkdir_of_an_existing_node_keeps_its_value)
{
    EXPECT(c, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_MKDIR, "/a|", "mkdir OK|");
    EXPECT(c, XS_READ, "/a|", "read 1");
}
END_TEST

START_TEST(names_are_listed_in_the_order_of_creation)
{
    EXPECT(c, XS_MKDIR, "/d/z|", "mkdir OK|");
    EXPECT(c, XS_MKDIR, "/d/a|", "mkdir OK|");
    EXPECT(c, XS_MKDIR, "/d/m|", "mkdir OK|");
    EXPECT(c, XS_DIRECTORY, "/d|", "directory z|a|m|");
    EXPECT(c, XS_WRITE, "/d/a|a longer value than before", "write OK|");
    EXPECT(c, XS_DIRECTORY, "/d|", "directory z|a|m|");
    EXPECT(c, XS_RM, "/d/z|", "rm OK|");
    EXPECT(c, XS_MKDIR, "/d/z|", "mkdir OK|");
    EXPECT(c, XS_DIRECTORY, "/d|", "directory a|m|z|");
}
END_TEST

START_TEST(removing_takes_everything_below)
{
    EXPECT(c, XS_WRITE, "/a/b/c|1", "write OK|");
    EXPECT(c, XS_WRITE, "/a/d|1", "write OK|");
    EXPECT(c, XS_RM, "/a|", "rm OK|");
    EXPECT(c, XS_READ, "/a/b/c|", "error ENOENT|");
    EXPECT(c, XS_READ, "/a|", "error ENOENT|");
    ck_assert_uint_eq(xids_store_nodes(xids_xs_server_store(w->server)), 5);
}
END_TEST

START_TEST(removing_a_missing_leaf_is_fine_and_a_missing_parent_is_not)
{
    EXPECT(c, XS_RM, "/nothing|", "rm OK|");
    EXPECT(c, XS_RM, "/no/thing|", "error ENOENT|");
}
END_TEST

START_TEST(the_root_cannot_be_removed)
{
    EXPECT(c, XS_RM, "/|", "error EINVAL|");
    EXPECT(c, XS_DIRECTORY, "/|", "directory tool|");
}
END_TEST

START_TEST(relative_paths_over_a_socket_mean_domain_0)
{
    EXPECT(c, XS_WRITE, "rel|x", "write OK|");
    EXPECT(c, XS_READ, "/local/domain/0/rel|", "read x");
    EXPECT(c, XS_READ, "rel|", "read x");
}
END_TEST

static const char *const bad_paths[] = {"//|",   "/a//b|",          "/a/|", "|", "/a b|", "/a.b|",
                                        "@foo|", "@releaseDomain|", "@|"};

START_TEST(a_bad_path_is_einval)
{
    EXPECT(c, XS_READ, bad_paths[_i], "error EINVAL|");
    EXPECT(c, XS_MKDIR, bad_paths[_i], "error EINVAL|");
    EXPECT(c, XS_RM, bad_paths[_i], "error EINVAL|");
    EXPECT(c, XS_DIRECTORY, bad_paths[_i], "error EINVAL|");
}
END_TEST

START_TEST(an_at_sign_inside_a_path_is_legal)
{
    EXPECT(c, XS_WRITE, "/a/@b|1", "write OK|");
    EXPECT(c, XS_READ, "/a/@b|", "read 1");
    EXPECT(c, XS_WRITE, "/@foo|1", "write OK|");
    EXPECT(c, XS_READ, "/@foo|", "read 1");
}
END_TEST

static const struct {
    uint32_t type;
    const char *payload;
} bad_framing[] = {
    {XS_READ, ""},
    {XS_READ, "/tool"},
    {XS_READ, "/tool||"},
    {XS_READ, "/tool|x"},
    {XS_DIRECTORY, "/"},
    {XS_RM, "/tool|x|"},
    {XS_MKDIR, "/m"},
    {XS_WRITE, "/w"},
    {XS_GET_PERMS, "/||"},
    {XS_SET_PERMS, "/tool|"},
    {XS_SET_PERMS, "/tool|n0"},
    {XS_WATCH, "/tool|"},
    {XS_WATCH, "/tool"},
    {XS_WATCH, "/tool|tok"},
    {XS_UNWATCH, "/tool|"},
    {XS_DIRECTORY_PART, "/tool|"},
    {XS_DIRECTORY_PART, "/tool|x|"},
    {XS_TRANSACTION_END, "T"},
    {XS_TRANSACTION_END, "X|"},
    {XS_GET_DOMAIN_PATH, "1"},
    {XS_GET_DOMAIN_PATH, "abc|"},
    {XS_GET_DOMAIN_PATH, "65536|"},
    {XS_INTRODUCE, "1|2|"},
    {XS_INTRODUCE, "1|2|0|"},
    {XS_INTRODUCE, "x|2|3|"},
    {XS_IS_DOMAIN_INTRODUCED, ""},
    {XS_SET_TARGET, "1|"},
    {XS_CONTROL, ""},
};

START_TEST(a_payload_that_is_not_framed_right_is_einval)
{
    EXPECT(c, bad_framing[_i].type, bad_framing[_i].payload, "error EINVAL|");
    EXPECT(c, XS_READ, "/tool|", "read ");
}
END_TEST

static const uint32_t unknown_types[] = {XS_WATCH_EVENT, XS_ERROR, 20, 27, 28, 1000, XS_INVALID, UINT32_MAX};

START_TEST(an_unknown_operation_is_enosys)
{
    EXPECT(c, unknown_types[_i], "/|", "error ENOSYS|");
}
END_TEST

START_TEST(an_answer_over_4096_bytes_is_e2big)
{
    char payload[64];
    for (int i = 0; i < 600; i++) {
        (void)sprintf(payload, "/big/child%04d|", i);
        EXPECT(c, XS_MKDIR, payload, "mkdir OK|");
    }
    EXPECT(c, XS_DIRECTORY, "/big|", "error E2BIG|");
}
END_TEST

/* Lists a directory by parts. Returns the number of names. */
static unsigned int list_by_parts(const char *path, char *names)
{
    char payload[64];
    size_t offset = 0;
    unsigned int count = 0;
    for (;;) {
        (void)sprintf(payload, "%s|%zu|", path, offset);
        const char *text = ask(w, c, XS_DIRECTORY_PART, payload);
        ck_assert_int_eq(strncmp(text, "part ", 5), 0);
        const char *at = strchr(text, '|') + 1;
        ck_assert_uint_le(strlen(text + 5), 4096);
        size_t len = strlen(at);
        bool last = len == 1 || (len >= 2 && at[len - 1] == '|' && at[len - 2] == '|');
        if (last)
            len--;
        memcpy(names + offset, at, len);
        offset += len;
        for (size_t i = 0; i < len; i++)
            count += at[i] == '|';
        if (last)
            break;
    }
    names[offset] = '\0';
    return count;
}

START_TEST(a_big_directory_is_listed_in_parts)
{
    static char names[100000], want[100000];
    size_t n = 0;
    char payload[64];
    for (int i = 0; i < 3000; i++) {
        (void)sprintf(payload, "/big/child%d|", i * 7919 % 3000);
        EXPECT(c, XS_MKDIR, payload, "mkdir OK|");
        n += (size_t)sprintf(want + n, "%s", payload + 5);
    }
    ck_assert_uint_eq(list_by_parts("/big", names), 3000);
    ck_assert_str_eq(names, want);
}
END_TEST

START_TEST(the_last_part_has_an_extra_nul_and_past_the_end_there_is_only_that)
{
    EXPECT(c, XS_MKDIR, "/d/a|", "mkdir OK|");
    EXPECT(c, XS_MKDIR, "/d/bc|", "mkdir OK|");
    const char *text = ask(w, c, XS_DIRECTORY_PART, "/d|0|");
    ck_assert_str_eq(strchr(text, '|'), "|a|bc||");
    text = ask(w, c, XS_DIRECTORY_PART, "/d|2|");
    ck_assert_str_eq(strchr(text, '|'), "|bc||");
    text = ask(w, c, XS_DIRECTORY_PART, "/d|5|");
    ck_assert_str_eq(strchr(text, '|'), "||");
    text = ask(w, c, XS_DIRECTORY_PART, "/d|500|");
    ck_assert_str_eq(strchr(text, '|'), "||");
}
END_TEST

START_TEST(the_generation_changes_with_the_list)
{
    char before[64];
    EXPECT(c, XS_MKDIR, "/d|", "mkdir OK|");
    strcpy(before, ask(w, c, XS_DIRECTORY_PART, "/d|0|"));
    ck_assert_str_eq(ask(w, c, XS_DIRECTORY_PART, "/d|0|"), before);
    EXPECT(c, XS_MKDIR, "/d/a|", "mkdir OK|");
    EXPECT(c, XS_RM, "/d/a|", "rm OK|");
    ck_assert_str_ne(ask(w, c, XS_DIRECTORY_PART, "/d|0|"), before);
}
END_TEST

START_TEST(twenty_thousand_children_are_all_found)
{
    char payload[64], want[64];
    static char names[400000];
    for (int i = 0; i < 20000; i++) {
        (void)sprintf(payload, "/many/n%d|%d", i, i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
    }
    for (int i = 0; i < 20000; i += 97) {
        (void)sprintf(payload, "/many/n%d|", i);
        (void)sprintf(want, "read %d", i);
        EXPECT(c, XS_READ, payload, want);
    }
    ck_assert_uint_eq(list_by_parts("/many", names), 20000);
    for (int i = 0; i < 20000; i += 2) {
        (void)sprintf(payload, "/many/n%d|", i);
        EXPECT(c, XS_RM, payload, "rm OK|");
    }
    ck_assert_uint_eq(list_by_parts("/many", names), 10000);
    EXPECT(c, XS_RM, "/many|", "rm OK|");
    while (xids_xs_server_idle(w->server, 1000)) {
    }
    ck_assert_uint_eq(xids_store_nodes(xids_xs_server_store(w->server)), 5);
}
END_TEST

START_TEST(get_domain_path_needs_no_domain)
{
    EXPECT(c, XS_GET_DOMAIN_PATH, "0|", "path /local/domain/0|");
    EXPECT(c, XS_GET_DOMAIN_PATH, "65535|", "path /local/domain/65535|");
}
END_TEST

/* ---- rights ---- */

START_TEST(a_guest_may_not_touch_what_is_domain_0s)
{
    world_introduce(w, 1);
    DOM_EXPECT(1, XS_READ, "/tool|", "error EACCES|");
    DOM_EXPECT(1, XS_WRITE, "/tool|x", "error EACCES|");
    DOM_EXPECT(1, XS_WRITE, "/tool/new|x", "error EACCES|");
    DOM_EXPECT(1, XS_MKDIR, "/tool/new|", "error EACCES|");
    DOM_EXPECT(1, XS_RM, "/tool|", "error EACCES|");
    DOM_EXPECT(1, XS_DIRECTORY, "/|", "error EACCES|");
    DOM_EXPECT(1, XS_GET_PERMS, "/tool|", "error EACCES|");
    DOM_EXPECT(1, XS_SET_PERMS, "/tool|n1|", "error EACCES|");
}
END_TEST

START_TEST(a_missing_node_is_hidden_below_what_cannot_be_read)
{
    world_introduce(w, 1);
    DOM_EXPECT(1, XS_READ, "/nothing|", "error EACCES|");
    DOM_EXPECT(1, XS_READ, "/no/thing/at/all|", "error EACCES|");
    EXPECT(c, XS_WRITE, "/open|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/open|r0|", "set-perms OK|");
    DOM_EXPECT(1, XS_READ, "/open/nothing|", "error ENOENT|");
    DOM_EXPECT(1, XS_READ, "/open/no/thing|", "error ENOENT|");
    DOM_EXPECT(1, XS_RM, "/open/nothing|", "error EACCES|");
}
END_TEST

static const struct {
    const char *perms, *read, *write;
} rights[] = {
    {"n0|", "error EACCES|", "error EACCES|"},
    {"r0|", "read v", "error EACCES|"},
    {"w0|", "error EACCES|", "write OK|"},
    {"b0|", "read v", "write OK|"},
    {"n0|r1|", "read v", "error EACCES|"},
    {"n0|w1|", "error EACCES|", "write OK|"},
    {"n0|b1|", "read v", "write OK|"},
    {"b0|n1|", "error EACCES|", "error EACCES|"},
    {"n1|", "read v", "write OK|"},
    {"n0|r2|", "error EACCES|", "error EACCES|"},
    {"n0|r32757|", "read v", "error EACCES|"},
    {"b0|r1|", "read v", "error EACCES|"},
    {"n0|r1|b1|", "read v", "error EACCES|"},
    {"n1|n1|", "read v", "write OK|"},
};

START_TEST(rights_are_what_the_list_says)
{
    char payload[64];
    world_introduce(w, 1);
    EXPECT(c, XS_WRITE, "/n|v", "write OK|");
    (void)sprintf(payload, "/n|%s", rights[_i].perms);
    EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
    DOM_EXPECT(1, XS_READ, "/n|", rights[_i].read);
    DOM_EXPECT(1, XS_WRITE, "/n|x", rights[_i].write);
}
END_TEST

START_TEST(a_guest_owns_what_it_creates_and_domain_0_does_not)
{
    world_introduce(w, 1);
    EXPECT(c, XS_WRITE, "/local/domain/1|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/local/domain/1|n1|r2|", "set-perms OK|");
    DOM_EXPECT(1, XS_WRITE, "a/b|x", "write OK|");
    DOM_EXPECT(1, XS_GET_PERMS, "a/b|", "get-perms n1|r2|");
    EXPECT(c, XS_WRITE, "/local/domain/1/c|x", "write OK|");
    EXPECT(c, XS_GET_PERMS, "/local/domain/1/c|", "get-perms n1|r2|");
    EXPECT(c, XS_WRITE, "/mine|x", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/mine|b0|", "set-perms OK|");
    DOM_EXPECT(1, XS_WRITE, "/mine/its|x", "write OK|");
    EXPECT(c, XS_GET_PERMS, "/mine/its|", "get-perms b1|");
}
END_TEST

START_TEST(only_domain_0_may_change_the_owner)
{
    world_introduce(w, 1);
    world_introduce(w, 2);
    EXPECT(c, XS_WRITE, "/n|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n1|", "set-perms OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "/n|n2|", "error EPERM|");
    DOM_EXPECT(1, XS_SET_PERMS, "/n|b1|r2|", "set-perms OK|");
    DOM_EXPECT(2, XS_SET_PERMS, "/n|n1|b2|", "error EACCES|");
    EXPECT(c, XS_SET_PERMS, "/n|n2|", "set-perms OK|");
    DOM_EXPECT(1, XS_READ, "/n|", "error EACCES|");
}
END_TEST

START_TEST(rights_to_write_are_no_rights_to_grant)
{
    world_introduce(w, 1);
    EXPECT(c, XS_WRITE, "/n|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|b1|", "set-perms OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "/n|n0|b1|", "error EACCES|");
}
END_TEST

START_TEST(garbled_permissions_change_nothing)
{
    EXPECT(c, XS_WRITE, "/n|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|x1|", "error EINVAL|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|r|", "error EINVAL|");
    EXPECT(c, XS_SET_PERMS, "/n||", "error EINVAL|");
    EXPECT(c, XS_GET_PERMS, "/n|", "get-perms n0|");
}
END_TEST

START_TEST(a_dead_owner_is_enoent_and_a_dead_reader_is_kept_without_effect)
{
    w->gone[5] = true;
    EXPECT(c, XS_WRITE, "/n|v", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n5|", "error ENOENT|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|r5|", "set-perms OK|");
    EXPECT(c, XS_GET_PERMS, "/n|", "get-perms n0|r5|");
    w->gone[5] = false;
    world_introduce(w, 5);
    DOM_EXPECT(5, XS_READ, "/n|", "error EACCES|");
}
END_TEST

START_TEST(the_special_nodes_have_permissions_and_nothing_else)
{
    world_introduce(w, 1);
    DOM_EXPECT(1, XS_GET_PERMS, "@releaseDomain|", "get-perms n0|r32757|");
    DOM_EXPECT(1, XS_GET_PERMS, "@introduceDomain|", "error EACCES|");
    EXPECT(c, XS_SET_PERMS, "@introduceDomain|n0|r1|", "set-perms OK|");
    DOM_EXPECT(1, XS_GET_PERMS, "@introduceDomain|", "get-perms n0|r1|");
    EXPECT(c, XS_SET_PERMS, "@foo|n0|", "error ENOENT|");
    EXPECT(c, XS_WRITE, "@releaseDomain|x", "error EINVAL|");
}
END_TEST

static const uint32_t privileged_ops[] = {XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_IS_DOMAIN_INTRODUCED,
                                          XS_RESUME,  XS_SET_TARGET};

START_TEST(a_guest_may_not_use_what_is_privileged)
{
    world_introduce(w, 1);
    DOM_EXPECT(1, privileged_ops[_i], "1|1|1|", "error EACCES|");
}
END_TEST

START_TEST(a_stub_domain_has_the_rights_of_its_target)
{
    world_introduce(w, 1);
    world_introduce(w, 2);
    EXPECT(c, XS_WRITE, "/n|v", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n1|", "set-perms OK|");
    DOM_EXPECT(2, XS_READ, "/n|", "error EACCES|");
    EXPECT(c, XS_SET_TARGET, "2|1|", "target OK|");
    DOM_EXPECT(2, XS_READ, "/n|", "read v");
    EXPECT(c, XS_RELEASE, "1|", "release OK|");
    EXPECT(c, XS_WRITE, "/m|v", "write OK|");
    world_introduce(w, 1);
    EXPECT(c, XS_SET_PERMS, "/m|n1|", "set-perms OK|");
    DOM_EXPECT(2, XS_READ, "/m|", "error EACCES|");
}
END_TEST

START_TEST(set_target_needs_two_known_domains)
{
    world_introduce(w, 1);
    EXPECT(c, XS_SET_TARGET, "1|9|", "error ENOENT|");
    EXPECT(c, XS_SET_TARGET, "9|1|", "error ENOENT|");
}
END_TEST

/* ---- limits ---- */

static void give_home(uint16_t domid)
{
    char payload[64];
    world_introduce(w, domid);
    (void)sprintf(payload, "/local/domain/%u|", domid);
    EXPECT(c, XS_WRITE, payload, "write OK|");
    (void)sprintf(payload, "/local/domain/%u|n%u|", domid, domid);
    EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
}

START_TEST(a_guest_owns_no_more_nodes_than_its_limit)
{
    char payload[64];
    give_home(1);
    for (int i = 1; i < 1000; i++) {
        (void)sprintf(payload, "n%d|", i);
        DOM_EXPECT(1, XS_MKDIR, payload, "mkdir OK|");
        if (i % 50 == 0) {
            (void)sprintf(payload, "/local/domain/1/n%d|n0|", i);
            EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
            (void)sprintf(payload, "/local/domain/1/n%d|n1|", i);
            EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
        }
        if (i == 200) { /* a directory may not grow past the size of a node */
            DOM_EXPECT(1, XS_MKDIR, "sub|", "mkdir OK|");
            break;
        }
    }
    for (int i = 0; i < 798; i++) {
        (void)sprintf(payload, "sub/%d/%d|", i / 100, i);
        const char *text = dom_ask(w, 1, XS_MKDIR, payload);
        if (strcmp(text, "mkdir OK|") != 0) {
            ck_assert_str_eq(text, "error ENOSPC|");
            ck_assert_uint_ge(xids_store_owned(xids_xs_server_store(w->server), 1), 999);
            break;
        }
        ck_assert_uint_le(xids_store_owned(xids_xs_server_store(w->server), 1), 1000);
    }
    /* Room again after a removal; writing to what exists was never a question. */
    DOM_EXPECT(1, XS_WRITE, "n1|still", "write OK|");
    DOM_EXPECT(1, XS_RM, "sub/0|", "rm OK|");
    DOM_EXPECT(1, XS_MKDIR, "sub/again|", "mkdir OK|");
}
END_TEST

START_TEST(implicit_parents_count_and_none_is_made_when_all_do_not_fit)
{
    struct xids_xs_limits limits = xids_xs_limits_default;
    world_down(w);
    limits.store.nodes = 4;
    w = world_up_with(&limits);
    c = world_socket(w);
    give_home(1);
    DOM_EXPECT(1, XS_WRITE, "a/b/c/d|x", "error ENOSPC|");
    DOM_EXPECT(1, XS_READ, "a|", "error ENOENT|");
    DOM_EXPECT(1, XS_WRITE, "a/b/c|x", "write OK|");
    DOM_EXPECT(1, XS_WRITE, "d|x", "error ENOSPC|");
}
END_TEST

START_TEST(a_guests_node_is_no_bigger_than_its_limit)
{
    static char payload[4096];
    give_home(1);
    /* 16 + 8 for one permission + value must stay below 2048. */
    memset(payload, 'v', 2 + 2023);
    memcpy(payload, "v|", 2);
    payload[2 + 2023] = '\0';
    DOM_EXPECT(1, XS_WRITE, payload, "write OK|");
    strcat(payload, "v");
    DOM_EXPECT(1, XS_WRITE, payload, "error ENOSPC|");
    EXPECT(c, XS_WRITE, payload, "write OK|");
}
END_TEST

START_TEST(a_guests_path_is_no_longer_than_its_limit)
{
    struct xids_xs_limits limits = xids_xs_limits_default;
    world_down(w);
    limits.store.node_size = 10000;
    w = world_up_with(&limits);
    c = world_socket(w);
    give_home(1);
    EXPECT(c, XS_WRITE, "/open|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/open|b0|", "set-perms OK|");
    DOM_EXPECT(1, XS_WRITE, long_path("/open/", 2047, "|x"), "write OK|");
    DOM_EXPECT(1, XS_WRITE, long_path("/open/", 2048, "|x"), "error EINVAL|");
    /* What leads to its home does not count. */
    DOM_EXPECT(1, XS_WRITE, long_path("/local/domain/1/", 16 + 2047, "|x"), "write OK|");
    DOM_EXPECT(1, XS_WRITE, long_path("/local/domain/1/", 16 + 2048, "|x"), "error EINVAL|");
    DOM_EXPECT(1, XS_WRITE, long_path("q", 2047, "|x"), "write OK|");
    DOM_EXPECT(1, XS_WRITE, long_path("q", 2048, "|x"), "error EINVAL|");
}
END_TEST

START_TEST(domain_0s_path_is_as_long_as_a_message)
{
    EXPECT(c, XS_WRITE, long_path("/", 3073, "|x"), "write OK|");
    EXPECT(c, XS_READ, long_path("/", 3073, "|"), "read x");
    EXPECT(c, XS_WRITE, long_path("/", 4090, "|x"), "write OK|");
}
END_TEST

START_TEST(a_guest_gives_no_more_permissions_than_its_limit)
{
    give_home(1);
    DOM_EXPECT(1, XS_SET_PERMS, "/local/domain/1|n1|r2|r3|r4|r5|", "set-perms OK|");
    DOM_EXPECT(1, XS_SET_PERMS, "/local/domain/1|n1|r2|r3|r4|r5|r6|", "error ENOSPC|");
    EXPECT(c, XS_SET_PERMS, "/local/domain/1|n1|r2|r3|r4|r5|r6|r7|", "set-perms OK|");
}
END_TEST

START_TEST(a_very_deep_tree_is_made_and_removed)
{
    static char payload[4200];
    for (size_t i = 0; i < 2000; i++)
        memcpy(payload + 2 * i, "/d", 2);
    strcpy(payload + 4000, "|x");
    EXPECT(c, XS_WRITE, payload, "write OK|");
    strcpy(payload + 4000, "|");
    EXPECT(c, XS_READ, payload, "read x");
    ck_assert_ptr_null(xids_store_check(xids_xs_server_store(w->server)));
    EXPECT(c, XS_RM, "/d|", "rm OK|");
}
END_TEST

START_TEST(an_answer_that_is_put_off_holds_back_what_comes_after)
{
    struct xids_xs_conn *other = world_socket(w);
    static const uint8_t two[] = {XS_CONTROL, 0, 0,       0, 77, 0, 0,  0, 0, 0, 0, 0, 6, 0, 0, 0, 'l', 'a', 't', 'e',
                                  'r',        0, XS_READ, 0, 0,  0, 77, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0,   0,   '/', 0};
    const size_t first = XIDS_XSWIRE_HEADER + 6;
    size_t used;
    ck_assert_int_eq(xids_xs_server_input(c, &used, two, sizeof(two)), 0);
    ck_assert_uint_eq(used, first);
    ck_assert_str_eq(heard(w, c), "");
    ck_assert(!xids_xs_server_hungry(c));
    EXPECT(other, XS_WRITE, "/a|1", "write OK|");
    ck_assert_int_eq(xids_xs_server_answer(other, "no", 3), -XEN_EINVAL);
    ck_assert_int_eq(xids_xs_server_answer(c, "done", 5), 0);
    ck_assert_int_eq(xids_xs_server_answer(c, "twice", 6), -XEN_EINVAL);
    ck_assert(xids_xs_server_hungry(c));
    ck_assert_str_eq(heard(w, c), "control done|");
    ck_assert_int_eq(xids_xs_server_input(c, &used, two + first, sizeof(two) - first), 0);
    ck_assert_str_eq(heard(w, c), "read ");
    world_introduce(w, 0);
    DOM_EXPECT(0, XS_CONTROL, "later|", "");
    DOM_EXPECT(0, XS_READ, "/a|", "");
    ck_assert_int_eq(xids_xs_server_answer(xids_xs_server_domain(w->server, 0), "done", 5), 0);
    ck_assert_str_eq(dom_heard(w, 0), "control done|\nread 1");
}
END_TEST

START_TEST(control_knows_help_check_and_print)
{
    ck_assert_int_eq(strncmp(ask(w, c, XS_CONTROL, "help|"), "control ", 8), 0);
    EXPECT(c, XS_CONTROL, "check|", "control OK|");
    EXPECT(c, XS_CONTROL, "print|hello|", "control OK|");
    EXPECT(c, XS_CONTROL, "nonsense|", "error EINVAL|");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_nodes");
    TCase *t = tcase_create("nodes");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_new_store_has_tool_xenstored_and_nothing_else);
    tcase_add_test(t, a_value_is_read_as_it_was_written_without_a_nul_added);
    tcase_add_test(t, a_value_may_hold_nuls);
    tcase_add_test(t, values_of_every_length_are_kept);
    tcase_add_test(t, writing_creates_missing_parents);
    tcase_add_test(t, mkdir_of_an_existing_node_keeps_its_value);
    tcase_add_test(t, names_are_listed_in_the_order_of_creation);
    tcase_add_test(t, removing_takes_everything_below);
    tcase_add_test(t, removing_a_missing_leaf_is_fine_and_a_missing_parent_is_not);
    tcase_add_test(t, the_root_cannot_be_removed);
    tcase_add_test(t, relative_paths_over_a_socket_mean_domain_0);
    tcase_add_loop_test(t, a_bad_path_is_einval, 0, sizeof(bad_paths) / sizeof(bad_paths[0]));
    tcase_add_test(t, an_at_sign_inside_a_path_is_legal);
    tcase_add_loop_test(t, a_payload_that_is_not_framed_right_is_einval, 0,
                        sizeof(bad_framing) / sizeof(bad_framing[0]));
    tcase_add_loop_test(t, an_unknown_operation_is_enosys, 0, sizeof(unknown_types) / sizeof(unknown_types[0]));
    tcase_add_test(t, an_answer_over_4096_bytes_is_e2big);
    tcase_add_test(t, a_big_directory_is_listed_in_parts);
    tcase_add_test(t, the_last_part_has_an_extra_nul_and_past_the_end_there_is_only_that);
    tcase_add_test(t, the_generation_changes_with_the_list);
    tcase_add_test(t, twenty_thousand_children_are_all_found);
    tcase_add_test(t, get_domain_path_needs_no_domain);
    tcase_add_test(t, a_very_deep_tree_is_made_and_removed);
    tcase_add_test(t, control_knows_help_check_and_print);
    tcase_add_test(t, an_answer_that_is_put_off_holds_back_what_comes_after);
    suite_add_tcase(suite, t);
    t = tcase_create("rights");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_guest_may_not_touch_what_is_domain_0s);
    tcase_add_test(t, a_missing_node_is_hidden_below_what_cannot_be_read);
    tcase_add_loop_test(t, rights_are_what_the_list_says, 0, sizeof(rights) / sizeof(rights[0]));
    tcase_add_test(t, a_guest_owns_what_it_creates_and_domain_0_does_not);
    tcase_add_test(t, only_domain_0_may_change_the_owner);
    tcase_add_test(t, rights_to_write_are_no_rights_to_grant);
    tcase_add_test(t, garbled_permissions_change_nothing);
    tcase_add_test(t, a_dead_owner_is_enoent_and_a_dead_reader_is_kept_without_effect);
    tcase_add_test(t, the_special_nodes_have_permissions_and_nothing_else);
    tcase_add_loop_test(t, a_guest_may_not_use_what_is_privileged, 0, 6);
    tcase_add_test(t, a_stub_domain_has_the_rights_of_its_target);
    tcase_add_test(t, set_target_needs_two_known_domains);
    suite_add_tcase(suite, t);
    t = tcase_create("limits");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_guest_owns_no_more_nodes_than_its_limit);
    tcase_add_test(t, implicit_parents_count_and_none_is_made_when_all_do_not_fit);
    tcase_add_test(t, a_guests_node_is_no_bigger_than_its_limit);
    tcase_add_test(t, a_guests_path_is_no_longer_than_its_limit);
    tcase_add_test(t, domain_0s_path_is_as_long_as_a_message);
    tcase_add_test(t, a_guest_gives_no_more_permissions_than_its_limit);
    suite_add_tcase(suite, t);
    return suite;
}
