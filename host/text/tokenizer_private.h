// TOKENIZE: the tokenizer object, and what fills it while it is opened.
#ifndef OCT_TOKENIZER_PRIVATE_H
#define OCT_TOKENIZER_PRIVATE_H

#include "octet/tokenizer.h"

#include "base/arena.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"

#include <jansson.h>

// More than any vocabulary has (the largest known are near 260,000); bounds what a damaged id
// costs.
#define TOKENIZER_MAX_IDS (1 << 22)

typedef struct token_entry {
    const char *bytes; // borrowed from the arena; NULL = a hole
    uint32_t n_bytes;  // >= 1
    bool merged;       // a byte's token, or left, right or result of a merge
    bool made;         // a byte's token, or the result of a merge: text can become it
    bool special;
} token_entry;

struct oct_tokenizer {
    oct_arena arena;      // token bytes, added tokens
    token_entry *entries; // owned: [n_ids], room for `capacity`
    int32_t n_ids;        // largest id + 1
    int32_t capacity;
    int32_t end_of_text; // -1 = none
    size_t max_token_bytes;
    bool split;            // cut by GPT-2's expression; false: one piece between added tokens
    bool add_prefix_space; // a space before text that does not begin with one
    pretokenizer pre;
    bpe_table bpe;
    added_tokens exact;      // searched first ("normalized": false)
    added_tokens normalized; // searched in what `exact` leaves
};

// Exists only during oct_tokenizer_open.
typedef struct tokenizer_loader {
    oct_tokenizer *tokenizer;
    const char *dir;    // borrowed
    char path[4352];    // the file being read, for messages
    json_t *vocab;      // owned: token as the file writes it -> id
    json_t *added_rows; // owned: content -> index in `added`
    added_token *added; // owned: [n_added]
    size_t n_added, added_capacity;
    bool merges_cut; // merges.txt does not end with a line end
    char *scratch;   // owned: for taking merges apart
    size_t scratch_bytes;
} tokenizer_loader;

// ---- vocabulary.c: the tables

// Enters all tokens of `vocab` (an object, kept) and finds the 256 bytes' tokens.
oct_status vocabulary_read(tokenizer_loader *loader, json_t *vocab);

// A merge as a file states it.
typedef struct merge_source {
    const char *left; // [n_left], as the file writes it; no NUL inside
    const char *right;
    size_t n_left, n_right;
    uint32_t rank;
    const char *unit; // where it stands: "line" or "merge", and its number
    size_t index;
} merge_source;

// Enters one merge, after vocabulary_read.
oct_status vocabulary_merge(tokenizer_loader *loader, const merge_source *source);

// An added token as a file states it.
typedef struct added_token_source {
    json_int_t id;  // -1 = the file names none
    bool overrides; // its flags replace those of an earlier file
    added_token token;
} added_token_source;

// Enters an added token: into the vocabulary if it has no id there, and into the list.
oct_status vocabulary_add(tokenizer_loader *loader, const added_token_source *source);

// The id of a token by its name in the files; -1 if there is none.
int32_t vocabulary_find(const tokenizer_loader *loader, const char *content);

// ---- the files

// Sets loader->path to dir/name; *exists = whether something of that name is there.
oct_status tokenizer_path(tokenizer_loader *loader, const char *name, bool *exists);

// Parses loader->path; *root is owned by the caller and an object.
oct_status tokenizer_parse(tokenizer_loader *loader, json_t **root);

oct_status tokenizer_json_read(tokenizer_loader *loader);   // tokenizer_json.c: loader->path
oct_status vocab_merges_read(tokenizer_loader *loader);     // vocab_merges.c: both files
oct_status added_token_files_read(tokenizer_loader *loader, // added_token_files.c: the other three
                                  bool has_tokenizer_json);

// One entry of added_tokens or added_tokens_decoder: {"content": ..., flags}.
oct_status added_token_parse(tokenizer_loader *loader, const json_t *entry,
                             added_token_source *source);

// "%s: ..." with the file being read.
#define LOADER_FAIL(loader, format, ...)                                                           \
    OCT_FAIL(OCT_ERR_FORMAT, "%.400s: " format, (loader)->path, __VA_ARGS__)

#endif
