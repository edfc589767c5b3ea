// TOKENIZE: reads what stands beside a vocabulary: tokenizer_config.json, added_tokens.json and
// special_tokens_map.json.
#include "text/tokenizer_private.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// In the order in which transformers gives ids to those that have none.
static const char *const special_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};

static oct_status parse_flag(tokenizer_loader *loader, const json_t *entry, const char *content,
                             const char *name, bool *flag)
{
    const json_t *value = json_object_get(entry, name);
    if (value != NULL && !json_is_boolean(value)) {
        return LOADER_FAIL(loader, "added token \"%.60s\": \"%s\": expected true or false", content,
                           name);
    }
    if (value != NULL) {
        *flag = json_is_true(value);
    }
    return OCT_OK;
}

oct_status added_token_parse(tokenizer_loader *loader, const json_t *entry,
                             added_token_source *source)
{
    *source = (added_token_source){.id = -1};
    added_token *token = &source->token;
    token->content = json_string_value(json_object_get(entry, "content"));
    if (token->content == NULL) {
        return LOADER_FAIL(loader, "%s: expected an object with a string \"content\"",
                           "added token");
    }
    const char *name = token->content;
    OCT_TRY(parse_flag(loader, entry, name, "special", &token->special));
    token->normalized = !token->special;
    OCT_TRY(parse_flag(loader, entry, name, "normalized", &token->normalized));
    OCT_TRY(parse_flag(loader, entry, name, "lstrip", &token->lstrip));
    OCT_TRY(parse_flag(loader, entry, name, "rstrip", &token->rstrip));
    return parse_flag(loader, entry, name, "single_word", &token->single_word);
}

// {"50257": {"content": "<pad>", ...}, ...}
static oct_status read_added_tokens_decoder(tokenizer_loader *loader, const json_t *decoder)
{
    if (decoder == NULL || json_is_null(decoder)) {
        return OCT_OK;
    }
    if (!json_is_object(decoder)) {
        return LOADER_FAIL(loader, "%s: expected an object", "added_tokens_decoder");
    }
    for (void *i = json_object_iter((json_t *)decoder); i != NULL;
         i = json_object_iter_next((json_t *)decoder, i)) {
        const char *key = json_object_iter_key(i);
        char *end;
        errno = 0;
        long long id = strtoll(key, &end, 10);
        if (key[0] < '0' || key[0] > '9' || *end != 0 || errno != 0) {
            return LOADER_FAIL(loader, "added_tokens_decoder: expected an id, got \"%.60s\"", key);
        }
        added_token_source source;
        OCT_TRY(added_token_parse(loader, json_object_iter_value(i), &source));
        source.id = id;
        source.overrides = true;
        OCT_TRY(vocabulary_add(loader, &source));
    }
    return OCT_OK;
}

// A special token is named by a string or described by an object.
static oct_status add_special(tokenizer_loader *loader, const char *role, const json_t *value)
{
    added_token_source source = {.id = -1};
    if (json_is_object(value)) {
        OCT_TRY(added_token_parse(loader, value, &source));
    } else if (json_is_string(value)) {
        source.token.content = json_string_value(value);
    } else {
        return LOADER_FAIL(loader, "\"%s\": expected a string or an object", role);
    }
    source.token.special = true;
    OCT_TRY(vocabulary_add(loader, &source));
    if (strcmp(role, "eos_token") == 0 && loader->tokenizer->end_of_text < 0) {
        loader->tokenizer->end_of_text = vocabulary_find(loader, source.token.content);
    }
    return OCT_OK;
}

// bos_token, eos_token, ... of tokenizer_config.json and special_tokens_map.json.
static oct_status read_special_names(tokenizer_loader *loader, const json_t *root)
{
    for (size_t i = 0; i < sizeof special_names / sizeof special_names[0]; i++) {
        const json_t *value = json_object_get(root, special_names[i]);
        if (value != NULL && !json_is_null(value) && !json_is_false(value)) {
            OCT_TRY(add_special(loader, special_names[i], value));
        }
    }
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        json_t *list = json_object_get(root, lists[i]);
        size_t index;
        json_t *value;
        json_array_foreach(list, index, value)
        {
            OCT_TRY(add_special(loader, lists[i], value));
        }
        const char *name;
        json_object_foreach(list, name, value) // {"image_token": "<image>"}
        {
            OCT_TRY(add_special(loader, lists[i], value));
        }
    }
    return OCT_OK;
}

// {"<pad>": 50257, ...}
static oct_status read_added_tokens(tokenizer_loader *loader, json_t *root)
{
    const char *content;
    json_t *id;
    json_object_foreach(root, content, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0) {
            return LOADER_FAIL(loader, "added token \"%.60s\": expected an integer id >= 0",
                               content);
        }
        added_token_source source = {.id = json_integer_value(id),
                                     .token = {.content = content, .normalized = true}};
        OCT_TRY(vocabulary_add(loader, &source));
    }
    return OCT_OK;
}

// Settings that would change the tokens. A tokenizer.json says itself what kind it is; two bare
// files are the same for GPT-2 and for tokenizers that treat them otherwise (CLIP's, GPT-1's).
static oct_status check_config(tokenizer_loader *loader, const json_t *root,
                               bool has_tokenizer_json)
{
    static const char *const refused[] = {"add_bos_token", "do_lower_case", "split_special_tokens"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (json_is_true(json_object_get(root, refused[i]))) {
            return LOADER_FAIL(loader, "\"%s\": true is not supported: expected false", refused[i]);
        }
    }
    const json_t *prefix = json_object_get(root, "add_prefix_space");
    if (json_is_boolean(prefix)) {
        loader->tokenizer->add_prefix_space = json_is_true(prefix);
    }
    static const char *const classes[] = {"GPT2Tokenizer",    "GPT2TokenizerFast",
                                          "CodeGenTokenizer", "CodeGenTokenizerFast",
                                          "AutoTokenizer",    "PreTrainedTokenizerFast"};
    const char *class_name = json_string_value(json_object_get(root, "tokenizer_class"));
    if (class_name == NULL || has_tokenizer_json) {
        return OCT_OK;
    }
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(class_name, classes[i]) == 0) {
            return OCT_OK;
        }
    }
    return LOADER_FAIL(loader,
                       "tokenizer_class \"%.60s\" with vocab.json and merges.txt is not "
                       "supported: expected GPT2Tokenizer",
                       class_name);
}

oct_status added_token_files_read(tokenizer_loader *loader, bool has_tokenizer_json)
{
    bool exists;
    json_t *config = NULL, *added = NULL, *map = NULL;
    oct_status status;
    // Tokens with ids come before tokens without, which take the ids that are left.
    OCT_TRY_GOTO(tokenizer_path(loader, "tokenizer_config.json", &exists), done);
    if (exists) {
        OCT_TRY_GOTO(tokenizer_parse(loader, &config), done);
        OCT_TRY_GOTO(check_config(loader, config, has_tokenizer_json), done);
        const json_t *decoder = json_object_get(config, "added_tokens_decoder");
        OCT_TRY_GOTO(read_added_tokens_decoder(loader, decoder), done);
    }
    OCT_TRY_GOTO(tokenizer_path(loader, "added_tokens.json", &exists), done);
    if (exists) {
        OCT_TRY_GOTO(tokenizer_parse(loader, &added), done);
        OCT_TRY_GOTO(read_added_tokens(loader, added), done);
    }
    OCT_TRY_GOTO(tokenizer_path(loader, "tokenizer_config.json", &exists), done);
    OCT_TRY_GOTO(read_special_names(loader, config), done);
    OCT_TRY_GOTO(tokenizer_path(loader, "special_tokens_map.json", &exists), done);
    if (exists) {
        OCT_TRY_GOTO(tokenizer_parse(loader, &map), done);
        OCT_TRY_GOTO(read_special_names(loader, map), done);
    }
    if (vocabulary_find(loader, "<|endoftext|>") >= 0) {
        added_token_source source = {.id = -1,
                                     .token = {.content = "<|endoftext|>", .special = true}};
        OCT_TRY_GOTO(vocabulary_add(loader, &source), done);
        if (loader->tokenizer->end_of_text < 0) {
            loader->tokenizer->end_of_text = vocabulary_find(loader, "<|endoftext|>");
        }
    }
done:
    json_decref(config);
    json_decref(added);
    json_decref(map);
    return status;
}
