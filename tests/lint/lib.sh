# Shared by the lints: which files are ours. Sourced from the root of the checkout.
# shellcheck shell=sh

# What git knows or would take; outside of a checkout, what lies here.
our_files() {
    git ls-files -co --exclude-standard 2>/dev/null | while read -r file; do
        [ -f "$file" ] && echo "$file"
    done | grep . || find . -path ./build -prune -o -path '*/node_modules' -prune -o -type f -print |
        sed 's,^\./,,'
}

c_files() {
    our_files | grep -E '\.(c|h)$'
}
