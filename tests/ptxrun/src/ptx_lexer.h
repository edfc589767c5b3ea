// Splits PTX text into words, numbers and punctuation.
#pragma once
#include <string>
#include <vector>

#include "ptx_module.h"

namespace ptxrun {

struct Token {
    enum Kind { Word, Number, String, Punct, End };
    Kind kind = End;
    std::string text;
    int line = 0;
    size_t begin = 0, end = 0; // place in the source, to quote it in messages
    int place = 0;             // index into SourceMap::places
};

// Comments are dropped; .loc and .file (nvcc -lineinfo) go to the map.
std::vector<Token> tokenize(const std::string &text, SourceMap &source, int first_line);

} // namespace ptxrun
