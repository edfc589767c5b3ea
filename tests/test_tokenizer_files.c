// tests: TOKENIZE: the files of a tokenizer: both forms agree, added tokens, and every kind of
// damage.
#include "tokenizer_check.h"

#include <jansson.h>
#include <sys/stat.h>

static void put(const char *folder, const char *name, const char *text, size_t n)
{
    free(write_file(folder, name, text, n));
}

// The smallest tokenizer: 256 bytes (id = byte), "ab" 256, "abc" 257. The byte alphabet is written
// out here once more, independently of the library's.
static char *tiny_vocab(const char *extra, int without_byte)
{
    char *text = malloc(16384), *end = text;
    int n_other = 0;
    end += sprintf(end, "{");
    for (int byte = 0; byte < 256; byte++) {
        bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        int c = itself ? byte : 256 + n_other++;
        if (byte != without_byte) {
            end += sprintf(end, "\"\\u%04x\": %d, ", (unsigned)c, byte);
        }
    }
    sprintf(end, "\"ab\": 256, \"abc\": 257%s}", extra);
    return text;
}

static const char tiny_merges[] = "#version: 0.2\na b\nab c\n";

// Writes vocab.json with further entries (", \"x\": 300") and merges.txt.
static void write_tiny(const char *folder, const char *extra)
{
    char *vocab = tiny_vocab(extra, -1);
    put(folder, "vocab.json", vocab, strlen(vocab));
    put(folder, "merges.txt", tiny_merges, strlen(tiny_merges));
    free(vocab);
}

// A tokenizer.json around the tiny vocabulary; NULL = the usual part.
typedef struct json_parts {
    const char *normalizer, *pre_tokenizer, *post_processor, *decoder, *model, *merges, *added;
} json_parts;

static void write_tiny_json(const char *folder, const json_parts *p)
{
    char *vocab = tiny_vocab("", -1), *text = malloc(32768);
    int n = snprintf(
        text, 32768,
        "{\"version\": \"1.0\", \"truncation\": null, \"added_tokens\": [%s], \"normalizer\": %s, "
        "\"pre_tokenizer\": %s, \"post_processor\": %s, \"decoder\": %s, "
        "\"model\": {%s, \"vocab\": %s, \"merges\": %s}}",
        p->added ? p->added : "", p->normalizer ? p->normalizer : "null",
        p->pre_tokenizer ? p->pre_tokenizer : "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
        p->post_processor ? p->post_processor : "null",
        p->decoder ? p->decoder : "{\"type\": \"ByteLevel\"}",
        p->model ? p->model : "\"type\": \"BPE\", \"dropout\": null, \"unk_token\": \"\"", vocab,
        p->merges ? p->merges : "[\"a b\", [\"ab\", \"c\"]]");
    put(folder, "tokenizer.json", text, (size_t)n);
    free(text);
    free(vocab);
}

// Opening fails with this code, and the text has all of these in it.
static void assert_refused(const char *folder, oct_status code, const char *a, const char *b)
{
    oct_tokenizer *t = (oct_tokenizer *)&t;
    oct_status status = oct_tokenizer_open(&t, folder);
    ck_assert_ptr_null(t);
    ck_assert_msg(status == code, "got %d (%s), expected %d (\"%s\", \"%s\")", status,
                  oct_last_error(), code, a, b);
    ck_assert_msg(strstr(oct_last_error(), a) != NULL, "\"%s\" lacks \"%s\"", oct_last_error(), a);
    ck_assert_msg(strstr(oct_last_error(), b) != NULL, "\"%s\" lacks \"%s\"", oct_last_error(), b);
}

// GPT-2's files as one tokenizer.json; merges as "a b" or as ["a", "b"].
static void write_gpt2_json(const char *folder, bool pairs)
{
    json_t *vocab = json_load_file(GOLDEN "/vocab.json", 0, NULL), *merges = json_array();
    FILE *file = fopen(GOLDEN "/merges.txt", "r");
    char line[600], path[4300];
    while (fgets(line, sizeof line, file) != NULL) {
        char *left = strtok(line, " \n"), *right = strtok(NULL, "\n");
        if (line[0] != '#' || line[1] != 'v') {
            json_array_append_new(merges, pairs ? json_pack("[ss]", left, right)
                                                : json_sprintf("%s %s", left, right));
        }
    }
    fclose(file);
    json_t *root = json_pack(
        "{s:[{s:i,s:s,s:b,s:b,s:b,s:b,s:b}],s:n,s:{s:s,s:b,s:b},s:{s:s},s:{s:s},s:{s:s,s:o,s:o}}",
        "added_tokens", "id", 50256, "content", "<|endoftext|>", "single_word", 0, "lstrip", 0,
        "rstrip", 0, "normalized", 1, "special", 1, "normalizer", "pre_tokenizer", "type",
        "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "post_processor", "type",
        "ByteLevel", "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab", vocab,
        "merges", merges);
    ck_assert_ptr_nonnull(root);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    ck_assert_int_eq(json_dump_file(root, path, JSON_COMPACT), 0);
    json_decref(root);
}

START_TEST(tokenizer_json_gives_what_vocab_and_merges_give)
{
    char *folder = test_folder();
    write_gpt2_json(folder, _i == 1);
    oct_tokenizer *one, *two;
    assert_ok(oct_tokenizer_open(&one, folder));
    assert_ok(oct_tokenizer_open(&two, GOLDEN));
    ck_assert_int_eq(oct_tokenizer_vocab_size(one), oct_tokenizer_vocab_size(two));
    ck_assert_int_eq(oct_tokenizer_end_of_text(one), oct_tokenizer_end_of_text(two));
    for (int32_t id = 0; id < oct_tokenizer_vocab_size(two); id++) {
        const char *a, *b;
        size_t n_a, n_b;
        assert_ok(oct_tokenizer_token_bytes(one, id, &a, &n_a));
        assert_ok(oct_tokenizer_token_bytes(two, id, &b, &n_b));
        ck_assert(n_a == n_b && memcmp(a, b, n_a) == 0);
        ck_assert(oct_tokenizer_is_special(one, id) == oct_tokenizer_is_special(two, id));
    }
    int32_t *ids_one, *ids_two; // the merges file itself is a good text: every token is in it
    size_t n_one, n_two;
    assert_ok(oct_tokenizer_encode_file(one, GOLDEN "/merges.txt", &ids_one, &n_one));
    assert_ok(oct_tokenizer_encode_file(two, GOLDEN "/merges.txt", &ids_two, &n_two));
    ck_assert_uint_eq(n_one, n_two);
    ck_assert(memcmp(ids_one, ids_two, n_one * sizeof *ids_one) == 0);
    free(ids_one);
    free(ids_two);
    oct_tokenizer_close(one);
    oct_tokenizer_close(two);
    test_remove(folder);
}
END_TEST

START_TEST(tokenizer_json_wins_over_vocab_and_merges)
{
    char *folder = test_folder();
    put(folder, "vocab.json", "damaged", 7);
    put(folder, "merges.txt", "damaged", 7);
    write_tiny_json(folder, &(json_parts){0});
    oct_tokenizer *t;
    assert_ok(oct_tokenizer_open(&t, folder));
    ck_assert_int_eq(oct_tokenizer_vocab_size(t), 258);
    ck_assert_int_eq(oct_tokenizer_end_of_text(t), -1);
    assert_ids(t, "abcab", IDS(257, 256));
    oct_tokenizer_close(t);
    test_remove(folder);
}
END_TEST

START_TEST(pre_tokenizer_settings_are_honoured)
{
    char *folder = test_folder();
    oct_tokenizer *t;
    write_tiny_json(folder,
                    &(json_parts){.pre_tokenizer = "{\"type\": \"Sequence\", \"pretokenizers\": [{"
                                                   "\"type\": \"ByteLevel\", \"use_regex\": false, "
                                                   "\"add_prefix_space\": true}]}",
                                  .merges = "[\"a b\", \"ab c\"]",
                                  .added = "{\"id\": 258, \"content\": \"<x>\"}",
                                  .post_processor = "{\"type\": \"ByteLevel\"}"});
    assert_ok(oct_tokenizer_open(&t, folder));
    assert_ids(t, "ab<x>ab<x> a", IDS(32, 256, 258, 32, 256, 258, 32, 97));
    oct_tokenizer_close(t);
    put(folder, "tokenizer_config.json", "{\"add_prefix_space\": false}", 27);
    assert_ok(oct_tokenizer_open(&t, folder));
    assert_ids(t, "ab<x>ab", IDS(256, 258, 256));
    oct_tokenizer_close(t);
    test_remove(folder);
}
END_TEST

START_TEST(added_tokens_are_found_leftmost_longest_with_their_flags)
{
    char *folder = test_folder();
    static const char config[] =
        "{\"tokenizer_class\": \"GPT2Tokenizer\", \"eos_token\": \"<e>\", "
        "\"added_tokens_decoder\": {"
        "\"258\": {\"content\": \"<e>\", \"special\": true, \"rstrip\": true},"
        "\"259\": {\"content\": \"<e><e>\", \"special\": true},"
        "\"260\": {\"content\": \"<m>\", \"special\": true, \"lstrip\": true},"
        "\"261\": {\"content\": \"cat\", \"single_word\": true},"
        "\"262\": {\"content\": \"t<m>\", \"normalized\": true}}}";
    write_tiny(folder, "");
    put(folder, "tokenizer_config.json", config, sizeof config - 1);
    oct_tokenizer *t;
    assert_ok(oct_tokenizer_open(&t, folder));
    ck_assert_int_eq(oct_tokenizer_end_of_text(t), 258);
    ck_assert_int_eq(oct_tokenizer_vocab_size(t), 263);
    ck_assert(oct_tokenizer_is_special(t, 260) && !oct_tokenizer_is_special(t, 261));
    assert_ids(t, "<e> \n\u3000x", IDS(258, 'x'));
    assert_ids(t, "<e><e><e><", IDS(259, 258, '<'));
    assert_ids(t, "x \u2003<m> x", IDS('x', 260, ' ', 'x'));
    assert_ids(t, "<e> <m>", IDS(258, 260));
    assert_ids(t, "cat cat, catx xcat _cat",
               IDS(261, ' ', 261, ',', ' ', 'c', 'a', 't', 'x', ' ', 'x', 'c', 'a', 't', ' ', '_',
                   'c', 'a', 't'));
    assert_ids(t, "t<m>", IDS('t', 260)); // those with "normalized": false are looked for first
    oct_tokenizer_close(t);
    test_remove(folder);
}
END_TEST

START_TEST(tokens_beside_the_vocabulary_are_read_from_all_files)
{
    char *folder = test_folder();
    static const char added[] = "{\"<pad>\": 300, \"word\": 301}";
    static const char map[] =
        "{\"pad_token\": \"<pad>\", \"mask_token\": {\"content\": \"<mask>\", \"lstrip\": true}, "
        "\"additional_special_tokens\": [\"<a>\", \"<b>\"], \"eos_token\": \"<|endoftext|>\"}";
    write_tiny(folder, ", \"<|endoftext|>\": 299");
    put(folder, "added_tokens.json", added, sizeof added - 1);
    put(folder, "special_tokens_map.json", map, sizeof map - 1);
    oct_tokenizer *t;
    const char *bytes;
    size_t n;
    assert_ok(oct_tokenizer_open(&t, folder));
    ck_assert_int_eq(oct_tokenizer_end_of_text(t), 299);
    ck_assert_int_eq(oct_tokenizer_vocab_size(t), 305); // <mask>, <a>, <b> got the next free ids
    assert_ids(t, "word <mask><a><b><pad><|endoftext|>", IDS(301, 302, 303, 304, 300, 299));
    ck_assert(oct_tokenizer_is_special(t, 300) && !oct_tokenizer_is_special(t, 301));
    ck_assert_int_eq(oct_tokenizer_token_bytes(t, 260, &bytes, &n), OCT_ERR_ARG);
    ck_assert_str_eq(oct_last_error(),
                     "token id 260: expected one that the vocabulary has, got a hole");
    oct_tokenizer_close(t);
    test_remove(folder);
}
END_TEST

START_TEST(missing_and_unreadable_files_are_named)
{
    char *folder = test_folder();
    char path[4300];
    assert_refused("/nonexistent", OCT_ERR_FORMAT, "/nonexistent: expected", "got none of them");
    assert_refused(folder, OCT_ERR_FORMAT, "expected tokenizer.json, or vocab.json and", "none");
    put(folder, "merges.txt", tiny_merges, sizeof tiny_merges - 1);
    assert_refused(folder, OCT_ERR_FORMAT, "expected", "got merges.txt only");
    snprintf(path, sizeof path, "%s/vocab.json", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    assert_refused(folder, OCT_ERR_IO, "vocab.json", "Is a directory");
    oct_tokenizer *t;
    ck_assert_int_eq(oct_tokenizer_open(&t, NULL), OCT_ERR_ARG);
    ck_assert_int_eq(oct_tokenizer_open(NULL, folder), OCT_ERR_ARG);
    oct_tokenizer_close(NULL);
    test_remove(folder);
}
END_TEST

START_TEST(damaged_vocabularies_are_refused)
{
    static const struct {
        const char *extra, *error; // entries added to a good vocabulary
    } cases[] = {
        {", \"x y\": -1", "expected an id in [0, 4194304), got -1"},
        {", \"xy\": 4194304", "\"xy\": expected an id in [0, 4194304), got 4194304"},
        {", \"xy\": 9223372036854775807", "got 9223372036854775807"},
        {", \"xy\": 99999999999999999999", "expected JSON"},
        {", \"xy\": 1e30", "\"xy\": expected an integer id"},
        {", \"xy\": \"300\"", "\"xy\": expected an integer id"},
        {", \"xy\": null", "\"xy\": expected an integer id"},
        {", \"xy\": 257", "id 257: expected one token, got \"xy\" and one that stands for \"abc\""},
        {", \"ab\": 300", "duplicate object key"},
        {", \"\": 300", "expected a token of 1 byte or more"},
        {", \"\\u0000\": 300", "expected JSON"},
        {", \"\\ud800\": 300", "expected JSON"},
        {", \"\xFF\": 300", "expected JSON"},
        {", ", "expected JSON"},
    };
    char *folder = test_folder();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_tiny(folder, cases[i].extra);
        assert_refused(folder, OCT_ERR_FORMAT, "/vocab.json: ", cases[i].error);
    }
    char *vocab = tiny_vocab("", 0xE9);
    put(folder, "vocab.json", vocab, strlen(vocab));
    assert_refused(folder, OCT_ERR_FORMAT, "vocab.json: expected a token for each of the 256",
                   "byte 0xE9 (\"\xC3\xA9\") has none");
    free(vocab);
    put(folder, "vocab.json", "[]", 2);
    assert_refused(folder, OCT_ERR_FORMAT, "vocab.json: expected a JSON object", "");
    put(folder, "vocab.json", "", 0);
    assert_refused(folder, OCT_ERR_FORMAT, "vocab.json: expected JSON", "");
    test_remove(folder);
}
END_TEST

START_TEST(damaged_merges_are_refused)
{
#define MERGES(text, error)                                                                        \
    {                                                                                              \
        text, sizeof(text) - 1, error                                                              \
    }
    static const struct {
        const char *merges;
        size_t n;
        const char *error;
    } cases[] = {
        MERGES("#version: 0.2\na b\nx y\n", "line 3: expected a merge of known tokens, \"xy\""),
        MERGES("abd c\n", "line 1: expected a merge of known tokens, \"abd\" is not in"),
        MERGES("a bcd\n", "\"bcd\" is not in the vocabulary"),
        MERGES("a b\na b\n", "line 2: expected each merge once, \"a b\" is there twice"),
        MERGES("a b\r\na b\r\n", "line 2: expected each merge once"),
        MERGES("a\n", "line 1: expected two tokens and one space, got \"a\""),
        MERGES("a b c\n", "expected two tokens and one space"),
        MERGES("a b\n\nab c\n", "line 2: expected two tokens and one space, got \"\""),
        MERGES(" ab\n", "expected two tokens and one space"), // "" + "ab" = "ab" would never end
        MERGES("ab \n", "expected two tokens and one space"),
        MERGES("a\tb\n", "expected two tokens and one space"),
        MERGES("a b\0\n", "expected text, got a zero at byte 3"),
        MERGES("\xFF \xFE\n", "is not in the vocabulary"),
    };
    char *folder = test_folder();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_tiny(folder, "");
        put(folder, "merges.txt", cases[i].merges, cases[i].n);
        assert_refused(folder, OCT_ERR_FORMAT, "/merges.txt: ", cases[i].error);
    }
    size_t n = 5 << 20;
    char *lines = malloc(n);
    memset(lines, '\n', n);
    put(folder, "merges.txt", lines, n);
    assert_refused(folder, OCT_ERR_FORMAT, "merges.txt: expected at most 4194304 lines", "5242881");
    free(lines);
    put(folder, "merges.txt", "", 0); // bytes alone are a tokenizer
    oct_tokenizer *t;
    assert_ok(oct_tokenizer_open(&t, folder));
    assert_ids(t, "abc", IDS('a', 'b', 'c'));
    oct_tokenizer_close(t);
    put(folder, "merges.txt", "a b", 3); // "ab c" and the line's end are gone
    assert_refused(folder, OCT_ERR_FORMAT, "merges.txt: expected merges that make each token",
                   "none makes 1 of 258");
    test_remove(folder);
}
END_TEST

START_TEST(merges_cut_short_are_refused)
{
    static const size_t kept[] = {0, 100, 40000, 66600};
    char *folder = test_folder(), command[9000], path[4200];
    snprintf(command, sizeof command, "cp %s/vocab.json %s/merges.txt '%s'", SRC("models/tales-8m"),
             SRC("models/tales-8m"), folder);
    snprintf(path, sizeof path, "%s/merges.txt", folder);
    for (size_t i = sizeof kept / sizeof kept[0]; i-- > 0;) {
        ck_assert_int_eq(system(command), 0);
        ck_assert_int_eq(truncate(path, (off_t)kept[i]), 0);
        oct_tokenizer *t;
        ck_assert_int_eq(oct_tokenizer_open(&t, folder), OCT_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(oct_last_error(), "merges.txt"));
    }
    test_remove(folder);
}
END_TEST

START_TEST(what_tokenizer_json_asks_for_is_done_or_refused_by_name)
{
    static const struct {
        json_parts parts;
        const char *error;
    } cases[] = {
        {{.normalizer = "{\"type\": \"NFC\"}"}, "normalizer \"NFC\" is not supported"},
        {{.normalizer = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}]}"},
         "normalizer \"Lowercase\" is not supported"},
        {{.normalizer = "[1]"}, "normalizer \"without a type\" is not supported"},
        {{.pre_tokenizer = "null"}, "pre_tokenizer \"null\" is not supported: expected ByteLevel"},
        {{.pre_tokenizer = "{\"type\": \"Metaspace\"}"}, "pre_tokenizer \"Metaspace\""},
        {{.pre_tokenizer = "{\"type\": \"ByteLevel\", \"use_regex\": 1}"}, "\"use_regex\": exp"},
        {{.post_processor = "{\"type\": \"TemplateProcessing\", \"single\": [1, 2]}"},
         "post_processor \"TemplateProcessing\" is not supported"},
        {{.decoder = "{\"type\": \"WordPiece\"}"}, "decoder \"WordPiece\" is not supported"},
        {{.model = "\"type\": \"Unigram\""}, "model \"Unigram\" is not supported: expected BPE"},
        {{.model = "\"type\": 1"}, "model \"without a type\" is not supported"},
        {{.model = "\"dropout\": 0.1"}, "model.dropout is not supported"},
        {{.model = "\"ignore_merges\": true"}, "model.ignore_merges is not supported"},
        {{.model = "\"end_of_word_suffix\": \"</w>\""}, "model.end_of_word_suffix is not"},
        {{.model = "\"continuing_subword_prefix\": \"##\""}, "model.continuing_subword_prefix"},
        {{.merges = "{}"}, "model.merges: expected a list"},
        {{.merges = "[\"ab\"]"}, "merge 0: expected two tokens, got \"ab\""},
        {{.merges = "[\"a b\", \"a b c\"]"}, "merge 1: expected two tokens, got \"a b c\""},
        {{.merges = "[[\"a\", \"b\", \"c\"]]"}, "merge 0: expected \"a b\" or [\"a\", \"b\"]"},
        {{.merges = "[7]"}, "merge 0: expected \"a b\""},
        {{.merges = "[[\"\", \"ab\"]]"}, "merge 0: expected two tokens, got an empty one"},
        {{.merges = "[\"b a\"]"}, "merge 0: expected a merge of known tokens, \"ba\""},
        {{.merges = "[\"a b\", [\"a\", \"b\"]]"}, "merge 1: expected each merge once"},
        {{.added = "7"}, "expected an object with a string \"content\""},
        {{.added = "{\"content\": \"x\"}"}, "\"x\": expected an integer id"},
        {{.added = "{\"id\": 1, \"content\": \"\"}"}, "expected a name"},
        {{.added = "{\"id\": 5, \"content\": \"<x>\"}"}, "id 5: expected one token, got \"<x>\""},
        {{.added = "{\"id\": 5, \"content\": \"ab\"}"}, "\"ab\": expected id 256, which it has"},
        {{.added = "{\"id\": 4194304, \"content\": \"<x>\"}"}, "expected an id in [0, 4194304)"},
        {{.added = "{\"id\": 233, \"content\": \"\xC3\xA9\"}"}, "also merged from other bytes"},
        {{.added = "{\"id\": 258, \"content\": \"<x>\", \"rstrip\": 1}"}, "\"rstrip\": expected"},
    };
    char *folder = test_folder();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_tiny_json(folder, &cases[i].parts);
        assert_refused(folder, OCT_ERR_FORMAT, "/tokenizer.json: ", cases[i].error);
    }
    test_remove(folder);
}
END_TEST

START_TEST(damaged_files_beside_the_vocabulary_are_refused)
{
    static const struct {
        const char *file, *text, *error;
    } cases[] = {
        {"added_tokens.json", "{\"<x>\": 5}", "id 5: expected one token, got \"<x>\""},
        {"added_tokens.json", "{\"<x>\": -5}", "expected an integer id >= 0"},
        {"added_tokens.json", "[]", "expected a JSON object"},
        {"special_tokens_map.json", "{\"eos_token\": 7}", "\"eos_token\": expected a string"},
        {"special_tokens_map.json", "{\"eos_token\": {}}", "a string \"content\""},
        {"special_tokens_map.json", "{\"eos_token\": \"\"}", "expected a name"},
        {"special_tokens_map.json", "{", "expected JSON"},
        {"tokenizer_config.json", "{\"add_bos_token\": true}", "\"add_bos_token\": true is not"},
        {"tokenizer_config.json", "{\"do_lower_case\": true}", "\"do_lower_case\": true is not"},
        {"tokenizer_config.json", "{\"tokenizer_class\": \"CLIPTokenizer\"}", "\"CLIPTokenizer\""},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": []}", "expected an object"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}", "expected an id, got"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"99999999999999999999\": {}}}",
         "expected an id, got \"99999999999999999999\""},
        {"tokenizer_config.json",
         "{\"added_tokens_decoder\": {\"4294967296\": {\"content\": "
         "\"<x>\"}}}",
         "expected an id in [0, 4194304), got 4294967296"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *folder = test_folder();
        write_tiny(folder, "");
        put(folder, cases[i].file, cases[i].text, strlen(cases[i].text));
        assert_refused(folder, OCT_ERR_FORMAT, cases[i].file, cases[i].error);
        test_remove(folder);
    }
}
END_TEST

// A damaged tokenizer either is refused with a text or works: then texts survive the round trip.
static void open_damaged(const char *folder, int *n_opened)
{
    oct_tokenizer *t;
    static const char text[] = "abcab cab <|endoftext|> \xFF";
    if (oct_tokenizer_open(&t, folder) != OCT_OK) {
        ck_assert_str_ne(oct_last_error(), "");
        return;
    }
    ++*n_opened;
    int32_t *ids;
    char *back;
    size_t n, n_back;
    assert_ok(oct_tokenizer_encode(t, text, sizeof text - 1, &ids, &n));
    assert_ok(oct_tokenizer_decode(t, ids, n, &back, &n_back));
    ck_assert(n_back >= sizeof text - 1); // more where add_prefix_space became true
    free(back);
    free(ids);
    oct_tokenizer_close(t);
}

START_TEST(truncated_and_mutated_files_never_crash)
{
    static const char *const names[] = {"tokenizer.json", "merges.txt"};
    char *folder = test_folder();
    int n_opened = 0;
    uint64_t seed = 5;
    write_tiny(folder, ", \"<|endoftext|>\": 258");
    if (_i == 0) {
        write_tiny_json(folder,
                        &(json_parts){.added = "{\"id\": 258, \"content\": \"<|endoftext|>\", "
                                               "\"special\": true, \"normalized\": false}"});
    }
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", folder, names[_i]);
    size_t n;
    char *good = read_file(path, &n), *bad = malloc(n);
    for (size_t length = 0; length<n; length += n> 100 ? 61 : 1) {
        put(folder, names[_i], good, length);
        open_damaged(folder, &n_opened);
    }
    for (int round = 0; round < 800; round++) {
        memcpy(bad, good, n);
        for (uint64_t k = 1 + test_random(&seed) % 2; k > 0; k--) {
            static const char likely[] = "\"{}[],:0123456789 abc\n\\";
            uint64_t r = test_random(&seed);
            bad[test_random(&seed) % n] =
                r % 2 == 0 ? (char)(r >> 8) : likely[(r >> 8) % (sizeof likely - 1)];
        }
        put(folder, names[_i], bad, n);
        open_damaged(folder, &n_opened);
    }
    free(good);
    free(bad);
    ck_assert_int_gt(n_opened, 5); // damage that leaves a good file is part of the test
    test_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_files");
    TCase *tcase = tcase_create("files");
    tcase_add_loop_test(tcase, tokenizer_json_gives_what_vocab_and_merges_give, 0, 2);
    tcase_add_test(tcase, tokenizer_json_wins_over_vocab_and_merges);
    tcase_add_test(tcase, pre_tokenizer_settings_are_honoured);
    tcase_add_test(tcase, added_tokens_are_found_leftmost_longest_with_their_flags);
    tcase_add_test(tcase, tokens_beside_the_vocabulary_are_read_from_all_files);
    tcase_add_test(tcase, missing_and_unreadable_files_are_named);
    tcase_add_test(tcase, damaged_vocabularies_are_refused);
    tcase_add_test(tcase, damaged_merges_are_refused);
    tcase_add_test(tcase, merges_cut_short_are_refused);
    tcase_add_test(tcase, what_tokenizer_json_asks_for_is_done_or_refused_by_name);
    tcase_add_test(tcase, damaged_files_beside_the_vocabulary_are_refused);
    tcase_add_loop_test(tcase, truncated_and_mutated_files_never_crash, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
