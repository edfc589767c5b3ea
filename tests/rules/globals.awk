# tests: reads "objdump -t" of static libraries; prints "object symbol" for each object that lies in memory that can
# be written. Constants that hold pointers (.data.rel.ro) count as constant.
/file format/ {
    object = $1
    sub(/:$/, "", object)
    next
}
/\t/ {
    split($0, half, "\t")
    n = split(half[1], left, " ")
    section = left[n]
    split(half[2], right, " ")
    symbol = right[2]
    if (symbol == section || section ~ /^\.data\.rel\.ro/) {
        next
    }
    if (section ~ /^\.(data|bss|tdata|tbss)/ || section == "*COM*") {
        print object, symbol
    }
}
