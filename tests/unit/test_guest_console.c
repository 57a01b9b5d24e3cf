/* SPDX-License-Identifier: ISC */
/* The bare guest's console, with a backend that the test plays: a slow one, none, and a hostile one. */
#include "platform/guest/guest.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>

#define PORT 5u
#define PFN 0xfeffcu
#define OUT_SIZE sizeof(((struct xencons_interface *)0)->out)

struct xids_guest guest_the;

static struct xencons_interface *page;
static uint64_t now;
static unsigned int sent, unmasked, naps;
static bool reads_in_naps;
static char early[4096];
static size_t early_len;
static uint64_t params[HVM_NR_PARAMS];

/* What the backend has taken. */
static char *taken;
static size_t taken_len;

static void backend_reads(size_t most)
{
    for (; most > 0 && page->out_cons != page->out_prod; most--) {
        taken[taken_len++] = page->out[MASK_XENCONS_IDX(page->out_cons, page->out)];
        taken[taken_len] = '\0';
        page->out_cons++;
    }
}

static void backend_types(const char *text)
{
    for (; *text != '\0'; text++)
        page->in[MASK_XENCONS_IDX(page->in_prod++, page->in)] = *text;
}

void arch_early_write(const char *text, size_t len)
{
    ck_assert_uint_lt(early_len + len, sizeof(early));
    memcpy(early + early_len, text, len);
    early_len += len;
    early[early_len] = '\0';
}

void XIDS_PEER *arch_xen_page(uint64_t number)
{
    return number == PFN ? (void XIDS_PEER *)page : NULL;
}

int guest_port_adopt(evtchn_port_t port)
{
    ck_assert_uint_eq(port, PORT);
    return 0;
}

void guest_port_send(evtchn_port_t port)
{
    ck_assert_uint_eq(port, PORT);
    sent++;
}

int guest_evtchn_unmask(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    ck_assert_uint_eq(port, PORT);
    unmasked++;
    return 0;
}

uint64_t guest_now(void)
{
    return now;
}

void guest_nap(uint64_t ns)
{
    now += ns;
    naps++;
    if (reads_in_naps)
        backend_reads(100);
}

long arch_hypercall(unsigned long number, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5)
{
    (void)a3;
    (void)a4;
    (void)a5;
    struct xen_hvm_param *op = (struct xen_hvm_param *)a2;
    ck_assert_uint_eq(number, __HYPERVISOR_hvm_op);
    ck_assert_uint_eq(a1, HVMOP_get_param);
    ck_assert_uint_eq(op->domid, DOMID_SELF);
    op->value = params[op->index];
    return 0;
}

static void setup(void)
{
    page = calloc(1, 4096);
    taken = calloc(1, 1 << 20);
    params[HVM_PARAM_CONSOLE_PFN] = PFN;
    params[HVM_PARAM_CONSOLE_EVTCHN] = PORT;
    xids_loop_init(&guest_the.loop, &guest_the.platform);
    ck_assert_int_eq(guest_console_init(false), 0);
}

static void teardown(void)
{
    free(page);
    free(taken);
}

static const struct xids_part *part(void)
{
    ck_assert_ptr_nonnull(guest_the.loop.parts);
    return guest_the.loop.parts;
}

static void write_text(const char *text)
{
    guest_console_write(text, strlen(text));
}

/* The backend takes all, the guest getting its turns. */
static void drain(void)
{
    for (size_t before = SIZE_MAX; before != taken_len;) {
        before = taken_len;
        backend_reads(SIZE_MAX);
        (void)part()->step(NULL, now);
        backend_reads(SIZE_MAX);
    }
}

START_TEST(before_the_console_xens_log_takes_output)
{
    write_text("early\n");
    guest_console_flush();
    ck_assert_str_eq(early, "early\n");
    params[HVM_PARAM_CONSOLE_PFN] = 0;
    ck_assert_int_eq(guest_console_init(false), 0);
    write_text("none\n");
    ck_assert_str_eq(early, "early\nnone\n");
    char c;
    ck_assert_int_eq(xids_guest_console_read(NULL, &c, 1), 0);
}
END_TEST

START_TEST(output_goes_to_the_backend_and_is_announced)
{
    write_text("one\ntwo\n");
    ck_assert_uint_ge(sent, 1);
    backend_reads(SIZE_MAX);
    ck_assert_str_eq(taken, "one\r\ntwo\r\n");
    ck_assert_uint_eq(early_len, 0);
    unsigned int before = sent;
    (void)part()->step(NULL, now);
    ck_assert_uint_eq(sent, before);
}
END_TEST

START_TEST(output_beyond_the_ring_is_kept)
{
    char *want = calloc(1, 10001);
    for (int i = 0; i < 10000; i++)
        want[i] = (char)('a' + i % 26);
    guest_console_write(want, 10000);
    ck_assert_uint_eq(page->out_prod, OUT_SIZE);
    drain();
    ck_assert_str_eq(taken, want);
    free(want);
}
END_TEST

START_TEST(output_beyond_the_bound_is_dropped_and_counted)
{
    unsigned long long dropped = 0;
    char *a = malloc(100000);
    memset(a, 'a', 100000);
    guest_console_write(a, 100000);
    write_text("ccc");
    ck_assert_uint_eq(page->out_prod, OUT_SIZE);
    /* Where it is missing comes a note of how much. */
    drain();
    size_t kept = strcspn(taken, "\r");
    ck_assert_uint_ge(kept, 10000);
    ck_assert_uint_lt(kept, 30000);
    ck_assert_ptr_null(strchr(taken, 'c'));
    ck_assert_int_eq(sscanf(taken + kept, "\r\n[%llu bytes of output were dropped]", &dropped), 1);
    ck_assert_uint_eq(dropped, 100000 + 3 - kept);
    /* Once. */
    write_text("more\n");
    drain();
    ck_assert_ptr_nonnull(strstr(taken, "dropped]\r\nmore\r\n"));
    ck_assert_ptr_null(strstr(strstr(taken, "dropped") + 1, "dropped"));
    free(a);
}
END_TEST

START_TEST(a_last_line_is_not_lost_without_a_note)
{
    char *a = malloc(100000);
    memset(a, 'a', 100000);
    guest_console_write(a, 100000);
    reads_in_naps = true;
    guest_console_flush();
    ck_assert_ptr_nonnull(strstr(taken, "dropped]\r\n"));
    free(a);
}
END_TEST

START_TEST(a_flush_waits_for_a_slow_backend)
{
    char a[5000];
    memset(a, 'a', sizeof(a));
    guest_console_write(a, sizeof(a));
    reads_in_naps = true;
    guest_console_flush();
    ck_assert_uint_eq(taken_len, sizeof(a));
    ck_assert_uint_ge(naps, sizeof(a) / 100);
}
END_TEST

START_TEST(a_flush_gives_up_on_a_dead_backend)
{
    write_text("unheard");
    guest_console_flush();
    ck_assert_uint_ge(now, 100000000);
    ck_assert_uint_le(now, 10000000000);
    unsigned int before = naps;
    backend_reads(SIZE_MAX);
    guest_console_flush();
    ck_assert_uint_eq(naps, before);
}
END_TEST

START_TEST(input_is_read_in_pieces)
{
    char text[64] = {0};
    ck_assert_int_eq(xids_guest_console_read(NULL, text, sizeof(text)), 0);
    backend_types("hello");
    ck_assert(part()->event(NULL, PORT));
    ck_assert_uint_eq(unmasked, 1);
    ck_assert(!part()->event(NULL, PORT + 1));
    ck_assert_int_eq(xids_guest_console_read(NULL, text, 2), 2);
    ck_assert_uint_eq(page->in_cons, 2);
    ck_assert_uint_eq(sent, 1);
    ck_assert_int_eq(xids_guest_console_read(NULL, text + 2, sizeof(text) - 2), 3);
    ck_assert_str_eq(text, "hello");
    ck_assert_int_eq(xids_guest_console_read(NULL, text, sizeof(text)), 0);
}
END_TEST

/* Whatever a backend makes of the indices: no output goes astray, nobody hangs, Xen's log is told once. */
START_TEST(impossible_indices_end_the_console)
{
    char text[64];
    write_text("good");
    switch (_i) {
    case 0:
        page->out_cons = page->out_prod + 100000;
        break;
    case 1:
        page->out_cons = page->out_prod - (uint32_t)OUT_SIZE - 1;
        break;
    case 2:
        page->out_cons = UINT32_MAX;
        break;
    case 3:
        page->in_prod = page->in_cons + (uint32_t)sizeof(page->in) + 1;
        ck_assert_int_eq(xids_guest_console_read(NULL, text, sizeof(text)), 0);
        break;
    default:
        page->in_prod = page->in_cons - 1;
        ck_assert_int_eq(xids_guest_console_read(NULL, text, sizeof(text)), 0);
        break;
    }
    for (int i = 0; i < 1000; i++)
        write_text("a longer line of output that soon fills the ring\n");
    ck_assert_ptr_nonnull(strstr(early, "impossible indices"));
    size_t said = early_len;
    uint32_t prod = page->out_prod;
    guest_console_flush();
    ck_assert_int_eq(xids_guest_console_read(NULL, text, sizeof(text)), 0);
    (void)part()->step(NULL, now);
    write_text("more");
    ck_assert_uint_eq(early_len, said);
    ck_assert_uint_eq(page->out_prod, prod);
    /* Its events are not asked for any more. */
    ck_assert(part()->event(NULL, PORT));
    ck_assert_uint_eq(unmasked, 0);
    /* A new backend after a resume is given a chance. */
    memset(page, 0, sizeof(*page));
    ck_assert_int_eq(guest_console_init(true), 0);
    drain();
    taken_len = 0;
    write_text("again\n");
    drain();
    ck_assert_ptr_nonnull(strstr(taken, "again\r\n"));
}
END_TEST

START_TEST(impossible_indices_from_the_start_end_it_too)
{
    page->out_prod = 77;
    page->out_cons = 78;
    ck_assert_int_eq(guest_console_init(true), 0);
    write_text("unheard");
    ck_assert_uint_eq(page->out_prod, 77);
    ck_assert_ptr_nonnull(strstr(early, "impossible indices"));
}
END_TEST

START_TEST(a_resume_keeps_what_was_not_taken)
{
    for (int i = 0; i < 300; i++)
        write_text("0123456789");
    uint32_t in_ring = page->out_prod;
    memset(page, 0, sizeof(*page)); /* as a restored domain finds it */
    ck_assert_int_eq(guest_console_init(true), 0);
    drain();
    ck_assert_uint_eq(taken_len, 3000 - in_ring);
    write_text("x");
    drain();
    ck_assert_int_eq(taken[taken_len - 1], 'x');
}
END_TEST

/* A backend that jumps at random within what is possible sees every byte that it says to have taken. */
START_TEST(random_reading_gets_every_byte)
{
    unsigned int written = 0;
    srand((unsigned int)_i);
    for (int n = 0; n < 2000; n++) {
        char text[64];
        unsigned int len = 1 + (unsigned int)rand() % 60;
        for (unsigned int i = 0; i < len; i++)
            text[i] = (char)('A' + written++ % 53);
        guest_console_write(text, len);
        while (written - taken_len > 8000 || rand() % 3 == 0) {
            backend_reads((size_t)rand() % 500);
            (void)part()->step(NULL, now);
        }
    }
    drain();
    ck_assert_uint_eq(taken_len, written);
    for (unsigned int i = 0; i < written; i++)
        ck_assert_msg(taken[i] == (char)('A' + i % 53), "seed %d, byte %u", _i, i);
}
END_TEST

static void setup_without(void)
{
    page = calloc(1, 4096);
    taken = calloc(1, 16);
}

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest console");
    TCase *none = tcase_create("none"), *console = tcase_create("console");
    tcase_add_checked_fixture(none, setup_without, teardown);
    tcase_add_test(none, before_the_console_xens_log_takes_output);
    tcase_add_checked_fixture(console, setup, teardown);
    tcase_add_test(console, output_goes_to_the_backend_and_is_announced);
    tcase_add_test(console, output_beyond_the_ring_is_kept);
    tcase_add_test(console, output_beyond_the_bound_is_dropped_and_counted);
    tcase_add_test(console, a_last_line_is_not_lost_without_a_note);
    tcase_add_test(console, a_flush_waits_for_a_slow_backend);
    tcase_add_test(console, a_flush_gives_up_on_a_dead_backend);
    tcase_add_test(console, input_is_read_in_pieces);
    tcase_add_loop_test(console, impossible_indices_end_the_console, 0, 5);
    tcase_add_test(console, impossible_indices_from_the_start_end_it_too);
    tcase_add_test(console, a_resume_keeps_what_was_not_taken);
    tcase_add_loop_test(console, random_reading_gets_every_byte, 0, 4);
    suite_add_tcase(s, none);
    suite_add_tcase(s, console);
    return s;
}
