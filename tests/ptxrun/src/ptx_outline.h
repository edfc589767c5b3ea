// Finds the functions in a PTX text without reading their bodies.
#pragma once
#include <string>
#include <vector>

namespace ptxrun {

struct Outline {
    struct Body {
        size_t begin, end; // from ".entry" or ".func" to behind the last brace
        int line;          // of `begin`
    };
    std::vector<Body>
        functions; // in the order of the text; declarations without a body are left out
    // The text with the same lines, but with nothing between the braces of functions and debug
    // sections.
    std::string skeleton;
};
Outline outline_of(const std::string &text);

} // namespace ptxrun
