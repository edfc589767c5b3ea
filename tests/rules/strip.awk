# tests: prints C, C++ and CUDA code as "path:line:text" without comments and without what strings hold,
# so that the rules see code only.
FNR == 1 {
    in_comment = 0
}
{
    line = $0
    out = ""
    while (line != "") {
        if (in_comment) {
            end = index(line, "*/")
            if (end == 0) {
                line = ""
            } else {
                line = substr(line, end + 2)
                in_comment = 0
            }
            continue
        }
        if (!match(line, /["'\/]/)) {
            out = out line
            break
        }
        out = out substr(line, 1, RSTART - 1)
        c = substr(line, RSTART, 1)
        line = substr(line, RSTART + 1)
        next_c = substr(line, 1, 1)
        if (c == "/" && next_c == "/") {
            line = ""
        } else if (c == "/" && next_c == "*") {
            line = substr(line, 2)
            in_comment = 1
            out = out " "
        } else if (c == "/") {
            out = out c
        } else { # a string or a character: skip to its end, escapes in pairs
            while (line != "" && substr(line, 1, 1) != c) {
                line = substr(line, substr(line, 1, 1) == "\\" ? 3 : 2)
            }
            line = substr(line, 2)
            out = out c c
        }
    }
    print FILENAME ":" FNR ":" out
}
