// TOKENIZE: reads tokenizer.json of the Hugging Face tokenizers library, if it describes a
// byte-level BPE.
#include "text/tokenizer_private.h"

#include "base/check.h"

#include <string.h>

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type != NULL ? type : "without a type";
}

// Whether a value asks for nothing: absent, null, false, 0 or "".
static bool is_unset(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

// A normalizer changes the text before it is cut: none is supported, except one that does nothing.
static oct_status read_normalizer(tokenizer_loader *loader, const json_t *normalizer)
{
    if (is_unset(normalizer)) {
        return OCT_OK;
    }
    const json_t *list = json_object_get(normalizer, "normalizers");
    if (strcmp(type_of(normalizer), "Sequence") == 0 && json_is_array(list)) {
        size_t i;
        json_t *part;
        json_array_foreach(list, i, part)
        {
            OCT_TRY(read_normalizer(loader, part));
        }
        return OCT_OK;
    }
    return LOADER_FAIL(loader, "normalizer \"%.60s\" is not supported: expected none",
                       type_of(normalizer));
}

static oct_status read_flag(tokenizer_loader *loader, const json_t *object, const char *name,
                            bool *flag)
{
    const json_t *value = json_object_get(object, name);
    if (value != NULL && !json_is_null(value)) {
        if (!json_is_boolean(value)) {
            return LOADER_FAIL(loader, "\"%s\": expected true or false", name);
        }
        *flag = json_is_true(value);
    }
    return OCT_OK;
}

static oct_status read_pre_tokenizer(tokenizer_loader *loader, const json_t *pre)
{
    const json_t *list = json_object_get(pre, "pretokenizers");
    if (strcmp(type_of(pre), "Sequence") == 0 && json_array_size(list) == 1) {
        pre = json_array_get(list, 0);
    }
    if (!json_is_object(pre) || strcmp(type_of(pre), "ByteLevel") != 0) {
        return LOADER_FAIL(loader, "pre_tokenizer \"%.60s\" is not supported: expected ByteLevel",
                           json_is_object(pre) ? type_of(pre) : "null");
    }
    loader->tokenizer->add_prefix_space = true; // the library's defaults
    loader->tokenizer->split = true;
    OCT_TRY(read_flag(loader, pre, "add_prefix_space", &loader->tokenizer->add_prefix_space));
    return read_flag(loader, pre, "use_regex", &loader->tokenizer->split);
}

// ByteLevel changes offsets only. A template that puts tokens around the text is refused.
static oct_status read_post_processor(tokenizer_loader *loader, const json_t *post)
{
    if (is_unset(post) || strcmp(type_of(post), "ByteLevel") == 0) {
        return OCT_OK;
    }
    const json_t *list = json_object_get(post, "processors");
    if (strcmp(type_of(post), "Sequence") == 0 && json_is_array(list)) {
        size_t i;
        json_t *part;
        json_array_foreach(list, i, part)
        {
            OCT_TRY(read_post_processor(loader, part));
        }
        return OCT_OK;
    }
    const json_t *single = json_object_get(post, "single");
    if (strcmp(type_of(post), "TemplateProcessing") == 0 && json_array_size(single) == 1 &&
        json_object_get(json_array_get(single, 0), "Sequence") != NULL) {
        return OCT_OK;
    }
    return LOADER_FAIL(loader,
                       "post_processor \"%.60s\" is not supported: expected none or ByteLevel",
                       type_of(post));
}

static oct_status read_merges(tokenizer_loader *loader, const json_t *merges)
{
    size_t n_merges = json_array_size(merges);
    if (!json_is_array(merges) || n_merges > TOKENIZER_MAX_IDS) {
        return LOADER_FAIL(loader, "model.merges: expected a list of at most %d merges, got %zu",
                           TOKENIZER_MAX_IDS, n_merges);
    }
    OCT_TRY(bpe_table_init(&loader->tokenizer->bpe, n_merges));
    for (size_t i = 0; i < n_merges; i++) {
        const json_t *merge = json_array_get(merges, i);
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        merge_source source = {.rank = (uint32_t)i, .unit = "merge", .index = i};
        if (json_is_string(merge)) {
            const char *text = json_string_value(merge);
            const char *space = strchr(text, ' ');
            if (space == NULL || strchr(space + 1, ' ') != NULL) {
                return LOADER_FAIL(loader, "merge %zu: expected two tokens, got \"%.60s\"", i,
                                   text);
            }
            source.left = text;
            source.n_left = (size_t)(space - text);
            source.right = space + 1;
            source.n_right = json_string_length(merge) - source.n_left - 1;
        } else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
            source.left = json_string_value(left);
            source.n_left = json_string_length(left);
            source.right = json_string_value(right);
            source.n_right = json_string_length(right);
        } else {
            return LOADER_FAIL(loader, "merge %zu: expected \"a b\" or [\"a\", \"b\"]", i);
        }
        OCT_TRY(vocabulary_merge(loader, &source));
    }
    return OCT_OK;
}

static oct_status read_model(tokenizer_loader *loader, const json_t *model)
{
    // unk_token, fuse_unk and byte_fallback speak of unknown characters: with all 256 bytes in the
    // vocabulary there are none.
    static const char *const refused[] = {"dropout", "continuing_subword_prefix",
                                          "end_of_word_suffix", "ignore_merges"};
    const json_t *type = json_object_get(model, "type");
    if (!json_is_object(model) || (type != NULL && strcmp(type_of(model), "BPE") != 0)) {
        return LOADER_FAIL(loader, "model \"%.60s\" is not supported: expected BPE",
                           json_is_object(model) ? type_of(model) : "missing");
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (!is_unset(json_object_get(model, refused[i]))) {
            return LOADER_FAIL(loader, "model.%s is not supported: expected none", refused[i]);
        }
    }
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab)) {
        return LOADER_FAIL(loader, "model.vocab: expected an object, got %s",
                           vocab == NULL ? "nothing" : "something else");
    }
    OCT_TRY(vocabulary_read(loader, vocab));
    return read_merges(loader, json_object_get(model, "merges"));
}

static oct_status read_added_tokens(tokenizer_loader *loader, const json_t *list)
{
    if (is_unset(list)) {
        return OCT_OK;
    }
    if (!json_is_array(list)) {
        return LOADER_FAIL(loader, "%s: expected a list", "added_tokens");
    }
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        added_token_source source;
        OCT_TRY(added_token_parse(loader, entry, &source));
        const json_t *id = json_object_get(entry, "id");
        if (!json_is_integer(id) || json_integer_value(id) < 0) {
            return LOADER_FAIL(loader, "added token \"%.60s\": expected an integer id >= 0",
                               source.token.content);
        }
        source.id = json_integer_value(id);
        OCT_TRY(vocabulary_add(loader, &source));
    }
    return OCT_OK;
}

oct_status tokenizer_json_read(tokenizer_loader *loader)
{
    json_t *root;
    OCT_TRY(tokenizer_parse(loader, &root));
    oct_status status;
    OCT_TRY_GOTO(read_normalizer(loader, json_object_get(root, "normalizer")), done);
    OCT_TRY_GOTO(read_pre_tokenizer(loader, json_object_get(root, "pre_tokenizer")), done);
    OCT_TRY_GOTO(read_post_processor(loader, json_object_get(root, "post_processor")), done);
    const json_t *decoder = json_object_get(root, "decoder");
    if (!is_unset(decoder) && strcmp(type_of(decoder), "ByteLevel") != 0) {
        status = LOADER_FAIL(loader, "decoder \"%.60s\" is not supported: expected ByteLevel",
                             type_of(decoder));
        goto done;
    }
    OCT_TRY_GOTO(read_model(loader, json_object_get(root, "model")), done);
    OCT_TRY_GOTO(read_added_tokens(loader, json_object_get(root, "added_tokens")), done);
done:
    json_decref(root);
    return status;
}
