/* SPDX-License-Identifier: ISC */
/* The xenstore client's engine: requests, replies, limits, hostile stores. */
#include "tests/unit/xs_harness.h"

static struct rig rig;
static struct answer ans;

static void setup(void)
{
    memset(&ans, 0, sizeof(ans));
    rig_init(&rig, NULL);
}

static void teardown(void)
{
    rig_fini(&rig);
}

static int read_node(const char *path, struct answer *a)
{
    return xids_xs_client_read(rig.c, 0, path, on_reply, a);
}

/* ---- making one ---- */

START_TEST(limits_out_of_bounds_are_refused)
{
    static const struct xids_xs_client_limits bad[] = {
        {.requests = 32769}, {.watches = 32769},  {.transactions = 16385},       {.watch_path = 3072},
        {.out_bytes = 1},    {.out_bytes = 4111}, {.out_bytes = (1u << 30) + 1},
    };
    struct xids_xs_client *c;
    char mem[64];
    ck_assert_uint_eq(xids_xs_client_size(&bad[_i]), 0);
    ck_assert_int_eq(xids_xs_client_init(&c, mem, sizeof(mem), &bad[_i]), -XEN_EINVAL);
}
END_TEST

START_TEST(too_little_memory_is_refused)
{
    size_t size = xids_xs_client_size(NULL);
    struct xids_xs_client *c;
    void *mem = malloc(size);
    ck_assert_int_eq(xids_xs_client_init(&c, mem, size - 1, NULL), -XEN_ENOMEM);
    free(mem);
}
END_TEST

START_TEST(the_smallest_client_works)
{
    struct xids_xs_client_limits one = {1, 1, 1, 1, 4112};
    struct rig r;
    struct request q;
    rig_init(&r, &one);
    ck_assert_int_eq(xids_xs_client_read(r.c, 0, "/a", on_reply, &ans), 0);
    ck_assert_int_eq(answer(&r, expect(&r, &q, XS_READ), "v", 1), 0);
    ck_assert_str_eq(ans.payload, "v");
    rig_fini(&r);
}
END_TEST

START_TEST(a_new_client_has_nothing_to_send)
{
    const uint8_t *span;
    ck_assert_uint_eq(xids_xs_client_output(rig.c, &span), 0);
    ck_assert_int_eq(xids_xs_client_error(rig.c), 0);
    ck_assert_str_eq(xids_xs_client_reason(rig.c), "");
    ck_assert_uint_eq(xids_xs_client_deadline(rig.c), UINT64_MAX);
}
END_TEST

START_TEST(ending_nothing_is_allowed)
{
    xids_xs_client_fini(NULL);
}
END_TEST

/* ---- requests on the wire ---- */

static void check_wire(uint32_t type, uint32_t tx, const char *payload, size_t len)
{
    struct request q;
    expect(&rig, &q, type);
    ck_assert_uint_eq(q.msg.tx_id, tx);
    ck_assert_uint_eq(q.msg.len, len);
    ck_assert_mem_eq(q.payload, payload, len);
    ck_assert(!take(&rig, &q));
}

START_TEST(read_sends_the_path)
{
    ck_assert_int_eq(xids_xs_client_read(rig.c, 7, "/a/b", on_reply, &ans), 0);
    check_wire(XS_READ, 7, "/a/b", 5);
}
END_TEST

START_TEST(write_sends_the_value_without_a_nul)
{
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", "xyz", 3, on_reply, &ans), 0);
    check_wire(XS_WRITE, 0, "/a\0xyz", 6);
}
END_TEST

START_TEST(an_empty_value_can_be_written)
{
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", NULL, 0, on_reply, &ans), 0);
    check_wire(XS_WRITE, 0, "/a", 3);
}
END_TEST

START_TEST(mkdir_rm_and_directory_send_the_path)
{
    ck_assert_int_eq(xids_xs_client_mkdir(rig.c, 1, "/m", on_reply, &ans), 0);
    check_wire(XS_MKDIR, 1, "/m", 3);
    ck_assert_int_eq(xids_xs_client_rm(rig.c, 2, "/r", on_reply, &ans), 0);
    check_wire(XS_RM, 2, "/r", 3);
    ck_assert_int_eq(xids_xs_client_directory(rig.c, 3, "/d", on_reply, &ans), 0);
    check_wire(XS_DIRECTORY, 3, "/d", 3);
}
END_TEST

START_TEST(a_part_of_a_directory_is_asked_for_by_offset)
{
    ck_assert_int_eq(xids_xs_client_directory_part(rig.c, 0, "/d", 4000000000u, on_reply, &ans), 0);
    check_wire(XS_DIRECTORY_PART, 0,
               "/d\0"
               "4000000000",
               14);
}
END_TEST

START_TEST(permissions_are_sent_as_given)
{
    ck_assert_int_eq(xids_xs_client_set_perms(rig.c, 0, "/p", "n0\0r5", 6, on_reply, &ans), 0);
    check_wire(XS_SET_PERMS, 0, "/p\0n0\0r5", 9);
    ck_assert_int_eq(xids_xs_client_get_perms(rig.c, 0, "/p", on_reply, &ans), 0);
    check_wire(XS_GET_PERMS, 0, "/p", 3);
}
END_TEST

START_TEST(a_domains_path_is_asked_for_in_decimal)
{
    ck_assert_int_eq(xids_xs_client_get_domain_path(rig.c, 32751, on_reply, &ans), 0);
    check_wire(XS_GET_DOMAIN_PATH, 0, "32751", 6);
}
END_TEST

START_TEST(no_request_goes_without_payload)
{
    static const struct xids_xswire_part empty = {NULL, 0};
    ck_assert_int_eq(xids_xs_client_request(rig.c, XS_RESET_WATCHES, 0, NULL, 0, on_reply, &ans), 0);
    check_wire(XS_RESET_WATCHES, 0, "", 1);
    ck_assert_int_eq(xids_xs_client_request(rig.c, XS_RESET_WATCHES, 0, &empty, 1, on_reply, &ans), 0);
    check_wire(XS_RESET_WATCHES, 0, "", 1);
}
END_TEST

START_TEST(the_largest_payload_goes_and_one_more_does_not)
{
    static char value[XIDS_XSWIRE_PAYLOAD_MAX];
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, 4094, on_reply, &ans), -XEN_E2BIG);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, 4093, on_reply, &ans), 0);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 1);
}
END_TEST

START_TEST(absurd_lengths_are_too_big_not_wrapped)
{
    const struct xids_xswire_part parts[2] = {{"a", SIZE_MAX}, {"b", SIZE_MAX}};
    ck_assert_int_eq(xids_xs_client_request(rig.c, XS_WRITE, 0, parts, 2, on_reply, &ans), -XEN_E2BIG);
}
END_TEST

START_TEST(arguments_are_copied)
{
    char path[] = "/before";
    struct request q;
    ck_assert_int_eq(read_node(path, &ans), 0);
    memset(path, 'x', sizeof(path) - 1);
    expect(&rig, &q, XS_READ);
    ck_assert_str_eq(q.payload, "/before");
}
END_TEST

/* ---- replies ---- */

START_TEST(the_reply_reaches_the_callback)
{
    struct request q;
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "va\0lue", 6), 0);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_int_eq(ans.rc, 0);
    ck_assert_uint_eq(ans.len, 6);
    ck_assert_mem_eq(ans.payload, "va\0lue", 6);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
}
END_TEST

START_TEST(an_empty_reply_is_a_reply)
{
    struct request q;
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), NULL, 0), 0);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_uint_eq(ans.len, 0);
}
END_TEST

START_TEST(the_largest_reply_is_taken)
{
    static char big[XIDS_XSWIRE_PAYLOAD_MAX];
    struct request q;
    memset(big, 'z', sizeof(big));
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), big, sizeof(big)), 0);
    ck_assert_uint_eq(ans.len, sizeof(big));
    ck_assert_mem_eq(ans.payload, big, sizeof(big));
}
END_TEST

START_TEST(errors_arrive_with_xens_numbers)
{
    static const struct {
        const char *name;
        int rc;
    } errors[] = {
        {"ENOENT", -XEN_ENOENT}, {"EACCES", -XEN_EACCES}, {"EAGAIN", -XEN_EAGAIN},   {"ENOSPC", -XEN_ENOSPC},
        {"EPERM", -XEN_EPERM},   {"E2BIG", -XEN_E2BIG},   {"EISCONN", -XEN_EISCONN}, {"EQUOTA", -XEN_EINVAL},
    };
    struct request q;
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(answer_error(&rig, expect(&rig, &q, XS_READ), errors[_i].name), 0);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_int_eq(ans.rc, errors[_i].rc);
}
END_TEST

START_TEST(a_request_may_go_without_callback)
{
    struct request q;
    ck_assert_int_eq(xids_xs_client_rm(rig.c, 0, "/a", NULL, NULL), 0);
    ck_assert_int_eq(answer_ok(&rig, expect(&rig, &q, XS_RM)), 0);
    ck_assert_int_eq(xids_xs_client_rm(rig.c, 0, "/a", NULL, NULL), 0);
    xids_xs_client_reset(rig.c);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
}
END_TEST

/* Replies to n reads, in the order of a permutation, cut into chunks of a size; each must reach its own callback. */
static void pipeline(unsigned int chunk, unsigned int step)
{
    enum { N = 31 };
    static struct answer answers[N];
    static struct request q[N];
    uint8_t stream[N * 64];
    size_t len = 0;
    memset(answers, 0, sizeof(answers));
    for (unsigned int i = 0; i < N; i++)
        ck_assert_int_eq(read_node("/n", &answers[i]), 0);
    for (unsigned int i = 0; i < N; i++)
        expect(&rig, &q[i], XS_READ);
    for (unsigned int i = 0; i < N; i++) {
        unsigned int at = i * step % N;
        char text[16];
        struct xids_xswire_part part = {text, xids_xswire_format_decimal(text, at)};
        int n = xids_xswire_build(stream + len, sizeof(stream) - len, XS_READ, q[at].msg.req_id, 0, &part, 1);
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
    }
    for (size_t at = 0; at < len; at += chunk)
        ck_assert_int_eq(xids_xs_client_input(rig.c, stream + at, len - at < chunk ? len - at : chunk), 0);
    for (unsigned int i = 0; i < N; i++) {
        ck_assert_int_eq(answers[i].calls, 1);
        ck_assert_uint_eq((unsigned int)atoi(answers[i].payload), i);
    }
}

START_TEST(replies_in_any_order_and_cut_anywhere_reach_their_callbacks)
{
    static const unsigned int chunks[] = {1, 2, 3, 15, 16, 17, 18, 100, 4096};
    static const unsigned int steps[] = {1, 30, 7};
    for (size_t s = 0; s < 3; s++)
        pipeline(chunks[_i], steps[s]);
}
END_TEST

START_TEST(output_can_be_sent_byte_by_byte)
{
    const uint8_t *span;
    uint8_t wire[256];
    size_t len = 0;
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(read_node("/bc", &ans), 0);
    while (xids_xs_client_output(rig.c, &span) > 0) {
        wire[len++] = span[0];
        xids_xs_client_sent(rig.c, 1);
    }
    struct xids_xswire_msg msg;
    ck_assert_int_eq(xids_xswire_peek(&msg, wire, len), 19);
    ck_assert_str_eq(msg.payload, "/a");
    ck_assert_int_eq(xids_xswire_peek(&msg, wire + 19, len - 19), 20);
    ck_assert_str_eq(msg.payload, "/bc");
}
END_TEST

START_TEST(saying_too_much_was_sent_is_harmless)
{
    const uint8_t *span;
    ck_assert_int_eq(read_node("/a", &ans), 0);
    xids_xs_client_sent(rig.c, 100000);
    ck_assert_uint_eq(xids_xs_client_output(rig.c, &span), 0);
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_uint_eq(xids_xs_client_output(rig.c, &span), 19);
}
END_TEST

/* ---- limits ---- */

START_TEST(no_more_requests_than_the_limit)
{
    struct request q;
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(read_node("/a", &ans), -XEN_EBUSY);
    ck_assert_int_eq(answer_ok(&rig, expect(&rig, &q, XS_READ)), 0);
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(read_node("/a", &ans), -XEN_EBUSY);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 32);
}
END_TEST

START_TEST(no_more_unsent_bytes_than_the_limit)
{
    static char value[4000];
    struct request q;
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, 4000, on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, 4000, on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, 4000, on_reply, &ans), -XEN_EBUSY);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 2);
    expect(&rig, &q, XS_WRITE);
    ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, 4000, on_reply, &ans), 0);
    expect(&rig, &q, XS_WRITE);
    expect(&rig, &q, XS_WRITE);
    ck_assert_uint_eq(q.msg.len, 4003);
}
END_TEST

static int chained;

static void ask_again(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    ck_assert_int_eq(rc, 0);
    if (--chained > 0)
        ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/again", ask_again, ctx), 0);
}

START_TEST(a_callback_can_use_the_slot_that_its_reply_freed)
{
    chained = 1000;
    for (int i = 0; i < 31; i++)
        ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/again", ask_again, NULL), 0);
    serve_ok(&rig);
    ck_assert_int_eq(chained, 0);
}
END_TEST

/* ---- the store breaks the protocol ---- */

/* After a violation: everything has completed once with it, and nothing works until reset, then all does. */
static void check_broken(struct answer *answers, int count)
{
    const uint8_t *span;
    struct request q;
    static const uint8_t byte;
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(answers[i].calls, 1);
        ck_assert_int_eq(answers[i].rc, -XEN_EBADMSG);
    }
    ck_assert_int_eq(xids_xs_client_error(rig.c), -XEN_EBADMSG);
    ck_assert_str_ne(xids_xs_client_reason(rig.c), "");
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
    ck_assert_uint_eq(xids_xs_client_output(rig.c, &span), 0);
    ck_assert_int_eq(xids_xs_client_input(rig.c, &byte, 1), -XEN_EBADMSG);
    ck_assert_int_eq(read_node("/a", &ans), -XEN_EBADMSG);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(xids_xs_client_error(rig.c), 0);
    ck_assert_str_eq(xids_xs_client_reason(rig.c), "");
    memset(&ans, 0, sizeof(ans));
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "1", 1), 0);
    ck_assert_int_eq(ans.calls, 1);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(answers[i].calls, 1);
}

static struct answer several[3];
static struct request reqs[3];

static void ask_several(void)
{
    memset(several, 0, sizeof(several));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(read_node("/several", &several[i]), 0);
    for (int i = 0; i < 3; i++)
        expect(&rig, &reqs[i], XS_READ);
}

START_TEST(a_reply_to_no_request_breaks_the_connection)
{
    ask_several();
    const uint32_t ids[] = {reqs[0].msg.req_id + 3,       reqs[0].msg.req_id ^ 0x10000u,
                            reqs[0].msg.req_id | 0xffffu, 0,
                            reqs[0].msg.req_id + 0x20000, UINT32_MAX};
    ck_assert_int_eq(send_raw(&rig, XS_READ, ids[_i], 0, "x", 1), -XEN_EBADMSG);
    check_broken(several, 3);
}
END_TEST

START_TEST(a_second_reply_to_one_request_breaks_the_connection)
{
    ask_several();
    ck_assert_int_eq(answer(&rig, &reqs[1], "x", 1), 0);
    ck_assert_int_eq(several[1].calls, 1);
    ck_assert_int_eq(answer(&rig, &reqs[1], "x", 1), -XEN_EBADMSG);
    ck_assert_int_eq(several[1].calls, 1);
    ck_assert_int_eq(several[1].rc, 0);
    several[1] = several[0];
    check_broken(several, 3);
}
END_TEST

START_TEST(a_reply_of_another_type_breaks_the_connection)
{
    static const uint32_t types[] = {XS_CONTROL, XS_WRITE, XS_DIRECTORY, XS_WATCH, 12345, XS_INVALID};
    ask_several();
    ck_assert_int_eq(send_raw(&rig, types[_i], reqs[0].msg.req_id, 0, "x", 1), -XEN_EBADMSG);
    check_broken(several, 3);
}
END_TEST

START_TEST(a_message_over_the_limit_breaks_the_connection)
{
    static const uint32_t lens[] = {4097, 0x7fffffffu, 0x80000000u, 0xffffffffu};
    ask_several();
    const uint32_t header[4] = {XS_READ, reqs[0].msg.req_id, 0, lens[_i]};
    ck_assert_int_eq(xids_xs_client_input(rig.c, header, sizeof(header)), -XEN_EBADMSG);
    check_broken(several, 3);
}
END_TEST

START_TEST(a_malformed_error_breaks_the_connection)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"ENOENT", 6}, {"", 0}, {"EN\0ENT", 7}, {"ENOENT\0\0", 8}, {"\xff\xfe", 2}};
    ask_several();
    ck_assert_int_eq(send_raw(&rig, XS_ERROR, reqs[0].msg.req_id, 0, bad[_i].text, bad[_i].len), -XEN_EBADMSG);
    check_broken(several, 3);
}
END_TEST

START_TEST(what_follows_a_violation_is_not_looked_at)
{
    uint8_t stream[64];
    struct xids_xswire_part part = {"v", 1};
    ask_several();
    int a = xids_xswire_build(stream, sizeof(stream), XS_READ, 0, 0, &part, 1);
    int b = xids_xswire_build(stream + a, sizeof(stream) - (size_t)a, XS_READ, reqs[0].msg.req_id, 0, &part, 1);
    ck_assert_int_eq(xids_xs_client_input(rig.c, stream, (size_t)(a + b)), -XEN_EBADMSG);
    check_broken(several, 3);
}
END_TEST

START_TEST(the_transaction_id_of_a_reply_does_not_matter)
{
    ask_several();
    ck_assert_int_eq(send_raw(&rig, XS_READ, reqs[0].msg.req_id, 0xdeadbeefu, "v", 1), 0);
    ck_assert_int_eq(several[0].calls, 1);
}
END_TEST

/* Whatever single byte of a valid stream is changed to whatever: no callback comes twice, and in the end each has come.
 */
START_TEST(no_changed_byte_completes_a_request_twice_or_never)
{
    uint8_t stream[256];
    for (unsigned int value = 0; value < 256; value += 5) {
        size_t len = 0;
        ask_several();
        for (int i = 2; i >= 0; i--) {
            struct xids_xswire_part part = {"EVALUE", 7};
            int n = xids_xswire_build(stream + len, sizeof(stream) - len, i == 1 ? (uint32_t)XS_ERROR : XS_READ,
                                      reqs[i].msg.req_id, 0, &part, 1);
            len += (size_t)n;
        }
        stream[(unsigned int)_i % len] = (uint8_t)value;
        (void)!xids_xs_client_input(rig.c, stream, len);
        xids_xs_client_reset(rig.c);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(several[i].calls, 1);
        ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
    }
}
END_TEST

START_TEST(the_first_error_stays)
{
    ask_several();
    xids_xs_client_fail(rig.c, -XEN_EIO, "first");
    xids_xs_client_fail(rig.c, -XEN_EBADMSG, "second");
    ck_assert_int_eq(xids_xs_client_error(rig.c), -XEN_EIO);
    ck_assert_str_eq(xids_xs_client_reason(rig.c), "first");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(several[i].calls, 1);
        ck_assert_int_eq(several[i].rc, -XEN_EIO);
    }
}
END_TEST

/* ---- reset and end ---- */

START_TEST(reset_completes_what_is_outstanding)
{
    ask_several();
    xids_xs_client_reset(rig.c);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(several[i].calls, 1);
        ck_assert_int_eq(several[i].rc, -XEN_ENOTCONN);
    }
    ck_assert_int_eq(xids_xs_client_error(rig.c), 0);
}
END_TEST

START_TEST(reset_forgets_unsent_bytes_and_half_messages)
{
    const uint8_t *span;
    static const uint8_t half[20] = {1};
    struct request q;
    ck_assert_int_eq(read_node("/a", &several[0]), 0);
    ck_assert_int_eq(xids_xs_client_input(rig.c, half, 10), 0);
    xids_xs_client_reset(rig.c);
    ck_assert_uint_eq(xids_xs_client_output(rig.c, &span), 0);
    ck_assert_int_eq(read_node("/b", &ans), 0);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "v", 1), 0);
    ck_assert_int_eq(ans.calls, 1);
}
END_TEST

START_TEST(a_reply_of_the_former_connection_is_no_reply)
{
    struct request q;
    ck_assert_int_eq(read_node("/a", &several[0]), 0);
    expect(&rig, &q, XS_READ);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(read_node("/b", &ans), 0);
    ck_assert_int_eq(answer(&rig, &q, "old", 3), -XEN_EBADMSG);
    ck_assert_int_eq(ans.rc, -XEN_EBADMSG);
}
END_TEST

static void ask_on_reset(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    ck_assert_int_eq(rc, -XEN_ENOTCONN);
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/new", on_reply, ctx), 0);
}

START_TEST(a_request_made_in_a_resets_callback_belongs_to_the_new_connection)
{
    struct request q;
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/old", ask_on_reset, &ans), 0);
    xids_xs_client_reset(rig.c);
    ck_assert_int_eq(ans.calls, 0);
    for (int i = 0; i < 32; i++) {
        expect(&rig, &q, XS_READ);
        ck_assert_str_eq(q.payload, "/new");
        ck_assert_int_eq(answer(&rig, &q, "v", 1), 0);
    }
    ck_assert_int_eq(ans.calls, 32);
}
END_TEST

START_TEST(the_end_completes_what_is_outstanding)
{
    struct rig r;
    rig_init(&r, NULL);
    ck_assert_int_eq(xids_xs_client_read(r.c, 0, "/a", on_reply, &ans), 0);
    rig_fini(&r);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_int_eq(ans.rc, -XEN_ENOTCONN);
}
END_TEST

/* ---- giving up ---- */

START_TEST(a_cancelled_request_does_not_call_back)
{
    struct request q;
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_int_eq(read_node("/b", &several[0]), 0);
    ck_assert_uint_eq(xids_xs_client_cancel(rig.c, on_reply, &ans), 1);
    ck_assert_uint_eq(xids_xs_client_cancel(rig.c, on_reply, &ans), 0);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 2);
    memset(several, 0, sizeof(several));
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "v", 1), 0);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "w", 1), 0);
    ck_assert_int_eq(ans.calls, 0);
    ck_assert_int_eq(several[0].calls, 1);
    ck_assert_uint_eq(xids_xs_client_outstanding(rig.c), 0);
}
END_TEST

START_TEST(a_deadline_completes_a_request_and_its_late_reply_is_let_pass)
{
    struct request q;
    xids_xs_client_tick(rig.c, 1000);
    xids_xs_client_timeout(rig.c, 500);
    ck_assert_int_eq(read_node("/a", &ans), 0);
    ck_assert_uint_eq(xids_xs_client_deadline(rig.c), 1500);
    xids_xs_client_tick(rig.c, 1499);
    ck_assert_int_eq(ans.calls, 0);
    xids_xs_client_tick(rig.c, 1500);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_int_eq(ans.rc, -XEN_ETIMEDOUT);
    ck_assert_uint_eq(xids_xs_client_deadline(rig.c), UINT64_MAX);
    ck_assert_int_eq(answer(&rig, expect(&rig, &q, XS_READ), "v", 1), 0);
    ck_assert_int_eq(ans.calls, 1);
}
END_TEST

START_TEST(deadlines_pass_one_by_one)
{
    memset(several, 0, sizeof(several));
    xids_xs_client_timeout(rig.c, 100);
    for (unsigned int i = 0; i < 3; i++) {
        xids_xs_client_tick(rig.c, i * 10);
        ck_assert_int_eq(read_node("/a", &several[i]), 0);
    }
    xids_xs_client_tick(rig.c, 110);
    ck_assert_int_eq(several[0].calls, 1);
    ck_assert_int_eq(several[1].calls, 1);
    ck_assert_int_eq(several[2].calls, 0);
    ck_assert_uint_eq(xids_xs_client_deadline(rig.c), 120);
    xids_xs_client_timeout(rig.c, 0);
    ck_assert_int_eq(read_node("/a", &ans), 0);
    xids_xs_client_tick(rig.c, UINT64_MAX - 1);
    ck_assert_int_eq(several[2].calls, 1);
    ck_assert_int_eq(ans.calls, 0);
}
END_TEST

START_TEST(requests_that_timed_out_count_until_answered)
{
    xids_xs_client_timeout(rig.c, 1);
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(read_node("/a", &ans), 0);
    xids_xs_client_tick(rig.c, 10);
    ck_assert_int_eq(ans.calls, 32);
    ck_assert_int_eq(read_node("/a", &ans), -XEN_EBUSY);
    ck_assert_int_eq(serve_ok(&rig), 32);
    ck_assert_int_eq(ans.calls, 32);
    ck_assert_int_eq(read_node("/a", &ans), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs_client");
    TCase *t = tcase_create("requests");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, limits_out_of_bounds_are_refused, 0, 7);
    tcase_add_test(t, too_little_memory_is_refused);
    tcase_add_test(t, the_smallest_client_works);
    tcase_add_test(t, a_new_client_has_nothing_to_send);
    tcase_add_test(t, ending_nothing_is_allowed);
    tcase_add_test(t, read_sends_the_path);
    tcase_add_test(t, write_sends_the_value_without_a_nul);
    tcase_add_test(t, an_empty_value_can_be_written);
    tcase_add_test(t, mkdir_rm_and_directory_send_the_path);
    tcase_add_test(t, a_part_of_a_directory_is_asked_for_by_offset);
    tcase_add_test(t, permissions_are_sent_as_given);
    tcase_add_test(t, a_domains_path_is_asked_for_in_decimal);
    tcase_add_test(t, no_request_goes_without_payload);
    tcase_add_test(t, the_largest_payload_goes_and_one_more_does_not);
    tcase_add_test(t, absurd_lengths_are_too_big_not_wrapped);
    tcase_add_test(t, arguments_are_copied);
    suite_add_tcase(s, t);

    t = tcase_create("replies");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_reply_reaches_the_callback);
    tcase_add_test(t, an_empty_reply_is_a_reply);
    tcase_add_test(t, the_largest_reply_is_taken);
    tcase_add_loop_test(t, errors_arrive_with_xens_numbers, 0, 8);
    tcase_add_test(t, a_request_may_go_without_callback);
    tcase_add_loop_test(t, replies_in_any_order_and_cut_anywhere_reach_their_callbacks, 0, 9);
    tcase_add_test(t, output_can_be_sent_byte_by_byte);
    tcase_add_test(t, saying_too_much_was_sent_is_harmless);
    tcase_add_test(t, no_more_requests_than_the_limit);
    tcase_add_test(t, no_more_unsent_bytes_than_the_limit);
    tcase_add_test(t, a_callback_can_use_the_slot_that_its_reply_freed);
    suite_add_tcase(s, t);

    t = tcase_create("hostile");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_reply_to_no_request_breaks_the_connection, 0, 6);
    tcase_add_test(t, a_second_reply_to_one_request_breaks_the_connection);
    tcase_add_loop_test(t, a_reply_of_another_type_breaks_the_connection, 0, 6);
    tcase_add_loop_test(t, a_message_over_the_limit_breaks_the_connection, 0, 4);
    tcase_add_loop_test(t, a_malformed_error_breaks_the_connection, 0, 5);
    tcase_add_test(t, what_follows_a_violation_is_not_looked_at);
    tcase_add_test(t, the_transaction_id_of_a_reply_does_not_matter);
    tcase_add_loop_test(t, no_changed_byte_completes_a_request_twice_or_never, 0, 69);
    tcase_add_test(t, the_first_error_stays);
    suite_add_tcase(s, t);

    t = tcase_create("ends");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, reset_completes_what_is_outstanding);
    tcase_add_test(t, reset_forgets_unsent_bytes_and_half_messages);
    tcase_add_test(t, a_reply_of_the_former_connection_is_no_reply);
    tcase_add_test(t, a_request_made_in_a_resets_callback_belongs_to_the_new_connection);
    tcase_add_test(t, the_end_completes_what_is_outstanding);
    tcase_add_test(t, a_cancelled_request_does_not_call_back);
    tcase_add_test(t, a_deadline_completes_a_request_and_its_late_reply_is_let_pass);
    tcase_add_test(t, deadlines_pass_one_by_one);
    tcase_add_test(t, requests_that_timed_out_count_until_answered);
    suite_add_tcase(s, t);
    return s;
}
