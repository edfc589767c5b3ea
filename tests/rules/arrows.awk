# tests: who may include whom. Reads first the names of all headers, then lines "path:line:#include ..."; prints
# "path:line:text" for each include that leaves the arrows. A name that is no header of the tree is generated: free.
BEGIN {
    # An entry that ends in "/" is a folder, any other one file. The own folder is always allowed; tests see all.
    may["include"] = ""
    may["host/base"] = "include/"
    may["host/model"] = "include/ host/base/"
    may["host/text"] = "include/ host/base/"
    may["host/cpu"] = "include/ host/base/"
    may["host/infer"] = "include/ host/base/ host/model/ host/text/"
    may["host/quant"] = "include/ host/base/ host/model/ host/infer/forward.h"
    may["host/train"] = "include/ host/base/ host/model/ host/infer/forward.h"
    may["host/report"] = "include/ host/base/ host/quant/"
    may["host/serve"] = "include/octet/octet.h"
    may["cuda"] = "include/ kernels/launch.h"
    may["kernels"] = "include/octet/types.h include/octet/numerics.h"
    may["tools"] = "include/"
    may["benchmarks"] = "include/"
    may["examples"] = "include/"
}
function folder(path)
{
    sub(/\/[^\/]*$/, "", path)
    return path
}
# Takes "x/../" and "./" out of a path.
function clean(path)
{
    gsub(/\/\.\//, "/", path)
    while (match(path, /[^\/.]+\/\.\.\//)) {
        path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    }
    return path
}
function layer(path, parts)
{
    split(path, parts, "/")
    return parts[1] == "host" ? parts[1] "/" parts[2] : parts[1]
}
!/:/ {
    header[$0] = 1
    next
}
{
    split($0, part, ":")
    name = $0
    sub(/^[^"]*"/, "", name)
    sub(/".*$/, "", name)
    target = clean(folder(part[1]) "/" name)
    if (!(target in header)) {
        target = ("include/" name) in header ? "include/" name : clean("host/" name)
    }
    from = layer(part[1])
    if (!(target in header) || from == "tests" || layer(target) == from) {
        next
    }
    n = split(may[from], allowed, " ")
    for (i = 1; i <= n; i++) {
        a = allowed[i]
        if (target == a || (a ~ /\/$/ && index(target, a) == 1)) {
            next
        }
    }
    if (!(from in may)) {
        may[from] = ""
    }
    print part[1] ":" part[2] ":" from " may not include " target \
        (may[from] == "" ? "" : "; it may include " may[from])
}
