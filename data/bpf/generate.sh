#!/usr/bin/env bash
# Compiles the kernel programs and writes the Go files that carry them. Both are committed, so that a plain build needs no compiler.
set -euo pipefail
cd "$(dirname "$0")"
version=$(cd ../.. && go list -m -f '{{.Version}}' github.com/cilium/ebpf)
if ! command -v clang-14 >/dev/null || ! command -v llvm-strip-14 >/dev/null || [ ! -f /usr/include/bpf/bpf_helpers.h ] || [ ! -f /usr/include/linux/bpf.h ]; then
	echo "bpf: installing clang-14, llvm-14, libbpf-dev and linux-libc-dev"
	apt-get install -y clang-14 llvm-14 libbpf-dev linux-libc-dev >/dev/null
fi
for program in */; do
	program=${program%/}
	(cd "$program" && GOPACKAGE=$program go run "github.com/cilium/ebpf/cmd/bpf2go@$version" -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -output-stem object \
		-type pod -type range_key -type rule_key -type place -type tuple object "$program.c" -- -O2 -Wall -Werror "-I/usr/include/$(uname -m)-linux-gnu" >/dev/null
		# make check compares it, so that nobody changes a source without its objects.
		sha256sum ./*.c ./*.h object_*.o ../generate.sh >objects.sum)
done
echo "bpf: $(find . -name 'object_*.o' | wc -l) objects"
