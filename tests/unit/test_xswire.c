/* SPDX-License-Identifier: ISC */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/xswire.h>

static size_t message(uint8_t *out, uint32_t type, uint32_t req, uint32_t tx, const char *payload, size_t len)
{
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, req, tx, &part, 1);
    ck_assert_int_gt(n, 0);
    return (size_t)n;
}

START_TEST(a_message_has_the_layout_of_the_public_header)
{
    uint8_t out[64];
    struct xsd_sockmsg hdr;
    size_t n = message(out, XS_WRITE, 7, 9, "/a\0x", 4);
    ck_assert_uint_eq(n, 20);
    memcpy(&hdr, out, sizeof(hdr));
    ck_assert_uint_eq(hdr.type, XS_WRITE);
    ck_assert_uint_eq(hdr.req_id, 7);
    ck_assert_uint_eq(hdr.tx_id, 9);
    ck_assert_uint_eq(hdr.len, 4);
    ck_assert_mem_eq(out + 16, "/a\0x", 4);
}
END_TEST

START_TEST(peek_finds_a_whole_message_without_copying)
{
    uint8_t out[64];
    struct xids_xswire_msg msg;
    size_t n = message(out, XS_READ, 1, 2, "/a", 3);
    ck_assert_int_eq(xids_xswire_peek(&msg, out, n + 5), (int)n);
    ck_assert_uint_eq(msg.type, XS_READ);
    ck_assert_uint_eq(msg.len, 3);
    ck_assert_ptr_eq(msg.payload, out + 16);
}
END_TEST

START_TEST(peek_waits_for_every_missing_byte)
{
    uint8_t out[64];
    struct xids_xswire_msg msg;
    size_t n = message(out, XS_READ, 1, 2, "/a", 3);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(xids_xswire_peek(&msg, out, i), 0);
}
END_TEST

START_TEST(an_over_long_message_is_an_error_as_soon_as_its_header_is_there)
{
    const struct xsd_sockmsg hdr = {.type = XS_READ, .len = 4097};
    struct xids_xswire_msg msg;
    ck_assert_int_eq(xids_xswire_peek(&msg, &hdr, sizeof(hdr)), -XEN_EBADMSG);
}
END_TEST

START_TEST(a_payload_of_4096_bytes_is_allowed)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static char payload[4096];
    struct xids_xswire_msg msg;
    size_t n = message(out, XS_WRITE, 0, 0, payload, sizeof(payload));
    ck_assert_uint_eq(n, XIDS_XSWIRE_MESSAGE_MAX);
    ck_assert_int_eq(xids_xswire_peek(&msg, out, n), (int)n);
    ck_assert_uint_eq(msg.len, 4096);
}
END_TEST

START_TEST(building_refuses_a_payload_over_4096_bytes)
{
    static char out[8192], payload[4097];
    const struct xids_xswire_part one = {payload, sizeof(payload)};
    const struct xids_xswire_part two[] = {{payload, 4096}, {payload, 1}};
    const struct xids_xswire_part wraps[] = {{payload, 16}, {payload, SIZE_MAX}};
    ck_assert_int_eq(xids_xswire_build(out, sizeof(out), XS_WRITE, 0, 0, &one, 1), -XEN_E2BIG);
    ck_assert_int_eq(xids_xswire_build(out, sizeof(out), XS_WRITE, 0, 0, two, 2), -XEN_E2BIG);
    ck_assert_int_eq(xids_xswire_build(out, sizeof(out), XS_WRITE, 0, 0, wraps, 2), -XEN_E2BIG);
}
END_TEST

START_TEST(building_writes_nothing_when_there_is_no_room)
{
    char out[20];
    memset(out, 'z', sizeof(out));
    const struct xids_xswire_part part = {"12345", 5};
    ck_assert_int_eq(xids_xswire_build(out, sizeof(out), XS_READ, 0, 0, &part, 1), -XEN_ENOSPC);
    for (size_t i = 0; i < sizeof(out); i++)
        ck_assert_int_eq(out[i], 'z');
}
END_TEST

START_TEST(a_message_without_payload_is_a_message)
{
    uint8_t out[16];
    struct xids_xswire_msg msg;
    ck_assert_int_eq(xids_xswire_build(out, sizeof(out), XS_RESET_WATCHES, 3, 0, NULL, 0), 16);
    ck_assert_int_eq(xids_xswire_peek(&msg, out, 16), 16);
    ck_assert_uint_eq(msg.len, 0);
}
END_TEST

/* ---- the parser ---- */

static const size_t chunks[] = {1, 2, 3, 7, 15, 16, 17, 100, 4096, 100000};

START_TEST(the_parser_gives_the_same_messages_in_chunks_of_any_size)
{
    static uint8_t stream[40000], buffer[XIDS_XSWIRE_MESSAGE_MAX];
    static char payload[4096];
    size_t len = 0, lens[] = {0, 1, 5, 4096, 17, 0, 300};
    for (size_t i = 0; i < 7; i++) {
        memset(payload, 'a' + (int)i, sizeof(payload));
        len += message(stream + len, XS_WRITE, (uint32_t)i, 0, payload, lens[i]);
    }
    struct xids_xswire_parser p;
    xids_xswire_parser_init(&p, buffer);
    uint32_t seen = 0;
    for (size_t at = 0; at < len;) {
        size_t n = len - at < chunks[_i] ? len - at : chunks[_i], used;
        struct xids_xswire_msg msg;
        int rc = xids_xswire_parse(&p, &msg, &used, stream + at, n);
        at += used;
        if (rc == 0) {
            ck_assert_uint_eq(used, n);
            continue;
        }
        ck_assert_int_eq(rc, 1);
        ck_assert_uint_eq(msg.req_id, seen);
        ck_assert_uint_eq(msg.len, lens[seen]);
        for (uint32_t i = 0; i < msg.len; i++)
            ck_assert_int_eq(msg.payload[i], 'a' + (int)seen);
        seen++;
    }
    ck_assert_uint_eq(seen, 7);
}
END_TEST

START_TEST(the_parser_stays_broken_after_an_over_long_message)
{
    static uint8_t buffer[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xsd_sockmsg bad = {.len = 0xffffffff};
    uint8_t good[32];
    size_t n = message(good, XS_READ, 0, 0, "/", 2), used;
    struct xids_xswire_parser p;
    struct xids_xswire_msg msg;
    xids_xswire_parser_init(&p, buffer);
    ck_assert_int_eq(xids_xswire_parse(&p, &msg, &used, &bad, sizeof(bad)), -XEN_EBADMSG);
    ck_assert_int_eq(xids_xswire_parse(&p, &msg, &used, good, n), -XEN_EBADMSG);
    ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(the_parser_finds_an_over_long_message_that_comes_in_pieces)
{
    static uint8_t buffer[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xsd_sockmsg bad = {.len = 4097};
    struct xids_xswire_parser p;
    struct xids_xswire_msg msg;
    size_t used;
    xids_xswire_parser_init(&p, buffer);
    for (size_t i = 0; i < 15; i++)
        ck_assert_int_eq(xids_xswire_parse(&p, &msg, &used, (const char *)&bad + i, 1), 0);
    ck_assert_int_eq(xids_xswire_parse(&p, &msg, &used, (const char *)&bad + 15, 1), -XEN_EBADMSG);
}
END_TEST

/* ---- errors ---- */

START_TEST(each_error_of_the_protocol_has_its_name_and_number)
{
    static const struct {
        int number;
        const char *name;
    } errors[] = {
        {XEN_EINVAL, "EINVAL"},       {XEN_EACCES, "EACCES"},   {XEN_EEXIST, "EEXIST"}, {XEN_EISDIR, "EISDIR"},
        {XEN_ENOENT, "ENOENT"},       {XEN_ENOMEM, "ENOMEM"},   {XEN_ENOSPC, "ENOSPC"}, {XEN_EIO, "EIO"},
        {XEN_ENOTEMPTY, "ENOTEMPTY"}, {XEN_ENOSYS, "ENOSYS"},   {XEN_EROFS, "EROFS"},   {XEN_EBUSY, "EBUSY"},
        {XEN_EAGAIN, "EAGAIN"},       {XEN_EISCONN, "EISCONN"}, {XEN_E2BIG, "E2BIG"},   {XEN_EPERM, "EPERM"}};
    const char *name = errors[_i].name;
    ck_assert_str_eq(xids_xswire_error_name(errors[_i].number), name);
    ck_assert_str_eq(xids_xswire_error_name(-errors[_i].number), name);
    ck_assert_int_eq(xids_xswire_error_number(name, strlen(name) + 1), -errors[_i].number);
}
END_TEST

START_TEST(an_errno_without_a_name_is_sent_as_einval)
{
    ck_assert_str_eq(xids_xswire_error_name(-XEN_EBADMSG), "EINVAL");
    ck_assert_str_eq(xids_xswire_error_name(0), "EINVAL");
    ck_assert_str_eq(xids_xswire_error_name(12345), "EINVAL");
}
END_TEST

START_TEST(an_unknown_error_name_is_read_as_einval)
{
    ck_assert_int_eq(xids_xswire_error_number("EQUOTA", 7), -XEN_EINVAL);
    ck_assert_int_eq(xids_xswire_error_number("", 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_xswire_error_number("ENOEN", 6), -XEN_EINVAL);
}
END_TEST

START_TEST(an_error_payload_that_is_not_one_string_is_a_protocol_error)
{
    ck_assert_int_eq(xids_xswire_error_number("", 0), -XEN_EBADMSG);
    ck_assert_int_eq(xids_xswire_error_number("ENOENT", 6), -XEN_EBADMSG);
    ck_assert_int_eq(xids_xswire_error_number("EIO\0EIO", 8), -XEN_EBADMSG);
}
END_TEST

START_TEST(an_error_reply_carries_the_request_and_the_name)
{
    uint8_t out[64];
    struct xids_xswire_msg msg;
    int n = xids_xswire_build_error(out, sizeof(out), 5, 6, -XEN_ENOENT);
    ck_assert_int_eq(n, 16 + 7);
    ck_assert_int_eq(xids_xswire_peek(&msg, out, (size_t)n), n);
    ck_assert_uint_eq(msg.type, XS_ERROR);
    ck_assert_uint_eq(msg.req_id, 5);
    ck_assert_uint_eq(msg.tx_id, 6);
    ck_assert_str_eq(msg.payload, "ENOENT");
}
END_TEST

/* ---- arguments ---- */

START_TEST(strings_are_split_at_their_nuls)
{
    struct xids_xswire_str a[4];
    size_t rest;
    ck_assert_uint_eq(xids_xswire_split(a, 4, &rest, "/a\0\0tok\0tail", 12), 3);
    ck_assert_uint_eq(a[0].len, 2);
    ck_assert_uint_eq(a[1].len, 0);
    ck_assert_uint_eq(a[2].len, 3);
    ck_assert_uint_eq(rest, 4);
    ck_assert_uint_eq(xids_xswire_split(a, 1, &rest, "/a\0\0tok\0tail", 12), 1);
    ck_assert_uint_eq(rest, 9);
}
END_TEST

START_TEST(a_payload_without_a_nul_has_no_strings)
{
    struct xids_xswire_str a[1];
    size_t rest;
    ck_assert_uint_eq(xids_xswire_split(a, 1, &rest, "/a", 2), 0);
    ck_assert_uint_eq(rest, 2);
    ck_assert_uint_eq(xids_xswire_split(a, 1, &rest, NULL, 0), 0);
    ck_assert_uint_eq(xids_xswire_count("a\0b\0c", 5), 2);
}
END_TEST

START_TEST(decimals_are_read_strictly)
{
    uint32_t v = 99;
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1a", "4294967296", "99999999999", "abc"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(xids_xswire_decimal(&v, bad[i], strlen(bad[i]), UINT32_MAX), -XEN_EINVAL);
    ck_assert_uint_eq(v, 99);
    ck_assert_int_eq(xids_xswire_decimal(&v, "4294967295", 10, UINT32_MAX), 0);
    ck_assert_uint_eq(v, UINT32_MAX);
    ck_assert_int_eq(xids_xswire_decimal(&v, "007", 3, 7), 0);
    ck_assert_uint_eq(v, 7);
    ck_assert_int_eq(xids_xswire_decimal(&v, "8", 1, 7), -XEN_EINVAL);
}
END_TEST

START_TEST(numbers_are_written_in_decimal)
{
    char out[21];
    ck_assert_uint_eq(xids_xswire_format_decimal(out, 0), 1);
    ck_assert_str_eq(out, "0");
    ck_assert_uint_eq(xids_xswire_format_decimal(out, UINT32_MAX), 10);
    ck_assert_str_eq(out, "4294967295");
    ck_assert_uint_eq(xids_xswire_format_decimal64(out, UINT64_MAX), 20);
    ck_assert_str_eq(out, "18446744073709551615");
}
END_TEST

/* ---- permissions ---- */

START_TEST(permissions_are_read_and_written_alike)
{
    static const char *const good[] = {"n0", "r5", "w7", "b65535", "n32757"};
    static const uint8_t access[] = {XIDS_XS_NONE, XIDS_XS_READ, XIDS_XS_WRITE, XIDS_XS_BOTH, XIDS_XS_NONE};
    struct xids_xs_perm perm;
    char out[XIDS_XS_PERM_BYTES];
    ck_assert_int_eq(xids_xswire_perm_parse(&perm, good[_i], strlen(good[_i])), 0);
    ck_assert_uint_eq(perm.access, access[_i]);
    ck_assert_uint_eq(xids_xswire_perm_format(out, &perm), strlen(good[_i]));
    ck_assert_str_eq(out, good[_i]);
}
END_TEST

static const char *const bad_perms[] = {"", "n", "r", "5", "x5", "n-1", "nn0", "r5 ", " r5", "b65536", "r0x5", "R5"};

START_TEST(a_garbled_permission_is_refused)
{
    struct xids_xs_perm perm;
    ck_assert_int_eq(xids_xswire_perm_parse(&perm, bad_perms[_i], strlen(bad_perms[_i])), -XEN_EINVAL);
}
END_TEST

/* ---- paths ---- */

static const struct {
    const char *path;
    int kind;
} paths[] = {
    {"/", XIDS_XS_PATH_ABSOLUTE},
    {"/a", XIDS_XS_PATH_ABSOLUTE},
    {"/a/b-c_D/09", XIDS_XS_PATH_ABSOLUTE},
    {"a", XIDS_XS_PATH_RELATIVE},
    {"device/vif/0", XIDS_XS_PATH_RELATIVE},
    {"@introduceDomain", XIDS_XS_PATH_SPECIAL},
    {"/a/@b", XIDS_XS_PATH_ABSOLUTE},
    {"/@foo", XIDS_XS_PATH_ABSOLUTE},
    {"@x/5", XIDS_XS_PATH_SPECIAL},
    {"", -XEN_EINVAL},
    {"//", -XEN_EINVAL},
    {"/a//b", -XEN_EINVAL},
    {"/a/", -XEN_EINVAL},
    {"a/", -XEN_EINVAL},
    {"//a", -XEN_EINVAL},
    {"/a b", -XEN_EINVAL},
    {"/a.b", -XEN_EINVAL},
    {"/a\n", -XEN_EINVAL},
    {"/\xc3\xa4", -XEN_EINVAL},
    {"/a:b", -XEN_EINVAL},
    {"/a+", -XEN_EINVAL},
};

START_TEST(paths_are_told_apart_from_what_is_none)
{
    ck_assert_int_eq(xids_xswire_path_check(paths[_i].path, strlen(paths[_i].path)), paths[_i].kind);
}
END_TEST

START_TEST(a_nul_inside_a_path_is_refused)
{
    ck_assert_int_eq(xids_xswire_path_check("/a\0b", 4), -XEN_EINVAL);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xswire");
    TCase *t = tcase_create("messages");
    tcase_add_test(t, a_message_has_the_layout_of_the_public_header);
    tcase_add_test(t, peek_finds_a_whole_message_without_copying);
    tcase_add_test(t, peek_waits_for_every_missing_byte);
    tcase_add_test(t, an_over_long_message_is_an_error_as_soon_as_its_header_is_there);
    tcase_add_test(t, a_payload_of_4096_bytes_is_allowed);
    tcase_add_test(t, building_refuses_a_payload_over_4096_bytes);
    tcase_add_test(t, building_writes_nothing_when_there_is_no_room);
    tcase_add_test(t, a_message_without_payload_is_a_message);
    tcase_add_loop_test(t, the_parser_gives_the_same_messages_in_chunks_of_any_size, 0, 10);
    tcase_add_test(t, the_parser_stays_broken_after_an_over_long_message);
    tcase_add_test(t, the_parser_finds_an_over_long_message_that_comes_in_pieces);
    suite_add_tcase(suite, t);
    t = tcase_create("errors");
    tcase_add_loop_test(t, each_error_of_the_protocol_has_its_name_and_number, 0, 16);
    tcase_add_test(t, an_errno_without_a_name_is_sent_as_einval);
    tcase_add_test(t, an_unknown_error_name_is_read_as_einval);
    tcase_add_test(t, an_error_payload_that_is_not_one_string_is_a_protocol_error);
    tcase_add_test(t, an_error_reply_carries_the_request_and_the_name);
    suite_add_tcase(suite, t);
    t = tcase_create("arguments");
    tcase_add_test(t, strings_are_split_at_their_nuls);
    tcase_add_test(t, a_payload_without_a_nul_has_no_strings);
    tcase_add_test(t, decimals_are_read_strictly);
    tcase_add_test(t, numbers_are_written_in_decimal);
    tcase_add_loop_test(t, permissions_are_read_and_written_alike, 0, 5);
    tcase_add_loop_test(t, a_garbled_permission_is_refused, 0, sizeof(bad_perms) / sizeof(bad_perms[0]));
    tcase_add_loop_test(t, paths_are_told_apart_from_what_is_none, 0, sizeof(paths) / sizeof(paths[0]));
    tcase_add_test(t, a_nul_inside_a_path_is_refused);
    suite_add_tcase(suite, t);
    return suite;
}
