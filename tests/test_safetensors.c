// tests: the safetensors reader on well-formed and damaged images, and the writer.
#include "base/file.h"
#include "model/safetensors.h"
#include "model/widen.h"

#include "model_maker.h"
#include "test_util.h"

// A file image: length, header text, `data_bytes` bytes counting up. Owned (free).
static unsigned char *make_image(const char *header, size_t data_bytes, size_t *out_bytes)
{
    uint64_t n = strlen(header);
    unsigned char *image = malloc(8 + n + data_bytes + 1);
    memcpy(image, &n, 8);
    memcpy(image + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) {
        image[8 + n + i] = (unsigned char)i;
    }
    *out_bytes = 8 + n + data_bytes;
    return image;
}

// Parses an exact-size copy, so that a sanitizer sees any read beyond it.
static oct_status open_copy(safetensors **out, const unsigned char *image, size_t bytes,
                            unsigned char **copy)
{
    *copy = malloc(bytes == 0 ? 1 : bytes);
    memcpy(*copy, image, bytes);
    return safetensors_open_memory(out, *copy, bytes, "image");
}

static void assert_refused(const char *header, size_t data_bytes, const char *expected)
{
    size_t bytes;
    unsigned char *image = make_image(header, data_bytes, &bytes), *copy;
    safetensors *st;
    oct_status status = open_copy(&st, image, bytes, &copy);
    ck_assert_msg(status == OCT_ERR_FORMAT, "%s: expected a refusal, got status %d", header,
                  status);
    ck_assert_ptr_null(st);
    ck_assert_msg(strstr(oct_last_error(), expected) != NULL, "%s: expected \"%s\" in \"%s\"",
                  header, expected, oct_last_error());
    ck_assert_msg(strchr(oct_last_error(), '\n') == NULL, "more than a line: %s", oct_last_error());
    free(image);
    free(copy);
}

START_TEST(tensors_are_found_with_dtype_shape_and_bytes)
{
    size_t bytes;
    unsigned char *image = make_image(
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"empty\":{\"dtype\":\"I8\",\"shape\":[0,7],\"data_offsets\":[16,16]},"
        "\"c\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[16,17],\"more\":1}}   ",
        17, &bytes);
    safetensors *st;
    assert_ok(safetensors_open_memory(&st, image, bytes, "image"));
    ck_assert_uint_eq(safetensors_count(st), 4);
    const safetensors_tensor *tensor;
    int64_t shape[2] = {2, 3};
    assert_ok(safetensors_get(st, "b", SAFETENSORS_FLOATS, 2, shape, &tensor));
    ck_assert_int_eq(tensor->dtype, OCT_DTYPE_F16);
    ck_assert_uint_eq(tensor->bytes, 12);
    ck_assert_uint_eq(tensor->data[0], 4);
    ck_assert_int_eq(safetensors_find(st, "c")->dtype, -1);
    ck_assert(!safetensors_find(st, "c")->used && tensor->used);
    ck_assert_ptr_null(safetensors_find(st, "d"));
    safetensors_close(st);
    free(image);
}
END_TEST

START_TEST(mismatch_names_file_tensor_and_both_dtypes_and_shapes)
{
    size_t bytes;
    unsigned char *image =
        make_image("{\"w\":{\"dtype\":\"I8\",\"shape\":[2,3],\"data_offsets\":[0,6]}}", 6, &bytes);
    safetensors *st;
    assert_ok(safetensors_open_memory(&st, image, bytes, "folder/model.safetensors"));
    const safetensors_tensor *tensor;
    int64_t shape[2] = {3, 2};
    ck_assert_int_eq(safetensors_get(st, "w", SAFETENSORS_FLOATS, 2, shape, &tensor),
                     OCT_ERR_FORMAT);
    ck_assert_str_eq(
        oct_last_error(),
        "folder/model.safetensors: tensor w: expected F32 or F16 or BF16 of shape [3, 2], "
        "got I8 of shape [2, 3]");
    ck_assert_int_eq(safetensors_get(st, "w", SAFETENSORS_IS(OCT_DTYPE_I8), 2, shape, &tensor),
                     OCT_ERR_FORMAT);
    ck_assert_int_eq(safetensors_get(st, "v", SAFETENSORS_FLOATS, 1, shape, &tensor),
                     OCT_ERR_FORMAT);
    ck_assert_str_eq(
        oct_last_error(),
        "folder/model.safetensors: expected tensor v (F32 or F16 or BF16 of shape [3]), not there");
    safetensors_close(st);
    free(image);
}
END_TEST

#define F32_AT(name, begin, end)                                                                   \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" begin "," end "]}"

static const struct {
    const char *header;
    size_t data_bytes;
    const char *expected;
} damaged[] = {
    {"", 0, "begin with '{'"},
    {" {}", 0, "begin with '{'"},
    {"[]", 0, "begin with '{'"},
    {"{", 0, "expected JSON"},
    {"{}x", 0, "expected JSON"},
    {"{\"a\\u0000\":1}", 0, "expected JSON"},
    {"{\"a\xFF\":1}", 0, "expected JSON"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "expected a text, got 1"},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"{\"a\":1}", 0, "tensor \"a\": expected an object, got 1"},
    {"{\"a\\n\":1}", 0, "tensor \"a\\n\": expected an object"},
    {"{}", 1, "expected 0 bytes of data, as the header lists, got 1"},
    {"{" F32_AT("a", "0", "8") "," F32_AT("a", "8", "16") "}", 16, "duplicate"},
    {"{" F32_AT("a", "0", "8") "," F32_AT("b", "4", "12") "}", 12, "overlap"},
    {"{" F32_AT("a", "0", "8") "," F32_AT("b", "0", "8") "}", 8, "overlap"},
    {"{" F32_AT("a", "0", "8") "," F32_AT("b", "9", "17") "}", 17, "a gap"},
    {"{" F32_AT("a", "1", "9") "}", 9, "a gap"},
    {"{" F32_AT("a", "0", "8") "}", 9, "expected 8 bytes of data, as the header lists, got 9"},
    {"{" F32_AT("a", "0", "8") "}", 7, "begin <= end <= 7"},
    {"{" F32_AT("a", "8", "0") "}", 8, "begin <= end <= 8"},
    {"{" F32_AT("a", "-8", "0") "}", 8, "from 0, got [-8,0]"},
    {"{" F32_AT("a", "0", "9223372036854775807") "}", 8, "begin <= end <= 8"},
    {"{" F32_AT("a", "0", "18446744073709551616") "}", 8, "expected JSON"},
    {"{" F32_AT("a", "0", "8.0") "}", 8, "from 0, got"},
    {"{" F32_AT("a", "0", "12") "}", 12, "expected 8 bytes for F32 of shape [2], got 12"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype: expected F32"},
    {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "got \"F33\""},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "shape: expected a list"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "got [-2]"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
     "at most 8 sizes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     "fewer than 2^64"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
     "overflow"},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "end within a byte"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets: expected [begin, end]"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "data_offsets"},
};

START_TEST(damaged_headers_are_refused_by_name)
{
    assert_refused(damaged[_i].header, damaged[_i].data_bytes, damaged[_i].expected);
}
END_TEST

START_TEST(header_length_beyond_the_file_or_the_limit_is_refused)
{
    unsigned char image[16] = {0};
    safetensors *st;
    uint64_t lengths[] = {9, 100000001, UINT64_MAX, UINT64_MAX - 7, 1ull << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(image, &lengths[i], 8);
        ck_assert_int_eq(safetensors_open_memory(&st, image, sizeof image, "x"), OCT_ERR_FORMAT);
    }
    for (size_t bytes = 0; bytes < 8; bytes++) {
        ck_assert_int_eq(safetensors_open_memory(&st, image, bytes, "x"), OCT_ERR_FORMAT);
    }
}
END_TEST

START_TEST(deep_nesting_is_refused_without_a_crash)
{
    size_t n = 1000000, bytes;
    char *header = malloc(n + 1);
    memset(header, '[', n);
    header[n] = 0;
    memcpy(header, "{\"a\":", 5);
    unsigned char *image = make_image(header, 0, &bytes);
    safetensors *st;
    ck_assert_int_eq(safetensors_open_memory(&st, image, bytes, "x"), OCT_ERR_FORMAT);
    free(header);
    free(image);
}
END_TEST

START_TEST(every_truncation_and_flipped_byte_of_an_image_is_survived)
{
    size_t bytes;
    unsigned char *image =
        make_image("{" F32_AT("a", "0", "8") "," F32_AT("b", "8", "16") "}", 16, &bytes);
    unsigned char *copy;
    safetensors *st;
    for (size_t n = 0; n < bytes; n++) {
        ck_assert_int_eq(open_copy(&st, image, n, &copy), OCT_ERR_FORMAT);
        free(copy);
    }
    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            image[i] ^= (unsigned char)(1 << bit);
            oct_status status = open_copy(&st, image, bytes, &copy);
            ck_assert(status == OCT_OK || status == OCT_ERR_FORMAT);
            safetensors_close(st);
            free(copy);
            image[i] ^= (unsigned char)(1 << bit);
        }
    }
    free(image);
}
END_TEST

START_TEST(written_file_has_floats_first_names_in_order_and_padded_header)
{
    char *folder = test_folder();
    char *path = oct_path_join(folder, "model.safetensors");
    float f[3] = {1, 2, 3};
    int8_t q[5] = {1, 2, 3, 4, 5};
    safetensors_entry entries[4] = {
        {"z.weight", OCT_DTYPE_I8, 2, {5, 1}, q},
        {"b", OCT_DTYPE_F32, 1, {3}, f},
        {"a\"\\", OCT_DTYPE_I8, 1, {1}, q},
        {"a", OCT_DTYPE_F32, 2, {1, 2}, f},
    };
    assert_ok(safetensors_write(path, entries, 4));
    char *text;
    size_t bytes;
    assert_ok(oct_file_read(&text, &bytes, path, 1 << 20));
    uint64_t n;
    memcpy(&n, text, 8);
    ck_assert_uint_eq(n % 8, 0);
    const char *want = "{\"__metadata__\":{\"format\":\"pt\"},"
                       "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                       "\"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[8,20]},"
                       "\"a\\\"\\\\\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[20,21]},"
                       "\"z.weight\":{\"dtype\":\"I8\",\"shape\":[5,1],\"data_offsets\":[21,26]}}";
    ck_assert_msg(strncmp(text + 8, want, strlen(want)) == 0, "%.*s", (int)n, text + 8);
    ck_assert_uint_eq(bytes, 8 + n + 26);
    free(text);
    // It reads back, and an existing file is never overwritten.
    safetensors *st;
    assert_ok(safetensors_open(&st, folder));
    float back[3];
    memcpy(back, safetensors_find(st, "b")->data, sizeof back);
    assert_f32_bits(back, f, 3, "b");
    safetensors_close(st);
    ck_assert_int_eq(safetensors_write(path, entries, 4), OCT_ERR_IO);
    entries[1].name = entries[0].name;
    ck_assert_int_eq(safetensors_write(path, entries, 4), OCT_ERR_ARG);
    free(path);
    test_remove(folder);
}
END_TEST

START_TEST(f16_widens_exactly_for_all_65536_values)
{
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t bits = (uint16_t)i;
        float got = widen_f16(bits), want = model_maker_half(bits);
        if (want != want) {
            ck_assert(got != got);
        } else {
            assert_f32_bits(&got, &want, 1, "half");
        }
    }
}
END_TEST

START_TEST(bf16_is_the_upper_half_of_f32)
{
    float got[3] = {widen_bf16(0x3F80), widen_bf16(0xC2F7), widen_bf16(0x0001)};
    float want[3] = {1.0f, -123.5f, 0x1p-133f};
    assert_f32_bits(got, want, 3, "bf16");
}
END_TEST

START_TEST(transpose_of_odd_shapes_and_unaligned_data)
{
    size_t rows = 37, columns = 65, n = rows * columns;
    unsigned char *raw = malloc(4 * n + 1);
    float *out = malloc(4 * n);
    for (size_t i = 0; i < n; i++) {
        float value = (float)i;
        memcpy(raw + 1 + 4 * i, &value, 4);
    }
    safetensors_tensor tensor = {
        .dtype = OCT_DTYPE_F32, .count = n, .data = raw + 1, .bytes = 4 * n};
    widen_transpose(out, &tensor, rows, columns);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            ck_assert(out[c * rows + r] == (float)(r * columns + c));
        }
    }
    free(raw);
    free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *tcase = tcase_create("format");
    tcase_add_test(tcase, tensors_are_found_with_dtype_shape_and_bytes);
    tcase_add_test(tcase, mismatch_names_file_tensor_and_both_dtypes_and_shapes);
    tcase_add_loop_test(tcase, damaged_headers_are_refused_by_name, 0,
                        (int)(sizeof damaged / sizeof damaged[0]));
    tcase_add_test(tcase, header_length_beyond_the_file_or_the_limit_is_refused);
    tcase_add_test(tcase, deep_nesting_is_refused_without_a_crash);
    tcase_add_test(tcase, every_truncation_and_flipped_byte_of_an_image_is_survived);
    tcase_add_test(tcase, written_file_has_floats_first_names_in_order_and_padded_header);
    tcase_add_test(tcase, f16_widens_exactly_for_all_65536_values);
    tcase_add_test(tcase, bf16_is_the_upper_half_of_f32);
    tcase_add_test(tcase, transpose_of_odd_shapes_and_unaligned_data);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
