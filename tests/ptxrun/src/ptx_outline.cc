// One pass over the characters: a plug-in holds megabytes of PTX, a test runs a few of its kernels.
#include "ptx_outline.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace ptxrun {
namespace {

class Scanner {
  public:
    explicit Scanner(const std::string &text)
        : text_(text), size_(std::min(text.size(), text.find('\0')))
    {
    }

    Outline run()
    {
        while (at_ < size_) {
            if (skip_comment_or_string()) {
                continue;
            }
            if (word(".entry") || word(".func")) {
                function();
            } else if (word(".section")) {
                if (copy_to_brace()) {
                    skip_body();
                }
            } else {
                step(true);
            }
        }
        return std::move(outline_);
    }

  private:
    bool word(const char *w) const
    {
        const size_t n = strlen(w);
        return text_[at_] == '.' && text_.compare(at_, n, w) == 0 && at_ + n < size_ &&
               isspace((unsigned char)text_[at_ + n]);
    }
    void step(bool copy)
    {
        const char c = text_[at_++];
        line_ += c == '\n';
        if (copy || c == '\n') {
            outline_.skeleton += c;
        }
    }
    bool skip_comment_or_string()
    {
        const char c = text_[at_], next = at_ + 1 < size_ ? text_[at_ + 1] : '\0';
        if (c == '/' && next == '/') {
            while (at_ < size_ && text_[at_] != '\n') {
                at_++;
            }
        } else if (c == '/' && next == '*') {
            const size_t end = std::min(text_.find("*/", at_ + 2), size_ - 2) + 2;
            while (at_ < end) {
                step(false);
            }
        } else if (c == '"') {
            const size_t end = std::min(text_.find('"', at_ + 1), size_ - 1) + 1;
            while (at_ < end) {
                step(depth_ == 0);
            }
        } else {
            return false;
        }
        return true;
    }
    // Up to the brace that opens a body; false if a semicolon or the end comes first.
    bool copy_to_brace()
    {
        while (at_ < size_ && text_[at_] != '{' && text_[at_] != ';') {
            if (!skip_comment_or_string()) {
                step(true);
            }
        }
        return at_ < size_ && text_[at_] == '{';
    }
    void skip_body()
    {
        do {
            if (depth_ > 0 && skip_comment_or_string()) {
                continue;
            }
            const char c = text_[at_];
            const bool outermost = (c == '{' && depth_ == 0) || (c == '}' && depth_ == 1);
            depth_ += c == '{' ? 1 : c == '}' ? -1 : 0;
            step(outermost);
        } while (depth_ > 0 && at_ < size_);
    }
    void function()
    {
        const size_t begin = at_;
        const int line = line_;
        if (copy_to_brace()) {
            skip_body();
            outline_.functions.push_back({begin, at_, line});
        }
    }

    const std::string &text_;
    const size_t size_;
    size_t at_ = 0;
    int line_ = 1, depth_ = 0;
    Outline outline_;
};

} // namespace

Outline outline_of(const std::string &text)
{
    return Scanner(text).run();
}

} // namespace ptxrun
