// tokenizer.h: TOKENIZE: GPT-2's byte-level BPE: text to token ids, ids back to bytes, streaming.
//
// A tokenizer is read from a model directory. tokenizer.json (Hugging Face's one-file form) wins
// where it exists; otherwise vocab.json and merges.txt are read. Added and special tokens come
// from tokenizer.json's added_tokens and, beside either form, from tokenizer_config.json
// (added_tokens_decoder, bos_token, eos_token, ...; its flags win over tokenizer.json's),
// added_tokens.json and special_tokens_map.json; "<|endoftext|>" is special wherever the
// vocabulary has it. A special token named without an id gets the next free one, as in
// transformers. Settings that cannot be honoured (normalizers, other pre-tokenizers, templates,
// BPE dropout, ...) are refused by name, with OCT_ERR_FORMAT.
//
// Encoding. Text is bytes; any bytes are accepted. It is first cut at added tokens, as transformers
// does: leftmost, longest, tokens with "normalized": false before the others, with their lstrip,
// rstrip and single_word flags. What stands between is cut into well-formed UTF-8 and runs of
// ill-formed bytes. Well-formed text is split by GPT-2's expression (letters, numbers and white
// space as Unicode has them); each run of ill-formed bytes is one piece. (Under "use_regex": false
// all that stands between two added tokens is one piece.) Byte pairs are merged within a piece
// only. Therefore the bytes of the tokens (oct_tokenizer_token_bytes), one after the other, are the
// text again, exactly, for every text; except where the files themselves ask for a change: white
// space that an lstrip or rstrip token swallows, and the space that add_prefix_space puts in front.
//
// Threads: a tokenizer never changes after it is opened; any number of threads may use it. A
// decoder belongs to one thread at a time.
#ifndef OCT_TOKENIZER_H
#define OCT_TOKENIZER_H

#include "octet/types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct oct_tokenizer oct_tokenizer;

// Reads the tokenizer of `model_dir` (borrowed). *out is owned by the caller and NULL on failure.
// Errors: OCT_ERR_FORMAT (the file, what was expected and what came; also when the files are not
// there), OCT_ERR_IO (a file exists but cannot be read), OCT_ERR_NOMEM.
oct_status oct_tokenizer_open(oct_tokenizer **out, const char *model_dir);

// Frees it; accepts NULL. No other thread or decoder may use it any more.
void oct_tokenizer_close(oct_tokenizer *tokenizer);

// The largest id + 1. Ids below it may be missing from the files (holes).
int32_t oct_tokenizer_vocab_size(const oct_tokenizer *tokenizer);

// The id that ends a text: the eos_token of tokenizer_config.json or special_tokens_map.json, else
// "<|endoftext|>"; -1 where the tokenizer has neither. config.json's eos_token_id is the model's
// word on the same question and is not looked at here.
int32_t oct_tokenizer_end_of_text(const oct_tokenizer *tokenizer);

// Whether `id` is a special token (a control token such as "<|endoftext|>", not text); false for
// holes and ids out of range.
bool oct_tokenizer_is_special(const oct_tokenizer *tokenizer, int32_t id);

// The bytes of one token; an added token's bytes are its name. A token may be part of a UTF-8
// character. *bytes is borrowed from the tokenizer, not NUL-terminated; *n_bytes >= 1.
// Errors: OCT_ERR_ARG for an id out of range or a hole; the outputs are then untouched.
oct_status oct_tokenizer_token_bytes(const oct_tokenizer *tokenizer, int32_t id, const char **bytes,
                                     size_t *n_bytes);

// The bytes of `n_ids` tokens, one after the other: the inverse of oct_tokenizer_encode. They are
// not checked for UTF-8 (a decoder does that). *bytes is owned by the caller (free()), ends with
// a NUL that *n_bytes does not count, and is NULL on failure. Errors: OCT_ERR_ARG, OCT_ERR_NOMEM.
oct_status oct_tokenizer_decode(const oct_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                char **bytes, size_t *n_bytes);

// The tokens of `n_bytes` bytes of text (borrowed; may be NULL when n_bytes is 0; NULs are text).
// No token is put before or behind. *ids is owned by the caller (free()): [*n_ids], not NULL on
// success even when *n_ids is 0, NULL on failure. Errors: OCT_ERR_ARG, OCT_ERR_NOMEM.
oct_status oct_tokenizer_encode(const oct_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                int32_t **ids, size_t *n_ids);

// The same for a whole text file. Line ends "\r\n" are read as "\n", as Python's text mode does and
// as every published token count assumes; all other bytes are taken as they are.
// Errors: OCT_ERR_IO with the file's name, and those of oct_tokenizer_encode.
oct_status oct_tokenizer_encode_file(const oct_tokenizer *tokenizer, const char *path,
                                     int32_t **ids, size_t *n_ids);

// The lines of a file as documents. A line ends at \n; "\n" or "\r\n" is no part of it; empty lines
// are skipped; the last line needs no end. Document i is ids[offsets[i]] .. ids[offsets[i + 1] - 1]
// and has at least one token. *ids and *offsets [*n_documents + 1] are owned by the caller
// (free()), NULL on failure. Errors as in oct_tokenizer_encode_file.
oct_status oct_tokenizer_encode_documents(const oct_tokenizer *tokenizer, const char *path,
                                          int32_t **ids, size_t **offsets, size_t *n_documents);

// Turns tokens into text one at a time. What comes out is always whole, well-formed UTF-8: the
// bytes of a character that the next token may complete are held back, and bytes that can no longer
// become UTF-8 come out as U+FFFD, one for each maximal part (as Python's errors="replace" does).
// All outputs of oct_decoder_push and oct_decoder_finish joined are the whole decoded text.
// The fields are private.
typedef struct oct_decoder {
    const oct_tokenizer *tokenizer; // borrowed, outlives the decoder
    unsigned char *input;           // owned: held bytes, then those of the pushed token
    size_t n_held;                  // 0..3 bytes at the start of `input`
    char *output;                   // inside the allocation of `input`
} oct_decoder;

// Prepares a caller-owned decoder, which oct_decoder_free must free. Nothing is allocated later.
// Errors: OCT_ERR_NOMEM (the decoder may then be passed to oct_decoder_free, or not).
oct_status oct_decoder_init(oct_decoder *decoder, const oct_tokenizer *tokenizer);

// Takes the next token. *text [*n_bytes] is what became certain, often nothing; borrowed, valid
// until the decoder's next call, not NUL-terminated. Special tokens come out as their names: who
// does not want them asks oct_tokenizer_is_special first.
// Errors: OCT_ERR_ARG for an unknown id; the decoder is unchanged then.
oct_status oct_decoder_push(oct_decoder *decoder, int32_t id, const char **text, size_t *n_bytes);

// Ends the text: an incomplete character that was held back comes out as U+FFFD. *text as above.
// The decoder is then as new and may decode another text. Never fails.
void oct_decoder_finish(oct_decoder *decoder, const char **text, size_t *n_bytes);

// Frees what it holds; accepts a zeroed decoder and NULL.
void oct_decoder_free(oct_decoder *decoder);

#ifdef __cplusplus
}
#endif
#endif
