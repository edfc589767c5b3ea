// tests: TOKENIZE: golden vectors, exact round trips, streaming, special tokens, documents, speed
// bounds.
#include "base/check.h"
#include "text/utf8.h"

#include "tokenizer_check.h"

#include <jansson.h>
#include <pthread.h>
#include <time.h>

static oct_tokenizer *gpt2; // opened once, in the parent: tests only read it

static void open_gpt2(void)
{
    assert_ok(oct_tokenizer_open(&gpt2, GOLDEN));
}

static void close_gpt2(void)
{
    oct_tokenizer_close(gpt2);
}

// False, with one line that says so, where the file is not there.
static bool have(const char *path)
{
    if (access(path, R_OK) == 0) {
        return true;
    }
    printf("skipped: %s is not here\n", path);
    return false;
}

static json_t *load_json(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    ck_assert_msg(root != NULL, "%s: %s", path, error.text);
    return root;
}

static void assert_round_trip(const oct_tokenizer *t, const char *text, size_t n)
{
    int32_t *ids;
    size_t n_ids, n_back;
    char *back;
    assert_ok(oct_tokenizer_encode(t, text, n, &ids, &n_ids));
    assert_ok(oct_tokenizer_decode(t, ids, n_ids, &back, &n_back));
    ck_assert_uint_eq(n_back, n);
    ck_assert_msg(n == 0 || memcmp(back, text, n) == 0, "decoded text differs");
    ck_assert_int_eq(back[n], 0);
    free(back);
    free(ids);
}

START_TEST(golden_vectors_give_the_published_ids)
{
    json_t *vectors = load_json(GOLDEN "/golden_vectors.json");
    ck_assert_uint_eq(json_array_size(vectors), 47);
    size_t i;
    json_t *vector;
    json_array_foreach(vectors, i, vector)
    {
        const json_t *text = json_object_get(vector, "text"), *ids = json_object_get(vector, "ids");
        size_t n = json_array_size(ids);
        int32_t *want = calloc(n + 1, sizeof *want);
        for (size_t k = 0; k < n; k++) {
            want[k] = (int32_t)json_integer_value(json_array_get(ids, k));
        }
        assert_ids(gpt2, json_string_value(text), want, n);
        assert_round_trip(gpt2, json_string_value(text), json_string_length(text));
        free(want);
    }
    json_decref(vectors);
}
END_TEST

START_TEST(vocabulary_has_gpt2s_size_and_end_of_text)
{
    ck_assert_int_eq(oct_tokenizer_vocab_size(gpt2), 50257);
    ck_assert_int_eq(oct_tokenizer_end_of_text(gpt2), 50256);
    ck_assert(oct_tokenizer_is_special(gpt2, 50256));
    ck_assert(!oct_tokenizer_is_special(gpt2, 50255));
    ck_assert(!oct_tokenizer_is_special(gpt2, 50257));
    ck_assert(!oct_tokenizer_is_special(gpt2, -1));
    const char *bytes;
    size_t n;
    assert_ok(oct_tokenizer_token_bytes(gpt2, 262, &bytes, &n));
    ck_assert(n == 4 && memcmp(bytes, " the", 4) == 0);
    ck_assert_int_eq(oct_tokenizer_token_bytes(gpt2, -1, &bytes, &n), OCT_ERR_ARG);
    ck_assert_int_eq(oct_tokenizer_token_bytes(gpt2, 50257, &bytes, &n), OCT_ERR_ARG);
    ck_assert_str_eq(oct_last_error(), "token id: expected one in [0, 50257), got 50257");
    char *text;
    ck_assert_int_eq(oct_tokenizer_decode(gpt2, IDS(262, 99999), &text, &n), OCT_ERR_ARG);
    ck_assert_ptr_null(text);
}
END_TEST

START_TEST(published_texts_give_the_published_token_counts)
{
    static const struct {
        const char *path, *model;
        size_t n_ids;
    } texts[] = {{SHARED("text/wikitext-2-raw-test.txt"), GOLDEN, 287644},
                 {SHARED("text/tinyshakespeare.txt"), GOLDEN, 338025},
                 {SHARED("tales/test.txt"), SHARED("models/tales-8m"), 141800}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!have(texts[i].path) || !have(texts[i].model)) {
            continue;
        }
        oct_tokenizer *t;
        int32_t *ids;
        size_t n_ids;
        assert_ok(oct_tokenizer_open(&t, texts[i].model));
        assert_ok(oct_tokenizer_encode_file(t, texts[i].path, &ids, &n_ids));
        ck_assert_msg(n_ids == texts[i].n_ids, "%s: got %zu tokens, expected %zu", texts[i].path,
                      n_ids, texts[i].n_ids);
        free(ids);
        oct_tokenizer_close(t);
    }
}
END_TEST

// Pushes all ids; returns the joined outputs (owned), each checked to be whole UTF-8.
static char *stream(const oct_tokenizer *t, const int32_t *ids, size_t n_ids, size_t *n_out)
{
    oct_decoder decoder;
    assert_ok(oct_decoder_init(&decoder, t));
    char *out = NULL;
    *n_out = 0;
    for (size_t i = 0; i <= n_ids; i++) {
        const char *part;
        size_t n;
        if (i < n_ids) {
            assert_ok(oct_decoder_push(&decoder, ids[i], &part, &n));
        } else {
            oct_decoder_finish(&decoder, &part, &n);
        }
        ck_assert_uint_eq(utf8_valid_prefix((const unsigned char *)part, n), n);
        out = realloc(out, *n_out + n + 1);
        memcpy(out + *n_out, part, n);
        *n_out += n;
        out[*n_out] = 0;
    }
    oct_decoder_free(&decoder);
    return out;
}

START_TEST(tales_8m_reference_texts_come_back)
{
    const char *model = access(SRC("models/tales-8m/reference.json"), R_OK) == 0
                            ? SRC("models/tales-8m")
                            : SHARED("models/tales-8m");
    if (!have(model)) {
        return;
    }
    char path[4200];
    snprintf(path, sizeof path, "%s/reference.json", model);
    json_t *reference = load_json(path);
    oct_tokenizer *t;
    assert_ok(oct_tokenizer_open(&t, model));
    ck_assert_int_eq(oct_tokenizer_end_of_text(t), 8191);
    json_t *list = json_object_get(reference, "greedy"), *entry;
    ck_assert_uint_gt(json_array_size(list), 0);
    size_t i;
    json_array_foreach(list, i, entry)
    {
        const json_t *ids = json_object_get(entry, "ids");
        const char *prompt = json_string_value(json_object_get(entry, "prompt"));
        size_t n = json_array_size(ids), n_out, n_prompt;
        int32_t *list_ids = calloc(n, sizeof *list_ids), *prompt_ids;
        for (size_t k = 0; k < n; k++) {
            list_ids[k] = (int32_t)json_integer_value(json_array_get(ids, k));
        }
        char *text = stream(t, list_ids, n, &n_out);
        ck_assert_str_eq(text, json_string_value(json_object_get(entry, "text")));
        assert_ok(oct_tokenizer_encode(t, prompt, strlen(prompt), &prompt_ids, &n_prompt));
        ck_assert(n_prompt <= n && memcmp(prompt_ids, list_ids, n_prompt * 4) == 0);
        free(prompt_ids);
        free(text);
        free(list_ids);
    }
    oct_tokenizer_close(t);
    json_decref(reference);
}
END_TEST

START_TEST(every_byte_string_survives_the_round_trip)
{
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
        assert_round_trip(gpt2, &all[i], 1);
    }
    assert_round_trip(gpt2, all, 256);
    assert_round_trip(gpt2, NULL, 0);
    uint64_t seed = 7;
    for (int round = 0; round < 2000; round++) {
        char text[400];
        size_t n = test_random(&seed) % sizeof text;
        uint64_t kind = test_random(&seed) % 4;
        for (size_t i = 0; i < n; i++) {
            uint64_t r = test_random(&seed);
            text[i] = kind == 0   ? (char)r
                      : kind == 1 ? " \n\t'setd01\xC3\xA9\xED\x95\x9C"[r % 16]
                      : kind == 2 ? "\xF0\x9F\x98\x80\xE2\x80"[r % 6]
                                  : (char)(0x80 + r % 128);
        }
        assert_round_trip(gpt2, text, n);
    }
    static const char korean[] = "안녕하세요, 옥텟! 여덟 비트로 이야기합니다. "
                                 "👩‍👩‍👧‍👦\r\n";
    assert_round_trip(gpt2, korean, sizeof korean - 1);
    if (have(SHARED("text/korean-dialogue.csv"))) {
        size_t n;
        char *text = read_file(SHARED("text/korean-dialogue.csv"), &n);
        assert_round_trip(gpt2, text, n);
        free(text);
    }
}
END_TEST

START_TEST(ill_formed_bytes_are_pieces_of_their_own)
{
    // 0xC3 0xA9 is one character; a lone 0xC3 is not joined to the letter behind it.
    assert_ids(gpt2, "\xC3\xA9", IDS(2634));
    assert_ids(gpt2, "a\xC3t", IDS(64, 127, 83));
    assert_ids(gpt2, "at\xFFthe", IDS(265, 187, 1169));
}
END_TEST

START_TEST(decoder_replaces_each_maximal_ill_formed_part_once)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        // The example of the Unicode standard, section 3.9.
        {"a\xF1\x80\x80\xE1\x80\xC2"
         "b\x80"
         "c\x80\xBF"
         "d",
         "a\uFFFD\uFFFD\uFFFD"
         "b\uFFFD"
         "c\uFFFD\uFFFD"
         "d"},
        {"\xC0\xAF", "\uFFFD\uFFFD"},
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
        {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
        {"\xF0\x9F\x98", "\uFFFD"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xE2\x82", "\uFFFD"},
        {"x\xE2\x82\xACy", "x\u20ACy"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t ids[16], *id;
        size_t n = strlen(cases[i].bytes), n_out, one;
        for (size_t k = 0; k < n; k++) { // one token a byte
            assert_ok(oct_tokenizer_encode(gpt2, cases[i].bytes + k, 1, &id, &one));
            ids[k] = *id;
            free(id);
        }
        char *text = stream(gpt2, ids, n, &n_out);
        ck_assert_str_eq(text, cases[i].text);
        free(text);
    }
}
END_TEST

START_TEST(decoder_holds_a_character_back_until_it_is_whole)
{
    oct_decoder decoder;
    const char *text;
    size_t n;
    assert_ok(oct_decoder_init(&decoder, gpt2));
    static const int32_t smile[] = {172, 253, 246, 222}; // f0 9f 98 80, one byte each
    for (int i = 0; i < 4; i++) {
        assert_ok(oct_decoder_push(&decoder, smile[i], &text, &n));
        ck_assert_uint_eq(n, i < 3 ? 0 : 4);
    }
    ck_assert(memcmp(text, "\xF0\x9F\x98\x80", 4) == 0);
    ck_assert_int_eq(oct_decoder_push(&decoder, 60000, &text, &n), OCT_ERR_ARG);
    assert_ok(oct_decoder_push(&decoder, 50256, &text, &n));
    ck_assert(n == 13 && memcmp(text, "<|endoftext|>", 13) == 0);
    assert_ok(oct_decoder_push(&decoder, smile[0], &text, &n));
    ck_assert_uint_eq(n, 0);
    oct_decoder_finish(&decoder, &text, &n);
    ck_assert(n == 3 && memcmp(text, "\uFFFD", 3) == 0);
    oct_decoder_finish(&decoder, &text, &n);
    ck_assert_uint_eq(n, 0);
    oct_decoder_free(&decoder);
    oct_decoder_free(&decoder);
    oct_decoder_free(NULL);
}
END_TEST

START_TEST(streamed_text_equals_the_whole_text)
{
    static const char text[] = "Ünïcödé 한국어 日本語 👩‍👩‍👧‍👦 fin.\n";
    int32_t *ids;
    size_t n_ids, n_out;
    assert_ok(oct_tokenizer_encode(gpt2, text, sizeof text - 1, &ids, &n_ids));
    char *out = stream(gpt2, ids, n_ids, &n_out);
    ck_assert_str_eq(out, text);
    free(out);
    free(ids);
}
END_TEST

START_TEST(end_of_text_is_recognised_anywhere_in_a_text)
{
    assert_ids(gpt2, "<|endoftext|>", IDS(50256));
    assert_ids(gpt2, "the<|endoftext|><|endoftext|> the", IDS(1169, 50256, 50256, 262));
    assert_ids(gpt2, "<|endo<|endoftext|", IDS(27, 91, 31110, 27, 91, 437, 1659, 5239, 91));
}
END_TEST

START_TEST(white_space_goes_to_the_piece_that_python_gives_it)
{
    assert_ids(gpt2, "  the", IDS(220, 262));
    assert_ids(gpt2, "the  ", IDS(1169, 220, 220));
    assert_ids(gpt2, "a\n\n\nb", IDS(64, 628, 198, 65));
    // U+180E is no white space (PCRE2's own \s takes it for one), U+0085 and U+3000 are.
    assert_ids(gpt2, "\u180E!", IDS(157, 254, 236, 0));
    assert_ids(gpt2, "\xC2\x85!", IDS(126, 227, 0));
    assert_ids(gpt2, "\u3000!", IDS(5099, 222, 0));
}
END_TEST

START_TEST(a_megabyte_without_a_space_takes_no_quadratic_time)
{
    static const char *const units[] = {"a", " ", "<", "<|endoftext|", "\xFF", "ab1!", "\xED\x95"};
    size_t n = 1 << 20;
    char *text = malloc(n);
    size_t n_unit = strlen(units[_i]);
    for (size_t i = 0; i < n; i++) {
        text[i] = units[_i][i % n_unit];
    }
    clock_t start = clock();
    assert_round_trip(gpt2, text, n);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    ck_assert_msg(seconds < 5, "%g s for a megabyte of \"%s\"", seconds, units[_i]);
    free(text);
}
END_TEST

START_TEST(files_are_read_with_unix_line_ends)
{
    char *folder = test_folder();
    static const char text[] = "the\r\n\r\nthe\rthe\r";
    char *path = write_file(folder, "text.txt", text, sizeof text - 1);
    int32_t *ids;
    size_t n;
    assert_ok(oct_tokenizer_encode_file(gpt2, path, &ids, &n));
    static const int32_t want[] = {1169, 198, 198, 1169, 201, 1169, 201};
    ck_assert_uint_eq(n, 7);
    ck_assert(memcmp(ids, want, sizeof want) == 0);
    free(ids);
    ck_assert_int_eq(oct_tokenizer_encode_file(gpt2, folder, &ids, &n), OCT_ERR_IO);
    ck_assert_ptr_null(ids);
    ck_assert_int_eq(oct_tokenizer_encode_file(gpt2, "/nonexistent", &ids, &n), OCT_ERR_IO);
    ck_assert_str_eq(oct_last_error(), "/nonexistent: cannot open: No such file or directory");
    free(path);
    test_remove(folder);
}
END_TEST

START_TEST(documents_are_the_non_empty_lines)
{
    char *folder = test_folder();
    static const char text[] = "\nthe the\r\n\r\n\n the\n\r\n<|endoftext|>the\n \nthe\rthe";
    char *path = write_file(folder, "documents.txt", text, sizeof text - 1);
    int32_t *ids;
    size_t *offsets, n;
    assert_ok(oct_tokenizer_encode_documents(gpt2, path, &ids, &offsets, &n));
    static const size_t want_offsets[] = {0, 2, 3, 5, 6, 9};
    static const int32_t want[] = {1169, 262, 262, 50256, 1169, 220, 1169, 201, 1169};
    ck_assert_uint_eq(n, 5);
    ck_assert(memcmp(offsets, want_offsets, sizeof want_offsets) == 0);
    ck_assert(memcmp(ids, want, sizeof want) == 0);
    free(ids);
    free(offsets);
    free(path);
    path = write_file(folder, "empty.txt", "", 0);
    assert_ok(oct_tokenizer_encode_documents(gpt2, path, &ids, &offsets, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(offsets[0], 0);
    free(ids);
    free(offsets);
    ck_assert_int_eq(oct_tokenizer_encode_documents(gpt2, "/nonexistent", &ids, &offsets, &n),
                     OCT_ERR_IO);
    free(path);
    test_remove(folder);
}
END_TEST

static void *encode_often(void *user)
{
    for (int i = 0; i < 50; i++) {
        assert_ids(gpt2, user, IDS(1169, 220, 50256, 262, 15902, 0));
    }
    return NULL;
}

START_TEST(threads_share_one_tokenizer)
{
    pthread_t threads[4];
    static char text[] = "the <|endoftext|> the Hi!";
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, encode_often, text), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer");
    TCase *tcase = tcase_create("gpt2");
    tcase_add_unchecked_fixture(tcase, open_gpt2, close_gpt2);
    tcase_add_test(tcase, golden_vectors_give_the_published_ids);
    tcase_add_test(tcase, vocabulary_has_gpt2s_size_and_end_of_text);
    tcase_add_test(tcase, published_texts_give_the_published_token_counts);
    tcase_add_test(tcase, tales_8m_reference_texts_come_back);
    tcase_add_test(tcase, every_byte_string_survives_the_round_trip);
    tcase_add_test(tcase, ill_formed_bytes_are_pieces_of_their_own);
    tcase_add_test(tcase, decoder_replaces_each_maximal_ill_formed_part_once);
    tcase_add_test(tcase, decoder_holds_a_character_back_until_it_is_whole);
    tcase_add_test(tcase, streamed_text_equals_the_whole_text);
    tcase_add_test(tcase, end_of_text_is_recognised_anywhere_in_a_text);
    tcase_add_test(tcase, white_space_goes_to_the_piece_that_python_gives_it);
    tcase_add_loop_test(tcase, a_megabyte_without_a_space_takes_no_quadratic_time, 0, 7);
    tcase_add_test(tcase, files_are_read_with_unix_line_ends);
    tcase_add_test(tcase, documents_are_the_non_empty_lines);
    tcase_add_test(tcase, threads_share_one_tokenizer);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
