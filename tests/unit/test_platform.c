/* SPDX-License-Identifier: ISC */
/* What every platform promises, checked on the model. */
#include "tests/unit/platform_cases.h"
#include "tests/unit/suite.h"

#include <xids/model.h>

static uint8_t peek(struct platform_pair *p, const void XIDS_PEER *area, uint32_t offset)
{
    (void)p;
    return xids_peer_load8((const uint8_t XIDS_PEER *)area + offset);
}

static void poke(struct platform_pair *p, void XIDS_PEER *area, uint32_t offset, uint8_t value)
{
    (void)p;
    xids_peer_store8_release((uint8_t XIDS_PEER *)area + offset, value);
}

static void kill_b(struct platform_pair *p)
{
    ck_assert_int_eq(xids_model_process_kill(p->ctx, p->b->domid), 0);
}

START_TEST(a_promise_is_kept_by_the_model)
{
    unsigned int flags = (unsigned int)_i < platform_case_count ? 0 : XIDS_MODEL_SEPARATE;
    const struct platform_case *c = &platform_cases[(unsigned int)_i % platform_case_count];
    struct xids_model *m = xids_model_new(1, flags);
    struct platform_pair p = {xids_model_domain_create(m, 0), xids_model_domain_create(m, 1), peek, poke, kill_b, m};
    const char *wrong = c->run(&p);
    ck_assert_msg(wrong == NULL, "%s: %s", c->name, wrong);
    char left[400];
    ck_assert_msg(xids_model_check_clean(m, left, sizeof(left)) == 0, "%s left: %s", c->name, left);
    xids_model_free(m);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("platform");
    TCase *t = tcase_create("model");
    tcase_add_loop_test(t, a_promise_is_kept_by_the_model, 0, 2 * (int)platform_case_count);
    suite_add_tcase(s, t);
    return s;
}
