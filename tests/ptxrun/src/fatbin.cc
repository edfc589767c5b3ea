// The container's layout is undocumented; the fields below are those seen in nvcc 13.0's output.
#include "fatbin.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstring>

#include "run_options.h"

namespace ptxrun {
namespace {

struct Wrapper {
    uint32_t magic, version;
    const uint8_t *data;
    void *filename;
};
constexpr uint32_t kWrapperMagic = 0x466243b1, kFatbinMagic = 0xBA55ED50, kZstdMagic = 0xFD2FB528;

struct FatbinHeader {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size; // of the entries that follow
};

// Byte offsets inside an entry header, whose own size is stored at kHeaderSize.
enum EntryField {
    kKind = 0,
    kHeaderSize = 4,
    kPaddedSize = 8,
    kCompressedSize = 16,
    kPlainSize = 56
};
constexpr uint16_t kKindPtx = 1;

template <class T> T read(const uint8_t *p)
{
    T value;
    memcpy(&value, p, sizeof value);
    return value;
}

// libzstd is opened on demand so that programs built with -no-compress need no such library.
std::string zstd_decompress(const uint8_t *data, size_t compressed, size_t plain)
{
    using Decompress = size_t (*)(void *, size_t, const void *, size_t);
    static auto decompress = [] {
        void *lib = dlopen("libzstd.so.1", RTLD_NOW);
        return lib ? (Decompress)dlsym(lib, "ZSTD_decompress") : nullptr;
    }();
    if (!decompress) {
        fatal("the PTX is compressed and libzstd.so.1 is missing (nvcc -no-compress helps)");
    }
    std::string text(plain, '\0');
    size_t n = decompress(&text[0], plain, data, compressed);
    if (n > plain) {
        fatal("the PTX in the fatbin could not be decompressed");
    }
    text.resize(n);
    return text;
}

} // namespace

std::vector<std::string> ptx_in_fatbin(const void *wrapper_pointer)
{
    Wrapper wrapper;
    memcpy(&wrapper, wrapper_pointer, sizeof wrapper);
    if (wrapper.magic != kWrapperMagic) {
        fatal("unknown fatbin wrapper (magic %08x)", wrapper.magic);
    }
    FatbinHeader header;
    memcpy(&header, wrapper.data, sizeof header);
    if (header.magic != kFatbinMagic) {
        fatal("unknown fatbin (magic %08x)", header.magic);
    }

    std::vector<std::string> texts;
    bool other = false;
    const uint8_t *entry = wrapper.data + header.header_size;
    const uint8_t *const end = entry + header.size;
    while (entry < end) {
        const uint8_t *body = entry + read<uint32_t>(entry + kHeaderSize);
        const uint64_t padded = read<uint64_t>(entry + kPaddedSize);
        if (read<uint16_t>(entry + kKind) != kKindPtx) {
            other = true;
        } else if (read<uint32_t>(body) == kZstdMagic) {
            texts.push_back(zstd_decompress(body, read<uint32_t>(entry + kCompressedSize),
                                            read<uint64_t>(entry + kPlainSize)));
        } else {
            texts.emplace_back((const char *)body, padded);
        }
        entry = body + padded;
    }
    if (texts.empty() && other) {
        fatal("a fatbin holds machine code but no PTX: build with -gencode "
              "arch=compute_NN,code=compute_NN");
    }
    return texts;
}

} // namespace ptxrun
