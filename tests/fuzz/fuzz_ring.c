/* SPDX-License-Identifier: ISC */
/*
 * Rings under a peer that writes any shared word between any two of our calls. The input is a list of 6-byte steps:
 * what to do, which shared word, its new value. Nothing may be read or written outside the page, and no call may
 * return more than it was asked for.
 */
#include <stdlib.h>
#include <string.h>
#include <xids/bytering.h>
#include <xids/ring.h>

struct message {
    uint32_t words[4];
};

XIDS_RING_DEFINE(fuzz, struct message, struct message)

static _Alignas(64) uint8_t page[XIDS_PAGE_SIZE];

static void check(bool fine)
{
    if (!fine)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_front front;
    struct fuzz_back back;
    struct xids_bytering reader, writer;
    uint32_t index[2] = {0, 0};
    struct message m = {{0}};
    uint8_t bytes[128];

    if (fuzz_front_init(&front, page, sizeof(page)) != 0 || fuzz_back_init(&back, page, sizeof(page)) != 0)
        abort();
    const struct xids_bytering_layout at = {page + 2048, 1024, &index[0], &index[1]};
    if (xids_bytering_attach(&reader, &at, false) != 0 || xids_bytering_attach(&writer, &at, true) != 0)
        abort();

    for (; len >= 6; data += 6, len -= 6) {
        uint32_t value;
        int rc = 0;
        memcpy(&value, data + 2, sizeof(value));
        uint32_t n = value % sizeof(bytes);
        switch (data[0] % 12) {
        case 0:
            memcpy(page + 4u * (data[1] % 4u), &value, sizeof(value));
            break;
        case 1:
            index[data[1] % 2] = value;
            break;
        case 2:
            rc = fuzz_front_put(&front, &m);
            break;
        case 3:
            rc = fuzz_front_push(&front);
            break;
        case 4:
            rc = fuzz_front_take(&front, &m);
            break;
        case 5:
            rc = fuzz_back_take(&back, &m);
            break;
        case 6:
            rc = fuzz_back_put(&back, &m);
            break;
        case 7:
            rc = fuzz_back_push(&back);
            break;
        case 8:
            rc = fuzz_back_arm(&back, value % 300);
            check(rc <= 1);
            break;
        case 9:
            rc = xids_bytering_read(&reader, bytes, n);
            check(rc <= (int)n);
            break;
        case 10:
            rc = xids_bytering_write(&writer, bytes, n);
            check(rc <= (int)n);
            break;
        default:
            xids_bytering_publish(data[1] % 2 ? &reader : &writer);
            break;
        }
        check(rc >= 0 || rc == -XEN_EBADMSG || rc == -XEN_EINVAL);
        check(fuzz_front_room(&front) <= front.ring.size && fuzz_back_room(&back) <= back.ring.size);
        check(xids_bytering_known(&reader) <= 1024 && xids_bytering_known(&writer) <= 1024);
    }
    return 0;
}
