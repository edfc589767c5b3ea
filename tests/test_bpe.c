// tests: TOKENIZE: the parts below the tokenizer: UTF-8, the expression, the merges.
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/utf8.h"

#include "test_util.h"

START_TEST(every_code_point_is_well_formed_and_nothing_else)
{
    size_t n_wrong = 0;
    for (uint32_t c = 0; c < 0x110000; c++) { // the surrogates' three bytes are ill-formed
        unsigned char text[4] = {(unsigned char)c};
        size_t n = 1;
        if (c >= 0x80) {
            n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
            static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
            for (size_t i = 0; i < n; i++) {
                text[i] = (unsigned char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3F));
            }
            text[0] = (unsigned char)(lead[n] | c >> (6 * (n - 1)));
        }
        bool surrogate = c >= 0xD800 && c < 0xE000;
        n_wrong += utf8_length(text, n) != (surrogate ? 0 : n) || utf8_length(text, n - 1) != 0;
        n_wrong += !surrogate && (utf8_code_point(text, n) != c || utf8_last_length(text, n) != n);
    }
    ck_assert_uint_eq(n_wrong, 0);
    size_t n_well_formed = 0; // of all sequences of three bytes or fewer
    for (uint32_t c = 0; c < 0x1000000; c++) {
        unsigned char text[3] = {(unsigned char)(c >> 16), (unsigned char)(c >> 8),
                                 (unsigned char)c};
        n_well_formed += utf8_length(text, 3) == 3;
    }
    ck_assert_uint_eq(n_well_formed, 0x10000 - 0x800 - 0x800);
}
END_TEST

START_TEST(interpreted_expression_cuts_as_the_compiled_one)
{
    pretokenizer with, without;
    assert_ok(pretokenizer_init(&with, true));
    assert_ok(pretokenizer_init(&without, false));
    ck_assert(!without.jit);
    pcre2_match_data *scratch = pretokenizer_scratch(&with);
    uint64_t seed = 3;
    static const char *const parts[] = {"'s", "'ll", " ",  "  ", "\n", "a", "Zz", "1",     "é",
                                        "한", "½",   "!?", "😀",  "'",  "½", "_",  "\u3000"};
    for (int round = 0; round < 3000; round++) {
        char text[256] = "x";
        for (uint64_t k = test_random(&seed) % 30; k > 0; k--) {
            strcat(text, parts[test_random(&seed) % (sizeof parts / sizeof parts[0])]);
        }
        const unsigned char *bytes = (const unsigned char *)text;
        for (size_t n = strlen(text), i = 0, a, b; i < n; i = a) {
            assert_ok(pretokenizer_next(&with, scratch, bytes, n, i, &a));
            assert_ok(pretokenizer_next(&without, scratch, bytes, n, i, &b));
            ck_assert_uint_eq(a, b);
        }
    }
    pcre2_match_data_free(scratch);
    pretokenizer_free(&with);
    pretokenizer_free(&without);
}
END_TEST

// Merges as the definition says: the pair of lowest rank, leftmost first, again and again.
static size_t merge_naively(const int32_t (*merges)[3], int n_merges, int32_t *ids, size_t n)
{
    for (int rank = 0; rank < n_merges;) {
        size_t i = 0;
        while (i + 1 < n && (ids[i] != merges[rank][0] || ids[i + 1] != merges[rank][1])) {
            i++;
        }
        if (i + 1 >= n) {
            rank++;
            continue;
        }
        ids[i] = merges[rank][2];
        memmove(&ids[i + 1], &ids[i + 2], (n - i - 2) * sizeof *ids);
        n--;
        rank = 0;
    }
    return n;
}

START_TEST(short_and_long_pieces_merge_as_defined)
{
    uint64_t seed = 11;
    bpe_scratch scratch = {0};
    for (int round = 0; round < 400; round++) {
        bpe_table table = {0};
        int32_t merges[40][3];
        int n_merges = 0;
        assert_ok(bpe_table_init(&table, 40));
        for (int i = 0; i < 256; i++) {
            table.byte_ids[i] = i;
        }
        for (int i = 0; i < 40; i++) { // of two tokens that exist, in any order
            int32_t left = (int32_t)(test_random(&seed) % (uint64_t)(3 + n_merges));
            int32_t right = (int32_t)(test_random(&seed) % (uint64_t)(3 + n_merges));
            left = left < 3 ? 'a' + left : 253 + left;
            right = right < 3 ? 'a' + right : 253 + right;
            if (bpe_table_add(&table, left, right, (uint32_t)n_merges, 256 + n_merges) == OCT_OK) {
                memcpy(merges[n_merges], ((int32_t[]){left, right, 256 + n_merges}), 12);
                n_merges++;
            }
        }
        unsigned char piece[200];
        int32_t want[200], got[200];
        size_t n = 1 + test_random(&seed) % sizeof piece, n_got;
        for (size_t i = 0; i < n; i++) {
            piece[i] = (unsigned char)('a' + test_random(&seed) % 3);
            want[i] = piece[i];
        }
        size_t n_want = merge_naively(merges, n_merges, want, n);
        assert_ok(bpe_encode(&table, &scratch, piece, n, got, &n_got));
        ck_assert_uint_eq(n_got, n_want);
        ck_assert(memcmp(got, want, n_want * sizeof *got) == 0);
        bpe_table_free(&table);
    }
    bpe_scratch_free(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bpe");
    TCase *tcase = tcase_create("bpe");
    tcase_add_test(tcase, every_code_point_is_well_formed_and_nothing_else);
    tcase_add_test(tcase, interpreted_expression_cuts_as_the_compiled_one);
    tcase_add_test(tcase, short_and_long_pieces_merge_as_defined);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
