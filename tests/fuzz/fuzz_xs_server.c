/* SPDX-License-Identifier: ISC */
/*
 * The whole xenstore server on any bytes. The input is a sequence of steps: a byte chooses a socket, one of two guests'
 * rings, or something that a host does; the next says how many bytes that step takes. Whatever comes, the
 * tree stays sound, and at the end nothing is left.
 */
#include <stdlib.h>
#include <string.h>
#include <xids/xs_server.h>

#define RINGS 3
#define NODES_TO_CHECK 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t out_bytes;

static void *get(void *ctx, size_t size)
{
    (void)ctx;
    out_bytes += size;
    return malloc(size);
}

static void put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    out_bytes -= size;
    free(mem);
}

static uint8_t *pages[RINGS];

static int introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    (void)ctx;
    (void)conn;
    (void)port;
    if (domid >= RINGS)
        return -XEN_EINVAL;
    *page = (void XIDS_PEER *)pages[domid];
    return 0;
}

static void drain(struct xids_xs_server *s, struct xids_xs_conn *socket)
{
    const void *bytes;
    while (xids_xs_server_ready(s) != NULL) {
    }
    size_t n = xids_xs_server_output(socket, &bytes);
    xids_xs_server_sent(socket, n);
}

/* A guest puts bytes into its ring, as far as there is room, and takes all that is there. */
static void ring_step(struct xids_xs_server *s, uint16_t domid, const uint8_t *data, size_t len)
{
    struct xenstore_domain_interface *page = (void *)pages[domid];
    struct xids_xs_conn *conn = xids_xs_server_domain(s, domid);
    for (size_t i = 0; i < len && page->req_prod - page->req_cons < XENSTORE_RING_SIZE; i++)
        page->req[MASK_XENSTORE_IDX(page->req_prod++)] = (char)data[i];
    if (conn != NULL)
        xids_xs_server_ring_event(conn);
    page->rsp_cons = page->rsp_prod;
}

static void step(struct xids_xs_server *s, struct xids_xs_conn *socket, unsigned int what, const uint8_t *data,
                 size_t len)
{
    size_t used;
    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        if (xids_xs_server_input(socket, &used, data, len) < 0)
            used = 0;
        break;
    case 3:
    case 4:
        ring_step(s, 1, data, len);
        break;
    case 5:
        ring_step(s, 2, data, len);
        break;
    case 6: /* anything at all in a guest's page */
        if (len >= 3)
            pages[1 + data[0] % 2][2048 + data[1] % 32] = data[2];
        ring_step(s, 1, NULL, 0);
        ring_step(s, 2, NULL, 0);
        break;
    default:
        xids_xs_server_release(s, (uint16_t)(1 + len % 2));
        (void)xids_xs_server_idle(s, 3);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t hello[] = {XS_INTRODUCE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, '1', 0, '1', 0, '1', 0,
                                    XS_INTRODUCE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, '2', 0, '1', 0, '1', 0};
    const struct xids_xs_host host = {.introduce = introduce};
    const struct xids_xs_server_config config = {.alloc = {.get = get, .put = put}, .host = &host};
    struct xids_xs_server *s;
    struct xids_xs_conn *socket;
    size_t used;
    for (int i = 0; i < RINGS; i++)
        pages[i] = calloc(1, XIDS_PAGE_SIZE);
    if (xids_xs_server_new(&s, &config) < 0 || xids_xs_server_connect(s, &socket, NULL) < 0 ||
        xids_xs_server_input(socket, &used, hello, sizeof(hello)) < 0)
        abort();
    while (len >= 2) {
        size_t n = data[1] < len - 2 ? data[1] : len - 2;
        step(s, socket, data[0], data + 2, n);
        data += 2 + n;
        len -= 2 + n;
        if (data[-1] % 2 == 0)
            drain(s, socket);
    }
    while (xids_xs_server_idle(s, 100000)) {
    }
    if (xids_store_nodes(xids_xs_server_store(s)) < NODES_TO_CHECK && xids_store_check(xids_xs_server_store(s)) != NULL)
        abort();
    xids_xs_server_free(s);
    for (int i = 0; i < RINGS; i++)
        free(pages[i]);
    if (out_bytes != 0)
        abort();
    return 0;
}
