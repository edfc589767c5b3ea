#!/usr/bin/env bash
# tools: what test.sh and demo.sh need on a Debian machine, and how they get it; to be sourced, not run.

# missing_packages NAME...: those of the named packages that are not there, judged by what they bring.
missing_packages() {
    local package
    for package in "$@"; do
        case $package in
        build-essential) command -v cc && command -v c++ && command -v make && command -v objdump ;;
        check) pkg-config --exists 'check >= 0.15' ;;
        libjansson-dev) pkg-config --exists 'jansson >= 2.12' ;;
        libpcre2-dev) pkg-config --exists 'libpcre2-8 >= 10.30' ;;
        libmd-dev) pkg-config --exists 'libmd >= 1.0' ;;
        *) command -v "$package" ;; # the package and its program have one name
        esac >/dev/null 2>&1 || echo "$package"
    done
}

# need_packages NAME...: installs what is missing; says what to do and fails where it may not.
need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "Missing: ${missing[*]} (Debian's names). Install them with this machine's package manager." >&2
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "Missing: ${missing[*]}. Run: sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
        return 1
    fi
    echo "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null &&
        apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null || return 1
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] || {
        echo "Installed, and still not usable: ${missing[*]}" >&2
        return 1
    }
}

# need_cmake: the presets and this tree ask for 3.25.
need_cmake() {
    local version
    version=$(cmake --version | sed -n 's/^cmake version //p')
    if [ "$(printf '%s\n' 3.25 "$version" | sort -V | head -n 1)" != 3.25 ]; then
        echo "cmake 3.25 or newer is needed, this one is $version" >&2
        return 1
    fi
}
