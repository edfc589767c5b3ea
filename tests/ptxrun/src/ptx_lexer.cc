// PTX text to tokens; comments, .loc and .file are dropped here.
#include "ptx_lexer.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ptxrun {

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || strchr("_$%.", c) != nullptr;
}

// ".loc 2 19 5, function_name $L__info_string0, inlined_at 1 125 5" and ".file 1 \"gemm_i8.cu\"",
// both without the first word.
static void read_place(const std::string &line, SourceMap &source)
{
    SourceMap::Place p;
    if (sscanf(line.c_str(), "%d %d", &p.file, &p.line) == 2) {
        const size_t at = line.find("inlined_at ");
        if (at != std::string::npos) {
            sscanf(line.c_str() + at + 11, "%d %d", &p.inlined_file, &p.inlined_line);
        }
        source.places.push_back(p);
    }
}
static void read_file(const std::string &line, SourceMap &source)
{
    const size_t begin = line.find('"'), end = line.find('"', begin + 1);
    if (end != std::string::npos) {
        const size_t slash = line.rfind('/', end);
        const size_t name = slash == std::string::npos || slash < begin ? begin + 1 : slash + 1;
        source.files[atoi(line.c_str())] = line.substr(name, end - name);
    }
}

std::vector<Token> tokenize(const std::string &text, SourceMap &source, int first_line)
{
    std::vector<Token> tokens;
    source.places.emplace_back(); // unknown up to the first .loc
    int line = first_line;
    size_t i = 0;
    const size_t size = text.find('\0') == std::string::npos ? text.size() : text.find('\0');
    auto at = [&](size_t k) { return k < size ? text[k] : '\0'; };
    auto skip_line = [&] {
        while (i < size && text[i] != '\n') {
            i++;
        }
    };

    while (i < size) {
        char c = text[i];
        if (c == '\n') {
            line++, i++;
        } else if (isspace((unsigned char)c)) {
            i++;
        } else if (c == '/' && at(i + 1) == '/') {
            skip_line();
        } else if (c == '/' && at(i + 1) == '*') {
            for (i += 2; i < size && !(text[i] == '*' && at(i + 1) == '/'); i++) {
                line += text[i] == '\n';
            }
            i += 2;
        } else if (c == '"') {
            Token t{Token::String, "", line, i, i, 0};
            for (i++; i < size && text[i] != '"'; i++) {
                t.text += text[i];
            }
            t.end = ++i;
            tokens.push_back(t);
        } else if (isdigit((unsigned char)c)) {
            Token t{Token::Number, "", line, i, i, 0};
            while (i < size && (isalnum((unsigned char)text[i]) || text[i] == '.')) {
                t.text += text[i++];
            }
            t.end = i;
            tokens.push_back(t);
        } else if (c && word_char(c)) {
            Token t{Token::Word, "", line, i, i, 0};
            // "a::b" is one word (shared::cta), "a:" is a label.
            for (;;) {
                if (i < size && word_char(text[i])) {
                    t.text += text[i++];
                } else if (at(i) == ':' && at(i + 1) == ':') {
                    t.text += "::";
                    i += 2;
                } else {
                    break;
                }
            }
            t.end = i;
            if (t.text == ".loc" || t.text == ".file") {
                skip_line();
                (t.text == ".loc" ? read_place : read_file)(text.substr(t.end, i - t.end), source);
            } else {
                t.place = (int)source.places.size() - 1;
                tokens.push_back(t);
            }
        } else {
            tokens.push_back({Token::Punct, std::string(1, c), line, i, i + 1, 0});
            i++;
        }
    }
    tokens.push_back({Token::End, "", line, size, size, 0});
    return tokens;
}

} // namespace ptxrun
