# tests: the lengths of files and functions. Prints "path:line:text" for each that is too long; a line that starts
# with "warn:" does not count as a violation. Tables that say "generated" in their first two lines are free.
function finish()
{
    if (!generated && lines > 600) {
        print path ":" lines ":" lines " lines, 600 allowed; split by operation or stage"
    } else if (!generated && lines > 500) {
        print "warn:" path ":" lines ":" lines " lines, over 500: split it by operation or stage soon"
    }
}
FNR == 1 {
    if (path != "") {
        finish()
    }
    path = FILENAME
    generated = 0
    start = 0
    is_c = path ~ /\.(c|h|cu|cuh|cc|cpp)$/
}
FNR <= 2 && tolower($0) ~ /generated/ {
    generated = 1
}
{
    lines = FNR
}
# The formatter puts the braces of functions, and of nothing else, alone in the first column.
is_c && /^{/ {
    start = FNR
}
is_c && /^}/ {
    if (start > 0 && FNR - start + 1 > 120) {
        print path ":" start ":" "a function of " FNR - start + 1 " lines, 120 allowed"
    }
    start = 0
}
END {
    if (path != "") {
        finish()
    }
}
